//! The operator's command: connects a stack to its vendors, and shows, explains and repairs its work.
//!
//! [`run`] is the whole command and takes its surroundings as arguments, so that tests run it in their own
//! process; `main` only passes the process's own.

mod app;
mod arguments;
mod aws;
mod bill;
mod connect;
mod cost;
mod deploy;
mod doctor;
mod fleet;
mod manual;
mod operate;
mod output;
mod rehearse;
mod rotate;
mod stats;
mod target;
mod watch;

use std::ffi::OsString;
use std::io::{self, Write};
use std::pin::Pin;

use clap::FromArgMatches as _;
use clap::error::ErrorKind;
use shared::clock::{Clock, Timestamp};
use shared::redacted::Redacted;

pub use crate::aws::{Aws, Cli};

use crate::arguments::{Arguments, Command, Connect};
use crate::output::{Answer, Exit, Failure};

/// The command's surroundings.
pub struct Io<'a> {
    /// Takes the answer.
    pub out: &'a mut (dyn Write + Send),
    /// Takes progress and errors.
    pub progress: &'a mut (dyn Write + Send),
    /// Asks a person or a script for one line; an empty answer means none.
    pub ask: &'a mut (dyn FnMut(&str, Echo) -> io::Result<String> + Send),
    /// Whether findings are coloured.
    pub colour: bool,
    /// Looks an environment variable up.
    pub environment: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// The time.
    pub clock: Clock,
    /// How AWS is reached.
    pub aws: Aws,
    /// Completes when the operator interrupts the command.
    pub interrupt: Pin<&'a mut (dyn Future<Output = ()> + Send)>,
}

/// Whether an answer is visible while it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// For a secret.
    Hidden,
    /// For anything else.
    Shown,
}

impl Io<'_> {
    /// Prints progress; failing to write it does not matter.
    fn say(&mut self, progress: &str) {
        let _ = writeln!(self.progress, "{progress}");
    }

    /// Prints the progress of a command of several steps: `2 of 4: checking the group`.
    fn step(&mut self, number: usize, of: usize, what: &str) {
        self.say(&format!("{number} of {of}: {what}"));
    }

    /// Asks for a secret; an empty answer means none.
    fn secret(&mut self, prompt: &str) -> Result<Option<Redacted>, Failure> {
        Ok(self.answer(prompt, Echo::Hidden)?.map(Redacted::from))
    }

    /// Asks for one line; an empty answer means none.
    fn answer(&mut self, prompt: &str, echo: Echo) -> Result<Option<String>, Failure> {
        let answer = (self.ask)(prompt, echo)
            .map_err(|error| Failure::stopped(format!("the answer cannot be read: {error}")))?;
        Ok(Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty()))
    }

    /// Asks before an irreversible step, unless `yes` answers that already.
    fn confirm(&mut self, what: &str, yes: bool) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        match self.answer(&format!("{what} Type yes to continue"), Echo::Shown)?.as_deref() {
            Some("y" | "yes") => Ok(()),
            _ => {
                Err(Failure::refused("nothing was changed, because the answer was not yes; --yes skips the question."))
            }
        }
    }

    /// Waits, and prints that now and then.
    async fn wait_until(&mut self, time: Timestamp, why: &str) {
        const BETWEEN: std::time::Duration = std::time::Duration::from_secs(60);
        loop {
            let now = self.clock.now();
            if now >= time {
                return;
            }
            self.say(&format!("{why}: {} s to go", time.since(now).as_secs().max(1)));
            self.clock.sleep_until(time.min(now + BETWEEN)).await;
        }
    }
}

/// Runs the command and returns its exit status.
///
/// 0: done, or everything is in order. 1: something is not in order, or a vendor refused. 2: the command could not do its work: wrong
/// usage, missing settings, or an AWS service that does not answer.
pub async fn run(arguments: impl IntoIterator<Item = OsString>, io: &mut Io<'_>) -> u8 {
    let line: Vec<_> = arguments.into_iter().collect();
    let matches = arguments::grammar().try_get_matches_from(&line);
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return explain_usage(&error, line.iter().any(|word| word == "--json"), io),
    };
    let json = arguments.json;
    let outcome = Box::pin(perform(arguments, io)).await;
    let exit = match &outcome {
        Ok(answer) => answer.exit,
        Err(failure) => failure.exit,
    };
    let written = match outcome {
        // The command has printed everything already.
        Ok(answer) if answer.text.is_empty() => Ok(()),
        Ok(answer) if json => writeln!(io.out, "{}", answer.json),
        Ok(answer) if io.colour => writeln!(io.out, "{}", output::coloured(answer.text.trim_end())),
        Ok(answer) => writeln!(io.out, "{}", answer.text.trim_end()),
        Err(failure) if json => writeln!(io.out, "{}", serde_json::json!({ "error": failure.to_string() })),
        Err(failure) => writeln!(io.progress, "error: {failure}"),
    };
    match written {
        Ok(()) => exit as u8,
        // The reader has closed the pipe: it has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit as u8,
        Err(_) => Exit::Stopped as u8,
    }
}

fn explain_usage(error: &clap::Error, json: bool, io: &mut Io<'_>) -> u8 {
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if json && !asked_for {
        let rendered = error.render().to_string();
        let sentence = rendered.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ").trim();
        let _ = writeln!(io.out, "{}", serde_json::json!({ "error": sentence }));
        return Exit::Stopped as u8;
    }
    let target = if asked_for { &mut *io.out } else { &mut *io.progress };
    let _ = write!(target, "{}", error.render());
    if asked_for { Exit::Done as u8 } else { Exit::Stopped as u8 }
}

async fn perform(arguments: Arguments, io: &mut Io<'_>) -> Result<Answer, Failure> {
    match &arguments.command {
        Command::Deploy(options) => return Box::pin(deploy::run(&arguments.target, options, io)).await,
        Command::Fleet(options) => return Box::pin(fleet::run(&arguments.target, options, io)).await,
        Command::Completions { shell } => return Ok(manual::completions(*shell)),
        Command::Man => return manual::pages(),
        Command::Estimate(options) => return cost::estimate(options),
        _ => {}
    }
    let target = target::Target::resolve(&arguments.target, io).await?;
    let json = arguments.json;
    match arguments.command {
        Command::Connect { what: Connect::Livechat } => connect::livechat::run(&target, io).await,
        Command::Connect { what: Connect::Botpress(options) } => connect::botpress::run(&target, &options, io).await,
        Command::Connect { what: Connect::Botcopy(options) } => connect::botcopy::run(&target, &options, io).await,
        Command::Doctor { drift: false } => doctor::run(&target, io).await,
        Command::Doctor { drift: true } => doctor::look_for_drift(&target, io).await,
        Command::Rehearse(options) => rehearse::run(&target, &options, io).await,
        Command::Sessions { limit } => operate::sessions(&target, limit, io).await,
        Command::Cost(options) => cost::cost(&target, &options, io).await,
        Command::Stats(options) => stats::run(&target, &options, io).await,
        Command::Trace { id } => operate::trace(&target, &id, io).await,
        Command::Parked => operate::parked(&target, io).await,
        Command::Redrive { id, all } => operate::redrive(&target, id.as_deref().filter(|_| !all), io).await,
        Command::Discard { id, sure } => operate::discard(&target, &id, sure.yes, io).await,
        Command::Close { session, sure } => operate::close(&target, &session, sure.yes, io).await,
        Command::Reopen { vendor } => operate::reopen(&target, vendor, io).await,
        Command::Erase { user, sure } => operate::erase(&target, &user, sure.yes, io).await,
        Command::Watch => watch::run(&target, json, io).await,
        Command::Rotate { what, now } => rotate::run(&target, what, now, io).await,
        // These need no existing stack.
        Command::Deploy(_) | Command::Fleet(_) | Command::Completions { .. } | Command::Estimate(_) | Command::Man => {
            Err(Failure::stopped("this was done before"))
        }
    }
}
