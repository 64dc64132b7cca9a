//! What the handlers read from a request: path, query, body; and paging.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Query;
use http::{HeaderMap, Uri};
use serde_json::{Map, Value, json};
use shared::clock::Timestamp;

use super::super::errors::{Error, ErrorType};
use super::super::schema::{Field, Shape, check, optional};

/// Largest message payload and state payload.
const PAYLOAD_BYTES: usize = 128 * 1024;

pub(super) const DISCRIMINATE: &[Field] = &[optional("discriminateByTags", Shape::List(&Shape::NonEmpty))];

pub(super) const SCHEDULE: &[Field] =
    &[optional("dateTime", Shape::Text), optional("delay", Shape::Whole(0, 365 * 24 * 60 * 60 * 1_000))];

/// One authenticated call.
#[derive(Debug)]
pub(super) struct Call {
    segments: Vec<String>,
    query: Vec<(String, String)>,
    has_json: bool,
    body: Bytes,
}

impl Call {
    pub(crate) fn new(segments: Vec<String>, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Result<Self, Error> {
        let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Error::new(ErrorType::InvalidQuery, error.to_string()))?;
        let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let has_json = content_type.is_some_and(|value| value.starts_with("application/json"));
        Ok(Self { segments, query, has_json, body })
    }

    /// The path segment at `position`, counted after `/v1/chat/`.
    pub(crate) fn segment(&self, position: usize) -> &str {
        self.segments.get(position + 2).map_or("", String::as_str)
    }

    /// The id in `/v1/chat/<entity>/{id}`.
    pub(crate) fn id(&self) -> &str {
        self.segment(1)
    }

    /// The body, which must have exactly these fields.
    pub(crate) fn body(&self, fields: &'static [&'static [Field]]) -> Result<Map<String, Value>, Error> {
        if !self.has_json {
            return Err(Error::new(ErrorType::UnsupportedMediaType, "the body must be application/json"));
        }
        let body: Value = serde_json::from_slice(&self.body).map_err(|error| Error::invalid(error.to_string()))?;
        check(&body, &Shape::Closed(fields), "body").map_err(Error::invalid)?;
        Ok(body.as_object().cloned().unwrap_or_default())
    }

    /// Refuses parameters that the call does not have; `tags.*` are always allowed.
    pub(crate) fn allow_query(&self, names: &[&str]) -> Result<(), Error> {
        let unknown = self.query.iter().find(|(name, _)| !name.starts_with("tags.") && !names.contains(&name.as_str()));
        unknown.map_or(Ok(()), |(name, _)| Err(invalid_query(format!("query must NOT have \"{name}\""))))
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// All values of a repeated parameter.
    pub(crate) fn query_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The tag filter: `tags.id=abc` becomes `{"id":"abc"}`.
    pub(crate) fn tags(&self) -> Map<String, Value> {
        let tags = self.query.iter().filter_map(|(name, value)| Some((name.strip_prefix("tags.")?, value)));
        tags.map(|(name, value)| (name.to_owned(), json!(value))).collect()
    }

    /// Filters, sorts and paginates a list.
    pub(crate) fn page<T: Listed>(&self, items: Vec<T>, default_size: usize) -> Result<(Vec<T>, Value), Error> {
        let by_update = self.choice("sortField", &["createdAt", "updatedAt"])? == Some("updatedAt");
        let range_by_update = self.choice("rangeField", &["createdAt", "updatedAt"])? == Some("updatedAt");
        let ascending = self.choice("sortDirection", &["asc", "desc"])? == Some("asc");
        let time = |item: &T, by_update: bool| if by_update { item.updated_at() } else { item.created_at() };
        let (after, before) = (self.date("afterDate")?, self.date("beforeDate")?);
        let in_range = |item: &T| {
            let time = time(item, range_by_update);
            after.is_none_or(|after| time > after) && before.is_none_or(|before| time < before)
        };
        let mut items: Vec<T> = items.into_iter().filter(in_range).collect();
        items.sort_by_key(|item| time(item, by_update));
        if !ascending {
            items.reverse();
        }
        let start = match self.query("nextToken") {
            None => 0,
            Some(token) => 1 + items.iter().position(|item| item.id() == token).ok_or_else(bad_token)?,
        };
        let size = match self.query("pageSize") {
            None => default_size,
            Some(size) => size.parse().map_err(|_| invalid_query("query/pageSize must be integer".to_owned()))?,
        };
        let more = items.len() > start + size;
        let page: Vec<T> = items.into_iter().skip(start).take(size).collect();
        let last = page.last().filter(|_| more);
        let meta = last.map_or_else(|| json!({}), |last| json!({"nextToken": last.id()}));
        Ok((page, meta))
    }

    fn choice(&self, name: &str, choices: &[&'static str]) -> Result<Option<&'static str>, Error> {
        let Some(given) = self.query(name) else { return Ok(None) };
        let choice = choices.iter().find(|choice| **choice == given);
        choice
            .map(|choice| Some(*choice))
            .ok_or_else(|| invalid_query(format!("query/{name} must be one of {choices:?}")))
    }

    fn date(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        let Some(given) = self.query(name) else { return Ok(None) };
        Timestamp::parse(given).map(Some).ok_or_else(|| invalid_query(format!("query/{name} must be a date-time")))
    }
}

fn invalid_query(message: String) -> Error {
    Error::new(ErrorType::InvalidQuery, message)
}

fn bad_token() -> Error {
    invalid_query("query/nextToken is not a token of this list".to_owned())
}

/// The keys by which lists are sorted and paginated.
pub(super) trait Listed {
    fn id(&self) -> &str;
    fn created_at(&self) -> Timestamp;
    fn updated_at(&self) -> Timestamp;
}

macro_rules! listed {
    ($($entity:ident),+) => {$(
        impl Listed for super::super::state::$entity {
            fn id(&self) -> &str {
                &self.id
            }

            fn created_at(&self) -> Timestamp {
                self.created_at
            }

            fn updated_at(&self) -> Timestamp {
                self.updated_at
            }
        }
    )+};
}

listed!(User, Conversation, Message);

/// A text of a checked body.
pub(super) fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

/// The tags of a checked body.
pub(super) fn tags(body: &Map<String, Value>) -> Map<String, Value> {
    body.get("tags").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The tags that get-or-create compares: the listed ones, or else all given ones.
///
/// # Errors
///
/// When a listed tag has no value.
pub(super) fn compared_tags(body: &Map<String, Value>) -> Result<Vec<String>, Error> {
    let given = tags(body);
    let Some(listed) = body.get("discriminateByTags").and_then(Value::as_array) else {
        return Ok(given.keys().cloned().collect());
    };
    let listed: Vec<String> = listed.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    match listed.iter().find(|name| !given.contains_key(*name)) {
        Some(name) => {
            Err(Error::invalid(format!("body/discriminateByTags names \"{name}\", which is not in body/tags")))
        }
        None => Ok(listed),
    }
}

/// Checks the size of a message or state payload.
pub(super) fn check_size(payload: &Value) -> Result<(), Error> {
    if payload.to_string().len() > PAYLOAD_BYTES {
        let message = format!("the payload is larger than {PAYLOAD_BYTES} bytes");
        return Err(Error::new(ErrorType::PayloadTooLarge, message));
    }
    Ok(())
}

/// When a scheduled message or event is due.
///
/// # Errors
///
/// Unless exactly one of `dateTime` (24 to 28 characters) and `delay` is given.
pub(super) fn due(body: &Map<String, Value>, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    let Some(schedule) = body.get("schedule") else { return Ok(None) };
    let delay = schedule.get("delay").and_then(Value::as_u64);
    match (schedule.get("dateTime").and_then(Value::as_str), delay) {
        (None, Some(delay)) => Ok(Some(now + Duration::from_millis(delay))),
        (Some(time), None) if (24..=28).contains(&time.len()) => {
            Timestamp::parse(time).map(Some).ok_or_else(|| Error::invalid("body/schedule/dateTime must be a date-time"))
        }
        (Some(_), None) => Err(Error::invalid("body/schedule/dateTime must have 24 to 28 characters")),
        _ => Err(Error::invalid("body/schedule must have either dateTime or delay")),
    }
}
