//! Agents who write in a thread without a session are notified once, and the thread does not stay open.

use std::time::Duration;

use sandbox::botpress::Escalation;
use sandbox::faults::Fault;
use serde_json::{Value, json};
use tests::{ANNA, BEN, World};

use crate::events::with;

const NOBODY: &str =
    "[Bot] The customer is back with the bot and does not see what is written here. This chat is closed.";

/// Opens a session of either platform, which an agent closes. Returns its chat.
async fn closed_session(world: &World, widget: bool) -> String {
    match widget {
        true => drop(world.handed_over_user().await),
        false => drop(world.escalated_user("Ann").await),
    }
    let chat_id = world.chat_id();
    world.agent_closes(ANNA).await;
    world.advance(Duration::from_secs(60));
    chat_id
}

fn told(world: &World) -> usize {
    world.sent_by_customers().iter().filter(|text| *text == NOBODY).count()
}

fn resumes(world: &World, chat_id: &str) -> String {
    world.stack.livechat.agent_resumes(chat_id, ANNA).unwrap()
}

fn writes(world: &World, chat_id: &str, text: &str) {
    world.stack.livechat.agent_sends_text(chat_id, ANNA, text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_who_opens_a_chat_again_after_its_end_is_told_once_and_it_is_closed() {
    for widget in [false, true] {
        let world = World::in_process().await;
        let chat_id = closed_session(&world, widget).await;
        for times in 1..=2 {
            let shown = world.count("shown_to_user");
            resumes(&world, &chat_id);
            world.settle().await;
            assert!(!world.stack.livechat.open_chats().is_empty(), "nobody has written anything yet");
            writes(&world, &chat_id, "one more thing");
            writes(&world, &chat_id, "are you there?");
            world.settle().await;
            assert_eq!((told(&world), world.stack.livechat.open_chats().len()), (times, 0));
            assert!(world.stack.livechat.deliver_again("incoming_event"));
            world.settle().await;
            world.catch_up().await;
            assert_eq!(
                (told(&world), world.count("shown_to_user")),
                (times, shown),
                "for each thread once, and the user sees nothing"
            );
        }
        assert!(world.items("parked").is_empty() && world.items("waiting").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_words_at_once_are_answered_once() {
    let world = World::of_instances(4, false).await;
    let chat_id = closed_session(&world, false).await;
    let thread_id = resumes(&world, &chat_id);
    let report = |number: usize| {
        json!({"chat_id": chat_id, "thread_id": thread_id, "event": {
            "id": format!("{thread_id}_{number}"), "type": "message", "text": "hello?", "author_id": ANNA,
            "visibility": "all", "created_at": world.now().to_string(),
        }})
    };
    let answers = world.all((0..32).map(|number| world.reports("incoming_event", report(number)))).await;
    assert!(answers.iter().all(|status| *status == 200));
    world.catch_up().await;
    assert_eq!((told(&world), world.stack.livechat.open_chats().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_who_says_nothing_to_the_customer_or_writes_elsewhere() {
    let world = World::in_process_with(&[("ONLY_MY_CHATS", "no")]).await;
    let chat_id = closed_session(&world, false).await;
    let thread_id = resumes(&world, &chat_id);
    let livechat = &world.stack.livechat;
    livechat.agent_sends_private_note(&chat_id, ANNA, "what was this about?").unwrap();
    livechat.customer_sends_text_elsewhere("hello", "how can I help?").unwrap();
    world.settle().await;
    let event = json!({"id": format!("{thread_id}_77"), "type": "message", "text": "beep", "author_id": ANNA,
        "visibility": "all", "created_at": world.now().to_string()});
    for changes in [
        json!({"author_id": "5c9871d5372c824cbf22d860a707a578"}),
        json!({"author_id": null, "type": "system_message", "system_message_type": "agent_added"}),
        json!({"text": "\u{200b}"}),
        json!({"deleted": true}),
    ] {
        let report = json!({"chat_id": chat_id, "thread_id": thread_id, "event": with(&event, changes)});
        assert_eq!(world.reports("incoming_event", report).await, 200);
    }
    world.catch_up().await;
    assert_eq!((told(&world), livechat.open_chats().len()), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_tells_them_in_its_own_words_or_closes_without() {
    for (sentence, expected) in [("Nobody here.", vec!["[Bot] Nobody here."]), ("", Vec::new())] {
        let wording = json!({"nobody_listens": sentence}).to_string();
        let world = World::in_process_with(&[("WORDING", &wording)]).await;
        let chat_id = closed_session(&world, false).await;
        let before = world.sent_by_customers().len();
        resumes(&world, &chat_id);
        writes(&world, &chat_id, "one more thing");
        world.settle().await;
        assert_eq!(world.sent_by_customers().split_off(before), expected);
        assert!(world.stack.livechat.open_chats().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_only_delays_it() {
    let world = World::in_process().await;
    let chat_id = closed_session(&world, false).await;
    resumes(&world, &chat_id);
    for call in ["agent/action/get_chat", "customer/action/send_event", "agent/action/deactivate_chat"] {
        world.stack.livechat.faults().next(2, call, Fault::answer(503, ""));
        world.stack.livechat.faults().next(1, call, Fault::LoseAnswer);
    }
    writes(&world, &chat_id, "one more thing");
    world.settle().await;
    world.catch_up().await;
    assert_eq!((told(&world), world.stack.livechat.open_chats().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_outlived_its_session_is_closed_when_somebody_writes_there() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let refused = json!({"error": {"type": "validation", "message": "Wrong format of request"}}).to_string();
    world.stack.livechat.faults().always("deactivate_chat", Fault::answer(422, refused));
    world.user_ends(&ann).await;
    world.stack.livechat.faults().clear();
    assert_eq!(world.stack.livechat.open_chats().len(), 1, "it could not be closed");
    world.answers(ANNA, "are you there?").await;
    world.sweep_after(Duration::from_secs(30)).await;
    assert_eq!((told(&world), world.stack.livechat.open_chats().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_a_chat_again_whose_end_we_have_not_heard_of_ends_that_session() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let chat_id = world.chat_id();
    world.stack.gateway_faults.always("POST /livechat", Fault::answer(200, "swallowed"));
    world.agent_closes(ANNA).await;
    world.stack.gateway_faults.clear();
    resumes(&world, &chat_id);
    writes(&world, &chat_id, "one more thing");
    world.settle().await;
    world.catch_up().await;
    assert_eq!((told(&world), world.stack.livechat.open_chats().len()), (1, 0));
    assert!(!world.stack.botpress.is_escalated(&ann.conversation_id));
    assert_eq!(world.bot_events("hitlStopped").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_under_way_is_not_disturbed() {
    // The agent of a returning user is quicker than the start that has opened their thread.
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let chat_id = world.chat_id();
    world.agent_closes(ANNA).await;
    world.says(&ann, "one more thing").await;
    world.stack.livechat.faults().next(1, "customer/action/resume_chat", Fault::Pace(Duration::from_secs(3)));
    let escalate = world.stack.botpress.escalate(&ann.conversation_id, Escalation::default());
    let answer = async {
        world.until(|world| world.count("chat_resumed") == 1).await;
        writes(&world, &chat_id, "welcome back");
    };
    world.drive(async { tokio::join!(escalate, answer).0 }).await.unwrap();
    world.settle().await;
    world.catch_up().await;
    assert_eq!((told(&world), world.stack.livechat.open_chats().len()), (0, 1));
    assert_eq!(world.shown_by_agents(), ["welcome back"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_at_the_same_instant_ends_with_one_thread_in_which_both_are_heard() {
    for pace in [0, 50, 400, 2_000] {
        let world = World::in_process().await;
        let ann = world.escalated_user("Ann").await;
        let chat_id = world.chat_id();
        world.agent_closes(ANNA).await;
        world.says(&ann, "one more thing").await;
        resumes(&world, &chat_id);
        world.settle().await;
        // The reading takes different times, so that either can come before the other.
        world.stack.livechat.faults().next(1, "agent/action/get_chat", Fault::Pace(Duration::from_millis(pace)));
        let escalate = world.stack.botpress.escalate(&ann.conversation_id, Escalation::default());
        let writes = async { writes(&world, &chat_id, "one more thing") };
        world.drive(async { tokio::join!(writes, escalate).1 }).await.unwrap();
        world.settle().await;
        world.catch_up().await;
        assert!(world.stack.botpress.is_escalated(&ann.conversation_id), "{pace}");
        assert_eq!(world.stack.livechat.open_chats().len(), 1, "{pace}");
        world.says(&ann, "hello?").await;
        let agent = world.stack.livechat.open_chats()[0].public_agent().unwrap_or(BEN).to_owned();
        world.answers(&agent, "hello!").await;
        assert_eq!(world.sent_by_customers().last().map(String::as_str), Some("hello?"), "{pace}");
        assert_eq!(world.shown_by_agents().last().map(String::as_str), Some("hello!"), "{pace}");
    }
}

/// The call that resumes the chat contains the agent's message.
#[tokio::test(flavor = "multi_thread")]
async fn who_writes_with_the_opening_itself_is_told_as_well() {
    let world = World::in_process().await;
    let chat_id = closed_session(&world, false).await;
    let said: Value = json!({"type": "message", "text": "one more thing"});
    let resumed = json!({"chat": {"id": chat_id, "access": {"group_ids": [1]}, "thread": {"events": [said]}}});
    world.owner_calls("agent/action/resume_chat", &resumed).await;
    world.settle().await;
    assert_eq!((told(&world), world.stack.livechat.open_chats().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_long_forgotten_changes_nothing() {
    let world = World::of_instances(4, false).await;
    let chat_id = closed_session(&world, false).await;
    for item in world.stack.table.items().unwrap() {
        if tests::text(&item, "pk").starts_with("SESSION#") {
            world.remove_item(&item).await;
        }
    }
    let thread_id = resumes(&world, &chat_id);
    let report = |number: usize| {
        json!({"chat_id": chat_id, "thread_id": thread_id, "event": {
            "id": format!("{thread_id}_{number}"), "type": "message", "text": "hello?", "author_id": ANNA,
            "visibility": "all", "created_at": world.now().to_string(),
        }})
    };
    let answers = world.all((0..16).map(|number| world.reports("incoming_event", report(number)))).await;
    assert!(answers.iter().all(|status| *status == 200));
    world.catch_up().await;
    assert_eq!((told(&world), world.stack.livechat.open_chats().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn late_reports_of_words_that_were_heard_cost_nothing() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.answers(ANNA, "hello").await;
    let report = world.entries("webhook_delivered", "/action", "incoming_event").pop().unwrap();
    let report = report.detail["delivery"].as_u64().unwrap();
    world.agent_closes(ANNA).await;
    let calls = || world.entries("call_answered", "/call", "agent/get_chat").len();
    let repeated = async || {
        let before = (calls(), world.items("waiting").len(), world.items("trail").len());
        assert!(world.stack.livechat.replay(report));
        world.settle().await;
        assert_eq!((calls(), world.items("waiting").len(), world.items("trail").len()), before);
    };
    repeated().await;
    world.advance(Duration::from_secs(60));
    world.says(&ann, "one more thing").await;
    world.escalate(&ann).await.unwrap();
    repeated().await;
    assert_eq!(told(&world), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn death_at_any_place_tells_no_agent_twice_and_leaves_no_thread_open() {
    let reopened = async || {
        let world = World::in_process().await;
        let chat_id = closed_session(&world, false).await;
        resumes(&world, &chat_id);
        world.settle().await;
        world.fail_points.clear();
        (world, chat_id)
    };
    let (world, chat_id) = reopened().await;
    writes(&world, &chat_id, "one more thing");
    world.settle().await;
    let places = world.fail_points.passed();
    assert!(places.len() >= 6, "{} places", places.len());
    for (place, nth) in places.into_iter().flat_map(|(place, times)| (1..=times).map(move |nth| (place, nth))) {
        let (world, chat_id) = reopened().await;
        world.fail_points.kill_at(place, nth);
        writes(&world, &chat_id, "one more thing");
        world.settle().await;
        for _ in 0..4 {
            world.advance(Duration::from_secs(60));
            world.settle().await;
            drop(world.drive(world.stack.sweep()).await);
        }
        assert!(world.fail_points.has_killed(), "{place:?} {nth}");
        assert_eq!((told(&world), world.stack.livechat.open_chats().len()), (1, 0), "{place:?} {nth}");
        assert!(world.items("waiting").is_empty() && world.items("parked").is_empty(), "{place:?} {nth}");
    }
}
