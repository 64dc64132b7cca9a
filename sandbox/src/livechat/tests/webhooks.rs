use super::*;
use crate::faults::Fault;

#[tokio::test]
async fn a_start_is_told_once_with_its_first_events_and_then_the_assignment() {
    let world = World::listening().await;
    let identity = world.identity().await;
    let start =
        json!({"chat": {"access": {"group_ids": [1]}, "thread": {"events": [{"type": "message", "text": "hi"}]}}});
    let started = world.customer(&identity, "start_chat", start).await.ok();
    world.simulator.settled().await;
    assert_eq!(world.receiver.actions(), ["chat_transferred", "incoming_chat", "user_added_to_chat"]);

    let incoming = &world.receiver.of("incoming_chat")[0];
    assert_eq!((&incoming["secret_key"], &incoming["additional_data"]), (&json!("s3cr3t"), &json!({})));
    assert_eq!(incoming["organization_id"], world.simulator.account().organization_id);
    assert!(incoming["webhook_id"].is_string());
    let chat = &incoming["payload"]["chat"];
    assert_eq!((&chat["id"], &chat["thread"]["id"]), (&started["chat_id"], &started["thread_id"]));
    assert_eq!((&chat["thread"]["events"][0]["text"], &chat["users"][0]["id"]), (&json!("hi"), &json!(identity.id)));
    assert_eq!(chat["access"], json!({"group_ids": [1]}));

    let added = &world.receiver.of("user_added_to_chat")[0]["payload"];
    assert_eq!((&added["user"]["id"], &added["user"]["name"]), (&json!(ANNA), &json!("Anna")));
    assert_eq!((&added["reason"], &added["thread_id"]), (&json!("assigned"), &started["thread_id"]));
    let transferred = &world.receiver.of("chat_transferred")[0]["payload"];
    assert_eq!((&transferred["reason"], transferred.get("requester_id")), (&json!("assigned"), None));
    assert_eq!(transferred["transferred_to"], json!({"agent_ids": [ANNA]}));
}

#[tokio::test]
async fn a_waiting_chat_is_assigned_when_the_router_gets_to_it() {
    let world = World::listening().await;
    world.simulator.set_behaviour(|behaviour| behaviour.assignment = Assignment::Manual);
    let (_, chat_id) = world.chat().await;
    world.simulator.settled().await;
    let incoming = &world.receiver.of("incoming_chat")[0]["payload"]["chat"];
    assert_eq!(incoming["thread"]["queue"]["position"], 1);
    assert_eq!(incoming["users"].as_array().unwrap().len(), 1);
    assert_eq!(world.simulator.router_assigns(&chat_id), Ok(true));
    world.simulator.settled().await;
    assert_eq!(world.receiver.of("chat_transferred")[0]["payload"]["transferred_to"], json!({"agent_ids": [ANNA]}));
    assert_eq!(world.simulator.thread(&chat_id).unwrap().queued_at, None);
}

#[tokio::test]
async fn our_own_calls_are_told_as_well() {
    let world = World::listening().await;
    let (identity, chat_id) = world.chat().await;
    let event = json!({"chat_id": chat_id, "event": {"type": "message", "text": "hi", "custom_id": "m1"}});
    let sent = world.customer(&identity, "send_event", event).await.ok();
    world.simulator.settled().await;
    let echo = &world.receiver.of("incoming_event")[0]["payload"];
    assert_eq!((&echo["event"]["id"], &echo["event"]["custom_id"]), (&sent["event_id"], &json!("m1")));
    assert_eq!((&echo["event"]["author_id"], &echo["event"]["visibility"]), (&json!(identity.id), &json!("all")));

    world.customer(&identity, "deactivate_chat", json!({"id": chat_id})).await.ok();
    world.simulator.settled().await;
    assert_eq!(world.receiver.of("chat_deactivated")[0]["payload"]["user_id"], identity.id);
    let closing = &world.receiver.of("incoming_event")[1]["payload"]["event"];
    assert_eq!(closing["system_message_type"], "manual_archived_customer");
    assert!(closing.get("author_id").is_none());
    assert_eq!(world.receiver.of("user_removed_from_chat")[0]["payload"]["reason"], "chat_deactivated");
}

#[tokio::test]
async fn the_router_closes_without_a_user_id() {
    let world = World::listening().await;
    let (_, chat_id) = world.chat().await;
    world.simulator.router_closes(&chat_id).unwrap();
    world.simulator.settled().await;
    assert!(world.receiver.of("chat_deactivated")[0]["payload"].get("user_id").is_none());
}

#[tokio::test]
async fn edits_and_deletions_are_told() {
    let world = World::listening().await;
    let (_, chat_id) = world.chat().await;
    let event_id = world.simulator.agent_sends_text(&chat_id, ANNA, "teh").unwrap();
    world.simulator.agent_edits(&chat_id, &event_id, "the").unwrap();
    world.simulator.agent_deletes(&chat_id, ANNA, &event_id).unwrap();
    world.simulator.settled().await;
    assert_eq!(world.receiver.of("event_updated")[0]["payload"]["event"]["text"], "the");
    assert_eq!(world.receiver.of("event_deleted")[0]["payload"]["event_id"], event_id);
}

#[tokio::test]
async fn filters_hold_back_what_nobody_asked_for() {
    let world = World::new().await;
    let cases = [
        (json!({"author_type": "agent"}), vec!["from the agent", "from elsewhere"]),
        (json!({"author_type": "customer"}), vec!["from the customer"]),
        (json!({"only_my_chats": true}), vec!["from the customer", "from the agent", "Anna closed the chat"]),
        (json!({"only_my_chats": true, "author_type": "agent"}), vec!["from the agent"]),
        (json!({"source_type": ["my_client"]}), vec!["from the customer"]),
        (json!({"source_type": ["other_clients", "system"], "author_type": "customer"}), vec![]),
        (json!({"chat_presence": {"user_ids": {"values": [BEN]}}}), vec![]),
        (
            json!({"chat_presence": {"user_ids": {"exclude_values": [BEN]}}, "only_my_chats": true}),
            vec!["from the customer", "from the agent", "Anna closed the chat"],
        ),
        (json!({"chat_presence": {"my_bots": true}}), vec![]),
    ];
    for (filters, expected) in cases {
        let receiver = Receiver::start(world.clock.clock()).await;
        let body = json!({
            "action": "incoming_event", "secret_key": "s", "url": receiver.url(), "type": "license",
            "owner_client_id": world.simulator.account().client_id, "filters": filters,
        });
        let registered = world.configuration("register_webhook", body).await.ok();
        let (identity, chat_id) = world.chat().await;
        let event = json!({"chat_id": chat_id, "event": {"type": "message", "text": "from the customer"}});
        world.customer(&identity, "send_event", event).await.ok();
        world.simulator.agent_sends_text(&chat_id, ANNA, "from the agent").unwrap();
        world.simulator.agent_closes(&chat_id, ANNA).unwrap();
        world.simulator.customer_sends_text_elsewhere("hello", "from elsewhere").unwrap();
        world.simulator.settled().await;
        let mut texts: Vec<_> = receiver
            .bodies()
            .iter()
            .map(|body| body["payload"]["event"]["text"].as_str().unwrap().to_owned())
            .collect();
        let mut expected = expected;
        texts.sort();
        expected.sort_unstable();
        assert_eq!(texts, expected, "{filters}");
        let remove = json!({"id": registered["id"], "owner_client_id": world.simulator.account().client_id});
        world.configuration("unregister_webhook", remove).await.ok();
    }
}

#[tokio::test]
async fn additional_data_comes_when_asked_for() {
    let world = World::new().await;
    let body = json!({
        "action": "incoming_event", "secret_key": "s", "url": world.receiver.url(), "type": "license",
        "owner_client_id": world.simulator.account().client_id,
        "additional_data": ["chat_properties", "chat_presence_user_ids"],
    });
    world.configuration("register_webhook", body).await.ok();
    let (identity, chat_id) = world.chat().await;
    world.simulator.agent_sends_text(&chat_id, ANNA, "hi").unwrap();
    world.simulator.settled().await;
    let additional = &world.receiver.bodies()[0]["additional_data"];
    assert_eq!(additional["chat_presence_user_ids"], json!([identity.id, ANNA]));
    assert_eq!(additional["chat_properties"]["routing"]["continuous"], false);
}

#[tokio::test]
async fn a_failed_delivery_is_tried_three_more_times_within_a_minute() {
    let world = World::new().await;
    world.simulator.register_webhooks(&world.receiver.url(), "s3cr3t", &["incoming_chat"]).unwrap();
    world.receiver.faults.next(1, "/livechat", Fault::answer(204, ""));
    world.receiver.faults.next(1, "/livechat", Fault::Reset);
    world.receiver.faults.next(2, "/livechat", Fault::answer(500, "no"));
    world.chat().await;
    for attempts in 1..=4 {
        world.simulator.settled().await;
        assert_eq!(world.journal.all("webhook_delivered").len(), attempts);
        world.clock.advance(Duration::from_secs(30));
    }
    world.clock.advance(Duration::from_secs(3_600));
    world.simulator.settled().await;
    let statuses: Vec<_> =
        world.journal.all("webhook_delivered").iter().map(|entry| entry.detail["status"].clone()).collect();
    assert_eq!(statuses, [json!(204), Value::Null, json!(500), json!(500)]);
    assert!(world.receiver.bodies().is_empty());
}

#[tokio::test]
async fn retries_stop_at_the_first_200_and_fit_into_a_minute() {
    let world = World::new().await;
    world.simulator.register_webhooks(&world.receiver.url(), "s3cr3t", &["incoming_chat"]).unwrap();
    world.receiver.faults.next(3, "/livechat", Fault::answer(500, "no"));
    let started_at = world.clock.now();
    world.chat().await;
    world.simulator.settled().await;
    while let Some(next) = world.clock.next_wake() {
        world.clock.advance(next.since(world.clock.now()));
        world.simulator.settled().await;
    }
    assert_eq!(world.receiver.bodies().len(), 1);
    let attempts = world.journal.all("webhook_delivered");
    assert_eq!((attempts.len(), &attempts[3].detail["attempt"]), (4, &json!(4)));
    assert!(attempts[3].at.since(started_at) < Duration::from_secs(60));
}

#[tokio::test]
async fn a_delivery_can_be_repeated() {
    let world = World::listening().await;
    let (_, chat_id) = world.chat().await;
    world.simulator.agent_sends_text(&chat_id, ANNA, "once").unwrap();
    world.simulator.settled().await;
    assert!(world.simulator.deliver_again("incoming_event"));
    world.simulator.settled().await;
    let copies = world.receiver.of("incoming_event");
    assert_eq!((copies.len(), &copies[0]), (2, &copies[1]));
    let delivery = world.journal.all("webhook_delivered")[0].detail["delivery"].as_u64().unwrap();
    let before = world.receiver.bodies().len();
    assert!(world.simulator.replay(delivery));
    world.simulator.settled().await;
    assert_eq!(world.receiver.bodies().len(), before + 1);
    assert!(!world.simulator.deliver_again("thread_tagged"));
    assert!(!world.simulator.replay(1_000));
}

#[tokio::test]
async fn a_webhook_of_type_bot_is_never_sent_without_a_bot() {
    let world = World::new().await;
    let body = json!({
        "action": "incoming_chat", "secret_key": "s", "url": world.receiver.url(), "type": "bot",
        "owner_client_id": world.simulator.account().client_id,
    });
    world.configuration("register_webhook", body).await.ok();
    world.chat().await;
    world.simulator.settled().await;
    assert!(world.receiver.bodies().is_empty());
}

#[tokio::test]
async fn a_lost_answer_leaves_its_effect() {
    let world = World::new().await;
    let (identity, chat_id) = world.chat().await;
    world.simulator.faults().next(1, "customer/action/send_event", Fault::LoseAnswer);
    let organization = &world.simulator.account().organization_id;
    let url = format!("{}/v3.6/customer/action/send_event?organization_id={organization}", world.simulator.url());
    let event = json!({"chat_id": chat_id, "event": {"type": "message", "text": "hi"}});
    let outcome = world.http.post(url).bearer_auth(&identity.token).json(&event).send().await;
    assert!(outcome.is_err());
    assert_eq!(world.journal.all("event_sent").len(), 1);
}
