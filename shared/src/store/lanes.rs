//! Lanes: the durable, ordered mailboxes of a session.
//!
//! Acceptance is one transaction that also takes the lease if it is free; completion is one transaction that gives it back
//! only if nothing has arrived meanwhile, so that no item is left behind without somebody who has either seen it or will
//! look again.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::keys::{DUE_SHARD, Key};
use super::lane::{Accepted, Arrival, Completed, Contents, Done, Lane, Lease, Occupancy, Outcome, Waiting};
use super::transaction::{Change, Transaction};
use super::{Item, Result, Table, number, text};
use crate::clock::Timestamp;
use crate::ids::SessionId;

/// Position of the trail in the transaction of [`Table::accept`].
pub(super) const TRAIL_WRITE: usize = 0;

/// How many writes an arrival takes.
pub(super) const ARRIVAL_WRITES: usize = 3;

/// Stands for the holder that a lane was not taken from.
const NOBODY: &str = "nobody";

/// Nobody holds the lease, or somebody has died with it.
const FREE: &str = "attribute_not_exists(lease_until) OR lease_until <= :now";

const GO_ON: &str = "SET last_finished_at = :now REMOVE not_before";

const GO_ON_AND_RELEASE: &str =
    "SET last_finished_at = :now REMOVE lease_holder, lease_until, not_before, due_shard, due_at";

const RELEASE: &str = "REMOVE lease_holder, lease_until, not_before, due_shard, due_at";

#[derive(Serialize)]
struct Trail<'a> {
    source_id: &'a str,
    at: Timestamp,
    received_at: Timestamp,
    expires_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'a str>,
}

#[derive(Default, Deserialize)]
struct LaneRecord {
    #[serde(default)]
    arrivals: u64,
    #[serde(default)]
    not_before: Option<Timestamp>,
    #[serde(default)]
    arrived_at: Option<Timestamp>,
    #[serde(default)]
    interrupted_holder: Option<String>,
    #[serde(default)]
    last_finished_at: Option<Timestamp>,
}

impl Table {
    /// Puts an item into its lane once, and takes the lane's lease if it is free.
    ///
    /// Where the lane still is as idle as it was `found`, whoever puts the item there knows all that waits.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn accept<T: Serialize + Clone>(
        &self,
        arrival: &Arrival<'_, T>,
        lease: &Lease,
        found: Occupancy,
    ) -> Result<Accepted> {
        if let Occupancy::Idle { arrivals } = found {
            let outcome = self.arrive(arrival, while_idle(arrival, lease, arrivals))?.commit("table accept").await?;
            if outcome.is_done() {
                return Ok(Accepted::Alone);
            }
            if outcome.refused(TRAIL_WRITE) {
                return Ok(Accepted::Duplicate);
            }
        }
        self.accept_either(arrival, with_lease(arrival, lease), without_lease(arrival, lease.until)).await
    }

    /// Puts an item into its lane once, and takes no lease: from `not_before` on, whoever looks there first delivers it. Tells
    /// whether it is new.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn accept_for<T: Serialize + Clone>(
        &self,
        not_before: Timestamp,
        arrival: &Arrival<'_, T>,
    ) -> Result<bool> {
        let (to_free, to_held) = (with_delay(arrival, not_before), without_lease(arrival, not_before));
        Ok(self.accept_either(arrival, to_free, to_held).await? != Accepted::Duplicate)
    }

    /// One of these changes fits the lane, depending on whether its lease is free.
    async fn accept_either<T: Serialize + Clone>(
        &self,
        arrival: &Arrival<'_, T>,
        to_free: Change,
        to_held: Change,
    ) -> Result<Accepted> {
        loop {
            for (change, accepted) in [(&to_free, Accepted::WithLease), (&to_held, Accepted::WithoutLease)] {
                let outcome = self.arrive(arrival, change.clone())?.commit("table accept").await?;
                if outcome.is_done() {
                    return Ok(accepted);
                }
                if outcome.refused(TRAIL_WRITE) {
                    return Ok(Accepted::Duplicate);
                }
            }
            // The holder has given the lease back between the two, and would never see the item.
        }
    }

    pub(super) fn arrive<T: Serialize + Clone>(
        &self,
        arrival: &Arrival<'_, T>,
        lane_change: Change,
    ) -> Result<Transaction<'_>> {
        let Arrival { session_id, lane, position, .. } = arrival;
        let trail = Trail {
            source_id: &position.source_id,
            at: position.at,
            received_at: arrival.received_at,
            expires_at: arrival.expires_at.unix_seconds(),
            revision: arrival.revision.as_deref(),
        };
        let waiting = Waiting::new(position.clone(), arrival.content.clone());
        self.transaction()
            .create_over_expired(
                &Key::trail(session_id, *lane, &position.source_id),
                "trail",
                &trail,
                arrival.received_at,
            )?
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
            expression: "SET interrupted_holder = if_not_exists(lease_holder, :nobody), lease_holder = :holder, \
                         lease_until = :until, due_at = :until",
            condition: "attribute_exists(due_at) AND (attribute_not_exists(lease_until) OR lease_until <= :now)",
            values: vec![
                (":holder", text(&lease.holder)),
                (":nobody", text(NOBODY)),
                (":until", text(lease.until)),
                (":now", text(now)),
            ],
        };
        Ok(self.transaction().update(&Key::lane(id, lane), change)?.commit("table take_lease").await?.is_done())
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
        let was_interrupted = record.interrupted_holder.is_some_and(|holder| holder != NOBODY);
        let LaneRecord { arrivals, not_before, last_finished_at, .. } = record;
        Ok(Contents { arrivals, not_before, last_finished_at, was_interrupted, waiting })
    }

    /// When something last arrived in a lane.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn last_arrival(&self, id: &SessionId, lane: Lane) -> Result<Option<Timestamp>> {
        let record: Option<LaneRecord> = self.get(&Key::lane(id, lane)).await?;
        Ok(record.and_then(|record| record.arrived_at))
    }

    /// Takes a delivered item out of its lane and notes in its trail what became of it.
    ///
    /// `arrivals` is the number seen when the lane was read. As long as it still holds, the caller knows what comes next,
    /// and after the last item the lease is given back in the same write.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn complete<T: Serialize>(
        &self,
        done: &Done<'_, T>,
        lease: &Lease,
        arrivals: u64,
        is_last: bool,
    ) -> Result<Completed> {
        let (expression, completed) = match is_last {
            true => (GO_ON_AND_RELEASE, Completed::Released),
            false => (GO_ON, Completed::MoreToDo),
        };
        let unless_new = Change {
            expression,
            condition: "lease_holder = :holder AND arrivals = :arrivals",
            values: vec![
                (":holder", text(&lease.holder)),
                (":arrivals", number(arrivals)),
                (":now", text(done.finished_at)),
            ],
        };
        if self.leave(done, unless_new)?.commit("table complete").await?.is_done() {
            return Ok(completed);
        }
        let anyway = Change {
            expression: GO_ON,
            condition: "lease_holder = :holder",
            values: vec![(":holder", text(&lease.holder)), (":now", text(done.finished_at))],
        };
        match self.leave(done, anyway)?.commit("table complete").await?.is_done() {
            true => Ok(Completed::SomethingArrived),
            false => Ok(Completed::LeaseLost),
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

    /// Gives the lease of an empty lane back; tells whether it still was ours and nothing has arrived meanwhile.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn release(&self, id: &SessionId, lane: Lane, lease: &Lease, arrivals: u64) -> Result<bool> {
        let change = Change {
            expression: RELEASE,
            condition: "lease_holder = :holder AND arrivals = :arrivals",
            values: vec![(":holder", text(&lease.holder)), (":arrivals", number(arrivals))],
        };
        Ok(self.transaction().update(&Key::lane(id, lane), change)?.commit("table release").await?.is_done())
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
        self.transaction().update(&Key::lane(id, lane), change)?.commit("table postpone").await?;
        Ok(())
    }

    /// Notes that a lane's last holder died, so that whatever waits may have been delivered already.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn note_interruption<T>(&self, id: &SessionId, lane: Lane, waiting: &[Waiting<T>]) -> Result<()> {
        for item in waiting {
            let doubt = Change {
                expression: "SET outcome_unknown = :unknown",
                condition: "attribute_exists(pk)",
                values: vec![(":unknown", AttributeValue::Bool(true))],
            };
            let key = Key::waiting(id, lane, &item.position);
            self.transaction().update(&key, doubt)?.commit("table note_interruption").await?;
        }
        let known = Change { expression: "REMOVE interrupted_holder", condition: "", values: Vec::new() };
        self.transaction().update(&Key::lane(id, lane), known)?.commit("table note_interruption").await?;
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
        self.transaction()
            .update(&Key::waiting(id, lane, &item.position), change)?
            .commit("table note_attempt")
            .await?;
        Ok(())
    }
}

/// An arrival at a lane that is as it was found: empty, free, and with so many arrivals before.
fn while_idle<T>(arrival: &Arrival<'_, T>, lease: &Lease, arrivals: u64) -> Change {
    let mut change = with_lease(arrival, lease);
    // Whatever waits or is delivered makes its lane due; and what came and left meanwhile has been counted.
    change.condition = "attribute_not_exists(due_at) AND attribute_not_exists(arrivals)";
    if arrivals > 0 {
        change.condition = "attribute_not_exists(due_at) AND arrivals = :arrivals";
        change.values.push((":arrivals", number(arrivals)));
    }
    change
}

/// An arrival that makes its bringer the holder of a free lease.
pub(super) fn with_lease<T>(arrival: &Arrival<'_, T>, lease: &Lease) -> Change {
    Change {
        expression: "SET interrupted_holder = if_not_exists(lease_holder, :nobody), lease_holder = :holder, \
                     lease_until = :until, due_shard = :shard, due_at = :until, session_id = :session, \
                     arrived_at = :now ADD arrivals :one",
        condition: FREE,
        values: vec![
            (":holder", text(&lease.holder)),
            (":nobody", text(NOBODY)),
            (":until", text(lease.until)),
            (":shard", text(DUE_SHARD)),
            (":session", text(arrival.session_id)),
            (":one", number(1)),
            (":now", text(arrival.received_at)),
        ],
    }
}

/// An arrival at a free lane that nobody looks at before a given time.
fn with_delay<T>(arrival: &Arrival<'_, T>, not_before: Timestamp) -> Change {
    Change {
        expression: "SET due_shard = :shard, due_at = :then, not_before = :then, session_id = :session, arrived_at = :now \
                     ADD arrivals :one",
        condition: FREE,
        values: vec![
            (":then", text(not_before)),
            (":shard", text(DUE_SHARD)),
            (":session", text(arrival.session_id)),
            (":one", number(1)),
            (":now", text(arrival.received_at)),
        ],
    }
}

/// An arrival that is left to the present holder of the lease, and to everybody after that.
pub(super) fn without_lease<T>(arrival: &Arrival<'_, T>, due_at: Timestamp) -> Change {
    Change {
        expression: "SET due_shard = :shard, due_at = if_not_exists(due_at, :then), session_id = :session, \
                     arrived_at = :now ADD arrivals :one",
        condition: "lease_until > :now",
        values: vec![
            (":then", text(due_at)),
            (":shard", text(DUE_SHARD)),
            (":session", text(arrival.session_id)),
            (":one", number(1)),
            (":now", text(arrival.received_at)),
        ],
    }
}
