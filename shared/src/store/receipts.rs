//! Receipts: the records of accepted items, which outlive the items.

use super::keys::Key;
use super::transaction::Change;
use super::{Result, Table, number, text};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::model::lane::{Lane, Receipt};

impl Table {
    /// Returns fingerprints of the user's messages to the agents, unordered; only some of them if the session has thousands.
    pub async fn said_to_agents(&self, id: &SessionId) -> Result<Vec<String>> {
        let first = Key::trail(id, Lane::ToAgent, "");
        let request = self.client.query().table_name(&self.name).consistent_read(true);
        let page = request
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(first.pk))
            .expression_attribute_values(":prefix", text(first.sk))
            .projection_expression("said_mark")
            .send()
            .await?;
        let marks = page.items.unwrap_or_default().into_iter();
        Ok(marks.filter_map(|mut item| item.remove("said_mark")?.as_s().ok().cloned()).collect())
    }

    /// Reads the receipt of the item with this source id.
    pub async fn trail(&self, id: &SessionId, lane: Lane, source_id: &str, now: Timestamp) -> Result<Option<Receipt>> {
        self.get_unexpired(&Key::trail(id, lane, source_id), now).await
    }

    /// Counts one more examined change of an item: a later report is a different change.
    pub async fn count_change(&self, id: &SessionId, lane: Lane, source_id: &str) -> Result<()> {
        let change = Change {
            expression: "ADD changes_seen :one",
            condition: "attribute_exists(pk)",
            values: vec![(":one", number(1))],
        };
        self.update("table count_change", &Key::trail(id, lane, source_id), change).await?;
        Ok(())
    }

    /// Records which version of an item the other side has received.
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
