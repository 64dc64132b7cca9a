//! `cargo run`: a complete handoff on this machine; `cargo run -- serve`: the stack, for a person or a tool.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use sandbox::demo::{self, Layout, Palette};
use sandbox::deployed::Deployed;
use sandbox::serve::{self, Only, Setting};
use sandbox::stack::Runtime;

use sandbox::error::Error;

/// Human handoff between bots and LiveChat agents, on one machine: both functions, an embedded table, simulated vendors.
///
/// Without a subcommand it runs a complete handoff, prints it, and checks the journal of what happened at the vendors.
#[derive(Debug, Parser)]
#[command(name = "sandbox", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// The platform of the demonstration's bot.
    #[arg(long, value_enum, default_value_t)]
    bot: demo::Bot,

    /// Whether the demonstration is printed in colour: at a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t)]
    color: Color,

    /// Run the compiled functions in this folder under the Lambda Runtime API, instead of inside this process.
    #[arg(long, global = true, value_name = "FOLDER")]
    binaries: Option<PathBuf>,

    /// Run the demonstration on functions that are deployed to an AWS emulator, described in JSON (see
    /// `sandbox::deployed::Deployed`).
    #[arg(long, value_name = "JSON", value_parser = deployed, conflicts_with = "binaries")]
    deployed: Option<Deployed>,
}

fn deployed(json: &str) -> Result<Deployed, serde_json::Error> {
    serde_json::from_str(json)
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the stack until Ctrl-C, and print the address of its console, a page for a browser.
    Serve {
        #[command(flatten)]
        ports: Ports,
        /// Leave the stack unconnected, to practise connecting it: nothing is installed, and the secret contains only
        /// what the stack generates.
        #[arg(long)]
        unconnected: bool,
        /// Run the simulator of one vendor alone, for another integration: no function, no table, no sweep.
        #[arg(long, value_enum, value_name = "VENDOR", conflicts_with_all = ["unconnected", "binaries"])]
        only: Option<Only>,
        /// Sweep only on request, instead of once a minute as the schedule does.
        #[arg(long)]
        no_sweep: bool,
        /// The clock: the machine's, or one that stands still until it is moved (`POST /clock`).
        #[arg(long, value_enum, default_value_t)]
        clock: WhichClock,
        /// Also print all addresses and a `curl` line for everything that a person can do.
        #[arg(long, conflicts_with = "json")]
        curl: bool,
        /// Print how to reach the stack in one line of JSON, for a tool.
        #[arg(long)]
        json: bool,
    },
}

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    /// At a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    fn palette(self) -> Palette {
        let is_on = match self {
            Self::Auto => io::stdout().is_terminal() && !is_set("NO_COLOR"),
            Self::Always => true,
            Self::Never => false,
        };
        Palette { is_on }
    }
}

/// Returns the layout of the terminal's width; COLUMNS overrides it, also without a terminal.
fn layout() -> Layout {
    let named = std::env::var_os("COLUMNS").and_then(|columns| columns.to_str()?.parse().ok());
    let columns = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    named.or_else(columns).map(Layout::of).unwrap_or_default()
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// The kind of clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum WhichClock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that is moved by hand.
    Manual,
}

/// The ports of the parts; 0 picks a free port.
#[derive(Args, Clone, Copy, Debug)]
struct Ports {
    /// The gateway, which Botpress and LiveChat call.
    #[arg(long, default_value_t = 8080)]
    gateway: u16,
    /// The LiveChat simulator.
    #[arg(long, default_value_t = 8081)]
    livechat: u16,
    /// The Botpress simulator.
    #[arg(long, default_value_t = 8082)]
    botpress: u16,
    /// The Botcopy simulator.
    #[arg(long, default_value_t = 8084)]
    botcopy: u16,
    /// The console and its API: users, agents, the schedule.
    #[arg(long, default_value_t = 8083)]
    people: u16,
}

/// The stack of a thread: in a debug build the calls of a handoff nest deeper than the usual two megabytes allow.
const STACK_BYTES: usize = 8 * 1024 * 1024;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build();
    match runtime {
        Ok(runtime) => runtime.block_on(play(&arguments)),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn play(arguments: &Arguments) -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    match run(arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // The reader has closed the pipe, which is no error.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn run(arguments: &Arguments) -> Result<bool, Error> {
    let runtime = match (&arguments.binaries, &arguments.deployed) {
        (Some(folder), _) => Runtime::Processes(folder),
        (None, Some(deployed)) => Runtime::Deployed(deployed),
        (None, None) => Runtime::InProcess,
    };
    match arguments.command {
        None => {
            serve::check_binaries(runtime)?;
            let look = (arguments.color.palette(), layout());
            demo::play(runtime, arguments.bot, look, &mut io::stdout().lock()).await
        }
        Some(Command::Serve { ports, unconnected, only, no_sweep, clock, curl, json }) => {
            let Ports { gateway, livechat, botpress, botcopy, people } = ports;
            let manual_clock = clock == WhichClock::Manual;
            if manual_clock && !matches!(runtime, Runtime::InProcess) {
                return Err(
                    "compiled functions use the machine's clock: --clock manual needs functions in this process".into(),
                );
            }
            let setting = Setting {
                runtime,
                ports: [gateway, livechat, botpress, botcopy, people],
                connected: !unconnected,
                only,
                sweeps: !no_sweep,
                manual_clock,
            };
            let say = match (json, curl) {
                (true, _) => serve::as_json,
                (false, true) => serve::with_curl,
                (false, false) => serve::address,
            };
            serve::serve(setting, say).await.map(|()| true)
        }
    }
}
