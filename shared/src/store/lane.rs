//! What a lane is made of; the verbs are on [`Table`](super::Table).
//!
//! An item is accepted once per source id, waits in the order of its source's time, and is delivered by whoever holds the
//! lane's lease. Items of one time stand in the order in which their source counts them, else in that of their arrival.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Item;
use crate::clock::Timestamp;
use crate::ids::{SessionId, UserId, numbered};

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

/// Puts what was found in a lane in its order; each with its position and the time of its arrival, where that is known.
///
/// What one source counts stands together, where the first of it has arrived: so the order is the same whichever items are
/// compared first.
pub fn in_order<T>(found: Vec<(Position, Option<Timestamp>, T)>) -> Vec<T> {
    let of_source = |position: &Position| (position.at, numbered(&position.source_id).0.to_owned());
    let mut first_arrivals = HashMap::new();
    for (position, arrived_at, _) in &found {
        let first = first_arrivals.entry(of_source(position)).or_insert(*arrived_at);
        *first = (*first).min(*arrived_at);
    }
    let mut found = found;
    found.sort_by_cached_key(|(position, arrived_at, _)| {
        let (at, stem) = of_source(position);
        let first_arrival = first_arrivals.get(&(at, stem.clone())).copied().flatten();
        (at, first_arrival, stem, numbered(&position.source_id).1, *arrived_at)
    });
    found.into_iter().map(|(.., item)| item).collect()
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

/// How much of what people said has left a lane for the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many messages.
    #[serde(default)]
    pub count: u64,
    /// When the first of them did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Timestamp>,
}

impl Tally {
    /// The same with one more, which has left at `at`.
    #[must_use]
    pub fn and_one(self, at: Timestamp) -> Self {
        Self { count: self.count.saturating_add(1), first_at: self.first_at.or(Some(at)) }
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

/// A lane as its lease holder sees it.
#[derive(Clone, Debug)]
pub struct Contents<T> {
    /// How many items the lane had ever accepted when it was read.
    pub arrivals: u64,
    /// When the last of them came, where that is recorded.
    pub arrived_at: Option<Timestamp>,
    /// No delivery before this time.
    pub not_before: Option<Timestamp>,
    /// When an item last left the lane.
    pub last_finished_at: Option<Timestamp>,
    /// The highest number of an item that has left the lane, where its source numbers what follows one another.
    pub last_number: Option<u64>,
    /// Since when a vendor has refused the lane because of a limit and has taken nothing of it.
    pub limited_since: Option<Timestamp>,
    /// What people said and has left the lane.
    pub said: Tally,
    /// Whether the lane was taken over from a holder that died: what waits may have been delivered already.
    pub was_interrupted: bool,
    /// When the lease ended that the lane was taken over with: until then its holder may have called.
    pub interrupted_until: Option<Timestamp>,
    /// Whether the record of the lane is to go at some time, as it is once its session is over.
    pub expires: bool,
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
    pub fn alone(
        arrivals: u64,
        last_finished_at: Option<Timestamp>,
        last_number: Option<u64>,
        said: Tally,
        item: Waiting<T>,
    ) -> Self {
        Self {
            arrivals: arrivals + 1,
            arrived_at: None,
            not_before: None,
            last_finished_at,
            last_number,
            limited_since: None,
            said,
            was_interrupted: false,
            interrupted_until: None,
            expires: false,
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
    /// Its user.
    pub user_id: &'a UserId,
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
    /// The vendor that took it, where that shows that it takes what others send.
    pub served_by: Option<&'static str>,
    /// Why it is put aside, where it is.
    pub parked: Option<Reason>,
    /// Until when its trail is kept, where that has gone.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(items: &[(i64, &str, Option<i64>)]) -> Vec<String> {
        let time = Timestamp::from_unix_millis;
        let found = items.iter().map(|(at, source_id, arrived_at)| {
            let position = Position { at: time(*at), source_id: (*source_id).to_owned() };
            (position, arrived_at.map(time), (*source_id).to_owned())
        });
        in_order(found.collect())
    }

    #[test]
    fn items_of_one_time_stand_as_they_were_counted_or_as_they_arrived() {
        let found = [
            (5, "event:T_10", Some(6)),
            (5, "event:T_2", Some(9)),
            (5, "message:z", Some(7)),
            (5, "message:a", Some(8)),
            (4, "event:T_11", Some(9)),
            (5, "said:x", None),
        ];
        let expected = ["event:T_11", "said:x", "event:T_2", "event:T_10", "message:z", "message:a"];
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..100 {
            let mut found = found;
            random.shuffle(&mut found);
            assert_eq!(order(&found), expected);
        }
    }

    #[test]
    fn parts_of_a_message_are_counted_however_many_digits_they_have() {
        let found = [(1, "message:m_7#100", Some(1)), (1, "message:m_7#09", Some(1)), (1, "message:m_7#99", Some(1))];
        assert_eq!(order(&found), ["message:m_7#09", "message:m_7#99", "message:m_7#100"]);
    }
}
