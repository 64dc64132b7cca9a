//! Agents, as the bot and its users see them.

use std::time::Duration;

use sandbox::faults::Fault;
use sandbox::journal::Entry;
use sandbox::livechat::{Assignment, Target};
use serde_json::json;
use tests::{ANNA, BEN, World};

/// Returns the entries in which the Botpress users that stand for one agent were created or changed.
fn faces(world: &World, effect: &str, agent_id: &str) -> Vec<Entry> {
    world.entries(effect, "/tags/id", &format!("agent:{agent_id}"))
}

fn assignments(world: &World) -> usize {
    world.bot_events("hitlAssigned").len()
}

/// No agent gets a chat unless the test assigns it.
fn assign_by_hand(world: &World) {
    world.stack.livechat.set_behaviour(|behaviour| behaviour.assignment = Assignment::Manual);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_a_user_of_their_own_and_never_the_customer() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    world.answers(ANNA, "hi").await;
    let [anna] = faces(&world, "user_created", ANNA).try_into().unwrap();
    assert_eq!((anna.text("/name"), anna.text("/picture_url")), ("Anna", "https://cdn.example.com/anna.png"));
    assert_eq!(anna.text("/tags/email"), ANNA);
    let customers = world.entries("user_created", "/name", "Ann");
    assert_ne!(customers[0].text("/user_id"), anna.text("/user_id"));
    assert_eq!(customers[0].text("/tags/email"), "", "the e-mail address is a tag of agents");
    let posted = world.entries("message_created", "/direction", "incoming");
    assert!(!posted.is_empty() && posted.iter().all(|entry| entry.text("/user_id") == anna.text("/user_id")));
    assert_eq!(world.bot_events("hitlAssigned")[0].text("/user_id"), anna.text("/user_id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn assigned_added_and_writing_for_the_first_time_are_one_assignment() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    world.answers(ANNA, "hi").await;
    for action in ["user_added_to_chat", "chat_transferred", "incoming_chat"] {
        assert!(world.stack.livechat.deliver_again(action), "{action}");
        world.settle().await;
    }
    world.answers(ANNA, "still me").await;
    assert_eq!(assignments(&world), 1);
    assert_eq!(world.entries("shown_to_user", "/text", "A human agent has joined the conversation.").len(), 1);
}

/// A batch does not read all its items at the same instant.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_not_announced_again_by_whoever_has_seen_the_session_as_it_was_before() {
    let world = World::of_instances(1, true).await;
    world.escalated_user("Ann").await;
    world.answers(ANNA, "I pass you on").await;
    let [session] = world.items("session").try_into().unwrap();
    let before = world.read_items(&[&session]).await;
    world.stack.livechat.agent_transfers(&world.chat_id(), ANNA, Target::Agent(BEN.to_owned())).unwrap();
    world.settle().await;
    world.advance(Duration::from_secs(10));

    let [chat] = world.items("chat").try_into().unwrap();
    let [lane] = world.items_under("LANE#to_bot").try_into().unwrap();
    let after = world.read_items(&[&chat, &lane]).await;
    let mut seen = serde_json::Map::new();
    seen.insert(world.stack.table.name().to_owned(), json!([before, after].concat()));
    let faults = world.stack.table_proxy.as_ref().unwrap().faults();
    faults.next(1, ".BatchGetItem", Fault::answer(200, json!({ "Responses": seen }).to_string()));
    world.answers(BEN, "Ben here").await;
    assert_eq!((faults.spoiled().len(), assignments(&world)), (1, 2));
    assert_eq!(world.shown_by_agents(), ["I pass you on", "Ben here"]);
}

/// A batch can also return a lane as it was before the receipt beside it was written.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_come_into_a_lane_that_seems_idle_is_delivered_by_whoever_hears_of_it_again() {
    let world = World::of_instances(1, true).await;
    world.escalated_user("Ann").await;
    world.answers(ANNA, "one").await;
    let [idle] = world.items_under("LANE#to_bot").try_into().unwrap();
    let before = world.read_items(&[&idle]).await;
    world.stack.botpress.faults().always("POST /v1/chat/messages", Fault::answer(500, "down"));
    world.answers(ANNA, "two").await;
    world.stack.botpress.faults().clear();
    assert_eq!(world.shown_by_agents(), ["one"]);

    let [session] = world.items("session").try_into().unwrap();
    let [chat] = world.items("chat").try_into().unwrap();
    let receipts = world.items_under("TRAIL#to_bot#event:");
    let after: Vec<_> = [&session, &chat].into_iter().chain(&receipts).collect();
    let mut seen = serde_json::Map::new();
    seen.insert(world.stack.table.name().to_owned(), json!([before, world.read_items(&after).await].concat()));
    let faults = world.stack.table_proxy.as_ref().unwrap().faults();
    faults.next(1, ".BatchGetItem", Fault::answer(200, json!({ "Responses": seen }).to_string()));
    world.advance(Duration::from_secs(30));
    assert!(world.stack.livechat.deliver_again("incoming_event"));
    world.settle().await;
    assert_eq!((faults.spoiled().len(), world.shown_by_agents()), (1, vec!["one".to_owned(), "two".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_further_agent_is_one_more_assignment() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let chat_id = world.chat_id();
    for (from, to, expected) in [(ANNA, BEN, 2), (BEN, BEN, 2), (BEN, "clara@example.com", 3)] {
        // A transfer to the agent who already has the chat changes nothing.
        let _ = world.stack.livechat.agent_transfers(&chat_id, from, Target::Agent(to.to_owned()));
        world.settle().await;
        assert_eq!(assignments(&world), expected, "{from} to {to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_goes_to_a_group_has_no_new_agent_until_somebody_takes_it() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    assign_by_hand(&world);
    let chat_id = world.chat_id();
    world.stack.livechat.agent_transfers(&chat_id, ANNA, Target::Group(0)).unwrap();
    world.settle().await;
    assert_eq!(assignments(&world), 1);
    world.stack.livechat.set_agent_status(ANNA, sandbox::livechat::RoutingStatus::NotAcceptingChats);
    assert!(world.stack.livechat.router_assigns(&chat_id).unwrap());
    world.settle().await;
    assert_eq!(assignments(&world), 2);
    assert_eq!(faces(&world, "user_created", BEN).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_who_writes_before_anything_else_was_heard_of_them_has_a_name() {
    let world = World::start().await;
    assign_by_hand(&world);
    world.escalated_user("Ann").await;
    world.stack.gateway_faults.always("POST /livechat", Fault::answer(200, "swallowed"));
    world.stack.livechat.agent_joins(&world.chat_id(), BEN).unwrap();
    world.settle().await;
    world.stack.gateway_faults.clear();
    assert_eq!(assignments(&world), 0);
    world.answers(BEN, "hello").await;
    assert_eq!((world.shown_by_agents(), assignments(&world)), (vec!["hello".to_owned()], 1));
    assert_eq!(faces(&world, "user_created", BEN)[0].text("/name"), "Ben");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_name_cannot_be_read_is_heard_all_the_same() {
    let world = World::start().await;
    assign_by_hand(&world);
    world.escalated_user("Ann").await;
    let (chat_id, thread_id) = world.chat_and_thread();
    world.stack.livechat.faults().always("agent/action/get_chat", Fault::Reset);
    let event = json!({"id": "E", "type": "message", "text": "hello", "author_id": "dora@example.com",
        "created_at": world.now().to_string()});
    world.reports("incoming_event", json!({"chat_id": chat_id, "thread_id": thread_id, "event": event})).await;
    assert_eq!((world.shown_by_agents(), assignments(&world)), (vec!["hello".to_owned()], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_whom_the_customer_does_not_see_is_nobody() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let chat_id = world.chat_id();
    world.stack.livechat.agent_joins(&chat_id, BEN).unwrap();
    world.stack.livechat.agent_sends_private_note(&chat_id, BEN, "watch your tone").unwrap();
    world.settle().await;
    assert_eq!(world.entries("user_added", "/visibility", "agents").len(), 1);
    assert_eq!((assignments(&world), faces(&world, "user_created", BEN).len()), (1, 0));
    assert!(world.shown_by_agents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_is_shown_from_the_next_assignment_on_however_it_was_learned() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    world.agent_closes(ANNA).await;
    assign_by_hand(&world);
    for (name, told_along) in [("Anna Bell", true), ("Anna Cook", false)] {
        world.escalated_user(name).await;
        let (chat_id, thread_id) = world.chat_and_thread();
        let user = json!({"id": ANNA, "type": "agent", "name": name, "avatar": "https://cdn.example.com/new.png"});
        let (action, payload) = match told_along {
            true => ("user_added_to_chat", json!({"chat_id": chat_id, "thread_id": thread_id, "user": user})),
            false => ("chat_transferred", json!({"chat_id": chat_id, "transferred_to": {"agent_ids": [ANNA]}})),
        };
        let thread = json!({"id": thread_id, "active": true, "events": []});
        let chat = json!({"id": chat_id, "users": [user], "thread": thread}).to_string();
        world.stack.livechat.faults().always("agent/action/get_chat", Fault::answer(200, chat));
        assert_eq!(world.reports(action, payload).await, 200);
        let changed = faces(&world, "user_updated", ANNA).pop().unwrap();
        assert_eq!((changed.text("/name"), changed.text("/picture_url")), (name, "https://cdn.example.com/new.png"));
        assert!(changed.number < world.bot_events("hitlAssigned").last().unwrap().number, "the name comes first");
        world.stack.livechat.faults().clear();
        world.stack.livechat.router_closes(&chat_id).unwrap();
        world.settle().await;
    }
    assert_eq!((faces(&world, "user_created", ANNA).len(), assignments(&world)), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_name_and_picture_still_takes_over() {
    let world = World::start().await;
    assign_by_hand(&world);
    world.escalated_user("Ann").await;
    let (chat_id, thread_id) = world.chat_and_thread();
    let user = json!({"id": "dora@example.com", "type": "agent"});
    world.reports("user_added_to_chat", json!({"chat_id": chat_id, "thread_id": thread_id, "user": user})).await;
    let dora = faces(&world, "user_created", "dora@example.com").remove(0);
    assert_eq!((dora.text("/name"), dora.text("/picture_url")), ("", ""));
    assert_eq!(world.entries("shown_to_user", "/text", "A human agent has joined the conversation.").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_who_take_turns_are_two_announcements() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    // A licence can allow several agents in one chat who are visible to the customer.
    let (chat_id, thread_id) = world.chat_and_thread();
    let turns = [(ANNA, "one"), (BEN, "two"), (ANNA, "three"), (BEN, "four"), (ANNA, "five")];
    for (number, (agent, text)) in turns.into_iter().enumerate() {
        let event = json!({"id": format!("E{number}"), "type": "message", "text": text, "author_id": agent,
            "created_at": world.now().to_string()});
        let written = json!({"chat_id": chat_id, "thread_id": thread_id, "event": event});
        assert_eq!(world.reports("incoming_event", written).await, 200);
    }
    assert_eq!(world.shown_by_agents(), ["one", "two", "three", "four", "five"]);
    assert_eq!((assignments(&world), world.count("plugin_failed")), (2, 0));
    let anna = faces(&world, "user_created", ANNA).remove(0);
    let posted = world.entries("message_created", "/user_id", anna.text("/user_id"));
    assert_eq!(posted.len(), 3, "each speaks under their own name");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_to_whom_the_chat_comes_back_is_announced_again_and_a_late_report_announces_nobody() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let chat_id = world.chat_id();
    for (number, (from, to)) in [(ANNA, BEN), (BEN, ANNA), (ANNA, BEN), (BEN, ANNA)].into_iter().enumerate() {
        world.stack.livechat.agent_transfers(&chat_id, from, Target::Agent(to.to_owned())).unwrap();
        world.settle().await;
        assert_eq!(assignments(&world), number + 2, "{from} to {to}");
        assert!(world.stack.livechat.deliver_again("chat_transferred"));
        world.settle().await;
        world.answers(to, &format!("words {number}")).await;
        assert_eq!(assignments(&world), number + 2, "a repeat is none");
    }
    let thread_id = world.chat_and_thread().1;
    let late = json!({"chat_id": chat_id, "thread_id": thread_id, "reason": "manual", "requester_id": ANNA,
        "transferred_to": {"agent_ids": [BEN]}});
    assert_eq!(world.reports("chat_transferred", late).await, 200);
    assert_eq!(assignments(&world), 5, "Ben is not in the chat");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_of_the_licence_is_announced_to_nobody_however_it_comes_in() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    world.answers(ANNA, "our assistant will help you").await;
    let (chat_id, thread_id) = world.chat_and_thread();
    let bot = "5c9871d5372c824cbf22d860a707a578";
    let user = json!({"id": bot, "type": "agent", "name": "Helper", "present": true});
    let event = json!({"id": "E", "type": "message", "text": "I am the assistant", "author_id": bot,
        "created_at": world.now().to_string()});
    for (action, detail) in [
        ("chat_transferred", json!({"transferred_to": {"agent_ids": [bot]}})),
        ("user_added_to_chat", json!({"user": user})),
        ("incoming_event", json!({"event": event})),
    ] {
        let mut payload = json!({"chat_id": chat_id, "thread_id": thread_id});
        payload.as_object_mut().unwrap().extend(detail.as_object().unwrap().clone());
        assert_eq!(world.reports(action, payload).await, 200, "{action}");
    }
    assert_eq!((assignments(&world), world.shown_by_agents().len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_id_comes_in_another_case_is_the_same_agent() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    world.answers(ANNA, "hi").await;
    let (chat_id, thread_id) = world.chat_and_thread();
    let event = json!({"id": "E", "type": "message", "text": "still me", "author_id": "Anna@Example.com",
        "created_at": world.now().to_string()});
    world.reports("incoming_event", json!({"chat_id": chat_id, "thread_id": thread_id, "event": event})).await;
    let transfer =
        json!({"chat_id": chat_id, "thread_id": thread_id, "transferred_to": {"agent_ids": ["ANNA@EXAMPLE.COM"]}});
    world.reports("chat_transferred", transfer).await;
    assert_eq!((assignments(&world), world.shown_by_agents().len()), (1, 2));
    assert_eq!(world.count("user_created"), 2, "Ann and Anna");
}
