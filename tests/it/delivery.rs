//! Nothing is lost, delivered twice or out of order, whatever the vendors do meanwhile.

use std::time::Duration;

use sandbox::botpress::{Error, ErrorType, Escalation, UpstreamUser};
use sandbox::faults::{Fault, Faults};
use serde_json::{Value, json};
use tests::{ANNA, World, text};

/// How long a vendor asks not to be called, in the tests where it does.
const PATIENCE: Duration = Duration::from_secs(20);

/// An agent's message in the only open chat, written `seconds` from now.
fn message(world: &World, text: &str, seconds: u64) -> Value {
    let (chat_id, thread_id) = world.chat_and_thread();
    let created_at = (world.now() + Duration::from_secs(seconds)).to_string();
    let event = json!({"id": format!("{thread_id}_{text}"), "type": "message", "text": text, "author_id": ANNA,
        "visibility": "all", "created_at": created_at});
    json!({"chat_id": chat_id, "thread_id": thread_id, "event": event})
}

/// A user's message, as Botpress sends it.
fn created(world: &World, user: &UpstreamUser, text: &str) -> Value {
    let conversation_id = world.stack.botpress.downstream(&user.conversation_id).unwrap();
    let speaker = world.stack.botpress.downstream_user(&user.user_id);
    json!({
        "type": "text", "payload": {"text": text, "userId": speaker}, "conversation": {"id": conversation_id},
        "message": {"id": format!("msg_{text}"), "createdAt": world.now().to_string(), "conversationId": conversation_id},
        "user": {"id": user.user_id},
    })
}

fn asking_for_patience(header: &str) -> Fault {
    let headers = [(header.to_owned(), PATIENCE.as_secs().to_string())].into();
    Fault::Answer { status: 429, headers, body: String::new() }
}

/// What can go wrong with one call, and whether the vendor names a time before which it wants no other call.
fn troubles() -> Vec<(&'static str, Fault, bool)> {
    vec![
        ("an error", Fault::answer(500, "oops"), false),
        ("unavailable", Fault::answer(503, ""), false),
        ("too many calls", Fault::answer(429, "{}"), false),
        ("too many calls, until", asking_for_patience("retry-after"), true),
        ("too many calls, reset", asking_for_patience("x-ratelimit-reset"), true),
        ("a broken connection", Fault::Reset, false),
        ("a lost answer", Fault::LoseAnswer, false),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_webhook_in_any_number_of_copies_is_one_message() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    for (text, at_once) in [("one", 1), ("two", 2), ("many", 32)] {
        let body = world.envelope("incoming_event", message(&world, text, 0)).to_string();
        let url = world.stack.webhook_url();
        for _ in 0..2 {
            let answers = world.all((0..at_once).map(|_| world.post(&url, body.clone()))).await;
            assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
        }
    }
    world.settle().await;
    assert_eq!(world.shown_by_agents(), ["one", "two", "many"]);
    assert_eq!(world.count("message_found"), 0, "repeats are recognised before Botpress is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_of_the_user_in_any_number_of_copies_is_one_event() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    world.says(&ann, "zero").await;
    assert!(world.stack.botpress.repeat_last_message_delivery());
    world.settle().await;
    for (text, at_once) in [("one", 1), ("two", 2), ("many", 32)] {
        let body = created(&world, &ann, text);
        for _ in 0..2 {
            let calls = (0..at_once).map(|_| world.stack.botpress.call_operation("message_created", &body, &[]));
            let answers = world.all(calls).await;
            assert!(answers.iter().all(|answer| answer.as_ref().unwrap().status == 200), "{answers:?}");
        }
    }
    world.settle().await;
    assert_eq!(world.sent_by_customers()[1..], ["zero", "one", "two", "many"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_message_survives_every_trouble_with_botpress() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    for (trouble, fault, names_a_time) in troubles() {
        let (refused_at, since) = (world.now(), world.shown_by_agents().len());
        world.stack.botpress.faults().next(1, "/v1/chat/messages/get-or-create", fault);
        let words = [format!("{trouble} 1"), format!("{trouble} 2")];
        world.answers(ANNA, &words[0]).await;
        world.answers(ANNA, &words[1]).await;
        world.sweep_after(PATIENCE).await;
        assert_eq!(world.shown_by_agents()[since..], words);
        let first = world.entries("message_created", "/payload/text", &words[0]).remove(0);
        assert!(!names_a_time || first.at >= refused_at + PATIENCE, "{trouble}: too early");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_message_survives_every_trouble_with_livechat() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    for (trouble, fault, names_a_time) in troubles() {
        let (refused_at, since) = (world.now(), world.sent_by_customers().len());
        world.stack.livechat.faults().next(1, "customer/action/send_event", fault);
        let words = [format!("{trouble} 1"), format!("{trouble} 2")];
        world.says(&ann, &words[0]).await;
        world.says(&ann, &words[1]).await;
        world.sweep_after(PATIENCE).await;
        assert_eq!(world.sent_by_customers()[since..], words);
        let first = world.entries("event_sent", "/text", &words[0]).remove(0);
        assert!(!names_a_time || first.at >= refused_at + PATIENCE, "{trouble}: too early");
    }
}

/// Refuses the next call for good.
fn refuse(faults: &Faults, call: &str, body: &Value) {
    faults.next(1, call, Fault::answer(400, body.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_vendor_will_never_take_is_put_aside_and_the_next_goes_through() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    let validation = json!({"error": {"type": "validation", "message": "Wrong format of request"}});
    refuse(world.stack.livechat.faults(), "customer/action/send_event", &validation);
    world.says(&ann, "refused by LiveChat").await;
    world.says(&ann, "taken").await;
    world.sweep().await;
    let invalid = Error::new(ErrorType::InvalidPayload, "no").body(world.now());
    refuse(world.stack.botpress.faults(), "/v1/chat/messages/get-or-create", &invalid);
    world.answers(ANNA, "refused by Botpress").await;
    world.answers(ANNA, "shown").await;
    world.sweep().await;
    assert_eq!(
        world.sent_by_customers()[1..],
        ["taken", "[Bot] The last message could not be delivered to the customer."]
    );
    let told = "Your last message could not be delivered to the agent. Please send it in another form.";
    assert_eq!(world.shown_by_agents(), [told, "shown"]);
    let parked: Vec<_> = world.items("parked").iter().map(|item| item["content"].to_string()).collect();
    assert_eq!(parked.len(), 2);
    assert!(parked[0].contains("refused by LiveChat") && parked[1].contains("refused by Botpress"), "{parked:?}");
    let trails = world.items("trail");
    assert_eq!(trails.iter().filter(|trail| trail["outcome"] == "parked").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_first_text_waits_for_no_other() {
    // The first opens a chat, the second resumes it: both answers name the number of the opening.
    let world = World::in_process().await;
    let ann = world.user("Ann").await;
    for text in ["in a new chat", "in a resumed chat"] {
        world.says(&ann, &format!("a question {text}")).await;
        world.escalate(&ann).await.unwrap();
        world.advance(Duration::from_secs(10));
        world.settle().await;
        let written_at = world.now();
        world.answers(ANNA, text).await;
        assert_eq!(world.shown_by_agents().last().map(String::as_str), Some(text));
        assert_eq!(world.now(), written_at, "nothing can come between the opening and {text:?}");
        world.agent_closes(ANNA).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_both_vendors_are_down_everything_is_taken_and_delivered_afterwards_in_order() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let since = world.stack.journal.len();
    let vendors = [(world.stack.livechat.faults(), "POST /v"), (world.stack.botpress.faults(), "POST /v1/chat")];
    for (faults, calls) in vendors {
        faults.always(calls, Fault::answer(503, "down"));
    }
    let words = ["1", "2", "3"];
    for word in words {
        world.says(&ann, word).await;
        world.answers(ANNA, word).await;
        world.sweep_after(Duration::from_secs(60)).await;
    }
    assert!(world.shown_by_agents().is_empty() && world.sent_by_customers().len() == 1);
    for entry in world.stack.journal.since(since) {
        let is_accept = ["webhook_delivered", "operation_called"].contains(&entry.effect);
        assert!(!is_accept || (entry.detail["status"] == 200 && entry.detail["attempt"] == 1), "{entry:?}");
    }
    vendors.iter().for_each(|(faults, _)| faults.clear());
    world.sweep_after(Duration::from_secs(301)).await;
    assert_eq!(world.shown_by_agents(), words);
    assert_eq!(world.sent_by_customers()[1..], words);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_out_of_order_while_the_session_settles_is_shown_in_the_order_it_was_written() {
    let world = World::in_process().await;
    let ann = world.user("Ann").await;
    let escalate = world.stack.botpress.escalate(&ann.conversation_id, Escalation::default());
    world.drive(escalate).await.unwrap();
    let url = world.stack.webhook_url();
    let reports = ["third", "first", "second"].into_iter().zip([3, 1, 2]);
    let bodies = reports.map(|(text, seconds)| world.envelope("incoming_event", message(&world, text, seconds)));
    let posted = bodies.map(|body| world.posted(&url, body.to_string())).collect::<Vec<_>>();
    let is_waiting = |item: &Value| text(item, "source_id").starts_with("event:");
    world.until(|world| world.items("waiting").iter().filter(|item| is_waiting(item)).count() == 3).await;
    for answer in world.all(posted).await {
        assert_eq!(answer.unwrap().0, 200);
    }
    world.settle().await;
    assert_eq!(world.shown_by_agents(), ["first", "second", "third"]);
}
