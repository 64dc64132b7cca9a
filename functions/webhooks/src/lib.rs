//! What LiveChat calls, `POST /livechat`, what the scheduler calls, the sweep, and `GET /health` for monitors.
//!
//! One function has two kinds of events; their shape tells them apart.

mod livechat;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Body, Request, RequestExt as _, Service as _};
use lambda_runtime::{Context, Error, LambdaEvent, service_fn};
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::handoff::Handoff;
use shared::route::{self, Route};

/// Kept free at the end of an invocation, to hand the answer over.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

/// How long LiveChat waits for an answer before it sends the event again.
const LIVECHAT_PATIENCE: Duration = Duration::from_secs(10);

/// Who is answered at a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A monitor.
    Health,
    /// LiveChat.
    LiveChat,
}

/// Everything that is served. The template sends `GET /health` to the function actions, since a route leads to one function.
pub static ROUTES: [Route<Endpoint>; 2] =
    [Route::new(Method::GET, "/health", Endpoint::Health), Route::new(Method::POST, "/livechat", Endpoint::LiveChat)];

/// Handles one invocation, an HTTP request or a tick of the schedule.
///
/// # Errors
///
/// When the event is neither, or the sweep could not even begin: the scheduler then tries again.
pub async fn handle(handoff: Arc<Handoff>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    // Boxed, since all that follows nests deeper than the compiler cares to follow.
    if event.payload.get("requestContext").is_some() {
        Box::pin(answer_event(handoff, event)).await
    } else {
        Box::pin(sweep(&handoff, &event.context)).await
    }
}

async fn answer_event(handoff: Arc<Handoff>, event: LambdaEvent<Value>) -> Result<Value, Error> {
    // The request is read through a raw value, which only text can give.
    let request: LambdaRequest = serde_json::from_str(&event.payload.to_string())?;
    let mut app = Adapter::from(service_fn(move |request| answer(Arc::clone(&handoff), request)));
    let response = app.call(LambdaEvent::new(request, event.context)).await?;
    Ok(serde_json::to_value(response)?)
}

async fn answer(handoff: Arc<Handoff>, request: Request) -> Result<Response<Body>, Error> {
    let path = request.raw_http_path().to_owned();
    Ok(match route::find(&ROUTES, request.method(), &path) {
        Some((Endpoint::Health, _)) => text(StatusCode::OK, "ok"),
        Some((Endpoint::LiveChat, _)) => {
            let invocation_end = request.lambda_context_ref().map(|context| end(&handoff, context));
            let patience_end = handoff.clock.now() + LIVECHAT_PATIENCE;
            let deadline = invocation_end.map_or(patience_end, |end| end.min(patience_end)) - ANSWER_MARGIN;
            livechat::answer(&handoff, request.body(), deadline).await
        }
        None => text(StatusCode::NOT_FOUND, "not found"),
    })
}

async fn sweep(handoff: &Handoff, context: &Context) -> Result<Value, Error> {
    let swept = handoff.sweep(end(handoff, context) - ANSWER_MARGIN).await?;
    tracing::info!(sweep.due = swept.due, sweep.done = swept.done, "the sweep is done");
    Ok(json!({ "due": swept.due, "done": swept.done }))
}

fn end(handoff: &Handoff, context: &Context) -> Timestamp {
    match i64::try_from(context.deadline) {
        Ok(millis) if millis > 0 => Timestamp::from_unix_millis(millis),
        _ => handoff.clock.now() + LIVECHAT_PATIENCE,
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}
