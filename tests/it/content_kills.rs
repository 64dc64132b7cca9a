//! The process dies at every place while a file, a correction and a deletion are being delivered; the scenario `kills` covers the other
//! flows.

use std::time::Duration;

use sandbox::botpress::UpstreamUser;
use serde_json::json;
use shared::fail_point::Place;
use tests::{ANNA, World};

/// What happens while the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    UserShows,
    AgentCorrects,
}

impl Flow {
    /// A killed invocation is an error for its caller, so errors are ignored here.
    async fn act(self, world: &World, ann: &UpstreamUser) {
        match self {
            Self::UserShows => {
                let url = world.stack.botpress.stores_file("cat.png", "image/png", b"meow".to_vec());
                let text = |text: &str| json!({"type": "text", "payload": {"text": text}});
                let image = json!({"type": "image", "payload": {"imageUrl": url}});
                world.shows(ann, "bloc", json!({"items": [text("user 1"), image, text("user 2")]})).await;
            }
            Self::AgentCorrects => {
                let (livechat, chat_id) = (&world.stack.livechat, world.chat_id());
                let event_id = livechat.agent_sends_text(&chat_id, ANNA, "agent 1").unwrap();
                world.settle().await;
                pause(world).await;
                livechat.agent_edits(&chat_id, &event_id, "agent 2").unwrap();
                world.settle().await;
                pause(world).await;
                livechat.agent_deletes(&chat_id, ANNA, &event_id).unwrap();
                world.settle().await;
            }
        }
    }

    fn agents_said(self) -> &'static [&'static str] {
        match self {
            Self::AgentCorrects => &["agent 1", "Correction: agent 2", "The agent has deleted an earlier message."],
            Self::UserShows => &[],
        }
    }

    fn user_said(self) -> &'static [&'static str] {
        match self {
            Self::UserShows => &["user 1", "user 2"],
            Self::AgentCorrects => &[],
        }
    }
}

/// People pause between messages, and meanwhile the vendors retry what was refused.
async fn pause(world: &World) {
    world.advance(Duration::from_secs(10));
    world.settle().await;
}

/// The vendors retry their calls, and the schedule ticks for some minutes.
async fn recover(world: &World) {
    world.settle().await;
    for _ in 0..6 {
        world.advance(Duration::from_secs(60));
        world.settle().await;
        // The sweep itself may die; the next one comes in a minute.
        drop(world.drive(world.stack.sweep()).await);
        world.settle().await;
    }
}

async fn judge(world: &World, flow: Flow, ann: &UpstreamUser, died: &str) {
    let (shown, mut owed) = (world.shown_by_agents(), flow.agents_said().to_vec());
    if shown.len() < owed.len() {
        // A correction whose turn comes after the message was deleted is obsolete.
        owed.retain(|text| *text != "Correction: agent 2");
    }
    assert_eq!(shown, owed, "{flow:?} {died}: what the user saw");
    let sent = world.sent_by_customers();
    let sent: Vec<_> = sent.iter().filter(|text| text.starts_with("user ")).collect();
    assert_eq!(sent, flow.user_said(), "{flow:?} {died}: what the agents saw");

    judge_files(world, flow, died);

    let is_open = !world.stack.livechat.open_chats().is_empty();
    let is_escalated = world.stack.botpress.is_escalated(&ann.conversation_id);
    assert_eq!(is_open, is_escalated, "{flow:?} {died}: one side believes in a session, the other does not");
    assert!(world.items("waiting").is_empty() && world.items("parked").is_empty(), "{flow:?} {died}: items are left");

    // Whatever happened, the user can be handed over again and comes back.
    if !is_escalated {
        world.says(ann, "hello again").await;
        world.escalate(ann).await.unwrap_or_else(|error| panic!("{flow:?} {died}: no new start: {error}"));
    }
    assert_eq!(world.stack.livechat.open_chats().len(), 1, "{flow:?} {died}: chats open after a new start");
    world.user_ends(ann).await;
    recover(world).await;
    assert!(world.stack.livechat.open_chats().is_empty(), "{flow:?} {died}: a chat stays open");
    assert_eq!(
        world.count("conversation_created"),
        world.count("chat_started") + world.count("chat_resumed"),
        "{flow:?} {died}: a thread has one conversation"
    );
}

/// A file is shown once. It is uploaded once unless the process died between the upload and its note: LiveChat has no record of uploads
/// that can be looked up.
fn judge_files(world: &World, flow: Flow, died: &str) {
    let shown = world.entries("event_sent", "/type", "file");
    assert_eq!(shown.len(), usize::from(flow == Flow::UserShows), "{flow:?} {died}: files shown");
    let order = world.entries("event_sent", "/author_type", "customer").into_iter();
    let order: Vec<_> = order.filter(|entry| entry.text("/custom_id").contains('#')).collect();
    assert!(order.is_sorted_by(|a, b| a.text("/custom_id") < b.text("/custom_id")), "{flow:?} {died}: {order:?}");
    let may_repeat =
        ["After vendor upload_file", "Before table note_progress"].iter().any(|place| died.starts_with(place));
    let most = shown.len() + usize::from(may_repeat);
    assert!((shown.len()..=most).contains(&world.count("file_uploaded")), "{flow:?} {died}: files uploaded");
}

async fn places(flow: Flow) -> Vec<(Place, u32)> {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.fail_points.clear();
    flow.act(&world, &ann).await;
    let passed = world.fail_points.passed();
    passed.into_iter().flat_map(|(place, times)| (1..=times).map(move |nth| (place, nth))).collect()
}

async fn die_everywhere(flow: Flow) {
    let places = places(flow).await;
    assert!(places.len() >= 6, "{flow:?} passes {} places", places.len());
    for (place, nth) in places {
        let died = format!("{:?} {} for the {nth}. time", place.side, place.step);
        let world = World::in_process().await;
        let ann = world.escalated_user("Ann").await;
        world.fail_points.kill_at(place, nth);
        flow.act(&world, &ann).await;
        recover(&world).await;
        judge(&world, flow, &ann, &died).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_file_survives_death_at_every_place() {
    die_everywhere(Flow::UserShows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_survives_death_at_every_place() {
    die_everywhere(Flow::AgentCorrects).await;
}
