//! DynamoDB's rule for conflicting writes: while a transaction writes an item, every other write of it is refused.
//!
//! Source: "Managing complex workflows with DynamoDB transactions", *Transaction conflict handling*, and the references of
//! `TransactWriteItems` and `TransactGetItems` (cancellation reasons, client request tokens).

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use shared::clock::Clock;
use tokio::sync::Notify;

/// The number of tokens of finished transactions that are kept: far more than are repeated at a time.
const MOST_TOKENS: usize = 10_000;

/// The pace of writes, which determines how often they conflict.
#[derive(Clone, Debug)]
pub struct Pace {
    /// The minimum time for which a write holds its items, by the proxy's clock; it is answered only afterwards.
    pub hold: RangeInclusive<Duration>,
    /// The share of all writes that conflict with an imaginary other one, from 0 to 1.
    pub share: f64,
}

impl Pace {
    /// A write holds its items for as long as the table takes to perform it.
    pub const AS_THE_TABLE: Self = Self { hold: Duration::ZERO..=Duration::ZERO, share: 0.0 };

    /// The duration of a write at AWS.
    pub const REALISTIC: Self = Self { hold: Duration::from_millis(5)..=Duration::from_millis(12), share: 0.0 };
}

/// The outcome of the writes so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Transactions that were sent.
    pub transactions: usize,
    /// Those that were applied.
    pub applied: usize,
    /// Writes, transactions or not, that were refused because of a conflict.
    pub met: usize,
}

/// The writes in flight; copies share them.
#[derive(Clone, Debug)]
pub struct Conflicts {
    state: Arc<Mutex<State>>,
    released: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    pace: Option<Pace>,
    random: fastrand::Rng,
    held: HashMap<String, Holder>,
    under_way: HashSet<String>,
    finished: VecDeque<String>,
    waiting: usize,
    /// The number of writes that wait for an item to be released.
    queued: usize,
    tally: Tally,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Transaction,
    Write,
}

/// The relevant parts of a write.
#[derive(Debug)]
pub(super) struct Write {
    kind: Kind,
    /// The items by table and key, in the order of the request.
    items: Vec<String>,
    token: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Transaction,
    /// `TransactGetItems`: holds nothing.
    Reading,
    Single,
}

impl Write {
    /// The write of a call of `operation`; none if it only reads items one by one.
    pub(super) fn read(operation: &str, call: &Value) -> Option<Self> {
        let token = call.get("ClientRequestToken").and_then(Value::as_str).map(str::to_owned);
        let actions = || call.get("TransactItems").and_then(Value::as_array).into_iter().flatten();
        let items = |kind| {
            let bodies = actions().filter_map(|action| action.as_object()?.values().next());
            Self { kind, items: bodies.map(item).collect(), token: token.clone() }
        };
        match operation {
            "TransactWriteItems" => Some(items(Kind::Transaction)),
            "TransactGetItems" => Some(items(Kind::Reading)),
            "PutItem" | "UpdateItem" | "DeleteItem" => {
                Some(Self { kind: Kind::Single, items: vec![item(call)], token: None })
            }
            _ => None,
        }
    }
}

/// Table and key of a write's item; a put contains them in its item.
fn item(body: &Value) -> String {
    let key = body.get("Key").or_else(|| body.get("Item"));
    let part = |name: &str| key.and_then(|key| key.get(name)).map(Value::to_string).unwrap_or_default();
    format!("{}/{}/{}", body.get("TableName").and_then(Value::as_str).unwrap_or_default(), part("pk"), part("sk"))
}

/// The rule's decision on a write.
pub(super) enum Entry {
    /// No conflict; the write holds its items until the value is dropped.
    Free(Option<Held>),
    /// It is refused.
    Refused(Response),
}

impl Conflicts {
    pub(super) fn new(pace: Pace) -> Self {
        let state = State {
            pace: Some(pace),
            random: fastrand::Rng::new(),
            held: HashMap::new(),
            under_way: HashSet::new(),
            finished: VecDeque::new(),
            waiting: 0,
            queued: 0,
            tally: Tally::default(),
        };
        Self { state: Arc::new(Mutex::new(state)), released: Arc::default() }
    }

    /// Sets the pace of writes from now on; `seed` decides random conflicts.
    pub fn set(&self, pace: Pace, seed: u64) {
        let mut state = self.lock();
        (state.pace, state.random) = (Some(pace), fastrand::Rng::with_seed(seed));
    }

    /// Turns conflicts off, for measurements of other things.
    pub fn turn_off(&self) {
        self.lock().pace = None;
    }

    /// The outcome of the writes so far.
    pub fn tally(&self) -> Tally {
        self.lock().tally
    }

    /// The number of writes that wait only for the end of their own time, or for that of another one.
    pub fn waiting(&self) -> usize {
        let state = self.lock();
        state.waiting + state.queued
    }

    /// Admits a write, or refuses it; plain writes of one item wait for each other.
    pub(super) async fn enter(&self, write: Write) -> Entry {
        loop {
            let released = self.released.notified();
            if let Some(entry) = self.try_enter(&write) {
                return entry;
            }
            released.await;
        }
    }

    fn try_enter(&self, write: &Write) -> Option<Entry> {
        let mut state = self.lock();
        state.tally.transactions += usize::from(write.kind == Kind::Transaction);
        let Some(pace) = state.pace.clone() else { return Some(Entry::Free(None)) };
        // A transaction that was already applied gets the same answer again, whatever happens to its items now.
        if write.token.as_ref().is_some_and(|token| state.finished.contains(token)) {
            return Some(Entry::Free(None));
        }
        if write.token.as_ref().is_some_and(|token| state.under_way.contains(token)) {
            return Some(Entry::Refused(in_progress()));
        }
        let by_chance = (state.random.f64() < pace.share && write.kind != Kind::Reading)
            .then(|| state.random.usize(..write.items.len().max(1)));
        let in_the_way = |(index, item): (usize, &String)| match (write.kind, state.held.get(item)) {
            (Kind::Single, Some(Holder::Write)) | (_, None) => by_chance == Some(index),
            (_, Some(_)) => true,
        };
        let conflicts: Vec<bool> = write.items.iter().enumerate().map(in_the_way).collect();
        if conflicts.contains(&true) {
            state.tally.met += 1;
            return Some(Entry::Refused(match write.kind {
                Kind::Single => conflict(),
                Kind::Transaction | Kind::Reading => cancelled(&conflicts),
            }));
        }
        if write.kind == Kind::Reading {
            return Some(Entry::Free(None));
        }
        if write.items.iter().any(|item| state.held.contains_key(item)) {
            state.queued += 1;
            return None;
        }
        Some(Entry::Free(Some(self.hold(&mut state, write, &pace))))
    }

    fn hold(&self, state: &mut State, write: &Write, pace: &Pace) -> Held {
        let holder = if write.kind == Kind::Transaction { Holder::Transaction } else { Holder::Write };
        state.held.extend(write.items.iter().map(|item| (item.clone(), holder)));
        state.under_way.extend(write.token.clone());
        let (least, most) = (pace.hold.start().as_micros() as u64, pace.hold.end().as_micros() as u64);
        let time = Duration::from_micros(state.random.u64(least..=most.max(least)));
        let (conflicts, items, token) = (self.clone(), write.items.clone(), write.token.clone());
        Held { conflicts, items, token, holder, time, applied: false }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Items that are being written.
#[derive(Debug)]
pub(super) struct Held {
    conflicts: Conflicts,
    items: Vec<String>,
    token: Option<String>,
    holder: Holder,
    time: Duration,
    applied: bool,
}

impl Held {
    /// Holds the items for the rest of the write's time, which began at `begin`; `applied` is whether the table has performed it.
    pub(super) async fn finish(mut self, begin: shared::clock::Timestamp, clock: &Clock, applied: bool) {
        self.applied = applied;
        if !self.time.is_zero() {
            let _waiting = Waiting::begin(&self.conflicts);
            clock.sleep_until(begin + self.time).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.conflicts.lock();
        // All of them check again; a write that finds its item held again waits again.
        state.queued = 0;
        state.tally.applied += usize::from(self.applied && self.holder == Holder::Transaction);
        for item in &self.items {
            state.held.remove(item);
        }
        if let Some(token) = self.token.take() {
            state.under_way.remove(&token);
            if self.applied {
                state.finished.push_back(token);
            }
            let surplus = state.finished.len().saturating_sub(MOST_TOKENS);
            state.finished.drain(..surplus);
        }
        drop(state);
        self.conflicts.released.notify_waiters();
    }
}

struct Waiting<'a>(&'a Conflicts);

impl<'a> Waiting<'a> {
    fn begin(conflicts: &'a Conflicts) -> Self {
        conflicts.lock().waiting += 1;
        Self(conflicts)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

const NAMESPACE: &str = "com.amazonaws.dynamodb.v20120810";

fn refusal(body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/x-amz-json-1.0"));
    response
}

fn conflict() -> Response {
    refusal(&json!({
        "__type": format!("{NAMESPACE}#TransactionConflictException"),
        "message": "Transaction is ongoing for the item",
    }))
}

fn in_progress() -> Response {
    refusal(&json!({
        "__type": format!("{NAMESPACE}#TransactionInProgressException"),
        "Message": "The transaction with the given request token is already in progress.",
    }))
}

fn cancelled(conflicts: &[bool]) -> Response {
    let reasons: Vec<_> = conflicts
        .iter()
        .map(|conflict| match conflict {
            true => Some(("TransactionConflict", "Transaction is ongoing for the item")),
            false => None,
        })
        .collect();
    refusal(&cancellation(&reasons))
}

/// The body of a cancelled transaction: code and message for each of its writes, in order.
pub(super) fn cancellation(reasons: &[Option<(&str, &str)>]) -> Value {
    let codes: Vec<_> = reasons.iter().map(|reason| reason.map_or("None", |(code, _)| code)).collect();
    let reasons: Vec<_> = reasons
        .iter()
        .map(|reason| match reason {
            Some((code, message)) => json!({ "Code": code, "Message": message }),
            None => json!({ "Code": "None" }),
        })
        .collect();
    json!({
        "__type": format!("{NAMESPACE}#TransactionCanceledException"),
        "Message": format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", ")
        ),
        "CancellationReasons": reasons,
    })
}
