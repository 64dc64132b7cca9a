//! An operator's actions: redrive a parked item, end a session.

use crate::bridge::{ToAgent, ToBot};
use crate::clock::Timestamp;
use crate::handoff::delivery::platform;
use crate::handoff::session::ending::MayBeOpen;
use crate::handoff::{Error, Handoff, Result};
use crate::ids::SessionId;
use crate::model::lane::{Lane, Outcome};
use crate::model::session::{ResumeReason, Session, State};
use crate::store::Parked;

/// The result of redriving a parked item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Redriven {
    /// The other side has received it.
    Delivered,
    /// There was nothing left to do.
    Dropped,
    /// The vendor refused it again.
    ParkedAgain,
    /// It is back in its lane, and the sweep continues.
    Waiting,
    /// Its session is over, so it cannot be delivered; it stays parked.
    SessionOver,
    /// It is the end of a session that is over, and that side could not be told of it now; it stays parked.
    NotTold,
    /// It was no longer parked.
    Gone,
}

/// The result of ending a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// Both sides have been told.
    Closed,
    /// A side could not be told yet, and the sweep continues.
    Closing,
    /// It was over before.
    WasOver,
    /// It was over before; its bot has not been told, and could not be told now.
    BotNotTold,
    /// There is no such session.
    Unknown,
}

impl Handoff {
    /// Puts a parked item back into its lane and delivers the lane.
    ///
    /// # Errors
    ///
    /// [`Error`] when the table failed; a vendor's failure is part of the result.
    pub async fn redrive(&self, parked: &Parked, deadline: Timestamp) -> Result<Redriven> {
        match self.table.session(&parked.session_id).await? {
            // The end of a conversation that the session has left is not the session's own end.
            Some(session) if session.state == State::Closed && parked.kind != "left" => {
                return Box::pin(self.redrive_after_end(&session, parked)).await;
            }
            Some(_) => {}
            None => return Ok(Redriven::SessionOver),
        }
        let now = self.clock.now();
        if !self.table.unpark(parked, now, self.kept_until(now)).await? {
            return Ok(Redriven::Gone);
        }
        match parked.lane {
            Lane::ToAgent => self.drain_if_free::<ToAgent>(&parked.session_id, deadline).await?,
            Lane::ToBot => self.drain_if_free::<ToBot>(&parked.session_id, deadline).await?,
        };
        Ok(match self.table.outcome(parked).await? {
            Some(Outcome::Delivered) => Redriven::Delivered,
            Some(Outcome::Dropped) => Redriven::Dropped,
            Some(Outcome::Parked) => Redriven::ParkedAgain,
            None => Redriven::Waiting,
        })
    }

    /// Ends a session for both sides: its bot resumes, its chat is closed.
    ///
    /// # Errors
    ///
    /// [`Error`] when the end could not be made durable.
    pub async fn close_session(&self, id: &SessionId, deadline: Timestamp) -> Result<Closed> {
        let Some(mut session) = self.table.session(id).await? else { return Ok(Closed::Unknown) };
        let ended = match session.state {
            State::Closed => {
                return Ok(match Box::pin(self.tell_end_if_missing(&session)).await {
                    Ok(true) => Closed::Closed,
                    Ok(false) => Closed::WasOver,
                    Err(error) => {
                        tracing::warn!(error = %error, session.id = %id,
                            "the bot could not be notified of a session's end");
                        Closed::BotNotTold
                    }
                });
            }
            State::Starting => {
                session.in_doubt_until = Some(session.doubt_of_claim());
                session.closed_by_operator = true;
                self.undo(&session, None, MayBeOpen::Yes, deadline).await.map(|()| false)
            }
            State::Active => self.close_for_operator(&session, deadline).await,
            State::Closing => self.finish_closing(&session, deadline).await,
        };
        // The operator's process ends after this.
        self.background.finished().await;
        match ended {
            Ok(_) | Err(Error::Busy) => {}
            Err(error) => return Err(error),
        }
        let session = self.table.session(id).await?;
        Ok(match session.is_none_or(|session| session.state == State::Closed) {
            true => Closed::Closed,
            false => Closed::Closing,
        })
    }

    /// Does what is still possible for an item of a session that is over: tells each side that has not been told of the end.
    async fn redrive_after_end(&self, session: &Session, parked: &Parked) -> Result<Redriven> {
        let told = match parked.kind.as_str() {
            "close" => self.close_if_open(session).await.and(self.tell_end_if_missing(session).await),
            _ => self.tell_end_if_missing(session).await,
        };
        if let Err(error) = told {
            tracing::warn!(error = %error, session.id = %session.session_id,
                "one side could not be notified of a session's end");
            return Ok(Redriven::NotTold);
        }
        match is_end(parked) {
            true => {
                self.table.discard(parked).await?;
                Ok(Redriven::Delivered)
            }
            false => Ok(Redriven::SessionOver),
        }
    }

    /// Tells the bot that a session is over, unless it has been told. Returns whether it had not.
    async fn tell_end_if_missing(&self, session: &Session) -> Result<bool> {
        let parked = self.table.parked_of(&session.session_id).await?;
        let ends: Vec<_> = parked.into_iter().filter(|item| item.lane == Lane::ToBot && is_end(item)).collect();
        // Earlier versions did not record it, and parked an end that they could not deliver.
        let is_missing = session.bot_told.map_or(!ends.is_empty(), |told| !told);
        if !is_missing || self.has_later_session(session).await? {
            return Ok(false);
        }
        platform::resume(self, session, ResumeReason::AgentClosed).await?;
        self.table.note_bot_told(&session.session_id).await?;
        for end in &ends {
            self.table.discard(end).await?;
        }
        Ok(true)
    }

    /// Whether the user has another session by now, whose bot must not resume because of this one's end.
    async fn has_later_session(&self, session: &Session) -> Result<bool> {
        let user = self.table.user(&session.user_id).await?;
        let Some(later) = user.and_then(|user| user.session_id).filter(|id| *id != session.session_id) else {
            return Ok(false);
        };
        let later = self.table.session(&later).await?;
        Ok(platform::outlives_caller(&session.platform) && later.is_some_and(|later| later.state != State::Closed))
    }

    /// Closes the thread of a session that is over, if it is still open; never that of a later session in the same chat.
    async fn close_if_open(&self, session: &Session) -> Result<()> {
        let Some(thread) = &session.thread else { return Ok(()) };
        let is_open = self.read_thread(thread).await?.thread.is_some_and(|thread| thread.active);
        match is_open {
            true => self.close_beside_starts(&session.user_id, thread, None).await,
            false => Ok(()),
        }
    }
}

/// Whether a parked item is the end of its session.
fn is_end(parked: &Parked) -> bool {
    ["close", "stopped", "superseded", "given_up"].contains(&parked.kind.as_str())
}
