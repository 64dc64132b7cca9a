//! Logging: one JSON object per line on standard output, which Lambda hands to CloudWatch.
//!
//! Fields have dotted names (`session.id`, `vendor.status`, `duration_ms`); none ever holds a credential or what a person
//! wrote.

use http::HeaderValue;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// The runtime's own trace level prints each raw event, with everything in it; it is never let through.
const RUNTIME_CAP: &str = "lambda_runtime=info";

/// Installs the subscriber, at the level that `RUST_LOG` names (`info`).
pub fn init() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let filter = match RUNTIME_CAP.parse() {
        Ok(cap) => filter.add_directive(cap),
        Err(_) => filter,
    };
    // A second call, as tests make it, changes nothing.
    let _ = tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).try_init();
}

tokio::task_local! {
    /// The W3C trace context of the call that is being answered.
    static TRACEPARENT: Option<HeaderValue>;
}

/// Does `work` on behalf of the trace that a caller named in its header `traceparent`.
pub async fn traced<F: Future>(traceparent: Option<&str>, work: F) -> F::Output {
    TRACEPARENT.scope(traceparent.and_then(|value| HeaderValue::from_str(value).ok()), work).await
}

/// The trace on whose behalf this runs; vendors that know it are sent it along.
pub(crate) fn traceparent() -> Option<HeaderValue> {
    TRACEPARENT.try_with(Clone::clone).ok().flatten()
}
