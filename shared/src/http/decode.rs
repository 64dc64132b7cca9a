//! Decodes JSON into types; errors show where the text is wrong, but nothing of the text itself.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{cap, repaired};
use crate::odd::OddFields;

const MAX_PATH_CHARS: usize = 200;

/// A text is not the documented JSON.
///
/// Names the place and what was expected there; never quotes the text, which may contain what people wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    path: String,
    problem: String,
}

impl DecodeError {
    /// The last unreadable place of a document that lacks something indispensable.
    pub(crate) fn unreadable(odd: &OddFields) -> Self {
        let path = odd.places().last().map_or(".", String::as_str).to_owned();
        Self { path, problem: "unexpected or missing value".to_owned() }
    }

    pub(crate) fn missing(field: &'static str) -> Self {
        Self { path: ".".to_owned(), problem: format!("missing field `{field}`") }
    }

    /// The same error for a part of a larger document, located at `place`.
    #[must_use]
    pub(crate) fn below(self, place: &str) -> Self {
        let path = if self.path == "." { place.to_owned() } else { format!("{place}.{}", self.path) };
        Self { path, ..self }
    }

    pub(crate) fn unexpected(what: &'static str) -> Self {
        Self { path: ".".to_owned(), problem: what.to_owned() }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {})", self.problem, self.path)
    }
}

impl std::error::Error for DecodeError {}

/// Decodes one JSON value and nothing after it; half an emoji in it becomes U+FFFD.
pub(crate) fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, DecodeError> {
    let json = repaired(json);
    let mut deserializer = serde_json::Deserializer::from_slice(&json);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| DecodeError { path: place(error.inner(), error.path()), problem: problem(error.inner()) })?;
    deserializer.end().map_err(|error| DecodeError { path: ".".to_owned(), problem: problem(&error) })?;
    Ok(value)
}

/// Decodes a part of a document that was read before.
pub(crate) fn fit<T: DeserializeOwned>(value: &Value) -> Result<T, DecodeError> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| DecodeError { path: place(error.inner(), error.path()), problem: problem(error.inner()) })
}

/// Where the text does not fit our types. If it is not JSON at all, the path may contain names from the text, so it is left
/// out.
fn place(error: &serde_json::Error, path: &serde_path_to_error::Path) -> String {
    if error.is_data() { cap(&path.to_string(), MAX_PATH_CHARS) } else { ".".to_owned() }
}

/// The part of serde's message that comes from our types and not from the text.
fn problem(error: &serde_json::Error) -> String {
    if !error.is_data() {
        return format!("not valid JSON, line {}, column {}", error.line(), error.column());
    }
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    if message.starts_with("missing field ") {
        return message.to_owned();
    }
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("unexpected value, expected {expected}"),
        None => "unexpected value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only the errors matter here")]
    struct Chat {
        threads: Vec<Thread>,
        more: (),
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only the errors matter here")]
    struct Thread {
        position: u32,
    }

    #[test]
    fn an_error_names_the_place_and_never_quotes_the_text() {
        let cases = [
            (
                r#"{"threads":[{"position":"canary at line 1, expected canary"}]}"#,
                "unexpected value, expected u32 (at threads[0].position)",
            ),
            (r#"{"threads":[{"canary":1}]}"#, "missing field `position` (at threads[0])"),
            (r#"{"threads":[{"position":canary}]}"#, "not valid JSON, line 1, column 25 (at .)"),
            (r#"{"canary":{"canary":[x]}}"#, "not valid JSON, line 1, column 22 (at .)"),
            (r#"{"threads":[],"names":{"canary":7}}"#, "missing field `more` (at .)"),
            (r#"{"threads":[],"more":"canary"}"#, "unexpected value, expected unit (at more)"),
            (r#"{"threads":[],"more":null} canary"#, "not valid JSON, line 1, column 28 (at .)"),
            ("", "not valid JSON, line 1, column 0 (at .)"),
        ];
        for (json, expected) in cases {
            let error = decode::<Chat>(json.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
            assert_eq!(error, expected, "{json}");
        }
    }
}
