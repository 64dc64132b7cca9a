//! The Runtime API as one instance sees it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use lambda_runtime::Diagnostic;
use serde_json::{Value, json};
use shared::clock::Clock;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::cause::{Cause, Work};
use crate::invocation::{Error, context};

/// Lambda's limit for the answer of an invocation.
const MAX_ANSWER_BYTES: usize = 6 * 1024 * 1024;

/// An event and the sender for its answer.
#[derive(Debug)]
pub(super) struct Invocation {
    pub event: Value,
    pub answer: Answer,
    /// The trace id for the runtime; a new id if absent.
    pub trace_id: Option<String>,
    /// The call on whose behalf the function is invoked.
    pub cause: Option<Cause>,
}

/// Receives the outcome of an invocation.
type Answer = oneshot::Sender<Result<Value, Error>>;

/// Invocations that wait for a free instance; copies are the same queue.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    put: mpsc::UnboundedSender<Invocation>,
    take: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>>,
}

impl Default for Queue {
    fn default() -> Self {
        let (put, take) = mpsc::unbounded_channel();
        Self { put, take: Arc::new(tokio::sync::Mutex::new(take)) }
    }
}

impl Queue {
    pub(super) fn put(&self, invocation: Invocation) {
        // Fails only when the receiver is dropped, and `self` keeps it.
        let _ = self.put.send(invocation);
    }

    /// Waits for the next invocation whose caller is still waiting.
    async fn take(&self) -> Option<Invocation> {
        let mut take = self.take.lock().await;
        loop {
            let invocation = take.recv().await?;
            if !invocation.answer.is_closed() {
                return Some(invocation);
            }
        }
    }
}

/// The state of one instance's Runtime API; copies share it.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    name: String,
    timeout: Duration,
    queue: Queue,
    status: watch::Sender<Status>,
    slot: Arc<Mutex<Slot>>,
    work: Work,
}

/// The instance's current invocation.
#[derive(Debug, Default)]
struct Slot {
    current: Option<Current>,
    /// The process is dead, so it gets no further invocation.
    is_closed: bool,
}

/// The progress of an instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    /// When it polled for the first time.
    pub first_poll: Option<Instant>,
    /// The error that it reported through `init/error`.
    pub init_error: Option<String>,
    /// The deadline of its current invocation.
    busy_until: Option<Instant>,
}

#[derive(Debug)]
struct Current {
    request_id: String,
    answer: Answer,
}

impl Desk {
    pub(super) fn new(name: &str, timeout: Duration, queue: Queue) -> Self {
        Self {
            name: name.to_owned(),
            timeout,
            queue,
            status: watch::Sender::new(Status::default()),
            slot: Arc::default(),
            work: Work::default(),
        }
    }

    /// Returns what the instance works on.
    pub(super) fn work(&self) -> Work {
        self.work.clone()
    }

    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Waits until the instance has exceeded the time of an invocation.
    pub(super) async fn overdue(&self) {
        let mut status = self.status();
        loop {
            let busy_until = status.borrow_and_update().busy_until;
            // Fails only when the sender is dropped, and `self` keeps it.
            match busy_until {
                None => drop(status.changed().await),
                Some(until) if tokio::time::timeout_at(until, status.changed()).await.is_err() => return,
                Some(_) => {}
            }
        }
    }

    /// Fails the current invocation of the instance, if any, and hands out no other.
    pub(super) fn close(&self, error: Error) {
        let mut slot = self.slot();
        slot.is_closed = true;
        if let Some(current) = slot.current.take() {
            let _ = current.answer.send(Err(error));
        }
    }

    /// Assigns an invocation to the instance; returns it if the process is dead.
    fn begin(&self, request_id: &str, answer: Answer) -> Result<(), Answer> {
        let mut slot = self.slot();
        if slot.is_closed {
            return Err(answer);
        }
        slot.current = Some(Current { request_id: request_id.to_owned(), answer });
        self.status.send_modify(|status| status.busy_until = Some(Instant::now() + self.timeout));
        Ok(())
    }

    /// Ends the invocation `request_id`, if it is the current one.
    fn finish(&self, request_id: &str, outcome: Result<Value, Error>) -> Response {
        let current = self.slot().current.take_if(|current| current.request_id == request_id);
        let Some(current) = current else {
            let refusal = json!({ "errorType": "InvalidRequestID", "errorMessage": "Invalid request ID" });
            return (StatusCode::BAD_REQUEST, Json(refusal)).into_response();
        };
        self.status.send_modify(|status| status.busy_until = None);
        // The caller may have stopped waiting.
        let _ = current.answer.send(outcome);
        accepted()
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes that a runtime calls, under `/2018-06-01/runtime`.
pub(super) fn router(desk: Desk) -> Router {
    let routes = Router::new()
        .route("/invocation/next", get(next))
        .route("/invocation/{request_id}/response", post(respond))
        .route("/invocation/{request_id}/error", post(report))
        .route("/init/error", post(give_up))
        .layer(DefaultBodyLimit::max(MAX_ANSWER_BYTES));
    Router::new().nest("/2018-06-01/runtime", routes).with_state(desk)
}

async fn next(State(desk): State<Desk>) -> Response {
    desk.status.send_modify(|status| {
        status.first_poll.get_or_insert_with(Instant::now);
    });
    let Some(Invocation { event, answer, trace_id, cause }) = desk.queue.take().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let context = context(&desk.name, desk.timeout, &Clock::system());
    if let Err(answer) = desk.begin(&context.request_id, answer) {
        // The poll of a process that has died meanwhile; another instance may still take this one.
        desk.queue.put(Invocation { event, answer, trace_id, cause });
        return StatusCode::GONE.into_response();
    }
    desk.work.begin(cause);
    let headers = [
        ("Lambda-Runtime-Aws-Request-Id", context.request_id),
        ("Lambda-Runtime-Deadline-Ms", context.deadline.to_string()),
        ("Lambda-Runtime-Invoked-Function-Arn", context.invoked_function_arn),
        ("Lambda-Runtime-Trace-Id", trace_id.or(context.xray_trace_id).unwrap_or_default()),
    ];
    (headers, Json(event)).into_response()
}

async fn respond(State(desk): State<Desk>, Path(request_id): Path<String>, body: Bytes) -> Response {
    let outcome = serde_json::from_slice(&body).map_err(|error| {
        let error_type = "InvalidResponse".to_owned();
        Error::Failed(Diagnostic { error_type, error_message: format!("the answer is not JSON: {error}") })
    });
    desk.finish(&request_id, outcome)
}

async fn report(State(desk): State<Desk>, Path(request_id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    desk.finish(&request_id, Err(Error::Failed(diagnostic(&headers, &body))))
}

async fn give_up(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> Response {
    let Diagnostic { error_type, error_message } = diagnostic(&headers, &body);
    desk.status.send_modify(|status| status.init_error = Some(format!("{error_type}: {error_message}")));
    accepted()
}

/// Reads `{"errorType":"…","errorMessage":"…"}`; anything else becomes the message.
fn diagnostic(headers: &HeaderMap, body: &[u8]) -> Diagnostic {
    serde_json::from_slice(body).unwrap_or_else(|_| Diagnostic {
        error_type: headers
            .get("lambda-runtime-function-error-type")
            .and_then(|error_type| error_type.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
        error_message: String::from_utf8_lossy(body).into_owned(),
    })
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, Json(json!({ "status": "OK" }))).into_response()
}
