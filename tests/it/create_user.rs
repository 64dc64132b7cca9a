//! `createUser`: one Botpress user for one person.

use std::collections::BTreeSet;
use std::sync::Arc;

use sandbox::faults::Fault;
use serde_json::{Value, json};
use tests::World;
use tokio::task::JoinSet;

async fn create(world: &World, input: Value) -> String {
    let answer = world.act("createUser", input).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["output"]["userId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_address_is_the_same_user() {
    let world = World::start().await;
    let ann = create(&world, json!({ "name": "Ann", "email": "ann@example.com" })).await;
    assert_eq!(create(&world, json!({ "name": "Ann", "email": "ann@example.com" })).await, ann);
    assert_eq!(create(&world, json!({ "name": "Ann B.", "email": "Ann@Example.com" })).await, ann);
    assert_ne!(create(&world, json!({ "name": "Ann", "email": "ann@example.org" })).await, ann);
    assert_eq!(world.count("user_created"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_address_at_the_same_instant_is_the_same_user() {
    let world = Arc::new(World::start().await);
    let mut calls = JoinSet::new();
    for _ in 0..16 {
        let world = Arc::clone(&world);
        calls.spawn(async move { create(&world, json!({ "name": "Ann", "email": "ann@example.com" })).await });
    }
    let ids: BTreeSet<_> = calls.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.count("user_created"), 1);
    let customers: Vec<_> = world.items("user").into_iter().filter(|item| ids.contains(&user_id(item))).collect();
    assert_eq!(customers.len(), 1);
    let start = json!({ "userId": ids.first(), "messageHistory": [] });
    assert_eq!(world.act("startHitl", start).await.status, 200);
    assert_eq!(world.count("chat_started"), 1);
}

fn user_id(item: &Value) -> String {
    item["user_id"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_without_an_address_do_not_share_a_user() {
    let world = World::start().await;
    let first = create(&world, json!({ "name": "Unknown User" })).await;
    let second = create(&world, json!({ "name": "Unknown User" })).await;
    assert_ne!(first, second);
    assert_eq!(world.count("user_created"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_see_the_name_and_the_real_address_but_no_made_up_one() {
    let world = World::start().await;
    let botpress = &world.stack.botpress;
    for (name, email) in [("Ann", Some("ann@example.com")), ("Ben", None)] {
        let user = botpress.new_user(name, email, Some("https://cdn.example.com/face.png"));
        world.says(&user, "hello").await;
        world.escalate(&user).await.unwrap();
        let customers = world.stack.livechat.customers();
        let customer = customers.iter().find(|customer| customer.name.as_deref() == Some(name)).expect("a customer");
        assert_eq!(customer.email.as_deref(), email, "{name}");
        assert_eq!(customer.details["avatar"], "https://cdn.example.com/face.png");
    }
    let tags: Vec<_> =
        world.stack.journal.all("user_created").iter().map(|entry| entry.text("/tags/id").to_owned()).collect();
    assert!(
        tags.iter().any(|tag| tag.contains("@no-reply.")),
        "the made-up address still tells people apart: {tags:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_made_while_livechat_is_down_and_can_start_later() {
    let world = World::start().await;
    let faults = world.stack.livechat.faults();
    for fault in [Fault::answer(503, ""), Fault::Reset, Fault::answer(401, r#"{"oauth_exception":"access_denied"}"#)] {
        faults.always("/", fault);
        let user_id = create(&world, json!({ "name": "Ann" })).await;
        faults.clear();
        let before = world.count("chat_started");
        let started = world.act("startHitl", json!({ "userId": user_id, "messageHistory": [] })).await;
        assert_eq!(started.status, 200, "{}", started.body);
        assert_eq!(world.count("chat_started"), before + 1);
    }
}
