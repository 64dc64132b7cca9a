//! The progress of a delivery that takes more than one step.

use serde::Serialize;

use super::keys::Key;
use super::transaction::Change;
use super::{Result, Table, value};
use crate::ids::SessionId;
use crate::model::lane::{Lane, Position};

impl Table {
    /// Replaces the content of a waiting item by one that records its progress. An item that has left its lane is not recreated.
    pub async fn note_progress<T: Serialize>(
        &self,
        id: &SessionId,
        lane: Lane,
        position: &Position,
        content: &T,
    ) -> Result<()> {
        let change = Change {
            expression: "SET content = :content",
            condition: "attribute_exists(pk)",
            values: vec![(":content", value(content)?)],
        };
        self.update("table note_progress", &Key::waiting(id, lane, position), change).await?;
        Ok(())
    }
}
