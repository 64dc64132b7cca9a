//! `POST /webhooks/handover/push`: what the live-chat side sends to the widget.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use super::Platform;
use super::dialogflow;
use super::state::{By, Speaker, User};

/// A refused push.
struct Refusal(StatusCode, String);

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, message.into())
}

/// A push in the documented form.
enum Push {
    Message { minutes: f64, text: String },
    Joined { minutes: f64, name: String },
    Left { event: Option<String> },
    Typing { minutes: f64 },
}

/// Answers one push.
pub(super) async fn answer(State(platform): State<Arc<Platform>>, headers: HeaderMap, body: Bytes) -> Response {
    let fields: Map<String, Value> = serde_json::from_slice(&body).unwrap_or_default();
    let number = {
        let mut world = platform.world();
        world.pushes += 1;
        world.pushes
    };
    let done = take(&platform, &headers, &fields, number);
    let (status, message) = match &done {
        Ok(()) => (StatusCode::OK, None),
        Err(Refusal(status, message)) => (*status, Some(message)),
    };
    let kind = fields.get("eventType").and_then(Value::as_str).unwrap_or("unknown");
    platform.record(
        "call_answered",
        json!({"call": format!("push {kind}"), "status": status.as_u16(), "message": message, "push": number}),
    );
    let body = message.map_or_else(|| json!({"success": true}), |message| json!({"error": message}));
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn take(platform: &Platform, headers: &HeaderMap, fields: &Map<String, Value>, number: u64) -> Result<(), Refusal> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_revoked = platform.key_revoked.load(Ordering::SeqCst);
    if is_revoked || header(header::AUTHORIZATION) != platform.options.api_key {
        return Err(Refusal(StatusCode::UNAUTHORIZED, "the API key is not valid".to_owned()));
    }
    if !header(header::CONTENT_TYPE).starts_with("application/json") || fields.is_empty() {
        return Err(malformed("the body has to be a JSON object, and its type has to say so"));
    }
    let push = read(fields)?;
    if text(fields, "botId")? != platform.options.bot_id {
        return Err(Refusal(StatusCode::NOT_FOUND, "there is no such bot".to_owned()));
    }
    let mut world = platform.world();
    let user = world.user(platform, text(fields, "userId")?);
    let user = user.ok_or_else(|| Refusal(StatusCode::NOT_FOUND, "there is no such user".to_owned()))?;
    apply(platform, user, push, number);
    Ok(())
}

fn read(fields: &Map<String, Value>) -> Result<Push, Refusal> {
    let kind = text(fields, "eventType")?;
    let paused =
        fields.get("paused").and_then(Value::as_bool).ok_or_else(|| malformed("paused has to be a boolean"))?;
    match (kind, paused) {
        ("message", true) => {
            only(fields, &["minutesPaused", "text"])?;
            let text = text(fields, "text")?;
            if text.trim().is_empty() {
                return Err(malformed("text has to say something"));
            }
            Ok(Push::Message { minutes: minutes(fields)?, text: text.to_owned() })
        }
        ("channel_update", true) => {
            only(fields, &["minutesPaused", "agentProfile"])?;
            let profile = fields.get("agentProfile").and_then(Value::as_object);
            let profile = profile.ok_or_else(|| malformed("agentProfile has to be an object"))?;
            if let Some(unknown) = profile.keys().find(|key| !["name", "avatarUrl"].contains(&key.as_str())) {
                return Err(malformed(format!("agentProfile has no field {unknown}")));
            }
            text(profile, "avatarUrl")?;
            Ok(Push::Joined { minutes: minutes(fields)?, name: text(profile, "name")?.to_owned() })
        }
        ("channel_update", false) => {
            only(fields, &["unpauseChatEvent"])?;
            let event = fields.get("unpauseChatEvent").map(|_| text(fields, "unpauseChatEvent")).transpose()?;
            Ok(Push::Left { event: event.map(str::to_owned) })
        }
        ("user_typing", true) => {
            only(fields, &["minutesPaused"])?;
            Ok(Push::Typing { minutes: minutes(fields)? })
        }
        ("message" | "user_typing", false) => Err(malformed("paused has to be true during a conversation")),
        _ => Err(malformed("eventType has to be message, channel_update or user_typing")),
    }
}

fn apply(platform: &Platform, user: &mut User, push: Push, number: u64) {
    match push {
        Push::Message { minutes, text } => {
            user.pause(platform, minutes, By::Push);
            user.typing_until = None;
            user.show(platform, Speaker::Agent, &text, Some(number));
            user.remember(platform, "out", json!({"text": text}));
        }
        Push::Joined { minutes, name } => {
            user.pause(platform, minutes, By::Push);
            user.agent_name = Some(name).filter(|name| !name.is_empty());
            let who = user.agent_name.as_deref().unwrap_or("an Agent").to_owned();
            user.show(platform, Speaker::Notice, &format!("You are now chatting with {who}."), Some(number));
        }
        Push::Left { event } => {
            let name = user.agent_name.take().unwrap_or_else(|| "The human".to_owned());
            user.unpause(platform, By::Push);
            match event.as_deref() {
                None | Some("default") => {
                    let text = format!("{name} has left the conversation. You are now chatting with the bot.");
                    user.show(platform, Speaker::Notice, &text, Some(number));
                }
                Some("none") => {}
                Some(event) => dialogflow::fire(platform, user, event),
            }
        }
        Push::Typing { minutes } => {
            user.pause(platform, minutes, By::Push);
            user.type_for_a_while(platform);
        }
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    fields.get(name).and_then(Value::as_str).ok_or_else(|| malformed(format!("{name} has to be a text")))
}

fn minutes(fields: &Map<String, Value>) -> Result<f64, Refusal> {
    let minutes = fields.get("minutesPaused").and_then(Value::as_f64).filter(|minutes| *minutes > 0.0);
    minutes.ok_or_else(|| malformed("minutesPaused has to be a number greater than 0"))
}

/// Checks that a push contains no fields but the common ones and those named.
fn only(fields: &Map<String, Value>, names: &[&str]) -> Result<(), Refusal> {
    const EVERYWHERE: [&str; 4] = ["eventType", "userId", "botId", "paused"];
    let unknown = fields.keys().find(|key| !EVERYWHERE.contains(&key.as_str()) && !names.contains(&key.as_str()));
    unknown.map_or(Ok(()), |unknown| Err(malformed(format!("this kind of push has no field {unknown}"))))
}
