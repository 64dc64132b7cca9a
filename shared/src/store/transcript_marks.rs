//! Fingerprints of what agents have read of a user's conversation with the bot; the text cannot be recovered from them.

use serde::{Deserialize, Serialize};

use super::keys::Key;
use super::{Result, Table};
use crate::clock::Timestamp;
use crate::ids::UserId;

#[derive(Deserialize, Serialize)]
struct KnownToAgents {
    fingerprints: Vec<String>,
    expires_at: i64,
}

impl Table {
    /// Returns the fingerprints of what agents know, oldest first.
    pub async fn told(&self, id: &UserId, now: Timestamp) -> Result<Vec<String>> {
        let told: Option<KnownToAgents> = self.get_unexpired(&Key::told(id), now).await?;
        Ok(told.map(|told| told.fingerprints).unwrap_or_default())
    }

    /// Replaces the fingerprints of what agents know.
    pub async fn put_told(&self, id: &UserId, fingerprints: Vec<String>, expires_at: Timestamp) -> Result<()> {
        let told = KnownToAgents { fingerprints, expires_at: expires_at.unix_seconds() };
        self.put(&Key::told(id), "told", &told).await
    }
}
