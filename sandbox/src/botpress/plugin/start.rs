//! How a session starts.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::super::platform::Platform;
use super::super::schema::{Field, Shape, required};
use super::super::state::World;
use super::{Escalation, Session, end, notify_user};

const USER_ID: &[Field] = &[required("userId", Shape::Text)];
const CONVERSATION_ID: &[Field] = &[required("conversationId", Shape::Text)];

/// The plugin's action `startHitl`.
///
/// # Errors
///
/// What the bot's author sees. By then the user has seen the hand-off text, and nothing is linked.
pub(in crate::botpress) async fn start(
    platform: &Arc<Platform>,
    upstream: &str,
    user_id: &str,
    escalation: Escalation,
) -> Result<(), String> {
    let skipped = reason_to_skip(platform, &platform.world(), upstream);
    if let Some(reason) = skipped {
        platform.record("hitl_not_started", json!({"conversation_id": upstream, "reason": reason}));
        return Ok(());
    }
    let start_message_id = last_user_message(&platform.world(), upstream);
    let configuration = escalation.configuration.clone().unwrap_or_else(|| platform.options.plugin.clone());
    {
        let mut world = platform.world();
        if let Some(conversation) = world.conversations.get_mut(upstream) {
            let earlier = conversation.session.take().and_then(|session| session.start_message_id);
            let configuration = configuration.clone();
            conversation.session =
                Some(Session { configuration, start_message_id: earlier, started_at: platform.now() });
        }
        notify_user(platform, &mut world, upstream, &configuration.handoff_message);
    }
    let downstream_user = downstream_user(platform, user_id, escalation.user_email.as_deref()).await?;
    let history = message_history(platform, upstream).await?;
    let downstream = start_downstream(platform, &downstream_user, &escalation, history).await?;
    platform.sleep_until(platform.now() + platform.options.activation_delay).await;
    activate(platform, upstream, &downstream, user_id, start_message_id);
    if !configuration.agent_assigned_timeout.is_zero() {
        let upstream = upstream.to_owned();
        platform.at(platform.now() + configuration.agent_assigned_timeout, move |platform| async move {
            end::on_assignment_timeout(&platform, &upstream).await;
        });
    }
    Ok(())
}

fn reason_to_skip(platform: &Platform, world: &World, upstream: &str) -> Option<&'static str> {
    let conversation = world.conversations.get(upstream)?;
    if platform.owns_conversation(conversation) || conversation.plugin_tags.contains_key("upstream") {
        return Some("downstream");
    }
    if conversation.hitl_active {
        return Some("active");
    }
    let started_by = conversation.session.as_ref().and_then(|session| session.start_message_id.as_deref());
    (started_by.is_some() && started_by == last_user_message(world, upstream).as_deref()).then_some("same_message")
}

fn last_user_message(world: &World, upstream: &str) -> Option<String> {
    let conversation = world.conversations.get(upstream)?;
    world.messages_of(conversation).find(|message| !message.outgoing).map(|message| message.id.clone())
}

/// The user's mirror on the integration's side: the linked one if it still exists, or else a new one.
///
/// The plugin sees no tags but its own, so it passes on only the user's name and picture, and the card's address.
async fn downstream_user(platform: &Platform, user_id: &str, email: Option<&str>) -> Result<String, String> {
    let input = {
        let world = platform.world();
        let user = world.users.get(user_id).ok_or_else(|| format!("User \"{user_id}\" doesn't exist"))?;
        let linked = user.plugin_tags.get("downstream");
        let same_integration = user.plugin_tags.get("integrationAlias").is_some_and(|alias| alias == platform.alias());
        if let Some(linked) = linked.filter(|linked| same_integration && world.users.get(linked).is_some()) {
            return Ok(linked.clone());
        }
        let synthetic = || format!("{user_id}@no-reply.{}.botpress.com", platform.bot_id().replace('_', "-"));
        let mut input = json!({
            "name": user.name.as_deref().unwrap_or("Unknown User"),
            "email": email.map_or_else(synthetic, str::to_owned),
        });
        if let (Some(picture), Some(object)) = (&user.picture_url, input.as_object_mut()) {
            object.insert("pictureUrl".to_owned(), json!(picture));
        }
        input
    };
    let output = platform.run_action("createUser", input, &Shape::Closed(&[USER_ID])).await?;
    let downstream = text(&output, "userId");
    let mut world = platform.world();
    if world.users.get(&downstream).is_none() {
        return Err(format!("User \"{downstream}\" doesn't exist"));
    }
    world.tag_user(user_id, "downstream", &downstream);
    world.tag_user(user_id, "integrationAlias", platform.alias());
    world.tag_user(&downstream, "upstream", user_id);
    Ok(downstream)
}

/// One page of the upstream messages, oldest first; authors are resolved in parallel, as the plugin does.
async fn message_history(platform: &Arc<Platform>, upstream: &str) -> Result<Value, String> {
    let page: Vec<_> = {
        let world = platform.world();
        let conversation = world.conversations.get(upstream);
        let messages = conversation.into_iter().flat_map(|conversation| world.messages_of(conversation));
        messages.take(platform.options.page_size).cloned().collect()
    };
    let mut items = JoinSet::new();
    for (position, message) in page.into_iter().rev().enumerate() {
        let platform = Arc::clone(platform);
        items.spawn(async move {
            let source = if message.outgoing {
                json!({"type": "bot"})
            } else {
                json!({"type": "user", "userId": downstream_user(&platform, &message.user_id, None).await?})
            };
            let item = json!({"source": source, "type": message.message_type, "payload": message.payload});
            Ok::<_, String>((position, item))
        });
    }
    let mut history = Vec::new();
    while let Some(item) = items.join_next().await {
        history.push(item.map_err(|error| error.to_string())??);
    }
    history.sort_by_key(|(position, _)| *position);
    Ok(history.into_iter().map(|(_, item)| item).collect())
}

/// Calls the integration's `startHitl`; the conversation in its answer must exist.
async fn start_downstream(
    platform: &Platform,
    downstream_user: &str,
    escalation: &Escalation,
    history: Value,
) -> Result<String, String> {
    let mut input = json!({"userId": downstream_user, "messageHistory": history});
    let optional = [
        ("title", escalation.title.clone().map(Value::from)),
        ("description", escalation.description.clone().map(Value::from)),
        ("hitlSession", escalation.hitl_session.clone()),
    ];
    if let Some(object) = input.as_object_mut() {
        object.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    let output = platform.run_action("startHitl", input, &Shape::Closed(&[CONVERSATION_ID])).await?;
    let downstream = text(&output, "conversationId");
    if platform.world().conversations.get(&downstream).is_none() {
        return Err(format!("Conversation \"{downstream}\" doesn't exist"));
    }
    Ok(downstream)
}

/// Links the two conversations, stores the message that led to the start, then lets messages pass.
fn activate(platform: &Platform, upstream: &str, downstream: &str, user_id: &str, start_message_id: Option<String>) {
    let mut world = platform.world();
    world.tag_conversation(upstream, "downstream", downstream);
    world.tag_conversation(downstream, "upstream", upstream);
    if let Some(conversation) = world.conversations.get_mut(upstream) {
        conversation.hitl_active = true;
        if let Some(session) = &mut conversation.session
            && start_message_id.is_some()
        {
            session.start_message_id = start_message_id;
        }
    }
    if let Some(conversation) = world.conversations.get_mut(downstream) {
        conversation.hitl_active = true;
    }
    platform.record(
        "hitl_started",
        json!({"conversation_id": downstream, "upstream_conversation_id": upstream, "user_id": user_id}),
    );
}

fn text(output: &Value, name: &str) -> String {
    output.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
