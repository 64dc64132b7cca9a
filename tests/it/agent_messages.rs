//! What agents send, and exactly what Botpress receives of it.

use sandbox::botpress::Definition;
use sandbox::journal::Entry;
use serde_json::{Value, json};
use tests::{ANNA, World, http};

use crate::events::{message, with};

/// Returns the messages that Botpress received in an agent's name.
fn posted(world: &World) -> Vec<Entry> {
    world.entries("message_created", "/direction", "incoming")
}

/// Returns an event without text whose type is not a message.
fn other(changes: Value) -> Value {
    with(&json!({"text": null}), changes)
}

fn file(name: &str, content_type: &str) -> Value {
    json!({"type": "file", "text": null, "name": name, "url": "https://cdn.example.com/f", "content_type": content_type})
}

fn rich(template_id: &str, elements: Value) -> Value {
    json!({"type": "rich_message", "text": null, "template_id": template_id, "elements": elements})
}

/// Every documented shape of an agent's event, with the type and payload that Botpress gets.
fn shapes() -> Vec<(Value, &'static str, Value)> {
    let url = "https://cdn.example.com/f";
    let text = |text: &str| json!({ "text": text });
    let button = |kind: &str, text: &str, value: &str| json!({"type": kind, "text": text, "value": value, "postback_id": "p", "user_ids": []});
    let card = json!({
        "title": "Blue", "subtitle": "XL", "image": {"url": "https://i.example.com/blue.png", "name": "b", "width": 9},
        "buttons": [
            button("url", "Buy", "https://shop.example.com"),
            button("webview", "Look", "https://shop.example.com/look"),
            button("phone", "Call", "+48 500"),
            button("message", "No", "no, thanks"),
        ],
    });
    let card_text = "**Blue**\nXL\n![Blue](https://i.example.com/blue.png)\n- [Buy](https://shop.example.com)\n\
                     - [Look](https://shop.example.com/look)\n- Call +48 500\n- No";
    let bare = json!({"buttons": [{"text": "Only text", "postback_id": "p"}]});
    vec![
        (json!({"text": "Hi"}), "text", text("Hi")),
        (json!({"text": " two\nlines "}), "text", text(" two\nlines ")),
        (
            json!({"text": "**b** [a](https://b)", "properties": {"chats": {"formatting": "commonmark"}}}),
            "text",
            text("**b** [a](https://b)"),
        ),
        (json!({"text": "a".repeat(16_000)}), "text", text(&"a".repeat(16_000))),
        (file("cat.png", "image/png"), "image", json!({"imageUrl": url, "title": "cat.png"})),
        (
            with(
                &file("cat.png", "image/png"),
                json!({"size": 4, "width": 1, "height": 1, "thumbnail_url": "https://t",
            "thumbnail2x_url": "https://t2", "alternative_text": "A cat"}),
            ),
            "image",
            json!({"imageUrl": url, "title": "cat.png"}),
        ),
        (
            with(&file("", "image/png"), json!({"alternative_text": "A cat"})),
            "image",
            json!({"imageUrl": url, "title": "A cat"}),
        ),
        (file("a.mp3", "audio/mpeg"), "audio", json!({"audioUrl": url, "title": "a.mp3"})),
        (file("a.mp4", "video/mp4"), "video", json!({"videoUrl": url, "title": "a.mp4"})),
        (file("a.pdf", "application/pdf"), "file", json!({"fileUrl": url, "title": "a.pdf"})),
        (other(json!({"type": "file", "url": "//cdn.example.com/f"})), "file", json!({"fileUrl": url})),
        (rich("cards", json!([card, bare])), "text", text(&format!("{card_text}\n\n- Only text"))),
        (
            rich("quick_replies", json!([{"title": "Well?", "buttons": [button("message", "Yes", "yes")]}])),
            "text",
            text("**Well?**\n- Yes"),
        ),
        (
            rich("sticker", json!([{"image": {"url": "https://i.example.com/s.png"}}])),
            "text",
            text("![](https://i.example.com/s.png)"),
        ),
        (rich("ecommerce", json!([{"ecommerce": {"product": 7}}])), "text", text("[ecommerce]")),
        (other(json!({"type": "rich_message"})), "text", text("[rich_message]")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_of_an_agents_message_is_one_exact_call() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let agent = world.bot_events("hitlAssigned")[0].text("/user_id").to_owned();
    let downstream = world.stack.journal.all("conversation_created").remove(0).text("/conversation_id").to_owned();
    for (number, (changes, kind, payload)) in shapes().into_iter().enumerate() {
        let report = message(&world, number, changes);
        for _ in 0..2 {
            assert_eq!(world.reports("incoming_event", report.clone()).await, 200);
        }
        let posted = posted(&world);
        assert_eq!(posted.len(), number + 1, "{report}");
        let last = posted.last().unwrap();
        assert_eq!((last.text("/type"), &last.detail["payload"]), (kind, &payload), "{report}");
        let tag = format!("event:{}", report["event"]["id"].as_str().unwrap());
        assert_eq!(last.detail["tags"], json!({ "id": tag }), "{report}");
        assert_eq!((last.text("/user_id"), last.text("/conversation_id")), (agent.as_str(), downstream.as_str()));
        let shown = world.entries("shown_to_user", "/from", "agent").pop().unwrap();
        assert_eq!((shown.text("/type"), shown.text("/name")), (kind, "Anna"), "{report}");
    }
    assert!(world.entries("call_answered", "/error_type", "InvalidPayload").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_private_is_shown_whatever_its_shape_not_even_changed_or_deleted() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let before = world.stack.journal.len();
    let (chat_id, thread_id) = world.chat_and_thread();
    for (number, (changes, ..)) in shapes().into_iter().enumerate() {
        for private in [
            json!({"visibility": "agents"}),
            json!({"visibility": "supervisors"}),
            json!({"visibility": null, "recipients": "agents"}),
        ] {
            let report = message(&world, number, with(&changes, private));
            let event_id = report["event"]["id"].clone();
            // LiveChat always reports who may see a change. Even if it does not, a note must not reach the user.
            let mut untold = report.clone();
            untold["event"] = with(&report["event"], json!({"visibility": null, "recipients": null}));
            let deletion = json!({"chat_id": chat_id, "thread_id": thread_id, "event_id": event_id});
            for (action, payload) in [
                ("incoming_event", report.clone()),
                ("event_updated", report),
                ("event_updated", untold),
                ("event_deleted", deletion),
            ] {
                assert_eq!(world.reports(action, payload.clone()).await, 200);
                let since = world.stack.journal.since(before);
                assert!(since.is_empty(), "{action} {payload}: {since:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_reaches_the_user_byte_for_byte_under_its_name() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for (name, content_type, key) in
        [("cat photo.png", "image/png", "imageUrl"), ("bill.pdf", "application/pdf", "fileUrl")]
    {
        let livechat = &world.stack.livechat;
        livechat.agent_sends_file(&world.chat_id(), ANNA, name, content_type, bytes.clone()).unwrap();
        world.settle().await;
        let shown = world.entries("shown_to_user", "/from", "agent").pop().unwrap();
        assert_eq!(shown.text("/payload/title"), name);
        let url = shown.text(&format!("/payload/{key}")).to_owned();
        let fetched = http().get(url).send().await.unwrap().bytes().await.unwrap();
        assert!(fetched == bytes, "{name}: {} bytes arrived", fetched.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_declares_less_gets_what_it_takes() {
    let untitled = Definition { media_titles: false, ..Definition::default() };
    let text_only = Definition { message_types: ["text".to_owned()].into(), ..Definition::default() };
    for (definition, kind, payload, refused) in [
        (untitled, "image", json!({"imageUrl": "https://cdn.example.com/f"}), 1),
        (text_only, "text", json!({"text": "[image] cat.png: https://cdn.example.com/f"}), 2),
    ] {
        let world = World::with_definition(definition).await;
        world.escalated_user("Ann").await;
        world.reports("incoming_event", message(&world, 0, file("cat.png", "image/png"))).await;
        let last = posted(&world).pop().unwrap();
        assert_eq!((last.text("/type"), &last.detail["payload"]), (kind, &payload));
        assert_eq!(world.entries("call_answered", "/error_type", "InvalidPayload").len(), refused);
        assert!(world.items("parked").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_botpress_never_takes_is_told_to_the_agent() {
    let nothing = Definition { message_types: ["bloc".to_owned()].into(), ..Definition::default() };
    let world = World::with_definition(nothing).await;
    world.escalated_user("Ann").await;
    world.reports("incoming_event", message(&world, 0, file("cat.png", "image/png"))).await;
    world.sweep().await;
    assert_eq!(world.items("parked").len(), 1);
    let told = "[Bot] The last message could not be delivered to the customer.";
    assert_eq!(world.sent_by_customers().last().unwrap(), told);
}
