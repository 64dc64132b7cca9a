//! The table's contract: what its verbs rely on, whichever DynamoDB stands behind them.
//!
//! They run against the embedded engine, or against the DynamoDB at `DYNAMODB_ENDPOINT`, which takes any credentials:
//! `DYNAMODB_ENDPOINT=http://127.0.0.1:4566 cargo test -p tests --test it store::`. Each test has a table of its own.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use sandbox::table::{EmbeddedTable, definition};
use sandbox::table_proxy::TableProxy;
use shared::aws;
use shared::clock::{Clock, Timestamp};
use shared::ids::{ChatId, ConversationId, CustomerId, GroupId, SessionId, ThreadId, UserId};
use shared::model::lane::{
    Accepted, Arrival, Completed, Done, Failing, Known, Lane, Lease, Occupancy, Outcome, Position, Reason, Tally,
    Timer, Waiting,
};
use shared::model::message::Utterance;
use shared::model::session::{AnnouncedAgent, Channel, ChatPointer, Claim, Platform, Session, State, Thread};
use shared::model::user::{Cookies, Customer, Introduction, Profile};
use shared::model::vendor_calls::VendorCalls;
use shared::store::lane::Contents;
use shared::store::{Closing, Due, Ending, LaneQuery, LaneToAgent, Limits, Record, Said, Table, Trouble};
use tokio::task::JoinSet;

/// How many rivals do the same at once.
const RIVALS: usize = 8;

/// A table for one test alone.
struct Store {
    table: Table,
    _embedded: Option<EmbeddedTable>,
}

impl Store {
    async fn new() -> Self {
        let name = format!("store-{:016x}", fastrand::u64(..));
        let (url, embedded) = match endpoint() {
            Some(url) => {
                create(&url, &name).await;
                (url, None)
            }
            None => {
                let embedded = EmbeddedTable::start(&name).unwrap();
                (embedded.url(), Some(embedded))
            }
        };
        let (dynamodb, _) = aws::stand_ins(&url, &url).unwrap();
        Self { table: Table::new(dynamodb, name, Clock::system()), _embedded: embedded }
    }

    /// Returns the whole content of a lane, as its holder reads it.
    async fn contents(&self, session_id: &SessionId) -> Contents<String> {
        self.table.lane(session_id, LANE).await.unwrap()
    }

    async fn accept(&self, session_id: &SessionId, item: &str, received: u64, lease: &Lease) -> Accepted {
        accept(&self.table, session_id, item, received, lease).await
    }

    async fn complete(
        &self,
        session_id: &SessionId,
        item: &Waiting<String>,
        lease: &Lease,
        (arrivals, is_last): (u64, bool),
    ) -> Completed {
        self.table.complete(&done(session_id, item, Outcome::Delivered), lease, known(arrivals, is_last)).await.unwrap()
    }

    async fn due(&self, by: u64, limit: i32) -> Vec<(String, Due)> {
        let due = self.table.due(at(by), limit).await.unwrap();
        due.into_iter().map(|(_, session_id, due)| (session_id.to_string(), due)).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting of the product")]
fn endpoint() -> Option<String> {
    std::env::var("DYNAMODB_ENDPOINT").ok()
}

/// Creates the table as CloudFormation does.
async fn create(url: &str, name: &str) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let request = reqwest::Client::new().post(url).body(definition(name).to_string());
    let scope = "20260511/us-east-1/dynamodb/aws4_request";
    let request = request
        .header("x-amz-target", "DynamoDB_20120810.CreateTable")
        .header("content-type", "application/x-amz-json-1.0")
        .header("authorization", format!("AWS4-HMAC-SHA256 Credential=test/{scope}, SignedHeaders=host, Signature=0"));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

const LANE: Lane = Lane::ToAgent;

/// Returns the time so many seconds after the beginning.
const fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(1_778_492_460_000 + 1_000 * seconds.cast_signed())
}

fn lease(holder: &str, until: u64) -> Lease {
    Lease { holder: holder.to_owned(), until: at(until), deadline: at(until) }
}

/// Returns an item named after its own time in seconds: `message:7`.
fn arrival<'a>(session_id: &'a SessionId, item: &str, content: &'a String, received: u64) -> Arrival<'a, String> {
    let seconds = item.rsplit(':').next().unwrap().parse().unwrap();
    Arrival {
        session_id,
        lane: LANE,
        position: Position { at: at(seconds), source_id: item.to_owned() },
        content,
        received_at: at(received),
        expires_at: at(received + 3_600),
        revision: None,
    }
}

async fn accept(table: &Table, session_id: &SessionId, item: &str, received: u64, lease: &Lease) -> Accepted {
    table.accept(&arrival(session_id, item, &item.to_owned(), received), lease, Occupancy::Busy).await.unwrap()
}

/// The user of every lane here.
static USER: LazyLock<UserId> = LazyLock::new(|| UserId::from("user"));

fn done<'a>(session_id: &'a SessionId, item: &'a Waiting<String>, outcome: Outcome) -> Done<'a, String> {
    let parked = (outcome == Outcome::Parked).then(|| Reason {
        cause: "refused".to_owned(),
        outcome_unknown: true,
        expires_at: at(9_000),
    });
    let vendor_id = Some("v".to_owned());
    Done {
        session_id,
        user_id: &USER,
        lane: LANE,
        item,
        mark: None,
        outcome,
        vendor_id,
        finished_at: at(1),
        served_by: None,
        parked,
        expires_at: at(9_000),
    }
}

fn known(arrivals: u64, is_last: bool) -> Known {
    Known { arrivals, is_last, is_lively: false, last_number: None, said: Tally::default() }
}

/// Returns the record that a session leaves by an end that read nothing.
fn record(session: &Session) -> Record {
    let ending = Ending::unread("bot", None, "to_agent:close".to_owned());
    Record::of(session, &ending, (Said::default(), VendorCalls::default()), at(90), at(100))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rating_that_meets_an_end_is_in_the_record() {
    let store = Store::new().await;
    let session = session("s1", "ann");
    assert!(store.table.claim_start(&session, None, None).await.unwrap());
    store.table.note_rated(&session.session_id, 1, at(5)).await.unwrap();
    let item = Some("to_agent:close");
    let closed = store.table.close(&session, record(&session), item, LaneToAgent::Busy).await.unwrap();
    let Closing::Done(written) = closed else { panic!("{closed:?}") };
    assert_eq!(written.rating, Some(1), "the end had not seen it");
    assert_eq!(store.table.records_of_day(session.started_at, at(99)).await.unwrap().records, [*written]);
    let closed = store.table.session(&session.session_id).await.unwrap().unwrap();
    assert_eq!((closed.state, closed.end_item.as_deref()), (State::Closed, Some("to_agent:close")));
    let again = store.table.close(&session, record(&session), None, LaneToAgent::Busy).await.unwrap();
    assert_eq!(again, Closing::WasOver);
    store.table.put_rating_in_record(&session, None).await.unwrap();
    assert_eq!(store.table.record(&session, at(99)).await.unwrap().unwrap().rating, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_an_operator_closes_is_recorded_as_theirs() {
    let store = Store::new().await;
    let session = Session { closed_by_operator: true, ..session("s1", "ann") };
    assert!(
        store.table.claim_start(&Session { closed_by_operator: false, ..session.clone() }, None, None).await.unwrap()
    );
    assert!(store.table.begin_undoing(&session, None, at(40)).await.unwrap());
    let stored = store.table.session(&session.session_id).await.unwrap().unwrap();
    let record = record(&stored);
    assert_eq!((record.ended_because.as_str(), record.ended_by.as_str()), ("not_started", "operator"));
}

/// Returns a start that has just been claimed.
pub(crate) fn session(id: &str, user: &str) -> Session {
    let channel = Channel { bot_id: "bot".into(), user_id: user.into() };
    Session {
        session_id: SessionId::from(id),
        state: State::Starting,
        platform: Platform::Botcopy(channel),
        user_id: UserId::from(user),
        group_id: GroupId(1),
        language: None,
        request_digest: "d".to_owned(),
        handoff_texts: 0,
        claim: Claim { holder: format!("holder of {id}"), until: at(20) },
        started_at: at(0),
        thread: None,
        conversation_id: None,
        in_doubt_until: None,
        active_at: None,
        moves: 0,
        left_conversations: Vec::new(),
        announced_agent: None,
        earlier_agents: Vec::new(),
        assigned_at: None,
        announcements: 0,
        opening: None,
        paused_at: None,
        silent_reads: 0,
        nobody_online: false,
        read_up_to: None,
        readings: 0,
        start_calls: VendorCalls::default(),
        earlier_thread_id: None,
        must_read: false,
        bot_told: None,
        kept_at: None,
        failure: None,
        closed_by_operator: false,
        rating: None,
        end_item: None,
    }
}

/// Returns the results of the same work by all rivals at once.
async fn all_at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(work: impl Fn(usize) -> F) -> Vec<T> {
    let rivals: JoinSet<T> = (0..RIVALS).map(work).collect();
    rivals.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_claims_one_is_granted_and_nothing_of_the_others_is_written() {
    let store = Store::new().await;
    let granted = all_at_once(|rival| {
        let table = store.table.clone();
        async move {
            let session = session(&format!("s{rival}"), "ann");
            (session.session_id.clone(), table.claim_start(&session, None, None).await.unwrap())
        }
    })
    .await;
    assert_eq!(granted.iter().filter(|(_, granted)| *granted).count(), 1, "{granted:?}");
    for (session_id, granted) in granted {
        assert_eq!(store.table.session(&session_id).await.unwrap().is_some(), granted, "{session_id}");
        let user = store.table.user(&UserId::from("ann")).await.unwrap().unwrap();
        assert_eq!(user.session_id == Some(session_id), granted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_holds_only_against_what_was_seen() {
    let store = Store::new().await;
    let (first, second, third) = (session("s1", "ann"), session("s2", "ann"), session("s3", "ann"));
    assert!(store.table.claim_start(&first, None, None).await.unwrap());
    assert!(!store.table.claim_start(&second, None, None).await.unwrap());
    assert!(!store.table.claim_start(&second, Some(&third.session_id), None).await.unwrap());
    assert!(store.table.claim_start(&second, Some(&first.session_id), None).await.unwrap());

    let claim = Claim { holder: "another".to_owned(), until: at(40) };
    assert!(store.table.take_over_start(&second, &claim).await.unwrap());
    assert!(!store.table.take_over_start(&second, &claim).await.unwrap(), "the claim that was seen is gone");
    let thread = Thread { chat_id: ChatId::from("c"), thread_id: ThreadId::from("t") };
    let pointer = ChatPointer::to(&second, &CustomerId::from("u"), &thread);
    assert!(!store.table.open_thread(&second, &thread, &pointer).await.unwrap(), "the claim is another's");
    assert!(!store.table.begin_undoing(&second, None, at(40)).await.unwrap(), "nor may its loser undo the start");
    assert_eq!(store.table.session(&second.session_id).await.unwrap().unwrap().state, State::Starting);
    assert!(store.table.find_by_chat(&thread.chat_id).await.unwrap().is_none(), "nor is there a pointer");
    let second = Session { claim, ..second };
    assert!(store.table.open_thread(&second, &thread, &pointer).await.unwrap());
    assert_eq!(store.table.find_by_chat(&thread.chat_id).await.unwrap().unwrap().session_id, second.session_id);
    let conversation = ConversationId::from("conv");
    assert!(store.table.activate(&second, &conversation, at(3), at(63), None).await.unwrap());
    assert!(!store.table.activate(&second, &conversation, at(3), at(63), None).await.unwrap(), "it is active already");
    let stored = store.table.session(&second.session_id).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.thread.as_ref(), stored.active_at), (State::Active, Some(&thread), Some(at(3))));
    assert!(store.table.begin_closing(&second.session_id).await.unwrap());
    assert!(!store.table.begin_closing(&second.session_id).await.unwrap());

    let close =
        async |session: &Session| store.table.close(session, record(session), None, LaneToAgent::Busy).await.unwrap();
    assert!(matches!(close(&stored).await, Closing::Done(_)));
    assert_eq!(close(&stored).await, Closing::WasOver, "it has left its record already");
    assert_eq!(store.table.records_of_day(stored.started_at, at(99)).await.unwrap().records, [record(&stored)]);
    assert!(store.table.find_by_conversation(&conversation, at(99)).await.unwrap().is_some());
    assert!(store.table.find_by_conversation(&conversation, at(100)).await.unwrap().is_none(), "expired, not deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_accepted_once_and_a_lane_has_one_holder() {
    let store = Store::new().await;
    let id = SessionId::from("s");
    assert_eq!(store.accept(&id, "message:1", 1, &lease("a", 10)).await, Accepted::WithLease);
    assert_eq!(store.accept(&id, "message:2", 2, &lease("b", 12)).await, Accepted::WithoutLease);
    for holder in ["a", "b"] {
        assert_eq!(store.accept(&id, "message:1", 3, &lease(holder, 13)).await, Accepted::Duplicate);
    }
    let contents = store.contents(&id).await;
    assert_eq!((contents.arrivals, contents.waiting.len(), contents.was_interrupted), (2, 2, false));

    assert!(!store.table.take_lease(&id, LANE, &lease("c", 19), at(9)).await.unwrap(), "it is held");
    assert!(store.table.take_lease(&id, LANE, &lease("c", 20), at(10)).await.unwrap(), "it has run out");
    let contents = store.contents(&id).await;
    assert!(contents.was_interrupted, "its holder never gave it back");
    let lost = store.complete(&id, &contents.waiting[0], &lease("a", 10), (2, false)).await;
    assert_eq!(lost, Completed::LeaseLost);
    assert_eq!(store.contents(&id).await.waiting, contents.waiting, "nothing of it was written");

    let held = lease("c", 20);
    assert_eq!(store.complete(&id, &contents.waiting[0], &held, (2, false)).await, Completed::MoreToDo);
    assert_eq!(store.accept(&id, "message:3", 11, &lease("d", 21)).await, Accepted::WithoutLease);
    assert_eq!(store.complete(&id, &contents.waiting[1], &held, (2, true)).await, Completed::SomethingArrived);
    let contents = store.contents(&id).await;
    assert_eq!(contents.waiting.iter().map(|item| item.content.as_str()).collect::<Vec<_>>(), ["message:3"]);
    assert!(!store.table.release(&id, LANE, &held, 2).await.unwrap(), "something has arrived since");
    assert_eq!(store.complete(&id, &contents.waiting[0], &held, (3, true)).await, Completed::Released);
    assert!(!store.table.take_lease(&id, LANE, &lease("e", 40), at(30)).await.unwrap(), "nothing waits");
    assert_eq!(store.accept(&id, "message:4", 12, &lease("f", 22)).await, Accepted::WithLease);
    assert!(!store.contents(&id).await.was_interrupted, "the holder before gave it back");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_equal_arrivals_one_counts_and_of_many_different_ones_all() {
    let store = Store::new().await;
    let (same, different) = (SessionId::from("same"), SessionId::from("different"));
    let bring = |session_id: &SessionId, item: String, holder: usize| {
        let (table, session_id) = (store.table.clone(), session_id.clone());
        async move { accept(&table, &session_id, &item, 1, &lease(&format!("h{holder}"), 10)).await }
    };
    let accepted = all_at_once(|rival| bring(&same, "message:1".to_owned(), rival)).await;
    let duplicates = accepted.iter().filter(|one| **one == Accepted::Duplicate).count();
    assert_eq!((duplicates, store.contents(&same).await.arrivals), (RIVALS - 1, 1), "{accepted:?}");

    let accepted = all_at_once(|rival| bring(&different, format!("message:{rival}"), rival)).await;
    let holders = accepted.iter().filter(|one| **one == Accepted::WithLease).count();
    let contents = store.contents(&different).await;
    assert_eq!((holders, contents.waiting.len()), (1, RIVALS), "{accepted:?}");
    assert_eq!(contents.arrivals, RIVALS as u64, "none was counted over another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_is_read_in_the_order_of_its_sources_over_all_pages() {
    let store = Store::new().await;
    let id = SessionId::from("s");
    // Six times 300 KB take at least two pages in DynamoDB.
    let content = "x".repeat(300_000);
    for second in [5, 1, 6, 2, 4, 3] {
        let item = format!("message:{second}");
        store.table.accept(&arrival(&id, &item, &content, 1), &lease("a", 10), Occupancy::Busy).await.unwrap();
    }
    let other = Arrival { lane: Lane::ToBot, ..arrival(&id, "message:0", &content, 1) };
    store.table.accept(&other, &lease("a", 10), Occupancy::Busy).await.unwrap();
    let contents = store.contents(&id).await;
    let order: Vec<_> = contents.waiting.iter().map(|item| item.position.at).collect();
    assert_eq!(order, [1, 2, 3, 4, 5, 6].map(at), "and nothing of the other lane");
    assert_eq!(contents.arrivals, 6);
    assert!(contents.waiting.iter().all(|item| item.content == content));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_lists_what_is_due_longest_due_first_and_forgets_what_is_done() {
    let store = Store::new().await;
    for (id, until) in [("c", 30), ("a", 10), ("d", 40), ("b", 20)] {
        store.accept(&SessionId::from(id), "message:1", 1, &lease("h", until)).await;
    }
    let lane = |id: &str| (id.to_owned(), Due::Lane(LANE));
    assert_eq!(store.due(9, 10).await, []);
    assert_eq!(store.due(30, 10).await, [lane("a"), lane("b"), lane("c")]);
    assert_eq!(store.due(40, 2).await, [lane("a"), lane("b")]);

    let (done, later) = (SessionId::from("a"), SessionId::from("b"));
    let item = store.contents(&done).await.waiting.remove(0);
    assert_eq!(store.complete(&done, &item, &lease("h", 10), (1, true)).await, Completed::Released);
    store.table.postpone(&later, LANE, &lease("h", 20), at(35), None).await.unwrap();
    assert_eq!(store.due(40, 10).await, [lane("c"), lane("b"), lane("d")]);
    assert_eq!(store.contents(&later).await.not_before, Some(at(35)));

    store.table.claim_start(&session("s", "ann"), None, None).await.unwrap();
    store.table.set_timer(&SessionId::from("t"), Timer::Pause, at(5)).await.unwrap();
    let expected = [("t".to_owned(), Due::Timer(Timer::Pause)), ("s".to_owned(), Due::Session), lane("c")];
    assert_eq!(store.due(30, 10).await, expected);
    let turns = all_at_once(|_| {
        let table = store.table.clone();
        async move { table.take_timer(&SessionId::from("t"), Timer::Pause, at(5), at(300)).await.unwrap() }
    })
    .await;
    assert_eq!(turns.iter().filter(|taken| **taken).count(), 1, "one of them acts on it");
    assert_eq!(store.due(30, 10).await, expected[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_counts_as_absent_before_it_is_deleted() {
    let store = Store::new().await;
    let id = SessionId::from("s");
    assert_eq!(store.accept(&id, "message:1", 1, &lease("a", 10)).await, Accepted::WithLease);
    assert_eq!(store.accept(&id, "message:1", 3_600, &lease("b", 3_610)).await, Accepted::Duplicate);
    assert_eq!(store.accept(&id, "message:1", 3_601, &lease("b", 3_611)).await, Accepted::WithLease);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_is_kept_put_back_once_and_thrown_away_once() {
    let store = Store::new().await;
    let id = SessionId::from("s");
    store.accept(&id, "message:1", 1, &lease("a", 10)).await;
    let item = store.contents(&id).await.waiting.remove(0);
    let parked = done(&id, &item, Outcome::Parked);
    store.table.complete(&parked, &lease("a", 10), known(1, true)).await.unwrap();
    assert!(store.contents(&id).await.waiting.is_empty());
    let list = async || store.table.parked(at(2), &mut |_| ()).await.unwrap();
    let [parked] = list().await.try_into().unwrap();
    assert_eq!(store.table.outcome(&parked).await.unwrap(), Some(Outcome::Parked));

    assert!(store.table.unpark(&parked, at(2), at(3_600)).await.unwrap());
    assert!(!store.table.unpark(&parked, at(2), at(3_600)).await.unwrap());
    let contents = store.contents(&id).await;
    assert_eq!((contents.waiting[0].content.as_str(), contents.arrivals), ("message:1", 2));
    assert_eq!((store.table.outcome(&parked).await.unwrap(), list().await), (None, vec![]));
    assert_eq!(store.due(2, 10).await.len(), 1, "it is due at once");

    assert!(store.table.take_lease(&id, LANE, &lease("b", 20), at(2)).await.unwrap());
    let again = done(&id, &contents.waiting[0], Outcome::Parked);
    store.table.complete(&again, &lease("b", 20), known(2, true)).await.unwrap();
    assert!(store.table.discard(&parked).await.unwrap());
    assert!(!store.table.discard(&parked).await.unwrap());
    assert_eq!(list().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_twice_is_heard_once_within_its_window() {
    let store = Store::new().await;
    let (user, window) = (UserId::from("ann"), Duration::from_secs(10));
    let hear = |second: u64, id: &str| {
        let heard = Utterance { heard_at: at(second), source_id: id.to_owned() };
        let (table, user) = (store.table.clone(), user.clone());
        async move { table.dedup_utterance(&user, "digest", heard, window).await.unwrap().source_id }
    };
    let ids = all_at_once(|rival| hear(0, &format!("id{rival}"))).await;
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1, "all are told of the same: {ids:?}");
    assert_eq!(hear(9, "later").await, ids[0]);
    assert_eq!(hear(10, "again").await, "again");
    store.table.note_answered(&user, "somebody else's", at(10)).await.unwrap();
    assert_eq!(hear(11, "unanswered").await, "again");
    store.table.note_answered(&user, "again", at(11)).await.unwrap();
    assert_eq!(hear(11, "answered").await, "answered");
    let other = Utterance { heard_at: at(12), source_id: "other".to_owned() };
    assert_eq!(store.table.dedup_utterance(&user, "another digest", other, window).await.unwrap().source_id, "other");
    assert_eq!(hear(12, "in between").await, "in between");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_changed_by_those_who_know_them_and_lifted_by_anybody() {
    let store = Store::new().await;
    let minute = Duration::from_secs(60);
    let mut limits = Limits::default();
    for whose in ["ann", "bob"] {
        limits.refuse("bot", whose, at(10), minute * 2);
    }
    assert!(store.table.put_limits("livechat", &limits, 0).await.unwrap());
    let tries = all_at_once(|_| {
        let (table, mut limits) = (store.table.clone(), limits.clone());
        async move {
            assert!(limits.take_trial("bot", at(70)));
            table.put_limits("livechat", &limits, 1).await.unwrap()
        }
    });
    assert_eq!(tries.await.into_iter().filter(|done| *done).count(), 1, "one of them is first");
    store.table.note_trouble("livechat", &Trouble { at: at(20), failures: 3, hung: false }).await.unwrap();
    store.table.note_trouble("livechat", &Trouble { at: at(15), failures: 0, hung: false }).await.unwrap();
    let state = store.table.vendor_state("livechat").await.unwrap();
    assert_eq!((state.version, state.trouble.failures), (2, 3), "what is older changes nothing");
    let lifted = store.table.reopen("livechat", at(30)).await.unwrap();
    assert_eq!(lifted.len(), 1);
    let [state] = store.table.vendor_states().await.unwrap().try_into().unwrap();
    assert_eq!((state.limits, state.version, state.trouble.failures), (Limits::default(), 3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sweep_is_at_work_at_a_time_and_a_dead_one_is_forgotten() {
    let store = Store::new().await;
    let begin = |holder: &'static str, second| {
        let table = store.table.clone();
        async move { table.begin_sweep(holder, at(second), at(second + 59)).await.unwrap() }
    };
    let begun = all_at_once(|rival| {
        let table = store.table.clone();
        async move { table.begin_sweep(&format!("run {rival}"), at(0), at(59)).await.unwrap() }
    });
    assert_eq!(begun.await.into_iter().filter(|begun| *begun).count(), 1);
    assert!(!begin("early", 58).await);
    assert!(begin("next", 59).await);
    store.table.end_sweep("somebody else", None, 0).await.unwrap();
    assert!(!begin("early", 60).await);
    store.table.end_sweep("next", Some(at(60)), 0).await.unwrap();
    assert!(begin("at once", 60).await);
    assert_eq!(store.table.sweeps().await.unwrap().unwrap().ran_at, at(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_around_a_lane_is_read_in_one_call() {
    let store = Store::new().await;
    let (id, ann) = (SessionId::from("s1"), UserId::from("ann"));
    let wanted = LaneQuery {
        session_id: &id,
        lane: Some(LANE),
        beside: None,
        user_id: Some(&ann),
        vendors: &["livechat"],
        source_ids: &[],
    };
    let nothing = store.table.lane_context(wanted).await.unwrap();
    assert!(nothing.session.is_none() && nothing.user.is_none() && nothing.vendors.is_empty());
    assert_eq!(nothing.occupancy, Occupancy::Idle { arrivals: 0 });
    store.table.claim_start(&session("s1", "ann"), None, None).await.unwrap();
    for vendor in ["livechat", "botpress"] {
        store.table.put_limits(vendor, &Limits::default(), 0).await.unwrap();
    }
    let around = store.table.lane_context(wanted).await.unwrap();
    assert_eq!(around.session.unwrap().session_id, id);
    assert_eq!(around.user.unwrap().user_id, ann);
    assert_eq!(around.vendors.iter().map(|state| state.vendor.as_str()).collect::<Vec<_>>(), ["livechat"]);
    let less = LaneQuery { lane: None, user_id: None, vendors: &[], ..wanted };
    let less = store.table.lane_context(less).await.unwrap();
    assert!(less.user.is_none() && less.vendors.is_empty(), "nobody has asked for these");
    assert_eq!(less.occupancy, Occupancy::Busy, "nobody has looked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pointer_and_where_it_is_taken_to_lead_are_read_in_one_call() {
    let store = Store::new().await;
    let (session, conversation, chat) = (session("s1", "ann"), ConversationId::from("conv"), ChatId::from("chat"));
    let wanted = LaneQuery {
        session_id: &session.session_id,
        lane: Some(LANE),
        beside: None,
        user_id: None,
        vendors: &[],
        source_ids: &[],
    };
    let by_conversation = async |second: u64| {
        let (pointer, around) =
            store.table.find_by_conversation_and_look(&conversation, wanted, at(second)).await.unwrap();
        (pointer.map(|pointer| pointer.session_id), around.session.is_some())
    };
    assert_eq!(by_conversation(1).await, (None, false));
    store.table.claim_start(&session, None, None).await.unwrap();
    let thread = Thread { chat_id: chat.clone(), thread_id: ThreadId::from("t1") };
    let pointer = ChatPointer::to(&session, &CustomerId::from("customer"), &thread);
    assert!(store.table.open_thread(&session, &thread, &pointer).await.unwrap());
    assert!(store.table.activate(&session, &conversation, at(1), at(60), None).await.unwrap());
    assert_eq!(by_conversation(1).await, (Some(session.session_id.clone()), true));
    let (pointer, around) = store.table.find_by_chat_and_look(&chat, wanted).await.unwrap();
    assert_eq!((pointer.unwrap().thread_id, around.session.is_some()), (thread.thread_id, true));
    let ended = Session { conversation_id: Some(conversation.clone()), ..session.clone() };
    let closed = store.table.close(&ended, record(&ended), None, LaneToAgent::Busy).await.unwrap();
    assert!(matches!(closed, Closing::Done(_)));
    assert_eq!(by_conversation(99).await.0, Some(session.session_id.clone()));
    assert_eq!(by_conversation(100).await.0, None, "it should have been deleted by then");
}

/// The writer of an item to an idle lane knows everything that waits there, so the lane must be unchanged since it was read.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_alone_only_in_a_lane_that_is_as_it_was_found() {
    let store = Store::new().await;
    let id = SessionId::from("s");
    let found = async || {
        let wanted =
            LaneQuery { session_id: &id, lane: Some(LANE), beside: None, user_id: None, vendors: &[], source_ids: &[] };
        store.table.lane_context(wanted).await.unwrap().occupancy
    };
    let put = async |item: &str, holder: &str, found: Occupancy| {
        let content = item.to_owned();
        store.table.accept(&arrival(&id, item, &content, 1), &lease(holder, 10), found).await.unwrap()
    };
    let new = found().await;
    assert_eq!(new, Occupancy::Idle { arrivals: 0 });
    let accepted = all_at_once(|rival| {
        let (table, id) = (store.table.clone(), id.clone());
        async move {
            let item = format!("message:{}", rival + 1);
            let accepted = table.accept(&arrival(&id, &item, &item, 1), &lease(&item, 10), new).await.unwrap();
            (accepted, item)
        }
    })
    .await;
    let (alone, others): (Vec<_>, Vec<_>) = accepted.into_iter().partition(|(one, _)| *one == Accepted::Alone);
    let [(_, winner)] = alone.try_into().unwrap();
    assert!(others.iter().all(|(one, _)| *one == Accepted::WithoutLease), "{others:?}");
    assert_eq!(found().await, Occupancy::Held { until: at(10) }, "somebody holds it, and something waits");
    assert_eq!(put("message:1", "a", new).await, Accepted::Duplicate);

    // Emptied and released, the lane is idle again, and the items have been counted: the earlier read is outdated.
    let holder = lease(&winner, 10);
    let contents = store.contents(&id).await;
    assert!(!contents.was_interrupted);
    for (index, item) in contents.waiting.iter().enumerate() {
        store.complete(&id, item, &holder, (contents.arrivals, index + 1 == RIVALS)).await;
    }
    let emptied = found().await;
    assert_eq!(emptied, Occupancy::Idle { arrivals: RIVALS as u64 });
    assert_eq!(put("message:20", "a", new).await, Accepted::WithLease, "it is not as it was found");
    assert_eq!(put("message:21", "b", emptied).await, Accepted::WithoutLease);
    for item in store.contents(&id).await.waiting {
        store.complete(&id, &item, &lease("a", 10), (RIVALS as u64 + 2, item.position.source_id.ends_with("21"))).await;
    }
    let emptied = found().await;
    assert_eq!(put("message:22", "c", emptied).await, Accepted::Alone);
    assert_eq!(put("message:22", "c", emptied).await, Accepted::Duplicate);
    let contents = store.contents(&id).await;
    store.complete(&id, &contents.waiting[0], &lease("c", 10), (contents.arrivals, true)).await;
    assert_eq!(put("message:23", "d", emptied).await, Accepted::WithLease, "something has come and gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_for_later_takes_no_lease_and_is_due_in_time() {
    let store = Store::new().await;
    let put = async |id: &SessionId, item: &str, received: u64, not_before: u64| {
        let content = item.to_owned();
        store.table.accept_for(at(not_before), &arrival(id, item, &content, received)).await.unwrap()
    };
    let (free, held, dead) = (SessionId::from("free"), SessionId::from("held"), SessionId::from("dead"));
    assert!(put(&free, "message:1", 1, 5).await);
    assert!(!put(&free, "message:1", 1, 9).await, "it is known");
    assert_eq!(store.contents(&free).await.not_before, Some(at(5)));
    assert_eq!(store.due(5, 10).await, [("free".to_owned(), Due::Lane(LANE))]);
    assert!(store.table.take_lease(&free, LANE, &lease("a", 20), at(5)).await.unwrap());

    store.accept(&held, "message:1", 1, &lease("a", 10)).await;
    assert!(put(&held, "message:2", 2, 5).await);
    let contents = store.contents(&held).await;
    assert_eq!((contents.waiting.len(), contents.arrivals, contents.not_before), (2, 2, None), "its holder sees it");

    store.accept(&dead, "message:1", 1, &lease("a", 10)).await;
    assert!(put(&dead, "message:2", 11, 15).await);
    assert!(store.table.take_lease(&dead, LANE, &lease("b", 30), at(15)).await.unwrap());
    let contents = store.contents(&dead).await;
    assert!(contents.was_interrupted, "its last holder died");
    assert_eq!((contents.waiting.len(), contents.not_before), (2, Some(at(15))));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_announced_only_in_place_of_the_one_who_was_seen() {
    let store = Store::new().await;
    let mut session = session("s1", "ann");
    store.table.claim_start(&session, None, None).await.unwrap();
    let agent = |id: &str| AnnouncedAgent {
        agent_id: id.into(),
        user_id: None,
        name: None,
        picture_url: None,
        announced_at: Some(at(1)),
    };
    let (anna, ben) = (agent("anna"), agent("ben"));
    let unannounced = session.clone();
    session.announce(anna.clone());
    let put = async |session: &Session, before: Option<&AnnouncedAgent>| {
        store.table.put_announced(session, before).await.unwrap()
    };
    assert!(!put(&session, Some(&ben)).await, "nobody was there");
    assert!(put(&session, None).await);
    assert!(!put(&session, None).await, "Anna was there");
    assert!(put(&unannounced, Some(&anna)).await, "taken back");
    assert!(put(&session, None).await);
    session.announce(ben.clone());
    assert!(put(&session, Some(&anna)).await);
    let now = store.table.session(&session.session_id).await.unwrap().unwrap();
    assert_eq!((now.announced_agent, now.earlier_agents, now.announcements), (Some(ben), vec![anna], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_finds_everything_of_a_user_on_every_page_and_erases_it() {
    let store = Store::new().await;
    let content = "x".repeat(300_000);
    for user in ["ann", "bob"] {
        store.table.claim_start(&session(&format!("session of {user}"), user), None, None).await.unwrap();
        let id = SessionId::from(format!("session of {user}").as_str());
        for second in 1..=4 {
            let item = format!("message:{second}");
            store.table.accept(&arrival(&id, &item, &content, 1), &lease("a", 10), Occupancy::Busy).await.unwrap();
        }
    }
    let (ann, nothing) = (UserId::from("ann"), &mut |_: usize| ());
    assert_eq!(store.table.open_sessions(nothing).await.unwrap().len(), 2);
    let erased = store.table.erase(&ann, &BTreeSet::new(), at(1), nothing).await.unwrap();
    assert_eq!((erased.removed["session"], erased.removed["user"], erased.removed["waiting"]), (1, 1, 4));
    assert_eq!(store.table.mentions(&["ann".to_owned()].into(), nothing).await.unwrap(), []);
    let bob = store.contents(&SessionId::from("session of bob")).await;
    assert_eq!(bob.waiting.len(), 4);
}

/// No update restores an item that was erased or has expired.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_what_is_gone_makes_nothing() {
    let store = Store::new().await;
    let (table, gone) =
        (&store.table, Session { left_conversations: vec!["conv".into()], ..session("gone", "nobody") });
    let (id, user_id, lease) = (&gone.session_id, &gone.user_id, lease("a", 10));
    let thread = Thread { chat_id: ChatId::from("c"), thread_id: ThreadId::from("t") };
    let pointer = ChatPointer::to(&gone, &CustomerId::from("u"), &thread);
    let gone = Session { thread: Some(thread.clone()), conversation_id: Some("conv2".into()), ..gone.clone() };
    let introduction = Introduction { profile: Profile::default(), session_fields: Vec::new() };
    let customer = Customer {
        customer_id: CustomerId::from("u"),
        cookies: Cookies { customer_id: "u".into(), secret: "s".into() },
        access_token: "t".into(),
        issued_at: at(1),
        expires_at: at(2),
    };
    let item = Waiting::new(Position { at: at(1), source_id: "message:1".to_owned() }, "text".to_owned());
    table.put_paused_at(id, at(1)).await.unwrap();
    table.note_bot_told(id).await.unwrap();
    table.hasten_read(id, at(1)).await.unwrap();
    assert!(!table.take_read(id, at(9), at(10), 0, true).await.unwrap());
    assert!(!table.begin_closing(id).await.unwrap());
    assert!(!table.begin_undoing(&gone, None, gone.started_at).await.unwrap());
    assert!(!table.take_over_start(&gone, &gone.claim).await.unwrap());
    assert!(!table.open_thread(&gone, &thread, &pointer).await.unwrap());
    assert!(!table.activate(&gone, &ConversationId::from("conv"), at(1), at(2), None).await.unwrap());
    for lane in [LaneToAgent::Ours, LaneToAgent::Idle, LaneToAgent::Busy] {
        assert_eq!(table.close(&gone, record(&gone), None, lane).await.unwrap(), Closing::WasOver);
    }
    table.keep(&gone, at(1), at(100)).await.unwrap();
    table.expire_lane(id, LANE, at(100)).await.unwrap();
    table.note_interruption(id, LANE, std::slice::from_ref(&item), None).await.unwrap();
    table.note_attempt(id, LANE, &item, Failing::default()).await.unwrap();
    table.note_progress(id, LANE, &item.position, &"text").await.unwrap();
    table.note_revision(id, LANE, "message:1", "r").await.unwrap();
    table.count_change(id, LANE, "message:1").await.unwrap();
    table.postpone(id, LANE, &lease, at(1), None).await.unwrap();
    assert!(!table.release(id, LANE, &lease, 0).await.unwrap());
    assert!(!table.take_lease(id, LANE, &lease, at(1)).await.unwrap());
    assert_eq!(store.complete(id, &item, &lease, (1, true)).await, Completed::LeaseLost);
    assert!(!table.take_timer(id, Timer::Pause, at(9), at(10)).await.unwrap());
    table.put_profile_sent(user_id, &introduction).await.unwrap();
    table.put_closing_until(user_id, at(1)).await.unwrap();
    assert_eq!(table.put_customer(user_id, None, customer.clone()).await.unwrap(), customer, "which is kept nowhere");
    table.note_answered(user_id, "said:1", at(1)).await.unwrap();
    let mut looked_at = 0;
    let nothing_said = BTreeSet::new();
    table.mentions(&nothing_said, &mut |seen| looked_at = seen).await.unwrap();
    assert_eq!(looked_at, 0, "the table is as empty as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_end_early_hide_nothing() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let store = Store::new().await;
    let Some(embedded) = &store._embedded else { return };
    let proxy = TableProxy::start(embedded.url(), Clock::system()).await.unwrap();
    let (dynamodb, _) = aws::stand_ins(&proxy.url(), &proxy.url()).unwrap();
    let short = Store { table: Table::new(dynamodb, embedded.name().to_owned(), Clock::system()), _embedded: None };
    let ids: Vec<_> = (0..12).map(|number| SessionId::from(format!("s{number:02}").as_str())).collect();
    for (number, id) in (0..).zip(&ids) {
        store.table.claim_start(&session(id.as_str(), id.as_str()), None, None).await.unwrap();
        for item in ["message:1", "message:2", "message:3"] {
            store.accept(id, item, 1, &lease("h", 10 + number)).await;
        }
    }
    proxy.pages().end_early(0.8, seed);
    for id in &ids {
        assert_eq!(short.contents(id).await.waiting.len(), 3);
        assert_eq!(short.table.oldest_waiting(id, LANE).await.unwrap(), Some(at(1)));
        let source_ids = ["message:1", "message:2", "message:4"].map(str::to_owned);
        let user_id = UserId::from(id.as_str());
        let wanted = LaneQuery {
            session_id: id,
            lane: Some(LANE),
            beside: None,
            user_id: Some(&user_id),
            vendors: &[],
            source_ids: &source_ids,
        };
        let around = short.table.lane_context(wanted).await.unwrap();
        assert_eq!((around.receipts.len(), around.session.is_some(), around.user.is_some()), (2, true, true));
    }
    let lanes = |due: Vec<(String, Due)>| due.into_iter().filter(|(_, due)| *due == Due::Lane(LANE)).count();
    for _ in 0..5 {
        assert_eq!(lanes(short.due(100, 100).await), ids.len());
        assert_eq!(short.due(100, 7).await, store.due(100, 7).await);
    }
    assert_eq!(short.table.open_sessions(&mut |_| ()).await.unwrap().len(), ids.len());
    assert!(proxy.pages().ended_early() > 50, "{}", proxy.pages().ended_early());
}

/// A user's message may be in delivery to the agents when LiveChat ends the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_closed_over_an_idle_lane_or_knowing_that_it_is_not() {
    let store = Store::new().await;
    let session = session("s", "ann");
    let (id, ours) = (&session.session_id, lease("a", 10));
    store.table.claim_start(&session, None, None).await.unwrap();
    let close = async |lane| store.table.close(&session, record(&session), None, lane).await.unwrap();
    let found = store.table.occupancy(id, LANE).await.unwrap();
    store.accept(id, "message:1", 1, &ours).await;
    assert_eq!(close(LaneToAgent::Idle).await, Closing::LaneBusy);
    assert_eq!(store.table.session(id).await.unwrap().unwrap().state, State::Starting, "nothing was written");
    let contents = store.contents(id).await;
    assert!(matches!(close(LaneToAgent::Busy).await, Closing::Done(_)));
    // The holder has read the session before, and reads it again before it sends anything else.
    let item = contents.waiting.first().unwrap();
    assert_eq!(store.complete(id, item, &ours, (contents.arrivals, true)).await, Completed::SomethingArrived);

    // Nor is an item accepted as alone into a lane whose session was closed since the lane was read.
    let other = self::session("s2", "bob");
    store.table.claim_start(&other, None, None).await.unwrap();
    assert_eq!(found, Occupancy::Idle { arrivals: 0 });
    let closed = store.table.close(&other, record(&other), None, LaneToAgent::Idle).await.unwrap();
    assert!(matches!(closed, Closing::Done(_)));
    let text = "message:1".to_owned();
    let accepted = store.table.accept(&arrival(&other.session_id, "message:1", &text, 1), &ours, found).await.unwrap();
    assert_eq!(accepted, Accepted::WithLease, "it looks at the session before it delivers");
}

/// A start that has read the user before a doubt was recorded reads the user again.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_is_claimed_only_by_who_knows_of_calls_in_doubt() {
    let store = Store::new().await;
    let (first, second) = (session("s1", "ann"), session("s2", "ann"));
    let previous = Some(&first.session_id);
    store.table.claim_start(&first, None, None).await.unwrap();
    store.table.put_closing_until(&first.user_id, at(16)).await.unwrap();
    assert!(!store.table.claim_start(&second, previous, None).await.unwrap());
    assert!(!store.table.claim_start(&second, previous, Some(at(15))).await.unwrap());
    assert!(store.table.claim_start(&second, previous, Some(at(16))).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burial_ends_with_its_time_and_goes_on_later() {
    let store = Store::new().await;
    let id = SessionId::from("gone");
    for item in 1..=5 {
        store.accept(&id, &format!("message:{item}"), 1, &lease("a", 10)).await;
    }
    let now = Clock::system().now();
    assert!(!store.table.bury(&id, now).await.unwrap(), "there is no time left");
    assert_eq!(store.contents(&id).await.waiting.len(), 5);
    assert!(store.table.bury(&id, now + Duration::from_secs(600)).await.unwrap());
    assert_eq!(store.contents(&id).await.waiting.len(), 0);
    assert_eq!(store.due(u64::from(u32::MAX), 10).await, []);
}

/// Earlier versions set no expiry for users.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_whose_session_is_gone_has_a_life_again_with_the_next_touch() {
    let store = Store::new().await;
    let session = session("s", "ann");
    let (id, user_id) = (&session.session_id, &session.user_id);
    store.table.claim_start(&session, None, None).await.unwrap();
    let Some(embedded) = &store._embedded else { return };
    let life = async || {
        store.table.put_profile(user_id, &Profile::default(), at(100)).await.unwrap();
        let user = embedded.items().unwrap().into_iter().find(|item| item["entity"] == "user").unwrap();
        user.get("expires_at").and_then(serde_json::Value::as_i64)
    };
    assert_eq!(life().await, None, "nothing of a user in a session expires");
    assert!(store.table.bury(id, Clock::system().now() + Duration::from_secs(600)).await.unwrap());
    assert_eq!(life().await, Some(at(100).unix_seconds()));
}

/// An entry that a sweep could not process goes to the end of the due ones, unless another process has moved it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_looked_at_in_vain_is_due_later() {
    let store = Store::new().await;
    let ids = ["s1", "s2"].map(SessionId::from);
    for (id, claim) in ids.iter().zip([1, 2]) {
        let one = session(id.as_str(), id.as_str());
        let claim = Claim { until: at(claim), ..one.claim.clone() };
        store.table.claim_start(&Session { claim, ..one }, None, None).await.unwrap();
    }
    let due = async || store.due(60, 10).await.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(due().await, ["s1", "s2"]);
    store.table.look_later(&ids[0], Due::Session, at(9), at(30)).await.unwrap();
    assert_eq!(due().await, ["s1", "s2"], "somebody else has moved it since");
    store.table.look_later(&ids[0], Due::Session, at(1), at(30)).await.unwrap();
    assert_eq!(due().await, ["s2", "s1"]);
    store.table.look_later(&SessionId::from("gone"), Due::Session, at(1), at(30)).await.unwrap();
    assert_eq!(due().await, ["s2", "s1"], "what is gone is not brought back");
}
