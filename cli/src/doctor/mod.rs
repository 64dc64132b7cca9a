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
use shared::secrets::Secrets;
use shared::store::Table;
use shared::vault::Contents;

use crate::Io;
use crate::output::{Answer, Exit, Failure};
use crate::target::Target;

/// What a look at one thing has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Finding,
    Skipped,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cure: Option<String>,
}

/// Everything that was looked at.
#[derive(Debug, Default, Serialize)]
struct Report {
    findings: usize,
    checks: Vec<Check>,
}

impl Report {
    fn ok(&mut self, name: &'static str, says: impl Into<String>) {
        self.checks.push(Check { name, verdict: Verdict::Ok, says: says.into(), cure: None });
    }

    fn finding(&mut self, name: &'static str, says: impl Into<String>, cure: impl Into<String>) {
        self.findings += 1;
        self.checks.push(Check { name, verdict: Verdict::Finding, says: says.into(), cure: Some(cure.into()) });
    }

    fn skipped(&mut self, name: &'static str, says: impl Into<String>) {
        self.checks.push(Check { name, verdict: Verdict::Skipped, says: says.into(), cure: None });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, verdict, says, cure } in &self.checks {
            let verdict = match verdict {
                Verdict::Ok => "ok",
                Verdict::Finding => "FINDING",
                Verdict::Skipped => "skipped",
            };
            writeln!(f, "{verdict:<8} {name:<22} {says}")?;
            if let Some(cure) = cure {
                writeln!(f, "{:<31} -> {cure}", "")?;
            }
        }
        match self.findings {
            0 => write!(f, "\nEverything that was looked at is in order."),
            1 => write!(f, "\nOne finding."),
            more => write!(f, "\n{more} findings."),
        }
    }
}

/// What the checks look at.
struct Patient<'a> {
    target: &'a Target,
    config: Config,
    table: Table,
    now: Timestamp,
}

/// Runs every check that can be run.
pub(crate) async fn run(target: &Target, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let patient = Patient { target, config: target.config()?, table: target.table()?, now: io.clock.now() };
    let mut report = Report::default();
    io.say("looking at the table and the secret");
    let table_answers = stack::look_at_table(&patient, &mut report).await;
    let contents = stack::look_at_secret(&patient, &mut report).await;
    io.say("looking at the stack's address");
    stack::look_at_address(&patient, contents.as_ref(), &mut report).await;
    let secrets = contents.as_ref().and_then(|contents| contents.current.incomplete().ok());
    match (&contents, &secrets) {
        (Some(contents), Some(secrets)) => {
            look_at_vendors(&patient, table_answers, contents, secrets, &mut report, io).await?
        }
        _ => report.skipped("vendors", "neither can be asked without the secret"),
    }
    if table_answers {
        callers::look_at_callers(&patient, &mut report).await;
    }
    account::look_at_concurrency(&patient, &mut report, io);
    if table_answers {
        io.say("looking for what was left undone");
        stack::look_at_backlog(&patient, &mut report, io).await;
    }
    let exit = if report.findings == 0 { Exit::Done } else { Exit::Finding };
    Ok(Answer::new(exit, &report))
}

async fn look_at_vendors(
    patient: &Patient<'_>,
    table_answers: bool,
    contents: &Contents,
    secrets: &Secrets,
    report: &mut Report,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    io.say("asking LiveChat");
    if table_answers {
        livechat::look_at_app(patient, secrets, report).await?;
    }
    livechat::look_at_token(patient, contents, secrets, report).await;
    io.say("asking Botpress");
    botpress::look_at_installs(patient, table_answers, contents, secrets, report).await;
    botcopy::look_at_keys(patient, table_answers, contents, secrets, report, io).await;
    Ok(())
}
