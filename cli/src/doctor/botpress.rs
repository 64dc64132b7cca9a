//! Botpress: the access key, install by install.

use shared::botpress::Error;
use shared::ids::UserId;
use shared::operator::secret::Contents;
use shared::secrets::{self, Secrets};

use super::{NO_TABLE, Patient, Report};
use crate::connect::INTEGRATION_ID;
use crate::output::causes;

/// A user that does not exist: looking it up shows whether the key is accepted.
const NO_USER: &str = "user_01HITLD0CT0R0000000000000";

/// Tries the access key for every install that has registered.
pub(super) async fn look_at_installs(
    patient: &Patient<'_>,
    table_answers: bool,
    contents: &Contents,
    secrets: &Secrets,
    report: &mut Report,
) {
    let Some(access_key) = contents.current.text(secrets::BOTPRESS_TOKEN) else {
        match (&secrets.botpress_token, secrets.serves_botcopy()) {
            (None, true) => report.skipped("access key", "this stack serves Botcopy bots alone"),
            _ => report.finding(
                "access key",
                "the secret contains no access key",
                "Run hitl connect botpress. A stack for Botcopy bots alone needs no access key: run hitl connect botcopy.",
            ),
        }
        return;
    };
    if !table_answers {
        report.all_skipped(&["installs", "access key"], NO_TABLE);
        return;
    }
    let installs = match patient.table.installs().await {
        Ok(installs) => installs,
        Err(error) => {
            report.finding("installs", causes(&error), "Check the table.");
            return;
        }
    };
    if installs.is_empty() {
        report.finding(
            "installs",
            "no bot has registered",
            "Install the integration on the bot in Botpress Studio; its status there shows what is wrong, if anything.",
        );
        return;
    }
    report.ok("installs", format!("{} registered", installs.len()));
    let ours = contents.current.plain(INTEGRATION_ID);
    let client = patient.target.botpress();
    for install in &installs {
        let name = format!("bot {} ({})", install.bot_id, install.alias);
        if ours.as_ref().is_some_and(|id| id != install.integration_id.as_str()) {
            report.finding(
                "access key",
                format!("{name} has an integration installed that the stored key does not belong to"),
                "Install the current integration on that bot, or remove the old one from it.",
            );
            continue;
        }
        match client.install(install, &access_key).get_user(&UserId::from(NO_USER)).await {
            Ok(_) => report.ok("access key", format!("accepted for {name}")),
            Err(error) => read_refusal(&name, &error, report),
        }
    }
}

/// Judges the refusal; the good answer is that the user does not exist.
fn read_refusal(name: &str, error: &Error, report: &mut Report) {
    let status = error.refusal().map(|refusal| refusal.status.as_u16());
    match status {
        Some(401) => report.finding(
            "access key",
            format!("Botpress refuses the key for {name} ({error:#})"),
            "The key was withdrawn, or belongs to another version of the integration: run hitl rotate access-key.",
        ),
        Some(403) => report.finding(
            "access key",
            format!("Botpress does not allow the key to act for {name} ({error:#})"),
            "The integration is no longer installed on that bot, or the key belongs to another integration: run hitl connect \
             botpress.",
        ),
        Some(400..=499) if !error.is_retryable() => report.ok("access key", format!("accepted for {name}")),
        _ => report.finding("access key", causes(error), "Try again; if the error persists, check Botpress's status page."),
    }
}
