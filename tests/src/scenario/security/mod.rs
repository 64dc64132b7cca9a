#![expect(clippy::indexing_slicing, reason = "what is indexed was made or measured right before")]
//! Hostile input: unauthenticated callers, malformed requests, and what is logged about them.

pub(super) mod canaries;
pub(super) mod forged;
pub(super) mod isolation;
pub(super) mod malformed;
mod mutate;
mod whose;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbox::botpress::{Install, sign};
use sandbox::stack::Side;
use serde_json::{Map, Value, json};

use crate::World;

/// Far longer than any answer takes that does not wait.
const HANG: Duration = Duration::from_secs(60);

/// One request, handed to a function as API Gateway would.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub side: Side,
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u64,
    pub body: String,
    pub headers: Value,
}

impl Call {
    fn post(side: Side, path: &str, headers: Vec<(String, String)>, body: &Value) -> Self {
        let headers = [vec![("content-type".to_owned(), "application/json".to_owned())], headers].concat();
        Self { side, method: "POST", path: path.to_owned(), headers, body: body.to_string().into_bytes() }
    }

    /// The event, payload format 2.0.
    pub(crate) fn event(&self) -> Value {
        let (body, is_base64_encoded) = match std::str::from_utf8(&self.body) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (STANDARD.encode(&self.body), true),
        };
        let headers = self.headers.iter().map(|(name, value)| (name.to_lowercase(), json!(value)));
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": self.path, "rawQueryString": "",
            "headers": headers.collect::<Map<_, _>>(),
            "requestContext": {
                "domainName": "sandbox.example", "stage": "$default",
                "http": { "method": self.method, "path": self.path, "sourceIp": "127.0.0.1" },
            },
            "body": body, "isBase64Encoded": is_base64_encoded,
        })
    }

    /// Sets a header to this value, and removes all its others.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.into()));
    }

    /// The body, changed as JSON.
    pub(crate) fn with_body(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let mut body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        change(&mut body);
        self.body = body.to_string().into_bytes();
        self
    }
}

/// Hands an event to a function; without an answer it returns the reason.
pub(super) async fn answer(world: &World, side: Side, event: Value) -> Result<Answer, String> {
    let answer = tokio::time::timeout(HANG, world.stack.invoke(side, event)).await;
    let answer = answer.map_err(|_| "no answer within a minute".to_owned())?.map_err(|error| error.to_string())?;
    let status = answer.get("statusCode").and_then(Value::as_u64).ok_or("an answer without a status")?;
    let body = answer.get("body").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Answer { status, body, headers: answer.get("headers").cloned().unwrap_or_default() })
}

/// The credentials that a caller needs, and valid calls with them.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    pub path_key: String,
    pub signing_secret: String,
    pub webhook_secret: String,
    pub organization_id: String,
    pub access_token: String,
    pub custom_header: (String, String),
    pub install: Install,
    pub step_one: Value,
    pub step_two: Value,
}

impl Doors {
    pub(crate) fn of(world: &World) -> Self {
        let stack = &world.stack;
        let (botpress, botcopy) = (stack.botpress.options(), stack.botcopy.options());
        let widget = stack.botcopy.new_user();
        let path_key = stack.integration_url();
        Self {
            path_key: path_key.rsplit('/').next().unwrap_or_default().to_owned(),
            signing_secret: botpress.signing_secret.clone().unwrap_or_default(),
            webhook_secret: stack.webhook_secret().to_owned(),
            organization_id: stack.livechat.account().organization_id.clone(),
            access_token: botcopy.access_token.clone(),
            custom_header: botcopy.custom_header.clone().unwrap_or_default(),
            install: botpress.install.clone(),
            step_one: stack.botcopy.step_one_body(&widget, "a human please").unwrap_or_default(),
            step_two: stack.botcopy.step_two_body(&widget, "order 7").unwrap_or_default(),
        }
    }

    /// Every secret, whatever its purpose.
    pub(crate) fn secrets(&self) -> [&str; 5] {
        [&self.path_key, &self.signing_secret, &self.webhook_secret, &self.access_token, &self.custom_header.1]
    }

    /// A call of Botpress, signed at the world's time.
    pub(crate) fn botpress(&self, world: &World, operation: &str, body: &Value) -> Call {
        let signature = self.signature(world, body.to_string().as_bytes());
        let install = &self.install;
        let headers = [
            ("x-bot-id", install.bot_id.as_str()),
            ("x-bot-user-id", install.bot_id.as_str()),
            ("x-integration-id", install.integration_id.as_str()),
            ("x-integration-alias", install.alias.as_str()),
            ("x-webhook-id", install.webhook_id.as_str()),
            ("x-bp-operation", operation),
            ("x-bp-configuration", "e30="),
            ("x-bp-signature", &signature),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Call::post(Side::Actions, &format!("/botpress/{}", self.path_key), headers.into(), body)
    }

    /// The signature of a body at the world's time.
    pub(crate) fn signature(&self, world: &World, body: &[u8]) -> String {
        sign(&self.signing_secret, world.now(), body).unwrap_or_default()
    }

    /// A webhook of LiveChat.
    pub(crate) fn livechat(&self, action: &str, payload: &Value) -> Call {
        let body = json!({
            "webhook_id": "w", "secret_key": self.webhook_secret, "action": action,
            "organization_id": self.organization_id, "payload": payload, "additional_data": {},
        });
        Call::post(Side::Webhooks, "/livechat", Vec::new(), &body)
    }

    /// A call of Botcopy.
    pub(crate) fn botcopy(&self, body: &Value) -> Call {
        let (name, value) = &self.custom_header;
        let headers =
            vec![("authorization".to_owned(), self.access_token.clone()), (name.to_lowercase(), value.clone())];
        Call::post(Side::Actions, "/botcopy", headers, body)
    }
}
