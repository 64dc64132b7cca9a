//! The manual pages and completions of a release.

use clap::Command;
use clap_complete::Shell;
use serde_json::json;

use crate::arguments::grammar;
use crate::output::{Answer, Exit, Failure};

/// Returns the script with which a shell completes a command line.
pub(crate) fn completions(shell: Shell) -> Answer {
    let mut written = Vec::new();
    clap_complete::generate(shell, &mut grammar(), "hitl", &mut written);
    let text = String::from_utf8_lossy(&written).into_owned();
    Answer { exit: Exit::Done, json: json!({ "completions": text }), text }
}

/// Returns a page for the command and for each subcommand, each after a line `.\\" page NAME`.
pub(crate) fn pages() -> Result<Answer, Failure> {
    let mut text = String::new();
    add_pages(&grammar(), "hitl", &mut text)
        .map_err(|error| Failure::stopped(format!("the manual cannot be written: {error}")))?;
    Ok(Answer { exit: Exit::Done, json: json!({ "manual": text }), text })
}

fn add_pages(command: &Command, name: &str, text: &mut String) -> std::io::Result<()> {
    let mut page = Vec::new();
    let titled: &'static str = name.to_owned().leak();
    clap_mangen::Man::new(command.clone().name(titled)).render(&mut page)?;
    text.push_str(&format!(".\\\" page {name}\n{}", String::from_utf8_lossy(&page)));
    for subcommand in command.get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help") {
        add_pages(subcommand, &format!("{name}-{}", subcommand.get_name()), text)?;
    }
    Ok(())
}
