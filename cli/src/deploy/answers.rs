//! CloudFormation's answers through the AWS CLI, and what follows from them; no calls.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::arguments::TAG;
use crate::output::Failure;

/// The parameter that reports a changed text to the template.
const REVISION: &str = "Revision";

/// The parameters that become variables of the functions and that are too long for a version's description.
const TEXTS: [&str; 10] = [
    "BotcopyResumeEvent",
    "BotpressIntegrationIds",
    "ExistingSecretArn",
    "ExistingTableName",
    "Language",
    "LiveChatClientId",
    "LiveChatOrganizationId",
    "LiveChatRedirectUri",
    "MediaHosts",
    "Wording",
];

/// An existing stack.
#[derive(Clone, Debug, Default)]
pub(crate) struct Existing {
    pub parameters: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    /// CloudFormation's `StackStatus`.
    pub status: String,
}

impl Existing {
    pub(crate) fn read(described: &str) -> Self {
        let described: Value = serde_json::from_str(described).unwrap_or_default();
        let stack = described.pointer("/Stacks/0").cloned().unwrap_or_default();
        let pairs = |name: &str, key: &str, value: &str| {
            list(&stack, name).filter_map(|one| Some((text(one, key)?, text(one, value)?))).collect()
        };
        Self {
            parameters: pairs("Parameters", "ParameterKey", "ParameterValue"),
            tags: pairs("Tags", "Key", "Value"),
            status: text(&stack, "StackStatus").unwrap_or_default(),
        }
    }

    /// Returns the tags for a change set. They include the operator's, because a change set replaces all tags but AWS's own.
    pub(crate) fn tags(&self) -> Value {
        let mut tags = self.tags.clone();
        tags.retain(|key, _| !key.starts_with("aws:"));
        tags.insert(TAG.0.to_owned(), TAG.1.to_owned());
        tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
    }

    /// Returns whether the stack only exists for a change set that has never been executed.
    pub(crate) fn is_empty(&self) -> bool {
        self.status == "REVIEW_IN_PROGRESS"
    }

    /// Returns why nothing can be changed now.
    pub(crate) fn obstacle(&self, name: &str) -> Option<Failure> {
        match progress(&self.status) {
            Progress::Going if !self.is_empty() => Some(Failure::refused(format!(
                "the stack {name} is {}: wait until that has ended, and run this again.",
                self.status
            ))),
            Progress::Failed if !self.status.starts_with("UPDATE_ROLLBACK_COMPLETE") => {
                Some(Failure::refused(format!(
                    "the stack {name} is {}, and CloudFormation cannot change it in that state. If it has never worked, delete it \
                     (aws cloudformation delete-stack --stack-name {name}) and run this again.",
                    self.status
                )))
            }
            _ => None,
        }
    }
}

/// The progress of a stack's operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Going,
    Done,
    Failed,
}

pub(crate) fn progress(status: &str) -> Progress {
    match status {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => Progress::Done,
        _ if status.ends_with("_IN_PROGRESS") => Progress::Going,
        _ => Progress::Failed,
    }
}

/// Returns the input of `create-change-set`: the given values, and the stack's own for all others that the template still has.
pub(crate) fn parameters(
    template: &BTreeSet<String>,
    given: &BTreeMap<String, String>,
    existing: &BTreeMap<String, String>,
) -> Result<Value, Failure> {
    if let Some(unknown) = given.keys().find(|name| !template.contains(*name)) {
        return Err(Failure::stopped(format!(
            "the template has no parameter {unknown}; docs/configuration.md lists them."
        )));
    }
    let entry = |name: &String| match (given.get(name), existing.get(name)) {
        (Some(value), _) => Some(json!({ "ParameterKey": name, "ParameterValue": value })),
        (None, Some(_)) => Some(json!({ "ParameterKey": name, "UsePreviousValue": true })),
        (None, None) => None,
    };
    Ok(template.iter().filter_map(entry).collect())
}

/// Returns the given values with a revision that changes with the texts: only then do the functions get the new text.
pub(crate) fn revised(
    mut given: BTreeMap<String, String>,
    existing: &BTreeMap<String, String>,
    template: &BTreeSet<String>,
) -> BTreeMap<String, String> {
    if !template.contains(REVISION) || given.contains_key(REVISION) {
        return given;
    }
    let value = |name: &str| given.get(name).or_else(|| existing.get(name)).map_or("", String::as_str);
    // An existing stack lists its default values; a new one does not.
    let own = TEXTS.iter().map(|name| (name, value(name))).filter(|(_, value)| !matches!(*value, "" | "default"));
    let digest = own.fold(Sha256::new(), |digest, (name, value)| digest.chain_update(format!("{name}={value}\n")));
    let revision = digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    given.insert(REVISION.to_owned(), revision);
    given
}

/// A change that CloudFormation would make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    pub action: String,
    pub resource: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the resource is replaced: `True`, `False`, `Conditional`; absent for new ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
}

/// The state of a change set.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ChangeSet {
    Pending,
    Ready(Vec<Change>),
    Empty,
    Failed(String),
}

impl ChangeSet {
    pub(crate) fn read(described: &str) -> Self {
        let described: Value = serde_json::from_str(described).unwrap_or_default();
        let reason = text(&described, "StatusReason").unwrap_or_default();
        match text(&described, "Status").as_deref() {
            Some("CREATE_COMPLETE") => Self::Ready(list(&described, "Changes").filter_map(change).collect()),
            Some("FAILED")
                if reason.contains("didn't contain changes") || reason.contains("No updates are to be performed") =>
            {
                Self::Empty
            }
            Some("CREATE_PENDING" | "CREATE_IN_PROGRESS") => Self::Pending,
            Some(status) => Self::Failed(format!("{status}: {reason}")),
            None => Self::Failed("the AWS CLI's answer has no status".to_owned()),
        }
    }
}

fn change(one: &Value) -> Option<Change> {
    let one = one.get("ResourceChange")?;
    Some(Change {
        action: text(one, "Action")?,
        resource: text(one, "LogicalResourceId")?,
        kind: text(one, "ResourceType")?,
        replacement: text(one, "Replacement"),
    })
}

/// An event of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub id: String,
    pub status: String,
    pub resource: String,
    pub kind: String,
    pub reason: Option<String>,
}

impl Event {
    /// Returns the events since the one with this id, oldest first; all that are listed, if that one is not among them.
    pub(crate) fn since(described: &str, last: Option<&str>) -> Vec<Self> {
        let described: Value = serde_json::from_str(described).unwrap_or_default();
        let read = |one: &Value| {
            Some(Self {
                id: text(one, "EventId")?,
                status: text(one, "ResourceStatus")?,
                resource: text(one, "LogicalResourceId")?,
                kind: text(one, "ResourceType")?,
                reason: text(one, "ResourceStatusReason"),
            })
        };
        let events = list(&described, "StackEvents").filter_map(read);
        let mut events: Vec<_> = events.take_while(|event| last != Some(event.id.as_str())).collect();
        events.reverse();
        events
    }

    pub(crate) fn is_of_stack(&self) -> bool {
        self.kind == "AWS::CloudFormation::Stack"
    }

    pub(crate) fn is_over(&self) -> bool {
        self.status.ends_with("_COMPLETE")
    }

    /// Returns why the resource failed, unless it only failed along with another.
    pub(crate) fn failure(&self) -> Option<String> {
        let reason = self.reason.clone().unwrap_or_default();
        let taken_along = reason.contains("cancelled") || reason.contains("The following resource(s) failed");
        (self.status.ends_with("_FAILED") && !taken_along)
            .then(|| format!("{} ({}): {reason}", self.resource, self.kind))
    }
}

/// Returns the physical names of a stack's alarms by their names in the template, from the answer of `list-stack-resources`.
pub(crate) fn alarms(listed: &str) -> BTreeMap<String, String> {
    let listed: Value = serde_json::from_str(listed).unwrap_or_default();
    let alarms = list(&listed, "StackResourceSummaries")
        .filter(|one| text(one, "ResourceType").as_deref() == Some("AWS::CloudWatch::Alarm"));
    alarms.filter_map(|one| Some((text(one, "PhysicalResourceId")?, text(one, "LogicalResourceId")?))).collect()
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn parameters_that_are_not_named_keep_their_values_and_those_the_template_lacks_are_left_out() {
        let template = ["A", "B", "C"].map(str::to_owned).into();
        let (given, existing) = (map(&[("A", "new")]), map(&[("A", "old"), ("B", "kept"), ("Gone", "x")]));
        let expected = json!([
            { "ParameterKey": "A", "ParameterValue": "new" },
            { "ParameterKey": "B", "UsePreviousValue": true },
        ]);
        assert_eq!(parameters(&template, &given, &existing).unwrap(), expected);
        let unknown = parameters(&template, &map(&[("D", "x")]), &existing).unwrap_err();
        assert!(unknown.to_string().contains("no parameter D"), "{unknown}");
    }

    #[test]
    fn a_text_that_changes_changes_the_revision_and_nothing_else_does() {
        let template = [REVISION, "Wording", "LogLevel"].map(str::to_owned).into();
        let revision = |given: &[(&str, &str)], existing: &[(&str, &str)]| {
            revised(map(given), &map(existing), &template).remove(REVISION).unwrap()
        };
        let first = revision(&[("LiveChatClientId", "a")], &[]);
        let known = [("LiveChatClientId", "a"), ("BotcopyResumeEvent", "default"), ("Wording", ""), (REVISION, "old")];
        assert_eq!(revision(&[("LogLevel", "debug")], &known), first);
        assert_ne!(revision(&[("Wording", "{}")], &known), first);
        assert_eq!(revision(&[(REVISION, "mine"), ("Wording", "{}")], &known), "mine");
        let without = revised(map(&[("Wording", "{}")]), &map(&[]), &["Wording".to_owned()].into());
        assert!(!without.contains_key(REVISION), "the template of an earlier release");
    }

    /// A variable that is in neither would not reach the functions before their code changes.
    #[test]
    fn every_variable_of_the_functions_is_in_the_versions_description_or_in_the_revision() {
        const TEMPLATE: &str = include_str!("../../../template.yaml");
        let (_, variables) = TEMPLATE.split_once("      Variables:\n").unwrap();
        let variables = variables.lines().take_while(|line| line.starts_with("        "));
        let parameter = |line: &str| {
            let (_, name) = line.rsplit_once("!Ref ").filter(|_| !line.contains("AWS::NoValue"))?;
            Some(name.trim_end_matches(']').to_owned()).filter(|name| name != "AWS::StackName")
        };
        let optional = |line: &str| Some(line.split_once(", !Ref ")?.1.split(',').next()?.to_owned());
        let read: BTreeSet<_> = variables.filter_map(|line| parameter(line).or_else(|| optional(line))).collect();
        assert!(read.len() > 20, "{read:?}");
        let described: Vec<_> = TEMPLATE.split("VersionDescription: !Sub \"").skip(1).collect();
        assert_eq!(described.len(), 2, "of both functions");
        for described in described {
            let (described, _) = described.split_once('"').unwrap();
            let names: BTreeSet<_> =
                described.split("${").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect();
            assert!(names.contains(REVISION));
            let covered = names.iter().map(String::as_str).chain(TEXTS).collect::<BTreeSet<_>>();
            let missing: Vec<_> = read.iter().filter(|name| !covered.contains(name.as_str())).collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
    }

    #[test]
    fn a_stack_keeps_the_tags_of_its_operator_and_gets_the_one_by_which_it_is_found() {
        let tags =
            json!([{ "Key": "CostCenter", "Value": "7" }, { "Key": "aws:cloudformation:stack-name", "Value": "acme" }]);
        let described = json!({ "Stacks": [{ "StackStatus": "CREATE_COMPLETE", "Tags": tags }] });
        let expected = json!([{ "Key": "CostCenter", "Value": "7" }, { "Key": TAG.0, "Value": TAG.1 }]);
        assert_eq!(Existing::read(&described.to_string()).tags(), expected);
    }

    #[test]
    fn only_a_stack_that_can_be_changed_is_changed() {
        for (status, changes) in [
            ("CREATE_COMPLETE", true),
            ("UPDATE_COMPLETE", true),
            ("UPDATE_ROLLBACK_COMPLETE", true),
            ("REVIEW_IN_PROGRESS", true),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", false),
            ("CREATE_IN_PROGRESS", false),
            ("ROLLBACK_COMPLETE", false),
            ("UPDATE_ROLLBACK_FAILED", false),
        ] {
            let stack = Existing { status: status.to_owned(), ..Existing::default() };
            assert_eq!(stack.obstacle("acme").is_none(), changes, "{status}");
        }
    }

    #[test]
    fn a_change_set_is_read_as_changes_as_nothing_to_do_or_as_a_failure() {
        let ready = json!({ "Status": "CREATE_COMPLETE", "Changes": [{ "Type": "Resource", "ResourceChange":
            { "Action": "Modify", "LogicalResourceId": "Table", "ResourceType": "AWS::DynamoDB::Table", "Replacement": "True" } }] });
        let change = Change {
            action: "Modify".to_owned(),
            resource: "Table".to_owned(),
            kind: "AWS::DynamoDB::Table".to_owned(),
            replacement: Some("True".to_owned()),
        };
        assert_eq!(ChangeSet::read(&ready.to_string()), ChangeSet::Ready(vec![change]));
        let empty = json!({ "Status": "FAILED", "StatusReason": "The submitted information didn't contain changes. Submit different …" });
        assert_eq!(ChangeSet::read(&empty.to_string()), ChangeSet::Empty);
        let failed = json!({ "Status": "FAILED", "StatusReason": "Template error" });
        assert_eq!(ChangeSet::read(&failed.to_string()), ChangeSet::Failed("FAILED: Template error".to_owned()));
        assert_eq!(ChangeSet::read(r#"{"Status":"CREATE_PENDING"}"#), ChangeSet::Pending);
    }

    #[test]
    fn events_are_told_once_in_their_order_and_name_the_first_cause() {
        let event = |id: &str, status: &str, reason: &str| json!({ "EventId": id, "ResourceStatus": status, "LogicalResourceId": id, "ResourceType": "T", "ResourceStatusReason": reason });
        let listed = json!({ "StackEvents": [
            event("3", "CREATE_FAILED", "Resource creation cancelled"),
            event("2", "CREATE_FAILED", "no such processor"),
            event("1", "CREATE_COMPLETE", ""),
        ] })
        .to_string();
        let ids = |last| Event::since(&listed, last).into_iter().map(|event| event.id).collect::<Vec<_>>();
        assert_eq!(ids(None), ["1", "2", "3"]);
        assert_eq!(ids(Some("1")), ["2", "3"]);
        assert!(ids(Some("3")).is_empty());
        let causes: Vec<_> = Event::since(&listed, None).iter().filter_map(Event::failure).collect();
        assert_eq!(causes, ["2 (T): no such processor"]);
        assert_eq!(progress("UPDATE_ROLLBACK_COMPLETE"), Progress::Failed);
        assert_eq!(progress("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"), Progress::Going);
    }
}
