//! Arbitrary calls with unprocessed answers, for checking what LiveChat does.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

use super::{API_VERSION, Action, Api, Client};
use crate::http::{Body, Call, Failure, File};
use crate::redacted::Redacted;

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub enum Caller<'a> {
    /// The owner of a personal access token, in the Agent Chat API.
    Agent(&'a Redacted),
    /// The same, in the Configuration API.
    Owner(&'a Redacted),
    /// A customer.
    Customer(&'a Redacted),
}

/// What LiveChat answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// The HTTP status.
    pub status: u16,
    /// The body; null if it is not JSON.
    pub body: Value,
    /// The stage of the API version (`legacy` or `deprecation`) and its end date, once it is no longer stable.
    pub ends: Option<(&'static str, String)>,
}

impl Probed {
    /// Whether LiveChat carried out the call.
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// `error.type` of a refusal.
    pub fn error_type(&self) -> Option<&str> {
        self.body.pointer("/error/type").and_then(Value::as_str)
    }
}

impl Client {
    /// Makes any call of [`API_VERSION`].
    ///
    /// # Errors
    ///
    /// [`Failure`] if no answer came; a refusal is an answer.
    pub async fn probe(&self, caller: Caller<'_>, action: &'static str, body: &Value) -> Result<Probed, Failure> {
        self.probe_with(caller, action, Body::json(body)?).await
    }

    /// Uploads a file for a `file` event.
    ///
    /// # Errors
    ///
    /// As [`probe`](Self::probe).
    pub async fn probe_upload(&self, caller: Caller<'_>, name: &str, content: &'static str) -> Result<Probed, Failure> {
        let content = Bytes::from_static(content.as_bytes());
        let file = File { name: name.to_owned(), content_type: "text/plain".to_owned(), content };
        self.probe_with(caller, "upload_file", Body::File(file)).await
    }

    async fn probe_with(&self, caller: Caller<'_>, action: &'static str, body: Body) -> Result<Probed, Failure> {
        let (api, token) = match caller {
            Caller::Agent(token) => (Api::Agent, token),
            Caller::Owner(token) => (Api::Configuration, token),
            Caller::Customer(token) => (Api::Customer, token),
        };
        let action = Action { api, call: Call::once(action), token, body };
        let region = self.region_header(&action);
        let answer = self.shared.http.send(self.request(&action, region.as_ref())?).await?;
        let body = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(Probed { status: answer.status.as_u16(), body, ends: ends(&answer.headers) })
    }
}

fn ends(headers: &HeaderMap) -> Option<(&'static str, String)> {
    let dated = |name: &'static str| Some((name, headers.get(name)?.to_str().unwrap_or(API_VERSION).to_owned()));
    ["deprecation", "legacy"].into_iter().find_map(dated)
}
