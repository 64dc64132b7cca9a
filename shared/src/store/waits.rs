//! How long a group's sessions have waited for their first agent: the latest times, in a bounded number of small items.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keys::Key;
use super::{Result, Table};
use crate::clock::Timestamp;
use crate::ids::{GroupId, SessionId};

/// How many times are kept for a group; a newer one replaces one of them.
const SLOTS: u32 = 32;

#[derive(Deserialize, Serialize)]
struct Wait {
    assigned_at: Timestamp,
    waited_ms: u64,
    expires_at: i64,
}

impl Table {
    /// Records a time to assignment, which is valid for `counts_for`; one small write without a condition.
    pub async fn put_wait(
        &self,
        group_id: GroupId,
        session_id: &SessionId,
        now: Timestamp,
        waited: Duration,
        counts_for: Duration,
    ) -> Result<()> {
        let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        let wait = Wait { assigned_at: now, waited_ms, expires_at: (now + counts_for).unix_seconds() };
        self.put(&Key::wait(group_id, slot(session_id)), "wait", &wait).await
    }

    /// Returns the times to assignment of the last `within`, unordered.
    pub async fn waits(&self, group_id: GroupId, now: Timestamp, within: Duration) -> Result<Vec<Duration>> {
        let items = self.query(&Key::waits_of(group_id), "WAIT#").await?;
        let waits: Vec<Wait> = items.into_iter().map(serde_dynamo::from_item).collect::<Result<_, _>>()?;
        let recent = waits.into_iter().filter(|wait| now.since(wait.assigned_at) < within);
        Ok(recent.map(|wait| Duration::from_millis(wait.waited_ms)).collect())
    }
}

/// Returns the slot of a session's time; the slots are used evenly, since the ids are random.
fn slot(session_id: &SessionId) -> u32 {
    session_id.as_str().bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % SLOTS
}
