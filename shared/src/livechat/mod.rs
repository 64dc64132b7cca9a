//! LiveChat: its Web APIs, version 3.6, as typed calls, and its webhooks as typed events.
//!
//! [`Client::issue_customer_token`] makes an end user a LiveChat customer; [`Client::customer`] acts as that customer.
//! [`Client::agent`] and [`Client::configuration`] act with the licence's personal access token.
//!
//! See LiveChat Docs, "Agent Chat Web API", "Customer Chat Web API", "Configuration API", "Customer authorization".

mod accounts;
mod agent;
mod configuration;
mod customer;
mod error;
mod model;
mod probe;
mod region;
mod schedule;
pub mod webhook;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use accounts::IssuedToken;
pub use agent::Agent;
pub use configuration::{
    AuthorType, Configuration, Group, NewWebhook, SourceType, WebhookFilters, WebhookRegistration,
};
pub use customer::{ChatOverview, Customer, CustomerProfile, GroupStatus, NewChat, StartedChat};
pub use error::Error;
pub use model::{
    Chat, Content, Event, NewEvent, ParticipantId, RichButton, RichElement, RichImage, Thread, User, UserKind,
    Visibility,
};
pub use probe::{Caller, Probed};
pub use region::Region;
pub use schedule::{Shift, WorkSchedule};

use crate::http::{Answer, Body, Call, Failure, Field, Http, Request, sensitive, url};
use crate::ids::OrganizationId;
use crate::model::vendor::LIVECHAT;
use crate::redacted::Redacted;

/// Base URL of the chat and configuration APIs.
pub const PUBLIC_API_URL: &str = "https://api.livechatinc.com";
/// Base URL of the service that issues customer tokens.
pub const PUBLIC_ACCOUNTS_URL: &str = "https://accounts.livechat.com";
/// The version of the API, as it appears in the path.
pub const API_VERSION: &str = "v3.6";

/// The outcome of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Which licence to call, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base of the chat and configuration APIs; [`PUBLIC_API_URL`] unless a test or the sandbox stands in.
    pub api_url: String,
    /// Base of the accounts service; [`PUBLIC_ACCOUNTS_URL`] unless a test or the sandbox stands in.
    pub accounts_url: String,
    /// The app's id in the vendor's developer console; it owns the webhooks.
    pub client_id: String,
    /// The organization that owns the licence.
    pub organization_id: OrganizationId,
    /// An address on the app's redirect whitelist. Nothing is ever redirected; the accounts service compares it.
    pub redirect_uri: String,
    /// The licence's data centre; `None` reads it from the token.
    pub region: Option<Region>,
}

/// LiveChat's APIs; clones share connections and what they have learned about the licence.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    http: Http,
    learned_region: Mutex<Option<Region>>,
    sunset_logged: AtomicBool,
}

impl Client {
    /// Makes a client; sends nothing.
    pub fn new(settings: Settings, http: Http) -> Self {
        let (learned_region, sunset_logged) = (Mutex::default(), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { settings, http, learned_region, sunset_logged }) }
    }

    /// Acts as the customer to whom `token` was issued.
    pub const fn customer<'a>(&'a self, token: &'a Redacted) -> Customer<'a> {
        Customer::new(self, token)
    }

    /// Acts as the agent who made the personal access token.
    ///
    /// `token` is the console's ready-made base64 of `account_id:token`.
    pub const fn agent<'a>(&'a self, token: &'a Redacted) -> Agent<'a> {
        Agent::new(self, token)
    }

    /// Reads and changes the licence's webhooks; `token` as for [`agent`](Self::agent).
    pub const fn configuration<'a>(&'a self, token: &'a Redacted) -> Configuration<'a> {
        Configuration::new(self, token)
    }

    /// The data centre that LiveChat has named since this client was made, after a call to another one.
    pub fn told_region(&self) -> Option<Region> {
        self.learned_region().clone()
    }

    fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Makes a call and decodes its answer.
    async fn fetch<T: DeserializeOwned>(&self, action: Action<'_>) -> Result<T> {
        let answer = self.execute(&action).await?;
        answer.decode().map_err(|failure| Error::failed(action.call, failure))
    }

    /// Makes a call and reads its answer field by field.
    async fn read<T>(&self, action: Action<'_>, read: impl FnOnce(&Field<'_>) -> Option<T>) -> Result<T> {
        let answer = self.execute(&action).await?;
        let read = self.shared.http.read((LIVECHAT, action.call), &answer, read);
        read.map_err(|failure| Error::failed(action.call, failure))
    }

    /// Makes a call whose answer carries no data; the body may be `{}` or empty.
    async fn perform(&self, action: Action<'_>) -> Result<()> {
        let answer = self.execute(&action).await?;
        answer.acknowledged().map_err(|failure| Error::failed(action.call, failure))
    }

    /// Makes a call, and repeats it if LiveChat names another data centre.
    async fn execute(&self, action: &Action<'_>) -> Result<Answer> {
        let region = self.region_header(action);
        let error = match self.attempt(action, region.as_ref()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match error.misdirected_region() {
            Some(told) if region.as_ref() != Some(&told) => {
                *self.learned_region() = Some(told.clone());
                self.attempt(action, Some(&told)).await
            }
            _ => Err(error),
        }
    }

    async fn attempt(&self, action: &Action<'_>, region: Option<&Region>) -> Result<Answer> {
        let failed = |failure| Error::failed(action.call, failure);
        let request = self.request(action, region).map_err(failed)?;
        let answer = self.shared.http.send(request).await.map_err(failed)?;
        self.note_sunset(&answer.headers);
        if answer.status.is_success() { Ok(answer) } else { Err(Error::refused(action.call, &answer)) }
    }

    fn request(&self, action: &Action<'_>, region: Option<&Region>) -> Result<Request, Failure> {
        let settings = self.settings();
        let mut url = url(&settings.api_url, &[API_VERSION, action.api.path(), "action", action.call.name])?;
        if action.api == Api::Customer {
            url.query_pairs_mut().append_pair("organization_id", settings.organization_id.as_str());
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, sensitive(&action.authorization())?);
        if let Some(region) = region {
            let value = HeaderValue::from_str(region.as_str()).map_err(Failure::not_sendable)?;
            headers.insert(HeaderName::from_static("x-region"), value);
        }
        Ok(Request { method: Method::POST, url, headers, body: action.body.clone() })
    }

    /// The value for `X-Region`: the data centre that LiveChat named, else the setting, else the token's prefix. The default
    /// data centre needs no header.
    fn region_header(&self, action: &Action<'_>) -> Option<Region> {
        let learned = self.learned_region().clone();
        learned.or_else(|| {
            let region = self.settings().region.clone().or_else(|| Region::of_token(action.token.expose()));
            region.filter(|region| !region.is_default())
        })
    }

    fn learned_region(&self) -> MutexGuard<'_, Option<Region>> {
        self.shared.learned_region.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// LiveChat announces the end of an API version in that version's answers.
    fn note_sunset(&self, headers: &HeaderMap) {
        let Some((name, date)) = ["legacy", "deprecation"].iter().find_map(|name| Some((name, headers.get(*name)?)))
        else {
            return;
        };
        if !self.shared.sunset_logged.swap(true, Ordering::Relaxed) {
            let is_date = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
            let date = date.to_str().ok().filter(is_date).unwrap_or("(unreadable)");
            tracing::warn!(
                livechat.version = API_VERSION,
                livechat.header = name,
                livechat.stage_ends = date,
                "LiveChat will retire API {API_VERSION}: it is in its {name} stage, which ends on {date}",
            );
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Agent,
    Configuration,
    Customer,
}

impl Api {
    const fn path(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Configuration => "configuration",
            Self::Customer => "customer",
        }
    }
}

/// One call, ready to be sent as often as needed.
struct Action<'a> {
    api: Api,
    call: Call,
    token: &'a Redacted,
    body: Body,
}

impl<'a> Action<'a> {
    fn json(api: Api, call: Call, token: &'a Redacted, body: &impl Serialize) -> Result<Self> {
        let body = Body::json(body).map_err(|failure| Error::failed(call, failure))?;
        Ok(Self { api, call, token, body })
    }

    fn authorization(&self) -> Redacted {
        match self.api {
            Api::Customer => bearer(self.token),
            Api::Agent | Api::Configuration => format!("Basic {}", self.token.expose()).into(),
        }
    }
}

/// A token can arrive with its region's colon percent-encoded; LiveChat accepts only the plain form.
fn bearer(token: &Redacted) -> Redacted {
    format!("Bearer {}", token.expose().replace("%3A", ":").replace("%3a", ":")).into()
}

#[cfg(test)]
mod testing {
    //! A client in front of a mock server.

    use serde_json::Value;
    use wiremock::matchers::{body_json, header, method, path, query_param};
    use wiremock::{Mock, MockBuilder, MockServer};

    use super::{Client, Region, Settings};
    use crate::http::{Http, testing};

    pub(crate) const ORGANIZATION: &str = "390e44e6-f1e6-4c62-9d1c-5f9d4a3a6a11";

    pub(crate) fn settings(base: &str, region: Option<&str>) -> Settings {
        Settings {
            api_url: base.to_owned(),
            accounts_url: base.to_owned(),
            client_id: "0123456789abcdef".to_owned(),
            organization_id: ORGANIZATION.into(),
            redirect_uri: "https://bridge.example/callback".to_owned(),
            region: region.map(|region| Region::parse(region).unwrap()),
        }
    }

    pub(crate) fn client(base: &str) -> Client {
        client_with(base, testing::http())
    }

    pub(crate) fn client_with(base: &str, http: Http) -> Client {
        Client::new(settings(base, None), http)
    }

    /// A customer's call, exactly as it must arrive.
    pub(crate) fn customer_call(action: &str, body: Value) -> MockBuilder {
        Mock::given(method("POST"))
            .and(path(format!("/v3.6/customer/action/{action}")))
            .and(query_param("organization_id", ORGANIZATION))
            .and(header("authorization", "Bearer dal:token"))
            .and(header("content-type", "application/json"))
            .and(body_json(body))
    }

    /// An agent's call, exactly as it must arrive.
    pub(crate) fn agent_call(api: &str, action: &str, body: Value) -> MockBuilder {
        Mock::given(method("POST"))
            .and(path(format!("/v3.6/{api}/action/{action}")))
            .and(header("authorization", "Basic YWNjb3VudDpwYXQ="))
            .and(header("content-type", "application/json"))
            .and(body_json(body))
    }

    /// Asserts that no request carried a query or a region.
    pub(crate) async fn assert_bare(server: &MockServer) {
        for request in server.received_requests().await.unwrap() {
            assert_eq!(request.url.query(), None);
            assert!(!request.headers.contains_key("x-region"));
        }
    }
}

#[cfg(test)]
mod tests;
