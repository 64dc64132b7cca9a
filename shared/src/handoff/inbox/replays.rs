//! Replays: repetitions of a signed call while its signature is valid.

use super::Inbox;
use crate::handoff::{Error, Result};
use crate::model::call::{FirstAnswer, SignedCall};

impl Inbox {
    /// Returns the earlier answer to a call; `None` for a call that is new or unsigned.
    ///
    /// # Errors
    ///
    /// [`Error`] when the table failed.
    pub async fn first_answer(&self, call: Option<&SignedCall>) -> Result<Option<FirstAnswer>> {
        match call {
            Some(call) => Ok(self.table.first_answer(call, self.clock.now()).await?),
            None => Ok(None),
        }
    }

    /// Records the answer to a call. Without that record, a replay within minutes takes effect again.
    pub async fn remember_answer(&self, call: Option<&SignedCall>, answer: impl FnOnce() -> FirstAnswer) {
        let Some(call) = call else { return };
        if let Err(error) = self.table.put_first_answer(call, answer()).await {
            tracing::warn!(error = %error,
                "the answer to a call could not be recorded; a replay of the call would not be recognised");
        }
    }

    /// Records that a call is refused permanently.
    pub(crate) async fn remember_refusal(&self, call: Option<&SignedCall>, error: &Error) {
        if !error.is_retryable() {
            self.remember_answer(call, || FirstAnswer::Refused(error.to_string())).await;
        }
    }
}
