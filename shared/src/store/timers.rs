//! Timers of sessions: work that is due at a certain time even if no call arrives.

use serde::Serialize;

use super::keys::{DUE_SHARD, Key};
use super::transaction::Change;
use super::{Result, Table, text};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::model::lane::Timer;

#[derive(Serialize)]
struct TimerRecord {
    due_shard: &'static str,
    due_at: Timestamp,
}

impl Table {
    /// Sets a timer, or resets it.
    pub async fn set_timer(&self, id: &SessionId, timer: Timer, due_at: Timestamp) -> Result<()> {
        self.put(&Key::timer(id, timer), "timer", &TimerRecord { due_shard: DUE_SHARD, due_at }).await
    }

    /// Claims a timer that is due, unless another invocation has; `next` is when it is due again. Returns whether it was claimed.
    pub async fn take_timer(&self, id: &SessionId, timer: Timer, now: Timestamp, next: Timestamp) -> Result<bool> {
        let change = Change {
            expression: "SET due_at = :next",
            condition: "due_at <= :now",
            values: vec![(":next", text(next)), (":now", text(now))],
        };
        self.update("table take_timer", &Key::timer(id, timer), change).await
    }

    /// Stops a timer.
    pub async fn stop_timer(&self, id: &SessionId, timer: Timer) -> Result<()> {
        self.delete("table stop_timer", &Key::timer(id, timer)).await
    }
}
