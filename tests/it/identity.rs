//! Acting as the customer for as long as a session lasts, and as the agent while tokens are replaced.

use std::time::Duration;

use sandbox::faults::Fault;
use sandbox::livechat::Region;
use tests::{ANNA, World};

const HOUR: Duration = Duration::from_secs(3_600);

/// Returns how many customers LiveChat has created, without the one with which registration checks.
fn customers(world: &World) -> usize {
    world.count("customer_created") - 1
}

/// Returns how often an existing customer got another token.
fn renewals(world: &World) -> usize {
    world.stack.journal.all("token_issued").iter().filter(|entry| entry.detail["renewed"] == true).count()
}

/// Returns the statuses of the answers to a call.
fn answers(world: &World, call: &str) -> Vec<u64> {
    world.entries("call_answered", "/call", call).iter().filter_map(|entry| entry.detail["status"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expired_during_the_session_is_renewed_for_the_same_customer() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    for (hours, expected) in [(9, 1), (20, 2)] {
        world.advance(HOUR * hours);
        let words = format!("after {hours} hours");
        world.says(&ann, &words).await;
        assert_eq!(world.sent_by_customers().last(), Some(&words));
        assert_eq!((renewals(&world), customers(&world)), (expected, 1));
    }
    assert!(
        answers(&world, "customer/send_event").iter().all(|status| *status == 200),
        "renewed before it was refused"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_livechat_no_longer_takes_is_renewed_once_for_many_messages() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    world.stack.livechat.expire_customer_tokens();
    let says = |text| world.stack.botpress.user_says(&ann.conversation_id, text);
    for said in world.all(["1", "2", "3", "4", "5"].map(says)).await {
        said.unwrap();
    }
    world.settle().await;
    let mut sent = world.sent_by_customers().split_off(1);
    sent.sort();
    assert_eq!(sent, ["1", "2", "3", "4", "5"]);
    assert_eq!((renewals(&world), customers(&world)), (1, 1));
    assert_eq!(answers(&world, "customer/send_event"), [401, 200, 200, 200, 200, 200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_last_tenth_of_its_life_a_token_is_renewed_in_good_time() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.advance(HOUR * 7);
    world.says(&ann, "after seven hours").await;
    assert_eq!(renewals(&world), 0);
    world.advance(HOUR / 2);
    world.says(&ann, "half an hour later").await;
    assert_eq!((renewals(&world), customers(&world)), (1, 1));
    assert_eq!(answers(&world, "customer/send_event"), [200, 200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_token_lives_a_failed_early_renewal_does_no_harm() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.advance(HOUR * 15 / 2);
    world.stack.livechat.faults().next(1, "/v2/customer/token", Fault::Reset);
    world.says(&ann, "hello?").await;
    assert_eq!(world.sent_by_customers().last().unwrap(), "hello?");
    assert_eq!((renewals(&world), customers(&world)), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_secret_that_changes_with_each_renewal_is_kept() {
    let world = World::in_process().await;
    world.stack.livechat.set_behaviour(|behaviour| behaviour.rotate_cookie_secret = true);
    let ann = world.escalated_user("Ann").await;
    for text in ["one", "two", "three"] {
        world.advance(HOUR * 9);
        world.says(&ann, text).await;
    }
    assert_eq!(world.sent_by_customers()[1..], ["one", "two", "three"]);
    assert_eq!((renewals(&world), customers(&world)), (3, 1));
    world.answers(ANNA, "still the same chat").await;
    assert_eq!(world.shown_by_agents(), ["still the same chat"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_customer_costs_the_session_but_not_the_next_one() {
    for by_time in [true, false] {
        let world = World::in_process().await;
        let ann = world.escalated_user("Ann").await;
        let first_chat = world.chat_id();
        world.forget_customers().await;
        match by_time {
            true => world.advance(HOUR * 9),
            false => world.stack.livechat.expire_customer_tokens(),
        }
        world.says(&ann, "can you hear me?").await;
        assert_eq!(world.sent_by_customers().len(), 1, "nobody else may say it");
        let told = "Sorry, our agents cannot be reached at the moment. You are back with the bot.";
        assert_eq!(world.shown_by_agents(), [told], "by time: {by_time}");
        assert!(!world.stack.botpress.is_escalated(&ann.conversation_id));
        assert!(world.stack.livechat.open_chats().is_empty() && world.items("parked").is_empty());

        world.says(&ann, "again").await;
        world.escalate(&ann).await.unwrap();
        assert_ne!(world.chat_id(), first_chat);
        world.says(&ann, "now?").await;
        world.answers(ANNA, "loud and clear").await;
        assert_eq!(world.sent_by_customers().last().unwrap(), "now?");
        assert_eq!(world.shown_by_agents().last().unwrap(), "loud and clear");
        let chat = world.stack.livechat.open_chats().remove(0);
        let customer =
            world.stack.livechat.customers().into_iter().find(|one| Some(&one.id) == chat.customer_id.as_ref());
        assert_eq!(customer.unwrap().name.as_deref(), Some("Ann"), "the agents see who it is");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_in_the_other_region_is_found() {
    for from_the_start in [true, false] {
        let world = World::in_process().await;
        let move_away = || world.stack.livechat.set_behaviour(|behaviour| behaviour.region = Region::Fra);
        if from_the_start {
            move_away();
        }
        let ann = world.escalated_user("Ann").await;
        move_away();
        for words in ["1", "2", "3", "4"] {
            world.says(&ann, words).await;
        }
        world.answers(ANNA, "hi").await;
        world.user_ends(&ann).await;
        assert_eq!(world.sent_by_customers()[1..5], ["1", "2", "3", "4"]);
        assert_eq!(world.shown_by_agents(), ["hi"]);
        assert!(world.stack.livechat.open_chats().is_empty());
        let misdirected = world.entries("call_answered", "/error_type", "misdirected_request");
        assert!(!misdirected.is_empty() && misdirected.len() <= 2, "each function learns it once: {misdirected:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_token_replaced_in_the_secret_is_used_at_once() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    // The token in the secret is a withdrawn one, and the functions cache it.
    world.rotate_secret("agentToken", "d2l0aGRyYXdu");
    world.advance(Duration::from_secs(301));
    world.says(&ann, "hello").await;
    world.rotate_secret("agentToken", &world.stack.livechat.account().agent_token.clone());
    world.advance(Duration::from_secs(11));
    world.user_ends(&ann).await;
    assert!(world.stack.livechat.open_chats().is_empty());
    assert_eq!(answers(&world, "agent/deactivate_chat"), [401, 200]);
}
