//! `hitl rotate`: replaces a credential while calls go on.
//!
//! The functions accept from callers the value of the secret's present version and, for an overlap, that of the version before. They
//! read the secret again at most every [`REFRESH_COOLDOWN`] when a call does not match. So a value must be stored before any caller
//! shows it, and no write may drop a value that callers still show: [`store`] waits for that. A leaked credential is cut off without
//! any of these waits.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum as _;
use serde::Serialize;
use shared::clock::Timestamp;
use shared::ids::IntegrationId;
use shared::operator::secret::{Contents, Vault};
use shared::redacted::Redacted;
use shared::secrets::{
    BOTPRESS_PATH_KEY, BOTPRESS_SIGNING_SECRET, BOTPRESS_TOKEN, REFRESH_COOLDOWN, TIME_TO_LIVE, WEBHOOK_SECRET,
};

use crate::Io;
use crate::arguments::{Vendor, What};
use crate::connect::botpress::explained;
use crate::connect::definition::{base, version};
use crate::connect::{
    ACCESS_KEY_ID, INTEGRATION_ID, NOTE, Workspace, forget_turned_away, random_secret, store, workspace,
};
use crate::output::{Answer, Failure};
use crate::target::Target;

/// Secrets Manager shows a new version everywhere within seconds.
const PROPAGATION: Duration = Duration::from_secs(5);

/// The result of a rotation.
#[derive(Debug, Serialize)]
struct Rotated {
    what: &'static str,
    /// Whether this run has finished an interrupted earlier one.
    finished_earlier: bool,
    /// Until when callers may show the previous value; none if they may not.
    previous_accepted_until: Option<Timestamp>,
    /// Whether the previous value was cut off.
    cut_off: bool,
}

impl fmt::Display for Rotated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.finished_earlier {
            true => write!(f, "The interrupted rotation of the {} is now complete.", self.what)?,
            false => write!(f, "The {} was replaced.", self.what)?,
        }
        match self.previous_accepted_until {
            Some(until) => write!(f, " The previous one is accepted until {until}."),
            None if self.cut_off => write!(
                f,
                " The previous one is cut off: a running function drops it with the next call in which it reads the table, and \
                 all functions within {} minutes. {}",
                TIME_TO_LIVE.as_secs() / 60,
                self.cost()
            ),
            None => Ok(()),
        }
    }
}

impl Rotated {
    /// Returns the cost of cutting it off.
    fn cost(&self) -> &'static str {
        match self.what {
            WEBHOOK_SECRET_NAME => {
                "Webhooks that LiveChat sends with it in the next two minutes are refused; their events are recovered when the \
                 thread is read."
            }
            PATH_KEY_NAME => {
                "Calls of Botpress that were in progress with it have failed, and Botpress does not repeat them."
            }
            ACCESS_KEY_NAME => "The sweep repeats deliveries that failed with it.",
            _ => "Calls that Botpress signs with the new one are not affected.",
        }
    }
}

const WEBHOOK_SECRET_NAME: &str = "webhook secret";
const PATH_KEY_NAME: &str = "path key";
const SIGNING_SECRET_NAME: &str = "signing secret";
const ACCESS_KEY_NAME: &str = "access key";

/// Rotates one credential, or finishes an interrupted rotation of it; `at_once` if the present one has leaked.
pub(crate) async fn run(target: &Target, what: What, at_once: bool, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let rotation = Rotation { target, vault: target.vault()?, at_once };
    let contents = rotation.vault.read().await?;
    let (name, key) = match what {
        What::WebhookSecret => (WEBHOOK_SECRET_NAME, WEBHOOK_SECRET),
        What::PathKey => (PATH_KEY_NAME, BOTPRESS_PATH_KEY),
        What::SigningSecret => (SIGNING_SECRET_NAME, BOTPRESS_SIGNING_SECRET),
        What::AccessKey => (ACCESS_KEY_NAME, BOTPRESS_TOKEN),
    };
    let rotated = match what {
        What::WebhookSecret => rotation.webhook_secret(contents, io).await,
        What::PathKey => rotation.path_key(contents, io).await,
        What::SigningSecret => rotation.signing_secret(contents, io).await,
        What::AccessKey => rotation.access_key(contents, io).await,
    };
    let previous_accepted_until = rotation.vault.read().await?.accepted_until(key, io.clock.now());
    match (rotated, previous_accepted_until) {
        (Ok(finished_earlier), previous_accepted_until) => {
            if let Some(vendor) = shown_by(what) {
                forget_turned_away(target, vendor, io).await;
            }
            Ok(Answer::done(&Rotated { what: name, finished_earlier, previous_accepted_until, cut_off: at_once }))
        }
        (Err(failure), Some(until)) => {
            Err(failure.and(&format!("The previous {name} is accepted until {until}: run this again before then.")))
        }
        (Err(failure), None) => Err(failure),
    }
}

/// Returns the vendor that shows the credential in calls to the stack.
const fn shown_by(what: What) -> Option<&'static str> {
    match what {
        What::WebhookSecret => Some("LiveChat"),
        What::PathKey | What::SigningSecret => Some("Botpress"),
        What::AccessKey => None,
    }
}

/// Returns until when some instance may have an older version and not read again although a call does not match.
fn known_everywhere(stored_at: Timestamp) -> Timestamp {
    stored_at + REFRESH_COOLDOWN + PROPAGATION
}

/// One rotation.
struct Rotation<'a> {
    target: &'a Target,
    vault: Vault,
    /// Whether the present credential has leaked: then no step waits, and the credential is no longer accepted.
    at_once: bool,
}

impl Rotation<'_> {
    /// Stores new values; returns the secret as it is then.
    async fn store(
        &self,
        contents: &Contents,
        changes: &[(&str, Redacted)],
        io: &mut Io<'_>,
    ) -> Result<Contents, Failure> {
        if !self.at_once {
            store(&self.vault, contents, changes, io).await?;
            return Ok(self.vault.read().await?);
        }
        self.vault.write(&contents.current, &contents.current.clone().with(changes)).await?;
        self.vault.withdraw(&contents.current).await?;
        let contents = self.vault.read().await?;
        let table = self.target.table()?;
        for vendor in Vendor::value_variants() {
            if let Some(since) = contents.changed_at() {
                table.recall_secrets(vendor.name(), since).await?;
            }
        }
        Ok(contents)
    }

    /// Waits until every instance knows what is stored.
    async fn wait_until_known(&self, contents: &Contents, why: &str, io: &mut Io<'_>) {
        if !self.at_once {
            let stored_at = contents.changed_at().unwrap_or_else(|| io.clock.now());
            io.wait_until(known_everywhere(stored_at), why).await;
        }
    }

    /// Stores a new secret, then has LiveChat use it: registers new webhooks beside the old ones, then deletes the old ones.
    async fn webhook_secret(&self, contents: Contents, io: &mut Io<'_>) -> Result<bool, Failure> {
        let webhook_url = format!("{}/livechat", self.target.require_url()?);
        // Webhooks that carry another secret than the stored one are left from an interrupted rotation.
        let is_left = !in_order(self.target, &contents, &webhook_url).await?;
        let finished = is_left && !self.at_once;
        let contents = match finished {
            true => contents,
            false => {
                io.step(1, 2, "storing a new webhook secret");
                self.store(&contents, &[(WEBHOOK_SECRET, random_secret())], io).await?
            }
        };
        self.wait_until_known(&contents, "waiting until every function has the new secret", io).await;
        io.step(2, 2, "registering the webhooks with it, then removing those with the old one");
        self.target.handoff_with(contents.current.incomplete()?)?.repair_webhooks(&webhook_url).await?;
        Ok(finished)
    }

    /// Stores a new key, then gives Botpress the new address.
    async fn path_key(&self, contents: Contents, io: &mut Io<'_>) -> Result<bool, Failure> {
        let url = self.target.require_url()?;
        let at = integration(self.target, &contents, io).await?;
        let client = self.target.botpress();
        let admin = client.admin(&at.workspace.token, &at.workspace.id);
        let address = |key: Option<Redacted>| {
            key.map(|key| Redacted::from(format!("{url}/botpress/{}", key.expose())))
                .ok_or_else(|| Failure::refused("there is no path key yet: hitl connect botpress creates one."))
        };
        let present = address(contents.current.text(BOTPRESS_PATH_KEY))?;
        let known = match &at.name {
            Some(name) => admin.find_integration(name, &at.version).await.map_err(explained)?.and_then(|one| one.url),
            None => None,
        };
        // Botpress may still show the previous key: then that key must not be dropped, and this run finishes the interrupted rotation.
        let has_changed = contents.has_changed(BOTPRESS_PATH_KEY) && !self.at_once;
        let finished = has_changed && known.as_ref().is_some_and(|known| *known != present);
        if has_changed && known.is_none() {
            self.wait_until_known(&contents, "waiting until every function has the current key", io).await;
            admin.redirect_integration(&at.id, &present).await.map_err(explained)?;
        }
        let contents = match finished {
            true => contents,
            false => {
                io.step(1, 2, "storing a new path key");
                self.store(&contents, &[(BOTPRESS_PATH_KEY, random_secret())], io).await?
            }
        };
        self.wait_until_known(&contents, "waiting until every function has the new key", io).await;
        io.step(2, 2, "giving Botpress the new address");
        let address = address(contents.current.text(BOTPRESS_PATH_KEY))?;
        admin.redirect_integration(&at.id, &address).await.map_err(explained)?;
        Ok(finished)
    }

    /// Has Botpress create a new secret, and stores it at once: until then the previous one, valid for a day, proves its calls.
    async fn signing_secret(&self, contents: Contents, io: &mut Io<'_>) -> Result<bool, Failure> {
        let at = integration(self.target, &contents, io).await?;
        // No wait may come between the two steps below.
        if let Some(settles_at) = contents.settles_at().filter(|_| !self.at_once) {
            io.wait_until(settles_at, "callers may still use the previous credential").await;
        }
        let client = self.target.botpress();
        io.step(1, 2, "letting Botpress generate a new signing secret");
        let admin = client.admin(&at.workspace.token, &at.workspace.id);
        let secret = admin.rotate_signing_secret(&at.id).await.map_err(explained)?;
        io.step(2, 2, "storing it");
        self.store(&contents, &[(BOTPRESS_SIGNING_SECRET, secret)], io).await.map_err(|failure| {
            Failure::refused(format!(
                "Botpress has a new signing secret that could not be stored ({failure}). For 24 hours its calls are also signed \
                 with the previous one: run this again within that time."
            ))
        })?;
        Ok(false)
    }

    /// Stores a new key, then withdraws the previous one once no function can still use it.
    async fn access_key(&self, contents: Contents, io: &mut Io<'_>) -> Result<bool, Failure> {
        let at = integration(self.target, &contents, io).await?;
        let client = self.target.botpress();
        let admin = client.admin(&at.workspace.token, &at.workspace.id);
        io.step(1, 3, "issuing a new access key");
        let key = admin.issue_access_key(&at.id, NOTE).await.map_err(explained)?;
        let old = [Some(&contents.current), contents.previous.as_ref()];
        let old: Vec<_> = old.into_iter().flatten().filter_map(|version| version.plain(ACCESS_KEY_ID)).collect();
        io.step(2, 3, "storing it");
        self.store(&contents, &[(BOTPRESS_TOKEN, key.value), (ACCESS_KEY_ID, key.id.clone().into())], io).await?;
        if !self.at_once {
            let unused = io.clock.now() + TIME_TO_LIVE + PROPAGATION;
            io.wait_until(unused, "functions may still use the previous key").await;
        }
        io.step(3, 3, "withdrawing the previous key");
        for id in old.iter().filter(|id| **id != key.id) {
            io.say(&format!("withdrawing {id}"));
            admin.withdraw_access_key(id).await.map_err(explained)?;
        }
        if old.is_empty() {
            io.say(
                "the previous key was not issued by this command: withdraw it in Botpress unless it is used elsewhere",
            );
        }
        Ok(false)
    }
}

async fn in_order(target: &Target, contents: &Contents, webhook_url: &str) -> Result<bool, Failure> {
    let secrets = contents.current.incomplete()?;
    let client = target.livechat(&target.config()?);
    let mut registered = client.configuration(&secrets.agent_token).list_webhooks().await.map_err(|error| {
        match error.is_forbidden() {
            true => Failure::refused(
                "the agent token may not manage webhooks (webhooks.configuration:rw), so their secret cannot be changed. Create a \
                 token with that scope, and run hitl connect livechat.",
            ),
            false => error.into(),
        }
    })?;
    registered.retain(|one| one.url == webhook_url);
    let carries_other = |one| shared::bridge::webhooks::carries(one, &secrets.webhook_secret) == Some(false);
    Ok(!registered.iter().any(carries_other))
}

/// The integration at Botpress, and the workspace that may change it.
struct Deployed {
    id: IntegrationId,
    /// Its full name, if the workspace's handle is known.
    name: Option<String>,
    version: String,
    workspace: Workspace,
}

async fn integration(target: &Target, contents: &Contents, io: &mut Io<'_>) -> Result<Deployed, Failure> {
    let id = contents.current.plain(INTEGRATION_ID).ok_or_else(|| {
        Failure::refused("this stack's integration was not created by hitl connect botpress; run that first.")
    })?;
    let name = target.get("BOTPRESS_WORKSPACE_HANDLE").map(|handle| format!("{handle}/livechat-hitl"));
    let workspace = workspace(target, None, io)?;
    Ok(Deployed { id: IntegrationId::from(id.as_str()), name, version: version(&base()?), workspace })
}
