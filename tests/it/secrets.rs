//! A stack whose secret cannot protect it does not start.

use sandbox::stack::Options;
use serde_json::{Value, json};
use shared::aws;
use shared::clock::Clock;
use shared::config::Config;
use shared::handoff::Handoff;
use shared::media::Policy;
use shared::metrics::Metrics;
use shared::secrets::Error;
use tests::{SECRET_ID, World};

/// What a function does before it takes its first call.
async fn start(world: &World, secrets_url: &str) -> Result<(), Error> {
    let environment = world.stack.operator_environment();
    let (table, secrets) = aws::stand_ins(&world.stack.table.url(), secrets_url).await.unwrap();
    let config = Config::from_lookup(|key| environment.get(key).cloned()).unwrap();
    let media = Policy::new(config.media_hosts.clone());
    let handoff = Handoff::with_parts(config, Clock::system(), table, secrets, Metrics::kept(), media).unwrap();
    handoff.secrets.check().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_empty_or_missing_credential_refuses_to_start_and_is_named() {
    let world = World::uninstalled(&[]).await;
    let complete = world.secret(&[]);
    start(&world, &world.stack.secrets_manager.url()).await.unwrap();
    let mut cases: Vec<(String, Value)> = Vec::new();
    for key in [
        "agentToken",
        "webhookSecret",
        "botpressToken",
        "botpressSigningSecret",
        "botpressPathKey",
        "botcopyApiKey",
        "botcopyAccessToken",
    ] {
        for empty in [json!(""), json!(" \n"), json!(7)] {
            let mut secret = complete.clone();
            secret[key] = empty;
            cases.push((key.to_owned(), secret));
        }
    }
    for key in ["agentToken", "webhookSecret", "botpressToken", "botcopyApiKey", "botcopyAccessToken"] {
        let mut secret = complete.clone();
        secret.as_object_mut().unwrap().remove(key);
        cases.push((key.to_owned(), secret));
    }
    let mut open = complete.clone();
    for key in ["botpressSigningSecret", "botpressPathKey"] {
        open.as_object_mut().unwrap().remove(key);
    }
    cases.push(("anybody could call us".to_owned(), open));
    cases.push(("JSON object".to_owned(), json!("")));
    for (key, secret) in cases {
        world.stack.secrets_manager.put(SECRET_ID, secret.clone());
        let refused = start(&world, &world.stack.secrets_manager.url()).await.unwrap_err();
        assert!(matches!(refused, Error::Malformed(_)), "{key}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_at_all_refuses_to_start_but_a_silent_secrets_manager_does_not() {
    let world = World::uninstalled(&[]).await;
    world.stack.secrets_manager.remove(SECRET_ID);
    let refused = start(&world, &world.stack.secrets_manager.url()).await.unwrap_err();
    assert!(refused.to_string().contains("SECRET_ID"), "{refused}");
    start(&world, "http://127.0.0.1:1").await.unwrap();
}

/// Runs with `HITL_BINARIES` only: the compiled functions themselves.
#[tokio::test(flavor = "multi_thread")]
async fn compiled_functions_end_at_once_and_name_what_is_missing() {
    let Some(folder) = tests::binaries() else { return };
    let options = Options {
        runtime: sandbox::stack::Runtime::Processes(&folder),
        connected: false,
        ..Options::in_process(Clock::system())
    };
    let refused = sandbox::stack::Stack::start(options).await.unwrap_err().to_string();
    assert!(refused.contains("agentToken"), "{refused}");
}
