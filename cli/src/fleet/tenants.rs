//! The stacks of a fleet: those with a tag, or those of a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use shared::redacted::Redacted;

use crate::Io;
use crate::arguments::FleetOptions;
use crate::output::Failure;
use crate::target::{Target, region_of};

/// The variables that a tenant's answers may contain.
const ANSWERS: [&str; 10] = [
    "LIVECHAT_AGENT_TOKEN",
    "BOTPRESS_WORKSPACE_ID",
    "BOTPRESS_WORKSPACE_HANDLE",
    "BOTPRESS_PERSONAL_ACCESS_TOKEN",
    "BOTCOPY_API_KEY",
    "BOTCOPY_ACCESS_TOKEN",
    "BOTCOPY_BOT_ID",
    "BOTCOPY_HEADER_NAME",
    "BOTCOPY_HEADER_VALUE",
    "LIVECHAT_REHEARSAL_TOKEN",
];

/// The vendors' addresses: the only variables that are the same for all tenants.
const ADDRESSES: [&str; 4] = ["LIVECHAT_API_URL", "LIVECHAT_ACCOUNTS_URL", "BOTPRESS_API_URL", "BOTCOPY_API_URL"];

/// One stack, and its operator's answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tenant {
    #[serde(rename = "stack")]
    pub name: String,
    #[serde(default)]
    pub region: Option<String>,
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    #[serde(default)]
    answers: BTreeMap<String, Redacted>,
    /// The stack's description: an answer of `describe-stacks` with this stack alone.
    #[serde(skip)]
    described: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    tenants: Vec<Tenant>,
}

impl Tenant {
    pub(crate) fn named(name: &str, region: Option<&str>) -> Self {
        let region = region.map(str::to_owned);
        Self { name: name.to_owned(), region, parameters: BTreeMap::new(), answers: BTreeMap::new(), described: None }
    }

    /// Returns a variable as the command for this stack alone would find it. The operator's own environment is not the tenant's.
    pub(crate) fn variable(&self, name: &str, environment: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let own = self.answers.get(name).map(|answer| answer.expose().to_owned());
        own.or_else(|| ADDRESSES.contains(&name).then(|| environment(name)).flatten())
    }

    pub(crate) fn has(&self, answer: &str) -> bool {
        self.answers.contains_key(answer)
    }

    /// Returns the stack as the commands for one reach it.
    pub(crate) async fn target(&self, io: &Io<'_>) -> Result<Target, Failure> {
        match &self.described {
            Some(described) => Target::of_stack(described, io).await,
            None => Target::of_stack(&self.describe(io).await?, io).await,
        }
    }

    async fn describe(&self, io: &Io<'_>) -> Result<String, Failure> {
        let described = io.aws.ask(&["cloudformation", "describe-stacks", "--stack-name", &self.name]).await;
        described.map_err(|said| Failure::stopped(format!("aws cloudformation describe-stacks failed: {said}")))
    }
}

/// Stacks that could not be listed, as one of their region, and why.
pub(crate) type Unlisted = Vec<(Tenant, Failure)>;

/// Returns the stacks to work on, and the regions that could not be listed.
pub(crate) async fn find(options: &FleetOptions, io: &mut Io<'_>) -> Result<(Vec<Tenant>, Unlisted), Failure> {
    let (mut tenants, unknown) = match &options.tenants {
        Some(file) => (read(file)?, Vec::new()),
        None => look(options, io).await,
    };
    if options.only.is_empty() {
        return Ok((tenants, unknown));
    }
    let missing = options.only.iter().find(|name| !tenants.iter().any(|tenant| tenant.name == **name));
    if let Some(name) = missing {
        return Err(Failure::stopped(format!("no stack of the fleet is called {name}.")));
    }
    tenants.retain(|tenant| options.only.contains(&tenant.name));
    Ok((tenants, unknown))
}

/// Replaces a stack's name if no stack could be listed.
const ANY: &str = "*";

/// Lists the stacks of each region; the AWS CLI follows all pages.
async fn look(options: &FleetOptions, io: &mut Io<'_>) -> (Vec<Tenant>, Unlisted) {
    let (mut tenants, mut unknown) = (Vec::new(), Vec::new());
    let regions: BTreeSet<_> = options.regions.iter().map(|region| Some(region.as_str())).collect();
    let regions = if regions.is_empty() { BTreeSet::from([None]) } else { regions };
    for region in regions {
        io.say(&format!(
            "looking for stacks with the tag {}{}",
            options.tag,
            region.map_or_else(String::new, |region| format!(" in {region}"))
        ));
        match io.aws.in_region(region).ask(&["cloudformation", "describe-stacks"]).await {
            Ok(listed) => tenants.extend(tagged(&listed, &options.tag)),
            Err(said) => {
                let failure = Failure::stopped(format!("aws cloudformation describe-stacks failed: {said}"));
                unknown.push((Tenant::named(ANY, region), failure));
            }
        }
    }
    (tenants, unknown)
}

/// Returns the listed stacks that have the tag, by name.
fn tagged(listed: &str, key: &str) -> Vec<Tenant> {
    let listed: Value = serde_json::from_str(listed).unwrap_or_default();
    let stacks = listed.get("Stacks").and_then(Value::as_array).into_iter().flatten();
    let has_tag = |stack: &&Value| {
        let mut tags = stack.get("Tags").and_then(Value::as_array).into_iter().flatten();
        tags.any(|tag| tag.get("Key").and_then(Value::as_str) == Some(key))
    };
    let tenant = |stack: &Value| {
        let described = json!({ "Stacks": [stack] }).to_string();
        let name = stack.get("StackName").and_then(Value::as_str)?;
        let region = region_of(&described);
        Some(Tenant { described: Some(described), ..Tenant::named(name, region.as_deref()) })
    };
    let mut tenants: Vec<_> = stacks.filter(has_tag).filter_map(tenant).collect();
    tenants.sort_by(|one, other| one.name.cmp(&other.name));
    tenants
}

/// Reads the tenants of a file. Errors do not quote the file, because it may contain secrets.
fn read(file: &Path) -> Result<Vec<Tenant>, Failure> {
    let name = file.display();
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| Failure::stopped(format!("{name} cannot be read: {error}.")))?;
    let Listed { tenants } = serde_json::from_str(&text).map_err(|error| {
        Failure::stopped(format!(
            "{name} does not have the form that `hitl fleet --help` shows: line {}, column {}.",
            error.line(),
            error.column()
        ))
    })?;
    if tenants.iter().any(|tenant| !tenant.answers.is_empty()) {
        only_its_owner_reads(file)?;
    }
    let mut seen = BTreeSet::new();
    for tenant in &tenants {
        if !seen.insert((&tenant.name, &tenant.region)) {
            return Err(Failure::stopped(format!("{name} lists the stack {} twice.", tenant.name)));
        }
        if let Some(odd) = tenant.answers.keys().find(|answer| !ANSWERS.contains(&answer.as_str())) {
            return Err(Failure::stopped(format!(
                "{name}, stack {}: {odd} is not a known answer. The answers are: {}.",
                tenant.name,
                ANSWERS.join(", ")
            )));
        }
    }
    Ok(tenants)
}

#[cfg(unix)]
fn only_its_owner_reads(file: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let others = std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    match others {
        true => Err(Failure::stopped(format!(
            "{0} contains secret answers and must be readable by its owner alone: chmod 600 {0}.",
            file.display()
        ))),
        false => Ok(()),
    }
}

#[cfg(not(unix))]
fn only_its_owner_reads(_: &Path) -> Result<(), Failure> {
    Ok(())
}
