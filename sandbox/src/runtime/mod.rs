//! A harness for compiled functions: it starts them as Lambda does and serves the Runtime API to them.

mod api;
mod instance;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use std::{io, mem};

use instance::Instance;
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::{oneshot, watch};

use crate::cause;
use crate::invocation::Error;
use crate::server::Inside;

/// A function that runs in separate processes; copies are the same function.
///
/// Each instance is one process with its own Runtime API, and handles one invocation at a time; further invocations
/// wait for a free instance. An instance that exits, or that is killed for exceeding the timeout, fails its current
/// invocation and stays down until [`restart`](Self::restart). The processes are killed when the last copy is dropped.
///
/// See [AWS Docs/Using the Lambda runtime API for custom runtimes](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
#[derive(Clone, Debug)]
pub struct Bootstrap(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    /// The programs of the instances, in turns.
    programs: Vec<PathBuf>,
    queue: api::Queue,
    logs: Logs,
    /// The trace id of every invocation, if it is fixed.
    trace_id: OnceLock<String>,
    /// The number of running processes.
    alive: watch::Sender<usize>,
    instances: Mutex<Vec<Instance>>,
}

/// The start settings of a function's instances.
#[derive(Clone, Debug)]
struct Settings {
    program: PathBuf,
    name: String,
    environment: Vec<(String, String)>,
    vendors: Vec<Vendor>,
    timeout: Duration,
    instances: usize,
}

/// A vendor at which each process has its own port, so that the vendor knows on whose behalf it is called.
#[derive(Clone, Debug)]
pub(crate) struct Vendor {
    /// The vendor's address; each process gets its own instead.
    pub url: String,
    /// The server behind that address.
    pub inside: Inside,
}

/// Why a function did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program cannot be run, or no port is available for its Runtime API.
    #[error("the program cannot be started")]
    Spawn(#[from] io::Error),
    /// The process ended before it polled for work.
    #[error("the process ended before its first poll ({reason}); its output ends with:\n{output}")]
    Exited {
        /// Its exit status.
        reason: String,
        /// The last lines it printed.
        output: String,
    },
    /// The process reported an error through `init/error`.
    #[error("the function's start failed: {report}; its output ends with:\n{output}")]
    Init {
        /// The reported error.
        report: String,
        /// The last lines it printed.
        output: String,
    },
    /// The process neither polled for work nor exited within Lambda's ten seconds.
    #[error("the process did not poll in time; its output ends with:\n{output}")]
    Silent {
        /// The last lines it printed.
        output: String,
    },
}

impl Bootstrap {
    /// Starts `instances` processes of `program` and waits until each has polled for work.
    ///
    /// A process gets the variables that Lambda sets, `PATH`, and `environment`, and inherits nothing else. `timeout`
    /// is real time, like the deadlines it receives: a process has no other clock.
    ///
    /// # Errors
    ///
    /// [`StartError`] describes the failure of the first process that failed.
    pub async fn start(
        program: &Path,
        name: &str,
        environment: Vec<(String, String)>,
        timeout: Duration,
        instances: usize,
    ) -> Result<Self, StartError> {
        Self::start_all(Vec::new(), &[program.to_owned()], name, environment, timeout, instances).await
    }

    /// Starts a function among these vendors, with several builds that the instances run in turns, as while one build replaces the
    /// other.
    pub(crate) async fn start_all(
        vendors: Vec<Vendor>,
        programs: &[PathBuf],
        name: &str,
        environment: Vec<(String, String)>,
        timeout: Duration,
        instances: usize,
    ) -> Result<Self, StartError> {
        let program = programs.first().cloned().unwrap_or_default();
        let settings = Settings { program, name: name.to_owned(), environment, vendors, timeout, instances };
        let bootstrap = Self(Arc::new(Shared {
            settings,
            programs: programs.to_vec(),
            queue: api::Queue::default(),
            logs: Logs::default(),
            trace_id: OnceLock::new(),
            alive: watch::Sender::new(0),
            instances: Mutex::default(),
        }));
        bootstrap.start_instances().await?;
        Ok(bootstrap)
    }

    /// Runs the function once and waits for its answer.
    ///
    /// # Errors
    ///
    /// When the function reports an error, when it exits or times out, and when no instance is left.
    pub async fn invoke(&self, event: Value) -> Result<Value, Error> {
        let mut alive = self.0.alive.subscribe();
        let (answer, mut answered) = oneshot::channel();
        let (trace_id, cause) = (self.0.trace_id.get().cloned(), cause::of_event(&event));
        self.0.queue.put(api::Invocation { event, answer, trace_id, cause });
        tokio::select! {
            // An instance that ends fails its invocation before it is counted out, so this branch comes first.
            biased;
            answer = &mut answered => answer.unwrap_or_else(|_| Err(self.gone())),
            _ = alive.wait_for(|alive| *alive == 0) => Err(self.gone()),
        }
    }

    /// Kills all processes, as a crash would: their current invocations fail. Returns when they are dead.
    pub async fn kill(&self) {
        let instances = mem::take(&mut *self.instances());
        for instance in instances {
            instance.kill().await;
        }
    }

    /// Kills the remaining instances and starts all of them anew.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&self) -> Result<(), StartError> {
        self.kill().await;
        self.start_instances().await
    }

    /// Everything the processes have printed so far, line by line, both streams merged.
    pub fn logs(&self) -> Vec<String> {
        self.0.logs.lock().clone()
    }

    /// The time from starting a process to its first poll; with several instances, that of the slowest.
    pub fn time_to_first_poll(&self) -> Duration {
        self.instances().iter().map(Instance::time_to_first_poll).max().unwrap_or_default()
    }

    /// Gives every invocation from now on this trace id, whereas Lambda gives each its own.
    pub fn trace_all_as(&self, trace_id: &str) {
        // The first id stays.
        let _ = self.0.trace_id.set(trace_id.to_owned());
    }

    /// Freezes all processes, as Lambda does between invocations.
    ///
    /// # Errors
    ///
    /// When the machine refuses the signal.
    pub async fn freeze(&self) -> io::Result<()> {
        self.signal("STOP").await
    }

    /// Resumes frozen processes.
    ///
    /// # Errors
    ///
    /// As [`freeze`](Self::freeze).
    pub async fn thaw(&self) -> io::Result<()> {
        self.signal("CONT").await
    }

    async fn signal(&self, name: &str) -> io::Result<()> {
        let ids = self.process_ids().into_iter().map(|id| id.to_string());
        let status = Command::new("kill").arg(format!("-{name}")).args(ids).status().await?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("kill -{name}: {status}"))) }
    }

    /// The process ids.
    pub fn process_ids(&self) -> Vec<u32> {
        self.instances().iter().filter_map(Instance::process_id).collect()
    }

    async fn start_instances(&self) -> Result<(), StartError> {
        let shared = &self.0;
        for program in shared.programs.iter().cycle().take(shared.settings.instances) {
            let settings = Settings { program: program.clone(), ..shared.settings.clone() };
            let (queue, logs, alive) = (shared.queue.clone(), shared.logs.clone(), shared.alive.clone());
            let instance = Instance::start(&settings, queue, logs, alive).await?;
            self.instances().push(instance);
        }
        Ok(())
    }

    fn gone(&self) -> Error {
        Error::Gone { reason: "no instance is running".to_owned(), output: self.0.logs.tail() }
    }

    fn instances(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.0.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The output of a function's processes.
#[derive(Clone, Debug, Default)]
struct Logs(Arc<Mutex<Vec<String>>>);

impl Logs {
    /// The number of lines that an error quotes.
    const TAIL_LINES: usize = 20;

    fn push(&self, line: String) {
        self.lock().push(line);
    }

    fn tail(&self) -> String {
        let lines = self.lock();
        lines.get(lines.len().saturating_sub(Self::TAIL_LINES)..).unwrap_or_default().join("\n")
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use shared::clock::Clock;

    use super::*;
    use crate::faults::Faults;
    use crate::function::Function;
    use crate::server::Server;

    const TIMEOUT: Duration = Duration::from_secs(20);

    /// `examples/echo_bootstrap.rs`, which cargo builds along with the tests.
    fn program() -> PathBuf {
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().and_then(Path::parent).unwrap();
        let program = profile.join("examples/echo_bootstrap");
        assert!(program.exists(), "not built: run `cargo build -p sandbox --examples`");
        program
    }

    async fn start(instances: usize) -> Bootstrap {
        let environment = vec![("GREETING".to_owned(), "hello".to_owned())];
        Bootstrap::start(&program(), "echo", environment, TIMEOUT, instances).await.unwrap()
    }

    async fn process_id(bootstrap: &Bootstrap) -> Value {
        bootstrap.invoke(json!({})).await.unwrap()["process_id"].take()
    }

    #[tokio::test]
    async fn a_binary_answers_and_knows_what_lambda_tells_it() {
        let bootstrap = start(1).await;
        let before = shared::clock::Clock::system().now();
        let answer = Function::Process(bootstrap.clone()).invoke(json!({ "a": 1 })).await.unwrap();
        assert_eq!(answer["event"], json!({ "a": 1 }));
        assert_eq!(answer["context"]["invoked_function_arn"], "arn:aws:lambda:us-east-1:123456789012:function:echo");
        assert_eq!(answer["context"]["env_config"]["function_name"], "echo");
        assert!(answer["context"]["request_id"].is_string());
        assert!(answer["context"]["xray_trace_id"].as_str().unwrap().starts_with("Root=1-"));
        let deadline = answer["context"]["deadline"].as_i64().unwrap();
        assert!(deadline >= (before + TIMEOUT).unix_millis());

        let environment = answer["environment"].as_object().unwrap();
        assert_eq!(environment["GREETING"], "hello");
        let expected = ["AWS_", "_HANDLER", "GREETING", "PATH"];
        for name in environment.keys() {
            assert!(expected.iter().any(|prefix| name.starts_with(prefix)), "{name} is inherited");
        }
        assert!(bootstrap.logs().iter().any(|line| line.contains("echo starts")));
        assert!(bootstrap.time_to_first_poll() > Duration::ZERO);
    }

    #[tokio::test]
    async fn an_error_of_the_handler_fails_the_invocation_and_not_the_instance() {
        let bootstrap = start(1).await;
        let Err(Error::Failed(diagnostic)) = bootstrap.invoke(json!({ "do": "fail" })).await else { panic!() };
        assert_eq!(diagnostic.error_message, "as asked");
        assert!(bootstrap.invoke(json!({})).await.is_ok());
    }

    #[tokio::test]
    async fn a_process_that_exits_fails_its_invocation_and_shows_its_output() {
        let bootstrap = start(1).await;
        let Err(Error::Gone { reason, output }) = bootstrap.invoke(json!({ "do": "exit" })).await else { panic!() };
        assert!(reason.contains("exit status: 7"), "{reason}");
        assert!(output.contains("last words"), "{output}");
        assert!(matches!(bootstrap.invoke(json!({})).await, Err(Error::Gone { .. })));
        bootstrap.restart().await.unwrap();
        assert!(bootstrap.invoke(json!({})).await.is_ok());
    }

    #[tokio::test]
    async fn a_hanging_invocation_is_killed_at_its_timeout() {
        let bootstrap = start(1).await;
        // From here on, time jumps to the next deadline whenever all tasks are idle.
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        let outcome = bootstrap.invoke(json!({ "do": "hang" })).await;
        assert!(matches!(outcome, Err(Error::TimedOut(TIMEOUT))), "{outcome:?}");
        assert!(begun.elapsed() >= TIMEOUT);
    }

    #[tokio::test]
    async fn killing_fails_what_is_in_flight_and_restarting_brings_a_new_process() {
        let bootstrap = start(1).await;
        let first = process_id(&bootstrap).await;
        let in_flight = tokio::spawn({
            let bootstrap = bootstrap.clone();
            async move { bootstrap.invoke(json!({ "do": "hang" })).await }
        });
        while !bootstrap.logs().iter().any(|line| line.contains("hanging")) {
            tokio::task::yield_now().await;
        }
        bootstrap.kill().await;
        assert!(matches!(in_flight.await.unwrap(), Err(Error::Gone { .. })));
        bootstrap.restart().await.unwrap();
        assert_ne!(process_id(&bootstrap).await, first);
    }

    #[tokio::test]
    async fn instances_work_side_by_side_and_invocations_wait_for_a_free_one() {
        let bootstrap = start(2).await;
        let hanging = tokio::spawn({
            let bootstrap = bootstrap.clone();
            async move { bootstrap.invoke(json!({ "do": "hang" })).await }
        });
        while !bootstrap.logs().iter().any(|line| line.contains("hanging")) {
            tokio::task::yield_now().await;
        }
        let (first, second) = tokio::join!(process_id(&bootstrap), process_id(&bootstrap));
        assert_eq!(first, second, "one instance hangs, so the other answers both");
        bootstrap.kill().await;
        assert!(hanging.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_vendor_knows_on_whose_behalf_each_process_calls_it() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heard);
        let note = move || async move { noted.lock().unwrap().push(cause::current()) };
        let router = axum::Router::new().fallback(note);
        let server = Server::start(0, router, Faults::default(), Clock::system()).await.unwrap();
        let vendors = vec![Vendor { url: server.url(), inside: server.inside() }];
        let environment = vec![("VENDOR_URL".to_owned(), server.url())];
        let bootstrap = Bootstrap::start_all(vendors, &[program()], "echo", environment, TIMEOUT, 2).await.unwrap();
        let call = async || {
            cause::begun("call", async {
                bootstrap.invoke(json!({ "do": "call" })).await.unwrap();
                cause::current()
            })
            .await
        };
        // Both processes at once, then the one that is free.
        let (first, second) = tokio::join!(call(), call());
        let third = call().await;
        let named = json!({ "do": "call", "headers": { cause::HEADER.as_str(): "call-of-a-vendor" } });
        bootstrap.invoke(named).await.unwrap();
        let mut heard = heard.lock().unwrap().clone();
        let mut expected = vec![first, second, third, Some("call-of-a-vendor".into())];
        heard.sort();
        expected.sort();
        assert_eq!(heard, expected);
    }

    #[tokio::test]
    async fn a_start_that_fails_says_why() {
        let fail = |how: &str| vec![("START".to_owned(), how.to_owned())];
        let exited = Bootstrap::start(&program(), "echo", fail("exit"), TIMEOUT, 1).await.unwrap_err();
        let StartError::Exited { output, .. } = exited else { panic!("{exited:?}") };
        assert!(output.contains("no TABLE_NAME"), "{output}");

        let reported = Bootstrap::start(&program(), "echo", fail("report"), TIMEOUT, 1).await.unwrap_err();
        let StartError::Init { report, .. } = reported else { panic!("{reported:?}") };
        assert!(report.contains("no TABLE_NAME"), "{report}");

        let missing = Bootstrap::start(Path::new("/no/such/program"), "echo", Vec::new(), TIMEOUT, 1).await;
        assert!(matches!(missing, Err(StartError::Spawn(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_that_never_polls_is_given_up() {
        let environment = vec![("START".to_owned(), "hang".to_owned())];
        let begun = tokio::time::Instant::now();
        let outcome = Bootstrap::start(&program(), "echo", environment, TIMEOUT, 1).await;
        assert!(matches!(outcome, Err(StartError::Silent { .. })), "{outcome:?}");
        assert_eq!(begun.elapsed().as_secs(), 10);
    }

    #[tokio::test]
    async fn dropping_the_last_copy_kills_the_processes() {
        let bootstrap = start(2).await;
        let mut alive = bootstrap.0.alive.subscribe();
        assert_eq!(*alive.borrow(), 2);
        drop(bootstrap);
        alive.wait_for(|alive| *alive == 0).await.unwrap();
    }
}
