//! Everything that README, docs and SECURITY.md name exists: files, headings, commands, parameters, variables.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::pin::pin;

use cli::{Aws, Io};
use shared::clock::Clock;

const TEMPLATE: &str = include_str!("../../../template.yaml");
const CONFIGURATION: &str = include_str!("../../../docs/configuration.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns every document for readers, with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<_> = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "botpress/readme.md"]
        .map(|name| root().join(name))
        .into();
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    paths.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    assert!(paths.len() > 12, "{paths:?}");
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap())).collect()
}

/// Returns the anchors that GitHub makes of a document's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |character: char| match character {
        ' ' => Some('-'),
        '-' | '_' => Some(character),
        _ if character.is_alphanumeric() => Some(character.to_ascii_lowercase()),
        _ => None,
    };
    headings.map(|heading| heading.chars().filter_map(kept).collect()).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    for (path, text) in documents() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            if !anchor.is_empty() {
                let found = anchors(&std::fs::read_to_string(&target).unwrap());
                assert!(found.contains(anchor), "{}: {link} is none of {found:?}", path.display());
            }
            count += 1;
        }
    }
    assert!(count > 30, "only {count} links were found");
}

/// Returns the help of `hitl` for these arguments, if it accepts them.
async fn help(arguments: &[&str]) -> Option<String> {
    let (mut out, mut progress) = (Vec::new(), Vec::new());
    let mut io = Io {
        out: &mut out,
        progress: &mut progress,
        ask: &mut |_, _| Ok(String::new()),
        colour: false,
        environment: &|_| None,
        clock: Clock::system(),
        aws: Aws::installed(),
        interrupt: pin!(std::future::pending()),
    };
    let words = ["hitl"].iter().chain(arguments).chain(&["--help"]).map(Into::into);
    let exit = cli::run(words, &mut io).await;
    (exit == 0).then(|| String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn every_command_that_is_named_exists() {
    let mut named = BTreeSet::new();
    for (_, text) in documents() {
        let code = text.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("hitl "));
        let blocks = text.lines().filter_map(|line| line.trim_start().strip_prefix("hitl "));
        for words in code.chain(blocks) {
            let after_options: Vec<_> = words.split_whitespace().skip_while(|word| *word != "--stack").collect();
            let words: Vec<_> = match after_options.as_slice() {
                [_, _, rest @ ..] if words.starts_with("--") => rest.to_vec(),
                _ => words.split_whitespace().collect(),
            };
            let plain =
                |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
            named.insert(words.into_iter().take_while(|word| plain(word)).take(2).collect::<Vec<_>>().join(" "));
        }
    }
    named.remove("");
    assert!(named.len() > 15, "{named:?}");
    for command in named {
        let mut words = command.split(' ');
        let (first, second) = (words.next().unwrap(), words.next());
        let printed = help(&[first]).await.unwrap_or_else(|| panic!("there is no `hitl {first}`"));
        let is_there = second.is_none_or(|second| printed.contains(second));
        assert!(is_there, "`hitl {command}`: {printed}");
    }
}

#[test]
fn every_parameter_stands_in_the_configuration_with_its_default() {
    let (_, rest) = TEMPLATE.split_once("\nParameters:\n").unwrap();
    let (parameters, _) = rest.split_once("\nConditions:\n").unwrap();
    let mut name = String::new();
    let mut count = 0;
    for line in parameters.lines() {
        if let Some(parameter) = line.strip_prefix("  ").and_then(|line| line.strip_suffix(':'))
            && !parameter.starts_with(' ')
        {
            name = parameter.to_owned();
            count += 1;
            assert!(CONFIGURATION.contains(&format!("`{name}`")), "{name}");
        }
        if let Some(default) = line.strip_prefix("    Default: ").map(|default| default.trim_matches('"'))
            && !default.is_empty()
        {
            let row = CONFIGURATION.lines().find(|row| row.contains(&format!("`{name}`"))).unwrap();
            assert!(row.contains(&format!("`{default}`")), "{name}'s default is {default}: {row}");
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn every_variable_of_the_functions_stands_in_the_configuration() {
    let (_, rest) = TEMPLATE.split_once("      Variables:\n").unwrap();
    let variables = rest.lines().take_while(|line| line.starts_with("        "));
    let names: Vec<_> = variables.filter_map(|line| line.trim().split(':').next()).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(CONFIGURATION.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_readme_has_the_two_commands_that_the_gate_runs() {
    let (readme, gate) = (include_str!("../../../README.md"), include_str!("../../../.ci/run"));
    for command in ["cargo run", "cargo test --workspace"] {
        let is_command = |line: &str| line.split('#').next().map(str::trim_end) == Some(command);
        assert!(readme.lines().any(is_command), "{command}");
        assert!(gate.lines().any(|line| line.ends_with(command)), "{command}");
    }
}

/// `sam build` calls this build method a preview, and stops if its question is answered by pressing Enter.
#[test]
fn what_sam_build_would_ask_is_answered() {
    let settings = include_str!("../../../samconfig.toml");
    assert!(TEMPLATE.contains("BuildMethod: rust-cargolambda"));
    let (_, of_build) = settings.split_once("[default.build.parameters]\n").unwrap();
    let own = of_build.split("\n[").next().unwrap();
    assert!(own.lines().any(|line| line == "beta_features = true"), "{own}");
}

/// `just` calls the commands that the gate calls, or that a document recommends.
#[test]
fn the_commands_of_the_justfile_are_those_of_the_gate() {
    let justfile = include_str!("../../../justfile");
    let (gate, readme) = (include_str!("../../../.ci/run"), include_str!("../../../README.md"));
    let known = [gate, readme, include_str!("../../../docs/deploy.md")].join("\n");
    let commands = justfile.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.starts_with('@'));
    let commands: Vec<_> = commands.collect();
    assert!(commands.len() > 8, "{commands:?}");
    for command in commands {
        let (fixed, _) = command.split_once("{{").unwrap_or((command, ""));
        let fixed = fixed.trim_end_matches("-- ").trim();
        assert!(known.contains(fixed), "neither the gate nor a document has: {command}");
    }
}
