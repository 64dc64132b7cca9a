//! The process dies at every place between two steps, in every flow; afterwards nothing is lost, doubled or stuck.

use std::time::Duration;

use sandbox::botpress::UpstreamUser;
use sandbox::livechat::Target;
use serde_json::json;
use shared::fail_point::Place;
use tests::{ANNA, BEN, World};

/// What happens while the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Start,
    UserSpeaks,
    UserShows,
    AgentSpeaks,
    AgentCorrects,
    Transfer,
    AgentCloses,
    UserEnds,
    Return,
}

const FLOWS: [Flow; 9] = [
    Flow::Start,
    Flow::UserSpeaks,
    Flow::UserShows,
    Flow::AgentSpeaks,
    Flow::AgentCorrects,
    Flow::Transfer,
    Flow::AgentCloses,
    Flow::UserEnds,
    Flow::Return,
];

impl Flow {
    async fn prepare(self, world: &World) -> UpstreamUser {
        match self {
            Self::Start => world.user("Ann").await,
            Self::Return => {
                let ann = world.escalated_user("Ann").await;
                world.agent_closes(ANNA).await;
                world.says(&ann, "one more thing").await;
                ann
            }
            _ => world.escalated_user("Ann").await,
        }
    }

    /// A killed invocation is an error for its caller, so errors count for nothing here.
    async fn act(self, world: &World, ann: &UpstreamUser) {
        match self {
            Self::Start | Self::Return => drop(world.escalate(ann).await),
            Self::UserSpeaks => {
                world.says(ann, "user 1").await;
                pause(world).await;
                world.says(ann, "user 2").await;
            }
            Self::UserShows => {
                let url = world.stack.botpress.stores_file("cat.png", "image/png", b"meow".to_vec());
                let text = |text: &str| json!({"type": "text", "payload": {"text": text}});
                let image = json!({"type": "image", "payload": {"imageUrl": url}});
                world.shows(ann, "bloc", json!({"items": [text("user 1"), image, text("user 2")]})).await;
            }
            Self::AgentSpeaks => {
                world.answers(ANNA, "agent 1").await;
                pause(world).await;
                world.answers(ANNA, "agent 2").await;
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
            Self::Transfer => {
                world.stack.livechat.agent_transfers(&world.chat_id(), ANNA, Target::Agent(BEN.to_owned())).unwrap();
                world.settle().await;
                pause(world).await;
                world.answers(BEN, "agent 1").await;
            }
            Self::AgentCloses => {
                world.answers(ANNA, "agent 1").await;
                world.agent_closes(ANNA).await;
            }
            Self::UserEnds => {
                world.says(ann, "user 1").await;
                pause(world).await;
                world.user_ends(ann).await;
            }
        }
    }

    fn agents_said(self) -> &'static [&'static str] {
        match self {
            Self::AgentSpeaks => &["agent 1", "agent 2"],
            Self::AgentCorrects => &["agent 1", "Correction: agent 2", "The agent has deleted an earlier message."],
            Self::Transfer | Self::AgentCloses => &["agent 1"],
            _ => &[],
        }
    }

    fn user_said(self) -> &'static [&'static str] {
        match self {
            Self::UserSpeaks | Self::UserShows => &["user 1", "user 2"],
            Self::UserEnds => &["user 1"],
            _ => &[],
        }
    }
}

/// People take their time, and meanwhile the vendors repeat what was refused.
async fn pause(world: &World) {
    world.advance(Duration::from_secs(10));
    world.settle().await;
}

/// The vendors repeat what they repeat, and the schedule ticks for some minutes.
async fn recover(world: &World) {
    world.settle().await;
    for _ in 0..6 {
        world.advance(Duration::from_secs(60));
        world.settle().await;
        // The one that dies may be the sweep; the next one comes in a minute.
        drop(world.drive(world.stack.sweep()).await);
        world.settle().await;
    }
}

async fn judge(world: &World, flow: Flow, ann: &UpstreamUser, died: &str) {
    assert_eq!(world.shown_by_agents(), flow.agents_said(), "{flow:?} {died}: what the user saw");
    let sent = world.sent_by_customers();
    let sent: Vec<_> = sent.iter().filter(|text| text.starts_with("user ")).collect();
    assert_eq!(sent, flow.user_said(), "{flow:?} {died}: what the agents saw");

    judge_files(world, flow, died);

    let is_open = !world.stack.livechat.open_chats().is_empty();
    let is_escalated = world.stack.botpress.is_escalated(&ann.conversation_id);
    assert_eq!(is_open, is_escalated, "{flow:?} {died}: one side believes in a session, the other does not");
    assert!(world.items("waiting").is_empty() && world.items("parked").is_empty(), "{flow:?} {died}: items are left");

    // Whatever happened, the user can be handed over and comes back.
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

/// A file is shown once, and uploaded once unless the death came between the upload and the note of it: LiveChat keeps no
/// record of uploads that could be asked.
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
    let ann = flow.prepare(&world).await;
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
        let ann = flow.prepare(&world).await;
        world.fail_points.kill_at(place, nth);
        flow.act(&world, &ann).await;
        recover(&world).await;
        judge(&world, flow, &ann, &died).await;
    }
}

macro_rules! dying_in {
    ($($name:ident: $flow:expr;)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            die_everywhere($flow).await;
        }
    )+};
}

dying_in! {
    a_start_survives_death_at_every_place: Flow::Start;
    a_users_words_survive_death_at_every_place: Flow::UserSpeaks;
    a_users_file_survives_death_at_every_place: Flow::UserShows;
    an_agents_words_survive_death_at_every_place: Flow::AgentSpeaks;
    a_correction_survives_death_at_every_place: Flow::AgentCorrects;
    a_transfer_survives_death_at_every_place: Flow::Transfer;
    a_close_by_the_agent_survives_death_at_every_place: Flow::AgentCloses;
    an_end_by_the_user_survives_death_at_every_place: Flow::UserEnds;
    a_return_survives_death_at_every_place: Flow::Return;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flows_pass_many_places() {
    let mut steps = std::collections::BTreeSet::new();
    for flow in FLOWS {
        steps.extend(places(flow).await.into_iter().map(|(place, _)| place));
    }
    assert!(steps.len() >= 40, "{} places: {steps:?}", steps.len());
}
