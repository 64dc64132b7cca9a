//! `hitl watch`: one line or one screen every five seconds, until somebody interrupts it.

use std::time::Duration;

use sandbox::faults::Fault;
use serde_json::{Value, json};
use tests::World;

use crate::operator::{Operator, Ran};

/// What a watch prints until it is interrupted after `seconds`.
async fn watched(world: &World, arguments: &[&str], seconds: u64) -> Ran {
    let clock = world.clock();
    let end = clock.now() + Duration::from_secs(seconds);
    Operator::new(world).interrupted_by(async move { clock.sleep_until(end).await }).does(arguments).await
}

/// A world in which a user's words wait, as LiveChat is down.
async fn waiting() -> World {
    let world = World::of_instances(1, true).await;
    world.sweep().await;
    let user = world.escalated_user("Ann").await;
    world.stack.livechat.faults().always("customer/action/send_event", Fault::answer(503, ""));
    world.says(&user, "canary-of-the-user").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_prints_one_line_a_tick_without_a_scan_and_without_words() {
    let world = waiting().await;
    let scans = || world.stack.table_proxy.as_ref().unwrap().calls().get("Scan").copied();
    let before = scans();
    let ran = watched(&world, &["watch", "--json"], 12).await;
    assert_eq!(scans(), before, "the whole table is not read");
    let ticks: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(ticks.len(), 3, "{}", ran.out);
    let first = &ticks[0];
    assert_eq!(
        (&first["sessions"], &first["more"], &first["parked"]),
        (&json!(1), &json!(false), &json!(0)),
        "{first}"
    );
    assert!(first["sweep_age_s"].as_u64().is_some_and(|age| age < 60), "{first}");
    let lane = &first["lanes"][0];
    assert_eq!((&lane["lane"], &lane["waiting"]), (&json!("to_agent"), &json!(1)), "{first}");
    assert!(lane["attempts"].as_u64() >= Some(1) && lane["next_try"].is_string(), "{first}");
    assert_eq!(first["vendors"][0]["vendor"], "LiveChat", "{first}");
    assert!(ticks[2]["lanes"][0]["oldest_s"].as_u64() > lane["oldest_s"].as_u64(), "{}", ran.out);
    assert!(!ran.out.contains("canary"), "no words are shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_people_what_is_late_what_waits_and_what_is_parked() {
    let world = waiting().await;
    let screen = watched(&world, &["watch"], 1).await.out;
    for said in ["sweep     ran ", "sessions  1 open", "LiveChat FAILS", "to_agent: 1, the oldest for"] {
        assert!(screen.contains(said), "{said}: {screen}");
    }
    world.stack.livechat.faults().clear();
    world.advance(Duration::from_secs(400));
    let screen = watched(&world, &["watch"], 1).await.out;
    assert!(screen.contains("LATE"), "{screen}");
    world.sweep().await;
    let screen = watched(&world, &["watch"], 1).await.out;
    assert!(screen.contains("waiting   nothing") && !screen.contains("LATE"), "{screen}");
}
