//! The body of `POST /botcopy`: both steps, and what agents read of it.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use shared::botcopy::{Proof, ResumeEvents, UnverifiedCall};
use shared::bridge::{ToAgent, from_botcopy};
use shared::bridge::split::MAX_BYTES;
use shared::bridge::transcript::Opening;
use shared::bridge::wording::Wording;
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::model::message::Utterance;

fuzz_target!(|body: &[u8]| {
    let Ok(unverified) = UnverifiedCall::parse(body) else { return };
    let proof = Proof { authorization: "token", custom_header: None };
    let _ = unverified.verify(proof, &"token".into(), Some(&"header".into()));
    let call = unverified.into_call();
    let heard = Utterance { heard_at: Timestamp::from_unix_millis(1_778_492_460_000), source_id: "heard".to_owned() };
    let wording = Wording::default();
    for text in from_botcopy::said(&call.said, &wording) {
        for (_, item) in from_botcopy::items(&text, &heard, &wording) {
            let ToAgent::Message { text, .. } = item else { panic!("Botcopy's users only write") };
            assert!(text.expose().len() <= MAX_BYTES, "LiveChat takes no more");
        }
    }
    let user_id = UserId::of_botcopy(&call.channel.bot_id, &call.channel.user_id);
    let history = from_botcopy::history(&call.history, &user_id, &ResumeEvents::default());
    let names = BTreeMap::new();
    let opening = Opening { title: None, description: None, history: &history, names: &names, wording: &wording };
    assert!(opening.text().is_none_or(|text| text.expose().len() <= MAX_BYTES), "LiveChat takes no more");
});
