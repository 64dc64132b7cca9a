//! What both kinds of agents are played with: a session, its chat, and what the user does in it.

use serde_json::{Value, json};
use shared::ids::{ChatId, SessionId, ThreadId, UserId};

use super::stage::Stage;
use super::statements::Id;
use crate::output::Failure;

/// One session of the rehearsal.
pub(super) struct Scene {
    pub session_id: SessionId,
    pub conversation_id: String,
    pub chat_id: ChatId,
    pub thread_id: ThreadId,
}

pub(super) fn random() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

pub(super) async fn chat(stage: &Stage<'_>, scene: &Scene) -> Result<Value, Failure> {
    stage.agent_must("get_chat", &json!({"chat_id": scene.chat_id, "thread_id": scene.thread_id})).await
}

pub(super) fn has_text(chat: &Value, text: &str) -> bool {
    let events = chat.pointer("/thread/events").and_then(Value::as_array).into_iter().flatten();
    events.into_iter().any(|event| event.get("text").and_then(Value::as_str).is_some_and(|one| one.contains(text)))
}

/// The user says something; returns the message's id.
pub(super) async fn says(
    stage: &Stage<'_>,
    user_id: &UserId,
    conversation_id: &str,
    (kind, payload): (&str, Value),
) -> Result<String, Failure> {
    let (message_id, now) = (format!("msg_{}", random()), stage.clock.now());
    let mut payload = payload;
    if let Some(fields) = payload.as_object_mut() {
        fields.insert("userId".to_owned(), json!(user_id));
    }
    let bot_id = &stage.install.bot_id;
    let body = json!({
        "type": kind, "payload": payload,
        "conversation": {"id": conversation_id, "channel": "hitl", "integration": stage.install.alias, "tags": {}, "createdAt": now, "updatedAt": now},
        "user": {"id": bot_id, "tags": {}, "createdAt": now, "updatedAt": now},
        "message": {
            "id": message_id, "conversationId": conversation_id, "userId": bot_id, "type": kind, "payload": payload,
            "direction": "outgoing", "tags": {}, "createdAt": now, "updatedAt": now,
        },
    });
    match stage.operate("message_created", &format!("message_created {kind}"), &body).await? {
        (200, _) => Ok(message_id),
        (status, _) => Err(Failure::refused(format!("the stack answered a message with {status}"))),
    }
}

/// The user writes, and the agents have it.
pub(super) async fn write_to_agent(stage: &Stage<'_>, user_id: &UserId, scene: &Scene) -> Result<(), Failure> {
    let (mark, sent_at) = (random(), stage.clock.now());
    let payload = ("text", json!({"text": format!("hello {mark}")}));
    let message_id = says(stage, user_id, &scene.conversation_id, payload).await?;
    stage.delivered("text to the agent", &scene.session_id, (&message_id, sent_at)).await?;
    if !has_text(&chat(stage, scene).await?, &format!("hello {mark}")) {
        stage.failed("text in LiveChat", "the thread does not have it");
    }
    Ok(())
}

/// Reads a file of an agent's as anybody could, and sends it as the user.
pub(super) async fn send_file_back(
    stage: &Stage<'_>,
    user_id: &UserId,
    scene: &Scene,
    url: &str,
) -> Result<(), Failure> {
    let began = stage.clock.now();
    let read = shared::operator::probe::Endpoint::new(url, stage.target.http.clone()).get("").await?;
    stage.note("anybody: GET file".to_owned(), Some(read.status), began);
    stage.judge(Id::Files, read.status == 200, &format!("Seen: {}.", read.status));
    let payload = ("file", json!({"fileUrl": url, "title": "rehearsal.txt"}));
    let message_id = says(stage, user_id, &scene.conversation_id, payload).await?;
    stage.delivered("file to the agent", &scene.session_id, (&message_id, began)).await
}
