//! Who may report in LiveChat's name: only callers with the right secret, the stack's organization and a complete envelope.

use std::time::Duration;

use serde_json::{Value, json};
use tests::World;

/// Returns a report that would end the session if it were accepted.
fn closing(world: &World) -> Value {
    let (chat_id, thread_id) = world.chat_and_thread();
    world.envelope("chat_deactivated", json!({"chat_id": chat_id, "thread_id": thread_id}))
}

fn with(envelope: &Value, field: &str, value: Option<Value>) -> String {
    let mut envelope = envelope.clone();
    let fields = envelope.as_object_mut().unwrap();
    match value {
        Some(value) => fields.insert(field.to_owned(), value),
        None => fields.remove(field),
    };
    envelope.to_string()
}

/// Returns every way to be turned away, with its status.
fn forgeries(world: &World) -> Vec<(&'static str, u16, String)> {
    let envelope = closing(world);
    let secret = world.stack.webhook_secret();
    let of_secret = |value: Option<&str>| with(&envelope, "secret_key", value.map(|value| json!(value)));
    vec![
        ("a wrong secret", 401, of_secret(Some("wrong"))),
        ("no secret", 401, of_secret(None)),
        ("an empty secret", 401, of_secret(Some(""))),
        ("a longer secret", 401, of_secret(Some(&format!("{secret}x")))),
        ("a part of the secret", 401, of_secret(secret.get(..secret.len() - 1))),
        ("the secret in other letters", 401, of_secret(Some(&secret.to_uppercase()))),
        ("another organization", 403, with(&envelope, "organization_id", Some(json!("another-organization")))),
        ("no organization", 400, with(&envelope, "organization_id", None)),
        ("no payload", 400, with(&envelope, "payload", None)),
        ("a secret that is no text", 400, with(&envelope, "secret_key", Some(json!([secret])))),
        ("nothing", 400, String::new()),
        ("no JSON", 400, "chat_deactivated".to_owned()),
        ("no object", 400, json!([envelope]).to_string()),
        ("an app's life cycle", 400, json!({"applicationID": "a", "clientID": "c", "event": "install"}).to_string()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_prove_who_they_are_changes_nothing_and_learns_nothing() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let (items, entries) = (world.items_besides_doors(), world.stack.journal.len());
    for (what, status, body) in forgeries(&world) {
        let (answered, text) = world.post(&world.stack.webhook_url(), body).await;
        assert_eq!(answered, status, "{what}");
        assert!(["unauthorized", "forbidden", "malformed"].contains(&text.as_str()), "{what}: {text}");
    }
    let huge = with(&closing(&world), "padding", Some(json!("x".repeat(600 * 1024))));
    assert_eq!(world.post(&world.stack.webhook_url(), huge).await, (413, "too large".to_owned()));
    assert_eq!(world.items_besides_doors(), items);
    assert_eq!(world.stack.journal.len(), entries, "nobody was called");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_secret_is_believed() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let (status, text) = world.post(&world.stack.webhook_url(), closing(&world).to_string()).await;
    assert_eq!((status, text.as_str()), (200, "ok"));
    assert_eq!(world.bot_events("hitlStopped").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_rotation_the_old_and_the_new_secret_are_believed_and_later_only_the_new() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let report = |world: &World, secret: &str| {
        let envelope = world.envelope("routing_status_set", json!({}));
        (world.stack.webhook_url(), with(&envelope, "secret_key", Some(json!(secret))))
    };
    let statuses = async |expected: [u16; 3]| {
        for (secret, status) in [world.stack.webhook_secret(), "second", "third"].iter().zip(expected) {
            let (url, body) = report(&world, secret);
            assert_eq!(world.post(&url, body).await.0, status, "{secret}");
        }
    };
    statuses([200, 401, 401]).await;
    world.rotate_secret("webhookSecret", "second");
    world.advance(Duration::from_secs(11));
    statuses([200, 200, 401]).await;
    world.rotate_secret("webhookSecret", "third");
    world.advance(Duration::from_secs(290));
    statuses([401, 200, 200]).await;
    world.advance(Duration::from_secs(10));
    statuses([401, 401, 200]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_botpress_the_same_is_believed_and_the_answer_is_handed_back() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let items = world.items_besides_doors();
    let forgeries = forgeries(&world);
    let attempts = forgeries.len() + 1;
    for (what, status, body) in forgeries {
        let (answered, text) = world.post(&world.stack.botpress.webhook_url(), body).await;
        assert_eq!(answered, status, "{what}");
        assert!(["unauthorized", "forbidden", "malformed"].contains(&text.as_str()), "{what}: {text}");
    }
    assert_eq!(world.items_besides_doors(), items);
    let (status, text) = world.post(&world.stack.botpress.webhook_url(), closing(&world).to_string()).await;
    assert_eq!((status, text.as_str()), (200, "ok"));
    assert_eq!(world.bot_events("hitlStopped").len(), 1);
    let relayed = world.entries("operation_called", "/operation", "webhook_received");
    assert_eq!(relayed.len(), attempts);
}
