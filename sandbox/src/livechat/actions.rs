//! The actions that agents and customers share.

use serde_json::{Value, json};
use shared::clock::Timestamp;

use super::errors::{Error, Kind};
use super::paging::Page;
use super::params::Params;
use super::state::view::{self, Audience};
use super::state::{Draft, Opening, PropertyTarget, Requester, State, Step, Thread, deletions, properties};

/// Answers an action of either chat API.
pub(crate) fn answer(
    state: &mut State,
    step: &mut Step,
    requester: &Requester,
    action: &str,
    params: &Params<'_>,
) -> Result<Value, Error> {
    match action {
        "start_chat" => {
            let opening = Opening::read(state, requester, step.now, params)?;
            let opened = state.start_chat(step, requester, opening)?;
            let mut fields = opened.fields();
            fields.insert("chat_id".to_owned(), json!(opened.chat_id));
            Ok(fields.into())
        }
        "resume_chat" => {
            let chat = params.object("chat")?;
            let chat_id = chat.text("id")?;
            let opening = Opening::read(state, requester, step.now, params)?;
            Ok(state.resume_chat(step, requester, chat_id, opening)?.fields().into())
        }
        "deactivate_chat" => {
            let ignore = params.flag("ignore_requester_presence")?.unwrap_or(false);
            state.deactivate_chat(step, requester, params.text("id")?, ignore)?;
            Ok(json!({}))
        }
        "send_event" => {
            let chat_id = params.text("chat_id")?;
            let draft = Draft::read(state, requester, step.now, &params.object("event")?)?;
            let attach = params.flag("attach_to_last_thread")?.unwrap_or(false) && !requester.is_agent();
            let event_id = state.send_event(step, requester, chat_id, draft, attach)?;
            Ok(json!({"event_id": event_id}))
        }
        "get_chat" => get_chat(state, requester, params),
        "list_threads" => list_threads(state, requester, params),
        "mark_events_as_seen" => mark_events_as_seen(state, step, requester, params),
        "send_rich_message_postback" => send_postback(state, step, requester, params),
        _ => change_properties(state, step, requester, action, params),
    }
}

fn audience(requester: &Requester) -> Audience {
    if requester.is_agent() { Audience::Agents } else { Audience::Customer }
}

fn get_chat(state: &State, requester: &Requester, params: &Params<'_>) -> Result<Value, Error> {
    let chat = state.visible_chat(requester, params.text("chat_id")?)?;
    let named = params.optional_text("thread_id")?;
    let thread =
        named.map(|id| chat.threads.iter().find(|thread| thread.id == id).ok_or(Kind::NotFound)).transpose()?;
    Ok(view::chat(state, chat, thread, audience(requester)))
}

fn list_threads(state: &State, requester: &Requester, params: &Params<'_>) -> Result<Value, Error> {
    let page = Page::read(params)?;
    let params = Params::of(&page.params)?;
    let chat = state.visible_chat(requester, params.text("chat_id")?)?;
    let min_events = params.integer("min_events_count")?;
    if min_events.is_some() && (params.has("limit") || params.has("filters")) {
        return Err(Error::validation("`min_events_count` cannot be mixed with `limit` or `filters`"));
    }
    if min_events.is_some_and(|count| !(1..=100).contains(&count)) {
        return Err(Error::validation("`min_events_count` must be between 1 and 100"));
    }
    let filters = params.optional_object("filters")?;
    let mut threads = Vec::new();
    for thread in &chat.threads {
        if is_within(thread, filters.as_ref())? {
            threads.push(thread);
        }
    }
    if !page.is_ascending()? {
        threads.reverse();
    }
    let limit = match min_events {
        Some(count) => threads_with_events(&threads, count),
        None => page.limit(3, 100)?,
    };
    let items = threads.into_iter().map(|thread| view::thread(state, chat, thread, audience(requester))).collect();
    Ok(page.answer("threads", "found_threads", items, limit))
}

/// The number of `threads` needed to show `count` events.
fn threads_with_events(threads: &[&Thread], count: u64) -> usize {
    let mut shown = 0;
    for (index, thread) in threads.iter().enumerate() {
        shown += u64::try_from(thread.events.len()).unwrap_or(u64::MAX);
        if shown >= count {
            return index + 1;
        }
    }
    threads.len().max(1)
}

/// Returns whether a thread was created between `filters.from` and `filters.to`.
pub(crate) fn is_within(thread: &Thread, filters: Option<&Params<'_>>) -> Result<bool, Error> {
    let Some(filters) = filters else { return Ok(true) };
    let from = moment(filters, "from")?.is_none_or(|from| from <= thread.created_at);
    let to = moment(filters, "to")?.is_none_or(|to| thread.created_at <= to);
    Ok(from && to)
}

/// An RFC 3339 time, if present.
fn moment(params: &Params<'_>, name: &str) -> Result<Option<Timestamp>, Error> {
    let wrong = || Error::validation(format!("`{name}` must be an RFC 3339 time"));
    params.optional_text(name)?.map(|text| Timestamp::parse(text).ok_or_else(wrong)).transpose()
}

fn mark_events_as_seen(
    state: &mut State,
    step: &mut Step,
    requester: &Requester,
    params: &Params<'_>,
) -> Result<Value, Error> {
    let chat_id = params.text("chat_id")?;
    params.text("seen_up_to")?;
    let seen_up_to = moment(params, "seen_up_to")?.ok_or(Kind::Validation)?;
    state.mark_seen(step, requester, chat_id, seen_up_to)?;
    Ok(json!({}))
}

fn send_postback(
    state: &mut State,
    step: &mut Step,
    requester: &Requester,
    params: &Params<'_>,
) -> Result<Value, Error> {
    let (chat_id, thread_id) = (params.text("chat_id")?, params.text("thread_id")?);
    let event_id = params.text("event_id")?;
    let postback = params.object("postback")?;
    postback.text("id")?;
    postback.required("toggled")?;
    postback.flag("toggled")?;
    let chat = state.visible_chat(requester, chat_id)?;
    chat.event(thread_id, event_id).ok_or(Kind::NotFound)?;
    let is_active = chat.active_thread().is_some_and(|thread| thread.id == thread_id);
    let payload = json!({
        "user_id": requester.id(), "chat_id": chat_id, "thread_id": thread_id, "event_id": event_id,
        "postback": postback.fields(),
    });
    step.note("postback_sent", payload.clone());
    if is_active {
        state.announce(step, chat_id, "incoming_rich_message_postback", None, payload);
    }
    Ok(json!({}))
}

/// The six property actions: `update_` or `delete_`, of `chat_`, `thread_` or `event_`, `properties`.
fn change_properties(
    state: &mut State,
    step: &mut Step,
    requester: &Requester,
    action: &str,
    params: &Params<'_>,
) -> Result<Value, Error> {
    let (verb, rest) = action.split_once('_').ok_or(Kind::NotFound)?;
    let chat_id = || params.text("chat_id");
    let (chat_id, target) = match rest {
        "chat_properties" => (params.text("id")?, PropertyTarget::Chat),
        "thread_properties" => (chat_id()?, PropertyTarget::Thread(params.text("thread_id")?.to_owned())),
        "event_properties" => {
            let thread_id = params.text("thread_id")?.to_owned();
            (chat_id()?, PropertyTarget::Event(thread_id, params.text("event_id")?.to_owned()))
        }
        _ => return Err(Kind::NotFound.into()),
    };
    match verb {
        "update" => {
            params.required("properties")?;
            state.update_properties(step, requester, chat_id, &target, properties(params)?)?;
        }
        "delete" => state.delete_properties(step, requester, chat_id, &target, &deletions(params)?)?,
        _ => return Err(Kind::NotFound.into()),
    }
    Ok(json!({}))
}

/// The changes that `update_customer` requests, on either side.
pub(crate) fn update_customer(
    state: &mut State,
    step: &mut Step,
    customer_id: &str,
    params: &Params<'_>,
) -> Result<Value, Error> {
    const DETAILS: [&str; 4] = ["avatar", "phone_number", "omnichannel", "address"];
    let known = ["name", "email", "session_fields"].iter().chain(&DETAILS);
    if !known.clone().any(|name| params.has(name)) {
        return Err(Error::validation("at least one customer field is required"));
    }
    let name = params.optional_text("name")?.map(str::to_owned);
    let email = params.optional_text("email")?.map(str::to_owned);
    if email.as_deref().is_some_and(|email| !is_email(email)) {
        return Err(Error::validation("`email` is not a valid e-mail address"));
    }
    let fields = session_fields(params)?;
    params.optional_text("avatar")?;
    params.optional_text("phone_number")?;
    params.optional_object("address")?;
    let details = DETAILS.iter().filter_map(|name| Some(((*name).to_owned(), params.value(name)?.clone())));
    let details: Vec<_> = details.collect();
    let session_fields_changed = fields.is_some();
    let change = |customer: &mut super::state::Customer| {
        customer.name = name.or(customer.name.take());
        customer.email = email.or(customer.email.take());
        customer.details.extend(details);
        if let Some(fields) = fields {
            customer.session_fields = fields;
        }
    };
    state.update_customer(step, customer_id, change, session_fields_changed)?;
    Ok(json!({}))
}

/// `[{"<key>":"<value>"}]`, at most 100 of them.
pub(crate) fn session_fields(params: &Params<'_>) -> Result<Option<Vec<Value>>, Error> {
    let Some(fields) = params.list("session_fields")? else { return Ok(None) };
    let is_pair =
        |field: &Value| field.as_object().is_some_and(|pair| pair.len() == 1 && pair.values().all(Value::is_string));
    if fields.len() > 100 || !fields.iter().all(is_pair) {
        return Err(Error::validation("`session_fields` must be at most 100 objects of one key and one text each"));
    }
    Ok(Some(fields.to_vec()))
}

fn is_email(text: &str) -> bool {
    let has_both = |(user, host): (&str, &str)| !user.is_empty() && host.contains('.') && !host.contains('@');
    text.split_once('@').is_some_and(has_both) && !text.contains(char::is_whitespace)
}
