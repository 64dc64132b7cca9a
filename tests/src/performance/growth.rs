//! Whether a message costs the same however much there is already.

use std::path::Path;

use sandbox::stack::Side;

use super::calls::{Call, Measured, measure};
use super::chart::{Curve, draw};
use super::site::{Session, Site};
use super::{Run, Table, percentile};

/// How many sessions are open.
const OPEN_SESSIONS: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// How many messages one session has had.
const MESSAGES: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// How many trail items the table has: each message leaves one.
const TRAIL: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

/// How many messages are measured at each stage.
const SAMPLE: usize = 200;

/// How many sessions share the messages that fill the trail.
const SHARED_BY: usize = 50;

/// Measures a user's message at every stage of growth, and draws the curves.
///
/// # Panics
///
/// When the picture cannot be written.
pub async fn growth(run: Run<'_>, picture: &Path) -> Table {
    let columns = ["what grows", "how many", "p50 ms", "processor ms each", "table units each", "table calls each"];
    let mut table = Table::new("What a user's message takes as things grow", &columns);
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
                stage.number.to_string(),
                format!("{:.2}", stage.half),
                format!("{:.2}", stage.processor),
                format!("{:.1}", stage.units),
                format!("{:.1}", stage.calls),
            ]);
        }
        let points = |value: fn(&Stage) -> f64| stages.iter().map(|stage| (stage.number, value(stage))).collect();
        curves.push(Curve { name: format!("{what}: processor ms"), points: points(|stage| stage.processor) });
        curves.push(Curve { name: format!("{what}: table units"), points: points(|stage| stage.units) });
    }
    draw(picture, "What a user's message takes as things grow", &curves).expect("the picture can be written");
    table
}

/// A message at one stage.
#[derive(Clone, Copy, Debug)]
struct Stage {
    number: usize,
    /// In milliseconds.
    half: f64,
    /// In milliseconds.
    processor: f64,
    units: f64,
    calls: f64,
}

async fn open_sessions(run: Run<'_>) -> Vec<Stage> {
    let site = Site::start_for_long(run.binaries, 2).await;
    let (mut sessions, mut stages) = (Vec::new(), Vec::new());
    for number in stages_of(run, &OPEN_SESSIONS) {
        sessions.extend(site.sessions(sessions.len(), number - sessions.len()).await);
        // A session of its own for each message that is measured, where there are so many.
        let calls = sessions.iter().cycle().take(SAMPLE).map(|one| Call::user_message(one, "hello")).collect();
        stages.push(stage(&site, number, calls).await);
    }
    stages
}

async fn messages(run: Run<'_>) -> Vec<Stage> {
    let site = Site::start_for_long(run.binaries, 2).await;
    let sessions = site.sessions(0, 1).await;
    filled(&site, &sessions, &stages_of(run, &MESSAGES)).await
}

async fn trail(run: Run<'_>) -> Vec<Stage> {
    let site = Site::start_for_long(run.binaries, 2).await;
    let sessions = site.sessions(0, SHARED_BY).await;
    filled(&site, &sessions, &stages_of(run, &TRAIL)).await
}

/// Measures whenever so many messages have been sent, by whoever of these has their turn.
async fn filled(site: &Site, sessions: &[Session], numbers: &[usize]) -> Vec<Stage> {
    let (mut sent, mut stages) = (0, Vec::new());
    let mut writers = sessions.iter().cycle();
    let mut words = |count: usize| -> Vec<Call> {
        writers.by_ref().take(count).map(|session| Call::user_message(session, "hello")).collect()
    };
    for &number in numbers {
        let more = number.saturating_sub(sent);
        assert_eq!(measure(site, Side::Actions, vec![words(more)]).await.failed, 0, "every message is taken");
        stages.push(stage(site, number, words(SAMPLE)).await);
        sent += more + SAMPLE;
    }
    stages
}

#[expect(clippy::cast_precision_loss, reason = "far from any limit")]
async fn stage(site: &Site, number: usize, calls: Vec<Call>) -> Stage {
    let proxy = site.world.stack.table_proxy.as_ref().expect("the table is reached through a proxy");
    let count = calls.len() as f64;
    let calls_so_far = || proxy.calls().values().sum::<usize>() as f64;
    let (units, table_calls) = (proxy.units(), calls_so_far());
    let mut measured: Measured = measure(site, Side::Actions, vec![calls]).await;
    assert_eq!(measured.failed, 0, "every message is taken");
    Stage {
        number,
        half: percentile(&mut measured.waits, 50).as_secs_f64() * 1_000.0,
        processor: measured.processor_time_each().as_secs_f64() * 1_000.0,
        units: (proxy.units() - units) / count,
        calls: (calls_so_far() - table_calls) / count,
    }
}

/// A smaller run stops earlier.
fn stages_of(run: Run<'_>, full: &[usize]) -> Vec<usize> {
    let most = full.last().map_or(1, |most| run.of(*most, 10));
    full.iter().copied().filter(|number| *number <= most).collect()
}
