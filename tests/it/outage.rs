//! While a vendor is down: no caller waits for it needlessly, no call comes too early, and delayed items follow soon.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::botpress::Escalation;
use sandbox::botpress::UpstreamUser;
use sandbox::faults::Fault;
use serde_json::{Value, json};
use shared::aws;
use shared::fail_point::{Place, Side};
use shared::model::session::{Claim, Session};
use shared::store::Table;
use tests::{ANNA, World};

use crate::store::session;

const MESSAGES: &str = "/v1/chat/messages/get-or-create";
const SEND: &str = "customer/action/send_event";
const LONGEST_ANSWER: Duration = Duration::from_millis(250);
const MINUTE: Duration = Duration::from_secs(60);

/// Returns the webhook for an agent's message in one of the open chats, written `seconds` from now.
fn written(world: &World, chat: usize, text: &str, seconds: u64) -> String {
    let chat_id = &world.stack.livechat.open_chats()[chat].id;
    let thread_id = world.stack.livechat.thread(chat_id).unwrap().id;
    let created_at = (world.now() + Duration::from_secs(seconds)).to_string();
    let event = json!({"id": format!("{thread_id}_{text}"), "type": "message", "text": text, "author_id": ANNA,
        "visibility": "all", "created_at": created_at});
    let payload = json!({"chat_id": chat_id, "thread_id": thread_id, "event": event});
    world.envelope("incoming_event", payload).to_string()
}

/// Delivers such a message as LiveChat does; returns how long LiveChat waited for the answer.
async fn report(world: &World, chat: usize, text: &str) -> Duration {
    let (url, asked_at) = (world.stack.webhook_url(), world.now());
    assert_eq!(world.drive(world.post(&url, written(world, chat, text, 0))).await.0, 200);
    world.now().since(asked_at)
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_vendor_has_failed_again_and_again_what_is_for_it_is_accepted_without_a_wait() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.escalated_user("Bob").await;
    world.sweep_after(Duration::from_secs(10)).await;
    world.advance(Duration::from_secs(1));
    world.stack.botpress.faults().always("POST /v1/chat", Fault::answer(503, "down"));
    report(&world, 0, "one").await;
    let tries = world.stack.botpress.faults().spoiled().len();
    assert!(tries >= 2, "what may be a blip is tried again while LiveChat waits: {tries}");
    for (chat, text) in [(1, "one"), (0, "two"), (1, "two")] {
        let took = report(&world, chat, text).await;
        assert!(took <= LONGEST_ANSWER, "{took:?}");
    }
    world.stack.botpress.faults().clear();
    world.sweep_after(Duration::from_secs(60)).await;
    assert_eq!(world.shown_by_agents().len(), 4);
    assert!(report(&world, 0, "three").await <= LONGEST_ANSWER);
    assert_eq!(world.shown_by_agents().len(), 5, "a vendor that answers again is called at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_hangs_holds_up_one_caller_and_not_for_long() {
    let world = World::of_instances(3, false).await;
    world.escalated_user("Ann").await;
    world.escalated_user("Bob").await;
    world.sweep_after(Duration::from_secs(10)).await;
    world.stack.botpress.faults().always("POST /v1/chat", Fault::hang());
    let mut took = Vec::new();
    for number in 0..6 {
        for chat in [0, 1] {
            took.push(report(&world, chat, &format!("{number} in chat {chat}")).await);
        }
    }
    assert!(took[0] > LONGEST_ANSWER && took[0] < Duration::from_secs(2), "{took:?}");
    assert!(took[1] <= Duration::from_millis(500), "the next one is given less time: {took:?}");
    assert!(took[2..].iter().all(|took| *took <= LONGEST_ANSWER), "the others do not wait: {took:?}");
    world.stack.botpress.faults().clear();
    world.sweep_after(MINUTE).await;
    assert_eq!(world.shown_by_agents().len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sweep_tries_again_until_what_was_held_up_is_delivered() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.stack.botpress.faults().next(6, MESSAGES, Fault::answer(503, "down"));
    world.answers(ANNA, "held up").await;
    assert!(world.shown_by_agents().is_empty());
    let since = world.now();
    world.sweep().await;
    assert_eq!(world.shown_by_agents(), ["held up"]);
    let tries = world.stack.botpress.faults().spoiled().into_iter().filter(|call| call.at >= since).count();
    assert!(tries >= 2, "the sweep itself met the vendor while it was down");
    let took = world.now().since(since);
    assert!(took > Duration::ZERO && took < Duration::from_secs(59), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_one_function_was_told_binds_the_other() {
    let world = World::in_process().await;
    let (ann, bob) = (world.escalated_user("Ann").await, world.escalated_user("Bob").await);
    let carol = world.escalated_user("Carol").await;
    let faults = world.stack.livechat.faults();
    faults.always(SEND, Fault::limited("retry-after", 40));
    for user in [&ann, &bob, &carol] {
        world.says(user, "told the actions function").await;
    }
    assert_eq!(faults.spoiled().len(), 2, "two who are refused are enough to know");
    faults.clear();
    let told_at = world.now();
    world.sweep_after(Duration::from_secs(20)).await;
    assert!(world.now().since(told_at) < Duration::from_secs(40) && said(&world) == 0, "the sweep keeps to it");
    world.sweep_after(Duration::from_secs(41)).await;
    assert_eq!(said(&world), 3);
}

/// Returns how many of the users' texts have reached LiveChat.
fn said(world: &World) -> usize {
    world.sent_by_customers().iter().filter(|text| text.starts_with("told")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_limited_harms_nobody_else_and_can_go() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let anns = world.chat_id();
    let bob = world.escalated_user("Bob").await;
    let faults = world.stack.livechat.faults();
    faults.always_for(&anns, SEND, Fault::limited("retry-after", 3_600));
    for number in 0..5 {
        world.says(&ann, &format!("flood {number}")).await;
        world.says(&bob, &format!("told {number}")).await;
        assert_eq!(said(&world), number + 1, "nobody else waits");
    }
    assert_eq!(faults.spoiled().len(), 1, "a limit is kept to");
    world.user_ends(&ann).await;
    for _ in 0..3 {
        world.sweep_after(MINUTE).await;
    }
    assert_eq!(world.stack.livechat.open_chats().len(), 1, "Ann's chat is closed");
    let kept = |item: &&Value| item["content"].to_string().contains("flood");
    assert_eq!(world.items("parked").iter().filter(kept).count(), 5, "her words are kept");
    faults.clear();
    world.escalate(&ann).await.unwrap();
    world.says(&ann, "told again").await;
    assert_eq!(said(&world), 6);
}

/// The stack itself may have stood still for the longest time that an end waits for messages.
#[tokio::test(flavor = "multi_thread")]
async fn words_before_an_end_are_not_given_up_at_the_first_limit_after_a_standstill() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let anns = world.chat_id();
    world.escalated_user("Bob").await;
    let faults = world.stack.livechat.faults();
    faults.always("", Fault::answer(503, ""));
    world.says(&ann, "told at the end").await;
    world.user_ends(&ann).await;
    world.advance(Duration::from_secs(3_600));
    faults.clear();
    faults.next_for(1, &anns, SEND, Fault::limited("retry-after", 20));
    for _ in 0..4 {
        world.sweep_after(MINUTE).await;
    }
    assert!(faults.spoiled().last().is_some_and(|call| world.now().since(call.at) < MINUTE * 5), "the limit was met");
    assert_eq!((said(&world), world.items("parked").len()), (1, 0));
    assert!(world.items("waiting").is_empty());
    assert_eq!(world.stack.livechat.open_chats().len(), 1, "Ann's chat is closed");
}

/// An end whose thread cannot be read at once because of a limit still delivers the messages that no webhook has reported.
#[tokio::test(flavor = "multi_thread")]
async fn last_words_are_waited_for_as_long_as_a_limit_asks_for() {
    for seconds in [1, 10, 45, 60] {
        let world = World::in_process().await;
        let users =
            [world.escalated_user("Ann").await, world.escalated_user("Bob").await, world.escalated_user("Carol").await];
        world.stack.gateway_faults.always("POST /livechat", Fault::answer(503, ""));
        let chats = world.stack.livechat.open_chats();
        for chat in &chats {
            world.stack.livechat.agent_sends_text(&chat.id, ANNA, "last words").unwrap();
        }
        world.settle().await;
        world.stack.gateway_faults.clear();
        // Two refused parties block the third as well.
        world.stack.livechat.faults().next(2, "get_chat", Fault::limited("retry-after", seconds));
        for chat in &chats {
            world.stack.livechat.agent_closes(&chat.id, ANNA).unwrap();
            world.settle().await;
        }
        for _ in 0..3 {
            world.sweep_after(MINUTE).await;
        }
        assert_eq!(world.shown_by_agents(), ["last words"; 3], "{seconds} s");
        let is_over = |user: &UpstreamUser| !world.stack.botpress.is_escalated(&user.conversation_id);
        assert!(users.iter().all(is_over), "{seconds} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_one_is_kept_to_and_lifted_for_agents_words_as_well() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let bob = world.escalated_user("Bob").await;
    world.sweep_after(Duration::from_secs(10)).await;
    // Messages wait for a moment after the announcement of their agent, which may have been left to this sweep.
    world.advance(Duration::from_secs(1));
    let conversations = world.stack.journal.all("conversation_created");
    let anns = conversations[conversations.len() - 2].text("/conversation_id").to_owned();
    let faults = world.stack.botpress.faults();
    faults.limit_for(&anns, MESSAGES, 2, Duration::from_secs(30));
    for number in 0..4 {
        for chat in [0, 1] {
            let took = report(&world, chat, &format!("{chat} says {number}")).await;
            assert!(took <= LONGEST_ANSWER, "{took:?}");
        }
    }
    assert_eq!(world.shown_by_agents().len(), 6, "two of Ann's agent, all of Bob's");
    for _ in 0..2 {
        world.sweep_after(Duration::from_secs(31)).await;
    }
    assert_eq!(world.shown_by_agents().len(), 8);
    world.user_ends(&bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_named_one_call_a_minute_finds_out_for_all_processes() {
    let world = World::of_instances(4, false).await;
    let mut users = Vec::new();
    for name in ["Ann", "Bob", "Carol", "Dan"] {
        users.push(world.escalated_user(name).await);
    }
    let faults = world.stack.livechat.faults();
    let unix = |seconds: u64| (seconds * 1_000).to_string();
    let mut headers = BTreeMap::from([("date".to_owned(), "Wed, 21 Oct 2026 07:28:00 GMT".to_owned())]);
    // In an hour, by the vendor's own clock, which is far from the functions'.
    headers.insert("x-ratelimit-reset".to_owned(), unix(1_792_567_680 + 3_600));
    faults.always(SEND, Fault::Answer { status: 429, headers, body: String::new() });
    for user in &users {
        world.says(user, "told").await;
    }
    let closed_at = world.now();
    for _ in 0..5 {
        world.sweep_after(Duration::from_secs(55)).await;
        for user in &users {
            world.says(user, "told more").await;
        }
    }
    let tries: Vec<_> = faults.spoiled().into_iter().map(|call| call.at.since(closed_at)).collect();
    let trials: Vec<_> = tries.iter().filter(|since| **since > Duration::ZERO).collect();
    assert_eq!(tries.len() - trials.len(), 2);
    assert!((3..=5).contains(&trials.len()), "{trials:?}");
    assert!(trials.windows(2).all(|pair| *pair[1] - *pair[0] >= MINUTE), "{trials:?}");
    faults.clear();
    for _ in 0..2 {
        world.sweep_after(Duration::from_secs(50)).await;
    }
    assert_eq!(said(&world), 24, "the vendor serves again, whatever time it has named");
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_headers_of_an_ordinary_answer_touch_nobody() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    world.escalated_user("Bob").await;
    world.sweep_after(Duration::from_secs(10)).await;
    let headers = [("ratelimit-limit", "100"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "3600")];
    for faults in [world.stack.livechat.faults(), world.stack.botpress.faults()] {
        faults.stamp(&[headers.as_slice(), &[("retry-after", "3600"), ("x-ratelimit-reset", "1792567680")]].concat());
    }
    let body = json!({"id": "err_1", "code": 400, "type": "InvalidPayload", "message": "no"}).to_string();
    world.stack.botpress.faults().next(1, MESSAGES, Fault::answer(400, body));
    for chat in [0, 1] {
        assert!(report(&world, chat, &format!("agent {chat}")).await <= LONGEST_ANSWER);
    }
    world.says(&ann, "told").await;
    assert_eq!(
        (world.shown_by_agents().len(), said(&world)),
        (1, 1),
        "what was refused for good is parked, the rest shown"
    );
    let states = world.items_under("GATE#");
    assert!(states.is_empty(), "{states:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_that_are_triggered_often_leave_the_work_to_the_one_that_is_at_it() {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.stack.botpress.faults().always("POST /v1/chat", Fault::answer(503, "down"));
    report(&world, 0, "held up").await;
    let began = world.now();
    let sweeps = world.all((0..8).map(|_| async {
        let swept = world.stack.sweep().await.unwrap();
        (swept, world.now().since(began))
    }));
    let took: Vec<_> = sweeps.await.into_iter().map(|(_, took)| took).collect();
    assert_eq!(took.iter().filter(|took| **took > Duration::from_secs(1)).count(), 1, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_while_a_delivery_is_under_way_is_put_before_later_words_that_still_wait() {
    let world = World::in_process_with(&[("ORDER_PAUSE_MS", "0")]).await;
    let ann = world.user("Ann").await;
    let escalate = world.stack.botpress.escalate(&ann.conversation_id, Escalation::default());
    world.drive(escalate).await.unwrap();
    let url = world.stack.webhook_url();
    let report = |text: &str, seconds| world.posted(&url, written(&world, 0, text, seconds));
    let mut reports = vec![report("second", 2), report("fourth", 4)];
    let waiting = |world: &World| {
        world.items("waiting").iter().filter(|item| item["content"]["content"]["text"].is_string()).count()
    };
    world.until(|world| waiting(world) == 2).await;
    world.stack.botpress.faults().next(1, MESSAGES, Fault::Delay(Duration::from_millis(500)));
    world.advance(Duration::from_secs(3));
    world.until(|world| world.stack.botpress.faults().spoiled().len() == 1).await;
    // Three seconds have passed since the others were written.
    reports.push(report("third", 0));
    world.until(|world| waiting(world) == 3).await;
    for answer in world.all(reports).await {
        assert_eq!(answer.unwrap().0, 200);
    }
    world.settle().await;
    assert_eq!(world.shown_by_agents(), ["second", "third", "fourth"]);
}

/// A message that a dead process had delivered is looked up before it is delivered again, even after an outage in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_lane_whose_holder_died_is_still_doubted_after_an_outage() {
    let world = World::in_process().await;
    let ann = world.escalated_user("Ann").await;
    let bob = world.escalated_user("Bob").await;
    let livechat = world.stack.livechat.faults();
    let headers = BTreeMap::from([("retry-after".to_owned(), "30".to_owned())]);
    // Left to the sweep, and certainly not delivered.
    livechat.next(1, "customer/action/send_event", Fault::Answer { status: 429, headers, body: String::new() });
    world.says(&ann, "once").await;
    world.fail_points.kill_at(Place { step: "table complete", side: Side::Before }, 1);
    world.advance(Duration::from_secs(60));
    assert!(world.drive(world.stack.sweep()).await.is_err(), "the sweep dies with what it has delivered");
    world.fail_points.clear();
    world.advance(Duration::from_secs(120));
    livechat.always("", Fault::answer(503, "down"));
    world.says(&bob, "what shows that LiveChat is down").await;
    world.says(&ann, "later").await;
    livechat.clear();
    world.sweep_after(Duration::from_secs(60)).await;
    let sent = world.sent_by_customers();
    for text in ["once", "later"] {
        assert_eq!(sent.iter().filter(|sent| *sent == text).count(), 1, "{text}: {sent:?}");
    }
}

/// The starts are due before a delivery that does not need LiveChat. It has its turn in the same sweep, and the rest is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_failed_starts_keep_no_delivery_from_its_turn() {
    const STARTS: u64 = 1_000;
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let url = world.stack.table.url();
    let (dynamodb, _) = aws::stand_ins(&url, &url).unwrap();
    let table = Table::new(dynamodb, world.stack.table.name().to_owned(), world.clock());
    for number in 0..STARTS {
        let start = session(&format!("start {number}"), &format!("user {number}"));
        let claim = Claim { until: world.now(), ..start.claim.clone() };
        let start = Session { claim, started_at: world.now(), ..start };
        assert!(table.claim_start(&start, None, None).await.unwrap());
    }
    world.advance(Duration::from_secs(1));
    world.stack.botpress.faults().always("messages/get-or-create", Fault::answer(503, "down"));
    world.answers(ANNA, "left to the sweep").await;
    world.stack.botpress.faults().clear();
    assert!(world.shown_by_agents().is_empty());
    world.stack.livechat.faults().always("", Fault::hang());
    world.advance(Duration::from_secs(30));
    let begin = world.now();
    world.sweep().await;
    let shown = world.entries("shown_to_user", "/from", "agent");
    let [shown] = shown.as_slice() else { panic!("{shown:?}") };
    let took = shown.at.since(begin);
    assert!(took < Duration::from_secs(10), "{took:?}");
    let unseen = table.sweeps().await.unwrap().unwrap().unseen;
    assert!((1..STARTS).contains(&unseen), "{unseen}");
    let left = u64::try_from(table.due(begin, 10_000).await.unwrap().len()).unwrap();
    assert!(left < STARTS, "{left}: those that were looked at are due later");
}
