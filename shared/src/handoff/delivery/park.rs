//! Parking: an item that can never be delivered leaves its lane and is kept for an operator.

use crate::bridge::decide::without_agent;
use crate::handoff::delivery::outbound::{Attempt, Delivered, Look, Outbound};
use crate::handoff::inbox::content::about;
use crate::handoff::{Error, Handoff, Result};
use crate::metrics::Metric;
use crate::model::lane::{Lease, Reason, Waiting};
use crate::model::session::Session;
use crate::model::user::User;
use crate::store::lane::Contents;
use crate::telemetry;

impl Handoff {
    /// Parks the items that this version cannot read, since they would block everything behind them. Returns `false` if another holder
    /// has taken the lane.
    pub(super) async fn park_unread<C: Outbound>(
        &self,
        session: &Session,
        lease: &Lease,
        contents: &Contents<C>,
    ) -> Result<bool> {
        for unread in &contents.unread {
            let now = self.clock.now();
            let (session_id, expires_at) = (&session.session_id, self.retained_until(now));
            let whose = (session_id, &session.user_id);
            if !self.table.park_unread(whose, C::LANE, lease, unread, now, expires_at).await? {
                return Ok(false);
            }
            self.record(&about::<C>(), &[(Metric::Parked, 1.0)]);
            tracing::error!(session.id = %session_id, lane = %C::LANE,
                source.id = telemetry::id(&without_agent(&unread.position.source_id)), kept.until = %expires_at,
                "this version cannot read an item, which is parked");
        }
        Ok(true)
    }

    /// Parks an item that can never be delivered, unless it has arrived unnoticed, and notifies its author.
    pub(super) async fn put_aside<C: Outbound>(
        &self,
        session: &Session,
        user: Option<&User>,
        item: &Waiting<C>,
        error: &Error,
    ) -> Result<Attempt> {
        let source_id = without_agent(&item.position.source_id);
        if item.content.is_never_parked() {
            tracing::error!(error = %error, session.id = %session.session_id, lane = %C::LANE,
                source.id = telemetry::id(&source_id), "a vendor refused a session's end permanently; the end is dropped");
            return Ok(Delivered::dropped().into());
        }
        // An earlier attempt may have delivered the item, whatever its failure was.
        let outcome_unknown = item.outcome_unknown || item.failing_since.is_some() || error.may_have_arrived();
        let mut may_have_arrived = outcome_unknown;
        if outcome_unknown {
            match Box::pin(C::look(self, session, user, item)).await {
                Ok(Look::Arrived(delivered)) => return Ok(delivered.into()),
                Ok(Look::Missing) => may_have_arrived = self.require_certainty(item).is_err(),
                Ok(Look::Impossible) => {}
                Err(error) => {
                    tracing::warn!(error = %error, session.id = %session.session_id,
                        "an item that is being parked could not be looked up; it may have arrived");
                }
            }
        }
        let expires_at = self.retained_until(self.clock.now());
        tracing::error!(error = %error, session.id = %session.session_id, lane = %C::LANE,
            source.id = telemetry::id(&source_id), outcome.unknown = outcome_unknown, kept.until = %expires_at,
            "an item cannot be delivered and is parked");
        Box::pin(C::tell_sender(self, session, item, may_have_arrived)).await?;
        Ok(Delivered::parked(Reason { cause: error.to_string(), outcome_unknown, expires_at }).into())
    }
}
