//! A user's last message, for platforms without message ids: a repeat is recognised by its text, its time and whether it was answered.

use std::time::Duration;

use serde::Deserialize;

use super::keys::Key;
use super::transaction::Change;
use super::{Result, Table, number, text};
use crate::clock::Timestamp;
use crate::ids::UserId;
use crate::model::message::Utterance;

/// How long a record is kept beyond its use; DynamoDB's TTL deletes it some time after that anyway.
const KEPT: Duration = Duration::from_secs(3_600);

/// A user's last message.
#[derive(Deserialize)]
struct LastHeard {
    said_digest: String,
    #[serde(flatten)]
    heard: Utterance,
}

impl Table {
    /// Records a user's message and returns it. If it repeats the last one (the same text, less than `window` ago, not yet answered),
    /// returns the last one instead.
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
            // The last message has other words only if it arrived between the update and this read; then try again.
            if let Some(before) = self.heard(user_id, digest).await? {
                return Ok(before);
            }
        }
    }

    /// Records that the message `source_id` is being answered: the same text from now on is a new message.
    pub async fn note_answered(&self, user_id: &UserId, source_id: &str, now: Timestamp) -> Result<()> {
        let change = Change {
            expression: "SET answered_at = :now",
            condition: "source_id = :id",
            values: vec![(":now", text(now)), (":id", text(source_id))],
        };
        self.update("table note_answered", &Key::heard(user_id), change).await?;
        Ok(())
    }

    /// Returns a user's last message if its digest is `digest`.
    pub async fn heard(&self, user_id: &UserId, digest: &str) -> Result<Option<Utterance>> {
        let last: Option<LastHeard> = self.get(&Key::heard(user_id)).await?;
        Ok(last.filter(|last| last.said_digest == digest).map(|last| last.heard))
    }

    /// Returns when a user last said anything in a session.
    pub async fn last_heard_at(&self, user_id: &UserId) -> Result<Option<Timestamp>> {
        let last: Option<LastHeard> = self.get(&Key::heard(user_id)).await?;
        Ok(last.map(|last| last.heard.heard_at))
    }
}
