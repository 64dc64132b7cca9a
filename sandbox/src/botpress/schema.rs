//! Closed schemas: the vendor's checks of request bodies, message payloads, events and action outputs.

use serde_json::{Map, Value};

/// The required form of a JSON value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A string, `""` included.
    Text,
    /// A string of at least one character.
    NonEmpty,
    /// A string of at most this many characters.
    TextUpTo(usize),
    Number,
    Flag,
    /// A whole number between these two.
    Whole(u64, u64),
    OneOf(&'static [&'static str]),
    /// An object of strings.
    Texts,
    /// An object of strings and nulls.
    TextChanges,
    /// An object with any content.
    Anything,
    Nullable(&'static Shape),
    List(&'static Shape),
    /// An object whose values have this form.
    Map(&'static Shape),
    /// An object with exactly these fields, given in groups so that types can share some.
    Closed(&'static [&'static [Field]]),
    /// `{type, payload}`, an item of a `bloc` message.
    BlocItem,
}

/// A member of a closed object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    name: &'static str,
    shape: Shape,
    required: bool,
}

pub(super) const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: true }
}

pub(super) const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: false }
}

/// The fields that the channel `hitl` adds to every payload.
const HITL_EXTRAS: &[Field] = &[optional("userId", Shape::Text), optional("additionalData", Shape::TextUpTo(500))];

const CARD: &[Field] = &[
    required("title", Shape::NonEmpty),
    optional("subtitle", Shape::NonEmpty),
    optional("imageUrl", Shape::NonEmpty),
    required("actions", Shape::List(&Shape::Closed(&[CARD_ACTION]))),
];
const CARD_ACTION: &[Field] = &[
    required("action", Shape::OneOf(&["postback", "url", "say"])),
    required("label", Shape::NonEmpty),
    required("value", Shape::NonEmpty),
];
const CHOICE: &[Field] =
    &[required("text", Shape::NonEmpty), required("options", Shape::List(&Shape::Closed(&[CHOICE_OPTION])))];
const CHOICE_OPTION: &[Field] = &[required("label", Shape::NonEmpty), required("value", Shape::NonEmpty)];

const TEXT: &[Field] = &[required("text", Shape::NonEmpty)];
const MARKDOWN: &[Field] = &[required("markdown", Shape::NonEmpty)];
const IMAGE: &[Field] = &[required("imageUrl", Shape::NonEmpty), optional("title", Shape::NonEmpty)];
const AUDIO: &[Field] = &[required("audioUrl", Shape::NonEmpty), optional("title", Shape::NonEmpty)];
const VIDEO: &[Field] = &[required("videoUrl", Shape::NonEmpty), optional("title", Shape::NonEmpty)];
const FILE: &[Field] = &[required("fileUrl", Shape::NonEmpty), optional("title", Shape::NonEmpty)];
const LOCATION: &[Field] = &[
    required("latitude", Shape::Number),
    required("longitude", Shape::Number),
    optional("address", Shape::Text),
    optional("title", Shape::Text),
];
const CAROUSEL: &[Field] = &[required("items", Shape::List(&Shape::Closed(&[CARD])))];
const BLOC: &[Field] = &[required("items", Shape::List(&Shape::BlocItem))];

/// The payload of a message type, or `None` for a type that does not exist.
fn payload(message_type: &str) -> Option<&'static [Field]> {
    Some(match message_type {
        "text" => TEXT,
        "markdown" => MARKDOWN,
        "image" => IMAGE,
        "audio" => AUDIO,
        "video" => VIDEO,
        "file" => FILE,
        "location" => LOCATION,
        "card" => CARD,
        "carousel" => CAROUSEL,
        "choice" | "dropdown" => CHOICE,
        "bloc" => BLOC,
        _ => return None,
    })
}

/// The types an item of a `bloc` message can have (the markdown variant).
const BLOC_ITEM_TYPES: &[&str] = &["text", "markdown", "image", "audio", "video", "file", "location"];

const HITL_ASSIGNED: &[Field] = &[required("conversationId", Shape::Text), required("userId", Shape::Text)];
const HITL_STOPPED: &[Field] = &[required("conversationId", Shape::Text)];

/// The payload of an event that a `hitl` integration may emit, or `None` for another type.
pub(super) fn event_payload(event_type: &str) -> Option<Shape> {
    match event_type {
        "hitlAssigned" => Some(Shape::Closed(&[HITL_ASSIGNED])),
        "hitlStopped" => Some(Shape::Closed(&[HITL_STOPPED])),
        _ => None,
    }
}

/// Checks a message payload of the channel `hitl`.
pub(super) fn check_payload(message_type: &str, value: &Value) -> Result<(), String> {
    let fields = payload(message_type).ok_or_else(|| format!("message type \"{message_type}\" doesn't exist"))?;
    check_object(value, &[fields, HITL_EXTRAS], "payload").map(|_| ())
}

/// Checks `value`; the error names the first place below `path` that does not fit.
pub(super) fn check(value: &Value, shape: &Shape, path: &str) -> Result<(), String> {
    let must = |condition: bool, what: &str| if condition { Ok(()) } else { Err(format!("{path} must {what}")) };
    match shape {
        Shape::Text => must(value.is_string(), "be string"),
        Shape::NonEmpty => must(length(value).is_some_and(|length| length > 0), "be string of at least 1 character"),
        Shape::TextUpTo(max) => {
            must(length(value).is_some_and(|length| length <= *max), &format!("be string of at most {max} characters"))
        }
        Shape::Number => must(value.is_number(), "be number"),
        Shape::Flag => must(value.is_boolean(), "be boolean"),
        Shape::Whole(min, max) => {
            let fits = value.as_u64().is_some_and(|number| (*min..=*max).contains(&number));
            must(fits, &format!("be integer from {min} to {max}"))
        }
        Shape::OneOf(names) => {
            let fits = value.as_str().is_some_and(|name| names.contains(&name));
            must(fits, &format!("be equal to one of {}", names.join(", ")))
        }
        Shape::Texts => must(values(value).is_some_and(|mut all| all.all(Value::is_string)), "be object of strings"),
        Shape::TextChanges => {
            let fits = values(value).is_some_and(|mut all| all.all(|entry| entry.is_string() || entry.is_null()));
            must(fits, "be object of strings and nulls")
        }
        Shape::Anything => must(value.is_object(), "be object"),
        Shape::Nullable(_) if value.is_null() => Ok(()),
        Shape::Nullable(shape) => check(value, shape, path),
        Shape::List(shape) => {
            let items = value.as_array().ok_or_else(|| format!("{path} must be array"))?;
            items.iter().enumerate().try_for_each(|(index, item)| check(item, shape, &format!("{path}/{index}")))
        }
        Shape::Map(shape) => {
            let object = value.as_object().ok_or_else(|| format!("{path} must be object"))?;
            object.iter().try_for_each(|(name, member)| check(member, shape, &format!("{path}/{name}")))
        }
        Shape::Closed(groups) => check_object(value, groups, path).map(|_| ()),
        Shape::BlocItem => check_bloc_item(value, path),
    }
}

fn check_bloc_item(value: &Value, path: &str) -> Result<(), String> {
    const ITEM: &[Field] = &[required("type", Shape::OneOf(BLOC_ITEM_TYPES)), required("payload", Shape::Anything)];
    let item = check_object(value, &[ITEM], path)?;
    let fields = item.get("type").and_then(Value::as_str).and_then(payload).unwrap_or_default();
    check_object(item.get("payload").unwrap_or(&Value::Null), &[fields], &format!("{path}/payload")).map(|_| ())
}

fn check_object<'a>(value: &'a Value, groups: &[&[Field]], path: &str) -> Result<&'a Map<String, Value>, String> {
    let object = value.as_object().ok_or_else(|| format!("{path} must be object"))?;
    let fields = || groups.iter().copied().flatten();
    if let Some(key) = object.keys().find(|key| !fields().any(|field| field.name == *key)) {
        return Err(format!("{path} must NOT have additional properties (\"{key}\")"));
    }
    for field in fields() {
        match object.get(field.name) {
            Some(member) => check(member, &field.shape, &format!("{path}/{}", field.name))?,
            None if field.required => return Err(format!("{path} must have required property '{}'", field.name)),
            None => {}
        }
    }
    Ok(object)
}

fn length(value: &Value) -> Option<usize> {
    value.as_str().map(|text| text.chars().count())
}

fn values(value: &Value) -> Option<impl Iterator<Item = &Value>> {
    value.as_object().map(Map::values)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_six_channel_types_accept_their_payload_with_the_two_extras() {
        for (message_type, value) in [
            ("text", json!({"text": "hi", "userId": "user_1", "additionalData": "x"})),
            ("image", json!({"imageUrl": "https://x/y.png", "title": "a cat"})),
            ("audio", json!({"audioUrl": "https://x/y.mp3"})),
            ("video", json!({"videoUrl": "https://x/y.mp4"})),
            ("file", json!({"fileUrl": "https://x/y.pdf", "title": "bill"})),
            (
                "bloc",
                json!({"items": [
                    {"type": "text", "payload": {"text": "hi"}},
                    {"type": "markdown", "payload": {"markdown": "*hi*"}},
                    {"type": "location", "payload": {"latitude": 1.5, "longitude": 2}},
                ]}),
            ),
        ] {
            assert_eq!(check_payload(message_type, &value), Ok(()), "{message_type}");
        }
    }

    #[test]
    fn payloads_are_closed_and_texts_are_not_empty() {
        for (message_type, value) in [
            ("text", json!({"text": ""})),
            ("text", json!({})),
            ("text", json!({"text": "hi", "type": "text"})),
            ("text", json!({"text": "hi", "additionalData": "x".repeat(501)})),
            ("image", json!({"imageUrl": "https://x", "alt": "?"})),
            ("file", json!({"fileUrl": "https://x", "title": ""})),
            ("bloc", json!({"items": [{"type": "card", "payload": {}}]})),
            ("bloc", json!({"items": [{"type": "text", "payload": {"text": "hi", "userId": "u"}}]})),
            ("card", json!({"title": "t", "actions": [{"action": "dance", "label": "l", "value": "v"}]})),
            ("hologram", json!({})),
        ] {
            assert!(check_payload(message_type, &value).is_err(), "{message_type} {value}");
        }
    }

    #[test]
    fn event_payloads_are_closed() {
        let assigned = event_payload("hitlAssigned").unwrap();
        assert!(check(&json!({"conversationId": "c", "userId": "u"}), &assigned, "payload").is_ok());
        assert!(check(&json!({"conversationId": "c"}), &assigned, "payload").is_err());
        let stopped = event_payload("hitlStopped").unwrap();
        assert!(check(&json!({"conversationId": "c"}), &stopped, "payload").is_ok());
        let error = check(&json!({"conversationId": "c", "userId": "u"}), &stopped, "payload").unwrap_err();
        assert!(error.contains("userId"), "{error}");
        assert!(event_payload("hitlPaused").is_none());
    }
}
