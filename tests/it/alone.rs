//! An item on which a vendor always fails while it serves others is parked in time; in an outage nothing is parked.

use std::time::Duration;

use sandbox::botpress::UpstreamUser;
use sandbox::faults::{Fault, Faults};
use serde_json::json;
use tests::{ANNA, World, text, texts};

const TICK: Duration = Duration::from_secs(60);

/// Ways in which a vendor fails on one text.
fn failures() -> Vec<(&'static str, Fault)> {
    vec![
        ("an error", Fault::answer(500, "{}")),
        ("a broken connection", Fault::Reset),
        ("a page", Fault::answer(200, "<html></html>")),
        ("a page that forbids", Fault::answer(403, "<html></html>")),
    ]
}

fn no_answers() -> [Fault; 2] {
    [Fault::answer(500, "{}"), Fault::Reset]
}

/// The schedule ticks each minute, however long a sweep takes.
async fn ticks(world: &World, count: u32) {
    for _ in 0..count {
        let since_tick = world.now().unix_millis().rem_euclid(TICK.as_millis().try_into().unwrap());
        world.sweep_after(TICK - Duration::from_millis(since_tick.unsigned_abs())).await;
    }
}

/// Returns what the customer of a chat has sent, the opening first.
fn said(world: &World, chat_id: &str) -> Vec<String> {
    let mut sent = world.entries("event_sent", "/chat_id", chat_id);
    sent.retain(|one| one.text("/author_type") == "customer");
    texts(&sent)
}

/// Returns another user and their chat.
async fn another(world: &World, name: &str) -> (UpstreamUser, String) {
    let known: Vec<_> = world.stack.livechat.open_chats().into_iter().map(|chat| chat.id).collect();
    let user = world.escalated_user(name).await;
    let chat = world.stack.livechat.open_chats().into_iter().find(|chat| !known.contains(&chat.id)).unwrap();
    (user, chat.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_on_which_livechat_always_fails_is_parked_in_time_and_its_author_told() {
    for (what, fault) in failures() {
        for others_speak in [false, true] {
            let world = World::in_process().await;
            let (ann, chat_id) = another(&world, "Ann").await;
            world.answers(ANNA, "hello").await;
            let (bob, bobs_chat) = another(&world, "Bob").await;
            world.stack.livechat.faults().always_for("bad words", "customer/action/send_event", fault.clone());
            // The next sweep is as far away as it can be.
            ticks(&world, 1).await;
            let since = world.now();
            world.says(&ann, "bad words").await;
            world.says(&ann, "good words").await;
            for number in 0..2 {
                if others_speak {
                    world.says(&bob, &format!("Bob {number}")).await;
                }
                ticks(&world, 1).await;
            }
            let what = format!("{what}, others speak: {others_speak}");
            let parked = world.items("parked");
            assert_eq!(parked.len(), 1, "{what}");
            assert!(text(&parked[0], "cause").contains("send_event"), "{what}: {}", parked[0]);
            assert_eq!(said(&world, &chat_id)[1..], ["good words"], "{what}");
            assert_eq!(said(&world, &bobs_chat).len(), if others_speak { 3 } else { 1 }, "{what}");
            let told = world.entries("shown_to_user", "/from", "agent").pop().unwrap();
            assert!(told.text("/text").contains("could not be delivered"), "{what}: {told:?}");
            assert!(told.at.since(since) <= 2 * TICK, "{what}: {:?}", told.at.since(since));
            world.user_ends(&ann).await;
            ticks(&world, 1).await;
            assert_eq!(world.stack.livechat.open_chats().len(), 1, "{what}: the session can end");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_on_which_botpress_always_fails_is_parked_in_time_and_its_author_told() {
    for (what, fault) in failures() {
        let world = World::in_process().await;
        let ann = world.escalated_user("Ann").await;
        world.answers(ANNA, "hello").await;
        world.stack.botpress.faults().always_for("bad words", "messages/get-or-create", fault);
        world.answers(ANNA, "bad words").await;
        world.answers(ANNA, "good words").await;
        ticks(&world, 2).await;
        assert_eq!(world.shown_by_agents(), ["hello", "good words"], "{what}");
        assert_eq!(world.items("parked").len(), 1, "{what}");
        assert!(world.sent_by_customers().pop().unwrap().contains("could not be delivered"), "{what}");
        world.agent_closes(ANNA).await;
        ticks(&world, 1).await;
        assert!(!world.stack.botpress.is_escalated(&ann.conversation_id), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_on_which_botcopy_always_fails_is_parked_in_time_and_its_author_told() {
    for (what, fault) in failures() {
        // Botcopy documents that a 403 is about the key.
        if what == "a page that forbids" {
            continue;
        }
        let world = World::in_process().await;
        let user = world.handed_over_user().await;
        world.answers(ANNA, "hello").await;
        world.stack.botcopy.faults().always_for("bad words", "push", fault);
        world.answers(ANNA, "bad words").await;
        world.answers(ANNA, "good words").await;
        ticks(&world, 2).await;
        assert_eq!(world.widget_shows(&user, "agent"), ["hello", "good words"], "{what}");
        assert_eq!(world.items("parked").len(), 1, "{what}");
        let told = world.sent_by_customers().pop().unwrap();
        assert!(told.contains("may not have reached the customer"), "{what}: nobody can look: {told}");
        world.agent_closes(ANNA).await;
        ticks(&world, 1).await;
        assert!(!world.stack.botcopy.is_paused(&user), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_text_after_another_is_parked() {
    let world = World::in_process().await;
    let (ann, chat_id) = another(&world, "Ann").await;
    world.stack.livechat.faults().always_for("bad words", "customer/action/send_event", Fault::answer(500, "{}"));
    for words in ["bad words", "bad words again", "good words"] {
        world.says(&ann, words).await;
    }
    ticks(&world, 4).await;
    assert_eq!(world.items("parked").len(), 2);
    assert_eq!(said(&world, &chat_id)[1..], ["good words"]);
}

/// The vendor fails on everything, for a single user as well, then recovers.
#[tokio::test(flavor = "multi_thread")]
async fn in_an_outage_nothing_is_parked_and_all_of_it_arrives_afterwards() {
    for fault in no_answers() {
        for users in [1, 3] {
            let world = World::in_process().await;
            let mut people = Vec::new();
            for number in 0..users {
                people.push(another(&world, &format!("User{number}")).await);
            }
            let faults = [world.stack.livechat.faults(), world.stack.botpress.faults()];
            let calls = ["customer/action/send_event", "messages/get-or-create"];
            faults.into_iter().zip(calls).for_each(|(faults, call)| faults.always(call, fault.clone()));
            for (user, chat_id) in &people {
                world.says(user, "one").await;
                world.says(user, "two").await;
                world.stack.livechat.agent_sends_text(chat_id, ANNA, "three").unwrap();
                world.settle().await;
            }
            ticks(&world, 10).await;
            assert!(world.items("parked").is_empty(), "{users} users, {fault:?}");
            faults.into_iter().for_each(Faults::clear);
            ticks(&world, 2).await;
            for (_, chat_id) in &people {
                assert_eq!(said(&world, chat_id)[1..], ["one", "two"]);
            }
            assert_eq!(world.shown_by_agents(), vec!["three"; users]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_botcopy_is_down_nothing_is_parked() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    world.answers(ANNA, "hello").await;
    world.stack.botcopy.faults().always("push", Fault::answer(500, ""));
    world.answers(ANNA, "one").await;
    world.answers(ANNA, "two").await;
    ticks(&world, 8).await;
    assert!(world.items("parked").is_empty());
    world.stack.botcopy.faults().clear();
    ticks(&world, 2).await;
    assert_eq!(world.widget_shows(&user, "agent"), ["hello", "one", "two"]);
}

/// Messages fail for all users who write, while LiveChat answers every call about a chat that does not exist.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_others_as_well_is_not_parked() {
    let world = World::in_process().await;
    let mut people = Vec::new();
    for name in ["Ann", "Bob", "Cid"] {
        people.push(another(&world, name).await);
    }
    let (_, quiet_chat) = another(&world, "Dan").await;
    for (_, chat_id) in &people {
        world.stack.livechat.faults().always_for(chat_id, "customer/action/send_event", Fault::answer(500, "{}"));
    }
    for (user, _) in &people {
        world.says(user, "one").await;
    }
    ticks(&world, 8).await;
    assert!(world.items("parked").is_empty());
    world.stack.livechat.faults().clear();
    ticks(&world, 2).await;
    for (_, chat_id) in &people {
        assert_eq!(said(&world, chat_id)[1..], ["one"]);
    }
    assert_eq!(said(&world, &quiet_chat).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_fails_alone_is_told_until_it_is_heard() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let conversation_id = world.stack.botpress.downstream(&ann.conversation_id).unwrap();
    world.stack.botpress.faults().always_for(&conversation_id, "/v1/chat/events", Fault::answer(500, "{}"));
    world.agent_closes(ANNA).await;
    let bob = world.escalated_user("Bob").await;
    world.stack.livechat.faults().always_for(&world.chat_id(), "deactivate_chat", Fault::answer(500, "{}"));
    world.user_ends(&bob).await;
    ticks(&world, 6).await;
    assert!(world.items("parked").is_empty());
    assert_eq!(world.stack.livechat.open_chats().len(), 1);
    assert!(world.stack.botpress.is_escalated(&ann.conversation_id));
    world.stack.livechat.faults().clear();
    world.stack.botpress.faults().clear();
    ticks(&world, 2).await;
    assert!(!world.stack.botpress.is_escalated(&ann.conversation_id));
    assert!(world.stack.livechat.open_chats().is_empty() && world.items("waiting").is_empty());
}

/// One text fails in a way that leaves open whether it has arrived.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_whose_outcome_is_unknown_stays_so_when_it_is_parked() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.answers(ANNA, "hello").await;
    world.stack.botpress.faults().always_for("bad words", "messages/get-or-create", Fault::answer(500, "{}"));
    world.answers(ANNA, "bad words").await;
    ticks(&world, 2).await;
    let parked = world.items("parked").remove(0);
    assert_eq!(parked["outcome_unknown"], json!(true), "{parked}");
}
