//! Calls as the agent who made the personal access token: the Agent Chat Web API.

use serde::Serialize;
use serde_json::json;

use super::{Action, Api, Chat, Client, Result};
use crate::http::Call;
use crate::ids::{ChatId, ThreadId};
use crate::redacted::Redacted;

/// The APIs on behalf of an agent, for what a customer cannot do.
#[derive(Clone, Copy, Debug)]
pub struct Agent<'a> {
    client: &'a Client,
    token: &'a Redacted,
}

#[derive(Serialize)]
pub(super) struct GetChat<'a> {
    pub chat_id: &'a ChatId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<&'a ThreadId>,
}

impl<'a> Agent<'a> {
    pub(super) const fn new(client: &'a Client, token: &'a Redacted) -> Self {
        Self { client, token }
    }

    /// Closes the open thread without being a member of the chat.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error); a closed thread shows as [`is_chat_inactive`](super::Error::is_chat_inactive).
    ///
    /// See LiveChat Docs, "Deactivate Chat" (Agent Chat Web API).
    pub async fn deactivate_chat(&self, id: &ChatId) -> Result<()> {
        let body = json!({"id": id, "ignore_requester_presence": true});
        self.client.perform(self.action(Call::repeatable("deactivate_chat"), &body)?).await
    }

    /// The chat with the requested thread, or with the latest. Agents appear in it under their e-mail addresses.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error); an unknown chat shows as [`is_not_found`](super::Error::is_not_found).
    ///
    /// See LiveChat Docs, "Get Chat" (Agent Chat Web API).
    pub async fn get_chat(&self, chat_id: &ChatId, thread_id: Option<&ThreadId>) -> Result<Chat> {
        let body = GetChat { chat_id, thread_id };
        let action = self.action(Call::repeatable("get_chat"), &body)?;
        self.client.read(action, |chat| Chat::read(chat, (Some(chat_id), thread_id))).await
    }

    /// Tags a thread; the tag must exist, and belong to one of the thread's groups. A repetition changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error).
    ///
    /// See LiveChat Docs, "Tag Thread".
    pub async fn tag_thread(&self, chat_id: &ChatId, thread_id: &ThreadId, tag: &str) -> Result<()> {
        let body = json!({"chat_id": chat_id, "thread_id": thread_id, "tag": tag});
        self.client.perform(self.action(Call::repeatable("tag_thread"), &body)?).await
    }

    /// Asks LiveChat to summarise a thread; the summary appears in the thread later. A closed thread can be summarised once.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error).
    ///
    /// See LiveChat Docs, "Request Thread Summary".
    pub async fn request_thread_summary(&self, chat_id: &ChatId, thread_id: &ThreadId) -> Result<()> {
        let body = json!({"chat_id": chat_id, "thread_id": thread_id});
        self.client.perform(self.action(Call::repeatable("request_thread_summary"), &body)?).await
    }

    /// Reads one chat and discards it: succeeds if the token is valid and may read chats.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error); an invalid token shows as [`is_authentication`](super::Error::is_authentication), a
    /// missing scope as a refusal with the code `authorization`.
    ///
    /// See LiveChat Docs, "List Chats" (Agent Chat Web API).
    pub async fn list_chats_once(&self) -> Result<()> {
        self.client.perform(self.action(Call::repeatable("list_chats"), &json!({"limit": 1}))?).await
    }

    /// Closes a chat that does not exist: succeeds if the token is valid and may change chats.
    ///
    /// # Errors
    ///
    /// As [`list_chats_once`](Self::list_chats_once). It is not documented that LiveChat checks the scope before the chat; if
    /// it does not, a missing scope goes unnoticed.
    pub async fn close_nothing(&self) -> Result<()> {
        match self.deactivate_chat(&ChatId::from("NOSUCHCHAT")).await {
            Err(error) if error.is_not_found() || error.is_chat_inactive() || error.is_invalid() => Ok(()),
            answer => answer,
        }
    }

    fn action(&self, call: Call, body: &impl Serialize) -> Result<Action<'a>> {
        Action::json(Api::Agent, call, self.token, body)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use wiremock::{MockServer, ResponseTemplate};

    use super::super::testing::{agent_call, assert_bare, client};
    use super::super::{Content, ParticipantId};
    use super::*;

    fn token() -> Redacted {
        "YWNjb3VudDpwYXQ=".into()
    }

    async fn serve(action: &str, expected: Value, answer: Value) -> MockServer {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(200).set_body_json(answer);
        agent_call("agent", action, expected).respond_with(answer).expect(1).mount(&server).await;
        server
    }

    #[tokio::test]
    async fn a_chat_is_closed_from_outside_by_the_parameter_id() {
        let server = serve("deactivate_chat", json!({"id": "C", "ignore_requester_presence": true}), json!({})).await;
        client(&server.uri()).agent(&token()).deactivate_chat(&"C".into()).await.unwrap();
        assert_bare(&server).await;
    }

    #[tokio::test]
    async fn a_chat_is_read_with_its_latest_thread() {
        let answer = json!({"id": "C", "users": [{"id": "anna@example.com", "type": "agent", "name": "Anna"}], "thread": {
            "id": "T", "active": true, "created_at": "2026-05-11T09:40:00.100000Z", "user_ids": [], "tags": ["x"],
            "events": [{"id": "T_1", "type": "message", "text": "Hi", "author_id": "anna@example.com", "visibility": "all",
                        "created_at": "2026-05-11T09:41:00.877000Z"}],
        }, "access": {"group_ids": [2]}, "is_followed": false});
        let server = serve("get_chat", json!({"chat_id": "C"}), answer).await;
        let chat = client(&server.uri()).agent(&token()).get_chat(&"C".into(), None).await.unwrap();
        let event = chat.thread.unwrap().events.remove(0);
        assert_eq!(event.content, Content::Message { text: "Hi".into() });
        assert_eq!(event.author_id, Some(ParticipantId::from("anna@example.com")));
        assert_bare(&server).await;
    }

    #[tokio::test]
    async fn a_thread_is_tagged_by_chat_and_thread() {
        let server = serve("tag_thread", json!({"chat_id": "C", "thread_id": "T", "tag": "refund"}), json!({})).await;
        client(&server.uri()).agent(&token()).tag_thread(&"C".into(), &"T".into(), "refund").await.unwrap();
        assert_bare(&server).await;
    }

    #[tokio::test]
    async fn the_probe_asks_for_a_single_chat() {
        let server = serve("list_chats", json!({"limit": 1}), json!({"chats_summary": [], "found_chats": 0})).await;
        client(&server.uri()).agent(&token()).list_chats_once().await.unwrap();
        assert_bare(&server).await;
    }
}
