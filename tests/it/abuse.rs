//! Too much of everything: calls, bytes, and time.

use sandbox::faults::Fault;
use serde_json::{Value, json};
use tests::{ANNA, World};

const MEGABYTE: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_starts_of_one_user_opens_one_chat() {
    let world = World::of_instances(3, false).await;
    let made = world.act("createUser", json!({"name": "Eve", "email": "eve@example.com"})).await.json();
    let user_id = made.pointer("/output/userId").and_then(Value::as_str).unwrap();
    let mut conversations = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let start = json!({"type": "startHitl", "input": {"userId": user_id, "messageHistory": []}});
        let flood = (0..50).map(|_| world.stack.botpress.call_operation("action_triggered", &start, &[]));
        for answer in world.all(flood).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.body);
            conversations.insert(answer.json()["output"]["conversationId"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!((world.count("chat_started"), world.count("chat_resumed"), world.count("chat_deactivated")), (1, 0, 0));
    assert_eq!(world.count("conversation_created"), conversations.len());
    world.catch_up().await;
    assert_eq!(world.bot_events("hitlStopped").len(), conversations.len() - 1, "only the newest is still handed over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_before_anything_is_done_with_it() {
    let world = World::of_instances(1, true).await;
    let stack = &world.stack;
    let calls = || stack.table_proxy.as_ref().unwrap().calls().values().sum::<usize>();
    let (journal, calls_before) = (stack.journal.len(), calls());
    for (url, largest) in [
        (stack.integration_url(), 2 * MEGABYTE),
        (stack.botcopy_url(), 6 * MEGABYTE),
        (stack.webhook_url(), 256 * 1024),
    ] {
        let (status, body) = world.post(&url, "x".repeat(largest + 1)).await;
        assert!(
            status == 413 && body.contains("too large") | body.contains("larger than this integration"),
            "{url}: {body}"
        );
        let (status, _) = world.post(&url, "x".repeat(largest)).await;
        assert!([400, 401].contains(&status), "{url}: {status}");
        assert_eq!(world.post(&url, "x".repeat(10 * MEGABYTE + 1)).await.0, 413, "the gateway's own limit");
    }
    assert_eq!(stack.journal.len(), journal);
    // A refused call in Botpress's name is noted once: one read to see whether there is a note, and one write.
    assert_eq!(calls() - calls_before, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_answers_a_hundred_megabytes_is_cut_off_and_holds_up_nothing() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let huge = Fault::garble(|_| vec![b' '; 100 * MEGABYTE]);
    world.stack.botpress.faults().next(1, "/v1/chat/messages/get-or-create", huge);
    world.answers(ANNA, "hello").await;
    assert_eq!(world.stack.botpress.faults().spoiled().len(), 1, "the huge answer was given");
    assert!(world.items("parked").is_empty(), "whether the message has arrived is looked up");
    world.answers(ANNA, "again").await;
    assert_eq!(world.shown_by_agents(), ["hello", "again"]);
}
