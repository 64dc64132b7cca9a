//! `hitl watch`: one line or one screen every five seconds, until it is interrupted.

use std::time::Duration;

use sandbox::faults::Fault;
use serde_json::{Value, json};
use tests::World;

use crate::operator::{Operator, Ran};

/// Returns what a watch prints until it is interrupted after `seconds`.
async fn watched(world: &World, arguments: &[&str], seconds: u64) -> Ran {
    let clock = world.clock();
    let end = clock.now() + Duration::from_secs(seconds);
    Operator::new(world).interrupted_by(async move { clock.sleep_until(end).await }).does(arguments).await
}

/// Returns a world in which messages of two users wait, because LiveChat wants no calls for two minutes.
async fn waiting() -> World {
    let world = World::of_instances(1, true).await;
    world.sweep().await;
    let users = [world.escalated_user("Ann").await, world.escalated_user("Bob").await];
    world.stack.livechat.faults().always("customer/action/send_event", Fault::limited("retry-after", 120));
    for user in users {
        world.says(&user, "canary-of-the-user").await;
    }
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
    assert!(ticks.len() >= 2, "{}", ran.out);
    let (first, last) = (&ticks[0], &ticks[ticks.len() - 1]);
    let counts = ["sessions", "parked", "more"].map(|name| first[name].clone());
    assert_eq!(counts, [json!(2), json!(0), json!(false)], "{first}");
    assert!(first["sweep_age_s"].as_u64().is_some_and(|age| age < 60), "{first}");
    let lane = &first["lanes"][0];
    assert_eq!((&lane["lane"], &lane["waiting"]), (&json!("to_agent"), &json!(1)), "{first}");
    assert!(lane["attempts"].is_u64() && lane["next_try"].is_string(), "{first}");
    assert_eq!(first["lanes"].as_array().unwrap().len(), 2, "{first}");
    let vendor = &first["vendors"][0];
    assert!(vendor["vendor"].as_str().unwrap().starts_with("LiveChat"), "{first}");
    assert!(vendor["not_before"].is_string(), "{first}");
    assert!(last["lanes"][0]["oldest_s"].as_u64() > lane["oldest_s"].as_u64(), "{}", ran.out);
    assert!(!ran.out.contains("canary"), "no words are shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_names_the_vendor_that_refuses_a_credential_until_that_is_over() {
    let world = World::in_process().await;
    world.sweep().await;
    let user = world.escalated_user("Ann").await;
    world.stack.livechat.set_agent_token_valid(false);
    world.advance(Duration::from_secs(60));
    world.user_ends(&user).await;
    world.sweep().await;
    let tick: Value = serde_json::from_str(watched(&world, &["watch", "--json"], 1).await.out.trim()).unwrap();
    let refused = &tick["credentials_refused"];
    assert_eq!((refused.as_array().unwrap().len(), &refused[0]["vendor"]), (1, &json!("LiveChat")), "{tick}");
    let screen = watched(&world, &["watch"], 1).await.out;
    assert!(screen.contains("LiveChat REFUSES a credential") && screen.contains("hitl doctor"), "{screen}");
    world.stack.livechat.set_agent_token_valid(true);
    world.advance(Duration::from_secs(301));
    let screen = watched(&world, &["watch"], 1).await.out;
    assert!(!screen.contains("REFUSES"), "{screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_people_what_is_late_what_waits_and_whom_not_to_call() {
    let world = waiting().await;
    let screen = watched(&world, &["watch"], 1).await.out;
    for said in [
        "sweep     ran ",
        "sessions  2 open",
        "asked not to be called before",
        "waiting   2 lanes",
        "to_agent: 1, the oldest",
    ] {
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
