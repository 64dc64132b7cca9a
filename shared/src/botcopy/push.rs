//! The calls of the push API that a handoff needs.

use ::http::{HeaderMap, Method, header};
use serde_json::{Map, Value, json};

use super::{Error, Result, Settings};
use crate::http::{Answer, Body, Call, Failure, Http, Request, sensitive, url};
use crate::model::session::{Channel, ResumeReason};
use crate::redacted::Redacted;

/// How an agent appears in the widget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentProfile {
    /// Display name.
    pub name: Redacted,
    /// Address of a picture; can be empty.
    pub avatar_url: Redacted,
}

/// An update for the widget. It cannot be found out later whether the widget got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// `message`: an agent's message.
    Message {
        /// The text, not empty.
        text: Redacted,
    },
    /// `channel_update`, paused: who answers; also renews the pause.
    Joined(AgentProfile),
    /// `channel_update`, not paused: the bot resumes.
    Left(ResumeReason),
}

impl Push {
    const fn call(&self) -> Call {
        Call::once(match self {
            Self::Message { .. } => "push message",
            Self::Joined(_) => "push channel_update",
            Self::Left(_) => "push channel_update (resume)",
        })
    }

    /// Whether it prolongs the bot's pause.
    pub const fn renews_pause(&self) -> bool {
        matches!(self, Self::Message { .. } | Self::Joined(_))
    }

    /// The fields in addition to those of every push.
    fn fields(&self, settings: &Settings) -> Value {
        let minutes = settings.pause.as_secs() / 60;
        match self {
            Self::Message { text } => {
                json!({"eventType": "message", "paused": true, "minutesPaused": minutes, "text": text.expose()})
            }
            Self::Joined(AgentProfile { name, avatar_url }) => json!({
                "eventType": "channel_update", "paused": true, "minutesPaused": minutes,
                "agentProfile": {"name": name.expose(), "avatarUrl": avatar_url.expose()},
            }),
            Self::Left(reason) => json!({
                "eventType": "channel_update", "paused": false, "unpauseChatEvent": settings.resume_events.of(*reason),
            }),
        }
    }
}

/// Botcopy's API; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    settings: Settings,
    http: Http,
}

impl Client {
    /// Makes a client; sends nothing.
    pub const fn new(settings: Settings, http: Http) -> Self {
        Self { settings, http }
    }

    /// The API on behalf of one user's widget.
    pub const fn widget<'a>(&'a self, channel: &'a Channel, api_key: &'a Redacted) -> Widget<'a> {
        Widget { client: self, channel, api_key }
    }
}

/// The API on behalf of one user's session.
#[derive(Clone, Copy, Debug)]
pub struct Widget<'a> {
    client: &'a Client,
    channel: &'a Channel,
    api_key: &'a Redacted,
}

impl Widget<'_> {
    /// Sends an update to the widget.
    ///
    /// # Errors
    ///
    /// [`Error`]; repeating a push with an unknown outcome may show it twice.
    ///
    /// See Botcopy's documentation, "Live Chat", API Integration.
    pub async fn push(&self, push: &Push) -> Result<()> {
        let call = push.call();
        let request = self.request(push).map_err(|failure| Error::failed(call, failure))?;
        let answer: Answer = self.client.http.send(request).await.map_err(|failure| Error::failed(call, failure))?;
        match answer.status.is_success() {
            true => answer.acknowledged_somehow().map_err(|failure| Error::failed(call, failure)),
            false => Err(Error::refused(call, &answer)),
        }
    }

    fn request(&self, push: &Push) -> Result<Request, Failure> {
        let mut fields = Map::from_iter([
            ("userId".to_owned(), json!(self.channel.user_id)),
            ("botId".to_owned(), json!(self.channel.bot_id)),
        ]);
        let settings = &self.client.settings;
        if let Value::Object(further) = push.fields(settings) {
            fields.extend(further);
        }
        Ok(Request {
            method: Method::POST,
            url: url(&settings.api_url, &["webhooks", "handover", "push"])?,
            headers: HeaderMap::from_iter([(header::AUTHORIZATION, sensitive(self.api_key)?)]),
            body: Body::json(&fields)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use wiremock::matchers::{body_json, header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::http::testing;

    fn client(api_url: &str, http: Http) -> Client {
        let settings = Settings {
            api_url: api_url.to_owned(),
            pause: Duration::from_secs(600),
            silence: Duration::from_secs(86_400),
            shows_typing: false,
            resume_events: super::super::ResumeEvents::always("agent_left"),
        };
        Client::new(settings, http)
    }

    fn channel() -> Channel {
        Channel { bot_id: "bot 1".into(), user_id: "user/1".into() }
    }

    fn message() -> Push {
        Push::Message { text: "Hi".into() }
    }

    async fn serve(answer: ResponseTemplate) -> MockServer {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(answer).mount(&server).await;
        server
    }

    #[tokio::test]
    async fn every_kind_of_push_has_its_documented_body() {
        let profile = AgentProfile { name: "Anna".into(), avatar_url: "https://img/anna.png".into() };
        for (push, expected) in [
            (
                message(),
                json!({"eventType": "message", "userId": "user/1", "botId": "bot 1", "paused": true,
                       "minutesPaused": 10, "text": "Hi"}),
            ),
            (
                Push::Joined(profile),
                json!({"eventType": "channel_update", "userId": "user/1", "botId": "bot 1", "paused": true,
                       "minutesPaused": 10,
                       "agentProfile": {"name": "Anna", "avatarUrl": "https://img/anna.png"}}),
            ),
            (
                Push::Left(ResumeReason::AgentClosed),
                json!({"eventType": "channel_update", "userId": "user/1", "botId": "bot 1", "paused": false,
                       "unpauseChatEvent": "agent_left"}),
            ),
        ] {
            let server = MockServer::start().await;
            Mock::given(method("POST"))
                .and(path("/webhooks/handover/push"))
                .and(header("authorization", "key"))
                .and(header("content-type", "application/json"))
                .and(body_json(expected))
                .respond_with(ResponseTemplate::new(200).set_body_string("anything"))
                .expect(1)
                .mount(&server)
                .await;
            client(&server.uri(), testing::http()).widget(&channel(), &"key".into()).push(&push).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_refusal_keeps_status_and_message_and_what_to_wait() {
        let limited = ResponseTemplate::new(429).set_body_json(json!({"error": "slow down"}));
        let server = serve(limited.insert_header("retry-after", "7")).await;
        let client = client(&server.uri(), testing::http());
        let error = client.widget(&channel(), &"key".into()).push(&message()).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "Botcopy refused push message: status 429: slow down");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert!(error.is_retryable() && !error.outcome_unknown());
    }

    #[tokio::test]
    async fn a_gateways_page_keeps_the_status_and_is_not_shown() {
        let server = serve(ResponseTemplate::new(502).set_body_string("<html>canary</html>")).await;
        let client = client(&server.uri(), testing::http());
        let error = client.widget(&channel(), &"key".into()).push(&message()).await.unwrap_err();
        assert_eq!(error.to_string(), "Botcopy refused push message: status 502");
        assert!(error.is_retryable() && error.outcome_unknown());
    }

    #[tokio::test]
    async fn a_page_is_no_sign_that_a_push_was_shown() {
        for body in ["<html>canary</html>", r#"{"success": tr"#] {
            let server = serve(ResponseTemplate::new(200).set_body_string(body)).await;
            let client = client(&server.uri(), testing::http());
            let error = client.widget(&channel(), &"key".into()).push(&message()).await.unwrap_err();
            assert!(error.is_retryable() && error.outcome_unknown(), "{error}");
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[tokio::test]
    async fn a_silent_server_leaves_the_outcome_open_and_a_refused_connection_does_not() {
        let (url, server) = testing::breaking("", true).await;
        let impatient = client(&url, Http::new(Duration::from_millis(100)).unwrap());
        let error = impatient.widget(&channel(), &"key".into()).push(&message()).await.unwrap_err();
        assert!(error.is_retryable() && error.outcome_unknown(), "{error}");
        server.abort();
        let nobody = client(&testing::refusing(), testing::http());
        let error = nobody.widget(&channel(), &"key".into()).push(&message()).await.unwrap_err();
        assert!(error.is_retryable() && !error.outcome_unknown(), "{error}");
    }

    #[tokio::test]
    async fn a_key_that_is_not_fit_for_a_header_is_never_sent_or_shown() {
        let client = client("http://127.0.0.1:1", testing::http());
        let error = client.widget(&channel(), &"canary\n".into()).push(&message()).await.unwrap_err();
        assert!(!error.is_retryable() && !error.outcome_unknown());
        assert!(!format!("{error} {error:?} {:?}", message()).contains("canary"));
    }
}
