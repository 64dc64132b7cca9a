//! `POST /botcopy`: the live-chat endpoint of Botcopy bots, both steps.

use http::{Response, StatusCode};
use shared::api::event::{Request, text};
use shared::handoff::{BotcopyProof, Handoff};

use crate::answer;

/// Lambda's own limit: most of a history's size is Dialogflow CX's diagnostic data, which is dropped while reading.
const MAX_BODY_BYTES: usize = 6 * 1024 * 1024;

/// Answers one call of Botcopy.
pub(crate) async fn respond(handoff: &Handoff, request: &Request) -> Response<String> {
    let deadline = handoff.botcopy_deadline();
    let body = request.body.as_slice();
    if body.len() > MAX_BODY_BYTES {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "too large");
    }
    match handoff.authenticate_botcopy(BotcopyProof { headers: &request.headers, body }, deadline).await {
        Ok(call) => {
            let begun = handoff.clock.now();
            let Some(answer) = handoff.botcopy_call(&call, deadline).await else {
                return text(StatusCode::SERVICE_UNAVAILABLE, "try again");
            };
            let duration_ms = handoff.clock.now().since(begun).as_secs_f64() * 1_000.0;
            tracing::info!(paused = answer.paused, duration_ms, "a call of Botcopy was answered");
            answer::json(StatusCode::OK, &answer)
        }
        Err(rejection) => answer::turned_away(&rejection),
    }
}
