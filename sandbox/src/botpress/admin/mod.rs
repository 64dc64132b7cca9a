//! The part of the admin API (`/v1/admin/…`) that deploying an integration needs.
//!
//! It accepts one personal access token for one workspace. The first integration that is created is the one installed
//! on the bot: its id is that of [`Install`](super::Install), the platform calls its address, the runtime API accepts
//! its tags, and its access keys open the runtime API.

mod body;
mod definition;
mod interface;
pub(super) mod workspace;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Bytes;
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use self::workspace::{AccessKey, Integration, State, new_secret};
use super::errors::{Error, ErrorType};
use super::json_answer;
use super::platform::Platform;
use super::schema::{Field, Shape, check, optional, required};
use super::state::{lock, new_id};

pub(super) use definition::declared;

/// How long a signing secret stays valid after a newer one was created.
const OLD_SECRET_VALID: Duration = Duration::from_secs(24 * 60 * 60);

/// Answers one admin API call.
pub(super) fn answer(platform: &Platform, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response {
    let segments: Vec<String> =
        uri.path().split('/').skip(3).map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (call, outcome) = match authenticate(platform, headers) {
        Ok(()) => perform(platform, method, &segments, headers, body),
        Err(error) => ("unknown", Err(error)),
    };
    let (status, error_type) = match &outcome {
        Ok(_) => (200, None),
        Err(error) => (error.error_type.status(), Some(error.error_type.as_str())),
    };
    let message = outcome.as_ref().err().map(|error| error.message.clone());
    platform
        .record("call_answered", json!({"call": call, "status": status, "error_type": error_type, "message": message}));
    let body = outcome.unwrap_or_else(|error| error.body(platform.now()));
    json_answer(StatusCode::from_u16(status).unwrap_or_default(), &body)
}

fn authenticate(platform: &Platform, headers: &HeaderMap) -> Result<(), Error> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let admin = &platform.admin;
    let token = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    if token != Some(admin.personal_access_token.as_str()) {
        return Err(Error::new(ErrorType::Unauthorized, "the token is missing or invalid"));
    }
    match header("x-workspace-id") {
        None => Err(Error::invalid("header x-workspace-id is required")),
        Some(id) if id != admin.workspace_id => {
            Err(Error::new(ErrorType::Forbidden, "You don't have access to this workspace"))
        }
        Some(_) => Ok(()),
    }
}

type Outcome = (&'static str, Result<Value, Error>);

fn perform(platform: &Platform, method: &Method, path: &[&str], headers: &HeaderMap, body: &Bytes) -> Outcome {
    let json = || read(headers, body);
    match (method.as_str(), path) {
        ("GET", ["hub", "interfaces", name, version]) => ("getPublicInterface", interface::get(name, version)),
        ("GET", ["integrations", "iaks"]) => ("listIntegrationApiKeys", Ok(list_keys(platform))),
        ("POST", ["integrations", "iaks"]) => {
            ("createIntegrationApiKey", json().and_then(|body| issue_key(platform, &body)))
        }
        ("DELETE", ["integrations", "iaks", id]) => ("deleteIntegrationApiKey", withdraw_key(platform, id)),
        ("POST", ["integrations", "validate"]) => {
            ("validateIntegrationCreation", json().and_then(|body| checked_new(platform, body)).map(|_| json!({})))
        }
        ("POST", ["integrations"]) => ("createIntegration", json().and_then(|body| create(platform, body))),
        ("GET", ["integrations", name, version]) => ("getIntegrationByName", find(platform, name, version)),
        ("PUT", ["integrations", id, "validate"]) => (
            "validateIntegrationUpdate",
            json().and_then(|body| checked_changes(platform, id, body)).map(|_| json!({})),
        ),
        ("POST", ["integrations", id, "signing-secrets", "rotate"]) => {
            ("rotateIntegrationSigningSecret", rotate(platform, id))
        }
        ("PUT", ["integrations", id]) => ("updateIntegration", json().and_then(|body| update(platform, id, body))),
        _ => ("unknown", Err(Error::new(ErrorType::MethodNotFound, "no such method"))),
    }
}

fn read(headers: &HeaderMap, body: &Bytes) -> Result<Map<String, Value>, Error> {
    let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|value| value.starts_with("application/json")) {
        return Err(Error::new(ErrorType::UnsupportedMediaType, "the body must be application/json"));
    }
    serde_json::from_slice(body).map_err(|error| Error::invalid(error.to_string()))
}

fn checked_new(platform: &Platform, body: Map<String, Value>) -> Result<Map<String, Value>, Error> {
    body::check_new(&body)?;
    let name = text(&body, "name");
    let handle = format!("{}/", platform.admin.workspace_handle);
    if name.strip_prefix(&handle).is_none_or(str::is_empty) {
        return Err(Error::invalid(format!("the name of an integration must begin with \"{handle}\"")));
    }
    definition::check_body(&body)?;
    let known = |one: &Integration| one.name == name && one.version == text(&body, "version");
    if platform.admin.state().integrations.iter().any(known) {
        return Err(Error::new(ErrorType::AlreadyExists, "this version of the integration exists already"));
    }
    Ok(body)
}

fn create(platform: &Platform, body: Map<String, Value>) -> Result<Value, Error> {
    let body = checked_new(platform, body)?;
    let mut state = platform.admin.state();
    let id = match state.integrations.is_empty() {
        true => platform.options.install.integration_id.clone(),
        false => new_id("intver_"),
    };
    let integration = Integration { id: id.clone(), name: text(&body, "name"), version: text(&body, "version"), body };
    platform.record("integration_created", json!({"id": id, "name": integration.name, "version": integration.version}));
    let secret = new_secret();
    let mut shown = shown(&integration);
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("signingSecret".to_owned(), json!(secret));
    }
    if state.integrations.is_empty() {
        state.signing_secrets = vec![(secret, None)];
        apply(platform, &mut state, &integration);
    }
    state.integrations.push(integration);
    Ok(json!({ "integration": shown }))
}

fn checked_changes(platform: &Platform, id: &str, body: Map<String, Value>) -> Result<Map<String, Value>, Error> {
    body::check_change(&body)?;
    let state = platform.admin.state();
    let integration = state.integrations.iter().find(|one| one.id == id);
    let integration = integration.ok_or_else(|| Error::not_found("Integration", id))?;
    let mut changed = integration.body.clone();
    changed.extend(body);
    definition::check_body(&changed)?;
    definition::check_compatible(&integration.body, &changed)?;
    Ok(changed)
}

fn update(platform: &Platform, id: &str, body: Map<String, Value>) -> Result<Value, Error> {
    let body = checked_changes(platform, id, body)?;
    let mut state = platform.admin.state();
    let index = state.integrations.iter().position(|one| one.id == id).unwrap_or_default();
    let integration =
        Integration { id: id.to_owned(), name: text(&body, "name"), version: text(&body, "version"), body };
    platform.record("integration_updated", json!({"id": id, "url": integration.body.get("url")}));
    apply(platform, &mut state, &integration);
    let shown = shown(&integration);
    if let Some(known) = state.integrations.get_mut(index) {
        *known = integration;
    }
    Ok(json!({ "integration": shown }))
}

/// Applies a change of the installed integration to the platform.
fn apply(platform: &Platform, state: &mut State, integration: &Integration) {
    if integration.id != platform.options.install.integration_id {
        return;
    }
    state.definition = declared(&integration.body);
    // An install that exists follows its integration to the new address.
    let mut called = lock(&platform.integration_url);
    if called.is_some() {
        *called = integration.body.get("url").and_then(Value::as_str).map(str::to_owned);
    }
}

fn find(platform: &Platform, name: &str, version: &str) -> Result<Value, Error> {
    let state = platform.admin.state();
    let found = state.integrations.iter().find(|one| one.name == name && one.version == version);
    found.map(|one| json!({ "integration": shown(one) })).ok_or_else(|| Error::not_found("Integration", name))
}

/// All fields but the signing secret, which is returned only when it is new.
fn shown(integration: &Integration) -> Value {
    json!({
        "id": integration.id, "name": integration.name, "version": integration.version,
        "url": integration.body.get("url"), "visibility": "private", "verificationStatus": "unapproved",
        "lifecycleStatus": "valid", "secrets": [],
    })
}

fn rotate(platform: &Platform, id: &str) -> Result<Value, Error> {
    let mut state = platform.admin.state();
    if !state.integrations.iter().any(|one| one.id == id) {
        return Err(Error::not_found("Integration", id));
    }
    let secret = new_secret();
    if id == platform.options.install.integration_id {
        let until = platform.now() + OLD_SECRET_VALID;
        for (_, valid_until) in &mut state.signing_secrets {
            valid_until.get_or_insert(until);
        }
        state.signing_secrets.insert(0, (secret.clone(), None));
    }
    platform.record("signing_secret_rotated", json!({ "id": id }));
    Ok(json!({ "newSigningSecret": secret }))
}

fn issue_key(platform: &Platform, body: &Map<String, Value>) -> Result<Value, Error> {
    check(&Value::Object(body.clone()), &Shape::Closed(&[KEY]), "body").map_err(Error::invalid)?;
    let integration_id = text(body, "integrationId");
    let mut state = platform.admin.state();
    if !state.integrations.iter().any(|one| one.id == integration_id) {
        return Err(Error::no_reference("Integration", &integration_id));
    }
    let (id, value) = (new_id("iak_"), format!("bp_iak_{}", Uuid::new_v4().simple()));
    platform.record("access_key_issued", json!({"id": id, "integration_id": integration_id}));
    state.keys.insert(id.clone(), AccessKey { integration_id, value: value.clone() });
    Ok(json!({"id": id, "createdAt": platform.now(), "note": body.get("note"), "value": value}))
}

const KEY: &[Field] = &[required("integrationId", Shape::NonEmpty), optional("note", Shape::Text)];

fn withdraw_key(platform: &Platform, id: &str) -> Result<Value, Error> {
    platform.admin.state().keys.remove(id).ok_or_else(|| Error::not_found("Integration access key", id))?;
    platform.record("access_key_withdrawn", json!({ "id": id }));
    Ok(json!({}))
}

fn list_keys(platform: &Platform) -> Value {
    let state = platform.admin.state();
    let keys = state.keys.iter().map(|(id, key)| json!({"id": id, "integrationId": key.integration_id}));
    json!({ "iaks": keys.collect::<Vec<_>>() })
}

fn text(body: &Map<String, Value>, key: &str) -> String {
    body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The names in an object.
fn names(value: Option<&Value>) -> BTreeSet<String> {
    value.and_then(Value::as_object).map(|object| object.keys().cloned().collect()).unwrap_or_default()
}
