//! What a session leaves at its end, and what the bot learns of it.

use std::collections::BTreeSet;
use std::time::Duration;

use sandbox::faults::Fault;
use serde_json::{Value, json};
use shared::aws;
use shared::ids::{AgentId, UserId};
use shared::metrics::Metric;
use shared::store::{Table, hashed};
use tests::{ANNA, Log, World, text};

use crate::late;

fn table(world: &World) -> Table {
    let (dynamodb, _) = aws::stand_ins(&world.stack.table.url(), &world.stack.table.url()).unwrap();
    Table::new(dynamodb, world.stack.table.name().to_owned(), world.clock())
}

fn seconds(world: &World, metric: Metric) -> Vec<f64> {
    let recorded = world.stack.metrics.recorded().into_iter();
    recorded.filter(|one| one.metric == metric).map(|one| one.value).collect()
}

/// Returns the mirror of the user of the only session.
fn mirror(world: &World) -> String {
    text(&world.items("session")[0], "user_id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_leaves_one_record_without_its_words() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let tag = json!({ "name": "refund", "group_ids": [0, 1] });
    world.owner_calls("configuration/action/create_tag", &tag).await;
    world.advance(Duration::from_secs(30));
    world.says(&ann, "canary one").await;
    world.says(&ann, "canary two").await;
    world.answers(ANNA, "canary hello").await;
    world.advance(Duration::from_secs(60));
    let (chat_id, thread_id) = world.chat_and_thread();
    let tagged = json!({ "chat_id": chat_id, "thread_id": thread_id, "tag": "refund" });
    world.owner_calls("agent/action/tag_thread", &tagged).await;
    world.agent_closes(ANNA).await;
    world.catch_up().await;
    let records = world.items("record");
    assert_eq!(records.len(), 1, "{records:?}");
    let record = &records[0];
    assert_eq!((&record["ended_because"], &record["ended_by"]), (&json!("livechat"), &json!("agent")), "{record}");
    assert_eq!((&record["from_user"], &record["from_agents"]), (&json!(2), &json!(1)), "{record}");
    assert_eq!((&record["thread_tags"], &record["handed_back_because"]), (&json!(["refund"]), &json!("agent_closed")));
    assert_eq!(record["agents"], json!([hashed(&AgentId::from(ANNA))]), "an address is nowhere");
    let answered = record["answered_after_ms"].as_f64().unwrap();
    let (assigned, handled) = (record["assigned_after_ms"].as_f64().unwrap(), record["handled_ms"].as_f64().unwrap());
    assert!(assigned < 30_000.0 && answered >= 30_000.0 && handled >= 60_000.0, "{record}");
    assert_eq!(record["expires_at"], world.items("session")[0]["expires_at"]);
    assert!(!record.to_string().contains("canary") && !record.to_string().contains(ANNA), "{record}");
    assert_eq!(seconds(&world, Metric::TimeToAssign), [assigned / 1_000.0]);
    assert_eq!(seconds(&world, Metric::TimeToFirstAnswer), [answered / 1_000.0]);
    assert_eq!(seconds(&world, Metric::HandleTime), [handled / 1_000.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_reads_no_thread_leaves_what_is_known() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.says(&ann, "hello").await;
    world.user_ends(&ann).await;
    let records = world.items("record");
    assert_eq!(records.len(), 1, "{records:?}");
    let record = &records[0];
    assert_eq!((&record["ended_because"], &record["ended_by"]), (&json!("bot"), &json!("bot")), "{record}");
    assert_eq!((&record["thread_was_read"], &record["from_user"]), (&json!(false), &json!(1)), "{record}");
    assert!(record["answered_after_ms"].is_null() && record["handled_ms"].is_number(), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_botcopy_session_leaves_a_record_too() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    world.widget_says(&user, "order 7").await;
    world.answers(ANNA, "hello").await;
    world.agent_closes(ANNA).await;
    world.catch_up().await;
    let records = world.items("record");
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["platform_name"], "botcopy");
    assert_eq!((&records[0]["from_user"], &records[0]["from_agents"]), (&json!(1), &json!(1)), "{}", records[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_erased_takes_their_records_along_and_nobody_elses() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let anns = mirror(&world);
    world.user_ends(&ann).await;
    let bob = world.escalated_user("Bob").await;
    world.user_ends(&bob).await;
    assert_eq!(world.items("record").len(), 2);
    table(&world).erase(&UserId::from(anns.as_str()), &BTreeSet::new(), world.now(), &mut |_| ()).await.unwrap();
    let left = world.items("record");
    assert_eq!(left.len(), 1, "{left:?}");
    assert_ne!(text(&left[0], "user_id"), anns);
}

async fn report(world: &World, input: Value) -> (u16, Value) {
    let answer = world.act("getHandoffReport", input).await;
    (answer.status, answer.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_is_told_how_its_own_users_handoff_went() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let user_id = mirror(&world);
    let (status, open) = report(&world, json!({ "userId": user_id })).await;
    assert_eq!((status, &open["output"]["status"]), (200, &json!("open")), "{open}");
    world.says(&ann, "hello").await;
    world.answers(ANNA, "hi").await;
    world.agent_closes(ANNA).await;
    world.catch_up().await;
    let calls = world.stack.journal.all("call_answered").len();
    let (status, ended) = report(&world, json!({ "userId": user_id, "sessionId": "", "conversationId": "" })).await;
    let output = &ended["output"];
    assert_eq!((status, &output["status"], &output["endedBy"]), (200, &json!("ended"), &json!("agent")), "{ended}");
    assert_eq!((&output["messagesFromUser"], &output["messagesFromAgents"]), (&json!(1), &json!(1)), "{ended}");
    assert_eq!(output["summaryStatus"], "not_asked");
    assert_eq!(world.stack.journal.all("call_answered").len(), calls, "a report calls no vendor");
    let (_, by_id) = report(&world, json!({ "userId": user_id, "sessionId": output["sessionId"] })).await;
    assert_eq!(by_id, ended);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_another_users_or_another_installs_handoff() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let (anns, session) = (mirror(&world), world.items("session").remove(0));
    world.user_ends(&ann).await;
    let asked = json!({ "userId": "somebody_else", "sessionId": session["session_id"] });
    let (status, refused) = report(&world, asked).await;
    assert_eq!(status, 400, "{refused}");
    let (_, unknown) = report(&world, json!({ "userId": "somebody_else" })).await;
    assert_eq!(refused["message"], unknown["message"], "one sentence for both");
    let other = json!({ ":other": { "S": "another-install" } });
    world.change_item(&session, "SET platform.botpress.install_id = :other", other).await;
    let (status, foreign) = report(&world, json!({ "userId": anns })).await;
    assert_eq!((status, &foreign["message"]), (400, &unknown["message"]), "{foreign}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_handed_on_and_its_lack_fails_nothing() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let user_id = mirror(&world);
    world.user_ends(&ann).await;
    let asked = json!({ "userId": user_id, "summary": true });
    world.stack.livechat.set_behaviour(|behaviour| behaviour.summaries = true);
    for failure in
        [Fault::answer(503, "down"), Fault::answer(403, r#"{"error":{"type":"authorization","message":"no"}}"#)]
    {
        world.stack.livechat.faults().always("agent/action/request_thread_summary", failure);
        let (status, answer) = report(&world, asked.clone()).await;
        assert_eq!((status, &answer["output"]["summaryStatus"]), (200, &json!("unavailable")), "{answer}");
        assert_eq!(answer["output"]["status"], "ended");
        world.stack.livechat.faults().clear();
        world.advance(Duration::from_secs(120));
    }
    let (_, answer) = report(&world, asked.clone()).await;
    assert_eq!(answer["output"]["summaryStatus"], "requested", "{answer}");
    let (_, answer) = report(&world, asked).await;
    assert_eq!(answer["output"]["summaryStatus"], "ready", "{answer}");
    let summary = answer["output"]["summary"].as_str().unwrap();
    assert!(summary.ends_with("in short"), "{answer}");
    let stored = world.stack.table.items().unwrap();
    assert!(stored.iter().all(|item| !item.to_string().contains(summary)), "it is stored nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_waits_for_no_slow_vendor_and_a_table_that_fails_is_an_error_to_try_again() {
    let world = World::of_instances(1, true).await;
    let ann = world.escalated_user("Ann").await;
    let user_id = mirror(&world);
    world.user_ends(&ann).await;
    let asked = json!({ "userId": user_id, "summary": true });
    let livechat = &world.stack.livechat;
    livechat.set_behaviour(|behaviour| behaviour.summaries = true);

    livechat.faults().always("agent/action/", Fault::Delay(Duration::from_secs(60)));
    let began = world.now();
    let (status, answer) = report(&world, asked.clone()).await;
    assert_eq!((status, &answer["output"]["summaryStatus"]), (200, &json!("unavailable")), "{answer}");
    assert_eq!(answer["output"]["status"], "ended");
    let took = world.now().since(began);
    assert!(took < Duration::from_secs(20), "{took:?}");
    livechat.faults().clear();
    world.advance(Duration::from_secs(120));

    livechat.set_agent_token_valid(false);
    let (status, answer) = report(&world, asked.clone()).await;
    assert_eq!((status, &answer["output"]["summaryStatus"]), (200, &json!("unavailable")), "{answer}");
    livechat.set_agent_token_valid(true);
    world.advance(Duration::from_secs(120));

    let table = world.stack.table_proxy.as_ref().unwrap().faults();
    table.always("", Fault::answer(500, "{}"));
    let (status, failed) = report(&world, asked.clone()).await;
    assert!(status >= 500 && failed["message"].as_str().is_some_and(|said| !said.is_empty()), "{status}: {failed}");
    table.clear();
    let (status, answer) = report(&world, asked).await;
    assert_eq!((status, &answer["output"]["status"]), (200, &json!("ended")), "{answer}");
}

/// Returns how often LiveChat was called with this kind of call.
fn calls(world: &World, name: &str) -> usize {
    world.stack.journal.all("call_answered").iter().filter(|entry| entry.text("/call").ends_with(name)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_the_bot_to_be_ready_is_no_wait_for_an_agent() {
    let world = World::in_process_with(&[("SETTLE_MS", "20000")]).await;
    let ann = world.user("Ann").await;
    world.escalate(&ann).await.unwrap();
    world.advance(Duration::from_secs(21));
    world.sweep().await;
    assert_eq!(world.bot_events("hitlAssigned").len(), 1);
    world.user_ends(&ann).await;
    let record = world.items("record").remove(0);
    let assigned = record["assigned_after_ms"].as_u64().unwrap();
    assert!(assigned < 5_000, "Anna had the chat from the beginning: {record}");
    assert!(record["handled_ms"].as_u64().unwrap() >= 20_000, "{record}");
    let waited = world.items("wait")[0]["waited_ms"].as_u64().unwrap();
    assert_eq!(waited, assigned, "what bots are told to expect is the same wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_whom_no_webhook_told_counts_from_their_first_words() {
    let world = World::in_process().await;
    world.stack.gateway_faults.always("POST /livechat", Fault::answer(503, ""));
    let ann = world.escalated_user("Ann").await;
    world.advance(Duration::from_secs(30));
    world.answers(ANNA, "hi").await;
    for _ in 0..3 {
        world.advance(Duration::from_secs(60));
        world.sweep().await;
    }
    world.user_ends(&ann).await;
    let record = world.items("record").remove(0);
    let assigned = record["assigned_after_ms"].as_u64().unwrap();
    assert!((30_000..40_000).contains(&assigned), "by LiveChat's own time of the message: {record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_livechat_carries_out_late_is_recorded_once() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let faults = world.stack.livechat.faults();
    faults.next(1, "agent/action/deactivate_chat", Fault::late(Duration::from_secs(15)));
    world.user_ends(&ann).await;
    late::catch_up(&world).await;
    assert!(world.stack.livechat.open_chats().is_empty());
    let records = world.items("record");
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!((&records[0]["ended_because"], &records[0]["ended_by"]), (&json!("bot"), &json!("bot")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_given_up_for_its_silence_is_recorded_as_abandoned() {
    let world = World::in_process_with(&[("BOTCOPY_SILENCE_HOURS", "1")]).await;
    world.handed_over_user().await;
    for _ in 0..75 {
        world.advance(Duration::from_secs(60));
        world.sweep().await;
    }
    let records = world.items("record");
    assert_eq!(records.len(), 1, "{records:?}");
    let ended = (&records[0]["ended_because"], &records[0]["ended_by"], &records[0]["handed_back_because"]);
    assert_eq!(ended, (&json!("given_up"), &json!("stack"), &json!("abandoned")), "{}", records[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rating_before_an_end_that_reads_no_thread_is_in_the_record() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let rated = world.act("rateHandoff", json!({ "userId": mirror(&world), "rating": "bad" })).await;
    assert_eq!(rated.status, 200, "{}", rated.body);
    world.user_ends(&ann).await;
    let record = world.items("record").remove(0);
    assert_eq!((&record["rating"], &record["thread_was_read"]), (&json!(0), &json!(false)), "{record}");
}

#[tokio::test]
async fn a_rating_after_the_end_comes_into_the_record_and_is_logged_once() {
    let log = Log::default();
    let _guard = log.listen("info");
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let user_id = mirror(&world);
    world.answers(ANNA, "hi").await;
    world.agent_closes(ANNA).await;
    assert!(world.items("record")[0].get("rating").is_none_or(Value::is_null));
    for _ in 0..2 {
        let rated = world.act("rateHandoff", json!({ "userId": user_id, "rating": "good" })).await;
        assert_eq!(rated.status, 200, "{}", rated.body);
        assert_eq!(world.items("record")[0]["rating"], 1);
    }
    let (_, told) = report(&world, json!({ "userId": user_id })).await;
    assert_eq!(told["output"]["rating"], 1, "{told}");
    let text = log.text();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<_> =
        lines.filter(|line| line["message"] == "the rating in a session's record has changed").collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let session = &world.items("session")[0];
    assert_eq!((&lines[0]["session.id"], &lines[0]["record.rating"]), (&session["session_id"], &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rating_by_livechats_own_survey_comes_into_the_record_where_livechat_reports_it() {
    let world = World::in_process().await;
    // Webhooks that were registered by hand have no filters, so they report system messages as well.
    let livechat = &world.stack.livechat;
    livechat.register_webhooks(&world.stack.webhook_url(), world.stack.webhook_secret(), &["incoming_event"]).unwrap();
    world.escalated_user("Ann").await;
    let user_id = mirror(&world);
    let (chat_id, thread_id) = world.chat_and_thread();
    world.agent_closes(ANNA).await;
    world.advance(Duration::from_secs(3_600));
    let rating = |world: &World| world.items("record")[0]["rating"].clone();
    for score in [Some(1), None, Some(0)] {
        livechat.customer_rates(&chat_id, &thread_id, score).unwrap();
        world.settle().await;
        assert_eq!(rating(&world), json!(score));
    }
    let readings = calls(&world, "get_chat");
    let rated = world.act("rateHandoff", json!({ "userId": user_id, "rating": "good" })).await;
    assert_eq!((rated.status, &rated.json()["output"]["rated"]), (200, &json!(true)));
    world.settle().await;
    assert_eq!((rating(&world), calls(&world, "get_chat")), (json!(0), readings), "it was rated, once");

    livechat.customer_rates(&chat_id, &thread_id, None).unwrap();
    world.settle().await;
    let readings = calls(&world, "get_chat");
    world.act("rateHandoff", json!({ "userId": user_id, "rating": "good" })).await;
    world.settle().await;
    assert_eq!((rating(&world), calls(&world, "get_chat")), (json!(1), readings), "an echo is not read");
}
