//! What the HITL plugin does, from start to end.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Escalation, Handling, PluginConfiguration, UpstreamUser};
use super::Stack;

const WENT_WRONG: &str = "Something went wrong, you are not connected to a human agent...";

/// A user in an active session, and the downstream conversation.
async fn escalated(stack: &Stack) -> (UpstreamUser, String) {
    let ada = stack.simulator.new_user("Ada", Some("ada@x"), None);
    stack.simulator.user_says(&ada.conversation_id, "help").await.unwrap();
    stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await.unwrap();
    assert!(stack.simulator.is_escalated(&ada.conversation_id));
    let downstream = stack.simulator.downstream(&ada.conversation_id).unwrap();
    assert!(stack.simulator.is_escalated(&downstream));
    (ada, downstream)
}

async fn agent(stack: &Stack) -> String {
    stack.api.new_user(json!({"tags": {"id": "agent:bob@x", "email": "bob@x"}, "name": "Bob"})).await
}

fn last_line(stack: &Stack, user: &UpstreamUser) -> String {
    stack.transcript(&user.conversation_id).pop().unwrap()
}

#[tokio::test]
async fn without_a_session_the_bot_answers() {
    let stack = Stack::start().await;
    let ada = stack.simulator.new_user("Ada", None, None);
    stack.simulator.user_says(&ada.conversation_id, "hello").await.unwrap();
    stack.simulator.user_sends(&ada.conversation_id, "image", json!({"imageUrl": "https://x/a.png"})).await.unwrap();
    let expected = ["user: hello", "bot: bot: hello", "user: ", "bot: bot: image"];
    assert_eq!(stack.transcript(&ada.conversation_id), expected);
    assert_eq!(stack.journaled("shown_to_user", "from"), ["bot", "bot"]);
    assert!(stack.simulator.user_says("conv_x", "hello").await.is_err());
}

#[tokio::test]
async fn a_start_tells_the_user_makes_the_mirrors_and_hands_over_the_history() {
    let stack = Stack::start().await;
    let ada = stack.simulator.new_user("Ada", Some("ada@x"), Some("https://x/ada.png"));
    stack.simulator.user_says(&ada.conversation_id, "help").await.unwrap();
    let escalation = Escalation {
        title: Some("Billing".to_owned()),
        description: Some("Invoice 7".to_owned()),
        hitl_session: Some(json!({"groupId": 4})),
        ..Escalation::default()
    };
    stack.simulator.escalate(&ada.conversation_id, escalation).await.unwrap();
    let created = stack.integration.received("createUser").remove(0).json();
    let expected = json!({"name": "Ada", "email": "ada@x", "pictureUrl": "https://x/ada.png"});
    assert_eq!(created, json!({"type": "createUser", "input": expected}));

    let input = stack.integration.received("startHitl").remove(0).json()["input"].clone();
    let user_id = stack.journal.all("user_created")[0].text("/user_id").to_owned();
    let handoff = PluginConfiguration::default().handoff_message;
    assert_eq!(
        input,
        json!({
            "userId": user_id, "title": "Billing", "description": "Invoice 7", "hitlSession": {"groupId": 4},
            "messageHistory": [
                {"source": {"type": "user", "userId": user_id}, "type": "text", "payload": {"text": "help"}},
                {"source": {"type": "bot"}, "type": "text", "payload": {"text": "bot: help"}},
                {"source": {"type": "bot"}, "type": "text", "payload": {"text": handoff}},
            ],
        })
    );
    let started = &stack.journal.all("hitl_started")[0];
    assert_eq!(started.text("/upstream_conversation_id"), ada.conversation_id);
    assert_eq!(Some(started.text("/conversation_id").to_owned()), stack.simulator.downstream(&ada.conversation_id));
}

#[tokio::test]
async fn a_user_without_name_and_address_gets_substitutes() {
    let stack = Stack::with(|options| options.install.bot_id = "bot_1_2".to_owned()).await;
    let nobody = stack.simulator.new_user("", None, None);
    stack.simulator.escalate(&nobody.conversation_id, Escalation::default()).await.unwrap();
    let input = stack.integration.received("createUser").remove(0).json()["input"].clone();
    let email = format!("{}@no-reply.bot-1-2.botpress.com", nobody.user_id);
    assert_eq!(input, json!({"name": "Unknown User", "email": email}));
}

#[tokio::test]
async fn create_user_is_called_once_per_user_and_not_per_session() {
    let stack = Stack::start().await;
    let (ada, first) = escalated(&stack).await;
    stack.simulator.stop(&ada.conversation_id).await.unwrap();
    stack.simulator.user_says(&ada.conversation_id, "again").await.unwrap();
    stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await.unwrap();
    assert_ne!(stack.simulator.downstream(&ada.conversation_id), Some(first));
    assert_eq!(stack.integration.received("createUser").len(), 1);
    assert_eq!(stack.integration.received("startHitl").len(), 2);
}

#[tokio::test]
async fn a_start_is_skipped_when_active_repeated_or_downstream() {
    let stack = Stack::start().await;
    let (ada, downstream) = escalated(&stack).await;
    let escalate = async |conversation: &str| stack.simulator.escalate(conversation, Escalation::default()).await;
    escalate(&ada.conversation_id).await.unwrap();
    stack.api.says(&downstream, &agent(&stack).await, "hi").await;
    escalate(&downstream).await.unwrap();
    stack.simulator.stop(&ada.conversation_id).await.unwrap();
    escalate(&ada.conversation_id).await.unwrap();
    assert_eq!(stack.journaled("hitl_not_started", "reason"), ["active", "downstream", "same_message"]);
    assert_eq!(stack.integration.received("startHitl").len(), 1);
}

#[tokio::test]
async fn a_failed_start_leaves_the_handoff_text_and_no_link() {
    let stack = Stack::start().await;
    let ada = stack.simulator.new_user("Ada", None, None);
    let body = json!({"id": "err_1", "code": 400, "type": "Runtime", "message": "Nobody is online."});
    stack.integration.script("startHitl", 400, body);
    let outcome = stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await;
    assert_eq!(outcome, Err("Nobody is online.".to_owned()));
    let handoff = format!("plugin: {}", PluginConfiguration::default().handoff_message);
    assert_eq!(stack.transcript(&ada.conversation_id), [handoff]);
    assert!(!stack.simulator.is_escalated(&ada.conversation_id));
    assert_eq!(stack.simulator.downstream(&ada.conversation_id), None);
}

#[tokio::test]
async fn what_arrives_before_the_activation_is_dropped() {
    let stack = Stack::with(|options| options.activation_delay = Duration::from_secs(1)).await;
    let ada = stack.simulator.new_user("Ada", None, None);
    let escalating = async {
        stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await.unwrap();
    };
    let racing = async {
        stack.somebody_sleeps().await;
        let downstream = stack.journal.all("conversation_created")[0].text("/conversation_id").to_owned();
        let bob = agent(&stack).await;
        stack.api.says(&downstream, &bob, "too early").await;
        let event = stack.api.emits("hitlAssigned", json!({"conversationId": downstream, "userId": bob})).await;
        assert_eq!(stack.api.event_status(&event).await, "ignored");
        stack.clock.advance(Duration::from_secs(1));
    };
    tokio::join!(escalating, racing);
    assert_eq!(stack.journaled("dropped", "kind"), ["message", "event"]);
    assert_eq!(stack.transcript(&ada.conversation_id).len(), 1);
}

#[tokio::test]
async fn a_user_s_message_reaches_the_agent_with_type_and_author() {
    let stack = Stack::start().await;
    let (ada, downstream) = escalated(&stack).await;
    stack.simulator.user_says(&ada.conversation_id, "my invoice").await.unwrap();
    stack.simulator.settled().await;
    let body = stack.integration.received("message_created").remove(0).json();
    let user_id = stack.journal.all("user_created")[0].text("/user_id").to_owned();
    let bot_id = &stack.simulator.options().install.bot_id;
    assert_eq!(body["type"], "text");
    assert_eq!(body["payload"], json!({"text": "my invoice", "type": "text", "userId": user_id}));
    assert_eq!(body["conversation"]["id"], downstream.as_str());
    assert_eq!(body["user"]["id"], bot_id.as_str());
    assert_eq!((&body["message"]["userId"], &body["message"]["direction"]), (&json!(bot_id), &json!("outgoing")));
    assert_eq!(last_line(&stack, &ada), "user: my invoice", "the bot keeps quiet");
}

#[tokio::test]
async fn an_unsupported_type_stays_with_the_user() {
    let stack = Stack::start().await;
    let (ada, _) = escalated(&stack).await;
    let place = json!({"latitude": 1, "longitude": 2});
    stack.simulator.user_sends(&ada.conversation_id, "location", place).await.unwrap();
    stack.simulator.settled().await;
    let types = "text, image, video, audio, file, bloc";
    let expected = format!("plugin: Sorry, I can only handle one of the following message types: {types}");
    assert_eq!(last_line(&stack, &ada), expected);
    assert_eq!(stack.integration.delivered(), []);
}

#[tokio::test]
async fn an_agent_s_first_message_announces_the_agent_who_then_speaks_under_the_own_name() {
    let stack = Stack::start().await;
    let (ada, downstream) = escalated(&stack).await;
    let bob = agent(&stack).await;
    stack.api.says(&downstream, &bob, "hello").await;
    stack.api.says(&downstream, &bob, "how can I help?").await;
    let lines = stack.simulator.transcript(&ada.conversation_id);
    let tail: Vec<_> =
        lines.iter().rev().take(3).rev().map(|line| (line.name.as_deref(), line.text.as_str())).collect();
    let expected = [
        (None, "A human agent has joined the conversation."),
        (Some("Bob"), "hello"),
        (Some("Bob"), "how can I help?"),
    ];
    assert_eq!(tail, expected);
    assert!(lines.last().unwrap().payload["userId"].is_string());
}

#[tokio::test]
async fn an_agent_without_a_name_speaks_as_the_bot_when_agent_info_is_off() {
    let stack = Stack::with(|options| options.plugin.use_human_agent_info = false).await;
    let (ada, downstream) = escalated(&stack).await;
    stack.api.says(&downstream, &agent(&stack).await, "hello").await;
    let line = stack.simulator.transcript(&ada.conversation_id).pop().unwrap();
    assert_eq!((line.name, line.payload.get("userId")), (None, None));
}

#[tokio::test]
async fn a_customer_used_as_agent_speaks_under_the_customer_s_name() {
    let stack = Stack::start().await;
    let (ada, downstream) = escalated(&stack).await;
    let mirror = stack.journal.all("user_created")[0].text("/user_id").to_owned();
    let bob = agent(&stack).await;
    stack.api.says(&downstream, &bob, "hello").await;
    stack.api.says(&downstream, &mirror, "wrong").await;
    assert_eq!(stack.simulator.transcript(&ada.conversation_id).pop().unwrap().name.as_deref(), Some("Ada"));
}

#[tokio::test]
async fn every_assignment_is_announced_and_suppresses_the_automatic_one() {
    let stack = Stack::start().await;
    let (ada, downstream) = escalated(&stack).await;
    let bob = agent(&stack).await;
    for _ in 0..2 {
        let event = stack.api.emits("hitlAssigned", json!({"conversationId": downstream, "userId": bob})).await;
        assert_eq!(stack.api.event_status(&event).await, "processed");
    }
    stack.api.says(&downstream, &bob, "hello").await;
    let joined = "plugin: A human agent has joined the conversation.";
    let count = stack.transcript(&ada.conversation_id).iter().filter(|line| *line == joined).count();
    assert_eq!(count, 2);
    let event = stack.api.emits("hitlAssigned", json!({"conversationId": downstream, "userId": "user_x"})).await;
    assert_eq!(stack.api.event_status(&event).await, "failed");
}

#[tokio::test]
async fn a_type_that_users_cannot_receive_goes_back_to_the_agent() {
    let stack = Stack::with(|options| {
        options.definition.message_types.insert("location".to_owned());
    })
    .await;
    let (_, downstream) = escalated(&stack).await;
    let body = json!({
        "conversationId": downstream, "userId": agent(&stack).await, "type": "location",
        "payload": {"latitude": 1, "longitude": 2}, "tags": {},
    });
    assert_eq!(stack.api.post("messages", body).await.0, 201);
    stack.simulator.settled().await;
    let text = PluginConfiguration::default().incompatible_message;
    assert_eq!(stack.integration.delivered(), [(text, None)]);
}

#[tokio::test]
async fn the_event_hitl_stopped_ends_the_session_and_later_ones_are_ignored() {
    let stack = Stack::start().await;
    let (ada, downstream) = escalated(&stack).await;
    let payload = json!({"conversationId": downstream});
    let event = stack.api.emits("hitlStopped", payload.clone()).await;
    assert_eq!(stack.api.event_status(&event).await, "processed");
    let stopped = format!("plugin: {}", PluginConfiguration::default().stopped_message);
    assert_eq!(last_line(&stack, &ada), stopped);
    assert_eq!(stack.journaled("hitl_ended", "reason"), ["agent-closed-ticket"]);
    assert_eq!(stack.journal.all("workflow_continued").len(), 1);
    assert!(!stack.simulator.is_escalated(&ada.conversation_id) && !stack.simulator.is_escalated(&downstream));
    assert_eq!(stack.integration.received("stopHitl").len(), 0);

    let event = stack.api.emits("hitlStopped", payload).await;
    assert_eq!(stack.api.event_status(&event).await, "ignored");
    stack.api.says(&downstream, &agent(&stack).await, "too late").await;
    assert_eq!(last_line(&stack, &ada), stopped);
    stack.simulator.user_says(&ada.conversation_id, "hello").await.unwrap();
    assert_eq!(last_line(&stack, &ada), "bot: bot: hello");
}

#[tokio::test]
async fn the_plugin_s_stop_action_tells_the_agent_and_calls_stop_hitl() {
    let stack = Stack::start().await;
    let (ada, downstream) = escalated(&stack).await;
    stack.simulator.stop(&ada.conversation_id).await.unwrap();
    stack.simulator.settled().await;
    let cancelled = PluginConfiguration::default().user_cancelled_message;
    assert_eq!(stack.integration.delivered(), [(cancelled, None)]);
    let call = stack.integration.received("stopHitl").remove(0).json();
    assert_eq!(call, json!({"type": "stopHitl", "input": {"conversationId": downstream}}));
    assert_eq!(stack.journaled("hitl_ended", "reason"), ["close-action-called"]);
    assert_eq!(stack.journal.all("workflow_continued").len(), 0);
    stack.simulator.stop(&ada.conversation_id).await.unwrap();
    assert_eq!(stack.integration.received("stopHitl").len(), 1, "an inactive session is not stopped again");
}

#[tokio::test]
async fn the_close_command_ends_the_session_in_any_case_and_spacing() {
    let stack = Stack::start().await;
    let (ada, _) = escalated(&stack).await;
    stack.simulator.user_says(&ada.conversation_id, " /END ").await.unwrap();
    stack.simulator.settled().await;
    assert_eq!(stack.integration.delivered().len(), 1, "the command itself is not forwarded");
    assert_eq!(stack.integration.received("stopHitl").len(), 1);
    let closed = format!("plugin: {}", PluginConfiguration::default().user_closed_message);
    assert_eq!(last_line(&stack, &ada), closed);
    assert_eq!(stack.journaled("hitl_ended", "reason"), ["patient-used-termination-command"]);
    assert_eq!(stack.journal.all("workflow_continued").len(), 1);
}

#[tokio::test]
async fn a_failing_stop_hitl_leaves_the_user_without_an_answer() {
    let stack = Stack::start().await;
    let (ada, _) = escalated(&stack).await;
    stack.integration.script("stopHitl", 400, json!({"message": "no"}));
    assert_eq!(stack.simulator.user_ends(&ada.conversation_id).await, Err("no".to_owned()));
    assert_eq!(last_line(&stack, &ada), "user: /end");
    assert!(!stack.simulator.is_escalated(&ada.conversation_id));
    assert_eq!(stack.journal.all("workflow_continued").len(), 0);
    assert_eq!(stack.journaled("plugin_failed", "reason"), ["no"]);
}

#[tokio::test]
async fn without_an_agent_the_session_times_out() {
    let stack = Stack::with(|options| options.plugin.agent_assigned_timeout = Duration::from_secs(60)).await;
    let (ada, _) = escalated(&stack).await;
    let (eve, with_eve) = escalated(&stack).await;
    stack.api.says(&with_eve, &agent(&stack).await, "hello").await;
    stack.clock.advance(Duration::from_secs(59));
    stack.simulator.settled().await;
    assert!(stack.simulator.is_escalated(&ada.conversation_id));
    stack.clock.advance(Duration::from_secs(1));
    stack.simulator.settled().await;
    let text = format!("plugin: {}", PluginConfiguration::default().assignment_timeout_message);
    assert_eq!(last_line(&stack, &ada), text);
    assert_eq!(stack.journaled("hitl_ended", "reason"), ["agent-assignment-timeout"]);
    assert_eq!(stack.integration.received("stopHitl").len(), 1);
    assert!(stack.simulator.is_escalated(&eve.conversation_id), "an assigned agent keeps the session");
}

#[tokio::test]
async fn a_timeout_of_an_earlier_session_does_not_end_the_next() {
    let stack = Stack::with(|options| options.plugin.agent_assigned_timeout = Duration::from_secs(60)).await;
    let (ada, _) = escalated(&stack).await;
    stack.clock.advance(Duration::from_secs(30));
    stack.simulator.stop(&ada.conversation_id).await.unwrap();
    stack.simulator.user_says(&ada.conversation_id, "again").await.unwrap();
    stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await.unwrap();
    stack.clock.advance(Duration::from_secs(30));
    stack.simulator.settled().await;
    assert!(stack.simulator.is_escalated(&ada.conversation_id));
}

#[tokio::test]
async fn a_lost_link_aborts_the_user_s_side() {
    let stack = Stack::start().await;
    let (ada, _) = escalated(&stack).await;
    stack.simulator.unlink(&ada.conversation_id);
    stack.simulator.user_says(&ada.conversation_id, "hello?").await.unwrap();
    assert_eq!(last_line(&stack, &ada), format!("plugin: {WENT_WRONG}"));
    assert!(!stack.simulator.is_escalated(&ada.conversation_id));
    assert_eq!(stack.journaled("hitl_ended", "reason"), ["internal-error"]);
}

#[tokio::test]
async fn another_participant_s_message_aborts_the_session() {
    let stack = Stack::start().await;
    let (ada, _) = escalated(&stack).await;
    let carl = stack.simulator.new_participant(&ada.conversation_id, "Carl", None);
    let text = json!({"text": "me too"});
    stack.simulator.participant_sends(&ada.conversation_id, &carl, "text", text).await.unwrap();
    assert_eq!(last_line(&stack, &ada), format!("plugin: {WENT_WRONG}"));
    assert_eq!(stack.integration.delivered(), []);
}

#[tokio::test]
async fn a_lost_link_aborts_the_agent_s_side() {
    let stack = Stack::start().await;
    let (ada, downstream) = escalated(&stack).await;
    stack.simulator.unlink(&downstream);
    let before = stack.transcript(&ada.conversation_id);
    stack.api.says(&downstream, &agent(&stack).await, "hello?").await;
    stack.simulator.settled().await;
    assert_eq!(stack.integration.delivered(), [(WENT_WRONG.to_owned(), None)]);
    assert_eq!(stack.transcript(&ada.conversation_id), before);
    assert!(!stack.simulator.is_escalated(&downstream));
}

#[tokio::test]
async fn further_participants_of_the_history_get_mirrors_too() {
    let stack = Stack::start().await;
    let ada = stack.simulator.new_user("Ada", Some("ada@x"), None);
    let carl = stack.simulator.new_participant(&ada.conversation_id, "Carl", Some("carl@x"));
    stack.simulator.user_says(&ada.conversation_id, "help").await.unwrap();
    stack.simulator.participant_sends(&ada.conversation_id, &carl, "text", json!({"text": "me too"})).await.unwrap();
    stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await.unwrap();
    assert_eq!(stack.journaled("user_created", "name"), ["Ada", "Carl"]);
    let history = stack.integration.received("startHitl").remove(0).json()["input"]["messageHistory"].clone();
    let texts: Vec<_> =
        history.as_array().unwrap().iter().filter_map(|item| item["payload"]["text"].as_str()).collect();
    assert_eq!(texts[..4], ["help", "bot: help", "me too", "bot: me too"]);
    assert_ne!(history[0]["source"]["userId"], history[2]["source"]["userId"]);
    let emails: Vec<_> =
        stack.integration.received("createUser").iter().map(|call| call.json()["input"]["email"].clone()).collect();
    let bot_id = stack.simulator.options().install.bot_id.replace('_', "-");
    let synthetic = format!("{carl}@no-reply.{bot_id}.botpress.com");
    assert_eq!(emails, ["ada@x", &synthetic], "the card has one address, and tags are not the plugin's to see");
}

#[tokio::test]
async fn the_card_s_address_is_passed_on_unchecked() {
    let stack = Stack::start().await;
    for given in ["", " ", "undefined", "shared@x"] {
        let ada = stack.simulator.new_user("Ada", Some("ada@x"), None);
        let escalation = Escalation { user_email: Some(given.to_owned()), ..Escalation::default() };
        stack.simulator.escalate(&ada.conversation_id, escalation).await.unwrap();
        assert_eq!(stack.integration.received("createUser").pop().unwrap().json()["input"]["email"], given);
    }
}

#[tokio::test]
async fn the_texts_of_the_plugin_are_in_every_history() {
    let stack = Stack::start().await;
    let (ada, downstream) = escalated(&stack).await;
    stack.api.says(&downstream, &agent(&stack).await, "hello").await;
    stack.api.emits("hitlStopped", json!({"conversationId": downstream})).await;
    stack.simulator.user_says(&ada.conversation_id, "again").await.unwrap();
    stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await.unwrap();
    let input = stack.integration.received("startHitl").remove(1).json()["input"].clone();
    let history = input["messageHistory"].as_array().unwrap();
    let texts: Vec<_> = history.iter().filter_map(|item| item["payload"]["text"].as_str()).collect();
    let PluginConfiguration {
        handoff_message: handoff, agent_assigned_message: joined, stopped_message: stopped, ..
    } = PluginConfiguration::default();
    let expected = ["help", "bot: help", &handoff, &joined, "hello", &stopped, "again", "bot: again", &handoff];
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn what_is_written_while_a_start_runs_is_the_bot_s_and_may_start_again() {
    let stack = Stack::with(|options| options.activation_delay = Duration::from_secs(1)).await;
    let ada = stack.simulator.new_user("Ada", None, None);
    stack.simulator.user_says(&ada.conversation_id, "help").await.unwrap();
    let escalating = async {
        stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await.unwrap();
    };
    let writing = async {
        stack.somebody_sleeps().await;
        stack.simulator.user_says(&ada.conversation_id, "hurry").await.unwrap();
        assert_eq!(last_line(&stack, &ada), "bot: bot: hurry");
        stack.clock.advance(Duration::from_secs(1));
    };
    tokio::join!(escalating, writing);
    stack.simulator.stop(&ada.conversation_id).await.unwrap();
    let again = async {
        stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await.unwrap();
    };
    let passing = async {
        stack.somebody_sleeps().await;
        stack.clock.advance(Duration::from_secs(1));
    };
    tokio::join!(again, passing);
    assert_eq!(stack.journaled("hitl_not_started", "reason"), [""; 0], "the first start was asked for by `help`");
    assert_eq!(stack.integration.received("startHitl").len(), 2);
}

#[tokio::test]
async fn additional_data_goes_along_to_the_user_and_an_agent_s_address_does_not() {
    let stack = Stack::start().await;
    let (ada, downstream) = escalated(&stack).await;
    let payload = json!({"text": "hello", "additionalData": "ticket 7"});
    let body = json!({
        "conversationId": downstream, "userId": agent(&stack).await, "type": "text", "payload": payload, "tags": {},
    });
    assert_eq!(stack.api.post("messages", body).await.0, 201);
    let shown = stack.simulator.transcript(&ada.conversation_id).pop().unwrap();
    assert_eq!((&shown.payload["additionalData"], &shown.payload["type"]), (&json!("ticket 7"), &json!("text")));
    let face = shown.payload["userId"].as_str().unwrap();
    assert!(!stack.simulator.platform.world().users.get(face).unwrap().tags.contains_key("email"));
}

#[tokio::test]
async fn the_history_is_one_page_of_the_latest_messages() {
    let stack = Stack::with(|options| options.page_size = 3).await;
    let ada = stack.simulator.new_user("Ada", None, None);
    for text in ["one", "two", "three"] {
        stack.simulator.user_says(&ada.conversation_id, text).await.unwrap();
    }
    stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await.unwrap();
    let history = stack.integration.received("startHitl").remove(0).json()["input"]["messageHistory"].clone();
    let texts: Vec<_> = history.as_array().unwrap().iter().map(|item| item["payload"]["text"].clone()).collect();
    let handoff = PluginConfiguration::default().handoff_message;
    assert_eq!(texts, [json!("three"), json!("bot: three"), Value::from(handoff)]);
}

#[tokio::test]
async fn a_reused_conversation_is_ended_by_the_earlier_session_s_late_event() {
    let stack = Stack::start().await;
    let (ada, downstream) = escalated(&stack).await;
    stack.simulator.stop(&ada.conversation_id).await.unwrap();
    stack.simulator.user_says(&ada.conversation_id, "again").await.unwrap();
    let reused = json!({"output": {"conversationId": downstream}, "meta": {"cost": 0}});
    stack.integration.script("startHitl", 200, reused);
    stack.simulator.escalate(&ada.conversation_id, Escalation::default()).await.unwrap();
    stack.api.emits("hitlStopped", json!({"conversationId": downstream})).await;
    assert!(!stack.simulator.is_escalated(&ada.conversation_id));
}

#[tokio::test]
async fn a_text_of_null_is_not_sent_and_a_session_can_override_the_configuration() {
    let stack = Stack::start().await;
    let ada = stack.simulator.new_user("Ada", None, None);
    let configuration = PluginConfiguration {
        handoff_message: "NULL".to_owned(),
        user_cancelled_message: "NULL".to_owned(),
        user_closed_message: "Bye.".to_owned(),
        close_command: "stop".to_owned(),
        flow_on_hitl_stopped: false,
        ..PluginConfiguration::default()
    };
    let escalation = Escalation { configuration: Some(configuration), ..Escalation::default() };
    stack.simulator.escalate(&ada.conversation_id, escalation).await.unwrap();
    stack.simulator.user_says(&ada.conversation_id, "stop").await.unwrap();
    stack.simulator.settled().await;
    assert_eq!(stack.transcript(&ada.conversation_id), ["user: stop", "plugin: Bye."]);
    assert_eq!(stack.integration.delivered(), []);
    assert_eq!(stack.journal.all("workflow_continued").len(), 0);
}

/// What the user sees of an agent's first message and of the session's end when both are posted `apart`, over many draws.
async fn lines_side_by_side(apart: Duration) -> Vec<Vec<String>> {
    let mut seen = Vec::new();
    for seed in 0..20 {
        let stack = Stack::start().await;
        let (ada, downstream) = escalated(&stack).await;
        let bob = agent(&stack).await;
        let payload = json!({"conversationId": downstream, "userId": bob});
        let before = stack.transcript(&ada.conversation_id).len();
        stack.simulator.handle(Handling::SideBySide { longest: Duration::from_millis(100), seed });
        stack.api.emits("hitlAssigned", payload).await;
        pass(&stack, apart).await;
        stack.api.says(&downstream, &bob, "bye").await;
        pass(&stack, apart).await;
        stack.api.emits("hitlStopped", json!({"conversationId": downstream})).await;
        pass(&stack, Duration::from_millis(100)).await;
        assert_eq!(stack.journal.all("handled").len(), 3);
        seen.push(stack.transcript(&ada.conversation_id).split_off(before));
    }
    seen
}

async fn pass(stack: &Stack, time: Duration) {
    stack.clock.advance(time);
    stack.simulator.settled().await;
}

#[tokio::test]
async fn side_by_side_only_what_is_posted_further_apart_than_the_longest_delay_keeps_its_order() {
    let in_order = [
        "plugin: A human agent has joined the conversation.",
        "agent: bye",
        "plugin: The human agent closed the conversation. I will continue assisting you.",
    ];
    let apart = lines_side_by_side(Duration::from_millis(101)).await;
    assert!(apart.iter().all(|lines| *lines == in_order), "{apart:?}");
    let together = lines_side_by_side(Duration::ZERO).await;
    let joined = |lines: &Vec<String>| lines.iter().filter(|line| *line == in_order[0]).count();
    assert!(together.iter().any(|lines| joined(lines) == 2), "announced twice: {together:?}");
    assert!(together.iter().any(|lines| !lines.contains(&in_order[1].to_owned())), "lost: {together:?}");
}
