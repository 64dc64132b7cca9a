//! Pages of lists: the first call gives the filters and the page size, later calls only the page.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::errors::Error;
use super::params::Params;

/// Parameters of a first call that a later one must not repeat.
const FIRST_PAGE_ONLY: [&str; 4] = ["filters", "limit", "sort_order", "min_events_count"];

/// A list call with its page resolved: the parameters of the first call, and the offset of this page.
#[derive(Debug)]
pub(crate) struct Page {
    /// The parameters that decide what is listed.
    pub params: Value,
    offset: usize,
}

impl Page {
    pub(crate) fn read(params: &Params<'_>) -> Result<Self, Error> {
        let mut fields = params.fields().clone();
        let Some(page_id) = params.optional_text("page_id")? else {
            return Ok(Self { params: fields.into(), offset: 0 });
        };
        if FIRST_PAGE_ONLY.iter().any(|name| params.has(name)) {
            return Err(Error::validation("`page_id` cannot be mixed with other parameters"));
        }
        let wrong = || Error::validation("`page_id` is not valid");
        let decoded = URL_SAFE_NO_PAD.decode(page_id).map_err(|_| wrong())?;
        let decoded: Value = serde_json::from_slice(&decoded).map_err(|_| wrong())?;
        let first = decoded.get("params").and_then(Value::as_object).ok_or_else(wrong)?;
        let offset = decoded.get("offset").and_then(Value::as_u64).and_then(|offset| usize::try_from(offset).ok());
        fields.remove("page_id");
        fields.extend(first.clone());
        Ok(Self { params: fields.into(), offset: offset.ok_or_else(wrong)? })
    }

    /// `limit`, checked against its maximum.
    pub(crate) fn limit(&self, default: usize, max: usize) -> Result<usize, Error> {
        let limit = Params::of(&self.params)?.integer("limit")?.and_then(|limit| usize::try_from(limit).ok());
        match limit.unwrap_or(default) {
            0 => Err(Error::validation("`limit` must be positive")),
            limit if limit > max => Err(Error::validation(format!("`limit` must be at most {max}"))),
            limit => Ok(limit),
        }
    }

    /// Returns whether the oldest come first.
    pub(crate) fn is_ascending(&self) -> Result<bool, Error> {
        Ok(Params::of(&self.params)?.choice("sort_order", &["asc", "desc"])? == Some("asc"))
    }

    /// The answer: `items` of this page under `name`, their total under `total`, and the neighbouring pages.
    pub(crate) fn answer(&self, name: &str, total: &str, items: Vec<Value>, limit: usize) -> Value {
        let mut answer = Map::new();
        answer.insert(total.to_owned(), json!(items.len()));
        let end = self.offset.saturating_add(limit);
        if end < items.len() {
            answer.insert("next_page_id".to_owned(), self.page_id(end));
        }
        if self.offset > 0 {
            answer.insert("previous_page_id".to_owned(), self.page_id(self.offset.saturating_sub(limit)));
        }
        answer.insert(name.to_owned(), items.into_iter().skip(self.offset).take(limit).collect());
        answer.into()
    }

    fn page_id(&self, offset: usize) -> Value {
        let page = json!({"params": self.params, "offset": offset});
        URL_SAFE_NO_PAD.encode(page.to_string()).into()
    }
}
