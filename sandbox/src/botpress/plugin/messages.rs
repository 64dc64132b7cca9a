//! How messages pass between the two sides.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::platform::Platform;
use super::super::state::{Message, Speaker, World};
use super::{
    SUPPORTED_TYPES, WENT_WRONG, assign, configuration, end, is_active, link_webchat_user, notify_agent, notify_user,
    post_downstream, show,
};

/// Takes a user's message; `false` leaves it to the bot.
///
/// # Errors
///
/// The reason why the plugin failed; the user sees nothing of it.
pub(in crate::botpress) async fn on_user_message(platform: &Arc<Platform>, message: &Message) -> Result<bool, String> {
    let upstream = &message.conversation_id;
    let ends = {
        let mut world = platform.world();
        if !is_active(&world, upstream) {
            return Ok(false);
        }
        forward_to_agent(platform, &mut world, message)?
    };
    if ends {
        end::on_close_command(platform, upstream).await?;
    }
    Ok(true)
}

/// Forwards a message of an active conversation; `true` means that it was the command that ends the session.
fn forward_to_agent(platform: &Arc<Platform>, world: &mut World, message: &Message) -> Result<bool, String> {
    let upstream = &message.conversation_id;
    if !SUPPORTED_TYPES.contains(&message.message_type.as_str()) {
        let types = SUPPORTED_TYPES.join(", ");
        let text = format!("Sorry, I can only handle one of the following message types: {types}");
        notify_user(platform, world, upstream, &text);
        return Ok(false);
    }
    let author = world.users.get(&message.user_id).and_then(|user| user.plugin_tags.get("downstream").cloned());
    let (Some(downstream), Some(author)) = (world.conversation_tag(upstream, "downstream"), author) else {
        end::deactivate(world, &[upstream], end::INTERNAL_ERROR);
        end::record(platform, world, upstream, end::INTERNAL_ERROR);
        notify_user(platform, world, upstream, WENT_WRONG);
        return Ok(false);
    };
    let command = configuration(platform, world, upstream).close_command;
    let text = message.payload.get("text").and_then(Value::as_str).unwrap_or_default();
    if text.trim().to_lowercase() == command.trim().to_lowercase() {
        return Ok(true);
    }
    let mut payload = message.payload.clone();
    if let Some(object) = payload.as_object_mut() {
        object.insert("userId".to_owned(), json!(author));
    }
    post_downstream(platform, world, &downstream, &message.message_type, payload, Some(&message.id))?;
    Ok(false)
}

/// Takes a message that the integration posted on behalf of an agent.
pub(in crate::botpress) fn on_agent_message(platform: &Arc<Platform>, world: &mut World, message_id: &str) {
    let Some(message) = world.messages.get(message_id).cloned() else { return };
    if let Err(reason) = forward_to_user(platform, world, &message) {
        platform.record("plugin_failed", json!({"conversation_id": message.conversation_id, "reason": reason}));
    }
}

fn forward_to_user(platform: &Arc<Platform>, world: &mut World, message: &Message) -> Result<(), String> {
    let downstream = &message.conversation_id;
    if !is_active(world, downstream) {
        let detail = json!({
            "reason": "inactive", "kind": "message", "type": message.message_type,
            "conversation_id": downstream, "message_id": message.id,
        });
        platform.record("dropped", detail);
        return Ok(());
    }
    let Some(upstream) = world.conversation_tag(downstream, "upstream") else {
        end::deactivate(world, &[downstream], end::INTERNAL_ERROR);
        end::record(platform, world, downstream, end::INTERNAL_ERROR);
        return notify_agent(platform, world, downstream, WENT_WRONG);
    };
    if !SUPPORTED_TYPES.contains(&message.message_type.as_str()) {
        let text = configuration(platform, world, &upstream).incompatible_message;
        return notify_agent(platform, world, downstream, &text);
    }
    if world.conversation_tag(downstream, "humanAgentId").is_none() {
        assign(platform, world, &upstream, downstream, &message.user_id)?;
    }
    let face = webchat_user(platform, world, &upstream, &message.user_id);
    let name = face.as_deref().and_then(|id| world.users.get(id)).and_then(|user| user.name.clone());
    let mut payload = message.payload.clone();
    let additional_data = payload.get("additionalData").cloned();
    if let Some(object) = payload.as_object_mut() {
        object.insert("type".to_owned(), json!(message.message_type));
        object.remove("userId");
        object.extend(face.map(|face| ("userId".to_owned(), json!(face))));
    }
    let shown = show(platform, world, &upstream, (Speaker::Agent, name), &message.message_type, payload);
    if let Some(shown) = world.messages.get_mut(&shown) {
        shown.plugin_tags.insert("downstream".to_owned(), message.id.clone());
        if let Some(Value::String(text)) = additional_data {
            shown.plugin_tags.insert("additionalData".to_owned(), text);
        }
    }
    Ok(())
}

/// The webchat user under whose name the agent appears: the linked one, or else a new one.
fn webchat_user(platform: &Platform, world: &mut World, upstream: &str, agent_id: &str) -> Option<String> {
    if !configuration(platform, world, upstream).use_human_agent_info {
        return None;
    }
    let linked = world.users.get(agent_id)?.plugin_tags.get("upstream").cloned();
    linked.or_else(|| link_webchat_user(platform, world, agent_id))
}
