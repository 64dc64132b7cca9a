//! Conversations.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::Turned;
use super::super::errors::Error;
use super::super::platform::Platform;
use super::super::schema::{Field, Shape, optional, required};
use super::super::state::{Conversation, World};
use super::super::tags::{check_tags, is_same, merge_tags};
use super::Answer;
use super::call::{Call, DISCRIMINATE, compared_tags, tags, text};

/// The only channel of a `hitl` integration.
const CHANNEL: &str = "hitl";

const NEW: &[Field] =
    &[required("channel", Shape::Text), required("tags", Shape::Texts), optional("properties", Shape::Texts)];
const CHANGES: &[Field] = &[
    optional("tags", Shape::TextChanges),
    optional("currentTaskId", Shape::Text),
    optional("properties", Shape::TextChanges),
];

pub(super) fn create(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[NEW])?;
    check(platform, &body)?;
    Ok((201, json!({"conversation": add(platform, &mut platform.world(), &body)})))
}

pub(super) fn get_or_create(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[NEW, DISCRIMINATE])?;
    check(platform, &body)?;
    let (wanted, compared) = (tags(&body), compared_tags(&body)?);
    let mut world = platform.world();
    let is_wanted =
        |found: &&Conversation| platform.owns_conversation(found) && is_same(&found.tags, &wanted, &compared);
    let found = world.conversations.newest_first().find(is_wanted).map(|found| found.id.clone());
    let found = found.filter(|_| !platform.is_turned(Turned::RepeatedConversation));
    let created = found.is_none();
    let conversation = match found {
        Some(id) => change(platform, &mut world, &id, &body)?,
        None => add(platform, &mut world, &body),
    };
    Ok((200, json!({"conversation": conversation, "meta": {"created": created}})))
}

pub(super) fn get(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let world = platform.world();
    let found = world.conversations.get(call.id()).filter(|found| platform.owns_conversation(found));
    let found = found.ok_or_else(|| Error::not_found("Conversation", call.id()))?;
    Ok((200, json!({"conversation": found.json()})))
}

pub(super) fn update(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[CHANGES])?;
    check_tags(&tags(&body), &platform.admin.definition().conversation_tags)?;
    Ok((200, json!({"conversation": change(platform, &mut platform.world(), call.id(), &body)?})))
}

pub(super) fn delete(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let mut world = platform.world();
    if !world.conversations.get(call.id()).is_some_and(|found| platform.owns_conversation(found)) {
        return Err(Error::not_found("Conversation", call.id()));
    }
    let removed = world.conversations.remove(call.id());
    for message_id in removed.into_iter().flat_map(|conversation| conversation.messages) {
        world.messages.remove(&message_id);
    }
    platform.record("conversation_deleted", json!({"conversation_id": call.id()}));
    Ok((200, json!({})))
}

pub(super) fn list(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    call.allow_query(&[
        "channel",
        "participantIds",
        "integrationName",
        "nextToken",
        "pageSize",
        "sortField",
        "sortDirection",
        "afterDate",
        "beforeDate",
    ])?;
    let wanted = call.tags();
    check_tags(&wanted, &platform.admin.definition().conversation_tags)?;
    let compared: Vec<String> = wanted.keys().cloned().collect();
    let is_wanted = |found: &&Conversation| {
        platform.owns_conversation(found)
            && (compared.is_empty() || is_same(&found.tags, &wanted, &compared))
            && call.query("channel").is_none_or(|channel| channel == found.channel)
            && call.query_all("participantIds").all(|id| found.participants.iter().any(|participant| participant == id))
    };
    let world = platform.world();
    let found = world.conversations.newest_first().filter(is_wanted).cloned().collect();
    let (page, meta) = call.page(found, platform.options.page_size)?;
    let conversations: Vec<Value> = page.iter().map(Conversation::json).collect();
    Ok((200, json!({"conversations": conversations, "meta": meta})))
}

fn check(platform: &Platform, body: &Map<String, Value>) -> Result<(), Error> {
    let channel = text(body, "channel").unwrap_or_default();
    if channel != CHANNEL {
        return Err(Error::invalid(format!(
            "channel \"{channel}\" is not declared in the definition of the integration"
        )));
    }
    check_tags(&tags(body), &platform.admin.definition().conversation_tags)
}

fn add(platform: &Platform, world: &mut World, body: &Map<String, Value>) -> Value {
    let conversation = world.add_conversation(platform.now(), platform.alias(), CHANNEL);
    merge_tags(&mut conversation.tags, &tags(body));
    if let Some(properties) = body.get("properties").and_then(Value::as_object) {
        merge_tags(&mut conversation.properties, properties);
    }
    platform.record_conversation("conversation_created", conversation);
    conversation.json()
}

fn change(platform: &Platform, world: &mut World, id: &str, body: &Map<String, Value>) -> Result<Value, Error> {
    let stamp = world.stamp(platform.now());
    let found = world.conversations.get_mut(id).filter(|found| platform.owns_conversation(found));
    let conversation = found.ok_or_else(|| Error::not_found("Conversation", id))?;
    let before = conversation.json();
    merge_tags(&mut conversation.tags, &tags(body));
    if let Some(properties) = body.get("properties").and_then(Value::as_object) {
        merge_tags(&mut conversation.properties, properties);
    }
    if conversation.json() != before {
        conversation.updated_at = stamp;
        platform.record_conversation("conversation_updated", conversation);
    }
    Ok(conversation.json())
}
