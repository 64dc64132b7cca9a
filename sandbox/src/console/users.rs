//! The actions of users and bots, and the screens of users.

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
use crate::botpress::{Escalation, Profile};
use crate::stack::Stack;

type Shared = State<Arc<Stack>>;

pub(super) fn router(stack: Arc<Stack>) -> Router {
    Router::new()
        .route("/users", post(new_user))
        .route("/users/{conversation}/say", post(say))
        .route("/users/{conversation}/message", post(user_sends))
        .route("/users/{conversation}/file", post(user_sends_file))
        .route("/users/{conversation}/profile", post(changes_profile))
        .route("/users/{conversation}/escalate", post(escalate))
        .route("/users/{conversation}/end", post(user_ends))
        .route("/users/{conversation}/stop", post(bot_stops))
        .route("/users/{conversation}/screen", get(screen))
        .route("/widgets", post(new_widget))
        .route("/widgets/{user}/say", post(widget_says))
        .route("/widgets/{user}/type", post(widget_types))
        .route("/widgets/{user}/click", post(widget_clicks))
        .route("/widgets/{user}/screen", get(widget_screen))
        .route("/install", post(install))
        .route("/endpoint", post(set_endpoint))
        .with_state(stack)
}

#[derive(Deserialize)]
struct NewUser {
    name: String,
    email: Option<String>,
    picture: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    text: String,
}

/// A message of any type that the webchat supports.
#[derive(Deserialize)]
struct Message {
    r#type: String,
    payload: Value,
}

#[derive(Deserialize)]
struct Opened {
    language: Option<String>,
}

#[derive(Deserialize)]
struct Clicked {
    event: String,
    #[serde(default)]
    parameters: Value,
}

#[derive(Deserialize)]
struct At {
    url: String,
}

async fn new_user(State(stack): Shared, Json(user): Json<NewUser>) -> Json<Value> {
    let user = stack.botpress.new_user(&user.name, user.email.as_deref(), user.picture.as_deref());
    Json(json!({ "conversation": user.conversation_id }))
}

async fn say(State(stack): Shared, Path(conversation): Path<String>, Json(said): Json<Said>) -> Response {
    done(stack.botpress.user_says(&conversation, &said.text).await)
}

async fn user_sends(State(stack): Shared, Path(conversation): Path<String>, Json(message): Json<Message>) -> Response {
    done(stack.botpress.user_sends(&conversation, &message.r#type, message.payload).await)
}

async fn user_sends_file(State(stack): Shared, Path(user): Path<String>, Json(file): Json<Attached>) -> Response {
    let bytes = match file.bytes() {
        Ok(bytes) => bytes,
        Err(reason) => return refused(StatusCode::UNPROCESSABLE_ENTITY, reason),
    };
    let botpress = &stack.botpress;
    let url = botpress.stores_file(&file.name, &file.r#type, bytes);
    let kind =
        file.r#type.split('/').next().filter(|kind| ["image", "audio", "video"].contains(kind)).unwrap_or("file");
    let mut payload = json!({ "title": file.name });
    if let Some(fields) = payload.as_object_mut() {
        fields.insert(format!("{kind}Url"), url.into());
    }
    done(botpress.user_sends(&user, kind, payload).await)
}

async fn changes_profile(
    State(stack): Shared,
    Path(conversation): Path<String>,
    Json(changes): Json<Profile>,
) -> Response {
    done(stack.botpress.changes_profile(&conversation, changes))
}

async fn escalate(State(stack): Shared, Path(conversation): Path<String>) -> Response {
    done(stack.botpress.escalate(&conversation, Escalation::default()).await)
}

async fn user_ends(State(stack): Shared, Path(conversation): Path<String>) -> Response {
    done(stack.botpress.user_ends(&conversation).await)
}

/// The bot's workflow reaches its Stop HITL card.
async fn bot_stops(State(stack): Shared, Path(conversation): Path<String>) -> Response {
    done(stack.botpress.stop(&conversation).await)
}

async fn screen(State(stack): Shared, Path(conversation): Path<String>) -> Json<Value> {
    let lines = stack.botpress.transcript(&conversation);
    let lines = lines.iter().map(|line| {
        json!({
            "from": format!("{:?}", line.from), "name": line.name, "text": line.text,
            "type": line.message_type, "payload": line.payload,
        })
    });
    Json(lines.collect())
}

async fn new_widget(State(stack): Shared, opened: Option<Json<Opened>>) -> Json<Value> {
    let language = opened.and_then(|Json(opened)| opened.language);
    Json(json!({ "user": stack.botcopy.new_user_speaking(language.as_deref().unwrap_or("en")) }))
}

async fn widget_says(State(stack): Shared, Path(user): Path<String>, Json(said): Json<Said>) -> Response {
    done(stack.botcopy.user_says(&user, &said.text).await)
}

async fn widget_types(State(stack): Shared, Path(user): Path<String>) -> Response {
    done(stack.botcopy.user_types(&user).await)
}

async fn widget_clicks(State(stack): Shared, Path(user): Path<String>, Json(clicked): Json<Clicked>) -> Response {
    done(stack.botcopy.user_clicks(&user, &clicked.event, &clicked.parameters).await)
}

async fn widget_screen(State(stack): Shared, Path(user): Path<String>) -> Json<Value> {
    let lines = stack.botcopy.screen(&user);
    let lines =
        lines.iter().map(|line| json!({ "from": format!("{:?}", line.from), "name": line.name, "text": line.text }));
    Json(lines.collect())
}

/// The button in Botpress Studio: for the integration that `hitl connect botpress` created, or for the one at this address.
async fn install(State(stack): Shared, at: Option<Json<At>>) -> Response {
    let installed = match at {
        Some(Json(At { url })) => stack.botpress.install_integration(&url).await,
        None => stack.botpress.install_deployed().await,
    };
    done(installed.and_then(|answer| match answer.status {
        200 => Ok(()),
        _ => Err(answer.body),
    }))
}

/// The field for the live-chat endpoint in Botcopy's portal.
async fn set_endpoint(State(stack): Shared, Json(At { url }): Json<At>) -> Response {
    stack.botcopy.connect(&url);
    done(Ok::<_, String>(()))
}
