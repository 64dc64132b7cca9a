//! `hitl connect livechat`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use shared::livechat::{Client, Configuration, GroupStatus};
use shared::redacted::Redacted;
use shared::secrets::{AGENT_TOKEN, WEBHOOK_SECRET};

use super::{ask, random_secret, store};
use crate::Io;
use crate::app::cure_of_check;
use crate::output::{Answer, Failure};
use crate::target::Target;

/// The number of steps.
const STEPS: usize = 4;

/// The results of the checks and changes.
#[derive(Debug, Serialize)]
struct Connected {
    group_id: u32,
    group_online: bool,
    webhook_url: String,
    secret_changed: bool,
    webhooks_registered: Vec<String>,
    webhooks_removed: Vec<String>,
}

impl fmt::Display for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "LiveChat is connected.")?;
        writeln!(f, "  app           client id, organization and redirect URI are accepted")?;
        let online = if self.group_online { "accepts chats now" } else { "no agent is online now" };
        writeln!(f, "  group         {} exists; {online}", self.group_id)?;
        writeln!(f, "  agent token   accepted, with all required scopes")?;
        writeln!(f, "  secret        {}", if self.secret_changed { "stored" } else { "unchanged" })?;
        let (new, gone) = (self.webhooks_registered.len(), self.webhooks_removed.len());
        match (new, gone) {
            (0, 0) => writeln!(f, "  webhooks      were in order: {}", self.webhook_url)?,
            _ => writeln!(f, "  webhooks      {new} registered, {gone} replaced or removed: {}", self.webhook_url)?,
        }
        write!(f, "\nLiveChat sends the first webhook after up to two minutes. Next: hitl connect botpress, or botcopy")
    }
}

/// Checks, stores, and sets up the webhooks.
pub(crate) async fn run(target: &Target, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let (config, vault, url) = (target.config()?, target.vault()?, target.require_url()?);
    let contents = vault.read().await?;
    let prompt = match contents.current.text(AGENT_TOKEN) {
        None => "LiveChat personal access token, in the base64 form",
        Some(_) => "LiveChat personal access token, in the base64 form (empty keeps the stored one)",
    };
    let given = ask(target, io, "LIVECHAT_AGENT_TOKEN", prompt)?;
    let token = given.or_else(|| contents.current.text(AGENT_TOKEN)).ok_or_else(|| {
        Failure::stopped(
            "a personal access token is needed: LiveChat's developer console, Settings, Authorization, Personal access tokens.",
        )
    })?;
    check_form(&token)?;
    let changes = [
        (AGENT_TOKEN, token.clone()),
        (WEBHOOK_SECRET, contents.current.text(WEBHOOK_SECRET).unwrap_or_else(random_secret)),
    ];
    let handoff = target.handoff_with(contents.current.clone().with(&changes).incomplete()?)?;

    io.step(1, STEPS, "checking client id, organization and redirect URI");
    handoff.check_app().await.map_err(|error| {
        let cure = cure_of_check(&error);
        Failure::from(error).and(&cure)
    })?;
    io.step(2, STEPS, "checking the agent token and its scopes");
    let client = target.livechat(&config);
    check_token(&client, &token).await?;
    io.step(3, STEPS, "checking the group");
    let Some(status) = handoff.group_status(config.group_id).await? else {
        let known = groups_sentence(&client.configuration(&token)).await;
        return Err(Failure::refused(format!(
            "LiveChat has no group {}. Set the parameter LiveChatGroupId (LIVECHAT_GROUP_ID) to the number of an existing \
             group.{known}",
            config.group_id
        )));
    };
    let secret_changed = store(&vault, &contents, &changes, io).await?;
    io.step(4, STEPS, "setting up the webhooks");
    let webhook_url = format!("{url}/livechat");
    let repaired = handoff.repair_webhooks(&webhook_url).await?;
    super::forget_turned_away(target, "LiveChat", io).await;
    Ok(Answer::done(&Connected {
        group_id: config.group_id.0,
        group_online: matches!(status, GroupStatus::Online | GroupStatus::OnlineForQueue),
        webhook_url,
        secret_changed,
        webhooks_registered: repaired.registered,
        webhooks_removed: repaired.removed,
    }))
}

/// Checks the token's form: the console shows it in several, and only one of them is a complete credential.
fn check_form(token: &Redacted) -> Result<(), Failure> {
    let decoded = STANDARD.decode(token.expose()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.as_deref().and_then(|text| text.split_once(':')) {
        Some((account, rest)) if !account.is_empty() && !rest.is_empty() => Ok(()),
        _ => Err(Failure::refused(
            "this is not the base64 form of a personal access token (base64 of `<account id>:<token>`); LiveChat's console \
             shows it when the token is created, below the token itself.",
        )),
    }
}

async fn check_token(client: &Client, token: &Redacted) -> Result<(), Failure> {
    if let Err(error) = client.configuration(token).list_channels_once().await {
        return Err(match error.is_authentication() {
            true => Failure::refused(format!(
                "LiveChat refuses the agent token ({error:#}). The token was revoked or is incomplete: create a new one and enter \
                 its base64 form."
            )),
            false => error.into(),
        });
    }
    let missing = missing_scopes(client, token).await?;
    match missing.as_slice() {
        [] => Ok(()),
        missing => Err(Failure::refused(format!(
            "the agent token lacks {}. A token's scopes cannot be changed: create a new one, of an admin, with chats--all:rw, \
             webhooks.configuration:rw and webhooks.state:rw.",
            missing.join(", ")
        ))),
    }
}

/// Returns the scopes that a token lacks; tries each with a call that changes nothing.
pub(crate) async fn missing_scopes(
    client: &Client,
    token: &Redacted,
) -> Result<Vec<&'static str>, shared::livechat::Error> {
    let (agent, owner) = (client.agent(token), client.configuration(token));
    let (chats, webhooks, switch) =
        (agent.close_nothing().await, owner.list_webhooks().await, owner.license_webhooks_enabled().await);
    let mut missing = Vec::new();
    for (scope, answer) in [
        ("chats--all:rw or chats--access:rw", chats),
        ("webhooks.configuration:rw", webhooks.map(drop)),
        ("webhooks.state:rw", switch.map(drop)),
    ] {
        match answer {
            Ok(()) => {}
            Err(error) if error.is_forbidden() => missing.push(scope),
            Err(error) => return Err(error),
        }
    }
    // A token that may change chats may read them, in groups that it has access to.
    match agent.list_chats_once().await {
        Err(error) if error.is_forbidden() && missing.is_empty() => missing.push("chats--all:ro or chats--access:ro"),
        Err(error) if !error.is_forbidden() => return Err(error),
        _ => {}
    }
    Ok(missing)
}

/// Returns the groups as a sentence; an empty one if the token may not list them.
pub(crate) async fn groups_sentence(owner: &Configuration<'_>) -> String {
    match owner.list_groups().await {
        Ok(groups) if !groups.is_empty() => {
            let groups: Vec<_> = groups.iter().map(|group| format!("{} ({})", group.id, group.name)).collect();
            format!(" Existing groups: {}.", groups.join(", "))
        }
        _ => String::new(),
    }
}
