//! What Botcopy's refusals mean to us.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use crate::http::{Answer, Call, Failure, Refusal, repaired, word};

/// A push that did not succeed.
///
/// The statuses of refusals are not documented, so they are taken as HTTP means them.
#[derive(Debug, Error)]
pub enum Error {
    /// Botcopy answered, and said no.
    #[error(fmt = word_refusal)]
    Refused {
        /// What was called.
        call: Call,
        /// What Botcopy said.
        refusal: Box<Refusal>,
    },
    /// No usable answer came.
    #[error("Botcopy did not answer {call}: {failure}")]
    Failed {
        /// What was called.
        call: Call,
        /// Why there is no answer.
        #[source]
        failure: Failure,
    },
}

fn word_refusal(call: &Call, refusal: &Refusal, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    word("Botcopy", call, refusal, f)
}

impl Error {
    pub(super) const fn failed(call: Call, failure: Failure) -> Self {
        Self::Failed { call, failure }
    }

    /// Reads `{"error"}` or `{"message"}`, if there is either.
    pub(super) fn refused(call: Call, answer: &Answer) -> Self {
        let body: Value = serde_json::from_slice(&repaired(&answer.body)).unwrap_or_default();
        let message = ["message", "error"].iter().find_map(|name| body.get(name)?.as_str());
        Self::Refused { call, refusal: Box::new(Refusal::new(answer, None, message, None)) }
    }

    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            Self::Failed { .. } => None,
        }
    }

    /// Whether the trouble is passing: the same push may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            // A page comes from somebody who stands before Botcopy, and says nothing of the push.
            Self::Refused { refusal, .. } => {
                refusal.has_transient_status() || refusal.status.is_redirection() || refusal.is_page
            }
            Self::Failed { failure, .. } => failure.is_transient(),
        }
    }

    /// Whether the user may have been shown the push although it failed; nobody can look.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } => refusal.status.is_server_error(),
            Self::Failed { failure, .. } => failure.may_have_happened(),
        }
    }

    /// How long Botcopy asks to wait, at most one hour.
    pub fn retry_after(&self) -> Option<Duration> {
        self.refusal()?.retry_after
    }

    /// Whether Botcopy takes no more calls for a while.
    pub fn is_rate_limited(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.status.as_u16() == 429)
    }

    /// Whether the API key is not accepted.
    pub fn is_authentication(&self) -> bool {
        self.refusal().is_some_and(|refusal| matches!(refusal.status.as_u16(), 401 | 403))
    }
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, StatusCode};

    use super::*;

    #[test]
    fn statuses_are_taken_as_http_means_them() {
        // status, retryable, outcome unknown, about the key
        let cases = [
            (302, true, false, false),
            (400, false, false, false),
            (401, false, false, true),
            (403, false, false, true),
            (404, false, false, false),
            (408, true, false, false),
            (429, true, false, false),
            (500, true, true, false),
            (503, true, true, false),
        ];
        for (status, retryable, unknown, key) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            let page = Answer { status, headers: HeaderMap::new(), body: b"<html>".to_vec() };
            assert!(Error::refused(Call::once("push"), &page).is_retryable(), "{status}");
            let answer = Answer { status, headers: HeaderMap::new(), body: Vec::new() };
            let error = Error::refused(Call::once("push"), &answer);
            let found = (error.is_retryable(), error.outcome_unknown(), error.is_authentication());
            assert_eq!(found, (retryable, unknown, key), "{error}");
        }
    }
}
