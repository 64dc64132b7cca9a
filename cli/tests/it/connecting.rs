//! From a fresh stack to a handoff, by the command alone.

use serde_json::{Value, json};
use tests::{ANNA, SECRET_ID, World};

use crate::operator::{Operator, Ran};

fn stored(world: &World) -> Value {
    world.stack.secrets_manager.current(SECRET_ID).unwrap()
}

/// Connects both vendors and installs the integration.
async fn connected() -> World {
    let world = World::unconnected().await;
    let mut operator = Operator::new(&world);
    operator.does(&["connect", "livechat"]).await;
    operator.does(&["connect", "botpress"]).await;
    drop(operator);
    let installed = world.drive(world.stack.botpress.install_deployed()).await.unwrap();
    assert_eq!(installed.status, 200, "{}", installed.body);
    world.settle().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_stack_is_connected_diagnosed_and_used() {
    let world = World::unconnected().await;
    let before = Operator::new(&world).run(&["doctor"]).await;
    assert_eq!(before.status, 1, "{}", before.out);
    assert!(before.out.contains("hitl connect livechat"), "{}", before.out);

    let world = connected().await;
    world.sweep().await;
    let doctor = Operator::new(&world).does(&["doctor"]).await;
    assert!(doctor.out.contains("Everything is in order."), "{}", doctor.out);
    assert!(!doctor.out.contains("skipped"), "{}", doctor.out);

    let user = world.escalated_user("Ann").await;
    world.answers(ANNA, "hello Ann").await;
    world.says(&user, "hi Anna").await;
    world.advance(std::time::Duration::from_secs(4));
    world.sweep().await;
    assert_eq!(world.shown_by_agents(), ["hello Ann"]);
    let sent = world.sent_by_customers();
    assert!(sent.iter().any(|text| text == "hi Anna"), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_again_changes_nothing() {
    let world = connected().await;
    let before = (stored(&world), world.stack.botpress.deployed_definition());
    let (webhooks, keys) = (world.count("webhook_registered"), world.count("access_key_issued"));
    let mut operator = Operator::new(&world);
    let livechat = operator.does(&["connect", "livechat", "--json"]).await.json();
    assert_eq!(livechat["secret_changed"], false);
    let botpress = operator.does(&["connect", "botpress", "--json"]).await.json();
    assert_eq!((botpress["done"].as_str(), &botpress["stored"]), (Some("updated"), &json!([])));
    assert_eq!((stored(&world), world.stack.botpress.deployed_definition()), before);
    assert_eq!((world.count("webhook_registered"), world.count("access_key_issued")), (webhooks, keys));
    assert_eq!(world.count("customer_created"), 1, "all checks are made with one customer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_asks_botpress_and_changes_nothing() {
    let world = World::unconnected().await;
    let mut operator = Operator::new(&world);
    let before = stored(&world);
    let tried = operator.does(&["connect", "botpress", "--dry-run", "--json"]).await.json();
    assert_eq!(tried["done"], "would_be_created");
    assert_eq!(world.entries("call_answered", "/call", "validateIntegrationCreation").len(), 1);
    assert_eq!((world.count("integration_created"), stored(&world)), (0, before));

    operator.does(&["connect", "botpress"]).await;
    let tried = operator.does(&["connect", "botpress", "--dry-run", "--json"]).await.json();
    assert_eq!(tried["done"], "would_be_updated");
    assert_eq!(world.count("integration_updated"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_keeps_the_stored_token_and_no_token_at_all_is_asked_for() {
    let world = connected().await;
    let kept = Operator::new(&world).asked("LIVECHAT_AGENT_TOKEN", "").does(&["connect", "livechat", "--json"]).await;
    assert_eq!(kept.json()["secret_changed"], false);

    let world = World::unconnected().await;
    let missing = Operator::new(&world).asked("LIVECHAT_AGENT_TOKEN", "").run(&["connect", "livechat"]).await;
    assert_eq!(missing.status, 2);
    assert!(missing.progress.contains("personal access token is needed"), "{}", missing.progress);

    let token = world.stack.livechat.account().agent_token.clone();
    let typed = Operator::new(&world).asked("LIVECHAT_AGENT_TOKEN", &token).does(&["connect", "livechat"]).await;
    assert!(!typed.out.contains(&token) && !typed.progress.contains(&token));
    assert_eq!(stored(&world)["agentToken"], token.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_livechat_would_refuse_later_is_refused_before_anything_is_stored() {
    let world = World::unconnected().await;
    let before = stored(&world);
    for (variable, value, hint) in [
        ("LIVECHAT_AGENT_TOKEN", "dal:abc", "base64 form"),
        ("LIVECHAT_AGENT_TOKEN", "bm9ib2R5OmRhbDp3cm9uZw==", "refuses the agent token"),
        ("LIVECHAT_CLIENT_ID", "00000000000000000000000000000000", "LIVECHAT_CLIENT_ID"),
        ("LIVECHAT_REDIRECT_URI", "https://elsewhere.example.com", "LIVECHAT_REDIRECT_URI"),
        ("LIVECHAT_ORGANIZATION_ID", "00000000-0000-4000-8000-000000000000", "LIVECHAT_ORGANIZATION_ID"),
        ("LIVECHAT_GROUP_ID", "99", "1 (Support)"),
    ] {
        let ran = Operator::new(&world).with(variable, value).run(&["connect", "livechat"]).await;
        assert_eq!(ran.status, 1, "{variable}: {}", ran.out);
        assert!(ran.progress.contains(hint), "{variable}: {}", ran.progress);
    }
    world.stack.livechat.set_agent_token_scopes(&["chats--all:ro", "webhooks.configuration:rw"]);
    let ran = Operator::new(&world).run(&["connect", "livechat"]).await;
    for scope in ["chats--all:rw", "webhooks.state:rw"] {
        assert!(ran.progress.contains(scope), "{}", ran.progress);
    }
    assert_eq!(stored(&world), before);
    assert_eq!(world.count("webhook_registered"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_three_webhooks_is_explained() {
    let world = World::unconnected().await;
    for other in ["http://127.0.0.1:9/a", "http://127.0.0.1:9/b", "http://127.0.0.1:9/c"] {
        world.stack.livechat.register_webhooks(other, "s", &["chat_deactivated"]).unwrap();
    }
    let ran = Operator::new(&world).run(&["connect", "livechat"]).await;
    assert_eq!(ran.status, 1, "{}", ran.out);
    assert!(ran.progress.contains("three webhooks") && ran.progress.contains("chat_deactivated"), "{}", ran.progress);
}

#[tokio::test(flavor = "multi_thread")]
async fn botpress_s_refusals_come_with_advice() {
    let world = World::unconnected().await;
    for (variable, value, hint) in [
        ("BOTPRESS_PERSONAL_ACCESS_TOKEN", "bp_pat_wrong", "personal access token is not accepted"),
        ("BOTPRESS_WORKSPACE_ID", "wkspace_other", "--workspace"),
        ("BOTPRESS_WORKSPACE_HANDLE", "somebody", "--handle"),
    ] {
        let ran = Operator::new(&world).with(variable, value).run(&["connect", "botpress"]).await;
        assert_eq!(ran.status, 1, "{variable}: {}", ran.out);
        assert!(ran.progress.contains(hint), "{variable}: {}", ran.progress);
    }
    assert_eq!(world.count("integration_created"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn botcopy_s_keys_are_stored_and_the_rest_is_told() {
    let world = connected().await;
    let api_key = world.stack.botcopy.options().api_key.clone();
    let mut operator = Operator::new(&world).asked("BOTCOPY_ACCESS_TOKEN", "");
    let first = operator.does(&["connect", "botcopy"]).await;
    assert!(first.out.contains(&format!("{}/botcopy", world.stack.gateway.url())), "{}", first.out);
    let after = stored(&world);
    assert_eq!(after["botcopyApiKey"], api_key.as_str());
    let token = after["botcopyAccessToken"].as_str().unwrap();
    assert!(token.len() >= 32 && !first.out.contains(token) && !first.out.contains(&api_key));
    let again = operator.does(&["connect", "botcopy", "--json"]).await.json();
    assert_eq!((&again["secret_changed"], stored(&world)), (&json!(false), after));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_and_no_progress_holds_a_credential() {
    let world = World::unconnected().await;
    let mut operator = Operator::new(&world);
    let mut said = String::new();
    for arguments in [
        ["connect", "livechat"].as_slice(),
        &["connect", "botpress"],
        &["doctor"],
        &["doctor", "--json"],
        &["rotate", "path-key"],
    ] {
        let Ran { out, progress, .. } = operator.run(arguments).await;
        said.push_str(&out);
        said.push_str(&progress);
    }
    let secret = stored(&world);
    let (_, _, personal_access_token) = world.stack.botpress.workspace();
    let secrets = secret.as_object().unwrap().iter().filter(|(key, _)| !key.ends_with("Id"));
    for value in secrets.filter_map(|(_, value)| value.as_str()).chain([personal_access_token]) {
        assert!(!said.contains(value), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_for_botcopy_alone_needs_nothing_of_botpress() {
    let world = World::unconnected().await;
    let botcopy = world.stack.botcopy.options().clone();
    let mut operator = Operator::new(&world)
        .with("BOTCOPY_API_KEY", &botcopy.api_key)
        .with("BOTCOPY_ACCESS_TOKEN", &botcopy.access_token);
    operator.does(&["connect", "livechat"]).await;
    operator.does(&["connect", "botcopy"]).await;
    world.sweep().await;
    let doctor = operator.does(&["doctor"]).await;
    assert!(doctor.out.contains("this stack serves Botcopy bots alone"), "{}", doctor.out);
    let user = world.handed_over_user().await;
    world.answers(ANNA, "hello").await;
    assert_eq!(world.widget_shows(&user, "agent"), ["hello"]);
}
