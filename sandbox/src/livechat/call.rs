//! A call of an API, and a successful answer to it.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::Query;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Uri};
use serde_json::Value;

/// One call, once its body has been read.
#[derive(Debug)]
pub(crate) struct Call {
    pub action: String,
    pub method: Method,
    pub headers: HeaderMap,
    pub query: BTreeMap<String, String>,
    pub body: Bytes,
}

impl Call {
    pub(crate) fn has_content_type(&self, expected: &str) -> bool {
        let given = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        given.starts_with(expected)
    }
}

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(super) body: Option<Value>,
    pub cookies: Vec<String>,
}

impl Reply {
    pub(crate) const fn json(body: Value) -> Self {
        Self { body: Some(body), cookies: Vec::new() }
    }

    pub(crate) const fn empty() -> Self {
        Self { body: None, cookies: Vec::new() }
    }
}

pub(crate) fn query(uri: &Uri) -> Option<BTreeMap<String, String>> {
    Query::try_from_uri(uri).ok().map(|Query(pairs)| pairs)
}
