//! The table's data of sessions and users lives as long as it is needed, whenever TTL deletes.

use std::collections::BTreeSet;
use std::time::Duration;

use sandbox::faults::Fault;
use serde_json::{Value, json};
use shared::aws;
use shared::ids::{SessionId, UserId};
use shared::model::lane::{Arrival, Lane, Lease, Occupancy, Position};
use shared::store::Table;
use tests::{ANNA, World, message, text};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Lets TTL delete everything that has expired by its clock, which is ten minutes ahead.
fn ttl(world: &World) -> usize {
    world.stack.table.delete_expired(world.now() + Duration::from_secs(600), |_| true).unwrap()
}

/// Advances the time with a sweep every twelve hours; TTL deletes as early as it may.
async fn pass(world: &World, time: Duration) {
    let ends_at = world.now() + time;
    while world.now() < ends_at {
        world.advance((HOUR * 12).min(ends_at.since(world.now())));
        world.sweep().await;
        ttl(world);
    }
}

/// Returns the table's items of sessions and their users.
fn left(world: &World) -> Vec<Value> {
    let of_sessions = ["session", "trail", "waiting", "parked", "timer", "told", "chat", "conversation"];
    let mut items = world.stack.table.items().unwrap();
    items.retain(|item| match text(item, "entity") {
        "user" => !text(item, "session_id").is_empty(),
        entity => of_sessions.contains(&entity) || text(item, "sk").starts_with("LANE#"),
    });
    items
}

/// Returns whether an item outlives every session and its user.
fn is_lasting(item: &Value) -> bool {
    ["gate", "sweep", "door", "install"].contains(&text(item, "entity"))
        || ["GATES", "SWEEP"].contains(&text(item, "pk"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_open_session_expires_and_all_of_an_ended_one_does() {
    for days in [1, 7] {
        let world = World::in_process_with(&[("RETENTION_DAYS", &days.to_string())]).await;
        let ann = world.escalated_user("Ann").await;
        world.says(&ann, "two").await;
        world.answers(ANNA, "one").await;
        let answered = world.entries("event_sent", "/text", "one").remove(0);
        let before = left(&world).len();
        pass(&world, DAY * (days + 4)).await;
        assert_eq!(world.shown_by_agents(), ["one"], "{days} days");
        assert!(world.stack.livechat.deliver_again("incoming_event"));
        world.settle().await;
        assert_eq!((world.shown_by_agents(), left(&world).len()), (vec!["one".to_owned()], before), "{days} days");
        let event_id = answered.text("/event_id");
        world.stack.livechat.agent_edits(&world.chat_id(), event_id, "uno").unwrap();
        world.settle().await;
        assert_eq!(world.shown_by_agents().last().unwrap(), "Correction: uno", "what was said is still known");

        world.agent_closes(ANNA).await;
        let ended_at = world.now();
        let lasting = |item: &Value| item["expires_at"].as_i64() < Some((ended_at + DAY * days).unix_seconds());
        assert!(!left(&world).iter().any(lasting), "the retention counts from the end: {:?}", left(&world));
        let kept_for_ever = |item: &Value| item["expires_at"].is_null() && !is_lasting(item);
        assert!(!world.stack.table.items().unwrap().iter().any(kept_for_ever), "{:?}", world.stack.table.items());
        pass(&world, DAY * (days + 1)).await;
        assert!(
            world.stack.table.items().unwrap().iter().all(is_lasting),
            "{days} days: {:?}",
            world.stack.table.items()
        );
        assert!(world.stack.table.due().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_lives_from_their_last_session_and_comes_back_as_somebody_new() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let customer = |world: &World| -> Vec<String> {
        let users = world.items("user").into_iter().filter(|user| !text(user, "session_id").is_empty());
        users.map(|user| user["customer"]["customer_id"].as_str().unwrap().to_owned()).collect()
    };
    let first = customer(&world);
    world.agent_closes(ANNA).await;
    for _ in 0..2 {
        pass(&world, DAY * 29).await;
        world.says(&ann, "a person again, please").await;
        world.escalate(&ann).await.unwrap();
        assert_eq!(customer(&world), first, "within the retention the customer and the chat are the same");
        world.agent_closes(ANNA).await;
    }
    pass(&world, DAY * 31).await;
    assert_eq!(customer(&world), Vec::<String>::new());
    world.says(&ann, "a person once more, please").await;
    world.escalate(&ann).await.unwrap();
    assert_ne!(customer(&world), first);
    world.answers(ANNA, "Hello again").await;
    assert_eq!(world.shown_by_agents(), ["Hello again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_for_something_expired_is_answered_and_forgotten() {
    // TTL deletes in any order: here the session, but not the items that lead to it.
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.answers(ANNA, "one").await;
    let conversation_id = text(&world.items("conversation")[0], "pk").trim_start_matches("CONVERSATION#").to_owned();
    world.agent_closes(ANNA).await;
    world.advance(DAY * 32);
    world.stack.table.delete_expired(world.now(), |item| ["session", "trail"].contains(&text(item, "entity"))).unwrap();
    let pointer = world.items("conversation").remove(0);
    let later = json!({ ":later": { "N": (world.now() + DAY).unix_seconds().to_string() } });
    world.change_item(&pointer, "SET expires_at = :later", later).await;

    assert!(world.stack.livechat.deliver_again("incoming_event"));
    assert!(world.stack.livechat.deliver_again("chat_deactivated"));
    let words = message(&conversation_id, "msg_late", "too late", Some("somebody"), world.now());
    assert_eq!(world.operate("message_created", &words).await.status, 200);
    world.settle().await;
    world.sweep().await;
    assert_eq!(world.stack.table.due().unwrap(), Vec::<Value>::new());
    let left = [world.items("waiting"), world.items("trail"), world.items_under("LANE#")].concat();
    assert!(left.is_empty(), "{left:#?}");
    assert_eq!(world.shown_by_agents(), ["one"]);
    assert!(!world.sent_by_customers().iter().any(|text| text == "too late"));
    world.says(&ann, "a person, please").await;
    world.escalate(&ann).await.expect("the user can be handed over again");
    assert_eq!(world.stack.livechat.open_chats().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_botcopy_session_in_which_nobody_says_anything_comes_to_an_end() {
    let world = World::in_process_with(&[("BOTCOPY_SILENCE_HOURS", "2")]).await;
    let (lively, abandoned) = (world.handed_over_user().await, world.handed_over_user().await);
    for hour in 0..5 {
        for _ in 0..60 {
            world.advance(Duration::from_secs(60));
            world.sweep().await;
        }
        world.widget_says(&lively, &format!("order {hour}")).await;
        assert_eq!(world.stack.botcopy.is_paused(&abandoned), hour < 1, "after {} h", hour + 1);
    }
    let sentence = "Nobody has written here for a long time, so this chat is closed. You are back with the bot.";
    let said = |user: &str| world.widget_shows(user, "agent").iter().filter(|text| *text == sentence).count();
    assert_eq!((said(&abandoned), said(&lively)), (1, 0));
    assert!(world.stack.botcopy.is_paused(&lively));
    assert_eq!(world.stack.livechat.open_chats().len(), 1, "the agent's side is closed as well");
    assert_eq!(world.items("timer").len(), 1);
    let shown = world.count("shown_to_user");
    for _ in 0..60 {
        world.advance(Duration::from_secs(60));
        world.sweep().await;
    }
    let of_abandoned = world.entries("shown_to_user", "/user_id", &abandoned);
    assert!(of_abandoned.iter().all(|entry| entry.at < world.now() - Duration::from_secs(3 * 3_600)), "{shown}");
    world.widget_says(&abandoned, tests::ASK).await;
    assert!(world.stack.botcopy.is_paused(&abandoned), "the user can ask again");
}

/// A process that has read a session before its user was erased may still store an item there.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_into_an_erased_session_is_gone_with_the_next_sweep() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let (user, session) = (world.items("user"), world.items("session").remove(0));
    let user_id = UserId::from(text(&session, "user_id"));
    assert!(user.iter().any(|one| text(one, "user_id") == user_id.as_str()));
    world.user_ends(&ann).await;
    let (dynamodb, _) = aws::stand_ins(&world.stack.table.url(), &world.stack.table.url()).unwrap();
    let table = Table::new(dynamodb, world.stack.table.name().to_owned(), world.clock());
    table.erase(&user_id, &BTreeSet::new(), world.now(), &mut |_| ()).await.unwrap();
    assert!(world.items("session").is_empty());

    let (session_id, now) = (SessionId::from(text(&session, "session_id")), world.now());
    let content = json!({ "kind": "message", "text": "canary", "is_markdown": false });
    let arrival = Arrival {
        session_id: &session_id,
        lane: Lane::ToAgent,
        position: Position { at: now, source_id: "message:late".to_owned() },
        content: &content,
        received_at: now,
        expires_at: now + DAY,
        revision: None,
    };
    let lease = Lease { holder: "late".to_owned(), until: now + HOUR, deadline: now + HOUR };
    assert!(table.accept(&arrival, &lease, Occupancy::Busy).await.unwrap().holds_lease());
    world.advance(HOUR * 2);
    world.sweep().await;
    assert!(!format!("{:?}", world.stack.table.items().unwrap()).contains(session_id.as_str()));
    assert!(
        world.stack.table.due().unwrap().is_empty() && world.sent_by_customers().iter().all(|text| text != "canary")
    );
}

/// A vendor that can never be notified again, such as one whose app was removed, does not keep an ended session or its texts for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_can_be_told_to_nobody_is_an_end_once_the_retention_is_over() {
    const SEND: &str = "customer/action/send_event";
    const CLOSE: &str = "agent/action/deactivate_chat";
    let down = || Fault::answer(503, "down");
    for (what, livechat, botpress) in [
        ("LiveChat does not close", vec![CLOSE], vec![]),
        ("LiveChat takes no words and does not close", vec![SEND, CLOSE], vec![]),
        ("Botpress hears of no end", vec![], vec!["/v1/chat/events"]),
        ("Botpress hears nothing", vec![], vec!["/v1/chat/events", "messages/get-or-create"]),
    ] {
        let world = World::in_process_with(&[("RETENTION_DAYS", "1")]).await;
        let ann = world.escalated_user("Ann").await;
        world.says(&ann, "one").await;
        livechat.iter().for_each(|call| world.stack.livechat.faults().always(call, down()));
        botpress.iter().for_each(|call| world.stack.botpress.faults().always(call, down()));
        world.answers(ANNA, "two").await;
        world.says(&ann, "three").await;
        if livechat.is_empty() {
            world.agent_closes(ANNA).await;
        } else {
            world.user_ends(&ann).await;
        }
        pass(&world, HOUR * 36).await;
        assert_ne!(
            world.items("session").remove(0)["session_state"],
            "closed",
            "{what}: it is tried for as long as that"
        );
        pass(&world, DAY).await;
        let sessions = world.items("session");
        assert!(sessions.iter().all(|one| one["session_state"] == "closed"), "{what}: {sessions:?}");
        assert!(world.items("waiting").is_empty(), "{what}");
        assert!(world.stack.table.due().unwrap().is_empty(), "{what}");
        pass(&world, DAY * 3).await;
        assert_eq!(left(&world), [] as [Value; 0], "{what}");
    }
}

/// A start that can never be undone, because LiveChat never reports what it has opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_can_never_be_undone_is_over_once_the_retention_is() {
    let world = World::in_process_with(&[("RETENTION_DAYS", "1")]).await;
    let ann = world.user("Ann").await;
    for call in ["customer/action/start_chat", "customer/action/list_chats", "agent/action/deactivate_chat"] {
        world.stack.livechat.faults().always(call, Fault::Reset);
    }
    assert!(world.escalate(&ann).await.is_err());
    pass(&world, DAY).await;
    assert_eq!(world.items("session").remove(0)["session_state"], "closing");
    pass(&world, DAY * 2).await;
    assert!(world.items("session").iter().all(|one| one["session_state"] == "closed"));
    assert!(world.items("waiting").is_empty() && world.stack.table.due().unwrap().is_empty());
}
