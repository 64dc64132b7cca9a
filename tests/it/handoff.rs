//! The main job: a user is handed over, talks to agents, and is handed back.

use sandbox::botpress::Escalation;
use sandbox::livechat::Target;
use tests::{ANNA, BEN, World};

#[tokio::test(flavor = "multi_thread")]
async fn words_cross_once_in_order_and_under_the_right_names() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    world.answers(ANNA, "one").await;
    world.says(&ann, "two").await;
    world.answers(ANNA, "three").await;
    world.says(&ann, "four").await;
    assert_eq!(world.shown_by_agents(), ["one", "three"]);
    assert_eq!(world.sent_by_customers()[1..], ["two", "four"]);
    let names: Vec<_> = world.entries("shown_to_user", "/from", "agent");
    assert!(names.iter().all(|entry| entry.text("/name") == "Anna"));
    assert_eq!(world.bot_events("hitlAssigned").len(), 1);
    assert_eq!(world.count("dropped"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_says_what_it_is_about_and_what_was_said() {
    let world = World::start().await;
    let ann = world.user("Ann").await;
    let escalation = Escalation {
        title: Some("Refund".to_owned()),
        description: Some("Order 7".to_owned()),
        ..Escalation::default()
    };
    world.escalate_with(&ann, escalation).await.unwrap();
    let opening = world.sent_by_customers().remove(0);
    assert!(
        opening.starts_with("Refund\n\nOrder 7\n\nConversation so far:\nAnn: hello\nBot: bot: hello\n"),
        "{opening}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_changes_the_agent_and_nothing_else() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    world.answers(ANNA, "I pass you on").await;
    let chat_id = world.chat_id();
    world.stack.livechat.agent_transfers(&chat_id, ANNA, Target::Agent(BEN.to_owned())).unwrap();
    world.settle().await;
    world.answers(BEN, "Ben here").await;
    assert_eq!(world.shown_by_agents(), ["I pass you on", "Ben here"]);
    assert_eq!(world.bot_events("hitlAssigned").len(), 2);
    assert_eq!(world.bot_events("hitlStopped").len(), 0);
    assert_eq!(world.count("conversation_created"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_agent_closes_the_bot_resumes() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    world.answers(ANNA, "Bye").await;
    world.agent_closes(ANNA).await;
    assert_eq!(world.bot_events("hitlStopped").len(), 1);
    assert!(!world.stack.botpress.is_escalated(&ann.conversation_id));
    world.says(&ann, "still there?").await;
    assert!(!world.sent_by_customers().contains(&"still there?".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_user_ends_the_chat_is_closed_after_their_last_words() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    world.says(&ann, "thanks").await;
    world.user_ends(&ann).await;
    assert!(world.stack.livechat.open_chats().is_empty());
    assert_eq!(world.bot_events("hitlStopped").len(), 0, "the plugin ended it itself");
    let closed = world.stack.journal.all("chat_deactivated").remove(0);
    let words = world.entries("event_sent", "/text", "thanks").remove(0);
    assert!(words.number < closed.number);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returning_user_resumes_the_chat_in_a_new_thread_with_a_new_conversation() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    world.agent_closes(ANNA).await;
    world.says(&ann, "one more thing").await;
    world.escalate(&ann).await.unwrap();
    world.answers(ANNA, "Hello again").await;
    assert_eq!((world.count("chat_started"), world.count("chat_resumed")), (1, 1));
    assert_eq!(world.count("conversation_created"), 2);
    assert_eq!(world.count("customer_created"), 2, "Ann, and the customer that registration checks with");
    assert_eq!(world.shown_by_agents(), ["Hello again"]);
    world.user_ends(&ann).await;
    assert!(world.stack.livechat.open_chats().is_empty());
}
