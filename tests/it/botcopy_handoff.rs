//! A handover from Botcopy and back, and what comes in between.

use std::time::Duration;

use sandbox::botcopy::Dialogflow;
use sandbox::faults::Fault;
use sandbox::livechat::{GroupStatus, RoutingStatus, Target};
use serde_json::json;
use tests::{ANNA, ASK, BEN, World};

/// The window in which the same words count as a repeated call.
const WINDOW: Duration = Duration::from_secs(10);

/// A margin before and after the window.
const MOMENT: Duration = Duration::from_millis(900);

/// Lets time pass until `time` after the user last wrote something.
fn pass_until(world: &World, time: Duration) {
    let wrote_at = world.stack.journal.all("user_wrote").pop().unwrap().at;
    world.advance((wrote_at + time).since(world.now()));
}

async fn play_a_whole_handover(world: &World) {
    let user = world.widget_user().await;
    world.widget_says(&user, ASK).await;
    assert!(world.stack.botcopy.is_paused(&user));
    let opening = world.sent_by_customers().remove(0);
    assert_eq!(
        opening,
        "Conversation so far:\nUser: hello\nBot: bot: hello\nUser: a human please\nBot: I will find somebody for you."
    );
    assert_eq!(world.widget_shows(&user, "notice"), ["You are now chatting with Anna."]);
    world.widget_says(&user, "order 7").await;
    world.widget_says(&user, "it is late").await;
    world.answers(ANNA, "Hello, this is Anna").await;
    world.answers(ANNA, "One moment").await;
    assert_eq!(world.sent_by_customers().split_off(1), ["order 7", "it is late"]);
    assert_eq!(world.widget_shows(&user, "agent"), ["Hello, this is Anna", "One moment"]);
    let names: Vec<_> =
        world.entries("shown_to_user", "/from", "agent").iter().map(|one| one.text("/name").to_owned()).collect();
    assert_eq!(names, ["Anna", "Anna"]);
    world.answers(ANNA, "Bye").await;
    world.agent_closes(ANNA).await;
    assert!(!world.stack.botcopy.is_paused(&user));
    let screen: Vec<_> = world.stack.botcopy.screen(&user).into_iter().map(|line| line.text).collect();
    let end = ["Bye", "Anna has left the conversation. You are now chatting with the bot."];
    assert_eq!(screen.split_at(screen.len() - 2).1, end, "the last words come first, then the end");
    world.widget_says(&user, "still there?").await;
    assert_eq!(world.widget_shows(&user, "bot").last().unwrap(), "bot: still there?");
    assert!(!world.sent_by_customers().contains(&"still there?".to_owned()));
    assert_eq!((world.count("answer_ignored"), world.count("pause_lapsed")), (0, 0));
    let refused: Vec<_> =
        world.stack.journal.all("call_answered").into_iter().filter(|call| call.detail["status"] != 200).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(world.items("waiting").is_empty() && world.items("parked").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_es_bot_hands_over_and_resumes() {
    play_a_whole_handover(&World::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cx_bot_hands_over_and_resumes() {
    play_a_whole_handover(&World::with_dialogflow(Dialogflow::Cx).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_platforms_live_side_by_side() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    let ann_chat = world.chat_id();
    let bob = world.handed_over_user().await;
    let chats: Vec<_> = world.stack.livechat.open_chats().into_iter().map(|chat| chat.id).collect();
    let bob_chat = chats.into_iter().find(|chat| *chat != ann_chat).unwrap();
    world.stack.livechat.agent_sends_text(&ann_chat, ANNA, "to Ann").unwrap();
    world.stack.livechat.agent_sends_text(&bob_chat, ANNA, "to Bob").unwrap();
    world.settle().await;
    world.says(&ann, "from Ann").await;
    world.widget_says(&bob, "from Bob").await;
    assert_eq!(world.widget_shows(&bob, "agent"), ["to Bob"]);
    let ann_saw = world.stack.botpress.transcript(&ann.conversation_id);
    assert!(ann_saw.iter().any(|line| line.text == "to Ann") && ann_saw.iter().all(|line| line.text != "to Bob"));
    for (text, chat) in [("from Ann", &ann_chat), ("from Bob", &bob_chat)] {
        assert_eq!(world.entries("event_sent", "/text", text)[0].text("/chat_id"), chat);
    }
    world.stack.livechat.agent_closes(&bob_chat, ANNA).unwrap();
    world.settle().await;
    assert!(!world.stack.botcopy.is_paused(&bob));
    assert!(world.stack.botpress.is_escalated(&ann.conversation_id));
    assert_eq!(world.bot_events("hitlStopped").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_online_leaves_the_user_with_the_bot() {
    let world = World::start().await;
    world.stack.livechat.set_group_status(1, GroupStatus::Offline);
    let user = world.widget_user().await;
    world.widget_says(&user, ASK).await;
    assert!(!world.stack.botcopy.is_paused(&user));
    let called = world.entries("webhook_called", "/user_id", &user).remove(0);
    assert_eq!((&called.detail["status"], &called.detail["paused"]), (&json!(200), &json!(false)));
    assert!(world.stack.livechat.open_chats().is_empty());
    world.widget_says(&user, "then not").await;
    assert_eq!(world.widget_shows(&user, "bot").last().unwrap(), "bot: then not");
    world.stack.livechat.set_group_status(1, GroupStatus::Online);
    world.widget_says(&user, ASK).await;
    assert!(world.stack.botcopy.is_paused(&user), "a refusal is not remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_shows_the_other_agent() {
    let world = World::start().await;
    let user = world.handed_over_user().await;
    world.stack.livechat.agent_transfers(&world.chat_id(), ANNA, Target::Agent(BEN.to_owned())).unwrap();
    world.settle().await;
    world.answers(BEN, "Ben here").await;
    assert_eq!(
        world.widget_shows(&user, "notice"),
        ["You are now chatting with Anna.", "You are now chatting with Ben."]
    );
    assert_eq!(world.widget_shows(&user, "agent"), ["Ben here"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_resumes_with_the_configured_event() {
    let world = World::with(&[("BOTCOPY_RESUME_EVENT", "agent_left")]).await;
    let user = world.handed_over_user().await;
    world.agent_closes(ANNA).await;
    assert_eq!(world.widget_shows(&user, "bot").last().unwrap(), "bot: event agent_left");
}

/// `botcopy_deadline` and the operator's own tests cover the other reasons.
#[tokio::test(flavor = "multi_thread")]
async fn the_bot_resumes_with_an_event_for_the_reason() {
    let events = "none,agent_closed=agent_left,nobody_came=nobody_came,given_up=sorry,user_side=stopped";
    let environment = [("BOTCOPY_RESUME_EVENT", events), ("ASSIGN_TIMEOUT_SECONDS", "60")];
    let minutes = async |world: &World, count: usize| {
        for _ in 0..count {
            world.advance(Duration::from_secs(60));
            world.settle().await;
            drop(world.drive(world.stack.sweep()).await);
            world.settle().await;
        }
    };
    let last = |world: &World, user: &str| world.widget_shows(user, "bot").pop().unwrap();

    let world = World::in_process_with(&environment).await;
    let user = world.handed_over_user().await;
    world.agent_closes(ANNA).await;
    assert_eq!(last(&world, &user), "bot: event agent_left");

    for agent in [ANNA, BEN] {
        world.stack.livechat.set_agent_status(agent, RoutingStatus::NotAcceptingChats);
    }
    world.widget_says(&user, "another human please").await;
    minutes(&world, 3).await;
    assert_eq!(last(&world, &user), "bot: event nobody_came");

    world.stack.livechat.faults().always("", Fault::answer(503, "<html></html>"));
    world.widget_says(&user, "a third human please").await;
    assert!(world.stack.botcopy.is_paused(&user));
    minutes(&world, 7).await;
    assert_eq!(last(&world, &user), "bot: event sorry");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returning_user_resumes_their_chat() {
    let world = World::start().await;
    let user = world.handed_over_user().await;
    world.agent_closes(ANNA).await;
    world.widget_says(&user, "another human please").await;
    world.answers(ANNA, "Hello again").await;
    assert_eq!((world.count("chat_started"), world.count("chat_resumed")), (1, 1));
    assert_eq!(world.widget_shows(&user, "agent"), ["Hello again"]);
}

/// A process remembers which session a user was in.
#[tokio::test(flavor = "multi_thread")]
async fn words_of_a_returning_user_reach_the_new_session_by_a_process_that_remembers_the_one_before() {
    let world = World::of_instances(1, false).await;
    let user = world.handed_over_user().await;
    world.widget_says(&user, "one").await;
    world.agent_closes(ANNA).await;
    world.widget_says(&user, "another human please").await;
    for words in ["two", "three", "four"] {
        world.widget_says(&user, words).await;
    }
    let said = world.sent_by_customers();
    assert_eq!(said[said.len() - 3..], ["two", "three", "four"]);
    assert!(world.stack.botcopy.is_paused(&user));
}

#[tokio::test(flavor = "multi_thread")]
async fn words_without_a_session_go_to_the_bot() {
    let world = World::start().await;
    let user = world.widget_user().await;
    let body = world.stack.botcopy.step_two_body(&user, "is anybody there?").unwrap();
    let answer = world.call_botcopy(&body, &[]).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"paused":false}"#));
    assert_eq!(world.count("chat_started"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_come_after_the_agent_has_closed_go_to_the_bot() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    world.stack.gateway_faults.always("POST /livechat", Fault::answer(503, ""));
    world.agent_closes(ANNA).await;
    for _ in 0..3 {
        // LiveChat's retries run out.
        world.advance(Duration::from_secs(60));
        world.settle().await;
    }
    world.widget_says(&user, "are you there?").await;
    assert_eq!(world.widget_shows(&user, "bot").last().unwrap(), "bot: are you there?");
    assert!(!world.stack.botcopy.is_paused(&user));
    world.widget_says(&user, "once more").await;
    assert_eq!(world.widget_shows(&user, "bot").last().unwrap(), "bot: once more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_first_step_starts_nothing_and_says_nothing_for_ten_seconds() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    world.repeat_call(&user).await;
    pass_until(&world, WINDOW - MOMENT);
    world.repeat_call(&user).await;
    assert_eq!((world.count("chat_started"), world.sent_by_customers().len()), (1, 1));
    pass_until(&world, WINDOW + MOMENT);
    world.repeat_call(&user).await;
    assert_eq!(world.count("chat_started"), 1);
    assert_eq!(world.sent_by_customers().split_off(1), [ASK]);
    assert!(world.stack.botcopy.is_paused(&user));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_trigger_in_a_session_is_a_message() {
    let world = World::start().await;
    let user = world.handed_over_user().await;
    let body = world.stack.botcopy.step_one_body(&user, "human! now!").unwrap();
    let answer = world.call_botcopy(&body, &[]).await;
    world.settle().await;
    assert_eq!(answer.body, r#"{"paused":true,"minutesPaused":10}"#);
    assert_eq!(world.count("chat_started"), 1);
    assert_eq!(world.sent_by_customers().split_off(1), ["human! now!"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_first_steps_at_once_open_one_chat() {
    let world = World::start().await;
    let user = world.widget_user().await;
    let body = world.stack.botcopy.step_one_body(&user, ASK).unwrap();
    let answers = world
        .drive(async {
            let call = || world.stack.botcopy.call_endpoint(&body, &[]);
            tokio::join!(call(), call(), call(), call(), call(), call(), call(), call())
        })
        .await;
    world.settle().await;
    for answer in <[_; 8]>::from(answers) {
        assert_eq!(answer.unwrap().body, r#"{"paused":true,"minutesPaused":10}"#);
    }
    assert_eq!(world.count("chat_started"), 1);
    assert_eq!(world.sent_by_customers().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_stored_history_the_agent_reads_what_led_here() {
    let world = World::in_process().await;
    let user = world.widget_user().await;
    let mut body = world.stack.botcopy.step_one_body(&user, ASK).unwrap();
    for strange in [json!(null), json!({"no": "list"})] {
        body["messageHistory"] = strange;
        world.call_botcopy(&body, &[]).await;
        world.settle().await;
        assert_eq!(world.sent_by_customers().pop().unwrap(), ASK);
        world.agent_closes(ANNA).await;
        world.advance(Duration::from_secs(60));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_cards_are_text_with_links_and_corrections_follow() {
    let world = World::start().await;
    let user = world.handed_over_user().await;
    let chat_id = world.chat_id();
    let livechat = &world.stack.livechat;
    let url = livechat.agent_uploads("bill.pdf", "application/pdf", b"%PDF".to_vec());
    livechat.agent_sends_event(&chat_id, ANNA, &json!({"type": "file", "url": url})).unwrap();
    world.settle().await;
    let shown = world.widget_shows(&user, "agent").pop().unwrap();
    assert!(shown.contains("bill.pdf") && shown.contains(&url), "{shown}");
    let button =
        json!({"type": "url", "text": "Map", "value": "https://example.com/map", "postback_id": "map", "user_ids": []});
    let card = json!({"title": "Number 7", "subtitle": "green door", "buttons": [button]});
    let rich = json!({"type": "rich_message", "template_id": "cards", "elements": [card]});
    world.stack.livechat.agent_sends_event(&chat_id, ANNA, &rich).unwrap();
    world.settle().await;
    let shown = world.widget_shows(&user, "agent").pop().unwrap();
    assert!(shown.contains("Number 7") && shown.contains("https://example.com/map"), "{shown}");
    let event_id = world.stack.livechat.agent_sends_text(&chat_id, ANNA, "at six").unwrap();
    world.settle().await;
    world.stack.livechat.agent_edits(&chat_id, &event_id, "at seven").unwrap();
    world.settle().await;
    let shown = world.widget_shows(&user, "agent");
    assert_eq!(shown.split_at(2).1, ["at six", "Correction: at seven"]);
}
