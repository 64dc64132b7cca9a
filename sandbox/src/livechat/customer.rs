//! The Customer Chat API.

use serde_json::{Value, json};

use super::errors::{Error, Kind};
use super::paging::Page;
use super::params::Params;
use super::state::view::{self, Audience};
use super::state::{Requester, State, Step};
use super::{actions, configuration};

/// Answers an action of `/v3.6/customer/action/`.
pub(crate) fn answer(
    state: &mut State,
    step: &mut Step,
    requester: &Requester,
    action: &str,
    params: &Params<'_>,
) -> Result<Value, Error> {
    match action {
        "update_customer" => actions::update_customer(state, step, requester.id(), params),
        "set_customer_session_fields" => {
            params.required("session_fields")?;
            let fields = actions::session_fields(params)?.unwrap_or_default();
            state.update_customer(step, requester.id(), |customer| customer.session_fields = fields, true)?;
            Ok(json!({}))
        }
        "get_customer" => {
            let customer = state.customers.get(requester.id()).ok_or(Kind::Authentication)?;
            Ok(view::customer(customer, Audience::Customer).into())
        }
        "list_chats" => list_chats(state, requester, params),
        "list_group_statuses" => list_group_statuses(state, params),
        "delete_event" => {
            let (chat_id, thread_id) = (params.text("chat_id")?, params.text("thread_id")?);
            state.delete_event(step, requester, chat_id, thread_id, params.text("event_id")?)?;
            Ok(json!({}))
        }
        "send_sneak_peek" => send_sneak_peek(state, step, requester, params),
        "get_form" => {
            check_group(state, params, "group_id")?;
            params.text("type")?;
            params.choice("type", &["prechat", "postchat"])?;
            Ok(json!({"enabled": false}))
        }
        _ => actions::answer(state, step, requester, action, params),
    }
}

/// Answers the property lists, which are GET.
pub(crate) fn answer_get(state: &State, action: &str, params: &Params<'_>) -> Result<Value, Error> {
    match action {
        "list_license_properties" => configuration::license_properties(params, |name, asked| name == asked, "name"),
        "list_group_properties" => {
            let id = params.text("id")?.parse().map_err(|_| Error::validation("`id` must be an integer"))?;
            state.account.group(id).ok_or(Kind::GroupNotFound)?;
            Ok(json!({}))
        }
        _ => Err(Kind::NotFound.into()),
    }
}

fn list_chats(state: &State, requester: &Requester, params: &Params<'_>) -> Result<Value, Error> {
    let page = Page::read(params)?;
    // A customer has one chat, so the order has no effect; its value is checked all the same.
    page.is_ascending()?;
    let limit = page.limit(10, 25)?;
    let chats = state.chat_of_customer(requester.id()).into_iter();
    let summaries = chats.map(|chat| view::chat_summary(state, chat, Audience::Customer)).collect();
    let name = if state.behaviour.lists_chats_as_next_version { "chats_info" } else { "chats_summary" };
    Ok(page.answer(name, "total_chats", summaries, limit))
}

fn list_group_statuses(state: &State, params: &Params<'_>) -> Result<Value, Error> {
    let asked = params.group_ids("group_ids")?;
    let all = params.flag("all")?.unwrap_or(false);
    if all == asked.is_some() {
        return Err(Error::validation("one of `all` and `group_ids` is required"));
    }
    let groups = state.account.groups.iter();
    let shown = groups.filter(|group| asked.as_ref().is_none_or(|ids| ids.contains(&group.id)));
    let statuses: serde_json::Map<_, _> =
        shown.map(|group| (group.id.to_string(), json!(group.status.name()))).collect();
    Ok(json!({"groups_status": statuses}))
}

fn send_sneak_peek(state: &State, step: &mut Step, requester: &Requester, params: &Params<'_>) -> Result<Value, Error> {
    let chat_id = params.text("chat_id")?;
    let text = params.text("sneak_peek_text")?;
    state.visible_chat(requester, chat_id)?.active_thread().ok_or(Kind::ChatInactive)?;
    step.note("sneak_peek_sent", json!({"chat_id": chat_id, "text": text}));
    Ok(json!({}))
}

fn check_group(state: &State, params: &Params<'_>, name: &str) -> Result<(), Error> {
    params.required(name)?;
    let id = params.integer(name)?.and_then(|id| u32::try_from(id).ok());
    id.and_then(|id| state.account.group(id)).map(|_| ()).ok_or_else(|| Kind::GroupNotFound.into())
}
