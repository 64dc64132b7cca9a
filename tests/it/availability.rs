//! `checkAvailability`: what a bot learns before it promises an agent.

use std::time::Duration;

use sandbox::faults::Fault;
use sandbox::livechat::GroupStatus;
use serde_json::{Value, json};
use tests::World;

const STATUSES: &str = "list_group_statuses";

async fn check(world: &World, input: Value) -> Value {
    let answer = world.act("checkAvailability", input).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["output"].clone()
}

/// Returns how often LiveChat was asked.
fn asked(world: &World) -> usize {
    let calls = world.stack.journal.all("call_answered");
    calls.iter().filter(|entry| entry.text("/call").ends_with(STATUSES)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_learns_whether_agents_are_there_in_the_users_language() {
    let wording = r#"{"de":{"availability_offline":"Gerade ist niemand da."}}"#;
    let world = World::with(&[("WORDING", wording)]).await;
    world.stack.livechat.set_group_status(1, GroupStatus::OnlineForQueue);
    for (input, status, sentence) in [
        (json!({ "groupId": 0 }), "online", "An agent is available now."),
        (json!({ "groupId": "1" }), "queue", "All agents are busy at the moment, so you would have to wait."),
        (json!({ "groupId": 2 }), "offline", "No agent is available at the moment."),
        (json!({ "groupId": 2, "language": "de-AT" }), "offline", "Gerade ist niemand da."),
        (json!({ "groupId": 99 }), "unknown", "It is not known at the moment whether an agent is available."),
        (json!({ "groupId": "x" }), "unknown", "It is not known at the moment whether an agent is available."),
    ] {
        assert_eq!(check(&world, input.clone()).await, json!({ "status": status, "sentence": sentence }), "{input}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_share_one_call_for_a_quarter_of_a_minute() {
    let world = World::in_process().await;
    let before = asked(&world);
    let all = async { tokio::join!(check(&world, json!({})), check(&world, json!({})), check(&world, json!({}))) };
    let (first, second, third) = all.await;
    assert_eq!((&first["status"], &second, &third), (&json!("online"), &first, &first));
    world.stack.livechat.set_group_status(1, GroupStatus::Offline);
    world.advance(Duration::from_secs(14));
    assert_eq!(check(&world, json!({})).await["status"], "online");
    assert_eq!(asked(&world) - before, 1);
    world.advance(Duration::from_secs(2));
    assert_eq!(check(&world, json!({})).await["status"], "offline");
    assert_eq!(asked(&world) - before, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_livechat_the_bot_is_answered_and_one_call_is_made() {
    for fault in [
        Fault::Reset,
        Fault::answer(503, ""),
        Fault::answer(200, "<html>maintenance</html>"),
        Fault::Delay(Duration::from_secs(60)),
    ] {
        let world = World::in_process().await;
        world.stack.livechat.faults().always(STATUSES, fault.clone());
        let began = world.now();
        for _ in 0..2 {
            assert_eq!(check(&world, json!({})).await["status"], "unknown", "{fault:?}");
        }
        assert!(world.now().since(began) < Duration::from_secs(6), "{fault:?}");
    }
    let world = World::in_process().await;
    world.stack.livechat.set_licence_expired(true);
    assert_eq!(check(&world, json!({})).await["status"], "unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_expected_wait_is_the_median_of_the_groups_last_hour() {
    let world = World::in_process().await;
    assert_eq!(check(&world, json!({})).await.get("expectedWaitSeconds"), None);
    world.escalated_user("Ann").await;
    assert_eq!(world.items("wait").len(), 1, "it is known as soon as the agent is announced");
    world.answers(tests::ANNA, "hi").await;
    assert_eq!(world.items("wait").len(), 1, "one small item for the session, however much is said");
    world.answers(tests::ANNA, "again").await;
    assert_eq!(world.items("wait").len(), 1);
    world.advance(Duration::from_secs(20));
    let waited = check(&world, json!({})).await["expectedWaitSeconds"].as_u64();
    assert!(waited.is_some_and(|seconds| seconds < 60), "{waited:?}");
    assert_eq!(check(&world, json!({ "groupId": 0 })).await.get("expectedWaitSeconds"), None, "of each group its own");
    world.advance(Duration::from_secs(3_600));
    assert_eq!(check(&world, json!({})).await.get("expectedWaitSeconds"), None);
}

/// Returns how often LiveChat was asked for working times.
fn asked_for_schedules(world: &World) -> usize {
    let calls = world.stack.journal.all("call_answered");
    calls.iter().filter(|entry| entry.text("/call").ends_with("list_agents")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_learns_when_agents_are_back_for_one_call_in_an_hour() {
    let world = World::in_process().await;
    let livechat = &world.stack.livechat;
    // It is Monday, 11 May 2026, 9:41 by the simulators' clock.
    let works = |day: &str, start: &str| json!({ "day": day, "enabled": true, "start": start, "end": "23:00" });
    livechat.set_work_schedule(
        tests::ANNA,
        json!({ "timezone": "America/Phoenix", "schedule": [works("monday", "08:00"), works("tuesday", "08:00")] }),
    );
    assert_eq!(check(&world, json!({})).await.get("opensAt"), None, "the group is online");
    assert_eq!(asked_for_schedules(&world), 0);
    livechat.set_group_status(1, GroupStatus::Offline);
    world.advance(Duration::from_secs(20));
    for _ in 0..3 {
        assert_eq!(check(&world, json!({})).await["opensAt"], "2026-05-11T15:00:00.000000Z");
        world.advance(Duration::from_secs(20));
    }
    assert_eq!(asked_for_schedules(&world), 1);
    world.advance(Duration::from_secs(6 * 3_600));
    assert_eq!(check(&world, json!({})).await.get("opensAt"), None, "somebody should be there");
    assert_eq!(asked_for_schedules(&world), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_is_answered_at_once_although_working_times_cannot_be_read() {
    for fault in [
        None,
        Some(Fault::Reset),
        Some(Fault::answer(503, "")),
        Some(Fault::answer(200, "<html>maintenance</html>")),
        Some(Fault::Delay(Duration::from_secs(60))),
    ] {
        let world = World::in_process().await;
        let livechat = &world.stack.livechat;
        livechat.set_group_status(1, GroupStatus::Offline);
        match fault.clone() {
            Some(fault) => livechat.faults().always("list_agents", fault),
            None => livechat.set_agent_token_scopes(&["chats--all:rw"]),
        }
        let began = world.now();
        for _ in 0..3 {
            let told = check(&world, json!({})).await;
            assert_eq!((&told["status"], told.get("opensAt")), (&json!("offline"), None), "{fault:?}");
            assert!(world.now().since(began) < Duration::from_secs(6), "{fault:?}");
        }
        assert!(asked_for_schedules(&world) <= 1, "{fault:?}");
        // The refusal is about the scope of that call alone.
        livechat.set_group_status(1, GroupStatus::Online);
        world.advance(Duration::from_secs(20));
        assert_eq!(check(&world, json!({})).await["status"], "online", "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_agent_token_hides_nothing_but_the_working_times() {
    let world = World::start().await;
    world.stack.livechat.set_group_status(1, GroupStatus::Offline);
    world.stack.livechat.set_agent_token_valid(false);
    let told = check(&world, json!({})).await;
    assert_eq!((&told["status"], told.get("opensAt")), (&json!("offline"), None), "{told}");
}
