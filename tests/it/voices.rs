//! No text of a user passes for another person's, or for a remark of the service.

use serde_json::{Value, json};
use tests::{World, message, texts};

/// Returns everything that agents read in the customers' name, including the openings.
fn read_by_agents(world: &World) -> Vec<String> {
    world.sent_by_customers()
}

async fn linked(world: &World, name: &str) -> Value {
    let made = world.act("createUser", json!({ "name": name })).await.json();
    json!({"type": "user", "userId": made["output"]["userId"]})
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_and_no_name_looks_like_another_speaker_of_the_transcript() {
    for end in ["\n", "\r", "\u{b}", "\u{85}", "\u{2028}", "\u{2029}"] {
        let world = World::in_process().await;
        let ann = linked(&world, &format!("Ann{end}Bot: I can confirm")).await;
        let bot = linked(&world, "bot").await;
        let said = |source: &Value, text: String| json!({"source": source, "type": "text", "payload": {"text": text}});
        let history = json!([
            said(&ann, format!("refund?{end}Bot: You get it.")),
            said(&bot, "and a voucher".to_owned()),
            {"source": ann, "type": "image", "payload": {"imageUrl": "https://i", "title": format!("cat{end}Bot: yes")}},
        ]);
        let start = json!({"userId": ann["userId"], "messageHistory": history});
        assert_eq!(world.act("startHitl", start).await.status, 200);
        world.settle().await;
        let expected = "Conversation so far:\nAnn Bot I can confirm: refund?\n> Bot: You get it.\n\
            User (bot): and a voucher\nAnn Bot I can confirm: [image] cat Bot: yes: https://i";
        assert_eq!(read_by_agents(&world), [expected], "{end:?}");
        let names: Vec<_> = world.stack.livechat.customers().into_iter().filter_map(|customer| customer.name).collect();
        assert_eq!(names, ["Ann Bot: I can confirm"], "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_writes_is_no_remark_of_ours() {
    let world = World::start().await;
    let ann = world.escalated_user("Ann").await;
    let feigned = ["[Bot] ( The user has ended the session. )", "【ＢＯＴ】 refund approved", "[image] https://x"];
    for text in feigned {
        world.says(&ann, text).await;
        assert_eq!(read_by_agents(&world).last(), Some(&format!("> {text}")));
    }
    world.says(&ann, "both of us\nBot: refund approved").await;
    assert_eq!(read_by_agents(&world).last().unwrap(), "both of us\n> Bot: refund approved");
    let bloc = json!({"items": [{"type": "markdown", "payload": {"markdown": "&#91;Bot] **gone**"}}]});
    world.shows(&ann, "bloc", bloc).await;
    let last = world.entries("event_sent", "/author_type", "customer").pop().unwrap();
    assert_eq!((last.text("/text"), last.text("/text_format")), ("&#91;Bot] **gone**", ""), "shown as it was typed");
    let conversation_id = world.stack.botpress.downstream(&ann.conversation_id).unwrap();
    let remark = message(&conversation_id, "msg_remark", "gone", None, world.now());
    assert_eq!(world.operate("message_created", &remark).await.status, 200);
    world.settle().await;
    assert_eq!(read_by_agents(&world).last().unwrap(), "[Bot] gone", "a remark is not marked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_s_own_remarks_are_nobody_else_s_either() {
    let world = World::with(&[("WORDING", r#"{"note":"Robbie says {text}","bot_name":"Robbie"}"#)]).await;
    let ann = world.escalated_user("Ann").await;
    for (text, expected) in [
        ("robbie  SAYS gone", "> robbie  SAYS gone"),
        ("Robbie: yes", "> Robbie: yes"),
        ("Robbie is nice", "Robbie is nice"),
    ] {
        world.says(&ann, text).await;
        assert_eq!(read_by_agents(&world).last().unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_participant_s_words_are_marked_as_theirs() {
    let world = World::in_process().await;
    let ann = world.user("Ann").await;
    let botpress = &world.stack.botpress;
    let mut others = Vec::new();
    for name in ["Carl", "Bot"] {
        let other = botpress.new_participant(&ann.conversation_id, name, None);
        let hello = botpress.participant_sends(&ann.conversation_id, &other, "text", json!({"text": "hello"}));
        world.drive(hello).await.unwrap();
        others.push(other);
    }
    world.escalate(&ann).await.unwrap();
    let url = botpress.stores_file("cat.png", "image/png", b"meow".to_vec());
    for (who, kind, payload) in [
        (0, "text", json!({"text": "me too\n[Bot] x"})),
        (1, "text", json!({"text": "I agree"})),
        (0, "image", json!({"imageUrl": url})),
    ] {
        world.drive(botpress.participant_sends(&ann.conversation_id, &others[who], kind, payload)).await.unwrap();
        world.settle().await;
    }
    world.says(&ann, "[Carl] me neither").await;
    world.says(&ann, "mine").await;
    let sent = texts(&world.entries("event_sent", "/author_type", "customer"));
    let expected =
        ["[Carl] me too\n> [Bot] x", "[User (Bot)] I agree", "[Carl] [image]", "", "> [Carl] me neither", "mine"];
    assert_eq!(sent[1..], expected);
    assert_eq!(world.count("file_uploaded"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_widget_s_user_writes_no_remark_of_ours_either() {
    let world = World::with_dialogflow(sandbox::botcopy::Dialogflow::default()).await;
    let user = world.handed_over_user().await;
    world.widget_says(&user, "[Bot] gone").await;
    world.settle().await;
    assert_eq!(read_by_agents(&world).last().unwrap(), "> [Bot] gone");
}
