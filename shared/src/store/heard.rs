//! What users said lately, for platforms that number nothing: a repeat is known by user, text and time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keys::Key;
use super::transaction::Change;
use super::{Result, Table, number, text};
use crate::clock::Timestamp;
use crate::ids::UserId;

/// How long a record of something said outlives its use; DynamoDB takes its time to delete in any case.
const KEPT: Duration = Duration::from_secs(3_600);

/// Something that a user said, as it was heard first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// When.
    pub heard_at: Timestamp,
    /// The id that stands for it.
    pub source_id: String,
}

impl Table {
    /// Records `heard`, unless the user said the same less than `window` before: then that counts.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn hear(&self, user_id: &UserId, digest: &str, heard: Heard, window: Duration) -> Result<Heard> {
        self.first_within(window, &Key::heard(user_id, digest), "heard", heard).await
    }

    /// Records `heard` under a key, unless something was recorded there less than `window` before: then that counts.
    pub(super) async fn first_within(
        &self,
        window: Duration,
        key: &Key,
        entity: &'static str,
        heard: Heard,
    ) -> Result<Heard> {
        loop {
            let change = Change {
                expression: "SET heard_at = :now, source_id = :id, expires_at = :expires, entity = :entity",
                condition: "attribute_not_exists(heard_at) OR heard_at <= :old",
                values: vec![
                    (":now", text(heard.heard_at)),
                    (":id", text(&heard.source_id)),
                    (":expires", number((heard.heard_at + window + KEPT).unix_seconds())),
                    (":entity", text(entity)),
                    (":old", text(heard.heard_at - window)),
                ],
            };
            if self.transaction().update(key, change)?.commit("table hear").await?.is_done() {
                return Ok(heard);
            }
            // Gone only if it has expired between the two.
            if let Some(before) = self.get(key).await? {
                return Ok(before);
            }
        }
    }

    /// What a user said, as it was heard last.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn heard(&self, user_id: &UserId, digest: &str) -> Result<Option<Heard>> {
        self.get(&Key::heard(user_id, digest)).await
    }
}
