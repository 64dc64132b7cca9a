//! Measurements: what an operation takes, what it costs, and whether that stays constant.
//!
//! Times and memory are those of the compiled functions in separate processes, behind the Lambda runtime harness, with
//! the sandbox as vendors and table. They apply to the machine they were measured on; figures that apply everywhere are
//! counts (trips, calls, units) or ratios within one run.

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

/// The delays of all other parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delays {
    /// The time of a call to a vendor.
    pub vendors: Duration,
    /// The time of a call to the table.
    pub table: Duration,
}

impl Delays {
    /// Both in milliseconds.
    pub const fn of_millis(vendors: u64, table: u64) -> Self {
        Self { vendors: Duration::from_millis(vendors), table: Duration::from_millis(table) }
    }
}

/// The folder of the compiled functions, and the scale of a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The folder with `actions` and `webhooks`.
    pub binaries: &'a Path,
    /// 1 is full size.
    pub scale: f64,
}

impl Run<'_> {
    /// This many at full size, fewer in a smaller run, and never fewer than `least`.
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

/// The duration that `part` per cent of all do not exceed.
fn percentile(durations: &mut [Duration], part: usize) -> Duration {
    durations.sort_unstable();
    durations.get(durations.len().saturating_sub(1) * part / 100).copied().unwrap_or_default()
}

/// In milliseconds, as tables show it.
fn millis(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1_000.0)
}
