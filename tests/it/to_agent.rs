//! Every kind of message a user can send, as LiveChat gets it.

use sandbox::botpress::UpstreamUser;
use sandbox::faults::Fault;
use sandbox::journal::{Entry, digest};
use serde_json::{Value, json};
use tests::{ANNA, World};

/// Returns what customers sent after the opening, as far as an agent can see it.
fn sent(world: &World) -> Vec<Value> {
    let said = |entry: &Entry| match entry.text("/type") {
        "file" => json!({"file": entry.detail["file"], "alternative_text": entry.detail["alternative_text"]}),
        _ if entry.detail["properties"]["chats"]["formatting"] == "commonmark" => {
            json!({"markdown": entry.text("/text")})
        }
        _ => json!(entry.text("/text")),
    };
    let events = world.entries("event_sent", "/author_type", "customer");
    events.iter().filter(|entry| !entry.text("/custom_id").starts_with("opening:")).map(said).collect()
}

fn shown(name: &str, content_type: &str, bytes: &[u8], alternative_text: Option<&str>) -> Value {
    let file = json!({"name": name, "content_type": content_type, "size": bytes.len(), "sha256": digest(bytes)});
    json!({"file": file, "alternative_text": alternative_text})
}

/// Returns a message as Botpress sends it, on behalf of a user or of no user.
fn created(world: &World, user: &UpstreamUser, kind: &str, mut payload: Value, is_users: bool) -> Value {
    let conversation_id = world.stack.botpress.downstream(&user.conversation_id).unwrap();
    if let (true, Some(payload)) = (is_users, payload.as_object_mut()) {
        payload.insert("userId".to_owned(), json!(world.stack.botpress.downstream_user(&user.user_id)));
    }
    json!({
        "type": kind, "payload": payload, "conversation": {"id": conversation_id}, "user": {"id": "the bot"},
        "message": {"id": format!("msg_{}", world.stack.journal.len()), "createdAt": world.now().to_string()},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_that_the_plugin_forwards_arrives_as_what_it_is() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let store = |name: &str, content_type: &str, bytes: &[u8]| {
        world.stack.botpress.stores_file(name, content_type, bytes.to_vec())
    };
    let image = store("cat.png", "image/png", b"meow");
    let audio = store("1234", "audio/ogg", b"purr");
    let video = store("cat.mp4", "application/octet-stream", b"jump");
    let file = store("x.pdf", "application/pdf", b"%PDF");
    let umlauts = store("%C3%BCber%20uns.csv", "text/csv; charset=utf-8", b"a,b");
    let item = |kind: &str, payload: Value| json!({"type": kind, "payload": payload});
    let bloc = json!({"items": [
        item("text", json!({"text": "Look:"})),
        item("image", json!({"imageUrl": image})),
        item("markdown", json!({"markdown": "*nice*"})),
        item("location", json!({"latitude": 52.5, "longitude": 13.4, "title": "Here"})),
        item("file", json!({"fileUrl": "https://elsewhere.example/bill.pdf", "title": "Bill"})),
    ]});
    for (kind, payload, expected) in [
        ("text", json!({"text": "Hi"}), vec![json!("Hi")]),
        (
            "image",
            json!({"imageUrl": image, "title": "My cat"}),
            vec![shown("My cat.png", "image/png", b"meow", Some("My cat"))],
        ),
        ("image", json!({"imageUrl": image}), vec![shown("cat.png", "image/png", b"meow", None)]),
        ("audio", json!({"audioUrl": audio}), vec![shown("1234.ogg", "audio/ogg", b"purr", None)]),
        ("video", json!({"videoUrl": video}), vec![shown("cat.mp4", "video/mp4", b"jump", None)]),
        ("file", json!({"fileUrl": file, "title": "Bill"}), vec![shown("Bill.pdf", "application/pdf", b"%PDF", None)]),
        ("file", json!({"fileUrl": umlauts}), vec![shown("über uns.csv", "text/csv", b"a,b", None)]),
        (
            "bloc",
            bloc,
            vec![
                json!("Look:"),
                shown("cat.png", "image/png", b"meow", None),
                json!({"markdown": "*nice*"}),
                json!("[location] Here: https://www.google.com/maps/search/?api=1&query=52.5,13.4"),
                json!("[file] Bill: https://elsewhere.example/bill.pdf"),
            ],
        ),
    ] {
        let since = sent(&world).len();
        world.shows(&ann, kind, payload).await;
        assert_eq!(sent(&world)[since..], expected, "{kind}");
    }
    assert!(world.items("waiting").is_empty() && world.items("parked").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_else_comes_is_readable_and_remarks_of_the_plugin_are_no_words_of_the_customer() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    let card =
        json!({"title": "Tea", "subtitle": "Green", "actions": [{"action": "say", "label": "More", "value": "m"}]});
    let choice = json!({"text": "Which?", "options": [{"label": "A", "value": "a"}]});
    for (kind, payload, by_user, by_plugin) in [
        (
            "text",
            json!({"text": "( The user has ended the session. )"}),
            json!("( The user has ended the session. )"),
            "[Bot] ( The user has ended the session. )",
        ),
        ("markdown", json!({"markdown": "*Hi*"}), json!({"markdown": "*Hi*"}), "[Bot] *Hi*"),
        ("card", card.clone(), json!("[card] Tea\nGreen\n- More"), "[Bot] [card] Tea\nGreen\n- More"),
        ("carousel", json!({"items": [card]}), json!("[card] Tea\nGreen\n- More"), "[Bot] [card] Tea\nGreen\n- More"),
        ("choice", choice.clone(), json!("Which?\n- A"), "[Bot] Which?\n- A"),
        ("dropdown", choice, json!("Which?\n- A"), "[Bot] Which?\n- A"),
        ("image", json!({"imageUrl": "ftp://x/y.png"}), json!("[image] ftp://x/y.png"), "[Bot] [image] ftp://x/y.png"),
        ("image", json!({"url": "https://x"}), json!("[image]"), "[Bot] [image]"),
        ("text", json!({}), json!("[text]"), "[Bot] [text]"),
        ("hologram", json!({"depth": 3}), json!("[hologram]"), "[Bot] [hologram]"),
        ("bloc", json!({"items": []}), json!("[bloc]"), "[Bot] [bloc]"),
    ] {
        for (is_users, expected) in [(true, &by_user), (false, &json!(by_plugin))] {
            let body = created(&world, &ann, kind, payload.clone(), is_users);
            assert_eq!(world.operate("message_created", &body).await.status, 200);
            world.settle().await;
            assert_eq!(sent(&world).last(), Some(expected), "{kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_arrives_in_parts_in_order_and_once_whatever_happens_on_the_way() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let long: String = (0..3_000).map(|n| format!("{n} größer 👩‍👩‍👧‍👦 ")).collect();
    for fault in [None, Some(Fault::answer(503, "")), Some(Fault::LoseAnswer), Some(Fault::Reset)] {
        let since = sent(&world).len();
        if let Some(fault) = &fault {
            world.stack.livechat.faults().next(1, "customer/action/send_event", fault.clone());
        }
        world.says(&ann, &long).await;
        assert!(world.stack.botpress.repeat_last_message_delivery());
        world.catch_up().await;
        let parts = sent(&world).split_off(since);
        assert!(parts.len() > 5 && parts.iter().all(|part| part.as_str().unwrap().len() <= 16_000));
        assert_eq!(parts.iter().map(|part| part.as_str().unwrap()).collect::<String>(), long, "{fault:?}");
        world.stack.livechat.faults().clear();
    }
    world.answers(ANNA, "That was long.").await;
    assert_eq!(world.shown_by_agents(), ["That was long."]);
}
