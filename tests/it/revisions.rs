//! Messages that agents change or delete after they have written them.

use std::time::Duration;

use sandbox::faults::Fault;
use serde_json::{Value, json};
use tests::{ANNA, World, message as remark};

use crate::events::{message, with};

const GONE: &str = "The agent has deleted an earlier message.";

/// The agent writes in the only open chat. Returns the event's id.
async fn writes(world: &World, text: &str) -> String {
    let event_id = world.stack.livechat.agent_sends_text(&world.chat_id(), ANNA, text).unwrap();
    world.settle().await;
    event_id
}

async fn edits(world: &World, event_id: &str, text: &str) {
    world.stack.livechat.agent_edits(&world.chat_id(), event_id, text).unwrap();
    world.settle().await;
}

async fn deletes(world: &World, event_id: &str) {
    world.stack.livechat.agent_deletes(&world.chat_id(), ANNA, event_id).unwrap();
    world.settle().await;
}

fn no_webhooks(world: &World) {
    world.stack.gateway_faults.always("POST /livechat", Fault::answer(200, "swallowed"));
}

fn deletion(report: &Value) -> Value {
    with(report, json!({"event": null, "event_id": report["event"]["id"]}))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_of_a_message_is_shown_once_the_later_ones_as_corrections() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let event_id = writes(&world, "teh").await;
    for (text, expected) in [
        ("the", Some("Correction: the")),
        ("the", None),
        ("them", Some("Correction: them")),
        ("teh", Some("Correction: teh")),
        (" ", None),
    ] {
        let before = world.shown_by_agents().len();
        edits(&world, &event_id, text).await;
        for _ in 0..2 {
            assert!(world.stack.livechat.deliver_again("event_updated"));
            world.settle().await;
        }
        assert_eq!(world.shown_by_agents().split_off(before), Vec::from_iter(expected), "{text}");
    }
    let shown = world.entries("shown_to_user", "/from", "agent");
    assert!(shown.iter().all(|entry| entry.text("/name") == "Anna"));
    world.catch_up().await;
    assert_eq!(world.shown_by_agents().len(), 4, "reading the thread brings nothing back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_what_is_not_shown_is_no_correction() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let card = |user_ids: Value| {
        let button =
            json!({"text": "Yes", "type": "message", "value": "yes", "postback_id": "p", "user_ids": user_ids});
        json!({"type": "rich_message", "text": null, "template_id": "quick_replies",
            "elements": [{"title": "Well?", "buttons": [button]}]})
    };
    world.reports("incoming_event", message(&world, 0, card(json!([])))).await;
    world.reports("event_updated", message(&world, 0, card(json!(["somebody"])))).await;
    let delivered = json!({"properties": {"status": {"delivered": true}}});
    world.reports("event_updated", message(&world, 0, with(&card(json!([])), delivered))).await;
    assert_eq!(world.shown_by_agents(), ["**Well?**\n- Yes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_while_it_waited_is_shown_as_it_is_now() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.stack.botpress.faults().always("messages/get-or-create", Fault::answer(503, ""));
    let (kept, gone) = (writes(&world, "teh").await, writes(&world, "oops").await);
    edits(&world, &kept, "thee").await;
    edits(&world, &kept, "the").await;
    deletes(&world, &gone).await;
    assert!(world.shown_by_agents().is_empty());
    world.stack.botpress.faults().clear();
    world.catch_up().await;
    assert_eq!(world.shown_by_agents(), ["the"]);
    edits(&world, &kept, "thy").await;
    assert_eq!(world.shown_by_agents(), ["the", "Correction: thy"]);
    assert_eq!(world.items("waiting").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_shown_before_it_was_changed_is_corrected() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.stack.botpress.faults().next(1, "messages/get-or-create", Fault::LoseAnswer);
    world.stack.botpress.faults().always("messages/get-or-create", Fault::answer(503, ""));
    let event_id = writes(&world, "teh").await;
    assert_eq!(world.shown_by_agents(), ["teh"]);
    edits(&world, &event_id, "the").await;
    world.stack.botpress.faults().clear();
    world.catch_up().await;
    assert_eq!(world.shown_by_agents(), ["teh", "Correction: the"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_or_deletion_that_overtakes_its_message_takes_its_place() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let (first, second) = (message(&world, 0, json!({"text": "teh"})), message(&world, 1, json!({"text": "oops"})));
    world.reports("event_updated", message(&world, 0, json!({"text": "the"}))).await;
    world.reports("event_deleted", deletion(&second)).await;
    for report in [first, second] {
        world.reports("incoming_event", report).await;
    }
    assert_eq!(world.shown_by_agents(), ["the"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_told_once_and_only_of_what_was_shown() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let livechat = &world.stack.livechat;
    let chat_id = world.chat_id();
    let note = livechat.agent_sends_private_note(&chat_id, ANNA, "be kind").unwrap();
    world.says(&ann, "hello?").await;
    let own = livechat.thread(&chat_id).unwrap().events.last().unwrap().id.clone();
    let event_id = writes(&world, "oops").await;
    for (event_id, expected) in [(&note, 0), (&own, 0), (&event_id, 1), (&event_id, 1)] {
        deletes(&world, event_id).await;
        assert!(livechat.deliver_again("event_deleted"));
        world.settle().await;
        let told = world.shown_by_agents().into_iter().filter(|text| text == GONE).count();
        assert_eq!(told, expected, "{event_id}");
    }
    assert_eq!(world.shown_by_agents(), ["oops", GONE]);
    world.catch_up().await;
    assert_eq!(world.shown_by_agents(), ["oops", GONE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_no_webhook_brought_is_found_in_the_thread() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let event_id = writes(&world, "oops").await;
    no_webhooks(&world);
    deletes(&world, &event_id).await;
    let never_shown = writes(&world, "nor this").await;
    deletes(&world, &never_shown).await;
    world.stack.gateway_faults.clear();
    world.catch_up().await;
    assert_eq!(world.shown_by_agents(), ["oops", GONE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_says_it_in_its_own_words_or_not_at_all() {
    let own = r#"{"correction":"I meant {text}","deletion":"Forget that."}"#;
    let silent = r#"{"correction":"","deletion":"","note":""}"#;
    for (wording, expected, notes) in [(own, vec!["teh", "I meant the", "Forget that."], 1), (silent, vec!["teh"], 0)] {
        let world = World::with(&[("WORDING", wording)]).await;
        let ann = world.escalated_user("Ann").await;
        let event_id = writes(&world, "teh").await;
        edits(&world, &event_id, "the").await;
        deletes(&world, &event_id).await;
        assert_eq!(world.shown_by_agents(), expected);
        let downstream = world.stack.botpress.downstream(&ann.conversation_id).unwrap();
        let remark = remark(&downstream, "msg_remark", "( away )", None, world.now());
        assert_eq!(world.operate("message_created", &remark).await.status, 200);
        let remarks = world.sent_by_customers().into_iter().filter(|text| text == "[Bot] ( away )").count();
        assert_eq!(remarks, notes, "what the plugin remarks by itself");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_end_nothing_is_corrected_any_more() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let event_id = writes(&world, "teh").await;
    let chat_id = world.chat_id();
    world.agent_closes(ANNA).await;
    world.stack.livechat.agent_edits(&chat_id, &event_id, "the").unwrap();
    world.stack.livechat.agent_deletes(&chat_id, ANNA, &event_id).unwrap();
    world.settle().await;
    world.sweep_after(Duration::from_secs(61)).await;
    assert_eq!((world.shown_by_agents(), world.count("dropped")), (vec!["teh".to_owned()], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_goes_to_and_fro_ends_as_it_ends() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let event_id = writes(&world, "at six").await;
    let mut expected = vec!["at six".to_owned()];
    for text in ["at seven", "at six", "at seven", "at six", "at seven"] {
        edits(&world, &event_id, text).await;
        expected.push(format!("Correction: {text}"));
        assert_eq!(world.shown_by_agents(), expected);
        // Each webhook may come again, at once or later.
        assert!(world.stack.livechat.deliver_again("event_updated"));
        world.settle().await;
        assert_eq!(world.shown_by_agents(), expected, "a repeat");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_widget_shows_the_last_of_many_changes_too() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    let event_id = writes(&world, "at six").await;
    for text in ["at seven", "at six", "at seven"] {
        edits(&world, &event_id, text).await;
        assert!(world.stack.livechat.deliver_again("event_updated"));
        world.settle().await;
    }
    let shown = ["at six", "Correction: at seven", "Correction: at six", "Correction: at seven"];
    assert_eq!(world.widget_shows(&user, "agent"), shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_version_that_is_reported_late_does_not_come_back() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let event_id = writes(&world, "one").await;
    // The webhook of the first change gets through only with a retry, after the second change.
    world.stack.gateway_faults.next(1, "POST /livechat", Fault::answer(503, ""));
    world.stack.livechat.agent_edits(&world.chat_id(), &event_id, "two").unwrap();
    world.until(|world| !world.stack.gateway_faults.spoiled().is_empty()).await;
    world.stack.livechat.agent_edits(&world.chat_id(), &event_id, "three").unwrap();
    world.settle().await;
    for _ in 0..5 {
        world.advance(Duration::from_secs(20));
        world.settle().await;
    }
    let reports = world.entries("webhook_delivered", "/action", "event_updated");
    assert_eq!(reports.iter().filter(|report| report.detail["status"] == 200).count(), 2);
    assert_eq!(world.shown_by_agents(), ["one", "Correction: three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_to_and_fro_while_it_waits_is_shown_as_it_ends() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.stack.botpress.faults().always("messages/get-or-create", Fault::answer(503, ""));
    let event_id = writes(&world, "at six").await;
    for text in ["at seven", "at six", "at seven"] {
        edits(&world, &event_id, text).await;
    }
    world.stack.botpress.faults().clear();
    world.catch_up().await;
    assert_eq!(world.shown_by_agents(), ["at seven"]);
    edits(&world, &event_id, "at six").await;
    assert_eq!(world.shown_by_agents(), ["at seven", "Correction: at six"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reports_of_a_change_at_once_show_it_once() {
    let world = World::of_instances(4, false).await;
    world.escalated_user("Ann").await;
    let event_id = writes(&world, "one").await;
    for text in ["two", "one", "two"] {
        edits(&world, &event_id, text).await;
        let (chat_id, thread_id) = world.chat_and_thread();
        let event = json!({"id": event_id, "type": "message", "text": text, "author_id": ANNA, "visibility": "all",
            "created_at": world.now().to_string()});
        let report = json!({"chat_id": chat_id, "thread_id": thread_id, "event": event});
        let answers = world.all((0..24).map(|_| world.reports("event_updated", report.clone()))).await;
        assert!(answers.iter().all(|status| *status == 200));
        world.settle().await;
    }
    world.catch_up().await;
    assert_eq!(world.shown_by_agents(), ["one", "Correction: two", "Correction: one", "Correction: two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_cannot_be_read_keeps_no_change_and_no_later_word_back() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let event_id = writes(&world, "teh").await;
    world.stack.livechat.faults().always("agent/action/get_chat", Fault::answer(503, ""));
    edits(&world, &event_id, "the").await;
    world.answers(ANNA, "anything else?").await;
    world.sweep_after(Duration::from_secs(20)).await;
    world.stack.livechat.faults().clear();
    world.catch_up().await;
    assert_eq!(world.shown_by_agents(), ["teh", "Correction: the", "anything else?"]);
}
