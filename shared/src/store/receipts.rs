//! Receipts: what is known of an item after it has left its lane.

use super::keys::Key;
use super::transaction::Change;
use super::{Result, Table, number, text};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::model::lane::{Lane, Receipt};

impl Table {
    /// Fingerprints of what a session's user has said to the agents, in no order; of a session of thousands of messages, only some.
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
