//! Events of one time keep the order in which they were counted, or otherwise the order of arrival.

use std::time::Duration;

use sandbox::faults::Fault;
use tests::{ANNA, World, message};

const WORDS: usize = 12;

/// Returns a session whose events all have the present time of the clock.
async fn at_one_time() -> (World, sandbox::botpress::UpstreamUser) {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.answers(ANNA, "hello").await;
    world.stack.livechat.set_behaviour(|behaviour| behaviour.equal_times = true);
    (world, ann)
}

/// The agent sends `WORDS` messages without any time passing.
fn says_all_at_once(world: &World) {
    let chat_id = world.chat_id();
    for number in 0..WORDS {
        world.stack.livechat.agent_sends_text(&chat_id, ANNA, &format!("word {number}")).unwrap();
    }
    let thread = world.stack.livechat.thread(&chat_id).unwrap();
    let times: std::collections::BTreeSet<_> =
        thread.events.iter().rev().take(WORDS).map(|event| event.created_at).collect();
    assert_eq!(times.len(), 1);
}

fn all_words() -> Vec<String> {
    std::iter::once("hello".to_owned()).chain((0..WORDS).map(|number| format!("word {number}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_words_of_one_instant_are_shown_as_they_were_counted() {
    let (world, _) = at_one_time().await;
    world.stack.botpress.faults().always("messages/get-or-create", Fault::answer(503, ""));
    says_all_at_once(&world);
    world.settle().await;
    world.stack.botpress.faults().clear();
    world.catch_up().await;
    assert_eq!(world.shown_by_agents(), all_words());
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_one_instant_that_are_read_from_the_thread_are_shown_as_they_were_counted() {
    let (world, _) = at_one_time().await;
    world.stack.gateway_faults.always("POST /livechat", Fault::answer(200, "swallowed"));
    says_all_at_once(&world);
    world.settle().await;
    // The answer orders the events by the text of their ids: `_10` before `_2`.
    let by_text = Fault::garble(|body| {
        let mut chat: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let events = chat["thread"]["events"].as_array_mut().unwrap();
        events.sort_by_key(|event| event["id"].as_str().unwrap().to_owned());
        chat.to_string().into_bytes()
    });
    world.stack.livechat.faults().always("agent/action/get_chat", by_text);
    world.stack.gateway_faults.clear();
    world.catch_up().await;
    assert_eq!(world.shown_by_agents(), all_words());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_words_of_one_instant_are_said_as_they_arrived_and_their_parts_as_they_were_counted() {
    let (world, ann) = at_one_time().await;
    let downstream = world.stack.botpress.downstream(&ann.conversation_id).unwrap();
    let user_id = world.stack.botpress.downstream_user(&ann.user_id).unwrap();
    let before = world.sent_by_customers().len();
    world.stack.livechat.faults().always("customer/action/send_event", Fault::answer(503, ""));
    let (at, long) = (world.now(), "x".repeat(190_000));
    for (id, text) in [("msg_z", "one"), ("msg_m", long.as_str()), ("msg_a", "three")] {
        let said = message(&downstream, id, text, Some(&user_id), at);
        assert_eq!(world.operate("message_created", &said).await.status, 200);
        world.advance(Duration::from_millis(1));
    }
    world.stack.livechat.faults().clear();
    world.catch_up().await;
    let said = world.sent_by_customers().split_off(before);
    assert_eq!((said.first().unwrap().as_str(), said.last().unwrap().as_str()), ("one", "three"));
    assert_eq!(said[1..said.len() - 1].concat(), long);
}
