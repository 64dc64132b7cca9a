//! `rateHandoff`: LiveChat stores the user's rating of a session, once.

use std::time::Duration;

use sandbox::botpress::UpstreamUser;
use sandbox::faults::Fault;
use serde_json::{Value, json};
use tests::{ANNA, World};

const RATE: &str = "customer/action/update_thread_properties";

/// Ann, whose session Anna has closed, and her conversation.
async fn ended(world: &World) -> (UpstreamUser, String) {
    let ann = world.escalated_user("Ann").await;
    world.answers(ANNA, "hi").await;
    let conversation = world.stack.journal.all("conversation_created").remove(0).text("/conversation_id").to_owned();
    world.agent_closes(ANNA).await;
    (ann, conversation)
}

async fn rate(world: &World, input: Value) -> (u16, Value) {
    let answer = world.act("rateHandoff", input).await;
    (answer.status, answer.json()["output"].clone())
}

/// Returns the ratings that LiveChat has accepted.
fn taken(world: &World) -> Vec<Value> {
    world
        .stack
        .journal
        .all("properties_updated")
        .iter()
        .map(|entry| entry.detail["properties"]["rating"].clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_session_is_rated_once_as_its_customer() {
    let world = World::start().await;
    let (_, conversation) = ended(&world).await;
    let input = json!({ "conversationId": conversation, "rating": "good", "comment": "quick" });
    let thanks = json!({ "rated": true, "sentence": "Thank you for your rating." });
    for _ in 0..2 {
        assert_eq!(rate(&world, input.clone()).await, (200, thanks.clone()));
    }
    let other = json!({ "conversationId": conversation, "rating": "bad" });
    assert_eq!(rate(&world, other).await, (200, thanks));
    assert_eq!(taken(&world), [json!({ "score": 1, "comment": "quick" })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_session_is_rated_by_its_user() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let user = world.entries("user_created", "/name", "Ann").remove(0).text("/user_id").to_owned();
    assert_eq!(rate(&world, json!({ "userId": user, "rating": "bad" })).await.0, 200);
    assert_eq!(taken(&world), [json!({ "score": 0 })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_rates_the_session_of_another_user_or_install() {
    let world = World::start().await;
    let (_, conversation) = ended(&world).await;
    let input = json!({ "conversationId": conversation, "rating": "good" });
    let body = json!({ "type": "rateHandoff", "input": input });
    let other = world.operate_with("action_triggered", &body, &[("x-webhook-id", Some("another_install"))]).await;
    assert_eq!(other.status, 400, "{}", other.body);
    let whose = json!({ "conversationId": conversation, "userId": "somebody", "rating": "good" });
    assert_eq!(rate(&world, whose).await.0, 400);
    for unclear in [json!({ "rating": "good" }), json!({ "conversationId": conversation, "rating": "so so" })] {
        assert_eq!(rate(&world, unclear).await.0, 400);
    }
    assert_eq!(taken(&world), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_livechat_refuses_is_said() {
    let world = World::start().await;
    let (_, conversation) = ended(&world).await;
    let refused = json!({ "error": { "type": "chat_inactive", "message": "Chat not active" } }).to_string();
    world.stack.livechat.faults().next(1, RATE, Fault::answer(422, refused));
    let input = json!({ "conversationId": conversation, "rating": "good" });
    let sorry = json!({ "rated": false, "sentence": "Sorry, your rating could not be saved." });
    assert_eq!(rate(&world, input.clone()).await, (200, sorry));
    assert_eq!(rate(&world, input).await.1["rated"], true, "another try is free to succeed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rating_whose_answer_was_lost_is_not_made_twice() {
    let world = World::in_process().await;
    let (_, conversation) = ended(&world).await;
    world.stack.livechat.faults().next(1, RATE, Fault::LoseAnswer);
    let input = json!({ "conversationId": conversation, "rating": "good" });
    assert_eq!(rate(&world, input.clone()).await.0, 500);
    assert_eq!(rate(&world, input.clone()).await.0, 500, "LiveChat may still be at work on it");
    world.advance(Duration::from_secs(16));
    assert_eq!(rate(&world, input).await.1["rated"], true);
    assert_eq!(taken(&world), [json!({ "score": 1 })]);
}
