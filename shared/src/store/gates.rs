//! The times that vendors have named, for all invocations to keep to.

use serde::{Deserialize, Serialize};

use super::keys::{GATES, Key};
use super::transaction::Change;
use super::{Result, Table, text};
use crate::clock::Timestamp;

/// A vendor that has asked not to be called for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedTime {
    /// Which.
    pub vendor: String,
    /// Until when.
    pub opens_at: Timestamp,
}

impl Table {
    /// The latest time that each vendor has named, past or to come.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn named_times(&self) -> Result<Vec<NamedTime>> {
        let items = self.query(GATES, "GATE#").await?;
        Ok(items.into_iter().map(serde_dynamo::from_item).collect::<Result<_, _>>()?)
    }

    /// Notes a time that a vendor has named, unless a later one is noted.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn note_named_time(&self, vendor: &str, opens_at: Timestamp) -> Result<()> {
        let change = Change {
            expression: "SET vendor = :vendor, opens_at = :then",
            condition: "attribute_not_exists(opens_at) OR opens_at < :then",
            values: vec![(":vendor", text(vendor)), (":then", text(opens_at))],
        };
        self.update("table note_named_time", &Key::gate(vendor), change).await.map(drop)
    }
}
