//! What a message costs: the calls on which docs/operations.md bases its sums.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use sandbox::botpress::UpstreamUser;
use sandbox::faults::Fault;
use serde_json::{Value, json};
use shared::metrics::{About, Metric, Recorded};
use tests::{ANNA, ASK, World};

/// How often the table was called, by operation, and how often a function ran.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    table: BTreeMap<String, usize>,
    invocations: usize,
}

fn count(world: &World) -> Count {
    let table = world.stack.table_proxy.as_ref().unwrap().calls();
    Count { table, invocations: world.count("operation_called") + world.count("webhook_delivered") }
}

fn since(before: &Count, world: &World) -> Count {
    let now = count(world);
    let table = now.table.into_iter().map(|(name, calls)| {
        let known = before.table.get(&name).copied().unwrap_or_default();
        (name, calls - known)
    });
    Count { table: table.filter(|(_, calls)| *calls > 0).collect(), invocations: now.invocations - before.invocations }
}

fn calls(table: &[(&str, usize)], invocations: usize) -> Count {
    Count { table: table.iter().map(|(name, calls)| ((*name).to_owned(), *calls)).collect(), invocations }
}

/// A change here changes what messages cost: docs/operations.md contains the sum, and design.md the reasons.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_and_a_sweep_take_the_calls_that_the_operator_is_told_of() {
    let world = World::of_instances(1, true).await;
    let ann = world.escalated_user("Ann").await;
    world.answers(ANNA, "the agent is known from here on").await;
    world.advance(Duration::from_secs(10));

    let before = count(&world);
    world.says(&ann, "hello").await;
    let first_in_the_process = calls(&[("BatchGetItem", 1), ("GetItem", 1), ("TransactWriteItems", 2)], 1);
    assert_eq!(since(&before, &world), first_in_the_process);

    let any_other = calls(&[("BatchGetItem", 1), ("TransactWriteItems", 2)], 1);
    let before = count(&world);
    world.says(&ann, "is anybody there?").await;
    assert_eq!(since(&before, &world), any_other);

    let before = count(&world);
    world.answers(ANNA, "hello").await;
    assert_eq!(since(&before, &world), any_other);

    let before = count(&world);
    assert!(world.stack.livechat.deliver_again("incoming_chat"));
    world.settle().await;
    assert_eq!(since(&before, &world), calls(&[("BatchGetItem", 1)], 1), "nothing waits, and the start is over");

    let before = count(&world);
    assert!(world.stack.livechat.deliver_again("incoming_event"));
    world.settle().await;
    assert_eq!(since(&before, &world), calls(&[("BatchGetItem", 1)], 1), "a repeat writes nothing");

    let before = count(&world);
    world.sweep().await;
    assert_eq!(since(&before, &world), calls(&[("GetItem", 1), ("UpdateItem", 1), ("Query", 4)], 0));
}

/// Returns LiveChat's calls in the order in which they were answered; each is billed.
fn billed_since(world: &World, entries: usize) -> Vec<String> {
    let since = world.stack.journal.since(entries);
    let answered = since.iter().filter(|entry| entry.effect == "call_answered").map(|entry| entry.text("/call"));
    answered.filter(|call| call.contains('/')).map(str::to_owned).collect()
}

/// Returns the same sorted by name, since concurrent calls have no fixed order.
async fn billed(world: &World, work: impl Future<Output = ()>) -> Vec<String> {
    let before = world.stack.journal.len();
    work.await;
    let mut calls = billed_since(world, before);
    calls.sort_unstable();
    calls
}

async fn escalated(world: &World, user: &UpstreamUser) {
    world.says(user, "I need a person").await;
    world.escalate(user).await.unwrap();
}

/// Sends five messages each way, which takes longer than a group's status stays valid.
async fn ten_messages(world: &World, user: &UpstreamUser) {
    for word in ["one", "two", "three", "four", "five"] {
        world.says(user, word).await;
        world.answers(ANNA, word).await;
        world.advance(Duration::from_secs(10));
    }
}

const TOKEN: &str = "accounts/token";
const STATUS: &str = "customer/list_group_statuses";
const PROFILE: &str = "customer/update_customer";
const START: &str = "customer/start_chat";
const RESUME: &str = "customer/resume_chat";
const SEND: &str = "customer/send_event";
const READ: &str = "agent/get_chat";
const CLOSE: &str = "agent/deactivate_chat";

/// The maximum number of counts. On a busy machine time may pass while a call is being prepared, so that an event waits in vain for the
/// start. That can only raise the count.
const MOST_COUNTS: usize = 5;

async fn counts<T: PartialEq + Debug, F: Future<Output = T>>(expected: T, count: impl Fn() -> F) {
    let mut counted = count().await;
    for _ in 1..MOST_COUNTS {
        if counted == expected {
            return;
        }
        counted = count().await;
    }
    assert_eq!(counted, expected);
}

/// docs/operations.md explains why each is needed, and calculates LiveChat's fee with these.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_ten_messages_makes_the_livechat_calls_that_the_operator_is_told_of() {
    let expected = [
        // A new user, who is introduced to the agents once.
        vec![TOKEN, STATUS, START, PROFILE],
        // Ten messages; those of agents cost nothing.
        vec![SEND; 5],
        // The end by the agent.
        vec![READ],
        // The start of a user who comes back, and the end by the bot.
        vec![STATUS, RESUME],
        vec![CLOSE],
        // The same after an end by the bot: the user's messages to agents are not read at LiveChat.
        vec![STATUS, RESUME],
        // With a new token.
        vec![TOKEN, STATUS, RESUME],
        // After the bot has called `checkAvailability`.
        vec![RESUME],
    ];
    let expected = expected.map(|calls| calls.into_iter().map(str::to_owned).collect::<Vec<_>>());
    counts(expected, async || {
        let world = World::in_process().await;
        let ann = world.user("Ann").await;
        let new = billed(&world, escalated(&world, &ann)).await;
        let messages = billed(&world, ten_messages(&world, &ann)).await;
        let end_by_agent = billed(&world, world.agent_closes(ANNA)).await;
        let back = billed(&world, escalated(&world, &ann)).await;
        ten_messages(&world, &ann).await;
        let mut end_by_bot = billed(&world, world.user_ends(&ann)).await;
        // The user's command to end is a message like any other if it is quicker than the end.
        end_by_bot.retain(|call| call != SEND);
        let again = billed(&world, escalated(&world, &ann)).await;
        world.agent_closes(ANNA).await;
        world.advance(Duration::from_secs(8 * 3_600));
        let with_token = billed(&world, escalated(&world, &ann)).await;
        world.agent_closes(ANNA).await;
        world.act("checkAvailability", json!({})).await;
        let after_check = billed(&world, escalated(&world, &ann)).await;
        [new, messages, end_by_agent, back, end_by_bot, again, with_token, after_check]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_botcopy_makes_the_same_livechat_calls() {
    let expected = [vec![TOKEN, STATUS, START, PROFILE], vec![SEND; 5], vec![READ], vec![STATUS, RESUME]];
    let expected = expected.map(|calls| calls.into_iter().map(str::to_owned).collect::<Vec<_>>());
    counts(expected, async || {
        let world = World::in_process().await;
        let user = world.widget_user().await;
        let new = billed(&world, world.widget_says(&user, ASK)).await;
        let messages = billed(&world, async {
            for word in ["one", "two", "three", "four", "five"] {
                world.widget_says(&user, word).await;
                world.answers(ANNA, word).await;
                world.advance(Duration::from_secs(10));
            }
        });
        let messages = messages.await;
        let end = billed(&world, world.agent_closes(ANNA)).await;
        [new, messages, end, billed(&world, world.widget_says(&user, ASK)).await]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_reads_its_thread_only_if_something_has_come_too_early() {
    for only_my_chats in ["yes", "no"] {
        let world = World::in_process_with(&[("ONLY_MY_CHATS", only_my_chats)]).await;
        let ann = world.user("Ann").await;
        // Longer than an event waits for the start that opened its thread.
        world.stack.livechat.faults().next(1, "customer/action/start_chat", Fault::Pace(Duration::from_secs(3)));
        let calls = billed(&world, escalated(&world, &ann)).await;
        assert_eq!(calls.iter().filter(|call| *call == READ).count(), 1, "{only_my_chats}: {calls:?}");
        world.sweep_after(Duration::from_secs(4)).await;
        assert_eq!(world.bot_events("hitlAssigned").len(), 1, "{only_my_chats}: nothing is missed");
        let notes = usize::from(only_my_chats == "yes");
        assert_eq!(
            world.items("early").len(),
            notes,
            "{only_my_chats}: where all chats are reported, all threads are read"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_a_session_are_counted_in_its_record_and_each_call_in_the_metric() {
    let world = World::in_process().await;
    let ann = world.user("Ann").await;
    let (entries, records) = (world.stack.journal.len(), world.stack.metrics.recorded().len());
    escalated(&world, &ann).await;
    ten_messages(&world, &ann).await;
    world.sweep_after(Duration::from_secs(90)).await;
    world.agent_closes(ANNA).await;
    let made = billed_since(&world, entries);
    assert!(
        made.iter().filter(|call| *call == READ).count() >= 2,
        "one reading in the silence, one at the end: {made:?}"
    );
    let record = world.items("record").remove(0);
    // The call for the token is not in the record: the token belongs to the user, who outlives the session.
    assert_eq!(record["vendor_calls"]["livechat"], json!(made.len() - 1), "{record}");
    let since = world.stack.journal.since(entries);
    let answered = since.iter().filter(|entry| entry.effect == "call_answered");
    let at_botpress: Vec<_> = answered.map(|entry| entry.text("/call")).filter(|call| !call.contains('/')).collect();
    let before = at_botpress.iter().position(|call| call.contains("onversation")).unwrap();
    assert_eq!(record["vendor_calls"]["botpress"], json!(at_botpress.len() - before), "{at_botpress:?} {record}");

    let recorded = world.stack.metrics.recorded().split_off(records);
    let counted = |wanted: &str| {
        let is_of = |one: &&Recorded| {
            one.metric == Metric::VendorCalls && matches!(&one.about, About::Call { vendor, .. } if *vendor == wanted)
        };
        recorded.iter().filter(is_of).map(|one| one.value).sum::<f64>()
    };
    assert_eq!((counted("LiveChat"), counted("Botpress")), (made.len() as f64, at_botpress.len() as f64));
    let is_named = |one: &Recorded| matches!(&one.about, About::Call { vendor: "LiveChat", call: "start_chat" });
    assert_eq!(recorded.iter().filter(|one| is_named(one)).count(), 4, "one call, in four figures");
}

/// What one session, message, reading or sweep takes, by the names of docs/figures.json.
#[derive(Clone, Copy, Debug, Default)]
struct Taken([f64; 6]);

const NAMES: [&str; 6] = ["livechat_calls", "webhooks", "botpress_messages", "requests", "read_units", "write_units"];

impl Taken {
    /// Counts everything so far.
    fn by(world: &World) -> Self {
        let is_botpress_message = |call: &str| ["createMessage", "getOrCreateMessage", "createEvent"].contains(&call);
        let answered = world.stack.journal.all("call_answered");
        let botpress = answered.iter().filter(|entry| is_botpress_message(entry.text("/call"))).count();
        let written = world.entries("operation_called", "/operation", "message_created").len();
        let webhooks = world.count("webhook_delivered");
        let proxy = world.stack.table_proxy.as_ref().unwrap();
        let counts =
            [billed_since(world, 0).len(), webhooks, botpress + written, world.count("operation_called") + webhooks];
        let [livechat, webhooks, botpress, requests] = counts.map(|count| count as f64);
        Self([livechat, webhooks, botpress, requests, proxy.units() - proxy.write_units(), proxy.write_units()])
    }

    fn since(world: &World, before: Self) -> Self {
        let mut taken = Self::by(world);
        taken.0.iter_mut().zip(before.0).for_each(|(now, before)| *now -= before);
        taken
    }
}

async fn taken(world: &World, work: impl Future<Output = ()>) -> Taken {
    let before = Taken::by(world);
    work.await;
    Taken::since(world, before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_thread_is_read_as_often_as_bills_are_reckoned_with() {
    let figures: Value = serde_json::from_str(include_str!("../../docs/figures.json")).unwrap();
    let silence = |name: &str| figures["silence"][name].as_u64().unwrap();
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    let readings = billed(&world, async {
        for _ in 0..120 {
            world.sweep_after(Duration::from_secs(60)).await;
        }
    });
    let expected = silence("first_readings") + (120 - silence("by_minute")) / silence("then_every_minutes");
    // A sweep comes a moment after a reading is due, and so does the next one, so the count may be off by one.
    assert!((readings.await.len() as u64).abs_diff(expected) <= 1, "{expected}");
}

/// Measures what one of each takes.
async fn measured() -> [(&'static str, Taken); 5] {
    let world = World::of_instances(1, true).await;
    let ben = world.escalated_user("Ben").await;
    world.advance(Duration::from_secs(20));
    world.says(&ben, "the processes are warm from here on").await;
    world.agent_closes(ANNA).await;
    world.advance(Duration::from_secs(20));
    let ann = world.user("Ann").await;
    let start = taken(&world, escalated(&world, &ann)).await;
    world.says(&ann, "the session is known from here on").await;
    world.answers(ANNA, "the agent is known from here on").await;
    world.advance(Duration::from_secs(10));
    let user_message = taken(&world, world.says(&ann, "hello")).await;
    let agent_message = taken(&world, world.answers(ANNA, "hello")).await;
    world.advance(Duration::from_secs(61));
    world.sweep().await;
    let sweep = taken(&world, world.sweep()).await;
    world.advance(Duration::from_secs(121));
    let mut reading = taken(&world, world.sweep()).await;
    reading.0.iter_mut().zip(sweep.0).for_each(|(with, without)| *with -= without);
    let mut session = taken(&world, world.agent_closes(ANNA)).await;
    session.0.iter_mut().zip(start.0).for_each(|(end, start)| *end += start);
    [
        ("session", session),
        ("user_message", user_message),
        ("agent_message", agent_message),
        ("reading", reading),
        ("sweep", sweep),
    ]
}

/// `hitl cost` and `hitl estimate` calculate with these figures; a change here changes what every user pays.
#[tokio::test(flavor = "multi_thread")]
async fn the_figures_that_bills_are_reckoned_with_are_those_that_are_measured() {
    let figures: Value = serde_json::from_str(include_str!("../../docs/figures.json")).unwrap();
    counts(Vec::<String>::new(), async || {
        let mut wrong = Vec::new();
        for (name, taken) in measured().await {
            for (index, figure) in NAMES.into_iter().enumerate() {
                let stated = figures["measured"][name][figure].as_f64().unwrap();
                // Units depend on the length of ids and times, and on how often callers that wait for a start look at it.
                let slack = if index < 4 { 0.01 } else { 1.6 + stated / 5.0 };
                if (taken.0[index] - stated).abs() > slack {
                    wrong.push(format!("{name}, {figure}: {} and not {stated}", taken.0[index]));
                }
            }
        }
        wrong
    })
    .await;
}
