//! The stack as a place to try things: it stays up, and people act through a few plain addresses.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::HOST;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::Clock;

use crate::botpress::Escalation;
use crate::faults::Faults;
use crate::server::Server;
use crate::stack::{Error, Options, Runtime, SIDE_BY_SIDE, Stack, served};

/// Ports of the gateway, LiveChat, Botpress, Botcopy, and the people who use them; 0 picks a free one.
pub type Ports = [u16; 5];

/// How to reach a stack and its people, put into words.
pub type Say = fn(&Stack, people: &str) -> String;

/// Starts the stack, with the integration installed if it is to be `connected`, says how to reach it, and waits for Ctrl-C.
///
/// # Errors
///
/// When a port is taken or the integration cannot be installed.
pub async fn serve(
    runtime: Runtime<'_>,
    [gateway, livechat, botpress, botcopy, people]: Ports,
    connected: bool,
    say: Say,
) -> Result<(), Error> {
    let ports = [gateway, livechat, botpress, botcopy];
    let options = Options {
        runtime,
        ports,
        connected,
        instances: SIDE_BY_SIDE,
        // Writes meet there as they do at AWS.
        table_proxy: true,
        ..Options::in_process(Clock::system())
    };
    let stack = Arc::new(Stack::start(options).await?);
    if connected {
        stack.install().await?;
    }
    let people = Server::start(people, router(Arc::clone(&stack)), Faults::default(), Clock::system()).await?;
    println!("{}", say(&stack, &people.url()));
    Ok(tokio::signal::ctrl_c().await?)
}

fn router(stack: Arc<Stack>) -> Router {
    Router::new()
        .route("/users", post(new_user))
        .route("/users/{conversation}/say", post(say))
        .route("/users/{conversation}/escalate", post(escalate))
        .route("/users/{conversation}/screen", get(screen))
        .route("/widgets", post(new_widget))
        .route("/widgets/{user}/say", post(widget_says))
        .route("/widgets/{user}/type", post(widget_types))
        .route("/widgets/{user}/click", post(widget_clicks))
        .route("/widgets/{user}/screen", get(widget_screen))
        .route("/chats", get(chats))
        .route("/chats/{chat}/say", post(answer))
        .route("/chats/{chat}/send", post(send))
        .route("/chats/{chat}/edit", post(edit))
        .route("/chats/{chat}/delete", post(delete))
        .route("/chats/{chat}/close", post(close))
        .route("/sweep", post(sweep))
        .route("/install", post(install))
        .route("/stack", get(description))
        .route("/journal", get(journal))
        .with_state(stack)
}

/// For a person.
pub fn directions(stack: &Stack, people: &str) -> String {
    format!(
        "The stack is up; Ctrl-C ends it.

  What the vendors call      {gateway}
    Botpress                 {integration}
    LiveChat                 {webhook}
    Botcopy                  {botcopy_endpoint}
  LiveChat's simulator       {livechat}
    organization             {organization}
    agent token              {agent_token}
    webhook secret           {webhook_secret}
  Botpress's simulator       {botpress}
    bot, integration, alias  {bot_id} {integration_id} {alias}
    access key               {access_key}
  Botcopy's simulator        {botcopy}
    bot                      {botcopy_bot}
    access token             {botcopy_token}
    API key                  {botcopy_key}

Be the user of the Botpress bot:
  curl -X POST {people}/users -d '{{\"name\":\"Ann\"}}' -H 'content-type: application/json'
  curl -X POST {people}/users/CONVERSATION/say -d '{{\"text\":\"hi\"}}' -H 'content-type: application/json'
  curl -X POST {people}/users/CONVERSATION/escalate
  curl {people}/users/CONVERSATION/screen
Be the user of the Botcopy bot; the word \"human\" makes it ask for a person:
  curl -X POST {people}/widgets -d '{{\"language\":\"de\"}}' -H 'content-type: application/json'
  curl -X POST {people}/widgets/USER/say -d '{{\"text\":\"a human please\"}}' -H 'content-type: application/json'
  curl -X POST {people}/widgets/USER/type
  curl -X POST {people}/widgets/USER/click -d '{{\"event\":\"BUY\"}}' -H 'content-type: application/json'
  curl {people}/widgets/USER/screen
Be the agent:
  curl {people}/chats
  curl -X POST {people}/chats/CHAT/say -d '{{\"agent\":\"anna@example.com\",\"text\":\"hello\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/send -d '{{\"agent\":\"anna@example.com\",\"name\":\"a.txt\",\"type\":\"text/plain\",\"content\":\"hello\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/edit -d '{{\"event\":\"EVENT\",\"text\":\"hullo\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/delete -d '{{\"agent\":\"anna@example.com\",\"event\":\"EVENT\"}}' -H 'content-type: application/json'
  curl -X POST {people}/chats/CHAT/close -d '{{\"agent\":\"anna@example.com\"}}' -H 'content-type: application/json'
Be the clock, or the auditor:
  curl -X POST {people}/sweep
  curl {people}/journal
Be the operator, in another terminal:
  cargo run -p cli -- --sandbox {people} doctor
Or start with `serve --unconnected`, connect LiveChat and Botpress with the same command, and press Botpress's button:
  curl -X POST {people}/install",
        gateway = stack.gateway.url(),
        integration = stack.integration_url(),
        webhook = stack.webhook_url(),
        livechat = stack.livechat.url(),
        organization = stack.livechat.account().organization_id,
        agent_token = stack.livechat.account().agent_token,
        webhook_secret = stack.webhook_secret(),
        botpress = stack.botpress.url(),
        bot_id = stack.botpress.options().install.bot_id,
        integration_id = stack.botpress.options().install.integration_id,
        alias = stack.botpress.options().install.alias,
        access_key = stack.botpress.options().access_key,
        botcopy_endpoint = stack.botcopy_url(),
        botcopy = stack.botcopy.url(),
        botcopy_bot = stack.botcopy.options().bot_id,
        botcopy_token = stack.botcopy.options().access_token,
        botcopy_key = stack.botcopy.options().api_key,
    )
}

/// For a tool, in one line.
///
/// Shape: `{"gateway":"http://…","people":"http://…","livechat":{…},"botpress":{…},"botcopy":{…},"environment":{…},
/// "routes":[["actions","GET","/health"],…]}`; each vendor has its `url`, what it calls of ours, and the credentials and ids that it
/// issued; the environment is the operator's, the routes are what the functions serve.
pub fn as_json(stack: &Stack, people: &str) -> String {
    described(stack, people).to_string()
}

/// What a tool needs to know of a stack.
pub fn described(stack: &Stack, people: &str) -> Value {
    let (workspace_id, workspace_handle, personal_access_token) = stack.botpress.workspace();
    let (account, options) = (stack.livechat.account(), stack.botpress.options());
    let route = |(function, method, path): (_, Method, _)| json!([function, method.as_str(), path]);
    json!({
        "routes": served().into_iter().map(route).collect::<Vec<_>>(),
        "gateway": stack.gateway.url(),
        "people": people,
        "livechat": {
            "url": stack.livechat.url(),
            "webhook_url": stack.webhook_url(),
            "webhook_secret": stack.webhook_secret(),
            "organization_id": account.organization_id,
            "client_id": account.client_id,
            "redirect_uri": account.redirect_uri,
            "agent_token": account.agent_token,
            "agent_token_owner": account.agent_token_owner,
        },
        "botpress": {
            "url": stack.botpress.url(),
            "integration_url": stack.integration_url(),
            "bot_id": options.install.bot_id,
            "integration_id": options.install.integration_id,
            "alias": options.install.alias,
            "access_key": options.access_key,
            "workspace_id": workspace_id,
            "workspace_handle": workspace_handle,
            "personal_access_token": personal_access_token,
        },
        "botcopy": {
            "url": stack.botcopy.url(),
            "endpoint_url": stack.botcopy_url(),
            "bot_id": stack.botcopy.options().bot_id,
            "access_token": stack.botcopy.options().access_token,
            "custom_header": stack.botcopy.options().custom_header,
            "api_key": stack.botcopy.options().api_key,
        },
        "environment": stack.operator_environment(),
    })
}

#[derive(Deserialize)]
struct NewUser {
    name: String,
    email: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    text: String,
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
struct Answered {
    agent: String,
    text: String,
}

#[derive(Deserialize)]
struct Sent {
    agent: String,
    name: String,
    #[serde(rename = "type")]
    content_type: String,
    content: String,
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

#[derive(Deserialize)]
struct Closed {
    agent: String,
}

async fn new_user(State(stack): State<Arc<Stack>>, Json(user): Json<NewUser>) -> Json<Value> {
    let user = stack.botpress.new_user(&user.name, user.email.as_deref(), None);
    Json(json!({ "conversation": user.conversation_id }))
}

async fn say(State(stack): State<Arc<Stack>>, Path(conversation): Path<String>, Json(said): Json<Said>) -> Response {
    done(stack.botpress.user_says(&conversation, &said.text).await)
}

async fn escalate(State(stack): State<Arc<Stack>>, Path(conversation): Path<String>) -> Response {
    done(stack.botpress.escalate(&conversation, Escalation::default()).await)
}

async fn screen(State(stack): State<Arc<Stack>>, Path(conversation): Path<String>) -> Json<Value> {
    let lines = stack.botpress.transcript(&conversation);
    let lines = lines.iter().map(|line| {
        json!({
            "from": format!("{:?}", line.from), "name": line.name, "text": line.text,
            "type": line.message_type, "payload": line.payload,
        })
    });
    Json(lines.collect())
}

async fn new_widget(State(stack): State<Arc<Stack>>, opened: Option<Json<Opened>>) -> Json<Value> {
    let language = opened.and_then(|Json(opened)| opened.language);
    Json(json!({ "user": stack.botcopy.new_user_speaking(language.as_deref().unwrap_or("en")) }))
}

async fn widget_types(State(stack): State<Arc<Stack>>, Path(user): Path<String>) -> Response {
    done(stack.botcopy.user_types(&user).await)
}

async fn widget_clicks(
    State(stack): State<Arc<Stack>>,
    Path(user): Path<String>,
    Json(clicked): Json<Clicked>,
) -> Response {
    done(stack.botcopy.user_clicks(&user, &clicked.event, &clicked.parameters).await)
}

async fn widget_says(State(stack): State<Arc<Stack>>, Path(user): Path<String>, Json(said): Json<Said>) -> Response {
    done(stack.botcopy.user_says(&user, &said.text).await)
}

async fn widget_screen(State(stack): State<Arc<Stack>>, Path(user): Path<String>) -> Json<Value> {
    let lines = stack.botcopy.screen(&user);
    let lines =
        lines.iter().map(|line| json!({ "from": format!("{:?}", line.from), "name": line.name, "text": line.text }));
    Json(lines.collect())
}

async fn chats(State(stack): State<Arc<Stack>>) -> Json<Value> {
    let chats = stack.livechat.open_chats();
    let chats = chats.iter().map(|chat| json!({ "chat": chat.id, "agent": chat.public_agent() }));
    Json(chats.collect())
}

async fn answer(State(stack): State<Arc<Stack>>, Path(chat): Path<String>, Json(said): Json<Answered>) -> Response {
    done(stack.livechat.agent_sends_text(&chat, &said.agent, &said.text))
}

async fn send(State(stack): State<Arc<Stack>>, Path(chat): Path<String>, Json(sent): Json<Sent>) -> Response {
    let Sent { agent, name, content_type, content } = sent;
    done(stack.livechat.agent_sends_file(&chat, &agent, &name, &content_type, content.into_bytes()))
}

async fn edit(State(stack): State<Arc<Stack>>, Path(chat): Path<String>, Json(edited): Json<Edited>) -> Response {
    done(stack.livechat.agent_edits(&chat, &edited.event, &edited.text))
}

async fn delete(State(stack): State<Arc<Stack>>, Path(chat): Path<String>, Json(deleted): Json<Deleted>) -> Response {
    done(stack.livechat.agent_deletes(&chat, &deleted.agent, &deleted.event))
}

async fn close(State(stack): State<Arc<Stack>>, Path(chat): Path<String>, Json(closed): Json<Closed>) -> Response {
    done(stack.livechat.agent_closes(&chat, &closed.agent))
}

async fn sweep(State(stack): State<Arc<Stack>>) -> Response {
    match stack.sweep().await {
        Ok(swept) => Json(swept).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The button in Botpress Studio.
async fn install(State(stack): State<Arc<Stack>>) -> Response {
    done(stack.botpress.install_deployed().await.and_then(|answer| match answer.status {
        200 => Ok(()),
        _ => Err(answer.body),
    }))
}

async fn description(State(stack): State<Arc<Stack>>, headers: HeaderMap) -> Json<Value> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    Json(described(&stack, &format!("http://{host}")))
}

async fn journal(State(stack): State<Arc<Stack>>) -> Response {
    Json(stack.journal.entries()).into_response()
}

/// What a person did, or why they could not.
fn done<T, E: std::fmt::Display>(outcome: Result<T, E>) -> Response {
    match outcome {
        Ok(_) => Json(json!({ "done": true })).into_response(),
        Err(error) => (StatusCode::CONFLICT, Json(json!({ "refused": error.to_string() }))).into_response(),
    }
}
