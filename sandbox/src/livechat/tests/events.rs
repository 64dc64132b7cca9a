use super::*;

async fn sent(world: &World, identity: &Identity, chat_id: &str, event: Value) -> Answer {
    world.customer(identity, "send_event", json!({"chat_id": chat_id, "event": event})).await
}

#[tokio::test]
async fn a_text_may_have_16_kilobytes_counted_in_bytes() {
    let world = World::new().await;
    let (identity, chat_id) = world.chat().await;
    for (text, fits) in [("x".repeat(16_384), true), ("x".repeat(16_385), false), ("ä".repeat(8_193), false)] {
        let answer = sent(&world, &identity, &chat_id, json!({"type": "message", "text": text})).await;
        assert_eq!(answer.status == 200, fits, "{}", text.len());
    }
}

#[tokio::test]
async fn events_that_cannot_be_sent_are_refused() {
    let world = World::new().await;
    let (identity, chat_id) = world.chat().await;
    let button = json!({"text": "Yes", "type": "message", "value": "yes", "postback_id": "p", "user_ids": []});
    let with_buttons = |buttons: Vec<Value>| {
        json!({
            "type": "rich_message", "template_id": "cards", "elements": [{"buttons": buttons}],
        })
    };
    let mut incomplete = button.clone();
    incomplete.as_object_mut().unwrap().remove("user_ids");
    let mut tall = button.clone();
    tall["webview_height"] = json!("tall");
    let refused = [
        json!({"text": "no type"}),
        json!({"type": "shout", "text": "hi"}),
        json!({"type": "message"}),
        json!({"type": "message", "text": ""}),
        json!({"type": "message", "text": "hi", "postback": {"id": "p", "thread_id": "t", "event_id": "e", "type": "x"}}),
        json!({"type": "message", "text": "hi", "properties": {"chats": {"unknown": true}}}),
        json!({"type": "file"}),
        json!({"type": "file", "url": "https://example.com/cat.png"}),
        json!({"type": "system"}),
        json!({"type": "system_message"}),
        json!({"type": "filled_form", "form_id": "f"}),
        json!({"type": "rich_message"}),
        json!({"type": "rich_message", "template_id": "poster"}),
        json!({"type": "rich_message", "template_id": "cards", "elements": vec![json!({}); 11]}),
        with_buttons(vec![button.clone(); 14]),
        with_buttons(vec![incomplete]),
        with_buttons(vec![tall]),
    ];
    for event in refused {
        sent(&world, &identity, &chat_id, event).await.refused(422, "validation");
    }
    assert!(world.journal.all("event_sent").is_empty());

    let accepted = [
        json!({"type": "message", "text": "hi", "visibility": "all", "recipients": "all"}),
        json!({"type": "message", "text": "*hi*", "properties": {"chats": {"formatting": "commonmark"}}}),
        json!({"type": "custom", "content": {"any": 1}}),
        json!({"type": "system_message", "system_message_type": "ours", "text": "hi"}),
        with_buttons(vec![button; 13]),
    ];
    for event in accepted {
        sent(&world, &identity, &chat_id, event).await.ok();
    }
}

#[tokio::test]
async fn a_closed_thread_takes_nothing_more_unless_asked_to() {
    let world = World::new().await;
    let (identity, chat_id) = world.chat().await;
    world.simulator.agent_closes(&chat_id, ANNA).unwrap();
    let message = json!({"type": "message", "text": "late"});
    sent(&world, &identity, &chat_id, message.clone()).await.refused(422, "chat_inactive");
    world.agent("send_event", json!({"chat_id": chat_id, "event": message})).await.refused(422, "chat_inactive");
    world.customer(&identity, "deactivate_chat", json!({"id": chat_id})).await.refused(422, "chat_inactive");

    let attached = json!({"chat_id": chat_id, "event": message, "attach_to_last_thread": true});
    world.customer(&identity, "send_event", attached.clone()).await.ok();
    world.agent("send_event", attached).await.refused(422, "chat_inactive");
}

#[tokio::test]
async fn the_journal_holds_every_event_with_its_author() {
    let world = World::new().await;
    let identity = world.identity().await;
    let start = json!({"chat": {"thread": {"events": [{"type": "message", "text": "initial", "custom_id": "c1"}]}}});
    let started = world.customer(&identity, "start_chat", start).await.ok();
    let chat_id = started["chat_id"].as_str().unwrap();
    world.simulator.agent_sends_private_note(chat_id, ANNA, "careful").unwrap();
    world.simulator.router_closes(chat_id).unwrap();
    let entries = world.journal.all("event_sent");
    let brief: Vec<_> = entries
        .iter()
        .map(|entry| {
            [entry.text("/author_type"), entry.text("/author_id"), entry.text("/visibility"), entry.text("/text")]
        })
        .collect();
    assert_eq!(brief[0], ["customer", identity.id.as_str(), "all", "initial"]);
    assert_eq!(brief[1], ["agent", ANNA, "agents", "careful"]);
    assert_eq!(entries[2].text("/system_message_type"), "routing.archived_inactive");
    assert_eq!((entries[0].text("/custom_id"), entries[0].text("/type")), ("c1", "message"));
    assert_eq!(world.last("chat_deactivated").detail["by"], Value::Null);
}

#[tokio::test]
async fn event_times_grow_although_the_clock_stands_still() {
    let world = World::new().await;
    let (identity, chat_id) = world.chat().await;
    for n in 0..3 {
        sent(&world, &identity, &chat_id, json!({"type": "message", "text": n.to_string()})).await.ok();
    }
    let events = world.simulator.thread(&chat_id).unwrap().events;
    assert!(events.windows(2).all(|pair| pair[0].created_at < pair[1].created_at));
}

#[tokio::test]
async fn only_the_author_deletes_an_event_as_a_customer() {
    let world = World::listening().await;
    let (identity, chat_id) = world.chat().await;
    let own = sent(&world, &identity, &chat_id, json!({"type": "message", "text": "oops"})).await.ok();
    let theirs = world.simulator.agent_sends_text(&chat_id, ANNA, "hello").unwrap();
    let thread_id = world.simulator.thread(&chat_id).unwrap().id;
    let delete = |event_id: &Value| json!({"chat_id": chat_id, "thread_id": thread_id, "event_id": event_id});
    world.customer(&identity, "delete_event", delete(&own["event_id"])).await.ok();
    world.customer(&identity, "delete_event", delete(&json!(theirs))).await.refused(403, "authorization");
    let seen = world.customer(&identity, "get_chat", json!({"chat_id": chat_id})).await.ok();
    assert_eq!(seen["thread"]["events"].as_array().unwrap().len(), 1);
    let shown = world.agent("get_chat", json!({"chat_id": chat_id})).await.ok();
    assert_eq!(shown["thread"]["events"][0]["deleted"], true);
    world.simulator.settled().await;
    assert_eq!(world.receiver.of("event_deleted")[0]["payload"]["event_id"], own["event_id"]);
}

#[tokio::test]
async fn typing_is_noted_and_fires_nothing() {
    let world = World::listening().await;
    let (identity, chat_id) = world.chat().await;
    world.simulator.settled().await;
    let before = world.receiver.bodies().len();
    let peek = json!({"chat_id": chat_id, "sneak_peek_text": "I am wri"});
    world.customer(&identity, "send_sneak_peek", peek).await.ok();
    assert_eq!(world.last("sneak_peek_sent").text("/text"), "I am wri");
    world.simulator.settled().await;
    assert_eq!(world.receiver.bodies().len(), before);
}

#[tokio::test]
async fn a_button_press_is_told_for_active_threads() {
    let world = World::listening().await;
    let (identity, chat_id) = world.chat().await;
    let buttons = json!([{"text": "Yes", "type": "message", "value": "y", "postback_id": "p", "user_ids": []}]);
    let event = json!({"type": "rich_message", "template_id": "quick_replies", "elements": [{"buttons": buttons}]});
    let event_id = world.simulator.agent_sends_event(&chat_id, ANNA, &event).unwrap();
    let thread_id = world.simulator.thread(&chat_id).unwrap().id;
    let postback = json!({
        "chat_id": chat_id, "thread_id": thread_id, "event_id": event_id, "postback": {"id": "p", "toggled": true},
    });
    world.customer(&identity, "send_rich_message_postback", postback).await.ok();
    world.simulator.settled().await;
    let told = world.receiver.of("incoming_rich_message_postback");
    assert_eq!(told[0]["payload"]["user_id"], identity.id);
}
