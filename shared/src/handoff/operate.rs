//! What an operator does by hand: deliver again, end a session.

use super::stop::MayBeOpen;
use super::{Handoff, Result};
use crate::bridge::{ToAgent, ToBot};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::store::lane::{Lane, Outcome};
use crate::store::{Parked, State};

/// What came of trying a parked item again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Redriven {
    /// The other side has it.
    Delivered,
    /// There was nothing left to do.
    Dropped,
    /// It is refused as before.
    ParkedAgain,
    /// It is back in its lane, and the sweep goes on with it.
    Waiting,
    /// Its session is over, so it has nowhere to go; it stays parked.
    SessionOver,
    /// It was not parked any more.
    Gone,
}

/// What came of ending a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// Both sides know.
    Closed,
    /// A side could not be told yet, and the sweep goes on.
    Closing,
    /// It was over before.
    WasOver,
    /// There is no such session.
    Unknown,
}

impl Handoff {
    /// Puts a parked item back into its lane and delivers what waits there.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error) when the table failed; what a vendor says is in the answer.
    pub async fn redrive(&self, parked: &Parked, deadline: Timestamp) -> Result<Redriven> {
        let session = self.table.session(&parked.session_id).await?;
        if session.is_none_or(|session| session.state == State::Closed) {
            return Ok(Redriven::SessionOver);
        }
        let now = self.clock.now();
        if !self.table.unpark(parked, now, self.retained_until(now)).await? {
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
    /// [`Error`](super::Error) when the end could not be made durable.
    pub async fn close_session(&self, id: &SessionId, deadline: Timestamp) -> Result<Closed> {
        let Some(session) = self.table.session(id).await? else { return Ok(Closed::Unknown) };
        let ended = match session.state {
            State::Closed => return Ok(Closed::WasOver),
            State::Starting => self.undo(&session, None, MayBeOpen::Yes, deadline).await,
            State::Active => self.supersede(&session, deadline).await,
            State::Closing => self.finish_closing(&session, deadline).await,
        };
        match ended {
            Ok(()) | Err(super::Error::Busy) => {}
            Err(error) => return Err(error),
        }
        let session = self.table.session(id).await?;
        Ok(match session.is_none_or(|session| session.state == State::Closed) {
            true => Closed::Closed,
            false => Closed::Closing,
        })
    }
}
