//! Messages.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use shared::clock::Timestamp;

use super::super::Turned;
use super::super::errors::Error;
use super::super::platform::Platform;
use super::super::schema::{Field, Shape, check_payload, optional, required};
use super::super::state::{Message, World};
use super::super::tags::{check_tags, is_same, merge_tags};
use super::Answer;
use super::call::{Call, DISCRIMINATE, SCHEDULE, check_size, compared_tags, due, tags, text};

const NEW: &[Field] = &[
    required("conversationId", Shape::Text),
    required("userId", Shape::Text),
    required("type", Shape::Text),
    required("payload", Shape::Anything),
    required("tags", Shape::Texts),
    optional("schedule", Shape::Closed(&[SCHEDULE])),
    optional("origin", Shape::OneOf(&["synthetic"])),
];
const CHANGES: &[Field] = &[optional("tags", Shape::TextChanges), optional("payload", Shape::Anything)];

pub(super) fn create(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[NEW])?;
    let mut world = platform.world();
    let due = check(platform, &world, &body)?;
    let (id, message) = add(platform, &mut world, &body);
    drop(world);
    hand_on(platform, id, due);
    Ok((201, json!({"message": message})))
}

pub(super) fn get_or_create(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[NEW, DISCRIMINATE])?;
    let (wanted, compared) = (tags(&body), compared_tags(&body)?);
    let mut world = platform.world();
    let due = check(platform, &world, &body)?;
    let conversation = world.conversations.get(text(&body, "conversationId").unwrap_or_default());
    let mut messages = conversation.into_iter().flat_map(|conversation| world.messages_of(conversation));
    let found = messages.find(|message| is_same(&message.tags, &wanted, &compared)).map(|message| message.id.clone());
    drop(messages);
    let Some(id) = found.filter(|_| !platform.is_turned(Turned::RepeatedMessage)) else {
        let (id, message) = add(platform, &mut world, &body);
        drop(world);
        hand_on(platform, id, due);
        return Ok((200, json!({"message": message, "meta": {"created": true}})));
    };
    let message = write(platform, &mut world, &id, &body)?;
    platform.record_message("message_found", message);
    let meta = if platform.is_turned(Turned::CreatedFlag) { json!({}) } else { json!({"created": false}) };
    Ok((200, json!({"message": message.json(), "meta": meta})))
}

pub(super) fn get(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let world = platform.world();
    let message = owned(platform, &world, call.id())?;
    Ok((200, json!({"message": message.json()})))
}

pub(super) fn update(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[CHANGES])?;
    check_tags(&tags(&body), &platform.admin.definition().message_tags)?;
    let mut world = platform.world();
    let message_type = owned(platform, &world, call.id())?.message_type.clone();
    if let Some(payload) = body.get("payload") {
        check_size(payload)?;
        check_payload(&message_type, payload).map_err(Error::invalid)?;
    }
    let message = write(platform, &mut world, call.id(), &body)?;
    platform.record_message("message_updated", message);
    Ok((200, json!({"message": message.json()})))
}

pub(super) fn delete(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let mut world = platform.world();
    let conversation_id = owned(platform, &world, call.id())?.conversation_id.clone();
    world.messages.remove(call.id());
    if let Some(conversation) = world.conversations.get_mut(&conversation_id) {
        conversation.messages.retain(|id| id != call.id());
    }
    platform.record("message_deleted", json!({"message_id": call.id()}));
    Ok((200, json!({})))
}

pub(super) fn list(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    call.allow_query(&["conversationId", "afterDate", "beforeDate", "nextToken", "pageSize"])?;
    let wanted = call.tags();
    check_tags(&wanted, &platform.admin.definition().message_tags)?;
    let compared: Vec<String> = wanted.keys().cloned().collect();
    let world = platform.world();
    let conversations = world.conversations.newest_first().filter(|conversation| {
        platform.owns_conversation(conversation) && call.query("conversationId").is_none_or(|id| id == conversation.id)
    });
    let messages = conversations.flat_map(|conversation| world.messages_of(conversation));
    let is_wanted = |message: &&Message| compared.is_empty() || is_same(&message.tags, &wanted, &compared);
    let found = messages.filter(is_wanted).cloned().collect();
    let (page, meta) = call.page(found, platform.options.page_size)?;
    let messages: Vec<Value> = page.iter().map(Message::json).collect();
    Ok((200, json!({"messages": messages, "meta": meta})))
}

/// Checks a whole new message; returns when it is due, if later.
fn check(platform: &Platform, world: &World, body: &Map<String, Value>) -> Result<Option<Timestamp>, Error> {
    let get = |name| text(body, name).unwrap_or_default();
    let payload = body.get("payload").unwrap_or(&Value::Null);
    check_size(payload)?;
    check_tags(&tags(body), &platform.admin.definition().message_tags)?;
    let message_type = get("type");
    if !platform.admin.definition().message_types.contains(message_type) {
        return Err(Error::invalid(format!("message type \"{message_type}\" is not declared on channel \"hitl\"")));
    }
    check_payload(message_type, payload).map_err(Error::invalid)?;
    let is_titled = payload.get("title").is_some() && message_type != "file";
    if is_titled && !platform.admin.definition().media_titles {
        return Err(Error::invalid("payload must NOT have additional properties (\"title\")"));
    }
    let (conversation_id, user_id) = (get("conversationId"), get("userId"));
    if !world.conversations.get(conversation_id).is_some_and(|found| platform.owns_conversation(found)) {
        return Err(Error::no_reference("Conversation", conversation_id));
    }
    if !world.users.get(user_id).is_some_and(|found| platform.owns_user(found)) {
        return Err(Error::no_reference("User", user_id));
    }
    due(body, platform.now())
}

/// Adds a checked message; returns its id and its JSON.
fn add(platform: &Platform, world: &mut World, body: &Map<String, Value>) -> (String, Value) {
    let get = |name| text(body, name).unwrap_or_default();
    let payload = body.get("payload").cloned().unwrap_or_default();
    let message = world.add_message(platform.now(), get("conversationId"), get("userId"), get("type"), payload);
    message.outgoing = message.user_id == platform.bot_id();
    message.origin = text(body, "origin").map(str::to_owned);
    merge_tags(&mut message.tags, &tags(body));
    platform.record_message("message_created", message);
    (message.id.clone(), message.json())
}

/// Passes a new message to the plugin or to the integration, now or when it is due.
fn hand_on(platform: &Arc<Platform>, id: String, due: Option<Timestamp>) {
    match due {
        None => platform.dispatch(&id),
        Some(due) => platform.at(due, |platform| async move { platform.dispatch(&id) }),
    }
}

fn owned<'a>(platform: &Platform, world: &'a World, id: &str) -> Result<&'a Message, Error> {
    let message = world.messages.get(id).ok_or_else(|| Error::not_found("Message", id))?;
    let conversation = world.conversations.get(&message.conversation_id);
    let is_owned = conversation.is_some_and(|conversation| platform.owns_conversation(conversation));
    if is_owned { Ok(message) } else { Err(Error::not_found("Message", id)) }
}

/// Writes tags and payload to a message; sends no notification.
fn write<'a>(
    platform: &Platform,
    world: &'a mut World,
    id: &str,
    body: &Map<String, Value>,
) -> Result<&'a Message, Error> {
    owned(platform, world, id)?;
    let stamp = world.stamp(platform.now());
    let message = world.messages.get_mut(id).ok_or_else(|| Error::not_found("Message", id))?;
    message.updated_at = stamp;
    merge_tags(&mut message.tags, &tags(body));
    if let Some(payload) = body.get("payload") {
        message.payload = payload.clone();
    }
    Ok(message)
}
