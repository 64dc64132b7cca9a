//! Reconciliation: a thread that has been silent for a while is read as a whole.
//!
//! LiveChat repeats a webhook for only about a minute; this recovers the events whose webhooks never arrived.

use std::time::Duration;

use crate::bridge::ToBot;
use crate::clock::Timestamp;
use crate::handoff::delivery::missed::SILENCE;
use crate::handoff::inbox::content::Content as _;
use crate::handoff::{Handoff, Result};
use crate::model::session::{Session, State};
use crate::store::{Due, KEPT_AGAIN_AFTER};

/// The longest time between two readings of a thread that stays silent; each call is billed.
const LONGEST_SILENCE: Duration = Duration::from_secs(960);

/// A longer gap between two sweeps means that the stack itself had an outage.
const OUTAGE: Duration = Duration::from_secs(150);

/// How many sessions are hastened after an outage; the rest are read when they are due.
const MOST_HASTENED: i32 = 1_000;

impl Handoff {
    /// Makes every session due at once after an outage of the stack, since any of them may have missed events. `last` is the time of the
    /// last sweep.
    pub(super) async fn hasten_after_outage(&self, last: Timestamp, now: Timestamp) -> Result<()> {
        if now.since(last) > OUTAGE {
            tracing::warn!(outage.seconds = now.since(last).as_secs(), "the sweep has not run for a while");
            self.hasten_all(now).await?;
        }
        Ok(())
    }

    /// Makes every session due, since any of them may have missed events.
    pub(crate) async fn hasten_all(&self, now: Timestamp) -> Result<()> {
        for (_, session_id, due) in self.table.due(now + LONGEST_SILENCE, MOST_HASTENED).await? {
            if due == Due::Session {
                self.table.hasten_read(&session_id, now).await?;
            }
        }
        Ok(())
    }

    /// Reads a silent session's thread and accepts its new events. Returns whether this invocation claimed the reading.
    pub(crate) async fn reconcile(&self, session: &Session, deadline: Timestamp) -> Result<bool> {
        let now = self.clock.now();
        let session_id = &session.session_id;
        let arrived_at = self.table.last_arrival(session_id, ToBot::LANE).await?;
        let speaks_until = arrived_at.map(|at| at + SILENCE).filter(|until| now < *until && !session.must_read);
        if let Some(speaks_until) = speaks_until {
            // Events have just arrived, so webhooks evidently work: put the reading off and reset its pause.
            return Ok(self.table.take_read(session_id, now, speaks_until, 0, false).await?);
        }
        // The pause doubles with each reading of a silent thread, since each one is billed.
        let pause = SILENCE.saturating_mul(2_u32.saturating_pow(session.silent_reads)).min(LONGEST_SILENCE);
        let reads = session.silent_reads.saturating_add(1);
        if !self.table.take_read(session_id, now, now + pause, reads, true).await? {
            return Ok(false);
        }
        if let Err(error) = self.deliver_missed(session, deadline).await {
            self.note_limit(&error, &session.user_id).await;
            self.table.hasten_read(session_id, now + SILENCE).await?;
            return Err(error);
        }
        Ok(true)
    }

    /// Extends the expiry of a long-open session's records: without its receipts, items accepted before would count as new.
    async fn keep(&self, session: &Session) {
        let now = self.clock.now();
        if now.since(session.kept_at.unwrap_or(session.started_at)) < KEPT_AGAIN_AFTER {
            return;
        }
        if let Err(error) = Box::pin(self.table.keep(session, now, self.kept_until(now))).await {
            tracing::warn!(error = %error, session.id = %session.session_id,
                "the expiry of a session's records could not be extended; the next sweep tries again");
        }
    }

    /// Does what is due for a session. Returns whether there was anything to do.
    pub(super) async fn look_after(&self, session: Session, deadline: Timestamp) -> Result<bool> {
        match session.state {
            State::Starting => self.resume_start(session, deadline).await,
            State::Active => {
                Box::pin(self.keep(&session)).await;
                self.reconcile(&session, deadline).await
            }
            // Only the undoing of a start is due by itself; the rest of any other end waits in a lane.
            State::Closing => self.close_from_bot(&session.session_id, deadline).await.map(|()| true),
            State::Closed => Ok(false),
        }
    }
}
