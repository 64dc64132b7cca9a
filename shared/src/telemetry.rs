//! Logging: one JSON object per line on standard output, which Lambda forwards to CloudWatch.
//!
//! Fields have dotted names (`session.id`, `vendor.status`, `duration_ms`); none ever contains a credential or what a person
//! wrote, at any level.

use std::fmt;

use http::HeaderValue;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, filter};

/// The crates whose details may be logged.
///
/// Below `info` other crates print the data they process: Lambda's runtime each raw event, the AWS SDK each request and
/// answer, including secrets. No setting lets that through.
const OURS: [&str; 3] = ["actions", "shared", "webhooks"];

/// The longest id in the log.
const MAX_ID_CHARS: usize = 80;

/// Installs the subscriber, at the level in `RUST_LOG` (`info`).
pub fn init() {
    let wanted = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    // A second call, as in tests, changes nothing.
    let _ = subscriber(wanted, std::io::stdout).try_init();
}

/// The subscriber of [`init`], for another writer.
pub fn subscriber<W>(wanted: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer);
    tracing_subscriber::registry().with(lines).with(wanted).with(filter::filter_fn(may_be_logged))
}

fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let owner = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || OURS.contains(&owner)
}

/// The loggable form of an id that another party has chosen; a text that does not look like an id is not shown.
pub fn id(id: &impl fmt::Display) -> String {
    let id = id.to_string();
    let is_one = |char: char| char.is_ascii_alphanumeric() || "_-.:@#".contains(char);
    match id.len() <= MAX_ID_CHARS && id.chars().all(is_one) {
        true => id,
        false => "(not an id)".to_owned(),
    }
}

tokio::task_local! {
    /// The W3C trace context of the call that is being processed.
    static TRACEPARENT: Option<HeaderValue>;
}

/// Runs `work` within the trace that a caller named in its header `traceparent`.
pub async fn traced<F: Future>(traceparent: Option<&str>, work: F) -> F::Output {
    TRACEPARENT.scope(traceparent.and_then(|value| HeaderValue::from_str(value).ok()), work).await
}

/// The same work, to be done by another task within the trace of this one.
pub(crate) fn in_this_trace<F: Future>(work: F) -> impl Future<Output = F::Output> {
    TRACEPARENT.scope(traceparent(), work)
}

/// The trace of the current work; vendors that support it get it in a header.
pub(crate) fn traceparent() -> Option<HeaderValue> {
    TRACEPARENT.try_with(Clone::clone).ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_setting_lets_others_print_what_passes_through_them() {
        for wanted in
            ["trace", "lambda_runtime=trace", "lambda_runtime::requests=trace,aws_smithy_runtime::client=debug"]
        {
            let kept = Kept::default();
            let writer = kept.clone();
            let subscriber = subscriber(EnvFilter::new(wanted), move || writer.clone());
            tracing::subscriber::with_default(subscriber, || {
                tracing::trace!(target: "lambda_runtime::requests", "canary");
                tracing::debug!(target: "aws_smithy_runtime::client::orchestrator", "canary");
                tracing::trace!(target: "actionsx", "canary");
                tracing::info!(target: "lambda_runtime::requests", "good to know");
            });
            let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            assert!(!text.contains("canary"), "{wanted}: {text}");
        }
    }

    #[test]
    fn our_own_details_can_be_asked_for() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = subscriber(EnvFilter::new("shared=trace"), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || tracing::trace!("a detail"));
        assert!(String::from_utf8(kept.0.lock().unwrap().clone()).unwrap().contains("a detail"));
    }

    #[test]
    fn only_what_looks_like_an_id_is_logged_as_one() {
        assert_eq!(id(&"conv_01J-x:7"), "conv_01J-x:7");
        for not_one in ["my card is 4111", "é", "\n", &"x".repeat(81)] {
            assert_eq!(id(&not_one), "(not an id)");
        }
    }
}
