//! A conversation of megabytes reaches an agent as well: of what was said before, agents read the newest part.

use serde_json::{Value, json};
use tests::{ANNA, World};

const MEGABYTE: usize = 1024 * 1024;

/// What agents read where earlier messages are left out.
const CUT: &str = "(earlier messages left out)";

/// Returns a history of this size that ends with `the last words`.
fn history(bytes: usize, item: impl Fn(&str) -> Value) -> Vec<Value> {
    let text = "a long story ".repeat(20);
    let size = item(&text).to_string().len() + 1;
    let mut items = vec![item(&text); bytes / size];
    items.push(item("the last words"));
    items
}

#[tokio::test(flavor = "multi_thread")]
async fn a_botpress_start_with_a_history_of_megabytes_gets_a_person() {
    let world = World::in_process().await;
    let user = world.act("createUser", json!({"name": "Ann", "email": "ann@example.com"})).await.json();
    let user_id = user["output"]["userId"].as_str().unwrap().to_owned();
    let item =
        |text: &str| json!({"source": {"type": "user", "userId": user_id}, "type": "text", "payload": {"text": text}});
    let input = json!({"userId": user_id, "messageHistory": history(5 * MEGABYTE, item)});
    assert!(input.to_string().len() > 4 * MEGABYTE);
    let answer = world.act("startHitl", input).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let opening = world.sent_by_customers().remove(0);
    assert!(opening.contains(CUT) && opening.ends_with("Ann: the last words"), "{opening}");

    let input = json!({"userId": user_id, "messageHistory": history(7 * MEGABYTE, item)});
    let answer = world.act("startHitl", input).await;
    assert_eq!(answer.status, 413);
    assert!(answer.json()["message"].as_str().unwrap().contains("shorter history"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_botcopy_handoff_with_a_history_of_megabytes_gets_a_person() {
    let world = World::in_process().await;
    let user = world.widget_user().await;
    let mut body = world.stack.botcopy.step_one_body(&user, "a human please").unwrap();
    let item = |text: &str| {
        json!({"_id": "1", "botPlatform": "dialogflowES", "direction": "in", "payload": {"query": text},
                                   "createdAt": "2026-05-11T09:41:00.000Z"})
    };
    body["messageHistory"] = history(5 * MEGABYTE, item).into();
    assert!(body.to_string().len() > 4 * MEGABYTE);
    let answer = world.call_botcopy(&body, &[]).await;
    assert_eq!((answer.status, answer.json()["paused"].clone()), (200, json!(true)), "{}", answer.body);
    world.settle().await;
    let opening = world.sent_by_customers().remove(0);
    assert!(opening.contains(CUT) && opening.ends_with("the last words"), "{opening}");
    world.answers(ANNA, "hello").await;
    assert_eq!(world.shown_by_agents(), ["hello"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_and_addresses_of_any_length_fit_into_the_table() {
    let world = World::in_process().await;
    let long = "x".repeat(200_000);
    let user = world.act("createUser", json!({"name": long, "email": long, "pictureUrl": long})).await.json();
    let user_id = user["output"]["userId"].as_str().unwrap().to_owned();
    let fields: Value =
        (0..5).map(|number| (format!("{number}{long}"), json!(long))).collect::<serde_json::Map<_, _>>().into();
    let session = json!({"sessionFields": fields, "tags": [long], "language": long});
    let input =
        json!({"userId": user_id, "title": long, "description": long, "hitlSession": session, "messageHistory": []});
    let answer = world.act("startHitl", input).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    world.settle().await;
    let fields = world.stack.livechat.customers().into_iter().map(|customer| customer.session_fields.len()).max();
    assert_eq!(fields, Some(2 + 5));

    let conversation = answer.json()["output"]["conversationId"].as_str().unwrap().to_owned();
    let mut picture = tests::message(&conversation, "msg_1", "", Some(&user_id), world.now());
    picture["type"] = json!("image");
    picture["payload"] =
        json!({"imageUrl": format!("data:image/png;base64,{}", "A".repeat(500_000)), "userId": user_id});
    assert_eq!(world.operate("message_created", &picture).await.status, 200);
    world.settle().await;
    assert!(world.sent_by_customers().last().unwrap().starts_with("[image] data:"));
}
