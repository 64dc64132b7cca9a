//! Actions with inputs that no caller should send: each answers as its interface promises, and changes nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::aws;
use shared::ids::UserId;
use shared::store::Table;
use tests::{ANNA, World, text};

async fn act(world: &World, action: &str, input: Value) -> (u16, Value) {
    let answer = world.act(action, input).await;
    (answer.status, answer.json())
}

/// Returns inputs in no documented form.
fn odd() -> Vec<Value> {
    let long = "ü".repeat(100_000);
    vec![
        Value::Null,
        json!({}),
        json!([]),
        json!("groupId"),
        json!(7),
        json!({ "groupId": null, "userId": null, "conversationId": null, "rating": null }),
        json!({ "groupId": "", "userId": "", "conversationId": "", "rating": "" }),
        json!({ "groupId": -1, "userId": -1, "conversationId": -1, "rating": -1 }),
        json!({ "groupId": 1e300, "userId": 1e300, "rating": "good" }),
        json!({ "groupId": 4_294_967_296_u64, "userId": ["a"], "conversationId": { "a": 1 }, "rating": "good" }),
        json!({ "groupId": { "a": [] }, "language": 5, "userId": " \n", "rating": ["good"], "comment": { "a": 1 } }),
        json!({ "groupId": long, "language": long, "userId": long, "conversationId": long, "rating": long, "summary": long }),
        json!({ "userId": "SESSION#x", "sessionId": "../x", "conversationId": "\u{0}", "rating": "bad", "comment": long }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn availability_is_answered_whatever_is_asked() {
    let world = World::start().await;
    for input in odd() {
        let (status, answer) = act(&world, "checkAvailability", input.clone()).await;
        let output = &answer["output"];
        assert_eq!(status, 200, "{input}: {answer}");
        assert!(["online", "queue", "offline", "unknown"].contains(&text(output, "status")), "{input}: {answer}");
        assert!(!text(output, "sentence").is_empty(), "{input}: {answer}");
    }
    let bare = world.operate("action_triggered", &json!({ "type": "checkAvailability" })).await;
    assert_eq!((bare.status, bare.json()["output"]["status"].is_string()), (200, true), "{}", bare.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_session_is_refused_with_a_sentence_before_the_first_one_and_after() {
    let world = World::start().await;
    for round in ["before the first session", "after it"] {
        for (action, input) in
            odd().into_iter().flat_map(|input| [("rateHandoff", input.clone()), ("getHandoffReport", input)])
        {
            let (status, answer) = act(&world, action, input.clone()).await;
            assert_eq!(status, 400, "{round}: {action} {input}: {answer}");
            assert!(!text(&answer, "message").is_empty(), "{round}: {action} {input}: {answer}");
        }
        if world.items("session").is_empty() {
            let ann = world.escalated_user("Ann").await;
            world.user_ends(&ann).await;
        }
    }
    assert!(world.stack.journal.all("properties_updated").is_empty(), "nothing was rated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_a_session_has_nothing_to_rate_or_to_report() {
    let world = World::start().await;
    let (_, made) = act(&world, "createUser", json!({ "name": "Ann" })).await;
    let user_id = made["output"]["userId"].clone();
    for action in ["rateHandoff", "getHandoffReport"] {
        let (status, answer) = act(&world, action, json!({ "userId": user_id, "rating": "good" })).await;
        assert_eq!((status, text(&answer, "message").is_empty()), (400, false), "{action}: {answer}");
    }
    assert_eq!(
        act(&world, "stopHitl", json!({ "conversationId": "conv_nobodys" })).await.0,
        200,
        "a stop is never failed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_reaches_nothing_of_another_by_their_conversation_or_session() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    let anns = world.items("session").remove(0);
    world.user_ends(&ann).await;
    world.escalated_user("Bob").await;
    let bobs = world.entries("user_created", "/name", "Bob").remove(0).text("/user_id").to_owned();
    for (action, input) in [
        ("getHandoffReport", json!({ "userId": bobs, "sessionId": anns["session_id"] })),
        ("getHandoffReport", json!({ "userId": bobs, "conversationId": anns["conversation_id"] })),
        ("rateHandoff", json!({ "userId": bobs, "conversationId": anns["conversation_id"], "rating": "bad" })),
    ] {
        let (status, answer) = act(&world, action, input.clone()).await;
        assert_eq!(status, 400, "{action} {input}: {answer}");
        assert!(!answer.to_string().contains(text(&anns, "session_id")), "{answer}");
    }
    assert!(world.stack.journal.all("properties_updated").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ratings_at_once_are_one_and_a_long_comment_is_cut() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    world.answers(ANNA, "hi").await;
    let session = world.items("session").remove(0);
    world.agent_closes(ANNA).await;
    let input = |rating: &str| json!({ "conversationId": session["conversation_id"], "rating": rating, "comment": "ü".repeat(200_000) });
    let (good, bad) = (act(&world, "rateHandoff", input("good")), act(&world, "rateHandoff", input("bad")));
    let (good, bad) = tokio::join!(good, bad);
    for (status, answer) in [&good, &bad] {
        assert!(*status == 200 || !text(answer, "message").is_empty(), "{status} {answer}");
    }
    assert!(good.0 == 200 || bad.0 == 200, "{good:?} {bad:?}");
    let ratings = world.stack.journal.all("properties_updated");
    assert_eq!(ratings.len(), 1, "{ratings:?}");
    let comment = ratings[0].detail["properties"]["rating"]["comment"].as_str().unwrap();
    assert!(comment.chars().count() <= 2_001 && comment.starts_with('ü'), "{}", comment.chars().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_who_was_erased_nothing_is_rated_or_reported() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let session = world.items("session").remove(0);
    world.user_ends(&ann).await;
    let (dynamodb, _) = aws::stand_ins(&world.stack.table.url(), &world.stack.table.url()).unwrap();
    let table = Table::new(dynamodb, world.stack.table.name().to_owned(), world.clock());
    table.erase(&UserId::from(text(&session, "user_id")), &BTreeSet::new(), world.now(), &mut |_| ()).await.unwrap();
    for action in ["rateHandoff", "getHandoffReport"] {
        for input in [
            json!({ "userId": session["user_id"], "rating": "good" }),
            json!({ "userId": session["user_id"], "sessionId": session["session_id"], "conversationId": session["conversation_id"], "rating": "good" }),
        ] {
            let (status, answer) = act(&world, action, input.clone()).await;
            assert_eq!(status, 400, "{action} {input}: {answer}");
        }
    }
    assert!(world.items("record").is_empty() && world.items("session").is_empty(), "nothing has come back");
}
