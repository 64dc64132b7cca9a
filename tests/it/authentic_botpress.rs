//! Only Botpress is let in: other callers learn nothing, and nothing happens.

use std::time::Duration;

use sandbox::botpress::sign;
use sandbox::faults::Fault;
use sandbox::journal::Vendor;
use serde_json::json;
use shared::clock::Timestamp;
use tests::{ANNA, Log, SECRET_ID, World, http};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Base64url of 32 bytes, as Botpress issues them; not the sandbox's own.
const OTHER_SIGNING_SECRET: &str = "_____________________________________________w";

/// A call made by hand, so that every proof in it can be wrong.
struct Call<'a> {
    key: &'a str,
    signature: Option<String>,
    operation: &'a str,
    body: &'a str,
}

/// A call that would create a user.
const CREATE_USER: &str = r#"{"type":"createUser","input":{"name":"Ann","email":"ann@example.com"}}"#;

impl Call<'_> {
    /// Sends the call. Returns the status and the body of the answer.
    async fn answer(&self, world: &World) -> (u16, String) {
        let install = &world.stack.botpress.options().install;
        let url = format!("{}/botpress/{}", world.stack.gateway.url(), self.key);
        let mut request = http().post(url).body(self.body.to_owned()).header("content-type", "application/json");
        for (name, value) in [
            ("x-bot-id", install.bot_id.as_str()),
            ("x-bot-user-id", install.bot_id.as_str()),
            ("x-integration-id", install.integration_id.as_str()),
            ("x-integration-alias", install.alias.as_str()),
            ("x-webhook-id", install.webhook_id.as_str()),
            ("x-bp-operation", self.operation),
            ("x-bp-configuration", "e30="),
        ] {
            request = request.header(name, value);
        }
        if let Some(signature) = &self.signature {
            request = request.header("x-bp-signature", signature);
        }
        let response = world.drive(request.send()).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

/// Returns the key in the integration's URL.
fn path_key(world: &World) -> String {
    world.stack.integration_url().rsplit('/').next().unwrap().to_owned()
}

fn signature(world: &World, at: Timestamp, body: &str) -> String {
    let secret = world.stack.botpress.options().signing_secret.as_deref().unwrap();
    sign(secret, at, body.as_bytes()).unwrap()
}

/// Asserts that a call is turned away without a trace.
async fn assert_turned_away(world: &World, call: &Call<'_>, statuses: &[u16], what: &str) {
    let (journal, items) = (world.stack.journal.len(), world.items_besides_doors());
    let (status, body) = call.answer(world).await;
    assert!(statuses.contains(&status), "{what}: {status} {body}");
    let words = ["unauthorized", "forbidden", r#"{"message":"Not Found"}"#];
    assert!(words.contains(&body.as_str()), "{what}: {body}");
    assert_eq!(world.stack.journal.len(), journal, "{what}");
    assert_eq!(world.items_besides_doors(), items, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_call_that_the_others_are_spoiled_copies_of_is_let_in() {
    let world = World::start().await;
    let (key, signature) = (path_key(&world), signature(&world, world.now(), CREATE_USER));
    let call = Call { key: &key, signature: Some(signature), operation: "action_triggered", body: CREATE_USER };
    assert_eq!(call.answer(&world).await.0, 200);
    assert_eq!(world.count("user_created"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_path_key_is_turned_away() {
    let world = World::start().await;
    let key = path_key(&world);
    let (shorter, longer, upper) = (&key[1..], format!("{key}x"), key.to_uppercase());
    for wrong in ["wrong", "", "%20", "%00", shorter, &longer, &upper] {
        let signature = Some(signature(&world, world.now(), CREATE_USER));
        let call = Call { key: wrong, signature, operation: "action_triggered", body: CREATE_USER };
        // Without a key the gateway has no route.
        let status = if wrong.is_empty() { 404 } else { 401 };
        assert_turned_away(&world, &call, &[status], wrong).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_signature_is_turned_away() {
    let world = World::start().await;
    let (key, now) = (path_key(&world), world.now());
    let right = signature(&world, now, CREATE_USER);
    let (_, digest) = right.split_once(',').unwrap();
    let late = Duration::from_secs(301);
    for (wrong, what) in [
        (None, "missing"),
        (Some(String::new()), "empty"),
        (Some("nonsense".to_owned()), "nonsense"),
        (Some(digest.to_owned()), "without a time"),
        (Some(format!("{},{digest}", now.unix_millis() + 1)), "of another time"),
        (Some(sign(OTHER_SIGNING_SECRET, now, CREATE_USER.as_bytes()).unwrap()), "by another secret"),
        (Some(signature(&world, now, "{}")), "of another body"),
        (Some(signature(&world, now - late, CREATE_USER)), "stale"),
        (Some(signature(&world, now + late, CREATE_USER)), "from the future"),
        (Some(format!("{}{}", now.unix_millis(), format!(",{digest}").repeat(6))), "too many"),
    ] {
        let call = Call { key: &key, signature: wrong, operation: "action_triggered", body: CREATE_USER };
        assert_turned_away(&world, &call, &[401], what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_body_is_turned_away_whatever_the_operation() {
    let world = World::start().await;
    let key = path_key(&world);
    for operation in ["ping", "register", "unregister", "message_created", "webhook_received"] {
        let call = Call { key: &key, signature: None, operation, body: "{}" };
        assert_turned_away(&world, &call, &[401], operation).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_without_a_body_needs_the_key_alone() {
    let world = World::start().await;
    let key = path_key(&world);
    let ping = |key| Call { key, signature: None, operation: "ping", body: "" };
    assert_eq!(ping(&key).answer(&world).await, (200, "{}".to_owned()));
    assert_turned_away(&world, &ping("wrong"), &[401], "a ping with a wrong key").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integration_that_is_not_on_the_list_is_turned_away() {
    let world = World::uninstalled(&[("BOTPRESS_INTEGRATION_IDS", "intver_a, intver_b")]).await;
    let key = path_key(&world);
    let signature = Some(signature(&world, world.now(), CREATE_USER));
    let call = Call { key: &key, signature, operation: "action_triggered", body: CREATE_USER };
    assert_turned_away(&world, &call, &[403], "a foreign integration").await;
    world.install().await.unwrap_err();
    assert!(world.items_besides_doors().is_empty());
    assert!(world.stack.journal.entries().iter().all(|entry| entry.vendor == Vendor::Botpress));
    let listed = [("x-integration-id", Some("intver_b"))];
    assert_eq!(world.operate_with("ping", &json!({}), &listed).await.status, 200);
}

/// Calls with the path key and the signing secret of one version of the secret. Returns the status.
async fn status_with(world: &World, key: &str, signing_secret: &str) -> u16 {
    let signature = sign(signing_secret, world.now(), b"{}").unwrap();
    Call { key, signature: Some(signature), operation: "message_updated", body: "{}" }.answer(world).await.0
}

/// Sends a webhook of LiveChat with a secret directly. Returns the status.
async fn webhook_status_with(world: &World, webhook_secret: &str) -> u16 {
    let body = json!({
        "webhook_id": "w",
        "secret_key": webhook_secret,
        "action": "chat_deactivated",
        "organization_id": world.stack.livechat.account().organization_id,
        "payload": { "chat_id": "UNKNOWN001", "thread_id": "UNKNOWN002" },
    });
    let call = http().post(world.stack.webhook_url()).json(&body).send();
    world.drive(call).await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_rotation_the_old_and_the_new_secrets_are_accepted_at_once() {
    let world = World::in_process().await;
    let (key, secret) = (path_key(&world), world.secret(&[]));
    let old_secret = secret["botpressSigningSecret"].as_str().unwrap();
    // Both functions cache the credentials, for five minutes.
    assert_eq!(status_with(&world, &key, old_secret).await, 200);
    assert_eq!(webhook_status_with(&world, world.stack.webhook_secret()).await, 200);
    rotate(&world, "new-key", OTHER_SIGNING_SECRET, "new-webhook-secret");
    assert_eq!(status_with(&world, &key, old_secret).await, 200, "the cached ones");
    assert_eq!(status_with(&world, "new-key", OTHER_SIGNING_SECRET).await, 200, "the new ones, by a look");
    assert_eq!(webhook_status_with(&world, "new-webhook-secret").await, 200);
    assert_eq!(status_with(&world, &key, old_secret).await, 200, "the previous ones");
    assert_eq!(webhook_status_with(&world, world.stack.webhook_secret()).await, 200);
    assert_eq!(status_with(&world, "new-key", old_secret).await, 200, "as Botpress signs for 24 hours");

    // After one more rotation the first ones are neither current nor previous.
    rotate(&world, "newest-key", old_secret, "newest-webhook-secret");
    world.advance(Duration::from_secs(301));
    assert_eq!(status_with(&world, &key, old_secret).await, 401);
    assert_eq!(webhook_status_with(&world, world.stack.webhook_secret()).await, 401);
}

/// Many wrong calls cause one look-up in ten seconds, for both versions of the secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_keys_asks_for_fresh_credentials_once() {
    let world = World::in_process().await;
    let faults = world.stack.secrets_manager.faults();
    faults.always("", Fault::Delay(Duration::ZERO));
    let secret = world.secret(&[]);
    let signing_secret = secret["botpressSigningSecret"].as_str().unwrap();
    for (seconds, asked) in [(0, 2), (9, 2), (1, 4)] {
        world.advance(Duration::from_secs(seconds));
        for _ in 0..20 {
            assert_eq!(status_with(&world, "guessed", signing_secret).await, 401);
        }
        assert_eq!(faults.spoiled().len(), asked, "{seconds} s later");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rotation_has_replaced_is_accepted_for_its_overlap_alone() {
    let world = World::in_process().await;
    let (key, secret) = (path_key(&world), world.secret(&[]));
    let old_secret = secret["botpressSigningSecret"].as_str().unwrap();
    rotate(&world, "new-key", OTHER_SIGNING_SECRET, "new-webhook-secret");
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    world.advance(minutes(5) - Duration::from_secs(10));
    assert_eq!(status_with(&world, &key, old_secret).await, 200);
    assert_eq!(webhook_status_with(&world, world.stack.webhook_secret()).await, 200);
    // No instance accepts the old key and the old webhook secret for longer, whatever it looks up in between.
    world.advance(Duration::from_secs(10));
    assert_eq!(status_with(&world, &key, old_secret).await, 401);
    assert_eq!(webhook_status_with(&world, world.stack.webhook_secret()).await, 401);
    assert_eq!(status_with(&world, "new-key", old_secret).await, 200, "Botpress's overlap is a day");
    world.advance(minutes(24 * 60 - 5) - Duration::from_secs(10));
    assert_eq!(status_with(&world, "new-key", old_secret).await, 200);
    world.advance(Duration::from_secs(10));
    assert_eq!(status_with(&world, "new-key", old_secret).await, 401);
    assert_eq!(status_with(&world, "new-key", OTHER_SIGNING_SECRET).await, 200);
}

fn rotate(world: &World, key: &str, signing_secret: &str, webhook_secret: &str) {
    let changes =
        [("botpressPathKey", key), ("botpressSigningSecret", signing_secret), ("webhookSecret", webhook_secret)];
    world.stack.secrets_manager.rotate(SECRET_ID, world.secret(&changes));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_signing_secret_the_key_counts_and_without_a_key_the_signature() {
    for (absent, key, signed, status) in [
        ("botpressSigningSecret", "sandbox-path-key", false, 200),
        ("botpressSigningSecret", "wrong", true, 401),
        ("botpressPathKey", "anything", true, 200),
        ("botpressPathKey", "sandbox-path-key", false, 401),
    ] {
        let world = World::uninstalled(&[]).await;
        let mut secret = world.secret(&[]);
        secret.as_object_mut().unwrap().remove(absent);
        world.stack.secrets_manager.put(SECRET_ID, secret);
        let signature = signed.then(|| signature(&world, world.now(), "{}"));
        let call = Call { key, signature, operation: "message_updated", body: "{}" };
        assert_eq!(call.answer(&world).await.0, status, "without {absent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_secret_is_a_500_and_a_log_and_nothing_else() {
    // Tests that run at the same time write to this log as well.
    let log = Log::default();
    log.subscriber("info").init();
    for (key, value) in [("webhookSecret", json!("")), ("agentToken", json!(7)), ("botpressPathKey", json!(" "))] {
        let world = World::uninstalled(&[]).await;
        let mut secret = world.secret(&[]);
        let real = secret["botpressToken"].as_str().unwrap().to_owned();
        secret[key] = value;
        world.stack.secrets_manager.put(SECRET_ID, secret);
        let (path_key, signature) = (path_key(&world), signature(&world, world.now(), CREATE_USER));
        let call =
            Call { key: &path_key, signature: Some(signature), operation: "action_triggered", body: CREATE_USER };
        let answer = call.answer(&world).await;
        assert_eq!(answer, (500, "try again".to_owned()), "{key}");
        assert!(world.items_besides_doors().is_empty(), "{key}");
        assert!(world.stack.journal.is_empty(), "{key}");
        let log = log.text();
        assert!(log.contains(key) && log.contains("the secret is malformed"), "{key}: {log}");
        assert!(!log.contains(&real) && !log.contains("ann@example.com"), "{key}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_without_botpress_has_no_such_address() {
    let world = World::in_process().await;
    let (key, now) = (path_key(&world), world.now());
    let call = Call {
        key: &key,
        signature: Some(signature(&world, now, CREATE_USER)),
        operation: "action_triggered",
        body: CREATE_USER,
    };
    let mut secret = world.stack.secret();
    for gone in ["botpressToken", "botpressPathKey", "botpressSigningSecret"] {
        secret.as_object_mut().unwrap().remove(gone);
    }
    world.stack.secrets_manager.put(SECRET_ID, secret);
    world.stack.restart_functions().unwrap();
    assert_eq!(call.answer(&world).await, (404, "not found".to_owned()));
    let user = world.handed_over_user().await;
    world.answers(ANNA, "hello").await;
    assert_eq!(world.widget_shows(&user, "agent"), ["hello"], "Botcopy is served all the same");
}
