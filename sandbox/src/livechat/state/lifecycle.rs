//! Opening and closing threads: start, resume, deactivate.

use serde_json::{Map, Value, json};
use shared::clock::Timestamp;

use super::properties::{Location, check_writable};
use super::view::{self, Audience};
use super::{
    Chat, Draft, Member, Properties, Removal, Requester, State, Step, Thread, UserKind, Visibility, properties,
};
use crate::livechat::account::GroupStatus;
use crate::livechat::errors::{Error, Kind};
use crate::livechat::params::Params;
use crate::livechat::{SecondChat, Turned, ids};

/// The maximum number of agents that a start may add besides the requester.
const MAX_OTHER_AGENTS: usize = 4;

/// The checked parameters of start and resume.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    group_ids: Vec<u32>,
    properties: Properties,
    thread_properties: Properties,
    events: Vec<Draft>,
    users: Vec<(String, UserKind)>,
    active: bool,
    continuous: Option<bool>,
}

/// The answer to start and resume.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub chat_id: String,
    pub thread_id: String,
    event_ids: Vec<String>,
}

impl Opened {
    /// `thread_id`, and `event_ids` if initial events were sent.
    pub(crate) fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("thread_id".to_owned(), json!(self.thread_id));
        if !self.event_ids.is_empty() {
            fields.insert("event_ids".to_owned(), json!(self.event_ids));
        }
        fields
    }
}

impl Opening {
    /// Checks the parameters of `start_chat` or `resume_chat`.
    pub(crate) fn read(
        state: &State,
        requester: &Requester,
        now: Timestamp,
        params: &Params<'_>,
    ) -> Result<Self, Error> {
        let nothing = Value::Object(Map::new());
        let chat = params.optional_object("chat")?.map_or_else(|| Params::of(&nothing), Ok)?;
        let thread = chat.optional_object("thread")?.map_or_else(|| Params::of(&nothing), Ok)?;
        let access = chat.optional_object("access")?;
        let group_ids = access.map(|access| access.group_ids("group_ids")).transpose()?.flatten();
        let drafts = thread.objects("events")?;
        let drafts = drafts.iter().map(|event| Draft::read(state, requester, now, event).map(Draft::made_public));
        let opening = Self {
            group_ids: group_ids.filter(|ids| !ids.is_empty()).unwrap_or_else(|| vec![0]),
            properties: properties(&chat)?,
            thread_properties: properties(&thread)?,
            events: drafts.collect::<Result<_, _>>()?,
            users: if requester.is_agent() { read_users(state, requester, &chat)? } else { Vec::new() },
            active: params.flag("active")?.unwrap_or(true),
            continuous: params.flag("continuous")?,
        };
        check_writable(state, requester, Location::Chat, &opening.properties)?;
        check_writable(state, requester, Location::Thread, &opening.thread_properties)?;
        Ok(opening)
    }
}

fn read_users(state: &State, requester: &Requester, chat: &Params<'_>) -> Result<Vec<(String, UserKind)>, Error> {
    let mut users = Vec::new();
    for user in chat.objects("users")? {
        let id = user.text("id")?;
        user.text("type")?;
        let is_agent = user.choice("type", &["agent", "customer"])? == Some("agent");
        let exists = if is_agent { state.account.agent(id).is_some() } else { state.customers.contains_key(id) };
        if !exists {
            return Err(Error::validation(format!("`user_id` {id} not found")));
        }
        if id != requester.id() {
            users.push((id.to_owned(), if is_agent { UserKind::Agent } else { UserKind::Customer }));
        }
    }
    let agents = users.iter().filter(|(_, kind)| *kind == UserKind::Agent).count();
    if agents > MAX_OTHER_AGENTS || users.len() - agents > 1 {
        return Err(Error::validation("at most one customer and four other agents can be in a chat"));
    }
    // By default an organization may have one public agent per chat, and the requester already is one.
    if agents > 0 {
        return Err(Error::new(Kind::LimitReached, "Public agents in chat limit reached"));
    }
    Ok(users)
}

impl State {
    pub(crate) fn start_chat(
        &mut self,
        step: &mut Step,
        requester: &Requester,
        opening: Opening,
    ) -> Result<Opened, Error> {
        let brought = opening.users.iter().find(|(_, kind)| *kind == UserKind::Customer).map(|(id, _)| id.clone());
        let customer_id = match requester {
            Requester::Customer(id) => Some(id.clone()),
            Requester::Agent(_) => brought,
        };
        if customer_id.as_deref().is_some_and(|id| self.chat_of_customer(id).is_some()) {
            return Err(self.refuse_second(Turned::SecondStart, "Customer already has a chat"));
        }
        let continuous = opening.continuous.unwrap_or(false);
        self.check_groups(requester, &opening.group_ids, continuous)?;
        let chat_id = ids::chat_or_thread();
        self.chats.push(Chat {
            id: chat_id.clone(),
            customer_id: customer_id.clone(),
            users: Vec::new(),
            threads: Vec::new(),
            properties: if self.is_turned(Turned::SourceClient) { Properties::new() } else { source_properties(step) },
        });
        self.open_thread(step, requester, &chat_id, opening, continuous, "chat_started")
    }

    pub(crate) fn resume_chat(
        &mut self,
        step: &mut Step,
        requester: &Requester,
        chat_id: &str,
        opening: Opening,
    ) -> Result<Opened, Error> {
        let chat = self.visible_chat(requester, chat_id)?;
        if chat.active_thread().is_some() {
            return Err(self.refuse_second(Turned::ActiveResume, "Chat is already active"));
        }
        let continuous = opening.continuous.unwrap_or_else(|| chat.is_continuous());
        let opening = self.led_elsewhere(opening);
        self.check_groups(requester, &opening.group_ids, continuous)?;
        if requester.is_agent()
            && self.behaviour.resuming_agents_take_chats
            && let Some(source) = self.chat_mut(chat_id)?.properties.get_mut("source")
        {
            source.remove("client_id");
        }
        self.open_thread(step, requester, chat_id, opening, continuous, "chat_resumed")
    }

    /// The wire type of these two refusals is undocumented; the browser SDK only names them.
    fn refuse_second(&self, turned: Turned, message: &str) -> Error {
        match self.behaviour.second_chat {
            _ if self.is_turned(turned) => Error::new(Kind::Authorization, message),
            SecondChat::Validation => Error::validation(message),
            SecondChat::LimitReached => Error::new(Kind::LimitReached, message),
        }
    }

    /// The same opening, but for another group than the given one if `NamedGroup` is turned.
    fn led_elsewhere(&self, opening: Opening) -> Opening {
        let others = || self.account.groups.iter().map(|group| group.id).filter(|id| !opening.group_ids.contains(id));
        let group_ids = others().take(1).collect();
        if self.is_turned(Turned::NamedGroup) { Opening { group_ids, ..opening } } else { opening }
    }

    fn check_groups(&self, requester: &Requester, group_ids: &[u32], continuous: bool) -> Result<(), Error> {
        let statuses: Option<Vec<_>> = group_ids.iter().map(|id| self.group_status(*id)).collect();
        let Some(statuses) = statuses else {
            // `group_not_found` is an error of the customer and configuration APIs only.
            return Err(if requester.is_agent() {
                Error::validation("group not found")
            } else {
                Kind::GroupNotFound.into()
            });
        };
        let somebody_there = statuses.iter().any(|status| *status != GroupStatus::Offline);
        if requester.is_agent() || continuous || somebody_there { Ok(()) } else { Err(Kind::GroupsOffline.into()) }
    }

    fn open_thread(
        &mut self,
        step: &mut Step,
        requester: &Requester,
        chat_id: &str,
        opening: Opening,
        continuous: bool,
        effect: &'static str,
    ) -> Result<Opened, Error> {
        let now = self.moment(step.now);
        let thread_id = ids::chat_or_thread();
        let waits = opening.active && !requester.is_agent();
        let assignee = self.pick_agent(&opening.group_ids).filter(|_| self.assigns_immediately());
        let mut thread_properties = source_properties(step);
        merge(&mut thread_properties, opening.thread_properties);
        set_continuous(&mut thread_properties, continuous);
        let chat = self.chat_mut(chat_id)?;
        merge(&mut chat.properties, opening.properties);
        set_continuous(&mut chat.properties, continuous);
        chat.threads.push(Thread {
            id: thread_id.clone(),
            active: true,
            created_at: now,
            user_ids: Vec::new(),
            events: Vec::new(),
            properties: thread_properties,
            group_ids: opening.group_ids.clone(),
            queued_at: (waits && assignee.is_none()).then_some(now),
            tags: Vec::new(),
            summary: None,
        });
        seat_users(chat, requester, opening.users, now);
        step.note(
            effect,
            json!({
                "chat_id": chat_id, "thread_id": thread_id, "customer_id": chat.customer_id,
                "group_ids": opening.group_ids, "continuous": continuous, "active": opening.active,
            }),
        );
        let mut event_ids = Vec::new();
        for draft in opening.events {
            event_ids.push(self.store(step, chat_id, requester.author(), draft)?.1.id);
        }
        self.finish_opening(step, chat_id, opening.active, waits)?;
        Ok(Opened { chat_id: chat_id.to_owned(), thread_id, event_ids })
    }

    fn finish_opening(&mut self, step: &mut Step, chat_id: &str, active: bool, waits: bool) -> Result<(), Error> {
        if !active && let Some(thread) = self.chat_mut(chat_id)?.threads.last_mut() {
            thread.active = false;
        }
        if let Some(chat) = self.chat(chat_id) {
            let payload = json!({"chat": view::chat(self, chat, None, Audience::Agents)});
            self.announce(step, chat_id, "incoming_chat", None, payload);
        }
        if waits && self.assigns_immediately() {
            self.assign(step, chat_id)?;
        }
        Ok(())
    }

    /// Closes the active thread: `by` a user, or the router if empty; `reason` is the system message's type.
    pub(crate) fn close(
        &mut self,
        step: &mut Step,
        chat_id: &str,
        by: Option<&str>,
        reason: &str,
    ) -> Result<(), Error> {
        self.active_thread_mut(chat_id)?;
        let text = by.map_or_else(|| "Chat closed".to_owned(), |by| format!("{} closed the chat", self.name_of(by)));
        self.add_system_message(step, chat_id, reason, &text)?;
        let thread = self.active_thread_mut(chat_id)?;
        thread.active = false;
        thread.queued_at = None;
        let thread_id = thread.id.clone();
        step.note("chat_deactivated", json!({"chat_id": chat_id, "thread_id": thread_id, "by": by}));
        let mut payload = json!({"chat_id": chat_id, "thread_id": thread_id});
        if let (Some(by), Some(fields)) = (by, payload.as_object_mut()) {
            fields.insert("user_id".to_owned(), json!(by));
        }
        self.announce(step, chat_id, "chat_deactivated", None, payload);
        let agents: Vec<String> = self.present_agents(chat_id);
        for agent_id in agents {
            self.remove_agent(step, chat_id, &agent_id, &Removal { reason: "chat_deactivated", requester_id: None })?;
        }
        Ok(())
    }

    /// `deactivate_chat` as the APIs offer it.
    pub(crate) fn deactivate_chat(
        &mut self,
        step: &mut Step,
        requester: &Requester,
        chat_id: &str,
        ignore_requester_presence: bool,
    ) -> Result<(), Error> {
        let chat = self.visible_chat(requester, chat_id)?;
        if chat.active_thread().is_none() {
            let kind = if self.is_turned(Turned::ClosedClose) { Kind::Validation } else { Kind::ChatInactive };
            return Err(Error::new(kind, "Chat not active"));
        }
        if requester.is_agent() && !ignore_requester_presence && chat.present(requester.id()).is_none() {
            return Err(Error::not_in_chat());
        }
        let reason = if requester.is_agent() { "manual_archived_agent" } else { "manual_archived_customer" };
        self.close(step, chat_id, Some(requester.id()), reason)
    }

    /// The display name of an agent or customer, or its id.
    pub(crate) fn name_of(&self, id: &str) -> String {
        let agent = self.account.agent(id).map(|agent| agent.name.clone());
        let customer = || self.customers.get(id).and_then(|customer| customer.name.clone());
        agent.or_else(customer).unwrap_or_else(|| id.to_owned())
    }
}

fn seat_users(chat: &mut Chat, requester: &Requester, others: Vec<(String, UserKind)>, now: Timestamp) {
    let kind = if requester.is_agent() { UserKind::Agent } else { UserKind::Customer };
    let customer = chat.customer_id.clone().map(|id| (id, UserKind::Customer));
    for (id, kind) in [(requester.id().to_owned(), kind)].into_iter().chain(others).chain(customer) {
        seat(chat, &id, kind, Visibility::All, now);
    }
}

/// Makes a user present in the chat and in its last thread.
pub(super) fn seat(chat: &mut Chat, id: &str, kind: UserKind, visibility: Visibility, now: Timestamp) {
    match chat.users.iter_mut().find(|user| user.id == id) {
        Some(user) => (user.present, user.visibility) = (true, visibility),
        None => chat.users.push(Member { id: id.to_owned(), kind, present: true, visibility, seen_up_to: now }),
    }
    if let Some(thread) = chat.threads.last_mut().filter(|thread| !thread.user_ids.iter().any(|user_id| user_id == id))
    {
        thread.user_ids.push(id.to_owned());
    }
}

fn source_properties(step: &Step) -> Properties {
    let mut properties = Properties::new();
    if let Some(client_id) = step.client_id() {
        properties.entry("source".to_owned()).or_default().insert("client_id".to_owned(), json!(client_id));
    }
    properties
}

fn merge(into: &mut Properties, from: Properties) {
    for (namespace, names) in from {
        into.entry(namespace).or_default().extend(names);
    }
}

fn set_continuous(properties: &mut Properties, continuous: bool) {
    properties.entry("routing".to_owned()).or_default().insert("continuous".to_owned(), json!(continuous));
}
