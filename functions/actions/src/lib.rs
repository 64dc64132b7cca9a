//! What bot platforms call: `POST /botpress/{key}`, `POST /botcopy`, and `GET /health` for monitors.
//!
//! The function only parses, authenticates, calls the handoff and words the answer.

mod answer;
mod routes;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use lambda_http::{Body, Request, RequestExt as _};
use shared::clock::Timestamp;
use shared::handoff::Handoff;

/// Kept free at the end of an invocation, to word the answer and to hand it over.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// Answers one request.
///
/// # Errors
///
/// Never: every failure is an answer.
pub async fn answer(handoff: Arc<Handoff>, request: Request) -> Result<Response<Body>, Infallible> {
    let path = request.raw_http_path().to_owned();
    // The last segments decide, so that a stage in front of them does no harm.
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    Ok(match (request.method(), segments.as_slice()) {
        (&Method::GET, [.., "health"]) => answer::text(StatusCode::OK, "ok"),
        (&Method::POST, [.., "botpress", key]) => {
            let deadline = deadline(&handoff, &request);
            Box::pin(routes::botpress::respond(&handoff, &request, key, deadline)).await
        }
        (&Method::POST, [.., "botcopy"]) => Box::pin(routes::botcopy::respond(&handoff, &request)).await,
        _ => answer::text(StatusCode::NOT_FOUND, "not found"),
    })
}

/// Until when the answer has to be there.
fn deadline(handoff: &Handoff, request: &Request) -> Timestamp {
    let told = request.lambda_context_ref().and_then(|context| i64::try_from(context.deadline).ok());
    // Without a context nobody waits longer than API Gateway does.
    let end = told.map_or_else(|| handoff.clock.now() + Duration::from_secs(29), Timestamp::from_unix_millis);
    end - ANSWER_MARGIN
}
