//! `hitl connect botcopy`.

use std::fmt;

use http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::botcopy::{Client, Push, ResumeEvents, Settings};
use shared::ids::{BotcopyBotId, BotcopyUserId};
use shared::model::session::{Channel, ResumeReason};
use shared::operator::secret::{BOTCOPY_BOTS, Version};
use shared::redacted::Redacted;

use super::{ask, random_secret, store_version};
use crate::Io;
use crate::arguments::BotcopyOptions;
use crate::output::{Answer, Failure, causes};
use crate::target::Target;

const API_KEY: &str = "botcopyApiKey";
const ACCESS_TOKEN: &str = "botcopyAccessToken";
const HEADER: &str = "botcopyHeader";

/// Key of the secret: the bot that the API key belongs to. The functions do not read it.
pub(crate) const BOT_ID: &str = "botcopyBotId";

/// The id of a user, and of a bot, that do not exist.
pub(crate) const NOBODY: &str = "hitl-doctor";

/// What is stored, and what to enter where.
#[derive(Debug, Serialize)]
struct Connected {
    endpoint_url: String,
    api_key_accepted_for: Option<String>,
    custom_header: Option<String>,
    /// Whether the keys belong to this bot alone.
    has_own_keys: bool,
    secret_changed: bool,
    access_token_generated: bool,
}

impl fmt::Display for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.api_key_accepted_for {
            Some(bot) => writeln!(f, "Botcopy accepts the API key for bot {bot}.")?,
            None => writeln!(f, "Botcopy does not refuse the API key; with --bot it is tried for your bot.")?,
        }
        let for_whom = if self.has_own_keys { " for this bot alone" } else { "" };
        writeln!(f, "Both keys are {}{for_whom}.", if self.secret_changed { "stored" } else { "unchanged" })?;
        writeln!(f, "\nIn Botcopy's portal, in the bot's live chat settings, enter")?;
        writeln!(f, "  Live Chat Endpoint Webhook URL   {}", self.endpoint_url)?;
        write!(f, "  Access token                     ")?;
        match self.access_token_generated {
            true => {
                write!(
                    f,
                    "the secret's value {}, which this command has generated: copy it from Secrets Manager",
                    self.token_at()
                )?;
            }
            false => write!(f, "the one that you entered ({} in the secret)", self.token_at())?,
        }
        match &self.custom_header {
            Some(name) => write!(f, "\n  Custom header                    {name}, with the value that you entered"),
            None => Ok(()),
        }
    }
}

impl Connected {
    /// Returns where the secret contains the access token.
    fn token_at(&self) -> String {
        match &self.api_key_accepted_for {
            Some(bot_id) if self.has_own_keys => format!("{BOTCOPY_BOTS} → {bot_id} → accessToken"),
            _ => ACCESS_TOKEN.to_owned(),
        }
    }
}

/// The number of steps.
const STEPS: usize = 2;

/// The custom header of Botcopy's calls.
struct Header {
    name: String,
    value: Redacted,
}

/// The stored keys of a bot: its own, or those of all bots.
struct Stored<'a> {
    version: &'a Version,
    /// The bot, if it has keys of its own.
    own: Option<&'a str>,
}

impl Stored<'_> {
    fn keys_of_bot(&self) -> Option<&Value> {
        self.version.json(BOTCOPY_BOTS)?.get(self.own?)
    }

    /// Returns a key by its two names: among those of all bots, and in a bot's own.
    fn key(&self, names: (&str, &str)) -> Option<Redacted> {
        match self.own {
            None => self.version.text(names.0),
            Some(_) => {
                let text = self.keys_of_bot()?.get(names.1)?.as_str()?;
                Some(text.into()).filter(|_| !text.trim().is_empty())
            }
        }
    }

    fn header(&self) -> Option<&Value> {
        match self.own {
            None => self.version.json(HEADER),
            Some(_) => self.keys_of_bot()?.get("header").filter(|header| !header.is_null()),
        }
    }
}

/// Tries the keys, and stores them with the bot's other properties.
pub(crate) async fn run(target: &Target, options: &BotcopyOptions, io: &mut Io<'_>) -> Result<Answer, Failure> {
    let (vault, url) = (target.vault()?, target.require_url()?);
    let contents = vault.read().await?;
    let bot_id =
        options.bot.clone().or_else(|| target.get("BOTCOPY_BOT_ID")).or_else(|| contents.current.plain(BOT_ID));
    let has_own = |bot_id: &&str| {
        options.own_keys || contents.current.json(BOTCOPY_BOTS).is_some_and(|bots| bots.get(*bot_id).is_some())
    };
    let stored = Stored { version: &contents.current, own: bot_id.as_deref().filter(has_own) };
    let api_key =
        ask(target, io, "BOTCOPY_API_KEY", "Botcopy API key (its portal shows it once; empty keeps the stored one)")?;
    let api_key = api_key.or_else(|| stored.key((API_KEY, "apiKey"))).ok_or_else(|| {
        Failure::stopped("the API key is needed: Botcopy's portal generates it in the bot's live chat settings.")
    })?;
    let prompt = "Botcopy access token (empty keeps the stored one, or generates one)";
    let access_token =
        ask(target, io, "BOTCOPY_ACCESS_TOKEN", prompt)?.or_else(|| stored.key((ACCESS_TOKEN, "accessToken")));
    let access_token_generated = access_token.is_none();
    let access_token = access_token.unwrap_or_else(random_secret);
    let header = header(target, options, &stored, io)?;
    try_keys(target, bot_id.as_deref(), &api_key, &access_token, io).await?;
    let custom_header = header.as_ref().map(|header| header.name.clone());
    let version = match stored.own {
        Some(bot_id) => with_own_keys(&stored, bot_id, &api_key, &access_token, header),
        None => {
            changed(&contents.current, &[(API_KEY, api_key), (ACCESS_TOKEN, access_token)], bot_id.as_deref(), header)
        }
    };
    let has_own_keys = stored.own.is_some();
    io.step(2, STEPS, "storing the keys");
    let secret_changed = store_version(&vault, &contents, &version, io).await?;
    super::forget_turned_away(target, "Botcopy", io).await;
    let endpoint_url = format!("{url}/botcopy");
    let api_key_accepted_for = bot_id;
    Ok(Answer::done(&Connected {
        endpoint_url,
        api_key_accepted_for,
        custom_header,
        has_own_keys,
        secret_changed,
        access_token_generated,
    }))
}

/// Returns the secret with the keys of one bot.
fn with_own_keys(
    stored: &Stored<'_>,
    bot_id: &str,
    api_key: &Redacted,
    access_token: &Redacted,
    header: Option<Header>,
) -> Version {
    let texts = [("apiKey", api_key), ("accessToken", access_token)];
    let mut keys: Map<_, _> =
        texts.map(|(key, value)| (key.to_owned(), Value::from(value.expose()))).into_iter().collect();
    let header = header.map(|Header { name, value }| json!({ "name": name, "value": value.expose() }));
    keys.extend(header.or_else(|| stored.header().cloned()).map(|header| ("header".to_owned(), header)));
    let mut bots = stored.version.json(BOTCOPY_BOTS).and_then(Value::as_object).cloned().unwrap_or_default();
    bots.insert(bot_id.to_owned(), Value::Object(keys));
    stored.version.clone().with_json(BOTCOPY_BOTS, Value::Object(bots))
}

/// Returns the secret to store.
fn changed(current: &Version, keys: &[(&str, Redacted)], bot_id: Option<&str>, header: Option<Header>) -> Version {
    let mut version = current.clone().with(keys);
    if let Some(bot_id) = bot_id {
        version = version.with(&[(BOT_ID, bot_id.into())]);
    }
    match header {
        Some(Header { name, value }) => version.with_json(HEADER, json!({"name": name, "value": value.expose()})),
        None => version,
    }
}

/// Returns the custom header to store, if one was named.
fn header(
    target: &Target,
    options: &BotcopyOptions,
    stored: &Stored<'_>,
    io: &mut Io<'_>,
) -> Result<Option<Header>, Failure> {
    let Some(name) = options.header.clone().or_else(|| target.get("BOTCOPY_HEADER_NAME")) else { return Ok(None) };
    if HeaderName::try_from(&name).is_err() {
        return Err(Failure::stopped(format!("{name:?} is not a valid header name.")));
    }
    let stored = stored.header().filter(|header| header.get("name") == Some(&json!(name)));
    let stored = stored.and_then(|header| header.get("value")?.as_str()).map(Redacted::from);
    let prompt = format!("value of the custom header {name} (empty keeps the stored one)");
    let value = ask(target, io, "BOTCOPY_HEADER_VALUE", &prompt)?.or(stored);
    match value {
        Some(value) if HeaderValue::try_from(value.expose()).is_ok() => Ok(Some(Header { name, value })),
        Some(_) => Err(Failure::stopped("the value of the custom header cannot be sent in a header.")),
        None => Err(Failure::stopped(format!(
            "the value of the custom header {name} is needed: enter the value that the portal has."
        ))),
    }
}

/// Asks Botcopy to resume a user that the bot does not have, which changes nothing: Botcopy refuses only a wrong key as such. The
/// access token authenticates the portal to the stack, so no vendor call can try it; but it must differ from the API key.
async fn try_keys(
    target: &Target,
    bot_id: Option<&str>,
    api_key: &Redacted,
    access_token: &Redacted,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    if api_key.expose() == access_token.expose() {
        let sentence = "the API key and the access token are the same. The portal generates the API key; you choose the access \
                        token and enter it there. Nothing was stored.";
        return Err(Failure::stopped(sentence));
    }
    if HeaderValue::try_from(access_token.expose()).is_err() {
        return Err(Failure::stopped("the access token cannot be sent in a header. Nothing was stored."));
    }
    io.step(1, STEPS, "trying the keys at Botcopy");
    let settings = Settings { resume_events: ResumeEvents::always("none"), ..target.config()?.botcopy };
    let channel =
        Channel { bot_id: BotcopyBotId::from(bot_id.unwrap_or(NOBODY)), user_id: BotcopyUserId::from(NOBODY) };
    let client = Client::new(settings, target.http.clone());
    match client.widget(&channel, api_key).push(&Push::Left(ResumeReason::UserSide)).await {
        Err(error) if error.is_authentication() => {
            let hint = match bot_id {
                Some(_) => "Generate a new one in its portal, in the bot's live chat settings.",
                None => {
                    "If the key is right, name the bot with --bot: Botcopy's answer for a bot that does not exist is not \
                     documented."
                }
            };
            Err(Failure::refused(format!("Botcopy refuses the API key ({error:#}). {hint} Nothing was stored.")))
        }
        Err(error) if error.is_retryable() || error.failure().is_some() => {
            Err(Failure::stopped(format!("Botcopy could not be called ({}). Nothing was stored.", causes(&error))))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
