//! `POST /livechat`: LiveChat's webhooks.

use http::{Response, StatusCode};
use shared::api::event::text;
use shared::clock::Timestamp;
use shared::handoff::{Handoff, Rejection};

/// Far larger than any event of LiveChat, whose longest text is 16 KB, and small enough for a waiting item to fit into the
/// table.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// Accepts one delivery; LiveChat considers a delivery accepted only if the status is 200.
pub(crate) async fn answer(handoff: &Handoff, body: &[u8], deadline: Timestamp) -> Response<String> {
    if body.len() > MAX_BODY_BYTES {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "too large");
    }
    let event = match handoff.authenticate_livechat(body).await {
        Ok(event) => event,
        Err(rejection) => return turned_away(&rejection),
    };
    match handoff.receive(&event, deadline).await {
        Ok(received) => {
            tracing::info!(livechat.event = event.name(), outcome = ?received, "a webhook was answered");
            text(StatusCode::OK, "ok")
        }
        Err(error) => {
            tracing::error!(error = %error, livechat.event = event.name(), "a webhook could not be made durable");
            text(StatusCode::INTERNAL_SERVER_ERROR, "try again")
        }
    }
}

fn turned_away(rejection: &Rejection) -> Response<String> {
    tracing::warn!(reason = %rejection, "a webhook was turned away");
    match rejection {
        Rejection::Unauthentic(_) => text(StatusCode::UNAUTHORIZED, "unauthorized"),
        Rejection::Foreign => text(StatusCode::FORBIDDEN, "forbidden"),
        Rejection::NotServed => text(StatusCode::NOT_FOUND, "not found"),
        Rejection::Malformed => text(StatusCode::BAD_REQUEST, "malformed"),
        Rejection::Secrets(_) | Rejection::Late => text(StatusCode::INTERNAL_SERVER_ERROR, "try again"),
    }
}
