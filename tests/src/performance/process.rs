//! Data of the kernel about a process.

use std::fs;
use std::time::Duration;

/// The number of ticks per second in `/proc`; the same on every current Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time that these processes have used so far, in user and kernel mode.
pub(super) fn processor_time(process_ids: &[u32]) -> Duration {
    process_ids.iter().map(|id| of_one(*id).unwrap_or_default()).sum()
}

fn of_one(process_id: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process_id}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks: f64 = [fields.get(11)?, fields.get(12)?].into_iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Some(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
}

/// The resident memory of a process, in megabytes.
pub(super) fn resident_megabytes(process_id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process_id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1_024.0
}
