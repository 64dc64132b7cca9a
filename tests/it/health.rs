//! The gauge that the sweep writes and that the alarm of a lean stack shows.

use std::time::Duration;

use sandbox::faults::Fault;
use serde_json::json;
use shared::aws;
use shared::metrics::Metric;
use shared::store::{Parked, Table};
use tests::{ANNA, World};

const MINUTE: Duration = Duration::from_secs(60);

/// Returns the gauge that the last sweep wrote, and how many sweeps wrote it.
fn gauge(world: &World) -> (Option<f64>, usize) {
    let written: Vec<_> =
        world.stack.metrics.recorded().into_iter().filter(|one| one.metric == Metric::Health).collect();
    (written.last().map(|one| one.value), written.len())
}

/// Runs a sweep in a minute. Returns the gauge after it.
async fn next(world: &World) -> f64 {
    let (_, before) = gauge(world);
    world.sweep_after(MINUTE).await;
    let (last, count) = gauge(world);
    assert_eq!(count, before + 1, "each sweep writes it once");
    last.unwrap()
}

/// Returns the table, as an operator reaches it.
fn table(world: &World) -> Table {
    let url = world.stack.table.url();
    let (dynamodb, _) = aws::stand_ins(&url, &url).unwrap();
    Table::new(dynamodb, world.stack.table.name().to_owned(), world.clock())
}

async fn parked(table: &Table, world: &World) -> Vec<Parked> {
    table.parked(world.now(), &mut |_| {}).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_in_order_is_fine_whatever_goes_on() {
    let world = World::in_process().await;
    assert_eq!(next(&world).await, 0.0, "nobody is there");
    let ann = world.escalated_user("Ann").await;
    world.says(&ann, "hello").await;
    world.answers(ANNA, "hi").await;
    assert_eq!(next(&world).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_shows_until_an_operator_has_dealt_with_it() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let refused = json!({"error": {"type": "validation", "message": "no"}}).to_string();
    world.stack.livechat.faults().next(2, "customer/action/send_event", Fault::answer(400, refused));
    world.says(&ann, "one").await;
    world.says(&ann, "two").await;
    let table = &table(&world);
    let listed = parked(table, &world).await;
    assert_eq!((listed.len(), next(&world).await), (2, 1.0));
    world.advance(Duration::from_secs(86_400));
    assert_eq!(next(&world).await, 1.0, "it stays");
    assert!(table.discard(&listed[0]).await.unwrap());
    assert_eq!(next(&world).await, 1.0, "one is left");
    assert!(table.unpark(&listed[1], world.now(), world.now() + MINUTE).await.unwrap());
    // A sweep that finds it waiting since yesterday delivers it.
    next(&world).await;
    assert_eq!(next(&world).await, 0.0);
    let left = world.items("waiting").into_iter().chain(world.items("parked"));
    assert_eq!(left.count(), 0, "it was delivered, and nothing of it stays in the index");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_credential_shows_and_is_over_ten_minutes_after_the_cure() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.stack.livechat.set_agent_token_valid(false);
    world.user_ends(&ann).await;
    for _ in 0..3 {
        assert_eq!(next(&world).await, 2.0);
    }
    world.stack.livechat.set_agent_token_valid(true);
    let mut minutes = 0;
    while next(&world).await > 0.0 {
        minutes += 1;
    }
    assert!((5..=11).contains(&minutes), "{minutes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_met_shows_as_well() {
    let world = World::of_instances(2, false).await;
    let ann = world.escalated_user("Ann").await;
    world.stack.livechat.set_agent_token_valid(false);
    world.user_ends(&ann).await;
    world.stack.livechat.set_agent_token_valid(true);
    // Each process gets one of the sweeps in turn.
    assert_eq!([next(&world).await, next(&world).await], [2.0, 2.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_wait_for_five_minutes_show_whatever_they_wait_for() {
    let later = Fault::Answer {
        status: 429,
        headers: [("retry-after".to_owned(), "3600".to_owned())].into(),
        body: String::new(),
    };
    for fault in [Fault::answer(503, "down"), later] {
        let world = World::in_process().await;
        let ann = world.escalated_user("Ann").await;
        world.sweep_after(Duration::from_secs(10)).await;
        world.stack.livechat.faults().always("customer/action/send_event", fault);
        let said_at = world.now();
        world.says(&ann, "hello").await;
        let mut shown = Vec::new();
        for _ in 0..7 {
            // A sweep continues while a vendor fails, and it measures when it begins.
            let waited = (world.now() + MINUTE).since(said_at);
            let shows = next(&world).await;
            // A message's own time is a moment after it was written.
            if waited.abs_diff(5 * MINUTE) > Duration::from_secs(5) {
                assert_eq!(shows > 0.0, waited > 5 * MINUTE, "{shows} after {waited:?}");
            }
            shown.push(shows);
        }
        assert!(shown.starts_with(&[0.0]) && shown.ends_with(&[3.0]), "{shown:?}");
        world.stack.livechat.faults().clear();
        next(&world).await;
        world.sweep_after(MINUTE).await;
        assert_eq!(next(&world).await, 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_sweep_can_work_on_shows_after_a_quarter_of_an_hour() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let session = world.items("session").remove(0);
    world.change_item(&session, "SET session_state = :limbo", json!({":limbo": {"S": "limbo"}})).await;
    let mut minutes = 0;
    while next(&world).await != 4.0 {
        minutes += 1;
        assert!(minutes < 40, "it never shows");
    }
    assert!(minutes >= 15, "{minutes}");
    let known = json!({":active": {"S": "active"}});
    world.change_item(&session, "SET session_state = :active", known).await;
    next(&world).await;
    assert_eq!(next(&world).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_turned_away_again_and_again_show() {
    let world = World::in_process().await;
    let call = json!({
        "webhook_id": "w", "secret_key": "wrong", "action": "incoming_event", "organization_id": "another", "payload": {},
    });
    for _ in 0..3 {
        for _ in 0..9 {
            assert_eq!(world.post(&world.stack.webhook_url(), call.to_string()).await.0, 401);
        }
        world.advance(MINUTE);
    }
    assert_eq!(next(&world).await, 5.0);
    world.escalated_user("Ann").await;
    assert_eq!(next(&world).await, 0.0, "LiveChat was let in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_cannot_look_writes_nothing() {
    let world = World::of_instances(1, true).await;
    assert_eq!(next(&world).await, 0.0);
    let (_, before) = gauge(&world);
    world.stack.table_proxy.as_ref().unwrap().faults().always(".Query", Fault::answer(400, "{}"));
    world.advance(MINUTE);
    let _ = world.drive(world.stack.sweep()).await;
    assert_eq!(gauge(&world).1, before);
}
