//! Botpress: its runtime API as typed calls, and its operations on an integration as typed requests.
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

use crate::model::session::Install;

pub use admin::{Admin, Integration, Interface, IssuedKey};
pub use context::{Configuration, Context, ContextError};
pub use error::{Error, MessageCall};
pub use model::{Conversation, Message, NewEvent, NewMessage, NewUser, RegisterSchedule, User};
pub use operation::{Action, MessageCreated, Operation, OperationError, UNREAD_SPEAKER, WebhookReceived};
pub use runtime::Runtime;

use crate::http::Http;
use crate::redacted::Redacted;

/// Base URL of the API.
pub const PUBLIC_API_URL: &str = "https://api.botpress.cloud";

/// The outcome of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where to reach Botpress.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base of the API; [`PUBLIC_API_URL`] unless a test or the sandbox stands in.
    pub api_url: String,
}

/// Botpress's API; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    settings: Settings,
    http: Http,
}

impl Client {
    /// Makes a client; sends nothing.
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
