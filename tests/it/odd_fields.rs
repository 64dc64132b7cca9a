//! A field that differs from its vendor's documentation costs at most that field; half an emoji costs half an emoji.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::faults::Fault;
use sandbox::livechat::Assignment;
use serde_json::{Value, json};
use shared::metrics::Metric;
use tests::{ANNA, ASK, World};

const MINUTE: Duration = Duration::from_secs(60);

/// The values that replace a field; none leaves the field out.
fn spoiled() -> [Option<Value>; 6] {
    [None, Some(json!(null)), Some(json!(7)), Some(json!(true)), Some(json!(["odd"])), Some(json!({"odd": 1}))]
}

/// Runs sweeps until `number` messages are shown, at most for as long as the rarest reading of a thread takes.
async fn until_shown(world: &World, number: usize) {
    for _ in 0..18 {
        if world.shown_by_agents().len() >= number {
            return;
        }
        world.advance(MINUTE);
        world.sweep().await;
    }
}

fn odd_fields(world: &World) -> usize {
    world.stack.metrics.recorded().iter().filter(|one| one.metric == Metric::OddFields).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_odd_in_a_webhook_the_agents_words_arrive_once() {
    const FIELDS: [&str; 12] = [
        "/action",
        "/payload",
        "/payload/chat_id",
        "/payload/thread_id",
        "/payload/event",
        "/payload/event/id",
        "/payload/event/type",
        "/payload/event/text",
        "/payload/event/author_id",
        "/payload/event/created_at",
        "/payload/event/custom_id",
        "/payload/event/visibility",
    ];
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let mut expected = Vec::new();
    for field in FIELDS {
        for value in spoiled() {
            let text = format!("{field} {value:?}");
            world.stack.livechat.faults().next(1, "sends incoming_event", Fault::odd_field(field, value));
            world.answers(ANNA, &text).await;
            expected.push(text);
            until_shown(&world, expected.len()).await;
            assert_eq!(world.shown_by_agents().last(), expected.last());
        }
    }
    assert_eq!(world.shown_by_agents(), expected);
    assert!(odd_fields(&world) > 40, "{}", odd_fields(&world));
    assert!(world.items("parked").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_odd_in_the_report_of_an_end_or_an_agent_both_are_learned() {
    for (action, fields) in [
        ("chat_deactivated", &["/action", "/payload/thread_id", "/payload/user_id", "/payload/chat_id"][..]),
        (
            "user_added_to_chat",
            &["/action", "/payload/user", "/payload/user/id", "/payload/user/type", "/payload/user/present"],
        ),
        (
            "incoming_chat",
            &["/payload/chat/users", "/payload/chat/thread", "/payload/chat/thread/active", "/payload/chat/id"],
        ),
    ] {
        for field in fields {
            for value in [None, Some(json!(["odd"]))] {
                let world = World::in_process().await;
                if action == "user_added_to_chat" {
                    world.stack.livechat.set_behaviour(|behaviour| behaviour.assignment = Assignment::Manual);
                }
                let odd = Fault::odd_field(field, value.clone());
                world.stack.livechat.faults().always(&format!("sends {action}"), odd);
                world.escalated_user("Ann").await;
                let chat_id = world.chat_id();
                if action == "user_added_to_chat" {
                    assert!(world.stack.livechat.router_assigns(&chat_id).unwrap());
                    world.settle().await;
                }
                world.catch_up().await;
                assert_eq!(world.bot_events("hitlAssigned").len(), 1, "{action} {field} {value:?}");
                world.agent_closes(ANNA).await;
                world.catch_up().await;
                assert_eq!(world.bot_events("hitlStopped").len(), 1, "{action} {field} {value:?}");
            }
        }
    }
}

/// No webhook of LiveChat reaches the service.
fn deaf(world: &World) {
    world.stack.gateway_faults.always("POST /livechat", Fault::answer(503, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_odd_in_a_thread_that_is_read_it_is_read_all_the_same() {
    const FIELDS: [&str; 17] = [
        "/id",
        "/users",
        "/users/0",
        "/users/0/type",
        "/properties",
        "/access",
        "/thread/id",
        "/thread/active",
        "/thread/created_at",
        "/thread/user_ids",
        "/thread/tags",
        "/thread/queue",
        "/thread/events/0",
        "/thread/events/-/id",
        "/thread/events/-/type",
        "/thread/events/-/author_id",
        "/thread/events/-/created_at",
    ];
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    deaf(&world);
    let mut expected = Vec::new();
    for field in FIELDS {
        // Each reading takes minutes of the clock.
        for value in [None, Some(json!(7)), Some(json!({"odd": 1}))] {
            if field.ends_with("author_id") && value.is_none() {
                // An event without an author is LiveChat's own.
                continue;
            }
            let text = format!("{field} {value:?}");
            world.stack.livechat.faults().always("agent/action/get_chat", Fault::odd_field(field, value));
            world.answers(ANNA, &text).await;
            expected.push(text);
            until_shown(&world, expected.len()).await;
            world.stack.livechat.faults().clear();
            assert_eq!(world.shown_by_agents(), expected);
        }
    }
    world.advance(MINUTE * 20);
    world.sweep().await;
    assert_eq!(world.shown_by_agents(), expected, "what is read once more as it is documented is the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_anywhere_has_a_placeholder_for_the_user() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let faults = world.stack.livechat.faults();
    let odd = |field: &str| Fault::odd_field(field, Some(json!({"canary": 1})));
    faults.always("sends incoming_event", odd("/payload/event/text"));
    faults.always("agent/action/get_chat", odd("/thread/events/-/text"));
    world.answers(ANNA, "nobody reads this").await;
    faults.clear();
    faults.always("sends incoming_event", odd("/payload/event/url"));
    faults.always("agent/action/get_chat", odd("/thread/events/-/url"));
    let chat_id = world.chat_id();
    world.stack.livechat.agent_sends_file(&chat_id, ANNA, "bill.pdf", "application/pdf", b"%PDF".to_vec()).unwrap();
    world.settle().await;
    faults.clear();
    assert_eq!(world.shown_by_agents(), ["[unreadable message]", "[file]"]);
    world.answers(ANNA, "and this is read").await;
    assert_eq!(world.shown_by_agents().last().unwrap(), "and this is read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_stays_among_agents_where_it_cannot_be_read_that_it_is_one() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let faults = world.stack.livechat.faults();
    for value in [json!(7), json!(["agents"]), json!({"for": "agents"}), json!(true)] {
        faults.always("sends incoming_event", Fault::odd_field("/payload/event/visibility", Some(value.clone())));
        faults.always("agent/action/get_chat", Fault::odd_field("/thread/events/-/visibility", Some(value)));
        world.stack.livechat.agent_sends_private_note(&world.chat_id(), ANNA, "a difficult one").unwrap();
        world.settle().await;
        faults.clear();
    }
    world.catch_up().await;
    assert!(world.shown_by_agents().is_empty(), "{:?}", world.shown_by_agents());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_odd_in_a_message_of_the_bot_platform_agents_read_it_once() {
    const FIELDS: [&str; 12] = [
        "/type",
        "/user",
        "/user/tags",
        "/message/type",
        "/message/tags",
        "/message/createdAt",
        "/message/direction",
        "/message/id",
        "/conversation/id",
        "/conversation/tags",
        "/payload/userId",
        "/payload/type",
    ];
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let opening = world.sent_by_customers().len();
    let mut number = 0;
    for field in FIELDS {
        for value in spoiled() {
            let text = format!("{field} {value:?}");
            world.stack.botpress.faults().next(1, "sends message_created", Fault::odd_field(field, value));
            world.says(&ann, &text).await;
            number += 1;
            let sent = world.sent_by_customers();
            assert_eq!(sent.len(), opening + number, "{text}");
            assert!(sent.last().unwrap().ends_with(&text), "{text}: {sent:?}");
        }
    }
    for value in spoiled() {
        world.stack.botpress.faults().next(1, "sends message_created", Fault::odd_field("/payload/text", value));
        world.says(&ann, "never seen").await;
    }
    let odd = world.sent_by_customers().split_off(opening + number);
    assert_eq!(odd, ["[text]", "[text]", "7", "true", "[text]", "[text]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_odd_in_a_start_it_reaches_agents() {
    const FIELDS: [&str; 8] = [
        "/input/title",
        "/input/description",
        "/input/messageHistory",
        "/input/messageHistory/0",
        "/input/messageHistory/0/source",
        "/input/messageHistory/0/type",
        "/input/messageHistory/0/payload",
        "/input/messageHistory/0/payload/text",
    ];
    let world = World::in_process().await;
    let mut number = 0;
    for field in FIELDS {
        for value in spoiled() {
            world.stack.botpress.faults().next(
                1,
                "sends action_triggered startHitl",
                Fault::odd_field(field, value.clone()),
            );
            world.escalated_user(&format!("User{number}")).await;
            number += 1;
            assert_eq!(world.stack.livechat.open_chats().len(), number, "{field} {value:?}");
        }
    }
    for field in ["/input/name", "/input/email", "/input/pictureUrl"] {
        for value in spoiled() {
            world.stack.botpress.faults().next(
                1,
                "sends action_triggered createUser",
                Fault::odd_field(field, value.clone()),
            );
            world.escalated_user(&format!("User{number}")).await;
            number += 1;
            assert_eq!(world.stack.livechat.open_chats().len(), number, "{field} {value:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_odd_in_an_answer_beside_the_id_that_is_used_a_handoff_comes_through() {
    for (call, fields) in [
        ("action/list_group_statuses", &["/groups_status", "/groups_status/1"][..]),
        ("customer/token", &["/expires_in", "/token_type", "/organization_id"]),
        ("action/start_chat", &["/event_ids"]),
        ("users/get-or-create", &["/user/name", "/user/tags", "/user/pictureUrl", "/meta", "/meta/created"]),
        ("conversations/get-or-create", &["/conversation/tags", "/conversation/channel", "/meta"]),
        ("messages/get-or-create", &["/message/payload", "/message/userId", "/message/tags", "/meta", "/meta/created"]),
    ] {
        for field in fields {
            for value in spoiled().into_iter().step_by(2) {
                // A group that is missing there does not exist.
                if *field == "/groups_status/1" && value.is_none() {
                    continue;
                }
                let world = World::in_process().await;
                let odd = || Fault::odd_field(field, value.clone());
                world.stack.livechat.faults().always(call, odd());
                world.stack.botpress.faults().always(call, odd());
                world.escalated_user("Ann").await;
                world.answers(ANNA, "hello").await;
                assert_eq!(world.shown_by_agents(), ["hello"], "{call} {field} {value:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_odd_in_a_call_of_botcopy_agents_read_it_and_the_pause_is_true() {
    let world = World::in_process().await;
    let user = world.handed_over_user().await;
    let opening = world.sent_by_customers().len();
    let mut number = 0;
    for field in ["/sessionId", "/session", "/queryParams", "/eventType", "/queryInput/text/languageCode"] {
        for value in spoiled() {
            world.stack.botcopy.faults().next(1, "sends step_two", Fault::odd_field(field, value));
            world.advance(Duration::from_secs(11));
            number += 1;
            world.widget_says(&user, &format!("words {number}")).await;
            assert_eq!(world.sent_by_customers().len(), opening + number, "{field}");
        }
    }
    for (value, shown) in [
        (json!(7), "7"),
        (json!(true), "true"),
        (json!(["odd"]), "[unreadable message]"),
        (json!({"odd": 1}), "[unreadable message]"),
    ] {
        world.stack.botcopy.faults().next(1, "sends step_two", Fault::odd_field("/queryInput/text/text", Some(value)));
        world.advance(Duration::from_secs(11));
        world.widget_says(&user, "never seen").await;
        assert_eq!(world.sent_by_customers().last().unwrap(), shown);
    }
    assert!(world.stack.botcopy.is_paused(&user));
    for field in [
        "/messageHistory",
        "/messageHistory/0",
        "/messageHistory/0/payload",
        "/dialogflowResponse/queryResult",
        "/queryInput",
    ] {
        for value in spoiled().into_iter().skip(2) {
            let user = world.widget_user().await;
            world.stack.botcopy.faults().next(1, "sends step_one", Fault::odd_field(field, value.clone()));
            world.widget_says(&user, ASK).await;
            assert!(world.stack.botcopy.is_paused(&user), "{field} {value:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_emoji_is_a_replacement_character_at_every_door() {
    for (escapes, shown) in [
        ("\\ud83d", "\u{fffd}"),
        ("\\ude00\\ud83d", "\u{fffd}\u{fffd}"),
        ("\\ud83d and on", "\u{fffd} and on"),
        ("\\ud83d\\ude00", "\u{1f600}"),
    ] {
        let world = World::in_process().await;
        let half = |pointer: &str| Fault::half_emoji(pointer, escapes);
        let (livechat, botpress, botcopy) =
            (world.stack.livechat.faults(), world.stack.botpress.faults(), world.stack.botcopy.faults());
        // A start: the card's title; the body's signature covers what was sent.
        botpress.next(1, "sends action_triggered startHitl", half("/input/messageHistory/0/payload/text"));
        botpress.next(1, "sends action_triggered createUser", half("/input/name"));
        let ann = world.escalated_user("Ann").await;
        let opening = world.sent_by_customers().remove(0);
        assert!(opening.contains(&format!("Ann{shown}: hello{shown}")), "{opening}");

        botpress.next(1, "sends message_created", half("/payload/text"));
        world.says(&ann, "hi").await;
        assert_eq!(world.sent_by_customers().last().unwrap(), &format!("hi{shown}"));

        livechat.next(1, "sends incoming_event", half("/payload/event/text"));
        world.answers(ANNA, "hey").await;
        assert_eq!(world.shown_by_agents(), [format!("hey{shown}")]);

        // Answers: the thread that is read, and the refusal that decides what to do.
        livechat.always("agent/action/get_chat", half("/thread/events/-/text"));
        world.stack.gateway_faults.always("POST /livechat", Fault::answer(503, ""));
        world.answers(ANNA, "read").await;
        until_shown(&world, 2).await;
        world.stack.gateway_faults.clear();
        livechat.clear();
        assert_eq!(world.shown_by_agents().last().unwrap(), &format!("read{shown}"));
        let refusal = r#"{"error":{"type":"chat_inactive","message":"\ud83d"}}"#;
        livechat.next(1, "customer/action/send_event", Fault::answer(400, refusal));
        world.says(&ann, "to a closed chat").await;
        assert!(world.items("parked").is_empty(), "the refusal's type is read");

        let user = world.handed_over_user().await;
        botcopy.next(1, "sends step_two", half("/queryInput/text/text"));
        world.widget_says(&user, "hallo").await;
        assert_eq!(world.sent_by_customers().last().unwrap(), &format!("hallo{shown}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_answer_is_lost_is_found_in_the_list_of_the_next_version() {
    let world = World::in_process().await;
    world.stack.livechat.set_behaviour(|behaviour| behaviour.lists_chats_as_next_version = true);
    world.stack.livechat.faults().next(1, "action/start_chat", Fault::LoseAnswer);
    world.escalated_user("Ann").await;
    assert_eq!((world.count("chat_started"), world.count("chat_resumed")), (1, 0));
    world.answers(ANNA, "hello").await;
    assert_eq!(world.shown_by_agents(), ["hello"]);
}

/// The documented system events: source, subtype, version, details.
fn system_events() -> Vec<(&'static str, &'static str, u32, Value)> {
    let skill = json!({"agentId": "a1", "skillId": "s1", "skillName": "refunds"});
    let mut failed = skill.clone();
    failed
        .as_object_mut()
        .unwrap()
        .extend(BTreeMap::from([("error".to_owned(), json!("it broke")), ("reason".to_owned(), json!("timeout"))]));
    let summary = json!({"summary": {"text": "The customer is angry.", "status": "ok"}, "requested_by": ANNA});
    let order = json!({"store": {"id": "1", "platform": "p", "uuid": "u"}, "order": {"id": "7"}});
    vec![
        ("ai_agents", "custom_skill_awaiting_feedback", 2, skill.clone()),
        ("ai_agents", "custom_skill_completed", 2, skill.clone()),
        ("ai_agents", "custom_skill_failed", 2, failed),
        ("ai_agents", "custom_skill_rejected", 2, skill.clone()),
        ("ai_agents", "custom_skill_started", 2, skill),
        ("messaging", "summary", 1, summary),
        ("cdp", "store_order_was_created", 2, order),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ai_agents_and_their_skills_report_never_reaches_a_user() {
    const AI_AGENT: &str = "5c9871d5372c824cbf22d860a707a578";
    let world = World::in_process().await;
    world
        .stack
        .livechat
        .register_webhooks(&world.stack.webhook_url(), world.stack.webhook_secret(), &["incoming_event"])
        .unwrap();
    let ann = world.escalated_user("Ann").await;
    let user = world.handed_over_user().await;
    let chats: Vec<_> = world.stack.livechat.open_chats().into_iter().map(|chat| chat.id).collect();
    // As they are documented, and spoiled: without a type, and visible to everyone.
    let spoiled = [None, Some(("type", None)), Some(("visibility", Some(json!("all"))))];
    for (listens, spoil) in spoiled.iter().flat_map(|spoil| [(true, spoil), (false, spoil)]) {
        if let Some((field, value)) = spoil {
            let [sent, read] = [format!("/payload/event/{field}"), format!("/thread/events/-/{field}")]
                .map(|field| Fault::odd_field(&field, value.clone()));
            world.stack.livechat.faults().always("sends incoming_event", sent);
            world.stack.livechat.faults().always("agent/action/get_chat", read);
        }
        if !listens {
            deaf(&world);
        }
        for author in [None, Some(AI_AGENT)] {
            for (source, subtype, version, details) in system_events() {
                for chat_id in &chats {
                    let kind = (source, subtype, version);
                    world.stack.livechat.system_reports(chat_id, author, kind, &details).unwrap();
                }
            }
        }
        world.settle().await;
        for _ in 0..18 {
            world.advance(MINUTE);
            world.sweep().await;
        }
        world.stack.livechat.faults().clear();
        world.stack.gateway_faults.clear();
    }
    assert_eq!(world.shown_by_agents(), Vec::<String>::new());
    for chat_id in &chats {
        world.stack.livechat.agent_sends_text(chat_id, ANNA, "hello").unwrap();
    }
    world.settle().await;
    assert_eq!(world.shown_by_agents(), ["hello", "hello"], "people are shown");
    assert_eq!(world.widget_shows(&user, "agent"), ["hello"]);
    // The second handoff of the same user shows agents nothing that the user has not read either.
    world.user_ends(&ann).await;
    world.escalate(&ann).await.unwrap();
    let openings = world.sent_by_customers();
    assert!(!openings.iter().any(|text| text.contains("refunds") || text.contains("angry")), "{openings:?}");
}
