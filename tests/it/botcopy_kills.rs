//! The process dies at every place between two steps of a Botcopy session; nothing is lost or stuck, and what is shown
//! twice is shown twice by an unknown outcome alone.

use std::time::Duration;

use sandbox::livechat::Target;
use shared::fail_point::{Place, Side};
use tests::{ANNA, ASK, BEN, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Start,
    UserSpeaks,
    AgentSpeaks,
    Transfer,
    AgentCloses,
    Renewal,
}

impl Flow {
    async fn prepare(self, world: &World) -> String {
        match self {
            Self::Start => world.widget_user().await,
            _ => world.handed_over_user().await,
        }
    }

    async fn act(self, world: &World, user: &str) {
        match self {
            Self::Start => world.widget_says(user, ASK).await,
            Self::UserSpeaks => {
                world.widget_says(user, "user 1").await;
                pause(world).await;
                world.widget_says(user, "user 2").await;
            }
            Self::AgentSpeaks => {
                world.answers(ANNA, "agent 1").await;
                pause(world).await;
                world.answers(ANNA, "agent 2").await;
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
            Self::Renewal => minutes(world, 7).await,
        }
    }

    fn agents_said(self) -> &'static [&'static str] {
        match self {
            Self::AgentSpeaks => &["agent 1", "agent 2"],
            Self::Transfer | Self::AgentCloses => &["agent 1"],
            _ => &[],
        }
    }
}

async fn pause(world: &World) {
    world.advance(Duration::from_secs(10));
    world.settle().await;
}

/// The one that dies may be the sweep; the next one comes in a minute.
async fn minutes(world: &World, count: u32) {
    for _ in 0..count {
        world.advance(Duration::from_secs(60));
        world.settle().await;
        drop(world.drive(world.stack.sweep()).await);
        world.settle().await;
    }
}

async fn judge(world: &World, flow: Flow, user: &str, place: Option<Place>, died: &str) {
    let mut shown = world.widget_shows(user, "agent");
    if place.is_some_and(|place| place.step == "vendor push" || place.step.starts_with("table")) {
        // A push that was made and not noted is made again: the price of having no look-up.
        let before = shown.len();
        shown.dedup();
        if before > shown.len() {
            println!("{flow:?} {died}: {} doubled push", before - shown.len());
        }
        assert!(before - shown.len() <= 1, "{flow:?} {died}: doubled more than once");
    }
    assert_eq!(shown, flow.agents_said(), "{flow:?} {died}: what the user saw");

    let is_open = !world.stack.livechat.open_chats().is_empty();
    let is_paused = world.stack.botcopy.is_paused(user);
    assert_eq!(is_open, is_paused, "{flow:?} {died}: one side believes in a session, the other does not");
    assert_eq!(world.count("pause_lapsed"), 0, "{flow:?} {died}: the pause lapsed");
    assert!(world.items("waiting").is_empty() && world.items("parked").is_empty(), "{flow:?} {died}: items are left");

    // A call that died is an answer that never came, so the bot has these words; all others the agents have.
    if flow == Flow::UserSpeaks {
        let sent = world.sent_by_customers();
        let bot = world.widget_shows(user, "bot");
        for text in ["user 1", "user 2"] {
            let times = sent.iter().filter(|sent| *sent == text).count();
            assert!(times <= 1, "{flow:?} {died}: {text} reached the agent {times} times");
            assert!(times == 1 || bot.contains(&format!("bot: {text}")), "{flow:?} {died}: {text} is lost");
        }
    }
    if !is_paused {
        world.widget_says(user, "a human once more").await;
        minutes(world, 2).await;
    }
    assert_eq!(world.stack.livechat.open_chats().len(), 1, "{flow:?} {died}: chats open after a new start");
    let chat = world.stack.livechat.open_chats().remove(0);
    world.agent_closes(chat.public_agent().unwrap_or(ANNA)).await;
    minutes(world, 2).await;
    assert!(!world.stack.botcopy.is_paused(user), "{flow:?} {died}: the bot stays silent");
    assert!(world.stack.livechat.open_chats().is_empty(), "{flow:?} {died}: a chat stays open");
}

async fn places(flow: Flow) -> Vec<(Place, u32)> {
    let world = World::in_process().await;
    let user = flow.prepare(&world).await;
    world.fail_points.clear();
    flow.act(&world, &user).await;
    judge(&world, flow, &user, None, "without a death").await;
    let world = World::in_process().await;
    let user = flow.prepare(&world).await;
    world.fail_points.clear();
    flow.act(&world, &user).await;
    let passed = world.fail_points.passed();
    passed.into_iter().flat_map(|(place, times)| (1..=times).map(move |nth| (place, nth))).collect()
}

async fn die_everywhere(flow: Flow) {
    let places = places(flow).await;
    assert!(places.len() >= 6, "{flow:?} passes {} places", places.len());
    for (place, nth) in places {
        let side = if place.side == Side::Before { "before" } else { "after" };
        let died = format!("{side} {} for the {nth}. time", place.step);
        let world = World::in_process().await;
        let user = flow.prepare(&world).await;
        world.fail_points.kill_at(place, nth);
        flow.act(&world, &user).await;
        minutes(&world, 6).await;
        judge(&world, flow, &user, Some(place), &died).await;
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
    a_handover_survives_death_at_every_place: Flow::Start;
    a_widget_users_words_survive_death_at_every_place: Flow::UserSpeaks;
    pushes_survive_death_at_every_place: Flow::AgentSpeaks;
    a_change_of_agents_survives_death_at_every_place: Flow::Transfer;
    a_return_to_the_bot_survives_death_at_every_place: Flow::AgentCloses;
    a_renewal_survives_death_at_every_place: Flow::Renewal;
}
