//! The claim on a start: one invocation at a time builds a session, and another takes over when it dies.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::handoff::{Error, Handoff, Result, fresh_holder};
use crate::model::session::{Claim, Session};

/// How long a claimant may stay silent before another invocation takes the start over.
const CLAIM_TIME: Duration = Duration::from_secs(20);

/// How much longer a claim lasts than its holder's deadline, if that comes sooner.
const CLAIM_MARGIN: Duration = Duration::from_secs(1);

impl Handoff {
    /// A claim for an invocation that ends by `deadline`.
    pub(super) fn new_claim(&self, deadline: Timestamp) -> Claim {
        let until = (self.clock.now() + CLAIM_TIME).min(deadline + CLAIM_MARGIN);
        Claim { holder: fresh_holder(), until }
    }

    /// Keeps the claim on a start for as long as a call may take; writes only if too little of it is left.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when another invocation has taken the start over.
    pub(super) async fn keep_claim(&self, session: &mut Session, deadline: Timestamp) -> Result<()> {
        if self.clock.now() + self.gates.livechat.longest_once() <= session.claim.until {
            return Ok(());
        }
        let claim = self.new_claim(deadline);
        if !self.table.take_over_start(session, &claim).await? {
            return Err(Error::Busy);
        }
        session.claim = claim;
        Ok(())
    }
}
