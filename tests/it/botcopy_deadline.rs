//! Botcopy gets a true answer in time, whatever LiveChat and the table do.

use std::time::Duration;

use sandbox::faults::Fault;
use sandbox::livechat::GroupStatus;
use sandbox::table_proxy::{conflicting, transaction_throttled};
use serde_json::json;
use tests::{ANNA, ASK, World};

const MINUTE: Duration = Duration::from_secs(60);

/// The longest time that Botcopy has to wait.
const IN_TIME: Duration = Duration::from_secs(2);

/// Sends a message and asserts that the answer comes in time. Returns whether the bot is paused afterwards.
async fn says_in_time(world: &World, user: &str, text: &str) -> bool {
    // People pause between messages, and messages of one instant have no order.
    world.advance(Duration::from_millis(700));
    let before = world.now();
    world.drive(world.stack.botcopy.user_says(user, text)).await.unwrap();
    assert!(world.now().since(before) <= IN_TIME, "{:?}", world.now().since(before));
    world.stack.botcopy.is_paused(user)
}

fn hang(world: &World, calls: &str) {
    world.stack.livechat.faults().always(calls, Fault::Delay(MINUTE));
}

async fn minutes(world: &World, count: u32) {
    for _ in 0..count {
        world.advance(MINUTE);
        world.settle().await;
        drop(world.drive(world.stack.sweep()).await);
        world.settle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_livechat_holds_up_is_promised_and_kept() {
    for calls in ["token", "update_customer", "list_group_statuses", "start_chat", "get_chat"] {
        let world = World::in_process().await;
        let user = world.widget_user().await;
        hang(&world, calls);
        assert!(says_in_time(&world, &user, ASK).await, "{calls}");
        assert!(says_in_time(&world, &user, "order 7").await, "{calls}");
        assert!(says_in_time(&world, &user, "hello?").await, "{calls}");
        world.stack.livechat.faults().clear();
        minutes(&world, 3).await;
        assert_eq!(world.stack.livechat.open_chats().len(), 1, "{calls}");
        let sent = world.sent_by_customers();
        assert!(sent[0].starts_with("Conversation so far:\nUser: hello"), "{calls}: {}", sent[0]);
        assert_eq!(sent.split_at(1).1, ["order 7", "hello?"], "{calls}");
        world.answers(ANNA, "Here I am").await;
        assert_eq!(world.widget_shows(&user, "agent"), ["Here I am"], "{calls}");
        assert_eq!((world.count("answer_ignored"), world.count("pause_lapsed")), (0, 0), "{calls}");
        world.agent_closes(ANNA).await;
        assert!(!world.stack.botcopy.is_paused(&user), "{calls}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_livechat_holds_up_is_promised_and_delivered_once() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    hang(&world, "send_event");
    assert!(says_in_time(&world, &user, "one").await);
    assert!(says_in_time(&world, &user, "two").await);
    world.stack.livechat.faults().clear();
    minutes(&world, 3).await;
    assert_eq!(world.sent_by_customers().split_off(1), ["one", "two"]);
    assert_eq!(world.count("answer_ignored"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_livechat_refuses_for_a_moment_is_promised_and_kept() {
    let world = World::in_process().await;
    let user = world.widget_user().await;
    world.stack.livechat.faults().always("", Fault::answer(503, "<html></html>"));
    assert!(says_in_time(&world, &user, ASK).await);
    minutes(&world, 2).await;
    world.stack.livechat.faults().clear();
    minutes(&world, 2).await;
    assert_eq!(world.stack.livechat.open_chats().len(), 1);
    assert_eq!(world.sent_by_customers().len(), 1);
    assert!(world.stack.botcopy.is_paused(&user));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_cannot_be_kept_is_taken_back_with_a_sentence() {
    let world = World::in_process().await;
    let user = world.widget_user().await;
    hang(&world, "list_group_statuses");
    assert!(says_in_time(&world, &user, ASK).await);
    world.stack.livechat.faults().clear();
    world.stack.livechat.set_group_status(1, GroupStatus::Offline);
    minutes(&world, 2).await;
    assert!(!world.stack.botcopy.is_paused(&user));
    assert_eq!(
        world.widget_shows(&user, "agent"),
        ["Sorry, no agent is free at the moment. You are back with the bot."]
    );
    assert!(world.stack.livechat.open_chats().is_empty());
    assert!(world.items("waiting").is_empty() && world.items("parked").is_empty() && world.items("timer").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_is_taken_back_when_livechat_stays_away() {
    let world = World::in_process().await;
    let user = world.widget_user().await;
    world.stack.livechat.faults().always("", Fault::answer(503, "<html></html>"));
    assert!(says_in_time(&world, &user, ASK).await);
    minutes(&world, 4).await;
    assert!(world.stack.botcopy.is_paused(&user), "not before some minutes have passed");
    minutes(&world, 3).await;
    world.stack.livechat.faults().clear();
    minutes(&world, 2).await;
    assert!(!world.stack.botcopy.is_paused(&user));
    assert_eq!(
        world.widget_shows(&user, "agent"),
        ["Sorry, our agents cannot be reached at the moment. You are back with the bot."]
    );
    assert!(world.stack.livechat.open_chats().is_empty());
    world.widget_says(&user, ASK).await;
    assert!(world.stack.botcopy.is_paused(&user));
    assert_eq!(world.stack.livechat.open_chats().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_by_which_a_start_is_given_up_stay_with_the_bot() {
    let world = World::in_process().await;
    let user = world.widget_user().await;
    world.stack.livechat.faults().always("", Fault::answer(503, "<html></html>"));
    assert!(says_in_time(&world, &user, ASK).await);
    // No sweep comes during the whole time for which a start is tried.
    world.advance(Duration::from_secs(301));
    assert!(!says_in_time(&world, &user, "order 7").await, "nobody will ever read this");
    assert_eq!(world.widget_shows(&user, "bot").last().unwrap(), "bot: order 7");
    assert_eq!(
        world.widget_shows(&user, "agent"),
        ["Sorry, our agents cannot be reached at the moment. You are back with the bot."]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_again_is_told_first_that_the_promise_before_was_not_kept() {
    let world = World::in_process().await;
    let user = world.widget_user().await;
    world.stack.livechat.faults().always("", Fault::answer(503, "<html></html>"));
    assert!(says_in_time(&world, &user, ASK).await);
    world.stack.botcopy.faults().always("push", Fault::answer(503, ""));
    world.advance(Duration::from_secs(301));
    assert!(!says_in_time(&world, &user, "order 7").await, "the start is given up, and the user cannot be told");
    world.stack.livechat.faults().clear();
    says_in_time(&world, &user, &format!("{ASK}, please")).await;
    world.stack.botcopy.faults().clear();
    minutes(&world, 2).await;
    assert_eq!(
        world.widget_shows(&user, "agent"),
        ["Sorry, our agents cannot be reached at the moment. You are back with the bot."]
    );
    world.widget_says(&user, ASK).await;
    assert!(world.stack.botcopy.is_paused(&user));
    assert_eq!(world.stack.livechat.open_chats().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_durable_stays_with_the_bot() {
    let world = World::with_table_proxy(&[]).await;
    let user = world.widget_user().await;
    let faults = world.stack.table_proxy.as_ref().unwrap().faults();
    faults.always("", Fault::Delay(MINUTE));
    assert!(!says_in_time(&world, &user, ASK).await);
    let called = world.entries("webhook_called", "/user_id", &user).remove(0);
    assert_eq!((&called.detail["status"], &called.detail["paused"]), (&json!(200), &json!(false)));
    faults.clear();
    let world = World::with_table_proxy(&[]).await;
    let user = world.handed_over_user().await;
    let faults = world.stack.table_proxy.as_ref().unwrap().faults();
    faults.always("", Fault::Delay(MINUTE));
    says_in_time(&world, &user, "order 7").await;
    assert_eq!(world.widget_shows(&user, "bot").last().unwrap(), "bot: order 7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_tried_often_enough_before_a_call_is_left_to_the_bot() {
    /// More tries than pauses of up to a second leave time for.
    const REFUSALS: u32 = 12;
    let world = World::with_table_proxy(&[]).await;
    let user = world.widget_user().await;
    let faults = world.stack.table_proxy.as_ref().unwrap().faults();
    for (text, operation, fault) in [
        (ASK, ".TransactWriteItems", transaction_throttled()),
        ("order 7", ".TransactWriteItems", transaction_throttled()),
        ("order 8", ".UpdateItem", conflicting()),
    ] {
        faults.next(REFUSALS, operation, fault);
        assert!(says_in_time(&world, &user, text).await, "{text}");
        assert!(world.widget_shows(&user, "bot").iter().all(|shown| !shown.contains(text)), "{text}");
        minutes(&world, 1).await;
    }
    assert_eq!(world.sent_by_customers().split_off(1), ["order 7", "order 8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secrets_manager_that_hangs_keeps_nobody_waiting() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    // The cached credentials are too old to be used without looking for others.
    world.advance(Duration::from_secs(301));
    world.stack.secrets_manager.faults().always("", Fault::Delay(MINUTE));
    for text in ["one", "two"] {
        assert!(says_in_time(&world, &user, text).await, "{text}");
    }
    assert_eq!(world.sent_by_customers().split_off(1), ["one", "two"]);
    assert_eq!(world.stack.secrets_manager.faults().spoiled().len(), 2, "asked once, for both versions");

    // A new instance has none cached: it can do nothing, and reports so in time.
    world.stack.restart_functions().unwrap();
    says_in_time(&world, &user, "three").await;
    assert_eq!(world.widget_shows(&user, "bot").last().unwrap(), "bot: three");
    let called = world.entries("webhook_called", "/text", "three").remove(0);
    assert_eq!(called.detail["status"], json!(500));
}

/// Returns how many trips to the table a call makes in sequence: each takes `TRIP`, and nothing else takes time.
async fn trips(world: &World, user: &str, text: &str) -> u128 {
    const TRIP: Duration = Duration::from_millis(10);
    let faults = world.stack.table_proxy.as_ref().unwrap().faults();
    faults.always("", Fault::Delay(TRIP));
    let before = world.now();
    world.drive(world.stack.botcopy.user_says(user, text)).await.unwrap();
    faults.clear();
    let took = world.now().since(before);
    assert!(world.stack.botcopy.is_paused(user), "{text} took {took:?}");
    took.as_millis() / TRIP.as_millis()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_makes_few_trips_to_the_table() {
    let (mut fewest_of_start, mut fewest_of_message) = (u128::MAX, u128::MAX);
    // On a busy machine time may pass while a call is being prepared, which can only raise the count.
    for _ in 0..4 {
        let world = World::with_table_proxy(&[]).await;
        let user = world.widget_user().await;
        fewest_of_start = fewest_of_start.min(trips(&world, &user, ASK).await);
        fewest_of_message = fewest_of_message.min(trips(&world, &user, "order 7").await);
        if fewest_of_start <= 11 && fewest_of_message <= 5 {
            return;
        }
    }
    assert_eq!((fewest_of_start, fewest_of_message), (11, 5), "trips for a start and for a message at most");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_asks_again_while_the_end_before_is_pushed_is_promised_no_agent_who_has_left() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    world.answers(ANNA, "hello").await;
    world.stack.botcopy.faults().always("push", Fault::answer(503, "<html></html>"));
    world.agent_closes(ANNA).await;
    assert!(!says_in_time(&world, &user, "still there?").await, "the chat is closed");
    world.stack.botcopy.faults().clear();
    world.advance(MINUTE);
    let (asked_at, is_promised) = (world.now(), says_in_time(&world, &user, ASK).await);
    assert!(world.now().since(asked_at) < Duration::from_millis(1_500), "{:?}", world.now().since(asked_at));
    minutes(&world, 2).await;
    let with_agents = !world.stack.livechat.open_chats().is_empty();
    assert_eq!((is_promised, world.stack.botcopy.is_paused(&user)), (with_agents, with_agents));
    assert!(world.items("waiting").is_empty() && world.items("parked").is_empty());
}
