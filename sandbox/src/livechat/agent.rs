//! The Agent Chat API, as the owner of the personal access token uses it.

use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::{Uuid, Version};

use super::actions;
use super::errors::{Error, Kind};
use super::paging::Page;
use super::params::Params;
use super::state::view::{self, Audience};
use super::state::{Chat, Draft, Requester, RoutingStatus, State, Step, Target, Thread, Transfer, Visibility};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Answers an action of `/v3.6/agent/action/`.
pub(crate) fn answer(
    state: &mut State,
    step: &mut Step,
    requester: &Requester,
    action: &str,
    params: &Params<'_>,
) -> Result<Value, Error> {
    match action {
        "list_chats" => list_chats(state, params),
        "list_archives" => list_archives(state, params),
        "transfer_chat" => transfer_chat(state, step, requester, params),
        "add_user_to_chat" => add_user(state, step, requester, params),
        "remove_user_from_chat" => remove_user(state, step, requester, params),
        "list_agents_for_transfer" => list_agents_for_transfer(state, requester, params),
        "request_thread_summary" => request_summary(state, step, requester, params),
        "tag_thread" | "untag_thread" => tag(state, step, action == "tag_thread", params),
        "get_customer" | "update_customer" | "ban_customer" => of_customer(state, step, action, params),
        "set_routing_status" => set_routing_status(state, step, requester, params),
        "list_routing_statuses" => list_routing_statuses(state, params),
        "send_event_preview"
        | "send_typing_indicator"
        | "send_thinking_indicator"
        | "follow_chat"
        | "unfollow_chat"
        | "multicast" => without_trace(state, step, requester, action, params),
        _ => actions::answer(state, step, requester, action, params),
    }
}

fn list_chats(state: &State, params: &Params<'_>) -> Result<Value, Error> {
    let page = Page::read(params)?;
    let params = Params::of(&page.params)?;
    let filters = params.optional_object("filters")?;
    let mut chats = Vec::new();
    for chat in state.chats() {
        if filters.as_ref().map_or(Ok(true), |filters| is_listed(chat, filters))? {
            chats.push(chat);
        }
    }
    chats.sort_by_key(|chat| chat.threads.last().map(|thread| thread.created_at));
    if !page.is_ascending()? {
        chats.reverse();
    }
    let summaries = chats.into_iter().map(|chat| view::chat_summary(state, chat, Audience::Agents)).collect();
    Ok(page.answer("chats_summary", "found_chats", summaries, page.limit(10, 100)?))
}

fn is_listed(chat: &Chat, filters: &Params<'_>) -> Result<bool, Error> {
    let active = filters.flag("active")?.is_none_or(|active| active == chat.active_thread().is_some());
    filters.flag("include_chats_without_threads")?;
    let groups = filters.group_ids("group_ids")?;
    let in_group = groups.is_none_or(|ids| chat.group_ids().iter().any(|id| ids.contains(id)));
    Ok(active && in_group && has_properties(chat, filters)?)
}

/// `filters.properties.<namespace>.<name>.{exists, values, exclude_values}`.
fn has_properties(chat: &Chat, filters: &Params<'_>) -> Result<bool, Error> {
    let Some(namespaces) = filters.optional_object("properties")? else { return Ok(true) };
    for namespace in namespaces.fields().keys() {
        let names = namespaces.object(namespace)?;
        for name in names.fields().keys() {
            let wanted = names.object(name)?;
            let value = chat.properties.get(namespace).and_then(|names| names.get(name));
            let exists = wanted.flag("exists")?.is_none_or(|exists| exists == value.is_some());
            let among = |list: &[Value]| value.is_some_and(|value| list.contains(value));
            let listed = wanted.list("values")?.is_none_or(among);
            let excluded = wanted.list("exclude_values")?.is_some_and(among);
            if !exists || !listed || excluded {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Only these of the documented filters are simulated; any other is refused rather than ignored.
fn list_archives(state: &State, params: &Params<'_>) -> Result<Value, Error> {
    const FILTERS: [&str; 6] = ["chat_ids", "customer_id", "from", "query", "thread_ids", "to"];
    let page = Page::read(params)?;
    let params = Params::of(&page.params)?;
    let filters = params.optional_object("filters")?;
    let mut unknown = filters.iter().flat_map(|filters| filters.fields().keys());
    if let Some(name) = unknown.find(|name| !FILTERS.contains(&name.as_str())) {
        return Err(Error::validation(format!("`filters.{name}` is not simulated")));
    }
    let mut found = Vec::new();
    for (chat, thread) in state.chats().iter().flat_map(|chat| chat.threads.iter().map(move |thread| (chat, thread))) {
        if is_archived(chat, thread, filters.as_ref())? {
            found.push((chat, thread));
        }
    }
    found.sort_by_key(|(_chat, thread)| thread.created_at);
    if !page.is_ascending()? {
        found.reverse();
    }
    let items =
        found.into_iter().map(|(chat, thread)| view::chat(state, chat, Some(thread), Audience::Agents)).collect();
    Ok(page.answer("chats", "found_chats", items, page.limit(10, 100)?))
}

fn is_archived(chat: &Chat, thread: &Thread, filters: Option<&Params<'_>>) -> Result<bool, Error> {
    let Some(filters) = filters else { return Ok(true) };
    let chats = filters.texts("chat_ids")?.is_none_or(|ids| ids.contains(&chat.id));
    let threads = filters.texts("thread_ids")?.is_none_or(|ids| ids.contains(&thread.id));
    let customer = filters.optional_text("customer_id")?.is_none_or(|id| chat.customer_id.as_deref() == Some(id));
    let query = filters.optional_text("query")?;
    let text = query.is_none_or(|query| thread.events.iter().any(|event| event.text().contains(query)));
    Ok(chats && threads && customer && text && actions::is_within(thread, Some(filters))?)
}

fn transfer_chat(
    state: &mut State,
    step: &mut Step,
    requester: &Requester,
    params: &Params<'_>,
) -> Result<Value, Error> {
    let chat_id = params.text("id")?;
    let transfer = Transfer {
        targets: params.optional_object("target")?.as_ref().map(read_target).transpose()?.unwrap_or_default(),
        ignore_agents_availability: params.flag("ignore_agents_availability")?.unwrap_or(false),
        ignore_requester_presence: params.flag("ignore_requester_presence")?.unwrap_or(false),
    };
    state.transfer(step, requester.id(), chat_id, &transfer)?;
    Ok(json!({}))
}

fn read_target(target: &Params<'_>) -> Result<Vec<Target>, Error> {
    target.text("type")?;
    target.required("ids")?;
    let targets: Vec<_> = match target.choice("type", &["group", "agent"])? {
        Some("group") => target.group_ids("ids")?.unwrap_or_default().into_iter().map(Target::Group).collect(),
        _ => target.texts("ids")?.unwrap_or_default().into_iter().map(Target::Agent).collect(),
    };
    if targets.is_empty() { Err(Error::validation("`target.ids` is required")) } else { Ok(targets) }
}

fn add_user(state: &mut State, step: &mut Step, requester: &Requester, params: &Params<'_>) -> Result<Value, Error> {
    let (chat_id, user_id) = (params.text("chat_id")?, params.text("user_id")?);
    params.text("user_type")?;
    params.text("visibility")?;
    let is_customer = params.choice("user_type", &["agent", "customer"])? == Some("customer");
    let visibility = Visibility::named(params.choice("visibility", &["all", "agents"])?);
    let ignore = params.flag("ignore_requester_presence")?.unwrap_or(false);
    state.check_presence(requester, chat_id, ignore)?;
    if is_customer {
        return add_customer(state, step, chat_id, user_id, visibility);
    }
    state.join(step, chat_id, user_id, visibility, requester.id())?;
    Ok(json!({}))
}

fn add_customer(
    state: &mut State,
    step: &mut Step,
    chat_id: &str,
    customer_id: &str,
    visibility: Visibility,
) -> Result<Value, Error> {
    if visibility == Visibility::Agents {
        return Err(Error::validation("`visibility` of a customer must be `all`"));
    }
    if !state.customers.contains_key(customer_id) {
        return Err(Error::validation(format!("`user_id` {customer_id} not found")));
    }
    if state.chat_of_customer(customer_id).is_some()
        || state.chat(chat_id).is_some_and(|chat| chat.customer_id.is_some())
    {
        return Err(Error::validation("only one customer can be in a chat, and in one chat only"));
    }
    state.seat_customer(step, chat_id, customer_id)?;
    Ok(json!({}))
}

fn remove_user(state: &mut State, step: &mut Step, requester: &Requester, params: &Params<'_>) -> Result<Value, Error> {
    let (chat_id, user_id) = (params.text("chat_id")?, params.text("user_id")?);
    params.text("user_type")?;
    params.choice("user_type", &["agent"])?;
    state.check_presence(requester, chat_id, params.flag("ignore_requester_presence")?.unwrap_or(false))?;
    state.leave(step, chat_id, user_id, requester.id())?;
    Ok(json!({}))
}

fn list_agents_for_transfer(state: &State, requester: &Requester, params: &Params<'_>) -> Result<Value, Error> {
    let chat = state.visible_chat(requester, params.text("chat_id")?)?;
    let members = chat.group_ids().iter().filter_map(|id| state.account.group(*id)).flat_map(|group| &group.agent_ids);
    let mut agents: Vec<_> = members
        .filter(|id| state.agent_status(id) != RoutingStatus::Offline)
        .map(|id| (state.load_of(id), id))
        .collect();
    agents.sort();
    agents.dedup();
    Ok(agents.into_iter().map(|(load, id)| json!({"agent_id": id, "total_active_chats": load})).collect())
}

fn tag(state: &mut State, step: &mut Step, is_added: bool, params: &Params<'_>) -> Result<Value, Error> {
    let (chat_id, thread_id, tag) = (params.text("chat_id")?, params.text("thread_id")?, params.text("tag")?);
    state.tag(step, chat_id, thread_id, tag, is_added)?;
    Ok(json!({}))
}

/// Summarises a thread, if the licence includes summaries.
fn request_summary(
    state: &mut State,
    step: &mut Step,
    requester: &Requester,
    params: &Params<'_>,
) -> Result<Value, Error> {
    let (chat_id, thread_id) = (params.text("chat_id")?, params.text("thread_id")?);
    state.visible_chat(requester, chat_id)?;
    let has_summaries = state.behaviour.summaries;
    let threads = &mut state.chat_mut(chat_id)?.threads;
    let thread = threads.iter_mut().find(|thread| thread.id == thread_id).ok_or(Kind::NotFound)?;
    if has_summaries {
        thread.summary = Some(format!("{} events, in short", thread.events.len()));
        step.note("thread_summarised", json!({"chat_id": chat_id, "thread_id": thread_id}));
    }
    Ok(json!({}))
}

fn of_customer(state: &mut State, step: &mut Step, action: &str, params: &Params<'_>) -> Result<Value, Error> {
    let id = params.text("id")?;
    if Uuid::parse_str(id).ok().and_then(|id| id.get_version()) != Some(Version::Random) {
        return Err(Error::validation("`id` must be a UUID v4"));
    }
    let customer = state.customers.get(id).ok_or(Kind::NotFound)?;
    match action {
        "get_customer" => {
            let mut fields: Map<_, _> = view::customer(customer, Audience::Agents);
            let chat_ids: Vec<_> = state.chat_of_customer(id).into_iter().map(|chat| &chat.id).collect();
            fields.insert("chat_ids".to_owned(), json!(chat_ids));
            Ok(fields.into())
        }
        "update_customer" => actions::update_customer(state, step, id, params),
        _ => {
            let ban = params.object("ban")?;
            ban.required("days")?;
            let days = ban.integer("days")?.and_then(|days| u32::try_from(days).ok()).unwrap_or_default();
            let until = step.now + DAY * days;
            state.ban_customer(step, id, until)?;
            Ok(json!({}))
        }
    }
}

fn set_routing_status(
    state: &mut State,
    step: &mut Step,
    requester: &Requester,
    params: &Params<'_>,
) -> Result<Value, Error> {
    params.text("status")?;
    let status = match params.choice("status", &["accepting_chats", "not_accepting_chats"])? {
        Some("accepting_chats") => RoutingStatus::AcceptingChats,
        _ => RoutingStatus::NotAcceptingChats,
    };
    let agent_id = params.optional_text("agent_id")?.unwrap_or_else(|| requester.id()).to_owned();
    state.account.agent(&agent_id).ok_or(Kind::NotFound)?;
    if state.agent_status(&agent_id) == RoutingStatus::Offline {
        return Err(Kind::AgentOffline.into());
    }
    state.set_agent_status(step, &agent_id, status);
    Ok(json!({}))
}

fn list_routing_statuses(state: &State, params: &Params<'_>) -> Result<Value, Error> {
    let filters = params.optional_object("filters")?;
    let groups = filters.map(|filters| filters.group_ids("group_ids")).transpose()?.flatten();
    let is_member = |agent_id: &String, ids: &Vec<u32>| {
        ids.iter().filter_map(|id| state.account.group(*id)).any(|group| group.agent_ids.contains(agent_id))
    };
    let agents =
        state.account.agents.iter().filter(|agent| groups.as_ref().is_none_or(|ids| is_member(&agent.id, ids)));
    Ok(agents.map(|agent| json!({"agent_id": agent.id, "status": state.agent_status(&agent.id).name()})).collect())
}

/// Calls that are checked but leave nothing that a web integration could read.
fn without_trace(
    state: &State,
    step: &Step,
    requester: &Requester,
    action: &str,
    params: &Params<'_>,
) -> Result<Value, Error> {
    match action {
        "multicast" => {
            params.object("recipients")?;
            params.required("content")?;
            return Ok(json!({}));
        }
        "follow_chat" | "unfollow_chat" => {
            state.visible_chat(requester, params.text("id")?)?;
            return Ok(json!({}));
        }
        _ => {}
    }
    let chat_id = params.text("chat_id")?;
    state.visible_chat(requester, chat_id)?;
    match action {
        "send_event_preview" => {
            let event = params.object("event")?;
            event.choice("type", &["message"])?;
            event.choice("visibility", &["all"])?;
            Draft::read(state, requester, step.now, &event)?;
            state.check_presence(requester, chat_id, false)?;
        }
        _ => {
            if action == "send_typing_indicator" {
                params.required("is_typing")?;
                params.flag("is_typing")?;
            }
            params.choice("visibility", &["all", "agents"])?;
            state.check_presence(requester, chat_id, false)?;
        }
    }
    Ok(json!({}))
}
