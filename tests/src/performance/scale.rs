//! More than one process on one table.

use std::collections::HashMap;

use sandbox::stack::Side;

use super::calls::Call;
use super::measure::measure;
use super::site::Site;
use super::{Delays, Run, Table, millis, percentile};

/// The numbers of processes.
const PROCESSES: [usize; 4] = [1, 2, 4, 8];

/// The number of concurrent callers, whatever the number of processes.
const CALLERS: usize = 16;

/// The number of sessions that they share, so that they contend for the lanes.
const SESSIONS: usize = 8;

/// The number of messages.
const MESSAGES: usize = 4_000;

/// The delays of all other parts: while one process waits, another can work.
const DELAYS: Delays = Delays::of_millis(20, 5);

/// Lets agents write through this many processes, and counts what arrived; the result is good only if everything arrived once.
pub async fn scale(run: Run<'_>) -> (Table, bool) {
    let columns = ["processes", "per second", "p50 ms", "p99 ms", "found the lease taken", "lost", "doubled"];
    let heading = format!("{CALLERS} callers in {SESSIONS} sessions, vendors at 20 ms, table at 5 ms");
    let (mut table, mut is_good) = (Table::new(&heading, &columns), true);
    for processes in PROCESSES {
        let site = Site::start(run.binaries, processes).await;
        site.sessions(0, SESSIONS).await;
        let threads = site.threads().await;
        let each = run.of(MESSAGES, CALLERS) / CALLERS;
        let words = |caller: usize, number: usize| format!("answer {number} of caller {caller}");
        let lists = (0..CALLERS).zip(threads.iter().cycle()).map(|(caller, thread)| {
            let calls = (0..each).map(|number| Call::agent_message(&site.world, thread, &words(caller, number)));
            calls.collect()
        });
        let lists: Vec<Vec<Call>> = lists.collect();
        site.slow_down(DELAYS);
        let refused = refused(&site);
        let mut measured = measure(&site, Side::Webhooks, lists).await;
        let conflicts = self::refused(&site) - refused;
        site.slow_down(Delays::default());
        drain(&site).await;
        let shown = shown(&site);
        let expected = (0..CALLERS).flat_map(|caller| (0..each).map(move |number| words(caller, number)));
        let times: Vec<usize> = expected.map(|text| shown.get(&text).copied().unwrap_or_default()).collect();
        let lost = times.iter().filter(|times| **times == 0).count();
        let doubled: usize = times.iter().map(|times| times.saturating_sub(1)).sum();
        is_good &= lost + doubled == 0;
        table.row([
            processes.to_string(),
            format!("{:.0}", measured.per_second()),
            millis(percentile(&mut measured.waits, 50)),
            millis(percentile(&mut measured.waits, 99)),
            conflicts.to_string(),
            lost.to_string(),
            doubled.to_string(),
        ]);
    }
    (table, is_good)
}

/// The number of failed write conditions so far.
fn refused(site: &Site) -> usize {
    site.world.stack.table_proxy.as_ref().map_or(0, |proxy| proxy.refused())
}

/// Runs the schedule until nothing waits any more.
async fn drain(site: &Site) {
    for _ in 0..20 {
        drop(site.world.stack.sweep().await);
        site.world.stack.settled().await;
        if site.world.items("waiting").is_empty() {
            return;
        }
    }
}

/// How many times each text reached the bot's side.
fn shown(site: &Site) -> HashMap<String, usize> {
    let mut shown = HashMap::new();
    for entry in site.world.stack.journal.all("message_created") {
        *shown.entry(entry.text("/payload/text").to_owned()).or_default() += 1;
    }
    shown
}
