//! States: small documents of a conversation, a user, the bot or the integration.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::errors::Error;
use super::super::platform::Platform;
use super::super::schema::{Field, Shape, optional, required};
use super::super::state::{State, StateKey, World, new_id};
use super::Answer;
use super::call::{Call, check_size};

/// Longest expiry: thirty days, in milliseconds.
const EXPIRY: Shape = Shape::Nullable(&Shape::Whole(1, 2_592_000_000));

const PAYLOAD_OR_NULL: &[Field] = &[required("payload", Shape::Nullable(&Shape::Anything))];
const PAYLOAD: &[Field] = &[required("payload", Shape::Anything)];
const REQUIRED_EXPIRY: &[Field] = &[required("expiry", EXPIRY)];
const OPTIONAL_EXPIRY: &[Field] = &[optional("expiry", EXPIRY)];

pub(super) fn get(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let mut world = platform.world();
    let key = key(platform, &world, call)?;
    let found = read(platform, &mut world, &key).map(|state| state.json(platform.bot_id(), &key));
    let state = found.ok_or_else(|| Error::not_found("State", &key.2))?;
    Ok((200, json!({"state": state, "meta": {"cached": false}})))
}

pub(super) fn set(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[PAYLOAD_OR_NULL, OPTIONAL_EXPIRY])?;
    let mut world = platform.world();
    let key = key(platform, &world, call)?;
    let payload = body.get("payload").cloned().unwrap_or_default();
    let state = write(platform, &mut world, &key, payload, expiry(&body))?;
    Ok((200, json!({"state": state})))
}

pub(super) fn patch(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[PAYLOAD, OPTIONAL_EXPIRY])?;
    let mut world = platform.world();
    let key = key(platform, &world, call)?;
    let found = read(platform, &mut world, &key).map(|state| (state.payload.clone(), state.expiry));
    let (mut payload, kept) = found.ok_or_else(|| Error::not_found("State", &key.2))?;
    if let (Some(payload), Some(changes)) = (payload.as_object_mut(), body.get("payload").and_then(Value::as_object)) {
        payload.extend(changes.clone());
    }
    let expiry = if body.contains_key("expiry") { expiry(&body) } else { kept };
    let state = write(platform, &mut world, &key, payload, expiry)?;
    Ok((200, json!({"state": state})))
}

pub(super) fn get_or_set(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[PAYLOAD, OPTIONAL_EXPIRY])?;
    let mut world = platform.world();
    let key = key(platform, &world, call)?;
    let found = read(platform, &mut world, &key).map(|state| state.json(platform.bot_id(), &key));
    let state = match found {
        Some(state) => state,
        None => {
            let payload = body.get("payload").cloned().unwrap_or_default();
            write(platform, &mut world, &key, payload, expiry(&body))?
        }
    };
    Ok((200, json!({"state": state, "meta": {"cached": false}})))
}

pub(super) fn set_expiry(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[REQUIRED_EXPIRY])?;
    let mut world = platform.world();
    let key = key(platform, &world, call)?;
    let payload = read(platform, &mut world, &key).map(|state| state.payload.clone());
    let payload = payload.ok_or_else(|| Error::not_found("State", &key.2))?;
    let state = write(platform, &mut world, &key, payload, expiry(&body))?;
    Ok((200, json!({"state": state})))
}

/// Reads `{type}/{id}/{name}`: a declared state of an existing entity.
fn key(platform: &Platform, world: &World, call: &Call) -> Result<StateKey, Error> {
    let (state_type, owner, name) = (call.segment(1), call.segment(2), call.segment(3));
    if !platform.admin.definition().states.contains(&(state_type.to_owned(), name.to_owned())) {
        return Err(Error::invalid(format!("state \"{name}\" of type \"{state_type}\" is not declared")));
    }
    let exists = match state_type {
        "conversation" => world.conversations.get(owner).is_some_and(|found| platform.owns_conversation(found)),
        "user" => world.users.get(owner).is_some_and(|found| platform.owns_user(found)),
        "bot" => owner == platform.bot_id(),
        "integration" => owner == platform.options.install.integration_id,
        _ => false,
    };
    if exists {
        Ok((state_type.to_owned(), owner.to_owned(), name.to_owned()))
    } else {
        Err(Error::no_reference(state_type, owner))
    }
}

fn expiry(body: &Map<String, Value>) -> Option<Duration> {
    body.get("expiry").and_then(Value::as_u64).map(Duration::from_millis)
}

/// Finds a state that has not expired, and extends its expiry, which counts from the last use.
fn read<'a>(platform: &Platform, world: &'a mut World, key: &StateKey) -> Option<&'a State> {
    let now = platform.now();
    let state = world.states.get_mut(key)?;
    if state.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return None;
    }
    state.expires_at = state.expiry.map(|expiry| now + expiry);
    Some(state)
}

fn write(
    platform: &Platform,
    world: &mut World,
    key: &StateKey,
    payload: Value,
    expiry: Option<Duration>,
) -> Result<Value, Error> {
    check_size(&payload)?;
    let stamp = world.stamp(platform.now());
    let state = world.states.entry(key.clone()).or_insert_with(|| State {
        id: new_id("state_"),
        created_at: stamp,
        updated_at: stamp,
        payload: Value::Null,
        expiry: None,
        expires_at: None,
    });
    state.updated_at = stamp;
    state.payload = payload;
    state.expiry = expiry;
    state.expires_at = expiry.map(|expiry| platform.now() + expiry);
    let json = state.json(platform.bot_id(), key);
    if state.payload.is_null() {
        world.states.remove(key);
    }
    Ok(json)
}
