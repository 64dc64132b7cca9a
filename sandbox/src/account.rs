//! An AWS account as the AWS CLI shows it: stacks in regions, their change sets and alarms. It stores what commands write, and journals
//! the changes; no functions run in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

/// What may go wrong with one stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The caller may not describe it.
    Denied,
    /// CloudFormation answers every call about it with `Throttling`.
    Throttled,
    /// An update of it fails and is rolled back.
    UpdateFails,
    /// This alarm of the template goes off once the stack is updated.
    RingsAfterUpdate(&'static str),
}

/// A stack, as its template and parameters define it.
#[derive(Clone, Debug, Default)]
pub struct Stack {
    /// By name.
    pub parameters: BTreeMap<String, String>,
    /// By name.
    pub outputs: BTreeMap<String, String>,
    /// By key.
    pub tags: BTreeMap<String, String>,
    /// The text of its template, packaged.
    pub template: String,
    /// The alarms that are on, by their names in the template.
    pub ringing: BTreeSet<String>,
    /// CloudFormation's `StackStatus`; [`Account::add`] sets it.
    pub status: String,
    /// The stack that each change set would produce, by name.
    pub change_sets: BTreeMap<String, Box<Stack>>,
    /// The events of `describe-stack-events`, oldest first.
    pub events: Vec<Value>,
}

/// The alarms of every stack.
const ALARMS: [&str; 2] = ["HealthAlarm", "ParkedAlarm"];

#[derive(Debug, Default)]
struct State {
    /// By region and name.
    stacks: BTreeMap<(String, String), Stack>,
    troubles: BTreeMap<String, Trouble>,
    unreachable: BTreeSet<String>,
    outputs: BTreeMap<String, String>,
    journal: Vec<String>,
    events: usize,
}

/// The account; copies share it.
#[derive(Clone, Debug, Default)]
pub struct Account(Arc<Mutex<State>>);

impl Account {
    /// The region of calls that name none.
    pub const REGION: &str = "us-east-1";

    /// Returns the stand-in for the AWS CLI.
    pub fn cli(&self) -> Arc<cli::Cli> {
        let account = self.clone();
        Arc::new(move |command: &[&str]| account.run(command))
    }

    /// Adds a stack, as if it had been created.
    pub fn add(&self, region: &str, name: &str, stack: Stack) {
        let stack = Stack { status: "CREATE_COMPLETE".to_owned(), ..stack };
        self.with(|state| state.stacks.insert((region.to_owned(), name.to_owned()), stack));
    }

    /// Returns the stack in its present state.
    pub fn stack(&self, region: &str, name: &str) -> Option<Stack> {
        self.with(|state| state.stacks.get(&(region.to_owned(), name.to_owned())).cloned())
    }

    /// Sets what goes wrong with each stack of this name from now on; none ends it.
    pub fn trouble(&self, name: &str, trouble: Option<Trouble>) {
        self.with(|state| match trouble {
            Some(trouble) => state.troubles.insert(name.to_owned(), trouble),
            None => state.troubles.remove(name),
        });
    }

    /// Sets the outputs of each stack that is created from now on.
    pub fn give_new_stacks(&self, outputs: BTreeMap<String, String>) {
        self.with(|state| state.outputs = outputs);
    }

    /// Turns an alarm on or off.
    pub fn ring(&self, region: &str, name: &str, alarm: &str, is_on: bool) {
        self.with(|state| {
            let stack = state.stacks.entry((region.to_owned(), name.to_owned())).or_default();
            if is_on { stack.ringing.insert(alarm.to_owned()) } else { stack.ringing.remove(alarm) }
        });
    }

    /// Cuts off a region: no call there is answered from now on.
    pub fn cut_off(&self, region: &str) {
        self.with(|state| state.unreachable.insert(region.to_owned()));
    }

    /// Returns the changes, in order: `packaged REGION`, `created NAME`, `updated NAME`, `failed NAME`.
    pub fn journal(&self) -> Vec<String> {
        self.with(|state| state.journal.clone())
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn run(&self, command: &[&str]) -> Result<String, String> {
        let call = Call::read(command);
        self.with(|state| {
            if state.unreachable.contains(call.region()) {
                return Err(format!("Could not connect to the endpoint URL of {}", call.region()));
            }
            match state.troubles.get(call.option("--stack-name")) {
                Some(Trouble::Denied) => Err(call.refusal("AccessDenied", "the caller is not authorized")),
                Some(Trouble::Throttled) => Err(call.refusal("Throttling", "Rate exceeded")),
                _ => state.answer(&call),
            }
        })
    }
}

/// A command line: service and call, and the values of each option.
struct Call<'a> {
    words: [&'a str; 2],
    options: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Call<'a> {
    fn read(command: &[&'a str]) -> Self {
        let mut words = command.iter().copied();
        let named = [words.next().unwrap_or_default(), words.next().unwrap_or_default()];
        let (mut options, mut last) = (BTreeMap::<_, Vec<_>>::new(), "");
        for word in words {
            if word.starts_with("--") {
                last = word;
                options.entry(word).or_default();
            } else {
                options.entry(last).or_default().push(word);
            }
        }
        Self { words: named, options }
    }

    fn option(&self, name: &str) -> &'a str {
        self.options.get(name).and_then(|values| values.first()).copied().unwrap_or_default()
    }

    fn region(&self) -> &'a str {
        Some(self.option("--region")).filter(|region| !region.is_empty()).unwrap_or(Account::REGION)
    }

    fn key(&self) -> (String, String) {
        (self.region().to_owned(), self.option("--stack-name").to_owned())
    }

    fn refusal(&self, code: &str, says: &str) -> String {
        format!("An error occurred ({code}) when calling {}: {says}", self.words[1])
    }

    fn missing(&self) -> String {
        self.refusal("ValidationError", &format!("Stack with id {} does not exist", self.option("--stack-name")))
    }

    /// Returns the content of a file that an option names, with or without `file://`.
    fn file(&self, option: &str) -> Result<String, String> {
        let path = self.option(option);
        let read = std::fs::read_to_string(path.strip_prefix("file://").unwrap_or(path));
        read.map_err(|error| format!("Unable to load {path}: {error}"))
    }
}

impl State {
    fn answer(&mut self, call: &Call<'_>) -> Result<String, String> {
        match call.words {
            ["sts", "get-caller-identity"] => Ok(json!({ "Account": "123456789012" }).to_string()),
            ["configure", "get"] => Ok(Account::REGION.to_owned()),
            ["lambda", "get-account-settings"] => {
                let limit = json!({ "ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000 });
                Ok(json!({ "AccountLimit": limit }).to_string())
            }
            ["s3api", "head-bucket"] => Ok(String::new()),
            ["cloudformation", "package"] => self.package(call),
            ["cloudformation", "describe-stacks"] => self.describe(call),
            ["cloudformation", "create-change-set"] => self.create_change_set(call),
            ["cloudformation", "describe-change-set"] => self.describe_change_set(call),
            ["cloudformation", "delete-change-set"] => {
                let stack = self.stacks.get_mut(&call.key()).ok_or_else(|| call.missing())?;
                stack.change_sets.remove(call.option("--change-set-name"));
                Ok(String::new())
            }
            ["cloudformation", "execute-change-set"] => self.execute(call),
            ["cloudformation", "describe-stack-events"] => {
                let stack = self.stacks.get(&call.key()).ok_or_else(|| call.missing())?;
                let events: Vec<_> = stack.events.iter().rev().collect();
                Ok(json!({ "StackEvents": events }).to_string())
            }
            ["cloudformation", "list-stack-resources"] => {
                let name = call.option("--stack-name");
                let alarm = |alarm| json!({ "ResourceType": "AWS::CloudWatch::Alarm", "LogicalResourceId": alarm, "PhysicalResourceId": format!("{name}-{alarm}-1") });
                self.stacks.get(&call.key()).ok_or_else(|| call.missing())?;
                Ok(json!({ "StackResourceSummaries": ALARMS.map(alarm) }).to_string())
            }
            ["cloudwatch", "describe-alarms"] => Ok(self.alarms(call)),
            [service, name] => Err(format!("the simulated account has no aws {service} {name}")),
        }
    }

    fn describe(&self, call: &Call<'_>) -> Result<String, String> {
        let (region, name) = call.key();
        let is_meant = |key: &(String, String)| key.0 == region && (name.is_empty() || key.1 == name);
        let found = self.stacks.iter().filter(|(key, _)| is_meant(key));
        let pairs = |map: &BTreeMap<String, String>, key: &str, value: &str| {
            map.iter().map(|(name, text)| json!({ key: name, value: text })).collect::<Vec<_>>()
        };
        let found: Vec<_> = found
            .map(|((region, name), stack)| {
                json!({
                    "StackName": name,
                    "StackId": format!("arn:aws:cloudformation:{region}:123456789012:stack/{name}/1"),
                    "StackStatus": stack.status,
                    "Parameters": pairs(&stack.parameters, "ParameterKey", "ParameterValue"),
                    "Outputs": pairs(&stack.outputs, "OutputKey", "OutputValue"),
                    "Tags": pairs(&stack.tags, "Key", "Value"),
                })
            })
            .collect();
        match found.is_empty() && !name.is_empty() {
            true => Err(call.missing()),
            false => Ok(json!({ "Stacks": found }).to_string()),
        }
    }

    fn package(&mut self, call: &Call<'_>) -> Result<String, String> {
        let packaged = format!("{}# packaged for {}\n", call.file("--template-file")?, call.region());
        let path = call.option("--output-template-file");
        std::fs::write(path, packaged).map_err(|error| format!("Unable to write {path}: {error}"))?;
        self.journal.push(format!("packaged {}", call.region()));
        Ok(String::new())
    }

    fn create_change_set(&mut self, call: &Call<'_>) -> Result<String, String> {
        let (template, listed) = (call.file("--template-body")?, call.file("--parameters")?);
        let is_new = call.option("--change-set-type") == "CREATE";
        if is_new == self.stacks.contains_key(&call.key()) {
            return Err(call.refusal("ValidationError", "the stack exists already, or does not exist"));
        }
        let stack = self
            .stacks
            .entry(call.key())
            .or_insert_with(|| Stack { status: "REVIEW_IN_PROGRESS".to_owned(), ..Stack::default() });
        let listed: Vec<Value> = serde_json::from_str(&listed).map_err(|error| error.to_string())?;
        let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
        let parameters = listed.iter().filter_map(|one| {
            let name = text(one, "ParameterKey")?;
            let value = text(one, "ParameterValue").or_else(|| stack.parameters.get(&name).cloned())?;
            Some((name, value))
        });
        let tags: Vec<Value> = serde_json::from_str(call.option("--tags")).map_err(|error| error.to_string())?;
        let wanted = Stack {
            parameters: parameters.collect(),
            tags: tags.iter().filter_map(|one| Some((text(one, "Key")?, text(one, "Value")?))).collect(),
            template,
            ..stack.clone()
        };
        stack.change_sets.insert(call.option("--change-set-name").to_owned(), Box::new(wanted));
        Ok("{}".to_owned())
    }

    fn describe_change_set(&self, call: &Call<'_>) -> Result<String, String> {
        let stack = self.stacks.get(&call.key()).ok_or_else(|| call.missing())?;
        let wanted = stack.change_sets.get(call.option("--change-set-name"));
        let wanted = wanted.ok_or_else(|| call.refusal("ChangeSetNotFound", "there is none of this name"))?;
        let is_same =
            (&wanted.template, &wanted.parameters, &wanted.tags) == (&stack.template, &stack.parameters, &stack.tags);
        let change = json!({ "Action": "Modify", "LogicalResourceId": "Actions", "ResourceType": "AWS::Lambda::Function", "Replacement": "False" });
        Ok(match is_same {
            true => json!({ "Status": "FAILED", "StatusReason": "The submitted information didn't contain changes." }),
            false => json!({ "Status": "CREATE_COMPLETE", "Changes": [{ "ResourceChange": change }] }),
        }
        .to_string())
    }

    fn execute(&mut self, call: &Call<'_>) -> Result<String, String> {
        let name = call.option("--stack-name");
        let trouble = self.troubles.get(name).copied();
        let stack = self.stacks.get_mut(&call.key()).ok_or_else(|| call.missing())?;
        let wanted = stack.change_sets.remove(call.option("--change-set-name"));
        let wanted = wanted.ok_or_else(|| call.refusal("ChangeSetNotFound", "there is none of this name"))?;
        let (events, is_new) = (stack.events.clone(), stack.status == "REVIEW_IN_PROGRESS");
        let (status, entry) = match (trouble, is_new) {
            (Some(Trouble::UpdateFails), _) => ("UPDATE_ROLLBACK_COMPLETE", format!("failed {name}")),
            (_, true) => ("CREATE_COMPLETE", format!("created {name}")),
            (_, false) => ("UPDATE_COMPLETE", format!("updated {name}")),
        };
        if trouble != Some(Trouble::UpdateFails) {
            *stack = Stack { change_sets: BTreeMap::new(), events, ..*wanted };
        }
        if is_new {
            stack.outputs.clone_from(&self.outputs);
        }
        if let Some(Trouble::RingsAfterUpdate(alarm)) = trouble {
            stack.ringing.insert(alarm.to_owned());
        }
        stack.status = status.to_owned();
        self.events += 1;
        stack.events.push(json!({
            "EventId": self.events.to_string(),
            "ResourceStatus": status,
            "LogicalResourceId": name,
            "ResourceType": "AWS::CloudFormation::Stack",
        }));
        self.journal.push(entry);
        Ok(String::new())
    }

    fn alarms(&self, call: &Call<'_>) -> String {
        let asked = call.options.get("--alarm-names").into_iter().flatten();
        let is_on = |full: &&&str| {
            let stacks = self.stacks.iter().filter(|((region, _), _)| region == call.region());
            stacks
                .flat_map(|((_, name), stack)| stack.ringing.iter().map(move |alarm| format!("{name}-{alarm}-1")))
                .any(|ringing| ringing == ***full)
        };
        let on: Vec<_> = asked.filter(is_on).map(|name| json!({ "AlarmName": name, "StateValue": "ALARM" })).collect();
        json!({ "MetricAlarms": on }).to_string()
    }
}
