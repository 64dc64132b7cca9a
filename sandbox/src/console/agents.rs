//! What agents do, and their presence and LiveChat's router.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::attached::Attached;
use super::{done, refused};
use crate::livechat::{GroupStatus, RoutingStatus, Target};
use crate::stack::Stack;

type Shared = State<Arc<Stack>>;

pub(super) fn router(stack: Arc<Stack>) -> Router {
    Router::new()
        .route("/chats", get(chats))
        .route("/chats/{chat}/say", post(answer))
        .route("/chats/{chat}/note", post(note))
        .route("/chats/{chat}/card", post(card))
        .route("/chats/{chat}/file", post(file))
        .route("/chats/{chat}/edit", post(edit))
        .route("/chats/{chat}/delete", post(delete))
        .route("/chats/{chat}/join", post(join))
        .route("/chats/{chat}/transfer", post(transfer))
        .route("/chats/{chat}/close", post(close))
        .route("/agents/{agent}/status", post(agent_status))
        .route("/groups/{group}/status", post(group_status))
        .route("/router/assign", post(assign))
        .route("/router/close", post(router_closes))
        .route("/deliveries/{number}/again", post(deliver_again))
        .with_state(stack)
}

#[derive(Deserialize)]
struct By {
    agent: String,
}

#[derive(Deserialize)]
struct Said {
    agent: String,
    text: String,
}

#[derive(Deserialize)]
struct Card {
    agent: String,
    title: String,
    subtitle: Option<String>,
    url: Option<String>,
}

#[derive(Deserialize)]
struct Edited {
    event: String,
    text: String,
}

#[derive(Deserialize)]
struct Deleted {
    agent: String,
    event: String,
}

/// A transfer to an agent or to a group.
#[derive(Deserialize)]
struct Transfer {
    agent: String,
    to_agent: Option<String>,
    to_group: Option<u32>,
}

#[derive(Deserialize)]
struct AgentStatus {
    status: Presence,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Presence {
    AcceptingChats,
    NotAcceptingChats,
    Offline,
}

#[derive(Deserialize)]
struct Openness {
    status: Open,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Open {
    Online,
    OnlineForQueue,
    Offline,
}

#[derive(Deserialize)]
struct Which {
    chat: String,
}

async fn chats(State(stack): Shared) -> Json<Value> {
    let chats = stack.livechat.open_chats();
    let chats = chats.iter().map(|chat| json!({ "chat": chat.id, "agent": chat.public_agent() }));
    Json(chats.collect())
}

async fn answer(State(stack): Shared, Path(chat): Path<String>, Json(said): Json<Said>) -> Response {
    done(stack.livechat.agent_sends_text(&chat, &said.agent, &said.text))
}

async fn note(State(stack): Shared, Path(chat): Path<String>, Json(said): Json<Said>) -> Response {
    done(stack.livechat.agent_sends_private_note(&chat, &said.agent, &said.text))
}

async fn card(State(stack): Shared, Path(chat): Path<String>, Json(card): Json<Card>) -> Response {
    let button =
        card.url.map(|url| json!({"type": "url", "text": "Open", "value": url, "postback_id": "open", "user_ids": []}));
    let mut element = json!({ "title": card.title });
    if let Some(fields) = element.as_object_mut() {
        fields.extend(card.subtitle.map(|subtitle| ("subtitle".to_owned(), subtitle.into())));
        fields.extend(button.map(|button| ("buttons".to_owned(), json!([button]))));
    }
    done(stack.livechat.agent_sends_rich_message(&chat, &card.agent, "cards", json!([element])))
}

async fn file(State(stack): Shared, Path(chat): Path<String>, Json(file): Json<Attached>) -> Response {
    match (file.bytes(), &file.agent) {
        (Ok(bytes), Some(agent)) => {
            done(stack.livechat.agent_sends_file(&chat, agent, &file.name, &file.r#type, bytes))
        }
        (Err(reason), _) => refused(StatusCode::UNPROCESSABLE_ENTITY, reason),
        (_, None) => refused(StatusCode::UNPROCESSABLE_ENTITY, "`agent` is missing"),
    }
}

async fn edit(State(stack): Shared, Path(chat): Path<String>, Json(edited): Json<Edited>) -> Response {
    done(stack.livechat.agent_edits(&chat, &edited.event, &edited.text))
}

async fn delete(State(stack): Shared, Path(chat): Path<String>, Json(deleted): Json<Deleted>) -> Response {
    done(stack.livechat.agent_deletes(&chat, &deleted.agent, &deleted.event))
}

async fn join(State(stack): Shared, Path(chat): Path<String>, Json(by): Json<By>) -> Response {
    done(stack.livechat.agent_joins(&chat, &by.agent))
}

async fn transfer(State(stack): Shared, Path(chat): Path<String>, Json(transfer): Json<Transfer>) -> Response {
    let target = match (transfer.to_agent, transfer.to_group) {
        (Some(agent), None) => Target::Agent(agent),
        (None, Some(group)) => Target::Group(group),
        _ => return refused(StatusCode::UNPROCESSABLE_ENTITY, "one of `to_agent` and `to_group`"),
    };
    done(stack.livechat.agent_transfers(&chat, &transfer.agent, target))
}

async fn close(State(stack): Shared, Path(chat): Path<String>, Json(by): Json<By>) -> Response {
    done(stack.livechat.agent_closes(&chat, &by.agent))
}

async fn agent_status(State(stack): Shared, Path(agent): Path<String>, Json(new): Json<AgentStatus>) -> Response {
    let livechat = &stack.livechat;
    if !livechat.agents().iter().any(|(known, _)| known.id == agent) {
        return refused(StatusCode::NOT_FOUND, "there is no such agent");
    }
    let status = match new.status {
        Presence::AcceptingChats => RoutingStatus::AcceptingChats,
        Presence::NotAcceptingChats => RoutingStatus::NotAcceptingChats,
        Presence::Offline => RoutingStatus::Offline,
    };
    livechat.set_agent_status(&agent, status);
    done(Ok::<_, String>(()))
}

async fn group_status(State(stack): Shared, Path(group): Path<u32>, Json(new): Json<Openness>) -> Response {
    let livechat = &stack.livechat;
    if !livechat.groups().iter().any(|known| known.id == group) {
        return refused(StatusCode::NOT_FOUND, "there is no such group");
    }
    let status = match new.status {
        Open::Online => GroupStatus::Online,
        Open::OnlineForQueue => GroupStatus::OnlineForQueue,
        Open::Offline => GroupStatus::Offline,
    };
    livechat.set_group_status(group, status);
    done(Ok::<_, String>(()))
}

async fn assign(State(stack): Shared, Json(which): Json<Which>) -> Response {
    let assigned = stack.livechat.router_assigns(&which.chat).map_err(|error| error.to_string());
    done(assigned.and_then(|taken| if taken { Ok(()) } else { Err("no agent takes the chat".to_owned()) }))
}

async fn router_closes(State(stack): Shared, Json(which): Json<Which>) -> Response {
    done(stack.livechat.router_closes(&which.chat))
}

/// Repeats a webhook of LiveChat, as the vendor may.
async fn deliver_again(State(stack): Shared, Path(number): Path<u64>) -> Response {
    match stack.livechat.replay(number) {
        true => done(Ok::<_, String>(())),
        false => refused(StatusCode::NOT_FOUND, "there is no such delivery"),
    }
}
