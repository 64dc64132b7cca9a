//! What the bot's author can set for a handoff: group, tags and further fields; and as which customer LiveChat shows the user.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbox::botpress::Escalation;
use sandbox::faults::Fault;
use sandbox::livechat::Customer;
use serde_json::{Value, json};
use tests::{ANNA, BEN, World};

fn with_session(entity: Value) -> Escalation {
    Escalation { hitl_session: Some(entity), ..Escalation::default() }
}

/// Returns the customer in the only open chat.
fn customer(world: &World) -> Customer {
    let chat = world.stack.livechat.open_chats().remove(0);
    let customers = world.stack.livechat.customers();
    customers.into_iter().find(|customer| Some(&customer.id) == chat.customer_id.as_ref()).unwrap()
}

async fn create_tag(world: &World, name: &str, group_ids: Value) {
    world.owner_calls("configuration/action/create_tag", &json!({"name": name, "group_ids": group_ids})).await;
}

fn tags(world: &World) -> Vec<String> {
    world.stack.journal.all("thread_tagged").iter().map(|entry| entry.text("/tag").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_see_which_bot_and_user_a_customer_is_and_what_the_author_adds() {
    let world = World::start().await;
    let ann = world.user("Ann").await;
    let fields =
        json!({"Order": 4711, "VIP": true, "Plan": "gold", "Nothing": null, "Odd": [1], " ": "x", "Empty": " "});
    world.escalate_with(&ann, with_session(json!({"sessionFields": fields}))).await.unwrap();
    let bot_id = world.stack.botpress.options().install.bot_id.clone();
    let user_id = world.entries("user_created", "/name", "Ann").remove(0).text("/user_id").to_owned();
    let mut shown = customer(&world).session_fields;
    assert_eq!(shown[..2], [json!({"Botpress bot": bot_id}), json!({"Botpress user": user_id})]);
    let mut further = shown.split_off(2);
    further.sort_by_key(Value::to_string);
    assert_eq!(further, [json!({"Order": "4711"}), json!({"Plan": "gold"}), json!({"VIP": "true"})]);

    let told = world.count("customer_updated");
    world.agent_closes(ANNA).await;
    world.says(&ann, "again").await;
    world.escalate_with(&ann, with_session(json!({"sessionFields": fields}))).await.unwrap();
    assert_eq!(world.count("customer_updated"), told, "nothing has changed");
    world.agent_closes(ANNA).await;
    world.says(&ann, "again").await;
    world.escalate(&ann).await.unwrap();
    assert_eq!(customer(&world).session_fields.len(), 2, "this time the author adds nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_have_the_names_that_the_stack_gives_them_or_are_left_out() {
    let world = World::with(&[("WORDING", r#"{"field_bot":"Bot","field_user":""}"#)]).await;
    world.escalated_user("Ann").await;
    assert_eq!(customer(&world).session_fields, [json!({"Bot": world.stack.botpress.options().install.bot_id})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_name_address_and_picture_and_no_address_that_is_made_up() {
    for (email, picture_url, expected, avatar) in [
        (
            Some("ann@example.com"),
            Some("https://p.example.com/ann.png"),
            Some("ann@example.com"),
            Some("https://p.example.com/ann.png"),
        ),
        (None, None, None, None),
        (Some("not an address"), Some("data:image/png;base64,AAAA"), None, None),
    ] {
        let world = World::start().await;
        let ann = world.stack.botpress.new_user("Ann", email, picture_url);
        world.says(&ann, "hello").await;
        world.escalate(&ann).await.unwrap();
        let customer = customer(&world);
        assert_eq!((customer.name.as_deref(), customer.email.as_deref()), (Some("Ann"), expected), "{email:?}");
        assert_eq!(customer.details.get("avatar").and_then(Value::as_str), avatar, "{picture_url:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_or_address_that_livechat_refuses_does_not_cost_the_name() {
    let world = World::start().await;
    let ann = world.user("Ann").await;
    let refused = json!({"error": {"type": "validation", "message": "`email` is not a valid e-mail address"}});
    world.stack.livechat.faults().next(1, "customer/action/update_customer", Fault::answer(422, refused.to_string()));
    world.escalate(&ann).await.unwrap();
    let customer = customer(&world);
    assert_eq!((customer.name.as_deref(), customer.email, customer.session_fields.len()), (Some("Ann"), None, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_gets_the_tags_asked_for_and_a_start_does_not_fail_over_others() {
    for (asked, expected) in [
        (json!(["refund", "urgent"]), vec!["refund", "urgent"]),
        (json!("urgent, refund,,urgent"), vec!["urgent", "refund"]),
        (json!(["unknown", "elsewhere", 5, " ", "refund"]), vec!["refund"]),
        (json!({"a": 1}), vec![]),
    ] {
        let world = World::start().await;
        for name in ["refund", "urgent"] {
            create_tag(&world, name, json!([0, 1])).await;
        }
        create_tag(&world, "elsewhere", json!([2])).await;
        let ann = world.user("Ann").await;
        world.escalate_with(&ann, with_session(json!({"tags": asked}))).await.unwrap();
        assert_eq!(tags(&world), expected, "{asked}");
        world.answers(ANNA, "hi").await;
        assert_eq!(world.shown_by_agents(), ["hi"], "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_livechat_that_takes_no_tags_costs_the_start_nothing() {
    for fault in [Fault::Reset, Fault::answer(500, ""), Fault::answer(403, "{}")] {
        let world = World::start().await;
        world.stack.livechat.faults().always("agent/action/tag_thread", fault);
        let ann = world.user("Ann").await;
        world.escalate_with(&ann, with_session(json!({"tags": ["refund"]}))).await.unwrap();
        assert!(world.stack.botpress.is_escalated(&ann.conversation_id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_session_says_wins_over_the_install() {
    let world = World::start().await;
    for name in ["install", "session"] {
        create_tag(&world, name, json!([0, 1])).await;
    }
    let configuration = json!({"tags": ["install"], "sessionFields": {"Shop": "north", "Plan": "silver"}});
    let configuration = STANDARD.encode(configuration.to_string());
    let user = world.act("createUser", json!({"name": "Ann"})).await;
    let user_id = serde_json::from_str::<Value>(&user.body).unwrap()["output"]["userId"].clone();
    let entity = json!({"groupId": 0, "tags": ["session"], "sessionFields": {"Plan": "gold"}});
    let input = json!({"userId": user_id, "messageHistory": [], "hitlSession": entity});
    let body = json!({"type": "startHitl", "input": input});
    let header = ("x-bp-configuration", Some(configuration.as_str()));
    assert_eq!(world.operate_with("action_triggered", &body, &[header]).await.status, 200);
    assert_eq!(tags(&world), ["session"]);
    assert_eq!(customer(&world).session_fields[2..], [json!({"Plan": "gold"}), json!({"Shop": "north"})]);
    assert_eq!(world.stack.livechat.open_chats()[0].group_ids(), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_shows_the_next_agents_name_from_their_first_word_on() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    world.answers(ANNA, "I pass you on").await;
    let target = sandbox::livechat::Target::Agent(BEN.to_owned());
    world.stack.livechat.agent_transfers(&world.chat_id(), ANNA, target).unwrap();
    world.settle().await;
    world.answers(BEN, "Ben here").await;
    let shown = world.entries("shown_to_user", "/from", "agent");
    let shown: Vec<_> = shown.iter().map(|entry| (entry.text("/name"), entry.text("/text"))).collect();
    assert_eq!(shown, [("Anna", "I pass you on"), ("Ben", "Ben here")]);
    assert_eq!((world.bot_events("hitlStopped").len(), world.count("chat_resumed")), (0, 0));
}
