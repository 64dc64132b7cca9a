//! The state of other sessions' lanes, which shows whether a vendor that fails on one item still takes others.

use std::time::Duration;

use super::keys::Key;
use super::{Result, Table};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::model::lane::{Fares, Lane};

/// Every live session has something due within this time.
const OUTLOOK: Duration = Duration::from_secs(960);

/// How many index entries are searched for sessions.
const MOST_ENTRIES: i32 = 200;

/// How many other sessions are compared: the most that one call returns.
const MOST_COMPARED: usize = 100;

impl Table {
    /// Returns how the same lane fares in a sample of other sessions. The sessions that have been due longest come first.
    pub async fn how_others_fare(&self, id: &SessionId, lane: Lane, now: Timestamp) -> Result<Vec<Fares>> {
        let mut others: Vec<SessionId> = Vec::new();
        for (_, other, _) in self.due(now + OUTLOOK, MOST_ENTRIES).await? {
            if other != *id && !others.contains(&other) && others.len() < MOST_COMPARED {
                others.push(other);
            }
        }
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = others.iter().map(|other| Key::lane(other, lane)).collect();
        let records = self.get_all(&keys).await?;
        Ok(records.into_iter().map(serde_dynamo::from_item).collect::<Result<_, _>>()?)
    }
}
