//! Trouble other than faulty calls: credentials, functions that die, the passing of time.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use shared::fail_point::{Place, Side};

use super::{Console, done, refused};
use crate::error;
use crate::stack::Stack;

/// The vendor calls at which a function can be killed, as the functions name their steps.
const STEPS: &[&str] = &[
    "vendor create_event",
    "vendor deactivate_chat",
    "vendor get_or_create_conversation",
    "vendor get_or_create_message",
    "vendor get_or_create_user",
    "vendor list_chats",
    "vendor push",
    "vendor resume_chat",
    "vendor send_event",
    "vendor start_chat",
    "vendor update_customer",
    "vendor upload_file",
];

/// Restores the agent token, with every scope.
pub(super) fn give_back(stack: &Stack) {
    stack.livechat.set_agent_token_valid(true);
    stack.livechat.restore_agent_token_scopes();
}

/// `{"agent_token":"valid"|"revoked"|"without_scopes","customer_tokens":"expired","signing_secret":"changed"}`; each is optional.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    agent_token: Option<AgentToken>,
    customer_tokens: Option<CustomerTokens>,
    signing_secret: Option<SigningSecret>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AgentToken {
    Valid,
    Revoked,
    WithoutScopes,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CustomerTokens {
    Expired,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SigningSecret {
    Changed,
}

pub(super) async fn credentials(State(console): State<Arc<Console>>, Json(change): Json<Credentials>) -> Response {
    let stack = &console.stack;
    match change.agent_token {
        Some(AgentToken::Valid) => give_back(stack),
        Some(AgentToken::Revoked) => stack.livechat.set_agent_token_valid(false),
        Some(AgentToken::WithoutScopes) => stack.livechat.set_agent_token_scopes(&[]),
        None => {}
    }
    if let Some(CustomerTokens::Expired) = change.customer_tokens {
        stack.livechat.expire_customer_tokens();
    }
    if let Some(SigningSecret::Changed) = change.signing_secret {
        stack.botpress.change_signing_secret();
    }
    done(Ok::<_, error::Error>(()))
}

pub(super) async fn restart(State(console): State<Arc<Console>>) -> Response {
    let handle = tokio::runtime::Handle::current();
    // Starting a process must stay on one thread, while a handler must be able to change threads.
    let restarted = tokio::task::spawn_blocking(move || handle.block_on(console.stack.restart_all())).await;
    done(restarted.map_err(error::Error::from).flatten())
}

/// `{"before":"send_event"}` or `{"after":"send_event"}`; without either, processes are killed at once.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Death {
    before: Option<String>,
    after: Option<String>,
}

pub(super) async fn kill(State(console): State<Arc<Console>>, death: Option<Json<Death>>) -> Response {
    let Json(death) = death.unwrap_or_default();
    let (call, side) = match (death.before, death.after) {
        (Some(call), None) => (call, Side::Before),
        (None, Some(call)) => (call, Side::After),
        (None, None) => return kill_processes(&console.stack).await,
        (Some(_), Some(_)) => return refused(StatusCode::UNPROCESSABLE_ENTITY, "one of `before` and `after`"),
    };
    if !console.stack.is_in_process() {
        return refused(StatusCode::CONFLICT, "compiled functions are killed at once: leave the body empty");
    }
    let step = STEPS.iter().find(|step| step.strip_prefix("vendor ") == Some(call.as_str()));
    let Some(step) = step else {
        let known: Vec<_> = STEPS.iter().filter_map(|step| step.strip_prefix("vendor ")).collect();
        return refused(StatusCode::UNPROCESSABLE_ENTITY, &format!("the calls are {}", known.join(", ")));
    };
    console.plan.kill_at(Place { step, side }, 1);
    done(Ok::<_, error::Error>(()))
}

async fn kill_processes(stack: &Stack) -> Response {
    if stack.is_in_process() {
        return refused(StatusCode::CONFLICT, "functions in this process die at a call: {\"after\":\"send_event\"}");
    }
    stack.end_processes().await;
    done(Ok::<_, error::Error>(()))
}

/// `{"advance_s":60}`
#[derive(Debug, Deserialize)]
pub(super) struct Advance {
    advance_s: u32,
}

pub(super) async fn clock(State(console): State<Arc<Console>>, Json(advance): Json<Advance>) -> Response {
    match &console.manual {
        Some(manual) => {
            manual.advance(Duration::from_secs(advance.advance_s.into()));
            Json(json!({ "now": manual.now() })).into_response()
        }
        None => refused(StatusCode::CONFLICT, "the clock is the machine's; start with `serve --clock manual`"),
    }
}
