//! A stack whose secret cannot protect it lets no caller in.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use shared::aws;
use shared::clock::Clock;
use shared::config::Config;
use shared::handoff::{BotcopyProof, BotpressProof, Handoff, Rejection};
use shared::media::Policy;
use shared::metrics::Metrics;
use shared::secrets::{Cache, Error};
use tests::{SECRET_ID, World};

/// Returns how a process that has just started turns callers away, at each of its three doors.
async fn refusals(world: &World) -> [Rejection; 3] {
    let environment = world.stack.operator_environment();
    let secrets_url = world.stack.secrets_manager.url();
    let (table, secrets) = aws::stand_ins(&world.stack.table.url(), &secrets_url).unwrap();
    let config = Config::from_lookup(|key| environment.get(key).cloned()).unwrap();
    let secrets = Cache::new(secrets, config.secret_id.clone(), Clock::system());
    let media = Policy::new(config.media_hosts.clone());
    let handoff = Handoff::with_parts(config, Clock::system(), table, secrets, Metrics::kept(), media).unwrap();
    let delivery = json!({ "secret_key": "", "organization_id": "", "action": "", "payload": {} }).to_string();
    [
        handoff
            .authenticate_botpress(BotpressProof { path_key: "", signature: Some(""), body: b"" })
            .await
            .unwrap_err(),
        handoff
            .authenticate_botcopy(BotcopyProof { headers: &HeaderMap::new(), body: b"{}" }, handoff.botcopy_deadline())
            .await
            .unwrap_err(),
        handoff.authenticate_livechat(delivery.as_bytes()).await.unwrap_err(),
    ]
}

/// Returns secrets with an empty or missing value, and the key that has to be named.
fn spoiled(complete: &Value) -> Vec<(&'static str, Value)> {
    let without = |keys: &[&str]| {
        let mut secret = complete.clone();
        secret.as_object_mut().unwrap().retain(|key, _| !keys.contains(&key.as_str()));
        secret
    };
    let mut cases = vec![
        ("agentToken", without(&["agentToken"])),
        ("webhookSecret", without(&["webhookSecret"])),
        ("botcopyApiKey", without(&["botcopyApiKey"])),
        ("botcopyAccessToken", without(&["botcopyAccessToken"])),
        ("anybody could call the stack", without(&["botpressSigningSecret", "botpressPathKey"])),
        ("JSON object", json!("")),
    ];
    for key in [
        "agentToken",
        "webhookSecret",
        "botpressToken",
        "botpressSigningSecret",
        "botpressPathKey",
        "botcopyApiKey",
        "botcopyAccessToken",
    ] {
        for empty in ["", " \n"] {
            let mut secret = complete.clone();
            secret[key] = json!(empty);
            cases.push((key, secret));
        }
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_empty_or_missing_credential_nobody_gets_in_and_the_log_names_it() {
    let world = World::uninstalled(&[]).await;
    let complete = world.secret(&[]);
    for (named, secret) in spoiled(&complete) {
        world.stack.secrets_manager.put(SECRET_ID, secret);
        for refusal in refusals(&world).await {
            assert!(matches!(refusal, Rejection::Secrets(Error::Malformed(_))), "{named}: {refusal}");
            assert!(refusal.to_string().contains(named), "{named}: {refusal}");
        }
    }
    world.stack.secrets_manager.remove(SECRET_ID);
    for refusal in refusals(&world).await {
        assert!(refusal.to_string().contains("SECRET_ID"), "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_secret_turns_nobody_away_for_its_own_sake() {
    let world = World::uninstalled(&[]).await;
    let complete = world.secret(&[]);
    world.stack.secrets_manager.put(SECRET_ID, complete);
    for refusal in refusals(&world).await {
        assert!(!matches!(refusal, Rejection::Secrets(_)), "{refusal}");
    }
}
