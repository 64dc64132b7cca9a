//! `cargo run -p tests --profile scenarios -- <scenario>`: one scenario at full size, one line, and a verdict.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Parser;
use sandbox::demo::Bot;
use tests::scenario::{Scenario, Size};

/// The maximum number of findings printed below the line.
const MOST_FINDINGS: usize = 20;

/// Runs one scenario in this process and judges it by the journal of what happened at the vendors.
#[derive(Debug, Parser)]
struct Arguments {
    /// The scenario; `list` lists all of them, `fail-points` lists the places at which `kills` kills, and the flows that pass each.
    scenario: String,

    /// The random seed; printed, so that a run can be repeated. Without it, each run uses another one.
    #[arg(long)]
    seed: Option<u64>,

    /// The share of the full size, such as 0.01.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.scenario == "list" {
        for scenario in Scenario::all() {
            println!("{:27} {}", scenario.name(), scenario.shows());
        }
        return ExitCode::SUCCESS;
    }
    if arguments.scenario == "fail-points" {
        return list_fail_points().await;
    }
    let Some(scenario) = Scenario::named(&arguments.scenario) else {
        eprintln!("error: there is no scenario {}; `list` names them", arguments.scenario);
        return ExitCode::from(2);
    };
    let size = Size { seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..)), scale: arguments.scale };
    let report = scenario.run(size).await;
    let verdict = match report.findings.len() {
        0 => "good".to_owned(),
        count => format!("{count} findings"),
    };
    println!("{}: {}; seed {}; {verdict}", scenario.name(), report.figure, size.seed);
    for finding in report.findings.iter().take(MOST_FINDINGS) {
        println!("  {finding}");
    }
    if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn list_fail_points() -> ExitCode {
    let (mut passed, mut flows) = (BTreeMap::<_, Vec<String>>::new(), 0);
    for bot in [Bot::Botpress, Bot::Botcopy] {
        let found = match tests::scenario::places(bot).await {
            Ok(found) => found,
            Err(wrong) => {
                eprintln!("error: {wrong}");
                return ExitCode::FAILURE;
            }
        };
        flows += found.len();
        for (flow, places) in found {
            for place in places.into_keys() {
                passed.entry(place).or_default().push(format!("{bot:?}:{flow:?}"));
            }
        }
    }
    for (place, flows) in &passed {
        println!("{:40} {}", format!("{:?} {}", place.side, place.step), flows.join(" "));
    }
    println!("{} places in {} flows", passed.len(), flows);
    ExitCode::SUCCESS
}
