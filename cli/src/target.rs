//! The stack that the command works on, and the clients that reach it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::Client as DynamoDb;
use aws_sdk_secretsmanager::Client as SecretsManager;
use serde_json::Value;
use shared::clock::Clock;
use shared::config::Config;
use shared::handoff::Handoff;
use shared::http::Http;
use shared::media::Policy;
use shared::metrics::Metrics;
use shared::operator::probe::Endpoint;
use shared::operator::secret::Vault;
use shared::secrets::{self, Secrets};
use shared::store::Table;
use shared::{aws, botpress, livechat};

use crate::Io;
use crate::arguments::TargetArguments;
use crate::aws::Aws;
use crate::output::{Failure, causes};

/// LiveChat itself gives up after this time.
pub(crate) const VENDOR_TIMEOUT: Duration = Duration::from_secs(15);

/// Outputs of `template.yaml`, and the variables they stand for.
const OUTPUTS: [(&str, &str); 3] =
    [("TableName", "TABLE_NAME"), ("SecretArn", "SECRET_ID"), ("LiveChatWebhookUrl", "HITL_URL")];

/// Parameters of `template.yaml`, and the variables they become.
const PARAMETERS: [(&str, &str); 20] = [
    ("LiveChatClientId", "LIVECHAT_CLIENT_ID"),
    ("LiveChatOrganizationId", "LIVECHAT_ORGANIZATION_ID"),
    ("LiveChatRedirectUri", "LIVECHAT_REDIRECT_URI"),
    ("LiveChatGroupId", "LIVECHAT_GROUP_ID"),
    ("LiveChatRegion", "LIVECHAT_REGION"),
    ("BotpressIntegrationIds", "BOTPRESS_INTEGRATION_IDS"),
    ("WhenOffline", "WHEN_OFFLINE"),
    ("SettleMs", "SETTLE_MS"),
    ("OrderPauseMs", "ORDER_PAUSE_MS"),
    ("VerifiedEmails", "VERIFIED_EMAILS"),
    ("OnlyMyChats", "ONLY_MY_CHATS"),
    ("AssignTimeoutSeconds", "ASSIGN_TIMEOUT_SECONDS"),
    ("RetentionDays", "RETENTION_DAYS"),
    ("MediaHosts", "MEDIA_HOSTS"),
    ("BotcopyPauseMinutes", "BOTCOPY_PAUSE_MINUTES"),
    ("BotcopyResumeEvent", "BOTCOPY_RESUME_EVENT"),
    ("BotcopySilenceHours", "BOTCOPY_SILENCE_HOURS"),
    ("BotcopyTyping", "BOTCOPY_TYPING"),
    ("Wording", "WORDING"),
    ("Language", "LANGUAGE"),
];

/// A stack, and the clients that reach it.
pub(crate) struct Target {
    /// Settings from the stack, the sandbox or an argument; they take precedence over the environment.
    named: BTreeMap<String, String>,
    /// Values of the environment for settings that are not named; a sandbox ignores the environment.
    inherited: BTreeMap<String, String>,
    dynamodb: DynamoDb,
    secrets_manager: SecretsManager,
    pub http: Http,
    pub clock: Clock,
    /// The stack's account and region, if the AWS CLI knows the stack.
    pub aws: Option<Aws>,
}

/// Every variable that is looked up in the environment.
const VARIABLES: [&str; 37] = [
    "TABLE_NAME",
    "SECRET_ID",
    "HITL_URL",
    "LIVECHAT_CLIENT_ID",
    "LIVECHAT_ORGANIZATION_ID",
    "LIVECHAT_REDIRECT_URI",
    "LIVECHAT_GROUP_ID",
    "LIVECHAT_REGION",
    "LIVECHAT_API_URL",
    "LIVECHAT_ACCOUNTS_URL",
    "BOTPRESS_API_URL",
    "BOTPRESS_INTEGRATION_IDS",
    "WHEN_OFFLINE",
    "SETTLE_MS",
    "ORDER_PAUSE_MS",
    "VERIFIED_EMAILS",
    "ONLY_MY_CHATS",
    "ASSIGN_TIMEOUT_SECONDS",
    "MEDIA_HOSTS",
    "WORDING",
    "RETENTION_DAYS",
    "LIVECHAT_AGENT_TOKEN",
    "LIVECHAT_REHEARSAL_TOKEN",
    "BOTPRESS_WORKSPACE_ID",
    "BOTPRESS_WORKSPACE_HANDLE",
    "BOTPRESS_PERSONAL_ACCESS_TOKEN",
    "BOTCOPY_API_KEY",
    "BOTCOPY_ACCESS_TOKEN",
    "BOTCOPY_API_URL",
    "BOTCOPY_PAUSE_MINUTES",
    "BOTCOPY_RESUME_EVENT",
    "BOTCOPY_SILENCE_HOURS",
    "BOTCOPY_TYPING",
    "BOTCOPY_BOT_ID",
    "BOTCOPY_HEADER_NAME",
    "BOTCOPY_HEADER_VALUE",
    "LANGUAGE",
];

impl Target {
    /// Finds the stack that the arguments name; calls only the AWS CLI or the sandbox, if they were named.
    pub(crate) async fn resolve(arguments: &TargetArguments, io: &mut Io<'_>) -> Result<Self, Failure> {
        let http = Http::new(VENDOR_TIMEOUT).map_err(|error| Failure::stopped(causes(&error)))?;
        let stack = stack_name(arguments, io);
        let described = match (&stack, &arguments.stack_file) {
            (Some(stack), _) => Some(ask_aws_cli(stack, io).await?),
            (None, Some(file)) => Some(read(file)?),
            (None, None) => None,
        };
        let mut named = match (&arguments.sandbox, &described) {
            (Some(sandbox), _) => sandbox_environment(sandbox, &http).await?,
            (None, Some(described)) => stack_environment(described)?,
            (None, None) => BTreeMap::new(),
        };
        for (variable, value) in
            [("TABLE_NAME", &arguments.table), ("SECRET_ID", &arguments.secret), ("HITL_URL", &arguments.url)]
        {
            named.extend(value.iter().map(|value| (variable.to_owned(), value.clone())));
        }
        let region = described.as_deref().and_then(region_of);
        let aws = stack.map(|_| io.aws.in_region(region.as_deref()));
        Self::reached(named, region, arguments.sandbox.is_some(), aws, io).await
    }

    /// Returns the stack of an answer of `describe-stacks` that lists it alone, whether fresh or from a file.
    pub(crate) async fn of_stack(described: &str, io: &Io<'_>) -> Result<Self, Failure> {
        let region = region_of(described);
        let aws = Some(io.aws.in_region(region.as_deref()));
        Self::reached(stack_environment(described)?, region, false, aws, io).await
    }

    async fn reached(
        named: BTreeMap<String, String>,
        region: Option<String>,
        is_sandbox: bool,
        aws: Option<Aws>,
        io: &Io<'_>,
    ) -> Result<Self, Failure> {
        let http = Http::new(VENDOR_TIMEOUT).map_err(|error| Failure::stopped(causes(&error)))?;
        let found = VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), (io.environment)(name)?)));
        // A variable that is meant for production must not reach the sandbox.
        let inherited = if is_sandbox { BTreeMap::new() } else { found.collect() };
        let url = |name: &str| named.get(name).cloned().unwrap_or_default();
        let stand_ins = match is_sandbox {
            true => Some((url("AWS_ENDPOINT_URL_DYNAMODB"), url("AWS_ENDPOINT_URL_SECRETS_MANAGER"))),
            false => io.aws.stand_ins.clone(),
        };
        let (dynamodb, secrets_manager) = match stand_ins {
            Some((dynamodb_url, secrets_manager_url)) => {
                aws::stand_ins(&dynamodb_url, &secrets_manager_url).map_err(|error| Failure::stopped(causes(&error)))?
            }
            None => {
                let aws = aws::load(region).await.map_err(|error| Failure::stopped(causes(&error)))?;
                // Without a table, more than the region is missing, and the functions' own error states it.
                if aws.region().is_none() && (named.contains_key("TABLE_NAME") || inherited.contains_key("TABLE_NAME"))
                {
                    return Err(Failure::stopped(NO_REGION));
                }
                (DynamoDb::new(&aws), SecretsManager::new(&aws))
            }
        };
        Ok(Self { named, inherited, dynamodb, secrets_manager, http, clock: io.clock.clone(), aws })
    }

    /// Returns a setting; an empty one counts as absent.
    pub(crate) fn get(&self, variable: &str) -> Option<String> {
        let value = self.named.get(variable).or_else(|| self.inherited.get(variable));
        value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// Returns a setting that a command requires.
    pub(crate) fn require(&self, variable: &str, how: &str) -> Result<String, Failure> {
        self.get(variable).ok_or_else(|| Failure::stopped(format!("{variable} is not set: {how}.")))
    }

    /// Returns the functions' configuration.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        Ok(Config::from_lookup(|key| self.get(key))?)
    }

    pub(crate) fn table_name(&self) -> Result<String, Failure> {
        self.require("TABLE_NAME", "name the table with --table, or the stack with --stack")
    }

    pub(crate) fn table(&self) -> Result<Table, Failure> {
        Ok(Table::new(self.dynamodb.clone(), self.table_name()?, self.clock.clone()))
    }

    pub(crate) fn secret_id(&self) -> Result<String, Failure> {
        self.require("SECRET_ID", "name the secret with --secret, or the stack with --stack")
    }

    pub(crate) fn vault(&self) -> Result<Vault, Failure> {
        Ok(Vault::new(self.secrets_manager.clone(), self.secret_id()?))
    }

    /// Returns the stack's address without a path.
    pub(crate) fn url(&self) -> Option<String> {
        let url = self.get("HITL_URL")?;
        Some(url.trim_end_matches('/').trim_end_matches("/livechat").trim_end_matches('/').to_owned())
    }

    pub(crate) fn require_url(&self) -> Result<String, Failure> {
        self.url().ok_or_else(|| {
            Failure::stopped("HITL_URL is not set: pass the stack's address with --url, or the stack with --stack.")
        })
    }

    /// Returns the address of LiveChat's webhooks.
    pub(crate) fn webhook_url(&self) -> Option<String> {
        self.url().map(|url| format!("{url}/livechat"))
    }

    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        self.url().map(|url| Endpoint::new(&url, self.http.clone()))
    }

    pub(crate) fn livechat(&self, config: &Config) -> livechat::Client {
        livechat::Client::new(config.livechat.clone(), self.http.clone())
    }

    pub(crate) fn botpress(&self) -> botpress::Client {
        let api_url = self.get("BOTPRESS_API_URL").unwrap_or_else(|| botpress::PUBLIC_API_URL.to_owned());
        botpress::Client::new(botpress::Settings { api_url }, self.http.clone())
    }

    /// Returns the functions' own handoff, with the secret as it is stored.
    pub(crate) fn handoff(&self) -> Result<Handoff, Failure> {
        self.handoff_by(self.credentials()?)
    }

    /// Returns the functions' own handoff, with credentials that may not be stored yet.
    pub(crate) fn handoff_with(&self, secrets: Secrets) -> Result<Handoff, Failure> {
        self.handoff_by(self.credentials()?.with_given(secrets))
    }

    fn credentials(&self) -> Result<secrets::Cache, Failure> {
        Ok(secrets::Cache::new(self.secrets_manager.clone(), self.secret_id()?, self.clock.clone()))
    }

    fn handoff_by(&self, credentials: secrets::Cache) -> Result<Handoff, Failure> {
        let config = self.config()?;
        let media = Policy::new(config.media_hosts.clone());
        // Only the functions report metrics: here they go to a log that is not read.
        let metrics = Metrics::kept();
        Ok(Handoff::with_parts(config, self.clock.clone(), self.dynamodb.clone(), credentials, metrics, media)?)
    }
}

/// The error if neither the stack nor the AWS CLI's own settings name a region.
pub(crate) const NO_REGION: &str = "no AWS region is known: name the stack with --stack, set AWS_REGION, or give your profile one (aws configure set region REGION).";

/// Returns the stack that the arguments or the variable HITL_STACK name.
pub(crate) fn stack_name(arguments: &TargetArguments, io: &Io<'_>) -> Option<String> {
    let elsewhere = arguments.sandbox.is_some() || arguments.stack_file.is_some();
    let variable = || (io.environment)("HITL_STACK").filter(|name| !name.is_empty() && !elsewhere);
    arguments.stack.clone().or_else(variable)
}

/// Returns the region of a described stack, by its ARN.
pub(crate) fn region_of(described: &str) -> Option<String> {
    let described: Value = serde_json::from_str(described).ok()?;
    let arn = described.pointer("/Stacks/0/StackId")?.as_str()?;
    arn.split(':').nth(3).filter(|region| !region.is_empty()).map(str::to_owned)
}

/// Returns the sandbox's settings for an operator, from its address or from the line that it has printed.
async fn sandbox_environment(sandbox: &str, http: &Http) -> Result<BTreeMap<String, String>, Failure> {
    let described = if sandbox.starts_with("http://") || sandbox.starts_with("https://") {
        let answer = Endpoint::new(sandbox, http.clone()).get("stack").await.map_err(|error| {
            Failure::stopped(format!(
                "no sandbox answers at {sandbox} ({}). Start one with `cargo run -- serve`.",
                causes(&error)
            ))
        })?;
        answer.body
    } else {
        let file = std::fs::read_to_string(sandbox);
        file.map_err(|error| Failure::stopped(format!("the file {sandbox} cannot be read: {error}")))?
    };
    let described: Value = serde_json::from_str(&described).unwrap_or_default();
    let environment = described.get("environment").cloned().unwrap_or_default();
    serde_json::from_value(environment).map_err(|_| {
        Failure::stopped(format!(
            "{sandbox} does not describe a sandbox. Pass the address that `cargo run -- serve` prints."
        ))
    })
}

async fn ask_aws_cli(stack: &str, io: &mut Io<'_>) -> Result<String, Failure> {
    io.say(&format!("asking the AWS CLI about the stack {stack}"));
    io.aws.ask(&["cloudformation", "describe-stacks", "--stack-name", stack]).await.map_err(|said| {
        Failure::stopped(format!(
            "the AWS CLI cannot describe the stack {stack}: {said}. Without the AWS CLI, name the parts: --table, --secret, --url \
             and the LIVECHAT_* variables."
        ))
    })
}

fn read(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file);
    text.map_err(|error| Failure::stopped(format!("the file {} cannot be read: {error}", file.display())))
}

/// Returns the variables that a stack's outputs and parameters stand for.
fn stack_environment(described: &str) -> Result<BTreeMap<String, String>, Failure> {
    let described: Value = serde_json::from_str(described).unwrap_or_default();
    let stack = described.pointer("/Stacks/0").ok_or_else(|| {
        Failure::stopped("this is not an answer of `aws cloudformation describe-stacks`: it lists no stack.")
    })?;
    let mut environment = BTreeMap::new();
    for (list, key, value, names) in [
        ("Outputs", "OutputKey", "OutputValue", OUTPUTS.as_slice()),
        ("Parameters", "ParameterKey", "ParameterValue", PARAMETERS.as_slice()),
    ] {
        let entries = stack.get(list).and_then(Value::as_array).into_iter().flatten();
        for entry in entries {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
            let variable =
                names.iter().find(|(name, _)| *name == text(key)).map(|(_, variable)| (*variable).to_owned());
            environment.extend(variable.map(|variable| (variable, text(value).to_owned())));
        }
    }
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_s_outputs_and_parameters_become_the_functions_variables() {
        let described = r#"{"Stacks":[{
            "Outputs":[{"OutputKey":"TableName","OutputValue":"t"},{"OutputKey":"SecretArn","OutputValue":"arn"},
                       {"OutputKey":"LiveChatWebhookUrl","OutputValue":"https://x/livechat"},{"OutputKey":"Other","OutputValue":"?"}],
            "Parameters":[{"ParameterKey":"LiveChatClientId","ParameterValue":"c0ffee"}]}]}"#;
        assert_eq!(region_of(described), None);
        let arn = r#"{"Stacks":[{"StackId":"arn:aws:cloudformation:eu-west-1:123456789012:stack/acme/1"}]}"#;
        assert_eq!(region_of(arn).as_deref(), Some("eu-west-1"));
        let environment = stack_environment(described).unwrap();
        let expected = [
            ("HITL_URL", "https://x/livechat"),
            ("LIVECHAT_CLIENT_ID", "c0ffee"),
            ("SECRET_ID", "arn"),
            ("TABLE_NAME", "t"),
        ];
        assert!(environment.iter().map(|(key, value)| (key.as_str(), value.as_str())).eq(expected));
        assert!(stack_environment("{}").is_err());
    }

    /// The template defines these names.
    #[test]
    fn the_template_has_the_outputs_and_parameters_that_are_read() {
        let template = include_str!("../../template.yaml");
        for (name, _) in OUTPUTS.iter().chain(&PARAMETERS) {
            assert!(template.contains(&format!("\n  {name}:\n")), "{name}");
        }
    }

    /// The command must know every setting of the functions, because it does their work.
    #[test]
    fn every_parameter_that_becomes_a_variable_is_read() {
        let template = include_str!("../../template.yaml");
        let (_, globals) = template.split_once("      Variables:\n").unwrap();
        let variables = globals.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
            let (variable, value) = line.trim().split_once(": ")?;
            let parameter = value.split("!Ref ").nth(1)?.split([',', ']']).next()?;
            Some((parameter, variable))
        });
        // The stack sets its log, metrics and resources itself.
        const OWN: [&str; 5] = ["STACK_NAME", "RUST_LOG", "MONITORING", "TABLE_NAME", "SECRET_ID"];
        let is_own = |(_, variable): &(&str, &str)| OWN.contains(variable);
        let read: Vec<_> = variables.filter(|one| !is_own(one)).collect();
        assert!(read.len() > 10, "{read:?}");
        for one in &read {
            assert!(PARAMETERS.contains(one), "{one:?}");
        }
        assert_eq!(read.len(), PARAMETERS.len());
    }
}
