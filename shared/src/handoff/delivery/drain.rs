//! Delivery: the holder of a lane's lease delivers the waiting items, oldest first.

use std::time::Duration;

use futures_util::FutureExt as _;

use super::alone::Judged;
use super::gathering::Gathering;
use super::pauses::pause_for;
use crate::bridge::decide::without_agent;
use crate::bridge::{ToAgent, ToBot};
use crate::clock::Timestamp;
use crate::handoff::delivery::outbound::{Attempt, Delay, Delivered, Outbound};
use crate::handoff::inbox::accept::Intake;
use crate::handoff::inbox::content::{LaneKey, View, about};
use crate::handoff::vendors::doubt::{AT_WORK, next_look};
use crate::handoff::vendors::limits::{counted, hurried, is_delivering, while_held};
use crate::handoff::{DELIVERY_TIME, Error, Handoff, Result, lease_until};
use crate::ids::SessionId;
use crate::metrics::Metric;
use crate::model::lane::{
    Accepted, Completed, Done, Failing, Failure, Known, Lane, Lease, Occupancy, Outcome, Waiting,
};
use crate::model::session::{Session, State};
use crate::model::user::User;
use crate::model::vendor_calls::VendorCalls;
use crate::store::lane::Contents;
use crate::store::{LaneContext, LaneQuery};
use crate::telemetry;

/// How long a drain with a waiting caller treats a failure as a blip: most are over half a second later.
const BLIP: Duration = Duration::from_secs(1);

/// How long an end waits for messages of the same lane that a vendor refuses to this session alone because of a limit. It counts from the
/// first refusal: a stack that was down before it has not waited for the vendor.
const END_WAITS: Duration = Duration::from_secs(60);

/// What a drain does when the next item cannot be delivered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It waits for items that are due soon and for a blip to pass, as long as its deadline allows, but not for a vendor that is down:
    /// the user or the agent is in the middle of a conversation.
    Wait,
    /// It leaves the lane: other lanes are due as well.
    Leave,
}

/// How a drain left its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Nothing is left to do, or another holder does it.
    Finished,
    /// Nothing is left to do, and every waiting item was handled here; none was dropped.
    Delivered,
    /// Nothing is left to do here, and a parked item has left a notice in the other lane.
    Parked,
    /// The lane is due again at this time.
    Postponed(Timestamp),
}

/// What a drain has observed so far.
#[derive(Debug, Default)]
struct Seen {
    /// Whether an item was dropped.
    has_dropped: bool,
    /// Whether an item was parked.
    has_parked: bool,
    /// Whether items arrive while others are delivered.
    is_lively: bool,
    /// Whether earlier messages may still be on their way.
    gathering: Gathering,
    /// The vendor calls since the last item left the lane.
    calls: VendorCalls,
    /// The end of the blip, counted from the first failure.
    blip_ends: Option<Timestamp>,
}

impl Seen {
    /// Whether an item delayed by a failure comes too late for the caller who waits.
    fn is_no_blip(&mut self, now: Timestamp, tried_again_at: Timestamp) -> bool {
        tried_again_at > *self.blip_ends.get_or_insert(now + BLIP)
    }
}

/// How a pass over a lane ended.
enum Pass {
    Released,
    LeaseLost,
    LookAgain,
    WaitUntil(Timestamp, Delay),
}

impl Handoff {
    /// Delivers everything in a lane, and leaves items that cannot be delivered yet. Returns `None` if nothing waits, or another holder
    /// has the lease.
    pub(crate) async fn drain_if_free<C: Outbound>(
        &self,
        session_id: &SessionId,
        deadline: Timestamp,
    ) -> Result<Option<Drained>> {
        let lease = lease_until(deadline);
        if !self.table.take_lease(session_id, C::LANE, &lease, self.clock.now()).await? {
            return Ok(None);
        }
        Box::pin(self.drain::<C>(None, session_id.into(), &lease, deadline, Patience::Leave)).await.map(Some)
    }

    /// Delivers everything in a lane whose lease the caller holds, and gives the lease back. `view` is the result of the first read, if
    /// it is known already.
    pub(crate) async fn drain<C: Outbound>(
        &self,
        mut view: Option<View<C>>,
        whose: LaneKey<'_>,
        lease: &Lease,
        deadline: Timestamp,
        patience: Patience,
    ) -> Result<Drained> {
        let session_id = whose.session_id;
        let (mut seen_empty_at, mut seen) = (None, Seen::default());
        loop {
            let View { mut contents, around } = match view.take() {
                Some(view) => view,
                None => self.view(whose).await?,
            };
            let LaneContext { session, user, vendors, last_number, .. } = around;
            self.gates.learn(&vendors);
            let Some(mut session) = session else { return self.bury::<C>(session_id, lease).await };
            contents.last_number = contents.last_number.max(last_number).max(session.read_up_to);
            if session.state == State::Closed && !contents.expires {
                self.table.expire_lane(session_id, C::LANE, self.kept_until(self.clock.now())).await?;
            }
            if !contents.unread.is_empty() {
                if !self.park_unread(&session, lease, &contents).await? {
                    return Ok(Drained::Finished);
                }
                continue;
            }
            if contents.waiting.is_empty() {
                let released = self.table.release(session_id, C::LANE, lease, contents.arrivals).await?;
                // The lane is empty, without new arrivals, and the lease still cannot be given back: another holder has taken it.
                if released || seen_empty_at == Some(contents.arrivals) {
                    return Ok(if seen.has_parked { Drained::Parked } else { Drained::Finished });
                }
                // An item may have arrived since the lane was read, so it is read once more.
                seen_empty_at = Some(contents.arrivals);
                continue;
            }
            // First of all: once the lease is given back, nothing shows any more that its earlier holder died.
            if contents.was_interrupted {
                let in_doubt_until = contents.interrupted_until.map(|at| at + AT_WORK);
                self.table.note_interruption(session_id, C::LANE, &contents.waiting, in_doubt_until).await?;
                continue;
            }
            if patience == Patience::Wait && C::gate(self, &session).is_left_alone() {
                return self.postpone::<C>(session_id, lease, self.clock.now(), None).await;
            }
            // An end comes last, even if a message for the same lane arrives after it was accepted.
            contents.waiting.sort_by_key(|item| item.content.is_end());
            C::apply_changes(&mut contents.waiting);
            if patience == Patience::Wait
                && !C::gate(self, &session).is_doubtful()
                && let Some(time) = seen.gathering.look_again_at(&contents, self.clock.now())
                && time + DELIVERY_TIME < deadline
            {
                self.clock.sleep_until(time).await;
                continue;
            }
            let passed =
                Box::pin(self.pass((&mut session, user.as_ref()), &contents, lease, deadline, &mut seen)).await?;
            let (time, delay) = match passed {
                Pass::Released | Pass::LeaseLost if seen.has_parked => return Ok(Drained::Parked),
                Pass::Released if !seen.has_dropped => return Ok(Drained::Delivered),
                Pass::Released | Pass::LeaseLost => return Ok(Drained::Finished),
                Pass::LookAgain => continue,
                Pass::WaitUntil(time, delay) => (time, delay),
            };
            let too_late = match delay {
                Delay::Early => false,
                Delay::FailedBefore | Delay::Failed | Delay::Limited => seen.is_no_blip(self.clock.now(), time),
                Delay::FailedForLong => true,
            };
            let in_vain = too_late || time + DELIVERY_TIME > deadline || C::gate(self, &session).is_failing();
            if patience == Patience::Leave || in_vain {
                let oldest = contents.waiting.iter().map(|item| item.position.at).min();
                let age = oldest.map_or(0.0, |at| self.clock.now().since(at).as_secs_f64());
                self.record(&about::<C>(), &[(Metric::UndeliveredAge, age)]);
                let failed = matches!(delay, Delay::Failed | Delay::Limited | Delay::FailedForLong);
                let at = self.clock.now();
                let failure = Failure { vendor: C::vendor(&session), at, is_limit: delay == Delay::Limited };
                return self.postpone::<C>(session_id, lease, time, failed.then_some(failure)).await;
            }
            self.clock.sleep_until(time).await;
        }
    }

    /// Deletes the items of a session that no longer exists: it has expired, or its user was erased. What the deadline leaves undone is
    /// left to the next drain.
    async fn bury<C: Outbound>(&self, session_id: &SessionId, lease: &Lease) -> Result<Drained> {
        tracing::warn!(session.id = %session_id, "items arrived for a session that no longer exists; they are deleted");
        match self.table.bury(session_id, lease.deadline).await? {
            true => Ok(Drained::Finished),
            false => self.postpone::<C>(session_id, lease, self.clock.now(), None).await,
        }
    }

    async fn view<C: Outbound>(&self, whose: LaneKey<'_>) -> Result<View<C>> {
        let wanted = LaneQuery { lane: None, ..whose.wanted::<C>() };
        let contents = self.table.lane::<C>(whose.session_id, C::LANE);
        let (contents, around) = tokio::try_join!(contents, self.table.lane_context(wanted))?;
        Ok(View { contents, around })
    }

    fn record_finished<C: Outbound>(&self, done: &Done<'_, C>) {
        let outcome = match done.outcome {
            Outcome::Delivered => Metric::Delivered,
            Outcome::Dropped => Metric::Dropped,
            Outcome::Parked => Metric::Parked,
        };
        let delay = done.finished_at.since(done.item.position.at).as_secs_f64() * 1_000.0;
        let attempts = f64::from(done.item.attempts) + 1.0;
        let values = [(outcome, 1.0), (Metric::Attempts, attempts), (Metric::DeliveryDelay, delay)];
        self.record(&about::<C>(), &values);
        // The reason for parking was logged where it was decided.
        if done.outcome != Outcome::Parked {
            tracing::info!(session.id = %done.session_id, lane = %done.lane,
                source.id = telemetry::id(&without_agent(&done.item.position.source_id)), outcome = ?done.outcome,
                vendor.id = done.vendor_id.as_ref().map(telemetry::id), attempts, delay_ms = delay,
                "an item has left its lane");
        }
    }

    async fn postpone<C: Outbound>(
        &self,
        session_id: &SessionId,
        lease: &Lease,
        not_before: Timestamp,
        failed: Option<Failure<'_>>,
    ) -> Result<Drained> {
        self.table.postpone(session_id, C::LANE, lease, not_before, failed).await?;
        Ok(Drained::Postponed(not_before))
    }

    /// Delivers the items seen in a lane, oldest first, until a new one may belong before the next.
    async fn pass<C: Outbound>(
        &self,
        (session, user): (&mut Session, Option<&User>),
        contents: &Contents<C>,
        lease: &Lease,
        deadline: Timestamp,
        seen: &mut Seen,
    ) -> Result<Pass> {
        let (mut not_before, mut last_finished_at) = (contents.not_before, contents.last_finished_at);
        let (mut last_number, mut said) = (contents.last_number, contents.said);
        for (index, item) in contents.waiting.iter().enumerate() {
            let now = self.clock.now();
            let follows_at = last_finished_at.map(|at| item.content.earliest(self, session, at));
            let planned_at = item.content.ready_at(self, session).max(follows_at.unwrap_or(now));
            // `not_before` holds back the next item alone; the others follow that one.
            let ready_at = not_before.take().map_or(planned_at, |at| at.max(planned_at));
            if ready_at > now || now + DELIVERY_TIME > deadline {
                // A delay much longer than the planned one is the result of a failure. While the session is still starting nothing has
                // been tried; then the start itself sets the time from which the bot can take items.
                let is_postponed = session.state != State::Starting && ready_at > planned_at + BLIP;
                let delay = if is_postponed { Delay::FailedBefore } else { Delay::Early };
                return Ok(Pass::WaitUntil(ready_at.max(now), delay));
            }
            let ends = (end_held_up_since(contents), contents.waiting.iter().any(|one| one.content.is_end()));
            let attempt = self.attempt((session, user), item, ends, deadline);
            let (attempt, calls) = counted(while_held(C::LANE, lease, attempt)).await;
            seen.calls = seen.calls.plus(calls);
            let delivered = match attempt? {
                Attempt::Done(delivered) => delivered,
                Attempt::Later(time, delay) => return Ok(Pass::WaitUntil(time, delay)),
            };
            seen.has_dropped |= delivered.outcome == Outcome::Dropped;
            seen.has_parked |= delivered.outcome == Outcome::Parked;
            let is_served = delivered.outcome == Outcome::Delivered && item.content.is_spoken();
            let done = Done {
                session_id: &session.session_id,
                user_id: &session.user_id,
                lane: C::LANE,
                item,
                mark: item.content.mark(&session.user_id).filter(|_| delivered.outcome == Outcome::Delivered),
                outcome: delivered.outcome,
                vendor_id: delivered.vendor_id,
                finished_at: self.clock.now(),
                served_by: is_served.then(|| C::vendor(session)),
                parked: delivered.parked,
                expires_at: self.kept_until(self.clock.now()),
            };
            last_finished_at = Some(done.finished_at);
            last_number = last_number.max(C::number(item, done.vendor_id.as_deref()));
            if done.outcome == Outcome::Delivered && C::is_said(item) {
                said = said.and_one(done.finished_at);
            }
            said = said.and_calls(std::mem::take(&mut seen.calls));
            let (arrivals, is_last) = (contents.arrivals, index + 1 == contents.waiting.len());
            let known = Known { arrivals, is_last, is_lively: seen.is_lively, last_number, said };
            let completed = self.table.complete(&done, lease, known).await?;
            if completed != Completed::LeaseLost {
                self.record_finished(&done);
            }
            match completed {
                Completed::MoreToDo => {}
                Completed::SomethingArrived => {
                    seen.is_lively = true;
                    return Ok(Pass::LookAgain);
                }
                Completed::Released => return Ok(Pass::Released),
                Completed::LeaseLost => return Ok(Pass::LeaseLost),
            }
        }
        Ok(Pass::LookAgain)
    }

    async fn attempt<C: Outbound>(
        &self,
        (session, user): (&mut Session, Option<&User>),
        item: &Waiting<C>,
        (end_held_up_since, has_end): (Option<Timestamp>, bool),
        deadline: Timestamp,
    ) -> Result<Attempt> {
        let error = match Box::pin(C::deliver(self, session, user, item)).await {
            Ok(attempt) => return Ok(attempt),
            Err(error) => error,
        };
        let now = self.clock.now();
        // No user or agent waits for it any more, and nothing else is kept for so long.
        if error.is_retryable() && !item.content.is_end() && has_end && self.has_waited_in_vain(item) {
            tracing::warn!(error = %error, session.id = %session.session_id, lane = %C::LANE,
                "an item before a session's end failed for too long and is dropped");
            return Ok(Attempt::Done(Delivered::dropped()));
        }
        match error {
            Error::Waiting { wait, .. } | Error::Crowded { wait } => {
                return Ok(Attempt::Later(now + wait, Delay::FailedBefore));
            }
            // An end leaves nothing to look up at the vendor.
            Error::InDoubt { until } if item.content.is_end() => {
                return Ok(Attempt::Later(until, Delay::FailedBefore));
            }
            Error::InDoubt { until } => return Ok(Attempt::Later(next_look(until, now), Delay::FailedBefore)),
            Error::LeaseOver => return Ok(Attempt::Later(now, Delay::FailedBefore)),
            _ => {}
        }
        self.note_limit(&error, &session.user_id).await;
        // A limit on this session alone must not hold up its end for ever; a limit on every session would be an outage, which an end
        // waits for.
        let is_in_the_way = self.is_limited_alone(&error)
            && !item.content.is_end()
            && end_held_up_since.is_some_and(|since| since + END_WAITS <= self.clock.now())
            && Box::pin(self.serves_others(session, &error)).await;
        if !error.is_retryable() || is_in_the_way {
            return Box::pin(self.put_aside(session, user, item, &error)).await;
        }
        let Judged { failing, is_to_be_parked } = Box::pin(self.judge(session, user, item, &error, deadline)).await;
        if is_to_be_parked {
            self.expect_effect_of(session, &error).await?;
            return Box::pin(self.put_aside(session, user, item, &error)).await;
        }
        let in_doubt_until = error.in_doubt_until(now);
        let failing = Failing { in_doubt_until, ..failing };
        Box::pin(self.table.note_attempt(&session.session_id, C::LANE, item, failing)).await?;
        tracing::warn!(error = %error, session.id = %session.session_id, lane = %C::LANE,
            attempts = item.attempts + 1, "a delivery failed and is tried again");
        let is_for_long = matches!(error, Error::Hanging { .. }) || error.is_authentication();
        let delay = match error {
            _ if is_for_long => Delay::FailedForLong,
            Error::Limited { .. } => Delay::Limited,
            _ => Delay::Failed,
        };
        Ok(Attempt::Later(self.clock.now() + pause_for(&error, item.attempts), delay))
    }

    /// The call of a parked item may still take effect; the next thread waits until it no longer can.
    async fn expect_effect_of(&self, session: &Session, error: &Error) -> Result<()> {
        match error.in_doubt_until(self.clock.now()) {
            Some(until) => Ok(self.table.put_closing_until(&session.user_id, until).await?),
            None => Ok(()),
        }
    }

    /// Delivers what was accepted, unless another holder does; the sweep retries what fails here. A delivery that outlasts its caller's
    /// patience goes on in the background.
    pub(crate) async fn drain_accepted<C: Outbound>(
        &self,
        whose: impl Into<LaneKey<'_>>,
        intake: impl Into<Intake<C>>,
        lease: &Lease,
        deadline: Timestamp,
    ) -> Drained {
        let (whose, Intake { accepted, view, found }) = (whose.into(), intake.into());
        let session_id = whose.session_id;
        let drained = async {
            let holds_lease = match accepted {
                Accepted::Alone | Accepted::WithLease => true,
                Accepted::WithoutLease => false,
                // The process that accepted it first may have died before it delivered.
                Accepted::Duplicate => self.take_if_left::<C>(session_id, found, lease).await?,
            };
            if !holds_lease {
                return Ok(Drained::Finished);
            }
            // Part of another delivery, which waits for it, or towards a vendor that can be asked for the outcome.
            if C::LANE == Lane::ToAgent || is_delivering() {
                return Box::pin(hurried(self.drain(view, whose, lease, deadline, Patience::Wait))).await;
            }
            let (handoff, session_id, user_id) = (self.clone(), session_id.clone(), whose.user_id.cloned());
            let lease = lease.clone();
            let drain = async move {
                let whose = LaneKey { user_id: user_id.as_ref(), ..LaneKey::from(&session_id) };
                hurried(handoff.drain(view, whose, &lease, deadline, Patience::Wait)).await
            };
            // A drain that goes on without its caller holds the lease.
            self.background.carry(drain.boxed()).await.unwrap_or(Ok(Drained::Finished))
        };
        drained.await.unwrap_or_else(|error| {
            tracing::error!(error = %error, session.id = %session_id, lane = %C::LANE,
                "a lane could not be delivered now; the sweep delivers it");
            Drained::Finished
        })
    }

    /// Takes the lease of a lane with waiting items and no live holder.
    async fn take_if_left<C: Outbound>(
        &self,
        session_id: &SessionId,
        found: Option<Occupancy>,
        lease: &Lease,
    ) -> Result<bool> {
        let found = match found {
            Some(found) => found,
            None => self.table.occupancy(session_id, C::LANE).await?,
        };
        let now = self.clock.now();
        if found.is_idle() || found.is_held_at(now) {
            return Ok(false);
        }
        Ok(self.table.take_lease(session_id, C::LANE, lease, now).await?)
    }

    /// Delivers the messages that the user has written while their session was starting.
    pub(crate) async fn deliver_what_waits(&self, session_id: &SessionId, deadline: Timestamp) -> Result<()> {
        self.drain_if_free::<ToAgent>(session_id, deadline).await.map(drop)
    }

    /// Delivers the notices that the user of an ending session has not seen yet, such as that it was given up: once the session is over
    /// nothing delivers them. Returns whether none is left.
    pub(crate) async fn tell_all(&self, session_id: &SessionId, deadline: Timestamp) -> Result<bool> {
        Ok(match self.drain_if_free::<ToBot>(session_id, deadline).await? {
            Some(drained) => !matches!(drained, Drained::Postponed(_)),
            None => self.load_context::<ToBot>(session_id.into()).await.occupancy.is_idle(),
        })
    }
}

/// The time since which an end waits in a lane for messages that a vendor refuses because of a limit.
fn end_held_up_since<C: Outbound>(contents: &Contents<C>) -> Option<Timestamp> {
    let ends = contents.waiting.iter().filter(|item| item.content.is_end());
    let end_since = ends.map(|item| item.position.at).min()?;
    contents.limited_since.map(|limited_since| limited_since.max(end_since))
}
