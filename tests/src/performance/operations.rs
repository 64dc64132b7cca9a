//! The time of each operation, through the compiled functions.

use std::path::Path;
use std::time::Duration;

use sandbox::stack::Side;

use super::calls::{Call, Session, Thread};
use super::measure::{Measured, measure};
use super::site::{Site, text_at};
use super::{Delays, Run, Table, millis, percentile};

/// The numbers of concurrent callers; each function has as many processes.
const CALLERS: [usize; 3] = [1, 8, 32];

/// The number of calls measured per operation.
const CALLS: usize = 2_000;

/// The number of turns in which two builds are compared, so that other load on the machine affects both.
const TURNS: usize = 5;

/// The number of calls with slow vendors or a slow table.
const SLOW_CALLS: usize = 100;

/// Measures every operation at different concurrency without delays.
pub async fn operations(run: Run<'_>) -> Table {
    let columns = ["operation", "callers", "p50 ms", "p99 ms", "per second", "processor ms each", "not answered 200"];
    let mut quick = Table::new("Operations, vendors and table without delay", &columns);
    for callers in CALLERS {
        let site = Site::start(run.binaries, callers).await;
        let calls = run.of(CALLS, callers * 2).next_multiple_of(callers);
        for (name, mut measured) in rounds(&site, callers, calls).await {
            quick.row(row(name, callers.to_string(), &mut measured));
        }
    }
    quick
}

/// Measures every operation for one caller with slow vendors and a slow table.
pub async fn delays(run: Run<'_>) -> Table {
    let columns = ["operation", "vendors ms", "table ms", "p50 ms", "p99 ms", "over the vendors' time, p50 ms"];
    let mut slow = Table::new("Operations, one caller, slow vendors and table", &columns);
    let site = Site::start(run.binaries, 2).await;
    for (vendors, table) in [(0, 0), (0, 5), (20, 0), (20, 5), (80, 0), (80, 5)] {
        let delays = Delays::of_millis(vendors, table);
        for (name, mut measured) in slow_rounds(&site, delays, run.of(SLOW_CALLS, 4)).await {
            let (half, most) = (percentile(&mut measured.waits, 50), percentile(&mut measured.waits, 99));
            let over = half.saturating_sub(delays.vendors * super::trips::sequential_vendor_calls(name));
            slow.row([
                name.to_owned(),
                vendors.to_string(),
                table.to_string(),
                millis(half),
                millis(most),
                millis(over),
            ]);
        }
    }
    slow
}

/// Measures every operation through two builds in turn: the time of the first as a share of the time of the second.
pub async fn compare(run: Run<'_>, against: &Path) -> Table {
    let columns = ["operation", "p50, ratio", "processor time, ratio"];
    let mut table = Table::new("This build against the other", &columns);
    let (ours, theirs) = (Site::start(run.binaries, 1).await, Site::start(against, 1).await);
    let calls = run.of(CALLS, TURNS) / TURNS;
    let (mut of_ours, mut of_theirs) = (Rounds::new(), Rounds::new());
    for _ in 0..TURNS {
        add(&mut of_theirs, rounds(&theirs, 1, calls).await);
        add(&mut of_ours, rounds(&ours, 1, calls).await);
    }
    for ((name, mut ours), (_, mut theirs)) in of_ours.into_iter().zip(of_theirs) {
        let ratio = |ours: Duration, theirs: Duration| format!("{:.2}", ours.as_secs_f64() / theirs.as_secs_f64());
        let half = ratio(percentile(&mut ours.waits, 50), percentile(&mut theirs.waits, 50));
        table.row([name.to_owned(), half, ratio(ours.processor_time, theirs.processor_time)]);
    }
    table
}

fn add(sum: &mut Rounds, rounds: Rounds) {
    for (name, measured) in rounds {
        match sum.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.add(measured),
            None => sum.push((name, measured)),
        }
    }
}

fn row(name: &str, callers: String, measured: &mut Measured) -> [String; 7] {
    [
        name.to_owned(),
        callers,
        millis(percentile(&mut measured.waits, 50)),
        millis(percentile(&mut measured.waits, 99)),
        format!("{:.0}", measured.per_second()),
        millis(measured.processor_time_each()),
        measured.failed.to_string(),
    ]
}

type Rounds = Vec<(&'static str, Measured)>;

async fn slow_rounds(site: &Site, delays: Delays, calls: usize) -> Rounds {
    // The previous calls were fast, and left connections and credentials behind.
    site.slow_down(Delays::default());
    drop(rounds(site, 1, 2).await);
    site.slow_down(delays);
    let measured = rounds(site, 1, calls).await;
    site.slow_down(Delays::default());
    measured
}

/// Every operation once per call, in the order of a session's life.
async fn rounds(site: &Site, callers: usize, calls: usize) -> Rounds {
    let first = fastrand::usize(1_000_000..usize::MAX / 2);
    let creates = (first..first + calls).map(Call::create_user);
    let created = measure(site, Side::Actions, spread(creates, callers)).await;
    let user_ids: Vec<_> = created.answers.iter().map(|answer| text_at(answer, "/output/userId")).collect();
    let starts = user_ids.iter().map(|user_id| Call::start(user_id));
    let started = measure(site, Side::Actions, spread(starts, callers)).await;
    let conversations = started.answers.iter().map(|answer| text_at(answer, "/output/conversationId"));
    let sessions: Vec<_> = spread_names(&user_ids, callers)
        .zip(conversations)
        .map(|(user_id, conversation_id)| Session { user_id, conversation_id })
        .collect();
    site.world.stack.settled().await;
    let threads = site.threads().await;
    let (first_sessions, first_threads) = (sessions.iter().take(callers), threads.iter().take(callers));
    let from_users =
        measure(site, Side::Actions, first_sessions.map(|one| words(one, calls / callers)).collect()).await;
    let from_agents =
        measure(site, Side::Webhooks, first_threads.map(|one| answers(site, one, calls / callers)).collect()).await;
    let from_botcopy = botcopy_messages(site, callers, calls / callers).await;
    let stops = sessions.iter().map(|session| Call::stop(&session.conversation_id));
    let stopped = measure(site, Side::Actions, spread(stops, callers)).await;
    vec![
        (super::trips::CREATE_USER, created),
        (super::trips::START, started),
        (super::trips::FROM_USER, from_users),
        (super::trips::FROM_AGENT, from_agents),
        (super::trips::FROM_BOTCOPY, from_botcopy),
        (super::trips::STOP, stopped),
    ]
}

/// Deals calls out to this many callers.
fn spread(calls: impl Iterator<Item = Call>, callers: usize) -> Vec<Vec<Call>> {
    let mut lists = vec![Vec::new(); callers];
    for (number, call) in calls.enumerate() {
        if let Some(list) = lists.get_mut(number % callers) {
            list.push(call);
        }
    }
    lists
}

/// The names in the order in which calls that were dealt out return their answers.
fn spread_names(names: &[String], callers: usize) -> impl Iterator<Item = String> {
    (0..callers).flat_map(move |caller| names.iter().skip(caller).step_by(callers).cloned())
}

fn words(session: &Session, count: usize) -> Vec<Call> {
    (0..count).map(|number| Call::user_message(session, &format!("message {number}"))).collect()
}

fn answers(site: &Site, thread: &Thread, count: usize) -> Vec<Call> {
    (0..count).map(|number| Call::agent_message(&site.world, thread, &format!("answer {number}"))).collect()
}

async fn botcopy_messages(site: &Site, callers: usize, count: usize) -> Measured {
    let botcopy = &site.world.stack.botcopy;
    let mut lists = Vec::new();
    for _ in 0..callers {
        let user = botcopy.new_user();
        let ask = botcopy.step_one_body(&user, "a human please").expect("the user exists");
        site.answer(&Call::Botcopy(ask)).await;
        let say = |number| botcopy.step_two_body(&user, &format!("message {number}")).expect("the user exists");
        lists.push((0..count).map(|number| Call::Botcopy(say(number))).collect());
    }
    measure(site, Side::Actions, lists).await
}
