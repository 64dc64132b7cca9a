//! The pure parts: parsing, decisions and wording without any I/O. `cargo bench -p tests --bench pure`.

use std::collections::BTreeMap;

use divan::{Bencher, black_box};
use serde_json::{Value, json};
use shared::api::event::Request;
use shared::botpress::Operation;
use shared::bridge::decide::decide;
use shared::bridge::split::split;
use shared::bridge::transcript::Opening;
use shared::bridge::wording::Wording;
use shared::clock::Timestamp;
use shared::ids::{OrganizationId, UserId};
use shared::livechat::webhook::UnverifiedDelivery;
use shared::model::message::{Author, Content, HistoryItem};
use shared::model::session::ChatPointer;
use shared::redacted::Redacted;

const SECRET: &str = "the webhook secret";
const ORGANIZATION: &str = "390e44e6-f1e6-0368-c6dd-b74a14508c2e";

fn main() {
    divan::main();
}

fn webhook() -> Value {
    json!({
        "webhook_id": "1188f5", "secret_key": SECRET, "action": "incoming_event", "organization_id": ORGANIZATION,
        "payload": {
            "chat_id": "PJ0MRSHTDG", "thread_id": "K600PKZON8",
            "event": {
                "id": "K600PKZON8_3", "created_at": "2026-05-11T09:41:00.877000Z", "type": "message",
                "text": "I am looking into it.", "author_id": "anna@example.com", "visibility": "all",
            },
        },
        "additional_data": {},
    })
}

#[divan::bench]
fn a_request_is_read(bencher: Bencher<'_, '_>) {
    let event = json!({
        "version": "2.0", "rawPath": "/livechat", "rawQueryString": "", "isBase64Encoded": false,
        "headers": {"content-type": "application/json", "host": "example.execute-api.us-east-1.amazonaws.com"},
        "requestContext": {"http": {"method": "POST", "path": "/livechat"}},
        "body": webhook().to_string(),
    });
    bencher.with_inputs(|| event.clone()).bench_values(Request::read);
}

#[divan::bench]
fn a_webhook_is_verified_decoded_and_judged(bencher: Bencher<'_, '_>) {
    let (body, secret) = (webhook().to_string(), Redacted::from(SECRET));
    let organization = OrganizationId::from(ORGANIZATION);
    let pointer = ChatPointer {
        session_id: "5f0c".into(),
        user_id: "user_1".into(),
        customer_id: "b7eff798-f8df-4364-8059-649c35c9ed0c".into(),
        thread_id: "K600PKZON8".into(),
    };
    let now = Timestamp::from_unix_millis(1_778_492_461_000);
    bencher.bench(|| {
        let unverified = UnverifiedDelivery::parse(black_box(body.as_bytes())).ok()?;
        let event = unverified.verify([&secret], &organization).ok()?.decode(now).ok()?.0;
        Some(decide(&event, &pointer, now))
    });
}

#[divan::bench]
fn an_operation_is_decoded(bencher: Bencher<'_, '_>) {
    let message =
        tests::message("conv_1", "msg_1", "Where is my order?", Some("user_1"), Timestamp::from_unix_millis(0));
    let body = message.to_string();
    let now = Timestamp::from_unix_millis(0);
    bencher.bench(|| Operation::decode(black_box("message_created"), black_box(body.as_bytes()), now));
}

#[divan::bench(args = [10, 100, 1_000])]
fn a_transcript_is_worded(bencher: Bencher<'_, '_>, items: usize) {
    let item = |number: usize| HistoryItem::Message {
        author: if number.is_multiple_of(2) { Author::Bot } else { Author::User(UserId::from("user_1")) },
        content: Content::Text { text: format!("This is what was said at number {number}.").into() },
    };
    let history: Vec<_> = (0..items).map(item).collect();
    let (names, wording) = (BTreeMap::new(), Wording::default());
    bencher.bench(|| {
        Opening { title: None, description: None, history: black_box(&history), names: &names, wording: &wording }
            .text()
    });
}

#[divan::bench]
fn a_long_text_is_split(bencher: Bencher<'_, '_>) {
    let text = "A sentence of some words. ".repeat(4_000);
    bencher.bench(|| split(black_box(&text), 16_000).len());
}
