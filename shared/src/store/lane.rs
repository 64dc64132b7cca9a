//! Lanes: the durable, ordered mailboxes of a session.
//!
//! An item is accepted once per source id, waits in the order of its source's time, and is delivered by whoever holds the
//! lane's lease. Acceptance is one transaction that also takes the lease if it is free; completion is one transaction
//! that gives it back only if nothing has arrived meanwhile, so that no item is left behind without somebody who has
//! either seen it or will look again.

use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::due::SHARD as DUE_SHARD;
use super::keys::Key;
use super::transaction::{Change, Transaction};
use super::{Item, Result, Table, number, text};
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
}

/// What became of an item that was to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is in the lane, and the lease is ours.
    WithLease,
    /// It is in the lane; somebody else is delivering and will see it.
    WithoutLease,
    /// It was accepted before.
    Duplicate,
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

/// A lane as its lease holder sees it.
#[derive(Clone, Debug)]
pub struct Contents<T> {
    /// How many items the lane had ever accepted when it was read.
    pub arrivals: u64,
    /// No delivery before this time.
    pub not_before: Option<Timestamp>,
    /// What waits, oldest first.
    pub waiting: Vec<Waiting<T>>,
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

/// Whether the holder still has the lease after giving it back was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The lane is empty and free.
    Yes,
    /// Something arrived meanwhile: look again.
    No,
    /// Somebody else has taken the lane.
    LeaseLost,
}

#[derive(Serialize)]
struct Trail<'a> {
    source_id: &'a str,
    at: Timestamp,
    received_at: Timestamp,
    expires_at: i64,
}

#[derive(Default, Deserialize)]
struct LaneRecord {
    #[serde(default)]
    arrivals: u64,
    #[serde(default)]
    not_before: Option<Timestamp>,
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
}

impl Table {
    /// Puts an item into its lane once, and takes the lane's lease if it is free.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn accept<T: Serialize + Clone>(&self, arrival: &Arrival<'_, T>, lease: &Lease) -> Result<Accepted> {
        let now = text(arrival.received_at);
        let with_lease = Change {
            expression: "SET lease_holder = :holder, lease_until = :until, due_shard = :shard, due_at = :until, \
                         session_id = :session ADD arrivals :one",
            condition: "attribute_not_exists(lease_until) OR lease_until < :now",
            values: vec![
                (":holder", text(&lease.holder)),
                (":until", text(lease.until)),
                (":shard", text(DUE_SHARD)),
                (":session", text(arrival.session_id)),
                (":one", number(1)),
                (":now", now),
            ],
        };
        let outcome = self.arrive(arrival, with_lease)?.commit().await?;
        if outcome.is_done() {
            return Ok(Accepted::WithLease);
        }
        if outcome.refused(TRAIL_WRITE) {
            return Ok(Accepted::Duplicate);
        }
        let without_lease = Change {
            expression: "SET due_shard = :shard, due_at = if_not_exists(due_at, :until), session_id = :session \
                         ADD arrivals :one",
            condition: "",
            values: vec![
                (":until", text(lease.until)),
                (":shard", text(DUE_SHARD)),
                (":session", text(arrival.session_id)),
                (":one", number(1)),
            ],
        };
        match self.arrive(arrival, without_lease)?.commit().await?.is_done() {
            true => Ok(Accepted::WithoutLease),
            false => Ok(Accepted::Duplicate),
        }
    }

    fn arrive<T: Serialize + Clone>(&self, arrival: &Arrival<'_, T>, lane_change: Change) -> Result<Transaction<'_>> {
        let Arrival { session_id, lane, position, .. } = arrival;
        let trail = Trail {
            source_id: &position.source_id,
            at: position.at,
            received_at: arrival.received_at,
            expires_at: arrival.expires_at.unix_seconds(),
        };
        let waiting = Waiting {
            position: position.clone(),
            content: arrival.content.clone(),
            attempts: 0,
            outcome_unknown: false,
        };
        self.transaction()
            .create(&Key::trail(session_id, *lane, &position.source_id), "trail", &trail)?
            .put(&Key::waiting(session_id, *lane, position), "waiting", &waiting)?
            .update(&Key::lane(session_id, *lane), lane_change)
    }

    /// Takes the lease of a lane that has something waiting, if it is free.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn take_lease(&self, id: &SessionId, lane: Lane, lease: &Lease, now: Timestamp) -> Result<bool> {
        let change = Change {
            expression: "SET lease_holder = :holder, lease_until = :until, due_at = :until",
            condition: "attribute_exists(due_at) AND (attribute_not_exists(lease_until) OR lease_until < :now)",
            values: vec![(":holder", text(&lease.holder)), (":until", text(lease.until)), (":now", text(now))],
        };
        Ok(self.transaction().update(&Key::lane(id, lane), change)?.commit().await?.is_done())
    }

    /// Reads a lane and everything that waits in it.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn lane<T: DeserializeOwned>(&self, id: &SessionId, lane: Lane) -> Result<Contents<T>> {
        let key = Key::lane(id, lane);
        let items = self.query(&key.pk, &key.sk).await?;
        let (lanes, waiting): (Vec<Item>, Vec<Item>) =
            items.into_iter().partition(|item| item.get("sk") == Some(&text(&key.sk)));
        let record: LaneRecord = lanes.into_iter().next().map(serde_dynamo::from_item).transpose()?.unwrap_or_default();
        let waiting = waiting.into_iter().map(serde_dynamo::from_item).collect::<Result<_, _>>()?;
        Ok(Contents { arrivals: record.arrivals, not_before: record.not_before, waiting })
    }

    /// Takes a delivered item out of its lane and notes in its trail what became of it.
    ///
    /// With `last_of`, the number of arrivals seen, the lease is given back in the same write.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn complete<T: Serialize>(
        &self,
        done: &Done<'_, T>,
        lease: &Lease,
        last_of: Option<u64>,
    ) -> Result<Released> {
        if let Some(arrivals) = last_of {
            let release = Change {
                expression: RELEASE,
                condition: "lease_holder = :holder AND arrivals = :arrivals",
                values: vec![(":holder", text(&lease.holder)), (":arrivals", number(arrivals))],
            };
            if self.leave(done, release)?.commit().await?.is_done() {
                return Ok(Released::Yes);
            }
        }
        let keep = Change {
            expression: "REMOVE not_before",
            condition: "lease_holder = :holder",
            values: vec![(":holder", text(&lease.holder))],
        };
        match self.leave(done, keep)?.commit().await?.is_done() {
            true => Ok(Released::No),
            false => Ok(Released::LeaseLost),
        }
    }

    fn leave<T: Serialize>(&self, done: &Done<'_, T>, lane_change: Change) -> Result<Transaction<'_>> {
        let Done { session_id, lane, item, outcome, .. } = done;
        let trail = Change {
            expression: "SET outcome = :outcome, finished_at = :now, attempts = :attempts, vendor_id = :vendor",
            condition: "",
            values: vec![
                (":outcome", super::value(outcome)?),
                (":now", text(done.finished_at)),
                (":attempts", number(item.attempts + 1)),
                (":vendor", done.vendor_id.as_ref().map_or(AttributeValue::Null(true), text)),
            ],
        };
        let mut transaction = self
            .transaction()
            .delete(&Key::waiting(session_id, *lane, &item.position))?
            .update(&Key::trail(session_id, *lane, &item.position.source_id), trail)?
            .update(&Key::lane(session_id, *lane), lane_change)?;
        if *outcome == Outcome::Parked {
            transaction = transaction.put(&Key::parked(session_id, *lane, &item.position), "parked", item)?;
        }
        Ok(transaction)
    }

    /// Gives the lease of an empty lane back.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn release(&self, id: &SessionId, lane: Lane, lease: &Lease, arrivals: u64) -> Result<Released> {
        let change = Change {
            expression: RELEASE,
            condition: "lease_holder = :holder AND arrivals = :arrivals",
            values: vec![(":holder", text(&lease.holder)), (":arrivals", number(arrivals))],
        };
        let released = self.transaction().update(&Key::lane(id, lane), change)?.commit().await?.is_done();
        Ok(if released { Released::Yes } else { Released::No })
    }

    /// Gives the lease back with items still waiting: nobody delivers before `not_before`, then the sweep looks here.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn postpone(&self, id: &SessionId, lane: Lane, lease: &Lease, not_before: Timestamp) -> Result<()> {
        let change = Change {
            expression: "SET not_before = :then, due_at = :then REMOVE lease_holder, lease_until",
            condition: "lease_holder = :holder",
            values: vec![(":then", text(not_before)), (":holder", text(&lease.holder))],
        };
        self.transaction().update(&Key::lane(id, lane), change)?.commit().await?;
        Ok(())
    }

    /// Notes a failed attempt on an item that stays at the head of its lane.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn note_attempt<T>(
        &self,
        id: &SessionId,
        lane: Lane,
        item: &Waiting<T>,
        outcome_unknown: bool,
    ) -> Result<()> {
        let change = Change {
            expression: "SET attempts = :attempts, outcome_unknown = :unknown",
            condition: "attribute_exists(pk)",
            values: vec![
                (":attempts", number(item.attempts + 1)),
                (":unknown", AttributeValue::Bool(outcome_unknown || item.outcome_unknown)),
            ],
        };
        self.transaction().update(&Key::waiting(id, lane, &item.position), change)?.commit().await?;
        Ok(())
    }
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

/// Position of the trail in the transaction of [`Table::accept`].
const TRAIL_WRITE: usize = 0;

const RELEASE: &str = "REMOVE lease_holder, lease_until, not_before, due_shard, due_at";
