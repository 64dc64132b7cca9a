//! Vendors that are down while people keep writing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sandbox::demo::Bot;
use sandbox::faults::{Fault, Faults};
use sandbox::journal::Vendor;
use serde_json::json;
use shared::clock::Timestamp;
use tokio::task::JoinSet;

use super::stage::{Session, Stage};
use super::{Report, Size};
use crate::ANNA;
use crate::checker::{Direction, Expectations, Words};

/// The interval at which people write in each session: five times a minute.
const PAUSE: Duration = Duration::from_secs(12);

/// How long people write before the outage, and after it.
const BEFORE: Duration = Duration::from_secs(30);
const AFTER: Duration = Duration::from_secs(30);

/// The time after the recovery within which everything written until then must have arrived.
const DRAINED_WITHIN: Duration = Duration::from_secs(60);

/// The maximum time of an acceptance, for 99 of 100 callers.
const ACCEPTED_WITHIN: Duration = Duration::from_millis(500);

/// The maximum time of any acceptance.
const LONGEST_ACCEPTANCE: Duration = Duration::from_secs(2);

/// The number of acceptances that may be slow in a run of any size: until each vendor is known to be down, some wait for it.
const FIRST_FAILURES: usize = 8;

/// The way in which a vendor is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It answers 503.
    Errors,
    /// It breaks connections.
    Resets,
    /// It answers 429, with the time from which it may be called again.
    Limits,
    /// It answers 500.
    Internal,
    /// It does not answer.
    Hangs,
}

impl Trouble {
    fn fault(self, vendor: Vendor, left: Duration) -> Fault {
        match (self, vendor) {
            (Self::Resets, _) => Fault::Reset,
            (Self::Hangs, _) => Fault::hang(),
            (Self::Internal, Vendor::LiveChat) => Fault::answer(
                500,
                json!({"error": {"type": "internal", "message": "Internal server error"}}).to_string(),
            ),
            (Self::Internal, _) => Fault::answer(500, ""),
            (Self::Errors, _) => Fault::answer(503, "<html>Service Unavailable</html>"),
            (Self::Limits, Vendor::Botpress) => {
                let body = json!({"id": "err_20260511094100x00000000", "code": 429, "type": "RateLimited", "message": "Too many requests"});
                limited("ratelimit-reset", left, &body)
            }
            (Self::Limits, Vendor::Botcopy) => limited("retry-after", left, &json!({"error": "Too many requests"})),
            (Self::Limits, Vendor::LiveChat) => limited(
                "retry-after",
                left,
                &json!({"error": {"type": "too_many_requests", "message": "Too many requests"}}),
            ),
        }
    }
}

/// Calls that must happen once: a caller without a tight deadline waits longer for their answer than for that of others.
const CALLED_ONCE: [&str; 6] =
    ["handover/push", "send_event", "start_chat", "resume_chat", "deactivate_chat", "POST /v1/chat/events"];

/// The longest wait for such a call.
const LONGEST_CALL: Duration = Duration::from_secs(15);

fn limited(header: &str, left: Duration, body: &serde_json::Value) -> Fault {
    let seconds = left.as_millis().div_ceil(1_000).to_string();
    Fault::Answer { status: 429, headers: BTreeMap::from([(header.to_owned(), seconds)]), body: body.to_string() }
}

/// The bot's platform is down, and agents write.
pub(super) async fn platform(size: Size, trouble: Trouble, bot: Bot) -> Report {
    let outage = Outage { bot, down: &[Down::Platform], trouble, lasts: Duration::from_secs(60) };
    outage.play(size, &[Direction::ToUser], Senders::Simulators).await
}

/// LiveChat is down, and users write.
pub(super) async fn livechat(size: Size, trouble: Trouble, bot: Bot) -> Report {
    let outage = Outage { bot, down: &[Down::LiveChat], trouble, lasts: Duration::from_secs(60) };
    outage.play(size, &[Direction::ToAgent], Senders::Simulators).await
}

/// Both are down, and both sides write.
pub(super) async fn both(size: Size, trouble: Trouble, bot: Bot) -> Report {
    let down = &[Down::LiveChat, Down::Platform];
    // A small run is small in every respect.
    let lasts = Duration::from_secs(if size.scale < 0.01 { 90 } else { 600 });
    let outage = Outage { bot, down, trouble, lasts };
    outage.play(size, &[Direction::ToUser, Direction::ToAgent], Senders::Measured).await
}

/// The vendor that is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Down {
    LiveChat,
    Platform,
}

/// The senders of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Senders {
    /// The platforms, which repeat refused calls.
    Simulators,
    /// The same with their times measured; for agents the scenario itself, without a retry.
    Measured,
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    bot: Bot,
    down: &'static [Down],
    trouble: Trouble,
    lasts: Duration,
}

/// What happens at a moment; at the same moment, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Down,
    Up,
    Sweep,
    Says(usize),
}

/// How long a caller waited: in real time, and by the clock of the stage.
#[derive(Clone, Copy, Debug)]
struct Wait {
    status: Option<u16>,
    real: Duration,
    told: Duration,
}

impl Outage {
    async fn play(self, size: Size, directions: &[Direction], senders: Senders) -> Report {
        // A time that one instance was given applies to all of them.
        let instances = if self.trouble == Trouble::Limits { 4 } else { 1 };
        let stage = Stage::in_process(self.bot, instances).await;
        let sessions = stage.sessions(size.of(200, 4)).await;
        let (words, said_by, plan) = self.plan(size, directions, &sessions);
        let begin = stage.world.now();
        let (mut running, waits) = (JoinSet::new(), Arc::new(Mutex::new(Vec::new())));
        let mut written_at = Vec::new();
        for (at, happening) in plan {
            stage.until(begin + at).await;
            match happening {
                Happening::Down | Happening::Up => {}
                Happening::Sweep => {
                    let world = Arc::clone(&stage.world);
                    running
                        .spawn(async move { world.stack.sweep().await.map(|_| ()).map_err(|error| error.to_string()) });
                }
                Happening::Says(number) => {
                    written_at.push(stage.world.now());
                    let (Some(words), Some(session)) = (words.get(number), said_by.get(number)) else { continue };
                    let speaker =
                        Speaker { stage: stage.clone(), session: session.clone(), number, waits: Arc::clone(&waits) };
                    speaker.says(words.clone(), senders, &mut running);
                }
            }
            // There must be no gap between an outage and its continuation.
            let changes = happening == Happening::Up || (happening == Happening::Down && at == BEFORE);
            if changes || self.trouble == Trouble::Limits {
                self.set_faults(&stage, begin);
            }
        }
        let failed: Vec<_> = stage.drive(running.join_all()).await.into_iter().filter_map(Result::err).collect();
        stage.drain().await;
        let waits = waits.lock().expect("nobody panics with the list in hand").clone();
        self.judge(&stage, begin, words, &written_at, &waits, failed, sessions.len())
    }

    /// The texts, their authors, and everything that happens, in order.
    fn plan(
        self,
        size: Size,
        directions: &[Direction],
        sessions: &[Session],
    ) -> (Vec<Words>, Vec<Session>, Vec<(Duration, Happening)>) {
        let mut random = size.random();
        let total = BEFORE + self.lasts + AFTER;
        let mut said = Vec::new();
        for (session, direction) in sessions.iter().flat_map(|one| directions.iter().map(move |way| (one, *way))) {
            let mut at = Duration::from_millis(random.u64(..12_000));
            while at < total {
                said.push((at, session, direction));
                at += PAUSE;
            }
        }
        said.sort_by_key(|(at, ..)| *at);
        let mut plan = vec![(BEFORE, Happening::Down), (BEFORE + self.lasts, Happening::Up)];
        let end = BEFORE + self.lasts + DRAINED_WITHIN;
        // A rate limit is renewed each second.
        plan.extend((1..self.lasts.as_secs()).map(|second| (BEFORE + Duration::from_secs(second), Happening::Down)));
        let sweeps = (1..).map(|minute| Duration::from_secs(60 * minute)).take_while(|at| *at <= end);
        plan.extend(sweeps.map(|at| (at, Happening::Sweep)));
        plan.extend(said.iter().enumerate().map(|(number, (at, ..))| (*at, Happening::Says(number))));
        plan.sort();
        let (words, said_by) = said
            .into_iter()
            .enumerate()
            .map(|(number, (_, session, way))| (session.words(way, &format!("message {number}")), session.clone()))
            .unzip();
        (words, said_by, plan)
    }

    fn set_faults(self, stage: &Stage, begin: Timestamp) {
        let now = stage.world.now();
        let (down, up) = (begin + BEFORE, begin + BEFORE + self.lasts);
        for one in self.down {
            let (vendor, faults): (_, &Faults) = match one {
                Down::LiveChat => (Vendor::LiveChat, stage.world.stack.livechat.faults()),
                Down::Platform => (stage.side.vendor(), stage.side.faults()),
            };
            faults.clear();
            if down <= now && now < up {
                if self.trouble == Trouble::Hangs {
                    CALLED_ONCE.iter().for_each(|call| faults.always(call, Fault::Hang(LONGEST_CALL)));
                }
                faults.always("", self.trouble.fault(vendor, up.since(now)));
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "everything that is known of the run")]
    fn judge(
        self,
        stage: &Stage,
        begin: Timestamp,
        words: Vec<Words>,
        written_at: &[Timestamp],
        waits: &[Wait],
        failed: Vec<String>,
        sessions: usize,
    ) -> Report {
        let recovery = begin + BEFORE + self.lasts;
        let arrived: HashMap<String, Timestamp> = stage
            .world
            .stack
            .journal
            .entries()
            .iter()
            .filter(|entry| ["shown_to_user", "event_sent"].contains(&entry.effect))
            .map(|entry| (entry.text("/text").to_owned(), entry.at))
            .collect();
        let delays = words.iter().zip(written_at).filter(|(_, at)| **at <= recovery);
        let delays: Vec<_> =
            delays.filter_map(|(one, _)| Some((arrived.get(&one.text)?.since(recovery), one))).collect();
        let last = delays.iter().map(|(delay, _)| *delay).max().unwrap_or_default();
        let late = delays.iter().filter(|(delay, _)| *delay > DRAINED_WITHIN).count();
        let effects = stage.effects(&words);
        let mut figure = format!(
            "{sessions} sessions wrote {} messages, {effects} effects, the last of the outage {:.1} s after it",
            words.len(),
            last.as_secs_f64(),
        );
        let mut own = failed;
        own.extend(
            (late > 0).then(|| format!("{late} messages came later than {DRAINED_WITHIN:?} after the recovery")),
        );
        own.extend(refused_acceptances(stage, begin).map(|detail| format!("not accepted: {detail}")));
        if !waits.is_empty() {
            let (accepted, real, told) = percentiles(waits);
            let longest = waits.iter().map(|wait| wait.told).max().unwrap_or_default();
            figure += &format!(
                ", {accepted} of {} accepted, p99 {:.0} ms by a watch and {:.1} s by the clock, the longest {:.1} s",
                waits.len(),
                real.as_secs_f64() * 1_000.0,
                told.as_secs_f64(),
                longest.as_secs_f64(),
            );
            own.extend((longest > LONGEST_ACCEPTANCE).then(|| format!("an acceptance took {longest:?}")));
            own.extend((accepted < waits.len()).then(|| format!("{} were not accepted", waits.len() - accepted)));
            let slow = waits.iter().filter(|wait| wait.told > ACCEPTED_WITHIN).count();
            let may_be_slow = (waits.len() / 100).max(FIRST_FAILURES);
            own.extend(
                (slow > may_be_slow).then(|| format!("{slow} acceptances took longer than {ACCEPTED_WITHIN:?}")),
            );
        }
        own.extend(stage.left_over());
        let findings = stage.findings(Expectations { words, escalations: Some(sessions), ..Expectations::default() });
        let mut report = stage.report(figure, findings);
        report.findings.extend(own);
        report
    }
}

/// Every delivery of either vendor that the service did not answer with 200.
fn refused_acceptances(stage: &Stage, begin: Timestamp) -> impl Iterator<Item = serde_json::Value> {
    let journal = &stage.world.stack.journal;
    // The simultaneous start of hundreds of sessions is not part of the measurement.
    let is_refused = move |entry: &sandbox::journal::Entry, is_taken: bool| entry.at >= begin && !is_taken;
    let webhooks = journal.all("webhook_delivered").into_iter().map(|entry| {
        let is_taken = entry.detail.get("status") == Some(&json!(200));
        (entry, is_taken)
    });
    let calls = webhooks.chain(stage.side.deliveries());
    calls.filter(move |(entry, is_taken)| is_refused(entry, *is_taken)).map(|(entry, _)| entry.detail)
}

/// The number of accepted deliveries, and the maximum time that 99 of 100 callers waited.
fn percentiles(waits: &[Wait]) -> (usize, Duration, Duration) {
    let at_99 = |mut durations: Vec<Duration>| {
        durations.sort();
        durations.get(durations.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
    };
    let accepted = waits.iter().filter(|wait| wait.status == Some(200)).count();
    (accepted, at_99(waits.iter().map(|wait| wait.real).collect()), at_99(waits.iter().map(|wait| wait.told).collect()))
}

/// A person who writes in a session.
struct Speaker {
    stage: Stage,
    session: Session,
    number: usize,
    waits: Arc<Mutex<Vec<Wait>>>,
}

impl Speaker {
    fn says(self, words: Words, senders: Senders, running: &mut JoinSet<Result<(), String>>) {
        let Self { stage, session, number, waits } = self;
        let written_at = stage.world.now();
        // Time does not pass before the text has been sent.
        let underway = stage.world.stack.underway.begin();
        let note = move |status: Option<u16>, watch: Instant, told: Duration| {
            let wait = Wait { status, real: watch.elapsed(), told };
            waits.lock().expect("nobody panics with the list in hand").push(wait);
        };
        match (words.direction, senders) {
            (Direction::ToAgent, _) => {
                running.spawn(async move {
                    let watch = Instant::now();
                    drop(underway);
                    let said = stage.side.says(&session.person, &words.text).await;
                    if senders == Senders::Measured {
                        note(said.is_ok().then_some(200), watch, stage.world.now().since(written_at));
                    }
                    said
                });
            }
            (Direction::ToUser, Senders::Simulators) => {
                let sent = stage.world.stack.livechat.agent_sends_text(&session.chat_id, ANNA, &words.text);
                sent.expect("the agent can write");
            }
            (Direction::ToUser, Senders::Measured) => {
                let webhook = stage.message_webhook(&session, number, &words.text, written_at);
                running.spawn(async move {
                    let watch = Instant::now();
                    drop(underway);
                    let status = stage.post(&webhook).await;
                    note(status, watch, stage.world.now().since(written_at));
                    Ok(())
                });
            }
        }
    }
}
