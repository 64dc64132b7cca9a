//! The function that LiveChat calls, `POST /livechat`, the scheduler, for the sweep, and monitors, `GET /health`.
//!
//! One function gets two kinds of events; their shape distinguishes them.

mod livechat;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use lambda_runtime::{Context, Error, LambdaEvent};
use serde_json::{Value, json};
use shared::api::event::{self, Request, text};
use shared::api::route::{self, Route};
use shared::clock::Timestamp;
use shared::handoff::Handoff;

/// Reserved at the end of an invocation for returning the answer.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// How long LiveChat waits for an answer before it sends the event again.
const LIVECHAT_PATIENCE: Duration = Duration::from_secs(10);

/// The caller that a route serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A monitor.
    Health,
    /// LiveChat.
    LiveChat,
}

/// All routes of the function. The template sends `GET /health` to the function actions, because a route leads to one
/// function.
pub static ROUTES: [Route<Endpoint>; 2] =
    [Route::new(Method::GET, "/health", Endpoint::Health), Route::new(Method::POST, "/livechat", Endpoint::LiveChat)];

/// Handles one invocation, an HTTP request or a tick of the schedule.
///
/// # Errors
///
/// If the sweep could not begin. The scheduler does not repeat it: the next one runs a minute later.
pub async fn handle(handoff: Arc<Handoff>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (event, context) = event.into_parts();
    if event.get("requestContext").is_none() {
        return Box::pin(sweep(&handoff, &context)).await;
    }
    let response = match Request::read(event) {
        Some(request) => Box::pin(answer(&handoff, &request, &context)).await,
        None => text(StatusCode::BAD_REQUEST, "malformed"),
    };
    Ok(event::answer(response))
}

async fn answer(handoff: &Handoff, request: &Request, context: &Context) -> Response<String> {
    match route::find(&ROUTES, &request.method, &request.path) {
        Some((Endpoint::Health, _)) => text(StatusCode::OK, &format!("ok {}", *shared::VERSION)),
        Some((Endpoint::LiveChat, _)) => {
            let patience_end = handoff.clock.now() + LIVECHAT_PATIENCE;
            let deadline = end(handoff, context).min(patience_end) - ANSWER_MARGIN;
            livechat::answer(handoff, &request.body, deadline).await
        }
        None => text(StatusCode::NOT_FOUND, "not found"),
    }
}

async fn sweep(handoff: &Handoff, context: &Context) -> Result<Value, Error> {
    let swept = handoff.sweep(end(handoff, context) - ANSWER_MARGIN).await?;
    // In an idle stack's log the line with the sweep's metrics is enough.
    if swept.due > 0 {
        tracing::info!(sweep.due = swept.due, sweep.done = swept.done, "the sweep is done");
    }
    Ok(json!({ "due": swept.due, "done": swept.done }))
}

fn end(handoff: &Handoff, context: &Context) -> Timestamp {
    match i64::try_from(context.deadline) {
        Ok(millis) if millis > 0 => Timestamp::from_unix_millis(millis),
        _ => handoff.clock.now() + LIVECHAT_PATIENCE,
    }
}
