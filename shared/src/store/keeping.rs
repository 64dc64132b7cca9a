//! How long records are kept: those of an open session are extended, and those of a session that no longer exists are deleted.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::keys::Key;
use super::transaction::Change;
use super::{Item, Result, Table, number, text};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::model::session::Session;

/// How many records are written at once.
const AT_ONCE: usize = 16;

/// How long after a session's records were written, or last extended, their expiry is extended again.
pub const KEPT_AGAIN_AFTER: Duration = Duration::from_secs(20 * 3_600);

impl Table {
    /// Extends the expiry of all records of an open session to at least `until`.
    ///
    /// Safe to repeat.
    pub async fn keep(&self, session: &Session, now: Timestamp, until: Timestamp) -> Result<()> {
        let until = number(until.unix_seconds());
        let records = self.keys_of(&session.session_id).await?.into_iter().chain([Key::told(&session.user_id)]);
        let kept = stream::iter(records).map(|key| {
            let change = Change {
                expression: "SET expires_at = :until",
                condition: "expires_at < :until",
                values: vec![(":until", until.clone())],
            };
            async move { self.update("table keep", &key, change).await }
        });
        kept.buffer_unordered(AT_ONCE).try_for_each(async |_| Ok(())).await?;
        let noted = Change {
            expression: "SET kept_at = :now",
            condition: "attribute_exists(pk)",
            values: vec![(":now", text(now))],
        };
        self.update("table keep", &Key::session(&session.session_id), noted).await.map(drop)
    }

    /// Deletes everything in the partition of a session that no longer exists; the lanes' records, which make it due, go last.
    ///
    /// The partition is read until it is empty: another invocation that accepts an item meanwhile leaves it to the lease's holder, and
    /// the lane's record, which would make it due, is deleted here.
    ///
    /// Stops at `deadline`. Returns whether nothing is left.
    ///
    /// Safe to repeat.
    pub async fn bury(&self, id: &SessionId, deadline: Timestamp) -> Result<bool> {
        loop {
            let keys = self.keys_of(id).await?;
            if keys.is_empty() {
                return Ok(true);
            }
            let (lanes, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| Key::is_lane(&key.sk));
            for key in others.into_iter().chain(lanes) {
                if deadline <= self.clock.now() {
                    return Ok(false);
                }
                self.delete("table bury", &key).await?;
            }
        }
    }

    /// The keys of everything in a session's partition.
    async fn keys_of(&self, id: &SessionId) -> Result<Vec<Key>> {
        let request = self.client.query().table_name(&self.name).consistent_read(true).projection_expression("pk, sk");
        let mut pages = request
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(Key::session(id).pk))
            .into_paginator()
            .send();
        let key = |item: &Item| Some(Key::of(item.get("pk")?.as_s().ok()?, item.get("sk")?.as_s().ok()?));
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            keys.extend(page?.items().iter().filter_map(key));
        }
        Ok(keys)
    }
}
