//! `cargo run`: a whole handoff on this machine; `cargo run -- serve`: the stack, for a person or a tool.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use sandbox::deployed::Deployed;
use sandbox::stack::{Error, Runtime};
use sandbox::{demo, serve};

/// Human handoff between bots and LiveChat agents, on one machine: both functions, an embedded table, simulated vendors.
///
/// Without a subcommand it plays a whole handoff, tells it, and checks the journal of what happened at the vendors.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// The platform on which the demonstration's bot lives.
    #[arg(long, value_enum, default_value_t)]
    bot: demo::Bot,

    /// Run the compiled functions in this folder under the Lambda Runtime API, instead of inside this process.
    #[arg(long, global = true, value_name = "FOLDER")]
    binaries: Option<PathBuf>,

    /// Play through functions that are deployed to an AWS emulator, described in JSON (see `sandbox::deployed::Deployed`).
    #[arg(long, value_name = "JSON", value_parser = deployed, conflicts_with = "binaries")]
    deployed: Option<Deployed>,
}

fn deployed(json: &str) -> Result<Deployed, serde_json::Error> {
    serde_json::from_str(json)
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep the stack up until Ctrl-C, and say how to reach it.
    Serve {
        #[command(flatten)]
        ports: Ports,
        /// Leave the connecting to whoever wants to practise it: nothing is installed, and the secret holds only what the
        /// stack generates.
        #[arg(long)]
        unconnected: bool,
        /// Say how to reach it in one line of JSON, for a tool.
        #[arg(long)]
        json: bool,
    },
}

/// Where the parts listen; 0 picks a free port.
#[derive(Args, Clone, Copy, Debug)]
struct Ports {
    /// The gateway: what Botpress and LiveChat call.
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
    /// The people: users, agents, the schedule.
    #[arg(long, default_value_t = 8083)]
    people: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<bool, Error> {
    let runtime = match (&arguments.binaries, &arguments.deployed) {
        (Some(folder), _) => Runtime::Processes(folder),
        (None, Some(deployed)) => Runtime::Deployed(deployed),
        (None, None) => Runtime::InProcess,
    };
    match arguments.command {
        None => demo::play(runtime, arguments.bot, &mut io::stdout().lock()).await,
        Some(Command::Serve { ports: Ports { gateway, livechat, botpress, botcopy, people }, unconnected, json }) => {
            let say = if json { serve::as_json } else { serve::directions };
            let ports = [gateway, livechat, botpress, botcopy, people];
            serve::serve(runtime, ports, !unconnected, say).await.map(|()| true)
        }
    }
}
