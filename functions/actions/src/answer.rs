//! Answers as HTTP.

use http::{Response, StatusCode};
use serde::Serialize;
use shared::api::event::{response, text};
use shared::botpress::reply::{self, ErrorBody, ErrorKind};
use shared::clock::Timestamp;
use shared::handoff::{Error, Rejection};

/// A JSON document.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response<String> {
    match serde_json::to_string(body) {
        Ok(body) => response(status, "application/json", body),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written"),
    }
}

/// The failure of a verb: 500 if a repeated call may succeed, else 400.
pub(crate) fn failure(error: &Error, now: Timestamp) -> Response<String> {
    let body = ErrorBody::new(error_id(now), ErrorKind::Runtime, &format!("{error:#}"));
    tracing::warn!(error = %error, error.id = body.id, "the operation failed");
    let status = if error.is_retryable() { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::BAD_REQUEST };
    json(status, &body)
}

/// A request that cannot be understood.
pub(crate) fn invalid_payload(message: &str, now: Timestamp) -> Response<String> {
    let body = ErrorBody::new(error_id(now), ErrorKind::InvalidPayload, message);
    tracing::warn!(error.message = body.message, error.id = body.id, "the request is malformed");
    json(StatusCode::BAD_REQUEST, &body)
}

/// A request that exceeds the size limit.
pub(crate) fn too_large(now: Timestamp) -> Response<String> {
    const SENTENCE: &str = "The call is larger than this integration accepts: 6 MB for an action, 2 MB for anything else. Hand the \
                            conversation over with a shorter history, or send the message in parts.";
    let body = ErrorBody::new(error_id(now), ErrorKind::InvalidPayload, SENTENCE);
    tracing::warn!(error.id = body.id, "the request is too large");
    json(StatusCode::PAYLOAD_TOO_LARGE, &body)
}

/// A call that is not authentic, or not for this stack; the response reveals no more than that.
pub(crate) fn turned_away(rejection: &Rejection) -> Response<String> {
    tracing::warn!(reason = %rejection, "a call was turned away");
    match rejection {
        Rejection::Unauthentic(_) => text(StatusCode::UNAUTHORIZED, "unauthorized"),
        Rejection::Foreign => text(StatusCode::FORBIDDEN, "forbidden"),
        Rejection::Malformed => text(StatusCode::BAD_REQUEST, "malformed"),
        Rejection::NotServed => text(StatusCode::NOT_FOUND, "not found"),
        Rejection::Secrets(_) | Rejection::Late => text(StatusCode::INTERNAL_SERVER_ERROR, "try again"),
    }
}

fn error_id(now: Timestamp) -> String {
    let [a, b, c, d, ..] = uuid::Uuid::new_v4().into_bytes();
    reply::error_id(now, [a, b, c, d])
}
