//! `hitl deploy`: from the files of a release to a stack that agents answer on. It reaches AWS through the AWS CLI, with
//! which the same can be done by hand (docs/deploy.md).

pub(crate) mod answers;
pub(crate) mod release;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use shared::config::Config;
use shared::http::Http;
use shared::livechat;
use uuid::Uuid;

use self::answers::{Change, ChangeSet, Event, Existing, Progress, alarms, parameters, progress, revised};
use self::release::Release;
use crate::arguments::{DeployOptions, TargetArguments};
use crate::aws::Aws;
use crate::output::{Answer, Exit, Failure, causes};
use crate::target::{NO_REGION, Target, VENDOR_TIMEOUT, stack_name};
use crate::{Echo, Io, app, connect, doctor};

/// The settings that a tenant must provide: the parameter, its variable, and its name in prose.
const REQUIRED: [(&str, &str, &str); 3] = [
    (
        "LiveChatClientId",
        "LIVECHAT_CLIENT_ID",
        "Client id of the app (LiveChat's developer console, Blocks, App authorization)",
    ),
    ("LiveChatOrganizationId", "LIVECHAT_ORGANIZATION_ID", "Organization id (LiveChat, Settings, Account)"),
    (
        "LiveChatRedirectUri",
        "LIVECHAT_REDIRECT_URI",
        "Redirect URI of the app (LiveChat's developer console, App authorization)",
    ),
];

const STEPS: usize = 6;

/// How often CloudFormation is polled.
const POLL: Duration = Duration::from_secs(2);

/// A stack of this template is up after two or three minutes.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// The schedule's first tick comes within a minute of its creation; a function that has never run takes a moment more.
const FIRST_SWEEP: Duration = Duration::from_secs(150);

/// Deploys the release into the account, and connects it.
pub(crate) async fn run(
    arguments: &TargetArguments,
    options: &DeployOptions,
    io: &mut Io<'_>,
) -> Result<Answer, Failure> {
    let name = stack_name(arguments, io)
        .ok_or_else(|| Failure::stopped("name the stack with --stack; it is created if it does not exist."))?;
    let release = Release::open(&options.from)?;
    io.step(1, STEPS, &format!("asking AWS about the stack {name}"));
    let cloud = Cloud::find(name, options.bucket.as_deref(), io).await?;
    let existing = cloud.existing().await?;
    if let Some(obstacle) = existing.as_ref().and_then(|stack| stack.obstacle(&cloud.stack)) {
        return Err(obstacle);
    }
    let own = existing.clone().unwrap_or_default().parameters;
    let given = revised(required(options, &own, io)?, &own, &release.parameters);
    let entries = parameters(&release.parameters, &given, &own)?;

    io.step(2, STEPS, "checking client id, organization and redirect URI");
    check_app(&own, &given, io).await?;

    io.step(3, STEPS, &format!("putting the packages into the bucket {}", cloud.bucket));
    let folder = Scratch::new()?;
    let template = folder.file("packaged.yaml");
    cloud.package(&release, &template).await?;

    io.step(4, STEPS, "comparing with the deployed stack");
    let is_new = existing.as_ref().is_none_or(Existing::is_empty);
    let wanted = Wanted { is_new, parameters: entries, tags: existing.clone().unwrap_or_default().tags(), template };
    let changes = cloud.change_set(&wanted, io).await?;
    if options.dry_run {
        cloud.forget(existing.is_none(), changes.is_some()).await?;
        return Ok(dry_run(&cloud.stack, &changes.unwrap_or_default()));
    }
    match &changes {
        Some(changes) => cloud.execute(changes, io).await?,
        None => io.say("the stack is up to date"),
    }

    io.step(5, STEPS, "connecting LiveChat");
    connected(arguments, &cloud.stack, is_new, &changes.unwrap_or_default(), io).await
}

/// Returns the parameters to set: those of the command line, and the three required ones from wherever they can be found.
fn required(
    options: &DeployOptions,
    own: &BTreeMap<String, String>,
    io: &mut Io<'_>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut given: BTreeMap<_, _> = options.parameters.iter().cloned().collect();
    for (parameter, variable, prompt) in REQUIRED {
        if given.contains_key(parameter) {
            continue;
        }
        let named = (io.environment)(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let value = match named {
            Some(value) => Some(value),
            None if own.contains_key(parameter) => continue,
            None => io.answer(prompt, Echo::Shown)?,
        };
        let value = value.ok_or_else(|| {
            Failure::stopped(format!("{parameter} is needed: docs/connect-livechat.md shows where to find it."))
        })?;
        given.insert(parameter.to_owned(), value);
    }
    Ok(given)
}

/// Has LiveChat issue a customer's token for the app, which costs nothing and leaves a customer without a chat.
async fn check_app(
    own: &BTreeMap<String, String>,
    given: &BTreeMap<String, String>,
    io: &Io<'_>,
) -> Result<(), Failure> {
    let parameter = |name: &str| given.get(name).or_else(|| own.get(name)).cloned();
    let lookup = |variable: &str| match variable {
        // The check does not use them.
        "TABLE_NAME" | "SECRET_ID" => Some("-".to_owned()),
        "LIVECHAT_REGION" => parameter("LiveChatRegion"),
        "LIVECHAT_API_URL" | "LIVECHAT_ACCOUNTS_URL" => (io.environment)(variable),
        _ => REQUIRED.iter().find(|(_, name, _)| *name == variable).and_then(|(name, ..)| parameter(name)),
    };
    let config = Config::from_lookup(lookup)?;
    let http = Http::new(VENDOR_TIMEOUT).map_err(|error| Failure::stopped(causes(&error)))?;
    let client = livechat::Client::new(config.livechat, http);
    client.issue_customer_token(None).await.map(drop).map_err(|error| {
        Failure::refused(format!(
            "LiveChat does not accept the app: {error:#}. {} Nothing was created.",
            app::cure(&error)
        ))
    })
}

fn dry_run(stack: &str, changes: &[Change]) -> Answer {
    let rows: Vec<_> = changes.iter().map(row).collect();
    let text = match rows.as_slice() {
        [] => format!("The stack {stack} is up to date."),
        rows => format!("{}\n\n{} changes. Nothing was changed.", rows.join("\n"), rows.len()),
    };
    Answer { exit: Exit::Done, json: json!({ "stack": stack, "dry_run": true, "changes": changes }), text }
}

fn row(change: &Change) -> String {
    let Change { action, resource, kind, replacement } = change;
    let replaced = match replacement.as_deref() {
        Some("True") => "  (replaced by a new one)",
        Some("Conditional") => "  (perhaps replaced by a new one)",
        _ => "",
    };
    format!("{action:<8} {kind:<34} {resource}{replaced}")
}

/// Connects the stack to LiveChat, and runs the doctor.
async fn connected(
    arguments: &TargetArguments,
    stack: &str,
    is_new: bool,
    changes: &[Change],
    io: &mut Io<'_>,
) -> Result<Answer, Failure> {
    let arguments = TargetArguments { stack: Some(stack.to_owned()), ..arguments.clone() };
    let target = Target::resolve(&arguments, io).await?;
    let later = format!("The stack is up: run hitl --stack {stack} connect livechat once that is fixed.");
    let livechat = connect::livechat::run(&target, io).await.map_err(|failure| failure.and(&later))?;
    if is_new {
        wait_for_sweep(&target, io).await?;
    }
    io.step(6, STEPS, "running all checks");
    let report = Box::pin(doctor::run(&target, io)).await?;
    let text = format!("{}\n\n{}\n\nThe stack {stack} is deployed.", livechat.text, report.text);
    let json = json!({ "stack": stack, "changes": changes, "livechat": livechat.json, "doctor": report.json });
    Ok(Answer { exit: report.exit, json, text })
}

/// Waits until the schedule has run once, or should have.
async fn wait_for_sweep(target: &Target, io: &mut Io<'_>) -> Result<(), Failure> {
    let (table, end) = (target.table()?, io.clock.now() + FIRST_SWEEP);
    io.say("waiting for the first sweep, which runs within a minute");
    while table.sweeps().await?.is_none() && io.clock.now() < end {
        io.clock.sleep_until(io.clock.now() + POLL).await;
    }
    Ok(())
}

/// A temporary folder of this run; dropping it deletes it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("hitl-{}", Uuid::new_v4().simple()));
        let made = std::fs::create_dir(&folder);
        made.map_err(|error| Failure::stopped(format!("{} cannot be created: {error}", folder.display())))?;
        Ok(Self(folder))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The folder in the bucket, shared by all stacks: a package's name there is the hash of its content.
const PREFIX: &str = "livechat-hitl";

/// The desired state of a stack.
pub(crate) struct Wanted {
    pub is_new: bool,
    /// The values of `--parameters` and `--tags` for `create-change-set`.
    pub parameters: Value,
    pub tags: Value,
    /// The packaged template.
    pub template: PathBuf,
}

/// The account, through the AWS CLI.
#[derive(Clone)]
pub(crate) struct Cloud {
    pub stack: String,
    aws: Aws,
    account: String,
    pub bucket: String,
    change_set: String,
}

impl Cloud {
    /// Finds the region and the account.
    pub(crate) async fn find(stack: String, bucket: Option<&str>, io: &Io<'_>) -> Result<Self, Failure> {
        let set = |variable: &str| (io.environment)(variable).filter(|value| !value.trim().is_empty());
        let named = io.aws.region.clone().or_else(|| set("AWS_REGION")).or_else(|| set("AWS_DEFAULT_REGION"));
        let region = match named {
            Some(region) => region,
            None => {
                let of_profile = io.aws.ask(&["configure", "get", "region"]).await.unwrap_or_default();
                let of_profile = Some(of_profile.trim().to_owned()).filter(|region| !region.is_empty());
                of_profile.ok_or_else(|| Failure::stopped(NO_REGION))?
            }
        };
        let aws = io.aws.in_region(Some(&region));
        let identity = aws.ask(&["sts", "get-caller-identity"]).await;
        let identity =
            identity.map_err(|said| Failure::stopped(format!("AWS does not accept your credentials: {said}")))?;
        let identity: Value = serde_json::from_str(&identity).unwrap_or_default();
        let account = identity.get("Account").and_then(Value::as_str).unwrap_or_default().to_owned();
        let bucket = bucket.map_or_else(|| format!("livechat-hitl-{account}-{region}"), str::to_owned);
        Ok(Self { stack: String::new(), aws, account, bucket, change_set: String::new() }.of_stack(stack))
    }

    /// Returns the same account and bucket for another stack, with a change set of its own.
    pub(crate) fn of_stack(&self, stack: String) -> Self {
        Self { stack, change_set: format!("hitl-{}", Uuid::new_v4().simple()), ..self.clone() }
    }

    /// Returns the AWS CLI's answer to a command in the stack's region.
    async fn ask(&self, command: &[&str]) -> Result<String, Failure> {
        self.aws.ask(command).await.map_err(|said| {
            let called: Vec<_> = command.iter().take(2).copied().collect();
            Failure::stopped(format!("aws {} failed: {said}", called.join(" ")))
        })
    }

    pub(crate) async fn existing(&self) -> Result<Option<Existing>, Failure> {
        match self.aws.ask(&["cloudformation", "describe-stacks", "--stack-name", &self.stack]).await {
            Ok(described) => Ok(Some(Existing::read(&described))),
            Err(said) if said.contains("does not exist") => Ok(None),
            Err(said) => Err(Failure::stopped(format!("aws cloudformation describe-stacks failed: {said}"))),
        }
    }

    /// Puts both packages into the bucket, and writes a template that refers to them to `packaged`.
    pub(crate) async fn package(&self, release: &Release, packaged: &Path) -> Result<(), Failure> {
        let head = ["s3api", "head-bucket", "--bucket", &self.bucket, "--expected-bucket-owner", &self.account];
        match self.aws.ask(&head).await {
            Ok(_) => {}
            Err(said) if said.contains("404") || said.contains("Not Found") => {
                self.ask(&["s3", "mb", &format!("s3://{}", self.bucket)]).await?;
            }
            Err(said) => {
                return Err(Failure::stopped(format!(
                    "the bucket {} cannot be used ({said}): it belongs to another account, is in another region, or your \
                     credentials give no access to it. --bucket names another.",
                    self.bucket
                )));
            }
        }
        let template = release.template();
        let (template, packaged) = (path(&template)?, path(packaged)?);
        let command = ["cloudformation", "package", "--template-file", template, "--output-template-file", packaged];
        let bucket = ["--s3-bucket", &self.bucket, "--s3-prefix", PREFIX];
        self.ask(&[&command, bucket.as_slice()].concat()).await.map(drop)
    }

    /// Returns what would change; none if nothing would.
    pub(crate) async fn change_set(&self, wanted: &Wanted, io: &Io<'_>) -> Result<Option<Vec<Change>>, Failure> {
        let folder = Scratch::new()?;
        let file = folder.file("parameters.json");
        let written = std::fs::write(&file, wanted.parameters.to_string());
        written.map_err(|error| Failure::stopped(format!("{} cannot be written: {error}", file.display())))?;
        let template = format!("file://{}", path(&wanted.template)?);
        let (parameters, tags) = (format!("file://{}", path(&file)?), wanted.tags.to_string());
        let kind = if wanted.is_new { "CREATE" } else { "UPDATE" };
        let options = ["--change-set-type", kind, "--capabilities", "CAPABILITY_IAM", "--template-body", &template];
        let values = ["--parameters", &parameters, "--tags", &tags];
        self.ask(&[&self.of_change_set("create-change-set"), options.as_slice(), &values].concat()).await?;
        let end = io.clock.now() + PATIENCE;
        while io.clock.now() < end {
            match ChangeSet::read(&self.ask(&self.of_change_set("describe-change-set")).await?) {
                ChangeSet::Pending => io.clock.sleep_until(io.clock.now() + POLL).await,
                ChangeSet::Ready(changes) => return Ok(Some(changes)),
                ChangeSet::Empty => {
                    self.ask(&self.of_change_set("delete-change-set")).await?;
                    return Ok(None);
                }
                ChangeSet::Failed(why) => {
                    return Err(Failure::refused(format!("CloudFormation refuses the release: {why}")));
                }
            }
        }
        Err(Failure::stopped(
            "CloudFormation has not created the change set within half an hour; check it in the console of CloudFormation.",
        ))
    }

    fn of_change_set<'a>(&'a self, call: &'a str) -> [&'a str; 6] {
        ["cloudformation", call, "--stack-name", &self.stack, "--change-set-name", &self.change_set]
    }

    /// Deletes a change set that is not executed, and the empty stack that was created for it.
    pub(crate) async fn forget(&self, stack_is_ours: bool, is_there: bool) -> Result<(), Failure> {
        if is_there {
            self.ask(&self.of_change_set("delete-change-set")).await?;
        }
        if stack_is_ours {
            self.ask(&["cloudformation", "delete-stack", "--stack-name", &self.stack]).await?;
        }
        Ok(())
    }

    /// Executes the changes, and prints the progress of each resource.
    pub(crate) async fn execute(&self, changes: &[Change], io: &mut Io<'_>) -> Result<(), Failure> {
        let mut last = self.events(None).await?.last().map(|event| event.id.clone());
        self.ask(&self.of_change_set("execute-change-set")).await?;
        let (mut finished, mut failures) = (0, Vec::new());
        let end = io.clock.now() + PATIENCE;
        while io.clock.now() < end {
            // Uses the stack's own events, because its status is outdated for a moment.
            let mut status = "CREATE_IN_PROGRESS".to_owned();
            for event in self.events(last.as_deref()).await? {
                finished += usize::from(event.is_over() && !event.is_of_stack());
                failures.extend(event.failure());
                io.say(&format!(
                    "  {:>2} of {}  {:<28} {:<34} {}",
                    finished.min(changes.len()),
                    changes.len(),
                    event.status,
                    event.kind,
                    event.resource
                ));
                if event.is_of_stack() {
                    status.clone_from(&event.status);
                }
                last = Some(event.id);
            }
            match progress(&status) {
                Progress::Done => return Ok(()),
                Progress::Failed => {
                    let why = failures.first().cloned().unwrap_or_default();
                    return Err(Failure::refused(format!("the stack is {status}. First cause: {why}")));
                }
                Progress::Going => io.clock.sleep_until(io.clock.now() + POLL).await,
            }
        }
        Err(Failure::stopped(
            "the stack is not up after half an hour; CloudFormation continues, and its console shows what it waits for.",
        ))
    }

    async fn events(&self, last: Option<&str>) -> Result<Vec<Event>, Failure> {
        let command = ["cloudformation", "describe-stack-events", "--max-items", "200", "--stack-name", &self.stack];
        Ok(Event::since(&self.ask(&command).await?, last))
    }

    /// Returns the stack's alarms that are on, by their names in the template.
    pub(crate) async fn alarms(&self) -> Result<BTreeSet<String>, Failure> {
        let listed = self.ask(&["cloudformation", "list-stack-resources", "--stack-name", &self.stack]).await?;
        let names = alarms(&listed);
        if names.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut command = vec!["cloudwatch", "describe-alarms", "--state-value", "ALARM", "--alarm-names"];
        command.extend(names.keys().map(String::as_str));
        let described: Value = serde_json::from_str(&self.ask(&command).await?).unwrap_or_default();
        let on = described.get("MetricAlarms").and_then(Value::as_array).into_iter().flatten();
        let on = on.filter_map(|alarm| names.get(alarm.get("AlarmName")?.as_str()?));
        Ok(on.cloned().collect())
    }
}

fn path(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| Failure::stopped(format!("{} cannot be passed to the AWS CLI", path.display())))
}
