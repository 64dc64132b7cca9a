//! Calls that are let in or turned away leave a note for the operator, even in a flood.

use std::time::Duration;

use serde_json::{Value, json};
use shared::metrics::{About, Metric};
use tests::World;

/// Returns the note on a vendor's calls.
fn door(world: &World, vendor: &str) -> Value {
    let doors = world.items_under(&format!("DOOR#{vendor}"));
    doors.into_iter().next().unwrap_or_default()
}

/// Returns how many calls were turned away for this reason.
fn counted(world: &World, caller: &str) -> usize {
    let about = About::Caller(caller.to_owned());
    world.stack.metrics.recorded().iter().filter(|one| one.metric == Metric::TurnedAway && one.about == about).count()
}

async fn report_with(world: &World, changes: Value) -> u16 {
    let mut body = json!({
        "webhook_id": "w", "secret_key": "wrong", "action": "incoming_event", "organization_id": "another", "payload": {},
    });
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    world.post(&world.stack.webhook_url(), body.to_string()).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_at_a_door_costs_one_write_a_minute_and_is_counted() {
    let world = World::in_process().await;
    for _ in 0..3 {
        for _ in 0..20 {
            assert_eq!(report_with(&world, json!({})).await, 401);
        }
        world.advance(Duration::from_secs(61));
    }
    assert_eq!(counted(&world, "LiveChat secret"), 60);
    let noted = door(&world, "LiveChat");
    // The first of the last twenty has noted itself and the earlier calls.
    assert_eq!((&noted["turned_away_count"], &noted["turned_away_because"]), (&json!(41), &json!("secret")), "{noted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_caller_has_a_door_and_each_lack_a_name() {
    let world = World::in_process().await;
    let refused = |operation: &'static str, headers: Vec<(&'static str, Option<&'static str>)>| {
        let world = &world;
        async move { world.operate_with(operation, &json!({}), &headers).await.status }
    };
    assert_eq!(refused("message_created", vec![("x-bp-signature", Some("1,none"))]).await, 401);
    assert_eq!(counted(&world, "Botpress signature"), 1);
    assert_eq!(door(&world, "Botpress")["turned_away_because"], "signature");
    world.escalated_user("Ann").await;
    assert!(door(&world, "Botpress").get("turned_away_count").is_none(), "somebody was let in");
    assert!(door(&world, "LiveChat")["let_in_at"].is_string());

    world.handed_over_user().await;
    assert!(door(&world, "Botcopy")["let_in_at"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn being_let_in_is_noted_once_in_ten_minutes() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let first = door(&world, "Botpress")["let_in_at"].clone();
    world.advance(Duration::from_secs(300));
    world.says(&ann, "still here").await;
    assert_eq!(door(&world, "Botpress")["let_in_at"], first);
    world.advance(Duration::from_secs(301));
    world.says(&ann, "and now").await;
    assert_ne!(door(&world, "Botpress")["let_in_at"], first);
}
