//! Reasons to end a session: its bot ends it, its start has failed, or its user has started another.

use crate::bridge::{ToAgent, ToBot};
use crate::clock::Timestamp;
use crate::handoff::inbox::content::Content;
use crate::handoff::{Error, Handoff, Result, lease_until};
use crate::ids::SessionId;
use crate::metrics::{About, Metric};
use crate::model::lane::{Occupancy, Position};
use crate::model::session::{Session, State};

/// Whether a start may have opened something at LiveChat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MayBeOpen {
    /// It has, or this cannot be ruled out.
    Yes,
    /// The start was refused before it opened anything.
    No,
}

impl Handoff {
    pub(crate) async fn close_from_bot(&self, session_id: &SessionId, deadline: Timestamp) -> Result<()> {
        let position = Position { at: self.clock.now(), source_id: "close".to_owned() };
        let lease = lease_until(deadline);
        let accepted = self.accept(session_id, position, &ToAgent::Close, &lease).await?;
        self.table.begin_closing(session_id).await?;
        self.drain_accepted::<ToAgent>(session_id, accepted, &lease, deadline).await;
        Ok(())
    }

    /// Undoes a start that failed with `error`; what cannot be undone now is left to the sweep.
    pub(super) async fn abandon(&self, session: &Session, error: &Error, may_be_open: MayBeOpen, deadline: Timestamp) {
        self.record(&About::Stack, &[(Metric::StartsFailed, 1.0)]);
        tracing::warn!(error = %error, session.id = %session.session_id, "a start has failed and is undone");
        let failure = (!error.is_retryable()).then(|| error.to_string());
        if let Err(error) = self.undo(session, failure.as_deref(), may_be_open, deadline).await {
            tracing::error!(error = %error, session.id = %session.session_id,
                "a failed start could not be undone now; the sweep undoes it");
        }
    }

    /// Ends a session that was never active, unless another invocation has taken the start over. A thread open at LiveChat is closed
    /// through the lane.
    pub(crate) async fn undo(
        &self,
        session: &Session,
        failure: Option<&str>,
        may_be_open: MayBeOpen,
        deadline: Timestamp,
    ) -> Result<()> {
        // Marked first: a close in the lane of a start that another invocation may still take over would end that one's work.
        let in_doubt_until = session.in_doubt_until.unwrap_or_else(|| self.clock.now());
        if !self.table.begin_undoing(session, failure, in_doubt_until).await? {
            return Ok(());
        }
        match may_be_open {
            MayBeOpen::Yes => Box::pin(self.close_from_bot(&session.session_id, deadline)).await,
            MayBeOpen::No => self.close_unopened(session).await,
        }
    }

    /// Completes the end of a session, so that the user can start another. Returns whether it is over.
    pub(crate) async fn finish_closing(&self, session: &Session, deadline: Timestamp) -> Result<bool> {
        self.close_from_bot(&session.session_id, deadline).await?;
        self.is_over::<ToAgent>(&session.session_id).await
    }

    /// Ends a session whose user has started another: a customer has only one chat, and the earlier bot must resume. Returns whether it
    /// is over.
    pub(crate) async fn supersede(&self, session: &Session, deadline: Timestamp) -> Result<bool> {
        self.end_both_sides(session, "superseded", false, deadline).await
    }

    /// Ends a session on behalf of an operator. Returns whether it is over.
    pub(crate) async fn close_for_operator(&self, session: &Session, deadline: Timestamp) -> Result<bool> {
        self.end_both_sides(session, "operator", true, deadline).await
    }

    async fn end_both_sides(
        &self,
        session: &Session,
        source_id: &str,
        by_operator: bool,
        deadline: Timestamp,
    ) -> Result<bool> {
        let position = Position { at: self.clock.now(), source_id: source_id.to_owned() };
        let lease = lease_until(deadline);
        let end = ToBot::Superseded { by_operator };
        let accepted = self.accept(&session.session_id, position, &end, &lease).await?;
        self.drain_accepted::<ToBot>(&session.session_id, accepted, &lease, deadline).await;
        self.is_over::<ToBot>(&session.session_id).await
    }

    /// Whether a session is over. It is not while another invocation drains the lane of its end.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when none does: a vendor could not be told, and the sweep continues.
    async fn is_over<C: Content>(&self, session_id: &SessionId) -> Result<bool> {
        // In this order: a lease given back between the two reads then shows as a session that is over.
        let occupancy = self.load_context::<C>(session_id.into()).await.occupancy;
        let is_held = matches!(occupancy, Occupancy::Held { until } if self.clock.now() < until);
        match self.table.session(session_id).await? {
            Some(session) if session.state != State::Closed && is_held => Ok(false),
            Some(session) if session.state != State::Closed => Err(Error::Busy),
            _ => Ok(true),
        }
    }
}
