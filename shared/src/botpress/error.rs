//! What Botpress's refusals mean to the service.

use serde_json::Value;

use crate::http::{Answer, Call, CallError, Failure, Refusal, Vendor, repaired};
use crate::model::vendor::BOTPRESS;

/// Botpress, as the vendor of a call.
#[derive(Debug)]
pub struct Botpress;

impl Vendor for Botpress {
    const NAME: &'static str = BOTPRESS;
}

/// What a call does for one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageCall {
    /// Posts the message.
    Post,
    /// Looks for the message.
    Find,
    /// Finds or creates the message's author.
    Author,
}

/// A call to Botpress that did not succeed.
pub type Error = CallError<Botpress>;

impl Error {
    /// Reads `{"id","type","message"}`, or the fields of it that are present.
    pub(super) fn refused(call: Call, answer: &Answer) -> Self {
        let body: Value = serde_json::from_slice(&repaired(&answer.body)).unwrap_or_default();
        let text = |name| body.get(name).and_then(Value::as_str);
        Self::of_refusal(call, Refusal::new(answer, text("type"), text("message"), text("id")))
    }

    /// Whether the failure is transient: the same call may succeed later. Check [`outcome_unknown`](Self::outcome_unknown) before
    /// repeating it.
    pub fn is_retryable(&self) -> bool {
        const LATER: [&str; 3] = ["OperationTimeout", "RateLimited", "ResourceLockedConflict"];
        self.holds(|refusal| refusal.may_pass(&LATER), Failure::is_transient)
    }

    /// Whether Botpress may have carried out a call that must not happen twice.
    ///
    /// Always false for calls that are safe to repeat: all but creating an event. A refused connection, a rate limit and a 502 are known
    /// outcomes: Botpress's own client repeats every call after those.
    pub fn outcome_unknown(&self) -> bool {
        !self.call().repeatable && self.may_have_happened()
    }

    /// What the failed call does for one message; `None` if no single message can be the cause.
    pub fn message_call(&self) -> Option<MessageCall> {
        match self.call().name {
            "getOrCreateMessage" => Some(MessageCall::Post),
            "listMessages" => Some(MessageCall::Find),
            "getOrCreateUser" => Some(MessageCall::Author),
            _ => None,
        }
    }

    /// Whether the message may have reached the user, or the event the bot, although the call failed.
    pub fn may_have_been_shown(&self) -> bool {
        ["createEvent", "getOrCreateMessage"].contains(&self.call().name) && self.may_have_happened()
    }

    fn may_have_happened(&self) -> bool {
        let broke_off = |refusal: &Refusal| refusal.status.is_server_error() && refusal.status.as_u16() != 502;
        self.holds(broke_off, Failure::may_have_happened)
    }

    /// Whether Botpress rejects the token.
    pub fn is_authentication(&self) -> bool {
        self.is("Unauthorized", 401)
    }

    /// Whether Botpress refuses every call for this bot at present: its workspace has not paid or has used up a quota, or the integration
    /// is no longer installed there.
    pub fn is_account_refused(&self) -> bool {
        self.has_code(&["PaymentRequired", "QuotaExceeded"]) || self.is_forbidden()
    }

    /// Whether the key is valid but gives no access: usually to the whole bot, but Botpress may also mean one object.
    pub fn is_forbidden(&self) -> bool {
        self.has_code(&["Forbidden"])
    }

    /// Whether Botpress limits the rate of calls.
    pub fn is_rate_limited(&self) -> bool {
        self.is("RateLimited", 429)
    }

    /// Whether the integration's definition does not declare this message or tag.
    pub fn is_invalid_payload(&self) -> bool {
        self.is("InvalidPayload", 400)
    }

    /// Whether Botpress itself reports that something named in the call, in its path or its body, does not exist.
    pub fn is_gone(&self) -> bool {
        self.has_code(&["ResourceNotFound", "ReferenceNotFound", "ResourceGone"])
    }

    /// Whether the user, conversation or bot does not exist. An HTML page with the status 404 does not count.
    pub fn is_not_found(&self) -> bool {
        self.has_code(&["ResourceNotFound"])
    }
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, StatusCode};
    use serde_json::json;

    use super::*;

    fn refused(call: Call, status: u16, code: &str) -> Error {
        let body = json!({"id": "err_1", "code": status, "type": code, "message": ""}).to_string().into_bytes();
        let status = StatusCode::from_u16(status).unwrap();
        Error::refused(call, &Answer { status, headers: HeaderMap::new(), body })
    }

    #[test]
    fn passing_trouble_is_retryable_and_says_whether_the_call_may_have_happened() {
        // type, status, retryable, outcome unknown of a call that must happen once
        let cases = [
            ("RateLimited", 429, true, false),
            ("Internal", 500, true, true),
            ("Unknown", 502, true, false),
            ("OperationTimeout", 504, true, true),
            ("ResourceLockedConflict", 409, true, false),
            ("InvalidPayload", 400, false, false),
            ("QuotaExceeded", 403, false, false),
            ("LimitExceeded", 413, false, false),
        ];
        for (code, status, retryable, unknown) in cases {
            let error = refused(Call::once("createEvent"), status, code);
            assert_eq!((error.is_retryable(), error.outcome_unknown()), (retryable, unknown), "{error}");
            assert!(!refused(Call::repeatable("getUser"), status, code).outcome_unknown(), "{error}");
        }
    }

    #[test]
    fn a_refusal_of_the_whole_bot_is_none_of_one_message() {
        let call = Call::repeatable("getOrCreateMessage");
        for (status, code, expected) in [
            (402, "PaymentRequired", true),
            (403, "QuotaExceeded", true),
            (403, "Forbidden", true),
            (400, "InvalidPayload", false),
            (413, "LimitExceeded", false),
            (401, "Unauthorized", false),
        ] {
            assert_eq!(refused(call, status, code).is_account_refused(), expected, "{code}");
        }
    }

    #[test]
    fn what_was_posted_may_be_shown_although_its_repetition_does_no_harm() {
        let posted = |status, code| refused(Call::repeatable("getOrCreateMessage"), status, code);
        assert!(posted(500, "Internal").may_have_been_shown() && !posted(500, "Internal").outcome_unknown());
        assert!(!posted(429, "RateLimited").may_have_been_shown());
        assert!(!refused(Call::repeatable("getUser"), 500, "Internal").may_have_been_shown());
    }

    #[test]
    fn a_bad_token_and_a_missing_object_are_told_apart() {
        let call = Call::repeatable("getUser");
        assert!(refused(call, 401, "Unauthorized").is_authentication());
        assert!(refused(call, 404, "ResourceNotFound").is_not_found());
        assert!(!refused(call, 403, "Forbidden").is_authentication());
        assert!(!refused(call, 400, "ReferenceNotFound").is_not_found());
        for (code, status) in [("ResourceNotFound", 404), ("ReferenceNotFound", 400), ("ResourceGone", 410)] {
            assert!(refused(call, status, code).is_gone());
        }
        let page = Answer { status: StatusCode::NOT_FOUND, headers: HeaderMap::new(), body: b"<html>".to_vec() };
        assert!(!Error::refused(call, &page).is_gone(), "a page of somebody in between proves nothing");
    }
}
