//! Serves the stack for trying things out: it stays up, and people act through a page and plain URLs.

mod said;

use std::io::{self, ErrorKind, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use shared::clock::{Clock, ManualClock};
use shared::fail_point::Plan;
use tokio::task::JoinHandle;

use crate::console::{self, Console};
use crate::error::Error;
use crate::faults::Faults;
use crate::server::Server;
use crate::stack::{Options, Runtime, SIDE_BY_SIDE, Stack};

pub(crate) use said::description;
pub use said::{address, as_json, with_curl};

/// The interval of the schedule.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Ports of the gateway, LiveChat, Botpress, Botcopy, and the people who use them; 0 picks a free one.
pub type Ports = [u16; 5];

/// The argument that chooses each port.
const PORT_NAMES: [&str; 5] = ["gateway", "livechat", "botpress", "botcopy", "people"];

/// A vendor whose simulator runs alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Only {
    /// LiveChat: Agent Chat, Customer Chat and Configuration API, accounts, webhooks.
    Livechat,
    /// Botpress: the runtime API with the HITL plugin, and the calls of an integration.
    Botpress,
    /// Botcopy: the push API and the calls of a live-chat endpoint.
    Botcopy,
}

impl Only {
    /// `livechat`, `botpress` or `botcopy`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Livechat => "livechat",
            Self::Botpress => "botpress",
            Self::Botcopy => "botcopy",
        }
    }

    /// The given ports for this vendor and the people; the other parts get free ports.
    const fn ports(self, ports: Ports) -> Ports {
        let [_, livechat, botpress, botcopy, people] = ports;
        match self {
            Self::Livechat => [0, livechat, 0, 0, people],
            Self::Botpress => [0, 0, botpress, 0, people],
            Self::Botcopy => [0, 0, 0, botcopy, people],
        }
    }
}

/// Writes instructions for reaching a stack and its people.
pub type Say = fn(&Stack, people: &str, shown: Shown) -> String;

/// Which parts of a stack are shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// The vendor whose simulator runs alone.
    pub only: Option<Only>,
    /// Whether everything was connected from the start; otherwise the operator enters the credentials.
    pub connected: bool,
}

/// What is served, and how.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// Where the functions run.
    pub runtime: Runtime<'a>,
    /// Where the parts listen.
    pub ports: Ports,
    /// Whether the integration is installed and the secret complete from the start.
    pub connected: bool,
    /// The vendor whose simulator runs alone, without functions; none for the whole stack.
    pub only: Option<Only>,
    /// Whether the schedule runs by itself, each minute.
    pub sweeps: bool,
    /// Whether people move the clock; functions that run as processes keep the machine's clock.
    pub manual_clock: bool,
}

/// A stack with its people; it stops when this value is dropped.
#[derive(Debug)]
pub struct Serving {
    /// The stack.
    pub stack: Arc<Stack>,
    shown: Shown,
    people: Server,
    schedule: Option<JoinHandle<()>>,
}

impl Serving {
    /// Starts the stack, and installs the integration if it is to be connected.
    ///
    /// # Errors
    ///
    /// When a port is taken, when the compiled functions are missing, or when the integration cannot be installed.
    pub async fn start(setting: Setting<'_>) -> Result<Self, Error> {
        let Setting { runtime, ports, connected, only, sweeps, manual_clock } = setting;
        let ports = only.map_or(ports, |only| only.ports(ports));
        let connected = connected && only.is_none();
        let shown = Shown { only, connected };
        check_ports(ports)?;
        check_binaries(runtime)?;
        let [gateway, livechat, botpress, botcopy, people] = ports;
        let manual = manual_clock.then(|| ManualClock::new(Clock::system().now()));
        let clock = manual.as_ref().map_or_else(Clock::system, ManualClock::clock);
        let plan = Plan::default();
        let options = Options {
            runtime,
            ports: [gateway, livechat, botpress, botcopy],
            connected,
            has_functions: only.is_none(),
            instances: SIDE_BY_SIDE,
            fail_points: plan.clone(),
            // Writes conflict there as they do at AWS.
            table_proxy: true,
            ..Options::in_process(clock.clone())
        };
        let stack = Arc::new(Stack::start(options).await?);
        if connected {
            stack.install().await?;
        }
        let console = Arc::new(Console::new(Arc::clone(&stack), plan, manual, shown));
        let router = console::router(Arc::clone(&console)).layer(axum::middleware::from_fn(console::guard));
        let people = Server::start(people, router, Faults::default(), Clock::system()).await?;
        let schedule = (sweeps && only.is_none()).then(|| tokio::spawn(keep_sweeping(console, clock)));
        Ok(Self { stack, shown, people, schedule })
    }

    /// The base URL of the people's routes and of the page: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        self.people.url()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(schedule) = &self.schedule {
            schedule.abort();
        }
    }
}

/// Starts what the setting describes, prints how to reach it, and waits for Ctrl-C.
///
/// # Errors
///
/// As [`Serving::start`].
pub async fn serve(setting: Setting<'_>, say: Say) -> Result<(), Error> {
    let serving = Serving::start(setting).await?;
    let said = writeln!(io::stdout(), "{}", say(&serving.stack, &serving.url(), serving.shown));
    match said {
        // The reader has closed the pipe; the stack stays up all the same.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(tokio::signal::ctrl_c().await?)
}

async fn keep_sweeping(console: Arc<Console>, clock: Clock) {
    loop {
        if let Err(error) = console.sweep().await {
            tracing::warn!("the sweep failed: {error}");
        }
        clock.sleep(SWEEP_EVERY).await;
    }
}

/// Checks the ports before anything starts, so that the error can name the argument that chooses another one.
fn check_ports(ports: Ports) -> Result<(), Error> {
    for (name, port) in PORT_NAMES.into_iter().zip(ports) {
        if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            let choose = format!("choose another with --{name} PORT, or any free one with --{name} 0");
            return Err(format!("port {port} cannot be opened ({error}): {choose}").into());
        }
    }
    Ok(())
}

/// Names what to build if there are no compiled functions.
///
/// # Errors
///
/// When one of them is missing.
pub fn check_binaries(runtime: Runtime<'_>) -> Result<(), Error> {
    let Runtime::Processes(folder) = runtime else { return Ok(()) };
    match ["actions", "webhooks"].into_iter().find(|name| !folder.join(name).is_file()) {
        None => Ok(()),
        Some(missing) => Err(format!(
            "there is no compiled function `{missing}` in {}: build both with `cargo build --release -p actions -p webhooks` and \
             pass `--binaries target/release`",
            folder.display()
        )
        .into()),
    }
}
