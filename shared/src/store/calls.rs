//! Answers to signed calls, so that a replay gets the same answer and has no effect.

use serde::{Deserialize, Serialize};

use super::keys::Key;
use super::{Result, Table};
use crate::clock::Timestamp;
use crate::model::call::{FirstAnswer, SignedCall};

/// The answer to one call. `expires_at` is in Unix seconds.
#[derive(Serialize, Deserialize)]
pub(super) struct CallRecord {
    answer: FirstAnswer,
    expires_at: i64,
}

impl CallRecord {
    pub(super) fn new(call: &SignedCall, answer: FirstAnswer) -> Self {
        // A signature is valid to the millisecond; a record expires by whole seconds, rounded down.
        Self { answer, expires_at: call.valid_until.unix_seconds() + 2 }
    }
}

impl Table {
    /// Returns the answer to the first call if this one is a replay.
    pub async fn first_answer(&self, call: &SignedCall, now: Timestamp) -> Result<Option<FirstAnswer>> {
        let record: Option<CallRecord> = self.get_unexpired(&Key::call(&call.id), now).await?;
        Ok(record.map(|record| record.answer))
    }

    /// Records the answer to a call.
    pub async fn put_first_answer(&self, call: &SignedCall, answer: FirstAnswer) -> Result<()> {
        self.put(&Key::call(&call.id), "call", &CallRecord::new(call, answer)).await
    }
}
