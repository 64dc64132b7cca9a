//! Users.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::super::errors::Error;
use super::super::platform::Platform;
use super::super::schema::{Field, Shape, optional, required};
use super::super::state::{User, World};
use super::super::tags::{check_tags, is_same, merge_tags};
use super::Answer;
use super::call::{Call, DISCRIMINATE, compared_tags, tags, text};

const NAME: Shape = Shape::TextUpTo(200);
const PICTURE: Shape = Shape::TextUpTo(40_000);

const NEW: &[Field] = &[
    required("tags", Shape::Texts),
    optional("name", NAME),
    optional("pictureUrl", PICTURE),
    optional("properties", Shape::Texts),
];
const CHANGES: &[Field] = &[
    optional("tags", Shape::TextChanges),
    optional("name", Shape::Nullable(&NAME)),
    optional("pictureUrl", Shape::Nullable(&PICTURE)),
    optional("properties", Shape::TextChanges),
];

pub(super) fn create(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[NEW])?;
    check_tags(&tags(&body), &platform.admin.definition().user_tags)?;
    Ok((201, json!({"user": add(platform, &mut platform.world(), &body)})))
}

pub(super) fn get_or_create(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[NEW, DISCRIMINATE])?;
    let wanted = tags(&body);
    check_tags(&wanted, &platform.admin.definition().user_tags)?;
    let compared = compared_tags(&body)?;
    let mut world = platform.world();
    let is_wanted = |user: &&User| user.integration == platform.alias() && is_same(&user.tags, &wanted, &compared);
    let found = world.users.newest_first().find(is_wanted).map(|user| user.id.clone());
    let created = found.is_none();
    let user = match found {
        Some(id) => change(platform, &mut world, &id, &body)?,
        None => add(platform, &mut world, &body),
    };
    Ok((200, json!({"user": user, "meta": {"created": created}})))
}

pub(super) fn get(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let world = platform.world();
    let user = world.users.get(call.id()).filter(|user| platform.owns_user(user));
    let user = user.ok_or_else(|| Error::not_found("User", call.id()))?;
    Ok((200, json!({"user": user.json()})))
}

pub(super) fn update(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let body = call.body(&[CHANGES])?;
    check_tags(&tags(&body), &platform.admin.definition().user_tags)?;
    Ok((200, json!({"user": change(platform, &mut platform.world(), call.id(), &body)?})))
}

pub(super) fn delete(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    let mut world = platform.world();
    let owned = world.users.get(call.id()).is_some_and(|user| user.integration == platform.alias());
    if !owned {
        return Err(Error::not_found("User", call.id()));
    }
    world.users.remove(call.id());
    platform.record("user_deleted", json!({"user_id": call.id()}));
    Ok((200, json!({})))
}

pub(super) fn list(platform: &Arc<Platform>, call: &Call) -> Result<Answer, Error> {
    call.allow_query(&[
        "conversationId",
        "nextToken",
        "pageSize",
        "afterDate",
        "beforeDate",
        "rangeField",
        "sortField",
        "sortDirection",
    ])?;
    let wanted = call.tags();
    check_tags(&wanted, &platform.admin.definition().user_tags)?;
    let compared: Vec<String> = wanted.keys().cloned().collect();
    let world = platform.world();
    let participants = call
        .query("conversationId")
        .map(|id| world.conversations.get(id).map(|found| found.participants.clone()).unwrap_or_default());
    let is_wanted = |user: &&User| {
        user.integration == platform.alias()
            && (compared.is_empty() || is_same(&user.tags, &wanted, &compared))
            && participants.as_ref().is_none_or(|participants| participants.contains(&user.id))
    };
    let found = world.users.newest_first().filter(is_wanted).cloned().collect();
    let (page, meta) = call.page(found, platform.options.page_size)?;
    let users: Vec<Value> = page.iter().map(User::json).collect();
    Ok((200, json!({"users": users, "meta": meta})))
}

fn add(platform: &Platform, world: &mut World, body: &Map<String, Value>) -> Value {
    let user = world.add_user(platform.now(), platform.alias(), None);
    write(user, body);
    platform.record_user("user_created", user);
    user.json()
}

fn change(platform: &Platform, world: &mut World, id: &str, body: &Map<String, Value>) -> Result<Value, Error> {
    let stamp = world.stamp(platform.now());
    let user = world.users.get_mut(id).filter(|user| user.integration == platform.alias());
    let user = user.ok_or_else(|| Error::not_found("User", id))?;
    let before = user.json();
    write(user, body);
    if user.json() != before {
        user.updated_at = stamp;
        platform.record_user("user_updated", user);
    }
    Ok(user.json())
}

/// Writes the given fields; null removes a name or a picture, an absent field stays unchanged.
fn write(user: &mut User, body: &Map<String, Value>) {
    merge_tags(&mut user.tags, &tags(body));
    if body.contains_key("name") {
        user.name = text(body, "name").map(str::to_owned);
    }
    if body.contains_key("pictureUrl") {
        user.picture_url = text(body, "pictureUrl").map(str::to_owned);
    }
    if let Some(properties) = body.get("properties").and_then(Value::as_object) {
        merge_tags(&mut user.properties, properties);
    }
}
