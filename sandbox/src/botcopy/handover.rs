//! Calls to the live-chat endpoint and their effects.

use std::time::Duration;

use serde_json::{Value, json};

use super::state::{By, DEFAULT_MINUTES, User};
use super::{Platform, lock};
use crate::cause;

/// An answer that takes longer is ignored.
const PATIENCE: Duration = Duration::from_secs(5);

/// The answer of the live-chat endpoint, unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoverAnswer {
    /// HTTP status.
    pub status: u16,
    /// Body, JSON or not.
    pub body: String,
}

impl HandoverAnswer {
    /// The body as JSON; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Which of the two calls it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    One,
    Two,
}

impl Step {
    const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

/// What an answer means for the user.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// The bot is paused for this many minutes.
    Paused(f64),
    /// The bot is not paused.
    NotPaused,
    /// The conversation with a person ends.
    Ended,
    /// No answer counts.
    Ignored,
}

/// The body of step one.
pub(super) fn step_one(platform: &Platform, user: &User, text: &str, response: &Value) -> Value {
    let mut body = common(platform, user, said(user, text));
    put(&mut body, "dialogflowResponse", response.clone());
    put(&mut body, "queryParams", json!({"contexts": []}));
    if platform.options.stores_history {
        put(&mut body, "messageHistory", json!(user.history));
    }
    body
}

/// The body of step two.
pub(super) fn step_two(platform: &Platform, user: &User, text: &str, has_user_events: bool) -> Value {
    paused(platform, user, said(user, text), has_user_events)
}

/// The body of step two for an event: a click, or an event that the page has fired.
pub(super) fn step_two_event(
    platform: &Platform,
    user: &User,
    (event, parameters): (&str, &Value),
    has_user_events: bool,
) -> Value {
    let event = json!({"event": {"name": event, "languageCode": user.language, "parameters": parameters}});
    paused(platform, user, event, has_user_events)
}

/// The body of a typing call; it has no token.
pub(super) fn typing(platform: &Platform, user: &User) -> Value {
    json!({
        "userId": user.user_id, "botId": platform.options.bot_id, "sessionId": user.session_id,
        "eventType": "user_typing",
    })
}

fn said(user: &User, text: &str) -> Value {
    json!({"text": {"text": text, "languageCode": user.language}})
}

fn paused(platform: &Platform, user: &User, input: Value, has_user_events: bool) -> Value {
    let mut body = common(platform, user, input);
    put(&mut body, "queryParams", json!({"contexts": [], "payload": {}, "webhookHeaders": {}}));
    if has_user_events {
        put(&mut body, "eventType", json!("message"));
    }
    body
}

fn common(platform: &Platform, user: &User, input: Value) -> Value {
    json!({
        "accessToken": platform.options.access_token,
        "userId": user.user_id,
        "botId": platform.options.bot_id,
        "sessionId": user.session_id,
        "session": user.dialogflow_session,
        "queryInput": input,
    })
}

fn put(body: &mut Value, name: &str, value: Value) {
    if let Some(body) = body.as_object_mut() {
        body.insert(name.to_owned(), value);
    }
}

impl Platform {
    /// Calls the live-chat endpoint, evaluates its answer and applies the pause.
    pub(crate) async fn hand_over(&self, user_id: &str, step: Step, body: &Value) -> Verdict {
        cause::begun("call", self.call_and_judge(user_id, step, body)).await
    }

    async fn call_and_judge(&self, user_id: &str, step: Step, body: &Value) -> Verdict {
        let deadline = self.now() + PATIENCE;
        let answer = self.options.clock.within(deadline, self.send(body, &[])).await;
        let (answer, is_late) = (answer.as_ref().and_then(|answer| answer.as_ref().ok()), answer.is_none());
        let json = answer.map(HandoverAnswer::json).unwrap_or_default();
        self.record(
            "webhook_called",
            json!({
                "user_id": user_id, "step": step.number(), "text": body.pointer("/queryInput/text/text"),
                "event": body.pointer("/queryInput/event/name"),
                "status": answer.map(|answer| answer.status),
                "paused": json.get("paused"), "minutes_paused": json.get("minutesPaused"),
            }),
        );
        let verdict = match answer {
            Some(answer) if (200..300).contains(&answer.status) => judge(&json),
            _ => Verdict::Ignored,
        };
        if verdict == Verdict::Ignored {
            let reason = if is_late { "late" } else { "broken" };
            self.record("answer_ignored", json!({"user_id": user_id, "step": step.number(), "reason": reason}));
        }
        let mut world = self.world();
        if let Some(user) = world.user(self, user_id) {
            match verdict {
                Verdict::Paused(minutes) => user.pause(self, minutes, By::Answer),
                Verdict::NotPaused | Verdict::Ended => user.unpause(self, By::Answer),
                Verdict::Ignored => {}
            }
        }
        verdict
    }

    /// Sends a call; an override with a value sets a header, one without a value removes it.
    pub(crate) async fn send(
        &self,
        body: &Value,
        overrides: &[(&str, Option<&str>)],
    ) -> Result<HandoverAnswer, String> {
        let url = lock(&self.endpoint).clone().ok_or("there is no live-chat endpoint")?;
        let mut headers = vec![("authorization".to_owned(), self.options.access_token.clone())];
        headers.extend(self.options.custom_header.clone().map(|(name, value)| (name.to_ascii_lowercase(), value)));
        for (name, value) in overrides {
            headers.retain(|(known, _)| known != name);
            headers.extend(value.map(|value| ((*name).to_owned(), value.to_owned())));
        }
        let body = self.faults.spoil(line(body), body.to_string().into_bytes(), self.now());
        let mut request = self.client.post(url).header("content-type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(cause) = cause::current_header() {
            request = request.header(cause::HEADER, cause);
        }
        let _underway = self.options.underway.begin();
        let response = request.send().await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        Ok(HandoverAnswer { status, body: response.text().await.map_err(|error| error.to_string())? })
    }
}

/// The kind of a call, as the fault script names it.
fn line(body: &Value) -> &'static str {
    match (body.get("eventType").and_then(Value::as_str), body.get("dialogflowResponse")) {
        (Some("user_typing"), _) => "typing",
        (_, Some(_)) => "step_one",
        (_, None) => "step_two",
    }
}

fn judge(answer: &Value) -> Verdict {
    let minutes = answer.get("minutesPaused").map(Value::as_f64);
    match (answer.get("paused").and_then(Value::as_bool), minutes) {
        (Some(true), None) => Verdict::Paused(DEFAULT_MINUTES),
        (Some(true), Some(Some(minutes))) if minutes > 0.0 => Verdict::Paused(minutes),
        (Some(false), Some(Some(0.0))) => Verdict::Ended,
        (Some(false), None) => Verdict::NotPaused,
        _ => Verdict::Ignored,
    }
}
