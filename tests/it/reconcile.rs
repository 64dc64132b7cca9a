//! Events that no webhook has brought are read from the thread; calls that a vendor forbids for a while are not made.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::faults::Fault;
use shared::fail_point::{Place, Side};
use tests::{ANNA, World};

const MINUTE: Duration = Duration::from_secs(60);

/// No webhook of LiveChat reaches the service, and LiveChat's retries run out.
async fn while_we_are_down(world: &World, happening: impl AsyncFnOnce()) {
    world.stack.gateway_faults.always("POST /livechat", Fault::answer(503, ""));
    happening().await;
    for _ in 0..5 {
        world.advance(MINUTE);
        world.settle().await;
    }
    world.stack.gateway_faults.clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_no_webhook_brought_reach_the_user_once() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.sweep().await;
    while_we_are_down(&world, async || {
        world.answers(ANNA, "one").await;
        world.answers(ANNA, "two").await;
    })
    .await;
    assert!(world.shown_by_agents().is_empty());
    world.sweep().await;
    assert_eq!(world.shown_by_agents(), ["one", "two"]);
    assert!(world.stack.livechat.deliver_again("incoming_event"));
    world.settle().await;
    world.advance(MINUTE);
    world.sweep().await;
    assert_eq!(world.shown_by_agents(), ["one", "two"], "a late webhook and a later reading change nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_livechat_no_longer_reports_of_a_chat_that_an_agent_resumed_is_read() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let chat = world.chat_id();
    world.agent_closes(ANNA).await;
    world.stack.livechat.set_behaviour(|behaviour| behaviour.resuming_agents_take_chats = true);
    world.stack.livechat.agent_resumes(&chat, ANNA).unwrap();
    world.agent_closes(ANNA).await;
    world.says(&ann, "I have another question").await;
    world.escalate(&ann).await.unwrap();
    let before = world.count("webhook_delivered");
    for (count, word) in ["one", "two", "three"].into_iter().enumerate() {
        world.answers(ANNA, word).await;
        world.advance(2 * MINUTE);
        world.sweep().await;
        assert_eq!(world.shown_by_agents().len(), count + 1, "{word}");
    }
    assert_eq!(world.shown_by_agents(), ["one", "two", "three"]);
    world.agent_closes(ANNA).await;
    for _ in 0..9 {
        world.advance(2 * MINUTE);
        world.sweep().await;
    }
    assert!(!world.stack.botpress.is_escalated(&ann.conversation_id));
    assert_eq!(world.count("webhook_delivered"), before, "LiveChat reports nothing of this chat");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_a_thread_is_read_at_once_however_lively_it_is() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.sweep().await;
    while_we_are_down(&world, async || world.answers(ANNA, "one").await).await;
    world.answers(ANNA, "two").await;
    assert_eq!(world.shown_by_agents(), ["two"]);
    world.sweep().await;
    assert_eq!(world.shown_by_agents(), ["two", "one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_not_forgotten_by_a_sweep_that_dies_before_it_has_seen_to_it() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.sweep().await;
    while_we_are_down(&world, async || world.answers(ANNA, "one").await).await;
    world.answers(ANNA, "two").await;
    world.fail_points.kill_at(Place { step: "table hasten_read", side: Side::Before }, 1);
    assert!(world.drive(world.stack.sweep()).await.is_err());
    assert!(world.fail_points.has_killed());
    world.fail_points.clear();
    world.sweep().await;
    assert_eq!(world.shown_by_agents(), ["two", "one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_that_fails_is_repeated_a_minute_later_however_long_the_thread_was_silent() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    for _ in 0..20 {
        world.advance(MINUTE);
        world.sweep().await;
    }
    while_we_are_down(&world, async || world.answers(ANNA, "one").await).await;
    world.stack.livechat.faults().next(1, "agent/action/get_chat", Fault::answer(503, ""));
    world.sweep().await;
    assert!(world.shown_by_agents().is_empty());
    world.advance(MINUTE);
    world.sweep().await;
    assert_eq!(world.shown_by_agents(), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_no_webhook_told_of_hands_the_user_back() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.sweep().await;
    while_we_are_down(&world, async || {
        world.answers(ANNA, "Bye").await;
        world.agent_closes(ANNA).await;
    })
    .await;
    assert!(world.stack.botpress.is_escalated(&ann.conversation_id));
    world.sweep().await;
    assert_eq!(world.shown_by_agents(), ["Bye"]);
    assert!(!world.stack.botpress.is_escalated(&ann.conversation_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_thread_is_read_ever_less_often_and_a_lively_one_not_at_all() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let readings = || world.entries("call_answered", "/call", "agent/get_chat").len();
    let at_start = readings();
    for minute in 0..30 {
        world.advance(MINUTE);
        if minute < 5 {
            world.answers(ANNA, &format!("still here {minute}")).await;
        }
        world.sweep().await;
    }
    assert!((2..=5).contains(&(readings() - at_start)), "{} readings", readings() - at_start);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sweeps_at_once_read_a_thread_once() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let readings = || world.entries("call_answered", "/call", "agent/get_chat").len();
    let before = readings();
    world.advance(2 * MINUTE);
    world
        .drive(async {
            let (one, other) = tokio::join!(world.stack.sweep(), world.stack.sweep());
            one.and(other).unwrap();
        })
        .await;
    assert_eq!(readings() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_named_a_time_is_not_called_before_it() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.answers(ANNA, "hello").await;
    let headers = BTreeMap::from([("retry-after".to_owned(), "50".to_owned())]);
    let refusal = Fault::Answer { status: 429, headers, body: String::new() };
    world.stack.botpress.faults().next(1, "get-or-create", refusal);
    let calls = || {
        world
            .stack
            .journal
            .all("call_answered")
            .iter()
            .filter(|entry| entry.vendor == sandbox::journal::Vendor::Botpress)
            .count()
    };
    world.answers(ANNA, "later").await;
    let before = calls();
    world.advance(Duration::from_secs(40));
    world.answers(ANNA, "last").await;
    assert_eq!(calls(), before);
    world.advance(MINUTE);
    world.sweep().await;
    assert_eq!(world.shown_by_agents(), ["hello", "later", "last"]);
}

/// Readings and webhooks meet in the same lane; items that are already known are not written again.
#[tokio::test(flavor = "multi_thread")]
async fn a_reading_of_what_is_known_makes_no_transaction() {
    let world = World::of_instances(1, true).await;
    world.escalated_user("Ann").await;
    for number in 0..30 {
        world.answers(ANNA, &format!("{number}")).await;
    }
    let tally = || world.stack.table_proxy.as_ref().unwrap().conflicts().tally();
    let readings = || world.entries("call_answered", "/call", "agent/get_chat").len();
    let (before, read) = (tally(), readings());
    for _ in 0..4 {
        world.advance(MINUTE);
        world.sweep().await;
    }
    assert!(readings() > read);
    assert_eq!(tally().transactions, before.transactions);
    while_we_are_down(&world, async || world.answers(ANNA, "missed").await).await;
    let before = tally();
    world.sweep().await;
    assert_eq!(tally().transactions - before.transactions, 2, "one that accepts and one that completes");
    assert_eq!(world.shown_by_agents().last().map(String::as_str), Some("missed"));
}
