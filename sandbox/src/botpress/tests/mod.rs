//! The simulator over real HTTP: a caller of its runtime API, and a small integration that it calls.

mod api;
mod integration;
mod session;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use shared::clock::{ManualClock, Timestamp};

use super::{Options, Simulator};
use crate::faults::Faults;
use crate::journal::Journal;
use crate::server::{Server, client};

/// A caller of the runtime API.
#[derive(Clone)]
struct Api {
    client: reqwest::Client,
    url: String,
    headers: Vec<(&'static str, String)>,
}

impl Api {
    fn new(simulator: &Simulator) -> Self {
        let options = simulator.options();
        let headers = vec![
            ("authorization", format!("Bearer {}", options.access_key)),
            ("x-bot-id", options.install.bot_id.clone()),
            ("x-integration-id", options.install.integration_id.clone()),
            ("x-integration-alias", options.install.alias.clone()),
        ];
        Self { client: client().unwrap(), url: simulator.url(), headers }
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(given, _)| *given != name);
        self
    }

    fn with(self, name: &'static str, value: &str) -> Self {
        let mut changed = self.without(name);
        changed.headers.push((name, value.to_owned()));
        changed
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}/v1/chat/{path}", self.url);
        let mut request = self.client.request(method.parse().unwrap(), url);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call("POST", path, Some(body)).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, None).await
    }

    async fn new_user(&self, body: Value) -> String {
        let (status, answer) = self.post("users", body).await;
        assert_eq!(status, 201, "{answer}");
        answer["user"]["id"].as_str().unwrap().to_owned()
    }

    async fn new_conversation(&self, tags: Value) -> String {
        let (status, answer) = self.post("conversations", json!({"channel": "hitl", "tags": tags})).await;
        assert_eq!(status, 201, "{answer}");
        answer["conversation"]["id"].as_str().unwrap().to_owned()
    }

    async fn says(&self, conversation: &str, user: &str, text: &str) -> Value {
        let body = json!({
            "conversationId": conversation, "userId": user, "type": "text", "payload": {"text": text}, "tags": {},
        });
        let (status, answer) = self.post("messages", body).await;
        assert_eq!(status, 201, "{answer}");
        answer["message"].clone()
    }

    async fn emits(&self, event_type: &str, payload: Value) -> String {
        let (status, answer) = self.post("events", json!({"type": event_type, "payload": payload})).await;
        assert_eq!(status, 201, "{answer}");
        answer["event"]["id"].as_str().unwrap().to_owned()
    }

    async fn event_status(&self, event: &str) -> String {
        self.get(&format!("events/{event}")).await.1["event"]["status"].as_str().unwrap().to_owned()
    }
}

/// A call that the integration received.
#[derive(Clone, Debug)]
struct Received {
    /// The operation, or the action's type.
    name: String,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }
}

/// A minimal integration: creates a user per `createUser` and a conversation per `startHitl`, and follows its script.
struct Integration {
    server: Server,
    faults: Faults,
    desk: Arc<Desk>,
}

struct Desk {
    api: Api,
    received: Mutex<Vec<Received>>,
    scripted: Mutex<HashMap<String, VecDeque<(u16, Value)>>>,
}

impl Integration {
    async fn start(simulator: &Simulator) -> Self {
        let desk = Arc::new(Desk { api: Api::new(simulator), received: Mutex::default(), scripted: Mutex::default() });
        let router = Router::new().fallback(handle).with_state(Arc::clone(&desk));
        let faults = Faults::default();
        let clock = simulator.options().clock.clone();
        let server = Server::start(0, router, faults.clone(), clock).await.unwrap();
        Self { server, faults, desk }
    }

    /// Answers the next call of this name with this status and body.
    fn script(&self, name: &str, status: u16, body: Value) {
        self.desk.scripted.lock().unwrap().entry(name.to_owned()).or_default().push_back((status, body));
    }

    fn received(&self, name: &str) -> Vec<Received> {
        self.desk.received.lock().unwrap().iter().filter(|call| call.name == name).cloned().collect()
    }

    /// The text and the author of every delivered message.
    fn delivered(&self) -> Vec<(String, Option<String>)> {
        let payloads = self.received("message_created").into_iter().map(|call| call.json()["payload"].clone());
        let text = |value: &Value| value.as_str().map(str::to_owned);
        payloads.map(|payload| (text(&payload["text"]).unwrap_or_default(), text(&payload["userId"]))).collect()
    }
}

async fn handle(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Bytes) -> Response {
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    let operation = headers["x-bp-operation"].to_str().unwrap().to_owned();
    let name =
        if operation == "action_triggered" { json["type"].as_str().unwrap_or_default().to_owned() } else { operation };
    desk.received.lock().unwrap().push(Received { name: name.clone(), headers, bytes: body.to_vec() });
    let scripted = desk.scripted.lock().unwrap().get_mut(&name).and_then(VecDeque::pop_front);
    if let Some((status, body)) = scripted {
        return (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response();
    }
    let input = &json["input"];
    let output = match name.as_str() {
        "createUser" => {
            let tags = json!({"id": input["email"], "email": input["email"]});
            json!({"userId": desk.api.new_user(json!({"tags": tags, "name": input["name"]})).await})
        }
        "startHitl" => json!({"conversationId": desk.api.new_conversation(json!({})).await}),
        "stopHitl" => json!({}),
        _ => return axum::Json(json!({})).into_response(),
    };
    axum::Json(json!({"output": output, "meta": {"cost": 0}})).into_response()
}

/// A simulator with an installed integration, on a manual clock.
struct Stack {
    clock: ManualClock,
    journal: Journal,
    simulator: Simulator,
    integration: Integration,
    api: Api,
}

impl Stack {
    async fn start() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(adapt: impl FnOnce(&mut Options)) -> Self {
        let clock = ManualClock::new(Timestamp::parse("2026-05-11T09:41:00Z").unwrap());
        let journal = Journal::default();
        let mut options = Options::new(clock.clock(), journal.clone());
        adapt(&mut options);
        let simulator = Simulator::start(options).await.unwrap();
        let integration = Integration::start(&simulator).await;
        let answer = simulator.install_integration(&integration.server.url()).await.unwrap();
        assert_eq!(answer.status, 200);
        let api = Api::new(&simulator);
        Self { clock, journal, simulator, integration, api }
    }

    /// The journal's entries of one kind, reduced to one key.
    fn journaled(&self, effect: &str, key: &str) -> Vec<String> {
        let pointer = format!("/{key}");
        self.journal.all(effect).iter().map(|entry| entry.text(&pointer).to_owned()).collect()
    }

    /// What a user saw and wrote, as `<author>: <text>`.
    fn transcript(&self, conversation: &str) -> Vec<String> {
        let lines = self.simulator.transcript(conversation);
        lines.iter().map(|line| format!("{}: {}", line.from.as_str(), line.text)).collect()
    }

    /// Waits until a task waits for the clock.
    async fn somebody_sleeps(&self) {
        while self.clock.next_wake().is_none() {
            tokio::task::yield_now().await;
        }
    }
}
