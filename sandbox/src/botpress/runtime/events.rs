//! Events.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::errors::Error;
use super::super::platform::Platform;
use super::super::schema::{Field, Shape, check, event_payload, optional, required};
use super::super::state::{Event, EventStatus, new_id};
use super::super::tags::Tags;
use super::super::wire::wire_time;
use super::Answer;
use super::call::{Call, SCHEDULE, check_size, due, text};
use crate::botpress::schedule::Posted;

const NEW: &[Field] = &[
    required("type", Shape::Text),
    required("payload", Shape::Anything),
    optional("conversationId", Shape::Text),
    optional("userId", Shape::Text),
    optional("messageId", Shape::Text),
    optional("workflowId", Shape::Text),
    optional("schedule", Shape::Closed(&[SCHEDULE])),
];

pub(super) fn create(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[NEW])?;
    let event_type = text(&body, "type").unwrap_or_default();
    let payload = body.get("payload").cloned().unwrap_or_default();
    let shape = event_payload(event_type)
        .ok_or_else(|| Error::invalid(format!("event type \"{event_type}\" is not declared in the definition")))?;
    check_size(&payload)?;
    check(&payload, &shape, "body/payload").map_err(Error::invalid)?;
    let attributes: Tags = ["conversationId", "userId", "messageId", "workflowId"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), text(&body, name)?.to_owned())))
        .collect();
    check_references(platform, &attributes)?;
    let due = due(&body, platform.now())?;
    let mut world = platform.world();
    let event = Event {
        id: new_id("evt_"),
        created_at: world.stamp(platform.now()),
        event_type: event_type.to_owned(),
        payload,
        attributes,
        status: if due.is_some() { EventStatus::Scheduled } else { EventStatus::Pending },
    };
    platform.record(
        "event_created",
        json!({
            "event_id": event.id, "type": event.event_type, "conversation_id": event.conversation_id(),
            "user_id": event.payload.get("userId"), "scheduled_for": due.map(wire_time),
        }),
    );
    let (id, json) = (event.id.clone(), event.json());
    world.events.insert(id.clone(), event);
    drop(world);
    match due {
        None => platform.hand_to_plugin(Posted::Event, &id),
        Some(due) => platform.at(due, |platform| async move { platform.hand_to_plugin(Posted::Event, &id) }),
    }
    Ok((201, json!({"event": json})))
}

pub(super) fn get(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let world = platform.world();
    let event = world.events.get(call.id()).ok_or_else(|| Error::not_found("Event", call.id()))?;
    Ok((200, json!({"event": event.json()})))
}

pub(super) fn cancel(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let id = call.segment(2);
    let mut world = platform.world();
    let event = world.events.get_mut(id).filter(|event| event.status == EventStatus::Scheduled);
    event.ok_or_else(|| Error::not_found("Scheduled event", id))?.status = EventStatus::Canceled;
    platform.record("event_canceled", json!({"event_id": id}));
    Ok((200, Value::Object(serde_json::Map::new())))
}

/// The attributes must name entities that the install owns; ids inside the payload are left to the plugin.
fn check_references(platform: &Platform, attributes: &Tags) -> Result<(), Error> {
    let world = platform.world();
    for (name, id) in attributes {
        let (entity, exists) = match name.as_str() {
            "conversationId" => {
                let found = world.conversations.get(id);
                ("Conversation", found.is_some_and(|found| platform.owns_conversation(found)))
            }
            "userId" => ("User", world.users.get(id).is_some_and(|found| platform.owns_user(found))),
            "messageId" => ("Message", world.messages.get(id).is_some()),
            // A HITL integration has no workflows.
            _ => ("Workflow", false),
        };
        if !exists {
            return Err(Error::no_reference(entity, id));
        }
    }
    Ok(())
}
