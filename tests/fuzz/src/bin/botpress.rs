//! A call of `POST /botpress/{key}`, as three parts that line feeds divide: operation, configuration, body.
#![no_main]

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use shared::botpress::{Action, Context, Operation};
use shared::bridge::split::MAX_BYTES;
use shared::bridge::transcript::Opening;
use shared::bridge::wording::Wording;
use shared::bridge::{ToAgent, to_livechat};
use shared::clock::Timestamp;
use shared::livechat::webhook::UnverifiedDelivery;

fuzz_target!(|call: &[u8]| {
    let mut parts = call.splitn(3, |byte| *byte == b'\n').chain([&b""[..], b""]);
    let [operation, configuration, body] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let Some(context) = context(operation, configuration) else { return };
    let now = Timestamp::from_unix_millis(1_778_492_460_000);
    let Ok((operation, _)) = Operation::decode(&context.operation, body, now) else { return };
    let wording = Wording::default();
    match operation {
        Operation::MessageCreated(message) => {
            for (_, item) in to_livechat::items(&message, Some(&"Ann".into()), &wording) {
                if let ToAgent::Message { text, .. } | ToAgent::Note { text } = &item {
                    assert!(text.expose().len() <= MAX_BYTES, "LiveChat takes no more");
                }
            }
        }
        Operation::Action(Action::StartHitl { title, description, hitl_session, message_history, .. }) => {
            let _ = context.configuration.map(|configuration| hitl_session.or(&configuration));
            let opening = Opening {
                title: title.as_ref().map(|title| title.expose()),
                description: description.as_ref().map(|description| description.expose()),
                history: &message_history,
                names: &BTreeMap::new(),
                wording: &wording,
            };
            let text = opening.text();
            assert!(text.is_none_or(|text| text.expose().len() <= MAX_BYTES), "LiveChat takes no more");
        }
        Operation::WebhookReceived(relayed) => {
            let body = relayed.body.as_ref().map_or("", |body| body.expose());
            let _ = UnverifiedDelivery::parse(body.as_bytes());
        }
        _ => {}
    }
});

fn context(operation: &[u8], configuration: &[u8]) -> Option<Context> {
    let mut headers = HeaderMap::new();
    for name in ["x-bot-id", "x-bot-user-id", "x-integration-id", "x-integration-alias", "x-webhook-id"] {
        headers.insert(name, HeaderValue::from_static("id"));
    }
    headers.insert("x-bp-operation", HeaderValue::from_bytes(operation).ok()?);
    headers.insert("x-bp-configuration", HeaderValue::from_str(&STANDARD.encode(configuration)).ok()?);
    Context::from_headers(&headers).ok()
}
