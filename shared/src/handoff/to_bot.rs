//! Delivery to the bot, as the agent.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::credentials::call;
use super::drain::{Attempt, Content, Delivered};
use super::gates::Gate;
use super::{Error, Handoff, Result};
use crate::botpress::{Message, NewEvent, NewMessage};
use crate::bridge::to_botpress::{self, Form};
use crate::bridge::{AgentProfile, MessageContent, ToAgent, ToBot, revisions};
use crate::clock::Timestamp;
use crate::ids::{AgentId, ConversationId, UserId};
use crate::store::lane::{Lane, Outcome, Waiting};
use crate::store::{AgentTold, Session, State};

/// How often an end waits for the thread to be readable.
const READINGS_BEFORE_END: u32 = 3;

/// How often a start that is still running is looked at.
const STARTING_PAUSE: Duration = Duration::from_millis(500);

impl Content for ToBot {
    const LANE: Lane = Lane::ToBot;

    fn is_end(&self) -> bool {
        matches!(self, Self::Stopped | Self::Superseded)
    }

    fn gate(handoff: &Handoff) -> &Gate {
        &handoff.gates.botpress
    }

    fn revision(&self) -> Option<String> {
        match self {
            Self::Message { content, .. } => Some(content.revision()),
            _ => None,
        }
    }

    fn apply_changes(waiting: &mut [Waiting<Self>]) {
        revisions::apply(waiting);
    }

    /// The HITL plugin discards whatever arrives before it has activated the session.
    fn ready_at(handoff: &Handoff, session: &Session) -> Timestamp {
        match (session.state, session.active_at) {
            (State::Starting, _) => handoff.clock.now() + STARTING_PAUSE,
            (State::Active, Some(active_at)) => active_at + handoff.config.settle,
            _ => session.started_at,
        }
    }

    async fn deliver(handoff: &Handoff, session: &mut Session, item: &Waiting<Self>) -> Result<Attempt> {
        let conversation_id = session.conversation_id.clone().filter(|_| session.state == State::Active);
        let Some(conversation_id) = conversation_id else { return Ok(Delivered::dropped().into()) };
        match &item.content {
            Self::Message { agent_id, content, revised } => {
                let source_id = &item.position.source_id;
                let user_id = handoff.present_agent(session, &conversation_id, agent_id, None).await?;
                let message = handoff.show(session, conversation_id, user_id, content, source_id).await?;
                // What was there already is shown as it was, and its correction still has to follow.
                if *revised && message.created == Some(true) {
                    handoff.note_shown(session, source_id, content).await?;
                }
                Ok(Delivered::as_vendor_id(message.id).into())
            }
            Self::Correction { agent_id, of, content } => {
                Box::pin(handoff.correct(session, conversation_id, item, (agent_id, of, content)))
                    .await
                    .map(Attempt::Done)
            }
            Self::Deletion { of } => {
                Box::pin(handoff.tell_deletion(session, conversation_id, item, of)).await.map(Attempt::Done)
            }
            Self::Retracted => Ok(Delivered::dropped().into()),
            Self::Assigned { agent_id, profile } => {
                handoff.present_agent(session, &conversation_id, agent_id, profile.as_ref()).await?;
                Ok(Delivered::without_id().into())
            }
            Self::Stopped if handoff.found_last_words(session, item.attempts).await? => {
                Ok(Attempt::Later(handoff.clock.now()))
            }
            Self::Stopped => {
                let told = handoff.emit_stopped(session, &conversation_id).await;
                handoff.end(session, told, "livechat").await.map(Attempt::Done)
            }
            Self::Superseded => {
                let told = match handoff.emit_stopped(session, &conversation_id).await {
                    Err(error) if error.is_retryable() => return Err(error),
                    told => told,
                };
                let closed = handoff.close_thread_of(session).await;
                handoff.end(session, closed.and(told), "superseded").await.map(Attempt::Done)
            }
        }
    }

    async fn tell_sender(handoff: &Handoff, session: &Session, item: &Waiting<Self>) -> Result<()> {
        let (Self::Message { .. } | Self::Correction { .. }) = item.content else { return Ok(()) };
        let Some(text) = handoff.config.wording.not_delivered_to_user() else { return Ok(()) };
        let notice = ToAgent::Note { text: text.into() };
        handoff.accept_notice(session, &notice, &item.position.source_id).await
    }
}

impl Handoff {
    /// Posts a message of an agent, in the best form that the install's definition declares.
    async fn show(
        &self,
        session: &Session,
        conversation_id: ConversationId,
        user_id: UserId,
        content: &MessageContent,
        source_id: &str,
    ) -> Result<Message> {
        let mut message = NewMessage {
            conversation_id,
            user_id,
            kind: String::new(),
            payload: json!({}),
            tags: BTreeMap::from([("id".to_owned(), source_id.to_owned())]),
        };
        let (best, plainer) = to_botpress::forms(content, &self.config.wording);
        let mut shown = self.post(session, &mut message, best).await;
        for form in plainer {
            match &shown {
                Err(Error::Botpress(error)) if error.is_invalid_payload() => {
                    shown = self.post(session, &mut message, form).await;
                }
                _ => break,
            }
        }
        shown
    }

    async fn post(&self, session: &Session, message: &mut NewMessage, form: Form) -> Result<Message> {
        (message.kind, message.payload) = (form.kind.to_owned(), form.payload);
        let mut bot = self.as_install(&session.install).await?;
        call!(bot.get_or_create_message(message, &["id"]))
    }

    /// Shows what a message says now, unless that is what was shown last, or nothing was.
    async fn correct(
        &self,
        session: &mut Session,
        conversation_id: ConversationId,
        item: &Waiting<ToBot>,
        (agent_id, of, content): (&AgentId, &str, &MessageContent),
    ) -> Result<Delivered> {
        let trail = self.table.trail(&session.session_id, ToBot::LANE, of, self.clock.now()).await?;
        let Some(trail) = trail else { return Ok(Delivered::dropped()) };
        let content_now = match trail.outcome {
            Some(Outcome::Delivered) if trail.revision.as_ref() == Some(&content.revision()) => None,
            Some(Outcome::Delivered) => content.corrected(&self.config.wording),
            // The message itself was refused; what it says now may be taken.
            Some(Outcome::Parked) => Some(content.clone()),
            Some(Outcome::Dropped) | None => None,
        };
        let Some(content_now) = content_now else { return Ok(Delivered::dropped()) };
        let user_id = self.present_agent(session, &conversation_id, agent_id, None).await?;
        let shown = self.show(session, conversation_id, user_id, &content_now, &item.position.source_id).await?;
        self.note_shown(session, of, content).await?;
        Ok(Delivered::as_vendor_id(shown.id))
    }

    /// Says that a message is gone, if it was shown; in the name of the present agent, since nobody knows who did it.
    async fn tell_deletion(
        &self,
        session: &Session,
        conversation_id: ConversationId,
        item: &Waiting<ToBot>,
        of: &str,
    ) -> Result<Delivered> {
        let trail = self.table.trail(&session.session_id, ToBot::LANE, of, self.clock.now()).await?;
        let was_shown = trail.is_some_and(|trail| trail.outcome == Some(Outcome::Delivered));
        let (Some(sentence), Some(agent), true) = (self.config.wording.deletion(), &session.agent_told, was_shown)
        else {
            return Ok(Delivered::dropped());
        };
        let (user_id, sentence) = (agent.user_id.clone(), MessageContent::text(sentence));
        let shown = self.show(session, conversation_id, user_id, &sentence, &item.position.source_id).await?;
        Ok(Delivered::as_vendor_id(shown.id))
    }

    /// Notes which version of a message the user has seen.
    async fn note_shown(&self, session: &Session, source_id: &str, content: &MessageContent) -> Result<()> {
        Ok(self.table.note_revision(&session.session_id, ToBot::LANE, source_id, &content.revision()).await?)
    }

    /// The Botpress user of the agent who acts; tells the bot when it is another agent than before.
    async fn present_agent(
        &self,
        session: &mut Session,
        conversation_id: &ConversationId,
        agent_id: &AgentId,
        profile: Option<&AgentProfile>,
    ) -> Result<UserId> {
        if let Some(told) = session.agent_told.as_ref().filter(|told| told.agent_id == *agent_id) {
            return Ok(told.user_id.clone());
        }
        let user_id = self.agent_user(session, agent_id, profile).await?;
        let before = session.agent_told.take();
        let told = AgentTold { agent_id: agent_id.clone(), user_id: user_id.clone() };
        // Noted first: the plugin repeats its announcement with every event, and nobody can look an event up. After a
        // crash or a lost answer the agent's next message presents them all the same.
        self.table.put_agent_told(&session.session_id, Some(&told)).await?;
        session.agent_told = Some(told);
        let payload = json!({ "conversationId": conversation_id, "userId": user_id });
        match self.emit(session, "hitlAssigned", payload).await {
            Err(error) if !error.outcome_unknown() => {
                self.table.put_agent_told(&session.session_id, before.as_ref()).await?;
                session.agent_told = before;
                Err(error)
            }
            emitted => emitted.map(|()| user_id),
        }
    }

    /// Whether anything was said that the user has not been shown yet; it comes before the end.
    ///
    /// What no webhook has brought is read from the thread, and what one brings meanwhile is in the lane by then. An end
    /// is not held up for long by a thread that cannot be read.
    async fn found_last_words(&self, session: &Session, attempts: u32) -> Result<bool> {
        match self.accept_missed(session).await {
            Err(error) if error.is_retryable() && attempts < READINGS_BEFORE_END => return Err(error),
            Err(error) => {
                tracing::warn!(error = %error, session.id = %session.session_id, "a thread ends unread");
            }
            Ok(()) => {}
        }
        let contents = self.table.lane::<ToBot>(&session.session_id, ToBot::LANE).await?;
        Ok(contents.waiting.iter().any(|item| !item.content.is_end()))
    }

    async fn emit_stopped(&self, session: &Session, conversation_id: &ConversationId) -> Result<()> {
        self.emit(session, "hitlStopped", json!({ "conversationId": conversation_id })).await
    }

    async fn emit(&self, session: &Session, kind: &str, payload: serde_json::Value) -> Result<()> {
        let event = NewEvent { kind: kind.to_owned(), payload, conversation_id: None, delay: None };
        let mut bot = self.as_install(&session.install).await?;
        call!(bot.create_event(&event))
    }
}
