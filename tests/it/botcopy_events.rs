//! What users of a Botcopy bot do besides writing: they type, they click, and they come back from a session that has ended.

use std::time::Duration;

use sandbox::botcopy::Dialogflow;
use sandbox::faults::Fault;
use serde_json::json;
use shared::metrics::{About, Metric};
use tests::{ANNA, ASK, World, texts};

const MINUTE: Duration = Duration::from_secs(60);

async fn types(world: &World, user: &str) -> Option<String> {
    let answer = world.drive(world.stack.botcopy.user_types(user)).await.unwrap();
    world.settle().await;
    answer.map(|answer| {
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    })
}

fn peeks(world: &World) -> Vec<String> {
    texts(&world.stack.journal.all("sneak_peek_sent"))
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_is_answered_truly_writes_nothing_and_costs_nothing() {
    let world = World::with_table_proxy(&[]).await;
    let user = world.handed_over_user().await;
    world.advance(3 * MINUTE);
    let writes = || {
        let calls = world.stack.table_proxy.as_ref().unwrap().calls();
        calls
            .iter()
            .filter(|(name, _)| name.contains("Write") || name.contains("Put") || name.contains("Update"))
            .map(|(_, n)| n)
            .sum::<usize>()
    };
    let (before, calls, extended) = (writes(), world.count("call_answered"), world.count("pause_extended"));
    assert_eq!(types(&world, &user).await.as_deref(), Some(r#"{"paused":true,"minutesPaused":7}"#));
    assert_eq!((writes(), world.count("call_answered")), (before, calls), "nobody else is called");
    assert_eq!(world.count("pause_extended"), extended);
    world.agent_closes(ANNA).await;
    let body = world.stack.botcopy.typing_body(&user).unwrap();
    assert_eq!(world.call_botcopy(&body, &[]).await.body, r#"{"paused":false}"#);
    assert!(peeks(&world).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_that_nobody_can_answer_for_is_answered_neither_way() {
    let world = World::with_table_proxy(&[]).await;
    let user = world.handed_over_user().await;
    let body = world.stack.botcopy.typing_body(&user).unwrap();
    world.stack.table_proxy.as_ref().unwrap().faults().always("", Fault::Delay(MINUTE));
    assert_eq!(world.call_botcopy(&body, &[]).await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_see_that_a_user_types_where_the_stack_is_set_to_it() {
    let world = World::in_process_with(&[("BOTCOPY_TYPING", "show"), ("WORDING", r#"{"typing":"(tippt)"}"#)]).await;
    let user = world.handed_over_user().await;
    for _ in 0..4 {
        types(&world, &user).await;
        // One every four seconds, whatever comes in between: here a call that Botcopy would not send.
        let body = world.stack.botcopy.typing_body(&user).unwrap();
        world.call_botcopy(&body, &[]).await;
        world.advance(Duration::from_secs(2));
    }
    assert_eq!(peeks(&world), ["(tippt)", "(tippt)"]);
    world.stack.livechat.faults().always("send_sneak_peek", Fault::Delay(MINUTE));
    world.advance(MINUTE);
    let before = world.now();
    assert!(types(&world, &user).await.is_some(), "LiveChat's trouble is not the user's");
    assert!(world.now().since(before) < Duration::from_secs(2));
    world.agent_closes(ANNA).await;
    let body = world.stack.botcopy.typing_body(&user).unwrap();
    world.advance(MINUTE);
    world.call_botcopy(&body, &[]).await;
    assert_eq!(peeks(&world).len(), 2, "nobody is there to see it");
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_has_to_carry_both_headers() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    let body = world.stack.botcopy.typing_body(&user).unwrap();
    for headers in
        [("authorization", Some("wrong")), ("authorization", None), ("x-sandbox", None), ("x-sandbox", Some("x"))]
    {
        assert_eq!(world.call_botcopy(&body, &[headers]).await.status, 401, "{headers:?}");
    }
    let mut wrong = body.clone();
    wrong["accessToken"] = json!("wrong");
    assert_eq!(world.call_botcopy(&wrong, &[]).await.status, 401);
    let mut message = body;
    message["eventType"] = json!("message");
    assert_eq!(world.call_botcopy(&message, &[]).await.status, 400, "words come with a token of their own");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_knows_is_answered_truly_and_counted_and_its_words_are_heard() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    let mut body = world.stack.botcopy.typing_body(&user).unwrap();
    body["eventType"] = json!("user_scrolled");
    assert_eq!(world.call_botcopy(&body, &[]).await.body, r#"{"paused":true,"minutesPaused":10}"#);
    let mut spoken = world.stack.botcopy.step_two_body(&user, "out loud").unwrap();
    spoken["eventType"] = json!("user_spoke");
    assert_eq!(world.call_botcopy(&spoken, &[]).await.body, r#"{"paused":true,"minutesPaused":10}"#);
    world.settle().await;
    assert_eq!(world.sent_by_customers().split_off(1), ["out loud"]);
    let counted = world.stack.metrics.recorded();
    let counted =
        counted.iter().filter(|one| one.metric == Metric::UnknownEvents && one.about == About::Vendor("Botcopy"));
    assert_eq!(counted.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_taken_whether_botcopy_says_that_they_are_messages_or_not() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    for has_events in [true, false] {
        world.stack.botcopy.set_user_events(has_events);
        world.widget_says(&user, &format!("with events: {has_events}")).await;
    }
    assert_eq!(world.sent_by_customers().split_off(1), ["with events: true", "with events: false"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_reaches_the_agent_while_there_is_one_and_the_bot_otherwise() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    let click = async |event: &str, parameters| {
        world.advance(Duration::from_millis(700));
        world.drive(world.stack.botcopy.user_clicks(&user, event, &parameters)).await.unwrap();
        world.settle().await;
    };
    click("BUY", json!({"size": "L", "count": 2})).await;
    click("BUY", json!({"size": "L", "count": 2})).await;
    click("NEXT", json!({})).await;
    let sent = world.sent_by_customers().split_off(1);
    assert_eq!(sent, ["[event BUY]\n- count: 2\n- size: L", "[event BUY]\n- count: 2\n- size: L", "[event NEXT]"]);
    assert!(world.stack.botcopy.is_paused(&user));
    world.agent_closes(ANNA).await;
    click("WELCOME_BACK", json!({})).await;
    let body = world.stack.botcopy.step_two_body(&user, "x").unwrap();
    let mut stale = body;
    stale["queryInput"] = json!({"event": {"name": "LATE", "languageCode": "en"}});
    assert_eq!(world.call_botcopy(&stale, &[]).await.body, r#"{"paused":false}"#, "the bot is to have it");
    assert_eq!(world.widget_shows(&user, "bot").last().unwrap(), "bot: event WELCOME_BACK");
    assert_eq!(world.sent_by_customers().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_neither_words_nor_an_event_is_shown_as_something() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    let mut body = world.stack.botcopy.step_two_body(&user, "x").unwrap();
    body["queryInput"] = json!({"intent": {"intent": "projects/shop/intents/7"}, "languageCode": "en"});
    assert_eq!(world.call_botcopy(&body, &[]).await.body, r#"{"paused":true,"minutesPaused":10}"#);
    world.settle().await;
    assert_eq!(world.sent_by_customers().split_off(1), ["[unreadable message]"]);
}

/// A Dialogflow session ends silently. Where Botcopy then sends the user's messages to the bot, the user may have to ask again.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_was_taken_back_to_the_bot_goes_on_with_the_same_agent() {
    for (dialogflow, minutes) in [(Dialogflow::Es, 20), (Dialogflow::Cx, 30)] {
        let world = World::with_dialogflow(dialogflow).await;
        world.stack.botcopy.set_expiry_ends_pause(true);
        let user = world.handed_over_user().await;
        world.widget_says(&user, "order 7").await;
        for minute in 0..minutes {
            world.advance(MINUTE);
            // Each push pauses the bot again; the last one comes before the session ends.
            if minute + 1 < minutes {
                world.answers(ANNA, "one moment").await;
            }
        }
        world.widget_says(&user, "are you there?").await;
        assert_eq!(world.widget_shows(&user, "bot").last().unwrap(), "bot: are you there?", "nobody tells us");
        let notices = world.widget_shows(&user, "notice").len();
        world.widget_says(&user, "a human, I said").await;
        assert_eq!((world.count("chat_started"), world.count("chat_resumed")), (1, 0));
        assert!(world.stack.botcopy.is_paused(&user));
        assert_eq!(
            world.sent_by_customers().pop().unwrap(),
            "Conversation so far:\nUser: are you there?\nBot: bot: are you there?\nUser: a human, I said\n\
             Bot: I will find somebody for you."
        );
        let shown = world.widget_shows(&user, "notice").split_off(notices);
        assert_eq!(shown, ["You are now chatting with Anna."]);
        world.widget_says(&user, "at last").await;
        assert_eq!(world.sent_by_customers().split_off(3), ["at last"]);
        world.answers(ANNA, "here I am").await;
        assert_eq!(world.widget_shows(&user, "agent").last().unwrap(), "here I am");
        // Agents who have read a message once do not get it again.
        world.agent_closes(ANNA).await;
        world.widget_says(&user, &format!("again {ASK}")).await;
        let opening = world.sent_by_customers().pop().unwrap();
        assert!(opening.contains(&format!("again {ASK}")) && !opening.contains("are you there?"), "{opening}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_outlives_the_dialogflow_session_changes_nothing() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    for _ in 0..25 {
        world.advance(MINUTE);
        world.sweep().await;
    }
    world.widget_says(&user, "still here").await;
    assert_eq!(world.count("session_expired"), 1);
    assert_eq!(world.sent_by_customers().split_off(1), ["still here"]);
}
