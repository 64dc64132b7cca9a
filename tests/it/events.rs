//! What LiveChat reports: every documented shape that matters is understood, and nothing else has an effect.

use sandbox::livechat::{Assignment, Target};
use serde_json::{Value, json};
use tests::{ANNA, BEN, World};

/// Everything that LiveChat can report about chats.
const ACTIONS: &[&str] = &[
    "incoming_chat",
    "chat_deactivated",
    "chat_access_updated",
    "chat_transferred",
    "user_added_to_chat",
    "user_removed_from_chat",
    "incoming_event",
    "event_updated",
    "event_deleted",
    "incoming_rich_message_postback",
    "chat_properties_updated",
    "thread_properties_updated",
    "thread_tagged",
    "events_marked_as_seen",
    "thread_summary_set",
    "customer_session_fields_updated",
    "routing_status_set",
    "agent_updated",
];

/// `base` with the fields of `changes`; a null removes a field.
pub(crate) fn with(base: &Value, changes: Value) -> Value {
    let mut object = base.as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => object.remove(name),
            value => object.insert(name.clone(), value.clone()),
        };
    }
    object.into()
}

/// The documented sample of an agent's message, in the only open chat.
pub(crate) fn message(world: &World, number: usize, changes: Value) -> Value {
    let (chat_id, thread_id) = world.chat_and_thread();
    let event = json!({
        "id": format!("{thread_id}_9{number}"), "custom_id": "1dnepb4z00t", "type": "message",
        "text": format!("text {number}"), "author_id": ANNA, "visibility": "all",
        "created_at": world.now().to_string(),
    });
    json!({"chat_id": chat_id, "thread_id": thread_id, "event": with(&event, changes)})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_shape_of_an_agents_message_reaches_the_user() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let shapes = [
        json!({}),
        json!({"custom_id": null}),
        json!({"visibility": null}),
        json!({"visibility": null, "recipients": "all"}),
        json!({"properties": {"chats": {"formatting": "commonmark"}}, "deleted": false}),
        json!({"postback": {"id": "p", "thread_id": "t", "event_id": "e", "type": "message", "value": "v"}}),
        json!({"created_at": "2026-05-11T10:45:00+01:00"}),
        json!({"created_at": "2026-05-11T09:46:00Z"}),
        json!({"created_at": "2026-05-11T09:46:00.5Z", "mood": {"new": ["field"]}}),
    ];
    for (number, changes) in shapes.iter().enumerate() {
        assert_eq!(world.reports("incoming_event", message(&world, number, changes.clone())).await, 200, "{changes}");
        assert_eq!(world.shown_by_agents().len(), number + 1, "{changes}");
    }
    let envelopes = [
        json!({"additional_data": null}),
        json!({"additional_data": {"chat_properties": {"a": {"b": 1}}, "chat_presence_user_ids": [ANNA]}}),
        json!({"requester": {"user_id": ANNA}, "license_id": 1}),
        json!({"webhook_id": null}),
    ];
    for (number, changes) in envelopes.iter().enumerate() {
        let number = shapes.len() + number;
        let envelope = world.envelope("incoming_event", message(&world, number, json!({})));
        let (status, _) = world.post(&world.stack.webhook_url(), with(&envelope, changes.clone()).to_string()).await;
        assert_eq!((status, world.shown_by_agents().len()), (200, number + 1), "{changes}");
    }
    let expected: Vec<_> = (0..shapes.len() + envelopes.len()).map(|number| format!("text {number}")).collect();
    assert_eq!(world.shown_by_agents(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_shape_of_an_assignment_is_understood() {
    let world = World::start().await;
    world.stack.livechat.set_behaviour(|behaviour| behaviour.assignment = Assignment::Manual);
    world.escalated_user("Ann").await;
    let (chat_id, thread_id) = world.chat_and_thread();
    let agent = |number: usize| format!("agent{number}@example.com");
    let transferred = |number: usize, changes: Value| {
        let base = json!({
            "chat_id": chat_id, "thread_id": thread_id, "requester_id": BEN, "reason": "manual",
            "transferred_to": {"group_ids": [1], "agent_ids": [agent(number)]},
        });
        ("chat_transferred", with(&base, changes))
    };
    let added = |number: usize, of_user: Value, changes: Value| {
        let user = json!({
            "id": agent(number), "type": "agent", "present": true, "visibility": "all", "name": "Dora",
            "email": agent(number), "avatar": "https://cdn.example.com/dora.png", "events_seen_up_to": "",
        });
        let base = json!({
            "chat_id": chat_id, "thread_id": thread_id, "reason": "manual", "requester_id": BEN, "user_type": "agent",
            "user": with(&user, of_user),
        });
        ("user_added_to_chat", with(&base, changes))
    };
    let queue = json!({"position": 1, "wait_time": 60, "queued_at": "2026-05-11T09:40:00.100000Z"});
    let chat = json!({
        "id": chat_id,
        "users": [{"id": "b7eff798", "type": "customer"}, {"id": agent(12), "type": "agent", "name": "Dora"}],
        "thread": {"id": thread_id, "active": true, "created_at": "2026-05-11T09:40:00.100000Z", "user_ids": []},
    });
    let shapes = [
        transferred(0, json!({})),
        transferred(1, json!({"thread_id": null})),
        transferred(2, json!({"requester_id": null, "reason": "assigned"})),
        transferred(3, json!({"queue": queue})),
        transferred(4, json!({"reason": "telepathy", "new": [1]})),
        transferred(5, json!({"reason": null, "transferred_to": {"agent_ids": [agent(5), BEN]}})),
        added(6, json!({}), json!({})),
        added(7, json!({}), json!({"thread_id": null, "requester_id": null, "user_type": null})),
        added(8, json!({}), json!({"reason": "telepathy"})),
        added(9, json!({"name": null, "avatar": null, "email": null}), json!({})),
        added(10, json!({"present": null, "visibility": null, "events_seen_up_to": null}), json!({})),
        added(11, json!({"routing_status": "not accepting chats", "job_title": 7}), json!({})),
        ("incoming_chat", json!({"chat": chat, "transferred_from": {"group_ids": [1]}})),
    ];
    for (number, (action, payload)) in shapes.into_iter().enumerate() {
        assert_eq!(world.reports(action, payload.clone()).await, 200);
        assert_eq!(world.bot_events("hitlAssigned").len(), number + 1, "{action} {payload}");
    }
    let users = world.stack.journal.all("user_created");
    let tags: Vec<_> =
        users.iter().map(|entry| entry.text("/tags/id")).filter(|tag| tag.starts_with("agent")).collect();
    assert_eq!(tags, (0..13).map(|number| format!("agent:{}", agent(number))).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_means_nothing_to_the_bot_is_taken_and_leaves_no_trace() {
    let world = World::start().await;
    world.escalated_user("Ann").await;
    let (chat_id, thread_id) = world.chat_and_thread();
    let customer_id = world.stack.livechat.chats().remove(0).customer_id.unwrap();
    let user = |changes: Value| {
        let user = json!({"id": BEN, "type": "agent", "name": "Ben", "present": true, "visibility": "all"});
        json!({"chat_id": chat_id, "thread_id": thread_id, "user": with(&user, changes)})
    };
    let mut reports: Vec<(&str, Value)> = [
        json!({"visibility": "agents"}),
        json!({"visibility": "supervisors"}),
        json!({"visibility": null, "recipients": "agents"}),
        json!({"author_id": customer_id}),
        json!({"text": ""}),
        json!({"text": " \n\t"}),
        json!({"text": null, "deleted": true}),
        json!({"deleted": true}),
        json!({"type": "system_message", "system_message_type": "routing.idle", "author_id": null}),
        json!({"type": "system_message", "system_message_type": "manual_archived_agent"}),
        json!({"type": "system", "source": "cdp", "subtype": "x", "version": 1, "details": "{}", "text": null}),
        json!({"type": "filled_form", "form_id": "f", "fields": [{"type": "name", "id": 1, "label": "l", "answer": "a"}]}),
        json!({"type": "form", "form_id": "f", "fields": []}),
        json!({"type": "custom", "content": {"a": 1}}),
        json!({"type": "hologram", "text": "boo"}),
        json!({"type": "file", "text": null, "name": "a.pdf", "url": " "}),
    ]
    .into_iter()
    .enumerate()
    .map(|(number, changes)| ("incoming_event", message(&world, number, changes)))
    .collect();
    let before = json!({"created_at": "2026-05-11T09:00:00Z"});
    reports.push(("incoming_event", with(&message(&world, 50, before), json!({"thread_id": "EARLIER"}))));
    reports.extend(
        [
            json!({"visibility": "agents"}),
            json!({"present": false}),
            json!({"type": "customer"}),
            json!({"type": "drone"}),
        ]
        .map(|changes| ("user_added_to_chat", user(changes))),
    );
    reports.extend([
        ("user_added_to_chat", with(&user(json!({})), json!({"thread_id": "EARLIER"}))),
        ("chat_transferred", json!({"chat_id": chat_id, "reason": "manual", "transferred_to": {"group_ids": [0]}})),
        (
            "chat_transferred",
            json!({"chat_id": chat_id, "thread_id": "EARLIER", "transferred_to": {"agent_ids": [BEN]}}),
        ),
        ("chat_transferred", json!({"chat_id": chat_id, "reason": "unassigned"})),
        ("chat_deactivated", json!({"chat_id": chat_id, "thread_id": "EARLIER"})),
        ("chat_teleported", json!({"chat_id": chat_id, "thread_id": thread_id})),
    ]);
    // An odd report causes its thread to be read, and nothing else.
    for (number, changes) in [json!({"author_id": null}), json!({"id": 7})].into_iter().enumerate() {
        assert_eq!(world.reports("incoming_event", message(&world, 60 + number, changes)).await, 200);
    }
    for (action, payload) in [
        ("chat_deactivated", json!({"chat_id": chat_id})),
        ("incoming_event", json!("text")),
        ("incoming_chat", Value::Null),
    ] {
        assert_eq!(world.reports(action, payload).await, 200, "{action}");
    }
    world.settle().await;
    assert!(world.shown_by_agents().is_empty() && world.bot_events("hitlStopped").is_empty());
    let ids = json!({"id": chat_id, "chat_id": chat_id, "thread_id": thread_id, "event_id": "E", "user_id": ANNA,
        "event": {"id": "E", "type": "message", "text": "corrected", "author_id": ANNA, "created_at": world.now().to_string()}});
    let understood = [
        "incoming_chat",
        "incoming_event",
        "event_updated",
        "event_deleted",
        "chat_transferred",
        "user_added_to_chat",
        "chat_deactivated",
    ];
    reports.extend(ACTIONS.iter().filter(|action| !understood.contains(action)).map(|action| (*action, ids.clone())));
    for changes in [
        json!({"visibility": "agents"}),
        json!({"visibility": "supervisors"}),
        json!({"author_id": customer_id}),
        json!({"author_id": null}),
        json!({"text": " "}),
        json!({"deleted": true}),
        json!({"type": "form", "text": null, "form_id": "f", "fields": []}),
    ] {
        reports.push(("event_updated", message(&world, 60, changes)));
    }
    reports.extend([
        ("event_updated", with(&message(&world, 61, json!({})), json!({"thread_id": "EARLIER"}))),
        ("event_updated", json!({"chat_id": chat_id, "thread_id": thread_id, "event_id": "E"})),
        ("event_deleted", json!({"chat_id": chat_id, "thread_id": "EARLIER", "event_id": "E"})),
        ("event_deleted", json!({"chat_id": chat_id, "thread_id": thread_id})),
    ]);
    assert_inert(&world, reports).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_that_no_bot_has_opened_leave_no_trace() {
    let world = World::with(&[("ONLY_MY_CHATS", "no")]).await;
    world.escalated_user("Ann").await;
    world.settle().await;
    let client_id = &world.stack.livechat.account().client_id;
    let mut reports = Vec::new();
    let foreign = json!({"chat_id": "FOREIGN000", "thread_id": "T"});
    let user = json!({"id": ANNA, "type": "agent", "name": "Anna"});
    let chat = json!({"id": "FOREIGN000", "users": [user], "properties": {"source": {"client_id": "another"}}});
    let ours = json!({"source": {"client_id": client_id}});
    reports.push(("incoming_event", with(&message(&world, 0, json!({})), json!({"chat_id": "FOREIGN000"}))));
    reports.push(("event_updated", with(&message(&world, 1, json!({})), json!({"chat_id": "FOREIGN000"}))));
    reports.push(("event_deleted", with(&foreign, json!({"event_id": "E"}))));
    reports.push(("chat_deactivated", foreign.clone()));
    reports.push(("user_added_to_chat", with(&foreign, json!({"user": user}))));
    reports.push(("chat_transferred", with(&foreign, json!({"transferred_to": {"agent_ids": [BEN]}}))));
    reports.push(("incoming_chat", json!({"chat": chat})));
    reports.push(("incoming_chat", json!({"chat": with(&chat, json!({"properties": ours}))})));
    assert_inert(&world, reports).await;
}

/// Asserts that each report is answered with 200, changes nothing in the table and causes no vendor call but a reading.
async fn assert_inert(world: &World, reports: Vec<(&str, Value)>) {
    // Each process notes by itself that LiveChat is let in.
    let (items, entries) = (world.items_besides_doors(), world.stack.journal.len());
    for (action, payload) in reports {
        assert_eq!(world.reports(action, payload.clone()).await, 200, "{action} {payload}");
        assert!(world.items_besides_doors() == items, "something was written: {action} {payload}");
        let mut since = world.stack.journal.since(entries);
        // An odd report causes its thread to be read.
        since.retain(|entry| entry.text("/call") != "agent/get_chat");
        assert!(since.is_empty(), "{action} {payload}: {since:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_webhook_and_no_filter_a_session_is_still_the_same() {
    let world = World::uninstalled(&[("ONLY_MY_CHATS", "no")]).await;
    let livechat = &world.stack.livechat;
    livechat.register_webhooks(&world.stack.webhook_url(), world.stack.webhook_secret(), ACTIONS).unwrap();
    world.install().await.unwrap();
    let ann = world.escalated_user("Ann").await;
    let chat_id = world.chat_id();
    world.says(&ann, "one").await;
    world.answers(ANNA, "two").await;
    let typo = livechat.agent_sends_text(&chat_id, ANNA, "teh").unwrap();
    world.settle().await;
    livechat.agent_edits(&chat_id, &typo, "the").unwrap();
    world.settle().await;
    livechat.agent_deletes(&chat_id, ANNA, &typo).unwrap();
    livechat.agent_joins(&chat_id, BEN).unwrap();
    livechat.agent_sends_private_note(&chat_id, BEN, "be kind").unwrap();
    world.settle().await;
    livechat.agent_sends_private_note(&chat_id, ANNA, "I am").unwrap();
    let picture = livechat.agent_uploads("cat.png", "image/png", vec![1, 2, 3]);
    livechat.agent_sends_event(&chat_id, ANNA, &json!({"type": "file", "url": picture})).unwrap();
    world.settle().await;
    let cards = json!({"type": "rich_message", "template_id": "cards", "elements": [{"title": "T"}]});
    livechat.agent_sends_event(&chat_id, ANNA, &cards).unwrap();
    world.settle().await;
    livechat.agent_transfers(&chat_id, ANNA, Target::Agent(BEN.to_owned())).unwrap();
    world.settle().await;
    world.answers(BEN, "three").await;
    world.says(&ann, "four").await;
    world.agent_closes(BEN).await;

    let told = "The agent has deleted an earlier message.";
    assert_eq!(world.shown_by_agents(), ["two", "teh", "Correction: the", told, "", "**T**", "three"]);
    assert_eq!(world.sent_by_customers()[1..], ["one", "four"]);
    assert_eq!((world.bot_events("hitlAssigned").len(), world.bot_events("hitlStopped").len()), (2, 1));
    assert_eq!(world.count("dropped"), 0);
    let deliveries = world.stack.journal.all("webhook_delivered");
    assert!(deliveries.iter().all(|entry| entry.detail["status"] == 200 && entry.detail["attempt"] == 1));
    let echoed = deliveries.iter().filter(|entry| entry.text("/action") == "incoming_event").count();
    assert!(echoed > 8, "own words and system messages were reported, too: {echoed}");
}
