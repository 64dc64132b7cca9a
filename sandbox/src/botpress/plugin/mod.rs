//! The HITL plugin 1.4.2: how it links the two sides, and what it writes to each.

mod end;
mod messages;
mod start;

use std::sync::Arc;

use serde_json::{Value, json};

use super::state::{Configuration, Session};

pub(super) use end::{on_event, stop};
pub(super) use messages::{on_agent_message, on_user_message};
pub(super) use start::start;

use super::UPSTREAM_INTEGRATION;
use super::platform::Platform;
use super::state::{Speaker, World};

/// The six message types that pass between the sides.
const SUPPORTED_TYPES: &[&str] = &["text", "image", "video", "audio", "file", "bloc"];

const WENT_WRONG: &str = "Something went wrong, you are not connected to a human agent...";

/// The input of the plugin's action `startHitl`, besides the conversation.
#[derive(Clone, Debug, Default)]
pub struct Escalation {
    /// Subject of the session.
    pub title: Option<String>,
    /// More about it.
    pub description: Option<String>,
    /// The integration's own entity, such as `{"groupId": 4}`.
    pub hitl_session: Option<Value>,
    /// *User Email*. If it is absent, the bot fills in the user's address if it knows one.
    pub user_email: Option<String>,
    /// Replaces the plugin's configuration for this session.
    pub configuration: Option<Configuration>,
}

/// The configuration in force on an upstream conversation.
fn configuration(platform: &Platform, world: &World, upstream: &str) -> Configuration {
    let session = world.conversations.get(upstream).and_then(|conversation| conversation.session.as_ref());
    session.map_or_else(|| platform.options.plugin.clone(), |session| session.configuration.clone())
}

fn is_active(world: &World, conversation_id: &str) -> bool {
    world.conversations.get(conversation_id).is_some_and(|conversation| conversation.hitl_active)
}

/// Posts into an upstream conversation as the bot, and journals what the user sees; returns the message's id.
pub(super) fn show(
    platform: &Platform,
    world: &mut World,
    upstream: &str,
    (speaker, name): (Speaker, Option<String>),
    message_type: &str,
    payload: Value,
) -> String {
    let detail = json!({
        "conversation_id": upstream,
        "from": speaker.as_str(),
        "name": name,
        "type": message_type,
        "text": payload.get("text"),
        "payload": payload,
    });
    let message = world.add_message(platform.now(), upstream, platform.bot_id(), message_type, payload);
    message.outgoing = true;
    message.speaker = Some((speaker, name));
    let id = message.id.clone();
    platform.record("shown_to_user", detail);
    id
}

/// Writes the plugin's own text to the user, unless it is switched off.
fn notify_user(platform: &Platform, world: &mut World, upstream: &str, text: &str) {
    if text != "NULL" {
        show(platform, world, upstream, (Speaker::Plugin, None), "text", json!({"text": text}));
    }
}

/// Posts into a downstream conversation as the bot, which causes a delivery to the integration.
///
/// # Errors
///
/// When the conversation does not exist.
fn post_downstream(
    platform: &Arc<Platform>,
    world: &mut World,
    downstream: &str,
    message_type: &str,
    mut payload: Value,
    upstream_message: Option<&str>,
) -> Result<(), String> {
    if world.conversations.get(downstream).is_none() {
        return Err(format!("Conversation \"{downstream}\" doesn't exist"));
    }
    // The plugin spreads its own object into the payload, including its type.
    if let Some(object) = payload.as_object_mut() {
        object.insert("type".to_owned(), json!(message_type));
    }
    let message = world.add_message(platform.now(), downstream, platform.bot_id(), message_type, payload);
    message.outgoing = true;
    if let Some(upstream_message) = upstream_message {
        message.plugin_tags.insert("upstream".to_owned(), upstream_message.to_owned());
    }
    platform.record_message("message_created", message);
    let id = message.id.clone();
    platform.deliver(world, &id);
    Ok(())
}

/// Writes the plugin's own text to the agent, unless it is switched off.
fn notify_agent(platform: &Arc<Platform>, world: &mut World, downstream: &str, text: &str) -> Result<(), String> {
    if text == "NULL" {
        return Ok(());
    }
    post_downstream(platform, world, downstream, "text", json!({"text": text}), None)
}

/// Makes an agent known on both sides and notifies the user; does not deduplicate.
fn assign(
    platform: &Platform,
    world: &mut World,
    upstream: &str,
    downstream: &str,
    agent_id: &str,
) -> Result<(), String> {
    let agent = world.users.get(agent_id).ok_or_else(|| format!("User \"{agent_id}\" doesn't exist"))?;
    let name = agent.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| "A Human Agent".to_owned());
    for conversation in [upstream, downstream] {
        world.tag_conversation(conversation, "humanAgentId", agent_id);
        world.tag_conversation(conversation, "humanAgentName", &name);
    }
    let configuration = configuration(platform, world, upstream);
    notify_user(platform, world, upstream, &configuration.agent_assigned_message);
    if configuration.use_human_agent_info {
        link_webchat_user(platform, world, agent_id);
    }
    Ok(())
}

/// Creates the webchat user under whose name an agent appears; the plugin does not see the agent's tag `email`.
fn link_webchat_user(platform: &Platform, world: &mut World, agent_id: &str) -> Option<String> {
    let agent = world.users.get(agent_id)?.clone();
    let user = world.add_user(platform.now(), UPSTREAM_INTEGRATION, None);
    user.name = agent.name;
    user.picture_url = agent.picture_url;
    let id = user.id.clone();
    world.tag_user(agent_id, "upstream", &id);
    Some(id)
}
