//! Acceptance: what comes from either side is made durable in its lane, and only then on its way.

use super::content::{Content, View, about};
use crate::clock::Timestamp;
use crate::handoff::{Handoff, Result};
use crate::ids::SessionId;
use crate::metrics::Metric;
use crate::model::lane::{Accepted, Arrival, Lease, Occupancy, Position, Waiting};
use crate::model::session::Session;
use crate::store::LaneContext;
use crate::store::lane::Contents;

/// Items that are durable.
#[derive(Debug)]
pub(crate) struct Intake<C> {
    /// Of what became of each of them, what obliges most.
    pub(crate) accepted: Accepted,
    /// All there is to know for a delivery, where that is known already.
    pub(crate) view: Option<View<C>>,
    /// How the lane was when that was looked at, if it was.
    pub(crate) found: Option<Occupancy>,
}

impl<C> From<Accepted> for Intake<C> {
    fn from(accepted: Accepted) -> Self {
        Self { accepted, view: None, found: None }
    }
}

impl<C> Intake<C> {
    /// Nothing that the lane has not had before; what it has had may still wait there.
    pub(crate) const fn nothing_new(found: Occupancy) -> Self {
        Self { accepted: Accepted::Duplicate, view: None, found: Some(found) }
    }
}

impl Handoff {
    /// Makes an item durable; only after this may its sender hear of success.
    pub(crate) async fn accept<C: Content>(
        &self,
        session_id: &SessionId,
        position: Position,
        content: &C,
        lease: &Lease,
    ) -> Result<Accepted> {
        self.accept_where(Occupancy::Busy, session_id, position, content, lease).await
    }

    /// The same, for a lane that was just found like this.
    async fn accept_where<C: Content>(
        &self,
        found: Occupancy,
        session_id: &SessionId,
        position: Position,
        content: &C,
        lease: &Lease,
    ) -> Result<Accepted> {
        let accepted = self.table.accept(&self.arrival(session_id, position, content), lease, found).await?;
        self.record_accepted::<C>(accepted != Accepted::Duplicate);
        Ok(accepted)
    }

    pub(crate) fn arrival<'a, C: Content>(
        &self,
        session_id: &'a SessionId,
        position: Position,
        content: &'a C,
    ) -> Arrival<'a, C> {
        let received_at = self.clock.now();
        let expires_at = self.kept_until(received_at);
        let revision = content.revision();
        Arrival { session_id, lane: C::LANE, position, content, received_at, expires_at, revision }
    }

    fn record_accepted<C: Content>(&self, is_new: bool) {
        if is_new {
            self.record(&about::<C>(), &[(Metric::Accepted, 1.0)]);
        }
    }

    /// Makes an item durable that is delivered from `not_before` on; who holds the lane's lease may be quicker.
    pub(crate) async fn accept_for<C: Content>(
        &self,
        not_before: Timestamp,
        session_id: &SessionId,
        position: Position,
        content: &C,
    ) -> Result<()> {
        let is_new = self.table.accept_for(not_before, &self.arrival(session_id, position, content)).await?;
        self.record_accepted::<C>(is_new);
        Ok(())
    }

    /// Makes everything that follows from one call durable.
    pub(crate) async fn accept_all<C: Content>(
        &self,
        session_id: &SessionId,
        items: impl IntoIterator<Item = (Position, C)>,
        lease: &Lease,
    ) -> Result<Accepted> {
        self.accept_all_where(Occupancy::Busy, session_id, items, lease).await
    }

    /// The same, for a lane that was just found like this.
    async fn accept_all_where<C: Content>(
        &self,
        mut found: Occupancy,
        session_id: &SessionId,
        items: impl IntoIterator<Item = (Position, C)>,
        lease: &Lease,
    ) -> Result<Accepted> {
        let mut result = Accepted::Duplicate;
        for (position, content) in items {
            let accepted = self.accept_where(found, session_id, position, &content, lease).await?;
            if accepted.holds_lease() {
                // What follows is not alone, and finds the lane held by us.
                (result, found) = (Accepted::WithLease, Occupancy::Held { until: lease.until });
            } else if result == Accepted::Duplicate {
                result = accepted;
            }
        }
        Ok(result)
    }

    /// The same where it was looked `around` just before. What has a receipt there needs no write, and a single item in a lane that
    /// is still as idle as it was then can be delivered without another look.
    pub(crate) async fn accept_seeing<C: Content>(
        &self,
        around: LaneContext,
        session_id: &SessionId,
        items: impl IntoIterator<Item = (Position, C)>,
        lease: &Lease,
    ) -> Result<Intake<C>> {
        let (now, found) = (self.clock.now(), around.occupancy);
        let is_new = |(position, _): &(Position, C)| !around.has_accepted(&position.source_id, now);
        let mut items: Vec<_> = items.into_iter().filter(is_new).collect();
        if items.is_empty() {
            // The parts of one look are of different moments: a lane that was read before something came into it seems idle.
            let is_too_early = found.is_idle() && around.is_any_inside;
            return Ok(if is_too_early { Accepted::Duplicate.into() } else { Intake::nothing_new(found) });
        }
        let alone = match around.occupancy {
            Occupancy::Idle { arrivals } if items.len() == 1 => items.pop().map(|item| (arrivals, item)),
            _ => None,
        };
        let Some((arrivals, (position, content))) = alone else {
            return Ok(self.accept_all_where(found, session_id, items, lease).await?.into());
        };
        let accepted = self.accept_where(around.occupancy, session_id, position.clone(), &content, lease).await?;
        let view = (accepted == Accepted::Alone).then(|| {
            let item = Waiting::new(position, content);
            let contents = Contents::alone(arrivals, around.last_finished_at, around.last_number, around.said, item);
            View { contents, around }
        });
        Ok(Intake { accepted, view, found: None })
    }

    /// Accepts a word of ours about the item `about` of the other lane; whoever looks at the lane next delivers it.
    pub(crate) async fn accept_notice<C: Content>(&self, session: &Session, notice: &C, about: &str) -> Result<()> {
        let now = self.clock.now();
        let position = Position { at: now, source_id: format!("undelivered:{about}") };
        self.accept_for(now, &session.session_id, position, notice).await
    }
}
