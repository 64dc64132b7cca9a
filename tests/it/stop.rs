//! `stopHitl`: the bot is never kept waiting, and the chat is closed in the end.

use std::time::Duration;

use sandbox::botpress::{OperationAnswer, UpstreamUser};
use sandbox::faults::Fault;
use serde_json::json;
use tests::{ANNA, World, message};

fn downstream(world: &World, user: &UpstreamUser) -> String {
    world.stack.botpress.downstream(&user.conversation_id).expect("the user was handed over")
}

async fn stop(world: &World, conversation_id: &str) -> OperationAnswer {
    world.act("stopHitl", json!({ "conversationId": conversation_id })).await
}

fn assert_fine(answer: &OperationAnswer) {
    assert_eq!((answer.status, answer.json()), (200, json!({ "output": {}, "meta": { "cost": 0 } })));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_closes_the_chat_once_and_tells_the_bot_nothing() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    let conversation_id = downstream(&world, &ann);
    for _ in 0..3 {
        assert_fine(&stop(&world, &conversation_id).await);
    }
    world.settle().await;
    assert!(world.stack.livechat.open_chats().is_empty());
    assert_eq!(world.count("chat_deactivated"), 1);
    assert_eq!(world.bot_events("hitlStopped").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_what_is_unknown_or_was_closed_by_the_agent_is_fine() {
    let world = World::start().await;
    assert_fine(&stop(&world, "conv_nobody_knows").await);
    let ann = world.escalated_user("Ann").await;
    world.agent_closes(ANNA).await;
    assert_eq!(world.bot_events("hitlStopped").len(), 1);
    assert_fine(&stop(&world, &downstream(&world, &ann)).await);
    world.settle().await;
    assert_eq!(world.count("chat_deactivated"), 1);
    assert_eq!(world.bot_events("hitlStopped").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_while_livechat_fails_is_fine_and_made_up_for() {
    let world = World::in_process().await;
    for fault in [Fault::answer(503, ""), Fault::answer(429, ""), Fault::Reset, Fault::LoseAnswer] {
        let what = format!("{fault:?}");
        let ann = world.escalated_user("Ann").await;
        world.stack.livechat.faults().always("/v3.6/", fault);
        assert_fine(&stop(&world, &downstream(&world, &ann)).await);
        world.settle().await;
        world.stack.livechat.faults().clear();
        world.catch_up().await;
        assert!(world.stack.livechat.open_chats().is_empty(), "{what}");
        assert_eq!(world.bot_events("hitlStopped").len(), 0, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_while_the_token_is_withdrawn_is_fine_and_a_new_start_works_when_it_is_back() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.stack.livechat.set_agent_token_valid(false);
    world.user_ends(&ann).await;
    assert_eq!(world.stack.livechat.open_chats().len(), 1);
    world.stack.livechat.set_agent_token_valid(true);
    world.catch_up().await;
    world.says(&ann, "once more").await;
    world.escalate(&ann).await.unwrap();
    assert_eq!(world.stack.livechat.open_chats().len(), 1);
    world.answers(ANNA, "here").await;
    assert_eq!(world.shown_by_agents(), ["here"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_while_livechat_hangs_is_answered_all_the_same() {
    let world = World::in_real_time().await;
    let ann = world.escalated_user("Ann").await;
    world.stack.livechat.faults().always("agent/action/deactivate_chat", Fault::Delay(Duration::from_secs(3_600)));
    let conversation_id = downstream(&world, &ann);
    let stopped = tokio::time::timeout(Duration::from_secs(9), stop(&world, &conversation_id)).await;
    assert_fine(&stopped.expect("the bot is not kept waiting"));
    assert_eq!(world.stack.livechat.open_chats().len(), 1, "the close waits for the sweep");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_after_the_end_is_accepted_and_reopens_nothing() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    let conversation_id = downstream(&world, &ann);
    assert_fine(&stop(&world, &conversation_id).await);
    for (message_id, user_id) in [("msg_late_1", Some("user_1")), ("msg_late_2", None)] {
        let body = message(&conversation_id, message_id, "too late", user_id, world.now());
        let answer = world.operate("message_created", &body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    }
    world.settle().await;
    assert!(world.stack.livechat.open_chats().is_empty());
    assert!(!world.sent_by_customers().iter().any(|text| text.contains("too late")));
    assert_eq!(world.count("chat_resumed"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cancel_text_and_the_stop_may_come_in_either_order() {
    let world = World::start().await;
    for (name, text_first) in [("Ann", true), ("Ben", false)] {
        let user = world.escalated_user(name).await;
        let conversation_id = downstream(&world, &user);
        let text = message(&conversation_id, &format!("msg_{name}"), "cancelled", None, world.now());
        if text_first {
            assert_eq!(world.operate("message_created", &text).await.status, 200);
        }
        assert_fine(&stop(&world, &conversation_id).await);
        if !text_first {
            assert_eq!(world.operate("message_created", &text).await.status, 200);
        }
        world.settle().await;
        assert!(world.stack.livechat.open_chats().is_empty(), "{name}");
    }
    let notes: Vec<_> = world.sent_by_customers().into_iter().filter(|text| text.contains("cancelled")).collect();
    assert_eq!(notes, ["[Bot] cancelled"], "the first one told the agent, the second one came after the end");
    assert_eq!((world.count("chat_deactivated"), world.bot_events("hitlStopped").len()), (2, 0));
}
