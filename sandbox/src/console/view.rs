//! `GET /state`: the present state, as people would see it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{Console, faults, lanes, lock};
use crate::livechat::{Agent, Chat, Event};
use crate::serve::Only;
use crate::stack::Stack;
use crate::verdict::{People, Rest, judge};

/// The maximum number of lines of a screen and of events of a chat that are shown: the newest.
const NEWEST: usize = 200;

pub(super) async fn state(State(console): State<Arc<Console>>) -> Json<Value> {
    let stack = &console.stack;
    let (lanes, parked) = lanes::waiting(stack);
    let is_quiet = lanes.is_empty() && !stack.is_busy();
    let rest = if is_quiet { Rest::Parked(parked) } else { Rest::UnderWay };
    let (chats, agents) = (stack.livechat.chats(), stack.livechat.agents());
    let agents: Vec<_> = agents.into_iter().collect();
    let named: Vec<Agent> = agents.iter().map(|(agent, _)| agent.clone()).collect();
    // A simulator journals while its own state is locked: do not query any simulator while the journal is locked.
    let (verdict, handed_over) = stack.journal.read(|entries| {
        let people = People::read(entries);
        (judge(entries, rest), handed_over(&chats, &people))
    });
    let users = users(stack, &handed_over, &named);
    let (token_is_valid, token_is_limited) = stack.livechat.agent_token_state();
    let groups = stack.livechat.groups();
    Json(json!({
        "now": stack.now(),
        "only": console.shown.only.map(Only::name),
        "clock": if console.manual.is_some() { "manual" } else { "system" },
        "entries": stack.journal.len(),
        "swept": lock(&console.swept).as_ref().map(|(at, outcome)| match outcome {
            Ok(swept) => json!({"at": at, "result": swept}),
            Err(error) => json!({"at": at, "error": error}),
        }),
        "users": users,
        "chats": chats.iter().map(|chat| described(stack, chat)).collect::<Vec<_>>(),
        "agents": agents.iter().map(|(agent, status)| {
            json!({"id": agent.id, "name": agent.name, "status": status.name()})
        }).collect::<Vec<_>>(),
        "groups": groups.iter().map(|group| {
            json!({"id": group.id, "name": group.name, "status": group.status.name(), "agents": group.agent_ids})
        }).collect::<Vec<_>>(),
        "faults": faults::shown(&console),
        "agent_token": match (token_is_valid, token_is_limited) {
            (false, _) => "revoked",
            (true, true) => "without_scopes",
            (true, false) => "valid",
        },
        "lanes": lanes,
        "parked": parked,
        "verdict": verdict,
    }))
}

/// The open chat of each person that has one.
fn handed_over<'a>(chats: &'a [Chat], people: &People<'_>) -> HashMap<String, &'a Chat> {
    let person = |chat: &'a Chat| Some((people.of_thread(&chat.active_thread()?.id)?.to_owned(), chat));
    chats.iter().filter_map(person).collect()
}

/// Users of both platforms, with the contents of their screens.
fn users(stack: &Stack, handed_over: &HashMap<String, &Chat>, agents: &[Agent]) -> Vec<Value> {
    let botpress = stack.botpress.people().into_iter().map(|(user, name)| {
        let id = user.conversation_id;
        let lines = newest(stack.botpress.transcript(&id));
        let lines = lines.into_iter().map(|line| {
            json!({
                "from": line.from.as_str(), "name": line.name, "text": line.text, "type": line.message_type,
                "payload": line.payload,
            })
        });
        let with = with(stack.botpress.is_escalated(&id), handed_over.get(&id).copied(), agents);
        let profile = stack.botpress.profile(&id);
        json!({
            "platform": "botpress", "id": id, "name": name, "with": with, "profile": profile,
            "lines": lines.collect::<Vec<_>>(),
        })
    });
    let botcopy = stack.botcopy.people().into_iter().map(|(id, language)| {
        let lines = newest(stack.botcopy.screen(&id));
        let lines: Vec<_> = lines
            .into_iter()
            .map(|line| json!({"from": line.from.name(), "name": line.name, "text": line.text, "type": "text"}))
            .collect();
        let paused = stack.botcopy.paused_until(&id);
        let with = with(paused.is_some(), handed_over.get(&id).copied(), agents);
        json!({
            "platform": "botcopy", "id": id, "name": "Visitor", "language": language, "with": with,
            "paused_until": paused, "lines": lines,
        })
    });
    botpress.chain(botcopy).collect()
}

fn newest<T>(mut all: Vec<T>) -> Vec<T> {
    all.split_off(all.len().saturating_sub(NEWEST))
}

/// The user's counterpart: the bot, no agent yet, or an agent by name.
fn with(is_handed_over: bool, chat: Option<&Chat>, agents: &[Agent]) -> Value {
    if !is_handed_over {
        return json!({ "kind": "bot" });
    }
    let agent = chat
        .and_then(Chat::public_agent)
        .map(|id| agents.iter().find(|agent| agent.id == id).map_or(id, |agent| &agent.name));
    let kind = if agent.is_some() { "agent" } else { "waiting" };
    json!({"kind": kind, "name": agent, "chat": chat.map(|chat| &chat.id)})
}

fn described(stack: &Stack, chat: &Chat) -> Value {
    let customers = stack.livechat.customers();
    let customer = customers.iter().find(|customer| Some(&customer.id) == chat.customer_id.as_ref());
    let last = chat.threads.last();
    json!({
        "id": chat.id,
        "active": chat.active_thread().is_some(),
        "agent": chat.public_agent(),
        "group_ids": chat.group_ids(),
        "tags": last.map(|thread| &thread.tags),
        "customer": customer.map(|customer| json!({
            "name": customer.name, "email": customer.email, "fields": customer.session_fields,
        })),
        "events": newest(chat.threads.iter().flat_map(|thread| &thread.events).map(event).collect()),
    })
}

fn event(event: &Event) -> Value {
    json!({
        "id": event.id, "type": event.kind, "author": event.author.id(), "author_type": event.author.kind(),
        "visibility": event.visibility.name(), "at": event.created_at, "deleted": event.deleted,
        "content": event.content,
    })
}
