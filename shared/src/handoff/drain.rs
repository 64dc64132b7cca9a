//! Delivery: whoever holds a lane's lease sends what waits, oldest first.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::gates::Gate;
use super::{DELIVERY_TIME, Error, Handoff, Result, lease_until};
use crate::bridge::decide::without_agent;
use crate::clock::Timestamp;
use crate::ids::{SessionId, UserId};
use crate::metrics::{About, Metric};
use crate::store::lane::{Completed, Contents, Done, Known, Lane, Lease, Outcome, Waiting};
use crate::store::{ConversationPointer, Session, Surroundings, User, Wanted};
use crate::telemetry;

/// The first pause after a failure that named none; it doubles from try to try.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause that we choose ourselves; a vendor may name up to an hour.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// What one lane carries, and how it reaches the other side.
pub(super) trait Content: Serialize + DeserializeOwned + Clone + Send + Sync {
    /// The lane.
    const LANE: Lane;

    /// The vendors that a delivery may call.
    const VENDORS: &'static [&'static str];

    /// The user in whose name items are sent, where they are and it is known who that is.
    fn sender(_whose: Whose<'_>) -> Option<&UserId> {
        None
    }

    /// A fingerprint of what is said, by which a later change of it is told from a repeat.
    fn revision(&self) -> Option<String> {
        None
    }

    /// Lets what waits be delivered as it is now, where it was changed meanwhile.
    fn apply_changes(_waiting: &mut [Waiting<Self>]) {}

    /// Whether this ends the session: it comes after everything else that waits, whatever the clocks of both sides say.
    fn is_end(&self) -> bool;

    /// What stands before the vendor that takes the deliveries.
    fn gate<'a>(handoff: &'a Handoff, session: &Session) -> &'a Gate;

    /// From when on the session can take this item.
    fn ready_at(&self, handoff: &Handoff, session: &Session) -> Timestamp;

    /// From when on this item may follow one that left the lane at `last_finished_at`.
    fn earliest(&self, _handoff: &Handoff, _session: &Session, last_finished_at: Timestamp) -> Timestamp {
        last_finished_at
    }

    /// Brings one item to the other side; safe to call again after any failure. `user` is the session's, if already read.
    async fn deliver(
        handoff: &Handoff,
        session: &mut Session,
        user: Option<&User>,
        item: &Waiting<Self>,
    ) -> Result<Attempt>;

    /// Says to whoever wrote an item that it can never be delivered; safe to call again.
    async fn tell_sender(handoff: &Handoff, session: &Session, item: &Waiting<Self>) -> Result<()>;
}

/// Whose lane is drained; whoever knows the session's user as well saves a trip to the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whose<'a> {
    pub(super) session_id: &'a SessionId,
    pub(super) user_id: Option<&'a UserId>,
    /// By what repeats of what is to be put into the lane are recognised.
    pub(super) source_ids: &'a [String],
}

impl<'a> Whose<'a> {
    /// What somebody wants to know who has something for a lane.
    pub(super) fn wanted<C: Content>(self) -> Wanted<'a> {
        let Self { session_id, source_ids, .. } = self;
        Wanted { session_id, lane: Some(C::LANE), user_id: C::sender(self), vendors: C::VENDORS, source_ids }
    }
}

impl<'a> From<&'a SessionId> for Whose<'a> {
    fn from(session_id: &'a SessionId) -> Self {
        Self { session_id, user_id: None, source_ids: &[] }
    }
}

impl<'a> From<&'a Session> for Whose<'a> {
    fn from(session: &'a Session) -> Self {
        Self { user_id: Some(&session.user_id), ..Self::from(&session.session_id) }
    }
}

impl<'a> From<&'a ConversationPointer> for Whose<'a> {
    fn from(pointer: &'a ConversationPointer) -> Self {
        Self { user_id: Some(&pointer.user_id), ..Self::from(&pointer.session_id) }
    }
}

/// An item that needs no further attempt.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) outcome: Outcome,
    pub(super) vendor_id: Option<String>,
}

impl Delivered {
    pub(super) fn as_vendor_id(id: impl ToString) -> Self {
        Self { outcome: Outcome::Delivered, vendor_id: Some(id.to_string()) }
    }

    pub(super) const fn without_id() -> Self {
        Self { outcome: Outcome::Delivered, vendor_id: None }
    }

    pub(super) const fn dropped() -> Self {
        Self { outcome: Outcome::Dropped, vendor_id: None }
    }
}

/// What a drain does when the next item may only be delivered later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It waits, as long as its deadline allows and the vendor is not down: somebody is in the middle of a conversation.
    Wait,
    /// It leaves the lane: others are due as well.
    Leave,
}

/// How a drain left its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// Nothing is left to do, or somebody else does it.
    Finished,
    /// The same, and all that waited has been dealt with here; nothing was dropped.
    Delivered,
    /// The lane is due again at this time.
    Postponed(Timestamp),
}

/// What came of trying to deliver an item.
#[derive(Debug)]
pub(super) enum Attempt {
    Done(Delivered),
    Later(Timestamp),
}

impl From<Delivered> for Attempt {
    fn from(delivered: Delivered) -> Self {
        Self::Done(delivered)
    }
}

/// A lane whose lease is held, and what stands around it, as of one moment.
#[derive(Debug)]
pub(super) struct View<C> {
    pub(super) contents: Contents<C>,
    pub(super) around: Surroundings,
}

/// What a drain has seen so far.
#[derive(Debug, Default)]
struct Seen {
    /// Whether something was dropped.
    has_dropped: bool,
    /// Whether items arrive while others are delivered.
    is_lively: bool,
}

/// How far a pass over a lane came.
enum Pass {
    Released,
    LeaseLost,
    LookAgain,
    WaitUntil(Timestamp),
}

impl Handoff {
    /// Delivers everything in a lane, and leaves what can only be delivered later; nothing where nothing waits, or somebody else
    /// is at it.
    pub(super) async fn drain_if_free<C: Content>(
        &self,
        session_id: &SessionId,
        deadline: Timestamp,
    ) -> Result<Option<Drained>> {
        let lease = lease_until(deadline);
        if !self.table.take_lease(session_id, C::LANE, &lease, self.clock.now()).await? {
            return Ok(None);
        }
        // Boxed, since all that follows nests deeper than the compiler cares to follow.
        Box::pin(self.drain::<C>(None, session_id.into(), &lease, deadline, Patience::Leave)).await.map(Some)
    }

    /// Delivers everything in a lane whose lease is held, and gives the lease back; `view` is what the first look would bring,
    /// where that is known.
    pub(super) async fn drain<C: Content>(
        &self,
        mut view: Option<View<C>>,
        whose: Whose<'_>,
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
            let Surroundings { session, user, named_times, .. } = around;
            self.gates.learn(&named_times);
            let Some(mut session) = session else { return Ok(Drained::Finished) };
            if !contents.unread.is_empty() {
                if !self.park_unread(session_id, lease, &contents).await? {
                    return Ok(Drained::Finished);
                }
                continue;
            }
            if contents.waiting.is_empty() {
                let released = self.table.release(session_id, C::LANE, lease, contents.arrivals).await?;
                // Empty, nothing new, and still not ours to give back: somebody else has taken the lane.
                if released || seen_empty_at == Some(contents.arrivals) {
                    return Ok(Drained::Finished);
                }
                seen_empty_at = Some(contents.arrivals);
                continue;
            }
            // Before anything else: once the lease is given back, nobody knows any more that its holder died.
            if contents.was_interrupted {
                self.table.note_interruption(session_id, C::LANE, &contents.waiting).await?;
                continue;
            }
            if patience == Patience::Wait && C::gate(self, &session).is_failing() {
                return self.postpone::<C>(session_id, lease, self.clock.now()).await;
            }
            contents.waiting.sort_by_key(|item| item.content.is_end());
            C::apply_changes(&mut contents.waiting);
            match self.pass((&mut session, user.as_ref()), &contents, lease, deadline, &mut seen).await? {
                Pass::Released if !seen.has_dropped => return Ok(Drained::Delivered),
                Pass::Released | Pass::LeaseLost => return Ok(Drained::Finished),
                Pass::LookAgain => {}
                Pass::WaitUntil(time) => {
                    let in_vain = time + DELIVERY_TIME > deadline || C::gate(self, &session).is_failing();
                    if patience == Patience::Leave || in_vain {
                        let oldest = contents.waiting.iter().map(|item| item.position.at).min();
                        let age = oldest.map_or(0.0, |at| self.clock.now().since(at).as_secs_f64());
                        self.record(&about::<C>(), &[(Metric::UndeliveredAge, age)]);
                        return self.postpone::<C>(session_id, lease, time).await;
                    }
                    self.clock.sleep_until(time).await;
                }
            }
        }
    }

    /// Parks what this version cannot read: it would hold up all that is behind it. `false` when somebody else has taken the lane.
    async fn park_unread<C: Content>(
        &self,
        session_id: &SessionId,
        lease: &Lease,
        contents: &Contents<C>,
    ) -> Result<bool> {
        for unread in &contents.unread {
            let now = self.clock.now();
            if !self.table.park_unread(session_id, C::LANE, lease, unread, now).await? {
                return Ok(false);
            }
            self.record(&about::<C>(), &[(Metric::Parked, 1.0)]);
            tracing::error!(session.id = %session_id, lane = %C::LANE,
                source.id = telemetry::id(&without_agent(&unread.position.source_id)),
                "an item cannot be read by this version and is parked");
        }
        Ok(true)
    }

    async fn view<C: Content>(&self, whose: Whose<'_>) -> Result<View<C>> {
        let wanted = Wanted { lane: None, ..whose.wanted::<C>() };
        let contents = self.table.lane::<C>(whose.session_id, C::LANE);
        let (contents, around) = tokio::try_join!(contents, self.table.surroundings(wanted))?;
        Ok(View { contents, around })
    }

    fn record_finished<C: Content>(&self, done: &Done<'_, C>) {
        let outcome = match done.outcome {
            Outcome::Delivered => Metric::Delivered,
            Outcome::Dropped => Metric::Dropped,
            Outcome::Parked => Metric::Parked,
        };
        let delay = done.finished_at.since(done.item.position.at).as_secs_f64() * 1_000.0;
        let attempts = f64::from(done.item.attempts) + 1.0;
        let values = [(outcome, 1.0), (Metric::Attempts, attempts), (Metric::DeliveryDelay, delay)];
        self.record(&about::<C>(), &values);
        // Why an item is parked was said where that was decided.
        if done.outcome != Outcome::Parked {
            tracing::info!(session.id = %done.session_id, lane = %done.lane,
                source.id = telemetry::id(&without_agent(&done.item.position.source_id)), outcome = ?done.outcome,
                vendor.id = done.vendor_id.as_ref().map(telemetry::id), attempts, delay_ms = delay,
                "an item has left its lane");
        }
    }

    async fn postpone<C: Content>(
        &self,
        session_id: &SessionId,
        lease: &Lease,
        not_before: Timestamp,
    ) -> Result<Drained> {
        self.table.postpone(session_id, C::LANE, lease, not_before).await?;
        Ok(Drained::Postponed(not_before))
    }

    /// Delivers what was seen in a lane, oldest first, until something new may belong before the next item.
    async fn pass<C: Content>(
        &self,
        (session, user): (&mut Session, Option<&User>),
        contents: &Contents<C>,
        lease: &Lease,
        deadline: Timestamp,
        seen: &mut Seen,
    ) -> Result<Pass> {
        let (mut not_before, mut last_finished_at) = (contents.not_before, contents.last_finished_at);
        for (index, item) in contents.waiting.iter().enumerate() {
            let now = self.clock.now();
            let follows_at = last_finished_at.map(|at| item.content.earliest(self, session, at));
            let ready_at = not_before
                .take()
                .into_iter()
                .chain(follows_at)
                .fold(item.content.ready_at(self, session), Timestamp::max);
            if ready_at > now || now + DELIVERY_TIME > deadline {
                return Ok(Pass::WaitUntil(ready_at.max(now)));
            }
            let delivered = match self.attempt(session, user, item).await? {
                Attempt::Done(delivered) => delivered,
                Attempt::Later(time) => return Ok(Pass::WaitUntil(time)),
            };
            seen.has_dropped |= delivered.outcome == Outcome::Dropped;
            let done = Done {
                session_id: &session.session_id,
                lane: C::LANE,
                item,
                outcome: delivered.outcome,
                vendor_id: delivered.vendor_id,
                finished_at: self.clock.now(),
            };
            last_finished_at = Some(done.finished_at);
            let (arrivals, is_last) = (contents.arrivals, index + 1 == contents.waiting.len());
            let known = Known { arrivals, is_last, is_lively: seen.is_lively };
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

    async fn attempt<C: Content>(
        &self,
        session: &mut Session,
        user: Option<&User>,
        item: &Waiting<C>,
    ) -> Result<Attempt> {
        // Boxed, since all that follows nests deeper than the compiler cares to follow.
        let error = match Box::pin(C::deliver(self, session, user, item)).await {
            Ok(attempt) => return Ok(attempt),
            Err(error) => error,
        };
        let now = self.clock.now();
        if let Error::Waiting { wait, .. } = error {
            return Ok(Attempt::Later(now + wait));
        }
        if error.is_retryable() {
            self.table.note_attempt(&session.session_id, C::LANE, item, error.outcome_unknown()).await?;
            tracing::warn!(error = %error, session.id = %session.session_id, lane = %C::LANE,
                attempts = item.attempts + 1, "a delivery failed and is tried again");
            return Ok(Attempt::Later(now + error.retry_after().unwrap_or_else(|| pause_after(item.attempts))));
        }
        tracing::error!(error = %error, session.id = %session.session_id, lane = %C::LANE,
            source.id = telemetry::id(&without_agent(&item.position.source_id)),
            "an item cannot be delivered and is parked");
        C::tell_sender(self, session, item).await?;
        Ok(Attempt::Done(Delivered { outcome: Outcome::Parked, vendor_id: None }))
    }
}

pub(super) fn about<C: Content>() -> About {
    About::Lane(C::LANE.to_string())
}

/// The longest pause after so many attempts: exponential, bounded.
fn longest_pause_after(attempts: u32) -> Duration {
    let schedule =
        ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE).without_max_times();
    let index = usize::try_from(attempts.min(16)).unwrap_or_default();
    schedule.build().nth(index).unwrap_or(LONGEST_PAUSE)
}

/// Full jitter, so that lanes which failed together do not come back together: anything up to the longest pause.
fn pause_after(attempts: u32) -> Duration {
    longest_pause_after(attempts).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_spread_over_all_of_it() {
        let longest: Vec<_> = (0..100).map(longest_pause_after).collect();
        assert_eq!(longest[0], FIRST_PAUSE);
        assert_eq!(longest[3], FIRST_PAUSE * 8);
        assert_eq!(longest[99], LONGEST_PAUSE);
        for (attempts, longest) in (0..100).zip(longest) {
            let mut pauses: Vec<_> = (0..200).map(|_| pause_after(attempts)).collect();
            pauses.sort();
            assert!(pauses[0] < longest / 4 && pauses[199] > longest * 3 / 4 && pauses[199] <= longest);
        }
    }
}
