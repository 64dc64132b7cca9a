//! Sessions, traces, parked items, endings and erasure.

use std::time::Duration;

use sandbox::botpress::UpstreamUser;
use sandbox::faults::Fault;
use serde_json::{Value, json};
use tests::{ANNA, World, http, text};

use crate::doctor::assert_found;
use crate::operator::Operator;

fn names(list: &Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one[key].as_str().unwrap_or_default().to_owned()).collect()
}

/// Returns a user whose session opens 5 s after everything before it.
async fn later(world: &World, name: &str) -> UpstreamUser {
    world.advance(Duration::from_secs(5));
    world.escalated_user(name).await
}

/// Sends an agent's message to a chat and lets everything that follows happen. Returns the event's id.
async fn answered(world: &World, chat_id: &str, words: &str) -> String {
    let event_id = world.stack.livechat.agent_sends_text(chat_id, ANNA, words).unwrap();
    world.settle().await;
    world.advance(Duration::from_secs(4));
    world.sweep().await;
    event_id
}

fn refusal() -> Fault {
    Fault::answer(422, json!({ "error": { "type": "validation", "message": "no" } }).to_string())
}

/// Lets LiveChat refuse one message of a session. Returns the id of the parked item.
async fn with_parked_message(world: &World, user: &UpstreamUser, words: &str) -> String {
    world.stack.livechat.faults().next(1, "customer/action/send_event", refusal());
    world.says(user, words).await;
    let parked = Operator::new(world).does(&["parked", "--json"]).await.json();
    let names = names(&parked["parked"], "id");
    assert_eq!(names.len(), 1, "{parked}");
    names[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn open_sessions_are_listed_oldest_first_and_no_more_than_asked_for() {
    let world = World::in_process().await;
    let mut operator = Operator::new(&world);
    assert_eq!(operator.does(&["sessions"]).await.out.trim(), "No session is open.");
    let ended = later(&world, "Zoe").await;
    world.user_ends(&ended).await;
    let mut expected = Vec::new();
    for name in ["Cid", "Ann", "Bob"] {
        let user = later(&world, name).await;
        expected.push(world.stack.botpress.downstream(&user.conversation_id).unwrap());
    }
    let all = operator.does(&["sessions", "--json"]).await.json();
    assert_eq!(names(&all["sessions"], "conversation_id"), expected);
    assert_eq!(all["sessions"][0]["state"], "active");
    assert!(all["sessions"][0]["open_for_seconds"].as_u64() > all["sessions"][2]["open_for_seconds"].as_u64());
    let two = operator.does(&["sessions", "--limit", "2", "--json"]).await.json();
    assert_eq!((&two["open"], names(&two["sessions"], "conversation_id")), (&json!(3), expected[..2].to_vec()));
    for name in ["Cid", "Ann", "Bob"] {
        assert!(!operator.does(&["sessions"]).await.out.contains(name), "a list of sessions names nobody");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_is_found_by_any_of_its_ids_and_told_without_its_words() {
    let world = World::in_process().await;
    let other = later(&world, "Bob").await;
    world.user_ends(&other).await;
    let user = later(&world, "Ann").await;
    world.says(&user, "canary-of-the-user").await;
    let (chat_id, thread_id) = world.chat_and_thread();
    let event_id = answered(&world, &chat_id, "canary-of-the-agent").await;
    let session = world.items("session").into_iter().find(|one| one["session_state"] == "active").unwrap();
    let messages = world.stack.journal.all("operation_called");
    let message_id = messages.iter().rev().find_map(|entry| entry.detail["message_id"].as_str()).unwrap();

    let mut operator = Operator::new(&world);
    for (id, marks) in [
        (text(&session, "session_id"), 0),
        (text(&session, "user_id"), 0),
        (text(&session, "conversation_id"), 0),
        (chat_id.as_str(), 0),
        (thread_id.as_str(), 0),
        (message_id, 1),
        (event_id.as_str(), 1),
    ] {
        let ran = operator.does(&["trace", id, "--json"]).await;
        let trace = ran.json();
        assert_eq!(names(&trace["sessions"], "session_id"), [text(&session, "session_id")], "{id}");
        let steps = trace["sessions"][0]["steps"].as_array().unwrap();
        let asked: Vec<_> = steps.iter().filter(|step| step["asked"] == true).collect();
        assert_eq!(asked.len(), marks, "{id}: {trace}");
        for step in asked {
            assert_eq!((&step["outcome"], &step["attempts"]), (&json!("delivered"), &json!(1)), "{step}");
            assert!(step["vendor_id"].is_string() && step["took_ms"].is_number(), "{step}");
        }
        let told = operator.does(&["trace", id]).await;
        assert!(!format!("{}{}", ran.out, told.out).contains("canary"), "{}", told.out);
        assert!(told.out.contains("delivered"), "{}", told.out);
    }
    let nothing = operator.run(&["trace", "msg_unknown"]).await;
    assert_eq!((nothing.status, nothing.progress.contains("msg_unknown")), (1, true), "{}", nothing.progress);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_item_is_told_to_wait() {
    let world = World::in_process().await;
    let user = later(&world, "Ann").await;
    world.stack.livechat.faults().always("customer/action/send_event", Fault::answer(503, ""));
    world.says(&user, "canary").await;
    let session = world.items("session").remove(0);
    let trace = Operator::new(&world).does(&["trace", text(&session, "session_id"), "--json"]).await;
    let json = trace.json();
    let steps = json["sessions"][0]["steps"].as_array().unwrap();
    let waiting: Vec<_> = steps.iter().filter(|step| step["outcome"].is_null()).collect();
    assert_eq!((waiting.len(), &waiting[0]["kind"]), (1, &json!("message")), "{json}");
    assert!(waiting[0]["attempts"].as_u64() >= Some(1) && !trace.out.contains("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_message_is_listed_without_words_and_redriven_once() {
    let world = World::in_process().await;
    let user = later(&world, "Ann").await;
    let name = with_parked_message(&world, &user, "canary").await;
    let mut operator = Operator::new(&world);
    let listed = operator.does(&["parked"]).await.out;
    assert!(listed.contains(&name) && !listed.contains("canary"), "{listed}");

    world.stack.livechat.faults().next(1, "customer/action/send_event", refusal());
    let again = operator.run(&["redrive", &name, "--json"]).await;
    assert_eq!(
        (again.status, again.json()["redriven"][0]["result"].as_str()),
        (1, Some("parked_again")),
        "{}",
        again.out
    );
    let sent = || world.sent_by_customers().iter().filter(|text| *text == "canary").count();
    assert_eq!(sent(), 0);

    let redriven = operator.does(&["redrive", &name, "--json"]).await.json();
    assert_eq!(redriven["redriven"][0]["result"], "delivered");
    world.settle().await;
    assert_eq!(sent(), 1);
    assert!(world.items("parked").is_empty());
    assert_eq!(operator.run(&["redrive", &name]).await.status, 1, "nothing is parked under that name any more");
    world.catch_up().await;
    assert_eq!((sent(), world.items("waiting").len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_answers_of_agents_are_redriven_all_at_once() {
    let world = World::in_process().await;
    let _user = later(&world, "Ann").await;
    let (chat_id, _) = world.chat_and_thread();
    answered(&world, &chat_id, "first").await;
    let refused = json!({ "id": "err_1", "code": 400, "type": "InvalidPayload", "message": "no" });
    world.stack.botpress.faults().next(2, "messages/get-or-create", Fault::answer(400, refused.to_string()));
    answered(&world, &chat_id, "second").await;
    answered(&world, &chat_id, "third").await;
    assert_eq!((world.items("parked").len(), world.shown_by_agents()), (2, vec!["first".to_owned()]));
    let redriven = Operator::new(&world).does(&["redrive", "--all", "--json"]).await.json();
    assert_eq!(names(&redriven["redriven"], "result"), ["delivered", "delivered"]);
    world.settle().await;
    assert_eq!(world.shown_by_agents(), ["first", "second", "third"]);
    let nothing = Operator::new(&world).does(&["redrive", "--all"]).await;
    assert_eq!(nothing.out.trim(), "Nothing is parked.");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_an_ended_session_stays_parked_until_it_is_discarded() {
    let world = World::in_process().await;
    let user = later(&world, "Ann").await;
    let name = with_parked_message(&world, &user, "canary").await;
    world.user_ends(&user).await;
    let mut operator = Operator::new(&world);
    let over = operator.run(&["redrive", &name, "--json"]).await;
    assert_eq!((over.status, over.json()["redriven"][0]["result"].as_str()), (1, Some("session_over")));
    assert_eq!(world.items("parked").len(), 1);
    operator.does(&["discard", &name, "--yes"]).await;
    assert!(world.items("parked").is_empty());
    let everything = format!("{:?}", world.stack.table.items().unwrap());
    assert!(!everything.contains("canary"));
    assert_eq!(operator.run(&["discard", &name, "--yes"]).await.status, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_message_shows_its_age_its_cause_and_its_end() {
    let world = World::in_process().await;
    let user = later(&world, "Ann").await;
    with_parked_message(&world, &user, "canary").await;
    world.advance(Duration::from_secs(3 * 3_600));
    let mut operator = Operator::new(&world);
    let listed = operator.does(&["parked", "--json"]).await.json()["parked"][0].clone();
    assert_eq!(listed["cause"], "LiveChat refused send_event: validation, status 422");
    assert_eq!(
        (&listed["outcome_unknown"], &listed["parked_for_seconds"]),
        (&json!(false), &json!(10_800)),
        "{listed}"
    );
    let days =
        world.stack.operator_environment().get("RETENTION_DAYS").and_then(|days| days.parse().ok()).unwrap_or(30);
    let out = operator.does(&["parked"]).await.out;
    let deleted_at = world.now() + Duration::from_secs(days * 86_400 - 10_800);
    assert!(out.contains("parked for 3 h; has not arrived; LiveChat refused send_event"), "{out}");
    assert!(out.contains(&deleted_at.to_string()[..16]), "{deleted_at}: {out}");
    world.advance(Duration::from_secs(days * 86_400));
    assert_eq!(operator.does(&["parked"]).await.out.trim(), "Nothing is parked.", "the table deletes it any time now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_has_arrived_after_all_is_not_sent_again() {
    let world = World::in_process().await;
    let user = later(&world, "Ann").await;
    // The first answer leaves the outcome unknown; then the item is refused and parked.
    world.stack.livechat.faults().next(1, "customer/action/send_event", Fault::answer(200, "<html></html>"));
    world.stack.livechat.faults().next(1, "customer/action/send_event", refusal());
    world.says(&user, "canary").await;
    world.catch_up().await;
    let mut operator = Operator::new(&world);
    let listed = operator.does(&["parked"]).await.out;
    assert!(listed.contains("may have arrived"), "{listed}");
    // The message of the first call arrives after all.
    let (parked, session) = (world.items("parked").remove(0), world.items("session").remove(0));
    let person = world.items("user").into_iter().find(|one| one["user_id"] == session["user_id"]).unwrap();
    let event = json!({ "type": "message", "text": "canary", "custom_id": text(&parked, "source_id") });
    let organization = &world.stack.livechat.account().organization_id;
    let url = format!("{}/v3.6/customer/action/send_event?organization_id={organization}", world.stack.livechat.url());
    let token = person["customer"]["access_token"].as_str().unwrap();
    let call = http().post(url).bearer_auth(token).json(&json!({ "chat_id": world.chat_id(), "event": event })).send();
    assert_eq!(world.drive(call).await.unwrap().status(), 200);
    let redriven = operator.does(&["redrive", "--all", "--json"]).await.json();
    assert_eq!(redriven["redriven"][0]["result"], "delivered");
    world.settle().await;
    assert_eq!(world.sent_by_customers().iter().filter(|text| *text == "canary").count(), 1);
}

/// The bot does not know of the end of a session, because it refused the event.
#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_does_not_know_of_an_end_is_told_by_hand() {
    let world = World::in_process().await;
    let user = later(&world, "Ann").await;
    let refused = json!({ "id": "err_1", "code": 400, "type": "InvalidPayload", "message": "no" }).to_string();
    world.stack.botpress.faults().always("/v1/chat/events", Fault::answer(400, refused));
    world.agent_closes(ANNA).await;
    let session = world.items("session").remove(0);
    let id = text(&session, "session_id");
    assert_eq!((text(&session, "session_state"), world.bot_events("hitlStopped").len()), ("closed", 0));
    let mut operator = Operator::new(&world);
    let not_told = operator.run(&["close", id, "--json", "--yes"]).await;
    assert_eq!((not_told.status, &not_told.json()["result"]), (1, &json!("bot_not_told")));
    world.stack.botpress.faults().clear();
    assert_eq!(operator.does(&["close", id, "--json", "--yes"]).await.json()["result"], "closed");
    world.settle().await;
    assert!(!world.stack.botpress.is_escalated(&user.conversation_id));
    assert_eq!(operator.does(&["close", id, "--json", "--yes"]).await.json()["result"], "was_over");
    assert_eq!(world.bot_events("hitlStopped").len(), 1);
}

/// An earlier version parked ends and closed the session anyway.
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_end_of_an_earlier_version_is_told_by_redrive_and_by_close() {
    for command in ["redrive", "close"] {
        let world = World::in_process().await;
        let user = later(&world, "Ann").await;
        let session = world.items("session").remove(0);
        let id = text(&session, "session_id");
        let refused = json!({ "id": "err_1", "code": 400, "type": "InvalidPayload", "message": "no" }).to_string();
        world.stack.botpress.faults().next(1, "messages/get-or-create", Fault::answer(400, refused));
        answered(&world, &world.chat_id(), "refused").await;
        world.stack.gateway_faults.always("POST /livechat", Fault::answer(200, "swallowed"));
        world.agent_closes(ANNA).await;
        let end = json!({ ":content": { "M": { "kind": { "S": "stopped" } } } });
        let parked = world.items("parked").remove(0);
        world.change_item(&parked, "SET content = :content REMOVE cause, parked_at, expires_at", end).await;
        world.change_item(&session, "SET session_state = :over", json!({ ":over": { "S": "closed" } })).await;
        let mut operator = Operator::new(&world);
        match command {
            "redrive" => {
                let redriven = operator.does(&["redrive", "--all", "--json"]).await.json();
                assert_eq!(redriven["redriven"][0]["result"], "delivered");
            }
            _ => assert_eq!(operator.does(&["close", id, "--json", "--yes"]).await.json()["result"], "closed"),
        }
        world.settle().await;
        assert!(!world.stack.botpress.is_escalated(&user.conversation_id), "{command}");
        assert!(world.items("parked").is_empty(), "{command}");
        assert_eq!(operator.does(&["close", id, "--json", "--yes"]).await.json()["result"], "was_over");
        assert_eq!(world.bot_events("hitlStopped").len(), 1, "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_closed_for_both_sides() {
    let world = World::in_process().await;
    let user = later(&world, "Ann").await;
    let session = world.items("session").remove(0);
    let id = text(&session, "session_id");
    let mut operator = Operator::new(&world);
    assert_eq!(operator.does(&["close", id, "--json", "--yes"]).await.json()["result"], "closed");
    world.settle().await;
    assert!(world.stack.livechat.open_chats().is_empty());
    assert!(!world.stack.botpress.is_escalated(&user.conversation_id));
    assert_eq!(world.bot_events("hitlStopped").len(), 1);
    assert_eq!(operator.does(&["close", id, "--json", "--yes"]).await.json()["result"], "was_over");
    assert_eq!(operator.run(&["close", "nobody", "--yes"]).await.status, 1);
    world.escalate(&user).await.expect("the user is free to start another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_time_is_shown_and_lifted_for_all() {
    let world = World::in_process().await;
    let (ann, bob) = (later(&world, "Ann").await, later(&world, "Bob").await);
    let mut operator = Operator::new(&world);
    assert!(operator.does(&["reopen", "livechat", "--json"]).await.json()["lifted"].as_array().unwrap().is_empty());
    let faults = world.stack.livechat.faults();
    faults.always("customer/action/send_event", Fault::limited("retry-after", 3_600));
    for user in [&ann, &bob] {
        world.says(user, "held up").await;
    }
    let since = world.now().to_string();
    faults.clear();
    assert_found(
        &mut operator,
        "rate limit",
        &format!("LiveChat (for customers) asked at {since}"),
        "hitl reopen livechat",
    )
    .await;
    let lifted = operator.does(&["reopen", "livechat", "--json"]).await.json();
    assert_eq!((&lifted["lifted"][0]["party"], &lifted["lifted"][0]["since"]), (&json!("customers"), &json!(since)));
    world.says(&later(&world, "Carol").await, "at once").await;
    assert!(world.sent_by_customers().iter().any(|text| text == "at once"));
    world.catch_up().await;
    assert_eq!(world.sent_by_customers().iter().filter(|text| *text == "held up").count(), 2);
    assert_eq!(operator.run(&["reopen", "nobody"]).await.status, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_that_a_vendor_cannot_be_told_of_goes_on_by_itself() {
    let world = World::in_process().await;
    let _user = later(&world, "Ann").await;
    let session = world.items("session").remove(0);
    world.stack.livechat.faults().always("agent/action/deactivate_chat", Fault::answer(503, ""));
    let closing = Operator::new(&world).does(&["close", text(&session, "session_id"), "--json", "--yes"]).await.json();
    assert_eq!(closing["result"], "closing");
    world.stack.livechat.faults().clear();
    world.catch_up().await;
    assert!(world.stack.livechat.open_chats().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_a_user_leaves_nothing_of_them_and_everything_of_others() {
    let world = World::in_process().await;
    let other = later(&world, "Bobby").await;
    world.says(&other, "hello from the other").await;
    world.user_ends(&other).await;
    let kept = |world: &World| -> Vec<Value> {
        let items = world.stack.table.items().unwrap();
        items.into_iter().filter(|item| text(item, "pk") != "GATES" && text(item, "pk") != "SWEEP").collect()
    };
    let before = kept(&world);

    let user = later(&world, "Annabel").await;
    world.user_ends(&user).await;
    world.advance(Duration::from_secs(130));
    world.escalate(&user).await.unwrap();
    with_parked_message(&world, &user, "canary-parked").await;
    world.stack.livechat.faults().always("customer/action/send_event", Fault::answer(503, ""));
    world.says(&user, "canary-waiting").await;
    world.stack.livechat.faults().clear();
    let everything = format!("{:?}", kept(&world));
    for canary in ["Annabel", "annabel@example.com", "canary-parked", "canary-waiting"] {
        assert!(everything.contains(canary), "there is something to erase: {canary}");
    }
    let session = world.items("session").into_iter().find(|one| one["session_state"] == "active").unwrap();
    let id = text(&session, "user_id").to_owned();
    let person = world.items("user").into_iter().find(|one| text(one, "user_id") == id).unwrap();

    let mut operator = Operator::new(&world);
    let erased = operator.does(&["erase", &id, "--json", "--yes"]).await.json();
    assert_eq!(erased["kept"], json!([]));
    assert_eq!((&erased["removed"]["session"], &erased["removed"]["user"]), (&json!(2), &json!(1)), "{erased}");
    world.settle().await;
    let everything = format!("{:?}", kept(&world));
    let customer = &person["customer"];
    for gone in [
        "Annabel",
        "annabel@example.com",
        "canary",
        &id,
        customer["access_token"].as_str().unwrap(),
        customer["cookies"]["secret"].as_str().unwrap(),
        text(&person, "chat_id"),
    ] {
        assert!(!everything.contains(gone), "{gone}");
    }
    let held = erased["held_by_vendors"].to_string();
    assert!(held.contains(text(&person, "chat_id")) && held.contains(&id), "{held}");
    let others = |items: Vec<Value>| {
        items
            .into_iter()
            .filter(|item| !["agent", "asked", "call", "wait"].contains(&text(item, "entity")))
            .collect::<Vec<_>>()
    };
    assert_eq!(others(kept(&world)), others(before));
    assert!(world.stack.livechat.open_chats().is_empty(), "the open session was ended first");
    assert!(!world.stack.botpress.is_escalated(&user.conversation_id));

    let again = operator.run(&["erase", &id, "--yes"]).await;
    assert_eq!((again.status, again.progress.contains("there is no user")), (1, true), "{}", again.progress);
    world.escalate(&user).await.expect("the user may come back, as somebody new");
}

/// TTL deletes items in no particular order: a parked item may be all that is left of an ended session.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_of_a_session_that_has_gone_is_erased() {
    let world = World::in_process().await;
    let user = later(&world, "Annabel").await;
    with_parked_message(&world, &user, "canary").await;
    let id = text(&world.items("session")[0], "user_id").to_owned();
    world.user_ends(&user).await;
    let of_annabel = |item: &Value| text(item, "entity") != "parked";
    world.stack.table.delete_expired(world.now() + Duration::from_secs(32 * 86_400), of_annabel).unwrap();
    assert_eq!((world.items("session").len(), world.items("parked").len()), (0, 1));
    let erased = Operator::new(&world).does(&["erase", &id, "--json", "--yes"]).await.json();
    assert_eq!((&erased["removed"]["parked"], &erased["kept"]), (&json!(1), &json!([])), "{erased}");
    assert!(world.items("parked").is_empty());
}

/// Earlier versions did not record to which user a parked item belongs.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_is_erased_whosever_it_was() {
    let world = World::in_process().await;
    let (user, other) = (later(&world, "Annabel").await, later(&world, "Bobby").await);
    with_parked_message(&world, &other, "canary").await;
    let parked = world.items("parked").remove(0);
    world.change_item(&parked, "REMOVE user_id SET expires_at = :past", json!({ ":past": { "N": "1" } })).await;
    let id = world.stack.botpress.downstream_user(&user.user_id).unwrap();
    let erased = Operator::new(&world).does(&["erase", &id, "--json", "--yes"]).await.json();
    assert_eq!((&erased["expired"], world.items("parked").len()), (&json!(1), 0), "{erased}");
    assert!(!world.items("session").is_empty(), "the other user's session goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_undone_is_asked_about() {
    let world = World::in_process().await;
    later(&world, "Ann").await;
    let session = world.items("session").remove(0);
    let (id, user) = (text(&session, "session_id"), text(&session, "user_id"));
    for (command, argument) in [("close", id), ("erase", user)] {
        for answer in ["no", "", "yess"] {
            let refused = Operator::new(&world).asked("NOTHING", answer).run(&[command, argument]).await;
            assert_eq!(
                (refused.status, refused.progress.contains("--yes")),
                (1, true),
                "{command} {answer:?}: {refused:?}"
            );
        }
        assert_eq!(text(&world.items("session")[0], "session_state"), "active");
    }
    Operator::new(&world).asked("NOTHING", "yes").does(&["close", id]).await;
    assert_eq!(text(&world.items("session")[0], "session_state"), "closed");
}
