//! The headers of an inbound call: who calls, for which install, and what is wanted.

use ::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use thiserror::Error;

use super::Install;
use crate::http::{DecodeError, decode};
use crate::ids::{GroupId, UserId};

/// Where an inbound call comes from, and what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The install (`x-bot-id`, `x-integration-id`, `x-integration-alias`, `x-webhook-id`).
    pub install: Install,
    /// The bot's own user (`x-bot-user-id`).
    pub bot_user_id: UserId,
    /// What the bot's author configured (`x-bp-configuration`).
    pub configuration: Configuration,
    /// The operation's name (`x-bp-operation`), for [`Operation::decode`](super::Operation::decode).
    pub operation: String,
    /// The W3C trace context, if there is one.
    pub traceparent: Option<String>,
}

/// What the bot's author can set for an install. The `hitlSession` of a start has the same form.
///
/// Shape: `{"groupId":<number>}`; everything is optional and other keys are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// The LiveChat group whose agents get the chats.
    #[serde(default, deserialize_with = "group_id")]
    pub group_id: Option<GroupId>,
}

/// Botpress knows only one kind of number, so a group can arrive as `5.0`.
fn group_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<GroupId>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    if value.is_null() {
        return Ok(None);
    }
    let number = value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number));
    let number = number.ok_or_else(|| de::Error::custom("invalid value, expected a whole number from 0"))?;
    Ok(Some(GroupId(number as u32)))
}

/// The headers are not those of a Botpress call.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ContextError {
    /// A required header is absent, empty, or not text.
    #[error("The header {0} is missing or empty. Only Botpress calls this address.")]
    MissingHeader(&'static str),
    /// The configuration is not base64.
    #[error("The header x-bp-configuration is not base64. Only Botpress calls this address.")]
    NotBase64,
    /// The configuration does not have the form that our definition declares.
    #[error("The integration's configuration cannot be read: {0}. Correct it in Botpress Studio.")]
    InvalidConfiguration(#[source] DecodeError),
}

impl Context {
    /// Reads the headers of an inbound call.
    ///
    /// # Errors
    ///
    /// [`ContextError`].
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, ContextError> {
        Ok(Self {
            install: Install {
                bot_id: required(headers, "x-bot-id")?.into(),
                integration_id: required(headers, "x-integration-id")?.into(),
                alias: required(headers, "x-integration-alias")?.into(),
                install_id: required(headers, "x-webhook-id")?.into(),
            },
            bot_user_id: required(headers, "x-bot-user-id")?.into(),
            configuration: configuration(required(headers, "x-bp-configuration")?)?,
            operation: required(headers, "x-bp-operation")?.to_owned(),
            traceparent: text(headers, "traceparent").map(str::to_owned),
        })
    }
}

fn configuration(encoded: &str) -> Result<Configuration, ContextError> {
    let json = STANDARD_PAD_INDIFFERENT.decode(encoded).map_err(|_| ContextError::NotBase64)?;
    decode(&json).map_err(ContextError::InvalidConfiguration)
}

fn required<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, ContextError> {
    text(headers, name).ok_or(ContextError::MissingHeader(name))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderName, HeaderValue};

    use super::*;

    const REQUIRED: [(&str, &str); 7] = [
        ("x-bot-id", "bot_1"),
        ("x-bot-user-id", "user_bot"),
        ("x-integration-id", "intver_1"),
        ("x-integration-alias", "acme/livechat"),
        ("x-webhook-id", "webhook_1"),
        ("x-bp-operation", "ping"),
        ("x-bp-configuration", "e30="),
    ];

    fn headers(changes: &[(&str, &str)]) -> HeaderMap {
        let pairs = REQUIRED.iter().chain(changes);
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn configured(json: &str) -> Result<Option<GroupId>, ContextError> {
        let encoded = STANDARD_PAD_INDIFFERENT.encode(json);
        Context::from_headers(&headers(&[("x-bp-configuration", &encoded)]))
            .map(|context| context.configuration.group_id)
    }

    #[test]
    fn the_headers_tell_install_operation_and_trace() {
        let context = Context::from_headers(&headers(&[("traceparent", "00-1-2-01"), ("x-bp-type", "x")])).unwrap();
        let install = Install {
            bot_id: "bot_1".into(),
            integration_id: "intver_1".into(),
            alias: "acme/livechat".into(),
            install_id: "webhook_1".into(),
        };
        let expected = Context {
            install,
            bot_user_id: "user_bot".into(),
            configuration: Configuration::default(),
            operation: "ping".to_owned(),
            traceparent: Some("00-1-2-01".to_owned()),
        };
        assert_eq!(context, expected);
    }

    #[test]
    fn every_required_header_is_missed_by_its_name() {
        for (name, _) in REQUIRED {
            let mut absent = headers(&[]);
            absent.remove(name);
            assert_eq!(Context::from_headers(&absent), Err(ContextError::MissingHeader(name)));
            assert_eq!(Context::from_headers(&headers(&[(name, "")])), Err(ContextError::MissingHeader(name)));
        }
    }

    #[test]
    fn the_group_is_read_in_every_form_of_a_whole_number() {
        for (json, expected) in [
            (r#"{"groupId":5,"accessToken":"x"}"#, Some(GroupId(5))),
            (r#"{"groupId":5.0}"#, Some(GroupId(5))),
            (r#"{"groupId":0}"#, Some(GroupId(0))),
            (r#"{"groupId":null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(configured(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn a_group_that_is_not_a_whole_number_is_an_error_that_names_the_key() {
        for group in ["-1", "5.5", "\"canary\"", "[5]", "1e12", "-0.4"] {
            let error = configured(&format!("{{\"groupId\":{group}}}")).unwrap_err().to_string();
            let expected = "The integration's configuration cannot be read: unexpected value, expected a whole number \
                            from 0 (at groupId). Correct it in Botpress Studio.";
            assert_eq!(error, expected, "{group}");
        }
    }

    #[test]
    fn a_configuration_that_is_not_base64_json_is_an_error() {
        let of = |value| Context::from_headers(&headers(&[("x-bp-configuration", value)]));
        assert_eq!(of("{}"), Err(ContextError::NotBase64));
        assert!(matches!(of("bm90IGpzb24="), Err(ContextError::InvalidConfiguration(_))));
        assert!(of("e30").is_ok(), "missing padding is tolerated");
    }
}
