//! The headers of an inbound call: the caller, the install and the operation.

use std::fmt;

use ::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use thiserror::Error;

use super::forms;
use crate::http::{DecodeError, decode, fit, repaired};
use crate::ids::{GroupId, MAX_ID_BYTES};
use crate::model::session::Install;
use crate::redacted::Redacted;

/// The origin of an inbound call, and its operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The install (`x-bot-id`, `x-integration-id`, `x-integration-alias`, `x-webhook-id`).
    pub install: Install,
    /// What the bot's author configured (`x-bp-configuration`); only a start and `register` need it.
    pub configuration: Result<Configuration, ContextError>,
    /// The operation's name (`x-bp-operation`), for [`Operation::decode`](super::Operation::decode).
    pub operation: String,
    /// The W3C trace context, if there is one.
    pub traceparent: Option<String>,
}

/// What the bot's author can set for an install. The `hitlSession` of a start has the same form.
///
/// Shape: `{"groupId":<number>,"language":"de","tags":["…"],"sessionFields":{"<name>":<value>}}`; everything is optional, and
/// other keys are ignored. Numbers can come as texts, tags as one text with commas, and all of it as JSON in a text, as a
/// bot's expressions supply them; a blank value counts as absent. Only a group that is not a number is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The LiveChat group whose agents get the chats.
    pub group_id: Option<GroupId>,
    /// The code of the user's language, `de`.
    pub language: Option<String>,
    /// LiveChat tags for the thread.
    pub tags: Vec<String>,
    /// What agents see of the customer besides name and address, as name and value.
    pub session_fields: Vec<(String, Redacted)>,
}

impl Configuration {
    /// Reads the card of a start.
    pub(super) fn read(card: &Value) -> Result<Self, DecodeError> {
        fit(card)
    }

    /// These values, completed by those of `fallback`. Session fields are merged; for the same name, these win.
    #[must_use]
    pub fn or(self, fallback: &Self) -> Self {
        let own = |name: &String| self.session_fields.iter().any(|(other, _)| other == name);
        let further: Vec<_> = fallback.session_fields.iter().filter(|(name, _)| !own(name)).cloned().collect();
        Self {
            group_id: self.group_id.or(fallback.group_id),
            language: self.language.or_else(|| fallback.language.clone()),
            tags: if self.tags.is_empty() { fallback.tags.clone() } else { self.tags },
            session_fields: self.session_fields.into_iter().chain(further).collect(),
        }
    }
}

/// The documented form of a configuration: an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Form {
    #[serde(default, deserialize_with = "group_id")]
    group_id: Option<GroupId>,
    #[serde(default, deserialize_with = "language")]
    language: Option<String>,
    #[serde(default, deserialize_with = "tags")]
    tags: Vec<String>,
    #[serde(default, deserialize_with = "session_fields")]
    session_fields: Vec<(String, Redacted)>,
}

impl From<Form> for Configuration {
    fn from(form: Form) -> Self {
        let Form { group_id, language, tags, session_fields } = form;
        Self { group_id, language, tags, session_fields }
    }
}

impl<'de> Deserialize<'de> for Configuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not through a `Value`, which would lose the place of an error.
        deserializer.deserialize_any(FormVisitor)
    }
}

/// Reads an object, also one in a text; anything else yields an empty configuration.
struct FormVisitor;

impl<'de> Visitor<'de> for FormVisitor {
    type Value = Configuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Configuration, A::Error> {
        Form::deserialize(MapAccessDeserializer::new(map)).map(Configuration::from)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Configuration, E> {
        match serde_json::from_slice::<Value>(&repaired(text.as_bytes())) {
            Ok(object @ Value::Object(_)) => Form::deserialize(object).map(Configuration::from).map_err(E::custom),
            _ => Ok(Configuration::default()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Configuration, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Configuration::default())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Configuration, E> {
        Ok(Configuration::default())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Configuration, E> {
        Ok(Configuration::default())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Configuration, E> {
        Ok(Configuration::default())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Configuration, E> {
        Ok(Configuration::default())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Configuration, E> {
        Ok(Configuration::default())
    }
}

/// A text; `None` if it is blank or not a text.
fn language<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_str().map(str::trim).filter(|code| !code.is_empty()).map(str::to_owned))
}

fn tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Value::deserialize(deserializer).map(|value| forms::tags(&value))
}

fn session_fields<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Redacted)>, D::Error> {
    Value::deserialize(deserializer).map(|value| forms::session_fields(&value))
}

fn group_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<GroupId>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    forms::group_id(&value)
        .map_err(|_| de::Error::custom("invalid value, expected the number of a LiveChat group, such as 2"))
}

/// The headers are not those of a Botpress call.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ContextError {
    /// A required header is absent, empty, or not text.
    #[error("The header {0} is missing or empty. Only Botpress calls this address.")]
    MissingHeader(&'static str),
    /// An id or name in a header is too long.
    #[error("The header {0} is too long. Only Botpress calls this address.")]
    TooLong(&'static str),
    /// A header with an id or name occurs more than once.
    #[error("The header {0} is present more than once. Only Botpress calls this address.")]
    Repeated(&'static str),
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
            configuration: required(headers, "x-bp-configuration").and_then(configuration),
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
    match id.len() <= MAX_ID_BYTES {
        // API Gateway joins repeated headers with a comma.
        true if id.contains(',') => Err(ContextError::Repeated(name)),
        true => Ok(id.into()),
        false => Err(ContextError::TooLong(name)),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderName, HeaderValue};

    use super::*;

    const REQUIRED: [(&str, &str); 5] = [
        ("x-bot-id", "bot_1"),
        ("x-integration-id", "intver_1"),
        ("x-integration-alias", "acme/livechat"),
        ("x-webhook-id", "webhook_1"),
        ("x-bp-operation", "ping"),
    ];

    const CONFIGURED: (&str, &str) = ("x-bp-configuration", "e30=");

    fn headers(changes: &[(&str, &str)]) -> HeaderMap {
        let pairs = REQUIRED.iter().chain([&CONFIGURED]).chain(changes);
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn configured(json: &str) -> Result<Option<GroupId>, ContextError> {
        let encoded = STANDARD_PAD_INDIFFERENT.encode(json);
        Context::from_headers(&headers(&[("x-bp-configuration", &encoded)]))
            .and_then(|context| context.configuration.map(|configuration| configuration.group_id))
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
            configuration: Ok(Configuration::default()),
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
            (r#"{"groupId":" 5 "}"#, Some(GroupId(5))),
            (r#""{\"groupId\":\"5\"}""#, Some(GroupId(5))),
            (r#"{"groupId":null}"#, None),
            (r#"{"groupId":""}"#, None),
            ("{}", None),
            ("null", None),
            ("[5]", None),
            ("5", None),
            (r#""five""#, None),
        ] {
            assert_eq!(configured(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn a_group_that_is_not_a_whole_number_is_an_error_that_names_the_key() {
        for group in ["-1", "5.5", "\"canary\"", "[5]", "1e12", "-0.4"] {
            let error = configured(&format!("{{\"groupId\":{group}}}")).unwrap_err().to_string();
            let expected = "The integration's configuration cannot be read: unexpected value, expected the number of a \
                            LiveChat group, such as 2 (at groupId). Correct it in Botpress Studio.";
            assert_eq!(error, expected, "{group}");
        }
    }

    #[test]
    fn a_configuration_that_is_not_base64_json_is_an_error() {
        let of = |value| Context::from_headers(&headers(&[("x-bp-configuration", value)])).unwrap().configuration;
        assert_eq!(of(""), Err(ContextError::MissingHeader("x-bp-configuration")));
        assert_eq!(of("{}"), Err(ContextError::NotBase64));
        assert!(matches!(of("bm90IGpzb24="), Err(ContextError::InvalidConfiguration(_))));
        assert!(of("e30").is_ok(), "missing padding is tolerated");
    }
}
