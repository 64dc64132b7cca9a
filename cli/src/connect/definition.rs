//! The integration's definition: the files in `botpress/`, completed by the interface that it implements.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use shared::botpress::Interface;
use shared::redacted::Redacted;

use crate::output::Failure;

/// The interface that the HITL plugin requires, and the version whose schemas the functions know.
pub(crate) const INTERFACE: (&str, &str) = ("hitl", "2.1.0");

/// The entity of the interface that an integration replaces with its own.
const INTERFACE_ENTITY: &str = "hitlSession";

const DEFINITION: &str = include_str!("../../../botpress/integration.json");
const README: &str = include_str!("../../../botpress/readme.md");
const ICON: &str = include_str!("../../../botpress/icon.svg");

/// Parses `botpress/integration.json`.
pub(crate) fn base() -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(DEFINITION)
        .map_err(|error| Failure::stopped(format!("botpress/integration.json is malformed: {error}")))
}

/// Returns the version under which the definition is deployed.
pub(crate) fn version(base: &Map<String, Value>) -> String {
    base.get("version").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Returns the complete body of `createIntegration`: the actions, events and message schemas are copied from the interface.
pub(crate) fn complete(
    base: &Map<String, Value>,
    interface: &Interface,
    name: &str,
    url: &Redacted,
) -> Result<Value, Failure> {
    let mut body = base.clone();
    let entities = base.get("entities").and_then(Value::as_object);
    let (entity, schema) = entities
        .and_then(|entities| entities.iter().next())
        .and_then(|(name, entity)| Some((name.clone(), entity.get("schema")?.clone())))
        .ok_or_else(|| Failure::stopped("botpress/integration.json declares no entity"))?;
    for (key, part) in
        [("actions", &interface.actions), ("events", &interface.events), ("channels", &interface.channels)]
    {
        let copied = resolved(part, &schema)?;
        let ours = body.remove(key).unwrap_or_default();
        body.insert(key.to_owned(), merged(copied, &ours));
    }
    let same_names = |part: &Value| {
        let names = part.as_object().into_iter().flat_map(Map::keys);
        names.map(|name| (name.clone(), json!({ "name": name }))).collect::<Map<_, _>>()
    };
    let implementation = json!({
        "id": interface.id,
        "entities": { INTERFACE_ENTITY: { "name": entity } },
        "actions": same_names(&interface.actions),
        "events": same_names(&interface.events),
        "channels": same_names(&interface.channels),
    });
    let (interface_name, _) = INTERFACE;
    body.insert("interfaces".to_owned(), json!({ format!("{interface_name}<{entity}>"): implementation }));
    body.insert("name".to_owned(), json!(name));
    body.insert("url".to_owned(), json!(url));
    body.insert("icon".to_owned(), json!(STANDARD.encode(ICON)));
    body.insert("readme".to_owned(), json!(STANDARD.encode(README)));
    Ok(Value::Object(body))
}

/// Returns the body as an update of an existing integration. The path identifies it, so name and version are left out, as Botpress demands.
pub(crate) fn as_change(body: &Value) -> Value {
    let kept = body.as_object().into_iter().flatten().filter(|(key, _)| !["name", "version"].contains(&key.as_str()));
    Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Replaces references to the interface's entity with the schema of the integration's own entity.
fn resolved(value: &Value, entity: &Value) -> Result<Value, Failure> {
    Ok(match value {
        Value::Object(object) => match object.get("$ref").and_then(Value::as_str) {
            Some(reference) if reference.rsplit('/').next() == Some(INTERFACE_ENTITY) => entity.clone(),
            Some(reference) => {
                return Err(Failure::stopped(format!(
                    "the interface refers to {reference:?}, which this version of the command does not know; update the command."
                )));
            }
            None => {
                let members = object.iter().map(|(key, member)| Ok((key.clone(), resolved(member, entity)?)));
                Value::Object(members.collect::<Result<_, Failure>>()?)
            }
        },
        Value::Array(items) => Value::Array(items.iter().map(|item| resolved(item, entity)).collect::<Result<_, _>>()?),
        other => other.clone(),
    })
}

/// Merges `ours` into `copied`; where they differ, `ours` wins unless it is null.
fn merged(copied: Value, ours: &Value) -> Value {
    match (copied, ours) {
        (Value::Object(mut copied), Value::Object(ours)) => {
            for (key, value) in ours {
                let merged = merged(copied.remove(key).unwrap_or_default(), value);
                copied.insert(key.clone(), merged);
            }
            Value::Object(copied)
        }
        (copied, Value::Null) => copied,
        (_, ours) => ours.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(input: Value) -> Interface {
        Interface {
            id: "ifver_1".to_owned(),
            actions: json!({"startHitl": {"title": "Start", "input": {"schema": input}}}),
            events: json!({"hitlStopped": {"schema": {}}}),
            channels: json!({"hitl": {"messages": {"text": {"schema": {}}}}}),
        }
    }

    #[test]
    fn schemas_come_from_the_interface_and_its_entity_is_ours() {
        let schema = json!({"properties": {"hitlSession": {"$ref": "#/definitions/hitlSession"}}});
        let base = base().unwrap();
        let body = complete(&base, &interface(schema), "acme/x", &"https://a/botpress/key".into()).unwrap();
        let input = body.pointer("/actions/startHitl/input/schema/properties/hitlSession").unwrap();
        assert_eq!(Some(input), body.pointer("/entities/session/schema"));
        assert_eq!(body.pointer("/interfaces/hitl<session>/actions/startHitl/name"), Some(&json!("startHitl")));
        assert_eq!(body.pointer("/channels/hitl/messages/text/schema"), Some(&json!({})));
        assert!(body.pointer("/channels/hitl/message/tags/id").is_some(), "ours is kept");
    }

    #[test]
    fn a_reference_that_is_not_known_stops_the_deployment() {
        let schema = json!({"anyOf": [{"$ref": "elsewhere"}]});
        let failure = complete(&base().unwrap(), &interface(schema), "acme/x", &"u".into()).unwrap_err();
        assert!(failure.to_string().contains("elsewhere"));
    }
}
