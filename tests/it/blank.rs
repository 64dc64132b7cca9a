//! Messages without visible text cause no error and no notice.

use sandbox::botpress::Escalation;
use serde_json::{Value, json};
use tests::{ANNA, World};

use crate::events::message;

const BLANK: [&str; 6] =
    [" ", "\u{200b}", "\u{feff}\n\u{ad}", "\u{fe0f}", "\u{3164}\u{ffa0}", "\u{2800}\u{200d}\u{e0020}"];

/// Counts the effects: messages at either vendor, receipts in the table, refusals.
fn traces(world: &World) -> (usize, usize, usize, usize) {
    let refused = world.stack.journal.all("call_answered").iter().filter(|one| one.detail["status"] != 200).count();
    let receipts = world.items("trail").len();
    (world.sent_by_customers().len(), world.entries("shown_to_user", "/from", "agent").len(), receipts, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn blank_words_of_a_user_reach_nobody_and_are_no_error() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    let before = traces(&world);
    for blank in BLANK {
        world.says(&ann, blank).await;
        let item = json!({"type": "text", "payload": {"text": blank}});
        world.shows(&ann, "bloc", json!({"items": [item, item]})).await;
        assert_eq!(traces(&world), before, "{blank:?}");
    }
    let answers = world.entries("operation_called", "/operation", "message_created");
    assert!(answers.len() >= BLANK.len() && answers.iter().all(|answer| answer.detail["status"] == 200));
    world
        .shows(
            &ann,
            "bloc",
            json!({"items": [
                {"type": "text", "payload": {"text": BLANK[1]}}, {"type": "text", "payload": {"text": "hi"}},
            ]}),
        )
        .await;
    assert_eq!(world.sent_by_customers().last().map(String::as_str), Some("hi"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_loses_no_part_to_the_blanks_in_it() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    let before = world.sent_by_customers().len();
    world.says(&ann, &format!("a{}b", " ".repeat(40_000))).await;
    let sent = world.sent_by_customers().split_off(before);
    assert!(sent.iter().all(|part| !part.trim().is_empty()), "{} parts", sent.len());
    assert_eq!(sent.concat().replace(' ', ""), "ab");
}

#[tokio::test(flavor = "multi_thread")]
async fn blank_words_of_an_agent_reach_nobody() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    world.answers(ANNA, "hello").await;
    let before = traces(&world);
    let card = |title: &str| json!([{"title": title, "subtitle": title, "buttons": [{"text": title}]}]);
    for (number, blank) in BLANK.into_iter().enumerate() {
        world.reports("incoming_event", message(&world, number, json!({"text": blank}))).await;
        let cards = json!({"type": "rich_message", "text": null, "template_id": "cards", "elements": card(blank)});
        world.reports("incoming_event", message(&world, number + 10, cards)).await;
        assert_eq!(traces(&world), before, "{blank:?}");
    }
    let file = json!({"type": "file", "text": null, "url": "https://cdn.example.com/a.png", "name": BLANK[4],
        "content_type": "image/png"});
    world.reports("incoming_event", message(&world, 30, file)).await;
    let shown = world.stack.journal.all("shown_to_user").pop().unwrap();
    assert_eq!((shown.text("/type"), shown.detail["payload"].get("title")), ("image", None), "{}", shown.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_blank_in_a_start_is_absent() {
    let world = World::start().await;
    let said = |by: Value, kind: &str, payload: Value| json!({"source": by, "type": kind, "payload": payload});
    let bot = || json!({"type": "bot"});
    for (number, blank) in BLANK.into_iter().enumerate() {
        let created = json!({"name": blank, "email": format!("u{number}@example.com"), "pictureUrl": blank});
        let user_id = world.act("createUser", created).await.json()["output"]["userId"].as_str().unwrap().to_owned();
        let user = || json!({"type": "user", "userId": user_id});
        let history = json!([
            said(user(), "text", json!({"text": blank})),
            said(bot(), "card", json!({"title": blank, "actions": []})),
            said(bot(), "choice", json!({"text": blank, "options": [{"label": "A", "value": "a"}]})),
            said(user(), "text", json!({"text": "help"})),
            said(bot(), "text", json!({"text": blank})),
        ]);
        let input = json!({"userId": user_id, "title": blank, "description": blank, "messageHistory": history});
        assert_eq!(world.act("startHitl", input).await.status, 200);
        let opening = world.sent_by_customers().pop().unwrap();
        assert_eq!(opening, "Conversation so far:\nBot: - A\nUser: help", "{blank:?}");
    }
    let names = world.stack.livechat.customers();
    assert!(names.iter().all(|customer| customer.name.is_none()), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_of_which_nothing_is_seen_opens_a_thread_without_words() {
    let world = World::start().await;
    let ann = world.user("Ann").await;
    let escalation = Escalation { title: Some(BLANK[2].to_owned()), ..Escalation::default() };
    world.escalate_with(&ann, escalation).await.unwrap();
    assert!(world.sent_by_customers().remove(0).starts_with("Conversation so far:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn blank_words_of_a_widget_are_taken_quietly() {
    let world = World::start().await;
    let user = world.handed_over_user().await;
    let before = traces(&world);
    for blank in BLANK {
        world.widget_says(&user, blank).await;
        assert_eq!(traces(&world), before, "{blank:?}");
        assert!(world.stack.botcopy.is_paused(&user));
    }
}
