//! `hitl connect`: connects a new stack, and repairs the connections of an existing one.

pub(crate) mod botcopy;
pub(crate) mod botpress;
pub(crate) mod definition;
pub(crate) mod livechat;

use shared::operator::secret::{Contents, Vault, Version};
use shared::redacted::Redacted;
use uuid::Uuid;

use crate::Io;
use crate::output::Failure;
use crate::target::Target;

/// Key of the secret: the integration to which the signing secret and the access key belong. The functions do not read it.
pub(crate) const INTEGRATION_ID: &str = "botpressIntegrationId";

/// Key of the secret: the id by which the access key can be withdrawn. The functions do not read it.
pub(crate) const ACCESS_KEY_ID: &str = "botpressAccessKeyId";

/// The note that marks the stack's access keys at Botpress.
pub(crate) const NOTE: &str = "livechat-hitl";

/// Returns a secret from its variable, otherwise from a prompt.
pub(crate) fn ask(target: &Target, io: &mut Io<'_>, variable: &str, prompt: &str) -> Result<Option<Redacted>, Failure> {
    // A sandbox to be connected names no credentials: they are read from where a stack's would be.
    match target.get(variable).or_else(|| (io.environment)(variable)) {
        Some(value) => Ok(Some(value.into())),
        None => io.secret(prompt),
    }
}

/// Stores changed values once no caller needs the version that this drops. Returns whether there was anything to store.
pub(crate) async fn store(
    vault: &Vault,
    contents: &Contents,
    changes: &[(&str, Redacted)],
    io: &mut Io<'_>,
) -> Result<bool, Failure> {
    store_version(vault, contents, &contents.current.clone().with(changes), io).await
}

/// Stores a version once no caller needs the version that this drops. Returns whether it differs from the present one.
pub(crate) async fn store_version(
    vault: &Vault,
    contents: &Contents,
    version: &Version,
    io: &mut Io<'_>,
) -> Result<bool, Failure> {
    if *version == contents.current {
        return Ok(false);
    }
    if let Some(settles_at) = contents.settles_at() {
        io.wait_until(settles_at, "callers may still use the previous credential").await;
    }
    vault.write(&contents.current, version).await?;
    Ok(true)
}

/// Returns a value that cannot be guessed: 244 random bits in 64 characters that are safe in a URL.
pub(crate) fn random_secret() -> Redacted {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()).into()
}

/// The owner's token for Botpress's admin API, and the workspace.
pub(crate) struct Workspace {
    pub token: Redacted,
    pub id: String,
}

/// Asks for the token and the workspace that the admin API needs.
pub(crate) fn workspace(target: &Target, named: Option<&str>, io: &mut Io<'_>) -> Result<Workspace, Failure> {
    let id = match named {
        Some(id) => id.to_owned(),
        None => target.require("BOTPRESS_WORKSPACE_ID", "set it to the workspace's id, from its settings")?,
    };
    let prompt = "Botpress personal access token (bp_pat_…, from your profile's settings; it is not stored)";
    let token = ask(target, io, "BOTPRESS_PERSONAL_ACCESS_TOKEN", prompt)?;
    let token = token.ok_or_else(|| {
        Failure::stopped(
            "a personal access token is needed: Botpress, your profile's settings, Personal access tokens.",
        )
    })?;
    Ok(Workspace { token, id })
}

/// Forgets which calls of a vendor were turned away: its next calls will carry something else.
pub(crate) async fn forget_turned_away(target: &Target, vendor: &str, io: &mut Io<'_>) {
    let forgotten = match target.table() {
        Ok(table) => table.forget_turned_away(vendor).await.is_ok(),
        Err(_) => false,
    };
    if !forgotten {
        io.say("the table could not be reached: hitl doctor may still report calls that were turned away before");
    }
}
