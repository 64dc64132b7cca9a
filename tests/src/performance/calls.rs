//! Calls that the functions take, and how long they take to answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sandbox::stack::Side;
use serde_json::{Value, json};
use shared::clock::Clock;
use tokio::task::JoinSet;

use super::site::{Session, Site, Thread, person};
use crate::{ANNA, World, message};

/// What makes each message another one.
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
    pub fn create_user(number: usize) -> Self {
        Self::action("createUser", &person(number))
    }

    pub fn start(user_id: &str) -> Self {
        let said = json!({"source": {"type": "user", "userId": user_id}, "type": "text", "payload": {"text": "hello"}});
        Self::action("startHitl", &json!({ "userId": user_id, "messageHistory": [said] }))
    }

    pub fn stop(conversation_id: &str) -> Self {
        Self::action("stopHitl", &json!({ "conversationId": conversation_id }))
    }

    fn action(action: &str, input: &Value) -> Self {
        Self::Operation { operation: "action_triggered", body: json!({ "type": action, "input": input }) }
    }

    pub fn user_message(session: &Session, text: &str) -> Self {
        let id = format!("msg_{}", next_number());
        let body = message(&session.conversation_id, &id, text, Some(&session.user_id), Clock::system().now());
        Self::Operation { operation: "message_created", body }
    }

    pub fn agent_message(world: &World, thread: &Thread, text: &str) -> Self {
        Self::Webhook(world.envelope(
            "incoming_event",
            json!({
                "chat_id": thread.chat_id, "thread_id": thread.thread_id,
                "event": {
                    // Far from the numbers that LiveChat itself has given.
                    "id": format!("{}_{}", thread.thread_id, next_number()),
                    "created_at": Clock::system().now(), "type": "message", "text": text,
                    "author_id": ANNA, "visibility": "all",
                },
            }),
        ))
    }

    /// The function that answers it.
    pub const fn side(&self) -> Side {
        match self {
            Self::Operation { .. } | Self::Botcopy(_) | Self::Health => Side::Actions,
            Self::Webhook(_) => Side::Webhooks,
        }
    }

    /// Status and body of the answer.
    pub async fn send(&self, site: &Site) -> Option<(u16, Value)> {
        let world = &site.world;
        match self {
            Self::Operation { operation, body } => {
                let answer = world.stack.botpress.call_operation(operation, body, &[]).await.ok()?;
                Some((answer.status, answer.json()))
            }
            Self::Webhook(body) => {
                let answer = site.client.post(world.stack.webhook_url()).json(body).send().await.ok()?;
                Some((answer.status().as_u16(), Value::Null))
            }
            Self::Botcopy(body) => {
                let answer = world.stack.botcopy.call_endpoint(body, &[]).await.ok()?;
                Some((answer.status, answer.json()))
            }
            Self::Health => {
                let answer = site.client.get(format!("{}/health", world.stack.gateway.url())).send().await.ok()?;
                Some((answer.status().as_u16(), Value::Null))
            }
        }
    }
}

fn next_number() -> usize {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// How calls went.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub waits: Vec<Duration>,
    pub answers: Vec<Value>,
    pub failed: usize,
    pub took: Duration,
    /// Processor time of the function's processes.
    pub processor_time: Duration,
}

impl Measured {
    /// Counts more calls of the same kind in.
    pub fn add(&mut self, more: Self) {
        self.waits.extend(more.waits);
        self.failed += more.failed;
        self.took += more.took;
        self.processor_time += more.processor_time;
    }

    pub fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far from any limit")]
        let count = self.waits.len() as f64;
        count / self.took.as_secs_f64()
    }

    pub fn processor_time_each(&self) -> Duration {
        self.processor_time / u32::try_from(self.waits.len().max(1)).unwrap_or(u32::MAX)
    }
}

/// Makes the calls of each list one after another, and the lists side by side.
pub(super) async fn measure(site: &Site, side: Side, lists: Vec<Vec<Call>>) -> Measured {
    let (begin, used) = (Instant::now(), site.processor_time(side));
    let mut callers = JoinSet::new();
    for list in lists {
        let site = site.clone();
        callers.spawn(async move {
            let mut answered = Vec::with_capacity(list.len());
            for call in list {
                debug_assert_eq!(call.side(), side, "one function is measured");
                let watch = Instant::now();
                let answer = call.send(&site).await;
                answered.push((watch.elapsed(), answer));
            }
            answered
        });
    }
    let answered: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    let took = begin.elapsed();
    let processor_time = site.processor_time(side).saturating_sub(used);
    let failed = answered.iter().filter(|(_, answer)| answer.as_ref().is_none_or(|(status, _)| *status != 200)).count();
    let waits = answered.iter().map(|(wait, _)| *wait).collect();
    let answers = answered.into_iter().filter_map(|(_, answer)| answer.map(|(_, body)| body)).collect();
    Measured { waits, answers, failed, took, processor_time }
}
