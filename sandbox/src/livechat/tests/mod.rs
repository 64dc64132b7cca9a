//! Each rule once, over real HTTP.

mod accounts;
mod agents;
mod chats;
mod configuration;
mod events;
mod files;
mod webhooks;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use shared::clock::{Clock, ManualClock, Timestamp};

use super::*;
use crate::journal::Entry;
use crate::server::client;

/// A simulator on a manual clock, a client, and a receiver of webhooks.
struct World {
    simulator: Simulator,
    clock: ManualClock,
    journal: Journal,
    http: reqwest::Client,
    receiver: Receiver,
}

/// Collects webhook bodies and answers 200, unless its faults override that.
struct Receiver {
    server: Server,
    faults: Faults,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    async fn start(clock: Clock) -> Self {
        async fn collect(Shared(bodies): Shared<Arc<Mutex<Vec<Value>>>>, body: Bytes) {
            bodies.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
        }
        let bodies = Arc::default();
        let router = Router::new().fallback(collect).with_state(Arc::clone(&bodies));
        let faults = Faults::default();
        let server = Server::start(0, router, faults.clone(), clock).await.unwrap();
        Self { server, faults, bodies }
    }

    fn url(&self) -> String {
        format!("{}/livechat", self.server.url())
    }

    fn bodies(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }

    fn of(&self, action: &str) -> Vec<Value> {
        self.bodies().into_iter().filter(|body| body["action"] == action).collect()
    }

    fn actions(&self) -> Vec<String> {
        let mut actions: Vec<_> =
            self.bodies().iter().map(|body| body["action"].as_str().unwrap().to_owned()).collect();
        actions.sort();
        actions
    }
}

/// A parsed answer.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    async fn read(response: Response) -> Self {
        let status = response.status();
        assert!(response.headers().contains_key("x-debug-id"));
        let text = response.text().await.unwrap();
        Self { status, body: serde_json::from_str(&text).unwrap_or_default() }
    }

    #[track_caller]
    fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    #[track_caller]
    fn refused(&self, status: u16, kind: &str) -> String {
        assert_eq!((self.status.as_u16(), self.body["error"]["type"].as_str()), (status, Some(kind)), "{}", self.body);
        self.body["error"]["message"].as_str().unwrap().to_owned()
    }
}

/// A customer's token and cookies.
#[derive(Clone, Debug)]
struct Identity {
    id: String,
    token: String,
    cookies: String,
}

const ALL_ACTIONS: &[&str] = &[
    "incoming_chat",
    "incoming_event",
    "event_updated",
    "event_deleted",
    "chat_deactivated",
    "chat_transferred",
    "chat_access_updated",
    "user_added_to_chat",
    "user_removed_from_chat",
    "routing_status_set",
    "customer_session_fields_updated",
    "chat_properties_updated",
    "incoming_rich_message_postback",
];

impl World {
    async fn new() -> Self {
        Self::with(Behaviour::default()).await
    }

    async fn with(behaviour: Behaviour) -> Self {
        let clock = ManualClock::new(Timestamp::from_unix_millis(1_778_492_400_000));
        let journal = Journal::default();
        let options = Options { behaviour, ..Options::new(clock.clock(), journal.clone()) };
        let simulator = Simulator::start(options).await.unwrap();
        let receiver = Receiver::start(clock.clock()).await;
        Self { simulator, clock, journal, http: client().unwrap(), receiver }
    }

    /// As [`new`](Self::new), with every webhook registered.
    async fn listening() -> Self {
        let world = Self::new().await;
        world.simulator.register_webhooks(&world.receiver.url(), "s3cr3t", ALL_ACTIONS).unwrap();
        world
    }

    fn cookie_grant(&self) -> Value {
        let account = self.simulator.account();
        json!({
            "grant_type": "cookie", "client_id": account.client_id, "organization_id": account.organization_id,
            "redirect_uri": account.redirect_uri,
        })
    }

    async fn token(&self, body: &Value, headers: &[(&str, &str)]) -> Response {
        let mut request = self.http.post(format!("{}/v2/customer/token", self.simulator.url())).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn identity(&self) -> Identity {
        self.identity_from(self.token(&self.cookie_grant(), &[]).await).await
    }

    async fn renewed(&self, identity: &Identity) -> Identity {
        self.identity_from(self.token(&self.cookie_grant(), &[("cookie", &identity.cookies)]).await).await
    }

    async fn identity_from(&self, response: Response) -> Identity {
        let cookies = response.headers().get_all("set-cookie").iter();
        let cookies: Vec<_> =
            cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned()).collect();
        let body = Answer::read(response).await.ok();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Identity { id: text("entity_id"), token: text("access_token"), cookies: cookies.join("; ") }
    }

    async fn customer(&self, identity: &Identity, action: &str, body: Value) -> Answer {
        let organization = &self.simulator.account().organization_id;
        let url = format!("{}/v3.6/customer/action/{action}?organization_id={organization}", self.simulator.url());
        Answer::read(self.http.post(url).bearer_auth(&identity.token).json(&body).send().await.unwrap()).await
    }

    async fn agent(&self, action: &str, body: Value) -> Answer {
        self.staff("agent", action, body).await
    }

    async fn configuration(&self, action: &str, body: Value) -> Answer {
        self.staff("configuration", action, body).await
    }

    async fn staff(&self, api: &str, action: &str, body: Value) -> Answer {
        let url = format!("{}/v3.6/{api}/action/{action}", self.simulator.url());
        let basic = format!("Basic {}", self.simulator.account().agent_token);
        Answer::read(self.http.post(url).header("authorization", basic).json(&body).send().await.unwrap()).await
    }

    /// A customer in an active chat with Anna, in group 1.
    async fn chat(&self) -> (Identity, String) {
        let identity = self.identity().await;
        let answer = self.customer(&identity, "start_chat", starting_in(1)).await.ok();
        (identity, answer["chat_id"].as_str().unwrap().to_owned())
    }

    fn last(&self, effect: &str) -> Entry {
        self.journal.all(effect).pop().unwrap()
    }
}

fn starting_in(group_id: u32) -> Value {
    json!({"chat": {"access": {"group_ids": [group_id]}}})
}

const ANNA: &str = "anna@example.com";
const BEN: &str = "ben@example.com";
const CLARA: &str = "clara@example.com";
