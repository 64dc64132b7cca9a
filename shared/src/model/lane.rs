//! Lanes: one direction of a session each, and what waits in them.
//!
//! An item is accepted once per source id, waits in the order of its source's time, and is delivered by whoever holds the
//! lane's lease. Items of one time stand in the order in which their source counts them, else in that of their arrival.

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

/// Where an item stands in its lane, and by what a repeat of it is recognised.
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
    /// A value that only the holder knows.
    pub holder: String,
    /// After this, anybody may take the lane.
    pub until: Timestamp,
    /// By when its holder has to answer whoever brought something.
    pub deadline: Timestamp,
}

/// How a lane was found before something is put into it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Occupancy {
    /// Something waits; or nobody has looked.
    #[default]
    Busy,
    /// Somebody delivers.
    Held {
        /// Unless they give the lease back before.
        until: Timestamp,
    },
    /// Nothing waits and nobody delivers.
    Idle {
        /// How many items the lane had ever accepted.
        arrivals: u64,
    },
}

impl Occupancy {
    /// Whether nothing waits and nobody delivers.
    pub const fn is_idle(self) -> bool {
        matches!(self, Self::Idle { .. })
    }

    /// Whether somebody delivers at this time.
    pub fn is_held_at(self, now: Timestamp) -> bool {
        matches!(self, Self::Held { until } if now < until)
    }
}

/// What became of an item that was to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is in the lane, the lease is ours, and nothing else waits: the lane still was as it was found.
    Alone,
    /// It is in the lane, and the lease is ours.
    WithLease,
    /// It is in the lane; somebody else is delivering and will see it.
    WithoutLease,
    /// It was accepted before.
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
    /// Where it stands.
    #[serde(flatten)]
    pub position: Position,
    /// What is to be delivered.
    pub content: T,
    /// Failed attempts so far.
    pub attempts: u32,
    /// Whether an attempt ended without an answer, so that it may have taken effect.
    pub outcome_unknown: bool,
    /// Until when a vendor may still be at work on such an attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_doubt_until: Option<Timestamp>,
    /// Since when it fails at the vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// Since when it is seen to fail alone, while the vendor serves others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone_since: Option<Timestamp>,
}

impl<T> Waiting<T> {
    /// An item that nobody has tried to deliver.
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

/// What is noted of an item that a vendor has failed on once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failing {
    /// Whether that attempt may have taken effect.
    pub outcome_unknown: bool,
    /// Until when a vendor may still be at work on it.
    pub in_doubt_until: Option<Timestamp>,
    /// Since when it fails.
    pub since: Option<Timestamp>,
    /// Since when it is seen to fail alone.
    pub alone_since: Option<Timestamp>,
}

/// How a vendor has just failed on the first item of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The vendor.
    pub vendor: &'a str,
    /// When.
    pub at: Timestamp,
    /// Whether it has named a limit.
    pub is_limit: bool,
}

/// Why an item was put aside, and for how long it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The error in its plain form, which has nothing of the text: `LiveChat refused send_event: validation, status 422`.
    pub cause: String,
    /// Whether the other side may have the item.
    pub outcome_unknown: bool,
    /// Until when it is kept, with its text.
    pub expires_at: Timestamp,
}

/// How much of what people said has left a lane for the other side, and what that has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many messages.
    #[serde(default)]
    pub count: u64,
    /// When the first of them did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Timestamp>,
    /// Vendor calls for what has left the lane, messages or not; those of attempts that were left to the sweep are not counted.
    #[serde(default)]
    pub calls: VendorCalls,
}

impl Tally {
    /// The same with one more, which has left at `at`.
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

/// How the lane of one session has fared lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Fares {
    /// When its vendor last took an item.
    #[serde(default)]
    pub served_at: Option<Timestamp>,
    /// Which that was.
    #[serde(default)]
    pub served_by: Option<String>,
    /// When it was last left because its vendor had failed.
    #[serde(default)]
    pub failed_at: Option<Timestamp>,
    /// Which that was.
    #[serde(default)]
    pub failed_by: Option<String>,
}

/// How an item left its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The other side has it.
    Delivered,
    /// There was nothing to do: the session was over, or the other side knew.
    Dropped,
    /// It can never be delivered as it is; it is kept for an operator.
    Parked,
}

/// What the holder of a lane's lease knows when an item has been dealt with.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// How many items the lane had ever accepted when it was read.
    pub arrivals: u64,
    /// Whether nothing else was in it then.
    pub is_last: bool,
    /// Whether items have kept arriving lately, so that a look saves a transaction that would be refused.
    pub is_lively: bool,
    /// The highest number of an item that has left the lane, this one included.
    pub last_number: Option<u64>,
    /// What people said and has left the lane, this one included.
    pub said: Tally,
}

/// How a lane stands after an item has left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completed {
    /// The lane is empty and free.
    Released,
    /// The next item is the one that was next when the lane was read.
    MoreToDo,
    /// Something has arrived, and may belong before what was next: look again.
    SomethingArrived,
    /// Somebody else has taken the lane.
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
    /// What is to be delivered.
    pub content: &'a T,
    /// When we got it.
    pub received_at: Timestamp,
    /// Until when its trail is kept.
    pub expires_at: Timestamp,
    /// A fingerprint of what it says, by which a later change of it is told from a repeat.
    pub revision: Option<String>,
}

/// What is known of an item that was accepted, whether it still waits or not.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// What became of it, once it has left its lane.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// The fingerprint of what the other side was last told.
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
    /// A fingerprint of what the user has said with it, where agents have that now.
    pub mark: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// What the other side calls it, where that is known.
    pub vendor_id: Option<String>,
    /// When.
    pub finished_at: Timestamp,
    /// The vendor that took it, where that shows that it takes what others send.
    pub served_by: Option<&'static str>,
    /// Why it is put aside, where it is.
    pub parked: Option<Reason>,
    /// Until when its trail is kept, where that has gone.
    pub expires_at: Timestamp,
}

/// What a session is looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The bot's pause has to be renewed before it lapses.
    Pause,
    /// Nobody has taken the session for too long.
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
