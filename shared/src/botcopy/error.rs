//! What Botcopy's refusals mean to the service.

use serde_json::Value;

use crate::http::{Answer, Call, CallError, Failure, Refusal, Vendor, repaired};
use crate::model::vendor::BOTCOPY;

/// Botcopy, as the vendor of a call.
#[derive(Debug)]
pub struct Botcopy;

impl Vendor for Botcopy {
    const NAME: &'static str = BOTCOPY;
}

/// A push that did not succeed.
///
/// Botcopy does not document the statuses of refusals, so they are read as HTTP defines them.
pub type Error = CallError<Botcopy>;

impl Error {
    /// Reads `{"error"}` or `{"message"}`, if there is either.
    pub(super) fn refused(call: Call, answer: &Answer) -> Self {
        let body: Value = serde_json::from_slice(&repaired(&answer.body)).unwrap_or_default();
        let message = ["message", "error"].iter().find_map(|name| body.get(name)?.as_str());
        Self::of_refusal(call, Refusal::new(answer, None, message, None))
    }

    /// Whether the failure is transient: the same push may succeed later.
    pub fn is_retryable(&self) -> bool {
        // An HTML page comes from a proxy in front of Botcopy and says nothing about the push.
        let may_pass =
            |refusal: &Refusal| refusal.has_transient_status() || refusal.status.is_redirection() || refusal.is_page;
        self.holds(may_pass, Failure::is_transient)
    }

    /// Whether the widget may have shown the push although the call failed. Botcopy has no call that looks it up.
    pub fn outcome_unknown(&self) -> bool {
        self.holds(|refusal| refusal.status.is_server_error(), Failure::may_have_happened)
    }

    /// Whether Botcopy limits the rate of calls.
    pub fn is_rate_limited(&self) -> bool {
        self.refusal().is_some_and(|refusal| refusal.status.as_u16() == 429)
    }

    /// Whether Botcopy rejects the API key.
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
