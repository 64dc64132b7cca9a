//! Acceptance: an item from either side is made durable in its lane before it is delivered.

use super::Inbox;
use super::content::{Content, View, about};
use crate::clock::Timestamp;
use crate::handoff::Result;
use crate::ids::SessionId;
use crate::metrics::Metric;
use crate::model::lane::{Accepted, Arrival, Lease, Occupancy, Position, Waiting};
use crate::model::session::Session;
use crate::store::LaneContext;
use crate::store::lane::Contents;

/// The result of making items durable.
#[derive(Debug)]
pub(crate) struct Intake<C> {
    /// Of the results for each item, the one that obliges the caller most.
    pub(crate) accepted: Accepted,
    /// Everything that a delivery needs, if it is known already.
    pub(crate) view: Option<View<C>>,
    /// How the lane was found, if it was read.
    pub(crate) found: Option<Occupancy>,
}

impl<C> From<Accepted> for Intake<C> {
    fn from(accepted: Accepted) -> Self {
        Self { accepted, view: None, found: None }
    }
}

impl<C> Intake<C> {
    /// A result without new items; those accepted before may still wait in the lane.
    pub(crate) const fn nothing_new(found: Occupancy) -> Self {
        Self { accepted: Accepted::Duplicate, view: None, found: Some(found) }
    }
}

impl Inbox {
    /// Makes an item durable; only after this may its sender receive a success.
    pub(crate) async fn accept<C: Content>(
        &self,
        session_id: &SessionId,
        position: Position,
        content: &C,
        lease: &Lease,
    ) -> Result<Accepted> {
        self.accept_where(Occupancy::Busy, session_id, position, content, lease).await
    }

    /// The same, for a lane that was just found in this state.
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

    /// Makes an item durable for delivery from `not_before` on; the holder of the lane's lease may deliver it earlier.
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

    /// Makes all items of one call durable.
    pub(crate) async fn accept_all<C: Content>(
        &self,
        session_id: &SessionId,
        items: impl IntoIterator<Item = (Position, C)>,
        lease: &Lease,
    ) -> Result<Accepted> {
        self.accept_all_where(Occupancy::Busy, session_id, items, lease).await
    }

    /// The same, for a lane that was just found in this state.
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
                // The next item is not alone in the lane, and finds the lease held by this call.
                (result, found) = (Accepted::WithLease, Occupancy::Held { until: lease.until });
            } else if result == Accepted::Duplicate {
                result = accepted;
            }
        }
        Ok(result)
    }

    /// The same after a look `around`. Items with a receipt there need no write, and a single item in a lane that is still as idle as
    /// it was then can be delivered without another look.
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
            // The parts of one look are read at different moments: a lane that was read just before an item arrived seems idle.
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

    /// Accepts a notice from the service about the item `about` of the other lane; the next holder of the lane delivers it.
    pub(crate) async fn accept_notice<C: Content>(&self, session: &Session, notice: &C, about: &str) -> Result<()> {
        let now = self.clock.now();
        let position = Position { at: now, source_id: format!("undelivered:{about}") };
        self.accept_for(now, &session.session_id, position, notice).await
    }
}
