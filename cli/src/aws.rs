//! The AWS CLI, through which the command reaches everything at AWS but the table and the secret.

use std::sync::Arc;

/// Runs one command of the AWS CLI and returns its output, or its error text.
pub type Cli = dyn Fn(&[&str]) -> Result<String, String> + Send + Sync;

/// How long the AWS CLI may wait for a connection, in seconds; its default of 60 would block a fleet at a region that does not answer.
const CONNECT_SECONDS: &str = "10";

/// The way to reach AWS.
#[derive(Clone)]
pub struct Aws {
    cli: Arc<Cli>,
    /// The addresses of stand-ins for DynamoDB and Secrets Manager.
    pub(crate) stand_ins: Option<(String, String)>,
    /// Without a value, the AWS CLI's own settings decide.
    pub(crate) region: Option<String>,
}

impl Aws {
    /// Uses the AWS CLI that is installed on this machine.
    pub fn installed() -> Self {
        Self { cli: Arc::new(run), stand_ins: None, region: None }
    }

    /// Uses a stand-in for the AWS CLI, and the addresses of stand-ins for DynamoDB and Secrets Manager.
    pub fn simulated(cli: Arc<Cli>, dynamodb_url: &str, secrets_manager_url: &str) -> Self {
        let stand_ins = Some((dynamodb_url.to_owned(), secrets_manager_url.to_owned()));
        Self { cli, stand_ins, region: None }
    }

    /// Returns the same account in a region.
    pub(crate) fn in_region(&self, region: Option<&str>) -> Self {
        let region = region.map(str::to_owned).or_else(|| self.region.clone());
        Self { region, ..self.clone() }
    }

    /// Returns the AWS CLI's answer as JSON, or its error text; does not block other work.
    pub(crate) async fn ask(&self, command: &[&str]) -> Result<String, String> {
        let mut words: Vec<_> = command.iter().map(|word| (*word).to_owned()).collect();
        words.extend(["--output", "json"].map(str::to_owned));
        words.extend(self.region.iter().flat_map(|region| ["--region".to_owned(), region.clone()]));
        let cli = Arc::clone(&self.cli);
        let asked = move || cli(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let asked = tokio::task::spawn_blocking(asked).await;
        asked.unwrap_or_else(|error| Err(format!("waiting for the AWS CLI failed ({error})")))
    }
}

fn run(command: &[&str]) -> Result<String, String> {
    let output =
        std::process::Command::new("aws").args(command).args(["--cli-connect-timeout", CONNECT_SECONDS]).output();
    let output = output.map_err(|error| format!("the AWS CLI cannot be started ({error})"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
