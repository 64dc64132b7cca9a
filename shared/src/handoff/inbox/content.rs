//! The contract between a lane and its content: what may wait in a lane, and how one item is delivered.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Timestamp;
use crate::handoff::vendors::limits::Gate;
use crate::handoff::{Handoff, Result};
use crate::ids::{SessionId, UserId};
use crate::metrics::About;
use crate::model::lane::{Lane, Outcome, Reason, Waiting};
use crate::model::session::{ConversationPointer, Session};
use crate::model::user::User;
use crate::store::lane::Contents;
use crate::store::{LaneContext, LaneQuery};

/// What one lane carries, and how it reaches the other side.
pub(crate) trait Content: Serialize + DeserializeOwned + Clone + Send + Sync {
    /// The lane.
    const LANE: Lane;

    /// Another lane whose delivered items get numbers of the same sequence.
    const BESIDE: Option<Lane> = None;

    /// The vendors that a delivery may call.
    const VENDORS: &'static [&'static str];

    /// The user in whose name items are sent, if there is one and it is known.
    fn sender(_whose: LaneKey<'_>) -> Option<&UserId> {
        None
    }

    /// A fingerprint of the text, which tells a later change of it from a repeat.
    fn revision(&self) -> Option<String> {
        None
    }

    /// A fingerprint of what the user says to the agents with it, so that a later transcript does not repeat it.
    fn mark(&self, _user_id: &UserId) -> Option<String> {
        None
    }

    /// Applies edits to waiting items, so that they are delivered in their latest form.
    fn apply_changes(_waiting: &mut [Waiting<Self>]) {}

    /// The number of an item in the sequence of its thread. For an item sent there, it follows from the id that the vendor returns.
    fn number(item: &Waiting<Self>, vendor_id: Option<&str>) -> Option<u64>;

    /// Whether this ends the session: it is delivered after everything else that waits, whatever the clocks of both sides show.
    fn is_end(&self) -> bool;

    /// Whether it is never parked, even if a vendor refuses it.
    fn is_never_parked(&self) -> bool {
        self.is_end()
    }

    /// Whether its delivery shows that the vendor accepts people's messages.
    fn is_spoken(&self) -> bool;

    /// Whether it counts as a person's message in the records of sessions.
    fn is_said(item: &Waiting<Self>) -> bool;

    /// The vendor that receives the deliveries.
    fn vendor(session: &Session) -> &'static str;

    /// The gate of the vendor that receives the deliveries.
    fn gate<'a>(handoff: &'a Handoff, session: &Session) -> &'a Gate;

    /// The earliest time at which the session can take this item.
    fn ready_at(&self, handoff: &Handoff, session: &Session) -> Timestamp;

    /// The earliest time at which this item may follow one that left the lane at `last_finished_at`.
    fn earliest(&self, _handoff: &Handoff, _session: &Session, last_finished_at: Timestamp) -> Timestamp {
        last_finished_at
    }

    /// Delivers one item to the other side; safe to call again after any failure. `user` is the session's, if already read.
    async fn deliver(
        handoff: &Handoff,
        session: &mut Session,
        user: Option<&User>,
        item: &Waiting<Self>,
    ) -> Result<Attempt>;

    /// Checks whether an attempt has delivered an item although it seemed to fail.
    async fn look(handoff: &Handoff, session: &Session, user: Option<&User>, item: &Waiting<Self>) -> Result<Look>;

    /// Notifies an item's author that it can never be delivered, or that it may not have arrived; safe to call again.
    async fn tell_sender(
        handoff: &Handoff,
        session: &Session,
        item: &Waiting<Self>,
        may_have_arrived: bool,
    ) -> Result<()>;
}

/// The lane to drain. A caller that also knows the session's user saves a trip to the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneKey<'a> {
    pub(crate) session_id: &'a SessionId,
    pub(crate) user_id: Option<&'a UserId>,
    /// The source ids of the items for the lane, by which repeats are recognised.
    pub(crate) source_ids: &'a [String],
}

impl<'a> LaneKey<'a> {
    /// The reads that a delivery from this lane needs.
    pub(crate) fn wanted<C: Content>(self) -> LaneQuery<'a> {
        let Self { session_id, source_ids, .. } = self;
        let (lane, beside) = (Some(C::LANE), C::BESIDE);
        LaneQuery { session_id, lane, beside, user_id: C::sender(self), vendors: C::VENDORS, source_ids }
    }
}

impl<'a> From<&'a SessionId> for LaneKey<'a> {
    fn from(session_id: &'a SessionId) -> Self {
        Self { session_id, user_id: None, source_ids: &[] }
    }
}

impl<'a> From<&'a Session> for LaneKey<'a> {
    fn from(session: &'a Session) -> Self {
        Self { user_id: Some(&session.user_id), ..Self::from(&session.session_id) }
    }
}

impl<'a> From<&'a ConversationPointer> for LaneKey<'a> {
    fn from(pointer: &'a ConversationPointer) -> Self {
        Self { user_id: Some(&pointer.user_id), ..Self::from(&pointer.session_id) }
    }
}

/// An item that needs no further attempt.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) outcome: Outcome,
    pub(crate) vendor_id: Option<String>,
    /// Why it is parked, if it is.
    pub(crate) parked: Option<Reason>,
}

impl Delivered {
    pub(crate) fn as_vendor_id(id: impl ToString) -> Self {
        Self { outcome: Outcome::Delivered, vendor_id: Some(id.to_string()), parked: None }
    }

    pub(crate) const fn without_id() -> Self {
        Self { outcome: Outcome::Delivered, vendor_id: None, parked: None }
    }

    pub(crate) const fn dropped() -> Self {
        Self { outcome: Outcome::Dropped, vendor_id: None, parked: None }
    }

    pub(crate) const fn parked(reason: Reason) -> Self {
        Self { outcome: Outcome::Parked, vendor_id: None, parked: Some(reason) }
    }
}

/// The result of looking for an item at the other side.
#[derive(Debug)]
pub(crate) enum Look {
    Arrived(Delivered),
    Missing,
    /// The other side offers no way to look.
    Impossible,
}

impl From<Option<Delivered>> for Look {
    fn from(found: Option<Delivered>) -> Self {
        found.map_or(Self::Missing, Self::Arrived)
    }
}

/// The result of an attempt to deliver an item.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It needs no further attempt.
    Done(Delivered),
    /// It may be tried again from this time on.
    Later(Timestamp, Delay),
}

impl From<Delivered> for Attempt {
    fn from(delivered: Delivered) -> Self {
        Self::Done(delivered)
    }
}

/// Why an item's delivery is delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delay {
    /// It is too early for it.
    Early,
    /// The vendor has failed before, or has named a time.
    FailedBefore,
    /// The vendor has failed on it.
    Failed,
    /// The vendor has refused it because of a limit.
    Limited,
    /// The vendor has failed on it, and waiting is pointless: it does not answer, or refuses the stack's credentials.
    FailedForLong,
}

/// A lane whose lease is held, and its context, as of one moment.
#[derive(Debug)]
pub(crate) struct View<C> {
    pub(crate) contents: Contents<C>,
    pub(crate) around: LaneContext,
}

pub(crate) fn about<C: Content>() -> About {
    About::Lane(C::LANE.to_string())
}
