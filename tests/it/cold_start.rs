//! The first request of a new process.

use std::time::Duration;

use sandbox::faults::Fault;
use sandbox::stack::Side;
use serde_json::json;
use tests::{ANNA, World, http};

fn queries(world: &World) -> usize {
    world.stack.table_proxy.as_ref().unwrap().calls().get("Query").copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_reaches_for_its_credentials_and_for_the_table_side_by_side() {
    let world = World::with_table_proxy(&[]).await;
    world.escalated_user("Ann").await;
    let (chat_id, thread_id) = world.chat_and_thread();
    world.stack.restart_functions().unwrap();
    let before = queries(&world);
    let faults = world.stack.secrets_manager.faults();
    faults.always("", Fault::Delay(Duration::from_secs(1)));
    let event = json!({
        "id": format!("{thread_id}_900"), "created_at": world.now(), "type": "message", "text": "hello",
        "author_id": ANNA, "visibility": "all",
    });
    let webhook = world.envelope("incoming_event", json!({"chat_id": chat_id, "thread_id": thread_id, "event": event}));
    let answer = world.posted(&world.stack.webhook_url(), webhook.to_string());
    world.until(|world| faults.held() > 0 && queries(world) > before).await;
    assert_eq!(world.shown_by_agents().len(), 0, "nobody knows yet who is calling");
    assert_eq!(world.drive(answer).await.unwrap().0, 200);
    world.settle().await;
    assert_eq!(world.shown_by_agents(), ["hello"]);
}

/// Lambda may start a process long before its first request. A request that needs no other service is answered without calling one.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_calls_nobody_before_it_has_to() {
    let world = World::start().await;
    let stack = &world.stack;
    let everybody = [stack.secrets_manager.faults(), stack.livechat.faults(), stack.botpress.faults()];
    for faults in everybody {
        faults.always("", Fault::Reset);
    }
    stack.restart_functions().unwrap();
    for side in [Side::Actions, Side::Webhooks] {
        if let Some(processes) = stack.processes(side) {
            processes.restart().await.unwrap();
        }
    }
    for _ in 0..10 {
        let health = http().get(format!("{}/health", stack.gateway.url())).send();
        assert_eq!(world.drive(health).await.unwrap().status(), 200);
    }
    for faults in everybody {
        assert!(faults.spoiled().is_empty(), "{:?}", faults.spoiled());
    }
}
