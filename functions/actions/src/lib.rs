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
use shared::route::{self, Route};

/// Kept free at the end of an invocation, to word the answer and to hand it over.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// Who is answered at a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A monitor.
    Health,
    /// Botpress Cloud.
    Botpress,
    /// Botcopy.
    Botcopy,
}

/// Everything that is served.
pub static ROUTES: [Route<Endpoint>; 3] = [
    Route::new(Method::GET, "/health", Endpoint::Health),
    Route::new(Method::POST, "/botpress/{key}", Endpoint::Botpress),
    Route::new(Method::POST, "/botcopy", Endpoint::Botcopy),
];

/// Answers one request.
///
/// # Errors
///
/// Never: every failure is an answer.
pub async fn answer(handoff: Arc<Handoff>, request: Request) -> Result<Response<Body>, Infallible> {
    let path = request.raw_http_path().to_owned();
    Ok(match route::find(&ROUTES, request.method(), &path) {
        Some((Endpoint::Health, _)) => answer::text(StatusCode::OK, "ok"),
        Some((Endpoint::Botpress, key)) => {
            let deadline = deadline(&handoff, &request);
            Box::pin(routes::botpress::respond(&handoff, &request, key, deadline)).await
        }
        Some((Endpoint::Botcopy, _)) => Box::pin(routes::botcopy::respond(&handoff, &request)).await,
        None => answer::text(StatusCode::NOT_FOUND, "not found"),
    })
}

/// Until when the answer has to be there.
fn deadline(handoff: &Handoff, request: &Request) -> Timestamp {
    let told = request.lambda_context_ref().and_then(|context| i64::try_from(context.deadline).ok());
    // Without a context nobody waits longer than API Gateway does.
    let end = told.map_or_else(|| handoff.clock.now() + Duration::from_secs(29), Timestamp::from_unix_millis);
    end - ANSWER_MARGIN
}
