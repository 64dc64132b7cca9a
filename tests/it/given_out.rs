//! A conversation id is given out once: no two conversations of bots ever share an agent, and none stays handed over.

use std::time::Duration;

use sandbox::botpress::{Escalation, UpstreamUser};
use sandbox::faults::Fault;
use serde_json::{Value, json};
use tests::{ANNA, BEN, World};

/// Calls at the same instant count as concurrent; this separates them.
const MOMENT: Duration = Duration::from_millis(1);

/// Returns the agents' messages that a user's conversation shows.
fn heard_by(world: &World, user: &UpstreamUser) -> Vec<String> {
    let shown = world.entries("shown_to_user", "/conversation_id", &user.conversation_id);
    shown.iter().filter(|entry| entry.text("/from") == "agent").map(|entry| entry.text("/text").to_owned()).collect()
}

fn is_with_agents(world: &World, user: &UpstreamUser) -> bool {
    world.stack.botpress.is_escalated(&user.conversation_id)
}

/// Returns a user whose bot fills in this address.
async fn visitor(world: &World, name: &str, email: &str) -> UpstreamUser {
    let user = world.stack.botpress.new_user(name, Some(email), None);
    world.says(&user, "I need help").await;
    user
}

#[tokio::test(flavor = "multi_thread")]
async fn two_visitors_with_one_address_and_equal_words_are_two_conversations() {
    for email in ["undefined", "office@example.com"] {
        let world = World::in_process().await;
        let ann = visitor(&world, "Ann", email).await;
        let bob = visitor(&world, "Bob", email).await;
        world.escalate(&ann).await.unwrap();
        let anns_chat = world.chat_id();
        world.escalate(&bob).await.unwrap();
        assert_eq!(world.stack.livechat.open_chats().len(), 2, "{email}");
        world.stack.livechat.agent_sends_text(&anns_chat, ANNA, "for Ann").unwrap();
        world.settle().await;
        assert_eq!(
            (heard_by(&world, &ann), heard_by(&world, &bob)),
            (vec!["for Ann".to_owned()], Vec::new()),
            "{email}"
        );
        assert!(is_with_agents(&world, &ann) && is_with_agents(&world, &bob), "{email}");
        assert!(world.bot_events("hitlStopped").is_empty(), "{email}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_repeats_the_words_in_a_new_conversation_takes_the_agent_along() {
    let world = World::in_process().await;
    let first = world.escalated_user("Ann").await;
    let thread = world.chat_and_thread();
    world.answers(ANNA, "one").await;
    world.advance(Duration::from_secs(1));
    let second = world.stack.botpress.new_conversation(&first.conversation_id).unwrap();
    world.says(&second, "hello").await;
    world.escalate(&second).await.unwrap();
    assert_eq!(world.chat_and_thread(), thread, "the same thread goes on");
    assert!(!is_with_agents(&world, &first), "its bot has its turn back");
    assert!(is_with_agents(&world, &second));
    world.answers(ANNA, "two").await;
    world.says(&second, "thanks").await;
    assert_eq!((heard_by(&world, &first), heard_by(&world, &second)), (vec!["one".to_owned()], vec!["two".to_owned()]));
    assert_eq!(world.sent_by_customers().last().unwrap(), "thanks");
    let announced: Vec<_> =
        world.bot_events("hitlAssigned").iter().map(|event| event.text("/conversation_id").to_owned()).collect();
    assert_eq!(announced.len(), 2, "once in each conversation: {announced:?}");
    assert_ne!(announced[0], announced[1]);
    world.says(&first, "what about the bot?").await;
    assert_eq!(world.sent_by_customers().last().unwrap(), "thanks", "the first conversation is the bot's");
    world.agent_closes(ANNA).await;
    assert!(!is_with_agents(&world, &second));
    world.catch_up().await;
    assert!(world.items("waiting").is_empty() && world.items("parked").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_wrote_before_a_move_could_be_told_is_shown_in_the_new_conversation() {
    let world = World::in_process().await;
    let first = world.user("Ann").await;
    world.drive(world.stack.botpress.escalate(&first.conversation_id, Escalation::default())).await.unwrap();
    let (chat_id, _) = world.chat_and_thread();
    world.advance(MOMENT);
    let second = world.stack.botpress.new_conversation(&first.conversation_id).unwrap();
    world.drive(world.stack.botpress.user_says(&second.conversation_id, "hello")).await.unwrap();
    // Within the settle time nothing has reached the first conversation.
    world.stack.livechat.agent_sends_text(&chat_id, ANNA, "hi there").unwrap();
    world.drive(world.stack.botpress.escalate(&second.conversation_id, Escalation::default())).await.unwrap();
    world.settle().await;
    world.catch_up().await;
    assert_eq!((heard_by(&world, &first), heard_by(&world, &second)), (Vec::new(), vec!["hi there".to_owned()]));
    assert!(!is_with_agents(&world, &first) && is_with_agents(&world, &second));
    assert_eq!(world.entries("dropped", "/kind", "event").len(), 0, "the end reached an active conversation");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_answer_was_lost_leaves_no_conversation_handed_over() {
    let world = World::in_process().await;
    let user_id = world.act("createUser", json!({"name": "Ann", "email": "a@example.com"})).await.json();
    let user_id = user_id.pointer("/output/userId").and_then(Value::as_str).unwrap().to_owned();
    let body = json!({"type": "startHitl", "input": {"userId": user_id, "messageHistory": []}});
    world.stack.gateway_faults.next(1, "/botpress/", Fault::LoseAnswer);
    let lost = world.drive(world.stack.botpress.call_operation("action_triggered", &body, &[])).await;
    assert!(lost.is_err(), "{lost:?}");
    world.advance(MOMENT);
    let second = world.operate("action_triggered", &body).await.json()["output"]["conversationId"].clone();
    let made: Vec<_> = world
        .stack
        .journal
        .all("conversation_created")
        .iter()
        .map(|entry| entry.text("/conversation_id").to_owned())
        .collect();
    assert_eq!((made.len(), second.as_str()), (2, Some(made[1].as_str())));
    world.catch_up().await;
    let told: Vec<_> =
        world.bot_events("hitlStopped").iter().map(|event| event.text("/conversation_id").to_owned()).collect();
    assert_eq!(told, [made[0].clone()]);
    assert_eq!(world.stack.livechat.open_chats().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clicks_are_one_start_although_the_second_finds_one_more_text_of_the_plugin() {
    let world = World::in_process().await;
    let user_id = world.act("createUser", json!({"name": "Ann", "email": "ann@example.com"})).await.json();
    let user_id = user_id.pointer("/output/userId").and_then(Value::as_str).unwrap().to_owned();
    let user = json!({"source": {"type": "user", "userId": user_id}, "type": "text", "payload": {"text": "human"}});
    let text = json!({"source": {"type": "bot"}, "type": "text", "payload": {"text": "somebody will be with you"}});
    let start = |history: Value| world.act("startHitl", json!({"userId": user_id, "messageHistory": history}));
    let first = start(json!([user, text])).await.json();
    for second_click in [json!([user, text, text]), json!([user, text, user, text])] {
        assert_eq!(start(second_click).await.json()["output"], first["output"]);
    }
    assert_eq!((world.count("chat_started"), world.count("conversation_created")), (1, 1));
    world.advance(MOMENT);
    assert_ne!(start(json!([user, text])).await.json()["output"], first["output"], "another conversation");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_of_a_conversation_that_was_left_ends_nothing() {
    let world = World::in_process().await;
    let user_id = world.act("createUser", json!({"name": "Ann", "email": "ann@example.com"})).await.json();
    let user_id = user_id.pointer("/output/userId").and_then(Value::as_str).unwrap().to_owned();
    let input = json!({"userId": user_id, "messageHistory": []});
    let first = world.act("startHitl", input.clone()).await.json()["output"].clone();
    world.advance(MOMENT);
    let second = world.act("startHitl", input).await.json()["output"].clone();
    assert_eq!(world.act("stopHitl", first).await.status, 200);
    world.catch_up().await;
    assert_eq!(world.stack.livechat.open_chats().len(), 1);
    assert_eq!(world.act("stopHitl", second).await.status, 200);
    world.catch_up().await;
    assert!(world.stack.livechat.open_chats().is_empty());
    assert!(world.items("waiting").is_empty() && world.items("parked").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_left_conversation_hears_its_end_although_the_session_ended_before_it_could() {
    let world = World::in_process().await;
    let first = world.escalated_user("Ann").await;
    world.stack.botpress.faults().always("/v1/chat/events", Fault::answer(503, ""));
    let second = world.stack.botpress.new_conversation(&first.conversation_id).unwrap();
    world.says(&second, "hello").await;
    world.escalate(&second).await.unwrap();
    world.user_ends(&second).await;
    assert!(is_with_agents(&world, &first) && world.stack.livechat.open_chats().is_empty());
    world.stack.botpress.faults().clear();
    world.catch_up().await;
    assert!(!is_with_agents(&world, &first) && !is_with_agents(&world, &second));
    assert!(world.items("waiting").is_empty() && world.items("parked").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn words_whose_delivery_had_no_answer_before_a_move_are_not_shown_again_after_it() {
    let world = World::in_process().await;
    let first = world.escalated_user("Ann").await;
    world.stack.botpress.faults().next(1, "messages/get-or-create", Fault::LoseAnswer);
    world.stack.botpress.faults().always("messages/get-or-create", Fault::answer(503, ""));
    world.answers(ANNA, "one").await;
    assert_eq!(heard_by(&world, &first), ["one"], "nobody but Botpress knows");
    let second = world.stack.botpress.new_conversation(&first.conversation_id).unwrap();
    world.says(&second, "hello").await;
    world.escalate(&second).await.unwrap();
    world.stack.botpress.faults().clear();
    world.answers(ANNA, "two").await;
    world.catch_up().await;
    assert_eq!((heard_by(&world, &first), heard_by(&world, &second)), (vec!["one".to_owned()], vec!["two".to_owned()]));
    assert!(!is_with_agents(&world, &first) && is_with_agents(&world, &second));
}

/// No agent comes for a user, in the second session of a conversation, where the plugin's own limit does not work.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_ever_for_an_agent() {
    let world = World::in_process_with(&[("ASSIGN_TIMEOUT_SECONDS", "300")]).await;
    let ann = world.escalated_user("Ann").await;
    world.agent_closes(ANNA).await;
    for agent in [ANNA, BEN] {
        world.stack.livechat.set_agent_status(agent, sandbox::livechat::RoutingStatus::NotAcceptingChats);
    }
    world.says(&ann, "are you there?").await;
    world.escalate(&ann).await.unwrap();
    world.sweep_after(Duration::from_secs(240)).await;
    assert!(is_with_agents(&world, &ann));
    world.sweep_after(Duration::from_secs(61)).await;
    assert!(!is_with_agents(&world, &ann), "the bot has its turn back");
    let sentence = "Sorry, no agent is free at the moment. You are back with the bot.";
    assert_eq!(heard_by(&world, &ann), [sentence]);
    assert!(world.stack.livechat.open_chats().is_empty());
    world.catch_up().await;
    assert!(["timer", "waiting", "parked"].iter().all(|entity| world.items(entity).is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_whom_no_webhook_told_stops_the_limit_and_a_death_does_not() {
    let world = World::in_process_with(&[("ASSIGN_TIMEOUT_SECONDS", "300")]).await;
    for agent in [ANNA, BEN] {
        world.stack.livechat.set_agent_status(agent, sandbox::livechat::RoutingStatus::NotAcceptingChats);
    }
    let ann = world.escalated_user("Ann").await;
    world.stack.gateway_faults.always("POST /livechat", Fault::answer(200, "swallowed"));
    world.stack.livechat.agent_joins(&world.chat_id(), ANNA).unwrap();
    world.settle().await;
    world.stack.restart_functions().unwrap();
    world.sweep_after(Duration::from_secs(301)).await;
    assert!(is_with_agents(&world, &ann), "Anna has the chat");
    assert_eq!(world.bot_events("hitlAssigned").len(), 1);
    world.catch_up().await;
    assert!(world.items("timer").is_empty());

    let bob = world.user("Bob").await;
    world.stack.gateway_faults.clear();
    world.escalate(&bob).await.unwrap();
    world.stack.restart_functions().unwrap();
    world.sweep_after(Duration::from_secs(301)).await;
    assert!(!is_with_agents(&world, &bob), "nobody has come");
}
