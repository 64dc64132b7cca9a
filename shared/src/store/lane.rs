//! The record of a lane, as it is stored, and a lane as its lease holder reads it.
//!
//! A lane has one record (`SESSION#<session id>`, `LANE#<lane>`), created by its first arrival or by the session's end. Its attributes,
//! who writes each, and when it is removed:
//!
//! | Attribute | Contains | Written by | Removed |
//! |---|---|---|---|
//! | `session_id` | the session | each arrival | with the record |
//! | `arrivals` | how many items the lane has ever accepted | each arrival, `+ 1`; an unparked item too, and in the lane to the agents the session's end (`close`), so that its holder looks again | never falls |
//! | `arrived_at` | when the last item came | each arrival | overwritten |
//! | `due_shard`, `due_at` | when the sweep looks here: the lease's end, or `not_before` | arrivals, `take_lease`, `postpone`, the sweep's `look_later` | when the lane is empty and its lease is given back: a lane without `due_at` is idle |
//! | `lease_holder`, `lease_until` | who delivers, and until when | an arrival at a free lane, `take_lease` | `release`, `postpone`, the completion of the last item |
//! | `interrupted_holder`, `interrupted_until` | the previous holder, or `nobody`, and when its lease ended | the taker of the lease | the holder: once the doubt is recorded on the items (`note_interruption`); the time is overwritten |
//! | `not_before` | no delivery before this time | `accept_for` at a free lane, `postpone` | the next completion or release |
//! | `last_finished_at` | when an item last left | each completion, `park_unread` | overwritten |
//! | `last_number` | the highest number of an item that has left | each completion | overwritten |
//! | `said` | how many messages of people have left, and when the first did | each completion | overwritten |
//! | `served_at`, `served_by` | when the vendor last accepted something that people said, and which vendor | a completion that shows it | overwritten |
//! | `failed_at`, `failed_by` | when the lane was last left because its vendor failed | `postpone` after a failure | `failed_at`: a completion that serves; `failed_by` is overwritten |
//! | `limited_since` | since when a vendor has refused the lane because of a limit | `postpone` after a limit, if absent | any other failure, or a completion that serves |
//! | `expires_at` | the table's TTL | the session's end (`close`), `expire_lane` | an open session's lane has none |
//!
//! Every change has the holder or the number of arrivals in its condition, so a holder whose lease has ended changes nothing, and no
//! arrival is overlooked.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;

use super::{Item, Result};
use crate::clock::Timestamp;
use crate::ids::numbered;
use crate::model::lane::{Occupancy, Position, Tally, Waiting};

/// The record of a lane. An absent attribute has not been written yet.
#[derive(Default, Deserialize)]
pub(super) struct LaneRecord {
    #[serde(default)]
    pub(super) arrivals: u64,
    #[serde(default)]
    pub(super) arrived_at: Option<Timestamp>,
    #[serde(default)]
    due_at: Option<String>,
    #[serde(default)]
    pub(super) lease_holder: Option<String>,
    #[serde(default)]
    lease_until: Option<Timestamp>,
    #[serde(default)]
    pub(super) interrupted_holder: Option<String>,
    #[serde(default)]
    pub(super) interrupted_until: Option<Timestamp>,
    #[serde(default)]
    pub(super) not_before: Option<Timestamp>,
    #[serde(default)]
    pub(super) last_finished_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) last_number: Option<u64>,
    #[serde(default)]
    pub(super) said: Tally,
    #[serde(default)]
    pub(super) served_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) limited_since: Option<Timestamp>,
    #[serde(default)]
    pub(super) expires_at: Option<i64>,
}

impl LaneRecord {
    /// Returns how the lane is occupied. Any item that waits or is being delivered makes its lane due.
    pub(super) const fn occupancy(&self) -> Occupancy {
        match (&self.due_at, self.lease_until) {
            (None, _) => Occupancy::Idle { arrivals: self.arrivals },
            (Some(_), Some(until)) => Occupancy::Held { until },
            (Some(_), None) => Occupancy::Busy,
        }
    }
}

/// Returns how a lane is occupied, according to its record.
pub(super) fn occupancy_of(record: Item) -> Result<Occupancy> {
    Ok(serde_dynamo::from_item::<_, LaneRecord>(record)?.occupancy())
}

/// Sorts the items of a lane; each comes with its position and, if known, the time of its arrival.
///
/// Items that one source numbers stay together, at the place where the first of them arrived. So the order does not depend on which
/// items are compared first.
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

/// A lane as its lease holder sees it.
#[derive(Clone, Debug)]
pub struct Contents<T> {
    /// How many items the lane had ever accepted when it was read.
    pub arrivals: u64,
    /// When the last of them arrived, if recorded.
    pub arrived_at: Option<Timestamp>,
    /// No delivery before this time.
    pub not_before: Option<Timestamp>,
    /// When an item last left the lane.
    pub last_finished_at: Option<Timestamp>,
    /// The highest number of an item that has left the lane, if its source numbers them.
    pub last_number: Option<u64>,
    /// Since when a vendor has refused the lane because of a limit and has accepted nothing from it.
    pub limited_since: Option<Timestamp>,
    /// How many messages of people have left the lane.
    pub said: Tally,
    /// Whether the lane was taken over from a holder that died. Waiting items may have been delivered already.
    pub was_interrupted: bool,
    /// When the lease of the previous holder ended. Until then that holder may have called the vendor.
    pub interrupted_until: Option<Timestamp>,
    /// Whether the lane's record expires, as it does once its session is over.
    pub expires: bool,
    /// The waiting items, oldest first.
    pub waiting: Vec<Waiting<T>>,
    /// Waiting items in a form that this version does not know.
    pub unread: Vec<Unread>,
}

impl<T> Contents<T> {
    /// The contents of a lane that was idle after `arrivals` items until `item` arrived: the holder need not read them.
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

/// A waiting item in a form that this version does not know: damaged, or written by a newer version.
#[derive(Clone)]
pub struct Unread {
    /// Its position.
    pub position: Position,
    pub(super) item: Item,
}

impl fmt::Debug for Unread {
    /// Omits the content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unread").field("position", &self.position).finish_non_exhaustive()
    }
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
