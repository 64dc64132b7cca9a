//! What a lane is made of; the verbs are on [`Table`](super::Table).
//!
//! An item is accepted once per source id, waits in the order of its source's time, and is delivered by whoever holds the
//! lane's lease.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Item;
use crate::clock::Timestamp;
use crate::ids::SessionId;

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
    pub(super) fn parse(name: &str) -> Option<Self> {
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
}

impl<T> Waiting<T> {
    /// An item that nobody has tried to deliver.
    pub const fn new(position: Position, content: T) -> Self {
        Self { position, content, attempts: 0, outcome_unknown: false }
    }
}

/// A lane as its lease holder sees it.
#[derive(Clone, Debug)]
pub struct Contents<T> {
    /// How many items the lane had ever accepted when it was read.
    pub arrivals: u64,
    /// No delivery before this time.
    pub not_before: Option<Timestamp>,
    /// When an item last left the lane.
    pub last_finished_at: Option<Timestamp>,
    /// Whether the lane was taken over from a holder that died: what waits may have been delivered already.
    pub was_interrupted: bool,
    /// What waits, oldest first.
    pub waiting: Vec<Waiting<T>>,
    /// What waits and is in a form that this version does not know.
    pub unread: Vec<Unread>,
}

/// An item that waits in a form that this version does not know: damaged, or written by a newer one.
#[derive(Clone)]
pub struct Unread {
    /// Where it stands.
    pub position: Position,
    pub(super) item: Item,
}

impl fmt::Debug for Unread {
    /// Without what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unread").field("position", &self.position).finish_non_exhaustive()
    }
}

impl<T> Contents<T> {
    /// What the holder of the lease knows of a lane that was idle after so many `arrivals`, until `item` came.
    pub fn alone(arrivals: u64, last_finished_at: Option<Timestamp>, item: Waiting<T>) -> Self {
        Self {
            arrivals: arrivals + 1,
            not_before: None,
            last_finished_at,
            was_interrupted: false,
            waiting: vec![item],
            unread: Vec::new(),
        }
    }
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
pub struct Trail {
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
    /// The direction.
    pub lane: Lane,
    /// The item.
    pub item: &'a Waiting<T>,
    /// What became of it.
    pub outcome: Outcome,
    /// What the other side calls it, where that is known.
    pub vendor_id: Option<String>,
    /// When.
    pub finished_at: Timestamp,
}
