//! What caused what: each inbound call has an id, which the journal notes with everything that is done on its behalf.
//!
//! Simulators send it along as a header; functions in this process repeat it to the vendors. Compiled functions do not, so of their
//! calls no cause is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderValue};
pub use shared::cause::HEADER;

/// The id of an inbound call, `call-7`, or of a tick of the schedule, `sweep-8`.
pub type Cause = Arc<str>;

static LAST: AtomicU64 = AtomicU64::new(0);

tokio::task_local! {
    static CAUSE: Option<Cause>;
}

/// A new id; `kind` is what it begins with.
pub(crate) fn next(kind: &str) -> Cause {
    format!("{kind}-{}", LAST.fetch_add(1, Ordering::Relaxed) + 1).into()
}

/// Does `work` on behalf of `cause`: what it journals, and whom it calls, names it.
pub(crate) async fn within<F: Future>(cause: Option<Cause>, work: F) -> F::Output {
    CAUSE.scope(cause, work).await
}

/// On whose behalf this runs.
pub(crate) fn current() -> Option<Cause> {
    CAUSE.try_with(Clone::clone).ok().flatten()
}

/// The same as a header's value.
pub(crate) fn current_header() -> Option<HeaderValue> {
    current().and_then(|cause| HeaderValue::from_str(&cause).ok())
}

/// The cause that a request names.
pub(crate) fn of(headers: &HeaderMap) -> Option<Cause> {
    headers.get(HEADER).and_then(|value| value.to_str().ok()).map(Into::into)
}
