//! An invocation's context, its claimed location, and its errors.

use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::{Config, Context, Diagnostic};
use shared::clock::Clock;
use uuid::Uuid;

/// The region that everything in the sandbox claims.
pub const REGION: &str = "us-east-1";

/// The account that everything in the sandbox claims; AWS's own examples use it.
pub const ACCOUNT_ID: &str = "123456789012";

/// The memory size that a function sees.
pub(crate) const MEMORY_MB: i32 = 128;

/// The version that a function sees.
pub(crate) const VERSION: &str = "$LATEST";

/// Why an invocation has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The function returned an error, or panicked.
    #[error("{}: {}", .0.error_type, .0.error_message)]
    Failed(Diagnostic),
    /// The function exceeded its timeout, and was stopped.
    #[error("the function timed out after {0:?}")]
    TimedOut(Duration),
    /// Lambda's API did not answer, or reported a failure.
    #[error("the deployed function has not answered: {0}")]
    Unreachable(String),
    /// No instance is left to answer.
    #[error("the function's process is gone ({reason}); its output ends with:\n{output}")]
    Gone {
        /// How it ended: its exit status, or that it was killed.
        reason: String,
        /// The last lines it printed.
        output: String,
    },
}

/// The context of one invocation of the function `name`.
pub(crate) fn context(name: &str, timeout: Duration, clock: &Clock) -> Context {
    let deadline = clock.now() + timeout;
    let mut context = Context::default();
    context.request_id = Uuid::new_v4().to_string();
    context.deadline = u64::try_from(deadline.unix_millis()).unwrap_or_default();
    context.invoked_function_arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}");
    context.xray_trace_id = Some(trace_id(clock));
    context.env_config = Arc::new(Config {
        function_name: name.to_owned(),
        memory: MEMORY_MB,
        version: VERSION.to_owned(),
        log_stream: log_stream(),
        log_group: log_group(name),
    });
    context
}

/// A trace header: `Root=1-<seconds in hex>-<24 random hex digits>`.
pub(crate) fn trace_id(clock: &Clock) -> String {
    format!("Root=1-{:08x}-{:.24}", clock.now().unix_seconds(), Uuid::new_v4().simple().to_string())
}

/// The log group of the function `name`.
pub(crate) fn log_group(name: &str) -> String {
    format!("/aws/lambda/{name}")
}

/// The log stream of every function here.
pub(crate) fn log_stream() -> String {
    format!("sandbox/[{VERSION}]")
}
