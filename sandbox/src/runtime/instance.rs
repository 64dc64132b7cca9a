//! One process of a function, from its start to its end.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use shared::clock::Clock;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::api::{Desk, Queue, router};
use super::{Logs, Settings, StartError, Vendor};
use crate::faults::Faults;
use crate::invocation::{Error, MEMORY_MB, REGION, VERSION, log_group, log_stream};
use crate::server::Server;

/// Lambda's limit for the start of a function.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A process that has polled for work; it is killed when this value is dropped.
#[derive(Debug)]
pub(super) struct Instance {
    /// Dropping it stops the process.
    _stop: oneshot::Sender<()>,
    supervisor: JoinHandle<()>,
    process_id: Option<u32>,
    time_to_first_poll: Duration,
}

/// A process, its Runtime API, and the readers of its output.
struct Process {
    child: Child,
    desk: Desk,
    /// The Runtime API, and the ports of its own at the vendors.
    _servers: Vec<Server>,
    readers: JoinSet<()>,
    logs: Logs,
}

impl Instance {
    /// Starts a process and waits until it polls for work.
    pub(super) async fn start(
        settings: &Settings,
        queue: Queue,
        logs: Logs,
        alive: watch::Sender<usize>,
    ) -> Result<Self, StartError> {
        let started_at = Instant::now();
        let mut process = Process::start(settings, queue, logs).await?;
        let first_poll = process.first_poll().await?;
        let process_id = process.child.id();
        let (stop, stopped) = oneshot::channel();
        alive.send_modify(|alive| *alive += 1);
        let timeout = settings.timeout;
        let supervisor = tokio::spawn(async move {
            process.supervise(timeout, stopped).await;
            alive.send_modify(|alive| *alive = alive.saturating_sub(1));
        });
        Ok(Self { _stop: stop, supervisor, process_id, time_to_first_poll: first_poll.duration_since(started_at) })
    }

    /// Kills the process and waits until it is dead.
    pub(super) async fn kill(self) {
        let Self { _stop: stop, supervisor, .. } = self;
        drop(stop);
        let _ = supervisor.await;
    }

    pub(super) fn process_id(&self) -> Option<u32> {
        self.process_id
    }

    pub(super) fn time_to_first_poll(&self) -> Duration {
        self.time_to_first_poll
    }
}

impl Process {
    async fn start(settings: &Settings, queue: Queue, logs: Logs) -> io::Result<Self> {
        let desk = Desk::new(&settings.name, settings.timeout, queue);
        let server = Server::start(0, router(desk.clone()), Faults::default(), Clock::system()).await?;
        let mut command = Command::new(&settings.program);
        let (mut environment, mut servers) = (settings.environment.clone(), Vec::new());
        for Vendor { url, inside } in &settings.vendors {
            let own = inside.clone().open_for(desk.work()).await?;
            for (_, value) in environment.iter_mut().filter(|(_, value)| value == url) {
                *value = own.url();
            }
            servers.push(own);
        }
        command.env_clear().envs(lambda_environment(&settings.name, &server)).envs(environment);
        servers.push(server);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let mut readers = JoinSet::new();
        if let Some(output) = child.stdout.take() {
            readers.spawn(read(output, logs.clone()));
        }
        if let Some(output) = child.stderr.take() {
            readers.spawn(read(output, logs.clone()));
        }
        Ok(Self { child, desk, _servers: servers, readers, logs })
    }

    async fn first_poll(&mut self) -> Result<Instant, StartError> {
        let mut status = self.desk.status();
        let settled = status.wait_for(|status| status.first_poll.is_some() || status.init_error.is_some());
        tokio::select! {
            // A process that reports its failure exits right after: the report contains more.
            biased;
            status = settled => {
                let (first_poll, report) = match status {
                    Ok(status) => (status.first_poll, status.init_error.clone().unwrap_or_default()),
                    Err(_) => (None, String::new()),
                };
                match first_poll {
                    Some(first_poll) => Ok(first_poll),
                    None => Err(StartError::Init { report, output: self.end().await }),
                }
            }
            status = self.child.wait() => {
                Err(StartError::Exited { reason: reason(status), output: self.end().await })
            }
            () = tokio::time::sleep(INIT_TIMEOUT) => Err(StartError::Silent { output: self.end().await }),
        }
    }

    /// Watches the process until it ends, then fails its current invocation.
    async fn supervise(mut self, timeout: Duration, stopped: oneshot::Receiver<()>) {
        let error = tokio::select! {
            status = self.child.wait() => Error::Gone { reason: reason(status), output: self.end().await },
            () = self.desk.overdue() => {
                self.end().await;
                Error::TimedOut(timeout)
            }
            _ = stopped => Error::Gone { reason: "killed".to_owned(), output: self.end().await },
        };
        self.desk.close(error);
    }

    /// Makes sure that the process is dead and its output fully read; returns the last lines.
    async fn end(&mut self) -> String {
        // Fails if the process has already ended.
        let _ = self.child.kill().await;
        while self.readers.join_next().await.is_some() {}
        self.logs.tail()
    }
}

fn lambda_environment(name: &str, server: &Server) -> [(&'static str, String); 12] {
    [
        ("AWS_LAMBDA_RUNTIME_API", server.url().trim_start_matches("http://").to_owned()),
        ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY_MB.to_string()),
        ("AWS_LAMBDA_FUNCTION_VERSION", VERSION.to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", log_group(name)),
        ("AWS_LAMBDA_LOG_STREAM_NAME", log_stream()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", "sandbox".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "sandbox".to_owned()),
        ("_HANDLER", "bootstrap".to_owned()),
    ]
}

fn reason(status: io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

async fn read(output: impl AsyncRead + Unpin, logs: Logs) {
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    // By bytes, so that a line which is not UTF-8 does not end the reading and block the process.
    while reader.read_until(b'\n', &mut line).await.is_ok_and(|bytes| bytes > 0) {
        logs.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
}
