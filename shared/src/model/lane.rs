//! Lanes, one for each direction of a session, and the items that wait in them.
//!
//! An item is accepted once per source id, waits in the order of its source's time, and is delivered by the holder of the
//! lane's lease. Items with the same time are in the order in which their source counts them, else in order of arrival.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{SessionId, UserId};
use crate::model::vendor_calls::VendorCalls;

/// A direction of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// From the bot's user to LiveChat.
    ToAgent,
    /// From LiveChat to the bot.
    ToBot,
}

impl Lane {
    /// The lane with this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::ToAgent, Self::ToBot].into_iter().find(|lane| lane.to_string() == name)
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToAgent => "to_agent",
            Self::ToBot => "to_bot",
        })
    }
}

/// An item's place in its lane, and the id by which a repeat of it is recognised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The source's own time.
    pub at: Timestamp,
    /// The source's own id, unique within the lane.
    pub source_id: String,
}

/// The right to deliver from a lane.
#[derive(Clone, Debug)]
pub struct Lease {
    /// A value known only to the holder.
    pub holder: String,
    /// After this time another invocation may take the lane.
    pub until: Timestamp,
    /// When the holder has to answer the caller that brought an item.
    pub deadline: Timestamp,
}

/// The state of a lane before an item is put into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Occupancy {
    /// Something waits, or the lane has not been looked at.
    #[default]
    Busy,
    /// A holder is delivering.
    Held {
        /// The end of the lease, unless the holder gives it back earlier.
        until: Timestamp,
    },
    /// Nothing waits, and no holder is delivering.
    Idle {
        /// How many items the lane has accepted in total.
        arrivals: u64,
    },
}

impl Occupancy {
    /// Whether nothing waits and no holder is delivering.
    pub const fn is_idle(self) -> bool {
        matches!(self, Self::Idle { .. })
    }

    /// Whether a holder is delivering at this time.
    pub fn is_held_at(self, now: Timestamp) -> bool {
        matches!(self, Self::Held { until } if now < until)
    }
}

/// The result of accepting an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The item is in the lane, the lease is ours, and nothing else waits: the lane was still in its observed state.
    Alone,
    /// The item is in the lane, and the lease is ours.
    WithLease,
    /// The item is in the lane; another holder is delivering and will see it.
    WithoutLease,
    /// The item was accepted before.
    Duplicate,
}

impl Accepted {
    /// Whether the lease is ours.
    pub const fn holds_lease(self) -> bool {
        matches!(self, Self::Alone | Self::WithLease)
    }
}

/// An item that waits for delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting<T> {
    /// Its place.
    #[serde(flatten)]
    pub position: Position,
    /// What to deliver.
    pub content: T,
    /// Failed attempts so far.
    pub attempts: u32,
    /// Whether an attempt got no answer, so that it may have taken effect.
    pub outcome_unknown: bool,
    /// Until when a vendor may still carry out such an attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_doubt_until: Option<Timestamp>,
    /// Since when it has been failing at the vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// Since when it alone has been failing, while the vendor serves others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone_since: Option<Timestamp>,
}

impl<T> Waiting<T> {
    /// An item without any delivery attempt.
    pub const fn new(position: Position, content: T) -> Self {
        Self {
            position,
            content,
            attempts: 0,
            outcome_unknown: false,
            in_doubt_until: None,
            failing_since: None,
            alone_since: None,
        }
    }
}

/// What is recorded of an item after another failure of its vendor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failing {
    /// Whether that attempt may have taken effect.
    pub outcome_unknown: bool,
    /// Until when a vendor may still carry it out.
    pub in_doubt_until: Option<Timestamp>,
    /// Since when it has been failing.
    pub since: Option<Timestamp>,
    /// Since when it alone has been failing.
    pub alone_since: Option<Timestamp>,
}

/// A vendor's latest failure on the first item of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The vendor.
    pub vendor: &'a str,
    /// When it failed.
    pub at: Timestamp,
    /// Whether the vendor has named a rate limit.
    pub is_limit: bool,
}

/// Why an item was parked, and for how long it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The error in its plain form, without any of the text: `LiveChat refused send_event: validation, status 422`.
    pub cause: String,
    /// Whether the other side may have the item.
    pub outcome_unknown: bool,
    /// Until when it is kept, with its text.
    pub expires_at: Timestamp,
}

/// How many messages of people have left a lane for the other side, and the vendor calls for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The number of messages.
    #[serde(default)]
    pub count: u64,
    /// When the first of them left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Timestamp>,
    /// Vendor calls for everything that has left the lane, messages or not, without those of attempts that were left to the
    /// sweep.
    #[serde(default)]
    pub calls: VendorCalls,
}

impl Tally {
    /// The same with one more message, which left at `at`.
    #[must_use]
    pub fn and_one(self, at: Timestamp) -> Self {
        Self { count: self.count.saturating_add(1), first_at: self.first_at.or(Some(at)), ..self }
    }

    /// The same with more vendor calls.
    #[must_use]
    pub const fn and_calls(self, calls: VendorCalls) -> Self {
        Self { calls: self.calls.plus(calls), ..self }
    }
}

/// The recent history of one session's lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Fares {
    /// When its vendor last accepted an item.
    #[serde(default)]
    pub served_at: Option<Timestamp>,
    /// The vendor.
    #[serde(default)]
    pub served_by: Option<String>,
    /// When it was last left because its vendor had failed.
    #[serde(default)]
    pub failed_at: Option<Timestamp>,
    /// The vendor.
    #[serde(default)]
    pub failed_by: Option<String>,
}

/// How an item left its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The other side has it.
    Delivered,
    /// There was nothing to do: the session was over, or the other side already knew.
    Dropped,
    /// It can never be delivered as it is, and is kept for an operator.
    Parked,
}

/// What the holder of a lane's lease knows after an item is finished.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// How many items the lane had accepted in total when it was read.
    pub arrivals: u64,
    /// Whether the lane contained nothing else then.
    pub is_last: bool,
    /// Whether items have kept arriving recently, so that reading first avoids a transaction that would be refused.
    pub is_lively: bool,
    /// The highest number of an item that has left the lane, including this one.
    pub last_number: Option<u64>,
    /// The messages of people that have left the lane, including this one.
    pub said: Tally,
}

/// The state of a lane after an item has left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    /// The lane is empty and free.
    Released,
    /// The next item is still the one that was next when the lane was read.
    MoreToDo,
    /// An item has arrived that may belong before the next one: read again.
    SomethingArrived,
    /// Another invocation has taken the lane.
    LeaseLost,
}

/// An item on its way into a lane.
#[derive(Clone, Debug)]
pub struct Arrival<'a, T> {
    /// The session.
    pub session_id: &'a SessionId,
    /// The direction.
    pub lane: Lane,
    /// Its place.
    pub position: Position,
    /// What to deliver.
    pub content: &'a T,
    /// When the service received it.
    pub received_at: Timestamp,
    /// Until when its receipt is kept.
    pub expires_at: Timestamp,
    /// A fingerprint of its text, which distinguishes a later change from a repeat.
    pub revision: Option<String>,
}

/// What is known of an accepted item, whether it still waits or not.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// Its outcome, once it has left its lane.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// The fingerprint of the version that the other side last received.
    #[serde(default)]
    pub revision: Option<String>,
}

/// An item that leaves its lane.
#[derive(Clone, Debug)]
pub struct Done<'a, T> {
    /// The session.
    pub session_id: &'a SessionId,
    /// Its user.
    pub user_id: &'a UserId,
    /// The direction.
    pub lane: Lane,
    /// The item.
    pub item: &'a Waiting<T>,
    /// A fingerprint of the user's message, if agents have it now.
    pub mark: Option<String>,
    /// Its outcome.
    pub outcome: Outcome,
    /// The other side's id for it, if known.
    pub vendor_id: Option<String>,
    /// When it left.
    pub finished_at: Timestamp,
    /// The vendor that accepted it, if that shows that the vendor accepts other items, too.
    pub served_by: Option<&'static str>,
    /// The reason, if it is parked.
    pub parked: Option<Reason>,
    /// Until when its receipt is kept, in case the receipt is missing by now.
    pub expires_at: Timestamp,
}

/// Why a session becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The bot's pause has to be renewed before it lapses.
    Pause,
    /// No agent has taken the session for too long.
    Assignment,
}

impl Timer {
    /// The timer with this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Pause, Self::Assignment].into_iter().find(|timer| timer.to_string() == name)
    }
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pause => "pause",
            Self::Assignment => "assignment",
        })
    }
}
