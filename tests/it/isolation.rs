//! Nothing crosses between chats, and chats of others are not touched.

use std::collections::BTreeSet;
use std::time::Duration;

use sandbox::botpress::Escalation;
use sandbox::faults::Fault;
use serde_json::{Value, json};
use shared::aws;
use shared::clock::Clock;
use shared::store::Table;
use tests::{ANNA, World, message, text};

/// Returns the open chat of the customer with this name.
fn chat_of(world: &World, name: &str) -> String {
    let customers = world.stack.livechat.customers();
    let customer = customers.iter().find(|customer| customer.name.as_deref() == Some(name)).unwrap();
    let chats = world.stack.livechat.open_chats();
    chats.iter().find(|chat| chat.customer_id.as_ref() == Some(&customer.id)).unwrap().id.clone()
}

fn said_in(world: &World, chat_id: &str) -> Vec<String> {
    let thread = world.stack.livechat.thread(chat_id).unwrap();
    thread.events.iter().filter(|event| event.kind == "message").map(|event| event.text().to_owned()).collect()
}

fn shown_to(world: &World, conversation_id: &str) -> Vec<String> {
    let shown = world.entries("shown_to_user", "/conversation_id", conversation_id);
    shown.iter().filter(|entry| entry.text("/from") == "agent").map(|entry| entry.text("/text").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_at_once_see_only_their_own_conversation() {
    let world = World::start().await;
    let (ann, bob) = (world.user("Ann").await, world.user("Bob").await);
    let (first, second) = tokio::join!(world.escalate(&ann), world.escalate(&bob));
    first.unwrap();
    second.unwrap();
    let (anns, bobs) = (chat_of(&world, "Ann"), chat_of(&world, "Bob"));
    for number in 0..3 {
        let botpress = &world.stack.botpress;
        let (from_ann, from_bob) = (format!("Ann {number}"), format!("Bob {number}"));
        world.stack.livechat.agent_sends_text(&anns, ANNA, &format!("to Ann {number}")).unwrap();
        world.stack.livechat.agent_sends_text(&bobs, ANNA, &format!("to Bob {number}")).unwrap();
        let (first, second) = world
            .drive(async {
                tokio::join!(
                    botpress.user_says(&ann.conversation_id, &from_ann),
                    botpress.user_says(&bob.conversation_id, &from_bob),
                )
            })
            .await;
        first.unwrap();
        second.unwrap();
        world.settle().await;
    }
    let numbered = |prefix: &str| (0..3).map(|number| format!("{prefix} {number}")).collect::<Vec<_>>();
    let from = |chat_id: &str, prefix: &str| {
        said_in(&world, chat_id).into_iter().filter(|said| said.starts_with(prefix)).collect::<Vec<_>>()
    };
    assert_eq!((from(&anns, "Ann "), from(&bobs, "Bob ")), (numbered("Ann"), numbered("Bob")));
    assert_eq!(
        (said_in(&world, &anns).len(), said_in(&world, &bobs).len()),
        (7, 7),
        "opening, three, and three answers"
    );
    assert_eq!(shown_to(&world, &ann.conversation_id), numbered("to Ann"));
    assert_eq!(shown_to(&world, &bob.conversation_id), numbered("to Bob"));

    world.stack.livechat.agent_closes(&anns, ANNA).unwrap();
    world.settle().await;
    assert!(!world.stack.botpress.is_escalated(&ann.conversation_id));
    assert!(world.stack.botpress.is_escalated(&bob.conversation_id));
}

/// A process remembers the session of a chat, and a user's next session is in the same chat.
#[tokio::test(flavor = "multi_thread")]
async fn words_of_a_new_session_are_shown_in_it_by_a_process_that_remembers_the_one_before() {
    let world = World::of_instances(1, false).await;
    let ann = world.escalated_user("Ann").await;
    world.answers(ANNA, "one").await;
    world.agent_closes(ANNA).await;
    world.says(&ann, "one more thing").await;
    world.escalate(&ann).await.unwrap();
    let numbers = ["two", "three", "four", "five", "six", "seven", "eight"];
    for number in numbers {
        world.answers(ANNA, number).await;
    }
    assert_eq!(world.shown_by_agents(), [&["one"], numbers.as_slice()].concat());
    let conversations = world.stack.journal.all("conversation_created");
    let [first, second] = conversations.try_into().unwrap();
    let shown_in = |id: &str| world.entries("message_created", "/conversation_id", id).len();
    assert_eq!(shown_in(first.text("/conversation_id")), 1);
    assert_eq!(shown_in(second.text("/conversation_id")), numbers.len());
}

/// The operator has removed a user whose conversation a process remembers.
#[tokio::test(flavor = "multi_thread")]
async fn words_of_an_erased_user_go_nowhere_in_a_process_that_remembers_them() {
    let world = World::of_instances(1, false).await;
    let ann = world.escalated_user("Ann").await;
    world.says(&ann, "hello").await;
    let [session] = world.items("session").try_into().unwrap();
    let (user_id, conversation_id) = (text(&session, "user_id"), text(&session, "conversation_id"));
    let url = world.stack.table.url();
    let (dynamodb, _) = aws::stand_ins(&url, &url).unwrap();
    let table = Table::new(dynamodb, world.stack.table.name().to_owned(), Clock::system());
    table.erase(&user_id.into(), &BTreeSet::new(), world.now(), &mut |_| ()).await.unwrap();
    let (before, items) = (world.sent_by_customers(), world.stack.table.items().unwrap());
    let words = message(conversation_id, "msg_1", "still there?", Some(user_id), world.now());
    let answer = world.drive(world.stack.botpress.call_operation("message_created", &words, &[])).await.unwrap();
    assert!(answer.status >= 400, "{answer:?}");
    assert_eq!((world.sent_by_customers(), world.stack.table.items().unwrap()), (before, items));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_from_the_website_leaves_no_trace() {
    let world = World::in_process_with(&[("ONLY_MY_CHATS", "no")]).await;
    world.escalated_user("Ann").await;
    let ours = world.chat_id();
    let (items, entries) = (world.stack.table.items().unwrap(), world.stack.journal.len());
    let foreign = world.stack.livechat.customer_sends_text_elsewhere("where is my parcel?", "let me see").unwrap();
    world.settle().await;
    world.stack.livechat.agent_closes(&foreign, ANNA).unwrap();
    world.settle().await;
    assert!(world.stack.table.items().unwrap() == items);
    let since = world.stack.journal.since(entries);
    assert!(since.iter().all(|entry| entry.effect != "call_answered" && entry.effect != "shown_to_user"), "{since:?}");
    let reported: Vec<_> = since.iter().filter(|entry| entry.effect == "webhook_delivered").collect();
    assert_eq!(reported.len(), 5, "opened, assigned, joined, answered, closed");
    assert!(reported.iter().all(|entry| entry.detail["status"] == 200));
    assert_eq!(world.chat_id(), ours);
    assert!(!items.iter().any(|item: &Value| text(item, "pk").contains(&foreign)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_an_old_thread_that_comes_again_during_a_start_is_shown_to_nobody() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let (chat_id, thread_id) = world.chat_and_thread();
    world.answers(ANNA, "long ago").await;
    world.agent_closes(ANNA).await;
    // There is a session in between, so the old thread is not the one right before the start.
    world.says(&ann, "again").await;
    world.escalate(&ann).await.unwrap();
    world.agent_closes(ANNA).await;
    world.says(&ann, "and again").await;

    let event = json!({"id": format!("{thread_id}_2"), "type": "message", "text": "long ago", "author_id": ANNA,
        "visibility": "all", "created_at": world.now().to_string()});
    let old = json!({"chat_id": chat_id, "thread_id": thread_id, "event": event});
    world.stack.livechat.faults().next(1, "customer/action/resume_chat", Fault::Delay(Duration::from_secs(2)));
    let escalate = world.stack.botpress.escalate(&ann.conversation_id, Escalation::default());
    let repeated = async {
        world.until(|world| !world.stack.livechat.faults().spoiled().is_empty()).await;
        assert_eq!(world.reports("incoming_event", old).await, 200);
    };
    world.drive(async { tokio::join!(escalate, repeated).0 }).await.unwrap();
    world.settle().await;
    world.catch_up().await;
    assert_eq!(world.shown_by_agents(), ["long ago"]);
}
