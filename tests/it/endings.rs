//! Ends on LiveChat's side, and the echoes of the service's own ends.

use std::time::Duration;

use sandbox::botpress::Escalation;
use sandbox::faults::Fault;
use serde_json::json;
use tests::{ANNA, World};

fn stops(world: &World) -> usize {
    world.bot_events("hitlStopped").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_closes_the_bot_is_told_once() {
    for by_router in [false, true] {
        let world = World::start().await;
        let ann = world.escalated_user("Ann").await;
        match by_router {
            true => world.stack.livechat.router_closes(&world.chat_id()).unwrap(),
            false => world.stack.livechat.agent_closes(&world.chat_id(), ANNA).unwrap(),
        }
        world.settle().await;
        for _ in 0..3 {
            assert!(world.stack.livechat.deliver_again("chat_deactivated"));
        }
        world.settle().await;
        assert_eq!(stops(&world), 1, "by router: {by_router}");
        assert!(!world.stack.botpress.is_escalated(&ann.conversation_id));
        assert_eq!(world.entries("hitl_ended", "/reason", "agent-closed-ticket").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agents_last_words_reach_the_user_before_the_end() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    world.answers(ANNA, "one").await;
    world.stack.livechat.agent_sends_text(&world.chat_id(), ANNA, "bye").unwrap();
    world.agent_closes(ANNA).await;
    assert_eq!(world.shown_by_agents(), ["one", "bye"]);
    assert_eq!((stops(&world), world.count("dropped")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn last_words_whose_webhook_comes_after_the_closes_are_not_lost() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    world.stack.gateway_faults.next(1, "POST /livechat", Fault::answer(200, "held back"));
    world.stack.livechat.agent_sends_text(&world.chat_id(), ANNA, "bye").unwrap();
    world.settle().await;
    world.agent_closes(ANNA).await;
    assert!(world.stack.livechat.deliver_again("incoming_event"));
    world.settle().await;
    assert_eq!(world.shown_by_agents(), ["bye"]);
    assert_eq!((stops(&world), world.count("dropped")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_closed_while_the_session_settles_ends_it_after_what_was_said() {
    let world = World::start().await;
    let ann = world.user("Ann").await;
    let escalate = world.stack.botpress.escalate(&ann.conversation_id, Escalation::default());
    world.drive(escalate).await.unwrap();
    let chat_id = world.chat_id();
    world.stack.livechat.agent_sends_text(&chat_id, ANNA, "not our department").unwrap();
    world.agent_closes(ANNA).await;
    assert_eq!(world.shown_by_agents(), ["not our department"]);
    assert_eq!((stops(&world), world.count("dropped")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_late_close_of_an_earlier_thread_does_not_end_the_next_session() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    world.agent_closes(ANNA).await;
    world.says(&ann, "one more thing").await;
    // Once while the second start is still under way, and once after it.
    world.stack.livechat.faults().next(1, "customer/action/resume_chat", Fault::Delay(Duration::from_millis(500)));
    let escalate = world.stack.botpress.escalate(&ann.conversation_id, Escalation::default());
    world
        .drive(async {
            let late = async { assert!(world.stack.livechat.deliver_again("chat_deactivated")) };
            tokio::join!(escalate, late).0.unwrap();
        })
        .await;
    world.settle().await;
    assert!(world.stack.livechat.deliver_again("chat_deactivated"));
    world.settle().await;
    assert_eq!(stops(&world), 1, "that of the first session");
    world.answers(ANNA, "hello again").await;
    assert_eq!(world.shown_by_agents(), ["hello again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_writes_into_a_closed_chat_is_taken_quietly_and_opens_nothing() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    let conversation_id = world.stack.botpress.downstream(&ann.conversation_id).unwrap();
    // The bot does not know of the close yet: the webhook is lost.
    world.stack.gateway_faults.always("POST /livechat", Fault::answer(200, "swallowed"));
    world.agent_closes(ANNA).await;
    world.says(&ann, "are you there?").await;
    world.stack.gateway_faults.clear();
    assert!(world.stack.livechat.deliver_again("chat_deactivated"));
    world.settle().await;
    // The bot knows of it now, and this message was already under way.
    let late = json!({
        "type": "text", "payload": {"text": "hello?", "userId": world.stack.botpress.downstream_user(&ann.user_id)}, "conversation": {"id": conversation_id},
        "message": {"id": "msg_late", "createdAt": world.now().to_string(), "conversationId": conversation_id},
        "user": {"id": ann.user_id},
    });
    let taken = world.drive(world.stack.botpress.call_operation("message_created", &late, &[])).await.unwrap();
    assert_eq!((taken.status, taken.body.as_str()), (200, "{}"));
    assert!(
        world
            .entries("operation_called", "/operation", "message_created")
            .iter()
            .all(|one| one.detail["status"] == 200)
    );
    assert!(world.stack.livechat.open_chats().is_empty());
    assert_eq!(world.sent_by_customers().len(), 1, "the opening");
    assert_eq!((stops(&world), world.count("chat_resumed")), (1, 0));
    assert!(world.items("parked").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_echo_of_our_own_close_ends_nothing() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    world.user_ends(&ann).await;
    assert_eq!(world.entries("webhook_delivered", "/action", "chat_deactivated").len(), 1);
    assert_eq!((stops(&world), world.count("dropped")), (0, 0));
    // The webhook does not end the next session either.
    world.says(&ann, "hello again").await;
    world.escalate(&ann).await.unwrap();
    assert!(world.stack.livechat.deliver_again("chat_deactivated"));
    world.settle().await;
    assert_eq!(stops(&world), 0);
    assert!(world.stack.botpress.is_escalated(&ann.conversation_id));
}
