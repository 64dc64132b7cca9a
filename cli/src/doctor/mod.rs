//! `hitl doctor`: everything between both vendors and the table, each finding with its cure.

mod account;
mod botcopy;
mod botpress;
mod callers;
mod drift;
mod livechat;
mod stack;

pub(crate) use drift::run as look_for_drift;
pub(crate) use stack::named;

use std::fmt;

use serde::Serialize;
use shared::clock::Timestamp;
use shared::config::Config;
use shared::operator::secret::Contents;
use shared::secrets::Secrets;
use shared::store::Table;

use crate::Io;
use crate::output::{Answer, Exit, FINDING, Failure, SKIPPED};
use crate::target::Target;

/// Why checks that need the table are skipped.
const NO_TABLE: &str = "the table does not answer";

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Finding,
    Skipped,
}

#[derive(Debug, Serialize)]
struct Check {
    /// The name for scripts: in lower case, with hyphens. docs/operations.md lists them.
    id: String,
    name: &'static str,
    verdict: Verdict,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cure: Option<String>,
}

/// The results of all checks.
#[derive(Debug, Default, Serialize)]
struct Report {
    findings: usize,
    skipped: usize,
    checks: Vec<Check>,
}

impl Report {
    fn ok(&mut self, name: &'static str, says: impl Into<String>) {
        self.note(name, Verdict::Ok, says.into(), None);
    }

    fn finding(&mut self, name: &'static str, says: impl Into<String>, cure: impl Into<String>) {
        self.findings += 1;
        self.note(name, Verdict::Finding, says.into(), Some(cure.into()));
    }

    fn skipped(&mut self, name: &'static str, says: impl Into<String>) {
        self.skipped += 1;
        self.note(name, Verdict::Skipped, says.into(), None);
    }

    /// Adds checks that cannot be made, all for one reason.
    fn all_skipped(&mut self, names: &[&'static str], says: &str) {
        names.iter().for_each(|name| self.skipped(name, says));
    }

    fn note(&mut self, name: &'static str, verdict: Verdict, says: String, cure: Option<String>) {
        self.checks.push(Check { id: name.to_lowercase().replace(' ', "-"), name, verdict, says, cure });
    }

    const fn exit(&self) -> Exit {
        if self.findings == 0 { Exit::Done } else { Exit::Finding }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, verdict, says, cure, .. } in &self.checks {
            let verdict = match verdict {
                Verdict::Ok => "ok",
                Verdict::Finding => FINDING,
                Verdict::Skipped => SKIPPED,
            };
            writeln!(f, "{verdict:<8} {name:<22} {says}")?;
            if let Some(cure) = cure {
                writeln!(f, "{:<31} -> {cure}", "")?;
            }
        }
        let skipped = match self.skipped {
            0 => String::new(),
            1 => " One check was skipped, so its result is unknown.".to_owned(),
            more => format!(" {more} checks were skipped, so their results are unknown."),
        };
        match (self.findings, self.skipped) {
            (0, 0) => write!(f, "\nEverything is in order."),
            (0, _) => write!(f, "\nNo findings.{skipped}"),
            (1, _) => write!(f, "\nOne finding.{skipped}"),
            (more, _) => write!(f, "\n{more} findings.{skipped}"),
        }
    }
}

/// The number of steps; those about vendors are left out without the secret, the last one without the table.
const STEPS: usize = 5;

/// The subject of the checks.
struct Patient<'a> {
    target: &'a Target,
    config: Config,
    table: Table,
    now: Timestamp,
}

/// What other checks depend on.
#[derive(Clone, Copy, Debug)]
struct Answers {
    table: bool,
    address: bool,
}

/// Runs every check that can run.
pub(crate) async fn run(target: &Target, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let patient = Patient { target, config: target.config()?, table: target.table()?, now: io.clock.now() };
    let mut report = Report::default();
    io.step(1, STEPS, "checking the table and the secret");
    let table_answers = stack::look_at_table(&patient, &mut report).await;
    let contents = stack::look_at_secret(&patient, &mut report).await;
    io.step(2, STEPS, "checking the stack's address");
    let address_answers = stack::look_at_address(&patient, contents.as_ref(), &mut report).await;
    let answers = Answers { table: table_answers, address: address_answers };
    let secrets = contents.as_ref().and_then(|contents| contents.current.incomplete().ok());
    match (&contents, &secrets) {
        (Some(contents), Some(secrets)) => {
            look_at_vendors(&patient, answers, contents, secrets, &mut report, io).await?
        }
        _ => {
            for names in [
                livechat::OF_APP,
                livechat::OF_TOKEN,
                &["installs", "access key", "Botcopy access token", "Botcopy API key"],
            ] {
                report.all_skipped(names, "vendors cannot be called without the secret");
            }
        }
    }
    if table_answers {
        callers::look_at_callers(&patient, &mut report).await;
    }
    account::look_at_concurrency(&patient, &mut report, io).await;
    if table_answers {
        io.step(5, STEPS, "checking for overdue and parked items");
        stack::look_at_backlog(&patient, &mut report, io).await;
    } else {
        report.all_skipped(&["backlog", "unreadable", "waiting", "parked"], NO_TABLE);
    }
    Ok(Answer::new(report.exit(), &report))
}

async fn look_at_vendors(
    patient: &Patient<'_>,
    answers: Answers,
    contents: &Contents,
    secrets: &Secrets,
    report: &mut Report,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    io.step(3, STEPS, "asking LiveChat");
    if answers.table {
        livechat::look_at_app(patient, secrets, report).await?;
    } else {
        report.all_skipped(livechat::OF_APP, NO_TABLE);
    }
    livechat::look_at_token(patient, contents, secrets, report).await;
    io.step(4, STEPS, "asking the bot platforms");
    botpress::look_at_installs(patient, answers.table, contents, secrets, report).await;
    botcopy::look_at_keys(patient, answers, contents, secrets, report, io).await;
    Ok(())
}
