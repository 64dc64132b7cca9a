//! Measures the compiled functions: `cargo run -p tests --profile scenarios --bin performance -- --help`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
use tests::performance::{self, BARE_RELAY, Run};

/// Measures the compiled functions and prints tables in Markdown.
///
/// Build them first: `cargo build --release -p actions -p webhooks`, and
/// `cargo build --release -p actions --example bare_relay`. Times and sizes depend on the machine, which is named first; figures
/// that can be compared across machines are counts or ratios.
#[derive(Debug, Parser)]
#[command(name = "performance")]
struct Arguments {
    /// What to measure; everything by default.
    what: Vec<What>,
    /// The folder with the compiled functions.
    #[arg(long, default_value = "target/release")]
    binaries: PathBuf,
    /// The share of the full size, which takes about an hour: 0.1 is a tenth.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Compare with the compiled functions of this folder instead: the time of ours as a share of the time of those.
    #[arg(long)]
    against: Option<PathBuf>,
    /// The file for the chart of growth.
    #[arg(long, default_value = "docs/growth.svg")]
    picture: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Vendor calls and trips to the table that wait for each other.
    Trips,
    /// Table units that a message costs, and that a reading of its thread costs.
    Units,
    /// Start, first answer, sizes.
    Start,
    /// Time and processor time of every operation, at different concurrency.
    Operations,
    /// The same for one caller, with slow vendors and a slow table.
    Delays,
    /// The time of a message with lanes and without; needs `cargo build --release -p actions --example bare_relay`.
    Lanes,
    /// The time of a message as the data grows.
    Growth,
    /// More than one process on one table; fails if anything is lost or doubled.
    Scale,
    /// Frozen processes; fails if anything fails, is lost or doubled afterwards.
    Freeze,
    /// Memory after many requests.
    Memory,
    /// Processor time of a message in units of a request that does nothing; fails at one and a half times the stored value.
    Ratio,
}

/// The factor by which the processor time of a message may exceed the stored one before the measurement fails.
const TOLERANCE: f64 = 1.5;

impl Arguments {
    /// The measurements to run, in order.
    fn what(&self) -> &[What] {
        if self.what.is_empty() { What::value_variants() } else { &self.what }
    }

    /// Measurements take long, so this checks before they begin that what they need exists, and reports what to do otherwise.
    fn check(&self) -> Result<(), String> {
        let counts = |what: &What| matches!(what, What::Trips | What::Units);
        let counts_only = self.against.is_none() && self.what().iter().all(counts);
        let folders = [Some(&self.binaries), self.against.as_ref()];
        for folder in folders.into_iter().flatten().filter(|_| !counts_only) {
            if ["actions", "webhooks"].iter().any(|function| !folder.join(function).is_file()) {
                return Err(format!(
                    "{} does not hold the compiled functions: cargo build --release -p actions -p webhooks",
                    folder.display()
                ));
            }
        }
        if self.against.is_some() {
            return Ok(());
        }
        if self.what().contains(&What::Lanes) && !self.binaries.join(BARE_RELAY).is_file() {
            return Err(format!(
                "{} does not hold {BARE_RELAY}: cargo build --release -p actions --example bare_relay",
                self.binaries.display()
            ));
        }
        if self.what().contains(&What::Growth) && !folder_of(&self.picture).is_dir() {
            return Err(format!(
                "{} has no folder to be in: say with --picture where the picture of growth goes",
                self.picture.display()
            ));
        }
        Ok(())
    }
}

/// The folder that contains a file, existing or not.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(reason) = arguments.check() {
        Arguments::command().error(ErrorKind::ValueValidation, reason).exit();
    }
    let run = Run { binaries: &arguments.binaries, scale: arguments.scale };
    println!("On {}.\n", performance::machine());
    if let Some(against) = &arguments.against {
        println!("{}", performance::compare(run, against).await);
        return ExitCode::SUCCESS;
    }
    let mut is_good = true;
    for one in arguments.what() {
        is_good &= measure(*one, run, &arguments.picture).await;
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn measure(what: What, run: Run<'_>, picture: &Path) -> bool {
    let (table, is_good) = match what {
        What::Trips => (performance::trips_table().await, true),
        What::Units => (performance::units_table().await, true),
        What::Start => (performance::start(run).await, true),
        What::Operations => (performance::operations(run).await, true),
        What::Delays => (performance::delays(run).await, true),
        What::Lanes => (performance::lanes(run).await, true),
        What::Growth => return grow(run, picture).await,
        What::Scale => performance::scale(run).await,
        What::Freeze => performance::freeze(run).await,
        What::Memory => (performance::memory(run).await, true),
        What::Ratio => return compare(run).await,
    };
    println!("{table}");
    is_good
}

async fn grow(run: Run<'_>, picture: &Path) -> bool {
    let (table, svg) = performance::growth(run).await;
    println!("{table}");
    match fs::write(picture, svg) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("{} cannot be written: {error}", picture.display());
            false
        }
    }
}

async fn compare(run: Run<'_>) -> bool {
    let ratio = performance::ratio(run).await;
    let most = performance::STORED_RATIO * TOLERANCE;
    println!("{ratio} It may be {most:.1} times.\n");
    ratio.value() <= most
}
