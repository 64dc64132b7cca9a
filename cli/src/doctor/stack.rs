//! The stack itself: table, sweep, secret, address, backlog.

use std::time::Duration;

use shared::clock::Timestamp;
use shared::operator::probe::Endpoint;
use shared::operator::secret::{self, Contents, Version};
use shared::secrets;
use shared::store::{self, Parked, Sweeps, VendorState};

use super::{NO_TABLE, Patient, Report};
use crate::Io;
use crate::operate::{OUTLOOK, progress};
use crate::output::causes;

/// The sweep runs each minute; two missing ones are no accident.
const SWEEP_LATE: Duration = Duration::from_secs(150);

/// An entry that has been due for longer than this has been tried without success for as long.
const OVERDUE: Duration = Duration::from_secs(300);

/// A path key with fewer characters could be guessed.
const SHORTEST_PATH_KEY: usize = 32;

/// Checks whether the table answers at all.
pub(super) async fn look_at_table(patient: &Patient<'_>, report: &mut Report) -> bool {
    let name = &patient.config.table_name;
    let (read, listed) = (patient.table.sweeps().await, patient.table.due(patient.now, 1).await);
    let last_sweep = match (read, listed) {
        (Ok(last), Ok(_)) => last,
        (Err(error), _) | (_, Err(error)) => {
            let says = causes(&error);
            let cure = match says.contains("ResourceNotFoundException") || says.contains("not have the specified index")
            {
                true => format!(
                    "There is no such table (with the index `due`) in this account and region. Compare {name} and AWS_REGION \
                     with the stack's outputs, or use --stack."
                ),
                false => {
                    "Check AWS_REGION and your AWS credentials; they need GetItem, Query and Scan on the table and its \
                          index."
                        .to_owned()
                }
            };
            report.finding("table", format!("{name}: {says}"), cure);
            report.all_skipped(&["sweep", "rate limit", "vendor"], NO_TABLE);
            return false;
        }
    };
    report.ok("table", format!("{name} answers"));
    match last_sweep {
        Some(Sweeps { ran_at, unseen, .. }) if patient.now.since(ran_at) <= SWEEP_LATE && unseen > 0 => report.finding(
            "sweep",
            format!("ran out of time before it reached {unseen} of the due lanes, sessions and timers"),
            "If a vendor fails or has set a limit (above), this ends with it. Otherwise more is due than one sweep a minute can \
             process: check the duration of the function webhooks.",
        ),
        Some(Sweeps { ran_at, .. }) if patient.now.since(ran_at) <= SWEEP_LATE => {
            report.ok("sweep", format!("ran {} s ago", patient.now.since(ran_at).as_secs()));
        }
        last => report.finding(
            "sweep",
            last.map_or("has never run".to_owned(), |last| format!("last ran at {}", last.ran_at)),
            "Check the schedule of the function webhooks (EventBridge) and that function's errors; without the sweep nothing is \
             retried. On the sandbox: curl -X POST …/sweep.",
        ),
    }
    look_at_vendor_states(patient, report).await;
    true
}

/// Reports which vendors have asked not to be called, or fail.
async fn look_at_vendor_states(patient: &Patient<'_>, report: &mut Report) {
    /// How long a failure counts that no other call has followed.
    const LATELY: Duration = Duration::from_secs(120);
    let states = match patient.table.vendor_states().await {
        Ok(states) => states,
        Err(error) => return report.finding("rate limit", causes(&error), "Check the table."),
    };
    for VendorState { vendor, limits, trouble, .. } in &states {
        for (party, closure) in limits.closures(patient.now) {
            report.finding(
                "rate limit",
                format!("{} asked at {} not to be called before {}", named(vendor, party), closure.since, closure.until),
                format!(
                    "Wait until then: one trial call a minute is made, and deliveries resume as soon as one succeeds. hitl reopen \
                     {} lifts the limit at once. If the limit recurs, ask the vendor for a higher one.",
                    vendor.to_lowercase()
                ),
            );
        }
        if trouble.failures > 0 && patient.now.since(trouble.at) < LATELY {
            report.finding(
                "vendor",
                format!("calls to {vendor} fail repeatedly; the last failure was at {}", trouble.at),
                "Check the vendor's status page. Nothing is lost; waiting items are delivered once the vendor recovers.",
            );
        }
    }
}

/// Names a vendor, and the party that it is closed for unless it is closed for all.
pub(crate) fn named(vendor: &str, party: Option<&str>) -> String {
    party.map_or_else(|| vendor.to_owned(), |party| format!("{vendor} (for {party})"))
}

/// Reads the secret, and reports what it lacks.
pub(super) async fn look_at_secret(patient: &Patient<'_>, report: &mut Report) -> Option<Contents> {
    let id = &patient.config.secret_id;
    let vault = match patient.target.vault() {
        Ok(vault) => vault,
        Err(error) => {
            report.finding("secret", error.to_string(), "Name the secret with --secret.");
            return None;
        }
    };
    let contents = match vault.read().await {
        Ok(contents) => contents,
        Err(error) => {
            let cure = match &error {
                secret::Error::NotFound => "Compare SECRET_ID and AWS_REGION with the stack's outputs, or use --stack. A secret \
                                           that was deleted can be restored for some days: aws secretsmanager restore-secret."
                    .to_owned(),
                secret::Error::Malformed => "Store a JSON object: see docs/configuration.md, \"The secret\".".to_owned(),
                secret::Error::Unavailable { .. } | secret::Error::Changed => {
                    "Check AWS_REGION and your AWS credentials; they need GetSecretValue, PutSecretValue and UpdateSecretVersionStage.".to_owned()
                }
            };
            report.finding("secret", format!("{id}: {}", causes(&error)), cure);
            return None;
        }
    };
    match contents.current.checked() {
        Err(error) => report.finding("secret", causes(&error), cure_of_incomplete(&contents, &error)),
        Ok(secrets) => match &secrets.botpress_path_key {
            Some(key) if key.expose().len() < SHORTEST_PATH_KEY && secrets.botpress_signing_secret.is_none() => {
                report.finding(
                    "secret",
                    format!("botpressPathKey has fewer than {SHORTEST_PATH_KEY} characters, and nothing else protects the address"),
                    "Run hitl rotate path-key.",
                );
            }
            _ => report.ok("secret", format!("{id} is complete")),
        },
    }
    Some(contents)
}

fn cure_of_incomplete(contents: &Contents, error: &secrets::Error) -> &'static str {
    let secrets::Error::Malformed(complaint) = error else { return "Check the secret." };
    if complaint.starts_with("botcopyBots") {
        return "Run hitl connect botcopy --own-keys --bot with each bot's id; if no bot has keys of its own, remove botcopyBots \
                from the secret.";
    }
    if complaint.starts_with("botcopyHeader") {
        return "Run hitl connect botcopy --header with the name of the portal's custom header; if the portal has none, remove \
                botcopyHeader from the secret.";
    }
    if complaint.starts_with("botcopy") {
        return "Run hitl connect botcopy; in a stack without Botcopy, remove both from the secret.";
    }
    match contents.current.text(secrets::AGENT_TOKEN) {
        None => "Run hitl connect livechat, then hitl connect botpress or hitl connect botcopy.",
        Some(_) => "Run hitl connect botpress.",
    }
}

/// Checks whether the stack answers at its address, and as its callers need it; returns whether anything answers there.
pub(super) async fn look_at_address(patient: &Patient<'_>, contents: Option<&Contents>, report: &mut Report) -> bool {
    /// The checks that depend on the address.
    const BEHIND: &[&str] = &["version", "path key", "webhook route"];
    let Some(endpoint) = patient.target.endpoint() else {
        report.skipped("address", "HITL_URL is not set; pass --url or --stack");
        report.all_skipped(BEHIND, "HITL_URL is not set");
        return false;
    };
    match endpoint.get("health").await {
        Ok(answer) if answer.status == 200 => {
            report.ok("address", "the function actions answers");
            read_version(&answer.body, &shared::VERSION, report);
        }
        Ok(answer) => report.finding(
            "address",
            format!("/health is answered with {}", answer.status),
            "Compare HITL_URL with the stack's outputs, and check the log of the function actions.",
        ),
        Err(error) => {
            report.finding(
                "address",
                causes(&error),
                "Compare HITL_URL with the stack's outputs; the HTTP API may have been deleted, or your network may block the \
                 connection.",
            );
            report.all_skipped(BEHIND, "the stack's address does not answer");
            return false;
        }
    }
    match contents {
        Some(contents) => look_at_routes(patient, &endpoint, &contents.current, report).await,
        None => report.all_skipped(&["path key", "webhook route"], "the secret cannot be read"),
    }
    true
}

/// Compares the functions' build with the command's; `0.1.0 (0123456789ab)` if the build knew its commit.
fn read_version(health: &str, own: &str, report: &mut Report) {
    const NAME: &str = "version";
    const CURE: &str = "The command and the functions must be of the same release: install the command of the stack's release, or \
                        deploy this command's release.";
    let Some(functions) = health.strip_prefix("ok ") else {
        return report.finding(NAME, format!("the functions do not report their version; this command is {own}"), CURE);
    };
    let same_version = functions.split(' ').next() == own.split(' ').next();
    let both_know_commits = functions.contains('(') && own.contains('(');
    if functions == own || (same_version && !both_know_commits) {
        report.ok(NAME, format!("functions and command are {functions}"));
    } else {
        report.finding(NAME, format!("the functions are {functions}, this command is {own}"), CURE);
    }
}

async fn look_at_routes(patient: &Patient<'_>, endpoint: &Endpoint, current: &Version, report: &mut Report) {
    if let Some(key) = current.text(secrets::BOTPRESS_PATH_KEY) {
        let integration_id = current.plain(crate::connect::INTEGRATION_ID).unwrap_or_default();
        let integration_id = if integration_id.is_empty() { "hitl-doctor".to_owned() } else { integration_id };
        match endpoint.ping(&key, &integration_id).await {
            Ok(answer) => read_ping(answer.status, report),
            Err(error) => report.finding("path key", causes(&error), "Check the log of the function actions."),
        }
    }
    if let Some(secret) = current.text(secrets::WEBHOOK_SECRET) {
        match endpoint.report_nothing(&secret, &patient.config.livechat.organization_id).await {
            Ok(answer) => read_report(answer.status, report),
            Err(error) => report.finding("webhook route", causes(&error), "Check the log of the function webhooks."),
        }
    }
}

fn read_ping(status: u16, report: &mut Report) {
    const NAME: &str = "path key";
    match status {
        200 => report.ok(NAME, "a ping with the stored key is accepted"),
        401 => report.finding(
            NAME,
            "a ping with the stored key is turned away",
            "The function reads another secret, or cannot read it: compare its SECRET_ID with yours.",
        ),
        403 => report.finding(
            NAME,
            "the function does not accept calls of this integration",
            "Add the integration's id to BotpressIntegrationIds (BOTPRESS_INTEGRATION_IDS), or leave that empty.",
        ),
        other => report.finding(
            NAME,
            format!("a ping is answered with {other}"),
            "Check the log of the function actions; an incomplete secret causes a 500.",
        ),
    }
}

fn read_report(status: u16, report: &mut Report) {
    const NAME: &str = "webhook route";
    match status {
        200 => report.ok(NAME, "a webhook with the stored secret is accepted"),
        401 => report.finding(
            NAME,
            "a webhook with the stored secret is turned away",
            "The function reads another secret, or cannot read it: compare its SECRET_ID with yours.",
        ),
        403 => report.finding(
            NAME,
            "the function expects another organization",
            "Compare LIVECHAT_ORGANIZATION_ID here with the stack's parameter LiveChatOrganizationId.",
        ),
        other => report.finding(
            NAME,
            format!("a webhook is answered with {other}"),
            "Check the log of the function webhooks; an incomplete secret causes a 500.",
        ),
    }
}

/// Reports items that have waited for long, and whether this version can read their lanes. The due time does not show them,
/// because each attempt makes a lane due anew.
async fn look_at_what_waits(patient: &Patient<'_>, report: &mut Report, io: &mut Io<'_>) {
    const NAME: &str = "waiting";
    let mut waiting = match patient.table.waiting_since(&mut progress(io)).await {
        Ok(waiting) => waiting,
        Err(error) => {
            report.finding(NAME, causes(&error), "Your AWS credentials need dynamodb:Scan on the table for this.");
            return;
        }
    };
    waiting.retain(|(_, _, at)| OVERDUE < patient.now.since(*at));
    let Some((session_id, lane, at)) = waiting.first() else {
        report.ok(NAME, "nothing has waited for more than five minutes");
        return;
    };
    report.finding(
        NAME,
        format!("{} lanes have waited for more than five minutes; the oldest: session {session_id}, {lane}, since {at}", waiting.len()),
        "hitl trace SESSION shows the waiting items; a rate limit above or the log of the function webhooks shows the cause.",
    );
    for (session_id, lane, _) in waiting {
        if let Err(error) = patient.table.is_readable(&session_id, lane).await {
            report.finding(
                "unreadable",
                format!("session {session_id}, {lane}: {}", causes(&error)),
                "An item of the lane is damaged, or a newer version wrote it: deploy that version again. hitl discard deletes a \
                 parked item.",
            );
        }
    }
}

/// Reports sessions that this version cannot read: the sweep returns to them again and again, so they are never overdue.
async fn look_at_sessions(patient: &Patient<'_>, report: &mut Report) {
    const MOST: u16 = 10_000;
    let unreadable = async {
        let due = patient.table.due(patient.now + OUTLOOK, i32::from(MOST)).await?;
        let ids: Vec<_> = due.into_iter().map(|(_, session_id, _)| session_id).collect();
        Ok::<_, store::Error>((patient.table.unreadable(&ids).await?, ids.len()))
    };
    match unreadable.await {
        Ok((unreadable, looked_at)) => {
            unreadable.into_iter().for_each(|session_id| {
                report.finding(
                    "unreadable",
                    format!("session {session_id}: the session's own item cannot be read"),
                    "The item is damaged, or a newer version wrote it: deploy that version again.",
                );
            });
            if looked_at >= usize::from(MOST) {
                report.skipped(
                    "unreadable",
                    format!("only the first {MOST} lanes and sessions that are due were checked"),
                );
            }
        }
        Err(error) => report.finding("unreadable", causes(&error), "Check the table."),
    }
}

/// Reports what has waited for too long, and what is parked.
pub(super) async fn look_at_backlog(patient: &Patient<'_>, report: &mut Report, io: &mut Io<'_>) {
    const MOST: u16 = 1_000;
    match patient.table.due(patient.now - OVERDUE, i32::from(MOST)).await {
        Ok(overdue) if overdue.is_empty() => report.ok("backlog", "nothing has been due for more than five minutes"),
        Ok(overdue) => {
            let oldest = overdue.first().map(|(at, session_id, _)| format!("session {session_id}, since {at}"));
            let at_least = if overdue.len() < usize::from(MOST) { "" } else { "at least " };
            let count = overdue.len();
            report.finding(
                "backlog",
                format!("{at_least}{count} lanes or sessions are overdue; the oldest: {}", oldest.unwrap_or_default()),
                "hitl trace SESSION shows the attempts; the vendor's checks above show why they fail.",
            );
        }
        Err(error) => report.finding("backlog", causes(&error), "Check the table."),
    }
    look_at_sessions(patient, report).await;
    look_at_what_waits(patient, report, io).await;
    let parked: Result<_, store::Error> = patient.table.parked(patient.now, &mut progress(io)).await;
    match parked {
        Ok(parked) if parked.is_empty() => report.ok("parked", "no item is parked"),
        Ok(parked) => report.finding(
            "parked",
            say_what_is_parked(&parked, patient.now),
            "hitl parked lists them with their causes; hitl redrive retries them once the cause is removed. They are deleted with \
             their text after RETENTION_DAYS.",
        ),
        Err(error) => {
            report.finding("parked", causes(&error), "Your AWS credentials need dynamodb:Scan on the table for this.")
        }
    }
}

fn say_what_is_parked(parked: &[Parked], now: Timestamp) -> String {
    let since = parked.iter().map(|item| item.parked_at.unwrap_or(item.position.at)).min();
    let hours = since.map_or(0, |at| now.since(at).as_secs() / 3_600);
    format!("{} items could not be delivered; the oldest was parked {hours} h ago", parked.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_command_and_functions_of_different_builds_are_told_apart() {
        for (health, own, is_ok) in [
            ("ok 0.1.0 (abc)", "0.1.0 (abc)", true),
            ("ok 0.1.0", "0.1.0 (abc)", true),
            ("ok 0.1.0 (abc)", "0.1.0", true),
            ("ok 0.1.0 (abc)", "0.1.0 (def)", false),
            ("ok 0.2.0", "0.1.0", false),
            ("ok", "0.1.0", false),
        ] {
            let mut report = Report::default();
            read_version(health, own, &mut report);
            assert_eq!(report.checks.remove(0).verdict == Verdict::Ok, is_ok, "{health} {own}");
        }
    }
}
