//! Pushes that fail: nothing is lost or reordered, and what may be shown twice is reported.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::faults::Fault;
use sandbox::table_proxy::throttled;
use serde_json::json;
use tests::{ANNA, SECRET_ID, World};

const MINUTE: Duration = Duration::from_secs(60);

async fn minutes(world: &World, count: u32) {
    for _ in 0..count {
        world.advance(MINUTE);
        world.settle().await;
        world.sweep().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_wait_for_botcopy_and_arrive_once_in_order() {
    for fault in [Fault::answer(503, "<html></html>"), Fault::answer(500, ""), Fault::Reset] {
        let world = World::in_process().await;
        let user = world.handed_over_user().await;
        world.stack.botcopy.faults().always("push", fault);
        world.answers(ANNA, "one").await;
        world.answers(ANNA, "two").await;
        world.agent_closes(ANNA).await;
        minutes(&world, 2).await;
        assert!(world.widget_shows(&user, "agent").is_empty());
        world.stack.botcopy.faults().clear();
        minutes(&world, 2).await;
        assert_eq!(world.widget_shows(&user, "agent"), ["one", "two"]);
        assert!(!world.stack.botcopy.is_paused(&user));
        assert!(world.items("waiting").is_empty() && world.items("parked").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_whose_answer_is_lost_may_be_shown_twice() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    // After this, no push that announces her is left.
    world.answers(ANNA, "hello").await;
    world.stack.botcopy.faults().next(1, "push", Fault::LoseAnswer);
    world.answers(ANNA, "one").await;
    minutes(&world, 1).await;
    world.answers(ANNA, "two").await;
    assert_eq!(world.widget_shows(&user, "agent"), ["hello", "one", "one", "two"], "nobody can look a push up");
}

#[tokio::test(flavor = "multi_thread")]
async fn botcopy_is_not_called_before_the_time_it_has_named() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    let headers = BTreeMap::from([("retry-after".to_owned(), "50".to_owned())]);
    world.stack.botcopy.faults().next(1, "push", Fault::Answer { status: 429, headers, body: String::new() });
    let named_at = world.now();
    world.answers(ANNA, "one").await;
    let before = world.entries("call_answered", "/call", "push message").len();
    assert_eq!(before, 0);
    minutes(&world, 3).await;
    let answered = world.entries("call_answered", "/call", "push message").remove(0);
    assert!(answered.at.since(named_at) >= Duration::from_secs(50), "{:?}", answered.at.since(named_at));
    assert_eq!(world.widget_shows(&user, "agent"), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_refused_for_good_is_parked_and_the_agent_is_told() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    world.stack.botcopy.faults().next(1, "push", Fault::answer(400, r#"{"error": "no"}"#));
    world.answers(ANNA, "one").await;
    world.answers(ANNA, "two").await;
    minutes(&world, 1).await;
    assert_eq!(world.widget_shows(&user, "agent"), ["two"]);
    assert_eq!(world.items("parked").len(), 1);
    let told = world.sent_by_customers().pop().unwrap();
    assert!(told.contains("could not be delivered to the customer"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_api_key_is_looked_up_when_the_old_one_is_refused() {
    let world = World::in_process().await;
    let good = world.stack.botcopy.options().api_key.clone();
    let user = world.handed_over_user().await;
    let mut secret = world.stack.secret();
    secret["botcopyApiKey"] = json!("an old one");
    world.stack.secrets_manager.put(SECRET_ID, secret.clone());
    world.advance(10 * MINUTE / 2);
    secret["botcopyApiKey"] = json!(good);
    world.answers(ANNA, "one").await;
    minutes(&world, 3).await;
    assert!(world.widget_shows(&user, "agent").is_empty(), "a wrong key holds up what it should have carried");
    assert!(world.items("parked").is_empty());
    world.stack.secrets_manager.put(SECRET_ID, secret);
    world.answers(ANNA, "two").await;
    minutes(&world, 2).await;
    assert_eq!(world.widget_shows(&user, "agent"), ["one", "two"]);
}

/// The table refuses the write after a push: the note that the pause has begun anew, or the push's own completion.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_not_made_again_because_the_table_takes_no_note_of_it() {
    for (of, calls) in [("paused_at", ".UpdateItem"), ("\"Delete\"", ".TransactWriteItems")] {
        let world = World::with_table_proxy(&[]).await;
        let user = world.handed_over_user().await;
        world.answers(ANNA, "zero").await;
        world.advance(Duration::from_secs(150));
        world.sweep().await;
        let (joined, table) = (world.widget_shows(&user, "notice").len(), world.stack.table_proxy.as_ref().unwrap());
        // More failures than the table's client retries by itself.
        table.faults().next_for(8, of, calls, throttled());
        world.answers(ANNA, "one").await;
        assert!(table.faults().spoiled().len() > 2, "{of}");
        table.faults().clear();
        world.catch_up().await;
        assert_eq!(world.widget_shows(&user, "agent"), ["zero", "one"], "{of}");
        assert_eq!(world.widget_shows(&user, "notice").len(), joined, "{of}");
        assert!(world.items("waiting").is_empty(), "{of}");
    }
}

/// Botcopy cannot be asked what became of a push, so it is waited for longer than LiveChat's webhook waits for its answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_takes_long_is_shown_once_and_the_webhook_is_answered_meanwhile() {
    for seconds in [1, 2, 5, 9, 11, 14] {
        let world = World::in_process().await;
        let user = world.handed_over_user().await;
        world.answers(ANNA, "hello").await;
        world.stack.botcopy.faults().next(1, "push", Fault::Pace(Duration::from_secs(seconds)));
        let written_at = world.now();
        world.answers(ANNA, "one").await;
        let webhook = world.stack.journal.all("webhook_delivered").pop().unwrap();
        assert_eq!(webhook.detail["status"], 200, "a push of {seconds} s: {:#?}", webhook);
        let took = webhook.at.since(written_at);
        assert!(took < Duration::from_secs(2), "the webhook was answered after {took:?}");
        minutes(&world, 2).await;
        world.answers(ANNA, "two").await;
        minutes(&world, 1).await;
        assert_eq!(world.widget_shows(&user, "agent"), ["hello", "one", "two"], "a push that took {seconds} s");
        assert!(world.items("waiting").is_empty() && world.items("parked").is_empty());
    }
}

/// Through compiled functions, too: the process has to stay awake when it has answered.
#[tokio::test(flavor = "multi_thread")]
async fn words_behind_a_push_that_takes_long_follow_it() {
    let world = World::start().await;
    let user = world.handed_over_user().await;
    world.answers(ANNA, "hello").await;
    world.stack.botcopy.faults().next(1, "push", Fault::Pace(Duration::from_secs(3)));
    let arrived = async {
        for text in ["one", "two"] {
            world.stack.livechat.agent_sends_text(&world.chat_id(), ANNA, text).unwrap();
            world.stack.livechat.settled().await;
        }
        let answered_at = world.now();
        while world.widget_shows(&user, "agent").len() < 3 {
            world.sleep(Duration::from_millis(100)).await;
        }
        answered_at
    };
    let answered_at = world.drive(arrived).await;
    assert!(world.now().since(answered_at) > Duration::from_secs(1), "both webhooks were answered long before");
    assert_eq!(world.widget_shows(&user, "agent"), ["hello", "one", "two"]);
}
