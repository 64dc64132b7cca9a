//! Memory, and whether it stays flat.

use sandbox::stack::Side;

use super::calls::{Call, Thread};
use super::measure::measure;
use super::site::Site;
use super::{Run, Table, process};

/// The number of requests that each process answers.
const REQUESTS: usize = 100_000;

/// The number of callers, each in its own session: the simulators search all messages of a session.
const CALLERS: usize = 40;

/// The number of parts in which the requests are made; memory is measured after each.
const PARTS: usize = 4;

/// Lets one process of each function answer messages, and measures its memory.
///
/// The runtime puts each invocation's trace id into an environment variable, for which the C library allocates memory
/// for each new one. So the measurement is repeated with one trace id for all: any growth that remains is the functions' own.
pub async fn memory(run: Run<'_>) -> Table {
    let requests = run.of(REQUESTS, PARTS * CALLERS).next_multiple_of(PARTS * CALLERS);
    let quarter = requests / PARTS;
    let columns = ["function", "trace ids", "at rest MB"].map(str::to_owned);
    let columns = columns.into_iter().chain((1..=PARTS).map(|part| format!("after {} requests MB", part * quarter)));
    let columns: Vec<String> = columns.collect();
    let mut table = Table::new("Memory", &columns.iter().map(String::as_str).collect::<Vec<_>>());
    for (side, name) in [(Side::Actions, "actions"), (Side::Webhooks, "webhooks")] {
        // Sizes do not depend on other load.
        let (new, same) = tokio::join!(sizes(run, side, None, quarter), sizes(run, side, Some("Root=1-0-0"), quarter));
        for (trace_ids, sizes) in [("a new one each", new), ("always the same", same)] {
            let sizes = sizes.into_iter().map(|size| format!("{size:.1}"));
            table.row([name, trace_ids].map(str::to_owned).into_iter().chain(sizes));
        }
    }
    table
}

async fn sizes(run: Run<'_>, side: Side, trace_id: Option<&str>, quarter: usize) -> Vec<f64> {
    let site = Site::start_for_long(run.binaries, 1).await;
    if let (Some(trace_id), Some(processes)) = (trace_id, site.world.stack.processes(side)) {
        processes.trace_all_as(trace_id);
    }
    let size = || site.process_ids(side).into_iter().map(process::resident_megabytes).sum();
    let mut sizes = vec![size()];
    let sessions = site.sessions(0, CALLERS).await;
    let threads = site.threads().await;
    for _ in 0..PARTS {
        let each = quarter / CALLERS;
        let lists = match side {
            Side::Actions => sessions
                .iter()
                .map(|one| (0..each).map(|number| Call::user_message(one, &format!("message {number}"))).collect())
                .collect(),
            Side::Webhooks => threads.iter().map(|one| answers(&site, one, each)).collect(),
        };
        let measured = measure(&site, side, lists).await;
        assert_eq!(measured.failed, 0, "every message is taken");
        sizes.push(size());
    }
    sizes
}

fn answers(site: &Site, thread: &Thread, count: usize) -> Vec<Call> {
    (0..count).map(|number| Call::agent_message(&site.world, thread, &format!("answer {number}"))).collect()
}
