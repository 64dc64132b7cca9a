//! No URL from input is ever requested, except those of users' files, under their own rules.

use std::sync::{Arc, Mutex};

use sandbox::faults::{Fault, Faults};
use sandbox::server::Server;
use serde_json::{Value, json};
use tests::{ANNA, ASK, World};

/// A server that the service has no reason to call.
struct Trap {
    server: Server,
    calls: Faults,
}

impl Trap {
    async fn set(world: &World) -> Self {
        let calls = Faults::default();
        // Every call is a fault, and faults are recorded.
        calls.always("", Fault::answer(200, "{}"));
        let server = Server::start(0, axum::Router::new(), calls.clone(), world.clock()).await.unwrap();
        Self { server, calls }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.server.url())
    }

    fn hits(&self) -> Vec<String> {
        self.calls.spoiled().into_iter().map(|spoiled| spoiled.call).collect()
    }
}

/// Replaces every text that could be a URL with one that leads into the trap.
fn baited(value: &mut Value, bait: &str) {
    match value {
        Value::String(text) if text.contains("://") || text.contains("example") => *text = bait.to_owned(),
        Value::Object(fields) => fields.values_mut().for_each(|field| baited(field, bait)),
        Value::Array(items) => items.iter_mut().for_each(|item| baited(item, bait)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_in_what_callers_send_is_asked_for_anything() {
    let world = World::in_process().await;
    let trap = Trap::set(&world).await;
    let bait = trap.url("bait.png");
    let said = |kind: &str, payload: Value| json!({"source": {"type": "bot"}, "type": kind, "payload": payload});
    let media = |name: &str| json!({name: bait, "title": bait, "text": bait});
    let profile = json!({"name": bait, "email": "eve@example.com", "pictureUrl": bait});
    let user_id = world.act("createUser", profile).await.json()["output"]["userId"].as_str().unwrap().to_owned();
    let start = json!({
        "userId": user_id, "title": bait, "description": bait,
        "hitlSession": {"tags": [bait], "sessionFields": {"url": bait, &bait: bait}},
        "messageHistory": [said("image", media("imageUrl")), said("file", media("fileUrl")), said("text", json!({"text": bait}))],
    });
    let headers = ["host", "x-forwarded-host", "origin", "referer", "forwarded", "traceparent"];
    let headers = headers.map(|name| (name, Some(bait.as_str())));
    let body = json!({"type": "startHitl", "input": start});
    let started = world.operate_with("action_triggered", &body, &headers[1..]).await;
    let conversation_id = started.json()["output"]["conversationId"].as_str().unwrap().to_owned();
    world.settle().await;
    for (number, (kind, name)) in
        [("image", "imageUrl"), ("audio", "audioUrl"), ("video", "videoUrl"), ("file", "fileUrl"), ("text", "text")]
            .into_iter()
            .enumerate()
    {
        let mut message = tests::message(&conversation_id, &format!("m{number}"), "", Some(&user_id), world.now());
        message["type"] = json!(kind);
        message["payload"][name] = json!(bait);
        assert_eq!(world.operate("message_created", &message).await.status, 200);
        world.settle().await;
    }
    for operation in ["register", "unregister"] {
        world
            .operate(
                operation,
                &json!({ "webhookUrl": format!("{bait}/{}", world.stack.botpress.options().install.webhook_id) }),
            )
            .await;
    }
    let (chat_id, thread_id) = world.chat_and_thread();
    let events = [
        json!({"type": "message", "text": bait}),
        json!({"type": "file", "url": bait, "name": bait, "content_type": "image/png"}),
        json!({"type": "rich_message", "template_id": "cards", "elements": [{"title": bait, "image": {"url": bait},
            "buttons": [{"text": bait, "type": "url", "value": bait}]}]}),
    ];
    for (number, mut event) in events.into_iter().enumerate() {
        let more = json!({"id": format!("E{number}"), "author_id": ANNA, "visibility": "all", "created_at": world.now().to_string()});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let user = json!({"id": ANNA, "type": "agent", "name": bait, "avatar": bait, "present": true});
        let event = json!({"chat_id": chat_id, "thread_id": thread_id, "event": event});
        assert_eq!(world.reports("incoming_event", event).await, 200);
        let joined = json!({"chat_id": chat_id, "thread_id": thread_id, "user": user});
        assert_eq!(world.reports("user_added_to_chat", joined).await, 200);
    }
    let widget = world.widget_user().await;
    world.widget_says(&widget, &format!("{ASK} {bait}")).await;
    world.widget_says(&widget, &bait).await;
    world.catch_up().await;
    assert_eq!(trap.hits(), Vec::<String>::new());
    for (vendor, effect) in [("Botpress", "message_created"), ("LiveChat", "event_sent")] {
        let passed_on = world.stack.journal.all(effect).iter().any(|entry| entry.detail.to_string().contains(&bait));
        assert!(passed_on, "the bait has gone all the way to {vendor}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_in_what_vendors_answer_is_asked_for_anything() {
    let world = World::in_process().await;
    let trap = Arc::new(Mutex::new(Trap::set(&world).await));
    let bait = trap.lock().unwrap().url("bait");
    for faults in [world.stack.livechat.faults(), world.stack.botpress.faults(), world.stack.botcopy.faults()] {
        let bait = bait.clone();
        faults.always(
            "",
            Fault::garble(move |body| match serde_json::from_slice::<Value>(&body) {
                Ok(mut value) => {
                    baited(&mut value, &bait);
                    value.to_string().into_bytes()
                }
                Err(_) => body,
            }),
        );
    }
    let user = world.user("Ann").await;
    drop(world.escalate(&user).await);
    world.says(&user, "hello").await;
    let widget = world.stack.botcopy.new_user();
    world.widget_says(&widget, ASK).await;
    world.catch_up().await;
    world.stack.livechat.faults().clear();
    let elsewhere = Fault::Answer { status: 302, headers: [("location".to_owned(), bait)].into(), body: String::new() };
    for faults in [world.stack.livechat.faults(), world.stack.botpress.faults(), world.stack.botcopy.faults()] {
        faults.clear();
        faults.next(20, "", elsewhere.clone());
    }
    drop(world.escalate(&user).await);
    world.widget_says(&widget, "hello").await;
    world.catch_up().await;
    assert_eq!(trap.lock().unwrap().hits(), Vec::<String>::new());
}
