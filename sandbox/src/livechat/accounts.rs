//! The accounts service: customer tokens.
//!
//! `POST /v2/customer/token` (grants `cookie`, `agent_token`, `identity_token`), `DELETE` of it,
//! `GET /v2/customer/info` and `POST /v2/customer/identity_transfer`. Cookies with a wrong secret are treated as absent: the
//! call creates a new customer, and callers are expected to compare the `entity_id`, as the vendor's own example backend does.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, COOKIE, ORIGIN};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::call::{Call, Reply};
use super::state::{Customer, IdentityTransfer, State, Step, Token};
use super::{Turned, ids};

const COOKIE_SECONDS: u32 = 63_072_000;
const TRANSFER_LIFETIME: Duration = Duration::from_secs(3_600);

/// A refusal of the accounts service.
///
/// Shape: `{"oauth_exception":"<code>","exception_description":"<text>"}`.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub code: &'static str,
    description: &'static str,
}

impl Refusal {
    const fn new(code: &'static str, description: &'static str) -> Self {
        Self { code, description }
    }

    pub(crate) const fn unreadable() -> Self {
        Self::new("invalid_request", "body cannot be read")
    }

    /// Only 200, 401 and 500 are documented; 400 is what the codes for malformed requests mean elsewhere.
    pub(crate) fn status(&self) -> u16 {
        match self.code {
            "invalid_request" | "unsupported_grant_type" => 400,
            "resource_not_found" => 404,
            _ => 401,
        }
    }

    pub(crate) fn body(&self) -> Value {
        json!({"oauth_exception": self.code, "exception_description": self.description})
    }
}

/// Answers a call to `/v2/customer/<action>`.
pub(crate) fn answer(state: &mut State, step: &mut Step, call: &Call) -> Result<Reply, Refusal> {
    match (call.method.as_str(), call.action.as_str()) {
        ("POST", "token") => issue(state, step, call),
        ("DELETE", "token") => revoke(state, step, call),
        ("GET", "info") => introspect(state, step, call),
        ("POST", "identity_transfer") => transfer_identity(state, step, call),
        _ => Err(Refusal::new("resource_not_found", "no such endpoint")),
    }
}

fn issue(state: &mut State, step: &mut Step, call: &Call) -> Result<Reply, Refusal> {
    let fields = fields(call)?;
    match text(&fields, "grant_type") {
        Some("cookie") => issue_by_cookie(state, step, call, &fields),
        Some("agent_token") => issue_by_agent_token(state, step, call, &fields),
        Some("identity_token") => issue_by_identity(state, step, &fields),
        Some(_) => Err(Refusal::new("unsupported_grant_type", "grant_type is not supported")),
        None => Err(Refusal::new("invalid_request", "grant_type is required")),
    }
}

fn issue_by_cookie(
    state: &mut State,
    step: &mut Step,
    call: &Call,
    fields: &Map<String, Value>,
) -> Result<Reply, Refusal> {
    check_client(state, fields)?;
    match text(fields, "organization_id") {
        None => return Err(Refusal::new("invalid_request", "organization_id is required")),
        Some(id) if id != state.account.organization_id => {
            return Err(Refusal::new("access_denied", "organization not found"));
        }
        Some(_) => {}
    }
    if fields.contains_key("entity_id") {
        return Err(Refusal::new("invalid_request", "entity_id is not allowed for grant_type cookie"));
    }
    check_redirect(state, call, fields)?;
    let cookies = call.headers.get(COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(code) = cookie(cookies, "__lc_cid").and_then(|id| state.refused_cookies.get(id)) {
        return Err(Refusal::new(code, "the customer is not known"));
    }
    let returning = cookie(cookies, "__lc_cid").zip(cookie(cookies, "__lc_cst")).and_then(|(id, secret)| {
        let customer = state.customers.get(id).filter(|_| !state.is_turned(Turned::Cookies))?;
        (customer.cookie_secret == secret).then(|| id.to_owned())
    });
    let renewed = returning.is_some();
    let customer_id = returning.unwrap_or_else(|| create_customer(state, step));
    if renewed
        && state.behaviour.rotate_cookie_secret
        && let Some(customer) = state.customers.get_mut(&customer_id)
    {
        customer.cookie_secret = new_cookie_secret();
    }
    let secret = state.customers.get(&customer_id).map(|customer| customer.cookie_secret.clone()).unwrap_or_default();
    let mut reply = grant(state, step, fields, &customer_id, renewed)?;
    reply.cookies = vec![set_cookie("__lc_cid", &customer_id), set_cookie("__lc_cst", &secret)];
    Ok(reply)
}

fn issue_by_agent_token(
    state: &mut State,
    step: &mut Step,
    call: &Call,
    fields: &Map<String, Value>,
) -> Result<Reply, Refusal> {
    check_client(state, fields)?;
    if bearer(call) != Some(state.account.oauth_token.as_str()) {
        return Err(Refusal::new("access_denied", "an agent's OAuth token with the scope customers:own is required"));
    }
    let known = match text(fields, "entity_id") {
        Some(id) if !state.customers.contains_key(id) => {
            return Err(Refusal::new("invalid_request", "entity_id does not exist"));
        }
        id => id.map(str::to_owned),
    };
    let renewed = known.is_some();
    let customer_id = known.unwrap_or_else(|| create_customer(state, step));
    grant(state, step, fields, &customer_id, renewed)
}

fn issue_by_identity(state: &mut State, step: &mut Step, fields: &Map<String, Value>) -> Result<Reply, Refusal> {
    check_client(state, fields)?;
    let code = text(fields, "code").ok_or(Refusal::new("invalid_request", "code is required"))?;
    let transfer = state.transfer_tokens.get(code).filter(|transfer| step.now < transfer.expires_at).cloned();
    let transfer = transfer.ok_or(Refusal::new("invalid_grant", "code is not valid"))?;
    let verifier = text(fields, "code_verifier").unwrap_or_default();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    if transfer.code_challenge.is_some_and(|expected| expected != challenge && expected != verifier) {
        return Err(Refusal::new("invalid_grant", "code_verifier does not fit"));
    }
    if text(fields, "client_id") != Some(transfer.client_id.as_str()) {
        return Err(Refusal::new("invalid_grant", "code belongs to another client"));
    }
    state.transfer_tokens.remove(code);
    grant(state, step, fields, &transfer.customer_id, true)
}

fn grant(
    state: &mut State,
    step: &mut Step,
    fields: &Map<String, Value>,
    customer_id: &str,
    renewed: bool,
) -> Result<Reply, Refusal> {
    let lifetime = match fields.get("expires_in") {
        None | Some(Value::Null) => state.behaviour.token_lifetime,
        Some(value) => {
            let seconds = value.as_u64().or_else(|| value.as_str()?.parse().ok()).filter(|seconds| *seconds > 0);
            Duration::from_secs(seconds.ok_or(Refusal::new("invalid_request", "expires_in must be a positive number"))?)
        }
    };
    let account = &state.account;
    let value = format!("{}:{}", state.behaviour.region.name(), ids::hex());
    let token = Token {
        customer_id: customer_id.to_owned(),
        client_id: account.client_id.clone(),
        expires_at: step.now + lifetime,
    };
    let body = view(state, step, &value, &token);
    state.tokens.insert(value, token);
    step.note("token_issued", json!({"customer_id": customer_id, "renewed": renewed}));
    Ok(Reply::json(body))
}

fn view(state: &State, step: &Step, value: &str, token: &Token) -> Value {
    json!({
        "access_token": value,
        "entity_id": token.customer_id,
        "expires_in": token.expires_at.since(step.now).as_secs(),
        "token_type": "Bearer",
        "organization_id": state.account.organization_id,
        "client_id": token.client_id,
    })
}

fn revoke(state: &mut State, step: &Step, call: &Call) -> Result<Reply, Refusal> {
    let (value, _token) = own_token(state, step, bearer(call))?;
    state.tokens.remove(&value);
    Ok(Reply::empty())
}

fn introspect(state: &State, step: &Step, call: &Call) -> Result<Reply, Refusal> {
    let value = bearer(call).or_else(|| call.query.get("code").map(String::as_str));
    let (value, token) = own_token(state, step, value)?;
    Ok(Reply::json(view(state, step, &value, &token)))
}

fn own_token(state: &State, step: &Step, value: Option<&str>) -> Result<(String, Token), Refusal> {
    let value = value.unwrap_or_default();
    let token = state.tokens.get(value).filter(|token| step.now < token.expires_at);
    token.map(|token| (value.to_owned(), token.clone())).ok_or(Refusal::new("access_denied", "token is not valid"))
}

fn transfer_identity(state: &mut State, step: &mut Step, call: &Call) -> Result<Reply, Refusal> {
    let fields = fields(call)?;
    let client_id = text(&fields, "client_id").ok_or(Refusal::new("invalid_request", "client_id is required"))?;
    let customer_id = match text(&fields, "bearer_type") {
        Some("customer") => own_token(state, step, bearer(call))?.1.customer_id,
        Some("agent") if bearer(call) == Some(state.account.oauth_token.as_str()) => {
            let id = text(&fields, "customer_id").filter(|id| state.customers.contains_key(*id));
            id.ok_or(Refusal::new("invalid_request", "customer_id is required"))?.to_owned()
        }
        Some("agent") => return Err(Refusal::new("access_denied", "token is not valid")),
        _ => return Err(Refusal::new("invalid_request", "bearer_type is required")),
    };
    let code = ids::hex();
    let transfer = IdentityTransfer {
        customer_id,
        client_id: client_id.to_owned(),
        code_challenge: text(&fields, "code_challenge").map(str::to_owned),
        expires_at: step.now + TRANSFER_LIFETIME,
    };
    state.transfer_tokens.insert(code.clone(), transfer);
    Ok(Reply::json(json!({"identity_transfer_token": code, "expires_in": TRANSFER_LIFETIME.as_secs()})))
}

fn check_client(state: &State, fields: &Map<String, Value>) -> Result<(), Refusal> {
    match text(fields, "client_id") {
        None => Err(Refusal::new("invalid_request", "client_id is required")),
        Some(_) if state.licence_expired => Err(Refusal::new("access_denied", "license expired")),
        Some(id) if state.app_removed || id != state.account.client_id => {
            Err(Refusal::new("unauthorized_client", "client_id is not known"))
        }
        Some(_) => Ok(()),
    }
}

/// The whitelist check: `redirect_uri`, or else the `Origin` header.
fn check_redirect(state: &State, call: &Call, fields: &Map<String, Value>) -> Result<(), Refusal> {
    let allowed = state.account.redirect_uri.as_str();
    let origin = call.headers.get(ORIGIN).and_then(|value| value.to_str().ok());
    let fits = match (text(fields, "redirect_uri"), origin) {
        (Some(uri), _) => is_redirect_allowed(allowed, uri),
        (None, Some(origin)) => split_host(origin).0 == split_host(allowed).0,
        (None, None) => return Err(Refusal::new("invalid_request", "redirect_uri is required")),
    };
    if fits { Ok(()) } else { Err(Refusal::new("unauthorized_client", "redirect_uri is not whitelisted")) }
}

fn is_redirect_allowed(allowed: &str, uri: &str) -> bool {
    let ((allowed_host, allowed_path), (host, path)) = (split_host(allowed), split_host(uri));
    let is_clean = !["..", "?", "#"].iter().any(|forbidden| uri.contains(forbidden));
    is_clean && host == allowed_host && path.starts_with(allowed_path.trim_end_matches('/'))
}

/// `https://host:port` and the path.
fn split_host(uri: &str) -> (&str, &str) {
    let host_start = uri.find("://").map_or(0, |at| at + 3);
    let path_start = uri.get(host_start..).and_then(|rest| rest.find('/')).map_or(uri.len(), |at| host_start + at);
    uri.split_at_checked(path_start).unwrap_or((uri, ""))
}

/// JSON as documented; form encoding works as well.
fn fields(call: &Call) -> Result<Map<String, Value>, Refusal> {
    if call.has_content_type("application/x-www-form-urlencoded") {
        let uri = format!("/?{}", String::from_utf8_lossy(&call.body)).parse().ok();
        let pairs = uri.and_then(|uri| super::call::query(&uri));
        let pairs = pairs.ok_or(Refusal::new("invalid_request", "body is not a form"))?;
        return Ok(pairs.into_iter().map(|(name, value)| (name, value.into())).collect());
    }
    serde_json::from_slice(&call.body).map_err(|_| Refusal::new("invalid_request", "body is not a JSON object"))
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn bearer(call: &Call) -> Option<&str> {
    call.headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn cookie<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split(';').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

fn set_cookie(name: &str, value: &str) -> String {
    format!(
        "{name}={value}; Path=/v2/customer; Domain=accounts.livechat.com; Max-Age={COOKIE_SECONDS}; HttpOnly; Secure; \
         SameSite=None"
    )
}

fn new_cookie_secret() -> String {
    format!("{}{}", ids::hex(), ids::hex())
}

fn create_customer(state: &mut State, step: &mut Step) -> String {
    let client_id = state.account.client_id.clone();
    state.add_customer(step, client_id)
}

impl State {
    /// Adds a new customer.
    pub(crate) fn add_customer(&mut self, step: &mut Step, client_id: String) -> String {
        let customer = Customer {
            id: ids::uuid(),
            client_id,
            cookie_secret: new_cookie_secret(),
            name: None,
            email: None,
            session_fields: Vec::new(),
            details: Map::new(),
            created_at: step.now,
            banned_until: None,
        };
        let id = customer.id.clone();
        step.note("customer_created", json!({"customer_id": id}));
        self.customers.insert(id.clone(), customer);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_uri_fits_when_host_matches_and_the_configured_path_is_a_prefix() {
        let cases = [
            ("https://x.y", "https://x.y", true),
            ("https://x.y", "https://x.y/anything", true),
            ("https://x.y/", "https://x.y", true),
            ("https://x.y/app", "https://x.y/app/deeper", true),
            ("https://x.y/app", "https://x.y/other", false),
            ("https://x.y", "http://x.y", false),
            ("https://x.y", "https://x.y.evil.example", false),
            ("https://x.y:8443", "https://x.y", false),
            ("https://x.y", "https://x.y/../z", false),
            ("https://x.y", "https://x.y/?q=1", false),
            ("https://x.y", "https://x.y/#f", false),
        ];
        for (allowed, uri, expected) in cases {
            assert_eq!(is_redirect_allowed(allowed, uri), expected, "{allowed} {uri}");
        }
    }
}
