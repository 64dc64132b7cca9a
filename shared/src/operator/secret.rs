//! The secret from an operator's point of view: read unchecked, complete or not, and changed a few values at a time.
//!
//! The functions read the same secret through [`secrets::Cache`], which requires it to be complete.

use std::fmt;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use serde_json::{Map, Value};

use crate::aws;
use crate::clock::Timestamp;
use crate::redacted::Redacted;
use crate::secrets::{
    self, BOTPRESS_PATH_KEY, BOTPRESS_SIGNING_SECRET, OVERLAP, SIGNING_OVERLAP, Secrets, WEBHOOK_SECRET,
};

/// The keys that callers prove themselves with; after a change their previous values stay valid for a while.
const SHOWN_BY_CALLERS: [&str; 4] = [WEBHOOK_SECRET, BOTPRESS_PATH_KEY, BOTPRESS_SIGNING_SECRET, "botcopyAccessToken"];

/// The key of the Botcopy bots with keys of their own: an object by the bots' ids.
pub const BOTCOPY_BOTS: &str = "botcopyBots";

/// The stage of a version that is stored but not in force yet.
const PENDING: &str = "AWSPENDING";
const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// Why the secret cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No secret has this name in this account and region.
    #[error("there is no such secret")]
    NotFound,
    /// Secrets Manager did not answer, or refused.
    #[error("Secrets Manager does not answer ({reason})")]
    Unavailable {
        /// The service's code and message; neither contains a value.
        reason: String,
        /// The SDK's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The version in force is not the one that was read: another was stored in between.
    #[error("the secret was changed in the meantime")]
    Changed,
    /// It is not a JSON object.
    #[error("the secret is not a JSON object")]
    Malformed,
}

/// The outcome of the vault's methods.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One version of the secret.
#[derive(Clone, Default, PartialEq)]
pub struct Version {
    values: Map<String, Value>,
    created_at: Option<Timestamp>,
    /// The version's id; after its values were replaced, the id of the version it was read from.
    id: Option<String>,
}

/// Shows the keys, never their values.
impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.keys()).finish()
    }
}

impl Version {
    /// The text of a key; an empty text counts as absent.
    pub fn text(&self, key: &str) -> Option<Redacted> {
        let text = self.values.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        text.map(Redacted::from)
    }

    /// The same for a value that is not secret, such as the id that a key belongs to.
    pub fn plain(&self, key: &str) -> Option<String> {
        self.text(key).map(Redacted::into_inner)
    }

    /// The secret as the functions read it.
    ///
    /// # Errors
    ///
    /// [`secrets::Error::Malformed`], which names the missing key.
    pub fn checked(&self) -> Result<Secrets, secrets::Error> {
        Secrets::parse(&Value::Object(self.values.clone()).to_string())
    }

    /// As [`checked`](Self::checked), but accepts missing keys.
    ///
    /// # Errors
    ///
    /// [`secrets::Error::Malformed`] if a value is not a text.
    pub fn incomplete(&self) -> Result<Secrets, secrets::Error> {
        Secrets::incomplete(self.values.clone())
    }

    /// The version with some values replaced.
    #[must_use]
    pub fn with(mut self, changes: &[(&str, Redacted)]) -> Self {
        for (key, value) in changes {
            self.values.insert((*key).to_owned(), Value::from(value.expose()));
        }
        self
    }

    /// The version with a non-text value replaced.
    #[must_use]
    pub fn with_json(mut self, key: &str, value: Value) -> Self {
        self.values.insert(key.to_owned(), value);
        self
    }

    /// A non-text value.
    pub fn json(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    fn parse(text: &str, created_at: Option<Timestamp>, id: Option<String>) -> Result<Self> {
        let values = serde_json::from_str(text).map_err(|_| Error::Malformed)?;
        Ok(Self { values, created_at, id })
    }
}

/// The version in force and the previous one.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Stage `AWSCURRENT`.
    pub current: Version,
    /// Stage `AWSPREVIOUS`; none before the first change.
    pub previous: Option<Version>,
}

impl Contents {
    /// Whether a key's value differs from the previous version's.
    pub fn has_changed(&self, key: &str) -> bool {
        self.previous.as_ref().is_some_and(|previous| previous.text(key) != self.current.text(key))
    }

    /// Until when a caller may need a value that only the previous version still has: another change would lose that value.
    pub fn settles_at(&self) -> Option<Timestamp> {
        let previous = self.previous.as_ref()?;
        let replaced = |key: &&str| previous.text(key).is_some() && self.has_changed(key);
        let bots = previous.json(BOTCOPY_BOTS);
        let bots_replaced = bots.is_some() && bots != self.current.json(BOTCOPY_BOTS);
        if !bots_replaced && !SHOWN_BY_CALLERS.iter().any(replaced) {
            return None;
        }
        Some(self.current.created_at? + OVERLAP)
    }

    /// Until when callers may use the value of a key that the version in force has replaced; `None` if they may not at `now`.
    pub fn accepted_until(&self, key: &str, now: Timestamp) -> Option<Timestamp> {
        let is_shown = SHOWN_BY_CALLERS.contains(&key);
        self.previous.as_ref().filter(|previous| is_shown && self.has_changed(key) && previous.text(key).is_some())?;
        let overlap = if key == BOTPRESS_SIGNING_SECRET { SIGNING_OVERLAP } else { OVERLAP };
        Some(self.current.created_at? + overlap).filter(|until| now < *until)
    }

    /// When the version in force was stored.
    pub const fn changed_at(&self) -> Option<Timestamp> {
        self.current.created_at
    }
}

/// An operator's access to the stack's secret.
#[derive(Clone, Debug)]
pub struct Vault {
    client: Client,
    secret_id: String,
}

impl Vault {
    /// Names the secret; makes no call.
    pub const fn new(client: Client, secret_id: String) -> Self {
        Self { client, secret_id }
    }

    /// Reads both versions.
    ///
    /// # Errors
    ///
    /// [`Error`]; a secret without a value is empty, not an error.
    pub async fn read(&self) -> Result<Contents> {
        let current = self.version(CURRENT).await?;
        let previous = match self.version(PREVIOUS).await {
            Ok(version) => Some(version),
            Err(Error::NotFound | Error::Malformed) => None,
            Err(error) => return Err(error),
        };
        Ok(Contents { current, previous })
    }

    /// Puts `version` in force instead of `seen`, which becomes the previous version.
    ///
    /// A second call moves the stage `AWSCURRENT`, because only that call checks which version has it so far.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`] if `seen` is no longer in force; nothing has changed then.
    pub async fn write(&self, seen: &Version, version: &Version) -> Result<()> {
        let text = Value::Object(version.values.clone()).to_string();
        let put = self.client.put_secret_value().secret_id(&self.secret_id).secret_string(text);
        let stored = put.version_stages(PENDING).send().await.map_err(refused)?;
        let id = stored.version_id().map(str::to_owned);
        let restage = self.client.update_secret_version_stage().secret_id(&self.secret_id).version_stage(CURRENT);
        let restage = restage.set_remove_from_version_id(seen.id.clone()).set_move_to_version_id(id.clone());
        let Err(error) = restage.send().await else { return Ok(()) };
        match self.version(CURRENT).await?.id {
            // The first answer was lost, and the call was repeated.
            current if current == id => Ok(()),
            current if current != seen.id => Err(Error::Changed),
            _ => Err(refused(error)),
        }
    }

    /// Ends the validity of the values of `replaced`, the previous version.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub async fn withdraw(&self, replaced: &Version) -> Result<()> {
        let restage = self.client.update_secret_version_stage().secret_id(&self.secret_id).version_stage(PREVIOUS);
        let withdrawn = restage.set_remove_from_version_id(replaced.id.clone()).send().await;
        match (withdrawn, self.version(PREVIOUS).await) {
            (Ok(_), _) | (Err(_), Err(Error::NotFound)) => Ok(()),
            (Err(error), _) => Err(refused(error)),
        }
    }

    async fn version(&self, stage: &str) -> Result<Version> {
        let request = self.client.get_secret_value().secret_id(&self.secret_id).version_stage(stage);
        let answer = request.send().await.map_err(refused)?;
        let created_at = answer.created_date().map(|date| aws::timestamp(*date));
        let id = answer.version_id().map(str::to_owned);
        Version::parse(answer.secret_string().unwrap_or_default(), created_at, id)
    }
}

fn refused<E, R>(error: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: fmt::Debug + Send + Sync + 'static,
{
    let reason = match (error.code(), error.message()) {
        (Some("ResourceNotFoundException"), _) => return Error::NotFound,
        (Some(code), message) => format!("{code}: {}", message.unwrap_or("no message")),
        _ => error.to_string(),
    };
    Error::Unavailable { reason, source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str, seconds: i64) -> Version {
        Version::parse(text, Some(Timestamp::from_unix_millis(seconds * 1_000)), None).unwrap()
    }

    #[test]
    fn a_value_that_a_caller_shows_is_kept_for_a_while_after_it_was_replaced() {
        let before = version(r#"{"webhookSecret":"a","botpressToken":"x"}"#, 0);
        for (after, waits) in [
            (r#"{"webhookSecret":"b","botpressToken":"x"}"#, true),
            (r#"{"botpressToken":"x"}"#, true),
            (r#"{"webhookSecret":"a","botpressToken":"y"}"#, false),
            (r#"{"webhookSecret":"a","botpressToken":"x","botpressPathKey":"new"}"#, false),
        ] {
            let contents = Contents { current: version(after, 1_000), previous: Some(before.clone()) };
            let expected = waits.then(|| Timestamp::from_unix_millis(1_300_000));
            assert_eq!(contents.settles_at(), expected, "{after}");
        }
        assert_eq!(Contents { current: before, previous: None }.settles_at(), None);
    }

    #[test]
    fn a_signing_secret_is_accepted_for_a_day_after_it_was_replaced_and_the_others_for_five_minutes() {
        let before = version(r#"{"webhookSecret":"a","botpressSigningSecret":"s","botpressToken":"x"}"#, 0);
        let current = version(r#"{"webhookSecret":"b","botpressSigningSecret":"t","botpressToken":"y"}"#, 1_000);
        let contents = Contents { current, previous: Some(before) };
        let at = |seconds: i64| Timestamp::from_unix_millis(seconds * 1_000);
        for (key, now, until) in [
            (WEBHOOK_SECRET, 1_299, Some(1_300)),
            (WEBHOOK_SECRET, 1_300, None),
            (BOTPRESS_SIGNING_SECRET, 1_300, Some(87_400)),
            (BOTPRESS_SIGNING_SECRET, 87_400, None),
            ("botpressToken", 1_000, None),
            (BOTPRESS_PATH_KEY, 1_000, None),
        ] {
            assert_eq!(contents.accepted_until(key, at(now)), until.map(at), "{key} at {now}");
        }
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let version = version(r#"{"agentToken":"a","later":{"x":1},"botpressToken":" "}"#, 0);
        let changed = version.clone().with(&[("agentToken", "b".into())]);
        assert_eq!(changed.text("agentToken"), Some("b".into()));
        assert_eq!(changed.values.get("later"), version.values.get("later"));
        assert_eq!(changed.text("botpressToken"), None, "a blank counts as absent");
    }

    #[test]
    fn the_debug_form_names_keys_and_no_value() {
        let version = version(r#"{"agentToken":"canary"}"#, 0);
        assert_eq!(format!("{version:?}"), r#"["agentToken"]"#);
    }
}
