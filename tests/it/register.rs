//! `register` and `unregister`: everything is checked, and the webhooks are kept in order.

use std::collections::BTreeSet;
use std::time::Duration;

use sandbox::botpress::InstallStatus;
use sandbox::faults::Fault;
use serde_json::{Value, json};
use tests::{ANNA, SECRET_ID, World};

const ACTIONS: [&str; 7] = [
    "chat_deactivated",
    "chat_transferred",
    "event_deleted",
    "event_updated",
    "incoming_chat",
    "incoming_event",
    "user_added_to_chat",
];

/// Returns what is registered at LiveChat now, by the journal.
fn registrations(world: &World) -> Vec<Value> {
    let removed: BTreeSet<_> =
        world.stack.journal.all("webhook_unregistered").iter().map(|entry| entry.text("/id").to_owned()).collect();
    let registered = world.stack.journal.all("webhook_registered").into_iter();
    registered.filter(|entry| !removed.contains(entry.text("/id"))).map(|entry| entry.detail).collect()
}

fn actions(world: &World, url: &str) -> Vec<String> {
    let ours = registrations(world).into_iter().filter(|one| one["url"] == url);
    let mut actions: Vec<_> = ours.map(|one| one["action"].as_str().unwrap().to_owned()).collect();
    actions.sort();
    actions
}

#[tokio::test(flavor = "multi_thread")]
async fn registering_brings_seven_webhooks_with_our_address_and_registering_again_no_more() {
    let world = World::start().await;
    let url = world.stack.webhook_url();
    for _ in 0..2 {
        assert_eq!(actions(&world, &url), ACTIONS);
        assert_eq!(world.drive(world.stack.botpress.register()).await.unwrap().status, 200);
    }
    for one in registrations(&world) {
        let has_author = one["action"] == "incoming_event" || one["action"] == "event_updated";
        let mut filters = json!({ "only_my_chats": true });
        if has_author {
            filters["author_type"] = json!("agent");
        }
        assert_eq!(one["filters"], filters, "{one}");
        assert_eq!(one["type"], "license", "{one}");
        assert_eq!(one["owner_client_id"], world.stack.livechat.account().client_id.as_str(), "{one}");
    }
    assert_eq!(world.stack.botpress.install_status(), InstallStatus::Registered);
    assert_eq!(world.count("webhook_registered"), 7);
    assert_eq!(world.count("customer_created"), 1, "checks are made with one customer, however often");
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_the_version_before_are_replaced_by_those_of_our_chats_alone() {
    let world = World::start().await;
    let url = world.stack.webhook_url();
    for one in registrations(&world) {
        let removal = json!({ "id": one["id"], "owner_client_id": one["owner_client_id"] });
        world.owner_calls("configuration/action/unregister_webhook", &removal).await;
    }
    world.stack.livechat.register_webhooks(&url, "as the version before", &ACTIONS).unwrap();
    assert_eq!(world.drive(world.stack.botpress.register()).await.unwrap().status, 200);
    assert_eq!(actions(&world, &url), ACTIONS);
    assert!(registrations(&world).iter().all(|one| one["filters"]["only_my_chats"] == true));

    let before = world.count("webhook_delivered");
    world.stack.livechat.customer_sends_text_elsewhere("is anybody there?", "yes").unwrap();
    world.settle().await;
    assert_eq!(world.count("webhook_delivered"), before, "a chat of somebody else is not reported");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_was_removed_comes_back() {
    let world = World::start().await;
    let one = registrations(&world).remove(2);
    let client_id = &world.stack.livechat.account().client_id;
    let removal = json!({ "id": one["id"], "owner_client_id": client_id });
    world.owner_calls("configuration/action/unregister_webhook", &removal).await;
    assert_eq!(registrations(&world).len(), 6);
    world.drive(world.stack.botpress.register()).await.unwrap();
    assert_eq!(actions(&world, &world.stack.webhook_url()), ACTIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn registering_moments_after_the_secret_was_replaced_registers_with_the_new_one() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.rotate_secret("webhookSecret", "the webhooks' next secret");
    assert_eq!(world.drive(world.stack.botpress.register()).await.unwrap().status, 200);
    assert_eq!(world.count("webhook_registered"), 14, "each webhook is replaced by one with the new secret");
    assert_eq!(actions(&world, &world.stack.webhook_url()), ACTIONS);

    // Longer than the previous secret is accepted.
    world.advance(Duration::from_secs(600));
    world.answers(ANNA, "still heard").await;
    assert_eq!(world.shown_by_agents(), ["still heard"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn botpress_is_asked_to_register_daily() {
    let world = World::start().await;
    let configured = world.stack.journal.all("integration_configured");
    assert_eq!(configured[0].text("/schedule_register_call"), "daily");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_is_named_in_the_reason_that_botpress_shows() {
    for (variable, value, hint) in [
        ("LIVECHAT_CLIENT_ID", "00000000000000000000000000000000", "LIVECHAT_CLIENT_ID"),
        ("LIVECHAT_REDIRECT_URI", "https://elsewhere.example.com", "LIVECHAT_REDIRECT_URI"),
        ("LIVECHAT_ORGANIZATION_ID", "00000000-0000-4000-8000-000000000000", "LIVECHAT_ORGANIZATION_ID"),
        ("LIVECHAT_GROUP_ID", "99", "no group 99"),
    ] {
        let world = World::uninstalled(&[(variable, value)]).await;
        assert_refused(&world, hint).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_credential_is_named_in_the_reason_that_botpress_shows() {
    for (key, value) in [("agentToken", "bm9ib2R5OmRhbDp3cm9uZw=="), ("botpressToken", "bp_iak_wrong")] {
        let world = World::uninstalled(&[]).await;
        world.stack.secrets_manager.put(SECRET_ID, world.secret(&[(key, value)]));
        assert_refused(&world, key).await;
        world.stack.secrets_manager.put(SECRET_ID, world.secret(&[]));
        world.advance(std::time::Duration::from_secs(11));
        world.install().await.expect("the right one is found without waiting for the cache");
    }
}

async fn assert_refused(world: &World, hint: &str) {
    let refused = world.install().await.unwrap_err();
    assert!(refused.contains(hint), "{hint}: {refused}");
    let InstallStatus::RegistrationFailed(reason) = world.stack.botpress.install_status() else {
        panic!("{hint}: {:?}", world.stack.botpress.install_status())
    };
    assert!(reason.contains(hint), "{reason}");
    for value in world.secret(&[]).as_object().unwrap().values().filter_map(|value| value.as_str()) {
        assert!(!reason.contains(value), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_livechat_that_is_down_is_no_wrong_setting() {
    let world = World::uninstalled(&[]).await;
    world.stack.livechat.faults().always("/", Fault::answer(503, ""));
    let refused = world.install().await.unwrap_err();
    assert!(!refused.contains("LIVECHAT_CLIENT_ID"), "{refused}");
    world.stack.livechat.faults().clear();
    world.install().await.unwrap();
    assert_eq!(actions(&world, &world.stack.webhook_url()), ACTIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_not_manage_webhooks_is_accepted() {
    let world = World::uninstalled(&[]).await;
    let forbidden = json!({ "error": { "type": "authorization", "message": "Missing scope" } });
    world.stack.livechat.faults().always("configuration/action", Fault::answer(403, forbidden.to_string()));
    world.install().await.unwrap();
    assert_eq!(world.stack.botpress.install_status(), InstallStatus::Registered);
    assert!(registrations(&world).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_install_takes_our_webhooks_along_and_only_ours() {
    let world = World::in_process().await;
    let other = "http://127.0.0.1:9/somebody-else";
    world.stack.livechat.register_webhooks(other, "s", &["incoming_chat", "chat_deactivated"]).unwrap();
    world.without_botcopy();
    let webhook_url = json!({ "webhookUrl": "https://webhook.botpress.example/webhook_second" });
    let second = [("x-webhook-id", Some("webhook_second"))];
    assert_eq!(world.operate_with("register", &webhook_url, &second).await.status, 200);

    assert_eq!(world.operate_with("unregister", &webhook_url, &second).await.status, 200);
    assert_eq!(actions(&world, &world.stack.webhook_url()), ACTIONS, "one install is left");

    assert_eq!(world.drive(world.stack.botpress.uninstall()).await.unwrap().status, 200);
    assert_eq!(world.stack.botpress.install_status(), InstallStatus::Unregistered);
    assert!(actions(&world, &world.stack.webhook_url()).is_empty());
    assert_eq!(actions(&world, other), ["chat_deactivated", "incoming_chat"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_install_leaves_the_webhooks_to_botcopy_bots() {
    let world = World::start().await;
    let user = world.handed_over_user().await;
    assert_eq!(world.drive(world.stack.botpress.uninstall()).await.unwrap().status, 200);
    assert_eq!(actions(&world, &world.stack.webhook_url()), ACTIONS);
    world.answers(ANNA, "still here").await;
    assert_eq!(world.widget_shows(&user, "agent"), ["still here"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn uninstalling_works_while_livechat_is_down() {
    let world = World::start().await;
    world.stack.livechat.faults().always("/", Fault::answer(503, ""));
    assert_eq!(world.drive(world.stack.botpress.uninstall()).await.unwrap().status, 200);
}
