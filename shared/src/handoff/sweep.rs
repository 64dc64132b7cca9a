//! The sweep: each minute, what no invocation has finished.

use super::drain::{Content, Patience};
use super::stop::MayBeOpen;
use super::{DELIVERY_TIME, Handoff, Result, lease_until};
use crate::bridge::{ToAgent, ToBot};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::store::Due;
use crate::store::lane::Lane;

/// How much one run looks at; what is left comes first in the next one.
const MOST_PER_RUN: i32 = 200;

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Lanes and starts that were due.
    pub due: usize,
    /// Those that this run worked on; somebody else had the others.
    pub done: usize,
}

impl Handoff {
    /// Delivers from every lane that is due and undoes starts that died; two sweeps at once share the work.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error) when it could not be listed what is due.
    pub async fn sweep(&self, deadline: Timestamp) -> Result<Swept> {
        let due = self.table.due(self.clock.now(), MOST_PER_RUN).await?;
        let mut swept = Swept { due: due.len(), done: 0 };
        for (session_id, what) in due {
            if self.clock.now() + DELIVERY_TIME > deadline {
                break;
            }
            let done = match what {
                Due::Lane(Lane::ToAgent) => self.sweep_lane::<ToAgent>(&session_id, deadline).await,
                Due::Lane(Lane::ToBot) => self.sweep_lane::<ToBot>(&session_id, deadline).await,
                Due::Start => self.undo_start(&session_id, deadline).await,
            };
            match done {
                Ok(worked) => swept.done += usize::from(worked),
                Err(error) => {
                    tracing::error!(error = %error, session.id = %session_id, "something stays for the next sweep");
                }
            }
        }
        Ok(swept)
    }

    async fn sweep_lane<C: Content>(&self, session_id: &SessionId, deadline: Timestamp) -> Result<bool> {
        let lease = lease_until(deadline);
        let taken = self.table.take_lease(session_id, C::LANE, &lease, self.clock.now()).await?;
        if taken {
            self.drain::<C>(session_id, &lease, deadline, Patience::Leave).await?;
        }
        Ok(taken)
    }

    /// Undoes a start whose claimant has died; nobody waits for its answer any more.
    async fn undo_start(&self, session_id: &SessionId, deadline: Timestamp) -> Result<bool> {
        let Some(mut session) = self.table.session(session_id).await? else { return Ok(false) };
        if self.clock.now() < session.claim.until {
            return Ok(false);
        }
        let claim = self.new_claim();
        let taken = self.table.take_over_start(&session, &claim).await?;
        if taken {
            session.claim = claim;
            self.undo(&session, None, MayBeOpen::Yes, deadline).await?;
        }
        Ok(taken)
    }
}
