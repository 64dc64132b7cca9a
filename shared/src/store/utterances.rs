//! What a user said last, for platforms that number nothing: a repeat is known by what is said, when, and what was answered.

use std::time::Duration;

use serde::Deserialize;

use super::keys::Key;
use super::transaction::Change;
use super::{Result, Table, number, text};
use crate::clock::Timestamp;
use crate::ids::UserId;
use crate::model::message::Utterance;

/// How long a record of something said outlives its use; DynamoDB takes its time to delete in any case.
const KEPT: Duration = Duration::from_secs(3_600);

/// The last of it.
#[derive(Deserialize)]
struct LastHeard {
    said_digest: String,
    #[serde(flatten)]
    heard: Utterance,
}

impl Table {
    /// Records that a user said something, unless it is the repeat of what they said last: the same, less than `window` before, and
    /// not answered yet. Then that counts.
    pub async fn dedup_utterance(
        &self,
        user_id: &UserId,
        digest: &str,
        heard: Utterance,
        window: Duration,
    ) -> Result<Utterance> {
        let key = Key::heard(user_id);
        loop {
            let change = Change {
                expression: "SET said_digest = :digest, heard_at = :now, source_id = :id, expires_at = :expires, \
                             entity = :entity REMOVE answered_at",
                condition: "attribute_not_exists(heard_at) OR said_digest <> :digest OR heard_at <= :old \
                            OR attribute_exists(answered_at)",
                values: vec![
                    (":digest", text(digest)),
                    (":now", text(heard.heard_at)),
                    (":id", text(&heard.source_id)),
                    (":expires", number((heard.heard_at + window + KEPT).unix_seconds())),
                    (":entity", text("heard")),
                    (":old", text(heard.heard_at - window)),
                ],
            };
            if self.update("table hear", &key, change).await? {
                return Ok(heard);
            }
            // Something else only if it was said between the two.
            if let Some(before) = self.heard(user_id, digest).await? {
                return Ok(before);
            }
        }
    }

    /// Records that what was heard as `source_id` is being answered: whoever says the same from now on says it again.
    pub async fn note_answered(&self, user_id: &UserId, source_id: &str, now: Timestamp) -> Result<()> {
        let change = Change {
            expression: "SET answered_at = :now",
            condition: "source_id = :id",
            values: vec![(":now", text(now)), (":id", text(source_id))],
        };
        self.update("table note_answered", &Key::heard(user_id), change).await?;
        Ok(())
    }

    /// What a user said last, if it was this.
    pub async fn heard(&self, user_id: &UserId, digest: &str) -> Result<Option<Utterance>> {
        let last: Option<LastHeard> = self.get(&Key::heard(user_id)).await?;
        Ok(last.filter(|last| last.said_digest == digest).map(|last| last.heard))
    }

    /// When a user last said anything in a session.
    pub async fn last_heard_at(&self, user_id: &UserId) -> Result<Option<Timestamp>> {
        let last: Option<LastHeard> = self.get(&Key::heard(user_id)).await?;
        Ok(last.map(|last| last.heard.heard_at))
    }
}
