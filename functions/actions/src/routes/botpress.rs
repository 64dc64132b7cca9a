//! `POST /botpress/{key}`: all calls of Botpress Cloud.

use std::time::Duration;

use http::{Response, StatusCode};
use serde_json::{Value, json};
use shared::api::event::{Request, text};
use shared::botpress::{Action, Configuration, Context, Operation, WebhookReceived, reply};
use shared::clock::Timestamp;
use shared::handoff::{Availability, BotpressProof, Handoff, RateRequest, Rejection, ReportRequest, StartRequest};
use shared::ids::{ConversationId, SessionId, UserId};
use shared::model::call::{FirstAnswer, SignedCall};
use shared::model::session::Platform;
use shared::model::user::Profile;
use shared::telemetry;

use crate::answer;

/// Far larger than any message.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// Lambda's own limit. Agents read the newest part of a long history, so its length is no reason to refuse a start.
const MAX_ACTION_BYTES: usize = 6 * 1024 * 1024;

/// After this time the gateway gives a call up; an older time of receipt comes from another clock.
const LONGEST_WAY: Duration = Duration::from_secs(30);

/// The bot waits for `stopHitl` before it says goodbye, so the answer comes soon, delivered or not.
const STOP_TIME: Duration = Duration::from_secs(8);

/// The pause between two attempts to make a stop durable.
const STOP_PAUSE: Duration = Duration::from_millis(500);

/// Answers one call of Botpress.
pub(crate) async fn respond(handoff: &Handoff, request: &Request, key: &str, deadline: Timestamp) -> Response<String> {
    let asked_at = asked_at(handoff, request);
    let body = request.body.as_slice();
    let operation = request.headers.get("x-bp-operation");
    let is_action = operation.is_some_and(|operation| operation == "action_triggered");
    let is_ping = operation.is_some_and(|operation| operation == "ping");
    if body.len() > if is_action { MAX_ACTION_BYTES } else { MAX_BODY_BYTES } {
        return answer::too_large(handoff.clock.now());
    }
    let signature = request.headers.get("x-bp-signature").map(|value| value.to_str().unwrap_or_default());
    let call = match handoff.authenticate_botpress(BotpressProof { path_key: key, signature, body }).await {
        Ok(call) => call,
        Err(rejection) => return turn_away(handoff, &rejection, is_ping).await,
    };
    let now = handoff.clock.now();
    let context = match Context::from_headers(&request.headers) {
        Ok(context) => context,
        Err(error) => return answer::invalid_payload(&error.to_string(), now),
    };
    let allowed = &handoff.config.integration_ids;
    if !allowed.is_empty() && !allowed.contains(&context.install.integration_id) {
        return turn_away(handoff, &Rejection::Foreign, is_ping).await;
    }
    match Operation::decode(&context.operation, body, asked_at) {
        Ok((operation, odd)) => {
            let name = operation.name();
            handoff.report_odd("Botpress", name, &odd);
            let work = perform(handoff, request, &context, call.as_ref(), operation, (asked_at, deadline));
            let work = Box::pin(telemetry::traced(context.traceparent.as_deref(), work));
            let response = if is_ping { work.await } else { handoff.let_botpress_in(work).await };
            let duration_ms = handoff.clock.now().since(now).as_secs_f64() * 1_000.0;
            tracing::info!(
                botpress.operation = name,
                status = response.status().as_u16(),
                duration_ms,
                "an operation was answered"
            );
            response
        }
        Err(error) => answer::invalid_payload(&error.to_string(), now),
    }
}

/// Refuses a call and records that; a ping leaves no record, because monitors and `hitl doctor` send it, too.
async fn turn_away(handoff: &Handoff, rejection: &Rejection, is_ping: bool) -> Response<String> {
    if !is_ping {
        handoff.turn_botpress_away(rejection).await;
    }
    answer::turned_away(rejection)
}

/// When a call reached the stack: the gateway's own time, which precedes a cold start, if it is plausible.
fn asked_at(handoff: &Handoff, request: &Request) -> Timestamp {
    let now = handoff.clock.now();
    let received_at = request.received_ms.map(Timestamp::from_unix_millis);
    received_at.filter(|at| *at <= now && now.since(*at) < LONGEST_WAY).unwrap_or(now)
}

async fn perform(
    handoff: &Handoff,
    request: &Request,
    context: &Context,
    call: Option<&SignedCall>,
    operation: Operation,
    (asked_at, deadline): (Timestamp, Timestamp),
) -> Response<String> {
    let done = match operation {
        Operation::Action(action) => return act(handoff, context, call, action, (asked_at, deadline)).await,
        Operation::WebhookReceived(relayed) => return receive(handoff, relayed, deadline).await,
        Operation::MessageCreated(message) => handoff.send(&message, deadline).await,
        Operation::Register(_) | Operation::Unregister(_) => {
            return lifecycle(handoff, request, context, call, &operation).await;
        }
        Operation::Ping
        | Operation::MessageUpdated
        | Operation::ConversationUpdated
        | Operation::CreateUser
        | Operation::CreateConversation => Ok(()),
    };
    match done {
        Ok(()) => answer::json(StatusCode::OK, &reply::empty()),
        Err(error) => answer::failure(&error, handoff.clock.now()),
    }
}

/// An install was added or removed. Neither operation nor headers are signed, so the body has to name the install, and a
/// replay does nothing, whatever operation it claims to be.
async fn lifecycle(
    handoff: &Handoff,
    request: &Request,
    context: &Context,
    call: Option<&SignedCall>,
    operation: &Operation,
) -> Response<String> {
    let (Operation::Register(webhook_url) | Operation::Unregister(webhook_url)) = operation else {
        return answer::json(StatusCode::OK, &reply::empty());
    };
    let install = &context.install;
    if !install.is_reached_at(webhook_url) {
        return turn_away(handoff, &Rejection::Foreign, false).await;
    }
    match handoff.first_answer(call).await {
        Ok(None) => {}
        Ok(Some(_)) => return answer::json(StatusCode::OK, &reply::empty()),
        Err(error) => return answer::failure(&error, handoff.clock.now()),
    }
    let done = match (operation, &context.configuration) {
        (Operation::Register(_), Ok(configuration)) => {
            handoff.register(install, configuration.group_id, &livechat_url(request)).await
        }
        (Operation::Register(_), Err(error)) => {
            return answer::invalid_payload(&error.to_string(), handoff.clock.now());
        }
        _ => handoff.unregister(install, &livechat_url(request)).await,
    };
    match done {
        Ok(()) => {
            handoff.remember_answer(call, || FirstAnswer::Given(String::new())).await;
            answer::json(StatusCode::OK, &reply::empty())
        }
        Err(error) => answer::failure(&error, handoff.clock.now()),
    }
}

async fn act(
    handoff: &Handoff,
    context: &Context,
    call: Option<&SignedCall>,
    action: Action,
    (asked_at, deadline): (Timestamp, Timestamp),
) -> Response<String> {
    let install = &context.install;
    let output = match action {
        Action::CreateUser { name, picture_url, email } => {
            let profile =
                Profile { name: name.into(), email: email.map(Into::into), picture_url: picture_url.map(Into::into) };
            handoff.create_user(install, profile, call).await.map(|id| json!({ "userId": id }))
        }
        Action::StartHitl { user_id, title, description, hitl_session, message_history } => {
            let settings = match &context.configuration {
                Ok(configuration) => hitl_session.or(configuration),
                Err(error) => return answer::invalid_payload(&error.to_string(), handoff.clock.now()),
            };
            let request = StartRequest {
                platform: &Platform::Botpress(install.clone()),
                user_id: &user_id,
                group_id: settings.group_id,
                language: settings.language.as_deref(),
                title: title.as_ref().map(|title| title.expose()),
                description: description.as_ref().map(|description| description.expose()),
                history: &message_history,
                tags: &settings.tags,
                session_fields: &settings.session_fields,
                prepared: None,
                repeat_key: None,
                call,
                asked_at,
                claimed_by: deadline,
            };
            handoff.start(request, deadline).await.map(|id| json!({ "conversationId": id }))
        }
        Action::CheckAvailability { asked } => Ok(json!(availability(handoff, context, asked, deadline).await)),
        Action::RateHandoff { conversation_id, user_id, is_good, comment } => {
            let (conversation_id, user_id, comment) = (conversation_id.as_ref(), user_id.as_ref(), comment.as_ref());
            let request = RateRequest { conversation_id, user_id, is_good, comment };
            Box::pin(handoff.rate(install, &request)).await.map(|rated| json!(rated))
        }
        Action::GetHandoffReport { user_id, session_id, conversation_id, with_summary } => {
            return report(handoff, context, (user_id, session_id, conversation_id), with_summary, deadline).await;
        }
        Action::StopHitl { conversation_id } => Ok(stop(handoff, &conversation_id, deadline).await),
    };
    match output {
        Ok(output) => answer::json(StatusCode::OK, &reply::action_output(output)),
        Err(error) => answer::failure(&error, handoff.clock.now()),
    }
}

/// Never fails the bot's question: if something cannot be read, the answer is "unknown".
async fn availability(
    handoff: &Handoff,
    context: &Context,
    asked: Option<Configuration>,
    deadline: Timestamp,
) -> Availability {
    let language = asked.as_ref().and_then(|asked| asked.language.clone());
    match (asked, &context.configuration) {
        (Some(asked), Ok(configuration)) => {
            let settings = asked.or(configuration);
            Box::pin(handoff.check_availability(settings.group_id, settings.language.as_deref(), deadline)).await
        }
        _ => handoff.unknown_availability(language.as_deref()),
    }
}

/// Answers with a sentence if there is no report, even while the table is unavailable.
async fn report(
    handoff: &Handoff,
    context: &Context,
    (user_id, session_id, conversation_id): (UserId, Option<SessionId>, Option<ConversationId>),
    with_summary: bool,
    deadline: Timestamp,
) -> Response<String> {
    let (session_id, conversation_id) = (session_id.as_ref(), conversation_id.as_ref());
    let request = ReportRequest { user_id: &user_id, session_id, conversation_id, with_summary };
    match handoff.report(&context.install, request, deadline).await {
        Ok(report) => answer::json(StatusCode::OK, &reply::action_output(report)),
        Err(error) => answer::failure(&error, handoff.clock.now()),
    }
}

/// Returns no error, because that would leave the user without the bot's goodbye and the bot without its turn. If a stop
/// could not be made durable, it is tried again while there is time.
async fn stop(handoff: &Handoff, conversation_id: &ConversationId, deadline: Timestamp) -> Value {
    let soon = deadline.min(handoff.clock.now() + STOP_TIME);
    while let Err(error) = handoff.stop(conversation_id, soon).await {
        tracing::error!(error = %error, conversation.id = telemetry::id(conversation_id),
            "a stop could not be made durable");
        if handoff.clock.now() + STOP_PAUSE > soon {
            break;
        }
        handoff.clock.sleep(STOP_PAUSE).await;
    }
    json!({})
}

/// LiveChat's event, relayed by Botpress's public webhook; the answer goes back to LiveChat.
async fn receive(handoff: &Handoff, relayed: WebhookReceived, deadline: Timestamp) -> Response<String> {
    let body = relayed.body.as_ref().map_or("", |body| body.expose());
    let event = match handoff.authenticate_livechat(body.as_bytes()).await {
        Ok(event) => event,
        Err(rejection) => return answer::turned_away(&rejection),
    };
    match handoff.receive(&event, deadline).await {
        Ok(_) => text(StatusCode::OK, "ok"),
        Err(error) => answer::failure(&error, handoff.clock.now()),
    }
}

/// LiveChat's address of this stack: on the same API under whose address Botpress has just reached it.
fn livechat_url(request: &Request) -> String {
    request.beside("/botpress/", "/livechat")
}
