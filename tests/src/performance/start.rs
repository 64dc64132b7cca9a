//! The start time of a process, and the size of what is deployed.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use sandbox::stack::Side;

use super::calls::Call;
use super::site::Site;
use super::{Run, Table, millis, percentile, process};

/// The number of processes started.
const STARTS: usize = 40;

/// Measures start, first answer, size at rest, and size in a zip.
pub async fn start(run: Run<'_>) -> Table {
    let columns = [
        "function",
        "to the first poll, p50 ms",
        "slowest ms",
        "first answer of a cold process, p50 ms",
        "at rest MB",
        "zip MB",
    ];
    let mut table = Table::new("Start", &columns);
    let site = Site::start(run.binaries, 2).await;
    let session = site.sessions(0, 1).await.remove(0);
    let thread = site.threads().await.remove(0);
    for (side, name) in [(Side::Actions, "actions"), (Side::Webhooks, "webhooks")] {
        let processes = site.world.stack.processes(side).expect("compiled functions run in processes");
        let (mut polls, mut answers, mut at_rest) = (Vec::new(), Vec::new(), 0_f64);
        for _ in 0..run.of(STARTS, 2) {
            processes.restart().await.expect("the function starts again");
            polls.push(processes.time_to_first_poll());
            at_rest = processes.process_ids().into_iter().map(process::resident_megabytes).fold(at_rest, f64::max);
            answers.push(first_answer(&site, side, &session, &thread).await);
        }
        table.row([
            name.to_owned(),
            millis(percentile(&mut polls, 50)),
            millis(percentile(&mut polls, 100)),
            millis(percentile(&mut answers, 50)),
            format!("{at_rest:.1}"),
            format!("{:.2}", zipped_megabytes(&run.binaries.join(name))),
        ]);
    }
    table
}

/// The time of a process's first call, including credentials and connections.
async fn first_answer(
    site: &Site,
    side: Side,
    session: &super::calls::Session,
    thread: &super::calls::Thread,
) -> Duration {
    let call = match side {
        Side::Actions => Call::user_message(session, "hello"),
        Side::Webhooks => Call::agent_message(&site.world, thread, "hello"),
    };
    let watch = Instant::now();
    site.answer(&call).await;
    watch.elapsed()
}

/// The size of a zip that contains only this program; its own headers are a few hundred bytes.
fn zipped_megabytes(program: &Path) -> f64 {
    let program = fs::read(program).expect("the compiled function is there");
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&program).expect("memory takes everything");
    let zipped = encoder.finish().expect("memory takes everything");
    #[expect(clippy::cast_precision_loss, reason = "far from any limit")]
    let megabytes = zipped.len() as f64 / 1_000_000.0;
    megabytes
}
