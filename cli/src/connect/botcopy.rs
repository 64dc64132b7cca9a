//! `hitl connect botcopy`.

use std::fmt;

use serde::Serialize;

use super::{ask, random_secret, store};
use crate::Io;
use crate::output::{Answer, Failure};
use crate::target::Target;

const API_KEY: &str = "botcopyApiKey";
const ACCESS_TOKEN: &str = "botcopyAccessToken";

/// What is stored, and what to enter where.
#[derive(Debug, Serialize)]
struct Connected {
    endpoint_url: String,
    secret_changed: bool,
    access_token_generated: bool,
}

impl fmt::Display for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Both keys of Botcopy are {}.", if self.secret_changed { "stored" } else { "unchanged" })?;
        writeln!(f, "\nIn Botcopy's portal, in the bot's live chat settings, enter")?;
        writeln!(f, "  Live Chat Endpoint Webhook URL   {}", self.endpoint_url)?;
        write!(f, "  Access token                     ")?;
        match self.access_token_generated {
            true => {
                write!(f, "the secret's value {ACCESS_TOKEN}, which was generated now: copy it from Secrets Manager")
            }
            false => write!(f, "the one that was given here ({ACCESS_TOKEN} in the secret)"),
        }
    }
}

/// Stores both keys.
pub(crate) async fn run(target: &Target, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let (vault, url) = (target.vault()?, target.require_url()?);
    let contents = vault.read().await?;
    let stored = |key: &str| contents.current.text(key);
    let api_key =
        ask(target, io, "BOTCOPY_API_KEY", "Botcopy API key (its portal shows it once; empty keeps the stored one)")?;
    let api_key = api_key.or_else(|| stored(API_KEY)).ok_or_else(|| {
        Failure::stopped("the API key is needed: Botcopy's portal generates it in the bot's live chat settings.")
    })?;
    let prompt = "Botcopy access token (empty keeps the stored one, or generates one)";
    let access_token = ask(target, io, "BOTCOPY_ACCESS_TOKEN", prompt)?.or_else(|| stored(ACCESS_TOKEN));
    let access_token_generated = access_token.is_none();
    let access_token = access_token.unwrap_or_else(random_secret);
    let changes = [(API_KEY, api_key), (ACCESS_TOKEN, access_token)];
    let secret_changed = store(&vault, &contents, &changes, io).await?;
    Ok(Answer::done(&Connected { endpoint_url: format!("{url}/botcopy"), secret_changed, access_token_generated }))
}
