//! Dispatches an invocation: to a handler in this process, or to a compiled binary behind the Runtime API.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::Value;
use shared::clock::Clock;

use crate::cause;
use crate::deployed::DeployedFunction;
use crate::invocation::{Error, context};
use crate::runtime::Bootstrap;

/// A Lambda function; copies are the same function.
#[derive(Clone, Debug)]
pub enum Function {
    /// A handler that runs in this process.
    InProcess(InProcess),
    /// A compiled binary that polls the Runtime API.
    Process(Bootstrap),
    /// A function behind Lambda's API.
    Deployed(DeployedFunction),
}

/// A handler that runs in this process, one task for each invocation.
#[derive(Clone)]
pub struct InProcess {
    name: String,
    timeout: Duration,
    clock: Clock,
    handler: Arc<Handler>,
    running: Arc<AtomicUsize>,
}

type Handler = dyn Fn(LambdaEvent<Value>) -> Handling + Send + Sync;
type Handling = Pin<Box<dyn Future<Output = Result<Value, lambda_runtime::Error>> + Send>>;

impl Function {
    /// The number of invocations running in this process.
    pub fn running(&self) -> usize {
        match self {
            Self::InProcess(function) => function.running.load(Ordering::SeqCst),
            Self::Process(_) | Self::Deployed(_) => 0,
        }
    }

    /// Creates a function from `handler`, which takes the raw event: `async fn handle(event: LambdaEvent<Value>)`.
    ///
    /// Its deadline is `timeout` from now by `clock`, and it is expected to keep to that. Its work takes real time,
    /// which a clock that a test moves does not show; if it hangs, it is stopped after a hundred times `timeout`.
    pub fn in_process<H, F>(name: &str, timeout: Duration, clock: Clock, handler: H) -> Self
    where
        H: Fn(LambdaEvent<Value>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Value, lambda_runtime::Error>> + Send + 'static,
    {
        let handler = Arc::new(move |event| Box::pin(handler(event)) as Handling);
        Self::InProcess(InProcess { name: name.to_owned(), timeout, clock, handler, running: Arc::default() })
    }

    /// Runs the function once and waits for its answer.
    ///
    /// As on Lambda, work that has begun continues when the caller stops waiting.
    ///
    /// # Errors
    ///
    /// [`Error`] gives the reason why there is no answer.
    pub async fn invoke(&self, event: Value) -> Result<Value, Error> {
        match self {
            Self::InProcess(function) => function.invoke(event).await,
            Self::Process(bootstrap) => bootstrap.invoke(event).await,
            Self::Deployed(function) => function.invoke(&event).await,
        }
    }
}

/// The factor by which a function in this process may exceed its timeout in real time; its callers wait as long (see
/// [`patience`](crate::server::patience)).
const PATIENCE: u32 = 100;

/// Counts as an invocation while it lives.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn count(running: &Arc<AtomicUsize>) -> Self {
        running.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(running))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl InProcess {
    async fn invoke(&self, event: Value) -> Result<Value, Error> {
        let context = context(&self.name, self.timeout, &self.clock);
        let running = Running::count(&self.running);
        let cause = cause::of_event(&event).and_then(|cause| HeaderValue::from_str(&cause).ok());
        let handling = (self.handler)(LambdaEvent::new(event, context));
        let handling = async move {
            let _running = running;
            match cause {
                Some(cause) => shared::cause::named(cause, handling).await,
                None => handling.await,
            }
        };
        match tokio::spawn(tokio::time::timeout(self.timeout * PATIENCE, handling)).await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error))) => Err(Error::Failed(Diagnostic::from(error))),
            Ok(Err(_elapsed)) => Err(Error::TimedOut(self.timeout)),
            Err(panicked) => {
                Err(Error::Failed(Diagnostic { error_type: "Panic".to_owned(), error_message: panicked.to_string() }))
            }
        }
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcess").field("name", &self.name).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::clock::{ManualClock, Timestamp};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn clock() -> Clock {
        ManualClock::new(Timestamp::from_unix_millis(1_778_492_460_000)).clock()
    }

    #[tokio::test]
    async fn a_handler_sees_the_event_and_is_told_who_it_is_and_how_long_it_may_take() {
        let function = Function::in_process("actions", TIMEOUT, clock(), |event: LambdaEvent<Value>| async move {
            let context = event.context;
            Ok(json!({
                "event": event.payload,
                "deadline": context.deadline,
                "arn": context.invoked_function_arn,
                "name": context.env_config.function_name,
                "id": context.request_id,
            }))
        });
        let first = function.invoke(json!({ "a": 1 })).await.unwrap();
        assert_eq!(first["event"], json!({ "a": 1 }));
        assert_eq!(first["deadline"], 1_778_492_480_000_u64);
        assert_eq!(first["arn"], "arn:aws:lambda:us-east-1:123456789012:function:actions");
        assert_eq!(first["name"], "actions");
        assert_ne!(function.invoke(json!({})).await.unwrap()["id"], first["id"]);
    }

    #[tokio::test]
    async fn an_error_and_a_panic_are_answers_of_the_function() {
        let function = Function::in_process("actions", TIMEOUT, clock(), |event: LambdaEvent<Value>| async move {
            if event.payload["panic"] == true {
                panic!("as asked");
            }
            Err("no table".into())
        });
        for (event, message) in [(json!({}), "no table"), (json!({ "panic": true }), "panic")] {
            let Err(Error::Failed(diagnostic)) = function.invoke(event).await else { panic!("it must fail") };
            assert!(diagnostic.error_message.contains(message), "{diagnostic:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_hangs_is_stopped_long_after_its_timeout() {
        let function = Function::in_process("actions", TIMEOUT, clock(), |_| async { std::future::pending().await });
        let begun = tokio::time::Instant::now();
        assert!(matches!(function.invoke(json!({})).await, Err(Error::TimedOut(TIMEOUT))));
        assert_eq!(begun.elapsed().as_secs(), (TIMEOUT * PATIENCE).as_secs());
    }

    #[tokio::test]
    async fn work_goes_on_when_the_caller_stops_waiting() {
        let (begin, begun) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
        let done = Arc::new(tokio::sync::Notify::new());
        let function = Function::in_process("actions", TIMEOUT, clock(), {
            let (begin, begun, done) = (begin.clone(), begun.clone(), done.clone());
            move |_| {
                let (begin, begun, done) = (begin.clone(), begun.clone(), done.clone());
                async move {
                    begun.notify_one();
                    begin.notified().await;
                    done.notify_one();
                    Ok(Value::Null)
                }
            }
        });
        let caller = tokio::spawn(async move { function.invoke(json!({})).await.map(drop) });
        begun.notified().await;
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        begin.notify_one();
        done.notified().await;
    }
}
