//! The process dies at every place while a session ends or is rated: the session leaves one record with the right figures and at least
//! one log line of it, and LiveChat has one rating.

use std::time::Duration;

use sandbox::botpress::UpstreamUser;
use sandbox::faults::Fault;
use sandbox::livechat::Assignment;
use serde_json::{Value, json};
use shared::aws;
use shared::config::Config;
use shared::fail_point::Place;
use shared::handoff::Handoff;
use shared::ids::SessionId;
use shared::media::Policy;
use shared::metrics::Metrics;
use shared::secrets::Cache;
use tests::{ANNA, Log, World, text};

/// The way in which a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    AgentCloses,
    Untold,
    UserEnds,
    OperatorCloses,
    Superseded,
    NobodyComes,
    StartFails,
    StartIsRefused,
}

impl End {
    /// Returns the reason and author of the end, and the number of messages from the user and from agents before it.
    fn expected(self) -> (&'static str, &'static str, u64, u64) {
        match self {
            Self::AgentCloses | Self::Untold => ("livechat", "agent", 1, 1),
            Self::UserEnds => ("bot", "bot", 1, 1),
            Self::OperatorCloses => ("operator", "operator", 1, 1),
            Self::Superseded => ("superseded", "stack", 1, 1),
            Self::NobodyComes => ("given_up", "stack", 1, 0),
            Self::StartFails | Self::StartIsRefused => ("not_started", "stack", 0, 0),
        }
    }

    fn is_of_start(self) -> bool {
        matches!(self, Self::StartFails | Self::StartIsRefused)
    }

    /// Returns a world in which it can end so.
    async fn begin(self) -> (World, UpstreamUser) {
        let world = World::in_process_with(&[("ASSIGN_TIMEOUT_SECONDS", "90")]).await;
        if self == Self::NobodyComes {
            world.stack.livechat.set_behaviour(|behaviour| behaviour.assignment = Assignment::Manual);
        }
        let ann = world.user("Ann").await;
        if !self.is_of_start() {
            world.escalate(&ann).await.unwrap();
            world.says(&ann, "order 7").await;
        }
        if !self.is_of_start() && self != Self::NobodyComes {
            world.answers(ANNA, "hi").await;
        }
        (world, ann)
    }

    /// Ends the session. A killed invocation is an error for its caller, so errors do not count here.
    async fn act(self, world: &World, ann: &UpstreamUser) {
        match self {
            Self::AgentCloses => world.agent_closes(ANNA).await,
            Self::Untold => {
                world.stack.gateway_faults.always("POST /livechat", Fault::answer(503, ""));
                world.agent_closes(ANNA).await;
                sweeps(world, 3).await;
            }
            Self::UserEnds => drop(world.drive(world.stack.botpress.user_ends(&ann.conversation_id)).await),
            Self::OperatorCloses => operator_closes(world).await,
            Self::Superseded => {
                let on_phone = world.stack.botpress.new_conversation(&ann.conversation_id).unwrap();
                world.says(&on_phone, "I am on my phone now").await;
                drop(world.escalate(&on_phone).await);
            }
            Self::NobodyComes => sweeps(world, 3).await,
            Self::StartFails => {
                let refused = json!({"id": "err_1", "code": 400, "type": "InvalidPayload", "message": "no"});
                let refusal = Fault::answer(400, refused.to_string());
                world.stack.botpress.faults().next(1, "conversations/get-or-create", refusal);
                drop(world.escalate(ann).await);
            }
            Self::StartIsRefused => {
                let refused = json!({"error": {"type": "validation", "message": "no"}});
                world.stack.livechat.faults().next(1, "action/start_chat", Fault::answer(422, refused.to_string()));
                drop(world.escalate(ann).await);
            }
        }
        world.settle().await;
    }
}

/// Does what `hitl close` does, in a process of its own, which may die like any other.
async fn operator_closes(world: &World) {
    let environment = world.stack.operator_environment();
    let (table, secrets) = aws::stand_ins(&world.stack.table.url(), &world.stack.secrets_manager.url()).unwrap();
    let config = Config::from_lookup(|key| environment.get(key).cloned()).unwrap();
    let secrets = Cache::new(secrets, config.secret_id.clone(), world.clock());
    let media = Policy::new(config.media_hosts.clone());
    let handoff = Handoff::with_parts(config, world.clock(), table, secrets, Metrics::kept(), media).unwrap();
    let id = SessionId::from(text(&world.items("session")[0], "session_id"));
    let deadline = world.now() + Duration::from_secs(20);
    let closing = async move { drop(Box::pin(handoff.close_session(&id, deadline)).await) };
    drop(world.drive(tokio::spawn(world.fail_points.clone().run(closing))).await);
}

async fn sweeps(world: &World, count: usize) {
    for _ in 0..count {
        world.advance(Duration::from_secs(60));
        world.settle().await;
        // The sweep may be the one that dies; the next one runs in a minute.
        drop(world.drive(world.stack.sweep()).await);
        world.settle().await;
    }
}

/// Returns the log lines of a session's record.
fn lines(log: &Log, session_id: &str) -> Vec<Value> {
    let lines = log.text();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let records = lines.filter(|line| line["message"] == "a session is recorded" && line["session.id"] == session_id);
    let fields = |line: Value| {
        let fields = line.as_object().unwrap().clone();
        fields.into_iter().filter(|(name, _)| name.starts_with("record.")).collect::<serde_json::Map<_, _>>().into()
    };
    records.map(fields).collect()
}

/// Asserts that every closed session has one record, with a matching log line.
fn judge(world: &World, log: &Log, died: &str) {
    let (sessions, records) = (world.items("session"), world.items("record"));
    let closed: Vec<_> = sessions.iter().filter(|session| session["session_state"] == "closed").collect();
    assert_eq!(closed.len(), records.len(), "{died}: {records:?}");
    for session in closed {
        let id = text(session, "session_id");
        let record = records.iter().find(|record| text(record, "session_id") == id).unwrap_or_else(|| panic!("{died}"));
        let lines = lines(log, id);
        let last = lines.last().unwrap_or_else(|| panic!("{died}: no line of {record}"));
        for name in ["ended_because", "ended_by", "from_user", "from_agents", "started_at"] {
            assert_eq!(last[format!("record.{name}")], record[name], "{died}: {name}");
        }
        if session["active_at"].is_string() {
            assert!(lines.iter().all(|line| line == last), "{died}: repeats say the same: {lines:?}");
        }
    }
}

/// Asserts that the record of the first session is correct; returns whether the session had ended by itself.
async fn conclude(world: &World, end: End, log: &Log, died: &str) -> bool {
    world.stack.gateway_faults.clear();
    sweeps(world, 5).await;
    let is_over = |world: &World| world.items("session").iter().all(|session| session["session_state"] == "closed");
    let first = world.items("session").into_iter().min_by_key(|session| text(session, "started_at").to_owned());
    let ended_by_itself = first.is_none_or(|session| session["session_state"] == "closed");
    if !is_over(world) {
        for chat in world.stack.livechat.open_chats() {
            let agent = chat.public_agent().unwrap_or(ANNA).to_owned();
            world.stack.livechat.agent_closes(&chat.id, &agent).unwrap();
        }
        sweeps(world, 3).await;
    }
    assert!(is_over(world), "{died}: {:?}", world.items("session"));
    judge(world, log, died);
    let mut records = world.items("record");
    records.sort_by_key(|record| text(record, "started_at").to_owned());
    let Some(record) = records.first() else { return ended_by_itself };
    let (because, by, from_user, from_agents) = end.expected();
    assert_eq!((&record["from_user"], &record["from_agents"]), (&json!(from_user), &json!(from_agents)), "{died}");
    if ended_by_itself {
        assert_eq!((&record["ended_because"], &record["ended_by"]), (&json!(because), &json!(by)), "{died}");
    }
    ended_by_itself
}

async fn die_everywhere(end: End) {
    let (world, ann) = end.begin().await;
    world.fail_points.clear();
    let log = Log::default();
    let guard = log.listen("info");
    end.act(&world, &ann).await;
    let passed = world.fail_points.passed();
    assert!(conclude(&world, end, &log, "nobody died").await, "{end:?}");
    let first = world.items("record").into_iter().min_by_key(|record| text(record, "started_at").to_owned()).unwrap();
    assert_eq!(lines(&log, text(&first, "session_id")).len(), 1, "{end:?}: one line where nobody dies");
    drop(guard);

    let places: Vec<(Place, u32)> =
        passed.into_iter().flat_map(|(place, times)| (1..=times).map(move |nth| (place, nth))).collect();
    let closes = places.iter().filter(|(place, _)| place.step == "table close").count();
    assert!(closes >= 2, "{end:?} passes {places:?}");
    for (place, nth) in places {
        let died = format!("{end:?}, {:?} {} for the {nth}. time", place.side, place.step);
        let (world, ann) = end.begin().await;
        let log = Log::default();
        let _guard = log.listen("info");
        world.fail_points.kill_at(place, nth);
        end.act(&world, &ann).await;
        conclude(&world, end, &log, &died).await;
    }
}

macro_rules! ends {
    ($($test:ident = $end:ident;)+) => {
        $(
            // Runs on one thread, whose log is read.
            #[tokio::test]
            async fn $test() {
                die_everywhere(End::$end).await;
            }
        )+
    };
}

ends! {
    an_agents_close_leaves_one_record_wherever_the_process_dies = AgentCloses;
    a_close_that_reconciliation_finds_leaves_one_record_wherever_the_process_dies = Untold;
    a_users_end_leaves_one_record_wherever_the_process_dies = UserEnds;
    an_operators_close_leaves_one_record_wherever_the_process_dies = OperatorCloses;
    another_start_leaves_one_record_of_the_session_before_wherever_the_process_dies = Superseded;
    a_session_for_which_nobody_comes_leaves_one_record_wherever_the_process_dies = NobodyComes;
    a_failed_start_leaves_one_record_wherever_the_process_dies = StartFails;
    a_refused_start_leaves_one_record_wherever_the_process_dies = StartIsRefused;
}

/// Returns a world with a session that is over, and its conversation.
async fn over() -> (World, String) {
    let world = World::in_process().await;
    world.escalated_user("Ann").await;
    world.answers(ANNA, "hi").await;
    let conversation = world.stack.journal.all("conversation_created").remove(0).text("/conversation_id").to_owned();
    world.agent_closes(ANNA).await;
    (world, conversation)
}

async fn rate(world: &World, conversation: &str, rating: &str) -> (u16, Value) {
    let answer = world.act("rateHandoff", json!({ "conversationId": conversation, "rating": rating })).await;
    (answer.status, answer.json()["output"]["rated"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rating_is_made_once_and_stands_in_the_record_wherever_the_process_dies() {
    let (world, conversation) = over().await;
    world.fail_points.clear();
    assert_eq!(rate(&world, &conversation, "good").await, (200, json!(true)));
    let passed = world.fail_points.passed();
    let places: Vec<_> =
        passed.into_iter().flat_map(|(place, times)| (1..=times).map(move |nth| (place, nth))).collect();
    assert!(places.iter().any(|(place, _)| place.step == "table put_rating_in_record"), "{places:?}");
    for (place, nth) in places {
        let died = format!("{:?} {} for the {nth}. time", place.side, place.step);
        let (world, conversation) = over().await;
        world.fail_points.kill_at(place, nth);
        let (status, _) = rate(&world, &conversation, "good").await;
        assert!(world.fail_points.has_killed() && status != 200, "{died}: {status}");
        world.stack.restart_functions().unwrap();
        world.advance(Duration::from_secs(17));
        for _ in 0..2 {
            assert_eq!(rate(&world, &conversation, "bad").await, (200, json!(true)), "{died}");
        }
        let taken = world.stack.journal.all("properties_updated");
        let scores: Vec<_> = taken.iter().map(|entry| entry.detail["properties"]["rating"]["score"].clone()).collect();
        assert_eq!(scores.len(), 1, "{died}: {scores:?}");
        assert_eq!(world.items("record")[0]["rating"], scores[0], "{died}: the record has what LiveChat has");
    }
}
