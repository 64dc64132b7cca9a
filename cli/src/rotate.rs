//! `hitl rotate`: another credential while calls go on.
//!
//! The functions accept from callers what the secret's present version says and what the one before said, and look again at
//! most every [`REFRESH_COOLDOWN`] when a call does not fit. So whatever a caller shows has to be stored first, and
//! nothing may be stored that drops a value which callers still show: [`store`] waits for that.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use shared::clock::Timestamp;
use shared::ids::IntegrationId;
use shared::redacted::Redacted;
use shared::secrets::{
    BOTPRESS_PATH_KEY, BOTPRESS_SIGNING_SECRET, BOTPRESS_TOKEN, REFRESH_COOLDOWN, TIME_TO_LIVE, WEBHOOK_SECRET,
};
use shared::vault::{Contents, Vault};

use crate::Io;
use crate::arguments::What;
use crate::connect::botpress::explained;
use crate::connect::definition::{base, version};
use crate::connect::{ACCESS_KEY_ID, INTEGRATION_ID, NOTE, Workspace, random_secret, store, workspace};
use crate::output::{Answer, Failure};
use crate::target::Target;

/// Secrets Manager shows a new version everywhere within seconds.
const PROPAGATION: Duration = Duration::from_secs(5);

/// What was done.
#[derive(Debug, Serialize)]
struct Rotated {
    what: &'static str,
    /// Whether an earlier run had been interrupted, and this one has done the rest of it.
    finished_earlier: bool,
}

impl fmt::Display for Rotated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.finished_earlier {
            true => write!(f, "The rotation of the {} that was interrupted is finished now.", self.what),
            false => write!(f, "The {} is a new one.", self.what),
        }
    }
}

/// Rotates one credential, or finishes an interrupted rotation of it.
pub(crate) async fn run(target: &Target, what: What, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let vault = target.vault()?;
    let contents = vault.read().await?;
    let (what, finished_earlier) = match what {
        What::WebhookSecret => ("webhook secret", webhook_secret(target, &vault, contents, io).await?),
        What::PathKey => ("path key", path_key(target, &vault, contents, io).await?),
        What::SigningSecret => ("signing secret", signing_secret(target, &vault, contents, io).await?),
        What::AccessKey => ("access key", access_key(target, &vault, contents, io).await?),
    };
    Ok(Answer::done(&Rotated { what, finished_earlier }))
}

/// Until when some instance may hold an older version and not look again although a call does not fit.
fn known_everywhere(stored_at: Timestamp) -> Timestamp {
    stored_at + REFRESH_COOLDOWN + PROPAGATION
}

/// Stores a new secret, then lets LiveChat use it: new webhooks beside the old ones, then the old ones go.
async fn webhook_secret(target: &Target, vault: &Vault, contents: Contents, io: &mut Io<'_>) -> Result<bool, Failure> {
    let webhook_url = format!("{}/livechat", target.require_url()?);
    // Webhooks that carry another secret than the stored one are left from an interrupted rotation.
    let finished = !in_order(target, &contents, &webhook_url).await?;
    let contents = match finished {
        true => contents,
        false => {
            store(vault, &contents, &[(WEBHOOK_SECRET, random_secret())], io).await?;
            vault.read().await?
        }
    };
    let stored_at = contents.changed_at().unwrap_or_else(|| io.clock.now());
    io.wait_until(known_everywhere(stored_at), "letting every function learn the new secret").await;
    io.say("registering the webhooks with it, then removing those with the old one");
    target.handoff_with(contents.current.incomplete()?)?.repair_webhooks(&webhook_url).await?;
    Ok(finished)
}

async fn in_order(target: &Target, contents: &Contents, webhook_url: &str) -> Result<bool, Failure> {
    let secrets = contents.current.incomplete()?;
    let client = target.livechat(&target.config()?);
    let mut registered = client.configuration(&secrets.agent_token).list_webhooks().await.map_err(|error| {
        match error.is_forbidden() {
            true => Failure::refused(
                "the agent token may not manage webhooks (webhooks.configuration:rw), so their secret cannot be changed. Make a \
                 token that may, and run hitl connect livechat.",
            ),
            false => error.into(),
        }
    })?;
    registered.retain(|one| one.url == webhook_url);
    let carries_other = |one| shared::bridge::webhooks::carries(one, &secrets.webhook_secret) == Some(false);
    Ok(!registered.iter().any(carries_other))
}

/// Stores a new key, then gives Botpress the new address.
async fn path_key(target: &Target, vault: &Vault, contents: Contents, io: &mut Io<'_>) -> Result<bool, Failure> {
    let url = target.require_url()?;
    let at = integration(target, &contents, io).await?;
    let client = target.botpress();
    let admin = client.admin(&at.workspace.token, &at.workspace.id);
    let address = |key: Option<Redacted>| {
        key.map(|key| Redacted::from(format!("{url}/botpress/{}", key.expose())))
            .ok_or_else(|| Failure::refused("there is no path key yet: hitl connect botpress makes one."))
    };
    let present = address(contents.current.text(BOTPRESS_PATH_KEY))?;
    let known = match &at.name {
        Some(name) => admin.find_integration(name, &at.version).await.map_err(explained)?.and_then(|one| one.url),
        None => None,
    };
    // Botpress may still show the key before: then that one must not be dropped, and this rotation is the end of the last.
    let finished = contents.has_changed(BOTPRESS_PATH_KEY) && known.as_ref().is_some_and(|known| *known != present);
    if !finished && known.is_none() && contents.has_changed(BOTPRESS_PATH_KEY) {
        let stored_at = contents.changed_at().unwrap_or_else(|| io.clock.now());
        io.wait_until(known_everywhere(stored_at), "letting every function learn the present key").await;
        admin.redirect_integration(&at.id, &present).await.map_err(explained)?;
    }
    let contents = match finished {
        true => contents,
        false => {
            store(vault, &contents, &[(BOTPRESS_PATH_KEY, random_secret())], io).await?;
            vault.read().await?
        }
    };
    let stored_at = contents.changed_at().unwrap_or_else(|| io.clock.now());
    io.wait_until(known_everywhere(stored_at), "letting every function learn the new key").await;
    io.say("giving Botpress the new address");
    let address = address(contents.current.text(BOTPRESS_PATH_KEY))?;
    admin.redirect_integration(&at.id, &address).await.map_err(explained)?;
    Ok(finished)
}

/// Lets Botpress make a new secret, and stores it at once: until then the one before, valid for a day, proves its calls.
async fn signing_secret(target: &Target, vault: &Vault, contents: Contents, io: &mut Io<'_>) -> Result<bool, Failure> {
    let at = integration(target, &contents, io).await?;
    // Nothing may stand between the two steps below.
    if let Some(settles_at) = contents.settles_at() {
        io.wait_until(settles_at, "callers may still use what the last change replaced").await;
    }
    let client = target.botpress();
    io.say("letting Botpress make a new signing secret");
    let admin = client.admin(&at.workspace.token, &at.workspace.id);
    let secret = admin.rotate_signing_secret(&at.id).await.map_err(explained)?;
    store(vault, &contents, &[(BOTPRESS_SIGNING_SECRET, secret)], io).await.map_err(|failure| {
        Failure::refused(format!(
            "Botpress has a new signing secret that could not be stored ({failure}). Its calls are also signed with the one \
             before for 24 hours: run this again within that time."
        ))
    })?;
    Ok(false)
}

/// Stores a new key, then withdraws the one before once no function can still use it.
async fn access_key(target: &Target, vault: &Vault, contents: Contents, io: &mut Io<'_>) -> Result<bool, Failure> {
    let at = integration(target, &contents, io).await?;
    let client = target.botpress();
    let admin = client.admin(&at.workspace.token, &at.workspace.id);
    io.say("issuing a new access key");
    let key = admin.issue_access_key(&at.id, NOTE).await.map_err(explained)?;
    let old = [Some(&contents.current), contents.previous.as_ref()];
    let old: Vec<_> = old.into_iter().flatten().filter_map(|version| version.plain(ACCESS_KEY_ID)).collect();
    store(vault, &contents, &[(BOTPRESS_TOKEN, key.value), (ACCESS_KEY_ID, key.id.clone().into())], io).await?;
    let unused = io.clock.now() + TIME_TO_LIVE + PROPAGATION;
    io.wait_until(unused, "functions may still use the key before").await;
    for id in old.iter().filter(|id| **id != key.id) {
        io.say(&format!("withdrawing the key before ({id})"));
        admin.withdraw_access_key(id).await.map_err(explained)?;
    }
    if old.is_empty() {
        io.say("the key before was not issued by this command: withdraw it in Botpress if nobody else uses it");
    }
    Ok(false)
}

/// The integration at Botpress, and who may change it.
struct Deployed {
    id: IntegrationId,
    /// Its full name, where the workspace's handle is known.
    name: Option<String>,
    version: String,
    workspace: Workspace,
}

async fn integration(target: &Target, contents: &Contents, io: &mut Io<'_>) -> Result<Deployed, Failure> {
    let id = contents.current.plain(INTEGRATION_ID).ok_or_else(|| {
        Failure::refused("this stack's integration was not made by hitl connect botpress; run that first.")
    })?;
    let name = target.get("BOTPRESS_WORKSPACE_HANDLE").map(|handle| format!("{handle}/livechat-hitl"));
    let workspace = workspace(target, None, io)?;
    Ok(Deployed { id: IntegrationId::from(id.as_str()), name, version: version(&base()?), workspace })
}
