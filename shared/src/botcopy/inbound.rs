//! What Botcopy asks of a live-chat endpoint.

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use super::{Channel, HistoryItem, history};
use crate::http::{DecodeError, decode};
use crate::redacted::Redacted;

/// What a call has to show.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// The `Authorization` header: the bare access token.
    pub authorization: &'a str,
    /// The custom header, where one is expected and there.
    pub custom_header: Option<&'a str>,
}

/// A call whose access token has not been compared yet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnverifiedCall {
    access_token: Redacted,
    #[serde(flatten)]
    fields: Fields,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    #[serde(flatten)]
    channel: WireChannel,
    #[serde(default)]
    query_input: Value,
    #[serde(default)]
    dialogflow_response: Option<Value>,
    #[serde(default)]
    message_history: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireChannel {
    #[serde(deserialize_with = "short")]
    user_id: String,
    #[serde(deserialize_with = "short")]
    bot_id: String,
}

/// Both ids together become one of ours, escaped.
fn short<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    const MAX_BYTES: usize = 90;
    let id = String::deserialize(deserializer)?;
    if id.len() <= MAX_BYTES {
        Ok(id)
    } else {
        Err(de::Error::custom("invalid length, expected an id of at most 90 bytes"))
    }
}

/// The body is not what Botcopy always sends.
pub type Malformed = DecodeError;

impl UnverifiedCall {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when it is not JSON, or lacks the token, the user or the bot; everything else may be missing.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        decode(body)
    }

    /// Whether the call carries `access_token` in the header and in the body, and `custom_header` where there is one.
    pub fn verify(&self, proof: Proof<'_>, access_token: &Redacted, custom_header: Option<&Redacted>) -> bool {
        // All are compared, so that the time taken does not tell which one was wrong.
        let header_fits = access_token.matches(proof.authorization);
        let body_fits = access_token.matches(self.access_token.expose());
        let custom_fits = custom_header.is_none_or(|ours| ours.matches(proof.custom_header.unwrap_or_default()));
        header_fits & body_fits & custom_fits
    }

    /// What is asked, once the caller is known.
    pub fn into_call(self) -> Call {
        let Fields { channel, query_input, dialogflow_response, message_history } = self.fields;
        let text = query_input.pointer("/text/text").and_then(Value::as_str).unwrap_or_default();
        Call {
            channel: Channel { bot_id: channel.bot_id.into(), user_id: channel.user_id.into() },
            text: text.into(),
            is_trigger: dialogflow_response.is_some_and(|response| !response.is_null()),
            history: history::read(&message_history),
        }
    }
}

impl std::fmt::Debug for UnverifiedCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnverifiedCall").finish_non_exhaustive()
    }
}

/// One authentic call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who is talking to which bot.
    pub channel: Channel,
    /// What the user wrote; can be empty.
    pub text: Redacted,
    /// Whether Dialogflow has just asked for a person (step one), or the user writes while the bot is paused (step two).
    pub is_trigger: bool,
    /// What was said before, oldest first; only with step one, and only where history is stored.
    pub history: Vec<HistoryItem>,
}

/// What Botcopy is answered.
///
/// Shape: `{"paused":true,"minutesPaused":10}` or `{"paused":false}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Whether the bot is paused; if not, it gets the message itself.
    pub paused: bool,
    /// For how many minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes_paused: Option<u64>,
}

impl Answer {
    /// The user's messages come to us for so long.
    pub const fn paused(pause: std::time::Duration) -> Self {
        Self { paused: true, minutes_paused: Some(pause.as_secs() / 60) }
    }

    /// The user stays with the bot, or comes back to it; the bot gets the message.
    pub const NOT_PAUSED: Self = Self { paused: false, minutes_paused: None };
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::botcopy::Author;

    fn body(further: &Value) -> Vec<u8> {
        let mut body = json!({
            "accessToken": "token", "userId": "u1", "botId": "b1", "sessionId": "s1", "session": "projects/1",
            "queryInput": {"text": {"text": "order 7", "languageCode": "en"}}, "queryParams": {"contexts": []},
        });
        body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        body.to_string().into_bytes()
    }

    fn call(further: &Value) -> Call {
        UnverifiedCall::parse(&body(further)).unwrap().into_call()
    }

    #[test]
    fn the_two_steps_are_told_apart() {
        let one = call(&json!({
            "dialogflowResponse": {"queryResult": {}},
            "messageHistory": [{"direction": "in", "payload": {"query": "order 7"}}],
        }));
        assert_eq!(one.channel, Channel { bot_id: "b1".into(), user_id: "u1".into() });
        assert_eq!(one.text.expose(), "order 7");
        assert!(one.is_trigger);
        assert_eq!(one.history, [HistoryItem::Said { author: Author::User, text: "order 7".into() }]);
        let two = call(&json!({}));
        assert!(!two.is_trigger && two.history.is_empty());
        assert!(!call(&json!({"dialogflowResponse": null})).is_trigger);
    }

    #[test]
    fn whatever_else_is_missing_or_strange_does_no_harm() {
        for further in [
            json!({"queryInput": null}),
            json!({"queryInput": {"text": {"text": 7}}}),
            json!({"queryInput": {"event": {"name": "x"}}}),
            json!({"messageHistory": {"a": 1}}),
            json!({"new": [1]}),
        ] {
            assert!(call(&further).history.is_empty(), "{further}");
        }
        assert_eq!(call(&json!({"queryInput": null})).text.expose(), "");
    }

    #[test]
    fn without_token_user_or_bot_it_is_no_call() {
        for further in [
            json!({"accessToken": 7}),
            json!({"userId": null}),
            json!({"botId": {}}),
            json!({"userId": "x".repeat(91)}),
        ] {
            assert!(UnverifiedCall::parse(&body(&further)).is_err(), "{further}");
        }
        assert!(UnverifiedCall::parse(b"order 7").is_err());
        assert!(UnverifiedCall::parse(b"{}").is_err());
    }

    #[test]
    fn header_and_body_have_to_carry_the_token_and_the_custom_header_its_value() {
        let call = UnverifiedCall::parse(&body(&json!({}))).unwrap();
        let (token, other) = (Redacted::from("token"), Redacted::from("other"));
        let custom = Redacted::from("seven");
        let proof = |authorization, custom_header| Proof { authorization, custom_header };
        assert!(call.verify(proof("token", None), &token, None));
        assert!(call.verify(proof("token", Some("seven")), &token, Some(&custom)));
        assert!(!call.verify(proof("token", None), &other, None));
        assert!(!call.verify(proof("other", None), &token, None));
        assert!(!call.verify(proof("other", None), &other, None));
        assert!(!call.verify(proof("Bearer token", None), &token, None));
        assert!(!call.verify(proof("", None), &token, None));
        assert!(!call.verify(proof("token", None), &token, Some(&custom)));
        assert!(!call.verify(proof("token", Some("eight")), &token, Some(&custom)));
    }

    #[test]
    fn debug_output_says_nothing_of_the_token_or_the_text() {
        let call = UnverifiedCall::parse(&body(&json!({}))).unwrap();
        let shown = format!("{call:?}");
        assert!(!shown.contains("token") && !shown.contains("order"), "{shown}");
        assert!(!format!("{:?}", call.into_call()).contains("order"));
    }

    #[test]
    fn the_answers_have_exactly_the_documented_form() {
        let json = |answer| serde_json::to_string(&answer).unwrap();
        assert_eq!(json(Answer::paused(Duration::from_secs(600))), r#"{"paused":true,"minutesPaused":10}"#);
        assert_eq!(json(Answer::NOT_PAUSED), r#"{"paused":false}"#);
    }
}
