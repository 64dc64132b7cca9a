//! `hitl connect botpress`.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use shared::botpress::{Admin, Error, Integration};
use shared::ids::IntegrationId;
use shared::operator::secret::{Contents, Version};
use shared::redacted::Redacted;
use shared::secrets::{BOTPRESS_PATH_KEY, BOTPRESS_SIGNING_SECRET, BOTPRESS_TOKEN};

use super::definition::{INTERFACE, as_change, base, complete, version};
use super::{ACCESS_KEY_ID, INTEGRATION_ID, NOTE, random_secret, store, workspace};
use crate::Io;
use crate::arguments::BotpressOptions;
use crate::output::{Answer, Failure};
use crate::target::Target;

/// The number of steps, unless nothing is to be changed.
const STEPS: usize = 4;

/// The outcome for the integration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Done {
    Created,
    Updated,
    WouldBeCreated,
    WouldBeUpdated,
}

#[derive(Debug, Serialize)]
struct Connected {
    name: String,
    version: String,
    done: Done,
    #[serde(skip_serializing_if = "Option::is_none")]
    integration_id: Option<IntegrationId>,
    /// Keys of the secret that have a new value.
    stored: Vec<String>,
}

impl fmt::Display for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version, .. } = self;
        match self.done {
            Done::WouldBeCreated => {
                return write!(f, "Botpress would accept {name} {version} as a new integration. Nothing was changed.");
            }
            Done::WouldBeUpdated => {
                return write!(f, "Botpress would accept this change of {name} {version}. Nothing was changed.");
            }
            Done::Created => writeln!(f, "Botpress is connected: {name} {version} was created.")?,
            Done::Updated => writeln!(f, "Botpress is connected: {name} {version} was updated.")?,
        }
        if let Some(id) = &self.integration_id {
            writeln!(f, "  integration   {id}")?;
        }
        match self.stored.as_slice() {
            [] => writeln!(f, "  secret        unchanged")?,
            stored => writeln!(f, "  secret        stored: {}", stored.join(", "))?,
        }
        write!(
            f,
            "\nNext, in Botpress Studio: open the bot, Integrations, choose {name} (private), Install. Its status there shows \
             what is wrong, if anything. Then choose it in the HITL plugin, and run hitl doctor."
        )
    }
}

/// Creates or updates the integration and stores its credentials.
pub(crate) async fn run(target: &Target, options: &BotpressOptions, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let (vault, url) = (target.vault()?, target.require_url()?);
    let handle = match &options.handle {
        Some(handle) => handle.clone(),
        None => target.require("BOTPRESS_WORKSPACE_HANDLE", "set it to the workspace's handle, from its settings")?,
    };
    let name = format!("{handle}/{}", options.name);
    let workspace = workspace(target, options.workspace.as_deref(), io)?;
    let contents = vault.read().await?;
    let client = target.botpress();
    let admin = client.admin(&workspace.token, &workspace.id);

    let base = base()?;
    let version = version(&base);
    let steps = if options.dry_run { 2 } else { STEPS };
    io.step(1, steps, &format!("fetching the interface {} {}", INTERFACE.0, INTERFACE.1));
    let interface = admin.interface(INTERFACE.0, INTERFACE.1).await.map_err(explained)?;
    let existing = admin.find_integration(&name, &version).await.map_err(explained)?;
    let path_key = contents.current.text(BOTPRESS_PATH_KEY).unwrap_or_else(random_secret);
    let address = Redacted::from(format!("{url}/botpress/{}", path_key.expose()));
    let body = complete(&base, &interface, &name, &address)?;
    if options.dry_run {
        io.step(2, steps, "asking Botpress whether it would accept the definition");
        let tried = match &existing {
            Some(known) => admin.validate_integration(Some(&known.id), &as_change(&body)).await,
            None => admin.validate_integration(None, &body).await,
        };
        tried.map_err(explained)?;
        let done = if existing.is_some() { Done::WouldBeUpdated } else { Done::WouldBeCreated };
        return Ok(Answer::done(&Connected { name, version, done, integration_id: None, stored: Vec::new() }));
    }
    let (done, integration) = deploy(&admin, existing, &body, io).await?;
    let mut changes = vec![(INTEGRATION_ID, Redacted::from(integration.id.as_str())), (BOTPRESS_PATH_KEY, path_key)];
    io.step(3, STEPS, "setting up signing secret and access key");
    changes.extend(credentials(&admin, &integration, &contents.current, io).await?);
    let stored = new_values(&contents, &changes);
    io.step(4, STEPS, "storing the credentials");
    store(&vault, &contents, &changes, io).await?;
    super::forget_turned_away(target, "Botpress", io).await;
    Ok(Answer::done(&Connected { name, version, done, integration_id: Some(integration.id), stored }))
}

async fn deploy(
    admin: &Admin<'_>,
    existing: Option<Integration>,
    body: &Value,
    io: &mut Io<'_>,
) -> Result<(Done, Integration), Failure> {
    match existing {
        None => {
            io.step(2, STEPS, "creating the integration");
            Ok((Done::Created, admin.create_integration(body).await.map_err(explained)?))
        }
        Some(known) => {
            io.step(2, STEPS, "updating the integration");
            Ok((Done::Updated, admin.update_integration(&known.id, &as_change(body)).await.map_err(explained)?))
        }
    }
}

/// Returns the signing secret and access key that the stack lacks for this integration.
///
/// Botpress shows a signing secret only when it is new, so a secret that is not stored has to be replaced; the previous one stays
/// valid for a day.
async fn credentials(
    admin: &Admin<'_>,
    integration: &Integration,
    stored: &Version,
    io: &mut Io<'_>,
) -> Result<Vec<(&'static str, Redacted)>, Failure> {
    let mut changes = Vec::new();
    let belongs = stored.plain(INTEGRATION_ID).as_deref() == Some(integration.id.as_str());
    if !belongs || stored.text(BOTPRESS_SIGNING_SECRET).is_none() {
        let secret = match &integration.signing_secret {
            Some(secret) => secret.clone(),
            None => {
                io.say("generating a new signing secret");
                admin.rotate_signing_secret(&integration.id).await.map_err(explained)?
            }
        };
        changes.push((BOTPRESS_SIGNING_SECRET, secret));
    }
    if !belongs || stored.text(BOTPRESS_TOKEN).is_none() {
        io.say("issuing an access key");
        let key = admin.issue_access_key(&integration.id, NOTE).await.map_err(explained)?;
        changes.extend([(BOTPRESS_TOKEN, key.value), (ACCESS_KEY_ID, key.id.into())]);
    }
    Ok(changes)
}

fn new_values(contents: &Contents, changes: &[(&str, Redacted)]) -> Vec<String> {
    let changed = changes.iter().filter(|(key, value)| contents.current.text(key).as_ref() != Some(value));
    changed.map(|(key, _)| (*key).to_owned()).collect()
}

/// Explains to an operator how to handle Botpress's refusals.
pub(crate) fn explained(error: Error) -> Failure {
    let code = error.refusal().and_then(|refusal| refusal.code.as_deref()).unwrap_or_default();
    let advice = match code {
        "Unauthorized" => "The personal access token is not accepted; create a new one in your profile's settings.",
        "Forbidden" => "The token's owner has no access to this workspace; check --workspace and the owner's role.",
        "BreakingChanges" => {
            "The change would remove something from bots that have the integration installed; deploy it under another --name, \
             install that one, and remove the old one."
        }
        "InvalidJsonSchema" | "InvalidPayload" => {
            "Botpress does not accept the definition, or the handle is not this workspace's; check --handle."
        }
        "ResourceNotFound" => {
            "Botpress does not have the integration; check --workspace, or run hitl connect botpress first."
        }
        _ => return error.into(),
    };
    Failure::refused(format!("{advice} ({error:#})"))
}
