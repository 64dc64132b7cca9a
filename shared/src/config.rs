//! Configuration: read once, in `main`, and checked before anything starts.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use crate::bridge::wording::{self, Defaults, Wordings};
use crate::ids::{GroupId, IntegrationId, OrganizationId};
use crate::metrics::Monitoring;
use crate::{botcopy, botpress, livechat, media};

/// Everything that the functions take from their environment; credentials are in [`Secrets`](crate::secrets::Secrets).
///
/// docs/configuration.md lists each variable with its default.
#[derive(Clone, Debug)]
pub struct Config {
    /// `STACK_NAME`: the name that distinguishes this stack's metrics from others of the account (`livechat-hitl`).
    pub stack_name: String,
    /// `MONITORING`: how many of the measurements become CloudWatch metrics (`lean`).
    pub monitoring: Monitoring,
    /// `TABLE_NAME`: the DynamoDB table.
    pub table_name: String,
    /// `SECRET_ID`: name or ARN of the Secrets Manager secret.
    pub secret_id: String,
    /// `LIVECHAT_*`: LiveChat's addresses, and the app that calls it.
    pub livechat: livechat::Settings,
    /// `BOTPRESS_API_URL`: Botpress's address.
    pub botpress: botpress::Settings,
    /// `BOTCOPY_*`: Botcopy's address, how long bots stay paused (10 min) and silence may last (24 h), and how bots resume
    /// (`default`).
    pub botcopy: botcopy::Settings,
    /// `ASSIGN_TIMEOUT_SECONDS`: how long a user waits for an agent before the bot takes over again (0: no limit).
    pub assign_timeout: Option<Duration>,
    /// `LIVECHAT_GROUP_ID`: the group for sessions that name none (0, the general group).
    pub group_id: GroupId,
    /// `BOTPRESS_INTEGRATION_IDS`: the integrations that may call the stack (empty: any).
    pub integration_ids: BTreeSet<IntegrationId>,
    /// `MEDIA_HOSTS`: hosts that users' files may come from, in addition to Botpress's own.
    pub media_hosts: media::Hosts,
    /// `VERIFIED_EMAILS`: whether the bot's author vouches for users' addresses, so that an address identifies a person (no).
    pub verified_emails: bool,
    /// `ONLY_MY_CHATS`: whether LiveChat reports only the chats that this service started, rather than all of the licence
    /// (yes).
    pub only_my_chats: bool,
    /// `WHEN_OFFLINE`: what happens to a start when no agent is online.
    pub when_offline: WhenOffline,
    /// `ORDER_PAUSE_MS`: the pause between an announcement and the words after it, and between the last words and the end,
    /// for Botpress (400 ms).
    pub order_pause: Duration,
    /// `SETTLE_MS`: how long after a start the first items towards the bot are held (3 s).
    pub settle: Duration,
    /// `RETENTION_DAYS`: how long the table keeps the records of a session and its user after the session's end (30 days).
    pub retention: Duration,
    /// `WORDING`, `LANGUAGE`: the stack's own sentences, by language.
    pub wording: Wordings,
}

/// What to do with an escalation when no agent of the group is online.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenOffline {
    /// `refuse`: the start fails with a sentence that says so.
    #[default]
    Refuse,
    /// `leave_message`: the chat waits until an agent comes.
    LeaveMessage,
}

/// Why the functions refuse to start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A variable without a default is absent or empty.
    #[error("the environment variable {0} is missing: set it to {1}")]
    Missing(&'static str, &'static str),
    /// A variable is set but cannot be understood.
    #[error("the environment variable {0} is malformed: it has to be {1}")]
    Malformed(&'static str, &'static str),
    /// `WORDING` cannot be used.
    #[error("the environment variable WORDING is malformed: {0}")]
    Wording(#[from] wording::Error),
}

impl Config {
    /// Builds the configuration from a look-up of variables, so that tests need no process environment.
    ///
    /// # Errors
    ///
    /// [`Error`], which names the variable and the expected value.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let variables = Variables(lookup);
        Ok(Self {
            stack_name: variables.optional("STACK_NAME").unwrap_or_else(|| "livechat-hitl".to_owned()),
            monitoring: monitoring(&variables)?,
            table_name: variables.required("TABLE_NAME", "the name of the DynamoDB table")?,
            secret_id: variables.required("SECRET_ID", "the name or ARN of the Secrets Manager secret")?,
            livechat: livechat_settings(&variables)?,
            botpress: botpress::Settings { api_url: variables.url("BOTPRESS_API_URL", botpress::PUBLIC_API_URL)? },
            botcopy: botcopy_settings(&variables)?,
            assign_timeout: Some(variables.number("ASSIGN_TIMEOUT_SECONDS", 0)?)
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            group_id: GroupId(variables.number("LIVECHAT_GROUP_ID", 0)?),
            integration_ids: variables.list("BOTPRESS_INTEGRATION_IDS").map(IntegrationId::new).collect(),
            media_hosts: media::Hosts::new(variables.list("MEDIA_HOSTS")).map_err(|_| {
                Error::Malformed("MEDIA_HOSTS", "host names, separated by commas, each alone or after *.")
            })?,
            verified_emails: variables.flag("VERIFIED_EMAILS", false)?,
            only_my_chats: variables.flag("ONLY_MY_CHATS", true)?,
            when_offline: when_offline(&variables)?,
            order_pause: order_pause(&variables)?,
            settle: Duration::from_millis(variables.number("SETTLE_MS", 3_000)?),
            retention: Duration::from_secs(variables.number::<u64>("RETENTION_DAYS", 30)?.saturating_mul(86_400)),
            wording: wordings(&variables)?,
        })
    }

    /// Builds the configuration from the process environment.
    ///
    /// # Errors
    ///
    /// As [`from_lookup`](Self::from_lookup).
    pub fn from_env() -> Result<Self, Error> {
        Self::from_lookup(environment)
    }
}

/// A variable of the process environment.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn livechat_settings<F: Fn(&str) -> Option<String>>(variables: &Variables<F>) -> Result<livechat::Settings, Error> {
    let region = match variables.optional("LIVECHAT_REGION") {
        None => None,
        Some(name) => {
            let known = Some(name).filter(|name| matches!(name.as_str(), "dal" | "fra"));
            let region = known.and_then(|name| livechat::Region::parse(&name));
            Some(region.ok_or(Error::Malformed("LIVECHAT_REGION", "dal or fra, or unset"))?)
        }
    };
    Ok(livechat::Settings {
        api_url: variables.url("LIVECHAT_API_URL", livechat::PUBLIC_API_URL)?,
        accounts_url: variables.url("LIVECHAT_ACCOUNTS_URL", livechat::PUBLIC_ACCOUNTS_URL)?,
        client_id: variables.required("LIVECHAT_CLIENT_ID", "the client id of the app in LiveChat's console")?,
        organization_id: OrganizationId::new(
            variables.required("LIVECHAT_ORGANIZATION_ID", "the organization id from LiveChat's account settings")?,
        ),
        redirect_uri: variables.required("LIVECHAT_REDIRECT_URI", "a redirect URI listed in the LiveChat app")?,
        region,
    })
}

fn botcopy_settings<F: Fn(&str) -> Option<String>>(variables: &Variables<F>) -> Result<botcopy::Settings, Error> {
    /// A day: longer than any conversation, and far from overflow.
    const LONGEST_PAUSE_MINUTES: u64 = 1_440;
    /// The sweep, which renews pauses, runs once a minute; one failed sweep must not let a pause lapse.
    const SHORTEST_PAUSE_MINUTES: u64 = 3;
    let minutes = variables.number("BOTCOPY_PAUSE_MINUTES", 10)?;
    if !(SHORTEST_PAUSE_MINUTES..=LONGEST_PAUSE_MINUTES).contains(&minutes) {
        return Err(Error::Malformed("BOTCOPY_PAUSE_MINUTES", "a whole number from 3 to 1440"));
    }
    /// Thirty days.
    const LONGEST_SILENCE_HOURS: u64 = 720;
    let silence_hours = variables.number("BOTCOPY_SILENCE_HOURS", 24)?;
    if !(1..=LONGEST_SILENCE_HOURS).contains(&silence_hours) {
        return Err(Error::Malformed("BOTCOPY_SILENCE_HOURS", "a whole number from 1 to 720"));
    }
    Ok(botcopy::Settings {
        silence: Duration::from_secs(silence_hours * 3_600),
        api_url: variables.url("BOTCOPY_API_URL", botcopy::PUBLIC_API_URL)?,
        pause: Duration::from_secs(minutes * 60),
        shows_typing: match variables.optional("BOTCOPY_TYPING").as_deref() {
            None | Some("ignore") => false,
            Some("show") => true,
            Some(_) => return Err(Error::Malformed("BOTCOPY_TYPING", "ignore or show")),
        },
        resume_events: variables.list("BOTCOPY_RESUME_EVENT").collect::<Vec<_>>().try_into().map_err(|()| {
            Error::Malformed(
                "BOTCOPY_RESUME_EVENT",
                "an event for all ends, and events for single ones: default,nobody_came=EVENT (the reasons are agent_closed, \
                 nobody_came, given_up, abandoned and user_side)",
            )
        })?,
    })
}

fn monitoring<F: Fn(&str) -> Option<String>>(variables: &Variables<F>) -> Result<Monitoring, Error> {
    match variables.optional("MONITORING").as_deref() {
        None | Some("lean") => Ok(Monitoring::Lean),
        Some("full") => Ok(Monitoring::Full),
        Some(_) => Err(Error::Malformed("MONITORING", "lean or full")),
    }
}

fn order_pause<F: Fn(&str) -> Option<String>>(variables: &Variables<F>) -> Result<Duration, Error> {
    /// Far longer than the gap within which Botpress may process two events out of order, and shorter than a vendor call may
    /// take.
    const LONGEST_PAUSE_MS: u64 = 2_000;
    match variables.number("ORDER_PAUSE_MS", 400)? {
        pause if pause <= LONGEST_PAUSE_MS => Ok(Duration::from_millis(pause)),
        _ => Err(Error::Malformed("ORDER_PAUSE_MS", "a whole number from 0 to 2000")),
    }
}

fn wordings<F: Fn(&str) -> Option<String>>(variables: &Variables<F>) -> Result<Wordings, Error> {
    let defaults = languages(variables.list("LANGUAGE")).ok_or(Error::Malformed(
        "LANGUAGE",
        "the code of a language, and codes for single groups by their number: en,7=de",
    ))?;
    Ok(match variables.optional("WORDING") {
        Some(json) => Wordings::parse(&json, defaults)?,
        None => Wordings::built_in(defaults),
    })
}

fn languages(codes: impl Iterator<Item = String>) -> Option<Defaults> {
    let (mut stack, mut groups) = (None, BTreeMap::new());
    for code in codes {
        let is_new = match code.split_once('=') {
            Some((group, code)) => {
                let group = GroupId(group.trim().parse().ok()?);
                groups.insert(group, wording::language(code)?).is_none()
            }
            None => stack.replace(wording::language(&code)?).is_none(),
        };
        if !is_new {
            return None;
        }
    }
    Some(Defaults { stack, groups })
}

fn when_offline<F: Fn(&str) -> Option<String>>(variables: &Variables<F>) -> Result<WhenOffline, Error> {
    match variables.optional("WHEN_OFFLINE").as_deref() {
        None | Some("refuse") => Ok(WhenOffline::Refuse),
        Some("leave_message") => Ok(WhenOffline::LeaveMessage),
        Some(_) => Err(Error::Malformed("WHEN_OFFLINE", "refuse or leave_message")),
    }
}

/// The environment; an empty value counts as absent, because templates cannot leave a variable out.
struct Variables<F>(F);

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    fn optional(&self, key: &str) -> Option<String> {
        (self.0)(key).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn required(&self, key: &'static str, meaning: &'static str) -> Result<String, Error> {
        self.optional(key).ok_or(Error::Missing(key, meaning))
    }

    fn flag(&self, key: &'static str, default: bool) -> Result<bool, Error> {
        match self.optional(key).as_deref() {
            None => Ok(default),
            Some("yes") => Ok(true),
            Some("no") => Ok(false),
            Some(_) => Err(Error::Malformed(key, "yes or no")),
        }
    }

    fn number<N: FromStr>(&self, key: &'static str, default: N) -> Result<N, Error> {
        let Some(text) = self.optional(key) else { return Ok(default) };
        text.parse().map_err(|_| Error::Malformed(key, "a whole number, zero or greater"))
    }

    fn url(&self, key: &'static str, default: &str) -> Result<String, Error> {
        let text = self.optional(key).unwrap_or_else(|| default.to_owned());
        let is_web = text.starts_with("https://") || text.starts_with("http://");
        if is_web && text.parse::<http::Uri>().is_ok() {
            Ok(text.trim_end_matches('/').to_owned())
        } else {
            Err(Error::Malformed(key, "an http or https address"))
        }
    }

    fn list(&self, key: &str) -> impl Iterator<Item = String> + use<F> {
        let text = self.optional(key).unwrap_or_default();
        text.split(',')
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::session::ResumeReason;

    const COMPLETE: [(&str, &str); 5] = [
        ("TABLE_NAME", "handoffs"),
        ("SECRET_ID", "livechat-hitl"),
        ("LIVECHAT_CLIENT_ID", "c0ffee"),
        ("LIVECHAT_ORGANIZATION_ID", "390e44e6-f1e6-0368c-z6ddb-74g14508c2ex"),
        ("LIVECHAT_REDIRECT_URI", "https://bot.example"),
    ];

    fn read(changes: &[(&str, &str)]) -> Result<Config, Error> {
        Config::from_lookup(|key| {
            let found = changes.iter().chain(&COMPLETE).find(|(name, _)| *name == key);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_is_not_set_has_its_documented_default() {
        let config = read(&[]).unwrap();
        assert_eq!(config.group_id, GroupId(0));
        assert_eq!(config.when_offline, WhenOffline::Refuse);
        assert_eq!((config.settle, config.order_pause), (Duration::from_secs(3), Duration::from_millis(400)));
        assert!(!config.verified_emails && config.only_my_chats);
        assert_eq!(config.retention, Duration::from_secs(30 * 86_400));
        assert_eq!(config.botcopy.api_url, "https://api.botcopy.com");
        assert_eq!((config.botcopy.pause, config.assign_timeout), (Duration::from_secs(600), None));
        assert_eq!(config.botcopy.resume_events.of(ResumeReason::AgentClosed), "default");
        assert!(!config.botcopy.shows_typing);
        assert_eq!(config.livechat.api_url, "https://api.livechatinc.com");
        assert!(config.integration_ids.is_empty());
        assert_eq!(config.wording, Wordings::default());
        assert_eq!(config.media_hosts, media::Hosts::new([]).unwrap());
    }

    #[test]
    fn a_missing_or_empty_variable_is_named() {
        for (key, _) in COMPLETE {
            for value in ["", "  "] {
                let Err(Error::Missing(named, _)) = read(&[(key, value)]) else { panic!("{key} was not missed") };
                assert_eq!(named, key);
            }
        }
    }

    #[test]
    fn a_malformed_variable_is_named() {
        let wrong = [
            ("LIVECHAT_GROUP_ID", "support"),
            ("SETTLE_MS", "-1"),
            ("RETENTION_DAYS", "1.5"),
            ("WHEN_OFFLINE", "ignore"),
            ("LIVECHAT_REGION", "moon"),
            ("BOTPRESS_API_URL", "ftp://files"),
            ("MEDIA_HOSTS", "files.example,10.0.0.1"),
            ("BOTCOPY_PAUSE_MINUTES", "0"),
            ("BOTCOPY_PAUSE_MINUTES", "1"),
            ("BOTCOPY_PAUSE_MINUTES", "2"),
            ("BOTCOPY_PAUSE_MINUTES", "1441"),
            ("ASSIGN_TIMEOUT_SECONDS", "soon"),
            ("ORDER_PAUSE_MS", "2001"),
            ("VERIFIED_EMAILS", "maybe"),
            ("ONLY_MY_CHATS", "true"),
            ("MONITORING", "on"),
            ("BOTCOPY_TYPING", "yes"),
            ("BOTCOPY_SILENCE_HOURS", "0"),
            ("BOTCOPY_SILENCE_HOURS", "721"),
            ("BOTCOPY_RESUME_EVENT", "nobody=EVENT"),
            ("BOTCOPY_RESUME_EVENT", "nobody_came="),
            ("BOTCOPY_RESUME_EVENT", "one,two"),
            ("LANGUAGE", "German"),
            ("LANGUAGE", "de,en"),
            ("LANGUAGE", "de,support=en"),
        ];
        for (key, value) in wrong {
            let Err(Error::Malformed(named, _)) = read(&[(key, value)]) else { panic!("{key}={value} was accepted") };
            assert_eq!(named, key);
        }
    }

    #[test]
    fn wording_that_cannot_be_used_stops_the_start_and_names_the_sentence() {
        let config = read(&[("WORDING", r#"{"bot_name":"Robbie"}"#)]).unwrap();
        assert_eq!(config.wording.of(None, config.group_id).bot_name(), "Robbie");
        let error = read(&[("WORDING", r#"{"note":"[Bot]"}"#)]).unwrap_err().to_string();
        assert_eq!(error, "the environment variable WORDING is malformed: the sentence \"note\" has to contain {text}");
    }

    #[test]
    fn a_bot_resumes_with_an_event_for_all_ends_or_for_single_ones() {
        use ResumeReason::{AgentClosed, GivenUp, NobodyCame, UserSide};
        for (value, expected) in [
            ("agent_left", ["agent_left"; 4]),
            ("none, nobody_came=callback,given_up=sorry", ["none", "callback", "sorry", "none"]),
            ("agent_closed=bye,user_side=stopped", ["bye", "default", "default", "stopped"]),
        ] {
            let events = read(&[("BOTCOPY_RESUME_EVENT", value)]).unwrap().botcopy.resume_events;
            assert_eq!(
                [AgentClosed, NobodyCame, GivenUp, UserSide].map(|reason| events.of(reason)),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn a_stack_and_its_groups_have_languages() {
        let wording = r#"{"de":{"bot_name":"Roboter"},"fr":{"bot_name":"Robot français"}}"#;
        let config = read(&[("WORDING", wording), ("LANGUAGE", "de, 7=fr-CA")]).unwrap();
        let names = [0, 7].map(|group| config.wording.of(None, GroupId(group)).bot_name());
        assert_eq!(names, ["Roboter", "Robot français"]);
        let error = read(&[("WORDING", r#"{"de":{"note":"[Bot]"}}"#)]).unwrap_err().to_string();
        assert!(error.ends_with("in the language \"de\", the sentence \"note\" has to contain {text}"), "{error}");
    }

    #[test]
    fn lists_forgive_blanks_and_addresses_lose_their_last_slash() {
        let config = read(&[
            ("BOTPRESS_INTEGRATION_IDS", " intver_1, intver_2,"),
            ("BOTPRESS_API_URL", "http://127.0.0.1:9/"),
            ("MEDIA_HOSTS", "a.example, *.b.example ,"),
        ])
        .unwrap();
        let hosts = ["a.example", "*.b.example"].map(str::to_owned);
        assert_eq!(config.media_hosts, media::Hosts::new(hosts).unwrap());
        assert_eq!(config.integration_ids.len(), 2);
        assert_eq!(config.botpress.api_url, "http://127.0.0.1:9");
    }
}
