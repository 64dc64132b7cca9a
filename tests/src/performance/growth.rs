//! Whether a message costs the same as the amount of data grows.

use sandbox::stack::Side;

use super::calls::{Call, Session};
use super::chart::{Curve, svg};
use super::measure::{Measured, measure};
use super::site::Site;
use super::{Run, Table, percentile};

/// The numbers of open sessions.
const OPEN_SESSIONS: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// The numbers of earlier messages of one session.
const MESSAGES: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// Up to this number that many sessions are filled, so that the measured messages do not themselves fill one.
const FEW_MESSAGES: usize = 100;

/// The numbers of trail items in the table: each message leaves one.
const TRAIL: [usize; 4] = [0, 1_000, 10_000, 100_000];

/// The number of sessions that share the messages.
const SHARED_BY: usize = 50;

/// The number of messages measured at each stage.
const SAMPLE: usize = 9 * SHARED_BY;

/// The number of requests that do nothing, measured beside them; the kernel counts in hundredths of a second.
const NOTHING: usize = 5_000;

/// The heading of the measurement.
const HEADING: &str = "What a user's message takes as things grow";

/// Measures a user's message at every stage of growth; returns the table, and the curves as SVG.
pub async fn growth(run: Run<'_>) -> (Table, String) {
    let columns = [
        "what grows",
        "how many",
        "p50 ms",
        "processor ms each",
        "times doing nothing",
        "table units each",
        "table calls each",
    ];
    let mut table = Table::new(HEADING, &columns);
    let mut curves = Vec::new();
    let stages = [
        ("open sessions", open_sessions(run).await),
        ("messages in the session", messages(run).await),
        ("trail items", trail(run).await),
    ];
    for (what, stages) in stages {
        for stage in &stages {
            table.row([
                what.to_owned(),
                stage.how_many(),
                format!("{:.2}", stage.half),
                format!("{:.2}", stage.processor),
                format!("{:.1}", stage.times_nothing),
                format!("{:.1}", stage.units),
                format!("{:.1}", stage.calls),
            ]);
        }
        let curve = |name: &str, is_counted: bool, value: fn(&Stage) -> f64| Curve {
            name: format!("{what}: {name}"),
            is_counted,
            points: stages.iter().map(|stage| (stage.from, value(stage))).collect(),
        };
        curves.push(curve("times doing nothing", false, |stage| stage.times_nothing));
        curves.push(curve("table units", true, |stage| stage.units));
    }
    (table, svg(HEADING, &curves))
}

/// A message at one stage.
#[derive(Clone, Copy, Debug)]
struct Stage {
    /// The number of items before the measured messages.
    from: usize,
    /// The number after them.
    to: usize,
    /// In milliseconds.
    half: f64,
    /// In milliseconds.
    processor: f64,
    /// The same in units of a request that does nothing, measured in the same minute.
    times_nothing: f64,
    units: f64,
    calls: f64,
}

impl Stage {
    fn how_many(&self) -> String {
        match self.from == self.to {
            true => self.from.to_string(),
            false => format!("{} to {}", self.from, self.to),
        }
    }
}

async fn open_sessions(run: Run<'_>) -> Vec<Stage> {
    let site = Site::start_for_long(run.binaries, 2).await;
    let (mut sessions, mut stages) = (Vec::new(), Vec::new());
    for number in stages_of(run, &OPEN_SESSIONS) {
        sessions.extend(site.sessions(sessions.len(), number - sessions.len()).await);
        // Each measured message has its own session if there are enough.
        let calls = words(&sessions, SAMPLE);
        stages.push(stage(&site, (number, number), calls).await);
    }
    stages
}

async fn messages(run: Run<'_>) -> Vec<Stage> {
    let site = Site::start_for_long(run.binaries, 2).await;
    let mut sessions = site.sessions(0, SHARED_BY).await;
    let (mut had, mut stages) = (0, Vec::new());
    for number in stages_of(run, &MESSAGES) {
        if number > FEW_MESSAGES {
            sessions.truncate(1);
        }
        made(&site, words(&sessions, (number - had) * sessions.len())).await;
        had = number + SAMPLE / sessions.len();
        stages.push(stage(&site, (number, had), words(&sessions, SAMPLE)).await);
    }
    stages
}

async fn trail(run: Run<'_>) -> Vec<Stage> {
    let site = Site::start_for_long(run.binaries, 2).await;
    let sessions = site.sessions(0, SHARED_BY).await;
    let (mut sent, mut stages) = (0, Vec::new());
    for number in stages_of(run, &TRAIL) {
        made(&site, words(&sessions, number - sent)).await;
        sent = number + SAMPLE;
        stages.push(stage(&site, (number, sent), words(&sessions, SAMPLE)).await);
    }
    stages
}

/// This many messages, from each session in turn.
fn words(sessions: &[Session], count: usize) -> Vec<Call> {
    sessions.iter().cycle().take(count).map(|session| Call::user_message(session, "hello")).collect()
}

async fn made(site: &Site, calls: Vec<Call>) -> Measured {
    let measured = measure(site, Side::Actions, vec![calls]).await;
    assert_eq!(measured.failed, 0, "every request is answered");
    measured
}

#[expect(clippy::cast_precision_loss, reason = "far from any limit")]
async fn stage(site: &Site, (from, to): (usize, usize), calls: Vec<Call>) -> Stage {
    let nothing = made(site, vec![Call::Health; NOTHING]).await.processor_time_each();
    let proxy = site.world.stack.table_proxy.as_ref().expect("the table is reached through a proxy");
    let count = calls.len() as f64;
    let calls_so_far = || proxy.calls().values().sum::<usize>() as f64;
    let (units, table_calls) = (proxy.units(), calls_so_far());
    let mut measured = made(site, calls).await;
    let processor = measured.processor_time_each().as_secs_f64();
    Stage {
        from,
        to,
        half: percentile(&mut measured.waits, 50).as_secs_f64() * 1_000.0,
        processor: processor * 1_000.0,
        times_nothing: processor / nothing.as_secs_f64(),
        units: (proxy.units() - units) / count,
        calls: (calls_so_far() - table_calls) / count,
    }
}

/// A smaller run stops earlier.
fn stages_of(run: Run<'_>, full: &[usize]) -> Vec<usize> {
    let most = full.last().map_or(1, |most| run.of(*most, 10));
    full.iter().copied().filter(|number| *number <= most).collect()
}
