//! The unpacked files of a release.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::output::Failure;

/// The files that a deployment requires.
const NEEDED: [&str; 3] = ["template.yaml", "actions.zip", "webhooks.zip"];

/// A folder whose files match their checksums.
#[derive(Debug)]
pub(crate) struct Release {
    folder: PathBuf,
    /// The names of the template's parameters.
    pub parameters: BTreeSet<String>,
}

impl Release {
    /// Reads the folder, and compares every file with its checksum.
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        if folder.is_file() {
            return Err(Failure::stopped(format!(
                "{} is a file: unpack it (unzip -d release {0}) and give the folder.",
                folder.display()
            )));
        }
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|error| {
                Failure::stopped(format!(
                    "{} cannot be read ({error}): --from takes the folder into which livechat-hitl-VERSION-PROCESSOR.zip was unpacked.",
                    path.display()
                ))
            })
        };
        let listed = String::from_utf8_lossy(&read("SHA256SUMS")?).into_owned();
        let listed: Vec<_> = listed.lines().filter_map(|line| line.split_once("  ")).collect();
        for (expected, name) in &listed {
            if hex(&Sha256::digest(read(name)?)) != *expected {
                return Err(Failure::stopped(format!(
                    "{name} is not the released file: its checksum differs. Unpack the release again."
                )));
            }
        }
        if let Some(missing) = NEEDED.iter().find(|needed| !listed.iter().any(|(_, name)| name == *needed)) {
            return Err(Failure::stopped(format!("SHA256SUMS does not list {missing}: this is not a release.")));
        }
        let parameters = parameters(&String::from_utf8_lossy(&read("template.yaml")?));
        Ok(Self { folder: folder.to_owned(), parameters })
    }

    pub(crate) fn template(&self) -> PathBuf {
        self.folder.join("template.yaml")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The names below `Parameters:`; the template is our own, in the form that `.ci/release.py` writes.
fn parameters(template: &str) -> BTreeSet<String> {
    let section = template.lines().skip_while(|line| *line != "Parameters:").skip(1);
    let section = section.take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
    let name = |line: &str| Some(line.strip_prefix("  ")?.strip_suffix(':')?.to_owned());
    section.filter_map(name).filter(|name| !name.starts_with(' ')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_s_parameters_are_found_and_nothing_else() {
        let found = parameters(include_str!("../../../template.yaml"));
        for name in ["LiveChatClientId", "LiveChatOrganizationId", "LiveChatRedirectUri", "AlarmTopicArn", "Wording"] {
            assert!(found.contains(name), "{name}");
        }
        assert!(found.len() > 20 && !found.contains("Table") && !found.contains("HasWording"), "{found:?}");
    }

    #[test]
    fn a_release_is_taken_whole_and_undamaged_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("hitl-release-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        let refused = || Release::open(&folder).unwrap_err().to_string();
        assert!(refused().contains("--from takes the folder"), "{}", refused());
        let mut sums = String::new();
        for name in NEEDED {
            write(name, "Parameters:\n  One:\n");
            sums.push_str(&format!("{}  {name}\n", hex(&Sha256::digest("Parameters:\n  One:\n"))));
        }
        write("SHA256SUMS", &sums);
        assert!(Release::open(&folder).unwrap().parameters.contains("One"));
        write("actions.zip", "damaged");
        assert!(refused().contains("actions.zip is not the released file"), "{}", refused());
        write("SHA256SUMS", "");
        assert!(refused().contains("does not list template.yaml"), "{}", refused());
        assert!(Release::open(&folder.join("SHA256SUMS")).unwrap_err().to_string().contains("unpack it"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
