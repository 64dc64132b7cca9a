//! The function that bot platforms call, `POST /botpress/{key}` and `POST /botcopy`, and monitors, `GET /health`.
//!
//! It only parses, authenticates, calls the handoff and words the answer.

mod answer;
mod routes;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;
use shared::api::event::{self, Request, text};
use shared::api::route::{self, Route};
use shared::clock::Timestamp;
use shared::handoff::Handoff;

/// Reserved at the end of an invocation for wording and returning the answer.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// The caller that a route serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A monitor.
    Health,
    /// Botpress Cloud.
    Botpress,
    /// Botcopy.
    Botcopy,
}

/// All routes of the function.
pub static ROUTES: [Route<Endpoint>; 3] = [
    Route::new(Method::GET, "/health", Endpoint::Health),
    Route::new(Method::POST, "/botpress/{key}", Endpoint::Botpress),
    Route::new(Method::POST, "/botcopy", Endpoint::Botcopy),
];

/// Answers one request.
///
/// # Errors
///
/// Never: every failure is a response.
pub async fn handle(handoff: Arc<Handoff>, event: LambdaEvent<Value>) -> Result<Value, Infallible> {
    let (event, context) = event.into_parts();
    let response = match Request::read(event) {
        Some(request) => Box::pin(answer(&handoff, &request, deadline(&handoff, &context))).await,
        None => text(StatusCode::BAD_REQUEST, "malformed"),
    };
    Ok(event::answer(response))
}

async fn answer(handoff: &Handoff, request: &Request, deadline: Timestamp) -> Response<String> {
    match route::find(&ROUTES, &request.method, &request.path) {
        Some((Endpoint::Health, _)) => text(StatusCode::OK, &format!("ok {}", *shared::VERSION)),
        Some((Endpoint::Botpress, key)) => Box::pin(routes::botpress::respond(handoff, request, key, deadline)).await,
        Some((Endpoint::Botcopy, _)) => Box::pin(routes::botcopy::respond(handoff, request)).await,
        None => text(StatusCode::NOT_FOUND, "not found"),
    }
}

/// When the answer has to be ready.
fn deadline(handoff: &Handoff, context: &Context) -> Timestamp {
    let end = match i64::try_from(context.deadline) {
        Ok(millis) if millis > 0 => Timestamp::from_unix_millis(millis),
        // Without a deadline, API Gateway's own timeout applies.
        _ => handoff.clock.now() + Duration::from_secs(29),
    };
    end - ANSWER_MARGIN
}
