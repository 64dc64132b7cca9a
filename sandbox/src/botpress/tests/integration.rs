//! How the integration is called.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::signature::sign;
use super::super::{Escalation, InstallStatus};
use super::Stack;
use crate::faults::Fault;

const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

#[tokio::test]
async fn a_call_carries_the_headers_of_the_install_and_a_signature() {
    let stack = Stack::with(|options| {
        options.signing_secret = Some(SECRET.to_owned());
        options.install.configuration = json!({"groupId": 4, "note": "ü"});
    })
    .await;
    let call = stack.integration.received("register").remove(0);
    let install = stack.simulator.options().install.clone();
    for (name, value) in [
        ("x-bot-id", install.bot_id.as_str()),
        ("x-bot-user-id", &install.bot_id),
        ("x-integration-id", &install.integration_id),
        ("x-integration-alias", &install.alias),
        ("x-webhook-id", &install.webhook_id),
        ("x-bp-operation", "register"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(call.headers[name], value, "{name}");
    }
    let configuration = STANDARD.decode(call.headers["x-bp-configuration"].as_bytes()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&configuration).unwrap(), install.configuration);
    assert_eq!(
        call.headers["traceparent"].to_str().unwrap().split('-').map(str::len).collect::<Vec<_>>(),
        [2, 32, 16, 2]
    );
    let expected = sign(SECRET, stack.clock.now(), &call.bytes).unwrap();
    assert_eq!(call.headers["x-bp-signature"], expected.as_str());
    assert_eq!(call.json(), json!({"webhookUrl": stack.simulator.webhook_url()}));
}

#[tokio::test]
async fn a_ping_has_no_body_and_no_signature() {
    let stack = Stack::with(|options| options.signing_secret = Some(SECRET.to_owned())).await;
    assert_eq!(stack.simulator.ping().await.unwrap().status, 200);
    let call = stack.integration.received("ping").remove(0);
    assert!(call.bytes.is_empty() && !call.headers.contains_key("x-bp-signature"));
}

#[tokio::test]
async fn headers_of_a_single_operation_can_be_changed_and_removed() {
    let stack = Stack::with(|options| options.signing_secret = Some(SECRET.to_owned())).await;
    let overrides = [("X-BP-Signature", Some("1,forged")), ("x-bot-id", None)];
    let answer = stack.simulator.call_operation("message_updated", &json!({}), &overrides).await.unwrap();
    assert_eq!((answer.status, answer.json()), (200, json!({})));
    let call = stack.integration.received("message_updated").remove(0);
    assert_eq!(call.headers["x-bp-signature"], "1,forged");
    assert!(!call.headers.contains_key("x-bot-id"));
}

#[tokio::test]
async fn a_failed_registration_shows_its_message() {
    let stack = Stack::start().await;
    assert_eq!(stack.simulator.install_status(), InstallStatus::Registered);
    let body = json!({"id": "err_1", "code": 400, "type": "Runtime", "message": "The agent token is invalid."});
    stack.integration.script("register", 400, body);
    assert_eq!(stack.simulator.register().await.unwrap().status, 400);
    let reason = "The agent token is invalid.".to_owned();
    assert_eq!(stack.simulator.install_status(), InstallStatus::RegistrationFailed(reason));
    stack.simulator.uninstall().await.unwrap();
    assert_eq!(stack.simulator.install_status(), InstallStatus::Unregistered);
    assert_eq!(stack.integration.received("unregister").len(), 1);
    assert!(stack.simulator.ping().await.is_err(), "nothing is called after the uninstall");
}

#[tokio::test]
async fn a_public_webhook_is_relayed_and_its_answer_handed_back() {
    let stack = Stack::start().await;
    stack.integration.script("webhook_received", 403, json!({"refused": true}));
    let url = format!("{}/oauth?code=1&x=y", stack.simulator.webhook_url());
    let request = stack.api.client.post(url).header("X-Third-Party", "yes").body("{\"a\":1}");
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 403);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.json::<Value>().await.unwrap(), json!({"refused": true}));
    let req = stack.integration.received("webhook_received").remove(0).json()["req"].clone();
    assert_eq!((&req["method"], &req["path"], &req["query"]), (&json!("POST"), &json!("/oauth"), &json!("code=1&x=y")));
    assert_eq!((&req["headers"]["x-third-party"], &req["body"]), (&json!("yes"), &json!("{\"a\":1}")));
    assert_eq!(stack.journal.all("call_answered").len(), 0);

    stack.api.client.get(stack.simulator.webhook_url()).send().await.unwrap();
    let req = stack.integration.received("webhook_received").remove(1).json()["req"].clone();
    assert_eq!((&req["path"], &req["query"]), (&json!(""), &json!("")));
    assert!(req.get("body").is_none());
}

#[tokio::test]
async fn a_delivery_is_repeated_three_times_after_server_errors_and_lost_answers() {
    let stack = Stack::start().await;
    let ada = stack.simulator.new_user("Ada", None, None);
    stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await.unwrap();
    stack.integration.faults.next(1, "POST", Fault::answer(503, "down"));
    stack.integration.faults.next(2, "POST", Fault::LoseAnswer);
    stack.simulator.user_says(&ada.conversation_id, "hi").await.unwrap();
    for delay in [1, 2, 3] {
        stack.simulator.settled().await;
        stack.somebody_sleeps().await;
        stack.clock.advance(Duration::from_secs(delay));
    }
    stack.simulator.settled().await;
    let calls = stack.journal.all("operation_called");
    let attempts: Vec<_> = calls.iter().filter(|call| call.text("/operation") == "message_created").collect();
    let statuses: Vec<_> = attempts.iter().map(|attempt| attempt.detail["status"].as_u64()).collect();
    assert_eq!(statuses, [Some(503), None, None, Some(200)]);
    let texts: Vec<_> = stack.integration.delivered().into_iter().map(|(text, _)| text).collect();
    assert_eq!(texts, ["hi"; 3], "lost answers are deliveries all the same");
}

#[tokio::test]
async fn a_delivery_ends_with_a_client_error_or_the_fourth_attempt() {
    let stack = Stack::start().await;
    let ada = stack.simulator.new_user("Ada", None, None);
    stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await.unwrap();
    stack.integration.script("message_created", 400, json!({"message": "final"}));
    stack.simulator.user_says(&ada.conversation_id, "one").await.unwrap();
    stack.simulator.settled().await;
    assert_eq!(stack.clock.next_wake(), None);
    stack.integration.faults.always("POST", Fault::Reset);
    stack.simulator.user_says(&ada.conversation_id, "two").await.unwrap();
    for delay in [1, 2, 3] {
        stack.simulator.settled().await;
        stack.somebody_sleeps().await;
        stack.clock.advance(Duration::from_secs(delay));
    }
    stack.simulator.settled().await;
    assert_eq!(stack.clock.next_wake(), None);
    let calls = stack.journal.all("operation_called");
    let attempts: Vec<_> = calls.iter().filter(|call| call.text("/operation") == "message_created").collect();
    assert_eq!(attempts.len(), 5);
    assert_eq!(attempts[4].detail["attempt"], 4);
}

#[tokio::test]
async fn deliveries_keep_the_order_of_the_conversation_and_can_be_repeated() {
    let stack = Stack::start().await;
    let ada = stack.simulator.new_user("Ada", None, None);
    assert!(!stack.simulator.repeat_last_message_delivery());
    stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await.unwrap();
    let texts: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    for text in &texts {
        stack.simulator.user_says(&ada.conversation_id, text).await.unwrap();
    }
    stack.simulator.settled().await;
    let delivered: Vec<_> = stack.integration.delivered().into_iter().map(|(text, _)| text).collect();
    assert_eq!(delivered, texts);
    assert!(stack.simulator.repeat_last_message_delivery());
    stack.simulator.settled().await;
    let calls = stack.integration.received("message_created");
    assert_eq!(calls[19].json(), calls[20].json());
}

#[tokio::test]
async fn an_action_is_called_once_more_after_a_server_error_unless_switched_off() {
    for (retry_actions, calls) in [(true, 2), (false, 1)] {
        let stack = Stack::with(|options| options.retry_actions = retry_actions).await;
        let ada = stack.simulator.new_user("Ada", None, None);
        stack.integration.script("startHitl", 500, json!({"message": "try again"}));
        let outcome = stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await;
        assert_eq!(outcome.is_ok(), retry_actions, "{outcome:?}");
        assert_eq!(stack.integration.received("startHitl").len(), calls);
    }
}

#[tokio::test]
async fn an_action_s_output_must_have_the_declared_shape() {
    let stack = Stack::start().await;
    let ada = stack.simulator.new_user("Ada", None, None);
    for answer in [
        json!({}),
        json!({"output": {"userId": "user_1"}}),
        json!({"output": {}, "meta": {"cost": 0}}),
        json!({"output": {"userId": "user_1", "name": "Ada"}, "meta": {"cost": 0}}),
        json!({"output": {"userId": "user_1"}, "meta": {"cost": 0}}),
    ] {
        stack.integration.script("createUser", 200, answer.clone());
        let outcome = stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await;
        assert!(outcome.is_err(), "{answer}");
    }
    let unknown = json!({"output": {"conversationId": "conv_1"}, "meta": {"cost": 0}});
    stack.integration.script("startHitl", 200, unknown);
    let outcome = stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await;
    assert!(outcome.unwrap_err().contains("conv_1"));
    assert!(!stack.simulator.is_escalated(&ada.conversation_id));
}
