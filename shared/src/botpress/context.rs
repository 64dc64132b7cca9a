//! The headers of an inbound call: who calls, for which install, and what is wanted.

use ::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use thiserror::Error;

use super::Install;
use crate::http::{DecodeError, decode};
use crate::ids::{GroupId, MAX_ID_BYTES, UserId};
use crate::redacted::Redacted;

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
/// Shape: `{"groupId":<number>,"tags":["…"],"sessionFields":{"<name>":<value>}}`; everything is optional, and other keys are
/// ignored. Tags can also come as one text, separated by commas; of what is neither, nothing is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// The LiveChat group whose agents get the chats.
    #[serde(default, deserialize_with = "group_id")]
    pub group_id: Option<GroupId>,
    /// LiveChat tags for the thread.
    #[serde(default, deserialize_with = "tags")]
    pub tags: Vec<String>,
    /// What agents are shown of the customer besides name and address, as name and value.
    #[serde(default, deserialize_with = "session_fields")]
    pub session_fields: Vec<(String, Redacted)>,
}

impl Configuration {
    /// These values, with those of `fallback` where there are none; fields are put together, and these win.
    #[must_use]
    pub fn or(self, fallback: &Self) -> Self {
        let own = |name: &String| self.session_fields.iter().any(|(other, _)| other == name);
        let further: Vec<_> = fallback.session_fields.iter().filter(|(name, _)| !own(name)).cloned().collect();
        Self {
            group_id: self.group_id.or(fallback.group_id),
            tags: if self.tags.is_empty() { fallback.tags.clone() } else { self.tags },
            session_fields: self.session_fields.into_iter().chain(further).collect(),
        }
    }
}

/// A list of texts, or one text with commas.
fn tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let texts: Vec<String> = match Value::deserialize(deserializer)? {
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(text) => text.split(',').map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let mut tags: Vec<String> = Vec::new();
    for tag in texts.iter().map(|text| text.trim()).filter(|tag| !tag.is_empty()) {
        if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    }
    Ok(tags)
}

/// An object of texts, numbers, and yes or no.
fn session_fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Redacted)>, D::Error> {
    let Value::Object(fields) = Value::deserialize(deserializer)? else { return Ok(Vec::new()) };
    let readable = fields.into_iter().filter_map(|(name, value)| {
        let text = match value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
        };
        (!name.trim().is_empty() && !text.is_empty()).then(|| (name, text.into()))
    });
    Ok(readable.collect())
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
    /// A header that names something is longer than any name.
    #[error("The header {0} is too long. Only Botpress calls this address.")]
    TooLong(&'static str),
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
                bot_id: id(headers, "x-bot-id")?,
                integration_id: id(headers, "x-integration-id")?,
                alias: id(headers, "x-integration-alias")?,
                install_id: id(headers, "x-webhook-id")?,
            },
            bot_user_id: id(headers, "x-bot-user-id")?,
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

fn id<'a, T: From<&'a str>>(headers: &'a HeaderMap, name: &'static str) -> Result<T, ContextError> {
    let id = required(headers, name)?;
    if id.len() <= MAX_ID_BYTES { Ok(id.into()) } else { Err(ContextError::TooLong(name)) }
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
