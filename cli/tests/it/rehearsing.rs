//! `hitl rehearse` and `hitl doctor --drift`: against a sandbox that matches the contracts, and against one that differs.

use std::time::Duration;

use sandbox::botpress;
use sandbox::faults::Fault;
use sandbox::livechat::{Stage, Turned};
use serde_json::{Value, json};
use tests::World;

use crate::doctor::{connected, healthy};
use crate::operator::{Operator, Ran};
use crate::progress::assert_steps;

const REHEARSE: [&str; 4] = ["rehearse", "--group", "1", "--json"];

/// Each statement that a rehearsal can see, and how to reverse it in the sandbox.
const SEEN: [(&str, Turned); 14] = [
    ("second-start", Turned::SecondStart),
    ("active-resume", Turned::ActiveResume),
    ("closed-send", Turned::ClosedSend),
    ("closed-close", Turned::ClosedClose),
    ("outsider", Turned::Outsider),
    ("cookies", Turned::Cookies),
    ("custom-ids", Turned::CustomId),
    ("text-limit", Turned::TextLimit),
    ("files", Turned::Files),
    ("closed-rating", Turned::ClosedRating),
    ("source-client", Turned::SourceClient),
    ("named-group", Turned::NamedGroup),
    ("merging", Turned::Merging),
    ("handing", Turned::Handing),
];

/// The same for Botpress.
const SEEN_AT_BOTPRESS: [(&str, botpress::Turned); 3] = [
    ("repeated-message", botpress::Turned::RepeatedMessage),
    ("created-flag", botpress::Turned::CreatedFlag),
    ("repeated-conversation", botpress::Turned::RepeatedConversation),
];

fn turn(world: &World, turned: Option<Turned>) {
    world.stack.livechat.set_behaviour(|behaviour| behaviour.turned = turned.into_iter().collect());
}

/// Returns the statements with this verdict.
fn judged(report: &Value, verdict: &str) -> Vec<String> {
    let statements = report["statements"].as_array().unwrap().iter().filter(|one| one["verdict"] == verdict);
    statements.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

fn failed_steps(report: &Value) -> Vec<&Value> {
    report["steps"].as_array().unwrap().iter().filter(|step| step["outcome"] == "failed").collect()
}

/// Asserts that nothing of the rehearsal is open, at either side.
fn assert_closed(world: &World, ran: &Ran) {
    assert!(world.stack.livechat.open_chats().is_empty(), "{}{}", ran.out, ran.progress);
    for session in world.items("session") {
        assert_eq!(session["session_state"], "closed", "{session} {}{}", ran.out, ran.progress);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_plays_a_handoff_judges_every_statement_it_can_see_and_leaves_nothing_open() {
    let world = healthy().await;
    let before = world.stack.journal.len();
    let ran = Operator::new(&world).run(&REHEARSE).await;
    assert_steps(&ran, 12);
    let report = ran.json();
    assert_eq!((ran.status, &report["stopped"]), (0, &Value::Null), "{report:#}");
    let at_livechat = SEEN.iter().map(|(id, _)| (*id).to_owned());
    let expected: Vec<_> = at_livechat.chain(SEEN_AT_BOTPRESS.iter().map(|(id, _)| (*id).to_owned())).collect();
    assert_eq!(judged(&report, "holds"), expected);
    assert_closed(&world, &ran);
    let is_billed = |call: &str| !call.starts_with("accounts/");
    let calls = world.stack.journal.since(before).into_iter().filter(|entry| entry.effect == "call_answered");
    let billed = calls.filter(|entry| is_billed(entry.text("/call"))).count();
    let at_most = usize::try_from(report["billed_calls_at_most"].as_u64().unwrap()).unwrap();
    assert!(billed <= at_most && at_most <= billed + 8, "{billed} of {at_most}");
    let unseen = report["statements"].as_array().unwrap().iter().filter(|one| one["verdict"] == "not_seen");
    assert!(unseen.into_iter().all(|one| !one["says"].as_str().unwrap().is_empty()), "{report:#}");
    assert!(report["webhook_delays_ms"].as_array().unwrap().len() >= 3, "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_turned_round_is_named_and_no_other_one() {
    for (id, turned) in SEEN {
        let world = match turned {
            // A stack that asks for its own chats alone receives no event of a chat without the property.
            Turned::SourceClient => connected(World::unconnected_in(&[("ONLY_MY_CHATS", "no")]).await).await,
            _ => healthy().await,
        };
        turn(&world, Some(turned));
        let ran = Operator::new(&world).run(&REHEARSE).await;
        let report = ran.json();
        assert_eq!(judged(&report, "does_not_hold"), [id], "{report:#}");
        assert_eq!(failed_steps(&report), Vec::<&Value>::new(), "{id}");
        assert_eq!((ran.status, &report["stopped"]), (1, &Value::Null), "{id}");
        assert_closed(&world, &ran);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_about_botpress_that_is_turned_round_is_named_and_no_other_one() {
    for (id, turned) in SEEN_AT_BOTPRESS {
        let world = healthy().await;
        world.stack.botpress.turn(Some(turned));
        let ran = Operator::new(&world).run(&REHEARSE).await;
        let report = ran.json();
        assert_eq!(judged(&report, "does_not_hold"), [id], "{report:#}");
        assert_eq!((failed_steps(&report), ran.status), (Vec::<&Value>::new(), 1), "{id}");
        assert_closed(&world, &ran);
    }
}

const BY_PERSON: [&str; 6] = ["rehearse", "--group", "1", "--json", "--answered-by", "person"];

/// Does what the printed steps ask of Anna in the agent app.
async fn answer_in_the_agent_app(world: &World) {
    let livechat = &world.stack.livechat;
    let pause = || world.sleep(Duration::from_secs(20));
    while world.entries("event_sent", "/author_type", "customer").len() < 2 {
        world.sleep(Duration::from_secs(1)).await;
    }
    let chat_id = world.chat_id();
    pause().await;
    let first = livechat.agent_sends_text(&chat_id, tests::ANNA, "hello from Anna").unwrap();
    pause().await;
    livechat.agent_sends_file(&chat_id, tests::ANNA, "map.txt", "text/plain", b"here".to_vec()).unwrap();
    pause().await;
    livechat.agent_edits(&chat_id, &first, "hello from Anna herself").unwrap();
    pause().await;
    livechat.agent_sends_private_note(&chat_id, tests::ANNA, "a rehearsal").unwrap();
    let second = livechat.agent_sends_text(&chat_id, tests::ANNA, "one more thing").unwrap();
    pause().await;
    livechat.agent_deletes(&chat_id, tests::ANNA, &second).unwrap();
    // The rehearsal has finished its attempts in the open chat.
    let has_tried = || {
        let calls = world.stack.journal.all("call_answered");
        calls.iter().any(|entry| entry.text("/call").ends_with("update_chat_properties"))
    };
    while !has_tried() {
        world.sleep(Duration::from_secs(1)).await;
    }
    pause().await;
    livechat.agent_closes(&chat_id, tests::ANNA).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_answers_is_told_what_to_do_and_shows_edits_and_deletions_as_well() {
    let world = healthy().await;
    let mut operator = Operator::new(&world);
    let both = async { tokio::join!(operator.undriven(&BY_PERSON), answer_in_the_agent_app(&world)) };
    let (ran, ()) = world.drive(both).await;
    let report = ran.json();
    assert_eq!((ran.status, &report["stopped"]), (0, &Value::Null), "{report:#}{}", ran.progress);
    let done: Vec<_> = report["steps"].as_array().unwrap().iter().filter(|step| step["outcome"] == "ok").collect();
    for name in ["text to the user", "file to the user", "edit", "note", "delete", "close", "second session"] {
        assert!(done.iter().any(|step| step["name"] == name), "{name}: {report:#}");
    }
    let corrections = world.entries("message_created", "/payload/text", "Correction: hello from Anna herself");
    assert_eq!(corrections.len(), 1);
    assert!(judged(&report, "holds").iter().any(|id| id == "files"), "{report:#}");
    for asked in ["take the chat", "edit your message", "delete that message", "close the chat", "within 300 s"] {
        assert!(ran.progress.contains(asked), "{asked}: {}", ran.progress);
    }
    assert_closed(&world, &ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_does_not_answer_is_not_waited_for_any_longer_than_was_said() {
    let world = healthy().await;
    let began = world.now();
    let ran = Operator::new(&world).run(&[&BY_PERSON[..], &["--wait", "60"]].concat()).await;
    let report = ran.json();
    assert_eq!(ran.status, 1, "{report:#}");
    assert!(report["stopped"].as_str().unwrap().contains("the step was not done within 60 s"), "{report:#}");
    assert!(world.now().since(began) < Duration::from_secs(240), "{:?}", world.now().since(began));
    assert_closed(&world, &ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_when_a_rehearsal_fails_is_closed() {
    for call in ["agent/action/send_event", "agent/action/upload_file", "customer/action/resume_chat"] {
        let world = healthy().await;
        world.stack.livechat.faults().always(call, Fault::answer(500, "{}"));
        let ran = Operator::new(&world).run(&REHEARSE).await;
        let report = ran.json();
        assert_eq!((ran.status, report["left_open"].as_array().unwrap().len()), (1, 0), "{call}: {report:#}");
        assert_closed(&world, &ran);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_rehearsal_closes_what_it_has_opened() {
    for effect in ["chat_started", "file_uploaded", "chat_resumed"] {
        let world = healthy().await;
        let happens = async {
            while world.stack.journal.all(effect).is_empty() {
                world.sleep(Duration::from_millis(1)).await;
            }
        };
        let ran = Operator::new(&world).interrupted_by(happens).run(&REHEARSE).await;
        let report = ran.json();
        assert_eq!((ran.status, report["stopped"].as_str()), (1, Some("it was interrupted")), "{effect}: {report:#}");
        assert_closed(&world, &ran);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_open_chats_is_left_alone_unless_the_operator_says_otherwise() {
    let world = healthy().await;
    let user = world.user("Ann").await;
    let escalation =
        sandbox::botpress::Escalation { hitl_session: Some(serde_json::json!({"groupId": 1})), ..Default::default() };
    world.escalate_with(&user, escalation).await.unwrap();
    let chats = world.stack.livechat.chats().len();
    let ran = Operator::new(&world).run(&REHEARSE).await;
    assert!(ran.out.contains("1 open chats") && ran.status == 1, "{}", ran.out);
    assert_eq!(world.stack.livechat.chats().len(), chats);
    let ran = Operator::new(&world).run(&["rehearse", "--group", "1", "--busy"]).await;
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.progress);
    assert!(ran.progress.contains("requests that LiveChat bills"), "{}", ran.progress);
    assert_eq!(world.stack.livechat.open_chats().len(), 1, "Ann's chat is open");
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_named_and_looked_for_without_changing_anything() {
    let world = healthy().await;
    let before = world.stack.journal.len();
    Operator::new(&world).does(&["doctor", "--drift"]).await;
    let changes: Vec<_> = world.stack.journal.since(before).into_iter().map(|entry| entry.effect).collect();
    assert!(changes.iter().all(|effect| *effect == "call_answered"), "{changes:?}");
    for (stage, date) in [(Stage::Legacy, "2027-01-31"), (Stage::Deprecated, "2027-06-30")] {
        world.stack.livechat.set_behaviour(|behaviour| behaviour.version_ends = Some((stage, date.to_owned())));
        let ran = Operator::new(&world).run(&["doctor", "--drift"]).await;
        assert!(ran.status == 1 && ran.out.contains(date), "{}", ran.out);
    }
    world.stack.livechat.set_behaviour(|behaviour| behaviour.version_ends = None);
    turn(&world, Some(Turned::AuthorFilter));
    let ran = Operator::new(&world).run(&["doctor", "--drift"]).await;
    assert!(ran.status == 1 && ran.out.contains("author_type of incoming_event"), "{}", ran.out);
    turn(&world, None);
    Operator::new(&world).does(&["doctor", "--drift"]).await;
    let absent = json!({"id": "err", "code": 404, "type": "ResourceNotFound", "message": "doesn't exist"}).to_string();
    let without_stop =
        json!({"interface": {"id": "ifver", "actions": {"createUser": {}, "startHitl": {}}}}).to_string();
    for (version, fault, expected) in [
        ("2.1.0", Fault::answer(404, &absent), "does not publish hitl 2.1.0 any more"),
        ("2.1.0", Fault::answer(200, &without_stop), "hitl 2.1.0 has no action stopHitl"),
        ("2.1.1", Fault::answer(200, &without_stop), "publishes hitl 2.1.1"),
        ("2.2.0", Fault::answer(200, &without_stop), "publishes hitl 2.2.0"),
        ("3.0.0", Fault::answer(200, &without_stop), "publishes hitl 3.0.0"),
        ("3.0.0", Fault::answer(500, "{}"), "500"),
    ] {
        world.stack.botpress.faults().always(&format!("interfaces/hitl/{version}"), fault);
        let ran = Operator::new(&world).run(&["doctor", "--drift"]).await;
        assert!(ran.status == 1 && ran.out.contains(expected), "{version}: {}", ran.out);
        world.stack.botpress.faults().clear();
    }
}
