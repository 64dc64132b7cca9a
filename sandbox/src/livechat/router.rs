//! Maps HTTP to the APIs and back: paths, credentials, regions, and the form of answers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State as Shared};
use axum::response::Response;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, SET_COOKIE};
use http::{HeaderName, Method, Uri};
use serde_json::{Value, json};
use shared::clock::Timestamp;

use super::accounts::{self, Refusal};
use super::call::{Call, Reply, query};
use super::errors::{Error, Kind};
use super::params::Params;
use super::state::{Requester, Source, State, Step};
use super::{Inner, Region, agent, configuration, customer, ids, scopes, upload};
use crate::journal::Vendor;

/// Far above every documented size; only protects the machine.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Agent,
    Customer,
    Configuration,
}

/// All hosts on one listener.
pub(crate) fn routes(inner: Arc<Inner>) -> Router {
    Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(inner)
}

async fn answer(Shared(inner): Shared<Arc<Inner>>, request: Request) -> Response {
    let path = request.uri().path().trim_matches('/').to_owned();
    let segments: Vec<&str> = path.split('/').collect();
    let mut response = match segments.as_slice() {
        ["api", "file", rest @ ..] if request.method() == Method::GET => {
            let (now, shows_credential) = (inner.clock.now(), request.headers().contains_key(AUTHORIZATION));
            upload::download(&inner.state(), now, &rest.join("/"), shows_credential)
        }
        ["v2", "customer", action] => answer_accounts(&inner, action, request).await,
        [version, api, "action", action] => answer_api(&inner, version, api, action, request).await,
        _ => refused(&Kind::NotFound.into()),
    };
    if let Ok(debug_id) = HeaderValue::from_str(&ids::hex()) {
        response.headers_mut().insert(HeaderName::from_static("x-debug-id"), debug_id);
    }
    response
}

async fn answer_accounts(inner: &Inner, action: &str, request: Request) -> Response {
    let outcome = match read_call(action, request).await {
        Ok(call) => inner.act(Source::System, |state, step| accounts::answer(state, step, &call)),
        Err(_) => Err(Refusal::unreadable()),
    };
    let (status, code) =
        outcome.as_ref().map_or_else(|refusal| (refusal.status(), Some(refusal.code)), |_| (200, None));
    note_answer(inner, &format!("accounts/{action}"), status, code);
    match outcome {
        Ok(reply) => replied(&reply),
        Err(refusal) => json_response(refusal.status(), &refusal.body()),
    }
}

async fn answer_api(inner: &Inner, version: &str, api: &str, action: &str, request: Request) -> Response {
    let outcome = call_api(inner, version, api, action, request).await;
    let (status, kind) =
        outcome.as_ref().map_or_else(|error| (error.status(), Some(error.kind().name())), |_| (200, None));
    note_answer(inner, &format!("{api}/{action}"), status, kind);
    let mut response = match outcome {
        Ok(body) => json_response(200, &body),
        Err(error) => refused(&error),
    };
    if let Some((stage, date)) = &inner.state().behaviour.version_ends
        && let Ok(date) = HeaderValue::from_str(date)
    {
        response.headers_mut().insert(HeaderName::from_static(stage.header()), date);
    }
    response
}

fn note_answer(inner: &Inner, call: &str, status: u16, error_type: Option<&str>) {
    let detail = json!({"call": call, "status": status, "error_type": error_type});
    inner.journal.record(inner.clock.now(), Vendor::LiveChat, "call_answered", detail);
}

async fn call_api(inner: &Inner, version: &str, api: &str, action: &str, request: Request) -> Result<Value, Error> {
    if version != "v3.6" {
        return Err(Kind::UnsupportedVersion.into());
    }
    let api = match api {
        "agent" => Api::Agent,
        "customer" => Api::Customer,
        "configuration" => Api::Configuration,
        _ => return Err(Kind::NotFound.into()),
    };
    let (requester, source) = authorise(&inner.state(), inner.clock.now(), api, action, &request)?;
    if action == "upload_file" && api != Api::Configuration && request.method() == Method::POST {
        let file = upload::read(request).await?;
        return Ok(inner.act(source, |state, step| upload::store(state, step, file)));
    }
    let call = read_call(action, request).await?;
    let body = parameters(&call)?;
    inner.act(source, |state, step| dispatch(state, step, api, &requester, &call, &body))
}

fn dispatch(
    state: &mut State,
    step: &mut Step,
    api: Api,
    requester: &Requester,
    call: &Call,
    body: &Value,
) -> Result<Value, Error> {
    let params = Params::of(body)?;
    let is_read = call.method == Method::GET;
    match api {
        Api::Customer if is_read => customer::answer_get(state, &call.action, &params),
        _ if call.method != Method::POST => Err(Kind::NotFound.into()),
        Api::Customer => customer::answer(state, step, requester, &call.action, &params),
        Api::Agent => agent::answer(state, step, requester, &call.action, &params),
        Api::Configuration => configuration::answer(state, step, &call.action, &params),
    }
}

/// Returns the caller, if authorised.
fn authorise(
    state: &State,
    now: Timestamp,
    api: Api,
    action: &str,
    request: &Request,
) -> Result<(Requester, Source), Error> {
    let header = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    check_region(state.behaviour.region, header(HeaderName::from_static("x-region")))?;
    if state.licence_expired {
        return Err(Kind::LicenseExpired.into());
    }
    let credential = header(AUTHORIZATION).unwrap_or_default();
    match api {
        Api::Customer => {
            check_organization(state, request.uri())?;
            // The property lists, the only GET actions here, need no token.
            if request.method() == Method::GET {
                return Ok((Requester::Customer(String::new()), Source::System));
            }
            let token = credential.strip_prefix("Bearer ").and_then(|value| state.tokens.get(value));
            let token = token.filter(|token| now < token.expires_at).ok_or(Kind::Authentication)?;
            let customer = state.customers.get(&token.customer_id).ok_or(Kind::Authentication)?;
            if customer.banned_until.is_some_and(|until| now < until) {
                return Err(Kind::CustomerBanned.into());
            }
            Ok((Requester::Customer(token.customer_id.clone()), Source::Client(token.client_id.clone())))
        }
        Api::Agent | Api::Configuration => {
            let owner = Requester::Agent(state.account.agent_token_owner.clone());
            let is_personal = credential.strip_prefix("Basic ") == Some(state.account.agent_token.as_str());
            let is_oauth = credential.strip_prefix("Bearer ") == Some(state.account.oauth_token.as_str());
            if is_personal && state.agent_token_valid || action == "list_webhook_names" {
                match scopes::allow(state.agent_token_scopes.as_ref(), action) {
                    true => Ok((owner, Source::Unnamed)),
                    false => Err(Kind::Authorization.into()),
                }
            } else if is_oauth {
                Ok((owner, Source::Client(state.account.client_id.clone())))
            } else {
                Err(Kind::Authentication.into())
            }
        }
    }
}

fn check_region(home: Region, named: Option<&str>) -> Result<(), Error> {
    if named.unwrap_or(Region::Dal.name()) == home.name() {
        return Ok(());
    }
    Err(Error::from(Kind::MisdirectedRequest).with_data(json!({"region": home.name()})))
}

fn check_organization(state: &State, uri: &Uri) -> Result<(), Error> {
    let query = query(uri).unwrap_or_default();
    match query.get("organization_id") {
        None => Err(Error::validation("`organization_id` is required")),
        Some(id) if *id != state.account.organization_id => Err(Kind::LicenseNotFound.into()),
        Some(_) => Ok(()),
    }
}

async fn read_call(action: &str, request: Request) -> Result<Call, Error> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await;
    Ok(Call {
        action: action.to_owned(),
        method: head.method,
        headers: head.headers,
        query: query(&head.uri).unwrap_or_default(),
        body: body.map_err(|_| Error::from(Kind::Validation))?,
    })
}

/// The JSON body of a POST, or the query of a GET.
fn parameters(call: &Call) -> Result<Value, Error> {
    if call.method == Method::GET {
        return Ok(json!(call.query));
    }
    if !call.has_content_type("application/json") {
        return Err(Kind::Validation.into());
    }
    serde_json::from_slice(&call.body).map_err(|_| Kind::Validation.into())
}

fn replied(reply: &Reply) -> Response {
    let mut response = match &reply.body {
        Some(body) => json_response(200, body),
        None => Response::default(),
    };
    for cookie in &reply.cookies {
        if let Ok(cookie) = HeaderValue::from_str(cookie) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
    response
}

fn refused(error: &Error) -> Response {
    json_response(error.status(), &error.body())
}

fn json_response(status: u16, body: &Value) -> Response {
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.body(Body::from(body.to_string())).unwrap_or_default()
}
