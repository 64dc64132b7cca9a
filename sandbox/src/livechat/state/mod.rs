//! The simulator's state, and the transitions that change it.
//!
//! A transition is plain code on [`State`]: it checks, changes, and writes its effects into a [`Step`]. It neither
//! waits nor communicates, so each one is a single moment for every observer.

mod events;
mod lifecycle;
mod model;
mod properties;
mod routing;
pub(super) mod view;
pub(super) mod webhooks;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use shared::clock::Timestamp;

pub(crate) use events::{Draft, thread_of};
pub(crate) use lifecycle::Opening;
pub use model::{Author, Chat, Customer, Event, Member, Properties, Thread, UserKind, Visibility};
pub(crate) use properties::{PropertyTarget, deletions, properties};
pub use routing::Target;
pub(crate) use routing::{Removal, Transfer};

use self::webhooks::{Registrations, Webhook};
use super::account::{Account, GroupStatus};
use super::errors::{Error, Kind};
use super::{Assignment, Behaviour, Turned};

/// The simulator's complete state.
#[derive(Debug)]
pub(crate) struct State {
    pub account: Account,
    pub behaviour: Behaviour,
    pub agent_token_valid: bool,
    /// Whether the licence has expired; if so, every call is refused.
    pub licence_expired: bool,
    /// Whether the app was removed from the developer console; if so, no customer gets a token.
    pub app_removed: bool,
    /// The scopes of the personal access token; none means every scope.
    pub agent_token_scopes: Option<BTreeSet<String>>,
    /// The working hours of agents that have some.
    pub work_schedules: BTreeMap<String, Value>,
    /// The host of file URLs; set once the listener runs.
    pub cdn_url: String,
    pub customers: BTreeMap<String, Customer>,
    pub tokens: BTreeMap<String, Token>,
    pub transfer_tokens: BTreeMap<String, IdentityTransfer>,
    pub files: BTreeMap<String, File>,
    pub agent_statuses: BTreeMap<String, RoutingStatus>,
    pub registered_properties: BTreeMap<String, Value>,
    pub tags: Vec<Value>,
    pub registrations: Registrations,
    /// How calls that name a deleted or anonymized chat are refused.
    pub gone_chats: BTreeMap<String, Kind>,
    /// The code with which the cookies of a customer are refused.
    pub refused_cookies: BTreeMap<String, &'static str>,
    chats: Vec<Chat>,
    last_moment: Timestamp,
}

/// A customer's access token.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub customer_id: String,
    pub client_id: String,
    pub expires_at: Timestamp,
}

/// A code that can be exchanged for a token of `customer_id`.
#[derive(Clone, Debug)]
pub(crate) struct IdentityTransfer {
    pub customer_id: String,
    pub client_id: String,
    pub code_challenge: Option<String>,
    pub expires_at: Timestamp,
}

/// An uploaded file; `expires_at` is empty once an event carries it.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub name: String,
    pub content_type: String,
    pub bytes: axum::body::Bytes,
    pub expires_at: Option<Timestamp>,
}

/// Whether an agent takes chats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoutingStatus {
    /// The router may assign chats.
    #[default]
    AcceptingChats,
    /// Signed in, takes no new chats.
    NotAcceptingChats,
    /// Not signed in.
    Offline,
}

impl RoutingStatus {
    /// The API's spelling, with underscores.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AcceptingChats => "accepting_chats",
            Self::NotAcceptingChats => "not_accepting_chats",
            Self::Offline => "offline",
        }
    }
}

/// The user who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Requester {
    Customer(String),
    Agent(String),
}

impl Requester {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Customer(id) | Self::Agent(id) => id,
        }
    }

    pub(crate) const fn is_agent(&self) -> bool {
        matches!(self, Self::Agent(_))
    }

    pub(crate) fn author(&self) -> Author {
        match self {
            Self::Customer(id) => Author::Customer(id.clone()),
            Self::Agent(id) => Author::Agent(id.clone()),
        }
    }
}

/// The software that caused a step; the `source_type` filter and `source.client_id` depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// An app, by client id.
    Client(String),
    /// The vendor's own agent app, or a call with a personal access token, which is bound to no app.
    Unnamed,
    /// The router and other machinery of the vendor.
    System,
}

/// One moment: its time, its source, and its effects.
#[derive(Debug)]
pub(crate) struct Step {
    pub now: Timestamp,
    pub source: Source,
    pub effects: VecDeque<(&'static str, Value)>,
    pub webhooks: Vec<Webhook>,
}

impl Step {
    pub(crate) fn new(now: Timestamp, source: Source) -> Self {
        Self { now, source, effects: VecDeque::new(), webhooks: Vec::new() }
    }

    /// Writes a line for the journal.
    pub(crate) fn note(&mut self, effect: &'static str, detail: Value) {
        self.effects.push_back((effect, detail));
    }

    fn client_id(&self) -> Option<&str> {
        match &self.source {
            Source::Client(id) => Some(id),
            Source::Unnamed | Source::System => None,
        }
    }
}

impl State {
    /// Returns whether an uncertain statement about the vendor is wrong here.
    pub(crate) fn is_turned(&self, statement: Turned) -> bool {
        self.behaviour.turned.contains(&statement)
    }

    pub(crate) fn new(account: Account, behaviour: Behaviour, now: Timestamp) -> Self {
        Self {
            account,
            behaviour,
            agent_token_valid: true,
            licence_expired: false,
            app_removed: false,
            agent_token_scopes: None,
            work_schedules: BTreeMap::new(),
            cdn_url: String::new(),
            customers: BTreeMap::new(),
            tokens: BTreeMap::new(),
            transfer_tokens: BTreeMap::new(),
            files: BTreeMap::new(),
            agent_statuses: BTreeMap::new(),
            registered_properties: BTreeMap::new(),
            tags: Vec::new(),
            registrations: Registrations::default(),
            gone_chats: BTreeMap::new(),
            refused_cookies: BTreeMap::new(),
            chats: Vec::new(),
            last_moment: now,
        }
    }

    /// Returns a time no earlier than `now` and later than every previous one, as the vendor's microseconds in effect
    /// are; or the same time, if times may be equal. It is shown by the vendor's own clock.
    fn moment(&mut self, now: Timestamp) -> Timestamp {
        let step = if self.behaviour.equal_times { Duration::ZERO } else { Duration::from_micros(1) };
        self.last_moment = now.max(self.last_moment + step);
        Timestamp::from_unix_micros(self.last_moment.unix_micros() + 1_000 * self.behaviour.ahead_ms)
    }

    pub(crate) fn chats(&self) -> &[Chat] {
        &self.chats
    }

    pub(crate) fn chat(&self, id: &str) -> Option<&Chat> {
        self.chats.iter().find(|chat| chat.id == id)
    }

    pub(crate) fn chat_of_customer(&self, customer_id: &str) -> Option<&Chat> {
        self.chats.iter().find(|chat| chat.customer_id.as_deref() == Some(customer_id))
    }

    /// The chat `id`, if the requester may see it.
    ///
    /// The answer is the same for another customer's chat and for a chat that does not exist.
    pub(crate) fn visible_chat(&self, requester: &Requester, id: &str) -> Result<&Chat, Error> {
        if let Some(kind) = self.gone_chats.get(id) {
            return Err((*kind).into());
        }
        let chat = self.chat(id);
        match requester {
            Requester::Agent(_) => chat.ok_or_else(|| Kind::NotFound.into()),
            Requester::Customer(customer_id) => chat
                .filter(|chat| chat.customer_id.as_ref() == Some(customer_id))
                .ok_or_else(|| Error::new(Kind::Authorization, "Requester has no access to the chat")),
        }
    }

    /// Removes a chat; sends no webhook.
    pub(crate) fn remove_chat(&mut self, id: &str) {
        self.chats.retain(|chat| chat.id != id);
    }

    pub(crate) fn chat_mut(&mut self, id: &str) -> Result<&mut Chat, Error> {
        self.chats.iter_mut().find(|chat| chat.id == id).ok_or_else(|| Kind::NotFound.into())
    }

    fn active_thread_mut(&mut self, chat_id: &str) -> Result<&mut Thread, Error> {
        let last = self.chat_mut(chat_id)?.threads.last_mut();
        last.filter(|thread| thread.active).ok_or_else(|| Kind::ChatInactive.into())
    }

    pub(crate) fn group_status(&self, id: u32) -> Option<GroupStatus> {
        self.account.group(id).map(|group| group.status)
    }

    pub(crate) fn set_group_status(&mut self, id: u32, status: GroupStatus) {
        if let Some(group) = self.account.groups.iter_mut().find(|group| group.id == id) {
            group.status = status;
        }
    }

    pub(crate) fn agent_status(&self, id: &str) -> RoutingStatus {
        self.agent_statuses.get(id).copied().unwrap_or_default()
    }

    pub(crate) fn set_agent_status(&mut self, step: &mut Step, id: &str, status: RoutingStatus) {
        self.agent_statuses.insert(id.to_owned(), status);
        // The API spells the status with underscores, the webhook with spaces.
        let spelled = status.name().replace('_', " ");
        step.webhooks.push(Webhook::plain("routing_status_set", json!({"agent_id": id, "status": spelled}), step));
    }

    /// Reports to the webhooks that `action` happened in a chat.
    pub(crate) fn announce(
        &self,
        step: &mut Step,
        chat_id: &str,
        action: &'static str,
        author: Option<&Author>,
        payload: Value,
    ) {
        if self.is_turned(Turned::Handing) && ["chat_transferred", "user_added_to_chat"].contains(&action) {
            return;
        }
        if let Some(chat) = self.chat(chat_id) {
            step.webhooks.push(Webhook::of_chat(chat, action, author, payload, step));
        }
    }

    /// Changes the data of a customer, as requested by `update_customer` and `set_customer_session_fields`.
    pub(crate) fn update_customer(
        &mut self,
        step: &mut Step,
        id: &str,
        change: impl FnOnce(&mut Customer),
        session_fields_changed: bool,
    ) -> Result<(), Error> {
        let customer = self.customers.get_mut(id).ok_or(Kind::NotFound)?;
        let before = (customer.name.clone(), customer.email.clone());
        change(customer);
        let identity_changed = before != (customer.name.clone(), customer.email.clone());
        let fields = json!(customer.session_fields);
        step.note(
            "customer_updated",
            json!({
                "customer_id": id, "name": customer.name, "email": customer.email,
                "avatar": customer.details.get("avatar"), "session_fields": fields,
            }),
        );
        let active =
            self.chat_of_customer(id).and_then(|chat| Some((chat.id.clone(), chat.active_thread()?.id.clone())));
        let Some((chat_id, thread_id)) = active else { return Ok(()) };
        if session_fields_changed {
            let active_chat = json!({"chat_id": chat_id, "thread_id": thread_id});
            let payload = json!({"id": id, "active_chat": active_chat, "session_fields": fields});
            self.announce(step, &chat_id, "customer_session_fields_updated", None, payload);
        }
        if identity_changed {
            self.add_system_message(step, &chat_id, "customer_updated", "Customer details were updated")?;
        }
        Ok(())
    }

    /// Bans a customer until `until`: the open thread closes, further calls fail.
    pub(crate) fn ban_customer(&mut self, step: &mut Step, id: &str, until: Timestamp) -> Result<(), Error> {
        self.customers.get_mut(id).ok_or(Kind::NotFound)?.banned_until = Some(until);
        step.note("customer_banned", json!({"customer_id": id, "until": until}));
        let chat = self.chat_of_customer(id).filter(|chat| chat.active_thread().is_some());
        match chat.map(|chat| chat.id.clone()) {
            Some(chat_id) => self.close(step, &chat_id, None, "customer_banned"),
            None => Ok(()),
        }
    }

    /// Moves the requester's read marker.
    pub(crate) fn mark_seen(
        &mut self,
        step: &mut Step,
        requester: &Requester,
        chat_id: &str,
        seen_up_to: Timestamp,
    ) -> Result<(), Error> {
        self.visible_chat(requester, chat_id)?;
        let chat = self.chat_mut(chat_id)?;
        if let Some(user) = chat.users.iter_mut().find(|user| user.id == requester.id()) {
            user.seen_up_to = seen_up_to;
        }
        let payload = json!({"user_id": requester.id(), "chat_id": chat_id, "seen_up_to": seen_up_to});
        step.note("events_seen", payload.clone());
        self.announce(step, chat_id, "events_marked_as_seen", None, payload);
        Ok(())
    }

    /// Tags or untags a thread; tag and thread must share a group.
    pub(crate) fn tag(
        &mut self,
        step: &mut Step,
        chat_id: &str,
        thread_id: &str,
        tag: &str,
        add: bool,
    ) -> Result<(), Error> {
        let known = self.tags.iter().find(|one| one.get("name").is_some_and(|name| name == tag)).cloned();
        let threads = &mut self.chat_mut(chat_id)?.threads;
        let thread = threads.iter_mut().find(|thread| thread.id == thread_id).ok_or(Kind::NotFound)?;
        let group_ids = known.as_ref().and_then(|tag| tag.get("group_ids")).and_then(Value::as_array);
        if !group_ids.is_some_and(|ids| thread.group_ids.iter().any(|id| ids.iter().any(|one| one == id))) {
            return Err(Error::validation(format!("`tag` {tag} is not available for the thread")));
        }
        thread.tags.retain(|other| other != tag);
        if add {
            thread.tags.push(tag.to_owned());
        }
        let payload = json!({"chat_id": chat_id, "thread_id": thread_id, "tag": tag});
        let action = if add { "thread_tagged" } else { "thread_untagged" };
        step.note(action, payload.clone());
        self.announce(step, chat_id, action, None, payload);
        Ok(())
    }

    fn assigns_immediately(&self) -> bool {
        self.behaviour.assignment == Assignment::Immediate
    }
}
