//! A success that cannot be read does not show what was done: the outcome is looked up, then the call is repeated or counts as done.

use std::time::Duration;

use sandbox::faults::Fault;
use serde_json::json;
use tests::{ANNA, ASK, World, text};

const MINUTE: Duration = Duration::from_secs(60);
const PAGE: &str = "<!doctype html><title>Be right back</title>";
const MEGABYTE: usize = 1 << 20;

/// Every kind of answer that does not show what a vendor has done, and whether it has done what it was asked for.
fn odd_successes() -> Vec<(&'static str, Fault, bool)> {
    let half = |body: Vec<u8>| body[..body.len() / 2].to_vec();
    let headers = [("location".to_owned(), "https://login.example.com/".to_owned())].into();
    vec![
        ("a page, done", Fault::garble(|_| PAGE.into()), true),
        ("half a body, done", Fault::garble(half), true),
        ("another shape, done", Fault::garble(|_| b"[]".to_vec()), true),
        ("too long, done", Fault::garble(|_| vec![b' '; 5 * MEGABYTE]), true),
        ("a page, not done", Fault::answer(200, PAGE), false),
        ("half a body, not done", Fault::answer(200, r#"{"event_id": "Q"#), false),
        ("another shape, not done", Fault::answer(200, r#"["ok"]"#), false),
        ("a page elsewhere", Fault::Answer { status: 302, headers, body: PAGE.to_owned() }, false),
        ("a page that forbids", Fault::answer(403, PAGE), false),
        ("a page that finds nothing", Fault::answer(404, PAGE), false),
    ]
}

fn assert_nothing_is_left(world: &World, what: &str) {
    let left = [world.items("waiting"), world.items("parked")].concat();
    assert!(left.is_empty(), "{what}: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_words_are_neither_lost_nor_doubled_by_an_odd_success() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    for (what, fault, _) in odd_successes() {
        let since = world.sent_by_customers().len();
        world.stack.livechat.faults().next(1, "customer/action/send_event", fault);
        let words = [format!("{what} 1"), format!("{what} 2")];
        world.says(&ann, &words[0]).await;
        world.says(&ann, &words[1]).await;
        world.catch_up().await;
        assert_eq!(world.sent_by_customers()[since..], words, "{what}");
        assert_nothing_is_left(&world, what);
    }
    assert!(world.shown_by_agents().is_empty(), "nobody is told that something was not delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_words_are_neither_lost_nor_doubled_by_an_odd_success() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    for (what, fault, _) in odd_successes() {
        let since = world.shown_by_agents().len();
        world.stack.botpress.faults().next(1, "/v1/chat/messages/get-or-create", fault);
        let words = [format!("{what} 1"), format!("{what} 2")];
        world.answers(ANNA, &words[0]).await;
        world.answers(ANNA, &words[1]).await;
        world.catch_up().await;
        assert_eq!(world.shown_by_agents()[since..], words, "{what}");
        assert_nothing_is_left(&world, what);
    }
    assert_eq!(world.sent_by_customers().len(), 1, "no agent is told that something was not delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_was_not_shown_is_repeated_and_one_that_was_is_not_lost() {
    for (what, fault, is_done) in odd_successes() {
        // A 403 from Botcopy is about the key, whatever the body; and a list is as good an answer as any.
        if ["a page that forbids", "a page that finds nothing", "another shape, not done"].contains(&what) {
            continue;
        }
        let world = World::in_process().await;
        let user = world.handed_over_user().await;
        world.answers(ANNA, "zero").await;
        world.stack.botcopy.faults().next(1, "push", fault);
        world.answers(ANNA, "one").await;
        world.answers(ANNA, "two").await;
        world.catch_up().await;
        let mut shown = world.widget_shows(&user, "agent");
        if is_done {
            shown.dedup();
        }
        assert_eq!(shown, ["zero", "one", "two"], "{what}");
        assert_nothing_is_left(&world, what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_opened_once_whatever_call_of_its_start_is_answered_oddly() {
    let livechat =
        ["v2/customer/token", "update_customer", "list_group_statuses", "start_chat", "resume_chat", "get_chat"];
    let botpress = ["users/get-or-create", "conversations/get-or-create"];
    let calls = livechat.into_iter().map(|call| (call, true)).chain(botpress.into_iter().map(|call| (call, false)));
    for (call, is_livechat) in calls {
        let world = World::in_process().await;
        for (number, (what, fault, _)) in odd_successes().into_iter().enumerate() {
            let user = world.user(&format!("User{number}")).await;
            if call == "resume_chat" {
                world.escalate(&user).await.unwrap();
                world.user_ends(&user).await;
                world.says(&user, "one more thing").await;
            }
            let (chats, opened) = (world.stack.livechat.chats().len(), world.sent_by_customers().len());
            let faults = if is_livechat { world.stack.livechat.faults() } else { world.stack.botpress.faults() };
            faults.next(1, call, fault);
            // Botpress retries where that may help; then the user asks again.
            if world.escalate(&user).await.is_err() {
                world.catch_up().await;
                world.escalate(&user).await.unwrap_or_else(|error| panic!("{call}, {what}: {error}"));
            }
            let expected = if call == "resume_chat" { chats } else { chats + 1 };
            assert_eq!(world.stack.livechat.chats().len(), expected, "{call}, {what}");
            assert!(world.sent_by_customers().len() > opened, "{call}, {what}: the agent sees the opening");
            world.answers(ANNA, what).await;
            assert_eq!(world.shown_by_agents().last().unwrap(), what, "{call}, {what}");
            world.user_ends(&user).await;
            world.catch_up().await;
            assert!(world.stack.livechat.open_chats().is_empty(), "{call}, {what}");
            assert_nothing_is_left(&world, &format!("{call}, {what}"));
            faults.clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_hear_of_an_end_whatever_they_answer() {
    let world = World::in_process().await;
    for (number, (what, fault, _)) in odd_successes().into_iter().enumerate() {
        let ann = world.escalated_user(&format!("Ann{number}")).await;
        world.stack.botpress.faults().next(1, "/v1/chat/events", fault.clone());
        world.agent_closes(ANNA).await;
        world.catch_up().await;
        assert!(!world.stack.botpress.is_escalated(&ann.conversation_id), "{what}");

        let bob = world.escalated_user(&format!("Bob{number}")).await;
        world.stack.livechat.faults().next(1, "agent/action/deactivate_chat", fault);
        world.user_ends(&bob).await;
        world.catch_up().await;
        assert!(world.stack.livechat.open_chats().is_empty(), "{what}");
        assert_nothing_is_left(&world, what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_stored_and_shown_whatever_the_upload_is_answered() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let url = world.stack.botpress.stores_file("cat.png", "image/png", b"meow".to_vec());
    for (number, (what, fault, _)) in odd_successes().into_iter().enumerate() {
        world.stack.livechat.faults().next(1, "upload_file", fault);
        world.shows(&ann, "image", json!({"imageUrl": url, "title": "Cat"})).await;
        world.catch_up().await;
        assert_eq!(world.entries("event_sent", "/type", "file").len(), number + 1, "{what}");
        assert_nothing_is_left(&world, what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_answered_for_ever_is_an_outage() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let widget_user = world.widget_user().await;
    for page in [Fault::answer(200, PAGE), Fault::answer(404, PAGE)] {
        let (sent, shown) = (world.sent_by_customers().len(), world.shown_by_agents().len());
        for faults in [world.stack.livechat.faults(), world.stack.botpress.faults()] {
            faults.always("POST /v", page.clone());
            faults.always("GET /v", page.clone());
        }
        world.says(&ann, "one").await;
        world.says(&ann, "two").await;
        world.answers(ANNA, "three").await;
        world.answers(ANNA, "four").await;
        for _ in 0..8 {
            world.sweep_after(MINUTE).await;
        }
        assert!(world.items("parked").is_empty());
        world.stack.livechat.faults().clear();
        world.stack.botpress.faults().clear();
        world.catch_up().await;
        assert_eq!(world.sent_by_customers()[sent..], ["one", "two"]);
        assert_eq!(world.shown_by_agents()[shown..], ["three", "four"]);
    }
    world.user_ends(&ann).await;
    world.widget_says(&widget_user, ASK).await;
    world.answers(ANNA, "zero").await;
    world.stack.botcopy.faults().always("push", Fault::answer(200, PAGE));
    world.answers(ANNA, "one").await;
    world.agent_closes(ANNA).await;
    for _ in 0..8 {
        world.sweep_after(MINUTE).await;
    }
    assert!(world.items("parked").is_empty());
    world.stack.botcopy.faults().clear();
    world.catch_up().await;
    assert_eq!(world.widget_shows(&widget_user, "agent"), ["zero", "one"]);
    assert!(!world.stack.botcopy.is_paused(&widget_user));
    assert_nothing_is_left(&world, "afterwards");
}

/// An attempt that is answered with a page leaves the outcome unknown, even if a later attempt is refused.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_a_parked_items_outcome_is_kept() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let refused = json!({"error": {"type": "validation", "message": "no"}}).to_string();
    for (outcome, first) in [(true, Some(Fault::answer(200, PAGE))), (false, None)] {
        let faults = world.stack.livechat.faults();
        if let Some(first) = first {
            faults.next(1, "customer/action/send_event", first);
        }
        faults.next(1, "customer/action/send_event", Fault::answer(422, refused.clone()));
        world.says(&ann, "hello?").await;
        world.catch_up().await;
        let parked = world.items("parked").pop().unwrap();
        assert_eq!(parked["outcome_unknown"], outcome, "{parked}");
        assert_eq!(text(&parked, "cause"), "LiveChat refused send_event: validation, status 422");
        world.change_item(&parked, "SET entity = :seen", json!({":seen": {"S": "seen"}})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_update_leaves_of_a_deleted_item_counts_as_absent() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.says(&ann, "hello").await;
    world.settle().await;
    let (chat_id, thread_id) = world.chat_and_thread();
    let conversation_id = world.stack.journal.all("conversation_created").remove(0).text("/conversation_id").to_owned();
    // As if each had expired and an update came late.
    for entity in ["user", "session", "conversation", "chat", "trail"] {
        let items = world.items(entity);
        assert!(!items.is_empty(), "{entity}");
        for item in items {
            world.remove_item(&item).await;
            world.change_item(&item, "SET late = :yes", json!({ ":yes": { "BOOL": true } })).await;
        }
    }
    for conversation_id in [conversation_id.as_str(), "unknown"] {
        let body = tests::message(conversation_id, "msg_late", "anybody?", None, world.now());
        let answer = world.operate("message_created", &body).await;
        assert!(answer.status < 500, "{conversation_id}: {}", answer.body);
        let stop = json!({ "type": "stopHitl", "input": { "conversationId": conversation_id } });
        assert_eq!(world.operate("action_triggered", &stop).await.status, 200);
    }
    let closing = json!({ "chat_id": chat_id, "thread_id": thread_id });
    assert_eq!(world.reports("chat_deactivated", closing).await, 200);
}
