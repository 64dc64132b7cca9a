//! The sweep: each minute, what no invocation has finished.

use std::time::Duration;

use super::{DELIVERY_TIME, Handoff, Result, lease_until};
use crate::bridge::{ToAgent, ToBot};
use crate::clock::Timestamp;
use crate::store::lane::Lane;

/// How many lanes one run looks at; what is left is due first in the next one.
const LANES_PER_RUN: i32 = 200;

/// Kept free at the end of a run, so that it ends by itself.
const END_MARGIN: Duration = Duration::from_secs(2);

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Lanes that were due.
    pub due: usize,
    /// Lanes that this run worked on; somebody else had the others.
    pub drained: usize,
}

impl Handoff {
    /// Delivers from every lane that is due; two sweeps at once share the work.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error) when the due lanes could not be listed.
    pub async fn sweep(&self, deadline: Timestamp) -> Result<Swept> {
        let lanes = self.table.due_lanes(self.clock.now(), LANES_PER_RUN).await?;
        let mut swept = Swept { due: lanes.len(), drained: 0 };
        for (session_id, lane) in lanes {
            let now = self.clock.now();
            if now + DELIVERY_TIME + END_MARGIN > deadline {
                break;
            }
            // A lane that has to wait must not keep the others waiting.
            let until = now + DELIVERY_TIME + END_MARGIN;
            let lease = lease_until(until);
            let taken = self.table.take_lease(&session_id, lane, &lease, now).await?;
            let drained = match (taken, lane) {
                (false, _) => continue,
                (true, Lane::ToAgent) => self.drain::<ToAgent>(&session_id, &lease, until).await,
                (true, Lane::ToBot) => self.drain::<ToBot>(&session_id, &lease, until).await,
            };
            swept.drained += 1;
            if let Err(error) = drained {
                tracing::error!(error = %error, session.id = %session_id, lane = %lane, "a lane stays for the next sweep");
            }
        }
        Ok(swept)
    }
}
