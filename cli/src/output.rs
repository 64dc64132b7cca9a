//! The command's output: an answer in two forms, or a failure with its cure.

use std::error::Error as StdError;
use std::fmt;

use serde::Serialize;
use serde_json::Value;
use shared::operator::secret;
use shared::{botpress, config, handoff, http, livechat, secrets, store};

/// The exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or all in order.
    Done = 0,
    /// Something is not in order, not found, or refused by a vendor.
    Finding = 1,
    /// The command could not do its work.
    Stopped = 2,
}

/// The answer of a command.
#[derive(Debug)]
pub(crate) struct Answer {
    pub exit: Exit,
    pub json: Value,
    pub text: String,
}

impl Answer {
    /// The same value for people and for programs.
    pub(crate) fn new<T: Serialize + fmt::Display>(exit: Exit, value: &T) -> Self {
        Self { exit, json: serde_json::to_value(value).unwrap_or_default(), text: value.to_string() }
    }

    pub(crate) fn done<T: Serialize + fmt::Display>(value: &T) -> Self {
        Self::new(Exit::Done, value)
    }
}

/// Why there is no answer: a sentence that states the problem and its cure.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct Failure {
    pub exit: Exit,
    sentence: String,
}

impl Failure {
    pub(crate) fn refused(sentence: impl Into<String>) -> Self {
        Self { exit: Exit::Finding, sentence: sentence.into() }
    }

    /// Returns the failure with one more sentence.
    pub(crate) fn and(self, more: &str) -> Self {
        Self { sentence: format!("{} {more}", self.sentence), ..self }
    }

    pub(crate) fn stopped(sentence: impl Into<String>) -> Self {
        Self { exit: Exit::Stopped, sentence: sentence.into() }
    }
}

/// Returns the text with the lines of findings and skipped checks in colour.
pub(crate) fn coloured(text: &str) -> String {
    let line = |line: &str| match line.split_whitespace().next() {
        Some(FINDING | FAILED) => format!("\x1b[31m{line}\x1b[0m"),
        Some(SKIPPED) => format!("\x1b[33m{line}\x1b[0m"),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns an error with all its causes, for errors whose own message is not enough.
pub(crate) fn causes(error: &dyn StdError) -> String {
    let mut text = format!("{error:#}");
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = format!("{cause:#}");
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// How to renew a session whose credentials have expired.
const RENEW: &str = "`aws sso login` or `aws login` renews an expired session";

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        Self::stopped(format!("{error}. `--stack NAME` reads it from the deployed stack."))
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::stopped(format!(
            "{}. Check the table's name, the region and your AWS credentials ({RENEW}); `hitl doctor` shows details.",
            causes(&error)
        ))
    }
}

impl From<secret::Error> for Failure {
    fn from(error: secret::Error) -> Self {
        if matches!(error, secret::Error::Changed) {
            let sentence = "the secret was changed after this command had read it. Nothing was stored: run this again, and it \
                            starts from the current version.";
            return Self::refused(sentence);
        }
        Self::stopped(format!(
            "{}. Check the secret's name, the region and your AWS credentials ({RENEW}); `hitl doctor` shows details.",
            causes(&error)
        ))
    }
}

impl From<secrets::Error> for Failure {
    fn from(error: secrets::Error) -> Self {
        Self::stopped(format!("{}. `hitl doctor` names the cure.", causes(&error)))
    }
}

impl From<handoff::StartError> for Failure {
    fn from(error: handoff::StartError) -> Self {
        Self::stopped(causes(&error))
    }
}

impl From<http::Failure> for Failure {
    fn from(error: http::Failure) -> Self {
        Self::stopped(causes(&error))
    }
}

impl From<livechat::Error> for Failure {
    fn from(error: livechat::Error) -> Self {
        Self::refused(causes(&error))
    }
}

impl From<botpress::Error> for Failure {
    fn from(error: botpress::Error) -> Self {
        Self::refused(causes(&error))
    }
}

impl From<handoff::Error> for Failure {
    fn from(error: handoff::Error) -> Self {
        match error {
            handoff::Error::Store(error) => error.into(),
            handoff::Error::Secrets(error) => error.into(),
            other => Self::refused(causes(&other)),
        }
    }
}

/// The start of a report's line for a check that is not in order.
pub(crate) const FINDING: &str = "FINDING";

/// The start of a fleet table's row for a stack at which the work failed.
pub(crate) const FAILED: &str = "FAILED";

/// The start of the line or row of a check or a stack that was skipped.
pub(crate) const SKIPPED: &str = "skipped";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_stand_out_and_nothing_else_does() {
        let text = "ok       table   FINDING\nFINDING  sweep   late\nskipped  app     no table\n\nOne finding.";
        let expected = "ok       table   FINDING\n\x1b[31mFINDING  sweep   late\x1b[0m\n\x1b[33mskipped  app     no table\x1b[0m\n\n\
                        One finding.";
        assert_eq!(coloured(text), expected);
    }
}
