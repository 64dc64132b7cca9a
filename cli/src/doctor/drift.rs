//! `hitl doctor --drift`: what the vendors publish about themselves, compared with what this version was built for.

use serde_json::{Value, json};
use shared::botpress::{self, Interface};
use shared::bridge::webhooks;
use shared::livechat::{API_VERSION, Caller, Probed};
use shared::redacted::Redacted;

use super::Report;
use crate::Io;
use crate::connect::definition::INTERFACE;
use crate::output::{Answer, Failure, causes};
use crate::target::Target;

/// The versions that can follow [`INTERFACE`]: Botpress has no documented list of an interface's versions, so each is asked for.
const INTERFACE_SUCCESSORS: [&str; 3] = ["2.1.1", "2.2.0", "3.0.0"];

const CURE: &str =
    "Compare docs/contract.md with the vendor's changelog, and look for a newer version of livechat-hitl.";

/// Checks everything; changes nothing.
pub(crate) async fn run(target: &Target, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let mut report = Report::default();
    io.step(1, 2, "asking LiveChat which webhooks it offers");
    look_at_livechat(target, &mut report).await?;
    io.step(2, 2, "asking Botpress for the interface");
    look_at_interface(target, &mut report).await;
    Ok(Answer::new(report.exit(), &report))
}

async fn look_at_livechat(target: &Target, report: &mut Report) -> Result<(), Failure> {
    let token: Redacted = target.vault()?.read().await?.current.incomplete()?.agent_token;
    let config = target.config()?;
    let client = target.livechat(&config);
    // The call needs no credential of its own; a token selects the data centre.
    match client.probe(Caller::Owner(&token), "list_webhook_names", &json!({})).await {
        Ok(answer) => {
            look_at_stage(&answer, report);
            look_at_webhooks(&answer, config.only_my_chats, report);
        }
        Err(error) => report.finding(
            "livechat",
            causes(&error),
            "Try again; if the error persists, check LiveChat's status page.",
        ),
    }
    Ok(())
}

fn look_at_stage(answer: &Probed, report: &mut Report) {
    const NAME: &str = "api version";
    match &answer.ends {
        None => report.ok(NAME, format!("LiveChat {API_VERSION} is stable")),
        Some((stage, date)) => {
            report.finding(NAME, format!("LiveChat {API_VERSION} is in its {stage} stage, which ends on {date}"), CURE);
        }
    }
}

fn look_at_webhooks(answer: &Probed, only_my_chats: bool, report: &mut Report) {
    const NAME: &str = "webhook names";
    let Some(offered) = answer.body.as_array().filter(|_| answer.is_success()) else {
        return report.finding(NAME, format!("LiveChat answers {} without a list", answer.status), CURE);
    };
    let missing: Vec<_> =
        webhooks::ACTIONS.into_iter().filter_map(|action| lacks(offered, action, only_my_chats)).collect();
    match missing.as_slice() {
        [] => report.ok(NAME, format!("all {} are offered, with their filters", webhooks::ACTIONS.len())),
        missing => report.finding(NAME, format!("LiveChat does not offer {}", missing.join(", ")), CURE),
    }
}

/// Returns what the vendor does not offer of a webhook: the webhook itself, or a filter that it is registered with.
fn lacks(offered: &[Value], action: &str, only_my_chats: bool) -> Option<String> {
    let Some(entry) = offered.iter().find(|one| one.get("action").and_then(Value::as_str) == Some(action)) else {
        return Some(action.to_owned());
    };
    let used = serde_json::to_value(webhooks::filters(action, only_my_chats)).unwrap_or_default();
    let has = |name: &str| entry.get("filters").and_then(Value::as_array).is_some_and(|all| all.contains(&json!(name)));
    let gone = used.as_object().into_iter().flat_map(|used| used.keys()).find(|name| !has(name))?;
    Some(format!("the filter {gone} of {action}"))
}

async fn look_at_interface(target: &Target, report: &mut Report) {
    const NAME: &str = "interface";
    let (name, version) = INTERFACE;
    let token = target.get("BOTPRESS_PERSONAL_ACCESS_TOKEN").map(Redacted::from);
    let (Some(token), Some(workspace)) = (token, target.get("BOTPRESS_WORKSPACE_ID")) else {
        let why = "needs BOTPRESS_PERSONAL_ACCESS_TOKEN and BOTPRESS_WORKSPACE_ID; neither is stored";
        return report.skipped(NAME, why);
    };
    let botpress = target.botpress();
    let admin = botpress.admin(&token, &workspace);
    let looked = async {
        let fault = match admin.interface(name, version).await {
            Err(error) if error.is_not_found() => Some(format!("Botpress does not publish {name} {version} any more")),
            published => lacking_action(&published?).map(|action| format!("{name} {version} has no action {action}")),
        };
        if fault.is_some() {
            return Ok(fault);
        }
        for newer in INTERFACE_SUCCESSORS {
            match admin.interface(name, newer).await {
                Err(error) if error.is_not_found() => {}
                published => {
                    drop(published?);
                    return Ok(Some(format!("Botpress publishes {name} {newer}; this version has {version}")));
                }
            }
        }
        Ok::<_, botpress::Error>(None)
    };
    match looked.await {
        Ok(Some(fault)) => report.finding(NAME, fault, CURE),
        Ok(None) => {
            report.ok(NAME, format!("{name} {version} is published, with its three actions, and no next version"));
        }
        Err(error) => report.finding(
            NAME,
            causes(&error),
            "Check the token; if the error persists, check Botpress's status page.",
        ),
    }
}

/// Returns an action that this version calls and the interface does not have.
fn lacking_action(interface: &Interface) -> Option<&'static str> {
    ["createUser", "startHitl", "stopHitl"].into_iter().find(|action| interface.actions.get(*action).is_none())
}
