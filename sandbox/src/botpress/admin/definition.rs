//! What an integration's definition may contain: closed schemas, and a complete `hitl` interface.

use serde_json::{Map, Value};

use super::super::errors::{Error, ErrorType};
use super::super::tags::Definition;
use super::{interface, names};

/// Texts with their maximum number of characters.
const TEXTS: &[(&str, usize)] = &[("name", 200), ("version", 200), ("title", 64), ("description", 256), ("url", 2_000)];

const MOST_TAGS: usize = 50;

/// Checks a whole body.
pub(super) fn check_body(body: &Map<String, Value>) -> Result<(), Error> {
    for (key, most) in TEXTS {
        let Some(value) = body.get(*key).filter(|value| !value.is_null()) else { continue };
        let length = value.as_str().map(|text| text.chars().count());
        if !length.is_some_and(|length| (1..=*most).contains(&length)) {
            return Err(Error::invalid(format!("body/{key} must be a string of 1 to {most} characters")));
        }
    }
    check_files(body)?;
    for key in ["configuration", "actions", "events", "entities", "channels"] {
        check_schemas(body.get(key).unwrap_or(&Value::Null), &format!("body/{key}"))?;
    }
    let tags = declared(body);
    for (what, tags) in
        [("user", &tags.user_tags), ("conversation", &tags.conversation_tags), ("message", &tags.message_tags)]
    {
        if tags.len() > MOST_TAGS {
            let message = format!("an integration has at most {MOST_TAGS} {what} tags");
            return Err(Error::new(ErrorType::LimitExceeded, message));
        }
    }
    let interfaces = body.get("interfaces").and_then(Value::as_object);
    interfaces.into_iter().flatten().try_for_each(|(key, one)| check_interface(body, key, one))
}

/// Checks that icon and readme are base64.
fn check_files(body: &Map<String, Value>) -> Result<(), Error> {
    use base64::Engine as _;
    for key in ["icon", "readme"] {
        let Some(text) = body.get(key).and_then(Value::as_str) else { continue };
        let decoded = base64::engine::general_purpose::STANDARD.decode(text).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let fits = decoded.is_some_and(|text| key != "icon" || text.contains("<svg"));
        if !fits {
            return Err(Error::invalid(format!("body/{key} must be base64 of an SVG or of Markdown")));
        }
    }
    Ok(())
}

/// Checks that no reference is left and every object is closed.
fn check_schemas(value: &Value, path: &str) -> Result<(), Error> {
    if let Some(items) = value.as_array() {
        return items.iter().enumerate().try_for_each(|(index, item)| check_schemas(item, &format!("{path}/{index}")));
    }
    let Some(object) = value.as_object() else { return Ok(()) };
    let invalid = |what: &str| Err(Error::new(ErrorType::InvalidJsonSchema, format!("{path} {what}")));
    if object.contains_key("$ref") {
        return invalid("must NOT have a reference");
    }
    let is_object = object.get("type").and_then(Value::as_str) == Some("object");
    if is_object && object.contains_key("properties") && object.get("additionalProperties") != Some(&Value::Bool(false))
    {
        return invalid("must have additionalProperties false");
    }
    object.iter().try_for_each(|(key, member)| check_schemas(member, &format!("{path}/{key}")))
}

/// Checks that everything the interface requires exists, under the name that the entry gives, with the interface's own schemas.
fn check_interface(body: &Map<String, Value>, key: &str, entry: &Value) -> Result<(), Error> {
    let interface = interface::hitl();
    let invalid = |what: String| Err(Error::invalid(format!("body/interfaces/{key} {what}")));
    if entry.get("id") != interface.get("id") {
        return invalid("names no interface".to_owned());
    }
    let entity = entry.pointer("/entities/hitlSession/name").and_then(Value::as_str).unwrap_or_default();
    if key != format!("hitl<{entity}>") {
        return invalid(format!("must be called hitl<{entity}>"));
    }
    let Some(entity) = body.get("entities").and_then(|entities| entities.pointer(&format!("/{entity}/schema"))) else {
        return invalid(format!("needs the entity {entity:?}"));
    };
    for kind in ["actions", "events", "channels"] {
        for (name, wanted) in interface.get(kind).and_then(Value::as_object).into_iter().flatten() {
            let ours = entry.pointer(&format!("/{kind}/{name}/name")).and_then(Value::as_str).unwrap_or_default();
            let found = body.get(kind).and_then(|all| all.get(ours));
            let schemas = found.map(schemas_of);
            if schemas != Some(schemas_of(&resolved(wanted, entity))) {
                return invalid(format!("is not implemented: {kind}/{name} is missing or has other schemas"));
            }
        }
    }
    Ok(())
}

/// Replaces the interface's entity by the integration's own.
fn resolved(value: &Value, entity: &Value) -> Value {
    match value {
        Value::Object(object) if object.contains_key("$ref") => entity.clone(),
        Value::Object(object) => {
            object.iter().map(|(key, member)| (key.clone(), resolved(member, entity))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(|item| resolved(item, entity)).collect(),
        other => other.clone(),
    }
}

/// The parts in which two definitions must agree: input, output, payload, messages.
fn schemas_of(definition: &Value) -> Value {
    let parts = ["input", "output", "schema", "messages"];
    let kept = parts.iter().filter_map(|part| Some(((*part).to_owned(), definition.get(part)?.clone())));
    Value::Object(kept.collect())
}

/// Checks that a change removes nothing from bots that have the integration installed.
pub(super) fn check_compatible(before: &Map<String, Value>, after: &Map<String, Value>) -> Result<(), Error> {
    for key in ["actions", "events", "channels", "interfaces"] {
        if let Some(gone) = names(before.get(key)).difference(&names(after.get(key))).next() {
            return Err(Error::new(ErrorType::BreakingChanges, format!("{key}/{gone} would be removed")));
        }
    }
    Ok(())
}

/// The tags and message types that a body declares.
pub(in super::super) fn declared(body: &Map<String, Value>) -> Definition {
    let channel = body.get("channels").and_then(|channels| channels.get("hitl"));
    let part = |pointer: &str| names(channel.and_then(|channel| channel.pointer(pointer)));
    Definition {
        user_tags: names(body.get("user").and_then(|user| user.get("tags"))),
        conversation_tags: part("/conversation/tags"),
        message_tags: part("/message/tags"),
        message_types: part("/messages"),
        media_titles: channel
            .is_some_and(|channel| channel.pointer("/messages/image/schema/properties/title").is_some()),
        states: std::collections::BTreeSet::new(),
    }
}
