//! What may wait in a lane.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ids::{SessionId, UserId};
use crate::metrics::About;
use crate::model::lane::{Lane, Waiting};
use crate::model::session::{ConversationPointer, Session};
use crate::store::lane::Contents;
use crate::store::{LaneContext, LaneQuery};

/// What one lane carries.
pub(crate) trait Content: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
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

/// A lane whose lease is held, and its context, as of one moment.
#[derive(Debug)]
pub(crate) struct View<C> {
    pub(crate) contents: Contents<C>,
    pub(crate) around: LaneContext,
}

pub(crate) fn about<C: Content>() -> About {
    About::Lane(C::LANE.to_string())
}
