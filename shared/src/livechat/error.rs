//! What LiveChat's refusals mean to the service.

use serde_json::Value;

use super::Region;
use crate::http::{Answer, Call, CallError, Failure, Refusal, Vendor, repaired};
use crate::model::vendor::LIVECHAT;

/// The accounts service's only call.
pub(super) const TOKEN_CALL: &str = "customer/token";

/// LiveChat, as the vendor of a call.
#[derive(Debug)]
pub struct LiveChat;

impl Vendor for LiveChat {
    const NAME: &'static str = LIVECHAT;
}

/// A call to LiveChat that did not succeed.
///
/// Use its methods rather than matching codes: LiveChat documents the codes (`error.type`) but not their statuses, and several business
/// failures share the code `validation`.
pub type Error = CallError<LiveChat>;

impl Error {
    /// Reads `{"error":{"type","message","data":{"region"}}}`, or the fields of it that are present.
    pub(super) fn refused(call: Call, answer: &Answer) -> Self {
        let body: Value = serde_json::from_slice(&repaired(&answer.body)).unwrap_or_default();
        let text = |pointer| body.pointer(pointer).and_then(Value::as_str);
        let debug_id = answer.headers.get("x-debug-id").and_then(|id| id.to_str().ok());
        let refusal = Refusal::new(answer, text("/error/type"), text("/error/message"), debug_id);
        Self::of_refusal(call, Refusal { elsewhere: text("/error/data/region").map(str::to_owned), ..refusal })
    }

    /// Reads the flat form of the accounts service: `{"oauth_exception","exception_description"}`.
    pub(super) fn refused_by_accounts(call: Call, answer: &Answer) -> Self {
        let body: Value = serde_json::from_slice(&repaired(&answer.body)).unwrap_or_default();
        let text = |name| body.get(name).and_then(Value::as_str);
        let debug_id = answer.headers.get("x-debug-id").and_then(|id| id.to_str().ok());
        let refusal = Refusal::new(answer, text("oauth_exception"), text("exception_description"), debug_id);
        Self::of_refusal(call, refusal)
    }

    /// Whether the failure is transient: the same call may succeed later. Check [`outcome_unknown`](Self::outcome_unknown) before
    /// repeating it.
    pub fn is_retryable(&self) -> bool {
        const LATER: [&str; 6] = [
            "internal",
            "request_timeout",
            "server_error",
            "service_unavailable",
            "temporarily_unavailable",
            "too_many_requests",
        ];
        self.holds(|refusal| refusal.may_pass(&LATER), Failure::is_transient)
    }

    /// Whether LiveChat may still carry out a call that opens, fills or closes a thread: its answer is missing, or a proxy in front of it
    /// has answered. A call that LiveChat itself has answered is finished.
    pub fn may_be_at_work(&self) -> bool {
        let matters = !self.call().repeatable || self.call().name == "deactivate_chat";
        let is_of_a_proxy = |refusal: &Refusal| refusal.code.is_none() && refusal.status.is_server_error();
        matters && self.holds(is_of_a_proxy, Failure::may_be_unfinished)
    }

    /// Whether LiveChat may have carried out a call that must not happen twice, so that the chat must be read before anything is sent
    /// again.
    ///
    /// Always false for calls that are safe to repeat. A refused connection and a rate limit are known outcomes: nothing happened.
    pub fn outcome_unknown(&self) -> bool {
        let broke_off = |refusal: &Refusal| {
            let rate_limited = refusal.has_code(&["too_many_requests", "misdirected_request"]);
            let unfinished = refusal.has_code(&["internal", "request_timeout"]) || refusal.status.as_u16() == 408;
            !rate_limited && (unfinished || refusal.status.is_server_error())
        };
        !self.call().repeatable && self.holds(broke_off, Failure::may_have_happened)
    }

    /// Whether the call sends a message.
    pub fn is_of_sending(&self) -> bool {
        self.call().name == "send_event"
    }

    /// Whether the call sends a message or looks for one, so that this one message can be the cause.
    pub fn is_of_one_message(&self) -> bool {
        self.is_of_sending() || self.call().name == "get_chat"
    }

    /// Whether the token is invalid or has expired.
    pub fn is_authentication(&self) -> bool {
        self.is("authentication", 401)
    }

    /// Whether LiveChat refuses every call of the account at present, or of the service: because of the licence, the app, or the version.
    ///
    /// A refusal of the accounts service concerns the service's client id, redirect URI or organization, unless its code names one
    /// customer's cookies (`invalid_grant`).
    pub fn is_account_refused(&self) -> bool {
        const BY_THE_APIS: [&str; 4] =
            ["license_expired", "license_not_found", "unsupported_version", "wrong_product_version"];
        const BY_THE_ACCOUNTS_SERVICE: [&str; 3] = ["access_denied", "invalid_client", "unauthorized_client"];
        let is_of_us = self.is_refused_token() && !self.is_lost_customer();
        let is_named = self.has_code(&BY_THE_APIS) || self.has_code(&BY_THE_ACCOUNTS_SERVICE);
        is_named || is_of_us || self.misdirected_region().is_some()
    }

    /// Whether LiveChat limits the rate of calls.
    pub fn is_rate_limited(&self) -> bool {
        self.is("too_many_requests", 429)
    }

    /// Whether the chat or other resource does not exist. An HTML page with the status 404 does not count.
    pub fn is_not_found(&self) -> bool {
        self.has_code(&["not_found"])
    }

    /// Whether the credential is valid but lacks a scope, a role or a group for this call.
    pub fn is_forbidden(&self) -> bool {
        self.has_code(&["authorization", "missing_access"])
    }

    /// Whether LiveChat reports that the object of the call no longer exists, or not for its caller: deleted, anonymized, or out of a
    /// group's reach. No code says which, so it is a reason to check and no proof.
    pub fn is_gone(&self) -> bool {
        self.has_code(&["chat_anonymized", "not_found", "missing_access", "authorization"])
            || self.says(&["not found", "does not exist", "anonymized"])
    }

    /// Whether the accounts service refused a token, with any code, since it documents hardly any.
    pub fn is_refused_token(&self) -> bool {
        self.refusal().is_some() && self.call().name == TOKEN_CALL && !self.is_retryable()
    }

    /// Whether the accounts service reports that it no longer knows the customer of the cookies.
    pub fn is_lost_customer(&self) -> bool {
        self.is_refused_token() && self.has_code(&["invalid_grant", "resource_not_found"])
    }

    /// Whether LiveChat rejected a parameter.
    pub fn is_invalid(&self) -> bool {
        self.has_code(&["validation"])
    }

    /// Whether a limit on the number of objects is reached.
    pub fn is_limit_reached(&self) -> bool {
        self.has_code(&["limit_reached"])
    }

    /// Whether the group does not exist.
    pub fn is_group_not_found(&self) -> bool {
        self.has_code(&["group_not_found"])
    }

    /// Whether no agent of the group can take a chat now.
    pub fn is_group_unavailable(&self) -> bool {
        self.has_code(&["groups_offline", "group_offline", "group_unavailable"])
    }

    /// Whether the chat has no open thread. For a call that closes the chat, this is a success.
    ///
    /// The code is `chat_inactive`. Older sentences are accepted as well, because it is not documented that they always come with that
    /// code.
    pub fn is_chat_inactive(&self) -> bool {
        self.has_code(&["chat_inactive"])
            || self.says(&["chat not active", "chat is not active", "no active chat thread", "chat is inactive"])
    }

    /// Whether a start or resume failed because the customer already has a chat, or the chat already has an open thread.
    ///
    /// LiveChat documents this for its browser SDK only (`CHAT_LIMIT_REACHED`, `CHAT_ALREADY_ACTIVE`), not the codes of the Web API. This
    /// accepts those names in lower case, `limit_reached`, `already_exists`, and `validation` with a matching sentence. A wrong "yes"
    /// costs one `list_chats`, whose answer then decides.
    pub fn is_chat_already_active_or_exists(&self) -> bool {
        let opens_a_thread = ["start_chat", "resume_chat"].contains(&self.call().name);
        opens_a_thread
            && (self.has_code(&["limit_reached", "chat_limit_reached", "chat_already_active", "already_exists"])
                || self.says(&["already active", "already exists", "already has", "limit reached", "chat is active"]))
    }

    /// The data centre that LiveChat named to call instead.
    pub fn misdirected_region(&self) -> Option<Region> {
        let elsewhere = self.refusal()?.elsewhere.as_deref();
        elsewhere.filter(|_| self.has_code(&["misdirected_request"])).and_then(Region::parse)
    }

    /// Whether the refusal has no code, or `validation`, and its sentence contains one of `phrases`.
    fn says(&self, phrases: &[&str]) -> bool {
        self.refusal().is_some_and(|refusal| {
            let vague = refusal.code.as_deref().is_none_or(|code| code == "validation");
            let message = refusal.message.as_deref().unwrap_or_default().to_lowercase();
            vague && phrases.iter().any(|phrase| message.contains(phrase))
        })
    }
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, StatusCode};
    use serde_json::json;

    use super::*;

    const ONCE: Call = Call::once("start_chat");
    const REPEATABLE: Call = Call::repeatable("get_chat");

    fn refused(call: Call, status: u16, kind: &str, message: &str) -> Error {
        let body = json!({"error": {"type": kind, "message": message}}).to_string().into_bytes();
        let status = StatusCode::from_u16(status).unwrap();
        Error::refused(call, &Answer { status, headers: HeaderMap::new(), body })
    }

    #[test]
    fn passing_trouble_is_retryable_and_says_whether_the_call_may_have_happened() {
        // code, status, retryable, outcome unknown of a call that must happen once
        let cases = [
            ("too_many_requests", 429, true, false),
            ("request_timeout", 504, true, true),
            ("request_timeout", 408, true, true),
            ("service_unavailable", 503, true, true),
            ("internal", 500, true, true),
            ("authentication", 401, false, false),
            ("misdirected_request", 421, false, false),
            ("chat_inactive", 422, false, false),
            ("validation", 400, false, false),
        ];
        for (code, status, retryable, unknown) in cases {
            let error = refused(ONCE, status, code, "");
            assert_eq!((error.is_retryable(), error.outcome_unknown()), (retryable, unknown), "{code} {status}");
            assert!(!refused(REPEATABLE, status, code, "").outcome_unknown(), "{code} {status}");
        }
    }

    #[test]
    fn a_refusal_of_the_whole_account_is_none_of_one_call() {
        let cases = [
            ("license_expired", 403, true),
            ("license_not_found", 404, true),
            ("unsupported_version", 400, true),
            ("unauthorized_client", 401, true),
            ("access_denied", 401, true),
            ("authorization", 403, false),
            ("missing_access", 403, false),
            ("customer_banned", 403, false),
            ("invalid_grant", 401, false),
            ("authentication", 401, false),
        ];
        for (code, status, expected) in cases {
            assert_eq!(refused(ONCE, status, code, "").is_account_refused(), expected, "{code}");
        }
    }

    #[test]
    fn a_page_is_not_what_livechat_says_whatever_its_status() {
        for status in [302, 400, 403, 404, 422] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = Error::refused(ONCE, &Answer { status, headers: HeaderMap::new(), body: b"<html>".to_vec() });
            assert!(error.is_retryable() && !error.is_not_found() && !error.outcome_unknown(), "{error}");
        }
    }

    #[test]
    fn the_code_decides_before_the_status() {
        assert!(refused(ONCE, 400, "authentication", "").is_authentication());
        assert!(!refused(ONCE, 401, "validation", "").is_authentication());
        assert!(refused(ONCE, 400, "not_found", "").is_not_found());
        assert!(!refused(ONCE, 404, "group_not_found", "").is_not_found());
        assert!(refused(ONCE, 404, "group_not_found", "").is_group_not_found());
    }

    #[test]
    fn every_form_of_an_inactive_chat_is_recognised() {
        let cases = [
            ("chat_inactive", "Chat is inactive", true),
            ("validation", "Chat not active", true),
            ("validation", "No active chat thread", true),
            ("validation", "`id` is required", false),
            ("authorization", "Chat not active", false),
        ];
        for (code, message, expected) in cases {
            assert_eq!(refused(ONCE, 422, code, message).is_chat_inactive(), expected, "{code} {message}");
        }
    }

    #[test]
    fn every_form_of_something_that_is_gone_is_recognised() {
        for (code, message, expected) in [
            ("not_found", "Not found", true),
            ("chat_anonymized", "Chat anonymized", true),
            ("missing_access", "Missing access", true),
            ("authorization", "Requester is not user of the chat", true),
            ("validation", "Chat `C1` not found", true),
            ("validation", "`text` is too long", false),
            ("chat_inactive", "Chat is inactive", false),
            ("customer_banned", "Customer is banned", false),
            ("group_not_found", "Group not found", false),
            ("license_expired", "License expired", false),
        ] {
            assert_eq!(refused(ONCE, 422, code, message).is_gone(), expected, "{code}");
        }
        let of_accounts = |code: &str| {
            let body = json!({"oauth_exception": code}).to_string().into_bytes();
            let answer = Answer { status: StatusCode::UNAUTHORIZED, headers: HeaderMap::new(), body };
            Error::refused_by_accounts(Call::repeatable(TOKEN_CALL), &answer)
        };
        for (code, is_lost) in [("invalid_grant", true), ("resource_not_found", true), ("unauthorized_client", false)] {
            assert_eq!((of_accounts(code).is_refused_token(), of_accounts(code).is_lost_customer()), (true, is_lost));
        }
        assert!(!refused(ONCE, 401, "invalid_grant", "").is_lost_customer());
    }

    #[test]
    fn a_second_chat_is_recognised_on_the_calls_that_open_one() {
        let resume = Call::once("resume_chat");
        let cases = [
            (ONCE, "limit_reached", "", true),
            (resume, "validation", "Chat is already active", true),
            (ONCE, "validation", "Customer already has a chat", true),
            (ONCE, "validation", "Chat limit reached", true),
            (ONCE, "validation", "Wrong format of request", false),
            (ONCE, "groups_offline", "Groups offline", false),
            (Call::once("send_event"), "limit_reached", "", false),
        ];
        for (call, code, message, expected) in cases {
            let error = refused(call, 422, code, message);
            assert_eq!(error.is_chat_already_active_or_exists(), expected, "{error}");
        }
    }

    #[test]
    fn nobody_in_the_group_has_three_codes() {
        for code in ["groups_offline", "group_offline", "group_unavailable"] {
            assert!(refused(ONCE, 422, code, "").is_group_unavailable(), "{code}");
        }
        assert!(!refused(ONCE, 422, "agent_offline", "").is_group_unavailable());
    }
}
