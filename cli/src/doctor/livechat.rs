//! LiveChat: the app, the group, the agent token and its scopes, the data centre, the webhooks.

use shared::bridge::webhooks;
use shared::config::WhenOffline;
use shared::ids::GroupId;
use shared::livechat::{Configuration, Error, GroupStatus, Region, WebhookRegistration};
use shared::operator::secret::Contents;
use shared::secrets::{self, Secrets};

use super::{Patient, Report};
use crate::app::cure_of_check;
use crate::connect::livechat::{groups_sentence, missing_scopes};
use crate::output::{Failure, causes};

/// The checks of [`look_at_app`].
pub(super) const OF_APP: &[&str] = &["app", "group"];

/// The checks of [`look_at_token`].
pub(super) const OF_TOKEN: &[&str] = &["agent token", "region", "scopes", "webhooks", "webhooks are sent"];

/// The checks that depend on the agent token.
const BEHIND_TOKEN: &[&str] = &["region", "scopes", "webhooks", "webhooks are sent"];

/// Checks client id, organization, redirect URI and group through the functions' own checks.
pub(super) async fn look_at_app(patient: &Patient<'_>, secrets: &Secrets, report: &mut Report) -> Result<(), Failure> {
    let handoff = patient.target.handoff_with(secrets.clone())?;
    if let Err(error) = handoff.check_app().await {
        report.finding("app", causes(&error), cure_of_check(&error));
        report.skipped("group", "LiveChat does not accept the app");
        return Ok(());
    }
    report.ok("app", "client id, organization and redirect URI are accepted");
    let group_id = patient.config.group_id;
    match handoff.group_status(group_id).await {
        Ok(None) => {
            let client = patient.target.livechat(&patient.config);
            let known = groups_sentence(&client.configuration(&secrets.agent_token)).await;
            report.finding(
                "group",
                format!("LiveChat has no group {group_id}"),
                format!(
                    "Set the parameter LiveChatGroupId (LIVECHAT_GROUP_ID) to the number of an existing group.{known}"
                ),
            );
        }
        Ok(Some(GroupStatus::Offline)) if patient.config.when_offline == WhenOffline::Refuse => {
            report.ok("group", format!("group {group_id} exists; no agent is online, so handoffs are refused now"));
        }
        Ok(Some(_)) => report.ok("group", format!("group {group_id} exists")),
        Err(error) => {
            report.finding("group", causes(&error), "Try again; if the error persists, check LiveChat's status page.")
        }
    }
    Ok(())
}

/// Returns what a token with all required scopes can do, and what one more scope would add.
async fn scopes_sentence(owner: &Configuration<'_>, group_id: GroupId) -> &'static str {
    match owner.list_work_schedules(group_id).await {
        Err(error) if error.is_forbidden() => {
            "the agent token has all required scopes; with agents--all:ro as well, checkAvailability would report when agents are \
             back"
        }
        _ => "the agent token has all required scopes",
    }
}

/// Checks the agent token, its scopes, the data centre and the webhooks.
pub(super) async fn look_at_token(patient: &Patient<'_>, contents: &Contents, secrets: &Secrets, report: &mut Report) {
    if contents.current.text(secrets::AGENT_TOKEN).is_none() {
        report.finding("agent token", "the secret contains no agent token", "Run hitl connect livechat.");
        report.all_skipped(BEHIND_TOKEN, "there is no agent token");
        return;
    }
    let client = patient.target.livechat(&patient.config);
    let owner = client.configuration(&secrets.agent_token);
    match owner.list_channels_once().await {
        Ok(()) => report.ok("agent token", "LiveChat accepts the token"),
        Err(error) if error.is_authentication() => {
            report.finding(
                "agent token",
                format!("LiveChat refuses the token ({error:#})"),
                "The token was revoked, or its owner was removed. Create a new one (console: Settings, Authorization, Personal \
                 access tokens) and run hitl connect livechat.",
            );
            report.all_skipped(BEHIND_TOKEN, "LiveChat refuses the agent token");
            return;
        }
        Err(error) => {
            report.finding(
                "agent token",
                causes(&error),
                "Try again; if the error persists, check LiveChat's status page.",
            );
            report.all_skipped(BEHIND_TOKEN, "LiveChat does not answer");
            return;
        }
    }
    look_at_region(patient, client.told_region().as_ref(), report);
    match missing_scopes(&client, &secrets.agent_token).await {
        Ok(missing) if missing.is_empty() => report.ok("scopes", scopes_sentence(&owner, patient.config.group_id).await),
        Ok(missing) => report.finding(
            "scopes",
            format!("the agent token lacks {}", missing.join(", ")),
            "A token's scopes cannot be changed: create a new token with these scopes as well, and run hitl connect livechat.",
        ),
        Err(error) => report.finding("scopes", causes(&error), "Try again; if the error persists, check LiveChat's status page."),
    }
    match owner.list_webhooks().await {
        Ok(registered) => look_at_webhooks(patient, contents, &registered, report),
        Err(error) if error.is_forbidden() => {
            report.skipped("webhooks", "the agent token may not list webhooks (webhooks.configuration:rw)");
        }
        Err(error) => report.finding(
            "webhooks",
            causes(&error),
            "Try again; if the error persists, check LiveChat's status page.",
        ),
    }
    look_at_switch(owner.license_webhooks_enabled().await, report);
}

fn look_at_region(patient: &Patient<'_>, told: Option<&Region>, report: &mut Report) {
    match (told, &patient.config.livechat.region) {
        (None, Some(region)) => report.ok("region", format!("{} is right", region.as_str())),
        (None, None) => report.ok("region", "follows from the tokens"),
        (Some(told), configured) => report.finding(
            "region",
            format!(
                "the organization is in the data centre {}; {} was called",
                told.as_str(),
                configured.as_ref().map_or("another data centre", Region::as_str),
            ),
            format!("Set the parameter LiveChatRegion (LIVECHAT_REGION) to {}.", told.as_str()),
        ),
    }
}

fn look_at_webhooks(
    patient: &Patient<'_>,
    contents: &Contents,
    registered: &[WebhookRegistration],
    report: &mut Report,
) {
    const NAME: &str = "webhooks";
    const CURE: &str = "Run hitl connect livechat.";
    let Some(url) = patient.target.webhook_url() else {
        report.skipped(NAME, "HITL_URL is not set; pass --url or --stack");
        return;
    };
    let Some(secret) = contents.current.text(secrets::WEBHOOK_SECRET) else { return };
    let ours: Vec<_> = registered.iter().filter(|one| one.url == url).cloned().collect();
    let other_secret: Vec<_> = ours
        .iter()
        .filter(|one| webhooks::carries(one, &secret) == Some(false))
        .map(|one| one.action.as_str())
        .collect();
    let only_my_chats = patient.config.only_my_chats;
    let order = webhooks::compare(&ours, &secret, only_my_chats);
    let too_much = |action: &str| {
        ours.iter().any(|one| {
            one.action == action && webhooks::reports_enough(one) && one.filters.only_my_chats != only_my_chats
        })
    };
    let (other_chats, missing): (Vec<_>, Vec<_>) = order
        .missing
        .iter()
        .filter(|action| !other_secret.contains(action))
        .copied()
        .partition(|action| too_much(action));
    if !other_secret.is_empty() {
        report.finding(NAME, format!("{} contain a secret other than the stored one", other_secret.join(", ")), CURE);
    }
    if !missing.is_empty() {
        report.finding(
            NAME,
            format!("no webhook that reports enough is registered for {} at {url}", missing.join(", ")),
            format!(
                "{CURE} If LiveChat refuses a fourth webhook for an action, remove one that calls another address."
            ),
        );
    }
    if !other_chats.is_empty() {
        let (present, wanted) = match only_my_chats {
            true => ("every chat of the licence, each at the price of a webhook", "this stack's chats only"),
            false => ("this stack's chats only", "every chat of the licence (OnlyMyChats=no)"),
        };
        let actions = other_chats.join(", ");
        report.finding(NAME, format!("{actions} report {present}; the stack wants {wanted}"), CURE);
    }
    if other_secret.is_empty() && missing.is_empty() && other_chats.is_empty() {
        match order.superfluous.as_slice() {
            [] => {
                let reported = if only_my_chats { "this stack's chats" } else { "every chat of the licence" };
                report.ok(NAME, format!("all {} call {url} and report {reported}", webhooks::ACTIONS.len()));
            }
            doubled => {
                report.finding(NAME, format!("{} more than needed call {url}", doubled.len()), CURE);
            }
        }
    }
}

fn look_at_switch(enabled: Result<bool, Error>, report: &mut Report) {
    const NAME: &str = "webhooks are sent";
    match enabled {
        Ok(true) => report.ok(NAME, "the licence's switch is on"),
        Ok(false) => report.finding(
            NAME,
            "the licence's switch is off",
            "Run hitl connect livechat; if the switch stays off, install the app (console: Private installation).",
        ),
        Err(error) if error.is_forbidden() => {
            report.skipped(NAME, "the agent token may not read the switch (webhooks.state:ro or :rw)");
        }
        Err(error) => {
            report.finding(NAME, causes(&error), "Try again; if the error persists, check LiveChat's status page.")
        }
    }
}
