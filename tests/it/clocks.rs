//! Clocks that disagree by ten minutes: they order what vendors date, and decide nothing else.

use std::time::Duration;

use sandbox::faults::Fault;

use serde_json::json;
use shared::fail_point::{Place, Side};
use tests::{ANNA, ASK, World};

const MINUTE: Duration = Duration::from_secs(60);
const TEN_MINUTES_MS: i64 = 600_000;

/// Returns worlds in which the clock of one vendor, or of each, is ahead of the functions' or behind.
async fn worlds() -> Vec<(String, World)> {
    let mut worlds = Vec::new();
    for (livechat, botpress) in [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, 1), (1, -1)] {
        let world = World::in_process().await;
        world.stack.livechat.set_behaviour(|behaviour| behaviour.ahead_ms = livechat * TEN_MINUTES_MS);
        world.stack.botpress.set_clock_ahead_ms(botpress * TEN_MINUTES_MS);
        worlds.push((format!("LiveChat {livechat}, Botpress {botpress}"), world));
    }
    worlds
}

/// Adds worlds in which the function `webhooks`, and so the sweep, has a clock of its own. Botcopy names no time at all.
async fn worlds_of_processes() -> Vec<(String, World)> {
    let mut worlds = worlds().await;
    for webhooks in [-1, 1] {
        worlds.push((format!("webhooks {webhooks}"), World::with_webhooks_ahead_ms(webhooks * TEN_MINUTES_MS).await));
    }
    worlds
}

/// Advances the time with its sweeps, far enough for a clock that is ten minutes behind; TTL deletes by a clock that is ten minutes
/// ahead.
async fn pass(world: &World, minutes: u32) {
    for _ in 0..minutes {
        world.sweep_after(MINUTE).await;
        world.stack.table.delete_expired(world.now() + MINUTE * 10, |_| true).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_in_a_thread_that_a_dead_start_has_left_behind_is_found_by_any_clock() {
    for (what, world) in worlds().await {
        let user = world.widget_user().await;
        for starts in 1..=2 {
            world.fail_points.kill_at(Place { step: "table open_thread", side: Side::Before }, 1);
            world.widget_says(&user, ASK).await;
            assert!(world.fail_points.has_killed());
            world.fail_points.clear();
            world.answers(ANNA, "Hello from Anna").await;
            world.agent_closes(ANNA).await;
            world.sweep_after(MINUTE).await;
            assert_eq!(world.widget_shows(&user, "agent"), vec!["Hello from Anna"; starts], "{what}");
            assert!(!world.stack.botcopy.is_paused(&user), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_who_writes_where_nobody_listens_is_told_so_by_any_clock() {
    for (what, world) in worlds().await {
        world.escalated_user("Ann").await;
        let chat_id = world.chat_id();
        world.agent_closes(ANNA).await;
        world.advance(MINUTE);
        world.stack.livechat.agent_resumes(&chat_id, ANNA).unwrap();
        world.stack.livechat.agent_sends_text(&chat_id, ANNA, "one more thing").unwrap();
        world.settle().await;
        let told =
            world.sent_by_customers().iter().filter(|text| text.contains("does not see what is written")).count();
        assert_eq!((told, world.stack.livechat.open_chats().len()), (1, 0), "{what}");
    }
}

/// A closed thread itself shows that nothing needs to be sent there.
#[tokio::test(flavor = "multi_thread")]
async fn late_word_of_an_earlier_thread_is_no_reason_to_say_anything() {
    for (what, world) in worlds().await {
        let ann = world.escalated_user("Ann").await;
        let (chat_id, thread_id) = world.chat_and_thread();
        world.agent_closes(ANNA).await;
        world.advance(MINUTE);
        world.escalate(&ann).await.unwrap();
        let open = world.stack.livechat.open_chats().len();
        let event = json!({"id": format!("{thread_id}_77"), "type": "message", "text": "late", "author_id": ANNA,
            "visibility": "all", "created_at": world.now().to_string()});
        let payload = json!({"chat_id": chat_id, "thread_id": thread_id, "event": event});
        assert_eq!(world.reports("incoming_event", payload).await, 200);
        world.catch_up().await;
        let told =
            world.sent_by_customers().iter().filter(|text| text.contains("does not see what is written")).count();
        assert_eq!((told, world.stack.livechat.open_chats().len()), (0, open), "{what}");
        assert!(world.shown_by_agents().is_empty() && world.items("waiting").is_empty(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_runs_its_course_by_any_clock() {
    for (what, world) in worlds().await {
        let ann = world.escalated_user("Ann").await;
        world.says(&ann, "one").await;
        world.answers(ANNA, "two").await;
        world.says(&ann, "three").await;
        world.answers(ANNA, "four").await;
        for _ in 0..3 {
            world.sweep_after(MINUTE).await;
        }
        world.agent_closes(ANNA).await;
        world.catch_up().await;
        assert_eq!(world.shown_by_agents(), ["two", "four"], "{what}");
        assert_eq!(world.sent_by_customers()[1..], ["one", "three"], "{what}");
        assert!(!world.stack.botpress.is_escalated(&ann.conversation_id), "{what}");
        assert!(world.items("waiting").is_empty() && world.items("parked").is_empty(), "{what}");
    }
}

/// A vendor fails, so that the sweep delivers the messages; and each process takes over the lanes of the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_leaves_the_other_delivers_by_any_clock() {
    for (what, world) in worlds_of_processes().await {
        let (ann, widget) = (world.escalated_user("Ann").await, world.widget_user().await);
        let chats = world.stack.livechat.open_chats();
        world.widget_says(&widget, ASK).await;
        pass(&world, 12).await;
        let open = world.stack.livechat.open_chats();
        let of_widget = open.iter().find(|chat| chats.iter().all(|other| other.id != chat.id)).unwrap().id.clone();
        let down = Fault::answer(503, "down");
        world.stack.livechat.faults().always("customer/action/send_event", down.clone());
        world.stack.botcopy.faults().always("push", down.clone());
        world.stack.botpress.faults().always("messages/get-or-create", down);
        world.says(&ann, "said 1").await;
        world.widget_says(&widget, "said 2").await;
        for (chat_id, text) in [(&chats[0].id, "told 1"), (&of_widget, "told 2")] {
            let chat = world.stack.livechat.open_chats().into_iter().find(|chat| chat.id == *chat_id).unwrap();
            let agent = chat.public_agent().unwrap_or(ANNA).to_owned();
            world.stack.livechat.agent_sends_text(chat_id, &agent, text).unwrap();
            world.settle().await;
        }
        world.stack.livechat.faults().clear();
        world.stack.botcopy.faults().clear();
        world.stack.botpress.faults().clear();
        pass(&world, 15).await;
        let mut said = world.sent_by_customers();
        said.retain(|text| text.starts_with("said"));
        said.sort();
        let mut told = world.shown_by_agents();
        told.sort();
        assert_eq!(
            (said, told),
            (vec!["said 1".into(), "said 2".into()], vec!["told 1".into(), "told 2".into()]),
            "{what}"
        );
        for chat in world.stack.livechat.open_chats() {
            let agent = chat.public_agent().unwrap_or(ANNA).to_owned();
            world.stack.livechat.agent_closes(&chat.id, &agent).unwrap();
            world.settle().await;
        }
        pass(&world, 15).await;
        assert!(!world.stack.botpress.is_escalated(&ann.conversation_id), "{what}");
        assert!(!world.stack.botcopy.is_paused(&widget), "{what}");
        assert!(world.items("waiting").is_empty() && world.items("parked").is_empty(), "{what}");
        assert!(world.items("session").iter().all(|one| one["session_state"] == "closed"), "{what}");
    }
}
