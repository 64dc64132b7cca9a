//! The lanes as the table stores them: what is left behind, who may deliver, and from when.

use std::time::Duration;

use sandbox::botpress::Escalation;
use sandbox::faults::Fault;
use sandbox::table_proxy::{
    throughput_exceeded, transaction_invalid, transaction_over_throughput, transaction_throttled,
};
use serde_json::{Value, json};
use tests::{ANNA, World, text};

/// Returns the two lanes themselves, without the items that wait in them.
fn lanes(world: &World) -> Vec<Value> {
    let lanes = world.items_under("LANE#").into_iter();
    lanes.filter(|item| ["LANE#to_agent", "LANE#to_bot"].contains(&text(item, "sk"))).collect()
}

/// Opens a session with one message of the agent that Botpress does not accept before 20 seconds have passed.
async fn with_a_waiting_message(world: &World) {
    world.escalated_user("Ann").await;
    let headers = [("retry-after".to_owned(), "20".to_owned())].into();
    let later = Fault::Answer { status: 429, headers, body: String::new() };
    world.stack.botpress.faults().next(1, "/v1/chat/messages/get-or-create", later);
    world.answers(ANNA, "one").await;
    assert_eq!((world.items("waiting").len(), world.shown_by_agents().len()), (1, 0));
}

/// A process was frozen or had to wait for the table. Its deadline has passed, and so has the time before which the vendor wanted no call.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_comes_to_its_lane_after_its_deadline_leaves_it_to_the_sweep() {
    let world = World::with_table_proxy(&[]).await;
    with_a_waiting_message(&world).await;
    world.advance(Duration::from_secs(25));
    let table = world.stack.table_proxy.as_ref().unwrap();
    table.faults().next(1, ".Query", Fault::Delay(Duration::from_secs(60)));
    let before = table.calls();
    world.answers(ANNA, "two").await;
    let queries = |calls: &std::collections::BTreeMap<String, usize>| calls.get("Query").copied().unwrap_or_default();
    assert!(queries(&table.calls()) - queries(&before) <= 2, "the lane is not read again and again");
    assert!(world.shown_by_agents().is_empty());
    world.sweep_after(Duration::from_secs(60)).await;
    assert_eq!(world.shown_by_agents(), ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_leaves_a_trail_without_words() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    world.says(&ann, "my password is canary-1").await;
    world.answers(ANNA, "please not canary-2").await;
    world.user_ends(&ann).await;

    assert!(world.items("waiting").is_empty() && world.items("parked").is_empty());
    let everything = json!(world.stack.table.items().unwrap()).to_string();
    for words in ["canary-1", "canary-2", "hello", "has ended the session"] {
        assert!(!everything.contains(words), "{words} is still in the table");
    }
    let said = world.entries("event_sent", "/text", "my password is canary-1").remove(0);
    let shown = world.entries("message_created", "/payload/text", "please not canary-2").remove(0);
    for (lane, vendor_id) in [("to_agent", said.text("/event_id")), ("to_bot", shown.text("/message_id"))] {
        let trails = world.items_under(&format!("TRAIL#{lane}#"));
        let trail = trails.iter().find(|trail| text(trail, "vendor_id") == vendor_id).unwrap();
        assert_eq!((text(trail, "outcome"), trail["attempts"].as_u64()), ("delivered", Some(1)));
        assert!(text(trail, "sk").ends_with(text(trail, "source_id")) && !text(trail, "source_id").is_empty());
        assert!(text(trail, "received_at") <= text(trail, "finished_at") && !text(trail, "received_at").is_empty());
        assert!(trail["expires_at"].as_i64() > Some(world.now().unix_seconds()));
    }
    assert!(world.items("trail").iter().all(|trail| !text(trail, "finished_at").is_empty()));
    let ends = |item: &Value| item["expires_at"].as_i64() > Some(world.now().unix_seconds());
    assert!(lanes(&world).len() == 2 && lanes(&world).iter().all(ends), "the lanes' own records disappear as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_lane_belongs_to_nobody_and_is_not_due() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    world.says(&ann, "one").await;
    world.answers(ANNA, "two").await;
    assert_eq!(lanes(&world).len(), 2);
    for lane in lanes(&world) {
        for field in ["lease_holder", "lease_until", "not_before", "due_at", "due_shard"] {
            assert!(lane.get(field).is_none(), "{field} of {lane}");
        }
    }
    let swept = world.drive(world.stack.sweep()).await.unwrap();
    assert_eq!(swept, json!({"due": 0, "done": 0}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_does_before_the_plugin_is_ready_is_held_and_not_dropped() {
    let world = World::with_activation_delay(Duration::from_secs(2)).await;
    let ann = world.user("Ann").await;
    let escalate = world.stack.botpress.escalate(&ann.conversation_id, Escalation::default());
    let writes = async {
        world.until(|world| world.count("conversation_created") > 0).await;
        world.stack.livechat.agent_sends_text(&world.chat_id(), ANNA, "already here").unwrap();
    };
    world.drive(async { tokio::join!(escalate, writes).0 }).await.unwrap();
    world.settle().await;
    // The sweep delivers what an invocation has no time left to hold.
    world.sweep_after(Duration::from_secs(10)).await;
    let started = world.stack.journal.all("hitl_started").remove(0);
    let written = world.entries("event_sent", "/text", "already here").remove(0);
    assert!(written.number < started.number, "the agent was faster than the plugin");
    assert_eq!(world.count("dropped"), 0);
    assert_eq!((world.bot_events("hitlAssigned").len(), world.shown_by_agents()), (1, vec!["already here".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lane_of_an_invocation_that_died_is_taken_over_when_its_lease_has_ended_and_not_before() {
    let world = World::in_process().await;
    with_a_waiting_message(&world).await;
    let lane = lanes(&world).into_iter().find(|lane| text(lane, "sk") == "LANE#to_bot").unwrap();
    let lease_end = world.now() + Duration::from_secs(30);
    let dead = json!({":holder": {"S": "dead"}, ":until": {"S": lease_end.to_string()}});
    let expression = "SET lease_holder = :holder, lease_until = :until, due_at = :until REMOVE not_before";
    world.change_item(&lane, expression, dead).await;

    world.answers(ANNA, "two").await;
    for seconds in [0, 14] {
        world.sweep_after(Duration::from_secs(seconds)).await;
        assert!(world.shown_by_agents().is_empty(), "somebody may still be at it");
    }
    // A sweep that comes shortly before the end of the lease waits for it.
    world.sweep_after(Duration::from_secs(6)).await;
    assert_eq!(world.shown_by_agents(), ["one", "two"]);
    let first = world.entries("message_created", "/payload/text", "one").remove(0);
    assert!(first.at >= lease_end, "somebody may still have been at it");
    assert!(world.items("waiting").is_empty());
    world.answers(ANNA, "three").await;
    assert_eq!(world.shown_by_agents(), ["one", "two", "three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_cannot_be_read_is_parked_and_holds_nothing_up() {
    let world = World::in_process().await;
    with_a_waiting_message(&world).await;
    let item = world.items("waiting").remove(0);
    let unknown = json!({":unknown": {"M": {"kind": {"S": "hologram"}, "text": {"S": "from a newer version"}}}});
    world.change_item(&item, "SET content = :unknown", unknown).await;
    world.answers(ANNA, "two").await;
    world.sweep_after(Duration::from_secs(60)).await;
    assert_eq!(world.shown_by_agents(), ["two"]);
    let parked = world.items("parked").remove(0);
    assert_eq!((&parked["content"]["kind"], &parked["source_id"]), (&json!("hologram"), &item["source_id"]));
    assert!(world.items("waiting").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_at_the_same_time_share_the_work() {
    let world = World::in_process().await;
    with_a_waiting_message(&world).await;
    world.advance(Duration::from_secs(21));
    let swept = world.all((0..4).map(|_| world.stack.sweep())).await;
    let drained: u64 = swept.iter().map(|one| one.as_ref().unwrap()["done"].as_u64().unwrap()).sum();
    assert_eq!(drained, 1, "{swept:?}");
    assert_eq!((world.shown_by_agents().len(), world.count("message_found")), (1, 0));
}

/// DynamoDB returns only a part of a batch while it is throttled.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_of_a_batch_is_asked_for_alone() {
    let world = World::of_instances(1, true).await;
    world.escalated_user("Ann").await;
    world.advance(Duration::from_secs(10));
    let [session] = world.items("session").try_into().unwrap();
    let key = json!({"pk": {"S": text(&session, "pk")}, "sk": {"S": text(&session, "sk")}});
    let mut unprocessed = serde_json::Map::new();
    unprocessed.insert(world.stack.table.name().to_owned(), json!({"Keys": [key], "ConsistentRead": true}));
    let part = json!({"Responses": {}, "UnprocessedKeys": unprocessed});
    let faults = world.stack.table_proxy.as_ref().unwrap().faults();
    faults.next(1, ".BatchGetItem", Fault::answer(200, part.to_string()));
    world.answers(ANNA, "hello").await;
    assert_eq!((world.shown_by_agents(), faults.spoiled().len()), (vec!["hello".to_owned()], 1));
}

/// A transaction that is cancelled for lack of throughput is retried within the caller's time; one that would be cancelled again is not
/// repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_transaction_is_sent_again_only_where_that_can_help() {
    let world = World::of_instances(1, true).await;
    let ann = world.escalated_user("Ann").await;
    world.advance(Duration::from_secs(10));
    let proxy = world.stack.table_proxy.as_ref().unwrap();
    for passing in [transaction_throttled(), transaction_over_throughput()] {
        // More failures than a limit on attempts would allow: only the caller's time limits the retries.
        proxy.faults().next(12, ".TransactWriteItems", passing);
    }
    world.says(&ann, "hello").await;
    assert_eq!(proxy.faults().spoiled().len(), 24);
    assert_eq!(world.sent_by_customers()[1..], ["hello"]);

    let called = world.count("operation_called");
    proxy.faults().always(".TransactWriteItems", transaction_invalid());
    drop(world.drive(world.stack.botpress.user_says(&ann.conversation_id, "is anybody there?")).await);
    world.settle().await;
    let calls = world.stack.journal.all("operation_called").split_off(called);
    assert!(!calls.is_empty() && calls.iter().all(|call| call.detail["status"] == 500), "{calls:?}");
    assert_eq!(proxy.faults().spoiled().len() - 24, calls.len(), "each call has tried once");
    proxy.faults().clear();
    world.settle().await;
}

/// The SDK repeats an update whose answer was lost; the condition then fails because the update itself has succeeded.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_whose_answer_is_lost_is_known_for_its_own() {
    let world = World::of_instances(1, true).await;
    with_a_waiting_message(&world).await;
    let faults = world.stack.table_proxy.as_ref().unwrap().faults();
    faults.next(1, ".UpdateItem", Fault::LoseAnswer);
    // The sweep takes the lane's lease with an update.
    world.sweep_after(Duration::from_secs(21)).await;
    assert_eq!(faults.spoiled().len(), 1);
    assert_eq!(world.shown_by_agents(), ["one"], "the lease was taken, not left to whoever had it");
}

/// Reading before something is put into a lane saves a trip and is not required.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_around_a_lane_is_not_needed_to_put_something_into_it() {
    let world = World::of_instances(1, true).await;
    let ann = world.escalated_user("Ann").await;
    world.advance(Duration::from_secs(10));
    let faults = world.stack.table_proxy.as_ref().unwrap().faults();
    let accepted_at = world.count("call_answered");
    faults.always(".BatchGetItem", throughput_exceeded());
    world.says(&ann, "hello").await;
    assert!(!faults.spoiled().is_empty());
    assert_eq!((world.items("waiting").len(), world.sent_by_customers().len()), (1, 1), "accepted, and not delivered");
    let answers = world.stack.journal.all("call_answered").split_off(accepted_at);
    assert!(answers.iter().all(|answer| answer.detail["status"] == 200), "{answers:?}");
    faults.clear();
    world.sweep_after(Duration::from_secs(60)).await;
    assert_eq!(world.sent_by_customers()[1..], ["hello"]);
}
