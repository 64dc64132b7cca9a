//! What the runtime API accepts, answers and refuses.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Error, ErrorType};
use super::Stack;
use crate::faults::Fault;

#[track_caller]
fn assert_refused((status, body): &(u16, Value), error_type: ErrorType) {
    assert_eq!((*status, body["type"].as_str()), (error_type.status(), Some(error_type.as_str())), "{body}");
    assert_eq!(body["code"].as_u64(), Some(u64::from(*status)));
    assert!(body["id"].as_str().is_some_and(|id| id.starts_with("err_")) && body["message"].is_string(), "{body}");
}

#[tokio::test]
async fn a_call_needs_the_access_key_and_the_headers_of_the_install() {
    let stack = Stack::start().await;
    let call = async |api: super::Api| api.get("users").await;
    assert_refused(&call(stack.api.clone().without("authorization")).await, ErrorType::Unauthorized);
    assert_refused(&call(stack.api.clone().with("authorization", "Bearer wrong")).await, ErrorType::Unauthorized);
    for name in ["x-bot-id", "x-integration-id", "x-integration-alias"] {
        assert_refused(&call(stack.api.clone().without(name)).await, ErrorType::InvalidPayload);
        assert_refused(&call(stack.api.clone().with(name, "other")).await, ErrorType::Forbidden);
    }
    assert_eq!(call(stack.api.clone()).await.0, 200);
    assert_refused(&stack.api.get("nothing").await, ErrorType::MethodNotFound);
    let statuses: Vec<_> = stack.journal.all("call_answered").iter().map(|e| e.detail["status"].as_u64()).collect();
    assert_eq!(statuses.len(), 10);
    assert_eq!((statuses[0], statuses[8]), (Some(401), Some(200)));
}

#[tokio::test]
async fn while_the_workspace_refuses_everything_no_call_is_taken() {
    let stack = Stack::start().await;
    for error_type in [ErrorType::Unauthorized, ErrorType::Forbidden, ErrorType::PaymentRequired] {
        stack.simulator.refuse_all(Some(error_type));
        assert_refused(&stack.api.get("users").await, error_type);
    }
    stack.simulator.refuse_all(None);
    assert_eq!(stack.api.get("users").await.0, 200);
}

#[tokio::test]
async fn a_user_is_created_read_changed_and_deleted() {
    let stack = Stack::start().await;
    let body = json!({"tags": {"id": "7", "email": "ada@x"}, "name": "Ada", "pictureUrl": "https://x/a.png"});
    let (status, answer) = stack.api.post("users", body).await;
    assert_eq!(status, 201);
    let user = &answer["user"];
    assert_eq!((&user["name"], &user["tags"]), (&json!("Ada"), &json!({"id": "7", "email": "ada@x"})));
    let path = format!("users/{}", user["id"].as_str().unwrap());

    let changes = json!({"name": null, "tags": {"email": ""}});
    let (status, answer) = stack.api.call("PUT", &path, Some(changes)).await;
    assert_eq!((status, &answer["user"]["tags"]), (200, &json!({"id": "7"})));
    assert!(answer["user"].get("name").is_none());
    assert_eq!(answer["user"]["pictureUrl"], "https://x/a.png");
    assert!(answer["user"]["updatedAt"].as_str() > answer["user"]["createdAt"].as_str());

    assert_eq!(stack.api.get(&path).await, (200, answer));
    assert_eq!(stack.api.call("DELETE", &path, None).await, (200, json!({})));
    assert_refused(&stack.api.get(&path).await, ErrorType::ResourceNotFound);
    assert_eq!(stack.journal.all("user_created").len(), 1);
    assert_eq!(stack.journal.all("user_updated").len(), 1);
}

#[tokio::test]
async fn get_or_create_compares_the_discriminating_tags_and_updates_what_it_finds() {
    let stack = Stack::start().await;
    let body = |email: &str, name: &str| json!({"tags": {"id": "7", "email": email}, "name": name, "discriminateByTags": ["id"]});
    let (_, first) = stack.api.post("users/get-or-create", body("old@x", "Ada")).await;
    let (status, second) = stack.api.post("users/get-or-create", body("new@x", "Ada L.")).await;
    assert_eq!((status, &first["meta"], &second["meta"]), (200, &json!({"created": true}), &json!({"created": false})));
    assert_eq!(first["user"]["id"], second["user"]["id"]);
    assert_eq!((&second["user"]["name"], &second["user"]["tags"]["email"]), (&json!("Ada L."), &json!("new@x")));

    let all_tags = json!({"tags": {"id": "7", "email": "third@x"}});
    let (_, third) = stack.api.post("users/get-or-create", all_tags).await;
    assert_eq!(third["meta"]["created"], true);

    let missing = json!({"tags": {"id": "7"}, "discriminateByTags": ["email"]});
    assert_refused(&stack.api.post("users/get-or-create", missing).await, ErrorType::InvalidPayload);
}

#[tokio::test]
async fn bodies_are_closed_and_tags_must_be_declared() {
    let stack = Stack::start().await;
    let user = stack.api.new_user(json!({"tags": {}})).await;
    let conversation = stack.api.new_conversation(json!({"id": "K1"})).await;
    let message = |changes: Value| {
        let mut body = json!({
            "conversationId": conversation, "userId": user, "type": "text", "payload": {"text": "hi"}, "tags": {},
        });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        body
    };
    for (path, body) in [
        ("users", json!({})),
        ("users", json!({"tags": {}, "email": "a@x"})),
        ("users", json!({"tags": {"role": "agent"}})),
        ("users", json!({"tags": {"id": 7}})),
        ("users", json!({"tags": {"id": "x".repeat(501)}})),
        ("users", json!({"tags": {}, "name": "x".repeat(201)})),
        ("conversations", json!({"tags": {}})),
        ("conversations", json!({"channel": "webchat", "tags": {}})),
        ("conversations", json!({"channel": "hitl", "tags": {"thread": "1"}})),
        ("messages", message(json!({"tags": {"event": "1"}}))),
        ("messages", message(json!({"type": "card"}))),
        ("messages", message(json!({"type": "markdown", "payload": {"markdown": "hi"}}))),
        ("messages", message(json!({"payload": {"text": ""}}))),
        ("messages", message(json!({"payload": {"text": "hi", "type": "text"}}))),
        ("messages", message(json!({"origin": "human"}))),
        ("messages", message(json!({"schedule": {}}))),
        ("messages", message(json!({"text": "hi"}))),
        ("events", json!({"type": "hitlPaused", "payload": {}})),
        ("events", json!({"type": "hitlAssigned", "payload": {"conversationId": conversation}})),
        ("events", json!({"type": "hitlStopped", "payload": {"conversationId": conversation, "reason": "x"}})),
        (
            "events",
            json!({"type": "hitlStopped", "payload": {"conversationId": conversation}, "schedule": {"dateTime": "2026"}}),
        ),
        ("integrations/configure", json!({"scheduleRegisterCall": "minutely"})),
    ] {
        assert_refused(&stack.api.post(path, body.clone()).await, ErrorType::InvalidPayload);
    }
    assert_refused(
        &stack.api.post("messages", message(json!({"userId": "user_x"}))).await,
        ErrorType::ReferenceNotFound,
    );
    let unknown = message(json!({"conversationId": "conv_x"}));
    assert_refused(&stack.api.post("messages", unknown).await, ErrorType::ReferenceNotFound);
    assert_eq!(stack.journal.all("message_created").len(), 0);
}

#[tokio::test]
async fn payloads_end_at_128_kibibytes_and_requests_at_one_mebibyte() {
    let stack = Stack::start().await;
    let user = stack.api.new_user(json!({"tags": {}})).await;
    let conversation = stack.api.new_conversation(json!({})).await;
    let body = |length: usize| {
        let payload = json!({"text": "x".repeat(length)});
        json!({"conversationId": conversation, "userId": user, "type": "text", "payload": payload, "tags": {}})
    };
    assert_eq!(stack.api.post("messages", body(128 * 1024 - 11)).await.0, 201);
    assert_refused(&stack.api.post("messages", body(128 * 1024 - 10)).await, ErrorType::PayloadTooLarge);
    assert_refused(&stack.api.post("messages", body(1024 * 1024)).await, ErrorType::PayloadTooLarge);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused() {
    let stack = Stack::start().await;
    assert_refused(&stack.api.call("POST", "users", None).await, ErrorType::UnsupportedMediaType);
    let broken = stack.api.clone().with("content-type", "application/json").call("POST", "users", None).await;
    assert_refused(&broken, ErrorType::InvalidPayload);
}

#[tokio::test]
async fn conversations_are_found_by_tag_and_listed_newest_first_in_pages() {
    let stack = Stack::with(|options| options.page_size = 2).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(stack.api.new_conversation(json!({"id": format!("K{number}")})).await);
    }
    let (status, found) = stack.api.get("conversations?tags.id=K3&channel=hitl").await;
    assert_eq!((status, found["conversations"].as_array().unwrap().len()), (200, 1));
    assert_eq!(found["conversations"][0]["id"], ids[3].as_str());
    assert_eq!(found["conversations"][0]["integration"], "livechat");
    assert_eq!(stack.api.get("conversations?tags.id=K9").await.1["conversations"], json!([]));

    let mut seen = Vec::new();
    let mut path = "conversations".to_owned();
    loop {
        let (_, page) = stack.api.get(&path).await;
        seen.extend(page["conversations"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()));
        let Some(token) = page["meta"]["nextToken"].as_str() else { break };
        path = format!("conversations?nextToken={token}");
    }
    ids.reverse();
    assert_eq!(seen, ids);
    let (_, oldest) = stack.api.get("conversations?sortField=createdAt&sortDirection=asc&pageSize=1").await;
    assert_eq!(oldest["conversations"][0]["id"], ids[4].as_str());

    for query in ["tag.id=K1", "nextToken=conv_x", "sortDirection=up", "pageSize=many", "afterDate=today"] {
        assert_refused(&stack.api.get(&format!("conversations?{query}")).await, ErrorType::InvalidQuery);
    }
    assert_refused(&stack.api.get("conversations?tags.chat=K1").await, ErrorType::InvalidPayload);
}

#[tokio::test]
async fn a_conversation_is_found_again_by_its_tag_changed_and_deleted() {
    let stack = Stack::start().await;
    let body = json!({"channel": "hitl", "tags": {"id": "T1"}, "discriminateByTags": ["id"]});
    let (_, first) = stack.api.post("conversations/get-or-create", body.clone()).await;
    let (_, second) = stack.api.post("conversations/get-or-create", body).await;
    assert_eq!((&first["meta"]["created"], &second["meta"]["created"]), (&json!(true), &json!(false)));
    assert_eq!(first["conversation"], second["conversation"]);
    let id = first["conversation"]["id"].as_str().unwrap();
    let path = format!("conversations/{id}");
    let (_, changed) = stack.api.call("PUT", &path, Some(json!({"tags": {"id": "T2"}}))).await;
    assert_eq!(changed["conversation"]["tags"], json!({"id": "T2"}));
    let (_, changed) = stack.api.call("PUT", &path, Some(json!({"properties": {"mood": "good"}}))).await;
    assert_eq!(changed["conversation"]["properties"], json!({"mood": "good"}));
    assert_eq!(changed["conversation"]["tags"], json!({"id": "T2"}));

    let user = stack.api.new_user(json!({"tags": {}})).await;
    let message = stack.api.says(id, &user, "hi").await;
    assert_eq!(stack.api.get(&path).await.1["conversation"]["messageCount"], 1);
    let (_, participants) = stack.api.get(&format!("users?conversationId={id}")).await;
    assert_eq!(participants["users"][0]["id"], user.as_str());
    assert_eq!(stack.api.call("DELETE", &path, None).await, (200, json!({})));
    assert_refused(&stack.api.get(&path).await, ErrorType::ResourceNotFound);
    let message = format!("messages/{}", message["id"].as_str().unwrap());
    assert_refused(&stack.api.get(&message).await, ErrorType::ResourceNotFound);
}

#[tokio::test]
async fn a_message_is_created_once_per_discriminating_tag() {
    let stack = Stack::start().await;
    let user = stack.api.new_user(json!({"tags": {}})).await;
    let conversation = stack.api.new_conversation(json!({})).await;
    let body = |text: &str| {
        json!({
            "conversationId": conversation, "userId": user, "type": "text", "payload": {"text": text},
            "tags": {"id": "E1"}, "discriminateByTags": ["id"],
        })
    };
    let (_, first) = stack.api.post("messages/get-or-create", body("hi")).await;
    let (_, second) = stack.api.post("messages/get-or-create", body("hi!")).await;
    assert_eq!(first["message"]["id"], second["message"]["id"]);
    assert_eq!((&first["meta"]["created"], &second["meta"]["created"]), (&json!(true), &json!(false)));
    assert_eq!(second["message"]["payload"]["text"], "hi!");
    assert_eq!((&first["message"]["direction"], &first["message"]["type"]), (&json!("incoming"), &json!("text")));
    assert_eq!(stack.journal.all("message_created").len(), 1);
    assert_eq!(stack.journal.all("message_found").len(), 1);
    assert_eq!(stack.journal.all("dropped").len(), 1, "only the creation reaches the plugin");
}

#[tokio::test]
async fn messages_are_tagged_listed_and_deleted() {
    let stack = Stack::start().await;
    let user = stack.api.new_user(json!({"tags": {}})).await;
    let conversation = stack.api.new_conversation(json!({})).await;
    stack.api.says(&conversation, &user, "one").await;
    let message = stack.api.says(&conversation, &user, "two").await;
    let path = format!("messages/{}", message["id"].as_str().unwrap());
    let (status, tagged) = stack.api.call("PUT", &path, Some(json!({"tags": {"id": "E2"}}))).await;
    assert_eq!((status, &tagged["message"]["tags"]), (200, &json!({"id": "E2"})));
    let refused = stack.api.call("PUT", &path, Some(json!({"type": "file"}))).await;
    assert_refused(&refused, ErrorType::InvalidPayload);

    let (_, list) = stack.api.get(&format!("messages?conversationId={conversation}")).await;
    let texts: Vec<_> = list["messages"].as_array().unwrap().iter().map(|m| &m["payload"]["text"]).collect();
    assert_eq!(texts, ["two", "one"]);
    let (_, page) = stack.api.get(&format!("messages?conversationId={conversation}&pageSize=1")).await;
    assert_eq!((page["messages"].as_array().unwrap().len(), page["meta"]["nextToken"].is_string()), (1, true));
    let (_, list) = stack.api.get("messages?tags.id=E2").await;
    assert_eq!(list["messages"].as_array().unwrap().len(), 1);
    assert_eq!(stack.api.call("DELETE", &path, None).await.0, 200);
    assert_refused(&stack.api.get(&path).await, ErrorType::ResourceNotFound);
}

#[tokio::test]
async fn what_belongs_to_the_webchat_is_invisible_to_the_integration() {
    let stack = Stack::start().await;
    let ada = stack.simulator.new_user("Ada", None, None);
    let (conversation, user) = (&ada.conversation_id, &ada.user_id);
    assert_refused(&stack.api.get(&format!("conversations/{conversation}")).await, ErrorType::ResourceNotFound);
    assert_refused(&stack.api.get(&format!("users/{user}")).await, ErrorType::ResourceNotFound);
    let bot = stack.simulator.options().install.bot_id.clone();
    assert_eq!(stack.api.get(&format!("users/{bot}")).await.0, 200);
}

#[tokio::test]
async fn a_scheduled_event_fires_when_the_clock_reaches_its_time() {
    let stack = Stack::start().await;
    let conversation = stack.api.new_conversation(json!({})).await;
    let payload = json!({"conversationId": conversation});
    let delayed = json!({"type": "hitlStopped", "payload": payload, "schedule": {"delay": 3000}});
    let dated =
        json!({"type": "hitlStopped", "payload": payload, "schedule": {"dateTime": "2026-05-11T09:41:05.000Z"}});
    let mut ids = Vec::new();
    for body in [&delayed, &dated, &delayed] {
        let (status, answer) = stack.api.post("events", body.clone()).await;
        assert_eq!((status, &answer["event"]["status"]), (201, &json!("scheduled")));
        ids.push(answer["event"]["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(stack.api.call("DELETE", &format!("events/scheduled/{}", ids[2]), None).await, (200, json!({})));
    stack.clock.advance(Duration::from_secs(3));
    stack.simulator.settled().await;
    assert_eq!(stack.api.event_status(&ids[0]).await, "ignored");
    assert_eq!(stack.api.event_status(&ids[1]).await, "scheduled");
    assert_eq!(stack.api.event_status(&ids[2]).await, "canceled");
    stack.clock.advance(Duration::from_secs(2));
    stack.simulator.settled().await;
    assert_eq!(stack.api.event_status(&ids[1]).await, "ignored");
    assert_eq!(stack.journal.all("dropped").len(), 2);
}

#[tokio::test]
async fn a_scheduled_message_reaches_the_plugin_when_it_is_due() {
    let stack = Stack::start().await;
    let user = stack.api.new_user(json!({"tags": {}})).await;
    let conversation = stack.api.new_conversation(json!({})).await;
    let body = json!({
        "conversationId": conversation, "userId": user, "type": "text", "payload": {"text": "hi"}, "tags": {},
        "schedule": {"delay": 1000},
    });
    assert_eq!(stack.api.post("messages", body).await.0, 201);
    stack.simulator.settled().await;
    assert_eq!(stack.journal.all("dropped").len(), 0);
    stack.clock.advance(Duration::from_secs(1));
    stack.simulator.settled().await;
    assert_eq!(stack.journal.all("dropped").len(), 1);
}

#[tokio::test]
async fn an_event_about_an_unknown_conversation_fails() {
    let stack = Stack::start().await;
    let event = stack.api.emits("hitlStopped", json!({"conversationId": "K1"})).await;
    let (_, answer) = stack.api.get(&format!("events/{event}")).await;
    assert_eq!(answer["event"]["status"], "failed");
    assert!(answer["event"]["failureReason"].as_str().unwrap().contains("K1"));
    let attribute = json!({"type": "hitlStopped", "payload": {"conversationId": "K1"}, "conversationId": "K1"});
    assert_refused(&stack.api.post("events", attribute).await, ErrorType::ReferenceNotFound);
}

#[tokio::test]
async fn a_declared_state_is_kept_patched_and_forgotten_when_idle() {
    let state = ("conversation".to_owned(), "session".to_owned());
    let stack = Stack::with(|options| options.definition.states = BTreeSet::from([state])).await;
    let conversation = stack.api.new_conversation(json!({})).await;
    let path = format!("states/conversation/{conversation}/session");
    assert_refused(&stack.api.get(&path).await, ErrorType::ResourceNotFound);
    let (status, set) = stack.api.post(&path, json!({"payload": {"a": 1}, "expiry": 1000})).await;
    assert_eq!((status, &set["state"]["payload"]), (200, &json!({"a": 1})));
    let (_, patched) = stack.api.call("PATCH", &path, Some(json!({"payload": {"b": 2}}))).await;
    assert_eq!(patched["state"]["payload"], json!({"a": 1, "b": 2}));
    stack.clock.advance(Duration::from_millis(900));
    let (_, read) = stack.api.get(&path).await;
    assert_eq!((&read["state"]["payload"]["b"], &read["meta"]["cached"]), (&json!(2), &json!(false)));
    stack.clock.advance(Duration::from_millis(900));
    assert_eq!(stack.api.get(&path).await.0, 200, "a read puts the expiry off");
    stack.clock.advance(Duration::from_secs(1));
    assert_refused(&stack.api.get(&path).await, ErrorType::ResourceNotFound);
    let (_, again) = stack.api.post(&format!("{path}/get-or-set"), json!({"payload": {"c": 3}})).await;
    assert_eq!(again["state"]["payload"], json!({"c": 3}));
    let (_, kept) = stack.api.post(&format!("{path}/expiry"), json!({"expiry": 5})).await;
    assert!(kept["state"]["expiresAt"].is_string());
    let endless = json!({"payload": {}, "expiry": null});
    let (_, patched) = stack.api.call("PATCH", &path, Some(endless)).await;
    assert_eq!((&patched["state"]["payload"], patched["state"].get("expiresAt")), (&json!({"c": 3}), None));
    let undeclared = format!("states/conversation/{conversation}/other");
    assert_refused(&stack.api.get(&undeclared).await, ErrorType::InvalidPayload);
    let unknown = stack.api.get("states/conversation/conv_x/session").await;
    assert_refused(&unknown, ErrorType::ReferenceNotFound);
}

#[tokio::test]
async fn the_integration_configures_its_install() {
    let stack = Stack::start().await;
    let body = json!({"identifier": "acme", "scheduleRegisterCall": "daily"});
    assert_eq!(stack.api.post("integrations/configure", body).await, (200, json!({})));
    assert_eq!(stack.journaled("integration_configured", "schedule_register_call"), ["daily"]);
}

#[tokio::test]
async fn a_scripted_error_is_answered_in_the_vendor_s_form() {
    let stack = Stack::start().await;
    let fault = Error::new(ErrorType::QuotaExceeded, "no more").fault(stack.clock.now());
    stack.simulator.faults().next(1, "GET /v1/chat/users", fault);
    assert_refused(&stack.api.get("users").await, ErrorType::QuotaExceeded);
    assert_eq!(stack.api.get("users").await.0, 200);
}

#[tokio::test]
async fn every_answer_says_how_the_rate_limit_stands() {
    let stack = Stack::start().await;
    stack.simulator.faults().next(1, "GET /v1/chat/users/broken", Fault::answer(500, "{}"));
    for (path, expected) in [("users", 200), ("users/user_x", 404), ("nothing", 405), ("users/broken", 500)] {
        let mut request = stack.api.client.get(format!("{}/v1/chat/{path}", stack.api.url));
        for (name, value) in &stack.api.headers {
            request = request.header(*name, value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{path}");
        for name in ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"] {
            assert!(response.headers().contains_key(name), "{path}: {name}");
        }
    }
}
