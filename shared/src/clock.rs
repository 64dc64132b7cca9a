//! Time as an argument: a [`Timestamp`] that sorts as text, and a [`Clock`] that tests can stop.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Add, Sub};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;

/// A point in time, in whole microseconds (the precision of LiveChat's event times).
///
/// Shape: `2026-05-11T09:41:00.877000Z`, always UTC and always six decimals, so that it sorts as text in time order and serves as a sort
/// key in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The beginning of the year 0.
    const EARLIEST: i64 = -62_167_219_200_000_000;
    /// The end of the year 9999: a later time has no sortable form, and vendors can send one.
    const LATEST: i64 = 253_402_300_799_999_999;

    /// Makes a timestamp from microseconds since the Unix epoch; outside the years 0 to 9999, the nearest time within them.
    pub const fn from_unix_micros(micros: i64) -> Self {
        if micros < Self::EARLIEST {
            Self(Self::EARLIEST)
        } else if micros > Self::LATEST {
            Self(Self::LATEST)
        } else {
            Self(micros)
        }
    }

    /// Makes a timestamp from milliseconds since the Unix epoch, within the same bounds.
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self::from_unix_micros(millis.saturating_mul(1_000))
    }

    /// Reads any RFC 3339 text: any offset, any number of decimals (those past the sixth are dropped).
    pub fn parse(text: &str) -> Option<Self> {
        let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
        i64::try_from(nanos.div_euclid(1_000)).ok().map(Self::from_unix_micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, rounded down.
    pub const fn unix_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Seconds since the Unix epoch, rounded down: the unit of DynamoDB's TTL.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The time from `earlier` to this moment; zero if `earlier` is in fact later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self::from_unix_micros(self.0.saturating_add(micros(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self::from_unix_micros(self.0.saturating_sub(micros(duration)))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000).map_err(|_| fmt::Error)?;
        let (date, clock) = (moment.date(), moment.time());
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            clock.hour(),
            clock.minute(),
            clock.second(),
            clock.microsecond(),
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not an RFC 3339 time"))
    }
}

/// The source of the current time, and of waits.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(ManualClock),
}

impl Clock {
    /// The machine's own clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => system_now(),
            Source::Manual(manual) => manual.now(),
        }
    }

    /// Waits until `wake_at`.
    pub async fn sleep_until(&self, wake_at: Timestamp) {
        match &self.0 {
            Source::System => tokio::time::sleep(wake_at.since(system_now())).await,
            Source::Manual(manual) => manual.sleep_until(wake_at).await,
        }
    }

    /// Waits for `duration` to pass.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + duration).await;
    }

    /// Awaits work outside this process; a manual clock counts these waits.
    pub async fn outside<F: Future>(&self, work: F) -> F::Output {
        match &self.0 {
            Source::System => work.await,
            Source::Manual(manual) => {
                let _waiting = Asleep::register(&manual.outside, manual.now());
                work.await
            }
        }
    }

    /// Whether this is the machine's own clock.
    pub const fn is_system(&self) -> bool {
        matches!(self.0, Source::System)
    }

    /// Returns the output of `work`, or `None` if `deadline` comes first: the work is then dropped unfinished.
    pub async fn within<F: Future>(&self, deadline: Timestamp, work: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.expire(deadline) => None,
        }
    }

    async fn expire(&self, deadline: Timestamp) {
        match &self.0 {
            Source::System => self.sleep_until(deadline).await,
            Source::Manual(manual) => manual.expire(deadline).await,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
fn system_now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(micros(elapsed))
}

/// A clock that moves only when a test advances it; copies share one time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
    sleepers: Arc<Mutex<Sleepers>>,
    deadlines: Arc<Mutex<Sleepers>>,
    outside: Arc<Mutex<Sleepers>>,
    /// By how many microseconds it is ahead of the others that share its time.
    ahead: i64,
}

#[derive(Debug, Default)]
struct Sleepers {
    next_id: u64,
    /// The wake time of each sleeper, and its task.
    wake_times: BTreeMap<u64, (Timestamp, Option<tokio::task::Id>)>,
}

impl Sleepers {
    fn next_wake(&self) -> Option<Timestamp> {
        self.wake_times.values().map(|(wake_at, _)| *wake_at).min()
    }
}

impl ManualClock {
    /// Makes a clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self {
            now: watch::Sender::new(start),
            sleepers: Arc::default(),
            deadlines: Arc::default(),
            outside: Arc::default(),
            ahead: 0,
        }
    }

    /// This clock, in the form that the code under test takes.
    pub fn clock(&self) -> Clock {
        Clock(Source::Manual(self.clone()))
    }

    /// A clock that shows the same time but counts its own sleepers only.
    #[must_use]
    pub fn with_own_sleepers(&self) -> Self {
        let now = self.now.clone();
        Self { now, sleepers: Arc::default(), deadlines: Arc::default(), outside: Arc::default(), ahead: self.ahead }
    }

    /// The same clock as seen by a machine that is wrong by this many milliseconds: ahead, or behind if negative.
    #[must_use]
    pub fn ahead_by_ms(&self, ms: i64) -> Self {
        Self { ahead: self.ahead.saturating_add(ms.saturating_mul(1_000)), ..self.clone() }
    }

    /// The time shown.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.now.borrow().unix_micros().saturating_add(self.ahead))
    }

    /// What the others' clocks show when this one shows `time`.
    const fn of_others(&self, time: Timestamp) -> Timestamp {
        Timestamp::from_unix_micros(time.unix_micros().saturating_sub(self.ahead))
    }

    /// Advances the time by `duration` and wakes the sleepers whose time has come.
    pub fn advance(&self, duration: Duration) {
        self.now.send_modify(|now| *now = *now + duration);
    }

    /// The earliest wake time of a sleeper.
    pub fn next_wake(&self) -> Option<Timestamp> {
        lock(&self.sleepers).next_wake()
    }

    /// The earliest deadline of running work; no task waits for it to pass.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        lock(&self.deadlines).next_wake()
    }

    /// How many tasks sleep by this clock.
    pub fn sleepers(&self) -> usize {
        count_tasks([&self.sleepers])
    }

    /// The same including tasks that wait for outside work, and the number of outside calls.
    pub fn waiting(&self) -> (usize, usize) {
        (count_tasks([&self.sleepers, &self.outside]), lock(&self.outside).wake_times.len())
    }

    async fn sleep_until(&self, wake_at: Timestamp) {
        let wake_at = self.of_others(wake_at);
        let _asleep = Asleep::register(&self.sleepers, wake_at);
        self.reach(wake_at).await;
    }

    async fn expire(&self, deadline: Timestamp) {
        let deadline = self.of_others(deadline);
        let _at_work = Asleep::register(&self.deadlines, deadline);
        self.reach(deadline).await;
    }

    async fn reach(&self, time: Timestamp) {
        let mut now = self.now.subscribe();
        // Fails only if the sender is dropped, but `self` owns it.
        let _ = now.wait_for(|now| *now >= time).await;
    }
}

fn lock(sleepers: &Mutex<Sleepers>) -> MutexGuard<'_, Sleepers> {
    sleepers.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count_tasks<'a>(lists: impl IntoIterator<Item = &'a Arc<Mutex<Sleepers>>>) -> usize {
    let (mut tasks, mut without) = (BTreeSet::new(), 0);
    for list in lists {
        for (_, task) in lock(list).wake_times.values() {
            match task {
                Some(task) => drop(tasks.insert(task.to_string())),
                None => without += 1,
            }
        }
    }
    tasks.len() + without
}

/// Keeps a sleeper on the list until it is dropped.
struct Asleep<'a> {
    sleepers: &'a Mutex<Sleepers>,
    id: u64,
}

impl<'a> Asleep<'a> {
    fn register(sleepers: &'a Mutex<Sleepers>, wake_at: Timestamp) -> Self {
        let mut list = lock(sleepers);
        let id = list.next_id;
        list.next_id += 1;
        list.wake_times.insert(id, (wake_at, tokio::task::try_id()));
        Self { sleepers, id }
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        lock(self.sleepers).wake_times.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_moment_is_so_far_away_that_it_cannot_be_written() {
        for micros in [i64::MIN, i64::MAX, 0, Timestamp::LATEST, Timestamp::EARLIEST] {
            let moment = Timestamp::from_unix_micros(micros);
            for moment in [moment, moment + Duration::MAX, moment - Duration::MAX, moment + Duration::from_micros(1)] {
                assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment), "{micros}");
            }
        }
        assert_eq!(Timestamp::from_unix_millis(i64::MAX).to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp::from_unix_millis(i64::MIN).to_string(), "0000-01-01T00:00:00.000000Z");
    }

    #[test]
    fn times_are_read_in_every_form_the_vendors_send() {
        let expected = Timestamp::from_unix_micros(1_778_492_460_877_000);
        for text in ["2026-05-11T09:41:00.877000Z", "2026-05-11T09:41:00.877Z", "2026-05-11T10:41:00.877+01:00"] {
            assert_eq!(Timestamp::parse(text), Some(expected), "{text}");
        }
        assert_eq!(Timestamp::parse("2026-05-11T09:41:00Z").map(Timestamp::unix_millis), Some(1_778_492_460_000));
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn a_time_is_written_with_six_decimals_so_that_text_sorts_as_time() {
        let whole = Timestamp::from_unix_millis(1_778_492_460_000);
        assert_eq!(whole.to_string(), "2026-05-11T09:41:00.000000Z");
        assert!((whole + Duration::from_micros(1)).to_string() > whole.to_string());
    }

    #[test]
    fn the_distance_to_a_later_time_is_zero() {
        let now = Timestamp::from_unix_millis(5);
        assert_eq!(now.since(now + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!((now + Duration::from_secs(1)).since(now), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_manual_clock_reaches_its_time() {
        let manual = ManualClock::new(Timestamp::from_unix_millis(0));
        let clock = manual.clock();
        let sleeper = tokio::spawn(async move { clock.sleep(Duration::from_secs(3)).await });
        while manual.next_wake().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(manual.next_wake(), Some(Timestamp::from_unix_millis(3_000)));
        manual.advance(Duration::from_secs(3));
        sleeper.await.unwrap();
        assert_eq!(manual.next_wake(), None);
    }

    #[tokio::test]
    async fn work_that_is_not_done_by_its_deadline_is_dropped() {
        let manual = ManualClock::new(Timestamp::from_unix_millis(0));
        let clock = manual.clock();
        let deadline = clock.now() + Duration::from_secs(2);
        assert_eq!(clock.within(deadline, async { 7 }).await, Some(7));
        let hanging = tokio::spawn(async move { clock.within(deadline, std::future::pending::<()>()).await });
        while manual.next_deadline().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!((manual.next_deadline(), manual.next_wake(), manual.sleepers()), (Some(deadline), None, 0));
        manual.advance(Duration::from_secs(2));
        assert_eq!(hanging.await.unwrap(), None);
    }
}
