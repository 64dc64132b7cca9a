//! Input from a bot's forms and expressions is read as it was meant; errors are reported to the bot's author.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbox::botpress::Escalation;
use serde_json::{Value, json};
use tests::World;

async fn created(world: &World, input: Value) -> Value {
    let answer = world.act("createUser", input).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["output"]["userId"].clone()
}

fn group(world: &World) -> Vec<u64> {
    let chat = world.stack.livechat.open_chats().pop().unwrap();
    chat.group_ids().iter().map(|id| u64::from(*id)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_a_number_or_absent_however_the_card_gives_it() {
    for (given, expected) in [
        (json!("0"), [0]),
        (json!(0.0), [0]),
        (json!(" 0 "), [0]),
        (json!("0.0"), [0]),
        (json!(""), [1]),
        (json!(" "), [1]),
        (json!(null), [1]),
    ] {
        let world = World::in_process().await;
        let ann = world.user("Ann").await;
        let session = json!({"groupId": given, "tags": null, "sessionFields": ""});
        let escalation = Escalation { hitl_session: Some(session), ..Escalation::default() };
        world.escalate_with(&ann, escalation).await.unwrap();
        assert_eq!(group(&world), expected, "{given}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_install_s_configuration_and_the_other_inputs_are_read_alike() {
    let world = World::in_process().await;
    for (configuration, input, expected) in [
        (json!({"groupId": "0"}), json!({"title": 7, "description": null}), [0]),
        (json!({"groupId": ""}), json!({"title": "", "hitlSession": ""}), [1]),
        (json!(null), json!({"hitlSession": r#"{"groupId":"0"}"#, "description": {"odd": 1}}), [0]),
    ] {
        let user_id = created(&world, json!({"name": null, "pictureUrl": "", "email": null})).await;
        let mut input = input.clone();
        input["userId"] = user_id;
        let encoded = STANDARD.encode(configuration.to_string());
        let body = json!({"type": "startHitl", "input": input});
        let header = ("x-bp-configuration", Some(encoded.as_str()));
        let answer = world.operate_with("action_triggered", &body, &[header]).await;
        assert_eq!(answer.status, 200, "{configuration}: {}", answer.body);
        world.settle().await;
        assert_eq!(group(&world), expected, "{configuration}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_in_words_of_the_card() {
    let world = World::in_process().await;
    let ann = world.user("Ann").await;
    let escalation = Escalation { hitl_session: Some(json!({"groupId": "sales"})), ..Escalation::default() };
    let error = world.escalate_with(&ann, escalation).await.unwrap_err();
    let expected = "The Start HITL card cannot be used: unexpected value, expected the number of a LiveChat group, such as 2 \
        (at input.hitlSession.groupId). Correct it in Botpress Studio.";
    assert_eq!(error, expected);
}
