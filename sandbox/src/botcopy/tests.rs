//! The simulator keeps to the contract.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::HeaderMap;
use serde_json::{Value, json};
use shared::clock::{ManualClock, Timestamp};

use super::*;
use crate::faults::Fault;

/// A live-chat endpoint that returns scripted answers and records the calls.
#[derive(Clone, Debug, Default)]
struct Endpoint {
    answers: Arc<Mutex<Vec<Value>>>,
    calls: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
}

async fn endpoint(State(endpoint): State<Endpoint>, headers: HeaderMap, Json(body): Json<Value>) -> Json<Value> {
    lock(&endpoint.calls).push((headers, body));
    Json(lock(&endpoint.answers).pop().unwrap_or_else(|| json!({"paused": true, "minutesPaused": 10})))
}

struct Set {
    clock: ManualClock,
    botcopy: Simulator,
    endpoint: Endpoint,
    endpoint_faults: Faults,
    _server: Server,
}

impl Set {
    async fn start(change: impl FnOnce(&mut Options)) -> Self {
        let clock = ManualClock::new(Timestamp::from_unix_millis(1_778_492_460_000));
        let mut options = Options::new(clock.clock(), Journal::default());
        change(&mut options);
        let botcopy = Simulator::start(options).await.unwrap();
        let (endpoint, endpoint_faults) = (Endpoint::default(), Faults::default());
        let router = Router::new().route("/botcopy", post(self::endpoint)).with_state(endpoint.clone());
        let server = Server::start(0, router, endpoint_faults.clone(), clock.clock()).await.unwrap();
        botcopy.connect(&format!("{}/botcopy", server.url()));
        Self { clock, botcopy, endpoint, endpoint_faults, _server: server }
    }

    fn answer_next(&self, answer: Value) {
        lock(&self.endpoint.answers).push(answer);
    }

    fn last_call(&self) -> (HeaderMap, Value) {
        lock(&self.endpoint.calls).last().cloned().unwrap()
    }

    async fn paused_user(&self) -> String {
        let user = self.botcopy.new_user();
        self.botcopy.user_says(&user, "a human please").await.unwrap();
        assert!(self.botcopy.is_paused(&user));
        user
    }

    fn push_body(&self, user: &str, kind: &str, fields: Value) -> Value {
        let mut body = json!({"eventType": kind, "userId": user, "botId": self.botcopy.options().bot_id});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    }

    async fn push(&self, body: &Value) -> u16 {
        self.push_with(body, &self.botcopy.options().api_key).await
    }

    async fn push_with(&self, body: &Value, key: &str) -> u16 {
        let url = format!("{}/webhooks/handover/push", self.botcopy.url());
        let request = crate::server::client().unwrap().post(url).header("authorization", key).json(body);
        request.send().await.unwrap().status().as_u16()
    }

    /// What the user saw from others, newest last.
    fn seen(&self, user: &str) -> Vec<(Speaker, String)> {
        let lines = self.botcopy.screen(user).into_iter().filter(|line| line.from != Speaker::User);
        lines.map(|line| (line.from, line.text)).collect()
    }

    fn last_seen(&self, user: &str) -> (Speaker, String) {
        self.seen(user).pop().unwrap()
    }
}

#[tokio::test]
async fn the_bot_answers_until_the_trigger_brings_step_one() {
    let set = Set::start(|options| options.custom_header = Some(("X-Shop".to_owned(), "seven".to_owned()))).await;
    let user = set.botcopy.new_user();
    set.botcopy.user_says(&user, "hello").await.unwrap();
    assert_eq!(set.last_seen(&user), (Speaker::Bot, "bot: hello".to_owned()));
    assert!(lock(&set.endpoint.calls).is_empty());
    set.botcopy.user_says(&user, "a human please").await.unwrap();
    let (headers, body) = set.last_call();
    let options = set.botcopy.options();
    assert_eq!(headers.get("authorization").unwrap(), options.access_token.as_str());
    assert_eq!(headers.get("x-shop").unwrap(), "seven");
    assert_eq!(body["accessToken"], options.access_token.as_str());
    assert_eq!((&body["userId"], &body["botId"]), (&json!(user), &json!(options.bot_id)));
    assert_eq!(body["queryInput"], json!({"text": {"text": "a human please", "languageCode": "en"}}));
    assert_eq!(body["queryParams"], json!({"contexts": []}));
    let context = body["dialogflowResponse"]["queryResult"]["outputContexts"][0]["name"].as_str().unwrap();
    assert!(context.ends_with("/contexts/bc-human-handover"), "{context}");
    let history = body["messageHistory"].as_array().unwrap();
    let directions: Vec<_> = history.iter().map(|item| item["direction"].as_str().unwrap()).collect();
    assert_eq!(directions, ["in", "out", "in", "out"]);
    assert_eq!(history[0]["payload"]["query"], "hello");
    assert!(set.botcopy.is_paused(&user));
}

#[tokio::test]
async fn a_cx_bot_carries_the_trigger_as_a_parameter_and_may_nest_its_history() {
    let set = Set::start(|options| {
        options.dialogflow = Dialogflow::Cx;
        options.nests_history = true;
    })
    .await;
    set.paused_user().await;
    let (_, body) = set.last_call();
    assert_eq!(body["dialogflowResponse"]["queryResult"]["parameters"]["bcHumanHandover"], true);
    assert_eq!(body["messageHistory"][0]["botPlatform"], "dialogFlowCX");
    assert_eq!(body["messageHistory"][0]["payload"]["queryParameters"]["query"], "a human please");
    let answer = &body["messageHistory"][1]["payload"]["queryResult"]["responseMessages"][0]["text"]["text"][0];
    assert_eq!(answer, "I will find somebody for you.");
}

#[tokio::test]
async fn without_stored_history_none_is_sent() {
    let set = Set::start(|options| options.stores_history = false).await;
    set.paused_user().await;
    assert_eq!(set.last_call().1.get("messageHistory"), None);
}

#[tokio::test]
async fn while_paused_messages_are_step_two_and_the_bot_is_silent() {
    let set = Set::start(|_| {}).await;
    let user = set.paused_user().await;
    let before = set.seen(&user).len();
    set.botcopy.user_says(&user, "order 7").await.unwrap();
    let (_, body) = set.last_call();
    assert_eq!(body.get("dialogflowResponse"), None);
    assert_eq!(body.get("messageHistory"), None);
    assert_eq!(body["queryParams"], json!({"contexts": [], "payload": {}, "webhookHeaders": {}}));
    assert_eq!(set.seen(&user).len(), before);
}

#[tokio::test]
async fn a_refusal_leaves_the_user_with_the_bot() {
    let set = Set::start(|_| {}).await;
    let user = set.botcopy.new_user();
    set.answer_next(json!({"paused": false}));
    set.botcopy.user_says(&user, "a human please").await.unwrap();
    assert!(!set.botcopy.is_paused(&user));
}

#[tokio::test]
async fn a_message_that_is_not_taken_goes_to_the_bot_and_an_end_swallows_it() {
    let set = Set::start(|_| {}).await;
    let user = set.paused_user().await;
    set.answer_next(json!({"paused": false}));
    set.botcopy.user_says(&user, "still there?").await.unwrap();
    assert_eq!(set.last_seen(&user), (Speaker::Bot, "bot: still there?".to_owned()));
    assert!(!set.botcopy.is_paused(&user));
    set.botcopy.user_says(&user, "human").await.unwrap();
    set.answer_next(json!({"paused": false, "minutesPaused": 0}));
    set.botcopy.user_says(&user, "thanks").await.unwrap();
    assert!(!set.botcopy.is_paused(&user));
    assert_eq!(set.botcopy.options().journal.all("swallowed").len(), 1);
}

#[tokio::test]
async fn an_answer_after_five_seconds_or_without_the_form_is_ignored() {
    let set = Set::start(|_| {}).await;
    let user = set.botcopy.new_user();
    set.endpoint_faults.next(1, "/botcopy", Fault::Delay(Duration::from_secs(6)));
    {
        let says = set.botcopy.user_says(&user, "a human please");
        tokio::pin!(says);
        while set.endpoint_faults.spoiled().is_empty() {
            let _ = tokio::time::timeout(Duration::from_millis(1), &mut says).await;
        }
        set.clock.advance(Duration::from_secs(5));
        says.await.unwrap();
    }
    assert!(!set.botcopy.is_paused(&user));
    for answer in [json!({}), json!({"paused": "yes"}), json!({"paused": true, "minutesPaused": 0}), json!([])] {
        set.answer_next(answer);
        set.botcopy.user_says(&user, "a human please").await.unwrap();
        assert!(!set.botcopy.is_paused(&user));
    }
    set.endpoint_faults.next(1, "/botcopy", Fault::answer(500, "{\"paused\": true}"));
    set.botcopy.user_says(&user, "a human please").await.unwrap();
    assert!(!set.botcopy.is_paused(&user));
    let reasons = set.botcopy.options().journal.all("answer_ignored");
    let reasons: Vec<_> = reasons.iter().map(|entry| entry.text("/reason")).collect();
    assert_eq!(reasons, ["late", "broken", "broken", "broken", "broken", "broken"]);
}

#[tokio::test]
async fn a_pause_lapses_unless_a_push_extends_it() {
    let set = Set::start(|_| {}).await;
    let user = set.paused_user().await;
    set.clock.advance(Duration::from_secs(599));
    let text = set.push_body(&user, "message", json!({"paused": true, "minutesPaused": 2, "text": "One moment"}));
    assert_eq!(set.push(&text).await, 200);
    set.clock.advance(Duration::from_secs(119));
    assert!(set.botcopy.is_paused(&user));
    set.clock.advance(Duration::from_secs(1));
    assert!(!set.botcopy.is_paused(&user));
    assert_eq!(set.botcopy.options().journal.all("pause_lapsed").len(), 1);
    set.botcopy.user_says(&user, "hello?").await.unwrap();
    assert_eq!(set.last_seen(&user), (Speaker::Bot, "bot: hello?".to_owned()));
}

#[tokio::test]
async fn ten_minutes_is_what_an_answer_without_a_number_means() {
    let set = Set::start(|_| {}).await;
    let user = set.botcopy.new_user();
    set.answer_next(json!({"paused": true}));
    set.botcopy.user_says(&user, "a human please").await.unwrap();
    set.clock.advance(Duration::from_secs(599));
    assert!(set.botcopy.is_paused(&user));
    set.clock.advance(Duration::from_secs(1));
    assert!(!set.botcopy.is_paused(&user));
}

#[tokio::test]
async fn an_agent_appears_types_speaks_and_leaves() {
    let set = Set::start(|_| {}).await;
    let user = set.paused_user().await;
    let profile = json!({"name": "Anna", "avatarUrl": "https://img/anna.png"});
    let joins = json!({"paused": true, "minutesPaused": 10, "agentProfile": profile});
    assert_eq!(set.push(&set.push_body(&user, "channel_update", joins)).await, 200);
    assert_eq!(set.last_seen(&user), (Speaker::Notice, "You are now chatting with Anna.".to_owned()));
    let types = set.push_body(&user, "user_typing", json!({"paused": true, "minutesPaused": 10}));
    assert_eq!(set.push(&types).await, 200);
    assert!(set.botcopy.is_typing_shown(&user));
    set.clock.advance(Duration::from_secs(10));
    assert!(!set.botcopy.is_typing_shown(&user));
    let says = json!({"paused": true, "minutesPaused": 10, "text": "Hi"});
    assert_eq!(set.push(&set.push_body(&user, "message", says)).await, 200);
    let line = set.botcopy.screen(&user).pop().unwrap();
    assert_eq!((line.from, line.name.as_deref(), line.text.as_str()), (Speaker::Agent, Some("Anna"), "Hi"));
    assert_eq!(set.push(&set.push_body(&user, "channel_update", json!({"paused": false}))).await, 200);
    let left = "Anna has left the conversation. You are now chatting with the bot.";
    assert_eq!(set.last_seen(&user), (Speaker::Notice, left.to_owned()));
    assert!(!set.botcopy.is_paused(&user));
}

#[tokio::test]
async fn the_end_is_told_silent_or_an_event_as_asked() {
    let set = Set::start(|_| {}).await;
    for (event, expected) in [
        (
            json!("default"),
            Some((Speaker::Notice, "The human has left the conversation. You are now chatting with the bot.")),
        ),
        (json!("none"), None),
        (json!("agent_left"), Some((Speaker::Bot, "bot: event agent_left"))),
    ] {
        let user = set.paused_user().await;
        let before = set.seen(&user).len();
        let leaves = json!({"paused": false, "unpauseChatEvent": event});
        assert_eq!(set.push(&set.push_body(&user, "channel_update", leaves)).await, 200);
        let news = set.seen(&user).split_off(before);
        let expected: Vec<_> = expected.into_iter().map(|(from, text)| (from, text.to_owned())).collect();
        assert_eq!(news, expected, "{event}");
        assert!(!set.botcopy.is_paused(&user));
    }
}

#[tokio::test]
async fn pushes_without_the_key_or_the_form_are_refused() {
    let set = Set::start(|_| {}).await;
    let user = set.paused_user().await;
    let good = json!({"paused": true, "minutesPaused": 10, "text": "Hi"});
    let good = set.push_body(&user, "message", good);
    for key in ["", "wrong", &format!("Bearer {}", set.botcopy.options().api_key), &set.botcopy.options().access_token]
    {
        assert_eq!(set.push_with(&good, key).await, 401, "{key}");
    }
    set.botcopy.set_api_key_revoked(true);
    assert_eq!(set.push(&good).await, 401, "the key is revoked");
    set.botcopy.set_api_key_revoked(false);
    let profile = json!({"name": "Anna", "avatarUrl": ""});
    for (kind, fields) in [
        ("message", json!({"paused": true, "text": "Hi"})),
        ("message", json!({"paused": true, "minutesPaused": 0, "text": "Hi"})),
        ("message", json!({"paused": true, "minutesPaused": "10", "text": "Hi"})),
        ("message", json!({"paused": false, "minutesPaused": 10, "text": "Hi"})),
        ("message", json!({"minutesPaused": 10, "text": "Hi"})),
        ("message", json!({"paused": true, "minutesPaused": 10})),
        ("message", json!({"paused": true, "minutesPaused": 10, "text": " "})),
        ("message", json!({"paused": true, "minutesPaused": 10, "text": "Hi", "image": "x"})),
        ("channel_update", json!({"paused": true, "minutesPaused": 10})),
        ("channel_update", json!({"paused": true, "agentProfile": profile})),
        ("channel_update", json!({"paused": true, "minutesPaused": 10, "agentProfile": {"name": "Anna"}})),
        ("channel_update", json!({"paused": false, "minutesPaused": 10})),
        ("channel_update", json!({"paused": false, "unpauseChatEvent": null})),
        ("user_typing", json!({"paused": true})),
        ("user_left", json!({"paused": true, "minutesPaused": 10})),
    ] {
        assert_eq!(set.push(&set.push_body(&user, kind, fields.clone())).await, 400, "{kind} {fields}");
    }
    let stranger = json!({"paused": true, "minutesPaused": 10, "text": "Hi"});
    assert_eq!(set.push(&set.push_body("nobody", "message", stranger)).await, 404);
    let mut elsewhere = good;
    elsewhere["botId"] = json!("another");
    assert_eq!(set.push(&elsewhere).await, 404);
    assert!(set.seen(&user).iter().all(|(from, _)| *from == Speaker::Bot));
}

#[tokio::test]
async fn a_call_can_be_repeated_as_it_was() {
    let set = Set::start(|_| {}).await;
    let user = set.paused_user().await;
    set.botcopy.user_says(&user, "order 7").await.unwrap();
    set.botcopy.repeat_last_call(&user).await.unwrap();
    let calls = lock(&set.endpoint.calls);
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[1].1, calls[2].1);
}

#[tokio::test]
async fn typing_is_told_while_paused_and_switched_on_and_at_most_every_four_seconds() {
    let set = Set::start(|_| {}).await;
    let user = set.paused_user().await;
    let types = async || set.botcopy.user_types(&user).await.unwrap().is_some();
    assert!(types().await);
    let (headers, body) = set.last_call();
    let bot_id = &set.botcopy.options().bot_id;
    assert_eq!(headers.get("authorization").unwrap(), set.botcopy.options().access_token.as_str());
    assert_eq!(
        (&body["userId"], &body["botId"], &body["eventType"]),
        (&json!(user), &json!(bot_id), &json!("user_typing"))
    );
    assert!(body.get("accessToken").is_none() && body.get("queryInput").is_none());
    assert!(!types().await, "too soon");
    set.clock.advance(Duration::from_secs(4));
    assert!(types().await);
    set.botcopy.set_user_events(false);
    set.clock.advance(Duration::from_secs(4));
    assert!(!types().await);
    set.botcopy.user_says(&user, "hi").await.unwrap();
    assert_eq!(set.last_call().1.get("eventType"), None);
}

#[tokio::test]
async fn a_click_is_handed_over_while_paused_and_goes_to_the_bot_otherwise() {
    let set = Set::start(|_| {}).await;
    let user = set.paused_user().await;
    set.botcopy.user_clicks(&user, "BUY", &json!({"size": "L"})).await.unwrap();
    let event = json!({"name": "BUY", "languageCode": "en", "parameters": {"size": "L"}});
    assert_eq!(set.last_call().1["queryInput"], json!({ "event": event }));
    let calls = lock(&set.endpoint.calls).len();
    set.answer_next(json!({"paused": false}));
    set.botcopy.user_clicks(&user, "NEXT", &json!({})).await.unwrap();
    assert_eq!(set.last_seen(&user), (Speaker::Bot, "bot: event NEXT".to_owned()));
    set.botcopy.user_clicks(&user, "LAST", &json!({})).await.unwrap();
    assert_eq!(set.last_seen(&user), (Speaker::Bot, "bot: event LAST".to_owned()));
    assert_eq!(lock(&set.endpoint.calls).len(), calls + 1);
}

#[tokio::test]
async fn a_user_s_language_goes_with_their_words() {
    let set = Set::start(|_| {}).await;
    let user = set.botcopy.new_user_speaking("de-AT");
    set.botcopy.user_says(&user, "human").await.unwrap();
    let body = set.last_call().1;
    assert_eq!(body["queryInput"]["text"]["languageCode"], "de-AT");
    assert_eq!(body["messageHistory"][0]["payload"]["lang"], "de-AT");
}

#[tokio::test]
async fn a_dialogflow_session_ends_silently_and_may_take_the_pause_along() {
    for (dialogflow, minutes) in [(Dialogflow::Es, 20), (Dialogflow::Cx, 30)] {
        for ends_pause in [false, true] {
            let set = Set::start(|options| options.dialogflow = dialogflow).await;
            set.botcopy.set_expiry_ends_pause(ends_pause);
            set.answer_next(json!({"paused": true, "minutesPaused": 60}));
            let user = set.paused_user().await;
            let session = set.last_call().1["session"].clone();
            set.clock.advance(Duration::from_secs(minutes * 60 - 1));
            assert!(set.botcopy.is_paused(&user));
            set.clock.advance(Duration::from_secs(1));
            assert_eq!(set.botcopy.is_paused(&user), !ends_pause);
            assert_eq!(set.botcopy.options().journal.all("session_expired").len(), 1);
            set.botcopy.user_says(&user, "a human please").await.unwrap();
            assert_ne!(set.last_call().1["session"], session);
        }
    }
}
