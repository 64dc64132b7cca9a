use super::*;

fn registration(world: &World, action: &str) -> Value {
    json!({
        "action": action, "secret_key": "s3cr3t", "url": "https://example.com/hook", "type": "license",
        "owner_client_id": world.simulator.account().client_id,
    })
}

#[tokio::test]
async fn a_webhook_is_registered_listed_and_removed() {
    let world = World::new().await;
    let mut body = registration(&world, "incoming_event");
    body["filters"] = json!({"author_type": "agent"});
    body["additional_data"] = json!(["chat_properties"]);
    let id = world.configuration("register_webhook", body).await.ok()["id"].clone();
    assert_eq!(world.last("webhook_registered").detail["id"], id);
    let owner = json!({"owner_client_id": world.simulator.account().client_id});
    let listed = world.configuration("list_webhooks", owner.clone()).await.ok();
    assert_eq!((&listed[0]["id"], &listed[0]["filters"]["author_type"]), (&id, &json!("agent")));
    assert!(listed[0].get("secret_key").is_none());
    let mut remove = owner.clone();
    remove["id"] = id;
    world.configuration("unregister_webhook", remove.clone()).await.ok();
    world.configuration("unregister_webhook", remove).await.refused(404, "not_found");
    assert_eq!(world.configuration("list_webhooks", owner).await.ok(), json!([]));
}

#[tokio::test]
async fn three_webhooks_per_action_are_the_limit() {
    let world = World::new().await;
    for _ in 0..3 {
        world.configuration("register_webhook", registration(&world, "incoming_chat")).await.ok();
    }
    let fourth = world.configuration("register_webhook", registration(&world, "incoming_chat")).await;
    fourth.refused(422, "limit_reached");
    world.configuration("register_webhook", registration(&world, "incoming_event")).await.ok();
}

#[tokio::test]
async fn malformed_registrations_are_refused() {
    let world = World::new().await;
    let cases = [
        ("action", json!("close_chat")),
        ("action", Value::Null),
        ("secret_key", Value::Null),
        ("url", json!("ftp://example.com")),
        ("url", json!(format!("https://example.com/{}", "x".repeat(500)))),
        ("type", Value::Null),
        ("type", json!("licence")),
        ("owner_client_id", Value::Null),
        ("owner_client_id", json!("somebody else's")),
        ("additional_data", json!(["everything"])),
        ("filters", json!({"author_type": "customer"})),
        ("filters", json!({"source_type": ["me"]})),
    ];
    for (field, value) in cases {
        let mut body = registration(&world, "incoming_chat");
        body[field] = value;
        world.configuration("register_webhook", body).await.refused(422, "validation");
    }
}

#[tokio::test]
async fn licence_webhooks_can_be_switched_off() {
    let world = World::listening().await;
    let owner = json!({"owner_client_id": world.simulator.account().client_id});
    world.configuration("disable_license_webhooks", owner.clone()).await.ok();
    let state = world.configuration("get_license_webhooks_state", owner.clone()).await.ok();
    assert_eq!(state, json!({"license_webhooks_enabled": false}));
    let (_, chat_id) = world.chat().await;
    world.simulator.settled().await;
    assert!(world.receiver.bodies().is_empty());
    world.configuration("enable_license_webhooks", owner).await.ok();
    world.simulator.agent_sends_text(&chat_id, ANNA, "hi").unwrap();
    world.simulator.settled().await;
    assert_eq!(world.receiver.actions(), ["incoming_event"]);
    let answer = world.configuration("get_license_webhooks_state", json!({})).await;
    assert_eq!(answer.refused(422, "validation"), "`owner_client_id` is required");
}

#[tokio::test]
async fn webhook_names_are_open_to_everybody() {
    let world = World::new().await;
    let url = format!("{}/v3.6/configuration/action/list_webhook_names", world.simulator.url());
    let names = Answer::read(world.http.post(url).json(&json!({})).send().await.unwrap()).await.ok();
    let event = names.as_array().unwrap().iter().find(|name| name["action"] == "incoming_event").unwrap();
    assert!(event["filters"].as_array().unwrap().contains(&json!("author_type")));
}

#[tokio::test]
async fn groups_and_agents_are_listed_as_documented() {
    let world = World::new().await;
    let plain = world.configuration("list_groups", json!({})).await.ok();
    assert_eq!(plain[1], json!({"id": 1, "name": "Support", "language_code": "en"}));
    let group = world.configuration("get_group", json!({"id": 2, "fields": ["routing_status"]})).await.ok();
    assert_eq!(group["routing_status"], "offline");
    world.configuration("get_group", json!({"id": 9})).await.refused(404, "group_not_found");
    world.configuration("get_group", json!({})).await.refused(422, "validation");

    let agents = world.configuration("list_agents", json!({"filters": {"group_ids": [2]}})).await.ok();
    assert_eq!((agents.as_array().unwrap().len(), &agents[0]["id"]), (1, &json!(BEN)));
    let owner = world.configuration("get_agent", json!({"id": CLARA, "fields": ["groups"]})).await.ok();
    assert_eq!(owner["account_id"], world.simulator.account().agent_account_id().unwrap());
    world.configuration("get_agent", json!({"id": "nobody@example.com"})).await.refused(404, "not_found");
    world.configuration("list_agents", json!({"fields": ["salary"]})).await.refused(422, "validation");
    assert!(world.configuration("list_channels", json!({})).await.ok().is_array());
    let timers = world.configuration("list_license_properties", json!({"name_prefix": "archive_chat"})).await.ok();
    assert_eq!(timers, json!({"chats": {"archive_chat_after_min": 30}}));
}

#[tokio::test]
async fn a_private_property_can_be_written_once_it_is_registered() {
    let world = World::new().await;
    let (identity, chat_id) = world.chat().await;
    let client_id = world.simulator.account().client_id.clone();
    let update = json!({"id": chat_id, "properties": {&client_id: {"conversation": "c1"}}});
    world.customer(&identity, "update_chat_properties", update.clone()).await.refused(422, "validation");
    let register = json!({"name": "conversation", "type": "string", "owner_client_id": client_id});
    world.configuration("register_property", register.clone()).await.ok();
    world.configuration("register_property", register).await.refused(409, "already_exists");
    world.customer(&identity, "update_chat_properties", update).await.ok();
}
