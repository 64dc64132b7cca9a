//! What Botcopy's refusals mean to us.

use serde_json::Value;

use crate::http::{Answer, Call, CallError, Failure, Refusal, Vendor, repaired};

/// Botcopy, as the vendor of a call.
#[derive(Debug)]
pub struct Botcopy;

impl Vendor for Botcopy {
    const NAME: &'static str = "Botcopy";
}

/// A push that did not succeed.
///
/// The statuses of refusals are not documented, so they are taken as HTTP means them.
pub type Error = CallError<Botcopy>;

impl Error {
    /// Reads `{"error"}` or `{"message"}`, if there is either.
    pub(super) fn refused(call: Call, answer: &Answer) -> Self {
        let body: Value = serde_json::from_slice(&repaired(&answer.body)).unwrap_or_default();
        let message = ["message", "error"].iter().find_map(|name| body.get(name)?.as_str());
        Self::of_refusal(call, Refusal::new(answer, None, message, None))
    }

    /// Whether the trouble is passing: the same push may succeed later.
    pub fn is_retryable(&self) -> bool {
        // A page comes from a proxy in front of Botcopy, and says nothing about the push.
        let may_pass =
            |refusal: &Refusal| refusal.has_transient_status() || refusal.status.is_redirection() || refusal.is_page;
        self.holds(may_pass, Failure::is_transient)
    }

    /// Whether the user may have been shown the push although it failed; nobody can look.
    pub fn outcome_unknown(&self) -> bool {
        self.holds(|refusal| refusal.status.is_server_error(), Failure::may_have_happened)
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
