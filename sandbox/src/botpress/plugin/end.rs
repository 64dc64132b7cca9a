//! How a session ends, and what other events do.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::platform::Platform;
use super::super::schema::Shape;
use super::super::state::{Event, EventStatus, World};
use super::{assign, configuration, is_active, notify_agent, notify_user};
use crate::botpress::state::Configuration;

const AGENT_CLOSED: &str = "agent-closed-ticket";
const CLOSE_ACTION: &str = "close-action-called";
const CLOSE_COMMAND: &str = "patient-used-termination-command";
const ASSIGNMENT_TIMEOUT: &str = "agent-assignment-timeout";
pub(super) const INTERNAL_ERROR: &str = "internal-error";

/// Sets conversations inactive.
pub(super) fn deactivate(world: &mut World, conversations: &[&str], reason: &str) {
    for conversation_id in conversations {
        if let Some(conversation) = world.conversations.get_mut(conversation_id) {
            conversation.hitl_active = false;
            conversation.plugin_tags.insert("hitlEndReason".to_owned(), reason.to_owned());
        }
    }
}

/// Journals the end, given either conversation.
pub(super) fn record(platform: &Platform, world: &World, conversation_id: &str, reason: &str) {
    let owned = world.conversations.get(conversation_id).is_some_and(|found| platform.owns_conversation(found));
    let (downstream, upstream) = if owned {
        (Some(conversation_id.to_owned()), world.conversation_tag(conversation_id, "upstream"))
    } else {
        (world.conversation_tag(conversation_id, "downstream"), Some(conversation_id.to_owned()))
    };
    platform.record(
        "hitl_ended",
        json!({"reason": reason, "conversation_id": downstream, "upstream_conversation_id": upstream}),
    );
}

fn continue_workflow(platform: &Platform, configuration: &Configuration, upstream: &str) {
    if configuration.flow_on_hitl_stopped {
        platform.record("workflow_continued", json!({"conversation_id": upstream}));
    }
}

/// The plugin's action `stopHitl`.
///
/// # Errors
///
/// When the integration's `stopHitl` fails; both sides are inactive by then.
pub(in crate::botpress) async fn stop(platform: &Arc<Platform>, upstream: &str) -> Result<(), String> {
    close(platform, upstream, CLOSE_ACTION).await
}

/// The user typed the command that ends the session.
pub(super) async fn on_close_command(platform: &Arc<Platform>, upstream: &str) -> Result<(), String> {
    close(platform, upstream, CLOSE_COMMAND).await?;
    let mut world = platform.world();
    let configuration = configuration(platform, &world, upstream);
    notify_user(platform, &mut world, upstream, &configuration.user_closed_message);
    continue_workflow(platform, &configuration, upstream);
    Ok(())
}

/// Handles the timeout event of a start; does nothing if an agent was ever assigned or the session is another one.
pub(super) async fn on_assignment_timeout(platform: &Arc<Platform>, upstream: &str) {
    {
        let world = platform.world();
        let session = world.conversations.get(upstream).and_then(|conversation| conversation.session.as_ref());
        let is_over = session.is_some_and(|session| {
            platform.now().since(session.started_at) >= session.configuration.agent_assigned_timeout
        });
        let downstream = world.conversation_tag(upstream, "downstream").unwrap_or_default();
        let is_assigned = world.conversation_tag(upstream, "humanAgentId").is_some();
        if !is_over || is_assigned || !is_active(&world, upstream) || !is_active(&world, &downstream) {
            return;
        }
    }
    match close(platform, upstream, ASSIGNMENT_TIMEOUT).await {
        Ok(()) => {
            let mut world = platform.world();
            let configuration = configuration(platform, &world, upstream);
            notify_user(platform, &mut world, upstream, &configuration.assignment_timeout_message);
            continue_workflow(platform, &configuration, upstream);
        }
        Err(reason) => platform.record("plugin_failed", json!({"conversation_id": upstream, "reason": reason})),
    }
}

/// Notifies the agent, sets both sides inactive, then calls the integration's `stopHitl`.
async fn close(platform: &Arc<Platform>, upstream: &str, reason: &str) -> Result<(), String> {
    let downstream = {
        let mut world = platform.world();
        let Some(downstream) = world.conversation_tag(upstream, "downstream") else { return Ok(()) };
        if !is_active(&world, upstream) {
            return Ok(());
        }
        let text = configuration(platform, &world, upstream).user_cancelled_message;
        notify_agent(platform, &mut world, &downstream, &text)?;
        deactivate(&mut world, &[upstream, &downstream], reason);
        record(platform, &world, &downstream, reason);
        downstream
    };
    let input = json!({"conversationId": downstream});
    platform.run_action("stopHitl", input, &Shape::Closed(&[])).await.map(|_| ())
}

/// The plugin's hook on every event: decides its status.
pub(in crate::botpress) fn on_event(platform: &Arc<Platform>, event_id: &str) {
    let mut world = platform.world();
    let Some(event) = world.events.get(event_id).cloned() else { return };
    if event.status == EventStatus::Canceled {
        return;
    }
    let status = handle(platform, &mut world, &event).unwrap_or_else(EventStatus::Failed);
    if let Some(event) = world.events.get_mut(event_id) {
        event.status = status;
    }
}

fn handle(platform: &Arc<Platform>, world: &mut World, event: &Event) -> Result<EventStatus, String> {
    let conversation_id = event.conversation_id().unwrap_or_default().to_owned();
    if world.conversations.get(&conversation_id).is_none() {
        return Err(format!("Conversation \"{conversation_id}\" doesn't exist"));
    }
    if !is_active(world, &conversation_id) {
        let detail = json!({
            "reason": "inactive", "kind": "event", "type": event.event_type,
            "conversation_id": conversation_id, "event_id": event.id,
        });
        platform.record("dropped", detail);
        return Ok(EventStatus::Ignored);
    }
    let Some(upstream) = world.conversation_tag(&conversation_id, "upstream") else {
        return Ok(EventStatus::Ignored);
    };
    if event.event_type == "hitlAssigned" {
        let agent_id = event.payload.get("userId").and_then(Value::as_str).unwrap_or_default();
        assign(platform, world, &upstream, &conversation_id, agent_id)?;
    } else {
        let configuration = configuration(platform, world, &upstream);
        notify_user(platform, world, &upstream, &configuration.stopped_message);
        deactivate(world, &[&upstream, &conversation_id], AGENT_CLOSED);
        record(platform, world, &conversation_id, AGENT_CLOSED);
        continue_workflow(platform, &configuration, &upstream);
    }
    Ok(EventStatus::Processed)
}
