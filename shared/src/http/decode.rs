//! JSON into types, with errors that show where the text is wrong and nothing of what it says.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::cap;

const MAX_PATH_CHARS: usize = 200;

/// A text is not the JSON that its owner documents.
///
/// Names the place and what was expected there; never quotes the text, which may hold what people wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    path: String,
    problem: String,
}

impl DecodeError {
    pub(crate) fn missing(field: &'static str) -> Self {
        Self { path: ".".to_owned(), problem: format!("missing field `{field}`") }
    }

    /// Whether the place is this one or below it: `input.hitlSession`.
    pub(crate) fn is_within(&self, place: &str) -> bool {
        self.path.strip_prefix(place).is_some_and(|below| below.is_empty() || below.starts_with(['.', '[']))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {})", self.problem, self.path)
    }
}

impl std::error::Error for DecodeError {}

/// Reads one JSON value and nothing after it.
pub(crate) fn decode<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| DecodeError { path: place(error.inner(), error.path()), problem: problem(error.inner()) })?;
    deserializer.end().map_err(|error| DecodeError { path: ".".to_owned(), problem: problem(&error) })?;
    Ok(value)
}

/// Where the text does not fit our types; where it is no JSON at all the path can lead through names that are not ours.
fn place(error: &serde_json::Error, path: &serde_path_to_error::Path) -> String {
    if error.is_data() { cap(&path.to_string(), MAX_PATH_CHARS) } else { ".".to_owned() }
}

/// An object whose names are not ours: entries that do not fit are left out, so that no error leads through a name.
///
/// # Errors
///
/// Those of the text itself.
pub(crate) fn entries<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let Value::Object(entries) = Value::deserialize(deserializer)? else { return Ok(BTreeMap::new()) };
    let fitting = entries.into_iter().filter_map(|(name, value)| Some((name, serde_json::from_value(value).ok()?)));
    Ok(fitting.collect())
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
    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only the errors matter here")]
    struct Chat {
        threads: Vec<Thread>,
        #[serde(default, deserialize_with = "entries")]
        names: BTreeMap<String, String>,
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
