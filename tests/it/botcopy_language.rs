//! Users read the service's sentences in their language, agents in their group's, and users who wait learn how long.

use std::time::Duration;

use sandbox::botpress::Escalation;
use sandbox::livechat::RoutingStatus;
use serde_json::json;
use tests::{ANNA, ASK, BEN, World};

const MINUTE: Duration = Duration::from_secs(60);

const GERMAN: &str = r#"{
    "bot_name": "Robbie",
    "de": {
        "waiting": "Sie sind Nummer {position}, noch etwa {minutes} Minuten.",
        "nobody_came": "Leider ist niemand frei.",
        "correction": "Ich meinte: {text}",
        "transcript_heading": "Bisher:"
    },
    "en": {}
}"#;

fn nobody_takes_chats(world: &World) {
    for agent in [ANNA, BEN] {
        world.stack.livechat.set_agent_status(agent, RoutingStatus::NotAcceptingChats);
    }
}

async fn asks(world: &World, language: &str) -> String {
    let user = world.stack.botcopy.new_user_speaking(language);
    world.widget_says(&user, &format!("{ASK}, {language}")).await;
    assert!(world.stack.botcopy.is_paused(&user));
    user
}

async fn minutes(world: &World, count: u32) {
    for _ in 0..count {
        world.advance(MINUTE);
        world.settle().await;
        world.sweep().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_hears_their_language_and_agents_their_group_s() {
    let environment = [("WORDING", GERMAN), ("ASSIGN_TIMEOUT_SECONDS", "300")];
    let world = World::in_process_with(&environment).await;
    nobody_takes_chats(&world);
    let people = [("de", true), ("de-AT", true), ("en", false), ("fr", false)];
    let mut users = Vec::new();
    for (language, is_german) in people {
        users.push((asks(&world, language).await, is_german));
    }
    minutes(&world, 7).await;
    for (user, is_german) in users {
        let said = world.widget_shows(&user, "agent").pop().unwrap();
        let expected = if is_german {
            "Leider ist niemand frei."
        } else {
            "Sorry, no agent is free at the moment. You are back with the bot."
        };
        assert_eq!(said, expected);
    }
    let openings = world.sent_by_customers();
    assert!(openings.iter().all(|text| text.starts_with("Conversation so far:\nUser: ")), "{openings:?}");
    assert!(openings.iter().all(|text| text.contains("\nRobbie: ")), "what holds for every language");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_s_own_language_is_for_agents_and_for_users_whose_own_it_does_not_speak() {
    let world = World::in_process_with(&[("WORDING", GERMAN), ("LANGUAGE", "en,1=de")]).await;
    let user = asks(&world, "fr").await;
    assert!(world.sent_by_customers().remove(0).starts_with("Bisher:\nUser: "));
    let event_id = world.stack.livechat.agent_sends_text(&world.chat_id(), ANNA, "teh").unwrap();
    world.settle().await;
    world.stack.livechat.agent_edits(&world.chat_id(), &event_id, "the").unwrap();
    world.settle().await;
    assert_eq!(world.widget_shows(&user, "agent"), ["teh", "Ich meinte: the"]);
    world.agent_closes(ANNA).await;
    let english = asks(&world, "en-GB").await;
    let event_id = world.stack.livechat.agent_sends_text(&world.chat_id(), ANNA, "teh").unwrap();
    world.settle().await;
    world.stack.livechat.agent_edits(&world.chat_id(), &event_id, "the").unwrap();
    world.settle().await;
    assert_eq!(world.widget_shows(&english, "agent"), ["teh", "Correction: the"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_botpress_session_can_name_its_user_s_language() {
    let world = World::in_process_with(&[("WORDING", GERMAN)]).await;
    for (language, correction) in [("de-DE", "Ich meinte: the"), ("fr", "Correction: the")] {
        let user = world.user(&format!("Ann {language}")).await;
        let session = json!({ "language": language });
        let escalation = Escalation { hitl_session: Some(session), ..Escalation::default() };
        world.escalate_with(&user, escalation).await.unwrap();
        world.advance(Duration::from_secs(4));
        let event_id = world.stack.livechat.agent_sends_text(&world.chat_id(), ANNA, "teh").unwrap();
        world.settle().await;
        world.stack.livechat.agent_edits(&world.chat_id(), &event_id, "the").unwrap();
        world.settle().await;
        assert_eq!(world.shown_by_agents().last().unwrap(), correction);
        world.agent_closes(ANNA).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_waits_hears_their_place_and_how_it_changes() {
    let world = World::in_process_with(&[("WORDING", GERMAN)]).await;
    nobody_takes_chats(&world);
    let first = asks(&world, "en").await;
    let first_chat = world.chat_id();
    let second = asks(&world, "de").await;
    minutes(&world, 1).await;
    let said = |user: &str| world.widget_shows(user, "agent");
    assert_eq!(said(&first), ["You are number 1 in the queue. An agent is free in about 1 min."]);
    assert_eq!(said(&second), ["Sie sind Nummer 2, noch etwa 1 Minuten."]);
    minutes(&world, 4).await;
    assert_eq!((said(&first).len(), said(&second).len()), (1, 1), "nothing has changed");
    world.stack.livechat.router_closes(&first_chat).unwrap();
    world.settle().await;
    minutes(&world, 2).await;
    assert_eq!(said(&second).split_off(1), ["Sie sind Nummer 1, noch etwa 1 Minuten."]);
    let pushed = world.entries("shown_to_user", "/user_id", &second);
    let pushed: Vec<_> = pushed.iter().filter(|entry| entry.text("/from") == "agent").map(|entry| entry.at).collect();
    assert!(pushed.windows(2).all(|pair| pair[1].since(pair[0]) >= MINUTE), "{pushed:?}");

    world.stack.livechat.set_agent_status(ANNA, RoutingStatus::AcceptingChats);
    world.stack.livechat.router_assigns(&world.chat_id()).unwrap();
    world.settle().await;
    minutes(&world, 3).await;
    assert_eq!(world.widget_shows(&second, "notice").last().unwrap(), "You are now chatting with Anna.");
    assert_eq!(said(&second).len(), 2, "who is served waits no more");
    assert!(world.items("waiting").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_in_the_queue_can_be_switched_off() {
    let world = World::in_process_with(&[("WORDING", r#"{"waiting":""}"#)]).await;
    nobody_takes_chats(&world);
    let user = asks(&world, "en").await;
    let before = world.entries("call_answered", "/call", "agent/get_chat").len();
    minutes(&world, 8).await;
    assert!(world.widget_shows(&user, "agent").is_empty());
    let read = world.entries("call_answered", "/call", "agent/get_chat").len() - before;
    assert!(read <= 4, "nobody has to look each minute: {read} times");
}
