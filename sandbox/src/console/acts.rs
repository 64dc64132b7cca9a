//! What users, agents and LiveChat's router do.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Console, done, refused};
use crate::livechat::{GroupStatus, RoutingStatus, Target};

type Shared = State<Arc<Console>>;

pub(super) fn router() -> Router<Arc<Console>> {
    Router::new()
        .route("/users/{conversation}/message", post(user_sends))
        .route("/users/{conversation}/file", post(user_sends_file))
        .route("/users/{conversation}/end", post(user_ends))
        .route("/users/{conversation}/stop", post(bot_stops))
        .route("/chats/{chat}/join", post(join))
        .route("/chats/{chat}/note", post(note))
        .route("/chats/{chat}/card", post(card))
        .route("/chats/{chat}/file", post(file))
        .route("/chats/{chat}/transfer", post(transfer))
        .route("/agents/{agent}/status", post(agent_status))
        .route("/groups/{group}/status", post(group_status))
        .route("/router/assign", post(assign))
        .route("/router/close", post(router_closes))
        .route("/deliveries/{number}/again", post(deliver_again))
}

/// A message of any type that the webchat has.
#[derive(Deserialize)]
struct Message {
    r#type: String,
    payload: Value,
}

/// A file; `content` is text, `base64` is anything.
#[derive(Deserialize)]
struct Attached {
    agent: Option<String>,
    name: String,
    r#type: String,
    content: Option<String>,
    base64: Option<String>,
}

impl Attached {
    fn bytes(&self) -> Result<Vec<u8>, &'static str> {
        match (&self.content, &self.base64) {
            (Some(content), None) => Ok(content.clone().into_bytes()),
            (None, Some(encoded)) => STANDARD.decode(encoded).map_err(|_| "`base64` is no base64"),
            _ => Err("one of `content` and `base64`"),
        }
    }
}

#[derive(Deserialize)]
struct By {
    agent: String,
}

#[derive(Deserialize)]
struct Note {
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

/// To an agent or to a group.
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

async fn user_sends(
    State(console): Shared,
    Path(conversation): Path<String>,
    Json(message): Json<Message>,
) -> Response {
    done(console.stack.botpress.user_sends(&conversation, &message.r#type, message.payload).await)
}

async fn user_sends_file(State(console): Shared, Path(user): Path<String>, Json(file): Json<Attached>) -> Response {
    let bytes = match file.bytes() {
        Ok(bytes) => bytes,
        Err(reason) => return refused(StatusCode::UNPROCESSABLE_ENTITY, reason),
    };
    let botpress = &console.stack.botpress;
    let url = botpress.stores_file(&file.name, &file.r#type, bytes);
    let kind =
        file.r#type.split('/').next().filter(|kind| ["image", "audio", "video"].contains(kind)).unwrap_or("file");
    let mut payload = json!({ "title": file.name });
    if let Some(fields) = payload.as_object_mut() {
        fields.insert(format!("{kind}Url"), url.into());
    }
    done(botpress.user_sends(&user, kind, payload).await)
}

async fn user_ends(State(console): Shared, Path(conversation): Path<String>) -> Response {
    done(console.stack.botpress.user_ends(&conversation).await)
}

/// The bot's workflow reaches its Stop HITL card.
async fn bot_stops(State(console): Shared, Path(conversation): Path<String>) -> Response {
    done(console.stack.botpress.stop(&conversation).await)
}

async fn join(State(console): Shared, Path(chat): Path<String>, Json(by): Json<By>) -> Response {
    done(console.stack.livechat.agent_joins(&chat, &by.agent))
}

async fn note(State(console): Shared, Path(chat): Path<String>, Json(note): Json<Note>) -> Response {
    done(console.stack.livechat.agent_sends_private_note(&chat, &note.agent, &note.text))
}

async fn card(State(console): Shared, Path(chat): Path<String>, Json(card): Json<Card>) -> Response {
    let button =
        card.url.map(|url| json!({"type": "url", "text": "Open", "value": url, "postback_id": "open", "user_ids": []}));
    let mut element = json!({ "title": card.title });
    if let Some(fields) = element.as_object_mut() {
        fields.extend(card.subtitle.map(|subtitle| ("subtitle".to_owned(), subtitle.into())));
        fields.extend(button.map(|button| ("buttons".to_owned(), json!([button]))));
    }
    done(console.stack.livechat.agent_sends_rich_message(&chat, &card.agent, "cards", json!([element])))
}

async fn file(State(console): Shared, Path(chat): Path<String>, Json(file): Json<Attached>) -> Response {
    match (file.bytes(), &file.agent) {
        (Ok(bytes), Some(agent)) => {
            done(console.stack.livechat.agent_sends_file(&chat, agent, &file.name, &file.r#type, bytes))
        }
        (Err(reason), _) => refused(StatusCode::UNPROCESSABLE_ENTITY, reason),
        (_, None) => refused(StatusCode::UNPROCESSABLE_ENTITY, "`agent` is missing"),
    }
}

async fn transfer(State(console): Shared, Path(chat): Path<String>, Json(transfer): Json<Transfer>) -> Response {
    let target = match (transfer.to_agent, transfer.to_group) {
        (Some(agent), None) => Target::Agent(agent),
        (None, Some(group)) => Target::Group(group),
        _ => return refused(StatusCode::UNPROCESSABLE_ENTITY, "one of `to_agent` and `to_group`"),
    };
    done(console.stack.livechat.agent_transfers(&chat, &transfer.agent, target))
}

async fn agent_status(State(console): Shared, Path(agent): Path<String>, Json(new): Json<AgentStatus>) -> Response {
    let livechat = &console.stack.livechat;
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

async fn group_status(State(console): Shared, Path(group): Path<u32>, Json(new): Json<Openness>) -> Response {
    let livechat = &console.stack.livechat;
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

async fn assign(State(console): Shared, Json(which): Json<Which>) -> Response {
    let assigned = console.stack.livechat.router_assigns(&which.chat).map_err(|error| error.to_string());
    done(assigned.and_then(|taken| if taken { Ok(()) } else { Err("nobody takes the chat".to_owned()) }))
}

async fn router_closes(State(console): Shared, Json(which): Json<Which>) -> Response {
    done(console.stack.livechat.router_closes(&which.chat))
}

/// Sends a webhook of LiveChat's once more, as the vendor may.
async fn deliver_again(State(console): Shared, Path(number): Path<u64>) -> Response {
    match console.stack.livechat.replay(number) {
        true => done(Ok::<_, String>(())),
        false => refused(StatusCode::NOT_FOUND, "there is no such delivery"),
    }
}
