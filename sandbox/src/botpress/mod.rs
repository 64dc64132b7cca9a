//! A stand-in for Botpress Cloud with one bot, the HITL plugin 1.4.2 and one install of a HITL integration.
//!
//! It serves the runtime API below `/v1/chat/`, the part of the admin API below `/v1/admin/` that deploying needs, and
//! the install's public webhook below `/{webhookId}`. It calls the integration as the platform does, and refuses what
//! the platform refuses. It shares no types with the product: every shape is written down here a second time, from the
//! vendor's description.
//!
//! It is stricter than documented, so that mistakes show: `x-integration-id` and `x-integration-alias` are required;
//! unknown query parameters are refused; an install sees only its own users and conversations. A `ping` with an empty
//! body is unsigned. Get-or-create looks for a message within its conversation.
//!
//! # Journal
//!
//! Downstream is the integration's side, upstream the end user's. Keys may be null.
//!
//! | Effect | Keys |
//! |---|---|
//! | `call_answered` (every runtime API call) | `call` (the vendor's name, `unknown`), `status`, `error_type`, `message` |
//! | `user_created`, `user_updated`, `profile_changed` (upstream, by the user) | `user_id`, `tags`, `name`, `picture_url` |
//! | `user_deleted` | `user_id` |
//! | `conversation_created`, `conversation_updated` | `conversation_id`, `tags` |
//! | `conversation_deleted` | `conversation_id` |
//! | `message_created` (downstream), `message_found`, `message_updated` | `message_id`, `conversation_id`, `user_id`, `type`, `payload`, `tags`, `direction` |
//! | `message_deleted` | `message_id` |
//! | `event_created` | `event_id`, `type`, `conversation_id`, `user_id`, `scheduled_for` |
//! | `event_canceled` | `event_id` |
//! | `handled` (only while events and messages are handled side by side) | `kind` (`event`, `message`), `id`, `delay_ms` |
//! | `integration_configured` | `identifier`, `schedule_register_call` |
//! | `integration_created`, `integration_updated` | `id`, `name`, `version`; `id`, `url` |
//! | `signing_secret_rotated` | `id` |
//! | `access_key_issued`, `access_key_withdrawn` | `id`, `integration_id`; `id` |
//! | `identifier_set` (by a webhook's answer) | `identifier` |
//! | `operation_called` (every attempt) | `operation`, `type` (of action or message), `status` (null: no answer), `attempt`, `message_id`, `error` |
//! | `registered`, `unregistered` | - |
//! | `registration_failed`, `unregistration_failed` | `reason` |
//! | `file_served` (by the file host) | `path`, `content_type`, `size`, `sha256` |
//! | `user_wrote` (upstream) | `conversation_id`, `user_id`, `message_id`, `type`, `text` |
//! | `shown_to_user` (upstream) | `conversation_id`, `from` (`bot`, `agent`, `plugin`), `name`, `type`, `text`, `payload` |
//! | `hitl_not_started` | `conversation_id` (upstream), `reason` (`active`, `downstream`, `same_message`) |
//! | `hitl_started` | `conversation_id` (downstream), `upstream_conversation_id`, `user_id` (upstream) |
//! | `hitl_ended` | `reason` (the plugin's `hitlEndReason`), `conversation_id` (downstream), `upstream_conversation_id` |
//! | `workflow_continued` | `conversation_id` (upstream) |
//! | `dropped` | `reason` (`inactive`), `kind` (`message`, `event`), `type`, `conversation_id`, `message_id` or `event_id` |
//! | `plugin_failed` | `conversation_id`, `reason` |

mod admin;
mod calls;
mod errors;
mod files;
mod handling;
mod people;
mod platform;
mod plugin;
mod recorded;
mod relay;
mod runtime;
mod schedule;
mod schema;
mod signature;
mod state;
mod tags;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};
use shared::clock::Clock;
use uuid::Uuid;

pub use self::calls::OperationAnswer;
pub use self::errors::{Error, ErrorType};
pub use self::people::{Line, Profile, UpstreamUser};
pub use self::plugin::Escalation;
pub use self::schedule::Handling;
pub use self::signature::sign;
pub use self::state::Configuration as PluginConfiguration;
pub use self::state::Speaker;
pub use self::tags::Definition;

use self::files::FileHost;
use self::platform::Platform;
use self::state::lock;
use crate::faults::Faults;
use crate::journal::Journal;
use crate::server::{Inside, Server, vendor_client};
use crate::underway::Underway;

/// The integration through which users reach the bot.
const UPSTREAM_INTEGRATION: &str = "webchat";

/// Largest body of a runtime API request.
const REQUEST_BYTES: usize = 1024 * 1024;

/// The one install of the integration under test.
#[derive(Clone, Debug)]
pub struct Install {
    /// The bot; also the id of the bot's own user.
    pub bot_id: String,
    /// The integration version's id.
    pub integration_id: String,
    /// The name of the install on the bot.
    pub alias: String,
    /// The public webhook's id.
    pub webhook_id: String,
    /// The configuration that the bot's owner filled in.
    pub configuration: Value,
}

impl Install {
    /// An install with ids of the vendor's form and an empty configuration.
    pub fn new() -> Self {
        Self {
            bot_id: state::new_id("bot_"),
            integration_id: state::new_id("intver_"),
            alias: "livechat".to_owned(),
            webhook_id: format!("webhook_{}", Uuid::new_v4().simple()),
            configuration: json!({}),
        }
    }
}

impl Default for Install {
    fn default() -> Self {
        Self::new()
    }
}

/// Configuration of the simulated workspace.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server's port; 0 picks a free one.
    pub port: u16,
    /// The sandbox's clock.
    pub clock: Clock,
    /// Where effects are recorded.
    pub journal: Journal,
    /// The integration access key that the runtime API accepts.
    pub access_key: String,
    /// Signs the calls to the integration, if set.
    pub signing_secret: Option<String>,
    /// The install.
    pub install: Install,
    /// What the integration's definition declares.
    pub definition: Definition,
    /// The HITL plugin's configuration.
    pub plugin: PluginConfiguration,
    /// Entries per page, in lists and in the message history of a start.
    pub page_size: usize,
    /// Whether an action is retried once after a 5xx or a lost answer.
    pub retry_actions: bool,
    /// The time, by the clock, that the plugin takes from the answer of `startHitl` to the activation.
    pub activation_delay: Duration,
    /// Counts calls to the integration while they are in flight.
    pub underway: Underway,
}

impl Options {
    /// A workspace with defaults: any free port, no signing secret, actions retried, immediate activation.
    pub fn new(clock: Clock, journal: Journal) -> Self {
        Self {
            port: 0,
            clock,
            journal,
            access_key: format!("bp_iak_{}", Uuid::new_v4().simple()),
            signing_secret: None,
            install: Install::new(),
            definition: Definition::default(),
            plugin: PluginConfiguration::default(),
            page_size: 20,
            retry_actions: true,
            activation_delay: Duration::ZERO,
            underway: Underway::default(),
        }
    }
}

/// An uncertain statement about Botpress, inverted: the vendor's behaviour if the statement were wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// A message with the tag of an existing one is created again.
    RepeatedMessage,
    /// An answer does not state whether the message was created or found.
    CreatedFlag,
    /// A conversation with the tag of an existing one is created again.
    RepeatedConversation,
}

/// Where the install stands; `status` and `statusReason` on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InstallStatus {
    /// `registration_pending`.
    #[default]
    RegistrationPending,
    /// `registered`.
    Registered,
    /// `registration_failed`, with the reason that Studio shows (at most 2000 characters).
    RegistrationFailed(String),
    /// `unregistered`.
    Unregistered,
    /// `unregistration_failed`, with the reason.
    UnregistrationFailed(String),
}

/// A running Botpress; it stops when this value is dropped.
#[derive(Debug)]
pub struct Simulator {
    platform: Arc<Platform>,
    server: Server,
    faults: Faults,
    files: FileHost,
}

impl Simulator {
    /// Starts the server; the integration is not installed yet.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub async fn start(options: Options) -> io::Result<Self> {
        let (port, clock) = (options.port, options.clock.clone());
        let client = vendor_client(calls::TIMEOUT, &options.clock)?;
        let files = FileHost::start(clock.clone(), options.journal.clone()).await?;
        let faults = Faults::with_usual_headers(&runtime::RATE_HEADERS);
        let platform = Arc::new(Platform::new(options, client, faults.clone()));
        let router = Router::new().fallback(entry).with_state(Arc::clone(&platform));
        let server = Server::start(port, router, faults.clone(), clock).await?;
        platform.address.get_or_init(|| server.url());
        Ok(Self { platform, server, faults, files })
    }

    /// The base of the runtime API and of the public webhook.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The server behind its port.
    pub(crate) fn inside(&self) -> Inside {
        self.server.inside()
    }

    /// The faults on the server's side.
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Sets how far the clock that dates entities runs ahead of all others from now on; behind, if negative.
    pub fn set_clock_ahead_ms(&self, ahead_ms: i64) {
        self.platform.world().ahead_ms = ahead_ms;
    }

    /// Inverts a statement of the contracts from now on, or none.
    pub fn turn(&self, turned: Option<Turned>) {
        *lock(&self.platform.turned) = turned;
    }

    /// The workspace's configuration.
    pub fn options(&self) -> &Options {
        &self.platform.options
    }

    /// The install's public webhook.
    pub fn webhook_url(&self) -> String {
        format!("{}/{}", self.url(), self.platform.options.install.webhook_id)
    }

    /// The state of the install.
    pub fn install_status(&self) -> InstallStatus {
        lock(&self.platform.install_status).clone()
    }

    /// Sets the integration's address and registers it.
    ///
    /// # Errors
    ///
    /// When no answer arrives.
    pub async fn install_integration(&self, url: &str) -> Result<OperationAnswer, String> {
        *lock(&self.platform.integration_url) = Some(url.to_owned());
        self.register().await
    }

    /// Installs the integration that was created through the admin API, as its button in Studio does.
    ///
    /// # Errors
    ///
    /// When none exists yet, or no answer arrives.
    pub async fn install_deployed(&self) -> Result<OperationAnswer, String> {
        let url = self.platform.admin.url_of(&self.platform.options.install.integration_id);
        let url = url.ok_or("no integration has been created yet")?;
        self.install_integration(&url).await
    }

    /// The deployed integration's definition, as the admin API received it.
    pub fn deployed_definition(&self) -> Option<Value> {
        self.platform.admin.body_of(&self.platform.options.install.integration_id)
    }

    /// The workspace's id and handle, and the personal access token of its owner.
    pub fn workspace(&self) -> (&str, &str, &str) {
        let admin = &self.platform.admin;
        (&admin.workspace_id, &admin.workspace_handle, &admin.personal_access_token)
    }

    /// Withdraws every access key, including that of the [`Options`].
    pub fn withdraw_access_keys(&self) {
        self.platform.access_key_valid.store(false, Ordering::SeqCst);
        self.platform.admin.withdraw_access_keys();
    }

    /// Refuses every call of the runtime API with this type, until called with none: `Unauthorized` as for revoked
    /// keys, `Forbidden` as for an integration that was removed from the bot, `PaymentRequired` or `QuotaExceeded` as
    /// for an unpaid workspace.
    pub fn refuse_all(&self, error_type: Option<ErrorType>) {
        *lock(&self.platform.refusing) = error_type;
    }

    /// Calls `register`, as an install, a change of the configuration, or the schedule does.
    ///
    /// # Errors
    ///
    /// When no answer arrives.
    pub async fn register(&self) -> Result<OperationAnswer, String> {
        let outcome = self.platform.call("register", None, &json!({"webhookUrl": self.webhook_url()}), 1).await;
        let (effect, status) = match failure(&outcome) {
            None => ("registered", InstallStatus::Registered),
            Some(reason) => ("registration_failed", InstallStatus::RegistrationFailed(reason)),
        };
        self.set_install_status(effect, status);
        outcome
    }

    /// Calls `unregister`, then forgets the integration's address.
    ///
    /// # Errors
    ///
    /// When no answer arrives.
    pub async fn uninstall(&self) -> Result<OperationAnswer, String> {
        let outcome = self.platform.call("unregister", None, &json!({"webhookUrl": self.webhook_url()}), 1).await;
        let (effect, status) = match failure(&outcome) {
            None => ("unregistered", InstallStatus::Unregistered),
            Some(reason) => ("unregistration_failed", InstallStatus::UnregistrationFailed(reason)),
        };
        self.set_install_status(effect, status);
        *lock(&self.platform.integration_url) = None;
        outcome
    }

    /// Signs calls with another secret from now on, as after a change in the dashboard of which the stack was not informed.
    pub fn change_signing_secret(&self) {
        self.platform.admin.change_signing_secret();
    }

    /// Calls `ping`, with an empty body.
    ///
    /// # Errors
    ///
    /// When no answer arrives.
    pub async fn ping(&self) -> Result<OperationAnswer, String> {
        self.platform.call("ping", None, &Value::Null, 1).await
    }

    /// Waits until every delivery and other background task has ended or waits for the clock.
    pub async fn settled(&self) {
        self.platform.pending.settled(&self.platform.options.clock).await;
    }

    fn set_install_status(&self, effect: &'static str, status: InstallStatus) {
        let reason = match &status {
            InstallStatus::RegistrationFailed(reason) | InstallStatus::UnregistrationFailed(reason) => Some(reason),
            _ => None,
        };
        self.platform.record(effect, reason.map_or_else(|| json!({}), |reason| json!({"reason": reason})));
        *lock(&self.platform.install_status) = status;
    }
}

fn failure(outcome: &Result<OperationAnswer, String>) -> Option<String> {
    let reason = match outcome {
        Ok(answer) if answer.is_success() => return None,
        Ok(answer) => answer.failure(),
        Err(error) => error.clone(),
    };
    Some(reason.chars().take(2_000).collect())
}

/// Distinguishes runtime API calls from public webhooks.
async fn entry(State(platform): State<Arc<Platform>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, REQUEST_BYTES).await else {
        let error = Error::new(ErrorType::PayloadTooLarge, format!("the body is larger than {REQUEST_BYTES} bytes"));
        return json_answer(StatusCode::PAYLOAD_TOO_LARGE, &error.body(platform.now()));
    };
    recorded::note(&head.method, head.uri.path(), &body);
    let first = head.uri.path().split('/').nth(1).unwrap_or_default();
    if first == platform.options.install.webhook_id {
        relay::forward(&platform, &head.method, &head.uri, &head.headers, body).await
    } else if head.uri.path().starts_with("/v1/admin/") {
        admin::answer(&platform, &head.method, &head.uri, &head.headers, &body)
    } else {
        runtime::answer(&platform, &head.method, &head.uri, &head.headers, body)
    }
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
