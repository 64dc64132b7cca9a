//! The runtime API (`/v1/chat/…`): authentication, routing, journal.

mod call;
mod conversations;
mod events;
mod integrations;
mod messages;
mod states;
mod users;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, Uri};
use serde_json::{Value, json};

use self::call::Call;
use super::errors::{Error, ErrorType};
use super::json_answer;
use super::platform::Platform;
use super::state::lock;

/// A status and a body.
type Answer = (u16, Value);

/// The rate-limit headers of every answer: no call has to wait, and the sandbox enforces no limit.
pub(super) const RATE_HEADERS: [(&str, &str); 3] =
    [("ratelimit-limit", "100"), ("ratelimit-remaining", "99"), ("ratelimit-reset", "1")];

type Handler = fn(&Arc<Platform>, &Call) -> Result<Answer, Error>;

/// Answers one runtime API call.
pub(super) fn answer(
    platform: &Arc<Platform>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let segments: Vec<String> = uri.path().split('/').skip(1).map(str::to_owned).collect();
    let route = route(method.as_str(), &segments);
    let outcome = authenticate(platform, headers).and_then(|()| {
        let Some((_, handler)) = route else {
            return Err(Error::new(ErrorType::MethodNotFound, format!("{method} {} doesn't exist", uri.path())));
        };
        handler(platform, &Call::new(segments.clone(), uri, headers, body)?)
    });
    let error_type = outcome.as_ref().err().map(|error| error.error_type.as_str());
    let message = outcome.as_ref().err().map(|error| error.message.clone());
    let (status, body) = outcome.unwrap_or_else(|error| (error.error_type.status(), error.body(platform.now())));
    let call = route.map_or("unknown", |(name, _)| name);
    platform
        .record("call_answered", json!({"call": call, "status": status, "error_type": error_type, "message": message}));
    let mut response = json_answer(http::StatusCode::from_u16(status).unwrap_or_default(), &body);
    for (name, value) in RATE_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The call for a method and a path; its name is the vendor's.
fn route(method: &str, segments: &[String]) -> Option<(&'static str, Handler)> {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["v1", "chat", path @ ..] = segments.as_slice() else { return None };
    Some(match (method, path) {
        ("POST", ["users"]) => ("createUser", users::create),
        ("POST", ["users", "get-or-create"]) => ("getOrCreateUser", users::get_or_create),
        ("GET", ["users"]) => ("listUsers", users::list),
        ("GET", ["users", _]) => ("getUser", users::get),
        ("PUT", ["users", _]) => ("updateUser", users::update),
        ("DELETE", ["users", _]) => ("deleteUser", users::delete),
        ("POST", ["conversations"]) => ("createConversation", conversations::create),
        ("POST", ["conversations", "get-or-create"]) => ("getOrCreateConversation", conversations::get_or_create),
        ("GET", ["conversations"]) => ("listConversations", conversations::list),
        ("GET", ["conversations", _]) => ("getConversation", conversations::get),
        ("PUT", ["conversations", _]) => ("updateConversation", conversations::update),
        ("DELETE", ["conversations", _]) => ("deleteConversation", conversations::delete),
        ("POST", ["messages"]) => ("createMessage", messages::create),
        ("POST", ["messages", "get-or-create"]) => ("getOrCreateMessage", messages::get_or_create),
        ("GET", ["messages"]) => ("listMessages", messages::list),
        ("GET", ["messages", _]) => ("getMessage", messages::get),
        ("PUT", ["messages", _]) => ("updateMessage", messages::update),
        ("DELETE", ["messages", _]) => ("deleteMessage", messages::delete),
        ("POST", ["events"]) => ("createEvent", events::create),
        ("GET", ["events", _]) => ("getEvent", events::get),
        ("DELETE", ["events", "scheduled", _]) => ("cancelScheduledEvent", events::cancel),
        ("GET", ["states", _, _, _]) => ("getState", states::get),
        ("POST", ["states", _, _, _]) => ("setState", states::set),
        ("PATCH", ["states", _, _, _]) => ("patchState", states::patch),
        ("POST", ["states", _, _, _, "get-or-set"]) => ("getOrSetState", states::get_or_set),
        ("POST", ["states", _, _, _, "expiry"]) => ("setStateExpiry", states::set_expiry),
        ("POST", ["integrations", "configure"]) => ("configureIntegration", integrations::configure),
        _ => return None,
    })
}

/// Checks the access key and the three headers that select the install.
fn authenticate(platform: &Platform, headers: &HeaderMap) -> Result<(), Error> {
    if let Some(error_type) = *lock(&platform.refusing) {
        return Err(Error::new(error_type, "nothing is allowed at present"));
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let token = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let install = &platform.options.install;
    let is_known = |token: &str| {
        let first = token == platform.options.access_key && platform.access_key_valid.load(Ordering::SeqCst);
        first || platform.admin.has_access_key(&install.integration_id, token)
    };
    if !token.is_some_and(is_known) {
        return Err(Error::new(ErrorType::Unauthorized, "the access key is missing or invalid"));
    }
    let expected = [
        ("x-bot-id", &install.bot_id),
        ("x-integration-id", &install.integration_id),
        ("x-integration-alias", &install.alias),
    ];
    for (name, value) in expected {
        let Some(given) = header(name) else { return Err(Error::invalid(format!("header {name} is required"))) };
        if given != value {
            let message = format!("{name} \"{given}\" is not this integration's, or it is not installed there");
            return Err(Error::new(ErrorType::Forbidden, message));
        }
    }
    Ok(())
}
