//! Sessions of Botpress bots: a fresh conversation each, agents as users of their own, events of the HITL interface.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::credentials::call;
use super::super::{Error, Handoff, Result};
use super::Shown;
use crate::botpress::{self, Install, Message, NewEvent, NewMessage};
use crate::bridge::to_botpress::{self, Form};
use crate::bridge::{AgentProfile, MessageContent};
use crate::ids::{AgentId, ConversationId, UserId};
use crate::store::{AgentTold, Profile, Session, Thread, User};

/// The channel of the HITL interface.
const CHANNEL: &str = "hitl";

pub(super) async fn show(
    handoff: &Handoff,
    session: &mut Session,
    install: &Install,
    (agent_id, content, source_id): (&AgentId, &MessageContent, &str),
) -> Result<Shown> {
    let conversation_id = conversation_of(session)?;
    let user_id = handoff.present_agent(session, install, &conversation_id, agent_id, None).await?;
    let mut message = NewMessage {
        conversation_id,
        user_id,
        kind: String::new(),
        payload: json!({}),
        tags: BTreeMap::from([("id".to_owned(), source_id.to_owned())]),
    };
    let (best, plainer) = to_botpress::forms(content, &handoff.config.wording);
    let mut shown = handoff.post(install, &mut message, best).await;
    // The best form that the install's definition declares.
    for form in plainer {
        match &shown {
            Err(Error::Botpress(error)) if error.is_invalid_payload() => {
                shown = handoff.post(install, &mut message, form).await;
            }
            _ => break,
        }
    }
    let shown = shown?;
    Ok(Shown { is_new: shown.created == Some(true), vendor_id: Some(shown.id.to_string()) })
}

pub(super) async fn present(
    handoff: &Handoff,
    session: &mut Session,
    install: &Install,
    agent_id: &AgentId,
    profile: Option<&AgentProfile>,
) -> Result<()> {
    let conversation_id = conversation_of(session)?;
    handoff.present_agent(session, install, &conversation_id, agent_id, profile).await.map(drop)
}

/// An active session has one.
fn conversation_of(session: &Session) -> Result<ConversationId> {
    let missing = || Error::Refused("The session has no conversation at Botpress.".to_owned());
    session.conversation_id.clone().ok_or_else(missing)
}

pub(super) async fn resume(handoff: &Handoff, session: &Session, install: &Install) -> Result<()> {
    match &session.conversation_id {
        Some(conversation_id) => {
            handoff.emit(install, "hitlStopped", json!({ "conversationId": conversation_id })).await
        }
        None => Ok(()),
    }
}

pub(super) async fn open(handoff: &Handoff, install: &Install, thread: &Thread) -> Result<ConversationId> {
    let tags = BTreeMap::from([("id".to_owned(), thread.thread_id.to_string())]);
    let mut bot = handoff.as_install(install).await?;
    let conversation: botpress::Conversation = call!(bot.get_or_create_conversation(CHANNEL, &tags, &["id"]))?;
    Ok(conversation.id)
}

/// A user that was made before this stack is asked for at Botpress.
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
    handoff.table.put_profile(user_id, &profile).await?;
    handoff.table.user(user_id).await?.ok_or(Error::Busy)
}

impl Handoff {
    /// The Botpress user of the agent who acts; tells the bot when it is another agent than before.
    async fn present_agent(
        &self,
        session: &mut Session,
        install: &Install,
        conversation_id: &ConversationId,
        agent_id: &AgentId,
        profile: Option<&AgentProfile>,
    ) -> Result<UserId> {
        let told = session.agent_told.as_ref().filter(|told| told.agent_id == *agent_id);
        if let Some(user_id) = told.and_then(|told| told.user_id.clone()) {
            return Ok(user_id);
        }
        let user_id = self.agent_user(session, install, agent_id, profile).await?;
        let before = session.agent_told.take();
        let told =
            AgentTold { agent_id: agent_id.clone(), user_id: Some(user_id.clone()), name: None, picture_url: None };
        // Noted first: the plugin repeats its announcement with every event, and nobody can look an event up. After a
        // crash or a lost answer the agent's next message presents them all the same.
        if !self.table.put_agent_told(&session.session_id, before.as_ref(), Some(&told)).await? {
            // The session was read before somebody else announced an agent: it has to be read again.
            return Err(Error::Busy);
        }
        session.agent_told = Some(told.clone());
        let payload = json!({ "conversationId": conversation_id, "userId": user_id });
        match self.emit(install, "hitlAssigned", payload).await {
            Err(error) if !error.outcome_unknown() => {
                self.table.put_agent_told(&session.session_id, Some(&told), before.as_ref()).await?;
                session.agent_told = before;
                Err(error)
            }
            emitted => emitted.map(|()| user_id),
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
        call!(bot.create_event(&event))
    }
}
