//! `hitl`, the operator's command.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::pin::pin;
use std::process::ExitCode;

use cli::{Aws, Echo, Io};
use shared::clock::Clock;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut ask = ask;
    let environment = variable;
    let mut io = Io {
        out: &mut io::stdout(),
        progress: &mut io::stderr(),
        ask: &mut ask,
        colour: io::stdout().is_terminal() && wants_colour(&environment),
        environment: &environment,
        clock: Clock::system(),
        aws: Aws::installed(),
        interrupt: pin!(interrupt()),
    };
    ExitCode::from(cli::run(std::env::args_os(), &mut io).await)
}

/// Completes on Ctrl-C; from the first poll on, Ctrl-C no longer ends the process by itself.
async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

#[expect(clippy::disallowed_methods, reason = "the command's own settings; everything else is handed a look-up")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Decides on colour as <https://no-color.org> asks.
fn wants_colour(environment: &dyn Fn(&str) -> Option<String>) -> bool {
    let no = environment("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no && environment("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// Asks for one line: at a terminal with a prompt that hides a secret; otherwise from standard input.
fn ask(prompt: &str, echo: Echo) -> io::Result<String> {
    if io::stdin().is_terminal() {
        if echo == Echo::Hidden {
            return rpassword::prompt_password(format!("{prompt}: "));
        }
        eprint!("{prompt}: ");
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
