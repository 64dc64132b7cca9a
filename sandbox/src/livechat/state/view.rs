//! The JSON shapes of chats, threads, events and users, for agents (and webhooks) and for customers.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::ids;
use super::{Author, Chat, Customer, Event, Member, State, Thread, UserKind, Visibility};

/// The reader of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Agent API and webhooks: agents by e-mail address, private notes included.
    Agents,
    /// Customer API: agents by an opaque id, nothing private.
    Customer,
}

impl Audience {
    fn user_id(self, id: &str) -> String {
        // Only agents' ids are e-mail addresses.
        if self == Self::Customer && id.contains('@') { ids::agent_seen_by_customers(id) } else { id.to_owned() }
    }

    fn sees(self, event: &Event) -> bool {
        self == Self::Agents || (event.visibility == Visibility::All && !event.deleted)
    }
}

/// An event as its reader receives it.
pub(crate) fn event(event: &Event, audience: Audience) -> Value {
    let mut fields = event.content.clone();
    fields.insert("id".to_owned(), json!(event.id));
    fields.insert("type".to_owned(), json!(event.kind));
    fields.insert("created_at".to_owned(), json!(event.created_at));
    if let Some(author_id) = event.author.id() {
        fields.insert("author_id".to_owned(), json!(audience.user_id(author_id)));
    }
    if audience == Audience::Agents {
        fields.insert("visibility".to_owned(), json!(event.visibility.name()));
    }
    if let Some(custom_id) = &event.custom_id {
        fields.insert("custom_id".to_owned(), json!(custom_id));
    }
    if !event.properties.is_empty() {
        fields.insert("properties".to_owned(), json!(event.properties));
    }
    if event.deleted {
        fields.insert("deleted".to_owned(), json!(true));
    }
    fields.into()
}

/// A thread with its events.
pub(crate) fn thread(state: &State, chat: &Chat, thread: &Thread, audience: Audience) -> Value {
    let events = thread.events.iter().filter(|event| audience.sees(event));
    let mut fields = thread_head(thread, audience);
    fields.insert("events".to_owned(), events.map(|one| event(one, audience)).collect());
    if !thread.tags.is_empty() {
        fields.insert("tags".to_owned(), json!(thread.tags));
    }
    if let Some(summary) = thread.summary.as_ref().filter(|_| audience == Audience::Agents) {
        fields.insert("summary".to_owned(), json!(summary));
    }
    if let Some(queue) = state.queue_of(&chat.id).filter(|_| thread.queued_at.is_some()) {
        fields.insert("queue".to_owned(), queue);
    }
    let position = chat.threads.iter().position(|other| other.id == thread.id).unwrap_or_default();
    let neighbour = |index: Option<usize>| index.and_then(|index| chat.threads.get(index)).map(|other| json!(other.id));
    if let Some(previous) = neighbour(position.checked_sub(1)) {
        fields.insert("previous_thread_id".to_owned(), previous);
    }
    if let Some(next) = neighbour(position.checked_add(1)) {
        fields.insert("next_thread_id".to_owned(), next);
    }
    fields.into()
}

fn thread_head(thread: &Thread, audience: Audience) -> Map<String, Value> {
    let user_ids: Vec<_> = thread.user_ids.iter().map(|id| audience.user_id(id)).collect();
    let fields = [
        ("id", json!(thread.id)),
        ("active", json!(thread.active)),
        ("created_at", json!(thread.created_at)),
        ("user_ids", json!(user_ids)),
        ("properties", json!(thread.properties)),
        ("access", json!({"group_ids": thread.group_ids})),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A chat with one thread: the named one, or the latest.
pub(crate) fn chat(state: &State, chat: &Chat, named: Option<&Thread>, audience: Audience) -> Value {
    let mut fields = chat_head(state, chat, audience);
    if let Some(shown) = named.or_else(|| chat.threads.last()) {
        fields.insert("thread".to_owned(), thread(state, chat, shown, audience));
    }
    if audience == Audience::Agents {
        fields.insert("is_followed".to_owned(), json!(false));
    }
    fields.into()
}

fn chat_head(state: &State, chat: &Chat, audience: Audience) -> Map<String, Value> {
    let visible = |user: &&Member| audience == Audience::Agents || user.visibility == Visibility::All;
    let users = chat.users.iter().filter(visible).map(|member| user(state, member, audience));
    let fields = [
        ("id", json!(chat.id)),
        ("users", users.collect()),
        ("properties", json!(chat.properties)),
        ("access", json!({"group_ids": chat.group_ids()})),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// An entry of `list_chats`.
pub(crate) fn chat_summary(state: &State, chat: &Chat, audience: Audience) -> Value {
    let mut fields = chat_head(state, chat, audience);
    fields.insert("last_event_per_type".to_owned(), last_event_per_type(chat, audience));
    let Some(last) = chat.threads.last() else { return fields.into() };
    match audience {
        Audience::Agents => {
            let mut summary = thread_head(last, audience);
            if let Some(queue) = state.queue_of(&chat.id) {
                summary.insert("queue".to_owned(), queue);
            }
            fields.insert("last_thread_summary".to_owned(), summary.into());
            fields.insert("is_followed".to_owned(), json!(false));
        }
        Audience::Customer if state.behaviour.lists_chats_as_next_version => {
            let per_type = fields.remove("last_event_per_type");
            let info = json!({"id": last.id, "created_at": last.created_at, "last_event_per_type": per_type});
            fields.insert("last_thread_info".to_owned(), info);
            fields.insert("active".to_owned(), json!(last.active));
        }
        Audience::Customer => {
            fields.insert("last_thread_id".to_owned(), json!(last.id));
            fields.insert("last_thread_created_at".to_owned(), json!(last.created_at));
            fields.insert("active".to_owned(), json!(last.active));
        }
    }
    fields.into()
}

fn last_event_per_type(chat: &Chat, audience: Audience) -> Value {
    let mut last = BTreeMap::new();
    for thread in &chat.threads {
        for one in thread.events.iter().filter(|one| audience.sees(one)) {
            let entry = json!({
                "thread_id": thread.id, "thread_created_at": thread.created_at, "event": event(one, audience),
            });
            last.insert(one.kind.clone(), entry);
        }
    }
    json!(last)
}

/// A user of a chat.
pub(crate) fn user(state: &State, member: &Member, audience: Audience) -> Value {
    let mut fields = match member.kind {
        UserKind::Customer => {
            state.customers.get(&member.id).map(|known| customer(known, audience)).unwrap_or_default()
        }
        UserKind::Agent => agent(state, member, audience),
    };
    fields.insert("present".to_owned(), json!(member.present));
    fields.insert("events_seen_up_to".to_owned(), json!(member.seen_up_to));
    fields.into()
}

fn agent(state: &State, member: &Member, audience: Audience) -> Map<String, Value> {
    let known = state.account.agent(&member.id);
    let mut fields = Map::new();
    fields.insert("id".to_owned(), json!(audience.user_id(&member.id)));
    fields.insert("type".to_owned(), json!("agent"));
    fields.insert("name".to_owned(), json!(known.map_or(member.id.as_str(), |agent| agent.name.as_str())));
    fields.insert("avatar".to_owned(), json!(known.map(|agent| agent.avatar.as_str()).unwrap_or_default()));
    if audience == Audience::Agents {
        fields.insert("email".to_owned(), json!(member.id));
        fields.insert("visibility".to_owned(), json!(member.visibility.name()));
        fields.insert("routing_status".to_owned(), json!(state.agent_status(&member.id).name()));
    }
    fields
}

/// A customer; agents see slightly more than the customers themselves.
pub(crate) fn customer(customer: &Customer, audience: Audience) -> Map<String, Value> {
    let mut fields = customer.details.clone();
    fields.insert("id".to_owned(), json!(customer.id));
    fields.insert("type".to_owned(), json!("customer"));
    let texts = [("name", &customer.name), ("email", &customer.email)];
    for (name, value) in texts.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        fields.insert(name.to_owned(), json!(value));
    }
    if !customer.session_fields.is_empty() {
        fields.insert("session_fields".to_owned(), json!(customer.session_fields));
    }
    if audience == Audience::Agents {
        fields.insert("created_at".to_owned(), json!(customer.created_at));
    }
    fields
}

/// The ids of present users, as `additional_data` lists them.
pub(crate) fn present_ids(chat: &Chat) -> Vec<String> {
    chat.users.iter().filter(|user| user.present).map(|user| user.id.clone()).collect()
}

/// The author's type for the `author_type` filter; the system has none.
pub(crate) const fn author_type(author: &Author) -> Option<&'static str> {
    match author {
        Author::Customer(_) => Some("customer"),
        Author::Agent(_) => Some("agent"),
        Author::System => None,
    }
}
