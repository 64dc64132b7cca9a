//! The gate before each vendor: the limits that it has named, and whether it answers at all.

use std::cell::Cell;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::Vendors;
use crate::background::{let_caller_go, outlasts_caller};
use crate::clock::{Clock, Timestamp};
use crate::handoff::{Error, LONGEST_CALL, NOTE_TIME, Result, VENDOR_TIMEOUT};
use crate::http::with_timeout;
use crate::ids::UserId;
use crate::metrics::{About, Metric, Metrics};
use crate::model::lane::{Lane, Lease};
use crate::model::vendor::{BOTCOPY, BOTPRESS, LIVECHAT};
use crate::model::vendor_calls::VendorCalls;
use crate::secrets::Recall;
use crate::store::{Limits, Passage, TRIAL_EVERY, Table, Trouble, VendorState};

/// This many failures in a row are more than a blip.
const FAILURES_IN_A_ROW: u32 = 3;

/// How many failures an unanswered call counts for: two such calls are more than a blip.
const HANG_COUNTS: u32 = 2;

/// How long after such a failure no hurried caller waits for the vendor; then one may try again.
const FAILING_FOR: Duration = Duration::from_secs(5);

/// The same for a vendor whose calls cannot be looked up: an abandoned try may be shown twice, so retries are left to the sweep.
const FAILING_FOR_WITHOUT_LOOK: Duration = Duration::from_secs(30);

/// How long a hurried caller waits for the answer to one call. Longer than nearly all calls take, since an abandoned one must be looked
/// up; together with the work before and after it stays below two seconds.
pub(super) const HURRY: Duration = Duration::from_millis(1_200);

/// The same if a call of the last minute has had no answer.
const HURRY_IN_DOUBT: Duration = Duration::from_millis(400);

/// How long an unanswered call raises doubts about the next one.
const DOUBT: Duration = Duration::from_secs(60);

/// A call that is dropped unanswered after this time counts as hanging.
const HANGS_AFTER: Duration = Duration::from_secs(1);

/// A process reports failures to the others no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// A process records that a credential is refused no more often than this.
const REFUSAL_NOTED_EVERY: Duration = Duration::from_secs(60);

/// How often a change of limits is tried that conflicts with another one.
const MOST_CHANGES: usize = 5;

tokio::task_local! {
    /// Whether this task's caller cannot wait for long.
    static IN_A_HURRY: bool;
    /// When the lease under which this task delivers ends.
    static LEASE_UNTIL: Timestamp;
    /// Whether this task delivers to agents, or does work within such a delivery.
    static HOLDS_WORDS: bool;
    /// Until when the caller of this task waits.
    static CALLER_UNTIL: Timestamp;
    /// The vendor calls of this task's current piece of work.
    static CALLS: Cell<VendorCalls>;
}

/// Does `work`, and counts its vendor calls, without those of a nested piece of work that is counted separately.
pub(crate) async fn counted<F: Future>(work: F) -> (F::Output, VendorCalls) {
    CALLS
        .scope(Cell::default(), async {
            let output = work.await;
            (output, calls_so_far())
        })
        .await
}

/// The vendor calls so far of the piece of work being counted.
pub(crate) fn calls_so_far() -> VendorCalls {
    CALLS.try_with(Cell::get).unwrap_or_default()
}

fn count_call(vendor: &str) {
    // Fails only outside `counted`, where no one reads the count.
    let _ = CALLS.try_with(|calls| calls.set(calls.get().and_one(vendor)));
}

/// Does a lane's `work` under its lease: no call is made that could outlast the lease, and no call that must happen once is abandoned
/// before the holder's deadline demands it.
pub(crate) async fn while_held<F: Future>(lane: Lane, lease: &Lease, work: F) -> F::Output {
    let work = HOLDS_WORDS.scope(holds_words() || lane == Lane::ToAgent, before(lease.deadline, work));
    LEASE_UNTIL.scope(lease.until, work).await
}

/// Does `work` for a caller who waits until `deadline`, which bounds a call that must happen once.
pub(crate) async fn before<F: Future>(deadline: Timestamp, work: F) -> F::Output {
    CALLER_UNTIL.scope(deadline, work).await
}

/// Whether the current work is part of a delivery.
pub(crate) fn is_delivering() -> bool {
    LEASE_UNTIL.try_with(|_| ()).is_ok()
}

/// Whether the current work is part of a delivery to agents: it holds the lease of their lane, and must not wait for it.
pub(crate) fn holds_words() -> bool {
    HOLDS_WORDS.try_get().unwrap_or(false)
}

/// The effect of repeating a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// None: the call may be abandoned soon.
    Repeatable,
    /// It could take effect twice: a caller who abandons it must find out its outcome.
    Once,
}

/// Does `work` for a caller who cannot wait for a hanging vendor.
pub(crate) async fn hurried<F: Future>(work: F) -> F::Output {
    IN_A_HURRY.scope(true, work).await
}

/// Does a part of hurried work that may take its full time.
pub(crate) async fn patiently<F: Future>(work: F) -> F::Output {
    IN_A_HURRY.scope(false, work).await
}

/// One gate for each vendor.
#[derive(Debug)]
pub(crate) struct Gates {
    pub(crate) livechat: Gate,
    pub(crate) botpress: Gate,
    pub(crate) botcopy: Gate,
    table: Table,
    recall: Recall,
}

impl Gates {
    pub(crate) fn new(clock: &Clock, table: &Table, metrics: &Metrics, recall: Recall) -> Self {
        let gate = |vendor: &'static str| Gate {
            vendor,
            clock: clock.clone(),
            table: table.clone(),
            metrics: metrics.clone(),
            seen: Mutex::new(Seen::default()),
        };
        let table = table.clone();
        Self { livechat: gate(LIVECHAT), botpress: gate(BOTPRESS), botcopy: gate(BOTCOPY), table, recall }
    }

    fn all(&self) -> [&Gate; 3] {
        [&self.livechat, &self.botpress, &self.botcopy]
    }

    /// The gate of the vendor with this name.
    pub(crate) fn of(&self, vendor: &str) -> Option<&Gate> {
        self.all().into_iter().find(|gate| gate.vendor == vendor)
    }

    /// Reads what other invocations have recorded, and returns when a vendor last refused the service's credential; costs one read.
    pub(crate) async fn refresh(&self) -> Result<Option<Timestamp>> {
        let states = self.table.vendor_states().await?;
        self.learn(&states);
        Ok(states.iter().filter_map(|state| state.refused_at).max())
    }

    /// When the last wait that a vendor has asked for ends.
    pub(crate) fn last_to_open(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = |gate: &Gate| gate.seen().limits.closures(now).into_iter().map(|(_, one)| one.until).max();
        self.all().into_iter().filter_map(ends).max()
    }

    /// Whether any vendor fails.
    pub(crate) fn any_is_failing(&self) -> bool {
        self.all().into_iter().any(Gate::is_failing)
    }

    /// Takes over what other invocations have recorded.
    pub(crate) fn learn(&self, states: &[VendorState]) {
        for state in states {
            state.secret_since.into_iter().for_each(|since| self.recall.learn(since));
            self.of(&state.vendor).into_iter().for_each(|gate| gate.learn(state));
        }
    }

    /// Reports failures to the other processes.
    pub(crate) async fn tell(&self) {
        for gate in self.all() {
            gate.tell().await;
        }
    }
}

/// What a process knows about a vendor.
#[derive(Debug)]
pub(crate) struct Gate {
    vendor: &'static str,
    clock: Clock,
    table: Table,
    metrics: Metrics,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    limits: Limits,
    version: u64,
    trouble: Trouble,
    /// The trouble that the table contains, as far as known.
    told: Trouble,
    /// When this process last recorded that the service's credential is refused.
    refusal_noted_at: Option<Timestamp>,
}

impl Gate {
    /// The door to the vendor for a party: those who share a credential, or a bot.
    pub(crate) const fn door<'a>(&'a self, party: &'a str) -> Door<'a> {
        Door { gate: self, party }
    }

    /// Whether the vendor has asked all parties to wait, and no trial call is due.
    pub(crate) fn is_closed_to_all(&self) -> bool {
        self.seen().limits.is_closed_to_all(self.clock.now())
    }

    /// Whether the vendor has failed repeatedly until just now: waiting for it is useless.
    pub(crate) fn is_failing(&self) -> bool {
        self.fails(&self.seen().trouble)
    }

    /// Returns whether the vendor is failing, and once that has become doubtful lets the first caller try it: the others still get
    /// `true`.
    pub(crate) fn is_left_alone(&self) -> bool {
        let mut seen = self.seen();
        let fails = self.fails(&seen.trouble);
        if !fails && seen.trouble.failures >= FAILURES_IN_A_ROW {
            seen.trouble.at = self.clock.now();
        }
        fails
    }

    fn fails(&self, trouble: &Trouble) -> bool {
        let (now, failing_for) = (self.clock.now(), self.failing_for());
        // A record of another process whose clock is far ahead proves nothing about now.
        trouble.failures >= FAILURES_IN_A_ROW && now < trouble.at + failing_for && trouble.at < now + failing_for
    }

    /// Whether the vendor has failed within the last minute, and not served since: a caller who waits for it has no time to spare.
    pub(crate) fn is_doubtful(&self) -> bool {
        let trouble = self.seen().trouble;
        trouble.failures > 0 && self.clock.now() < trouble.at + DOUBT
    }

    fn failing_for(&self) -> Duration {
        if self.can_look_up() { FAILING_FOR } else { FAILING_FOR_WITHOUT_LOOK }
    }

    /// Whether the outcome of an unanswered call can be looked up.
    fn can_look_up(&self) -> bool {
        self.vendor != BOTCOPY
    }

    /// Whether a call that must happen once is waited for even when its caller no longer is: its outcome cannot be looked up.
    fn is_seen_through(&self) -> bool {
        !self.can_look_up() && outlasts_caller()
    }

    /// How long a hurried caller waits for an answer.
    fn patience(&self) -> Duration {
        if self.hangs() { HURRY_IN_DOUBT } else { HURRY }
    }

    /// How long a call may take at most.
    fn longest_call(&self, kind: Kind) -> Duration {
        match (IN_A_HURRY.try_get(), kind) {
            (_, Kind::Once) if self.is_seen_through() => LONGEST_CALL,
            (Ok(true), _) => self.patience(),
            (_, Kind::Once) => self.longest_once(),
            (_, Kind::Repeatable) => VENDOR_TIMEOUT,
        }
    }

    /// How long a call that must happen once may take: in an outage waiting gains nothing, unless its outcome can never be looked up.
    pub(crate) fn longest_once(&self) -> Duration {
        if self.hangs() {
            return VENDOR_TIMEOUT;
        }
        let left = CALLER_UNTIL.try_get().map(|until| until.since(self.clock.now() + NOTE_TIME)).unwrap_or_default();
        left.clamp(VENDOR_TIMEOUT, LONGEST_CALL)
    }

    /// Whether a vendor whose calls can be looked up has left one unanswered within the last minute.
    fn hangs(&self) -> bool {
        let trouble = self.seen().trouble;
        (trouble.hung || trouble.failures >= FAILURES_IN_A_ROW)
            && self.can_look_up()
            && self.clock.now() < trouble.at + DOUBT
    }

    fn learn(&self, state: &VendorState) {
        let mut seen = self.seen();
        if state.version > seen.version {
            seen.limits = state.limits.clone();
            seen.version = state.version;
        }
        if state.trouble.at > seen.told.at {
            seen.told = state.trouble;
        }
        if state.trouble.at > seen.trouble.at {
            seen.trouble = state.trouble;
        }
    }

    /// Records a call in the metrics, with its outcome as far as known.
    fn measure(&self, call: &'static str, called_at: Timestamp, error: Option<&Error>) {
        let took = self.clock.now().since(called_at).as_secs_f64() * 1_000.0;
        let failed = f64::from(u8::from(error.is_some_and(Error::is_retryable)));
        let refused = f64::from(u8::from(error.is_some_and(Error::is_authentication)));
        let values = [
            (Metric::VendorCalls, 1.0),
            (Metric::VendorLatency, took),
            (Metric::VendorErrors, failed),
            (Metric::CredentialsRefused, refused),
        ];
        self.metrics.record(&self.clock, &About::Call { vendor: self.vendor, call }, &values);
    }

    fn fail(&self, called_at: Timestamp) {
        let now = self.clock.now();
        let hung = now.since(called_at) >= HANGS_AFTER;
        let counts = match hung {
            true if self.can_look_up() => HANG_COUNTS,
            // A call that cannot be looked up may be shown twice if it is repeated, so one that hangs is enough.
            true => FAILURES_IN_A_ROW,
            false => 1,
        };
        let mut seen = self.seen();
        let failures = seen.trouble.failures.saturating_add(counts);
        seen.trouble = Trouble { at: now, failures, hung: hung || seen.trouble.hung };
    }

    /// Reports to the other processes that the vendor fails, or that it has recovered.
    async fn tell(&self) {
        let trouble = {
            let mut seen = self.seen();
            let (now_known, told) = (seen.trouble, seen.told);
            let matters = now_known.hung || now_known.failures >= FAILURES_IN_A_ROW;
            let is_news = match (matters, told.failures > 0) {
                (true, true) if told.failures < FAILURES_IN_A_ROW && now_known.failures >= FAILURES_IN_A_ROW => true,
                (true, true) => told.at + TELL_EVERY <= now_known.at,
                (true, false) => true,
                (false, told_of_trouble) => told_of_trouble && now_known.failures == 0,
            };
            if !is_news {
                return;
            }
            seen.told = now_known;
            now_known
        };
        if let Err(error) = self.table.note_trouble(self.vendor, &trouble).await {
            tracing::warn!(error = %error, vendor = self.vendor,
                "the vendor's state could not be shared with other processes");
        }
    }

    /// Records for the sweep that the service's credential is refused.
    async fn note_refusal(&self) {
        let now = self.clock.now();
        {
            let mut seen = self.seen();
            if seen.refusal_noted_at.is_some_and(|at| now < at + REFUSAL_NOTED_EVERY) {
                return;
            }
            seen.refusal_noted_at = Some(now);
        }
        if let Err(error) = self.table.note_refused(self.vendor, now).await {
            tracing::warn!(error = %error, vendor = self.vendor,
                "a refused credential could not be recorded for the sweep");
        }
    }

    /// Changes the limits for all processes, if `change` returns that it changed anything.
    ///
    /// If the table cannot be reached, only this process keeps to them.
    async fn change_limits(&self, change: impl Fn(&mut Limits) -> bool) -> Result<bool> {
        for _ in 0..MOST_CHANGES {
            let state = self.table.vendor_state(self.vendor).await?;
            self.learn(&state);
            let mut limits = state.limits;
            if !change(&mut limits) {
                return Ok(false);
            }
            if self.table.put_limits(self.vendor, &limits, state.version).await? {
                self.learn(&VendorState { limits, version: state.version + 1, ..VendorState::default() });
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Records that the vendor has asked one of a party to wait.
    async fn limit(&self, party: &str, whose: &str, wait: Duration) {
        let now = self.clock.now();
        let refuse = |limits: &mut Limits| {
            limits.refuse(party, whose, now, wait);
            true
        };
        if let Err(error) = self.change_limits(refuse).await {
            tracing::warn!(error = %error, vendor = self.vendor,
                "the vendor's limit could not be shared with other processes");
            refuse(&mut self.seen().limits);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A party's access to a vendor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door<'a> {
    gate: &'a Gate,
    party: &'a str,
}

impl<'a> Door<'a> {
    /// Lets the call of this name through, or returns how long to wait.
    ///
    /// One call a minute is let through whatever wait the vendor has named, so that the vendor confirms it.
    pub(crate) async fn pass(self, call: &'static str, kind: Kind) -> Result<Passed<'a>> {
        let Self { gate, party } = self;
        let (now, longest) = (gate.clock.now(), gate.longest_call(kind));
        if LEASE_UNTIL.try_get().is_ok_and(|until| until < now + longest) {
            return Err(Error::LeaseOver);
        }
        let passage = gate.seen().limits.passage(party, now);
        let closed_until = match passage {
            Passage::Open => None,
            Passage::Closed(until) => Some(until),
            Passage::Trial => match gate.change_limits(|limits| limits.take_trial(party, now)).await {
                Ok(true) => None,
                // Another invocation makes the trial call, or the wait is over.
                Ok(false) => match gate.seen().limits.passage(party, now) {
                    Passage::Open => None,
                    Passage::Trial => Some(now + TRIAL_EVERY),
                    Passage::Closed(until) => Some(until),
                },
                Err(error) => return Err(error),
            },
        };
        match closed_until {
            Some(until) => {
                let asked_for = gate.seen().limits.closed_until(party).map_or(Duration::ZERO, |named| named.since(now));
                Err(Error::Waiting { vendor: gate.vendor, wait: until.since(now), asked_for })
            }
            None => {
                count_call(gate.vendor);
                Ok(Passed { door: self, call, kind, called_at: now, is_answered: false, is_measured: false })
            }
        }
    }
}

/// A call that was let through.
#[derive(Debug)]
pub(crate) struct Passed<'a> {
    door: Door<'a>,
    call: &'static str,
    kind: Kind,
    called_at: Timestamp,
    is_answered: bool,
    is_measured: bool,
}

impl Passed<'_> {
    /// Waits for the answer to `call`: a hurried caller for a short time, a call that must happen once until the caller's deadline, and
    /// one that cannot be looked up for as long as it takes, without its hurried caller.
    pub(crate) async fn answer<F: Future>(&mut self, call: F) -> Result<F::Output> {
        let gate = self.door.gate;
        let (call, longest) = (gate.clock.outside(call), gate.longest_call(self.kind));
        let until = self.called_at + longest;
        // The connection times out later than the call, so that one clock alone decides.
        let answer = match (IN_A_HURRY.try_get(), self.kind) {
            (Ok(true), Kind::Once) if gate.is_seen_through() => {
                gate.clock.within(until, with_timeout(longest * 2, self.leaving_its_caller(call))).await
            }
            (Ok(true), _) => gate.clock.within(until, call).await,
            (_, Kind::Once) => gate.clock.within(until, with_timeout(longest * 2, call)).await,
            (_, Kind::Repeatable) => Some(call.await),
        };
        let error = match answer {
            Some(answer) => {
                self.is_answered = true;
                return Ok(answer);
            }
            None => Error::Hanging { vendor: gate.vendor, call: self.call, called_at: self.called_at },
        };
        // Its failure is recorded here, so `drop` must not record it again.
        self.is_answered = true;
        self.measure(Some(&error));
        gate.fail(self.called_at);
        gate.tell().await;
        Err(error)
    }

    /// Waits for the answer to `call`. Once that takes longer than its caller can wait, the vendor counts as failing, and the caller is let
    /// go.
    async fn leaving_its_caller<F: Future>(&self, call: F) -> F::Output {
        let gate = self.door.gate;
        let mut call = pin!(call);
        match gate.clock.within(self.called_at + HURRY, &mut call).await {
            Some(answer) => answer,
            None => {
                gate.fail(self.called_at);
                let_caller_go();
                gate.tell().await;
                call.await
            }
        }
    }

    /// Records the answer: a refusal, a success or a failure.
    pub(crate) async fn note<T, E: Into<Error>>(mut self, answer: Result<T, E>) -> Result<T> {
        let Door { gate, party } = self.door;
        let answer = answer.map_err(Into::into);
        self.measure(answer.as_ref().err());
        let error = match answer {
            Err(error) if error.is_retryable() || error.retry_after().is_some() => error,
            answer => {
                self.serve().await;
                return answer;
            }
        };
        match error.retry_after() {
            Some(wait) => {
                Err(Error::Limited { vendor: gate.vendor, party: party.to_owned(), wait, cause: Box::new(error) })
            }
            None => {
                gate.fail(self.called_at);
                gate.tell().await;
                if error.is_authentication() {
                    gate.note_refusal().await;
                }
                Err(error)
            }
        }
    }

    fn measure(&mut self, error: Option<&Error>) {
        self.is_measured = true;
        self.door.gate.measure(self.call, self.called_at, error);
    }

    async fn serve(&self) {
        let Door { gate, party } = self.door;
        let (is_better, opens) = {
            let mut seen = gate.seen();
            let is_better = seen.trouble.failures > 0;
            if is_better {
                seen.trouble = Trouble { at: gate.clock.now().max(seen.trouble.at), failures: 0, hung: false };
            }
            // Tried on a copy: most answers change no limit, and need no write.
            (is_better, seen.limits.clone().serve(party, self.called_at))
        };
        if is_better {
            gate.tell().await;
        }
        if opens && let Err(error) = gate.change_limits(|limits| limits.serve(party, self.called_at)).await {
            tracing::warn!(error = %error, vendor = gate.vendor,
                "the vendor's recovery could not be shared with other processes");
        }
    }
}

/// A call that is dropped before its answer, because its caller stopped waiting, may have hung.
impl Drop for Passed<'_> {
    fn drop(&mut self) {
        let gate = self.door.gate;
        // Its answer led to another call, or its caller stopped waiting: the vendor may still bill it.
        if !self.is_measured {
            let about = About::Call { vendor: gate.vendor, call: self.call };
            gate.metrics.record(&gate.clock, &about, &[(Metric::VendorCalls, 1.0)]);
        }
        if !self.is_answered && gate.clock.now().since(self.called_at) >= HANGS_AFTER {
            gate.fail(self.called_at);
        }
    }
}

impl Vendors {
    /// Whether `error` is a limit that, as far as known, applies to one session alone.
    pub(crate) fn is_limited_alone(&self, error: &Error) -> bool {
        let Error::Limited { vendor, party, .. } = error else { return false };
        let gate = self.gates.of(vendor);
        gate.is_some_and(|gate| gate.seen().limits.passage(party, gate.clock.now()) == Passage::Open)
    }

    /// Records a limit that a vendor has named for a user, if `error` is one.
    pub(crate) async fn note_limit(&self, error: &Error, user_id: &UserId) {
        let Error::Limited { vendor, party, wait, .. } = error else { return };
        if let Some(gate) = self.gates.of(vendor) {
            gate.limit(party, &fingerprint(user_id), *wait).await;
        }
    }
}

/// Distinguishes users in a record that outlives them.
fn fingerprint(user_id: &UserId) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(user_id.as_str())).chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::{Client, Config};

    use super::*;
    use crate::clock::ManualClock;

    fn gates() -> (Gates, ManualClock) {
        let manual = ManualClock::new(Timestamp::from_unix_millis(0));
        let nowhere = Client::from_conf(Config::builder().behavior_version_latest().build());
        (
            Gates::new(
                &manual.clock(),
                &Table::new(nowhere, "table".to_owned(), manual.clock()),
                &Metrics::kept(),
                Recall::default(),
            ),
            manual,
        )
    }

    #[test]
    fn a_vendor_fails_once_it_has_failed_three_times_in_a_row_and_until_just_now() {
        let (gates, manual) = gates();
        let gate = &gates.livechat;
        for _ in 0..2 {
            gate.fail(manual.now());
            assert!(!gate.is_failing(), "a blip");
        }
        gate.fail(manual.now());
        assert!(gate.is_failing());
        assert!(!gates.botpress.is_failing(), "the other vendor answers");
        manual.advance(FAILING_FOR);
        assert!(!gate.is_left_alone(), "somebody has to find out whether it still fails");
        assert!(gate.is_left_alone(), "one, not all");
        gate.learn(&VendorState {
            trouble: Trouble { at: manual.now() + Duration::from_secs(1), failures: 0, hung: false },
            ..VendorState::default()
        });
        assert!(!gate.is_failing() && !gate.is_left_alone());
    }

    #[test]
    fn a_call_without_an_answer_makes_the_next_one_short_and_two_are_an_outage() {
        let (gates, manual) = gates();
        let gate = &gates.livechat;
        let hang = |gate: &Gate| {
            let called_at = manual.now();
            manual.advance(HURRY);
            gate.fail(called_at);
        };
        assert_eq!(gate.patience(), HURRY);
        hang(gate);
        assert!(!gate.is_failing() && gate.patience() == HURRY_IN_DOUBT);
        hang(gate);
        assert!(gate.is_failing());
        manual.advance(DOUBT);
        assert_eq!(gate.patience(), HURRY);
        hang(&gates.botcopy);
        assert!(gates.botcopy.is_failing() && gates.botcopy.patience() == HURRY, "its pushes cannot be looked up");
    }
}
