//! Each thing broken in turn: `hitl doctor` names it and its cure.

use std::time::Duration;

use sandbox::faults::Fault;
use sandbox::livechat::Region;
use serde_json::{Value, json};
use tests::{ANNA, SECRET_ID, World};

use crate::operator::Operator;

const OTHER_ORGANIZATION: &str = "00000000-0000-4000-8000-000000000000";

/// Returns the ids of a report's checks with this verdict.
fn ids(report: &Value, verdict: &str) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter().filter(|one| one["verdict"] == verdict);
    checks.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// Returns a connected world in which everything is in order.
pub(crate) async fn healthy() -> World {
    connected(World::unconnected().await).await
}

/// Runs everything that `connect` and an install do.
pub(crate) async fn connected(world: World) -> World {
    let mut operator = Operator::new(&world);
    operator.does(&["connect", "livechat"]).await;
    operator.does(&["connect", "botpress"]).await;
    drop(operator);
    world.drive(world.stack.botpress.install_deployed()).await.unwrap();
    world.sweep().await;
    world
}

/// Asserts that there is a finding with this name, words and cure.
pub(crate) async fn assert_found(operator: &mut Operator<'_>, name: &str, says: &str, cure: &str) {
    let ran = operator.run(&["doctor", "--json"]).await;
    let report = ran.json();
    let findings: Vec<Value> =
        report["checks"].as_array().unwrap().iter().filter(|one| one["verdict"] == "finding").cloned().collect();
    let part = |one: &Value, key: &str, words: &str| one[key].as_str().unwrap_or_default().contains(words);
    let found = findings.iter().any(|one| one["name"] == name && part(one, "says", says) && part(one, "cure", cure));
    assert!(found, "{name}, {says:?}, {cure:?}: {findings:#?}");
    assert_eq!(ran.status, 1);
    assert_eq!(report["findings"], findings.len());
}

pub(crate) fn change(world: &World, key: &str, value: Value) {
    let mut secret = world.stack.secrets_manager.current(SECRET_ID).unwrap();
    secret[key] = value;
    world.stack.secrets_manager.rotate(SECRET_ID, secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_does_not_fit_is_named_with_its_cure() {
    let world = healthy().await;
    for (variable, value, name, says, cure) in [
        ("LIVECHAT_GROUP_ID", "99", "group", "no group 99", "0 (General), 1 (Support)"),
        ("LIVECHAT_CLIENT_ID", "00000000000000000000000000000000", "app", "client", "LIVECHAT_CLIENT_ID"),
        ("LIVECHAT_REDIRECT_URI", "https://elsewhere.example.com", "app", "redirect", "LIVECHAT_REDIRECT_URI"),
        ("LIVECHAT_ORGANIZATION_ID", OTHER_ORGANIZATION, "app", "organization", "LIVECHAT_ORGANIZATION_ID"),
        ("TABLE_NAME", "another", "table", "another", "no such table"),
        ("SECRET_ID", "another", "secret", "no such secret", "SECRET_ID"),
        ("HITL_URL", "http://127.0.0.1:9", "address", "no connection", "HITL_URL"),
    ] {
        let mut operator = Operator::new(&world).with(variable, value);
        assert_found(&mut operator, name, says, cure).await;
    }
    let mut operator = Operator::new(&world).with("LIVECHAT_ORGANIZATION_ID", OTHER_ORGANIZATION);
    assert_found(&mut operator, "webhook route", "another", "LiveChatOrganizationId").await;
    Operator::new(&world).does(&["doctor"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_and_a_missing_scope_are_told_apart() {
    let world = healthy().await;
    let mut operator = Operator::new(&world);
    world.stack.livechat.set_agent_token_valid(false);
    assert_found(&mut operator, "agent token", "refuses the token", "hitl connect livechat").await;
    world.stack.livechat.set_agent_token_valid(true);
    world.stack.livechat.set_agent_token_scopes(&["chats--all:ro", "webhooks.configuration:rw", "webhooks.state:rw"]);
    assert_found(&mut operator, "scopes", "chats--all:rw", "create a new token").await;
    world.stack.livechat.set_agent_token_scopes(&["chats--access:rw"]);
    assert_found(&mut operator, "scopes", "webhooks.configuration:rw, webhooks.state:rw", "create a new token").await;
    world.stack.livechat.set_agent_token_scopes(&["chats--all:rw", "webhooks.configuration:rw", "webhooks.state:rw"]);
    let told = operator.does(&["doctor"]).await;
    assert!(told.out.contains("with agents--all:ro as well"), "{}", told.out);
    world.stack.livechat.restore_agent_token_scopes();
    let told = operator.does(&["doctor"]).await;
    assert!(!told.out.contains("agents--all:ro"), "{}", told.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_data_centre_is_named() {
    let world = healthy().await;
    world.stack.livechat.set_behaviour(|behaviour| behaviour.region = Region::Fra);
    assert_found(&mut Operator::new(&world), "region", "is in the data centre fra", "LIVECHAT_REGION) to fra").await;
    let mut wrong = Operator::new(&world).with("LIVECHAT_REGION", "dal");
    assert_found(&mut wrong, "region", "is in the data centre fra; dal was called", "LIVECHAT_REGION) to fra").await;
    Operator::new(&world).with("LIVECHAT_REGION", "fra").does(&["doctor"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_was_removed_and_one_with_another_secret_are_found_and_repaired() {
    let world = healthy().await;
    let mut operator = Operator::new(&world);
    let one = world.stack.journal.all("webhook_registered").remove(1);
    let client_id = &world.stack.livechat.account().client_id;
    let removal = json!({ "id": one.text("/id"), "owner_client_id": client_id });
    world.owner_calls("configuration/action/unregister_webhook", &removal).await;
    assert_found(&mut operator, "webhooks", one.text("/action"), "hitl connect livechat").await;
    operator.does(&["connect", "livechat"]).await;
    operator.does(&["doctor"]).await;

    // As the previous version registered them.
    let url = world.stack.webhook_url();
    let before = json!({"action": "event_deleted", "url": url, "secret_key": "x", "type": "license",
                        "description": "", "owner_client_id": client_id});
    let mut registered = world.stack.journal.all("webhook_registered").into_iter().rev();
    let present = registered.find(|one| one.text("/action") == "event_deleted").unwrap();
    let removal = json!({ "id": present.text("/id"), "owner_client_id": client_id });
    world.owner_calls("configuration/action/unregister_webhook", &removal).await;
    world.owner_calls("configuration/action/register_webhook", &before).await;
    assert_found(&mut operator, "webhooks", "event_deleted report every chat", "hitl connect livechat").await;
    operator.does(&["connect", "livechat"]).await;
    operator.does(&["doctor"]).await;

    change(&world, "webhookSecret", json!("changed-by-hand-and-longer-than-before"));
    assert_found(&mut operator, "webhooks", "a secret other than the stored one", "hitl connect livechat").await;
    world.advance(Duration::from_secs(301));
    world.sweep().await;
    operator.does(&["connect", "livechat"]).await;
    operator.does(&["doctor"]).await;

    let switch = json!({ "owner_client_id": client_id });
    world.owner_calls("configuration/action/disable_license_webhooks", &switch).await;
    assert_found(&mut operator, "webhooks are sent", "switch is off", "hitl connect livechat").await;
    operator.does(&["connect", "livechat"]).await;
    operator.does(&["doctor"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_botpress_key_that_is_wrong_or_missing_is_named() {
    let world = healthy().await;
    let mut operator = Operator::new(&world);
    world.stack.botpress.withdraw_access_keys();
    assert_found(&mut operator, "access key", "refuses the key", "hitl rotate access-key").await;
    operator.does(&["rotate", "access-key"]).await;
    world.sweep().await;
    operator.does(&["doctor"]).await;
    change(&world, "botpressToken", json!(""));
    assert_found(&mut operator, "secret", "botpressToken", "hitl connect botpress").await;
    assert_found(&mut operator, "access key", "contains no access key", "hitl connect botpress").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_gone_and_a_path_key_that_the_function_does_not_know_are_named() {
    let world = healthy().await;
    let mut operator = Operator::new(&world);
    world.stack.secrets_manager.remove(SECRET_ID);
    assert_found(&mut operator, "secret", "no such secret", "restore-secret").await;

    let world = healthy().await;
    // The functions continue with what they have cached: their secret differs from the operator's.
    let other = world.stack.secrets_manager.put("other", world.stack.secrets_manager.current(SECRET_ID).unwrap());
    world.advance(Duration::from_secs(11));
    let mut secret = world.stack.secrets_manager.current(SECRET_ID).unwrap();
    secret["botpressPathKey"] = json!("0123456789012345678901234567890123456789");
    secret["webhookSecret"] = json!("0123456789012345678901234567890123456789");
    world.stack.secrets_manager.put(&other, secret);
    let mut operator = Operator::new(&world).with("SECRET_ID", &other);
    assert_found(&mut operator, "path key", "turned away", "SECRET_ID").await;
    assert_found(&mut operator, "webhook route", "turned away", "SECRET_ID").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uninstalled_integration_and_a_silent_sweep_are_named() {
    let world = World::unconnected().await;
    let mut operator = Operator::new(&world);
    operator.does(&["connect", "livechat"]).await;
    operator.does(&["connect", "botpress"]).await;
    assert_found(&mut operator, "installs", "no bot has registered", "Botpress Studio").await;
    assert_found(&mut operator, "sweep", "never run", "EventBridge").await;
    world.sweep().await;
    world.advance(Duration::from_secs(600));
    assert_found(&mut operator, "sweep", "last ran at", "EventBridge").await;
    world.sweep().await;
    let sweep = world.items_under("SWEEP").remove(0);
    world.change_item(&sweep, "SET unseen = :unseen", json!({":unseen": {"N": "7"}})).await;
    assert_found(&mut operator, "sweep", "ran out of time before it reached 7", "function webhooks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_long_and_what_was_given_up_is_found() {
    let world = healthy().await;
    let mut operator = Operator::new(&world);
    let user = world.escalated_user("Ann").await;
    let refused = json!({ "error": { "type": "validation", "message": "no" } });
    world.stack.livechat.faults().next(1, "customer/action/send_event", Fault::answer(422, refused.to_string()));
    world.says(&user, "never").await;
    world.answers(ANNA, "hello").await;
    assert_found(&mut operator, "parked", "1 items", "hitl parked").await;

    world.stack.botpress.faults().always("/v1/chat/messages", Fault::answer(503, ""));
    world.answers(ANNA, "later").await;
    world.advance(Duration::from_secs(600));
    assert_found(&mut operator, "backlog", "overdue", "hitl trace").await;
    assert_found(&mut operator, "waiting", "1 lanes", "hitl trace").await;

    let session = world.items("session").remove(0);
    world.change_item(&session, "SET session_state = :limbo", json!({":limbo": {"S": "limbo"}})).await;
    let named = format!("session {}, to_bot", session["session_id"].as_str().unwrap());
    assert_found(&mut operator, "unreadable", &named, "newer version").await;

    world.change_item(&session, "SET session_state = :active", json!({":active": {"S": "active"}})).await;
    let lane = world.items_under("LANE#to_bot").into_iter().find(|item| item["sk"] == "LANE#to_bot").unwrap();
    world.change_item(&lane, "SET arrivals = :many", json!({":many": {"S": "many"}})).await;
    assert_found(&mut operator, "unreadable", &named, "newer version").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_changes_nothing() {
    let world = healthy().await;
    let before = (world.stack.secrets_manager.current(SECRET_ID), world.items("session"), world.items("install"));
    let effects = world.stack.journal.len();
    Operator::new(&world).does(&["doctor"]).await;
    let after = (world.stack.secrets_manager.current(SECRET_ID), world.items("session"), world.items("install"));
    assert_eq!(before, after);
    let harmless = ["call_answered", "token_issued", "operation_called"];
    let changes: Vec<_> = world.stack.journal.since(effects).into_iter().map(|entry| entry.effect).collect();
    assert!(changes.iter().all(|effect| harmless.contains(effect)), "{changes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_a_failed_check_is_skipped_and_counted() {
    let world = healthy().await;
    world.stack.livechat.set_agent_token_valid(false);
    let report = Operator::new(&world).run(&["doctor", "--json"]).await.json();
    assert_eq!(ids(&report, "finding"), ["agent-token"]);
    assert_eq!(ids(&report, "skipped"), ["region", "scopes", "webhooks", "webhooks-are-sent"]);
    assert_eq!(report["skipped"], 4);
    world.stack.livechat.set_agent_token_valid(true);

    let report = Operator::new(&world).with("TABLE_NAME", "another").run(&["doctor", "--json"]).await.json();
    assert_eq!(ids(&report, "finding"), ["table"]);
    let hanging = [
        "sweep",
        "rate-limit",
        "vendor",
        "app",
        "group",
        "installs",
        "access-key",
        "backlog",
        "unreadable",
        "waiting",
        "parked",
    ];
    assert_eq!(ids(&report, "skipped"), hanging);

    let report = Operator::new(&world).with("SECRET_ID", "another").run(&["doctor", "--json"]).await.json();
    assert_eq!(ids(&report, "finding"), ["secret"]);
    let skipped = ids(&report, "skipped");
    for hanging in ["path-key", "webhook-route", "app", "agent-token", "webhooks", "access-key"] {
        assert!(skipped.iter().any(|one| one == hanging), "{hanging}: {skipped:?}");
    }

    let report = Operator::new(&world).with("HITL_URL", "http://127.0.0.1:9").run(&["doctor", "--json"]).await.json();
    assert_eq!(ids(&report, "finding"), ["address", "webhooks"], "webhooks lead to another address then");
    assert_eq!(ids(&report, "skipped"), ["version", "path-key", "webhook-route"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_called_in_order_that_was_not_looked_at() {
    let world = healthy().await;
    let ran = Operator::new(&world).with("HITL_URL", "").does(&["doctor"]).await;
    assert!(ran.out.contains("No findings. 5 checks were skipped"), "{}", ran.out);
    assert!(!ran.out.contains("in order"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_header_of_botcopy_is_named_and_hides_nothing_else() {
    let world = healthy().await;
    for header in [json!("X-Shop: s3cret"), json!({ "name": "X-Shop" }), json!(7)] {
        change(&world, "botcopyHeader", header);
        let mut operator = Operator::new(&world);
        assert_found(&mut operator, "secret", "botcopyHeader has to be an object", "hitl connect botcopy --header")
            .await;
        let report = operator.run(&["doctor", "--json"]).await;
        assert!(!report.out.contains("s3cret"), "{}", report.out);
        let good = ids(&report.json(), "ok");
        for looked_at in ["app", "agent-token", "webhooks", "access-key"] {
            assert!(good.iter().any(|one| one == looked_at), "{looked_at}: {good:?}");
        }
    }
}

/// Scripts rely on them.
#[tokio::test(flavor = "multi_thread")]
async fn each_check_has_an_id_that_stands_in_the_documents() {
    let documented = include_str!("../../../docs/operations.md");
    let world = healthy().await;
    let mut seen = 0;
    for (variable, value) in [("LIVECHAT_GROUP_ID", "0"), ("TABLE_NAME", "another"), ("SECRET_ID", "another")] {
        let report = Operator::new(&world).with(variable, value).run(&["doctor", "--json"]).await.json();
        for id in ["ok", "finding", "skipped"].into_iter().flat_map(|verdict| ids(&report, verdict)) {
            assert!(documented.contains(&format!("`{id}`")), "{id}");
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}
