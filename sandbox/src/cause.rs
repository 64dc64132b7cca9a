//! What caused what: each inbound call has an id, which the journal notes with everything that is done on its behalf.
//!
//! Simulators send it along as a header; functions in this process repeat it to the vendors. Compiled functions do not, so of their
//! calls no cause is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::{HeaderMap, HeaderValue};
pub use shared::cause::HEADER;

/// The id of an inbound call, `call-7`, or of a tick of the schedule, `sweep-8`.
pub type Cause = Arc<str>;

static LAST: AtomicU64 = AtomicU64::new(0);

#[derive(Clone)]
struct Call {
    cause: Cause,
    /// When it began, for those who make it.
    began: Option<Instant>,
}

tokio::task_local! {
    static CALL: Option<Call>;
}

/// Makes an inbound call by `work`, with a new id that begins with `kind`: what it journals, and whom it calls, names it.
pub(crate) async fn begun<F: Future>(kind: &str, work: F) -> F::Output {
    let cause = format!("{kind}-{}", LAST.fetch_add(1, Ordering::Relaxed) + 1).into();
    CALL.scope(Some(Call { cause, began: Some(Instant::now()) }), work).await
}

/// Does `work` on behalf of an inbound call, or of none.
pub(crate) async fn within<F: Future>(cause: Option<Cause>, work: F) -> F::Output {
    CALL.scope(cause.map(|cause| Call { cause, began: None }), work).await
}

/// On whose behalf this runs.
pub(crate) fn current() -> Option<Cause> {
    call().map(|call| call.cause)
}

/// For how many milliseconds of real time the call that is made here has run.
pub(crate) fn elapsed_ms() -> Option<u64> {
    call().and_then(|call| u64::try_from(call.began?.elapsed().as_millis()).ok())
}

fn call() -> Option<Call> {
    CALL.try_with(Clone::clone).ok().flatten()
}

/// The same as a header's value.
pub(crate) fn current_header() -> Option<HeaderValue> {
    current().and_then(|cause| HeaderValue::from_str(&cause).ok())
}

/// The cause that a request names.
pub(crate) fn of(headers: &HeaderMap) -> Option<Cause> {
    headers.get(HEADER).and_then(|value| value.to_str().ok()).map(Into::into)
}
