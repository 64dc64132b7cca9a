//! Events that arrive before the start that opened their thread has recorded it.

use std::time::Duration;

use serde::Serialize;

use super::keys::Key;
use super::{Result, Table};
use crate::clock::Timestamp;
use crate::ids::ChatId;

/// How long a note is kept: longer than a start waits for LiveChat's answer, even if the clocks of two processes differ.
const KEPT: Duration = Duration::from_secs(900);

#[derive(Serialize)]
struct Early {
    expires_at: i64,
}

impl Table {
    /// Records that an event occurred in a chat whose current thread no session has recorded.
    ///
    /// The writer of the note then looks for the thread's record, and a start looks for the note after it has recorded its thread. So one
    /// of them always sees the other.
    pub async fn note_early(&self, id: &ChatId, now: Timestamp) -> Result<()> {
        self.put(&Key::early(id), "early", &Early { expires_at: (now + KEPT).unix_seconds() }).await
    }

    /// Returns whether an event occurred in a chat before its thread was recorded.
    pub async fn has_early(&self, id: &ChatId, now: Timestamp) -> Result<bool> {
        let noted: Option<serde::de::IgnoredAny> = self.get_unexpired(&Key::early(id), now).await?;
        Ok(noted.is_some())
    }
}
