//! The exact answer to each operation of Botpress.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbox::botpress::OperationAnswer;
use sandbox::faults::Fault;
use serde_json::{Value, json};
use tests::{World, http, message};

const OPERATIONS: [&str; 10] = [
    "ping",
    "register",
    "unregister",
    "action_triggered",
    "message_created",
    "message_updated",
    "conversation_updated",
    "webhook_received",
    "create_user",
    "create_conversation",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_answered_as_documented() {
    let world = World::start().await;
    let user_id = assert_action(&world, "createUser", json!({ "name": "Ann" }), "userId").await;
    let start = json!({ "userId": user_id, "messageHistory": [] });
    let conversation_id = assert_action(&world, "startHitl", start, "conversationId").await;
    let text = message(&conversation_id, "msg_1", "hi", Some(&user_id), world.now());
    let webhook_url = json!({ "webhookUrl": world.stack.botpress.webhook_url() });
    let updated = json!({ "currentConversation": {}, "previousConversation": {} });
    for (operation, body) in [
        ("ping", Value::Null),
        ("ping", json!({})),
        ("message_created", text),
        ("message_updated", json!({ "type": "text" })),
        ("conversation_updated", updated),
        ("create_user", json!({ "tags": {} })),
        ("create_conversation", json!({ "channel": "hitl", "tags": {} })),
        ("register", webhook_url.clone()),
        ("unregister", webhook_url),
    ] {
        let answer = world.operate(operation, &body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}"), "{operation}");
        assert_eq!(answer.headers["content-type"], "application/json", "{operation}");
    }
    let stopped = world.act("stopHitl", json!({ "conversationId": conversation_id })).await;
    assert_eq!((stopped.status, stopped.json()), (200, json!({ "output": {}, "meta": { "cost": 0 } })));
}

/// Calls an action whose output is one id, and returns the id.
async fn assert_action(world: &World, action: &str, input: Value, key: &str) -> String {
    let answer = world.act(action, input).await;
    let json = answer.json();
    let id = json["output"][key].as_str().unwrap_or_default();
    let expected = format!(r#"{{"output":{{"{key}":"{id}"}},"meta":{{"cost":0}}}}"#);
    assert_eq!((answer.status, answer.body.as_str()), (200, expected.as_str()), "{action}");
    assert!(!id.is_empty(), "{action}");
    id.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relayed_webhook_is_answered_to_livechat() {
    let world = World::start().await;
    let relay = |secret: &str| {
        let body = json!({
            "webhook_id": "w",
            "secret_key": secret,
            "action": "chat_deactivated",
            "organization_id": world.stack.livechat.account().organization_id,
            "payload": { "chat_id": "UNKNOWN001", "thread_id": "UNKNOWN002" },
        });
        json!({ "req": { "method": "POST", "path": "", "query": "", "headers": {}, "body": body.to_string() } })
    };
    let answer = world.operate("webhook_received", &relay(world.stack.webhook_secret())).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    let answer = world.operate("webhook_received", &relay("wrong")).await;
    assert_eq!((answer.status, answer.body.as_str()), (401, "unauthorized"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_be_understood_is_an_invalid_payload() {
    let world = World::start().await;
    let ok_input = json!({ "conversationId": "conv_1" });
    let cases = [
        ("no_such_operation", json!({})),
        ("action_triggered", Value::Null),
        ("action_triggered", json!("text")),
        ("action_triggered", json!([])),
        ("action_triggered", json!({ "input": ok_input })),
        ("action_triggered", json!({ "type": "noSuchAction", "input": ok_input })),
        ("action_triggered", json!({ "type": "stopHitl" })),
        ("action_triggered", json!({ "type": "createUser", "input": 7 })),
        ("action_triggered", json!({ "type": "startHitl", "input": { "messageHistory": [] } })),
        (
            "action_triggered",
            json!({ "type": "startHitl", "input": { "userId": "u", "hitlSession": { "groupId": "x" } } }),
        ),
        ("message_created", json!({})),
        ("webhook_received", json!({ "req": "text" })),
    ];
    let before = world.stack.journal.len();
    for (operation, body) in cases {
        assert_error(&world.operate(operation, &body).await, 400, "InvalidPayload", &format!("{operation} {body}"));
    }
    assert_eq!(world.stack.journal.len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_required_header_is_missed_and_the_configuration_has_to_be_readable() {
    let world = World::start().await;
    let webhook_url = json!({ "webhookUrl": world.stack.botpress.webhook_url() });
    let required = ["x-bot-id", "x-integration-id", "x-integration-alias", "x-webhook-id", "x-bp-operation"];
    for operation in OPERATIONS {
        let needs_configuration = Some("x-bp-configuration").filter(|_| operation == "register");
        for header in required.into_iter().chain(needs_configuration) {
            let answer = world.operate_with(operation, &webhook_url, &[(header, None)]).await;
            assert_error(&answer, 400, "InvalidPayload", header);
            assert!(answer.json()["message"].as_str().unwrap().contains(header), "{header}");
        }
    }
    for configuration in ["%%%".to_owned(), STANDARD.encode("not json"), STANDARD.encode(r#"{"groupId":"one"}"#)] {
        let header = ("x-bp-configuration", Some(configuration.as_str()));
        assert_error(
            &world.operate_with("register", &webhook_url, &[header]).await,
            400,
            "InvalidPayload",
            &configuration,
        );
        assert_eq!(world.operate_with("ping", &json!({}), &[header]).await.status, 200, "only who needs it reads it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_vendor_is_a_500_only_when_calling_again_can_help() {
    let world = World::start().await;
    let refusal = |status: u16, kind: &str| {
        let body = json!({ "id": "err_1", "code": status, "type": kind, "message": "no" });
        Fault::answer(status, body.to_string())
    };
    for (fault, status) in [
        (refusal(500, "Internal"), 500),
        (refusal(429, "RateLimited"), 500),
        (Fault::answer(502, "<html>"), 500),
        (Fault::Reset, 500),
        (refusal(400, "InvalidPayload"), 400),
        (refusal(413, "LimitExceeded"), 400),
        (refusal(402, "PaymentRequired"), 500),
        (refusal(401, "Unauthorized"), 500),
    ] {
        let what = format!("{fault:?}");
        world.stack.botpress.faults().always("users/get-or-create", fault);
        let answer = world.act("createUser", json!({ "name": "Ann", "email": "ann@example.com" })).await;
        world.stack.botpress.faults().clear();
        assert_error(&answer, status, "Runtime", &what);
    }
    assert_eq!(world.count("user_created"), 0);
}

/// Asserts the exact shape of an error: `{"id","code","type","message"}`.
fn assert_error(answer: &OperationAnswer, status: u16, kind: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.body);
    let Value::Object(mut error) = answer.json() else { panic!("{what}: {}", answer.body) };
    let id = error.remove("id").unwrap_or_default();
    let (time, random) = id.as_str().and_then(|id| id.strip_prefix("err_")?.split_once('x')).expect("an error id");
    assert!(time.len() == 14 && time.bytes().all(|byte| byte.is_ascii_digit()), "{what}: {id}");
    assert!(random.len() == 8 && random.bytes().all(|byte| b"0123456789ABCDEF".contains(&byte)), "{what}: {id}");
    let message = error.remove("message").unwrap_or_default();
    assert!(message.as_str().is_some_and(|message| !message.is_empty()), "{what}: {message}");
    assert_eq!(Value::Object(error), json!({ "code": 400, "type": kind }), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_ok_and_other_paths_do_not_exist() {
    let world = World::start().await;
    let url = |path: &str| format!("{}{path}", world.stack.gateway.url());
    let health = world.drive(http().get(url("/health")).send()).await.unwrap();
    assert_eq!(health.status(), 200);
    // Compiled functions also know their commit, which a test build does not.
    let (said, version) = (health.text().await.unwrap(), shared::VERSION.split(' ').next().unwrap());
    let commit = said.strip_prefix(&format!("ok {version}")).unwrap();
    assert!(commit.is_empty() || (commit.starts_with(" (") && commit.ends_with(')')), "{said}");
    for (request, what) in [
        (http().get(url("/")), "/"),
        (http().get(url("/botpress/sandbox-path-key")), "GET /botpress/{key}"),
        (http().post(url("/botpress")), "/botpress"),
        (http().post(url("/botpress/sandbox-path-key/more")), "a longer path"),
        (http().post(url("/health")), "POST /health"),
    ] {
        assert_eq!(world.drive(request.send()).await.unwrap().status(), 404, "{what}");
    }
}
