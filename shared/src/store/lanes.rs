//! Lanes: the durable, ordered mailboxes of a session.
//!
//! Acceptance is one transaction that also takes the lease if it is free. Completion is one transaction that gives the lease back
//! only if nothing has arrived meanwhile. So no item is left behind: a holder has seen it, or a holder or the sweep will look again.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keys::{DUE_SHARD, Key, PARKED_SHARD};
use super::lane::{Contents, LaneRecord, Unread, in_order, occupancy_of};
use super::operator::Raw;
use super::retry::Tries;
use super::transaction::{Change, Committed, Transaction, Try};
use super::{Item, Result, Table, has_expired, number, text};
use crate::clock::Timestamp;
use crate::ids::{SessionId, UserId};
use crate::model::lane::{
    Accepted, Arrival, Completed, Done, Failing, Failure, Known, Lane, Lease, Occupancy, Outcome, Position, Reason,
    Waiting,
};

/// Position of the trail in the transaction of [`Table::accept`].
pub(super) const TRAIL_WRITE: usize = 0;

/// How many writes an arrival takes.
pub(super) const ARRIVAL_WRITES: usize = 3;

/// The cause of parking an item that this version does not know.
const UNREADABLE: &str = "this version cannot read the item";

/// The interrupted holder of a lane that was free when its lease was taken.
const NOBODY: &str = "nobody";

/// The lease is free, or its holder died and it has lapsed.
const FREE: &str = "attribute_not_exists(lease_until) OR lease_until <= :now";

const GO_ON: &str = "SET last_finished_at = :now, last_number = :number, said = :said REMOVE not_before";

const GO_ON_AND_RELEASE: &str = "SET last_finished_at = :now, last_number = :number, said = :said \
     REMOVE lease_holder, lease_until, not_before, due_shard, due_at";

/// The same after a delivery that shows that the vendor accepts items.
const GO_ON_SERVED: &str = "SET last_finished_at = :now, last_number = :number, said = :said, served_at = :now, served_by = :vendor \
     REMOVE not_before, failed_at, limited_since";

const GO_ON_SERVED_AND_RELEASE: &str = "SET last_finished_at = :now, last_number = :number, said = :said, served_at = :now, served_by = :vendor \
     REMOVE lease_holder, lease_until, not_before, due_shard, due_at, failed_at, limited_since";

const RELEASE: &str = "REMOVE lease_holder, lease_until, not_before, due_shard, due_at";

const POSTPONE_FAILED: &str = "SET not_before = :then, due_at = :then, failed_at = :at, failed_by = :vendor \
     REMOVE lease_holder, lease_until, limited_since";

const POSTPONE_LIMITED: &str = "SET not_before = :then, due_at = :then, failed_at = :at, failed_by = :vendor, \
     limited_since = if_not_exists(limited_since, :at) REMOVE lease_holder, lease_until";

#[derive(Serialize)]
struct NewReceipt<'a> {
    source_id: &'a str,
    at: Timestamp,
    received_at: Timestamp,
    expires_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'a str>,
}

/// A waiting item as it is first written.
#[derive(Serialize)]
struct Arriving<T> {
    #[serde(flatten)]
    waiting: Waiting<T>,
    arrived_at: Timestamp,
}

/// A change of the lane's record that lets an item in, and the result if its condition holds.
pub(super) struct Way {
    pub(super) change: Change,
    pub(super) accepted: Accepted,
}

/// Chooses the way into a lane in the state `found`. It does not assume that an idle lane still is.
pub(super) fn entrance<T>(arrival: &Arrival<'_, T>, lease: &Lease, found: Occupancy) -> Way {
    match found.is_held_at(arrival.received_at) {
        true => Way { change: without_lease(arrival, lease.until), accepted: Accepted::WithoutLease },
        false => Way { change: with_lease(arrival, lease), accepted: Accepted::WithLease },
    }
}

impl Table {
    /// Puts an item into its lane once, and takes the lane's lease if it is free.
    ///
    /// If the lane is still as idle as it was `found`, the caller knows everything that waits in it.
    pub async fn accept<T: Serialize + Clone>(
        &self,
        arrival: &Arrival<'_, T>,
        lease: &Lease,
        found: Occupancy,
    ) -> Result<Accepted> {
        let tries = self.tries_until(lease.deadline);
        if let Occupancy::Idle { arrivals } = found {
            let as_found = Way { change: while_idle(arrival, lease, arrivals), accepted: Accepted::Alone };
            return self.arrive_by(as_found, arrival, tries, |now| entrance(arrival, lease, now)).await;
        }
        self.arrive_by(entrance(arrival, lease, found), arrival, tries, |now| entrance(arrival, lease, now)).await
    }

    /// Puts an item into its lane once and takes no lease: from `not_before` on, the first to look there delivers it. Returns
    /// whether the item is new.
    pub async fn accept_for<T: Serialize + Clone>(
        &self,
        not_before: Timestamp,
        arrival: &Arrival<'_, T>,
    ) -> Result<bool> {
        let way = |found: Occupancy| match found.is_held_at(arrival.received_at) {
            true => Way { change: without_lease(arrival, not_before), accepted: Accepted::WithoutLease },
            false => Way { change: with_delay(arrival, not_before), accepted: Accepted::WithoutLease },
        };
        Ok(self.arrive_by(way(Occupancy::Busy), arrival, self.tries(), way).await? != Accepted::Duplicate)
    }

    /// Tries `first`. If the lane is in another state, or another write interferes, reads the lane and takes the `way` that
    /// fits its state.
    async fn arrive_by<T: Serialize + Clone>(
        &self,
        first: Way,
        arrival: &Arrival<'_, T>,
        mut tries: Tries<'_>,
        way: impl Fn(Occupancy) -> Way,
    ) -> Result<Accepted> {
        let Way { mut change, mut accepted } = first;
        loop {
            match self.arrive(arrival, change)?.attempt("table accept").await? {
                Try::Through(outcome) if outcome.is_done() => return Ok(accepted),
                Try::Through(outcome) if outcome.refused(TRAIL_WRITE) => return Ok(Accepted::Duplicate),
                Try::Through(_) => {}
                Try::Met(error) => tries.pause(error).await?,
            }
            let Some(found) = self.look_before_arrival(arrival).await? else { return Ok(Accepted::Duplicate) };
            Way { change, accepted } = way(found);
        }
    }

    /// Reads how a lane is occupied just before an arrival; returns `None` if the item has already arrived there.
    pub(super) async fn look_before_arrival<T>(&self, arrival: &Arrival<'_, T>) -> Result<Option<Occupancy>> {
        let Arrival { session_id, lane, position, received_at, .. } = arrival;
        let trail = Key::trail(session_id, *lane, &position.source_id);
        let mut found = Occupancy::Idle { arrivals: 0 };
        for item in self.get_all(&[Key::lane(session_id, *lane), trail.clone()]).await? {
            match item.get("sk") == Some(&text(&trail.sk)) {
                true if !has_expired(&item, *received_at) => return Ok(None),
                true => {}
                false => found = occupancy_of(item)?,
            }
        }
        Ok(Some(found))
    }

    pub(super) fn arrive<T: Serialize + Clone>(
        &self,
        arrival: &Arrival<'_, T>,
        lane_change: Change,
    ) -> Result<Transaction<'_>> {
        let Arrival { session_id, lane, position, .. } = arrival;
        let trail = NewReceipt {
            source_id: &position.source_id,
            at: position.at,
            received_at: arrival.received_at,
            expires_at: arrival.expires_at.unix_seconds(),
            revision: arrival.revision.as_deref(),
        };
        let waiting = Waiting::new(position.clone(), arrival.content.clone());
        let waiting = Arriving { waiting, arrived_at: arrival.received_at };
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

    /// Takes the lease of a lane with waiting items, if it is free.
    pub async fn take_lease(&self, id: &SessionId, lane: Lane, lease: &Lease, now: Timestamp) -> Result<bool> {
        let change = Change {
            expression: "SET interrupted_holder = if_not_exists(lease_holder, :nobody), \
                         interrupted_until = if_not_exists(lease_until, :now), lease_holder = :holder, \
                         lease_until = :until, due_at = :until",
            condition: "attribute_exists(due_at) AND (attribute_not_exists(lease_until) OR lease_until <= :now)",
            values: vec![
                (":holder", text(&lease.holder)),
                (":nobody", text(NOBODY)),
                (":until", text(lease.until)),
                (":now", text(now)),
            ],
        };
        self.update("table take_lease", &Key::lane(id, lane), change).await
    }

    /// Reads a lane and all of its waiting items.
    pub async fn lane<T: DeserializeOwned>(&self, id: &SessionId, lane: Lane) -> Result<Contents<T>> {
        let key = Key::lane(id, lane);
        let items = self.query(&key.pk, &key.sk).await?;
        let (lanes, waiting): (Vec<Item>, Vec<Item>) =
            items.into_iter().partition(|item| item.get("sk") == Some(&text(&key.sk)));
        let record: LaneRecord = lanes.into_iter().next().map(serde_dynamo::from_item).transpose()?.unwrap_or_default();
        let was_interrupted = record.interrupted_holder.is_some_and(|holder| holder != NOBODY);
        let LaneRecord { arrivals, arrived_at, not_before, last_finished_at, .. } = record;
        let LaneRecord { last_number, limited_since, said, interrupted_until, expires_at, .. } = record;
        let mut contents = Contents {
            arrivals,
            arrived_at,
            not_before,
            last_finished_at,
            last_number,
            limited_since,
            said,
            was_interrupted,
            interrupted_until,
            expires: expires_at.is_some(),
            waiting: Vec::new(),
            unread: Vec::new(),
        };
        let mut read: Vec<(Position, Option<Timestamp>, Waiting<T>)> = Vec::new();
        for item in waiting {
            let arrived_at = item.get("arrived_at").and_then(|at| Timestamp::parse(at.as_s().ok()?));
            match serde_dynamo::from_item::<_, Waiting<T>>(item.clone()) {
                Ok(waiting) => read.push((waiting.position.clone(), arrived_at, waiting)),
                Err(error) => contents.unread.push(unread(lane, item).ok_or(error)?),
            }
        }
        contents.waiting = in_order(read);
        Ok(contents)
    }

    /// Parks an item that this version cannot read, unchanged, so that the items behind it can be delivered. Returns `false` if
    /// another holder has taken the lane.
    pub async fn park_unread(
        &self,
        (id, user_id): (&SessionId, &UserId),
        lane: Lane,
        lease: &Lease,
        unread: &Unread,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<bool> {
        let Unread { position, item } = unread;
        let outcome_unknown = item.get("outcome_unknown").and_then(|known| known.as_bool().ok()).copied();
        let reason =
            Reason { cause: UNREADABLE.to_owned(), outcome_unknown: outcome_unknown.unwrap_or(true), expires_at };
        let mut item = put_aside(item.clone(), now, &reason, user_id);
        // Lists of parked items need these two, whatever else the item lacks.
        item.insert("at".to_owned(), text(position.at));
        item.insert("source_id".to_owned(), text(&position.source_id));
        let outcome = super::value(&Outcome::Parked)?;
        let trail = Change {
            expression: "SET outcome = :outcome, finished_at = :now, source_id = :source, \
                         expires_at = if_not_exists(expires_at, :expires)",
            condition: "",
            values: vec![
                (":outcome", outcome),
                (":now", text(now)),
                (":source", text(&position.source_id)),
                (":expires", number(expires_at.unix_seconds())),
            ],
        };
        let ours = Change {
            expression: "SET last_finished_at = :now REMOVE not_before",
            condition: "lease_holder = :holder",
            values: vec![(":holder", text(&lease.holder)), (":now", text(now))],
        };
        let transaction = self
            .transaction()
            .delete(&Key::waiting(id, lane, position))?
            .update(&Key::trail(id, lane, &position.source_id), trail)?
            .update(&Key::lane(id, lane), ours)?
            .put(&Key::parked(id, lane, position), "parked", &Raw(item))?;
        Ok(transaction.commit("table park_unread", self.tries_until(lease.until)).await?.is_done())
    }

    /// Returns when the oldest item of a lane was written, or `None` if none waits. It reads only keys, so unreadable items count too.
    pub async fn oldest_waiting(&self, id: &SessionId, lane: Lane) -> Result<Option<Timestamp>> {
        let key = Key::lane(id, lane);
        let request = self.client.query().table_name(&self.name).limit(1).projection_expression("sk");
        let mut pages = request
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(&key.pk))
            .expression_attribute_values(":prefix", text(format!("{}#", key.sk)))
            .into_paginator()
            .send();
        // The first page may be empty although items wait.
        while let Some(page) = pages.next().await {
            let page = page?;
            let Some(item) = page.items().first() else { continue };
            let position = item.get("sk").and_then(|sk| Key::position_of(lane, sk.as_s().ok()?));
            return Ok(position.map(|position| position.at));
        }
        Ok(None)
    }

    /// Returns when an item last arrived in a lane.
    pub async fn last_arrival(&self, id: &SessionId, lane: Lane) -> Result<Option<Timestamp>> {
        let record: Option<LaneRecord> = self.get(&Key::lane(id, lane)).await?;
        Ok(record.and_then(|record| record.arrived_at))
    }

    /// Returns when the user or an agent last said anything that has arrived. The user's messages count from their acceptance.
    pub async fn last_words_at(&self, id: &SessionId) -> Result<Option<Timestamp>> {
        let (to_agent, to_bot) = (Key::lane(id, Lane::ToAgent), Key::lane(id, Lane::ToBot));
        let mut last = None;
        for item in self.get_all(&[to_agent.clone(), to_bot]).await? {
            let is_users = item.get("sk") == Some(&text(&to_agent.sk));
            let record: LaneRecord = serde_dynamo::from_item(item)?;
            // Arrivals in the lane to the bot do not count: pause renewals arrive there, too.
            last = last.max(record.served_at).max(record.arrived_at.filter(|_| is_users));
        }
        Ok(last)
    }

    /// Makes a lane's record expire that a stray item has created after the end of its session.
    pub async fn expire_lane(&self, id: &SessionId, lane: Lane, expires_at: Timestamp) -> Result<()> {
        let change = Change {
            expression: "SET expires_at = :expires",
            condition: "attribute_exists(pk) AND attribute_not_exists(expires_at)",
            values: vec![(":expires", number(expires_at.unix_seconds()))],
        };
        self.update("table expire_lane", &Key::lane(id, lane), change).await.map(drop)
    }

    /// Removes a delivered item from its lane and records the outcome in its trail.
    ///
    /// While no more items have arrived than are `known`, the caller knows which comes next; after the last one the same write gives the
    /// lease back.
    pub async fn complete<T: Serialize>(&self, done: &Done<'_, T>, lease: &Lease, known: Known) -> Result<Completed> {
        let (expression, completed) = match (known.is_last, done.served_by) {
            (true, None) => (GO_ON_AND_RELEASE, Completed::Released),
            (true, Some(_)) => (GO_ON_SERVED_AND_RELEASE, Completed::Released),
            (false, None) => (GO_ON, Completed::MoreToDo),
            (false, Some(_)) => (GO_ON_SERVED, Completed::MoreToDo),
        };
        let holder = (":holder", text(&lease.holder));
        let now = (":now", text(done.finished_at));
        let vendor = done.served_by.map(|vendor| (":vendor", text(vendor)));
        let last = (":number", known.last_number.map_or(AttributeValue::Null(true), number));
        // The holder writes its own total instead of adding to the stored one, so a repeated write counts nothing twice.
        let said = (":said", super::value(&known.said)?);
        let values: Vec<_> = [holder, now, last, said].into_iter().chain(vendor).collect();
        let unless_new = Change {
            expression,
            condition: "lease_holder = :holder AND arrivals = :arrivals",
            values: values.iter().cloned().chain([(":arrivals", number(known.arrivals))]).collect(),
        };
        let go_on = if done.served_by.is_some() { GO_ON_SERVED } else { GO_ON };
        let anyway = Change { expression: go_on, condition: "lease_holder = :holder", values };
        let (mut nothing_new, mut look) = (true, known.is_lively);
        let mut tries = self.tries_until(lease.until);
        loop {
            if look {
                let lane: Option<LaneRecord> = match self.get(&Key::lane(done.session_id, done.lane)).await {
                    Ok(lane) => lane,
                    Err(error) => {
                        tries.pause(error).await?;
                        continue;
                    }
                };
                let lane = lane.unwrap_or_default();
                if lane.lease_holder.as_ref() != Some(&lease.holder) {
                    return Ok(Completed::LeaseLost);
                }
                nothing_new = lane.arrivals == known.arrivals;
            }
            // After an arrival the item still leaves the lane, but the lease stays, so that the holder reads the new item.
            let change = if nothing_new { &unless_new } else { &anyway };
            // The item is delivered: a brief failure of the table must not cause a second delivery, so the write is retried.
            let attempt = self.leave(done, change.clone())?.attempt("table complete").await.unwrap_or_else(Try::Met);
            match attempt {
                Try::Through(Committed::Done) if nothing_new => return Ok(completed),
                Try::Through(Committed::Done) => return Ok(Completed::SomethingArrived),
                Try::Through(Committed::Refused(_)) if nothing_new => (nothing_new, look) = (false, false),
                Try::Through(Committed::Refused(_)) => return Ok(Completed::LeaseLost),
                Try::Met(error) => {
                    tries.pause(error).await?;
                    // The conflicting write was most likely an arrival, so compare the counter before the next attempt.
                    look = true;
                }
            }
        }
    }

    fn leave<T: Serialize>(&self, done: &Done<'_, T>, lane_change: Change) -> Result<Transaction<'_>> {
        let Done { session_id, lane, item, outcome, .. } = done;
        let trail = Change {
            expression: "SET outcome = :outcome, finished_at = :now, attempts = :attempts, vendor_id = :vendor, \
                         source_id = :source, said_mark = :mark, expires_at = if_not_exists(expires_at, :expires)",
            condition: "",
            values: vec![
                (":source", text(&item.position.source_id)),
                (":expires", number(done.expires_at.unix_seconds())),
                (":outcome", super::value(outcome)?),
                (":now", text(done.finished_at)),
                (":attempts", number(item.attempts + 1)),
                (":mark", done.mark.as_ref().map_or(AttributeValue::Null(true), text)),
                (":vendor", done.vendor_id.as_ref().map_or(AttributeValue::Null(true), text)),
            ],
        };
        let mut transaction = self
            .transaction()
            .delete(&Key::waiting(session_id, *lane, &item.position))?
            .update(&Key::trail(session_id, *lane, &item.position.source_id), trail)?
            .update(&Key::lane(session_id, *lane), lane_change)?;
        if let Some(reason) = &done.parked {
            let item = put_aside(serde_dynamo::to_item(item)?, done.finished_at, reason, done.user_id);
            transaction =
                transaction.put(&Key::parked(session_id, *lane, &done.item.position), "parked", &Raw(item))?;
        }
        Ok(transaction)
    }

    /// Gives back the lease of an empty lane. Returns whether the caller still held it and nothing has arrived meanwhile.
    pub async fn release(&self, id: &SessionId, lane: Lane, lease: &Lease, arrivals: u64) -> Result<bool> {
        let change = Change {
            expression: RELEASE,
            condition: "lease_holder = :holder AND arrivals = :arrivals",
            values: vec![(":holder", text(&lease.holder)), (":arrivals", number(arrivals))],
        };
        self.update_within(self.tries_until(lease.until), "table release", &Key::lane(id, lane), change).await
    }

    /// Gives the lease back while items still wait: none is delivered before `not_before`, then the sweep looks here.
    ///
    /// `failed` describes how a vendor has just failed on the first of them, if it has.
    pub async fn postpone(
        &self,
        id: &SessionId,
        lane: Lane,
        lease: &Lease,
        not_before: Timestamp,
        failed: Option<Failure<'_>>,
    ) -> Result<()> {
        let mut change = Change {
            expression: "SET not_before = :then, due_at = :then REMOVE lease_holder, lease_until",
            condition: "lease_holder = :holder",
            values: vec![(":then", text(not_before)), (":holder", text(&lease.holder))],
        };
        if let Some(Failure { vendor, at, is_limit }) = failed {
            change.expression = if is_limit { POSTPONE_LIMITED } else { POSTPONE_FAILED };
            change.values.extend([(":at", text(at)), (":vendor", text(vendor))]);
        }
        self.update_within(self.tries_until(lease.until), "table postpone", &Key::lane(id, lane), change).await?;
        Ok(())
    }

    /// Records that a lane's last holder died: each waiting item may have been delivered already, or may still be until `in_doubt_until`.
    pub async fn note_interruption<T>(
        &self,
        id: &SessionId,
        lane: Lane,
        waiting: &[Waiting<T>],
        in_doubt_until: Option<Timestamp>,
    ) -> Result<()> {
        for item in waiting {
            let doubt = Change {
                expression: "SET outcome_unknown = :unknown, in_doubt_until = :doubt",
                condition: "attribute_exists(pk)",
                values: vec![
                    (":unknown", AttributeValue::Bool(true)),
                    (":doubt", or_null(in_doubt_until.max(item.in_doubt_until))),
                ],
            };
            let key = Key::waiting(id, lane, &item.position);
            self.update("table note_interruption", &key, doubt).await?;
        }
        // Cleared last: until then every read of the lane reports the interruption again.
        let known =
            Change { expression: "REMOVE interrupted_holder", condition: "attribute_exists(pk)", values: Vec::new() };
        self.update("table note_interruption", &Key::lane(id, lane), known).await?;
        Ok(())
    }

    /// Records a failed attempt on an item that stays at the head of its lane.
    pub async fn note_attempt<T>(&self, id: &SessionId, lane: Lane, item: &Waiting<T>, failing: Failing) -> Result<()> {
        let change = Change {
            expression: "SET attempts = :attempts, outcome_unknown = :unknown, in_doubt_until = :doubt, \
                         failing_since = :since, alone_since = :alone",
            condition: "attribute_exists(pk)",
            values: vec![
                (":attempts", number(item.attempts + 1)),
                (":unknown", AttributeValue::Bool(failing.outcome_unknown || item.outcome_unknown)),
                (":doubt", or_null(failing.in_doubt_until.max(item.in_doubt_until))),
                (":since", or_null(failing.since)),
                (":alone", or_null(failing.alone_since)),
            ],
        };
        self.update("table note_attempt", &Key::waiting(id, lane, &item.position), change).await?;
        Ok(())
    }
}

fn or_null(at: Option<Timestamp>) -> AttributeValue {
    at.map_or(AttributeValue::Null(true), text)
}

/// Turns an item into its parked form, kept for an operator: with the reason, its user, and the time when its text must be deleted.
fn put_aside(mut item: Item, now: Timestamp, reason: &Reason, user_id: &UserId) -> Item {
    item.insert("user_id".to_owned(), text(user_id));
    item.insert("outcome_unknown".to_owned(), AttributeValue::Bool(reason.outcome_unknown));
    item.insert("cause".to_owned(), text(&reason.cause));
    item.insert("parked_at".to_owned(), text(now));
    item.insert("expires_at".to_owned(), number(reason.expires_at.unix_seconds()));
    item.insert("due_shard".to_owned(), text(PARKED_SHARD));
    item.insert("due_at".to_owned(), text(reason.expires_at));
    item
}

fn unread(lane: Lane, item: Item) -> Option<Unread> {
    let position = Key::position_of(lane, item.get("sk")?.as_s().ok()?)?;
    Some(Unread { position, item })
}

/// An arrival at a lane that is still as it was found: empty, free, and with `arrivals` items accepted before.
fn while_idle<T>(arrival: &Arrival<'_, T>, lease: &Lease, arrivals: u64) -> Change {
    let mut change = with_lease(arrival, lease);
    // A lane without `due_at` is idle; `arrivals` detects items that came and went in between.
    change.condition = "attribute_not_exists(due_at) AND attribute_not_exists(arrivals)";
    if arrivals > 0 {
        change.condition = "attribute_not_exists(due_at) AND arrivals = :arrivals";
        change.values.push((":arrivals", number(arrivals)));
    }
    change
}

/// An arrival that takes a free lease for its caller.
fn with_lease<T>(arrival: &Arrival<'_, T>, lease: &Lease) -> Change {
    Change {
        // A holder that is still named here never gave its lease back and is taken for dead, so the next one doubts what waits.
        expression: "SET interrupted_holder = if_not_exists(lease_holder, :nobody), \
                     interrupted_until = if_not_exists(lease_until, :now), lease_holder = :holder, \
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

/// An arrival at a free lane that is not delivered before a given time.
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

/// An arrival that is left to the current holder of the lease, and after that to any other.
fn without_lease<T>(arrival: &Arrival<'_, T>, due_at: Timestamp) -> Change {
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
