//! Which callers the stack's routes let in, and which they turn away.

use std::time::Duration;

use shared::store::{Door, TurnedAway};

use super::{Patient, Report};
use crate::arguments::Vendor;
use crate::output::causes;

/// Calls turned away longer ago are no finding: a caller that the stack serves gives up long before.
const RECENT: Duration = Duration::from_secs(86_400);

/// Up to this many calls in LiveChat's or Botpress's name may come from a stranger. For Botcopy, only calls of the operator's own bot are
/// noted.
const STRANGERS: u64 = 4;

/// Judges what the functions have noted about each vendor's calls.
pub(super) async fn look_at_callers(patient: &Patient<'_>, report: &mut Report) {
    for vendor in Vendor::ALL {
        let name = check(vendor);
        match patient.table.door(vendor.name()).await {
            Ok(door) => judge(patient, vendor, name, &door, report),
            Err(error) => {
                report.finding(
                    name,
                    causes(&error),
                    "Your AWS credentials need dynamodb:GetItem on the table for this.",
                );
            }
        }
    }
}

const fn check(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Livechat => "LiveChat calls",
        Vendor::Botpress => "Botpress calls",
        Vendor::Botcopy => "Botcopy calls",
    }
}

fn judge(patient: &Patient<'_>, vendor: Vendor, name: &'static str, door: &Door, report: &mut Report) {
    let is_finding =
        |one: &&TurnedAway| patient.now.since(one.at) < RECENT && (vendor == Vendor::Botcopy || one.count > STRANGERS);
    let turned_away = door.turned_away.as_ref().filter(is_finding);
    match (turned_away, door.let_in_at) {
        (Some(turned_away), _) => {
            let TurnedAway { count, since, because, .. } = turned_away;
            let calls = if *count == 1 { "1 call".to_owned() } else { format!("{count} calls") };
            report.finding(
                name,
                format!("{calls} turned away since {since} ({because}), and none accepted since then"),
                cure(vendor, because),
            );
        }
        (None, Some(at)) if vendor == Vendor::Livechat => report.ok(
            name,
            format!("the last accepted call was recorded {} minutes ago", patient.now.since(at).as_secs() / 60),
        ),
        (None, None) if vendor == Vendor::Livechat => {
            report.ok(
                name,
                "none has arrived yet: the first chat of a bot causes one if the app is installed in the licence",
            );
        }
        (None, _) => {}
    }
}

/// Returns what to do about calls that were turned away for this reason.
fn cure(vendor: Vendor, because: &str) -> &'static str {
    match (vendor, because) {
        (Vendor::Livechat, "secret") => {
            "The registered webhooks contain a secret other than the stored one: run hitl connect livechat, or hitl rotate \
             webhook-secret."
        }
        (Vendor::Livechat, "tenant") => {
            "Webhooks of another organization arrive: compare LiveChatOrganizationId with the account's, and remove this address \
             from the other organization's app."
        }
        (Vendor::Botpress, "path key") => {
            "The integration is configured with another address: run hitl connect botpress and give Botpress the address that it prints."
        }
        (Vendor::Botpress, "signature") => {
            "The integration signs with another secret, or a clock is off by minutes: store the bot's own signing secret with hitl rotate \
             signing-secret."
        }
        (Vendor::Botpress, "tenant") => {
            "Add the integration's id to BotpressIntegrationIds (BOTPRESS_INTEGRATION_IDS), or leave that empty."
        }
        (Vendor::Botcopy, "token") => {
            "The access token or the custom header in Botcopy's portal is not the stored one: compare them with the secret, or run hitl \
             connect botcopy with those of the portal."
        }
        (_, "not served") => {
            "The stack has no credentials for this vendor: run hitl connect for it, or remove the stack's address from its \
             settings."
        }
        _ => {
            "The access log contains the status, route and caller's address of each call; the caller may be a stranger."
        }
    }
}
