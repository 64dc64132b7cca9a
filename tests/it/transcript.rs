//! What agents read first: the whole conversation with the bot, and for a returning user only what is new.

use sandbox::livechat::Gone;
use serde_json::json;
use tests::{ANNA, World};

fn openings(world: &World) -> Vec<String> {
    let events = world.entries("event_sent", "/author_type", "customer").into_iter();
    events
        .filter(|entry| entry.text("/custom_id").starts_with("opening:"))
        .map(|entry| entry.text("/text").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returning_user_is_told_of_from_where_agents_left_off() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.says(&ann, "my order").await;
    world.answers(ANNA, "it is on its way").await;
    world.agent_closes(ANNA).await;
    world.says(&ann, "hello").await;
    world.says(&ann, "it never came").await;
    world.escalate(&ann).await.unwrap();
    world.answers(ANNA, "I am sorry").await;
    world.user_ends(&ann).await;
    world.says(&ann, "third time").await;
    world.escalate(&ann).await.unwrap();

    let openings = openings(&world);
    let [first, second, third] = openings.as_slice() else { panic!("{openings:?}") };
    assert!(first.contains("Ann: hello\n"), "{first}");
    assert!(second.contains("Ann: hello\nBot: bot: hello\nAnn: it never came\n"), "{second}");
    assert_eq!(second.matches("hello").count(), 2, "{second}");
    for known in ["my order", "it is on its way"] {
        assert!(!second.contains(known), "{known}: {second}");
    }
    assert!(third.contains("Ann: third time\n"), "{third}");
    for known in ["hello", "my order", "it is on its way", "it never came", "I am sorry"] {
        assert!(!third.contains(known), "{known}: {third}");
    }
    let told = json!(world.items("told")).to_string();
    assert!(world.items("told").len() == 1 && !told.contains("order") && !told.contains("hello"), "{told}");
}

/// The plugin's hand-off text ends every history, so it does not show what agents have read.
#[tokio::test(flavor = "multi_thread")]
async fn a_returning_user_in_another_conversation_is_told_of_whole() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.answers(ANNA, "hello Ann").await;
    world.agent_closes(ANNA).await;
    for (opening_words, question) in [("good evening", "where is my parcel?"), ("hello", "where is my refund?")] {
        let other = world.stack.botpress.new_conversation(&ann.conversation_id).unwrap();
        world.says(&other, opening_words).await;
        world.says(&other, question).await;
        world.escalate(&other).await.unwrap();
        let opening = openings(&world).pop().unwrap();
        for told in [opening_words, question] {
            assert!(opening.contains(&format!("Ann: {told}\n")), "{told}: {opening}");
        }
        world.agent_closes(ANNA).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_words_in_another_conversation_are_told_again() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.agent_closes(ANNA).await;
    let other = world.stack.botpress.new_conversation(&ann.conversation_id).unwrap();
    world.says(&other, "hello").await;
    world.escalate(&other).await.unwrap();
    let openings = openings(&world);
    assert_eq!(openings.len(), 2);
    assert_eq!(openings[0], openings[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_conversation_nothing_is_told_twice_however_often_it_is_handed_over() {
    let world = World::in_process().await;
    let ann = world.user("Ann").await;
    let words = ["one", "two", "three", "four"];
    for said in words {
        world.says(&ann, said).await;
        world.escalate(&ann).await.unwrap();
        world.says(&ann, &format!("{said} to the agent")).await;
        world.answers(ANNA, &format!("{said} from the agent")).await;
        world.agent_closes(ANNA).await;
    }
    let openings = openings(&world).concat();
    for said in words {
        assert_eq!(openings.matches(&format!("Ann: {said}\n")).count(), 1, "{said}: {openings}");
        assert!(!openings.contains(&format!("{said} to the agent")) && !openings.contains(&format!("{said} from")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_who_can_no_longer_read_the_chat_before_are_told_of_everything_again() {
    for gone in Gone::ALL {
        let world = World::in_process().await;
        let ann = world.escalated_user("Ann").await;
        world.says(&ann, "my order").await;
        let chat_id = world.chat_id();
        world.agent_closes(ANNA).await;
        world.stack.livechat.delete_chat(&chat_id, gone).unwrap();
        world.says(&ann, "again").await;
        world.escalate(&ann).await.unwrap();
        let opening = openings(&world).pop().unwrap();
        for said in ["hello", "my order", "again"] {
            assert!(opening.contains(&format!("Ann: {said}\n")), "{gone:?}: {said}: {opening}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_does_not_fail_for_want_of_what_agents_know() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.agent_closes(ANNA).await;
    world.says(&ann, "again").await;
    let refused = json!({"error": {"type": "authorization", "message": "no"}}).to_string();
    world.stack.livechat.faults().always("agent/action/get_chat", sandbox::faults::Fault::answer(403, refused));
    world.escalate(&ann).await.unwrap();
    assert!(openings(&world)[1].contains("Ann: again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_message_and_everybody_in_the_chat_is_in_it_under_their_name() {
    let world = World::in_process().await;
    let input = |name: &str| json!({"name": name, "email": format!("{name}@example.com")});
    let mut ids = Vec::new();
    for name in ["Ann", "Bob"] {
        let answer = world.act("createUser", input(name)).await;
        ids.push(answer.json()["output"]["userId"].as_str().unwrap().to_owned());
    }
    let ann = json!({"type": "user", "userId": ids[0]});
    let bob = json!({"type": "user", "userId": ids[1]});
    let (stranger, bot) = (json!({"type": "user", "userId": "user_x"}), json!({"type": "bot"}));
    let item =
        |source: &serde_json::Value, kind: &str, payload| json!({"source": source, "type": kind, "payload": payload});
    let card = json!({"title": "Tea", "actions": [{"action": "url", "label": "Shop", "value": "https://s"}]});
    let choice = json!({"text": "Which?", "options": [{"label": "A", "value": "a"}]});
    let history = json!([
        item(&ann, "text", json!({"text": "hi"})),
        item(&bot, "markdown", json!({"markdown": "*welcome*"})),
        item(&bob, "image", json!({"imageUrl": "https://i", "title": "Cat"})),
        item(&stranger, "audio", json!({"audioUrl": "https://a"})),
        item(&ann, "video", json!({"videoUrl": "https://v"})),
        item(&ann, "file", json!({"fileUrl": "https://f"})),
        item(&ann, "location", json!({"latitude": 1.5, "longitude": 2})),
        item(&bot, "card", card.clone()),
        item(&bot, "carousel", json!({"items": [card]})),
        item(&bot, "choice", choice.clone()),
        item(&bot, "dropdown", choice),
        item(
            &ann,
            "bloc",
            json!({"items": [{"type": "text", "payload": {"text": "one"}}, {"type": "text", "payload": {"text": "two"}}]})
        ),
        item(&ann, "hologram", json!(null)),
        "nonsense",
    ]);
    let answer = world
        .act("startHitl", json!({"userId": ids[0], "title": "T", "description": "D", "messageHistory": history}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    world.settle().await;
    let expected = "T\n\nD\n\nConversation so far:\nAnn: hi\nBot: *welcome*\nBob: [image] Cat: https://i\nUser: [audio] https://a\n\
        Ann: [video] https://v\nAnn: [file] https://f\nAnn: [location] https://www.google.com/maps/search/?api=1&query=1.5,2\n\
        Bot: [card] Tea\n> - Shop: https://s\nBot: [card] Tea\n> - Shop: https://s\nBot: Which?\n> - A\nBot: Which?\n> - A\n\
        Ann: one\n> two\nAnn: [hologram]\n[unreadable message]";
    assert_eq!(openings(&world), [expected]);
}
