//! The body of `POST /livechat`: envelope, proof, event, and what follows from it for the bot.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::bridge::{MessageContent, ToBot, to_botpress};
use shared::bridge::decide::{decide, decide_from_thread};
use shared::bridge::wording::Wording;
use shared::clock::Timestamp;
use shared::livechat::webhook::{Event, UnverifiedDelivery};
use shared::model::session::ChatPointer;

fuzz_target!(|body: &[u8]| {
    let Ok(unverified) = UnverifiedDelivery::parse(body) else { return };
    // Whoever gets this far knows the secret: the one that they have sent.
    let Ok(delivery) = unverified.verify([&unverified.secret_key], &unverified.organization_id) else { return };
    let now = Timestamp::from_unix_millis(1_778_492_460_000);
    let Ok((event, _)) = delivery.decode(now) else { return };
    let pointer =
        ChatPointer { session_id: "S".into(), user_id: "U".into(), customer_id: "C".into(), thread_id: "T".into() };
    let mut intentions = decide(&event, &pointer, now);
    if let Event::IncomingChat { chat } = &event
        && let Some(thread) = &chat.thread
    {
        intentions.extend(decide_from_thread(thread, &chat.users, &pointer, now));
    }
    for intention in intentions {
        let (_, content) = intention.into_item();
        let stored = serde_json::to_string(&content).expect("what waits can be written down");
        let read: ToBot = serde_json::from_str(&stored).expect("what was written down can be read");
        if let ToBot::Message { content, .. } | ToBot::Correction { content, .. } = &read {
            show(content);
        }
    }
});

/// As it is shown by either platform.
fn show(content: &MessageContent) {
    let wording = Wording::default();
    let _ = to_botpress::forms(content, &wording);
    let _ = content.as_text(&wording);
    let _ = content.revision();
    if let Some(corrected) = content.corrected(&wording) {
        let _ = to_botpress::forms(&corrected, &wording);
    }
}
