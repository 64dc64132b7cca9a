//! While a vendor is down: nobody waits for it in vain, nobody calls it too early, and what is held up follows soon.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::botpress::Escalation;
use sandbox::faults::Fault;
use serde_json::json;
use shared::fail_point::{Place, Side};
use tests::{ANNA, World};

const MESSAGES: &str = "/v1/chat/messages/get-or-create";
const LONGEST_ANSWER: Duration = Duration::from_millis(250);

/// An agent's message in one of the open chats, written `seconds` from now.
fn written(world: &World, chat: usize, text: &str, seconds: u64) -> String {
    let chat_id = &world.stack.livechat.open_chats()[chat].id;
    let thread_id = world.stack.livechat.thread(chat_id).unwrap().id;
    let created_at = (world.now() + Duration::from_secs(seconds)).to_string();
    let event = json!({"id": format!("{thread_id}_{text}"), "type": "message", "text": text, "author_id": ANNA,
        "visibility": "all", "created_at": created_at});
    let payload = json!({"chat_id": chat_id, "thread_id": thread_id, "event": event});
    world.envelope("incoming_event", payload).to_string()
}

/// Delivers such a message as LiveChat does; tells how long LiveChat waited for the answer.
async fn report(world: &World, chat: usize, text: &str) -> Duration {
    let (url, asked_at) = (world.stack.webhook_url(), world.now());
    assert_eq!(world.drive(world.post(&url, written(world, chat, text, 0))).await.0, 200);
    world.now().since(asked_at)
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_vendor_has_failed_again_and_again_what_is_for_it_is_accepted_without_a_wait() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.escalated_user("Bob").await;
    world.sweep_after(Duration::from_secs(10)).await;
    world.stack.botpress.faults().always("POST /v1/chat", Fault::answer(503, "down"));
    report(&world, 0, "one").await;
    let tries = world.stack.botpress.faults().spoiled().len();
    assert!(tries >= 3, "what may be a blip is tried again while LiveChat waits: {tries}");
    for (chat, text) in [(1, "one"), (0, "two"), (1, "two")] {
        let took = report(&world, chat, text).await;
        assert!(took <= LONGEST_ANSWER, "{took:?}");
    }
    world.stack.botpress.faults().clear();
    world.sweep_after(Duration::from_secs(60)).await;
    assert_eq!(world.shown_by_agents().len(), 4);
    assert!(report(&world, 0, "three").await <= LONGEST_ANSWER);
    assert_eq!(world.shown_by_agents().len(), 5, "a vendor that answers again is called at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_hangs_holds_up_one_caller_and_not_those_who_come_just_after() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.sweep_after(Duration::from_secs(10)).await;
    world.stack.botpress.faults().always("POST /v1/chat", Fault::answer(503, "down"));
    report(&world, 0, "one").await;
    world.stack.botpress.faults().clear();
    world.stack.botpress.faults().always("POST /v1/chat", Fault::Delay(Duration::from_secs(60)));
    for text in ["two", "three"] {
        let took = report(&world, 0, text).await;
        assert!(took <= LONGEST_ANSWER, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sweep_tries_again_until_what_was_held_up_is_delivered() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.stack.botpress.faults().next(6, MESSAGES, Fault::answer(503, "down"));
    world.answers(ANNA, "held up").await;
    assert!(world.shown_by_agents().is_empty());
    let since = world.now();
    world.sweep().await;
    assert_eq!(world.shown_by_agents(), ["held up"]);
    let tries = world.stack.botpress.faults().spoiled().into_iter().filter(|call| call.at >= since).count();
    assert!(tries >= 2, "the sweep itself met the vendor while it was down");
    let took = world.now().since(since);
    assert!(took > Duration::ZERO && took < Duration::from_secs(59), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_one_function_was_told_binds_the_other() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let headers = [("retry-after".to_owned(), "40".to_owned())].into();
    let patience = Fault::Answer { status: 429, headers, body: String::new() };
    world.stack.livechat.faults().next(1, "customer/action/send_event", patience);
    world.says(&ann, "told the actions function").await;
    let (told_at, since) = (world.now(), world.stack.journal.len());
    world.agent_closes(ANNA).await;
    world.sweep().await;
    let reads = |world: &World| {
        let entries = world.stack.journal.since(since).into_iter();
        entries.filter(|entry| entry.effect == "call_answered" && entry.text("/call").contains("get_chat")).count()
    };
    assert!(world.now().since(told_at) < Duration::from_secs(40) && reads(&world) == 0);
    assert!(world.bot_events("hitlStopped").is_empty(), "an end first reads the thread, which has to wait");
    world.sweep_after(Duration::from_secs(41)).await;
    assert_eq!(world.bot_events("hitlStopped").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_while_a_delivery_is_under_way_is_put_before_later_words_that_still_wait() {
    let world = World::in_process_with(&[("ORDER_PAUSE_MS", "0")]).await;
    let ann = world.user("Ann").await;
    let escalate = world.stack.botpress.escalate(&ann.conversation_id, Escalation::default());
    world.drive(escalate).await.unwrap();
    let url = world.stack.webhook_url();
    let report = |text: &str, seconds| world.posted(&url, written(&world, 0, text, seconds));
    let mut reports = vec![report("second", 2), report("fourth", 4)];
    let waiting = |world: &World| {
        world.items("waiting").iter().filter(|item| item["content"]["content"]["text"].is_string()).count()
    };
    world.until(|world| waiting(world) == 2).await;
    world.stack.botpress.faults().next(1, MESSAGES, Fault::Delay(Duration::from_millis(500)));
    world.advance(Duration::from_secs(3));
    world.until(|world| world.stack.botpress.faults().spoiled().len() == 1).await;
    // Three seconds have passed since the others were written.
    reports.push(report("third", 0));
    world.until(|world| waiting(world) == 3).await;
    for answer in world.all(reports).await {
        assert_eq!(answer.unwrap().0, 200);
    }
    world.settle().await;
    assert_eq!(world.shown_by_agents(), ["second", "third", "fourth"]);
}

/// What a dead process had delivered is looked for before it is delivered again, also where an outage came between.
#[tokio::test(flavor = "multi_thread")]
async fn a_lane_whose_holder_died_is_still_doubted_after_an_outage() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let bob = world.escalated_user("Bob").await;
    let livechat = world.stack.livechat.faults();
    let headers = BTreeMap::from([("retry-after".to_owned(), "30".to_owned())]);
    // Left to the sweep, and certainly not delivered.
    livechat.next(1, "customer/action/send_event", Fault::Answer { status: 429, headers, body: String::new() });
    world.says(&ann, "once").await;
    world.fail_points.kill_at(Place { step: "table complete", side: Side::Before }, 1);
    world.advance(Duration::from_secs(60));
    assert!(world.drive(world.stack.sweep()).await.is_err(), "the sweep dies with what it has delivered");
    world.fail_points.clear();
    world.advance(Duration::from_secs(120));
    livechat.always("", Fault::answer(503, "down"));
    world.says(&bob, "what shows that LiveChat is down").await;
    world.says(&ann, "later").await;
    livechat.clear();
    world.sweep_after(Duration::from_secs(60)).await;
    let sent = world.sent_by_customers();
    for text in ["once", "later"] {
        assert_eq!(sent.iter().filter(|sent| *sent == text).count(), 1, "{text}: {sent:?}");
    }
}
