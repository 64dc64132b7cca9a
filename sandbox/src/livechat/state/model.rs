//! Chats and their parts.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use shared::clock::Timestamp;

/// `{"<namespace>":{"<name>":<value>}}`.
pub type Properties = BTreeMap<String, BTreeMap<String, Value>>;

/// A customer's only conversation, for life.
#[derive(Clone, Debug)]
pub struct Chat {
    /// Ten uppercase letters and digits.
    pub id: String,
    /// The customer; empty if an agent opened the chat without one.
    pub customer_id: Option<String>,
    /// Every user who has ever been in it.
    pub users: Vec<Member>,
    /// Its threads, oldest first; at most the last one is active.
    pub threads: Vec<Thread>,
    /// Chat properties.
    pub properties: Properties,
}

impl Chat {
    /// The open thread, if any.
    pub fn active_thread(&self) -> Option<&Thread> {
        self.threads.last().filter(|thread| thread.active)
    }

    /// The groups of the last thread.
    pub fn group_ids(&self) -> &[u32] {
        self.threads.last().map_or(&[], |thread| thread.group_ids.as_slice())
    }

    /// The agent who answers visibly to the customer, if there is one.
    pub fn public_agent(&self) -> Option<&str> {
        let mut agents = self.users.iter().filter(|user| user.kind == UserKind::Agent && user.present);
        agents.find(|user| user.visibility == Visibility::All).map(|user| user.id.as_str())
    }

    pub(crate) fn present(&self, id: &str) -> Option<&Member> {
        self.users.iter().find(|user| user.id == id && user.present)
    }

    pub(crate) fn is_continuous(&self) -> bool {
        self.properties.get("routing").and_then(|names| names.get("continuous")).and_then(Value::as_bool) == Some(true)
    }

    pub(crate) fn client_id(&self) -> Option<&str> {
        self.properties.get("source")?.get("client_id")?.as_str()
    }

    /// The event `event_id` of the thread `thread_id`.
    pub(crate) fn event(&self, thread_id: &str, event_id: &str) -> Option<&Event> {
        let thread = self.threads.iter().find(|thread| thread.id == thread_id)?;
        thread.events.iter().find(|event| event.id == event_id)
    }

    pub(crate) fn event_mut(&mut self, thread_id: &str, event_id: &str) -> Option<&mut Event> {
        let thread = self.threads.iter_mut().find(|thread| thread.id == thread_id)?;
        thread.events.iter_mut().find(|event| event.id == event_id)
    }
}

/// Customer or agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserKind {
    /// An end user.
    Customer,
    /// An agent.
    Agent,
}

/// Who may see a user or an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// All users in the chat.
    #[default]
    All,
    /// Agents only: a private note, or a supervisor.
    Agents,
}

impl Visibility {
    /// `all` or `agents`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Agents => "agents",
        }
    }

    pub(crate) fn named(name: Option<&str>) -> Self {
        if name == Some("agents") { Self::Agents } else { Self::All }
    }
}

/// A user of a chat.
#[derive(Clone, Debug)]
pub struct Member {
    /// Customer UUID or agent e-mail.
    pub id: String,
    /// Customer or agent.
    pub kind: UserKind,
    /// Whether the user is in the chat now.
    pub present: bool,
    /// Whether customers see the user.
    pub visibility: Visibility,
    /// How far the user has read.
    pub seen_up_to: Timestamp,
}

/// One session of a chat.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Ten uppercase letters and digits.
    pub id: String,
    /// Whether events can be added.
    pub active: bool,
    /// When it was opened.
    pub created_at: Timestamp,
    /// Every user who has been in it.
    pub user_ids: Vec<String>,
    /// Its events, oldest first, deleted ones included.
    pub events: Vec<Event>,
    /// Thread properties.
    pub properties: Properties,
    /// The groups it is routed to.
    pub group_ids: Vec<u32>,
    /// The time since which it waits for an agent, if it does.
    pub queued_at: Option<Timestamp>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The vendor's own summary, once it has been requested.
    pub summary: Option<String>,
}

/// The author of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// A customer, by UUID.
    Customer(String),
    /// An agent, by e-mail address.
    Agent(String),
    /// The vendor.
    System,
}

impl Author {
    /// `customer`, `agent` or `system`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Customer(_) => "customer",
            Self::Agent(_) => "agent",
            Self::System => "system",
        }
    }

    /// The author's id; the system has none.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Customer(id) | Self::Agent(id) => Some(id),
            Self::System => None,
        }
    }
}

/// An entry of a thread.
#[derive(Clone, Debug)]
pub struct Event {
    /// `<thread id>_<n>`, with n counting up inside the thread.
    pub id: String,
    /// `message`, `file`, `rich_message`, `system_message` …
    pub kind: String,
    /// The author.
    pub author: Author,
    /// The users who may see it.
    pub visibility: Visibility,
    /// Later than that of every previous event.
    pub created_at: Timestamp,
    /// The sender's own id for the event.
    pub custom_id: Option<String>,
    /// Event properties.
    pub properties: Properties,
    /// Whether an agent or the customer deleted it.
    pub deleted: bool,
    /// The fields of its type: `text`, `url`, `name`, `elements` …
    pub content: Map<String, Value>,
}

impl Event {
    /// The text, or `""`.
    pub fn text(&self) -> &str {
        self.content.get("text").and_then(Value::as_str).unwrap_or_default()
    }
}

/// An end user.
#[derive(Clone, Debug)]
pub struct Customer {
    /// UUID; the accounts service calls it entity id.
    pub id: String,
    /// The app whose token call created the customer.
    pub client_id: String,
    /// The value of the cookie `__lc_cst`.
    pub cookie_secret: String,
    /// Display name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// `[{"<key>":"<value>"}]`.
    pub session_fields: Vec<Value>,
    /// `avatar`, `phone_number`, `omnichannel` and `address`, as they were set.
    pub details: Map<String, Value>,
    /// When the first token was issued.
    pub created_at: Timestamp,
    /// The time until which every call is refused, if banned.
    pub banned_until: Option<Timestamp>,
}
