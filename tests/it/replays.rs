//! A signed call that is repeated byte for byte has no effect and gets the first answer.

use std::time::Duration;

use sandbox::botpress::sign;
use sandbox::livechat::GroupStatus;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use tests::{World, http};

/// A call that a third party has recorded.
struct Recorded {
    body: String,
    signature: String,
    valid_until: Timestamp,
    /// The header `traceparent`, which is not signed.
    trace: Option<&'static str>,
}

impl Recorded {
    fn new(world: &World, body: &Value) -> Self {
        let body = body.to_string();
        let secret = world.stack.botpress.options().signing_secret.as_deref().unwrap();
        let signature = sign(secret, world.now(), body.as_bytes()).unwrap();
        Self { body, signature, valid_until: world.now() + Duration::from_secs(300), trace: None }
    }

    fn traced(self, trace: &'static str) -> Self {
        Self { trace: Some(trace), ..self }
    }

    /// Sends the call. Returns the status and the body of the answer. The operation and the webhook's id are not signed.
    async fn sent_as(&self, world: &World, operation: &str, webhook_id: &str) -> (u16, Value) {
        let install = &world.stack.botpress.options().install;
        let mut request = http().post(world.stack.integration_url()).body(self.body.clone());
        for (name, value) in [
            ("content-type", "application/json"),
            ("x-bot-id", install.bot_id.as_str()),
            ("x-bot-user-id", install.bot_id.as_str()),
            ("x-integration-id", install.integration_id.as_str()),
            ("x-integration-alias", install.alias.as_str()),
            ("x-webhook-id", webhook_id),
            ("x-bp-operation", operation),
            ("x-bp-configuration", "e30="),
            ("x-bp-signature", &self.signature),
        ] {
            request = request.header(name, value);
        }
        if let Some(trace) = self.trace {
            request = request.header("traceparent", trace);
        }
        let response = world.drive(request.send()).await.unwrap();
        let status = response.status().as_u16();
        world.settle().await;
        (status, response.json().await.unwrap_or_default())
    }

    async fn sent(&self, world: &World) -> (u16, Value) {
        let webhook_id = world.stack.botpress.options().install.webhook_id.as_str().to_owned();
        self.sent_as(world, "action_triggered", &webhook_id).await
    }
}

fn create_user() -> Value {
    json!({"type": "createUser", "input": {"name": "Ann", "email": "ann@example.com"}})
}

/// Counts the effects at both vendors, to which a replay must not add.
fn effects(world: &World) -> [usize; 4] {
    ["user_created", "conversation_created", "chat_started", "chat_deactivated"].map(|effect| world.count(effect))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_a_start_has_no_effect_while_its_signature_is_valid() {
    let world = World::in_process().await;
    let created = Recorded::new(&world, &create_user());
    let made = created.sent(&world).await;
    let user_id = made.1["output"]["userId"].as_str().unwrap().to_owned();
    let body = json!({"type": "startHitl", "input": {"userId": user_id, "title": "Help", "messageHistory": []}});
    let start = Recorded::new(&world, &body);
    let started = start.sent(&world).await;
    assert_eq!(started.0, 200, "{}", started.1);
    let before = effects(&world);
    assert_eq!(start.sent(&world).await, started, "while the session is open");
    world.advance(Duration::from_secs(60));
    assert_eq!(start.sent(&world).await, started);
    assert_eq!(effects(&world), before);

    let conversation_id = &started.1["output"]["conversationId"];
    let stop = json!({"type": "stopHitl", "input": {"conversationId": conversation_id}});
    assert_eq!(Recorded::new(&world, &stop).sent(&world).await.0, 200);
    let before = effects(&world);
    let second = Duration::from_secs(1);
    world.advance((created.valid_until - second).since(world.now()));
    assert_eq!(start.sent(&world).await, started, "and when it is over");
    assert_eq!(created.sent(&world).await, made, "the user of the first call");
    assert_eq!(effects(&world), before);
    world.advance((start.valid_until + second).since(world.now()));
    assert_eq!(start.sent(&world).await.0, 401, "the signature is stale");

    // The same body with a signature of its own is a new call.
    let again = Recorded::new(&world, &body).sent(&world).await;
    assert_eq!(again.0, 200);
    assert_ne!(again, started);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_a_start_that_was_refused_is_refused() {
    let world = World::in_process().await;
    let made = Recorded::new(&world, &create_user()).sent(&world).await;
    let body = json!({"type": "startHitl", "input": {"userId": made.1["output"]["userId"], "messageHistory": []}});
    let start = Recorded::new(&world, &body);
    world.stack.livechat.set_group_status(1, GroupStatus::Offline);
    let (status, refusal) = start.sent(&world).await;
    assert_eq!(status, 400, "{refusal}");
    world.stack.livechat.set_group_status(1, GroupStatus::Online);
    let (status, again) = start.sent(&world).await;
    assert_eq!((status, &again["message"]), (400, &refusal["message"]));
    assert_eq!(world.count("chat_started"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_cannot_be_replayed_as_another_operation_or_for_another_install() {
    let world = World::in_process().await;
    let install = world.stack.botpress.options().install.webhook_id.as_str().to_owned();
    let recorded = Recorded::new(&world, &create_user());
    assert_eq!(recorded.sent(&world).await.0, 200);
    for operation in ["register", "unregister"] {
        assert_eq!(recorded.sent_as(&world, operation, &install).await.0, 400, "{operation}");
    }
    let register = Recorded::new(&world, &json!({"webhookUrl": world.stack.botpress.webhook_url()}));
    assert_eq!(register.sent_as(&world, "register", &install).await.0, 200);
    assert_eq!(register.sent_as(&world, "unregister", "another").await.0, 403, "it names its install");
    assert_eq!(register.sent_as(&world, "unregister", &install).await.0, 200, "the first answer");
    assert_eq!(world.count("webhook_unregistered"), 0, "nobody has left");
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER_TRACE: &str = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn create_stranger() -> Value {
    json!({"type": "createUser", "input": {"name": "Unknown User"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_a_call_without_an_address_gets_the_first_user() {
    for trace in [None, Some(TRACE)] {
        let world = World::in_process().await;
        let created = Recorded { trace, ..Recorded::new(&world, &create_stranger()) };
        let made = created.sent(&world).await;
        assert_eq!(made.0, 200, "{}", made.1);
        let (before, customers) = (effects(&world), world.count("customer_created"));
        for _ in 0..10 {
            assert_eq!(created.sent(&world).await, made, "at once, with {trace:?}");
        }
        world.advance(Duration::from_secs(11));
        assert_eq!(created.sent(&world).await, made, "later, with {trace:?}");
        world.advance((created.valid_until - Duration::from_secs(1)).since(world.now()));
        let other = Recorded { trace: Some(OTHER_TRACE), ..created };
        assert_eq!(other.sent(&world).await, made, "with another trace, later than any second person's call");
        assert_eq!(effects(&world), before);
        assert_eq!(world.count("customer_created"), customers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_without_an_address_whose_calls_are_equal_are_told_apart_by_their_traces() {
    let world = World::in_process().await;
    let now = world.now();
    let first = Recorded::new(&world, &create_stranger()).traced(TRACE);
    let second = Recorded::new(&world, &create_stranger()).traced(OTHER_TRACE);
    assert_eq!((&first.signature, world.now()), (&second.signature, now), "the calls are equal");
    let (one, other) = (first.sent(&world).await, second.sent(&world).await);
    assert_eq!((one.0, other.0), (200, 200));
    assert_ne!(one.1, other.1);
}

/// Botpress need not send a trace, and then nothing tells a second person from a replay.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_may_share_a_user_does_not_take_over_the_others_session() {
    let world = World::in_process().await;
    let created = Recorded::new(&world, &create_stranger());
    let user_id = created.sent(&world).await.1["output"]["userId"].clone();
    assert_eq!(created.sent(&world).await.1["output"]["userId"], user_id);
    let start = |text: &str| {
        let said = json!([{"type": "text", "payload": {"text": text}, "source": {"type": "user", "userId": user_id}}]);
        json!({"type": "startHitl", "input": {"userId": user_id, "title": "Help", "messageHistory": said}})
    };
    let first = Recorded::new(&world, &start("of the first")).sent(&world).await;
    assert_eq!(first.0, 200, "{}", first.1);
    let second = Recorded::new(&world, &start("of the second")).sent(&world).await;
    assert_ne!(second.0, 200, "{}", second.1);
    let waiting = world.items("session");
    assert_eq!(waiting.len(), 1, "the first session goes on");
    assert_eq!((world.count("chat_started"), world.count("chat_deactivated")), (1, 0));
}
