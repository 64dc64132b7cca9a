//! The sweep: each minute, what no invocation has finished.

use super::drain::{Content, Patience};
use super::stop::MayBeOpen;
use super::{DELIVERY_TIME, Handoff, Result, lease_until};
use crate::bridge::{ToAgent, ToBot};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::store::lane::Lane;
use crate::store::{Due, Session};

/// How much one run looks at; what is left comes first in the next one.
const MOST_PER_RUN: i32 = 200;

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Lanes and sessions that were due.
    pub due: usize,
    /// Those that this run worked on; somebody else had the others.
    pub done: usize,
}

impl Handoff {
    /// Delivers from every lane that is due, undoes starts that died, and reads threads that have gone silent; two sweeps at
    /// once share the work.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error) when it could not be listed what is due.
    pub async fn sweep(&self, deadline: Timestamp) -> Result<Swept> {
        let now = self.clock.now();
        if let Err(error) = self.hasten_after_outage(now).await {
            tracing::warn!(error = %error, "an outage of ours may go unnoticed");
        }
        let due = self.table.due(now, MOST_PER_RUN).await?;
        let mut swept = Swept { due: due.len(), done: 0 };
        for (session_id, what) in due {
            if self.clock.now() + DELIVERY_TIME > deadline {
                break;
            }
            let done = match what {
                Due::Lane(Lane::ToAgent) => self.sweep_lane::<ToAgent>(&session_id, deadline).await,
                Due::Lane(Lane::ToBot) => self.sweep_lane::<ToBot>(&session_id, deadline).await,
                Due::Session => self.sweep_session(&session_id, deadline).await,
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

    async fn sweep_session(&self, session_id: &SessionId, deadline: Timestamp) -> Result<bool> {
        match self.table.session(session_id).await? {
            Some(session) => self.look_after(session, deadline).await,
            None => Ok(false),
        }
    }

    /// Undoes a start whose claimant has died; nobody waits for its answer any more.
    pub(super) async fn undo_start(&self, mut session: Session, deadline: Timestamp) -> Result<bool> {
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
