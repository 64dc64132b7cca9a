//! Botcopy's calls of a live-chat endpoint.

use serde::Serialize;
use serde_json::Value;

use super::HistoryItem;
use super::history::{self, Lean};
use crate::http::{DecodeError, Field, Noted, decode};
use crate::model::session::Channel;
use crate::odd::OddFields;
use crate::redacted::Redacted;
use crate::text::is_blank;

/// A call's credentials.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// The `Authorization` header: the bare access token.
    pub authorization: &'a str,
    /// The custom header, if one is configured and the call has it.
    pub custom_header: Option<&'a str>,
}

/// A call whose access token has not been verified.
pub struct UnverifiedCall {
    /// Messages repeat the token here; events of the user do not.
    access_token: Option<Redacted>,
    call: Call,
    odd: OddFields,
}

/// What a call reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventType {
    /// A message: `message`, or no event type.
    #[default]
    Message,
    /// `user_typing`: the user types.
    Typing,
    /// An event that is missing in Botcopy's documentation.
    Unknown,
}

impl EventType {
    fn read(event: &Field<'_>) -> Self {
        if !event.is_absent() && !event.value().is_string() {
            event.note();
        }
        match event.value().as_str() {
            None | Some("message") => Self::Message,
            Some("user_typing") => Self::Typing,
            Some(_) => Self::Unknown,
        }
    }
}

/// Limits an id: both ids together, escaped, become one of ours.
fn short<T: From<String>>(id: &Field<'_>) -> Option<T> {
    const MAX_BYTES: usize = 90;
    let short = id.id_or_number::<String>().filter(|id| id.len() <= MAX_BYTES);
    if short.is_none() {
        id.note();
    }
    short.map(T::from)
}

/// The body lacks what Botcopy always sends.
pub type Malformed = DecodeError;

impl UnverifiedCall {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it is not JSON, or lacks the user, the bot, or in a message the token; all other fields are optional.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let Lean(document) = decode(body)?;
        let noted = Noted::default();
        let call = Call::read(&Field::root(&document, &noted));
        let odd = OddFields::from(noted);
        let call = call.ok_or_else(|| DecodeError::unreadable(&odd))?;
        let access_token = document.get("accessToken").filter(|token| !token.is_null());
        match (access_token.map(Value::as_str), call.event_type) {
            (Some(Some(token)), _) => Ok(Self { access_token: Some(token.into()), call, odd }),
            (None, EventType::Typing | EventType::Unknown) => Ok(Self { access_token: None, call, odd }),
            (None, EventType::Message) | (Some(None), _) => Err(DecodeError::missing("accessToken")),
        }
    }

    /// The call's fields that are not as documented.
    pub const fn odd(&self) -> &OddFields {
        &self.odd
    }

    /// Whether the call carries `access_token` in the header, and `custom_header` if one is configured. A message must carry
    /// the token in its body, too, and no other call may carry a wrong one there.
    pub fn verify(&self, proof: Proof<'_>, access_token: &Redacted, custom_header: Option<&Redacted>) -> bool {
        // All are compared, so that the duration does not reveal which one was wrong.
        let header_fits = access_token.matches(proof.authorization);
        let body_fits = self.access_token.as_ref().is_none_or(|token| access_token.matches(token.expose()));
        let custom_fits = custom_header.is_none_or(|ours| ours.matches(proof.custom_header.unwrap_or_default()));
        header_fits & body_fits & custom_fits
    }

    /// The bot that the call names.
    pub fn bot_id(&self) -> &str {
        self.call.channel.bot_id.as_str()
    }

    /// Whether the call looks like one of this bot: it names the bot, and carries the same token, whatever its value, in both
    /// places.
    pub fn seems_to_be_of(&self, bot_id: &str, authorization: &str) -> bool {
        let is_consistent = self.access_token.as_ref().is_some_and(|token| token.matches(authorization));
        self.bot_id() == bot_id && is_consistent
    }

    /// The call, once the caller is verified.
    pub fn into_call(self) -> Call {
        self.call
    }
}

impl std::fmt::Debug for UnverifiedCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnverifiedCall").finish_non_exhaustive()
    }
}

/// A verified call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The user and the bot.
    pub channel: Channel,
    /// What the call reports.
    pub event_type: EventType,
    /// What the user said or did.
    pub said: Said,
    /// The code of the user's language, `en` or `de-AT`, as it was sent.
    pub language: Option<String>,
    /// Whether Dialogflow has just requested an agent (step one), or the user writes while the bot is paused (step two).
    pub is_trigger: bool,
    /// The parameters of the bot's conversation, as name and value; only with step one.
    pub parameters: Vec<(String, Redacted)>,
    /// The earlier messages, oldest first; only with step one, and only if history is stored.
    pub history: Vec<HistoryItem>,
}

impl Call {
    /// Reads a call; `None` if the user or the bot is missing.
    fn read(fields: &Field<'_>) -> Option<Self> {
        let (user_id, bot_id) = (short(&fields.get("userId")), short(&fields.get("botId")));
        let (input, response) = (fields.get("queryInput"), fields.get("dialogflowResponse"));
        let said = Said::read(input.value());
        if said == Said::Unreadable || !(input.is_absent() || input.value().is_object()) {
            input.note();
        }
        Some(Self {
            channel: Channel { bot_id: bot_id?, user_id: user_id? },
            event_type: EventType::read(&fields.get("eventType")),
            said,
            language: language(input.value()),
            is_trigger: !response.is_absent(),
            parameters: parameters(response.value()),
            history: history::read(&fields.get("messageHistory")),
        })
    }
}

/// What a user said or did, in the form of Dialogflow's query input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing at all.
    Nothing,
    /// A text, not blank.
    Text(Redacted),
    /// A click, or an event of the page.
    Event {
        /// The event's name.
        name: Redacted,
        /// The event's parameters, as name and value; objects and lists as JSON.
        parameters: Vec<(String, Redacted)>,
    },
    /// Anything else.
    Unreadable,
}

impl Said {
    fn read(input: &Value) -> Self {
        let text = |pointer: &str| match input.pointer(pointer)? {
            Value::String(text) => Some(text.clone()).filter(|text| !is_blank(text)),
            // Numbers and booleans count as text.
            other @ (Value::Number(_) | Value::Bool(_)) => Some(other.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        let is_odd = |pointer: &str| matches!(input.pointer(pointer), Some(Value::Array(_) | Value::Object(_)));
        // Dialogflow CX calls an event's name `event`.
        if let Some(name) = text("/event/name").or_else(|| text("/event/event")) {
            let parameters = input.pointer("/event/parameters").and_then(Value::as_object);
            return Self::Event { name: name.into(), parameters: readable(parameters.into_iter().flatten()) };
        }
        match (text("/text/text"), input) {
            (Some(text), _) => Self::Text(text.into()),
            // A text may also take the place of its object.
            (None, Value::Object(fields))
                if fields.get("text").is_some_and(|text| !text.is_object() && !text.is_null()) =>
            {
                text("/text").map_or(Self::Unreadable, |text| Self::Text(text.into()))
            }
            (None, Value::Object(_)) if is_odd("/text/text") => Self::Unreadable,
            (None, Value::String(text)) if !text.trim().is_empty() => Self::Text(text.as_str().into()),
            (None, Value::Array(_) | Value::Number(_) | Value::Bool(_)) => Self::Unreadable,
            (None, Value::Object(fields))
                if fields.keys().any(|key| !["text", "languageCode"].contains(&key.as_str())) =>
            {
                Self::Unreadable
            }
            _ => Self::Nothing,
        }
    }
}

/// Parameters with non-blank names and values.
pub(super) fn readable<'a>(parameters: impl Iterator<Item = (&'a String, &'a Value)>) -> Vec<(String, Redacted)> {
    let said = parameters.filter_map(|(name, value)| {
        let value = match value {
            Value::Null => return None,
            Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        (!is_blank(&value) && !is_blank(name)).then(|| (name.clone(), value.into()))
    });
    said.collect()
}

/// The parameters of a session, from the answer to its last query: CX keeps them for the session, ES in its contexts.
///
/// Values that only Dialogflow can use are left out: the trigger itself, originals of what was typed, and counters.
fn parameters(response: &Value) -> Vec<(String, Redacted)> {
    const MAX_BYTES: usize = 500;
    const TRIGGER: &str = "bcHumanHandover";
    let Some(result) = response.get("queryResult") else { return Vec::new() };
    let contexts = result.get("outputContexts").and_then(Value::as_array).into_iter().flatten();
    let objects = [result].into_iter().chain(contexts).filter_map(|one| one.get("parameters")?.as_object());
    let mut known: Vec<(String, Redacted)> = Vec::new();
    for (name, value) in objects.flat_map(|object| readable(object.iter())) {
        let is_internal = name == TRIGGER || name.ends_with(".original") || name.starts_with("no-");
        if !is_internal && value.expose().len() <= MAX_BYTES && !known.iter().any(|(other, _)| *other == name) {
            known.push((name, value));
        }
    }
    known
}

fn language(input: &Value) -> Option<String> {
    let codes = ["/text/languageCode", "/event/languageCode", "/languageCode"].into_iter();
    codes.filter_map(|pointer| input.pointer(pointer)?.as_str()).map(str::to_owned).find(|code| !is_blank(code))
}

/// The answer to Botcopy.
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
    /// The bot is paused for this long, and the user's messages come to the service.
    pub const fn paused(pause: std::time::Duration) -> Self {
        Self { paused: true, minutes_paused: Some(pause.as_secs() / 60) }
    }

    /// The user's messages come to the service until a pause that began earlier ends, after this long.
    pub const fn paused_already(left: std::time::Duration) -> Self {
        let minutes = left.as_secs().div_ceil(60);
        Self { paused: true, minutes_paused: Some(if minutes == 0 { 1 } else { minutes }) }
    }

    /// The user stays with the bot, or returns to it; the bot gets the message.
    pub const NOT_PAUSED: Self = Self { paused: false, minutes_paused: None };
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::botcopy::{Author, Part};

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
        assert_eq!((one.said, one.language.as_deref()), (Said::Text("order 7".into()), Some("en")));
        assert!(one.is_trigger);
        assert_eq!(
            one.history,
            [HistoryItem::Said { author: Author::User, parts: vec![Part::Text("order 7".into())] }]
        );
        let two = call(&json!({}));
        assert!(!two.is_trigger && two.history.is_empty());
        assert!(!call(&json!({"dialogflowResponse": null})).is_trigger);
    }

    #[test]
    fn whatever_else_is_missing_or_strange_does_no_harm() {
        for further in [
            json!({"queryInput": null}),
            json!({"queryInput": {"text": {"text": 7}}}),
            json!({"userId": 7, "botId": 8}),
            json!({"queryInput": {"event": {"name": "x"}}}),
            json!({"eventType": 7}),
            json!({"messageHistory": {"a": 1}}),
            json!({"new": [1]}),
        ] {
            assert!(call(&further).history.is_empty(), "{further}");
        }
        for nothing in [json!(null), json!({}), json!({"text": {"text": " ", "languageCode": "en"}})] {
            assert_eq!(call(&json!({"queryInput": nothing})).said, Said::Nothing, "{nothing}");
        }
    }

    #[test]
    fn clicks_and_whatever_else_is_no_text_are_not_taken_for_nothing() {
        let said = |input: Value| call(&json!({"queryInput": input})).said;
        let parameters = json!({"size": "L", "count": 2, "gift": null, "for": ["Ann"]});
        let event = said(json!({"event": {"name": "BUY", "languageCode": "de", "parameters": parameters}}));
        let Said::Event { name, parameters } = event else { panic!("{event:?}") };
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}: {}", value.expose())).collect();
        assert_eq!((name.expose(), parameters.join(", ").as_str()), ("BUY", r#"count: 2, for: ["Ann"], size: L"#));
        let cx = said(json!({"event": {"event": "buy"}, "languageCode": "de"}));
        assert_eq!(cx, Said::Event { name: "buy".into(), parameters: Vec::new() });
        assert_eq!(said(json!({"intent": {"intent": "projects/1"}})), Said::Unreadable);
        assert_eq!(said(json!({"event": {"name": ["BUY"]}})), Said::Unreadable);
        for meant in [json!({"text": {"text": 7}}), json!({"text": 7}), json!({"text": "7"}), json!("7")] {
            assert_eq!(said(meant.clone()), Said::Text("7".into()), "{meant}");
        }
        for odd in [json!({"text": {"text": ["a"]}}), json!({"text": ["a"]}), json!(["a"]), json!(7)] {
            assert_eq!(said(odd.clone()), Said::Unreadable, "{odd}");
        }
    }

    #[test]
    fn a_language_is_found_wherever_dialogflow_puts_it() {
        for (input, code) in [
            (json!({"text": {"text": "hi", "languageCode": "de-AT"}}), Some("de-AT")),
            (json!({"event": {"name": "x", "languageCode": "fr"}}), Some("fr")),
            (json!({"event": {"event": "x"}, "languageCode": "it"}), Some("it")),
            (json!({"text": {"text": "hi", "languageCode": ""}}), None),
            (json!(null), None),
        ] {
            assert_eq!(call(&json!({"queryInput": input})).language.as_deref(), code, "{input}");
        }
    }

    #[test]
    fn what_is_no_message_needs_no_token_in_its_body_and_may_not_have_a_wrong_one() {
        let body = |changes: Value| {
            let mut body = json!({"userId": "u1", "botId": "b1", "sessionId": "s1", "eventType": "user_typing"});
            body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            UnverifiedCall::parse(body.to_string().as_bytes())
        };
        let token = Redacted::from("token");
        let proof = Proof { authorization: "token", custom_header: None };
        for (changes, event_type) in
            [(json!({}), EventType::Typing), (json!({"eventType": "user_left"}), EventType::Unknown)]
        {
            let call = body(changes).unwrap();
            assert!(call.verify(proof, &token, None));
            assert!(!call.verify(Proof { authorization: "other", ..proof }, &token, None));
            assert!(!call.verify(proof, &token, Some(&"custom".into())));
            assert_eq!(call.into_call().event_type, event_type);
        }
        assert!(!body(json!({"accessToken": "other"})).unwrap().verify(proof, &token, None));
        for message in [json!({"eventType": "message"}), json!({"eventType": null})] {
            assert!(body(message.clone()).is_err(), "{message}");
        }
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
