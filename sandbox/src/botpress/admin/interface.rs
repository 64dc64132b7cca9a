//! The interface `hitl` 2.1.0 as the hub returns it.

use serde_json::{Map, Value, json};

use super::super::errors::{Error, ErrorType};

/// Not the real id, which is not published; a deployment has to ask for it.
const ID: &str = "ifver_01SANDBOX0000000000000HITL21";

/// Answers `GET /v1/admin/hub/interfaces/{name}/{version}`.
pub(super) fn get(name: &str, version: &str) -> Result<Value, Error> {
    match (name, version) {
        ("hitl", "2.1.0") => Ok(json!({ "interface": hitl() })),
        _ => Err(Error::new(ErrorType::ResourceNotFound, format!("Interface \"{name}\" {version} doesn't exist"))),
    }
}

/// The interface with its schemas; `{"$ref":"hitlSession"}` stands where an integration puts its own entity.
pub(super) fn hitl() -> Value {
    json!({
        "id": ID, "name": "hitl", "version": "2.1.0",
        "entities": {"hitlSession": {"title": "HITL session", "schema": closed(&[], &[])}},
        "actions": {
            "createUser": {
                "title": "Create external user", "attributes": hidden(),
                "input": {"schema": closed(
                    &[("name", titled("Display name"))],
                    &[("pictureUrl", titled("Picture URL")), ("email", titled("Email address"))],
                )},
                "output": {"schema": closed(&[("userId", titled("Botpress user ID"))], &[])},
            },
            "startHitl": {
                "title": "Start new HITL session", "attributes": hidden(),
                "input": {"schema": closed(
                    &[
                        ("userId", titled("User ID")),
                        ("messageHistory", json!({"type": "array", "items": {"anyOf": history()}})),
                    ],
                    &[
                        ("title", titled("Title")),
                        ("description", titled("Description")),
                        ("hitlSession", json!({"$ref": "hitlSession"})),
                    ],
                )},
                "output": {"schema": closed(&[("conversationId", titled("HITL session ID"))], &[])},
            },
            "stopHitl": {
                "title": "Stop HITL session", "attributes": hidden(),
                "input": {"schema": closed(&[("conversationId", titled("HITL session ID"))], &[])},
                "output": {"schema": closed(&[], &[])},
            },
        },
        "events": {
            "hitlAssigned": {
                "attributes": hidden(),
                "schema": closed(&[("conversationId", text()), ("userId", text())], &[]),
            },
            "hitlStopped": {"attributes": hidden(), "schema": closed(&[("conversationId", text())], &[])},
        },
        "channels": {"hitl": {"messages": messages()}},
    })
}

fn hidden() -> Value {
    json!({"bpActionHiddenInStudio": "true"})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn not_empty() -> Value {
    json!({"type": "string", "minLength": 1})
}

fn titled(title: &str) -> Value {
    json!({"type": "string", "x-zui": {"title": title}})
}

fn closed(required: &[(&str, Value)], optional: &[(&str, Value)]) -> Value {
    let properties: Map<_, _> =
        required.iter().chain(optional).map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let mut object = json!({"type": "object", "additionalProperties": false, "properties": properties});
    if let (Some(object), false) = (object.as_object_mut(), required.is_empty()) {
        object.insert("required".to_owned(), required.iter().map(|(name, _)| json!(name)).collect());
    }
    object
}

/// Names with their schemas.
type Fields = Vec<(&'static str, Value)>;

/// The fields of a message type: required, optional.
fn fields(kind: &str) -> (Fields, Fields) {
    let title = || vec![("title", not_empty())];
    match kind {
        "text" => (vec![("text", not_empty())], vec![]),
        "markdown" => (vec![("markdown", not_empty())], vec![]),
        "image" => (vec![("imageUrl", not_empty())], title()),
        "audio" => (vec![("audioUrl", not_empty())], title()),
        "video" => (vec![("videoUrl", not_empty())], title()),
        "file" => (vec![("fileUrl", not_empty())], title()),
        "location" => (
            vec![("latitude", json!({"type": "number"})), ("longitude", json!({"type": "number"}))],
            vec![("address", text()), ("title", text())],
        ),
        "card" => (
            vec![("title", not_empty()), ("actions", json!({"type": "array", "items": card_action()}))],
            vec![("subtitle", not_empty()), ("imageUrl", not_empty())],
        ),
        "carousel" => (vec![("items", json!({"type": "array", "items": payload("card")}))], vec![]),
        "bloc" => (vec![("items", json!({"type": "array", "items": {"anyOf": bloc_items()}}))], vec![]),
        _ => {
            let option = closed(&[("label", not_empty()), ("value", not_empty())], &[]);
            (vec![("text", not_empty()), ("options", json!({"type": "array", "items": option}))], vec![])
        }
    }
}

fn payload(kind: &str) -> Value {
    let (required, optional) = fields(kind);
    closed(&required, &optional)
}

fn card_action() -> Value {
    let action = json!({"type": "string", "enum": ["postback", "url", "say"]});
    closed(&[("action", action), ("label", not_empty()), ("value", not_empty())], &[])
}

fn bloc_items() -> Vec<Value> {
    ["text", "markdown", "image", "audio", "video", "file", "location"].iter().map(|kind| typed(kind, &[])).collect()
}

/// `{type, payload}` with a fixed type, and the fields beside them.
fn typed(kind: &str, beside: &[(&str, Value)]) -> Value {
    let own = [("type", json!({"type": "string", "const": kind})), ("payload", payload(kind))];
    closed(&[beside, &own].concat(), &[])
}

fn history() -> Vec<Value> {
    let user = closed(&[("type", json!({"type": "string", "const": "user"})), ("userId", text())], &[]);
    let bot = closed(&[("type", json!({"type": "string", "const": "bot"}))], &[]);
    let source = [("source", json!({"anyOf": [user, bot]}))];
    let kinds = [
        "text", "image", "audio", "video", "file", "location", "carousel", "card", "dropdown", "choice", "bloc",
        "markdown",
    ];
    kinds.iter().map(|kind| typed(kind, &source)).collect()
}

/// The six types of the channel, each with the two optional extras.
fn messages() -> Value {
    let message = |kind: &str| {
        let (required, mut optional) = fields(kind);
        optional.extend([("userId", text()), ("additionalData", json!({"type": "string", "maxLength": 500}))]);
        json!({ "schema": closed(&required, &optional) })
    };
    let kinds = ["text", "image", "audio", "video", "file", "bloc"];
    kinds.iter().map(|kind| ((*kind).to_owned(), message(kind))).collect::<Map<_, _>>().into()
}
