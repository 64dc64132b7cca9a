//! The routes, as the page and other clients call them.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::is_loopback;
use crate::serve::{Only, Serving, Setting};
use crate::server::client;
use crate::stack::Runtime;

/// The maximum real time of any operation before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

const ANNA: &str = "anna@example.com";
const BEN: &str = "ben@example.com";

struct Sandbox(Serving, reqwest::Client);

impl Sandbox {
    async fn start(only: Option<Only>, manual_clock: bool) -> Self {
        let setting =
            Setting { runtime: Runtime::InProcess, ports: [0; 5], connected: true, only, sweeps: false, manual_clock };
        Self(Serving::start(setting).await.unwrap(), client().unwrap())
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let request = self.1.request(method.parse().unwrap(), format!("{}{path}", self.0.url()));
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.unwrap();
        (answer.status(), serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    /// Makes a call that must succeed; afterwards its effects are complete, too.
    async fn does(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert_eq!(status, 200, "{method} {path}: {answer}");
        self.0.stack.settled().await;
        answer
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.does("POST", path, body).await
    }

    async fn state(&self) -> Value {
        self.does("GET", "/state", Value::Null).await
    }

    /// Creates a handed-over user of the Botpress bot; returns the user and the chat.
    async fn handed_over(&self) -> (String, String) {
        let user = self.post("/users", json!({"name": "Ann", "email": "ann@example.com"})).await;
        let user = user["conversation"].as_str().unwrap().to_owned();
        self.post(&format!("/users/{user}/escalate"), Value::Null).await;
        let chats = self.does("GET", "/chats", Value::Null).await;
        (user, chats[0]["chat"].as_str().unwrap().to_owned())
    }

    /// The first `most` events of the stream for a reader that has everything up to `last`: name and id of each.
    async fn stream(&self, last: Option<usize>, most: usize) -> Vec<(String, Option<usize>)> {
        let mut request = self.1.get(format!("{}/events", self.0.url()));
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let mut answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let (mut text, mut events) = (String::new(), Vec::new());
        while events.len() < most {
            let chunk = tokio::time::timeout(PATIENCE, answer.chunk()).await.unwrap().unwrap().unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
            let complete = text.rsplit_once("\n\n").map_or("", |(complete, _)| complete);
            events = complete.split("\n\n").filter_map(event).collect();
        }
        events.truncate(most);
        events
    }
}

fn event(text: &str) -> Option<(String, Option<usize>)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let data = field("data: ")?;
    let id = field("id: ").and_then(|id| id.parse().ok());
    if let Some(id) = id {
        let entry: Value = serde_json::from_str(data).unwrap();
        assert_eq!(entry["number"], id, "an event's id is its entry's number");
    }
    Some((field("event: ").unwrap_or("message").to_owned(), id))
}

#[test]
fn only_loopback_addresses_are_this_machine() {
    for host in ["127.0.0.1:8083", "127.0.0.1", "localhost:1", "[::1]:8083", "[::1]"] {
        assert!(is_loopback(host), "{host}");
    }
    let others =
        ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil:1", "127.0.0.1:80@evil", "[::1]x", "localhost:"];
    for host in others {
        assert!(!is_loopback(host), "{host}");
    }
}

/// A method and a path, with a star for each part that differs from call to call.
fn shape(method: &str, path: &str) -> String {
    let is_fixed = |part: &&str| part.chars().all(|c| c.is_ascii_lowercase());
    let parts = path.trim_start_matches('/').split('/').map(|part| if is_fixed(&part) { part } else { "*" });
    format!("{method} /{}", parts.collect::<Vec<_>>().join("/"))
}

/// The routes of the tables in `docs/sandbox.md`: the first cell has one or more, and the method of the first is that of all.
fn documented_routes() -> Vec<String> {
    let rows = include_str!("../../../docs/sandbox.md").lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.filter(|row| ["GET /", "POST /", "DELETE /"].iter().any(|start| row.starts_with(start)));
    let routes = |row: &str| {
        let cell = row.split(" |").next().unwrap_or_default().trim_end_matches('`').to_owned();
        let (method, paths) =
            cell.split_once(' ').map(|(method, paths)| (method.to_owned(), paths.to_owned())).unwrap();
        paths.split("`, `").map(|path| shape(&method, path)).collect::<Vec<_>>()
    };
    rows.flat_map(routes).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_has_a_route_has_a_curl_line_and_every_command_that_is_printed_exists() {
    let sandbox = Sandbox::start(None, false).await;
    let shown = crate::serve::Shown { only: None, connected: true };
    let said = crate::serve::with_curl(&sandbox.0.stack, "http://people", shown);
    let line = |line: &str| {
        let rest = line.trim().strip_prefix("curl ")?;
        let method = if rest.contains("-X POST") {
            "POST"
        } else if rest.contains("-X DELETE") {
            "DELETE"
        } else {
            "GET"
        };
        let url = rest.split(' ').find_map(|word| word.strip_prefix("http://people"))?;
        Some(shape(method, url))
    };
    let lines: Vec<_> = said.lines().filter_map(line).collect();
    let routes = documented_routes();
    assert!(routes.len() > 40, "{routes:?}");
    let missing: Vec<_> = routes.iter().filter(|route| !lines.contains(route)).collect();
    let unknown: Vec<_> = lines.iter().filter(|line| !routes.contains(line)).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "without a line: {missing:?}; not documented: {unknown:?}");
    let package = said.split("cargo run -p ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let manifest = include_str!("../../../cli/Cargo.toml");
    assert!(manifest.contains(&format!("\nname = \"{package}\"\n")), "there is no package {package}");
    assert!(crate::demo::NEXT.contains(&format!("cargo run -p {package} ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_resumes_without_a_gap_where_a_reader_has_left_it() {
    let sandbox = Sandbox::start(None, false).await;
    sandbox.post("/users", json!({"name": "Ann"})).await;
    let journal = &sandbox.0.stack.journal;
    let before = journal.len();
    let first = sandbox.stream(None, before).await;
    let numbers = |events: &[(String, Option<usize>)]| events.iter().map(|(_, id)| id.unwrap()).collect::<Vec<_>>();
    assert_eq!(numbers(&first), (0..before).collect::<Vec<_>>());
    // Entries written while no reader is connected are not lost, and entries already read are not repeated.
    sandbox.handed_over().await;
    let (last, after) = (before - 1, journal.len());
    assert!(after > before);
    let resumed = sandbox.stream(Some(last), after - before).await;
    assert_eq!(numbers(&resumed), (before..after).collect::<Vec<_>>());
    // A reader from an earlier run starts over.
    let anew = sandbox.stream(Some(after + 1_000), after + 1).await;
    assert_eq!(anew[0], ("restart".to_owned(), None));
    assert_eq!(numbers(&anew[1..]), (0..after).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_this_machine_s_own_pages_and_tools_is_served() {
    let sandbox = Sandbox::start(None, false).await;
    let url = |path: &str| format!("{}{path}", sandbox.0.url());
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status();
    let client = &sandbox.1;
    assert_eq!(status(client.get(url("/state")).header("host", "evil.example")).await, 403);
    assert_eq!(status(client.post(url("/sweep")).header("origin", "http://evil.example")).await, 403);
    assert_eq!(status(client.post(url("/faults")).header("content-type", "text/plain").body("{}")).await, 415);
    let page = client.get(url("/")).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_agents_do_is_a_route() {
    let sandbox = Sandbox::start(None, false).await;
    let (user, chat) = sandbox.handed_over().await;
    let at = |action: &str| format!("/chats/{chat}/{action}");
    sandbox.post(&at("say"), json!({"agent": ANNA, "text": "first"})).await;
    sandbox.post(&at("note"), json!({"agent": ANNA, "text": "only for Ben"})).await;
    sandbox.post(&at("card"), json!({"agent": ANNA, "title": "A card", "url": "https://example.com/"})).await;
    sandbox.post(&at("file"), json!({"agent": ANNA, "name": "a.txt", "type": "text/plain", "base64": "aGk="})).await;
    let state = sandbox.state().await;
    let events = state["chats"][0]["events"].as_array().unwrap();
    let said = events.iter().find(|event| event["content"]["text"] == "first").unwrap()["id"].clone();
    sandbox.post(&at("edit"), json!({"event": said, "text": "second"})).await;
    sandbox.post(&at("delete"), json!({"agent": ANNA, "event": said})).await;
    sandbox.post(&at("transfer"), json!({"agent": ANNA, "to_agent": BEN})).await;
    sandbox.post(&at("join"), json!({"agent": "clara@example.com"})).await;
    let state = sandbox.state().await;
    let lines = state["users"][0]["lines"].to_string();
    assert!(lines.contains("first") && lines.contains("A card") && lines.contains("a.txt"), "{lines}");
    assert!(!lines.contains("only for Ben"), "{lines}");
    assert_eq!(state["users"][0]["with"]["kind"], "agent", "{state}");
    sandbox.post(&at("close"), json!({"agent": BEN})).await;
    let state = sandbox.state().await;
    assert_eq!((&state["users"][0]["id"], &state["users"][0]["with"]["kind"]), (&json!(user), &json!("bot")));
    assert_eq!((&state["verdict"]["lost"], &state["verdict"]["private_shown"]), (&json!(0), &json!(0)), "{state}");
    let (status, refused) = sandbox.call("POST", &at("say"), json!({"agent": ANNA, "text": "too late"})).await;
    assert!(status == 409 && refused["refused"].is_string(), "{status} {refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_users_and_the_router_do_is_a_route() {
    let sandbox = Sandbox::start(None, false).await;
    let (user, chat) = sandbox.handed_over().await;
    let at = |action: &str| format!("/users/{user}/{action}");
    sandbox.post(&at("message"), json!({"type": "text", "payload": {"text": "typed"}})).await;
    sandbox.post(&at("file"), json!({"name": "order.txt", "type": "text/plain", "content": "4711"})).await;
    let events = sandbox.state().await["chats"][0]["events"].to_string();
    assert!(events.contains("typed") && events.contains("order.txt"), "{events}");
    sandbox.post("/router/close", json!({ "chat": chat })).await;
    assert_eq!(sandbox.state().await["users"][0]["with"]["kind"], "bot");
    sandbox.post(&at("escalate"), Value::Null).await;
    sandbox.post(&at("end"), Value::Null).await;
    assert_eq!(sandbox.state().await["users"][0]["with"]["kind"], "bot");
    for agent in [ANNA, BEN, "clara@example.com"] {
        sandbox.post(&format!("/agents/{agent}/status"), json!({"status": "not_accepting_chats"})).await;
    }
    sandbox.post(&at("escalate"), Value::Null).await;
    assert_eq!(sandbox.state().await["users"][0]["with"]["kind"], "waiting");
    sandbox.post(&format!("/agents/{ANNA}/status"), json!({"status": "accepting_chats"})).await;
    sandbox.post("/router/assign", json!({ "chat": chat })).await;
    assert_eq!(sandbox.state().await["users"][0]["with"]["name"], "Anna");
    sandbox.post(&at("stop"), Value::Null).await;
    sandbox.post("/groups/1/status", json!({"status": "offline"})).await;
    let state = sandbox.state().await;
    let group = state["groups"].as_array().unwrap().iter().find(|group| group["id"] == 1).unwrap();
    assert_eq!(group["status"], "offline");
    assert_eq!(sandbox.call("POST", "/agents/nobody/status", json!({"status": "offline"})).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_has_hits_stands_in_the_journal_and_ends_when_it_is_deleted() {
    let sandbox = Sandbox::start(None, false).await;
    let (user, _) = sandbox.handed_over().await;
    let fault = json!({"where": "livechat", "calls": "send_event", "fault": {"answer": 503}});
    let id = sandbox.post("/faults", fault).await["id"].clone();
    sandbox.post(&format!("/users/{user}/say"), json!({"text": "held back"})).await;
    let state = sandbox.state().await;
    assert!(state["faults"][0]["hits"].as_u64() >= Some(1), "{state}");
    assert_eq!((&state["lanes"][0]["lane"], &state["lanes"][0]["waiting"]), (&json!("to_agent"), &json!(1)));
    assert_eq!((&state["verdict"]["under_way"], &state["verdict"]["lost"]), (&json!(1), &json!(0)));
    let spoiled = sandbox.0.stack.journal.all("call_spoiled");
    assert!(spoiled.iter().all(|entry| entry.detail["status"] == 503 && entry.cause.is_some()), "{spoiled:?}");
    assert!(!spoiled.is_empty());
    sandbox.does("DELETE", &format!("/faults/{id}"), Value::Null).await;
    assert_eq!(sandbox.state().await["faults"], json!([]));
    assert_eq!(sandbox.call("DELETE", "/faults/99", Value::Null).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_functions_and_deliveries_are_routes_too() {
    let sandbox = Sandbox::start(None, false).await;
    let (user, _) = sandbox.handed_over().await;
    sandbox.post("/credentials", json!({"agent_token": "revoked"})).await;
    assert_eq!(sandbox.state().await["agent_token"], "revoked");
    let doctor = sandbox.post("/doctor", Value::Null).await;
    assert!(doctor["exit"] == 1 && doctor["found"].to_string().contains("token"), "{doctor}");
    sandbox.does("DELETE", "/faults", Value::Null).await;
    assert_eq!(sandbox.state().await["agent_token"], "valid");
    sandbox.post("/functions/restart", Value::Null).await;
    sandbox.post("/functions/kill", json!({"after": "send_event"})).await;
    sandbox.post(&format!("/users/{user}/say"), json!({"text": "did it arrive?"})).await;
    let arrived = sandbox.0.stack.journal.all("event_sent");
    assert_eq!(arrived.iter().filter(|entry| entry.text("/text") == "did it arrive?").count(), 1);
    let unknown = sandbox.call("POST", "/functions/kill", json!({"after": "nothing"})).await;
    assert_eq!(unknown.0, 422);
    let delivered = sandbox.0.stack.journal.all("webhook_delivered");
    let number = &delivered[0].detail["delivery"];
    sandbox.post(&format!("/deliveries/{number}/again"), Value::Null).await;
    assert_eq!(sandbox.0.stack.journal.all("webhook_delivered").len(), delivered.len() + 1);
    assert_eq!(sandbox.call("POST", "/clock", json!({"advance_s": 1})).await.0, 409);
}

/// How many tasks read the state, or write notes, at once; and how often each does.
const AT_ONCE: usize = 4;
const LOOKS: usize = 60;

/// Simulators journal while they lock their own state, and the state is read from both.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_state_is_told_while_the_simulators_are_at_work() {
    let (done, watched) = std::sync::mpsc::channel::<()>();
    // Nothing ends threads that wait for each other, and a runtime waits for its threads: so this ends the process with them.
    std::thread::spawn(move || {
        if watched.recv_timeout(PATIENCE * 4) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("GET /state and a simulator wait for each other");
            std::process::exit(101);
        }
    });
    let sandbox = Sandbox::start(None, false).await;
    let (_, chat) = sandbox.handed_over().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (stack, chat) = (std::sync::Arc::clone(&sandbox.0.stack), chat.clone());
        tasks.spawn(async move {
            for number in 0..LOOKS {
                stack.livechat.agent_sends_private_note(&chat, ANNA, &format!("note {number}")).unwrap();
                tokio::task::yield_now().await;
            }
        });
        let (client, url) = (sandbox.1.clone(), sandbox.0.url());
        tasks.spawn(async move {
            for _ in 0..LOOKS {
                assert_eq!(client.get(format!("{url}/state")).send().await.unwrap().status(), 200);
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    sandbox.0.stack.settled().await;
    let notes = sandbox.0.stack.journal.all("event_sent");
    assert_eq!(notes.iter().filter(|entry| entry.text("/visibility") == "agents").count(), AT_ONCE * LOOKS);
    done.send(()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_can_be_changed_and_what_waits_says_whose_it_is_and_why() {
    let sandbox = Sandbox::start(None, false).await;
    let user = sandbox.post("/users", json!({"name": "Ann", "email": "ann@example.com"})).await;
    let user = user["conversation"].as_str().unwrap().to_owned();
    let changed = json!({"name": "Ann Lee", "email": ""});
    sandbox.post(&format!("/users/{user}/profile"), changed).await;
    let state = sandbox.state().await;
    assert_eq!(state["users"][0]["profile"], json!({"name": "Ann Lee", "email": null, "picture": null}));
    sandbox.post(&format!("/users/{user}/escalate"), Value::Null).await;
    let state = sandbox.state().await;
    assert_eq!(state["chats"][0]["customer"]["name"], "Ann Lee", "{state}");
    assert_eq!(sandbox.call("POST", "/users/nobody/profile", json!({"name": "x"})).await.0, 409);

    sandbox.post("/faults", json!({"where": "livechat", "calls": "send_event", "fault": {"answer": 503}})).await;
    sandbox.post(&format!("/users/{user}/say"), json!({"text": "held back"})).await;
    let lane = sandbox.state().await["lanes"][0].clone();
    assert_eq!((&lane["user"], &lane["kinds"]), (&json!("Ann Lee"), &json!({"message": 1})), "{lane}");
    assert!(lane["why"].as_str().is_some_and(|why| !why.is_empty()), "{lane}");
    assert!(lane["next_try"].as_str() > lane["since"].as_str(), "{lane}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_clock_stands_still_until_it_is_moved() {
    let sandbox = Sandbox::start(None, true).await;
    let now = async || sandbox.state().await["now"].clone();
    let before = now().await;
    assert_eq!(now().await, before);
    let moved = sandbox.post("/clock", json!({"advance_s": 60})).await;
    assert_ne!(moved["now"], before);
    assert_eq!(now().await, moved["now"]);
    sandbox.post("/sweep", Value::Null).await;
    assert_eq!(sandbox.state().await["swept"]["at"], moved["now"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_names_the_inbound_call_that_caused_a_vendor_call() {
    let sandbox = Sandbox::start(None, false).await;
    sandbox.handed_over().await;
    let entries = sandbox.0.stack.journal.entries();
    let start = entries.iter().find(|entry| entry.text("/type") == "startHitl").unwrap();
    assert!(start.cause.is_some() && start.took_ms.is_some(), "{start:?}");
    let of_start = |effect: &str| entries.iter().any(|one| one.effect == effect && one.cause == start.cause);
    assert!(of_start("chat_started") && of_start("call_answered") && of_start("conversation_created"));
    let calls = || entries.iter().filter(|entry| entry.effect == "call_answered");
    assert!(calls().count() > 10 && calls().all(|entry| entry.cause.is_some()));
    let webhook = entries.iter().find(|entry| entry.effect == "webhook_delivered").unwrap();
    assert_ne!(webhook.cause, start.cause, "each inbound call has an id of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulator_alone_serves_another_integration_and_names_nothing_else() {
    let sandbox = Sandbox::start(Some(Only::Livechat), false).await;
    let described = sandbox.does("GET", "/stack", Value::Null).await;
    let names: Vec<_> = described.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["livechat", "people"], "{described}");
    let livechat = &described["livechat"];
    assert!(livechat["webhook_url"].is_null(), "{livechat}");
    let url = format!("{}/v3.6/agent/action/list_chats", livechat["url"].as_str().unwrap());
    let call =
        sandbox.1.post(url).header("authorization", format!("Basic {}", livechat["agent_token"].as_str().unwrap()));
    let answer = call.json(&json!({})).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let health = sandbox.1.get(format!("{}/health", sandbox.0.stack.gateway.url())).send().await.unwrap();
    assert_eq!(health.status(), 404, "there are no functions");
    assert_eq!(sandbox.state().await["only"], "livechat");
}
