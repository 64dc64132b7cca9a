//! Every direct dependency is accounted for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns the names in a section of a manifest, with their values.
fn section(manifest: &str, heading: &str) -> Vec<(String, String)> {
    let lines = manifest.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| {
            let (name, value) = line.split_once('=')?;
            let name = name.trim().split('.').next()?.to_owned();
            Some((name, value.to_owned())).filter(|_| !line.starts_with('#'))
        })
        .collect()
}

#[test]
fn every_direct_dependency_is_documented_and_nothing_else_is() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let third_party = section(&manifest, "[workspace.dependencies]").into_iter();
    let third_party: BTreeSet<_> =
        third_party.filter(|(_, value)| !value.contains("path = ")).map(|(name, _)| name).collect();
    assert!(third_party.len() > 20, "{third_party:?}");
    let security = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let table = security.split("## Dependencies").nth(1).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<_> = rows.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(documented, third_party);
}

#[test]
fn members_take_their_dependencies_from_the_workspace_alone() {
    let root = root();
    let mut used = BTreeSet::new();
    for member in ["cli", "functions/actions", "functions/webhooks", "sandbox", "shared", "tests"] {
        let manifest = fs::read_to_string(root.join(member).join("Cargo.toml")).unwrap();
        for heading in ["[dependencies]", "[dev-dependencies]", "[build-dependencies]"] {
            let lines = manifest.lines().skip_while(|line| *line != heading).skip(1);
            for line in lines.take_while(|line| !line.starts_with('[')).filter(|line| line.contains('=')) {
                assert!(line.replace(' ', "").contains("workspace=true"), "{member}: {line}");
                used.extend(line.split(['.', ' ', '=']).next().map(str::to_owned));
            }
        }
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let declared: BTreeSet<_> =
        section(&manifest, "[workspace.dependencies]").into_iter().map(|(name, _)| name).collect();
    let ours = ["cli", "tests"].map(str::to_owned);
    assert_eq!(
        declared.difference(&used).filter(|name| !ours.contains(name)).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
}
