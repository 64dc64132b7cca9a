//! URLs that grant access to their readers are neither shown to agents nor stored in archives.

use sandbox::faults::Fault;
use sandbox::journal::digest;
use serde_json::{Value, json};
use tests::World;

const TELEGRAM: &str =
    "https://api.telegram.org/file/bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/photos/file_0.jpg";

const KEYS: [&str; 4] = [
    TELEGRAM,
    "https://ann:geheim@files.example.com/cat.png",
    "https://b.s3.amazonaws.com/cat.png?X-Amz-Signature=geheim",
    "https://acct.blob.core.windows.net/c/cat.png?sv=2024&sig=geheim",
];

fn image(url: &str) -> Value {
    json!({"imageUrl": url, "title": "Cat"})
}

/// Returns everything that LiveChat received, as one text.
fn told(world: &World) -> String {
    let events = world.stack.journal.all("event_sent").into_iter().chain(world.stack.journal.all("customer_updated"));
    events.map(|entry| entry.detail.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_behind_a_key_is_fetched_or_named_without_its_address() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    for url in KEYS {
        world.shows(&ann, "image", image(url)).await;
        assert_eq!(world.sent_by_customers().last().unwrap(), "[image] Cat", "{url}");
    }
    let plain = world.stack.botpress.stores_file("cat.png", "image/png", b"meow".to_vec());
    let presigned = format!("{plain}?access_token=geheim");
    world.shows(&ann, "image", image(&presigned)).await;
    let shown = world.entries("event_sent", "/type", "file");
    assert_eq!(shown.last().unwrap().text("/file/sha256"), digest(b"meow"), "what may be fetched is shown itself");
    world.stack.botpress.file_faults().next(1, "GET /", Fault::answer(404, ""));
    world.shows(&ann, "image", image(&presigned)).await;
    assert_eq!(world.sent_by_customers().last().unwrap(), "[image] Cat");
    world.shows(&ann, "image", image("https://elsewhere.example/cat.png")).await;
    assert_eq!(world.sent_by_customers().last().unwrap(), "[image] Cat: https://elsewhere.example/cat.png");
    assert!(!told(&world).contains("geheim") && !told(&world).contains("AAHdqTcv"), "{}", told(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_in_what_agents_read_first() {
    let world = World::in_process().await;
    let profile = json!({"name": "Ann", "pictureUrl": TELEGRAM});
    let user_id = world.act("createUser", profile).await.json()["output"]["userId"].clone();
    let (user, bot) = (json!({"type": "user", "userId": user_id}), json!({"type": "bot"}));
    let [_, password, amazon, azure] = KEYS;
    let card = json!({"title": "Bill", "imageUrl": password, "actions": [
        {"action": "url", "label": "Open", "value": amazon}, {"action": "url", "label": "Shop", "value": "https://s"},
    ]});
    let history = json!([
        {"source": user, "type": "image", "payload": image(TELEGRAM)},
        {"source": user, "type": "file", "payload": {"fileUrl": azure}},
        {"source": bot, "type": "card", "payload": card},
        {"source": user, "type": "text", "payload": {"text": "see https://f.example/?sig=mine"}},
    ]);
    let answer = world.act("startHitl", json!({"userId": user_id, "messageHistory": history})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    world.settle().await;
    let expected = "Conversation so far:\nAnn: [image] Cat\nAnn: [file]\nBot: [card] Bill\n> [image]\n> - Open\n> - Shop: https://s\n\
        Ann: see https://f.example/?sig=mine";
    assert_eq!(world.sent_by_customers(), [expected], "what somebody typed is theirs");
    assert!(!told(&world).contains("geheim") && !told(&world).contains("AAHdqTcv"), "{}", told(&world));
}
