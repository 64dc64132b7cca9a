//! The last accepted call at each route and the calls rejected since then, for the operator.

use std::time::Duration;

use serde::Deserialize;

use super::keys::{DOORS, Key};
use super::transaction::Change;
use super::{Result, Table, number, text};
use crate::clock::Timestamp;

/// The record of one route's callers.
///
/// `{"let_in_at": "2026-05-11T09:41:00.000000Z", "turned_away_count": 14, "turned_away_since": "…", "turned_away_at": "…",
/// "turned_away_because": "signature"}`; the next accepted call removes the last four.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Door {
    /// When a call was last recorded as accepted. A process records one at most every ten minutes.
    #[serde(default)]
    pub let_in_at: Option<Timestamp>,
    /// The calls rejected since then.
    #[serde(flatten)]
    pub turned_away: Option<TurnedAway>,
}

/// Rejected calls.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TurnedAway {
    /// A lower bound of their number: a process's count of its last minute may be missing.
    #[serde(rename = "turned_away_count")]
    pub count: u64,
    /// When the first was rejected.
    #[serde(rename = "turned_away_since")]
    pub since: Timestamp,
    /// When the last was rejected.
    #[serde(rename = "turned_away_at")]
    pub at: Timestamp,
    /// Why the last was rejected.
    #[serde(rename = "turned_away_because")]
    pub because: String,
}

/// The count restarts after this long without a rejected call.
const REMEMBERED: Duration = Duration::from_secs(86_400);

impl Table {
    /// Records an accepted call, which resets the count of rejected ones.
    pub async fn note_let_in(&self, caller: &str, now: Timestamp) -> Result<()> {
        let change = Change {
            expression: "SET let_in_at = :now, entity = :entity \
                         REMOVE turned_away_count, turned_away_since, turned_away_at, turned_away_because",
            condition: "",
            values: vec![(":now", text(now)), (":entity", text("door"))],
        };
        self.update("table note_let_in", &Key::door(caller), change).await.map(drop)
    }

    /// Adds rejected calls to the recorded count.
    pub async fn note_turned_away(&self, caller: &str, more: &TurnedAway) -> Result<()> {
        let key = Key::door(caller);
        let values = vec![(":count", number(more.count)), (":at", text(more.at)), (":because", text(&more.because))];
        let added = Change {
            expression: "SET turned_away_at = :at, turned_away_because = :because ADD turned_away_count :count",
            condition: "turned_away_at > :forgotten",
            values: [values.clone(), vec![(":forgotten", text(more.at - REMEMBERED))]].concat(),
        };
        if self.update("table note_turned_away", &key, added).await? {
            return Ok(());
        }
        // Nothing was counted yet, or the last rejected call is too long ago: start a new count.
        let first = Change {
            expression: "SET turned_away_count = :count, turned_away_since = :since, turned_away_at = :at, \
                         turned_away_because = :because, entity = :entity",
            condition: "",
            values: [values, vec![(":since", text(more.since)), (":entity", text("door"))]].concat(),
        };
        self.update("table note_turned_away", &key, first).await.map(drop)
    }

    /// Clears the rejected calls after the operator has changed the credentials that callers must present.
    pub async fn forget_turned_away(&self, caller: &str) -> Result<()> {
        let change = Change {
            expression: "REMOVE turned_away_count, turned_away_since, turned_away_at, turned_away_because",
            condition: "attribute_exists(turned_away_at)",
            values: Vec::new(),
        };
        self.update("table forget_turned_away", &Key::door(caller), change).await.map(drop)
    }

    /// Returns the rejected calls of every caller that has any.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn turned_away(&self) -> Result<Vec<TurnedAway>> {
        let items = self.query(DOORS, "DOOR#").await?;
        let doors = items.into_iter().map(serde_dynamo::from_item).collect::<Result<Vec<Door>, _>>()?;
        Ok(doors.into_iter().filter_map(|door| door.turned_away).collect())
    }

    /// Returns the record of a caller.
    pub async fn door(&self, caller: &str) -> Result<Door> {
        Ok(self.get(&Key::door(caller)).await?.unwrap_or_default())
    }
}
