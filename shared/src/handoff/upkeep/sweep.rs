//! The sweep: each minute it finishes what no invocation has.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};

use crate::bridge::{ToAgent, ToBot};
use crate::clock::Timestamp;
use crate::handoff::delivery::drain::Drained;
use crate::handoff::delivery::outbound::Outbound;
use crate::handoff::delivery::platform;
use crate::handoff::upkeep::health::{Health, Signs};
use crate::handoff::{DELIVERY_TIME, Handoff, Result, fresh_holder};
use crate::ids::SessionId;
use crate::metrics::{About, Metric};
use crate::model::lane::{Lane, Timer};
use crate::model::vendor::LIVECHAT;
use crate::store::{Due, Sweeps};

/// The most entries that one look at the index reads: far more than are ever due, and a hundred bytes each.
const MOST_LISTED: i32 = 100_000;

/// How many entries of one queue are handled at once: one that hangs for a whole vendor timeout delays no other.
const AT_ONCE: usize = 16;

/// How many entries of a queue are tried in one look although their vendor fails; the others wait for the result.
const TRIED_IN_VAIN: usize = AT_ONCE;

/// How long a look begins new work: entries that have become due meanwhile come with the next look.
const LONGEST_LOOK: Duration = Duration::from_secs(15);

/// When an entry that could not be handled is due again, so that none stays at the head of the index.
const LOOK_LATER: Duration = Duration::from_secs(30);

/// How many entries of the index are searched for lanes that wait for a time that a vendor has named.
const MOST_MEASURED: i32 = 1_000;

/// How soon a run looks again while a vendor fails.
const LOOK_WHILE_FAILING: Duration = Duration::from_secs(5);

/// A lane due within this time was left for a later try: a lane with a holder is due when its lease ends, which is later.
const OUTLOOK: Duration = Duration::from_secs(15);

/// Every lane with waiting items is due within this time, unless a vendor has named a later one.
const LANES_ARE_DUE_WITHIN: Duration = Duration::from_secs(60);

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Lanes and sessions that were due.
    pub due: usize,
    /// Those that this run handled; another invocation had the others.
    pub done: usize,
    /// Those that it could not handle, and left to the next run.
    pub stuck: usize,
    /// Those that it had no time to look at.
    pub unseen: usize,
}

/// The result of one lane or session that was due.
enum Work {
    /// Another invocation has it.
    None,
    /// It failed.
    Stuck,
    Done,
    /// It was handled, and is due again at this time.
    DueAgain(Timestamp),
    /// It was not looked at, and may be from this time on.
    Left(Timestamp),
    /// It is left to the next sweep.
    LeftForLong,
    /// There was no time for it until now.
    Unseen(Timestamp),
}

/// An entry of the index: when it is due, its session, and its kind.
type Entry = (Timestamp, SessionId, Due);

/// Due entries, separated by what can delay them: no queue takes a turn of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    /// Lanes that lead to this vendor; `None` if the vendor is not known.
    Lanes(Option<&'static str>),
    Sessions,
    Timers(Timer),
}

/// The result of one look at the index.
struct Look {
    due: usize,
    done: usize,
    stuck: usize,
    unseen: usize,
    due_again_at: Option<Timestamp>,
}

impl Look {
    fn after(self, work: Work) -> Self {
        match work {
            Work::None | Work::LeftForLong => self,
            Work::Stuck => Self { stuck: self.stuck + 1, ..self },
            Work::Unseen(at) => Self { unseen: self.unseen + 1, ..self.due_again(at) },
            Work::Done => Self { done: self.done + 1, ..self },
            Work::DueAgain(at) => Self { done: self.done + 1, ..self.due_again(at) },
            Work::Left(at) => self.due_again(at),
        }
    }

    fn due_again(self, at: Timestamp) -> Self {
        Self { due_again_at: self.due_again_at.into_iter().chain([at]).min(), ..self }
    }

    fn and(self, other: Self) -> Self {
        let both = Self {
            due: self.due + other.due,
            done: self.done + other.done,
            stuck: self.stuck + other.stuck,
            unseen: self.unseen + other.unseen,
            ..self
        };
        other.due_again_at.into_iter().fold(both, Self::due_again)
    }
}

impl Handoff {
    /// Delivers from every lane that is due, finishes or undoes starts that died, acts on timers, and reads threads that have gone
    /// silent. A run that finds another one active ends and leaves the work to it.
    ///
    /// A run continues as long as there is work before its deadline, including a retry of a vendor that has failed. So the items that an
    /// outage has delayed follow soon after it, and an idle run is short.
    ///
    /// # Errors
    ///
    /// [`Error`](crate::handoff::Error) when the due entries could not be listed.
    pub async fn sweep(&self, deadline: Timestamp) -> Result<Swept> {
        let last = match self.last_sweep().await {
            Ok(Some(last)) if last.lease_until.is_some_and(|until| self.clock.now() < until) => {
                return Ok(Swept::default());
            }
            Ok(last) => last,
            Err(error) => {
                tracing::warn!(error = %error,
                    "the time of the last sweep could not be read; an outage of the stack may go unnoticed");
                None
            }
        };
        let refused_at = self.gates.refresh().await?;
        let listed = self.look_ahead().await;
        let (holder, now) = (fresh_holder(), self.clock.now());
        let is_idle = listed.as_ref().is_ok_and(|listed| listed.iter().all(|(due_at, ..)| now + OUTLOOK < *due_at));
        let begun = match is_idle {
            true => self.table.note_idle_sweep(now).await,
            false => self.table.begin_sweep(&holder, now, deadline).await,
        };
        match begun {
            Ok(true) => {}
            Ok(false) => return Ok(Swept::default()),
            // The run continues unrecorded: leases keep it apart from a concurrent one.
            Err(error) => tracing::warn!(error = %error, "the start of the sweep could not be recorded"),
        }
        let signs = self.signs(listed).await;
        let swept = match is_idle {
            true => Ok(Swept::default()),
            false => self.sweep_alone(deadline).await,
        };
        let stuck_before = last.and_then(|last| last.stuck_since);
        let stuck_since = match &swept {
            Ok(swept) if swept.stuck == 0 => None,
            Ok(_) => stuck_before.or(Some(now)),
            Err(_) => stuck_before,
        };
        let unseen = swept.as_ref().map_or(0, |swept| swept.unseen);
        if unseen > 0 {
            tracing::warn!(due = unseen, "the sweep ran out of time before it reached everything that is due");
        }
        if !is_idle && let Err(error) = self.table.end_sweep(&holder, stuck_since, unseen).await {
            tracing::warn!(error = %error, "the end of the sweep could not be recorded; the next sweep may be skipped");
        }
        // The state at the start of the run: items that it has delivered since then do not age.
        let health = signs.map(|signs| Signs { refused_at, stuck_since, ..signs }.health(now));
        self.record_health(health, swept.is_ok());
        swept
    }

    /// The last run. If it is long ago, every session is made due before this run is recorded: a run that dies here then leaves the
    /// outage to the next one.
    async fn last_sweep(&self) -> Result<Option<Sweeps>> {
        let now = self.clock.now();
        let last = self.table.sweeps().await?;
        if let Some(last) = &last
            && last.lease_until.is_none_or(|until| until <= now)
        {
            self.hasten_after_outage(last.ran_at, now).await?;
        }
        Ok(last)
    }

    /// The due entries, and all lanes with waiting items.
    async fn look_ahead(&self) -> Result<Vec<Entry>> {
        let now = self.clock.now();
        let opens_at = self.gates.last_to_open(now).unwrap_or(now);
        Ok(self.table.due((opens_at + OUTLOOK).max(now + LANES_ARE_DUE_WITHIN), MOST_MEASURED).await?)
    }

    /// The signs of the stack's health in the table; also records how long lanes have waited.
    async fn signs(&self, listed: Result<Vec<Entry>>) -> Result<Signs> {
        let now = self.clock.now();
        let oldest_waiting = self.measure_what_waits(listed?, now).await;
        let (is_parked, turned_away) = tokio::try_join!(self.table.has_parked(now), self.table.turned_away())?;
        Ok(Signs { is_parked, oldest_waiting, turned_away, ..Signs::default() })
    }

    /// A run that has failed, or cannot determine the stack's health, records no health, which the alarm counts as bad.
    fn record_health(&self, health: Result<Health>, has_run: bool) {
        match health {
            _ if !has_run => {}
            Ok(health) => self.record(&About::Stack, &[(Metric::Sweeps, 1.0), (Metric::Health, health.into())]),
            Err(error) => {
                self.record(&About::Stack, &[(Metric::Sweeps, 1.0)]);
                tracing::warn!(error = %error, "the stack's health could not be determined");
            }
        }
    }

    async fn sweep_alone(&self, deadline: Timestamp) -> Result<Swept> {
        let mut swept = Swept::default();
        let mut due_again_at: Option<Timestamp> = None;
        loop {
            let look = self.look(deadline).await?;
            swept.due += look.due;
            swept.done += look.done;
            swept.stuck += look.stuck;
            // Entries that one look had no time for come first in the next.
            swept.unseen = look.unseen;
            let now = self.clock.now();
            due_again_at = due_again_at.into_iter().filter(|at| now < *at).chain(look.due_again_at).min();
            if self.gates.any_is_failing() {
                // Callers leave their items for such a vendor to the sweep.
                due_again_at = due_again_at.map(|at| at.min(now + LOOK_WHILE_FAILING));
            }
            match due_again_at {
                Some(at) if at.max(now) + DELIVERY_TIME <= deadline => self.clock.sleep_until(at).await,
                _ => return Ok(swept),
            }
        }
    }

    async fn look(&self, deadline: Timestamp) -> Result<Look> {
        let now = self.clock.now();
        let listed = self.table.due(now + OUTLOOK, MOST_LISTED).await?;
        let (due, soon): (Vec<_>, Vec<_>) = listed.into_iter().partition(|(due_at, ..)| *due_at <= now);
        let next_lane = soon.into_iter().find(|(.., what)| matches!(what, Due::Lane(_))).map(|(due_at, ..)| due_at);
        let queues = self.queues(due).await;
        let worked_off = join_all(queues.into_iter().map(|(queue, due)| Box::pin(self.work_off(queue, due, deadline))));
        let soon = Look { due: 0, done: 0, stuck: 0, unseen: 0, due_again_at: next_lane };
        Ok(worked_off.await.into_iter().fold(soon, Look::and))
    }

    /// The due entries, in a queue for each kind and vendor, longest due first.
    async fn queues(&self, due: Vec<Entry>) -> Vec<(Queue, Vec<Entry>)> {
        let to_bot =
            due.iter().filter(|(.., what)| *what == Due::Lane(Lane::ToBot)).map(|(_, session_id, _)| session_id);
        let to_bot: Vec<_> = to_bot.cloned().collect();
        // With few entries the vendor does not matter: all are tried at once.
        let vendors = if to_bot.len() > AT_ONCE { self.bot_vendors(&to_bot).await } else { HashMap::new() };
        let mut queues: Vec<(Queue, Vec<Entry>)> = Vec::new();
        for entry in due {
            let queue = match entry.2 {
                Due::Lane(Lane::ToAgent) => Queue::Lanes(Some(LIVECHAT)),
                Due::Lane(Lane::ToBot) => Queue::Lanes(vendors.get(&entry.1).copied()),
                Due::Session => Queue::Sessions,
                Due::Timer(timer) => Queue::Timers(timer),
            };
            match queues.iter_mut().find(|(one, _)| *one == queue) {
                Some((_, entries)) => entries.push(entry),
                None => queues.push((queue, vec![entry])),
            }
        }
        queues
    }

    /// The vendor of each session's bot, as far as it can be read.
    async fn bot_vendors(&self, ids: &[SessionId]) -> HashMap<SessionId, &'static str> {
        let platforms = self.table.platforms(ids).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error,
                "the sessions' platforms could not be read; lanes of all platforms share one queue");
            HashMap::new()
        });
        platforms.into_iter().map(|(session_id, platform)| (session_id, platform::vendor(&platform))).collect()
    }

    /// Handles a whole queue, as long as the look may last and the vendor takes calls.
    async fn work_off(&self, queue: Queue, due: Vec<Entry>, deadline: Timestamp) -> Look {
        let until = self.clock.now() + LONGEST_LOOK;
        let look = Look { due: due.len(), done: 0, stuck: 0, unseen: 0, due_again_at: None };
        let works = stream::iter(due).enumerate().map(|(place, entry)| async move {
            let now = self.clock.now();
            // Asked only if it counts: the first to ask about a doubtful vendor becomes the one that tries it.
            let left = (place >= TRIED_IN_VAIN).then(|| self.left_alone(queue)).flatten();
            match left {
                _ if now + DELIVERY_TIME > deadline || now >= until => Work::Unseen(now),
                Some(left) => left,
                None => Box::pin(self.work_on(entry, deadline)).await,
            }
        });
        works.buffer_unordered(AT_ONCE).fold(look, async |look, work| look.after(work)).await
    }

    /// What happens to a queue's lanes while their vendor takes no calls, as far as that is known without a call.
    fn left_alone(&self, queue: Queue) -> Option<Work> {
        let Queue::Lanes(Some(vendor)) = queue else { return None };
        let gate = self.gates.of(vendor)?;
        if gate.is_closed_to_all() {
            return Some(Work::LeftForLong);
        }
        gate.is_left_alone().then(|| Work::Left(self.clock.now() + LOOK_WHILE_FAILING))
    }

    async fn work_on(&self, (due_at, session_id, what): Entry, deadline: Timestamp) -> Work {
        let worked = match what {
            Due::Lane(Lane::ToAgent) => self.sweep_lane::<ToAgent>(&session_id, deadline).await,
            Due::Lane(Lane::ToBot) => self.sweep_lane::<ToBot>(&session_id, deadline).await,
            Due::Timer(timer) => self.sweep_timer(&session_id, timer, deadline).await,
            Due::Session => self.sweep_session(&session_id, deadline).await,
        };
        let work = match worked {
            Ok(work) => work,
            Err(error) => {
                tracing::error!(error = %error, session.id = %session_id, due = ?what,
                    "a lane, timer or session could not be processed and is left to the next sweep");
                self.record_stuck(&session_id, what).await;
                Work::Stuck
            }
        };
        if matches!(work, Work::None | Work::Stuck) {
            let then = self.clock.now() + LOOK_LATER;
            if let Err(error) = self.table.look_later(&session_id, what, due_at, then).await {
                tracing::warn!(error = %error, session.id = %session_id, due = ?what,
                    "a lane, timer or session could not be postponed and stays first in the queue");
            }
        }
        work
    }

    async fn record_stuck(&self, session_id: &SessionId, what: Due) {
        let Due::Lane(lane) = what else { return self.record(&About::Stack, &[(Metric::Stuck, 1.0)]) };
        let about = About::Lane(lane.to_string());
        self.record(&about, &[(Metric::Stuck, 1.0)]);
        if let Ok(Some(age)) = self.age(session_id, lane).await {
            self.record(&about, &[(Metric::UndeliveredAge, age)]);
        }
    }

    /// The age of a lane's oldest item, in seconds.
    async fn age(&self, session_id: &SessionId, lane: Lane) -> Result<Option<f64>> {
        let oldest = self.table.oldest_waiting(session_id, lane).await?;
        Ok(oldest.map(|at| self.clock.now().since(at).as_secs_f64()))
    }

    /// When the oldest item of these lanes was written. Also records the age of lanes that are not due before a time that a vendor has
    /// named: no drain does it for them.
    async fn measure_what_waits(&self, listed: Vec<Entry>, now: Timestamp) -> Option<Timestamp> {
        let waits_for_vendor = self.gates.last_to_open(now).is_some();
        let lanes = listed.into_iter().filter_map(|(due_at, session_id, due)| match due {
            Due::Lane(lane) => Some((lane, waits_for_vendor && now < due_at, session_id)),
            _ => None,
        });
        let oldest = stream::iter(lanes).map(|(lane, is_left, session_id)| async move {
            // A lane that cannot be read counts as stuck, which is a separate sign.
            (lane, is_left, self.table.oldest_waiting(&session_id, lane).await.ok().flatten())
        });
        let oldest: Vec<_> = oldest.buffer_unordered(AT_ONCE).collect().await;
        for lane in [Lane::ToAgent, Lane::ToBot] {
            let left = oldest.iter().filter(|(of, is_left, _)| *of == lane && *is_left).filter_map(|(_, _, at)| *at);
            if let Some(at) = left.min() {
                let age = now.since(at).as_secs_f64();
                self.record(&About::Lane(lane.to_string()), &[(Metric::UndeliveredAge, age)]);
            }
        }
        oldest.into_iter().filter_map(|(_, _, at)| at).min()
    }

    async fn sweep_lane<C: Outbound>(&self, session_id: &SessionId, deadline: Timestamp) -> Result<Work> {
        Ok(match self.drain_if_free::<C>(session_id, deadline).await? {
            None => Work::None,
            Some(Drained::Finished | Drained::Delivered) => Work::Done,
            // The notice to its author waits in the other lane, which this look has not read.
            Some(Drained::Parked) => Work::DueAgain(self.clock.now()),
            Some(Drained::Postponed(due_again_at)) => Work::DueAgain(due_again_at),
        })
    }

    async fn sweep_session(&self, session_id: &SessionId, deadline: Timestamp) -> Result<Work> {
        let Some(session) = self.table.session(session_id).await? else { return Ok(Work::None) };
        Ok(match self.look_after(session, deadline).await? {
            true => Work::Done,
            false => Work::None,
        })
    }

    async fn sweep_timer(&self, session_id: &SessionId, timer: Timer, deadline: Timestamp) -> Result<Work> {
        let Some(session) = self.table.session(session_id).await? else {
            self.table.stop_timer(session_id, timer).await?;
            return Ok(Work::Done);
        };
        Ok(match self.fire(session, timer, deadline).await? {
            true => Work::Done,
            false => Work::None,
        })
    }
}
