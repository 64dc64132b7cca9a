//! The definition in `botpress/` against what the functions really accept and answer.

use std::collections::BTreeSet;

use sandbox::botpress::Escalation;
use serde_json::{Value, json};
use tests::{ANNA, World};

use crate::operator::Operator;

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().into_iter().flat_map(|object| object.keys().cloned()).collect()
}

/// Returns the tags that calls with these effects really wrote.
fn written(world: &World, effects: &[&str]) -> BTreeSet<String> {
    let entries = effects.iter().flat_map(|effect| world.stack.journal.all(effect));
    entries.flat_map(|entry| keys(&entry.detail["tags"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declared_is_what_is_used() {
    let world = World::unconnected().await;
    let mut operator = Operator::new(&world);
    operator.does(&["connect", "livechat"]).await;
    operator.does(&["connect", "botpress"]).await;
    // From here on the simulator accepts only the definition's tags and types, and checks each action's output.
    world.drive(world.stack.botpress.install_deployed()).await.unwrap();
    let user = world.user("Ann").await;
    let to_everybody = Escalation { hitl_session: Some(json!({ "groupId": 0 })), ..Escalation::default() };
    world.escalate_with(&user, to_everybody).await.unwrap();
    world.says(&user, "hi").await;
    world.answers(ANNA, "hello").await;
    world.advance(std::time::Duration::from_secs(4));
    world.sweep().await;
    world.user_ends(&user).await;
    let mirror = world.items("session").remove(0)["user_id"].clone();
    let report = world.act("getHandoffReport", json!({ "userId": mirror, "summary": true })).await.json();
    let declared = &world.stack.botpress.deployed_definition().unwrap()["actions"]["getHandoffReport"];
    let fields = keys(&report["output"]);
    assert!(fields.len() > 8 && fields.is_subset(&keys(&declared["output"]["schema"]["properties"])), "{report}");
    assert_eq!(world.shown_by_agents(), ["hello"]);
    assert!(world.stack.botpress.transcript(&user.conversation_id).len() > 3);
    let failed = world.stack.journal.all("operation_called");
    assert!(failed.iter().all(|entry| entry.detail["status"] == 200), "{failed:?}");
    let refused = world.stack.journal.all("call_answered");
    let refused: Vec<_> = refused.iter().filter(|entry| entry.text("/error_type") == "InvalidPayload").collect();
    assert!(refused.is_empty(), "{refused:?}");

    let definition = world.stack.botpress.deployed_definition().unwrap();
    let channel = &definition["channels"]["hitl"];
    assert_eq!(keys(&definition["user"]["tags"]), written(&world, &["user_created", "user_updated"]));
    assert_eq!(keys(&channel["conversation"]["tags"]), written(&world, &["conversation_created"]));
    assert_eq!(keys(&channel["message"]["tags"]), written(&world, &["message_created"]));
    let asked = json!({ "type": "checkAvailability", "input": {} });
    assert_eq!(world.operate("action_triggered", &asked).await.status, 200);
    let rating = json!({ "type": "rateHandoff", "input": { "userId": "unknown", "rating": "good" } });
    assert_eq!(world.operate("action_triggered", &rating).await.status, 400, "there is no such user");
    let actions = ["checkAvailability", "createUser", "getHandoffReport", "rateHandoff", "startHitl", "stopHitl"];
    assert!(keys(&definition["actions"]).iter().eq(actions.iter()), "{definition}");
    let called: BTreeSet<_> =
        world.stack.journal.all("operation_called").iter().map(|e| e.text("/type").to_owned()).collect();
    assert!(["createUser", "startHitl", "stopHitl"].iter().all(|action| called.contains(*action)), "{called:?}");
    let emitted: BTreeSet<_> =
        world.stack.journal.all("event_created").iter().map(|e| e.text("/type").to_owned()).collect();
    assert!(emitted.is_subset(&keys(&definition["events"])), "{emitted:?}");
}

/// A field that the functions do not read would be an empty promise in Studio.
#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_the_session_and_of_the_configuration_is_read() {
    let world = World::unconnected().await;
    let mut operator = Operator::new(&world);
    operator.does(&["connect", "livechat"]).await;
    operator.does(&["connect", "botpress"]).await;
    let definition = world.stack.botpress.deployed_definition().unwrap();
    let expected = BTreeSet::from(["groupId", "language", "tags", "sessionFields"].map(str::to_owned));
    assert_eq!(keys(&definition["entities"]["session"]["schema"]["properties"]), expected);
    assert_eq!(keys(&definition["configuration"]["schema"]["properties"]), expected);

    world.drive(world.stack.botpress.install_deployed()).await.unwrap();
    let user = world.user("Ann").await;
    let to_nobody = Escalation { hitl_session: Some(json!({ "groupId": 2 })), ..Escalation::default() };
    let refused = world.escalate_with(&user, to_nobody).await.unwrap_err();
    assert!(refused.contains("group 2"), "{refused}");
    let tag = json!({ "name": "sales", "group_ids": [0, 1] });
    world.owner_calls("configuration/action/create_tag", &tag).await;
    let rest = Escalation {
        hitl_session: Some(json!({ "language": "de_AT", "tags": ["sales"], "sessionFields": { "Plan": "gold" } })),
        ..Escalation::default()
    };
    world.escalate_with(&user, rest).await.unwrap();
    assert_eq!(world.entries("thread_tagged", "/tag", "sales").len(), 1);
    assert!(world.items("session").iter().any(|session| session["language"] == "de-at"), "as sentences are looked up");
    let fields = format!("{:?}", world.stack.livechat.customers());
    assert!(fields.contains("Plan") && fields.contains("gold"), "{fields}");
}
