//! Calls to the functions, and the time to their answers.

use std::sync::atomic::{AtomicUsize, Ordering};

use sandbox::stack::Side;
use serde_json::{Value, json};
use shared::clock::Clock;

use crate::{ANNA, World, message};

/// Makes each message unique.
static NUMBER: AtomicUsize = AtomicUsize::new(1_000_000);

/// One call from outside.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// From Botpress.
    Operation { operation: &'static str, body: Value },
    /// From LiveChat.
    Webhook(Value),
    /// From Botcopy.
    Botcopy(Value),
    /// From a monitor.
    Health,
}

impl Call {
    pub(crate) fn create_user(number: usize) -> Self {
        Self::action("createUser", &person(number))
    }

    pub(crate) fn start(user_id: &str) -> Self {
        let said = json!({"source": {"type": "user", "userId": user_id}, "type": "text", "payload": {"text": "hello"}});
        Self::action("startHitl", &json!({ "userId": user_id, "messageHistory": [said] }))
    }

    pub(crate) fn stop(conversation_id: &str) -> Self {
        Self::action("stopHitl", &json!({ "conversationId": conversation_id }))
    }

    fn action(action: &str, input: &Value) -> Self {
        Self::Operation { operation: "action_triggered", body: json!({ "type": action, "input": input }) }
    }

    pub(crate) fn user_message(session: &Session, text: &str) -> Self {
        let id = format!("msg_{}", next_number());
        let body = message(&session.conversation_id, &id, text, Some(&session.user_id), Clock::system().now());
        Self::Operation { operation: "message_created", body }
    }

    pub(crate) fn agent_message(world: &World, thread: &Thread, text: &str) -> Self {
        Self::Webhook(world.envelope(
            "incoming_event",
            json!({
                "chat_id": thread.chat_id, "thread_id": thread.thread_id,
                "event": {
                    // Far from the numbers that LiveChat itself assigns.
                    "id": format!("{}_{}", thread.thread_id, next_number()),
                    "created_at": Clock::system().now(), "type": "message", "text": text,
                    "author_id": ANNA, "visibility": "all",
                },
            }),
        ))
    }

    /// The function that answers it.
    pub(crate) const fn side(&self) -> Side {
        match self {
            Self::Operation { .. } | Self::Botcopy(_) | Self::Health => Side::Actions,
            Self::Webhook(_) => Side::Webhooks,
        }
    }

    /// Status and body of the answer.
    pub(crate) async fn send(&self, world: &World, client: &reqwest::Client) -> Option<(u16, Value)> {
        match self {
            Self::Operation { operation, body } => {
                let answer = world.stack.botpress.call_operation(operation, body, &[]).await.ok()?;
                Some((answer.status, answer.json()))
            }
            Self::Webhook(body) => {
                let answer = client.post(world.stack.webhook_url()).json(body).send().await.ok()?;
                Some((answer.status().as_u16(), Value::Null))
            }
            Self::Botcopy(body) => {
                let answer = world.stack.botcopy.call_endpoint(body, &[]).await.ok()?;
                Some((answer.status, answer.json()))
            }
            Self::Health => {
                let answer = client.get(format!("{}/health", world.stack.gateway.url())).send().await.ok()?;
                Some((answer.status().as_u16(), Value::Null))
            }
        }
    }
}

fn next_number() -> usize {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// A session with a Botpress bot.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub user_id: String,
    pub conversation_id: String,
}

/// A thread in which an agent writes.
#[derive(Clone, Debug)]
pub(super) struct Thread {
    pub chat_id: String,
    pub thread_id: String,
}

/// The input of `createUser`.
pub(super) fn person(number: usize) -> Value {
    json!({ "name": format!("User {number}"), "email": format!("user-{number}@example.com") })
}
