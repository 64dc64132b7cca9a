//! Delivery to the bot, whichever platform it lives on.

use super::drain::{Attempt, Content, Delivered};
use super::gates::{BOTCOPY, BOTPRESS, Gate, LIVECHAT};
use super::to_agent::STARTING_PAUSE;
use super::{Error, Handoff, Result, platform};
use crate::botcopy::ResumeReason;
use crate::bridge::{MessageContent, ToAgent, ToBot, revisions};
use crate::clock::Timestamp;
use crate::ids::{AgentId, ConversationId};
use crate::store::lane::{Lane, Outcome, Waiting};
use crate::store::{Session, State, User};

/// How often an end waits for the thread to be readable.
const READINGS_BEFORE_END: u32 = 3;

impl Content for ToBot {
    const LANE: Lane = Lane::ToBot;
    // The thread is read as well, for an agent's name or the last words.
    const VENDORS: &'static [&'static str] = &[LIVECHAT, BOTPRESS, BOTCOPY];

    fn is_end(&self) -> bool {
        matches!(self, Self::Stopped | Self::Superseded | Self::GivenUp { .. })
    }

    fn earliest(&self, handoff: &Handoff, session: &Session, last_finished_at: Timestamp) -> Timestamp {
        match self {
            // Botpress may handle a message and an event side by side: last words must not come after the end.
            Self::Left { .. } | Self::Stopped | Self::Superseded | Self::GivenUp { .. } => {
                last_finished_at + platform::pause(handoff, session)
            }
            _ => last_finished_at,
        }
    }

    fn gate<'a>(handoff: &'a Handoff, session: &Session) -> &'a Gate {
        platform::gate(handoff, session)
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

    fn ready_at(&self, handoff: &Handoff, session: &Session) -> Timestamp {
        match (self, session.state, session.active_at) {
            (Self::Left { ready_at, .. }, ..) => *ready_at,
            (_, State::Starting, _) => handoff.clock.now() + STARTING_PAUSE,
            (_, State::Active, Some(active_at)) => active_at + platform::settle(handoff, session),
            _ => session.started_at,
        }
    }

    async fn deliver(
        handoff: &Handoff,
        session: &mut Session,
        _: Option<&User>,
        item: &Waiting<Self>,
    ) -> Result<Attempt> {
        match (&item.content, session.state) {
            // However the session has ended, or goes on: this conversation is no longer a part of it.
            (Self::Left { .. }, _) => handoff.carry_out(session, item).await.map(Attempt::Done),
            (_, State::Closed) => Ok(Delivered::dropped().into()),
            // These two may end a session that never became active.
            (Self::GivenUp { reason }, _) => handoff.end_from_here(session, *reason, "given_up").await,
            (Self::Notice { .. }, _) => handoff.carry_out(session, item).await.map(Attempt::Done),
            (_, State::Starting | State::Closing) => Ok(Delivered::dropped().into()),
            (Self::Stopped, State::Active) if handoff.found_last_words(session, item.attempts).await? => {
                Ok(Attempt::Later(handoff.clock.now()))
            }
            (Self::Stopped, State::Active) => {
                let told = platform::resume(handoff, session, ResumeReason::AgentClosed).await;
                handoff.end(session, told, "livechat").await.map(Attempt::Done)
            }
            (Self::Superseded, State::Active) => {
                handoff.end_from_here(session, ResumeReason::UserSide, "superseded").await
            }
            (_, State::Active) => handoff.carry_out(session, item).await.map(Attempt::Done),
        }
    }

    async fn tell_sender(handoff: &Handoff, session: &Session, item: &Waiting<Self>) -> Result<()> {
        let (Self::Message { .. } | Self::Correction { .. }) = item.content else { return Ok(()) };
        let Some(text) = handoff.words_for_agents(session.group_id).not_delivered_to_user() else { return Ok(()) };
        let notice = ToAgent::Note { text: text.into() };
        handoff.accept_notice(session, &notice, &item.position.source_id).await
    }
}

impl Handoff {
    /// Shows or does what an item of an active session says, whichever platform it is for.
    async fn carry_out(&self, session: &mut Session, item: &Waiting<ToBot>) -> Result<Delivered> {
        match &item.content {
            ToBot::Message { agent_id, content, revised } => {
                let source_id = &item.position.source_id;
                let shown = platform::show(self, session, agent_id, content, item).await?;
                // What was there already is shown as it was, and its correction still has to follow.
                if *revised && shown.is_new {
                    self.note_shown(session, source_id, content).await?;
                }
                Ok(shown.into())
            }
            ToBot::Correction { agent_id, of, content } => {
                Box::pin(self.correct(session, item, (agent_id, of, content))).await
            }
            ToBot::Deletion { of } => Box::pin(self.tell_deletion(session, item, of)).await,
            ToBot::Assigned { agent_id, profile, is_transfer } => {
                if !self.takes_part_anew(session, agent_id, *is_transfer).await? {
                    return Ok(Delivered::dropped());
                }
                platform::announce(self, session, agent_id, profile.as_ref()).await?;
                Ok(Delivered::without_id())
            }
            ToBot::Notice { text } => platform::tell(self, session, text, &item.position.source_id).await,
            ToBot::Renewal => platform::renew(self, session).await,
            ToBot::Left { conversation_id, .. } => self.leave(session, conversation_id).await,
            ToBot::Continued => platform::continue_session(self, session).await,
            ToBot::Retracted | ToBot::Stopped | ToBot::Superseded | ToBot::GivenUp { .. } => Ok(Delivered::dropped()),
        }
    }

    /// Whether the bot is to be told of an agent: once, and again when the chat has come back to them from another one.
    ///
    /// A transfer has neither an id nor a time, so one that was reported late is told from a return by who is in the chat.
    async fn takes_part_anew(&self, session: &Session, agent_id: &AgentId, is_transfer: bool) -> Result<bool> {
        let has_it_now = session.agent_told.as_ref().is_some_and(|told| told.agent_id == *agent_id);
        match session.announced(agent_id) {
            None => Ok(true),
            Some(_) if has_it_now || !is_transfer => Ok(false),
            Some(_) => self.is_present(session, agent_id).await,
        }
    }

    /// Gives the bot of a conversation that the session has left its turn back; a conversation that is gone needs nothing.
    async fn leave(&self, session: &Session, conversation_id: &ConversationId) -> Result<Delivered> {
        match platform::leave(self, session, conversation_id).await {
            Err(Error::Botpress(error)) if error.is_not_found() => Ok(Delivered::dropped()),
            told => told.map(|()| Delivered::without_id()),
        }
    }

    /// Shows what a message says now, unless that is what was shown last, or nothing was.
    async fn correct(
        &self,
        session: &mut Session,
        item: &Waiting<ToBot>,
        (agent_id, of, content): (&AgentId, &str, &MessageContent),
    ) -> Result<Delivered> {
        let trail = self.table.trail(&session.session_id, ToBot::LANE, of, self.clock.now()).await?;
        let Some(trail) = trail else { return Ok(Delivered::dropped()) };
        let content_now = match trail.outcome {
            Some(Outcome::Delivered) if trail.revision.as_ref() == Some(&content.revision()) => None,
            Some(Outcome::Delivered) => content.corrected(self.words_for_user(session)),
            // The message itself was refused; what it says now may be taken.
            Some(Outcome::Parked) => Some(content.clone()),
            Some(Outcome::Dropped) | None => None,
        };
        let Some(content_now) = content_now else { return Ok(Delivered::dropped()) };
        let shown = platform::show(self, session, agent_id, &content_now, item).await?;
        self.note_shown(session, of, content).await?;
        Ok(shown.into())
    }

    /// Says that a message is gone, if it was shown; in the name of the present agent, since nobody knows who did it.
    async fn tell_deletion(&self, session: &mut Session, item: &Waiting<ToBot>, of: &str) -> Result<Delivered> {
        let trail = self.table.trail(&session.session_id, ToBot::LANE, of, self.clock.now()).await?;
        let was_shown = trail.is_some_and(|trail| trail.outcome == Some(Outcome::Delivered));
        let present = session.agent_told.as_ref().map(|agent| agent.agent_id.clone());
        let (Some(sentence), Some(agent_id), true) = (self.words_for_user(session).deletion(), present, was_shown)
        else {
            return Ok(Delivered::dropped());
        };
        let sentence = MessageContent::text(sentence);
        Ok(platform::show(self, session, &agent_id, &sentence, item).await?.into())
    }

    /// Notes which version of a message the user has seen.
    async fn note_shown(&self, session: &Session, source_id: &str, content: &MessageContent) -> Result<()> {
        Ok(self.table.note_revision(&session.session_id, ToBot::LANE, source_id, &content.revision()).await?)
    }

    /// Ends a session although LiveChat has not: the bot resumes, and whatever is open at LiveChat is closed.
    async fn end_from_here(
        &self,
        session: &mut Session,
        resumes: ResumeReason,
        reason: &'static str,
    ) -> Result<Attempt> {
        let told = match platform::resume(self, session, resumes).await {
            Err(error) if error.is_retryable() => return Err(error),
            told => told,
        };
        let closed = self.close_thread_of(session).await;
        self.end(session, closed.and(told), reason).await.map(Attempt::Done)
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
}
