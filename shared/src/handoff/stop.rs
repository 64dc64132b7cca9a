//! Endings: by the bot, by a start that failed, and by a new start.

use std::time::Duration;

use super::credentials::call;
use super::drain::{Content, Delivered};
use super::{Error, Handoff, Result, lease_until};
use crate::botcopy::ResumeReason;
use crate::bridge::decide::end_of;
use crate::bridge::{ToAgent, ToBot};
use crate::clock::Timestamp;
use crate::ids::{ChatId, ConversationId, SessionId};
use crate::metrics::{About, Metric};
use crate::store::lane::{Occupancy, Position};
use crate::store::{Ending, Record, Session, State};
use crate::telemetry;

/// Whether a start may have opened something at LiveChat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayBeOpen {
    /// It has, or nobody can know.
    Yes,
    /// It was refused before.
    No,
}

/// What each side has answered to being told that a session is over.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) bot: Result<()>,
    pub(super) livechat: Result<()>,
}

/// Whether a side knows; a refusal for good is final, and whatever may pass is an error.
fn knows(session: &Session, side: &'static str, told: Result<()>) -> Result<bool> {
    match told {
        Ok(()) => Ok(true),
        Err(error) if error.is_retryable() => Err(error),
        Err(error) => {
            tracing::error!(error = %error, session.id = %session.session_id, side,
                "a session ends although one side refuses to hear of it");
            Ok(false)
        }
    }
}

impl Handoff {
    /// Ends a session because the bot's side has; the close follows the user's last words through the lane.
    ///
    /// An unknown or ended session is fine.
    ///
    /// # Errors
    ///
    /// [`Error`] only when the close could not be made durable.
    pub async fn stop(&self, conversation_id: &ConversationId, deadline: Timestamp) -> Result<()> {
        match self.table.find_by_conversation(conversation_id, self.clock.now()).await? {
            // The session goes on in another conversation.
            Some(pointer) if pointer.has_moved => Ok(()),
            Some(pointer) => self.close_from_bot(&pointer.session_id, deadline).await,
            None => Ok(()),
        }
    }

    pub(super) async fn close_from_bot(&self, session_id: &SessionId, deadline: Timestamp) -> Result<()> {
        let position = Position { at: self.clock.now(), source_id: "close".to_owned() };
        let lease = lease_until(deadline);
        let accepted = self.accept(session_id, position, &ToAgent::Close, &lease).await?;
        self.table.begin_closing(session_id).await?;
        self.drain_accepted::<ToAgent>(session_id, accepted, &lease, deadline).await;
        Ok(())
    }

    /// Undoes a start that failed with `error`; what cannot be undone now is left to the sweep.
    pub(super) async fn abandon(&self, session: &Session, error: &Error, may_be_open: MayBeOpen, deadline: Timestamp) {
        self.record(&About::Stack, &[(Metric::StartsFailed, 1.0)]);
        tracing::warn!(error = %error, session.id = %session.session_id, "a start has failed and is undone");
        let failure = (!error.is_retryable()).then(|| error.to_string());
        if let Err(error) = self.undo(session, failure.as_deref(), may_be_open, deadline).await {
            tracing::error!(error = %error, session.id = %session.session_id, "a failed start is left to the sweep");
        }
    }

    /// Ends a session that was never active, unless somebody else has taken the start over; whatever is open at LiveChat
    /// is closed through the lane.
    pub(super) async fn undo(
        &self,
        session: &Session,
        failure: Option<&str>,
        may_be_open: MayBeOpen,
        deadline: Timestamp,
    ) -> Result<()> {
        // Marked first: a close in the lane of a start that others may still take over would end what they have begun.
        let in_doubt_until = session.in_doubt_until.unwrap_or_else(|| self.clock.now());
        if !self.table.begin_undoing(session, failure, in_doubt_until).await? {
            return Ok(());
        }
        match may_be_open {
            MayBeOpen::Yes => Box::pin(self.close_from_bot(&session.session_id, deadline)).await,
            MayBeOpen::No => self.close(session, &Ending::unread("bot", None)).await.map(drop),
        }
    }

    /// Brings a session that is ending to its end, so that the user can start another; answers whether it is over.
    pub(super) async fn finish_closing(&self, session: &Session, deadline: Timestamp) -> Result<bool> {
        self.close_from_bot(&session.session_id, deadline).await?;
        self.is_over::<ToAgent>(&session.session_id).await
    }

    /// Ends a session whose user has started another: a customer has only one chat, and the earlier bot must resume. Answers
    /// whether it is over.
    pub(super) async fn supersede(&self, session: &Session, deadline: Timestamp) -> Result<bool> {
        let position = Position { at: self.clock.now(), source_id: "superseded".to_owned() };
        let lease = lease_until(deadline);
        let accepted = self.accept(&session.session_id, position, &ToBot::Superseded, &lease).await?;
        self.drain_accepted::<ToBot>(&session.session_id, accepted, &lease, deadline).await;
        self.is_over::<ToBot>(&session.session_id).await
    }

    /// Whether a session is over; not yet where another call is at work on the lane of its end, which takes a moment more.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when nobody is: a vendor could not be told, and the sweep goes on.
    async fn is_over<C: Content>(&self, session_id: &SessionId) -> Result<bool> {
        // In this order: what is let go of between the two reads is over.
        let occupancy = self.look_around::<C>(session_id.into()).await.occupancy;
        let is_held = matches!(occupancy, Occupancy::Held { until } if self.clock.now() < until);
        match self.table.session(session_id).await? {
            Some(session) if session.state != State::Closed && is_held => Ok(false),
            Some(session) if session.state != State::Closed => Err(Error::Busy),
            _ => Ok(true),
        }
    }

    /// Marks a session as over once both sides know, or can never be told: its user must be free to start another.
    pub(super) async fn end(&self, session: &mut Session, told: Told, ending: &Ending) -> Result<Delivered> {
        let bot_told = knows(session, "bot", told.bot)?;
        if let Err(error) = knows(session, "livechat", told.livechat) {
            if bot_told && session.bot_told.is_none() {
                Box::pin(self.table.note_bot_told(&session.session_id)).await?;
            }
            return Err(error);
        }
        session.bot_told = Some(bot_told);
        let is_first = self.close(session, ending).await?;
        session.state = State::Closed;
        if is_first {
            self.record(&About::Reason(ending.reason), &[(Metric::SessionsEnded, 1.0)]);
            tracing::info!(session.id = %session.session_id, reason = ending.reason, "a session is over");
        }
        Ok(Delivered::without_id())
    }

    /// Marks a session as over, with its record; tells whether it was not over before.
    async fn close(&self, session: &Session, ending: &Ending) -> Result<bool> {
        let (said, now) = (self.table.said(&session.session_id).await?, self.clock.now());
        let expires_at = self.kept_until(now);
        let record = Record::of(session, ending, said, now, expires_at);
        let is_first = self.table.close(session, &record, expires_at).await?;
        if is_first {
            self.publish(&record);
        }
        Ok(is_first)
    }

    /// Tells metrics and the log of a record.
    fn publish(&self, record: &Record) {
        let times = [
            (Metric::TimeToAssign, record.assigned_after_ms),
            (Metric::TimeToFirstAnswer, record.answered_after_ms),
            (Metric::HandleTime, record.handled_ms),
        ];
        let known =
            times.into_iter().filter_map(|(metric, ms)| Some((metric, Duration::from_millis(ms?).as_secs_f64())));
        let known: Vec<_> = known.collect();
        if !known.is_empty() {
            self.record(&About::Stack, &known);
        }
        let handed_back = record.handed_back_because.and_then(|reason| serde_json::to_value(reason).ok());
        tracing::info!(session.id = %record.session_id, record.platform = record.platform_name,
            record.bot = telemetry::id(&record.bot_id), record.group = record.group_number,
            record.agents = record.agents.join(","), record.ended_because = record.ended_because,
            record.ended_by = record.ended_by, record.handed_back = handed_back.as_ref().and_then(|name| name.as_str()),
            record.started_at = %record.started_at, record.ended_at = %record.ended_at,
            record.assigned_after_ms = record.assigned_after_ms, record.answered_after_ms = record.answered_after_ms,
            record.handled_ms = record.handled_ms, record.from_user = record.from_user,
            record.from_agents = record.from_agents, record.tags = record.thread_tags.join(","),
            record.rating = record.rating, record.thread_read = record.thread_was_read,
            "a session leaves its record");
    }

    /// Closes the open thread of a chat; one that is closed or gone is fine.
    pub(super) async fn deactivate(&self, chat_id: &ChatId) -> Result<()> {
        let mut agent = self.as_agent().await?;
        match call!(agent.deactivate_chat(chat_id)) {
            Err(Error::LiveChat(error)) if error.is_chat_inactive() || (error.is_gone() && !error.is_forbidden()) => {
                Ok(())
            }
            answer => answer,
        }
    }

    /// Ends a session whose chat is gone, or whose customer is lost: the bot resumes, and what is still open is closed.
    pub(super) async fn end_out_of_reach(&self, session: &Session, error: &Error, deadline: Timestamp) -> Result<()> {
        let (Some(thread), State::Active) = (&session.thread, session.state) else { return Ok(()) };
        tracing::warn!(error = %error, session.id = %session.session_id, "a session is out of reach at LiveChat and ends");
        // A chat without its customer is still open at LiveChat.
        match error {
            Error::CustomerLost => self.give_up(session, ResumeReason::GivenUp, deadline).await,
            Error::LiveChat(error) if error.is_refused_token() => {
                self.give_up(session, ResumeReason::GivenUp, deadline).await
            }
            _ => {
                let position = Position { at: self.clock.now(), source_id: end_of(&thread.thread_id) };
                self.tell_bot(session, position, &ToBot::Stopped, deadline).await
            }
        }
    }
}
