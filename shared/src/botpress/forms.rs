//! Lenient reading of the values that a bot's forms and expressions supply.

use serde_json::{Map, Value};

use crate::http::repaired;
use crate::ids::GroupId;
use crate::redacted::Redacted;
use crate::text::{is_blank, one_line};

/// A text, number or boolean, as a text; `None` if it is blank or anything else.
pub(super) fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    };
    Some(text).filter(|text| !is_blank(text))
}

/// The number of a group: a whole number from 0, also as a text or as `5.0`; `None` for null and a blank text.
///
/// # Errors
///
/// [`NotAGroup`] for anything else.
pub(super) fn group_id(value: &Value) -> Result<Option<GroupId>, NotAGroup> {
    let number = match value {
        Value::Null => return Ok(None),
        Value::String(text) if is_blank(text) => return Ok(None),
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    };
    let whole = number.filter(|number: &f64| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number));
    whole.map(|number| Some(GroupId(number as u32))).ok_or(NotAGroup)
}

/// A value that is not the number of a LiveChat group.
#[derive(Debug)]
pub(super) struct NotAGroup;

/// A list, a text with commas, or a list in a text; each tag once.
pub(super) fn tags(value: &Value) -> Vec<String> {
    let found = match value {
        Value::Array(items) => items.iter().filter_map(text).collect(),
        Value::String(written) => match serde_json::from_slice(&repaired(written.as_bytes())) {
            Ok(Value::Array(items)) => items.iter().filter_map(text).collect(),
            _ => written.split(',').map(str::to_owned).collect(),
        },
        other => Vec::from_iter(text(other)),
    };
    let mut tags: Vec<String> = Vec::new();
    for tag in found.iter().map(|tag| one_line(tag)).filter(|tag| !is_blank(tag)) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// An object of texts, or a list of such objects, or either in a text; line breaks in names and values are removed.
pub(super) fn session_fields(value: &Value) -> Vec<(String, Redacted)> {
    match value {
        Value::Object(fields) => fields_of(fields),
        Value::Array(items) => items.iter().filter_map(Value::as_object).flat_map(fields_of).collect(),
        Value::String(written) => match serde_json::from_slice(&repaired(written.as_bytes())) {
            Ok(Value::String(_)) | Err(_) => Vec::new(),
            Ok(value) => session_fields(&value),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

fn fields_of(fields: &Map<String, Value>) -> Vec<(String, Redacted)> {
    let filled = fields.iter().filter_map(|(name, value)| Some((one_line(name), one_line(&text(value)?))));
    filled.filter(|(name, value)| !is_blank(name) && !is_blank(value)).map(|(n, v)| (n, v.into())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_group_is_a_whole_number_however_it_is_written() {
        for (value, expected) in [
            (json!(2), Some(2)),
            (json!(2.0), Some(2)),
            (json!("2"), Some(2)),
            (json!(" 2 "), Some(2)),
            (json!("2.0"), Some(2)),
            (json!("0"), Some(0)),
            (json!(""), None),
            (json!(" "), None),
            (json!(null), None),
        ] {
            assert_eq!(group_id(&value).unwrap(), expected.map(GroupId), "{value}");
        }
        for value in
            [json!("sales"), json!("-1"), json!(2.5), json!("2,5"), json!([2]), json!({}), json!(true), json!("NaN")]
        {
            assert!(group_id(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn texts_tags_and_fields_are_read_as_they_were_meant() {
        for (value, expected) in [
            (json!(" Ann "), Some("Ann")),
            (json!(5), Some("5")),
            (json!(true), Some("true")),
            (json!(" "), None),
            (json!(null), None),
            (json!({"a": 1}), None),
        ] {
            assert_eq!(text(&value).as_deref(), expected, "{value}");
        }
        for value in [json!(["a", " b", 5, "a", null]), json!("a, b,5,,a"), json!(r#"["a","b",5]"#)] {
            assert_eq!(tags(&value), ["a", "b", "5"], "{value}");
        }
        assert_eq!((tags(&json!(5)), tags(&json!({"a": 1}))), (vec!["5".to_owned()], Vec::new()));
        let fields = vec![("Order".to_owned(), Redacted::from("7")), ("Plan".to_owned(), "gold x".into())];
        for value in [
            json!({"Order": 7, "Plan": " gold\nx", "": 1, "None": null, "List": [1]}),
            json!([{"Order": "7"}, {"Plan": "gold x"}, "odd"]),
            json!(r#"{"Order":7,"Plan":"gold x"}"#),
        ] {
            assert_eq!(session_fields(&value), fields, "{value}");
        }
        assert_eq!(session_fields(&json!("Order 7")), Vec::new());
    }
}
