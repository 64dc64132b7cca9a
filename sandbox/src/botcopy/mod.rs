//! A stand-in for Botcopy with one bot: the chat widget, a Dialogflow agent behind it, and live-chat handover.
//!
//! It serves `POST /webhooks/handover/push`, calls the live-chat endpoint as Botcopy does, and refuses requests that do
//! not have the documented form. It shares no types with the product: every shape is written down here a second time,
//! from the vendor's description.
//!
//! It is stricter than documented, so that mistakes show: it refuses unknown fields of a push, a push for an unknown
//! user or another bot (404), and a push that leaves the pause without an end. An answer that ends the conversation
//! (`minutesPaused: 0`) swallows the message it answers. Where the description leaves it open, the pause survives an
//! answer that arrives too late, the answer to a typing call has no effect, and a pause outlives the Dialogflow session
//! ([`Simulator::set_expiry_ends_pause`]).
//!
//! # Journal
//!
//! | Effect | Keys |
//! |---|---|
//! | `user_wrote` | `user_id`, `text` |
//! | `user_clicked` | `user_id`, `event` |
//! | `webhook_called` (the live-chat endpoint) | `user_id`, `step` (1, 2), `text`, `event`, `status` (null: no answer in time), `paused`, `minutes_paused` |
//! | `answer_ignored` | `user_id`, `step`, `reason` (`late`, `broken`) |
//! | `shown_to_user` | `user_id`, `from` (`bot`, `agent`, `notice`), `name`, `type` (`text`), `text`, `push` (its number; null when not pushed) |
//! | `typing_told` (the live-chat endpoint) | `user_id`, `status`, `paused`, `minutes_paused` |
//! | `session_expired` (Dialogflow's, noticed at the next look) | `user_id` |
//! | `paused`, `pause_extended` | `user_id`, `until`, `by` (`answer`, `push`) |
//! | `unpaused` | `user_id`, `by` (`answer`, `push`, `expiry`) |
//! | `unpaused_again` | `user_id`, `by` (`push`): the bot had its turn already |
//! | `pause_lapsed` (noticed at the next look) | `user_id`, `lapsed_at` |
//! | `dialogflow_called` | `user_id`, `text` or `event` |
//! | `swallowed` (a message that reached nobody) | `user_id`, `text` |
//! | `typing_shown` | `user_id` |
//! | `call_answered` (every push) | `call` (`push <eventType>`), `status`, `message`, `push` |

mod dialogflow;
mod handover;
mod people;
mod push;
mod state;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use serde_json::Value;
use shared::clock::{Clock, Timestamp};
use uuid::Uuid;

pub use handover::HandoverAnswer;
pub use state::Line;
pub use state::Speaker;

use crate::faults::Faults;
use crate::journal::{Journal, Vendor};
use crate::server::{Inside, Server};
use crate::underway::Underway;
use state::World;

/// The Dialogflow edition that the bot is built with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialogflow {
    /// Dialogflow ES; the trigger is an output context.
    #[default]
    Es,
    /// Dialogflow CX; the trigger is a session parameter.
    Cx,
}

impl Dialogflow {
    /// How long a session lasts after the last query.
    const fn session_time(self) -> Duration {
        match self {
            Self::Es => Duration::from_secs(20 * 60),
            Self::Cx => Duration::from_secs(30 * 60),
        }
    }
}

/// Configuration of the simulated bot.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server's port; 0 picks a free one.
    pub port: u16,
    /// The sandbox's clock.
    pub clock: Clock,
    /// Where effects are recorded.
    pub journal: Journal,
    /// The bot's id.
    pub bot_id: String,
    /// The API key that pushes must carry.
    pub api_key: String,
    /// The access token in calls to the live-chat endpoint.
    pub access_token: String,
    /// The custom header of these calls: name and value.
    pub custom_header: Option<(String, String)>,
    /// The Dialogflow edition that answers.
    pub dialogflow: Dialogflow,
    /// Whether message history is stored and sent with step one.
    pub stores_history: bool,
    /// Whether a user's message in the history is nested one level deeper, as on the vendor's sample page.
    pub nests_history: bool,
    /// Counts calls to the live-chat endpoint while they are in flight.
    pub underway: Underway,
}

impl Options {
    /// An ES bot with message history, on any free port.
    pub fn new(clock: Clock, journal: Journal) -> Self {
        Self {
            port: 0,
            clock,
            journal,
            bot_id: Uuid::new_v4().simple().to_string(),
            api_key: format!("bc-key-{}", Uuid::new_v4().simple()),
            access_token: format!("bc-token-{}", Uuid::new_v4().simple()),
            custom_header: None,
            dialogflow: Dialogflow::default(),
            stores_history: true,
            nests_history: false,
            underway: Underway::default(),
        }
    }
}

/// A running Botcopy; it stops when this value is dropped.
#[derive(Debug)]
pub struct Simulator {
    platform: Arc<Platform>,
    server: Server,
    faults: Faults,
}

impl Simulator {
    /// Starts the server; the live-chat endpoint is not set yet.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub async fn start(options: Options) -> io::Result<Self> {
        let (port, clock) = (options.port, options.clock.clone());
        let client = crate::server::client()?;
        let faults = Faults::default();
        let (endpoint, world, key_revoked) = Default::default();
        let platform = Platform { options, client, faults: faults.clone(), endpoint, world, key_revoked };
        let platform = Arc::new(platform);
        let router =
            Router::new().route("/webhooks/handover/push", post(push::answer)).with_state(Arc::clone(&platform));
        let server = Server::start(port, router, faults.clone(), clock).await?;
        Ok(Self { platform, server, faults })
    }

    /// The base URL for pushes.
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

    /// The bot's configuration.
    pub fn options(&self) -> &Options {
        &self.platform.options
    }

    /// Revokes the API key for pushes, or restores it.
    pub fn set_api_key_revoked(&self, revoked: bool) {
        self.platform.key_revoked.store(revoked, Ordering::SeqCst);
    }

    /// Sets the portal's "Live Chat Endpoint Webhook URL".
    pub fn connect(&self, url: &str) {
        *lock(&self.platform.endpoint) = Some(url.to_owned());
    }
}

/// The simulated service as one value.
#[derive(Debug)]
struct Platform {
    options: Options,
    client: reqwest::Client,
    faults: Faults,
    endpoint: Mutex<Option<String>>,
    world: Mutex<World>,
    key_revoked: AtomicBool,
}

impl Platform {
    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    fn now(&self) -> Timestamp {
        self.options.clock.now()
    }

    fn record(&self, effect: &'static str, detail: Value) {
        self.options.journal.record(self.now(), Vendor::Botcopy, effect, detail);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
