//! The pause lasts as long as the session, and not a moment longer.

use std::time::Duration;

use sandbox::faults::Fault;
use sandbox::livechat::RoutingStatus;
use tests::{ANNA, ASK, BEN, World};

const MINUTE: Duration = Duration::from_secs(60);

async fn minutes(world: &World, count: u32) {
    for _ in 0..count {
        world.advance(MINUTE);
        world.settle().await;
        world.sweep().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_session_stays_paused_for_hours_and_its_end_ends_the_pause() {
    for length in ["10", "3"] {
        let world = World::in_process_with(&[("BOTCOPY_PAUSE_MINUTES", length)]).await;
        let user = world.handed_over_user().await;
        for _ in 0..120 {
            minutes(&world, 1).await;
            assert!(world.stack.botcopy.is_paused(&user));
        }
        assert_eq!(world.count("pause_lapsed"), 0);
        world.answers(ANNA, "Sorry for the wait").await;
        world.agent_closes(ANNA).await;
        assert!(!world.stack.botcopy.is_paused(&user));
        minutes(&world, 30).await;
        assert!(!world.stack.botcopy.is_paused(&user), "nobody renews what is over");
        assert!(world.items("timer").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_any_length_holds_with_a_sweep_a_minute() {
    for length in 3..=10 {
        let world = World::in_process_with(&[("BOTCOPY_PAUSE_MINUTES", &length.to_string())]).await;
        let (quiet, talking) = (world.handed_over_user().await, world.handed_over_user().await);
        for minute in 0..40 {
            // Sweeps are not punctual to the second.
            world.advance(Duration::from_millis(500 * (minute % 5)));
            minutes(&world, 1).await;
            if minute % 7 == 0 {
                world.widget_says(&talking, &format!("order {minute}")).await;
            }
            assert!(world.stack.botcopy.is_paused(&quiet) && world.stack.botcopy.is_paused(&talking), "{length} min");
        }
        assert_eq!(world.count("pause_lapsed"), 0, "{length} min");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_has_come_to_nothing_is_followed_by_another_one() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    minutes(&world, 4).await;
    world.stack.botcopy.faults().next(1, "push", Fault::answer(404, ""));
    minutes(&world, 30).await;
    assert_eq!(world.stack.botcopy.faults().spoiled().len(), 1);
    assert!(world.stack.botcopy.is_paused(&user));
    assert_eq!(world.count("pause_lapsed"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lively_session_is_not_told_again_and_again_whom_it_is_with() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    for number in 0..30 {
        minutes(&world, 1).await;
        world.answers(ANNA, &format!("agent {number}")).await;
    }
    assert_eq!(world.widget_shows(&user, "notice"), ["You are now chatting with Anna."]);
    assert_eq!(world.count("pause_lapsed"), 0);
    minutes(&world, 8).await;
    assert_eq!(world.widget_shows(&user, "notice").len(), 2, "silence is what needs a renewal");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_announced_once_however_short_the_pause() {
    for length in ["3", "10"] {
        let world = World::in_process_with(&[("BOTCOPY_PAUSE_MINUTES", length)]).await;
        let user = world.handed_over_user().await;
        world.sweep().await;
        world.advance(Duration::from_millis(300));
        world.sweep().await;
        assert_eq!(world.widget_shows(&user, "notice"), ["You are now chatting with Anna."], "{length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_the_sweep_has_finished_announces_its_agent_once() {
    let world = World::in_process().await;
    let user = world.widget_user().await;
    world.stack.livechat.faults().always("list_group_statuses", Fault::Delay(MINUTE));
    world.widget_says(&user, ASK).await;
    world.stack.livechat.faults().clear();
    minutes(&world, 3).await;
    assert!(world.stack.botcopy.is_paused(&user));
    assert_eq!(world.widget_shows(&user, "notice"), ["You are now chatting with Anna."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_pause_is_renewed_late() {
    let world = World::in_process_with(&[("BOTCOPY_PAUSE_MINUTES", "60")]).await;
    let user = world.handed_over_user().await;
    minutes(&world, 54).await;
    assert_eq!(world.widget_shows(&user, "notice").len(), 1, "not while there is time");
    minutes(&world, 120).await;
    assert_eq!(world.count("pause_lapsed"), 0);
    assert_eq!(world.widget_shows(&user, "notice").len(), 4, "once in 55 minutes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_fails_is_tried_again_before_the_pause_lapses() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    minutes(&world, 4).await;
    world.stack.botcopy.faults().always("push", Fault::answer(503, ""));
    minutes(&world, 3).await;
    world.stack.botcopy.faults().clear();
    minutes(&world, 20).await;
    assert!(world.stack.botcopy.is_paused(&user));
    assert_eq!(world.count("pause_lapsed"), 0);
}

fn nobody_takes_chats(world: &World) {
    for agent in [ANNA, BEN] {
        world.stack.livechat.set_agent_status(agent, RoutingStatus::NotAcceptingChats);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_for_whom_nobody_comes_goes_back_to_the_bot_with_a_sentence() {
    let world = World::in_process_with(&[("ASSIGN_TIMEOUT_SECONDS", "300")]).await;
    nobody_takes_chats(&world);
    let user = world.widget_user().await;
    world.widget_says(&user, ASK).await;
    assert!(world.stack.botcopy.is_paused(&user));
    minutes(&world, 4).await;
    assert!(world.stack.botcopy.is_paused(&user));
    minutes(&world, 2).await;
    assert!(!world.stack.botcopy.is_paused(&user));
    assert_eq!(
        world.widget_shows(&user, "agent"),
        [
            "You are number 1 in the queue. An agent is free in about 1 min.",
            "Sorry, no agent is free at the moment. You are back with the bot.",
        ]
    );
    assert!(world.stack.livechat.open_chats().is_empty());
    minutes(&world, 3).await;
    assert!(world.items("timer").is_empty() && world.items("waiting").is_empty());
    world.widget_says(&user, "well then").await;
    assert_eq!(world.widget_shows(&user, "bot").last().unwrap(), "bot: well then");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_limit_a_user_waits_and_with_an_agent_the_limit_is_off() {
    let world = World::in_process().await;
    nobody_takes_chats(&world);
    let user = world.widget_user().await;
    world.widget_says(&user, ASK).await;
    minutes(&world, 60).await;
    assert!(world.stack.botcopy.is_paused(&user));
    assert_eq!(world.count("pause_lapsed"), 0);

    let world = World::in_process_with(&[("ASSIGN_TIMEOUT_SECONDS", "300")]).await;
    let user = world.handed_over_user().await;
    minutes(&world, 20).await;
    assert!(world.stack.botcopy.is_paused(&user));
    assert_eq!(world.stack.livechat.open_chats().len(), 1);
}
