//! The table's contract: what its verbs rely on, whichever DynamoDB stands behind them.
//!
//! They run against the embedded engine, or against the DynamoDB at `DYNAMODB_ENDPOINT`, which takes any credentials:
//! `DYNAMODB_ENDPOINT=http://127.0.0.1:4566 cargo test -p tests --test it store::`. Each test has a table of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use sandbox::table::{EmbeddedTable, definition};
use shared::aws;
use shared::botcopy::Channel;
use shared::clock::Timestamp;
use shared::ids::{ChatId, ConversationId, CustomerId, GroupId, SessionId, ThreadId, UserId};
use shared::store::lane::{Accepted, Arrival, Completed, Contents, Done, Lane, Lease, Outcome, Position, Waiting};
use shared::store::{Claim, Due, Heard, Platform, Session, State, Table, Thread, Timer};
use tokio::task::JoinSet;

/// How many do the same at once.
const RIVALS: usize = 8;

/// A table that nobody else uses.
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
        Self { table: Table::new(dynamodb, name), _embedded: embedded }
    }

    /// Everything of a lane, as its holder reads it.
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
        self.table.complete(&done(session_id, item, Outcome::Delivered), lease, arrivals, is_last).await.unwrap()
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

/// As CloudFormation does it.
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

/// So many seconds after the beginning.
const fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_millis(1_778_492_460_000 + 1_000 * seconds.cast_signed())
}

fn lease(holder: &str, until: u64) -> Lease {
    Lease { holder: holder.to_owned(), until: at(until) }
}

/// An item named after its own time in seconds: `message:7`.
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
    table.accept(&arrival(session_id, item, &item.to_owned(), received), lease).await.unwrap()
}

fn done<'a>(session_id: &'a SessionId, item: &'a Waiting<String>, outcome: Outcome) -> Done<'a, String> {
    Done { session_id, lane: LANE, item, outcome, vendor_id: Some("v".to_owned()), finished_at: at(1) }
}

fn session(id: &str, user: &str) -> Session {
    let channel = Channel { bot_id: "bot".into(), user_id: user.into() };
    Session {
        session_id: SessionId::from(id),
        state: State::Starting,
        platform: Platform::Botcopy(channel),
        user_id: UserId::from(user),
        group_id: GroupId(1),
        request_digest: "d".to_owned(),
        claim: Claim { holder: format!("holder of {id}"), until: at(20) },
        started_at: at(0),
        thread: None,
        conversation_id: None,
        active_at: None,
        agent_told: None,
        opening: None,
        paused_at: None,
        silent_reads: 0,
        must_read: false,
        failure: None,
    }
}

/// What becomes of the same thing when everybody does it at once.
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
            (session.session_id.clone(), table.claim_start(&session, None).await.unwrap())
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
    assert!(store.table.claim_start(&first, None).await.unwrap());
    assert!(!store.table.claim_start(&second, None).await.unwrap());
    assert!(!store.table.claim_start(&second, Some(&third.session_id)).await.unwrap());
    assert!(store.table.claim_start(&second, Some(&first.session_id)).await.unwrap());

    let claim = Claim { holder: "another".to_owned(), until: at(40) };
    assert!(store.table.take_over_start(&second, &claim).await.unwrap());
    assert!(!store.table.take_over_start(&second, &claim).await.unwrap(), "the claim that was seen is gone");
    let thread = Thread { chat_id: ChatId::from("c"), thread_id: ThreadId::from("t") };
    let customer = CustomerId::from("u");
    assert!(!store.table.open_thread(&second, &customer, &thread).await.unwrap(), "the claim is another's");
    assert!(!store.table.begin_undoing(&second, None).await.unwrap(), "nor may its loser undo the start");
    assert_eq!(store.table.session(&second.session_id).await.unwrap().unwrap().state, State::Starting);
    assert!(store.table.find_by_chat(&thread.chat_id).await.unwrap().is_none(), "nor is there a pointer");
    let second = Session { claim, ..second };
    assert!(store.table.open_thread(&second, &customer, &thread).await.unwrap());
    assert_eq!(store.table.find_by_chat(&thread.chat_id).await.unwrap().unwrap().session_id, second.session_id);
    let conversation = ConversationId::from("conv");
    assert!(store.table.activate(&second, &conversation, at(3), at(63)).await.unwrap());
    assert!(!store.table.activate(&second, &conversation, at(3), at(63)).await.unwrap(), "it is active already");
    let stored = store.table.session(&second.session_id).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.thread.as_ref(), stored.active_at), (State::Active, Some(&thread), Some(at(3))));
    assert!(store.table.begin_closing(&second.session_id).await.unwrap());
    assert!(!store.table.begin_closing(&second.session_id).await.unwrap());

    store.table.close(&stored, at(100)).await.unwrap();
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
    // Six times 300 KB are two pages of DynamoDB's at least.
    let content = "x".repeat(300_000);
    for second in [5, 1, 6, 2, 4, 3] {
        let item = format!("message:{second}");
        store.table.accept(&arrival(&id, &item, &content, 1), &lease("a", 10)).await.unwrap();
    }
    let other = Arrival { lane: Lane::ToBot, ..arrival(&id, "message:0", &content, 1) };
    store.table.accept(&other, &lease("a", 10)).await.unwrap();
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
    store.table.postpone(&later, LANE, &lease("h", 20), at(35)).await.unwrap();
    assert_eq!(store.due(40, 10).await, [lane("c"), lane("b"), lane("d")]);
    assert_eq!(store.contents(&later).await.not_before, Some(at(35)));

    store.table.claim_start(&session("s", "ann"), None).await.unwrap();
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
    store.table.complete(&parked, &lease("a", 10), 1, true).await.unwrap();
    assert!(store.contents(&id).await.waiting.is_empty());
    let list = async || store.table.parked(&mut |_| ()).await.unwrap();
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
    store.table.complete(&again, &lease("b", 20), 2, true).await.unwrap();
    assert!(store.table.discard(&parked).await.unwrap());
    assert!(!store.table.discard(&parked).await.unwrap());
    assert_eq!(list().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_twice_is_heard_once_within_its_window() {
    let store = Store::new().await;
    let (user, window) = (UserId::from("ann"), Duration::from_secs(10));
    let hear = |second: u64, id: &str| {
        let heard = Heard { heard_at: at(second), source_id: id.to_owned() };
        let (table, user) = (store.table.clone(), user.clone());
        async move { table.hear(&user, "digest", heard, window).await.unwrap().source_id }
    };
    let ids = all_at_once(|rival| hear(0, &format!("id{rival}"))).await;
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1, "all are told of the same: {ids:?}");
    assert_eq!(hear(9, "later").await, ids[0]);
    assert_eq!(hear(10, "again").await, "again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_time_is_replaced_by_a_later_one_only() {
    let store = Store::new().await;
    for (second, expected) in [(10, 10), (5, 10), (20, 20)] {
        store.table.note_named_time("livechat", at(second)).await.unwrap();
        let [named] = store.table.named_times().await.unwrap().try_into().unwrap();
        assert_eq!(named.opens_at, at(expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_around_a_lane_is_read_in_one_call() {
    let store = Store::new().await;
    let (id, ann) = (SessionId::from("s1"), UserId::from("ann"));
    let nothing = store.table.surroundings(&id, Some(&ann), &["livechat"]).await.unwrap();
    assert!(nothing.session.is_none() && nothing.user.is_none() && nothing.named_times.is_empty());
    store.table.claim_start(&session("s1", "ann"), None).await.unwrap();
    for vendor in ["livechat", "botpress"] {
        store.table.note_named_time(vendor, at(10)).await.unwrap();
    }
    let around = store.table.surroundings(&id, Some(&ann), &["livechat"]).await.unwrap();
    assert_eq!(around.session.unwrap().session_id, id);
    assert_eq!(around.user.unwrap().user_id, ann);
    assert_eq!(around.named_times.iter().map(|named| named.vendor.as_str()).collect::<Vec<_>>(), ["livechat"]);
    assert!(store.table.surroundings(&id, None, &[]).await.unwrap().user.is_none(), "nobody has asked for the user");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_finds_everything_of_a_user_on_every_page_and_erases_it() {
    let store = Store::new().await;
    let content = "x".repeat(300_000);
    for user in ["ann", "bob"] {
        store.table.claim_start(&session(&format!("session of {user}"), user), None).await.unwrap();
        let id = SessionId::from(format!("session of {user}").as_str());
        for second in 1..=4 {
            let item = format!("message:{second}");
            store.table.accept(&arrival(&id, &item, &content, 1), &lease("a", 10)).await.unwrap();
        }
    }
    let (ann, nothing) = (UserId::from("ann"), &mut |_: usize| ());
    assert_eq!(store.table.open_sessions(nothing).await.unwrap().len(), 2);
    let erased = store.table.erase(&ann, nothing).await.unwrap();
    assert_eq!((erased.removed["session"], erased.removed["user"], erased.removed["waiting"]), (1, 1, 4));
    assert_eq!(store.table.mentions(&["ann".to_owned()], nothing).await.unwrap(), []);
    let bob = store.contents(&SessionId::from("session of bob")).await;
    assert_eq!(bob.waiting.len(), 4);
}
