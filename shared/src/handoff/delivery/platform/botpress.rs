//! Sessions of Botpress bots: a fresh conversation each, agents as users of their own, events of the HITL interface.

use std::collections::BTreeMap;

use serde_json::json;

use super::Shown;
use crate::botpress::{self, Message, MessageCall, NewEvent, NewMessage, NewUser};
use crate::bridge::to_botpress::{self, Form};
use crate::bridge::{AgentProfile, MessageContent, ToBot};
use crate::handoff::delivery::outbound::Delivered;
use crate::handoff::vendors::credentials::call;
use crate::handoff::{Error, Handoff, Result};
use crate::ids::{AgentId, ConversationId, UserId};
use crate::model::lane::Waiting;
use crate::model::session::{AnnouncedAgent, Install, Session, Thread};
use crate::model::user::{Profile, User};
use crate::redacted::Redacted;

/// The channel of the HITL interface.
const CHANNEL: &str = "hitl";

/// The tag of the user in whose name the service itself speaks; agents' and users' tags begin with `agent:` and `user:`.
const SERVICE_USER: &str = "service";

pub(super) async fn show(
    handoff: &Handoff,
    session: &mut Session,
    install: &Install,
    (agent_id, content, item): (&AgentId, &MessageContent, &Waiting<ToBot>),
) -> Result<Shown> {
    let source_id = &item.position.source_id;
    if (item.outcome_unknown || item.attempts > 0)
        && let Some(shown) = shown_before_move(handoff, session, install, source_id).await?
    {
        return Ok(shown);
    }
    let user_id = speaker(handoff, session, install, agent_id).await?;
    let conversation_id = conversation_of(session)?;
    let mut message = NewMessage {
        conversation_id,
        user_id,
        kind: String::new(),
        payload: json!({}),
        tags: BTreeMap::from([("id".to_owned(), source_id.clone())]),
    };
    let shown = match post_best(handoff, session, install, &mut message, content).await {
        Err(Error::Botpress(error)) if error.is_gone() => {
            handoff.require_conversation(install, &message.conversation_id).await?;
            if handoff.has_user(install, &message.user_id).await? {
                return Err(error.into());
            }
            message.user_id = speaker_anew(handoff, session, install, agent_id).await?;
            post_best(handoff, session, install, &mut message, content).await?
        }
        shown => shown?,
    };
    Ok(Shown { is_new: shown.created == Some(true), vendor_id: Some(shown.id.to_string()) })
}

/// Posts a message in the best form that the install's definition declares.
async fn post_best(
    handoff: &Handoff,
    session: &Session,
    install: &Install,
    message: &mut NewMessage,
    content: &MessageContent,
) -> Result<Message> {
    let (best, plainer) = to_botpress::forms(content, handoff.words_for_user(session));
    let mut shown = handoff.post(install, message, best).await;
    for form in plainer {
        match &shown {
            Err(Error::Botpress(error)) if error.is_invalid_payload() => {
                shown = handoff.post(install, message, form).await;
            }
            _ => break,
        }
    }
    shown
}

/// Creates a user for an agent whose user was deleted at Botpress, and records it in the session.
async fn speaker_anew(
    handoff: &Handoff,
    session: &mut Session,
    install: &Install,
    agent_id: &AgentId,
) -> Result<UserId> {
    let user_id = handoff.agent_user(session, install, agent_id, None).await?;
    let told = session.announced_agent.iter_mut().chain(&mut session.earlier_agents);
    for agent in told.filter(|told| told.agent_id == *agent_id) {
        agent.user_id = Some(user_id.clone());
    }
    if session.announced_agent.is_some()
        && !handoff.table.put_announced(session, session.announced_agent.as_ref()).await?
    {
        // Another invocation has announced an agent since the session was read: it must be read again.
        return Err(Error::Busy);
    }
    Ok(user_id)
}

/// A message that an earlier attempt, whose answer was lost, posted into a conversation that the session has left since. It is not shown
/// again in the new one.
async fn shown_before_move(
    handoff: &Handoff,
    session: &Session,
    install: &Install,
    source_id: &str,
) -> Result<Option<Shown>> {
    for conversation_id in session.left_conversations.iter().rev() {
        let mut bot = handoff.as_install(install).await?;
        let found: Result<Option<_>> = call!(bot.find_message(conversation_id, source_id));
        let found = match found {
            Err(Error::Botpress(error)) if error.is_gone() => None,
            found => found?,
        };
        if let Some(message_id) = found {
            return Ok(Some(Shown { vendor_id: Some(message_id.to_string()), is_new: false }));
        }
    }
    Ok(None)
}

/// The Botpress user under whom an agent's messages appear; the agent is announced first if that has not happened yet.
async fn speaker(handoff: &Handoff, session: &mut Session, install: &Install, agent_id: &AgentId) -> Result<UserId> {
    if !agent_id.is_person() {
        return handoff.bot_user(session, install, agent_id).await;
    }
    let told = session.announced(agent_id).cloned();
    let user_id = match told.and_then(|told| told.user_id) {
        Some(user_id) => user_id,
        None => announce(handoff, session, install, agent_id, None).await?,
    };
    // Botpress may handle an event and a message concurrently: the message must not overtake the announcement.
    let announced_at = session.announced(agent_id).and_then(|told| told.announced_at);
    if let Some(announced_at) = announced_at {
        handoff.clock.sleep_until(announced_at + handoff.config.order_pause).await;
    }
    Ok(user_id)
}

/// Shows a notice of the service, as a user who is neither the customer nor an agent.
pub(super) async fn tell(
    handoff: &Handoff,
    session: &Session,
    install: &Install,
    text: &Redacted,
    source_id: &str,
) -> Result<Delivered> {
    let service = service_user(handoff, session, install).await?;
    let mut message = NewMessage {
        conversation_id: conversation_of(session)?,
        user_id: service.id,
        kind: String::new(),
        payload: json!({}),
        tags: BTreeMap::from([("id".to_owned(), format!("{}:{source_id}", session.session_id))]),
    };
    let form = Form { kind: "text", payload: json!({ "text": text.expose() }) };
    match handoff.post(install, &mut message, form).await {
        Err(Error::Botpress(error)) if error.is_gone() => {
            handoff.require_conversation(install, &message.conversation_id).await?;
            Err(error.into())
        }
        shown => Ok(Delivered::as_vendor_id(shown?.id)),
    }
}

/// The user in whose name the service itself speaks.
async fn service_user(handoff: &Handoff, session: &Session, install: &Install) -> Result<botpress::User> {
    let name = handoff.words_for_user(session).bot_name();
    let service = NewUser::new(BTreeMap::from([("id".to_owned(), SERVICE_USER.to_owned())]), Some(&name), None);
    let mut bot = handoff.as_install(install).await?;
    call!(bot.get_or_create_user(&service, &["id"]))
}

/// A message that an attempt whose answer was lost has posted in the session's conversation.
pub(super) async fn find_shown(
    handoff: &Handoff,
    session: &Session,
    install: &Install,
    source_id: &str,
) -> Result<Option<Delivered>> {
    let conversation_id = conversation_of(session)?;
    let mut bot = handoff.as_install(install).await?;
    Ok(call!(bot.find_message(&conversation_id, source_id))?.map(Delivered::as_vendor_id))
}

/// Makes a call of this kind that changes nothing: about a conversation that does not exist, or the service's own user.
pub(super) async fn ask(
    handoff: &Handoff,
    session: &Session,
    install: &Install,
    call: Option<MessageCall>,
) -> Result<()> {
    let nowhere = ConversationId::from("conv_01HITLPR0BE0000000000000");
    let mut bot = handoff.as_install(install).await?;
    match call {
        Some(MessageCall::Post) => {
            let mut message = NewMessage {
                conversation_id: nowhere,
                user_id: UserId::from("user_01HITLPR0BE0000000000000"),
                kind: String::new(),
                payload: json!({}),
                tags: BTreeMap::from([("id".to_owned(), "hitl-probe".to_owned())]),
            };
            let form = Form { kind: "text", payload: json!({ "text": "hitl-probe" }) };
            handoff.post(install, &mut message, form).await.map(drop)
        }
        Some(MessageCall::Find) => call!(bot.find_message(&nowhere, "hitl-probe")).map(drop),
        Some(MessageCall::Author) | None => service_user(handoff, session, install).await.map(drop),
    }
}

/// The session's conversation; every active session has one.
fn conversation_of(session: &Session) -> Result<ConversationId> {
    let missing = || Error::Refused("The session has no conversation at Botpress.".to_owned());
    session.conversation_id.clone().ok_or_else(missing)
}

pub(super) async fn resume(handoff: &Handoff, install: &Install, conversation_id: &ConversationId) -> Result<()> {
    match handoff.emit(install, "hitlStopped", json!({ "conversationId": conversation_id })).await {
        // No bot waits in a conversation that no longer exists.
        Err(Error::Botpress(error)) if error.is_gone() => Ok(()),
        told => told,
    }
}

/// The conversation of a thread, or the one that replaces it after this many moves; each is created once.
pub(super) async fn open(handoff: &Handoff, install: &Install, thread: &Thread, moves: u32) -> Result<ConversationId> {
    let id = match moves {
        0 => thread.thread_id.to_string(),
        moves => format!("{}#{moves}", thread.thread_id),
    };
    let tags = BTreeMap::from([("id".to_owned(), id)]);
    let mut bot = handoff.as_install(install).await?;
    let conversation: botpress::Conversation = call!(bot.get_or_create_conversation(CHANNEL, &tags, &["id"]))?;
    Ok(conversation.id)
}

/// Reads a user from Botpress who was created before this stack.
pub(super) async fn new_user(handoff: &Handoff, install: &Install, user_id: &UserId) -> Result<User> {
    let mut bot = handoff.as_install(install).await?;
    let found: Result<botpress::User> = call!(bot.get_user(user_id));
    let found = found.map_err(|error| match error {
        Error::Botpress(error) if error.is_not_found() => {
            Error::Refused("Botpress does not know this user of the integration.".to_owned())
        }
        other => other,
    })?;
    let profile = Profile {
        name: found.name.unwrap_or_default().into(),
        email: None,
        picture_url: found.picture_url.map(Into::into),
    };
    Box::pin(handoff.table.put_profile(user_id, &profile, handoff.kept_until(handoff.clock.now()))).await?;
    handoff.table.user(user_id).await?.ok_or(Error::Busy)
}

/// Announces an agent to the bot. Returns the Botpress user who represents them.
pub(super) async fn announce(
    handoff: &Handoff,
    session: &mut Session,
    install: &Install,
    agent_id: &AgentId,
    profile: Option<&AgentProfile>,
) -> Result<UserId> {
    let conversation_id = conversation_of(session)?;
    let user_id = handoff.agent_user(session, install, agent_id, profile).await?;
    let before = session.clone();
    session.announce(AnnouncedAgent {
        agent_id: agent_id.clone(),
        user_id: Some(user_id.clone()),
        name: None,
        picture_url: None,
        announced_at: Some(handoff.clock.now()),
    });
    // Recorded first: the plugin repeats its announcement with every event, and an event cannot be looked up. After a crash or a lost
    // answer the agent's next message still presents them.
    if !handoff.table.put_announced(session, before.announced_agent.as_ref()).await? {
        // Another invocation has announced an agent since the session was read: it must be read again.
        return Err(Error::Busy);
    }
    let payload = json!({ "conversationId": &conversation_id, "userId": user_id });
    match handoff.emit(install, "hitlAssigned", payload).await {
        Err(error) if !error.outcome_unknown() => {
            handoff.table.put_announced(&before, session.announced_agent.as_ref()).await?;
            *session = before;
            if matches!(&error, Error::Botpress(error) if error.is_gone()) {
                handoff.require_conversation(install, &conversation_id).await?;
            }
            Err(error)
        }
        emitted => emitted.map(|()| user_id),
    }
}

impl Handoff {
    /// Looks the conversation up after Botpress has reported that something does not exist: the refusal does not name it.
    ///
    /// # Errors
    ///
    /// [`Error::ConversationLost`] if it is the conversation.
    async fn require_conversation(&self, install: &Install, id: &ConversationId) -> Result<()> {
        let mut bot = self.as_install(install).await?;
        let found: Result<botpress::Conversation> = call!(bot.get_conversation(id));
        match found {
            Err(Error::Botpress(error)) if error.is_gone() => Err(Error::ConversationLost),
            found => found.map(drop),
        }
    }

    async fn has_user(&self, install: &Install, id: &UserId) -> Result<bool> {
        let mut bot = self.as_install(install).await?;
        let found: Result<botpress::User> = call!(bot.get_user(id));
        match found {
            Err(Error::Botpress(error)) if error.is_gone() => Ok(false),
            found => found.map(|_| true),
        }
    }

    async fn post(&self, install: &Install, message: &mut NewMessage, form: Form) -> Result<Message> {
        (message.kind, message.payload) = (form.kind.to_owned(), form.payload);
        let mut bot = self.as_install(install).await?;
        call!(bot.get_or_create_message(message, &["id"]))
    }

    async fn emit(&self, install: &Install, kind: &str, payload: serde_json::Value) -> Result<()> {
        let event = NewEvent { kind: kind.to_owned(), payload, conversation_id: None, delay: None };
        let mut bot = self.as_install(install).await?;
        call!(once bot.create_event(&event))
    }
}
