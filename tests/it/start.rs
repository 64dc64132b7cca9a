//! `startHitl`: one chat and one conversation for an escalation, whatever goes wrong on the way.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbox::botpress::{Escalation, OperationAnswer};
use sandbox::faults::{Fault, Faults};
use sandbox::livechat::{GroupStatus, SecondChat};
use serde_json::{Value, json};
use shared::fail_point::{Place, Side};
use tests::{ANNA, ASK, World, http};
use tokio::task::JoinSet;

/// How long the first items towards a new session are held, unless `SETTLE_MS` sets another time.
const SETTLE_TIME: Duration = Duration::from_secs(3);

/// Longer than a dead start keeps others waiting.
const CLAIM_TIME: Duration = Duration::from_secs(30);

/// Creates a user as the plugin does. Returns their id.
async fn created_user(world: &World, name: &str) -> String {
    let email = format!("{}@example.com", name.to_lowercase());
    let answer = world.act("createUser", json!({ "name": name, "email": email })).await;
    answer.json()["output"]["userId"].as_str().unwrap().to_owned()
}

/// Returns a request as the plugin makes it.
fn request(user_id: &str) -> Value {
    let said = json!({
        "source": { "type": "user", "userId": user_id }, "type": "text", "payload": { "text": "hello" },
    });
    json!({ "userId": user_id, "messageHistory": [said] })
}

fn conversation_id(answer: &OperationAnswer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["output"]["conversationId"].as_str().unwrap().to_owned()
}

fn refusal(answer: &OperationAnswer) -> String {
    assert_eq!(answer.status, 400, "{}", answer.body);
    answer.json()["message"].as_str().unwrap().to_owned()
}

fn group(group_id: u32) -> Escalation {
    Escalation { hitl_session: Some(json!({ "groupId": group_id })), ..Escalation::default() }
}

/// Lets time pass more slowly than [`World::drive`] does, so that no claim lapses on a busy machine.
async fn drive_slowly<F: Future>(world: &World, work: F) -> F::Output {
    let mut work = pin!(work);
    loop {
        match tokio::time::timeout(Duration::from_millis(25), &mut work).await {
            Ok(done) => return done,
            Err(_elapsed) => world.advance(Duration::from_millis(200)),
        }
    }
}

/// Sends the same request many times at once.
async fn start_at_once(world: &Arc<World>, times: usize, input: &Value) -> Vec<OperationAnswer> {
    let body = json!({ "type": "startHitl", "input": input });
    let mut calls = JoinSet::new();
    for _ in 0..times {
        let (world, body) = (Arc::clone(world), body.clone());
        calls.spawn(async move { world.stack.botpress.call_operation("action_triggered", &body, &[]).await.unwrap() });
    }
    drive_slowly(world, calls.join_all()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_starts_at_once_are_one_session() {
    let world = Arc::new(World::in_process().await);
    let user_id = created_user(&world, "Ann").await;
    let answers = start_at_once(&world, 32, &request(&user_id)).await;
    let bodies: BTreeSet<_> = answers.iter().map(|answer| (answer.status, answer.body.as_str())).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    conversation_id(&answers[0]);
    assert_eq!((world.count("chat_started"), world.count("chat_resumed")), (1, 0));
    assert_eq!((world.count("conversation_created"), world.count("chat_deactivated")), (1, 0));
    assert_eq!(world.sent_by_customers().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_at_once_that_are_refused_are_refused_alike() {
    let world = Arc::new(World::in_process().await);
    let user_id = created_user(&world, "Ann").await;
    let mut input = request(&user_id);
    input["hitlSession"] = json!({ "groupId": 2 });
    for answer in start_at_once(&world, 8, &input).await {
        assert!(refusal(&answer).contains("group 2"));
    }
    assert!(world.stack.livechat.chats().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_is_the_same_thread_in_a_conversation_of_its_own() {
    let world = World::in_process().await;
    let user_id = created_user(&world, "Ann").await;
    let mut given_out = BTreeSet::new();
    for _ in 0..4 {
        let answer = world.act("startHitl", request(&user_id)).await;
        assert!(given_out.insert(conversation_id(&answer)), "an id is given out once");
        world.settle().await;
        // Calls at the same instant count as concurrent.
        world.advance(Duration::from_millis(1));
    }
    assert_eq!((world.count("chat_started"), world.count("conversation_created")), (1, 4));
    assert_eq!((world.count("chat_deactivated"), world.sent_by_customers().len()), (0, 1));
}

/// Ways in which a vendor call fails; `refused` is the vendor's final refusal.
fn faults_of(refused: &Fault) -> [Fault; 4] {
    [Fault::answer(500, ""), refused.clone(), Fault::Reset, Fault::LoseAnswer]
}

/// Starts with one call spoiled in every way, then cleans up, then starts again: see the assertions.
async fn assert_survives(faults: impl Fn(&World) -> &Faults, calls: &[&str], refused: &Fault, returning: bool) {
    let world = World::in_process().await;
    for (number, fault) in faults_of(refused).into_iter().enumerate() {
        for times in [Some(1), None] {
            let what = format!("{calls:?} {fault:?} {times:?}");
            let user = world.user(&format!("User{number}{}", times.is_some())).await;
            if returning {
                world.escalate(&user).await.unwrap();
                world.user_ends(&user).await;
                world.says(&user, "one more thing").await;
            }
            // The last of several calls is the one under test; those before it lead to it.
            for (index, call) in calls.iter().enumerate() {
                let fault = if index + 1 < calls.len() { Fault::LoseAnswer } else { fault.clone() };
                match times {
                    Some(times) => faults(&world).next(times, call, fault),
                    None => faults(&world).always(call, fault),
                }
            }
            let started = world.escalate(&user).await;
            faults(&world).clear();
            world.catch_up().await;
            let open = world.stack.livechat.open_chats();
            assert_eq!(open.len(), usize::from(started.is_ok()), "{what}: {started:?}");
            assert_eq!(world.stack.botpress.is_escalated(&user.conversation_id), started.is_ok(), "{what}");
            for chat in open {
                let words =
                    chat.active_thread().unwrap().events.iter().filter(|event| event.author.kind() == "customer");
                assert_eq!(words.count(), 1, "{what}: the opening is there once");
            }
            if started.is_err() {
                world.says(&user, "once more").await;
                assert_eq!(world.escalate(&user).await, Ok(()), "{what}");
                assert_eq!(world.stack.livechat.open_chats().len(), 1, "{what}");
            }
            world.user_ends(&user).await;
            world.sweep().await;
            assert!(world.stack.livechat.open_chats().is_empty(), "{what}");
        }
    }
    assert_one_conversation_for_each_session(&world);
}

fn assert_one_conversation_for_each_session(world: &World) {
    let created = world.stack.journal.all("conversation_created");
    let threads: BTreeSet<_> = created.iter().map(|entry| entry.text("/tags/id")).collect();
    assert_eq!(threads.len(), created.len(), "one conversation for a thread");
    let pointers = world.items("conversation");
    let sessions: BTreeSet<_> = pointers.iter().map(|item| item["session_id"].as_str()).collect();
    assert_eq!(sessions.len(), pointers.len(), "one conversation for a session");
}

async fn assert_survives_livechat(call: &str, returning: bool) {
    let refused = json!({ "error": { "type": "validation", "message": "Wrong format of request" } }).to_string();
    assert_survives(|world| world.stack.livechat.faults(), &[call], &Fault::answer(422, refused), returning).await;
}

async fn assert_survives_botpress(call: &str) {
    let refused = json!({ "id": "err_1", "code": 400, "type": "InvalidPayload", "message": "no" }).to_string();
    assert_survives(|world| world.stack.botpress.faults(), &[call], &Fault::answer(422, refused), false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_survives_trouble_with_the_customer_token() {
    assert_survives_livechat("v2/customer/token", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_survives_trouble_with_the_profile() {
    assert_survives_livechat("customer/action/update_customer", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_survives_trouble_with_the_groups_status() {
    assert_survives_livechat("customer/action/list_group_statuses", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_survives_trouble_with_a_first_chat() {
    assert_survives_livechat("customer/action/start_chat", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_survives_trouble_with_a_resumed_chat() {
    assert_survives_livechat("customer/action/resume_chat", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_survives_trouble_with_reading_the_thread() {
    assert_survives_livechat("agent/action/get_chat", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_survives_trouble_with_the_user() {
    assert_survives_botpress("users/get-or-create").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_survives_trouble_with_the_conversation() {
    assert_survives_botpress("conversations/get-or-create").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_answer_was_lost_survives_trouble_with_looking_it_up() {
    let refused = json!({ "error": { "type": "validation", "message": "Wrong format of request" } }).to_string();
    for (look_up, refused) in [
        ("agent/action/get_chat", Fault::answer(422, refused)),
        // A final refusal would leave no way to find the chat.
        ("customer/action/list_chats", Fault::answer(503, "")),
    ] {
        let calls = ["customer/action/start_chat", look_up];
        assert_survives(|world| world.stack.livechat.faults(), &calls, &refused, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nobody_is_online_the_author_is_told_and_nothing_is_opened() {
    let world = World::start().await;
    for (group_id, sentence) in [(2, "No agent of LiveChat group 2 is online"), (99, "LiveChat has no group 99")] {
        let user = world.user(&format!("User{group_id}")).await;
        let refused = world.escalate_with(&user, group(group_id)).await.unwrap_err();
        assert!(refused.starts_with(sentence) && refused.ends_with('.'), "{refused}");
        assert!(!world.stack.botpress.is_escalated(&user.conversation_id));
    }
    assert!(world.stack.livechat.chats().is_empty());
    assert_eq!(world.count("conversation_created"), 0);
    let calls = world.entries("operation_called", "/type", "startHitl");
    assert_eq!(calls.len(), 2, "a refusal is final: Botpress does not call again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_who_has_just_come_online_counts_at_once() {
    let world = World::in_process().await;
    world.stack.livechat.set_group_status(1, GroupStatus::Offline);
    let ann = world.user("Ann").await;
    world.escalate(&ann).await.unwrap_err();
    world.stack.livechat.set_group_status(1, GroupStatus::Online);
    world.escalate(&ann).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_can_be_left_when_nobody_is_online() {
    let world = World::with(&[("WHEN_OFFLINE", "leave_message")]).await;
    let ann = world.user("Ann").await;
    world.escalate_with(&ann, group(2)).await.unwrap();
    let chats = world.stack.livechat.open_chats();
    assert_eq!(chats[0].group_ids(), [2]);
    assert!(chats[0].active_thread().unwrap().queued_at.is_some());
    assert_eq!(world.stack.journal.all("chat_started")[0].detail["continuous"], true);
    let thread = chats[0].active_thread().unwrap();
    assert_eq!(thread.properties["routing"]["offline_message"], true, "agents see that it was left");
    assert_eq!(chats[0].properties["routing"]["email_follow_up"], true);
    world.says(&ann, "please call me").await;
    assert_eq!(world.sent_by_customers().last().map(String::as_str), Some("please call me"));
    let ben = world.user("Ben").await;
    world.escalate_with(&ben, group(99)).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_left_while_nobody_was_online_is_marked_as_left() {
    let world = World::with(&[("WHEN_OFFLINE", "leave_message")]).await;
    let ann = world.user("Ann").await;
    world.escalate_with(&ann, group(2)).await.unwrap();
    world.user_ends(&ann).await;
    world.says(&ann, "now?").await;
    world.escalate(&ann).await.unwrap();
    let chat = world.stack.livechat.open_chats().remove(0);
    assert_eq!(chat.properties["routing"]["email_follow_up"], false, "somebody is there for this session");
    assert!(!chat.active_thread().unwrap().properties["routing"].contains_key("offline_message"));
    let ben = world.user("Ben").await;
    world.escalate(&ben).await.unwrap();
    let fresh = world.stack.livechat.open_chats().into_iter().find(|other| other.id != chat.id).unwrap();
    assert!(!fresh.properties["routing"].contains_key("email_follow_up"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_group_counts_before_the_installs_and_that_before_the_stacks() {
    let world = World::start().await;
    let cases = [
        (None, json!({}), 1),
        (None, json!({ "groupId": 0 }), 0),
        (Some(json!({ "groupId": 1 })), json!({ "groupId": 0 }), 1),
        (Some(json!({ "groupId": 0 })), json!({ "groupId": 1 }), 0),
        (Some(json!({})), json!({ "groupId": 0 }), 0),
        (Some(Value::Null), json!({ "groupId": 0, "more": true }), 0),
    ];
    for (number, (session, configuration, expected)) in cases.into_iter().enumerate() {
        let mut input = request(&created_user(&world, &format!("User{number}")).await);
        if let Some(session) = session {
            input["hitlSession"] = session;
        }
        let configuration = STANDARD.encode(configuration.to_string());
        let body = json!({ "type": "startHitl", "input": input });
        let header = ("x-bp-configuration", Some(configuration.as_str()));
        conversation_id(&world.operate_with("action_triggered", &body, &[header]).await);
        let started = world.stack.journal.all("chat_started").pop().unwrap();
        assert_eq!(started.detail["group_ids"], json!([expected]), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_absent_is_not_shown_to_the_agent() {
    let world = World::start().await;
    for (number, absent) in [json!({}), json!({ "title": null, "description": null, "hitlSession": null })]
        .into_iter()
        .chain([json!({ "title": "", "description": "  " })])
        .enumerate()
    {
        let mut input = request(&created_user(&world, &format!("User{number}")).await);
        input.as_object_mut().unwrap().extend(absent.as_object().unwrap().clone());
        conversation_id(&world.act("startHitl", input).await);
        let opening = world.sent_by_customers().pop().unwrap();
        assert_eq!(opening, format!("Conversation so far:\nUser{number}: hello"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_items_of_the_history_never_fail_a_start() {
    let world = World::start().await;
    let bot = json!({ "type": "bot" });
    let long = "x".repeat(40_000);
    let odd = json!([
        null, 7, "text", [], {},
        { "source": bot },
        { "source": bot, "type": "text" },
        { "source": bot, "type": "text", "payload": null },
        { "source": bot, "type": "text", "payload": { "text": "" } },
        { "source": bot, "type": "text", "payload": { "text": 7 } },
        { "source": bot, "type": 7, "payload": {} },
        { "source": { "type": "user" }, "type": "text", "payload": { "text": "who?" } },
        { "source": { "type": "user", "userId": "somebody else" }, "type": "text", "payload": { "text": "me too" } },
        { "source": bot, "type": "bloc", "payload": { "items": [null, { "type": "bloc" }, { "type": "image" }] } },
        { "source": bot, "type": "carousel", "payload": { "items": [] }, "more": true },
        { "source": bot, "type": "hologram", "payload": { "beam": true } },
        { "source": bot, "type": "text", "payload": { "text": long, "more": 1 } },
    ]);
    let histories = [odd.clone(), json!([]), json!({}), json!("text"), Value::Null];
    for (number, history) in histories.into_iter().enumerate() {
        let user_id = created_user(&world, &format!("User{number}")).await;
        let input = json!({ "userId": user_id, "messageHistory": history });
        conversation_id(&world.act("startHitl", input).await);
    }
    let everything =
        json!({ "userId": created_user(&world, "Ann").await, "messageHistory": odd.as_array().unwrap()[..16] });
    conversation_id(&world.act("startHitl", everything).await);
    let opening = world.sent_by_customers().pop().unwrap();
    assert!(opening.contains("[unreadable message]") && opening.contains("User: me too"), "{opening}");
    assert!(opening.contains("Bot: [carousel]") && opening.contains("Bot: [hologram]"), "{opening}");
    assert!(world.sent_by_customers().iter().all(|text| text.len() <= 16_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_from_before_this_stack_is_asked_for_at_botpress() {
    let world = World::start().await;
    let botpress = world.stack.botpress.options();
    let made = http()
        .post(format!("{}/v1/chat/users", world.stack.botpress.url()))
        .bearer_auth(&botpress.access_key)
        .header("x-bot-id", &botpress.install.bot_id)
        .header("x-integration-id", &botpress.install.integration_id)
        .header("x-integration-alias", &botpress.install.alias)
        .json(&json!({ "tags": {}, "name": "Zoe" }))
        .send();
    let made: Value = world.drive(made).await.unwrap().json().await.unwrap();
    let user_id = made["user"]["id"].as_str().unwrap();
    conversation_id(&world.act("startHitl", request(user_id)).await);
    assert_eq!(world.sent_by_customers(), ["Conversation so far:\nZoe: hello"]);
    assert!(world.stack.livechat.customers().iter().any(|customer| customer.name.as_deref() == Some("Zoe")));

    let sentence = refusal(&world.act("startHitl", request("user_nobody_knows")).await);
    assert!(sentence.contains("does not know this user"), "{sentence}");
    assert_eq!(world.count("chat_started"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_an_agent_has_resumed_is_adopted() {
    for second_chat in [SecondChat::Validation, SecondChat::LimitReached] {
        let world = World::start().await;
        world.stack.livechat.set_behaviour(|behaviour| behaviour.second_chat = second_chat);
        let ann = world.escalated_user("Ann").await;
        let chat_id = world.chat_id();
        world.agent_closes(ANNA).await;
        world.says(&ann, "one more thing").await;
        let resumed = json!({ "chat": { "id": chat_id, "access": { "group_ids": [1] } } });
        world.owner_calls("agent/action/resume_chat", &resumed).await;
        world.settle().await;
        world.escalate(&ann).await.unwrap();
        let thread = world.stack.livechat.thread(&chat_id).unwrap();
        assert!(thread.active && thread.events.iter().any(|event| event.text().contains("one more thing")));
        assert_eq!((world.count("chat_resumed"), world.count("chat_deactivated")), (1, 1), "{second_chat:?}");
        let conversation = world.stack.journal.all("conversation_created").pop().unwrap();
        assert_eq!(conversation.text("/tags/id"), thread.id);
        world.says(&ann, "are you there?").await;
        assert_eq!(world.sent_by_customers().last().map(String::as_str), Some("are you there?"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_escalation_elsewhere_ends_the_session_that_the_user_is_in() {
    let world = World::start().await;
    let first = world.escalated_user("Ann").await;
    let first_thread = world.stack.livechat.thread(&world.chat_id()).unwrap().id;
    let second = world.stack.botpress.new_conversation(&first.conversation_id).unwrap();
    world.says(&second, "I am on my phone now").await;
    world.escalate(&second).await.unwrap();
    assert_eq!(world.bot_events("hitlStopped").len(), 1);
    assert!(!world.stack.botpress.is_escalated(&first.conversation_id));
    assert!(world.stack.botpress.is_escalated(&second.conversation_id));
    assert_ne!(world.stack.livechat.thread(&world.chat_id()).unwrap().id, first_thread);
    assert_eq!((world.count("conversation_created"), world.count("chat_resumed")), (2, 1));
    world.answers(ANNA, "I am here").await;
    let shown = world.entries("shown_to_user", "/text", "I am here");
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].text("/conversation_id"), second.conversation_id);
    world.user_ends(&second).await;
    assert!(world.stack.livechat.open_chats().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_escalation_elsewhere_that_is_refused_leaves_nothing_of_the_first_open() {
    let world = World::start().await;
    let first = world.escalated_user("Ann").await;
    let second = world.stack.botpress.new_conversation(&first.conversation_id).unwrap();
    world.says(&second, "I am on my phone now").await;
    world.escalate_with(&second, group(2)).await.unwrap_err();
    assert!(!world.stack.botpress.is_escalated(&first.conversation_id));
    assert!(world.stack.livechat.open_chats().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_session_whose_bot_can_never_be_told_does_not_keep_its_user() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let second = world.user("Ann").await;
    world.says(&second, "I am on my phone now").await;
    let gone = r#"{"id":"err_1","code":404,"type":"ResourceNotFound","message":"gone"}"#;
    world.stack.botpress.faults().next(1, "POST /v1/chat/events", Fault::answer(404, gone));
    world.escalate(&second).await.unwrap();
    assert!(world.stack.botpress.is_escalated(&second.conversation_id));
    assert_eq!(world.stack.livechat.open_chats().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_hangs_is_taken_over_after_its_time_and_not_before() {
    let world = Arc::new(World::in_process().await);
    let user_id = created_user(&world, "Ann").await;
    world.stack.livechat.faults().next(1, "customer/action/update_customer", Fault::Delay(Duration::from_secs(3_600)));
    let start = || {
        let (world, body) = (Arc::clone(&world), json!({ "type": "startHitl", "input": request(&user_id) }));
        tokio::spawn(async move { world.stack.botpress.call_operation("action_triggered", &body, &[]).await.unwrap() })
    };
    let first = start();
    // A start that has not called yet when its claim is nearly over claims anew.
    until_waiting(&world).await;
    world.advance(Duration::from_secs(15));
    let mut second = start();
    for _ in 0..24 {
        world.advance(Duration::from_millis(200));
        let early = tokio::time::timeout(Duration::from_millis(5), &mut second).await;
        assert!(early.is_err(), "{early:?}");
    }
    assert_eq!(world.count("chat_started"), 0);
    let answer = world.drive(second).await.unwrap();
    assert_eq!(world.count("chat_started"), 1, "{answer:?}");
    // The first start continues where it hung, and finds that it is too late.
    world.advance(Duration::from_secs(3_600));
    let late = world.drive(first).await.unwrap();
    assert!(late.status == 500 || conversation_id(&late) == conversation_id(&answer), "{}", late.body);
    assert_eq!((world.count("chat_started"), world.count("chat_deactivated")), (1, 0));
    assert_eq!((world.count("conversation_created"), world.sent_by_customers().len()), (1, 1));
}

/// Waits until a call hangs at a vendor.
async fn until_waiting(world: &World) {
    while !world.stack.holds_calls() {
        tokio::task::yield_now().await;
    }
}

/// LiveChat's router is quick: its webhooks can arrive before the chat is recorded as the stack's own.
fn let_webhooks_be_quicker_than_the_start(world: &World) {
    world.stack.livechat.faults().next(1, "customer/action/start_chat", Fault::Pace(Duration::from_millis(500)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_who_has_the_chat_before_it_is_known_is_announced_once_the_bot_is_ready() {
    let world = World::in_process().await;
    let ann = world.user("Ann").await;
    let_webhooks_be_quicker_than_the_start(&world);
    world.escalate(&ann).await.unwrap();
    let started = world.stack.journal.all("hitl_started").remove(0);
    let [announced] = world.bot_events("hitlAssigned").try_into().unwrap();
    let waited = announced.at.since(started.at);
    assert!(waited >= SETTLE_TIME && waited < SETTLE_TIME * 2, "{waited:?}: when the bot was ready, and by no sweep");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whom_a_slow_start_has_found_is_announced_once_the_bot_is_ready() {
    let world = World::in_process().await;
    let ann = world.user("Ann").await;
    // The start has read the thread by now. A webhook that also reports the agent finds a session that is not active yet.
    let conversation = "POST /v1/chat/conversations";
    world.stack.botpress.faults().next(1, conversation, Fault::Delay(Duration::from_millis(900)));
    world.escalate(&ann).await.unwrap();
    let started = world.stack.journal.all("hitl_started").remove(0);
    let [announced] = world.bot_events("hitlAssigned").try_into().unwrap();
    let waited = announced.at.since(started.at);
    assert!(waited >= SETTLE_TIME && waited < SETTLE_TIME * 2, "{waited:?}: when the bot was ready, and by no sweep");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_who_has_the_chat_before_it_is_known_is_shown_to_a_widget() {
    let world = World::in_process().await;
    let user = world.widget_user().await;
    let_webhooks_be_quicker_than_the_start(&world);
    world.widget_says(&user, ASK).await;
    assert_eq!(world.widget_shows(&user, "notice"), ["You are now chatting with Anna."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whom_a_start_finds_late_is_shown_to_a_widget() {
    let world = World::in_process().await;
    let user = world.widget_user().await;
    let_webhooks_be_quicker_than_the_start(&world);
    world.stack.livechat.faults().next(1, "agent/action/get_chat", Fault::Pace(Duration::from_secs(1)));
    world.widget_says(&user, ASK).await;
    assert_eq!(world.widget_shows(&user, "notice"), ["You are now chatting with Anna."]);
}

/// A start dies right before a step.
async fn dies_before<F: Future>(world: &World, step: &'static str, start: F) {
    world.fail_points.kill_at(Place { step, side: Side::Before }, 1);
    world.drive(start).await;
    assert!(world.fail_points.has_killed());
    world.fail_points.clear();
}

/// A start dies with a thread that it has opened and not recorded. An agent writes in the thread and closes it before another start
/// continues.
async fn dies_with_an_open_thread<F: Future>(world: &World, start: F) {
    dies_before(world, "table open_thread", start).await;
    world.answers(ANNA, "Hello from Anna").await;
    world.agent_closes(ANNA).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_widget_is_shown_what_was_said_in_a_thread_that_was_closed_before_its_dead_start_goes_on() {
    let world = World::in_process().await;
    let user = world.widget_user().await;
    for starts in 1..=2 {
        dies_with_an_open_thread(&world, world.widget_says(&user, ASK)).await;
        world.sweep_after(Duration::from_secs(60)).await;
        assert_eq!(world.widget_shows(&user, "agent"), vec!["Hello from Anna"; starts]);
        assert!(!world.stack.botcopy.is_paused(&user), "it ended as it would have without the death");
        let threads = world.count("chat_started") + world.count("chat_resumed");
        assert_eq!(threads, starts, "no other thread was opened");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_gets_what_was_said_in_a_thread_that_was_closed_before_its_dead_start_is_repeated() {
    let world = World::in_process().await;
    let input = request(&created_user(&world, "Ann").await);
    dies_with_an_open_thread(&world, world.act("startHitl", input.clone())).await;
    world.advance(CLAIM_TIME);
    let conversation_id = conversation_id(&world.act("startHitl", input).await);
    world.sweep_after(SETTLE_TIME).await;
    let said = world.entries("message_created", "/conversation_id", &conversation_id).remove(0);
    assert_eq!(said.text("/payload/text"), "Hello from Anna");
    let stopped = world.bot_events("hitlStopped").remove(0);
    assert_eq!((said.number < stopped.number, stopped.text("/conversation_id")), (true, conversation_id.as_str()));
    assert_eq!((world.count("chat_started"), world.count("chat_resumed")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_start_goes_on_although_livechat_no_longer_knows_its_customer() {
    let world = World::in_process().await;
    let input = request(&created_user(&world, "Ann").await);
    dies_with_an_open_thread(&world, world.act("startHitl", input.clone())).await;
    world.advance(CLAIM_TIME);
    world.forget_customers().await;
    world.stack.livechat.expire_customer_tokens();
    conversation_id(&world.act("startHitl", input).await);
    assert_eq!(world.count("chat_started"), 2, "of another customer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_start_that_fails_when_it_is_taken_up_again_leaves_nothing_open() {
    let world = World::in_process().await;
    let input = request(&created_user(&world, "Ann").await);
    dies_before(&world, "table open_thread", world.act("startHitl", input.clone())).await;
    assert_eq!(world.stack.livechat.open_chats().len(), 1);
    world.advance(CLAIM_TIME);
    world.stack.livechat.set_group_status(1, GroupStatus::Offline);
    refusal(&world.act("startHitl", input).await);
    world.sweep_after(CLAIM_TIME).await;
    assert!(world.stack.livechat.open_chats().is_empty(), "the user is with the bot, and no agent may wait for them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_from_before_the_start_is_not_taken_for_one_that_it_has_left_behind() {
    let world = World::in_process().await;
    let input = request(&created_user(&world, "Ann").await);
    conversation_id(&world.act("startHitl", input.clone()).await);
    let chat_id = world.chat_id();
    world.agent_closes(ANNA).await;
    world.sweep_after(SETTLE_TIME).await;
    // Neither the service nor the user does this.
    let resumed = json!({ "chat": { "id": chat_id, "access": { "group_ids": [1] } } });
    world.owner_calls("agent/action/resume_chat", &resumed).await;
    let closed = json!({ "id": chat_id, "ignore_requester_presence": true });
    world.owner_calls("agent/action/deactivate_chat", &closed).await;
    world.advance(Duration::from_secs(1));
    dies_before(&world, "vendor resume_chat", world.act("startHitl", input.clone())).await;
    world.advance(CLAIM_TIME);
    conversation_id(&world.act("startHitl", input).await);
    world.answers(ANNA, "Hello from Anna").await;
    assert!(world.stack.livechat.thread(&chat_id).unwrap().active, "the user has a thread of their own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_while_another_call_ends_the_session_before() {
    let world = World::in_process().await;
    let mut input = request(&created_user(&world, "Ann").await);
    let first = conversation_id(&world.act("startHitl", input.clone()).await);
    world.settle().await;
    world.stack.livechat.faults().next(1, "agent/action/deactivate_chat", Fault::Delay(Duration::from_secs(1)));
    let act = async |action: &str, input: &Value| {
        let body = json!({ "type": action, "input": input });
        world.stack.botpress.call_operation("action_triggered", &body, &[]).await.unwrap()
    };
    let stop = json!({ "conversationId": first });
    input["title"] = json!("Once more");
    let again = async {
        world.clock().sleep(Duration::from_millis(200)).await;
        assert!(world.stack.holds_calls(), "the end is under way");
        act("startHitl", &input).await
    };
    let (stopped, started) = world.drive(async { tokio::join!(act("stopHitl", &stop), again) }).await;
    assert_eq!((stopped.status, started.status), (200, 200), "{}", started.body);
    assert_ne!(conversation_id(&started), first);
}
