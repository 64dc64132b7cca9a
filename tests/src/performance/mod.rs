//! Measurements: what an operation takes, what it costs, and whether that stays so.
//!
//! Times and memory are those of the compiled functions in processes of their own, behind the Lambda runtime harness, with the
//! sandbox as vendors and table. They say something about the machine they were taken on; what holds anywhere is counted
//! (trips, calls, units) or a ratio within one run.

mod calls;
mod chart;
mod freeze;
mod growth;
mod lanes;
mod machine;
mod measure;
mod memory;
mod operations;
mod process;
mod ratio;
mod scale;
mod site;
mod start;
mod table;
mod trips;
mod units;

use std::path::Path;
use std::time::Duration;

pub use freeze::freeze;
pub use growth::growth;
pub use lanes::{BARE_RELAY, lanes};
pub use machine::machine;
pub use memory::memory;
pub use operations::{compare, delays, operations};
pub use ratio::{Ratio, STORED_RATIO, ratio};
pub use scale::scale;
pub use start::start;
pub use table::Table;
pub use trips::{Trips, trips, trips_table};
pub use units::{Charged, units, units_table};

/// How slow everybody else is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delays {
    /// What a call to a vendor takes there.
    pub vendors: Duration,
    /// What a call to the table takes there.
    pub table: Duration,
}

impl Delays {
    /// Both in milliseconds.
    pub const fn of_millis(vendors: u64, table: u64) -> Self {
        Self { vendors: Duration::from_millis(vendors), table: Duration::from_millis(table) }
    }
}

/// Where the compiled functions are, and how much of the full size a measurement has.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The folder with `actions` and `webhooks`.
    pub binaries: &'a Path,
    /// 1 is full size.
    pub scale: f64,
}

impl Run<'_> {
    /// So many at full size, fewer in a smaller run, and never fewer than `least`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "far from any limit"
    )]
    fn of(self, full: usize, least: usize) -> usize {
        ((full as f64 * self.scale) as usize).max(least)
    }
}

/// The one that so many of a hundred do not exceed.
fn percentile(durations: &mut [Duration], part: usize) -> Duration {
    durations.sort_unstable();
    durations.get(durations.len().saturating_sub(1) * part / 100).copied().unwrap_or_default()
}

/// In milliseconds, as tables show it.
fn millis(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1_000.0)
}
