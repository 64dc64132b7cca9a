//! Who was let in last at each route, and who was turned away since: for the operator.

use std::time::Duration;

use serde::Deserialize;

use super::keys::{DOORS, Key};
use super::transaction::Change;
use super::{Result, Table, number, text};
use crate::clock::Timestamp;

/// What is noted of the callers of one route.
///
/// `{"let_in_at": "2026-05-11T09:41:00.000000Z", "turned_away_count": 14, "turned_away_since": "…", "turned_away_at": "…",
/// "turned_away_because": "signature"}`; the last four are gone once somebody was let in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Door {
    /// When a call was last noted as let in; a process notes one at most every ten minutes.
    #[serde(default)]
    pub let_in_at: Option<Timestamp>,
    /// What was turned away since then.
    #[serde(flatten)]
    pub turned_away: Option<TurnedAway>,
}

/// Calls that were turned away.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TurnedAway {
    /// How many, at least: what a process has counted in its last minute may be missing.
    #[serde(rename = "turned_away_count")]
    pub count: u64,
    /// The first of them.
    #[serde(rename = "turned_away_since")]
    pub since: Timestamp,
    /// The last of them.
    #[serde(rename = "turned_away_at")]
    pub at: Timestamp,
    /// Why the last one was.
    #[serde(rename = "turned_away_because")]
    pub because: String,
}

/// After a pause of this length turned-away calls are counted anew.
const REMEMBERED: Duration = Duration::from_secs(86_400);

impl Table {
    /// Notes that a caller was let in, which ends the count of those who were not.
    pub async fn note_let_in(&self, caller: &str, now: Timestamp) -> Result<()> {
        let change = Change {
            expression: "SET let_in_at = :now, entity = :entity \
                         REMOVE turned_away_count, turned_away_since, turned_away_at, turned_away_because",
            condition: "",
            values: vec![(":now", text(now)), (":entity", text("door"))],
        };
        self.update("table note_let_in", &Key::door(caller), change).await.map(drop)
    }

    /// Adds calls that were turned away to those that are noted already.
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
        let first = Change {
            expression: "SET turned_away_count = :count, turned_away_since = :since, turned_away_at = :at, \
                         turned_away_because = :because, entity = :entity",
            condition: "",
            values: [values, vec![(":since", text(more.since)), (":entity", text("door"))]].concat(),
        };
        self.update("table note_turned_away", &key, first).await.map(drop)
    }

    /// Forgets what was turned away, since the operator has just changed what callers have to show.
    pub async fn forget_turned_away(&self, caller: &str) -> Result<()> {
        let change = Change {
            expression: "REMOVE turned_away_count, turned_away_since, turned_away_at, turned_away_because",
            condition: "attribute_exists(turned_away_at)",
            values: Vec::new(),
        };
        self.update("table forget_turned_away", &Key::door(caller), change).await.map(drop)
    }

    /// The calls that were turned away, of every caller of whom there are any.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn turned_away(&self) -> Result<Vec<TurnedAway>> {
        let items = self.query(DOORS, "DOOR#").await?;
        let doors = items.into_iter().map(serde_dynamo::from_item).collect::<Result<Vec<Door>, _>>()?;
        Ok(doors.into_iter().filter_map(|door| door.turned_away).collect())
    }

    /// What is noted of a caller.
    pub async fn door(&self, caller: &str) -> Result<Door> {
        Ok(self.get(&Key::door(caller)).await?.unwrap_or_default())
    }
}
