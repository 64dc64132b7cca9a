//! The calls of the runtime API that a handoff needs.

use std::collections::BTreeMap;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Client, Conversation, Error, Message, NewEvent, NewMessage, NewUser, RegisterSchedule, Result, User};
use crate::http::{Answer, Body, Call, Failure, Request, sensitive, url};
use crate::ids::{ConversationId, MessageId, UserId};
use crate::model::session::Install;
use crate::redacted::Redacted;
use crate::telemetry;

/// The API on behalf of one install.
///
/// Every `get_or_create` names the tags that identify an object (`discriminate_by`). An existing object is updated with the
/// given values, so a repetition changes nothing.
#[derive(Clone, Copy, Debug)]
pub struct Runtime<'a> {
    client: &'a Client,
    install: &'a Install,
    token: &'a Redacted,
}

/// A request body with the tags by which an existing object is recognised.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Discriminated<'a, T> {
    #[serde(flatten)]
    object: &'a T,
    discriminate_by_tags: &'a [&'a str],
}

#[derive(Serialize)]
struct NewConversation<'a> {
    channel: &'a str,
    tags: &'a BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct UserAnswer {
    user: User,
}

#[derive(Deserialize)]
struct ConversationAnswer {
    conversation: Conversation,
}

#[derive(Deserialize)]
struct MessageAnswer {
    message: Message,
    #[serde(default)]
    meta: Value,
}

#[derive(Deserialize)]
struct MessagesAnswer {
    messages: Vec<ListedMessage>,
}

#[derive(Deserialize)]
struct ListedMessage {
    id: MessageId,
}

impl<'a> Runtime<'a> {
    pub(super) const fn new(client: &'a Client, install: &'a Install, token: &'a Redacted) -> Self {
        Self { client, install, token }
    }

    /// Finds the user with the same values for the tags in `discriminate_by`, or makes one.
    ///
    /// # Errors
    ///
    /// [`Error`]; a tag that the definition does not declare is refused.
    ///
    /// See the Botpress API reference, "getOrCreateUser".
    pub async fn get_or_create_user(&self, user: &NewUser, discriminate_by: &[&str]) -> Result<User> {
        let body = Discriminated { object: user, discriminate_by_tags: discriminate_by };
        let call = Call::repeatable("getOrCreateUser");
        let answer: UserAnswer = self.post(call, &["users", "get-or-create"], &body).await?;
        Ok(answer.user)
    }

    /// Reads a user.
    ///
    /// # Errors
    ///
    /// [`Error`]; an unknown user shows as [`is_not_found`](Error::is_not_found).
    ///
    /// See the Botpress API reference, "getUser".
    pub async fn get_user(&self, id: &UserId) -> Result<User> {
        let call = Call::repeatable("getUser");
        let answer = self.send(call, Method::GET, &["users", id.as_str()], Ok(Body::Empty)).await?;
        let answer: UserAnswer = decoded(call, &answer)?;
        Ok(answer.user)
    }

    /// Finds the conversation with the same values for the tags in `discriminate_by`, or makes one.
    ///
    /// # Errors
    ///
    /// [`Error`]; a tag or channel that the definition does not declare is refused.
    ///
    /// See the Botpress API reference, "getOrCreateConversation".
    pub async fn get_or_create_conversation(
        &self,
        channel: &str,
        tags: &BTreeMap<String, String>,
        discriminate_by: &[&str],
    ) -> Result<Conversation> {
        let body = Discriminated { object: &NewConversation { channel, tags }, discriminate_by_tags: discriminate_by };
        let call = Call::repeatable("getOrCreateConversation");
        let answer: ConversationAnswer = self.post(call, &["conversations", "get-or-create"], &body).await?;
        Ok(answer.conversation)
    }

    /// Reads a conversation.
    ///
    /// # Errors
    ///
    /// [`Error`]; a conversation that does not exist shows as [`is_gone`](Error::is_gone).
    ///
    /// See the Botpress API reference, "getConversation".
    pub async fn get_conversation(&self, id: &ConversationId) -> Result<Conversation> {
        let call = Call::repeatable("getConversation");
        let answer = self.send(call, Method::GET, &["conversations", id.as_str()], Ok(Body::Empty)).await?;
        let answer: ConversationAnswer = decoded(call, &answer)?;
        Ok(answer.conversation)
    }

    /// Finds the message with the same values for the tags in `discriminate_by`, or posts it; only a new one reaches the bot.
    ///
    /// # Errors
    ///
    /// [`Error`]; an empty text, and a type that the channel does not declare, are refused.
    ///
    /// See the Botpress API reference, "getOrCreateMessage".
    pub async fn get_or_create_message(&self, message: &NewMessage, discriminate_by: &[&str]) -> Result<Message> {
        let body = Discriminated { object: message, discriminate_by_tags: discriminate_by };
        let call = Call::repeatable("getOrCreateMessage");
        let answer: MessageAnswer = self.post(call, &["messages", "get-or-create"], &body).await?;
        Ok(Message { created: answer.meta.get("created").and_then(Value::as_bool), ..answer.message })
    }

    /// The message of a conversation with this value of the tag `id`, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error`]; an unknown conversation has no messages.
    ///
    /// See the Botpress API reference, "listMessages".
    pub async fn find_message(&self, conversation_id: &ConversationId, tag: &str) -> Result<Option<MessageId>> {
        let call = Call::repeatable("listMessages");
        let mut request =
            self.request(Method::GET, &["messages"], Body::Empty).map_err(|failure| Error::failed(call, failure))?;
        request
            .url
            .query_pairs_mut()
            .append_pair("conversationId", conversation_id.as_str())
            .append_pair("tags.id", tag);
        let answer: MessagesAnswer = decoded(call, &self.sent(call, request).await?)?;
        Ok(answer.messages.into_iter().next().map(|message| message.id))
    }

    /// Emits an event. It cannot be found out later whether the event was emitted.
    ///
    /// # Errors
    ///
    /// [`Error`].
    ///
    /// See the Botpress API reference, "createEvent".
    pub async fn create_event(&self, event: &NewEvent) -> Result<()> {
        self.perform(Call::once("createEvent"), &["events"], Body::json(event)).await
    }

    /// Schedules repeated calls of `register` by Botpress: a regular check of the credentials.
    ///
    /// # Errors
    ///
    /// [`Error`].
    ///
    /// See the Botpress API reference, "configureIntegration".
    pub async fn configure_integration(&self, schedule: RegisterSchedule) -> Result<()> {
        let body = Body::json(&json!({"scheduleRegisterCall": schedule}));
        let path = ["integrations", "configure"];
        self.perform(Call::repeatable("configureIntegration"), &path, body).await
    }

    /// Makes a call whose answer carries no data.
    async fn perform(&self, call: Call, path: &[&str], body: Result<Body, Failure>) -> Result<()> {
        let answer = self.send(call, Method::POST, path, body).await?;
        answer.acknowledged().map_err(|failure| Error::failed(call, failure))
    }

    async fn post<T: DeserializeOwned>(&self, call: Call, path: &[&str], body: &impl Serialize) -> Result<T> {
        let answer = self.send(call, Method::POST, path, Body::json(body)).await?;
        decoded(call, &answer)
    }

    async fn send(&self, call: Call, method: Method, path: &[&str], body: Result<Body, Failure>) -> Result<Answer> {
        let failed = |failure| Error::failed(call, failure);
        let request = body.and_then(|body| self.request(method, path, body)).map_err(failed)?;
        self.sent(call, request).await
    }

    async fn sent(&self, call: Call, request: Request) -> Result<Answer> {
        let answer = self.client.http.send(request).await.map_err(|failure| Error::failed(call, failure))?;
        if answer.status.is_success() { Ok(answer) } else { Err(Error::refused(call, &answer)) }
    }

    fn request(&self, method: Method, path: &[&str], body: Body) -> Result<Request, Failure> {
        let url = url(&self.client.settings.api_url, &[&["v1", "chat"], path].concat())?;
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, sensitive(&format!("Bearer {}", self.token.expose()).into())?);
        for (name, value) in [
            ("x-bot-id", self.install.bot_id.as_str()),
            ("x-integration-id", self.install.integration_id.as_str()),
            ("x-integration-alias", self.install.alias.as_str()),
        ] {
            let value = HeaderValue::from_str(value).map_err(Failure::not_sendable)?;
            headers.insert(HeaderName::from_static(name), value);
        }
        headers.extend(telemetry::traceparent().map(|value| (HeaderName::from_static("traceparent"), value)));
        Ok(Request { method, url, headers, body })
    }
}

fn decoded<T: DeserializeOwned>(call: Call, answer: &Answer) -> Result<T> {
    answer.decode().map_err(|failure| Error::failed(call, failure))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wiremock::matchers::{body_json, header, method, path};
    use wiremock::{Mock, MockBuilder, MockServer, ResponseTemplate};

    use super::super::Settings;
    use super::*;
    use crate::http::{Http, testing};

    fn install() -> Install {
        Install {
            bot_id: "bot_1".into(),
            integration_id: "intver_1".into(),
            alias: "acme/livechat".into(),
            install_id: "webhook_1".into(),
        }
    }

    fn token() -> Redacted {
        "bp_iak".into()
    }

    fn client_with(base: &str, http: Http) -> Client {
        Client::new(Settings { api_url: base.to_owned() }, http)
    }

    fn client(server: &MockServer) -> Client {
        client_with(&server.uri(), testing::http())
    }

    /// A call, exactly as it must arrive.
    fn call(verb: &str, tail: &str) -> MockBuilder {
        Mock::given(method(verb))
            .and(path(format!("/v1/chat/{tail}")))
            .and(header("authorization", "Bearer bp_iak"))
            .and(header("x-bot-id", "bot_1"))
            .and(header("x-integration-id", "intver_1"))
            .and(header("x-integration-alias", "acme/livechat"))
    }

    async fn serve(tail: &str, expected: Value, status: u16, answer: Value) -> MockServer {
        let server = MockServer::start().await;
        call("POST", tail)
            .and(header("content-type", "application/json"))
            .and(body_json(expected))
            .respond_with(ResponseTemplate::new(status).set_body_json(answer))
            .expect(1)
            .mount(&server)
            .await;
        server
    }

    fn tags(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    fn stopped() -> NewEvent {
        NewEvent {
            kind: "hitlStopped".to_owned(),
            payload: json!({"conversationId": "conv_1"}),
            conversation_id: Some("conv_1".into()),
            delay: Some(Duration::from_millis(2_500)),
        }
    }

    #[tokio::test]
    async fn a_user_is_found_or_made_by_the_tags_named() {
        let expected = json!({"tags": {"id": "agent:anna@example.com"}, "name": "Anna", "pictureUrl": "https://a/p.png",
                              "discriminateByTags": ["id"]});
        let answer = json!({"user": {"id": "user_1", "createdAt": "2026-05-11T09:41:00.877Z", "attributes": {},
                                     "tags": {"id": "agent:anna@example.com"}, "name": "Anna", "pictureUrl": "https://a/p.png"},
                            "meta": {"created": true}});
        let server = serve("users/get-or-create", expected, 200, answer).await;
        let user = NewUser {
            tags: tags("id", "agent:anna@example.com"),
            name: Some("Anna".to_owned()),
            picture_url: Some("https://a/p.png".to_owned()),
        };
        let found = client(&server).install(&install(), &token()).get_or_create_user(&user, &["id"]).await.unwrap();
        assert_eq!((found.id.as_str(), found.picture_url.as_deref()), ("user_1", Some("https://a/p.png")));
    }

    #[tokio::test]
    async fn a_user_is_read_by_its_id_in_the_path() {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(200).set_body_json(json!({"user": {"id": "a/b"}}));
        call("GET", "users/a%2Fb").respond_with(answer).expect(1).mount(&server).await;
        let user = client(&server).install(&install(), &token()).get_user(&"a/b".into()).await.unwrap();
        assert_eq!((user.id.as_str(), user.name), ("a/b", None));
    }

    #[tokio::test]
    async fn the_trace_of_the_call_that_is_answered_goes_along() {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(200).set_body_json(json!({"user": {"id": "user_1"}}));
        let traced = call("GET", "users/user_1").and(header("traceparent", "00-1-2-01"));
        traced.respond_with(answer).expect(1).mount(&server).await;
        let (client, install, token, id) = (client(&server), install(), token(), "user_1".into());
        let runtime = client.install(&install, &token);
        telemetry::traced(Some("00-1-2-01"), runtime.get_user(&id)).await.unwrap();
        runtime.get_user(&id).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_message_is_looked_for_in_its_conversation() {
        use wiremock::matchers::query_param;
        let server = MockServer::start().await;
        for (tag, messages) in
            [("event:1", json!([{"id": "msg_1", "tags": {"id": "event:1"}}])), ("event:2", json!([]))]
        {
            let asked =
                call("GET", "messages").and(query_param("conversationId", "conv_1")).and(query_param("tags.id", tag));
            let answer = ResponseTemplate::new(200).set_body_json(json!({"messages": messages, "meta": {}}));
            asked.respond_with(answer).expect(1).mount(&server).await;
        }
        let (client, install, token) = (client(&server), install(), token());
        let runtime = client.install(&install, &token);
        let conversation_id = "conv_1".into();
        assert_eq!(runtime.find_message(&conversation_id, "event:1").await.unwrap(), Some("msg_1".into()));
        assert_eq!(runtime.find_message(&conversation_id, "event:2").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_conversation_is_found_or_made_in_its_channel() {
        let expected = json!({"channel": "hitl", "tags": {"id": "T"}, "discriminateByTags": ["id"]});
        let answer =
            json!({"conversation": {"id": "conv_1", "channel": "hitl", "tags": {"id": "T"}, "messageCount": 0}});
        let server = serve("conversations/get-or-create", expected, 200, answer).await;
        let (client, install, token) = (client(&server), install(), token());
        let runtime = client.install(&install, &token);
        let conversation = runtime.get_or_create_conversation("hitl", &tags("id", "T"), &["id"]).await.unwrap();
        assert_eq!(conversation, Conversation { id: "conv_1".into() });
    }

    #[tokio::test]
    async fn a_message_is_found_or_posted_by_the_tags_named() {
        let expected = json!({"conversationId": "conv_1", "userId": "user_1", "type": "text", "payload": {"text": "Hi"},
                              "tags": {"id": "T_1"}, "discriminateByTags": ["id"]});
        let answer = json!({"message": {"id": "msg_1", "type": "text", "payload": {}, "direction": "incoming",
                                        "userId": "user_1", "conversationId": "conv_1", "tags": {}}});
        let server = serve("messages/get-or-create", expected, 200, answer).await;
        let message = NewMessage {
            conversation_id: "conv_1".into(),
            user_id: "user_1".into(),
            kind: "text".to_owned(),
            payload: json!({"text": "Hi"}),
            tags: tags("id", "T_1"),
        };
        let (client, install, token) = (client(&server), install(), token());
        let posted = client.install(&install, &token).get_or_create_message(&message, &["id"]).await.unwrap();
        assert_eq!((posted.id, posted.created), ("msg_1".into(), None), "older versions do not tell");
    }

    #[tokio::test]
    async fn whether_a_message_was_posted_or_found_is_told() {
        for created in [true, false] {
            let message = json!({"id": "msg_1", "userId": "user_1", "conversationId": "conv_1"});
            let server = MockServer::start().await;
            let answer =
                ResponseTemplate::new(200).set_body_json(json!({"message": message, "meta": {"created": created}}));
            call("POST", "messages/get-or-create").respond_with(answer).mount(&server).await;
            let message = NewMessage {
                conversation_id: "conv_1".into(),
                user_id: "user_1".into(),
                kind: "text".to_owned(),
                payload: json!({"text": "Hi"}),
                tags: tags("id", "T_1"),
            };
            let (client, install, token) = (client(&server), install(), token());
            let posted = client.install(&install, &token).get_or_create_message(&message, &["id"]).await.unwrap();
            assert_eq!(posted.created, Some(created));
        }
    }

    #[tokio::test]
    async fn an_event_is_emitted_with_its_delay_in_milliseconds() {
        let expected = json!({"type": "hitlStopped", "payload": {"conversationId": "conv_1"}, "conversationId": "conv_1",
                              "schedule": {"delay": 2500}});
        let server = serve("events", expected, 201, json!({"event": {"id": "evt_1"}})).await;
        client(&server).install(&install(), &token()).create_event(&stopped()).await.unwrap();
    }

    #[tokio::test]
    async fn register_is_asked_for_once_a_day() {
        let expected = json!({"scheduleRegisterCall": "daily"});
        let server = serve("integrations/configure", expected, 200, json!({})).await;
        let (client, install, token) = (client(&server), install(), token());
        client.install(&install, &token).configure_integration(RegisterSchedule::Daily).await.unwrap();
    }

    async fn refuse(answer: ResponseTemplate) -> Error {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(answer).expect(1).mount(&server).await;
        client(&server).install(&install(), &token()).create_event(&stopped()).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_refusal_keeps_type_status_message_and_id() {
        let body =
            json!({"id": "err_1", "code": 404, "type": "ResourceNotFound", "message": "No such bot", "metadata": {}});
        let error = refuse(ResponseTemplate::new(404).set_body_json(body)).await;
        assert_eq!(
            format!("{error:#}"),
            "Botpress refused createEvent: ResourceNotFound, status 404: No such bot (debug id err_1)"
        );
        assert!(error.is_not_found() && !error.is_retryable() && !error.outcome_unknown());
    }

    #[tokio::test]
    async fn a_gateways_page_keeps_the_status_and_is_not_shown() {
        let error = refuse(ResponseTemplate::new(500).set_body_string("<html>canary</html>")).await;
        assert_eq!(error.to_string(), "Botpress refused createEvent: status 500");
        assert!(error.is_retryable() && error.outcome_unknown());
    }

    #[tokio::test]
    async fn a_rate_limit_says_how_long_to_wait_and_that_nothing_happened() {
        let body = json!({"id": "err_1", "code": 429, "type": "RateLimited", "message": "Slow down"});
        let answer = ResponseTemplate::new(429).set_body_json(body).insert_header("retry-after", "60");
        let error = refuse(answer.insert_header("ratelimit-reset", "4")).await;
        assert_eq!(error.retry_after(), Some(Duration::from_secs(4)));
        assert!(error.is_retryable() && !error.outcome_unknown());
    }

    #[tokio::test]
    async fn a_silent_server_leaves_the_outcome_of_an_event_open_but_not_of_a_read() {
        let (url, server) = testing::breaking("", true).await;
        let client = client_with(&url, Http::new(Duration::from_millis(100)).unwrap());
        let (install, token) = (install(), token());
        let runtime = client.install(&install, &token);
        let error = runtime.create_event(&stopped()).await.unwrap_err();
        assert!(matches!(error.failure(), Some(Failure::TimedOut(_))), "{error:?}");
        assert!(error.is_retryable() && error.outcome_unknown());
        assert!(!runtime.get_user(&"u".into()).await.unwrap_err().outcome_unknown());
        server.abort();
    }

    #[tokio::test]
    async fn a_refused_connection_is_a_known_outcome() {
        let client = client_with(&testing::refusing(), testing::http());
        let error = client.install(&install(), &token()).create_event(&stopped()).await.unwrap_err();
        assert!(error.is_retryable() && !error.outcome_unknown(), "{error:?}");
    }

    #[tokio::test]
    async fn a_success_that_cannot_be_read_names_the_place() {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(200).set_body_json(json!({"user": {"id": 5}}));
        Mock::given(method("GET")).respond_with(answer).mount(&server).await;
        let error = client(&server).install(&install(), &token()).get_user(&"u".into()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "Botpress did not answer getUser: the answer is not as documented: unexpected value, expected a string (at user.id)"
        );
    }

    #[tokio::test]
    async fn a_page_leaves_open_whether_an_event_was_emitted() {
        for body in ["<html>canary</html>", r#"{"event":{"id""#] {
            let error = refuse(ResponseTemplate::new(200).set_body_string(body)).await;
            assert!(error.is_retryable() && error.outcome_unknown() && error.may_have_been_shown(), "{error}");
        }
    }

    #[tokio::test]
    async fn a_token_that_is_not_fit_for_a_header_is_never_sent_or_shown() {
        let client = client_with("http://127.0.0.1:1", testing::http());
        let token = Redacted::from("canary\n");
        let error = client.install(&install(), &token).create_event(&stopped()).await.unwrap_err();
        assert!(!error.is_retryable() && !error.outcome_unknown());
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
