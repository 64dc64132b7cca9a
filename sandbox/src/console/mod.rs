//! The sandbox in a browser: one page over one stream and the documented routes (`docs/sandbox.md`).
//!
//! The page is thin: it reads `GET /events` and `GET /state`, and does nothing that a documented route cannot do.

mod agents;
mod attached;
mod doctor;
mod faults;
mod lanes;
mod stream;
#[cfg(test)]
mod tests;
mod trouble;
mod users;
mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde_json::{Value, json};
use shared::clock::{ManualClock, Timestamp};
use shared::fail_point::Plan;

use crate::error::Error;
use crate::serve::{self, Shown};
use crate::stack::Stack;
use faults::Asking;

/// Everything is loaded from here, and only the sandbox's own scripts run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The state on which the page and its routes work.
#[derive(Debug)]
pub(crate) struct Console {
    pub stack: Arc<Stack>,
    /// The steps at which functions in this process die.
    pub plan: Plan,
    /// The clock, if people may move it.
    pub manual: Option<ManualClock>,
    /// The parts of the sandbox that are shown.
    pub shown: Shown,
    faults: Mutex<Asking>,
    swept: Mutex<Option<(Timestamp, Result<Value, String>)>>,
}

impl Console {
    pub(crate) fn new(stack: Arc<Stack>, plan: Plan, manual: Option<ManualClock>, shown: Shown) -> Self {
        Self { stack, plan, manual, shown, faults: Mutex::default(), swept: Mutex::default() }
    }

    /// Runs one sweep, and stores its result for the page.
    pub(crate) async fn sweep(&self) -> Result<Value, Error> {
        let outcome = self.stack.sweep().await;
        let kept = outcome.as_ref().map(Clone::clone).map_err(ToString::to_string);
        *lock(&self.swept) = Some((self.stack.now(), kept));
        outcome
    }
}

/// The page, and every route that it or another client calls.
pub(crate) fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/page.css", get(style))
        .route("/page.js", get(script))
        .route("/events", get(stream::events))
        .route("/state", get(view::state))
        .route("/stack", get(serve::description))
        .route("/sweep", post(sweep))
        .route("/doctor", post(doctor::doctor))
        .route("/faults", get(faults::list).post(faults::add).delete(faults::clear))
        .route("/faults/{id}", axum::routing::delete(faults::end))
        .route("/credentials", post(trouble::credentials))
        .route("/functions/restart", post(trouble::restart))
        .route("/functions/kill", post(trouble::kill))
        .route("/clock", post(trouble::clock))
        .route("/journal", get(journal))
        .with_state(Arc::clone(&console))
        .merge(users::router(Arc::clone(&console.stack)))
        .merge(agents::router(Arc::clone(&console.stack)))
}

/// Refuses requests that a foreign page could send: a host that is not this machine, another origin, a body that is not JSON.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    match objection(request.method(), request.headers()) {
        None => next.run(request).await,
        Some((status, reason)) => (status, Json(json!({ "refused": reason }))).into_response(),
    }
}

fn objection(method: &Method, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(HOST).unwrap_or_default();
    if !is_loopback(host) {
        return Some((StatusCode::FORBIDDEN, "only requests from this machine to a loopback address are served"));
    }
    if text(ORIGIN).is_some_and(|origin| origin.strip_prefix("http://") != Some(host)) {
        return Some((StatusCode::FORBIDDEN, "requests of another origin are refused"));
    }
    let is_json = || text(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"));
    let has_body = headers.get(http::header::CONTENT_LENGTH).is_some_and(|length| length != "0")
        || headers.contains_key(http::header::TRANSFER_ENCODING);
    let needs_json = method != Method::GET && has_body;
    (needs_json && !is_json()).then_some((StatusCode::UNSUPPORTED_MEDIA_TYPE, "a body must be application/json"))
}

/// Returns whether a `Host` names this machine by a loopback address, with or without a port.
fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.strip_prefix("[::1]") {
        Some(rest) => ("[::1]", rest),
        None => host.find(':').map_or((host, ""), |colon| host.split_at(colon)),
    };
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let has_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    has_port && ["127.0.0.1", "localhost", "[::1]"].contains(&name)
}

async fn page() -> Response {
    file("text/html; charset=utf-8", include_str!("page.html"))
}

async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("page.css"))
}

async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("page.js"))
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let headers = [(CONTENT_TYPE, content_type), (CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-store")];
    (headers, text).into_response()
}

async fn journal(State(console): State<Arc<Console>>) -> Response {
    Json(console.stack.journal.entries()).into_response()
}

async fn sweep(State(console): State<Arc<Console>>) -> Response {
    match console.sweep().await {
        Ok(swept) => Json(swept).into_response(),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

pub(crate) fn refused(status: StatusCode, reason: &str) -> Response {
    (status, Json(json!({ "refused": reason }))).into_response()
}

/// Reports that an action was done, or why it failed.
pub(crate) fn done<T, E: std::fmt::Display>(outcome: Result<T, E>) -> Response {
    match outcome {
        Ok(_) => Json(json!({ "done": true })).into_response(),
        Err(error) => refused(StatusCode::CONFLICT, &error.to_string()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
