//! How the content of a lane reaches the other side.

use crate::clock::Timestamp;
use crate::handoff::inbox::content::Content;
use crate::handoff::vendors::limits::Gate;
use crate::handoff::{Handoff, Result};
use crate::model::lane::{Outcome, Reason, Waiting};
use crate::model::session::Session;
use crate::model::user::User;

/// Content that is delivered to the other side.
pub(crate) trait Outbound: Content {
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
    fn deliver(
        handoff: &Handoff,
        session: &mut Session,
        user: Option<&User>,
        item: &Waiting<Self>,
    ) -> impl Future<Output = Result<Attempt>> + Send;

    /// Checks whether an attempt has delivered an item although it seemed to fail.
    fn look(
        handoff: &Handoff,
        session: &Session,
        user: Option<&User>,
        item: &Waiting<Self>,
    ) -> impl Future<Output = Result<Look>> + Send;

    /// Notifies an item's author that it can never be delivered, or that it may not have arrived; safe to call again.
    fn tell_sender(
        handoff: &Handoff,
        session: &Session,
        item: &Waiting<Self>,
        may_have_arrived: bool,
    ) -> impl Future<Output = Result<()>> + Send;
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
