//! What all calls have in common: refusals, silences, regions, and the announced end of the API version.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;
use wiremock::matchers::{header, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::testing::{client, client_with, settings};
use super::*;
use crate::http::testing::{breaking, http, refusing};
use crate::ids::ChatId;

async fn read(client: &Client) -> Result<Chat> {
    client.customer(&"dal:token".into()).get_chat(&ChatId::from("C"), None).await
}

async fn send(client: &Client) -> Result<crate::ids::EventId> {
    client.customer(&"dal:token".into()).send_event(&ChatId::from("C"), &NewEvent::text("canary", "m1")).await
}

async fn refuse(answer: ResponseTemplate) -> Error {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).expect(1).mount(&server).await;
    send(&client(&server.uri())).await.unwrap_err()
}

fn misdirected(region: &str) -> ResponseTemplate {
    let error = json!({"type": "misdirected_request", "message": "Wrong region", "data": {"region": region}});
    ResponseTemplate::new(421).set_body_json(json!({"error": error}))
}

fn chat() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"id": "C"}))
}

#[tokio::test]
async fn a_refusal_keeps_code_status_message_and_debug_id() {
    let body = json!({"error": {"type": "chat_inactive", "message": "Chat is inactive", "data": {"new": 1}}});
    let error = refuse(ResponseTemplate::new(422).set_body_json(body).insert_header("x-debug-id", "d1")).await;
    assert_eq!(
        format!("{error:#}"),
        "LiveChat refused send_event: chat_inactive, status 422: Chat is inactive (debug id d1)"
    );
    assert!(error.is_chat_inactive() && !error.is_retryable() && !error.outcome_unknown());
}

#[tokio::test]
async fn a_gateways_page_keeps_the_status_and_is_not_shown() {
    let error = refuse(ResponseTemplate::new(500).set_body_string("<html>canary</html>")).await;
    assert_eq!(error.to_string(), "LiveChat refused send_event: status 500");
    assert!(error.is_retryable() && error.outcome_unknown());
}

#[tokio::test]
async fn a_rate_limit_says_how_long_to_wait_and_that_nothing_happened() {
    let body = json!({"error": {"type": "too_many_requests", "message": "Too many requests"}});
    let error = refuse(ResponseTemplate::new(429).set_body_json(body).insert_header("retry-after", "7")).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert!(error.is_retryable() && !error.outcome_unknown());
}

#[tokio::test]
async fn a_silent_server_leaves_the_outcome_of_a_send_open_but_not_of_a_read() {
    let (url, server) = breaking("", true).await;
    let client = client_with(&url, Http::new(Duration::from_millis(100)).unwrap());
    let error = send(&client).await.unwrap_err();
    assert!(matches!(error.failure(), Some(Failure::TimedOut(_))), "{error:?}");
    assert!(error.is_retryable() && error.outcome_unknown());
    assert!(!read(&client).await.unwrap_err().outcome_unknown());
    server.abort();
}

#[tokio::test]
async fn a_refused_connection_is_a_known_outcome() {
    let error = send(&client(&refusing())).await.unwrap_err();
    assert!(error.is_retryable() && !error.outcome_unknown(), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("canary"));
}

#[tokio::test]
async fn a_success_that_cannot_be_read_names_the_place_and_leaves_the_outcome_open() {
    let error = refuse(ResponseTemplate::new(200).set_body_json(json!({"event_id": ["canary"]}))).await;
    assert_eq!(
        error.to_string(),
        "LiveChat did not answer send_event: the answer is not as documented: unexpected value, expected a string \
         (at event_id)"
    );
    assert!(error.is_retryable() && error.outcome_unknown());
}

#[tokio::test]
async fn a_page_is_no_sign_that_a_chat_was_closed() {
    for (answer, expected) in [("{}", true), ("", true), ("<html>maintenance</html>", false), ("{\"chat", false)] {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(200).set_body_string(answer))
            .mount(&server)
            .await;
        let closed = client(&server.uri()).agent(&"token".into()).deactivate_chat(&"C".into()).await;
        assert_eq!(closed.is_ok(), expected, "{answer}");
    }
}

#[tokio::test]
async fn a_misdirected_call_is_repeated_in_the_region_named_and_later_calls_go_there_at_once() {
    let server = MockServer::start().await;
    Mock::given(header("x-region", "fra")).respond_with(chat()).expect(2).mount(&server).await;
    Mock::given(method("POST")).respond_with(misdirected("fra")).expect(1).mount(&server).await;
    let client = client(&server.uri());
    read(&client).await.unwrap();
    read(&client.clone()).await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_misdirected_everywhere_is_repeated_once_only() {
    for region in ["fra", "dal"] {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(misdirected(region)).expect(2).mount(&server).await;
        let error = read(&client(&server.uri())).await.unwrap_err();
        assert_eq!(error.misdirected_region().as_ref().map(Region::as_str), Some(region));
        assert!(!error.outcome_unknown());
    }
}

#[tokio::test]
async fn the_region_is_sent_only_where_it_is_not_the_default() {
    let cases = [
        (None, "dal:t", None),
        (None, "t", None),
        (None, "fra%3At", Some("fra")),
        (Some("dal"), "fra:t", None),
        (Some("fra"), "dal:t", Some("fra")),
    ];
    for (configured, token, expected) in cases {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(chat()).mount(&server).await;
        let client = Client::new(settings(&server.uri(), configured), http());
        client.customer(&token.into()).get_chat(&ChatId::from("C"), None).await.unwrap();
        let headers = server.received_requests().await.unwrap().remove(0).headers;
        assert_eq!(headers.get("x-region").map(|region| region.to_str().unwrap()), expected, "{configured:?} {token}");
        assert_eq!(headers["authorization"].to_str().unwrap(), format!("Bearer {}", token.replace("%3A", ":")));
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_announced_end_of_the_version_is_logged_once() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = MockServer::start().await;
    let answer = chat().insert_header("Legacy", "2027-01-31");
    Mock::given(method("POST")).respond_with(answer).expect(2).mount(&server).await;
    let client = client(&server.uri());
    read(&client).await.unwrap();
    read(&client).await.unwrap();
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let sentence = "LiveChat will retire API v3.6: it is in its legacy stage, which ends on 2027-01-31";
    assert_eq!(log.matches(sentence).count(), 1, "{log}");
}
