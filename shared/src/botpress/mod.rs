//! Botpress: its runtime API as typed calls, and the operations it asks of an integration as typed requests.
//!
//! Inbound: [`signature::verify`], [`Context::from_headers`], [`Operation::decode`], and the answers in [`reply`].
//! Outbound: [`Client::install`].
//!
//! See the Botpress repository, "SDK" and "Client", and the Botpress API reference, "Runtime API".

mod admin;
mod content;
mod context;
mod error;
mod forms;
mod model;
mod operation;
pub mod reply;
mod runtime;
pub mod signature;

use serde::{Deserialize, Serialize};

pub use admin::{Admin, Integration, Interface, IssuedKey};
pub use content::{Button, Card, Content};
pub use context::{Configuration, Context, ContextError};
pub use error::Error;
pub use model::{Conversation, Message, NewEvent, NewMessage, NewUser, RegisterSchedule, User};
pub use operation::{
    Action, Author, HistoryItem, MessageCreated, Operation, OperationError, UNREAD_SPEAKER, WebhookReceived,
};
pub use runtime::Runtime;

use crate::http::Http;
use crate::ids::{BotId, InstallId, IntegrationAlias, IntegrationId};
use crate::redacted::Redacted;

/// Base URL of the API.
pub const PUBLIC_API_URL: &str = "https://api.botpress.cloud";

/// The outcome of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where Botpress is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base of the API; [`PUBLIC_API_URL`] unless a test or the sandbox stands in.
    pub api_url: String,
}

/// One install of our integration on one bot: what an inbound call comes from, and what an outbound call is made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Install {
    /// The bot.
    pub bot_id: BotId,
    /// The version of our integration.
    pub integration_id: IntegrationId,
    /// The integration's name on the bot.
    pub alias: IntegrationAlias,
    /// The install itself.
    pub install_id: InstallId,
}

impl Install {
    /// Whether a public address, as Botpress tells it, is that of this install: its id is a part of the path.
    pub fn is_reached_at(&self, webhook_url: &str) -> bool {
        let address = webhook_url.split(['?', '#']).next().unwrap_or_default();
        address.split('/').any(|part| part == self.install_id.as_str())
    }
}

/// Botpress's API; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    settings: Settings,
    http: Http,
}

impl Client {
    /// Makes a client; nothing is sent.
    pub const fn new(settings: Settings, http: Http) -> Self {
        Self { settings, http }
    }

    /// Acts for a workspace, as the owner of a personal access token.
    pub const fn admin<'a>(&'a self, token: &'a Redacted, workspace_id: &'a str) -> Admin<'a> {
        Admin::new(self, token, workspace_id)
    }

    /// Acts for one install; `token` is an integration access key or a personal access token.
    pub const fn install<'a>(&'a self, install: &'a Install, token: &'a Redacted) -> Runtime<'a> {
        Runtime::new(self, install, token)
    }
}
