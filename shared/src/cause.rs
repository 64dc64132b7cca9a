//! The inbound call that caused an invocation's vendor calls; only in builds with the feature `fail-points`.
//!
//! The sandbox's journal uses it to show causes: `traceparent` reaches Botpress alone.

use ::http::{HeaderName, HeaderValue};
use reqwest::RequestBuilder;

/// The header in which the sandbox's simulators name an inbound call, and which the vendor calls on its behalf repeat.
pub const HEADER: HeaderName = HeaderName::from_static("x-sandbox-cause");

tokio::task_local! {
    static CAUSE: HeaderValue;
}

/// Runs an invocation on behalf of the inbound call `cause`.
pub async fn named<F: Future>(cause: HeaderValue, invocation: F) -> F::Output {
    CAUSE.scope(cause, invocation).await
}

/// The same work, to be done by another task on behalf of the inbound call of this one.
pub(crate) fn inherited<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let cause = CAUSE.try_with(Clone::clone);
    async {
        match cause {
            Ok(cause) => CAUSE.scope(cause, work).await,
            Err(_) => work.await,
        }
    }
}

/// The request with its cause, if there is one.
pub(crate) fn noted(request: RequestBuilder) -> RequestBuilder {
    match CAUSE.try_with(Clone::clone) {
        Ok(cause) => request.header(HEADER, cause),
        Err(_) => request,
    }
}
