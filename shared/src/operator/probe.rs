//! Calls of the stack's own addresses, made as its callers make them, to check whether it answers.

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::{Value, json};

use crate::botpress::signature;
use crate::clock::Timestamp;
use crate::http::{Body, Failure, Http, Request, sensitive, url};
use crate::ids::{NO_CHAT, OrganizationId};
use crate::model::session::Install;
use crate::redacted::Redacted;

/// The answer of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// The body, if it is text.
    pub body: String,
}

/// A base address: `https://….execute-api.….amazonaws.com`, with the stage if there is one.
#[derive(Clone, Debug)]
pub struct Endpoint {
    base: String,
    http: Http,
}

/// The headers of an operation: bot, integration, alias and id of the install, and the operation's name.
fn operation_headers(values: [&str; 5]) -> Result<HeaderMap, Failure> {
    let [bot_id, integration_id, alias, install_id, operation] = values;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-bot-id", bot_id),
        ("x-bot-user-id", bot_id),
        ("x-integration-id", integration_id),
        ("x-integration-alias", alias),
        ("x-webhook-id", install_id),
        ("x-bp-operation", operation),
        ("x-bp-configuration", "e30="),
    ] {
        let value = HeaderValue::from_str(value).map_err(Failure::not_sendable)?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

impl Endpoint {
    /// Names the address; makes no call.
    pub fn new(base: &str, http: Http) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), http }
    }

    /// Fetches a page.
    ///
    /// # Errors
    ///
    /// [`Failure`] if no answer came.
    pub async fn get(&self, path: &str) -> Result<Answered, Failure> {
        self.send(Method::GET, &[path], HeaderMap::new(), Body::Empty).await
    }

    /// Pings the integration as Botpress does; this changes nothing.
    ///
    /// # Errors
    ///
    /// [`Failure`] if no answer came.
    pub async fn ping(&self, path_key: &Redacted, integration_id: &str) -> Result<Answered, Failure> {
        let headers = operation_headers([NO_CHAT, integration_id, NO_CHAT, NO_CHAT, "ping"])?;
        self.send(Method::POST, &["botpress", path_key.expose()], headers, Body::Empty).await
    }

    /// Calls an operation for an install as Botpress does; signed, if there is a secret to sign with.
    ///
    /// # Errors
    ///
    /// [`Failure`] if no answer came, or the secret cannot sign.
    pub async fn operate(
        &self,
        (path_key, signing_secret): (Option<&Redacted>, Option<&Redacted>),
        install: &Install,
        (operation, body): (&str, &Value),
        now: Timestamp,
    ) -> Result<Answered, Failure> {
        let bytes = serde_json::to_vec(body).map_err(Failure::not_sendable)?;
        let [bot_id, integration_id] = [install.bot_id.as_str(), install.integration_id.as_str()];
        let [alias, install_id] = [install.alias.as_str(), install.install_id.as_str()];
        let mut headers = operation_headers([bot_id, integration_id, alias, install_id, operation])?;
        if let Some(secret) = signing_secret {
            let signature = signature::sign(secret, &bytes, now).map_err(Failure::not_sendable)?;
            let value = HeaderValue::from_str(&signature).map_err(Failure::not_sendable)?;
            headers.insert(HeaderName::from_static("x-bp-signature"), value);
        }
        let path = ["botpress"].into_iter().chain(path_key.map(Redacted::expose));
        self.send(Method::POST, &path.collect::<Vec<_>>(), headers, Body::Json(bytes.into())).await
    }

    /// Reports the end of a chat that does not exist, as LiveChat does; this changes nothing.
    ///
    /// # Errors
    ///
    /// [`Failure`] if no answer came.
    pub async fn report_nothing(&self, secret: &Redacted, organization: &OrganizationId) -> Result<Answered, Failure> {
        let body = json!({
            "webhook_id": NO_CHAT, "secret_key": secret, "action": "chat_deactivated",
            "organization_id": organization, "payload": {"chat_id": NO_CHAT, "thread_id": NO_CHAT},
            "additional_data": {},
        });
        self.send(Method::POST, &["livechat"], HeaderMap::new(), Body::json(&body)?).await
    }

    /// Sends an empty message in the name of a Botcopy user who does not exist, as Botcopy does; this changes nothing.
    ///
    /// # Errors
    ///
    /// [`Failure`] if no answer came.
    pub async fn say_nothing(
        &self,
        bot_id: Option<&str>,
        access_token: &Redacted,
        custom_header: Option<(&str, &Redacted)>,
    ) -> Result<Answered, Failure> {
        let mut headers = HeaderMap::from_iter([(header::AUTHORIZATION, sensitive(access_token)?)]);
        if let Some((name, value)) = custom_header {
            headers.insert(HeaderName::try_from(name).map_err(Failure::not_sendable)?, sensitive(value)?);
        }
        let body = json!({
            "accessToken": access_token, "userId": NO_CHAT, "botId": bot_id.unwrap_or(NO_CHAT), "sessionId": NO_CHAT, "session": NO_CHAT,
            "queryInput": {"text": {"text": "", "languageCode": "en"}},
            "queryParams": {"contexts": [], "payload": {}, "webhookHeaders": {}},
        });
        self.send(Method::POST, &["botcopy"], headers, Body::json(&body)?).await
    }

    async fn send(&self, method: Method, path: &[&str], headers: HeaderMap, body: Body) -> Result<Answered, Failure> {
        let request = Request { method, url: url(&self.base, path)?, headers, body };
        let answer = self.http.send(request).await?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        Ok(Answered { status: answer.status.as_u16(), body })
    }
}
