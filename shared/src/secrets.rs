//! The stack's credentials and the cache in front of Secrets Manager.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::aws;
use crate::clock::{Clock, Timestamp};
use crate::redacted::Redacted;

/// How long fetched credentials are used before they are fetched again.
pub const TIME_TO_LIVE: Duration = Duration::from_secs(300);

/// How long callers may still use a replaced credential: LiveChat takes two minutes to change a webhook, and repeats a
/// delivery for one more minute.
pub const OVERLAP: Duration = Duration::from_secs(300);

/// The same for Botpress's signing secret: Botpress keeps the previous one for a day.
pub const SIGNING_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// The least time between two fetches that a refused credential causes, and after a failed fetch.
pub const REFRESH_COOLDOWN: Duration = Duration::from_secs(10);

/// How long callers wait for fresh credentials while there are cached ones: Botcopy waits at most five seconds.
const REFRESH_TIME: Duration = Duration::from_secs(1);

/// Key of [`Secrets::agent_token`].
pub const AGENT_TOKEN: &str = "agentToken";
/// Key of [`Secrets::webhook_secret`].
pub const WEBHOOK_SECRET: &str = "webhookSecret";
/// Key of [`Secrets::botpress_token`].
pub const BOTPRESS_TOKEN: &str = "botpressToken";
/// Key of [`Secrets::botpress_signing_secret`].
pub const BOTPRESS_SIGNING_SECRET: &str = "botpressSigningSecret";
/// Key of [`Secrets::botpress_path_key`].
pub const BOTPRESS_PATH_KEY: &str = "botpressPathKey";

/// The credentials of one tenant.
///
/// Shape of the secret: `{"agentToken":…,"webhookSecret":…,"botpressToken"?:…,"botpressSigningSecret"?:…,
/// "botpressPathKey"?:…,"botcopyApiKey"?:…,"botcopyAccessToken"?:…,"botcopyBotId"?:…,
/// "botcopyHeader"?:{"name":…,"value":…},"botcopyBots"?:{"<bot id>":{"apiKey":…,"accessToken":…,"header"?:{…}}}}`, all texts but
/// the last two; unknown keys are ignored.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secrets {
    /// LiveChat personal access token, as the console shows it: base64 of `<account id>:<token>`.
    pub agent_token: Redacted,
    /// The secret that LiveChat puts into each webhook's body.
    pub webhook_secret: Redacted,
    /// Botpress integration access key (or personal access token); without it the stack does not serve Botpress.
    #[serde(default)]
    pub botpress_token: Option<Redacted>,
    /// Key of `X-BP-Signature`; without it calls are not signed.
    #[serde(default)]
    pub botpress_signing_secret: Option<Redacted>,
    /// The unguessable last part of the integration's URL.
    #[serde(default)]
    pub botpress_path_key: Option<Redacted>,
    /// Botcopy's API key for pushes; together with the access token, or not at all.
    #[serde(default)]
    pub botcopy_api_key: Option<Redacted>,
    /// The token in header and body of Botcopy's calls.
    #[serde(default)]
    pub botcopy_access_token: Option<Redacted>,
    /// The custom header of Botcopy's calls, if the portal sets one.
    #[serde(default)]
    pub botcopy_header: Option<CustomHeader>,
    /// The operator's own bot: its calls are recorded when they are turned away.
    #[serde(default)]
    pub botcopy_bot_id: Option<String>,
    /// Botcopy bots with keys of their own, by id; the keys above apply to all others.
    #[serde(default)]
    pub botcopy_bots: BTreeMap<String, BotcopyBot>,
}

/// The keys of one Botcopy bot.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BotcopyBot {
    /// Its API key.
    pub api_key: Redacted,
    /// The token of its calls.
    pub access_token: Redacted,
    /// The custom header of its calls, if the portal sets one.
    #[serde(default)]
    pub header: Option<CustomHeader>,
}

/// The keys that apply to a Botcopy bot.
#[derive(Clone, Copy, Debug)]
pub struct BotcopyKeys<'a> {
    /// The key that the stack sends.
    pub api_key: &'a Redacted,
    /// The token that the bot's calls must carry.
    pub access_token: &'a Redacted,
    /// The custom header that they must carry, too.
    pub header: Option<&'a CustomHeader>,
}

/// A header that the operator has chosen; both parts are required, so that half a header never silently disables the check.
#[derive(Clone, Debug, Deserialize)]
pub struct CustomHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Redacted,
}

/// Why there are no credentials.
#[derive(thiserror::Error)]
pub enum Error {
    /// Secrets Manager did not answer, and nothing was cached.
    #[error("the secret cannot be read: check SECRET_ID, the function's permission and the region")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The secret is not the JSON object described at [`Secrets`].
    #[error("the secret is malformed: {0}")]
    Malformed(&'static str),
}

/// Shows no more than the error's message, like the table's error.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unavailable(_) => f.debug_tuple("Unavailable").finish_non_exhaustive(),
            Self::Malformed(what) => f.debug_tuple("Malformed").field(what).finish(),
        }
    }
}

impl Secrets {
    /// Reads and checks the secret's text.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`], which names the key but never a value.
    pub fn parse(text: &str) -> Result<Self, Error> {
        const NO_SECRET: Error =
            Error::Malformed("it has to be a JSON object with the strings agentToken and webhookSecret");
        let values: Map<String, Value> = serde_json::from_str(text).map_err(|_| NO_SECRET)?;
        if let Some((_, complaint)) = misshapen(&values).first() {
            return Err(Error::Malformed(complaint));
        }
        let secrets: Self = serde_json::from_value(Value::Object(values)).map_err(|_| NO_SECRET)?;
        secrets.check()?;
        Ok(secrets)
    }

    /// Reads a secret that an operator has not completed yet. Missing keys are empty, and match nothing; malformed settings
    /// of Botcopy's bots, other than plain keys, are left out.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if a value is not a text.
    pub fn incomplete(mut values: Map<String, Value>) -> Result<Self, Error> {
        for key in [AGENT_TOKEN, WEBHOOK_SECRET] {
            values.entry(key).or_insert_with(|| Value::from(""));
        }
        for (key, _) in misshapen(&values) {
            values.remove(key);
        }
        serde_json::from_value(Value::Object(values)).map_err(|_| Error::Malformed("all values have to be strings"))
    }

    /// The keys that apply to a bot: its own, or else those of all bots.
    pub fn botcopy_keys(&self, bot_id: &str) -> Option<BotcopyKeys<'_>> {
        match self.botcopy_bots.get(bot_id) {
            Some(bot) => Some(BotcopyKeys {
                api_key: &bot.api_key,
                access_token: &bot.access_token,
                header: bot.header.as_ref(),
            }),
            None => Some(BotcopyKeys {
                api_key: self.botcopy_api_key.as_ref()?,
                access_token: self.botcopy_access_token.as_ref()?,
                header: self.botcopy_header.as_ref(),
            }),
        }
    }

    /// Whether the stack has keys for any Botcopy bot.
    pub fn serves_botcopy(&self) -> bool {
        self.botcopy_access_token.is_some() || !self.botcopy_bots.is_empty()
    }

    fn check(&self) -> Result<(), Error> {
        let is_empty = |header: &CustomHeader| header.name.trim().is_empty() || is_blank(&header.value);
        let is_incomplete = |bot: &BotcopyBot| {
            is_blank(&bot.api_key) || is_blank(&bot.access_token) || bot.header.as_ref().is_some_and(is_empty)
        };
        let optional = |secret: &Option<Redacted>| secret.as_ref().is_some_and(is_blank);
        for (blank, complaint) in [
            (is_blank(&self.agent_token), "agentToken is empty"),
            (is_blank(&self.webhook_secret), "webhookSecret is empty"),
            (optional(&self.botpress_token), "botpressToken is empty"),
            (optional(&self.botpress_signing_secret), "botpressSigningSecret is empty"),
            (optional(&self.botpress_path_key), "botpressPathKey is empty"),
            (
                self.botpress_token.is_some()
                    && self.botpress_signing_secret.is_none()
                    && self.botpress_path_key.is_none(),
                "botpressSigningSecret or botpressPathKey has to be set: without both, anybody could call the stack",
            ),
            (optional(&self.botcopy_api_key), "botcopyApiKey is empty"),
            (optional(&self.botcopy_access_token), "botcopyAccessToken is empty"),
            (
                self.botcopy_api_key.is_some() != self.botcopy_access_token.is_some(),
                "botcopyApiKey and botcopyAccessToken belong together: set both, or neither",
            ),
            (self.botcopy_header.as_ref().is_some_and(is_empty), "botcopyHeader has to have a name and a value"),
            (
                self.botcopy_bots.values().any(is_incomplete),
                "each bot of botcopyBots has to have apiKey and accessToken, and its header a name and a value",
            ),
        ] {
            if blank {
                return Err(Error::Malformed(complaint));
            }
        }
        Ok(())
    }
}

/// The keys with a malformed non-text value, each with what is wrong.
fn misshapen(values: &Map<String, Value>) -> Vec<(&'static str, &'static str)> {
    let is_misshapen =
        |key: &str, reads: fn(&Value) -> bool| values.get(key).is_some_and(|value| !value.is_null() && !reads(value));
    let header = |value: &Value| CustomHeader::deserialize(value).is_ok();
    let bots = |value: &Value| BTreeMap::<String, BotcopyBot>::deserialize(value).is_ok();
    let mut found = Vec::new();
    if is_misshapen("botcopyHeader", header) {
        found.push(("botcopyHeader", "botcopyHeader has to be an object with the strings name and value"));
    }
    if is_misshapen("botcopyBots", bots) {
        let complaint =
            "botcopyBots has to be an object that has apiKey and accessToken for each bot, and optionally its header";
        found.push(("botcopyBots", complaint));
    }
    found
}

fn is_blank(secret: &Redacted) -> bool {
    secret.expose().trim().is_empty()
}

/// The credentials in force, and those that a recent rotation has replaced.
#[derive(Clone, Debug)]
pub struct Versions {
    /// Stage `AWSCURRENT`: used towards vendors.
    pub current: Secrets,
    /// Stage `AWSPREVIOUS`, if there is one: accepted from callers during an overlap.
    pub previous: Option<Secrets>,
    /// When the current version was created, and so the previous one replaced.
    pub changed_at: Option<Timestamp>,
}

impl Versions {
    /// The credentials that callers may use, newest first.
    pub fn accepted(&self, now: Timestamp) -> impl Iterator<Item = &Secrets> {
        self.within(OVERLAP, now)
    }

    /// The credentials whose signing secrets callers may use, newest first.
    pub fn accepted_signers(&self, now: Timestamp) -> impl Iterator<Item = &Secrets> {
        self.within(SIGNING_OVERLAP, now)
    }

    /// The current credentials, and the previous ones during their overlap; an overlap of unknown end counts as over.
    fn within(&self, overlap: Duration, now: Timestamp) -> impl Iterator<Item = &Secrets> {
        let overlaps = self.changed_at.is_some_and(|changed_at| now < changed_at + overlap);
        std::iter::once(&self.current).chain(self.previous.iter().filter(move |_| overlaps))
    }
}

/// Credentials that were stored before this time are recalled, because others know them.
///
/// An operator records it in the table (`hitl rotate --now`), and each process learns it along with other reads of the table.
/// It is Secrets Manager's own time of a version.
#[derive(Clone, Debug)]
pub struct Recall(Arc<AtomicI64>);

impl Default for Recall {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MIN)))
    }
}

impl Recall {
    /// Learns that credentials stored before `since` are recalled.
    pub fn learn(&self, since: Timestamp) {
        self.0.fetch_max(since.unix_micros(), Ordering::Relaxed);
    }

    fn concerns(&self, versions: &Versions) -> bool {
        versions.changed_at.is_some_and(|changed_at| changed_at.unix_micros() < self.0.load(Ordering::Relaxed))
    }
}

/// Secrets Manager behind a cache: fetched at first use, kept for five minutes, served stale while it is down.
#[derive(Debug)]
pub struct Cache {
    client: Client,
    secret_id: String,
    clock: Clock,
    cached: Mutex<Option<Cached>>,
    recall: Recall,
    /// Never fetched: they are not in Secrets Manager yet.
    given: Option<Arc<Versions>>,
}

#[derive(Debug)]
struct Cached {
    versions: Arc<Versions>,
    fetched_at: Timestamp,
    /// When they were last fetched because a caller or vendor refused them. Other fetches do not count: a process that has
    /// just started fetches again at once when the first caller uses a credential that was stored since.
    doubted_at: Option<Timestamp>,
    /// When a fetch last failed.
    failed_at: Option<Timestamp>,
}

/// The purpose of the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// A call that the credentials are expected to fit.
    Use,
    /// The credentials did not fit a caller, or a vendor refused them.
    Doubt,
    /// A lasting change, such as a registration.
    Latest,
}

impl Cached {
    /// Whether a fetch is unnecessary, or has just failed.
    fn is_good(&self, need: Need, recalled: bool, now: Timestamp) -> bool {
        let within = |age: Duration, at: Option<Timestamp>| at.is_some_and(|at| now.since(at) < age);
        let is_good = match need {
            Need::Use if recalled => within(REFRESH_COOLDOWN, Some(self.fetched_at)),
            Need::Use => within(TIME_TO_LIVE, Some(self.fetched_at)),
            Need::Doubt => within(REFRESH_COOLDOWN, self.doubted_at),
            Need::Latest => false,
        };
        is_good || within(REFRESH_COOLDOWN, self.failed_at)
    }
}

impl Cache {
    /// Makes an empty cache; fetches nothing yet.
    pub fn new(client: Client, secret_id: String, clock: Clock) -> Self {
        Self { client, secret_id, clock, cached: Mutex::default(), recall: Recall::default(), given: None }
    }

    /// The recall that invalidates cached credentials.
    pub fn recall(&self) -> Recall {
        self.recall.clone()
    }

    /// A cache with fixed credentials that are never fetched: an operator tries them before they are stored.
    #[must_use]
    pub fn with_given(self, secrets: Secrets) -> Self {
        Self { given: Some(Arc::new(Versions { current: secrets, previous: None, changed_at: None })), ..self }
    }

    /// The credentials, fetched if there are none or they are five minutes old.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Malformed`], only if nothing usable is cached.
    pub async fn get(&self) -> Result<Arc<Versions>, Error> {
        self.good_for(Need::Use).await
    }

    /// Whether nothing has been fetched yet, so that the next caller waits for Secrets Manager.
    pub fn is_empty(&self) -> bool {
        self.given.is_none() && self.cached.try_lock().is_ok_and(|cached| cached.is_none())
    }

    /// The credentials after they did not fit a caller or a vendor refused them: fetched again unless that was done moments
    /// ago.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn refreshed(&self) -> Result<Arc<Versions>, Error> {
        self.good_for(Need::Doubt).await
    }

    /// The credentials as they are stored now: for a lasting change, such as registering webhooks.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn latest(&self) -> Result<Arc<Versions>, Error> {
        self.good_for(Need::Latest).await
    }

    async fn good_for(&self, need: Need) -> Result<Arc<Versions>, Error> {
        if let Some(given) = &self.given {
            return Ok(Arc::clone(given));
        }
        // Locked during the fetch, so that concurrent requests share one answer instead of each fetching.
        let mut cached = self.cached.lock().await;
        let now = self.clock.now();
        let is_good = |cached: &&Cached| cached.is_good(need, self.recall.concerns(&cached.versions), now);
        if let Some(good) = cached.as_ref().filter(is_good) {
            return Ok(Arc::clone(&good.versions));
        }
        let doubted_at =
            if need == Need::Doubt { Some(now) } else { cached.as_ref().and_then(|cached| cached.doubted_at) };
        let Some(stale) = cached.as_mut() else {
            let versions = Arc::new(self.fetch().await?);
            *cached = Some(Cached { versions: Arc::clone(&versions), fetched_at: now, doubted_at, failed_at: None });
            return Ok(versions);
        };
        match self.clock.within(now + REFRESH_TIME, self.fetch()).await {
            Some(Ok(versions)) => {
                *stale = Cached { versions: Arc::new(versions), fetched_at: now, doubted_at, failed_at: None };
            }
            failed => {
                let error = failed.and_then(Result::err).map(|error| error.to_string());
                tracing::error!(error, "the secret could not be refreshed; the cached one stays in use");
                stale.failed_at = Some(self.clock.now());
            }
        }
        Ok(Arc::clone(&stale.versions))
    }

    async fn fetch(&self) -> Result<Versions, Error> {
        let (current, previous) = tokio::join!(self.fetch_stage("AWSCURRENT"), self.fetch_stage("AWSPREVIOUS"));
        let (current, changed_at) =
            current?.ok_or(Error::Malformed("SECRET_ID names no secret that has a current version"))?;
        // A missing or invalid previous version only means that there is no rotation to bridge.
        let previous = previous.ok().flatten().map(|(secrets, _)| secrets);
        Ok(Versions { current, previous, changed_at })
    }

    async fn fetch_stage(&self, stage: &str) -> Result<Option<(Secrets, Option<Timestamp>)>, Error> {
        let request = self.client.get_secret_value().secret_id(&self.secret_id).version_stage(stage);
        match request.send().await {
            Ok(answer) => {
                let created_at = answer.created_date().map(|date| aws::timestamp(*date));
                let secrets = answer.secret_string().map(Secrets::parse).transpose()?;
                Ok(secrets.map(|secrets| (secrets, created_at)))
            }
            Err(error) => match error.into_service_error() {
                missing if missing.is_resource_not_found_exception() => Ok(None),
                other => Err(Error::Unavailable(Box::new(other))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_needs_its_credentials_and_one_proof_of_the_caller() {
        let cases = [
            (r#"{"agentToken":"a","webhookSecret":"w","botpressToken":"b","botpressPathKey":"k"}"#, true),
            (
                r#"{"agentToken":"a","webhookSecret":"w","botpressToken":"b","botpressSigningSecret":"s","more":1}"#,
                true,
            ),
            (r#"{"agentToken":"a","webhookSecret":"w"}"#, true),
            (r#"{"agentToken":"a","webhookSecret":"w","botcopyApiKey":"c","botcopyAccessToken":"t"}"#, true),
            (r#"{"agentToken":"a","webhookSecret":"w","botpressToken":"b"}"#, false),
            (r#"{"agentToken":"a","webhookSecret":"w","botpressToken":"","botpressPathKey":"k"}"#, false),
            (r#"{"agentToken":"a","webhookSecret":"w","botpressToken":"b","botpressPathKey":""}"#, false),
            (r#"{"agentToken":"a","webhookSecret":" ","botpressToken":"b","botpressPathKey":"k"}"#, false),
            (r#"{"webhookSecret":"w","botpressToken":"b","botpressPathKey":"k"}"#, false),
            (
                r#"{"agentToken":"a","webhookSecret":"w","botpressToken":"b","botpressPathKey":"k","botcopyApiKey":"c"}"#,
                false,
            ),
            (
                r#"{"agentToken":"a","webhookSecret":"w","botpressToken":"b","botpressPathKey":"k","botcopyApiKey":"c","botcopyAccessToken":"t"}"#,
                true,
            ),
            (
                r#"{"agentToken":"a","webhookSecret":"w","botpressToken":"b","botpressPathKey":"k","botcopyApiKey":"c","botcopyAccessToken":"t","botcopyHeader":{"name":"X-Shop","value":""}}"#,
                false,
            ),
            (r#"{"agentToken":"a","webhookSecret":"w","botcopyBots":{"b":{"apiKey":"c","accessToken":"t"}}}"#, true),
            (r#"{"agentToken":"a","webhookSecret":"w","botcopyBots":{"b":{"apiKey":"c","accessToken":" "}}}"#, false),
            (r#"{"agentToken":"a","webhookSecret":"w","botcopyBots":{"b":{"apiKey":"c"}}}"#, false),
            ("not json", false),
        ];
        for (text, valid) in cases {
            assert_eq!(Secrets::parse(text).is_ok(), valid, "{text}");
        }
    }

    #[test]
    fn a_recall_concerns_what_was_stored_before_it_and_nothing_later() {
        let at = |seconds: i64| Timestamp::from_unix_millis(seconds * 1_000);
        let recall = Recall::default();
        let versions = |changed_at| Versions {
            current: Secrets::parse(r#"{"agentToken":"a","webhookSecret":"w"}"#).unwrap(),
            previous: None,
            changed_at,
        };
        assert!(!recall.concerns(&versions(Some(at(0)))), "nothing is recalled");
        recall.learn(at(100));
        recall.learn(at(50));
        assert!(recall.concerns(&versions(Some(at(99)))));
        assert!(!recall.concerns(&versions(Some(at(100)))), "what it was noted for");
        assert!(!recall.concerns(&versions(None)), "what is not stored yet");
    }

    #[test]
    fn a_malformed_secret_is_described_without_its_values() {
        let error = Secrets::parse(r#"{"agentToken":"canary","webhookSecret":7}"#).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("canary"));
    }
}
