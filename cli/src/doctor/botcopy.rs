//! Botcopy, if its keys are stored: the endpoint that its calls reach, and the API key for pushes.

use std::collections::BTreeSet;

use shared::botcopy::{Client, Error, Push, ResumeEvents, Settings};
use shared::ids::{BotcopyBotId, BotcopyUserId};
use shared::model::session::{Channel, ResumeReason};
use shared::operator::secret::Contents;
use shared::secrets::{BotcopyKeys, Secrets};

use super::{Answers, NO_TABLE, Patient, Report};
use crate::Io;
use crate::connect::botcopy::{BOT_ID, NOBODY};
use crate::operate::progress;
use crate::output::causes;

/// Runs the checks that can run; none in a stack without Botcopy.
pub(super) async fn look_at_keys(
    patient: &Patient<'_>,
    answers: Answers,
    contents: &Contents,
    secrets: &Secrets,
    report: &mut Report,
    io: &mut Io<'_>,
) {
    // A half of the pair is a finding about the secret.
    let all_others = secrets.botcopy_keys(NOBODY);
    if !secrets.serves_botcopy() {
        return;
    }
    io.say("asking Botcopy");
    if !answers.address {
        report.skipped("Botcopy access token", "the stack's address does not answer");
    }
    if let Some(keys) = all_others.filter(|_| answers.address) {
        look_at_route(patient, None, keys, report).await;
    }
    for bot_id in secrets.botcopy_bots.keys().filter(|_| answers.address) {
        if let Some(keys) = secrets.botcopy_keys(bot_id) {
            look_at_route(patient, Some(bot_id), keys, report).await;
        }
    }
    if !answers.table {
        report.all_skipped(&["Botcopy API key", "Botcopy calls"], NO_TABLE);
        return;
    }
    match patient.table.botcopy_bots(&mut progress(io)).await {
        Ok(bots) => {
            // Right after connecting, no session has named a bot yet.
            let connected = contents.current.plain(BOT_ID).map(BotcopyBotId::new);
            let with_own_keys = secrets.botcopy_bots.keys().map(|bot_id| BotcopyBotId::from(bot_id.as_str()));
            look_at_api_keys(
                patient,
                secrets,
                bots.into_keys().chain(connected).chain(with_own_keys).collect(),
                report,
            )
            .await;
        }
        Err(error) => {
            let cure = "Your AWS credentials need dynamodb:Scan on the table for this.";
            report.finding("Botcopy API key", causes(&error), cure);
        }
    }
}

/// Calls the endpoint as Botcopy does: for a user without a session, which changes nothing.
async fn look_at_route(patient: &Patient<'_>, bot_id: Option<&str>, keys: BotcopyKeys<'_>, report: &mut Report) {
    const NAME: &str = "Botcopy access token";
    let of_bot = bot_id.map(|bot_id| format!(" of bot {bot_id}")).unwrap_or_default();
    let Some(endpoint) = patient.target.endpoint() else {
        report.skipped(NAME, "HITL_URL is not set; pass --url or --stack");
        return;
    };
    let header = keys.header.map(|one| (one.name.as_str(), &one.value));
    let answer = endpoint.say_nothing(bot_id, keys.access_token, header).await;
    match answer.map(|answer| answer.status) {
        Ok(200) => report.ok(NAME, format!("a call with the stored token{of_bot} is accepted")),
        Ok(status @ (401 | 404)) => report.finding(
            NAME,
            match status {
                401 => format!("a call with the stored token{of_bot} is turned away"),
                _ => "the function has no keys for a Botcopy bot".to_owned(),
            },
            "The function reads another secret, or has not read the new version yet (up to five minutes): compare its SECRET_ID \
             with yours. If botcopyHeader is stored, compare it with the portal's custom header.",
        ),
        Ok(other) => report.finding(
            NAME,
            format!("a call is answered with {other}"),
            "Check the log of the function actions; an incomplete secret causes a 500.",
        ),
        Err(error) => report.finding(NAME, causes(&error), "Check the log of the function actions."),
    }
}

/// Asks Botcopy to resume users that the bots do not have: it refuses only a wrong key as such.
async fn look_at_api_keys(
    patient: &Patient<'_>,
    secrets: &Secrets,
    mut bots: BTreeSet<BotcopyBotId>,
    report: &mut Report,
) {
    const NAME: &str = "Botcopy API key";
    let is_known = !bots.is_empty();
    if !is_known {
        bots.insert(BotcopyBotId::from(NOBODY));
    }
    let silent = Settings { resume_events: ResumeEvents::always("none"), ..patient.config.botcopy.clone() };
    let client = Client::new(silent, patient.target.http.clone());
    for bot_id in bots {
        let Some(BotcopyKeys { api_key, .. }) = secrets.botcopy_keys(bot_id.as_str()) else {
            report.finding(
                NAME,
                format!("there are no keys for bot {bot_id}, which has had sessions"),
                "Run hitl connect botcopy --own-keys --bot with its id, or without --own-keys for one key for all bots.",
            );
            continue;
        };
        let bot = if is_known { format!("bot {bot_id}") } else { "a bot that does not exist".to_owned() };
        let channel = Channel { bot_id, user_id: BotcopyUserId::from(NOBODY) };
        match client.widget(&channel, api_key).push(&Push::Left(ResumeReason::UserSide)).await {
            Ok(()) => report.ok(NAME, format!("accepted for {bot}")),
            Err(error) => read_refusal(NAME, &bot, is_known, &error, report),
        }
    }
}

/// The expected answer is that there is no such user.
fn read_refusal(name: &'static str, bot: &str, is_known: bool, error: &Error, report: &mut Report) {
    const CURE: &str =
        "Generate a new one in Botcopy's portal (the bot's live chat settings) and run hitl connect botcopy.";
    if error.is_authentication() {
        // Botcopy does not document its answer for a bot that does not exist.
        let hint = if is_known { "" } else { " If the key is right, this finding ends with the first handoff." };
        report.finding(name, format!("Botcopy refuses the key for {bot} ({error:#})"), format!("{CURE}{hint}"));
    } else if error.is_retryable() || error.failure().is_some() {
        report.finding(name, causes(error), "Try again; if the error persists, check Botcopy's status page.");
    } else {
        report.ok(name, format!("accepted for {bot}"));
    }
}
