//! Receipts: what is known of an item after it has left its lane.

use super::keys::Key;
use super::transaction::Change;
use super::{Result, Table, number, text};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::model::lane::{Lane, Receipt};

impl Table {
    /// Reads what is known of the item with this source id.
    pub async fn trail(&self, id: &SessionId, lane: Lane, source_id: &str, now: Timestamp) -> Result<Option<Receipt>> {
        self.get_unexpired(&Key::trail(id, lane, source_id), now).await
    }

    /// Counts one more change of an item that is looked into: whatever is reported from now on is another one.
    pub async fn count_change(&self, id: &SessionId, lane: Lane, source_id: &str) -> Result<()> {
        let change = Change {
            expression: "ADD changes_seen :one",
            condition: "attribute_exists(pk)",
            values: vec![(":one", number(1))],
        };
        self.update("table count_change", &Key::trail(id, lane, source_id), change).await?;
        Ok(())
    }

    /// Notes which version of an item the other side has been told.
    pub async fn note_revision(&self, id: &SessionId, lane: Lane, source_id: &str, revision: &str) -> Result<()> {
        let change = Change {
            expression: "SET revision = :revision",
            condition: "attribute_exists(pk)",
            values: vec![(":revision", text(revision))],
        };
        let key = Key::trail(id, lane, source_id);
        self.update("table note_revision", &key, change).await?;
        Ok(())
    }
}
