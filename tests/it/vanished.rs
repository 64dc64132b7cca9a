//! What the service remembers and a vendor has deleted: it is created again, or the session ends; no operator is needed.

use std::time::Duration;

use sandbox::faults::Fault;
use sandbox::livechat::Gone;
use serde_json::{Value, json};
use tests::{ANNA, World};

use crate::either_platform::User;

const GONE: &str = "[Bot] The customer's conversation with the bot has been deleted. Nothing reaches the customer any more, and this chat \
    is closed.";

/// How the accounts service may answer to cookies of a customer whom it no longer knows.
const REFUSALS: [Option<&str>; 6] = [
    None,
    Some("invalid_grant"),
    Some("resource_not_found"),
    Some("access_denied"),
    Some("invalid_request"),
    Some("conflict"),
];

/// Asserts that both sides can talk to each other and that nothing is parked.
async fn assert_all_is_well(world: &World, user: &User, what: &str) {
    assert_eq!(world.stack.livechat.open_chats().len(), 1, "{what}");
    user.says(world, "are you there?").await;
    world.answers(ANNA, "here I am").await;
    assert_eq!(world.sent_by_customers().last().map(String::as_str), Some("are you there?"), "{what}");
    assert_eq!(user.shown(world).last().map(String::as_str), Some("here I am"), "{what}");
    assert!(world.items("parked").is_empty(), "{what}");
}

fn customer_id(world: &World) -> String {
    world.stack.livechat.open_chats()[0].customer_id.clone().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returning_user_whose_chat_is_gone_gets_another() {
    for gone in Gone::ALL {
        for widget in [false, true] {
            let what = format!("{gone:?} {widget}");
            let world = World::in_process().await;
            let user = User::new(&world, widget).await;
            let (chat_id, customers) = (world.chat_id(), world.count("customer_created"));
            world.agent_closes(ANNA).await;
            world.stack.livechat.delete_chat(&chat_id, gone).unwrap();
            assert!(user.asks_for_a_person(&world).await, "{what}");
            assert_all_is_well(&world, &user, &what).await;
            assert_ne!(world.chat_id(), chat_id);
            assert_eq!(world.count("chat_started"), 2, "{what}");
            let customers = customers + usize::from(gone == Gone::Anonymized);
            assert_eq!(
                world.count("customer_created"),
                customers,
                "{what}: another one only where this one can have no chat"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returning_user_whose_customer_is_gone_becomes_another() {
    for refusal in REFUSALS {
        for widget in [false, true] {
            let what = format!("{refusal:?} {widget}");
            let world = World::in_process().await;
            let user = User::new(&world, widget).await;
            let customer_id = customer_id(&world);
            world.agent_closes(ANNA).await;
            world.stack.livechat.delete_customer(&customer_id, refusal);
            assert!(user.asks_for_a_person(&world).await, "{what}");
            assert_all_is_well(&world, &user, &what).await;
            let known = world.stack.livechat.customers();
            let named = known.iter().filter(|customer| customer.name.as_deref() == Some("Ann")).count();
            assert_eq!(named, usize::from(!widget), "{what}: agents see who it is");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_that_are_refused_while_the_chat_is_there_cost_a_returning_user_nothing() {
    for refusal in REFUSALS.into_iter().flatten() {
        let world = World::in_process().await;
        let user = User::new(&world, false).await;
        let (customer_id, customers) = (customer_id(&world), world.count("customer_created"));
        world.agent_closes(ANNA).await;
        world.stack.livechat.refuse_cookies(&customer_id, refusal);
        world.stack.livechat.expire_customer_tokens();
        world.advance(Duration::from_secs(9 * 3_600));
        assert!(user.asks_for_a_person(&world).await, "{refusal}");
        assert_all_is_well(&world, &user, refusal).await;
        world.agent_closes(ANNA).await;
        assert!(user.asks_for_a_person(&world).await, "{refusal}: nothing is left of it");
        assert_eq!(world.count("customer_created"), customers + 1, "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_at_once_of_a_user_whose_chat_and_customer_are_gone_make_one_of_each() {
    for gone in [Gone::NotFound, Gone::Anonymized] {
        let world = World::in_process().await;
        let created = json!({"name": "Ann", "email": "ann@example.com"});
        let user_id = world.act("createUser", created).await.json()["output"]["userId"].as_str().unwrap().to_owned();
        let input = |text: &str| {
            let said =
                json!({"source": {"type": "user", "userId": user_id}, "type": "text", "payload": {"text": text}});
            json!({"type": "startHitl", "input": {"userId": user_id, "messageHistory": [said]}})
        };
        assert_eq!(world.operate("action_triggered", &input("one")).await.status, 200);
        let (chat_id, customer_id) = (world.chat_id(), customer_id(&world));
        let customers = world.count("customer_created");
        world.agent_closes(ANNA).await;
        world.stack.livechat.delete_chat(&chat_id, gone).unwrap();
        world.stack.livechat.refuse_cookies(&customer_id, "invalid_grant");
        world.stack.livechat.expire_customer_tokens();
        let (body, botpress) = (input("two"), &world.stack.botpress);
        let answers = world.all((0..16).map(|_| botpress.call_operation("action_triggered", &body, &[]))).await;
        world.settle().await;
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 200)), "{answers:?}");
        assert_eq!((world.count("chat_started"), world.count("customer_created")), (2, customers + 1), "{gone:?}");
        assert_eq!(world.stack.livechat.open_chats().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_goes_in_the_middle_of_a_session_ends_it() {
    for gone in Gone::ALL {
        for widget in [false, true] {
            for user_writes in [false, true] {
                let what = format!("{gone:?} {widget} {user_writes}");
                let world = World::in_process().await;
                let user = User::new(&world, widget).await;
                world.answers(ANNA, "hello").await;
                world.stack.livechat.delete_chat(&world.chat_id(), gone).unwrap();
                if user_writes {
                    user.says(&world, "still there?").await;
                }
                world.catch_up().await;
                assert!(!user.is_with_agent(&world), "{what}");
                assert!(world.items("parked").is_empty() && world.items("waiting").is_empty(), "{what}");
                assert!(user.asks_for_a_person(&world).await, "{what}");
                assert_all_is_well(&world, &user, &what).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_words_into_a_chat_that_is_gone_end_the_session_once() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let downstream = world.stack.botpress.downstream(&ann.conversation_id).unwrap();
    let user_id = world.stack.botpress.downstream_user(&ann.user_id).unwrap();
    world.stack.livechat.delete_chat(&world.chat_id(), Gone::NotFound).unwrap();
    let words: Vec<Value> = (0..16)
        .map(|number| {
            let (id, text) = (format!("msg_{number}"), format!("word {number}"));
            tests::message(&downstream, &id, &text, Some(&user_id), world.now())
        })
        .collect();
    let answers = world.all(words.iter().map(|word| world.operate("message_created", word))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    world.catch_up().await;
    assert_eq!((world.bot_events("hitlStopped").len(), world.items("parked").len()), (1, 0));
    assert!(!world.stack.botpress.is_escalated(&ann.conversation_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_is_lost_in_the_middle_of_a_session_ends_it_and_leaves_no_agent_waiting() {
    for delete in [true, false] {
        for widget in [false, true] {
            let what = format!("{delete} {widget}");
            let world = World::in_process().await;
            let user = User::new(&world, widget).await;
            let customer_id = customer_id(&world);
            if delete {
                world.stack.livechat.delete_customer(&customer_id, Some("invalid_grant"));
            } else {
                world.stack.livechat.refuse_cookies(&customer_id, "invalid_grant");
                world.stack.livechat.expire_customer_tokens();
            }
            user.says(&world, "still there?").await;
            world.catch_up().await;
            assert!(!user.is_with_agent(&world), "{what}");
            assert!(world.stack.livechat.open_chats().is_empty() && world.items("parked").is_empty(), "{what}");
            assert!(user.asks_for_a_person(&world).await, "{what}");
            assert_all_is_well(&world, &user, &what).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_as_ever_although_its_chat_is_gone() {
    for gone in Gone::ALL {
        let world = World::in_process().await;
        let ann = world.escalated_user("Ann").await;
        world.stack.livechat.delete_chat(&world.chat_id(), gone).unwrap();
        world.user_ends(&ann).await;
        assert!(world.items("parked").is_empty() && world.items("waiting").is_empty(), "{gone:?}");
        assert_eq!(world.items("session")[0]["session_state"], "closed", "{gone:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_only_the_agent_token_may_not_see_is_not_gone() {
    let world = World::in_process().await;
    let user = User::new(&world, false).await;
    let refused = json!({"error": {"type": "missing_access", "message": "Missing access"}}).to_string();
    world.stack.livechat.faults().always("agent/action/get_chat", Fault::answer(403, refused));
    world.catch_up().await;
    assert!(user.is_with_agent(&world));
    assert_all_is_well(&world, &user, "it goes on").await;
}

/// Returns the Botpress user that stands for Anna.
fn anna_at_botpress(world: &World) -> String {
    let made = world.entries("user_created", "/tags/id", &format!("agent:{ANNA}"));
    made.last().unwrap().text("/user_id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_user_is_gone_at_botpress_goes_on_under_another() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.answers(ANNA, "one").await;
    world.stack.botpress.delete_user(&anna_at_botpress(&world));
    world.answers(ANNA, "two").await;
    world.answers(ANNA, "three").await;
    assert_eq!(world.shown_by_agents(), ["one", "two", "three"]);
    let shown = world.entries("shown_to_user", "/from", "agent");
    assert!(shown.iter().all(|entry| entry.text("/name") == "Anna"), "{shown:?}");
    assert_eq!(world.entries("user_created", "/tags/id", &format!("agent:{ANNA}")).len(), 2, "made once");
    // The announcement in the next session survives a deleted user as well.
    world.user_ends(&ann).await;
    world.stack.botpress.delete_user(&anna_at_botpress(&world));
    world.says(&ann, "hello again").await;
    world.escalate(&ann).await.unwrap();
    world.answers(ANNA, "four").await;
    assert_eq!(world.shown_by_agents().last().map(String::as_str), Some("four"));
    assert_eq!((world.count("plugin_failed"), world.items("parked").len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_gone_at_botpress_is_handed_over_again() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.agent_closes(ANNA).await;
    world.stack.botpress.delete_user(&world.stack.botpress.downstream_user(&ann.user_id).unwrap());
    let user = User::Bot(ann);
    assert!(user.asks_for_a_person(&world).await);
    assert_all_is_well(&world, &user, "another user of the integration").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_is_gone_ends_the_session_and_the_agents_are_told() {
    let own = "Deleted over there.";
    let silent = json!({"conversation_gone": ""}).to_string();
    let worded = json!({"conversation_gone": own}).to_string();
    for (wording, expected) in
        [(None, Some(GONE.to_owned())), (Some(worded), Some(format!("[Bot] {own}"))), (Some(silent), None)]
    {
        let environment: Vec<(&str, &str)> = wording.iter().map(|wording| ("WORDING", wording.as_str())).collect();
        let world = World::in_process_with(&environment).await;
        let ann = world.escalated_user("Ann").await;
        world.answers(ANNA, "one").await;
        let before = world.sent_by_customers().len();
        world.stack.botpress.delete_conversation(&world.stack.botpress.downstream(&ann.conversation_id).unwrap());
        for word in ["two", "three"] {
            world.answers(ANNA, word).await;
        }
        world.catch_up().await;
        assert_eq!(world.sent_by_customers().split_off(before), Vec::from_iter(expected));
        assert!(world.stack.livechat.open_chats().is_empty());
        assert!(world.items("parked").is_empty() && world.items("waiting").is_empty());
        assert_eq!(world.items("session")[0]["session_state"], "closed");
    }
}
