//! `createUser`: one Botpress user for one person.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sandbox::faults::Fault;
use serde_json::{Value, json};
use tests::World;
use tokio::task::JoinSet;

async fn create(world: &World, input: Value) -> String {
    let answer = world.act("createUser", input).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["output"]["userId"].as_str().unwrap().to_owned()
}

/// Longer than the time in which a call can count as a repeat of another one.
const SOME_SECONDS: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_address_is_one_user_whenever_and_however_it_comes() {
    let world = World::in_process().await;
    let made_up = "user_1@no-reply.bot-1.botpress.com";
    let ann = create(&world, json!({ "name": "Ann", "email": made_up })).await;
    world.advance(SOME_SECONDS);
    assert_eq!(
        create(&world, json!({ "name": "Ann B.", "email": format!(" {} ", made_up.to_uppercase()) })).await,
        ann
    );
    let other = create(&world, json!({ "name": "Ann", "email": made_up.replace('1', "2") })).await;
    assert_ne!(other, ann);
    assert_eq!(world.count("user_created"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_address_is_one_user_only_for_a_call_that_is_repeated_within_seconds() {
    let world = World::in_process().await;
    let ann = json!({ "name": "Ann", "email": "ann@example.com" });
    let first = create(&world, ann.clone()).await;
    let again = create(&world, json!({ "name": " Ann", "email": " Ann@Example.com " })).await;
    assert_eq!(again, first, "the same call once more");
    let other = create(&world, json!({ "name": "Bob", "email": "ann@example.com" })).await;
    assert_ne!(other, first, "somebody else with the same mailbox");
    world.advance(SOME_SECONDS);
    assert_ne!(create(&world, ann).await, first);
    assert_eq!(world.count("user_created"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_no_address_is_nobody_and_is_not_given_to_livechat() {
    let world = World::in_process().await;
    let texts = ["undefined", "null", "N/A", "-", " ", "", "ann@localhost", "undefined@no-reply.bot-1.botpress.com"];
    let mut users = BTreeSet::new();
    for text in texts {
        for _ in 0..2 {
            let user_id = create(&world, json!({ "name": "Visitor", "email": text })).await;
            assert!(users.insert(user_id.clone()), "{text:?} is shared");
            let started = world.act("startHitl", json!({ "userId": user_id, "messageHistory": [] })).await;
            assert_eq!(started.status, 200, "{text:?}: {}", started.body);
        }
    }
    let customers = world.stack.livechat.customers();
    assert_eq!(customers.iter().filter(|customer| customer.email.is_some()).count(), 0);
    assert_eq!(world.stack.livechat.open_chats().len(), users.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_address_is_continued_but_nobody_takes_over_a_live_session() {
    let world = World::in_process_with(&[("VERIFIED_EMAILS", "yes")]).await;
    let input = json!({ "name": "Ann", "email": "ann@example.com" });
    let ann = create(&world, input.clone()).await;
    world.advance(SOME_SECONDS);
    assert_eq!(create(&world, input.clone()).await, ann, "she is known");
    let start = |user_id: &str| world.act("startHitl", json!({ "userId": user_id, "messageHistory": [] }));
    let conversation = start(&ann).await.json()["output"]["conversationId"].clone();
    let refused = start(&ann).await;
    assert_eq!(refused.status, 400, "two stand behind this user, and one is with an agent: {}", refused.body);
    assert!(refused.body.contains("verified e-mail address"), "{}", refused.body);
    world.advance(SOME_SECONDS);
    let other = create(&world, input.clone()).await;
    assert_ne!(other, ann);
    assert_eq!(start(&other).await.status, 200);
    assert_eq!((world.stack.livechat.open_chats().len(), world.bot_events("hitlStopped").len()), (2, 0));
    world.act("stopHitl", json!({ "conversationId": conversation })).await;
    world.settle().await;
    world.advance(SOME_SECONDS);
    assert_eq!(create(&world, input).await, ann, "known again");
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
