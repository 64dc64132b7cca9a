//! Causality: each inbound call has an id, which the journal records with every effect of that call.
//!
//! Simulators send it along as a header; functions in this process repeat it to the vendors. Compiled functions do not: each of their
//! processes has its own ports at the simulators, and the simulators know what the process works on (`Work`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::{HeaderMap, HeaderValue};
use serde_json::Value;
pub use shared::cause::HEADER;

/// The id of an inbound call, `call-7`, or of a tick of the schedule, `sweep-8`.
pub type Cause = Arc<str>;

static LAST: AtomicU64 = AtomicU64::new(0);

#[derive(Clone)]
struct Call {
    cause: Cause,
    /// When it began; set only in the task that makes the call.
    began: Option<Instant>,
}

tokio::task_local! {
    static CALL: Option<Call>;
}

/// Makes an inbound call by running `work` under a new id that begins with `kind`; its journal entries and outgoing calls carry the id.
pub(crate) async fn begun<F: Future>(kind: &str, work: F) -> F::Output {
    let cause = format!("{kind}-{}", LAST.fetch_add(1, Ordering::Relaxed) + 1).into();
    CALL.scope(Some(Call { cause, began: Some(Instant::now()) }), work).await
}

/// Runs `work` on behalf of an inbound call, or of none.
pub(crate) async fn within<F: Future>(cause: Option<Cause>, work: F) -> F::Output {
    CALL.scope(cause.map(|cause| Call { cause, began: None }), work).await
}

/// The cause on whose behalf this code runs.
pub(crate) fn current() -> Option<Cause> {
    call().map(|call| call.cause)
}

/// How many milliseconds of real time the call made here has taken so far.
pub(crate) fn elapsed_ms() -> Option<u64> {
    call().and_then(|call| u64::try_from(call.began?.elapsed().as_millis()).ok())
}

fn call() -> Option<Call> {
    CALL.try_with(Clone::clone).ok().flatten()
}

/// The cause on whose behalf this code runs, as a header's value.
pub(crate) fn current_header() -> Option<HeaderValue> {
    current().and_then(|cause| HeaderValue::from_str(&cause).ok())
}

/// The cause on whose behalf an event is handled: the one in its header, or that of the invoking code.
pub(crate) fn of_event(event: &Value) -> Option<Cause> {
    let header = event.get("headers").and_then(|headers| headers.get(HEADER.as_str())).and_then(Value::as_str);
    header.map(Into::into).or_else(current)
}

/// The inbound call that a process works on, if the process does not name the call itself; copies share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work(Arc<Mutex<Option<Cause>>>);

impl Work {
    /// Sets the call that the process works on from now on.
    pub(crate) fn begin(&self, cause: Option<Cause>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cause;
    }

    /// The cause that the process works on, or has worked on last.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The cause that a request names.
pub(crate) fn of(headers: &HeaderMap) -> Option<Cause> {
    headers.get(HEADER).and_then(|value| value.to_str().ok()).map(Into::into)
}
