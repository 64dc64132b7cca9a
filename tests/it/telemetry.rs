//! What the log contains: one line for each outcome, in documented fields, and nothing of what people wrote or who they are.

use std::collections::BTreeSet;
use std::time::Duration;

use sandbox::faults::Fault;
use serde_json::{Value, json};
use tests::{ANNA, ASK, Log, World};

/// Records everything that this thread logs.
fn log_of_this_thread() -> (Log, impl Sized) {
    let log = Log::default();
    let guard = log.listen("info");
    (log, guard)
}

/// Returns the functions' lines.
fn lines(log: &Log) -> Vec<Value> {
    let text = log.text();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ours = |line: &Value| {
        let target = line["target"].as_str().unwrap();
        ["shared", "actions", "webhooks"].iter().any(|name| target.split("::").next() == Some(name))
    };
    lines.filter(ours).collect()
}

fn said<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["message"] == message).collect()
}

/// Plays a day in the life of a stack. Everything runs on this thread, whose log is examined.
async fn play(world: &World) {
    let ann = world.escalated_user("Annabel").await;
    world.says(&ann, "canary-of-the-user").await;
    world.answers(ANNA, "canary-of-the-agent").await;
    let refused = json!({ "error": { "type": "validation", "message": "no" } });
    world.stack.livechat.faults().next(1, "customer/action/send_event", Fault::answer(422, refused.to_string()));
    world.says(&ann, "canary-never").await;
    world.stack.livechat.faults().next(1, "customer/action/send_event", Fault::answer(503, ""));
    world.says(&ann, "canary-twice").await;
    // A message that LiveChat itself did not answer is not sent again while it may still arrive.
    world.sweep_after(Duration::from_secs(20)).await;
    world.user_ends(&ann).await;
    let user = world.handed_over_user().await;
    world.widget_says(&user, "canary-of-the-widget").await;
    world.answers(ANNA, "canary-for-the-widget").await;
    world.widget_says(&user, ASK).await;
    world.stack.livechat.set_agent_token_valid(false);
    world.agent_closes(ANNA).await;
    let nobody = world.stack.integration_url().replace("key", "wrong");
    world.posted(&nobody, "{}").await.unwrap();
    world.sweep().await;
}

#[tokio::test]
async fn each_outcome_is_one_line_with_ids() {
    let (log, _guard) = log_of_this_thread();
    let world = World::in_process().await;
    play(&world).await;
    let lines = lines(&log);
    let trails = world.items("trail");
    let finished = said(&lines, "an item has left its lane");
    let parked = said(&lines, "an item cannot be delivered and is parked");
    let outcomes = trails.iter().filter(|trail| trail["outcome"].is_string()).count();
    assert_eq!((finished.len() + parked.len(), parked.len()), (outcomes, 1), "{lines:#?}");
    let sessions = world.items("session");
    let known: BTreeSet<_> = sessions.iter().map(|session| &session["session_id"]).map(Value::to_string).collect();
    for line in &finished {
        assert!(known.contains(&line["session.id"].to_string()), "{line}");
        assert!(line["source.id"].is_string() && line["lane"].is_string() && line["delay_ms"].is_number(), "{line}");
    }
    assert_eq!(finished.iter().filter(|line| line["attempts"] == 2.0).count(), 1, "one was tried twice");
    assert_eq!((said(&lines, "a session is active").len(), said(&lines, "a session is over").len()), (2, 2));
    let operations = world.entries("operation_called", "/operation", "message_created").len();
    let answered = said(&lines, "an operation was answered");
    let messages = answered.iter().filter(|line| line["botpress.operation"] == "message_created");
    assert_eq!(messages.count(), operations);
    let webhooks = world.stack.journal.all("webhook_delivered").len();
    assert_eq!(said(&lines, "a webhook was answered").len(), webhooks);
    let calls = world.stack.journal.all("webhook_called").len();
    assert_eq!(said(&lines, "a call of Botcopy was answered").len(), calls);
    assert_eq!(said(&lines, "the sweep is done").len(), 1, "the other one of two finds nothing due");
    assert_eq!(said(&lines, "a call was turned away").len(), 1);
}

#[tokio::test]
async fn every_field_is_documented_and_none_tells_what_was_said_or_who_somebody_is() {
    let (log, _guard) = log_of_this_thread();
    let world = World::in_process().await;
    play(&world).await;
    let documented = include_str!("../../docs/operations.md");
    let secrets = world.stack.secret();
    let lines = lines(&log);
    assert!(lines.len() > 30);
    for line in &lines {
        for field in line.as_object().unwrap().keys() {
            assert!(documented.contains(&format!("`{field}`")), "{field} of {line} is not in docs/operations.md");
        }
        let text = line.to_string();
        for never in ["canary", "Annabel", "@"] {
            assert!(!text.contains(never), "{never}: {text}");
        }
        for secret in secrets.as_object().unwrap().values().filter_map(Value::as_str) {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn a_vendors_id_that_does_not_look_like_one_is_not_logged() {
    let (log, _guard) = log_of_this_thread();
    let world = World::in_process().await;
    let user = world.user("Ann").await;
    let wordy = |pointer: &'static str| {
        Fault::garble(move |body| {
            let mut answer: Value = serde_json::from_slice(&body).unwrap();
            *answer.pointer_mut(pointer).unwrap() = json!("words of a canary");
            answer.to_string().into_bytes()
        })
    };
    world.stack.livechat.faults().next(1, "customer/action/start_chat", wordy("/thread_id"));
    world.stack.botpress.faults().next(1, "conversations/get-or-create", wordy("/conversation/id"));
    drop(world.escalate(&user).await);
    let lines = lines(&log);
    let active = said(&lines, "a session is active");
    assert_eq!(active.len(), 1, "{lines:#?}");
    assert_eq!(
        (&active[0]["thread.id"], &active[0]["conversation.id"]),
        (&json!("(not an id)"), &json!("(not an id)"))
    );
    assert!(lines.iter().all(|line| !line.to_string().contains("canary")), "{lines:#?}");
}
