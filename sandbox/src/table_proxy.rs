//! A proxy in front of the table that spoils calls as scripted, and makes writes conflict as they do at AWS.

mod conflicts;
mod pages;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use serde_json::{Map, Value, json};
use shared::clock::Clock;

pub use conflicts::{Conflicts, Pace, Tally};
pub use pages::Pages;

use crate::faults::{Fault, Faults};
use crate::server::{Server, client};
use conflicts::{Entry, Write, cancellation};
use pages::Read;

/// DynamoDB accepts at most 16 MB.
/// The option by which a call asks what it consumed.
const UNITS: &str = "ReturnConsumedCapacity";

const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// A running proxy; it stops when dropped.
///
/// A fault script names an operation by the end of its request line: `.GetItem`, `.Query`, `.TransactWriteItems`.
#[derive(Debug)]
pub struct TableProxy {
    server: Server,
    faults: Faults,
    calls: Calls,
    units: Units,
    conflicts: Conflicts,
    pages: Pages,
    refused: Arc<AtomicUsize>,
    without_tokens: Arc<AtomicBool>,
}

impl TableProxy {
    /// Serves the table at `table_url` on a free port of the loopback interface.
    ///
    /// Writes conflict at a realistic pace; with a manual clock, a write holds its items for as long as the table takes.
    ///
    /// # Errors
    ///
    /// When the machine has no port left.
    pub async fn start(table_url: String, clock: Clock) -> io::Result<Self> {
        let (faults, calls, units) = (Faults::default(), Calls::default(), Units::default());
        let pages = Pages::default();
        let (refused, without_tokens) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let conflicts = Conflicts::new(if clock.is_system() { Pace::REALISTIC } else { Pace::AS_THE_TABLE });
        let table = Upstream {
            client: client()?,
            url: table_url,
            calls: calls.clone(),
            units: units.clone(),
            conflicts: conflicts.clone(),
            pages: pages.clone(),
            clock: clock.clone(),
            refused: Arc::clone(&refused),
            without_tokens: Arc::clone(&without_tokens),
        };
        let router = Router::new().fallback(forward).with_state(table);
        let server = Server::start(0, router, faults.clone(), clock).await?;
        Ok(Self { server, faults, calls, units, conflicts, pages, refused, without_tokens })
    }

    /// `http://127.0.0.1:<port>`: replaces the table's own address.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The fault script.
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The conflicts of writes.
    pub const fn conflicts(&self) -> &Conflicts {
        &self.conflicts
    }

    /// The pages that end early; none by default.
    pub const fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Removes the token from every transaction from now on.
    ///
    /// The embedded table searches all tokens of its last ten minutes on each transaction, which would dominate a long
    /// measurement. It then no longer recognises repetitions, so do not combine this with a script that loses answers.
    pub fn take_tokens_away(&self) {
        self.without_tokens.store(true, Ordering::Relaxed);
    }

    /// The number of calls that reached the table, by operation; includes those whose answer was lost afterwards.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        self.calls.lock().clone()
    }

    /// The number of calls that the table itself has refused so far, most of them because a condition failed.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// The capacity units of all calls so far, reads and writes together: those that the table reports, and those that
    /// it does not, which are the units of cancelled transactions and of writes whose condition failed.
    pub fn units(&self) -> f64 {
        let Spent { reads, writes } = *self.units.lock();
        reads + writes
    }

    /// The write units among them, which cost five times as much.
    pub fn write_units(&self) -> f64 {
        self.units.lock().writes
    }
}

/// A call over the table's throughput: nothing is read or written.
pub fn throughput_exceeded() -> Fault {
    refusal(
        "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "The level of configured provisioned throughput for the table was exceeded. Consider increasing your \
         provisioning level with the UpdateTable API.",
    )
}

/// A call over the account's rate: nothing is read or written.
pub fn throttled() -> Fault {
    refusal("com.amazon.coral.availability#ThrottlingException", "Rate of requests exceeds the allowed throughput.")
}

/// A write of one item that conflicts with a transaction: nothing is written.
pub fn conflicting() -> Fault {
    refusal("com.amazonaws.dynamodb.v20120810#TransactionConflictException", "Transaction is ongoing for the item")
}

/// A transaction that is cancelled because one of its items exceeds its throughput: nothing is written.
///
/// Most transactions have three writes, so the fault lists three reasons.
pub fn transaction_throttled() -> Fault {
    cancelled_for("ThrottlingError")
}

/// The same for the throughput of the table or an index.
pub fn transaction_over_throughput() -> Fault {
    cancelled_for("ProvisionedThroughputExceeded")
}

/// A transaction that contains a write which can never succeed.
pub fn transaction_invalid() -> Fault {
    let reason = ("ValidationError", "One or more parameter values were invalid");
    Fault::answer(400, cancellation(&[Some(reason), None, None]).to_string())
}

fn cancelled_for(code: &str) -> Fault {
    let message = "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or \
                   index so please try again shortly.";
    Fault::answer(400, cancellation(&[None, None, Some((code, message))]).to_string())
}

fn refusal(error_type: &str, message: &str) -> Fault {
    Fault::answer(400, json!({ "__type": error_type, "message": message }).to_string())
}

#[derive(Clone, Debug, Default)]
struct Calls(Arc<Mutex<BTreeMap<String, usize>>>);

impl Calls {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Debug, Default)]
struct Units(Arc<Mutex<Spent>>);

#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    reads: f64,
    writes: f64,
}

impl Units {
    /// Adds the consumption that an answer reports: `{"ConsumedCapacity": {"CapacityUnits": 1.0}}`, or a list of these for a transaction.
    fn add(&self, answer: &[u8], is_write: bool) {
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let consumed = answer.get("ConsumedCapacity");
        let tables: Vec<&Value> = match consumed {
            Some(Value::Array(tables)) => tables.iter().collect(),
            one => one.into_iter().collect(),
        };
        let units: f64 = tables.into_iter().filter_map(|one| one.get("CapacityUnits")?.as_f64()).sum();
        let mut spent = self.lock();
        *(if is_write { &mut spent.writes } else { &mut spent.reads }) += units;
    }

    /// Adds the units of a cancelled transaction: two for each KB or part of one of each item, as if it had been
    /// applied. The items that an update or a deletion would have found are assumed to be small.
    fn add_cancelled(&self, call: &Value) {
        let actions = call.get("TransactItems").and_then(Value::as_array).into_iter().flatten();
        let kilobytes = actions.map(|action| {
            let put = action.pointer("/Put/Item").map_or(0, |item| item.to_string().len());
            put.div_ceil(1_024).max(1) as f64
        });
        self.lock().writes += 2.0 * kilobytes.sum::<f64>();
    }

    /// Adds the units of a plain write whose condition failed: one for each KB or part of one of the existing item,
    /// which is assumed to be small. Source: "DynamoDB read and write operations", *Write operation consumption*.
    fn add_condition_failed(&self) {
        self.lock().writes += 1.0;
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Debug)]
struct Upstream {
    client: reqwest::Client,
    url: String,
    calls: Calls,
    units: Units,
    conflicts: Conflicts,
    pages: Pages,
    clock: Clock,
    refused: Arc<AtomicUsize>,
    without_tokens: Arc<AtomicBool>,
}

async fn forward(State(table): State<Upstream>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    *table.calls.lock().entry(operation.clone()).or_default() += 1;
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    for name in [HOST, CONTENT_LENGTH, CONNECTION] {
        head.headers.remove(name);
    }
    let without_token = table.without_tokens.load(Ordering::Relaxed).then(|| without_token(&body)).flatten();
    let body = without_token.as_deref().unwrap_or(&body);
    let mut call: Value = serde_json::from_slice(body).unwrap_or_default();
    let (mut shortened, mut left_out) = (None, None);
    match table.pages.read(&operation, &call) {
        Some(Read::Empty(page)) => {
            return ([(CONTENT_TYPE, "application/x-amz-json-1.0")], page.to_string()).into_response();
        }
        Some(Read::Made { call: made, unprocessed }) => {
            (shortened, left_out) = (serde_json::to_vec(&made).ok(), unprocessed);
            call = made;
        }
        None => {}
    }
    let body = asking_for_units(shortened.as_deref().unwrap_or(body), &call);
    let request = table.client.request(head.method, &table.url).headers(head.headers).body(body);
    let answer = match Write::read(&operation, &call) {
        Some(write) => written(&table, write, request).await,
        None => answer(request, &table.units, false, left_out).await,
    };
    match answer {
        Ok(answer) => {
            let is_refused = answer.status().is_client_error();
            table.refused.fetch_add(usize::from(is_refused), Ordering::Relaxed);
            match operation.as_str() {
                "TransactWriteItems" if is_refused => table.units.add_cancelled(&call),
                "PutItem" | "UpdateItem" | "DeleteItem" if is_refused => table.units.add_condition_failed(),
                _ => {}
            }
            answer
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// Performs a write, unless it conflicts with another one.
async fn written(table: &Upstream, write: Write, request: reqwest::RequestBuilder) -> reqwest::Result<Response> {
    let held = match table.conflicts.enter(write).await {
        Entry::Refused(refusal) => return Ok(refusal),
        Entry::Free(held) => held,
    };
    let begin = table.clock.now();
    let answer = answer(request, &table.units, true, None).await?;
    if let Some(held) = held {
        held.finish(begin, &table.clock, answer.status().is_success()).await;
    }
    Ok(answer)
}

/// The same call without its token, if it had one.
fn without_token(body: &[u8]) -> Option<Vec<u8>> {
    let mut call: Map<String, Value> = serde_json::from_slice(body).ok()?;
    call.remove("ClientRequestToken")?;
    serde_json::to_vec(&call).ok()
}

/// The same call with its consumption in the answer. The caller has not requested it and ignores it.
fn asking_for_units(body: &[u8], call: &Value) -> Vec<u8> {
    match body.trim_ascii_end().strip_suffix(b"}") {
        Some(open) if call.get(UNITS).is_none() => [open, format!(",\"{UNITS}\":\"TOTAL\"}}").as_bytes()].concat(),
        _ => body.to_vec(),
    }
}

/// Performs a call; `left_out` is added to its answer as unprocessed.
async fn answer(
    request: reqwest::RequestBuilder,
    units: &Units,
    is_write: bool,
    left_out: Option<Value>,
) -> reqwest::Result<Response> {
    let answer = request.send().await?;
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    for name in [CONTENT_LENGTH, CONNECTION, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let body = answer.bytes().await?;
    units.add(&body, is_write);
    let body = match left_out.filter(|_| status.is_success()) {
        Some(left_out) => with_left_out(&body, left_out),
        None => body.into(),
    };
    let mut response = Response::new(Body::from(body));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    Ok(response)
}

fn with_left_out(answer: &[u8], left_out: Value) -> Vec<u8> {
    let mut answer: Map<String, Value> = serde_json::from_slice(answer).unwrap_or_default();
    answer.insert("UnprocessedKeys".to_owned(), left_out);
    Value::Object(answer).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::config::retry::RetryConfig;
    use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
    use aws_sdk_dynamodb::error::ProvideErrorMetadata;
    use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
    use aws_sdk_dynamodb::types::AttributeValue::{self, N, S};
    use aws_sdk_dynamodb::types::{Delete, Get, TransactGetItem, TransactWriteItem};
    use shared::clock::{ManualClock, Timestamp};

    use super::*;
    use crate::invocation::REGION;
    use crate::table::EmbeddedTable;

    async fn start(attempts: u32) -> (EmbeddedTable, TableProxy, Client) {
        start_by(attempts, Clock::system()).await
    }

    async fn start_by(attempts: u32, clock: Clock) -> (EmbeddedTable, TableProxy, Client) {
        let table = EmbeddedTable::start("handoff").unwrap();
        let proxy = TableProxy::start(table.url(), clock).await.unwrap();
        let retry = RetryConfig::standard().with_max_attempts(attempts).with_initial_backoff(Duration::from_millis(1));
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("sandbox", "sandbox", None, None, "sandbox"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(retry)
            .endpoint_url(proxy.url())
            .build();
        (table, proxy, Client::from_conf(config))
    }

    fn put(client: &Client) -> aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder {
        client.put_item().table_name("handoff").item("pk", S("a".to_owned())).item("sk", S("a".to_owned()))
    }

    #[tokio::test]
    async fn calls_pass_and_are_counted_by_operation() {
        let (table, proxy, client) = start(1).await;
        put(&client).send().await.unwrap();
        put(&client).send().await.unwrap();
        let key = client.get_item().table_name("handoff").key("pk", S("a".to_owned())).key("sk", S("a".to_owned()));
        assert!(key.send().await.unwrap().item.is_some());
        assert_eq!(table.items().unwrap().len(), 1);
        assert_eq!(proxy.calls(), BTreeMap::from([("GetItem".to_owned(), 1), ("PutItem".to_owned(), 2)]));
        assert!(put(&client).condition_expression("attribute_not_exists(pk)").send().await.is_err());
        assert_eq!(proxy.refused(), 1);
        assert!((proxy.units() - 3.5).abs() < 0.01, "{}", proxy.units());
    }

    #[tokio::test]
    async fn a_write_can_be_applied_and_its_answer_lost() {
        let (table, proxy, client) = start(1).await;
        proxy.faults().next(1, ".GetItem", Fault::Reset);
        proxy.faults().next(1, ".PutItem", Fault::LoseAnswer);
        assert!(put(&client).send().await.is_err(), "no answer came");
        assert_eq!(table.items().unwrap().len(), 1, "the write was applied");
        assert_eq!(proxy.faults().spoiled().len(), 1, "the fault for the other operation is still waiting");
    }

    #[tokio::test]
    async fn a_transaction_is_recognised_by_its_token_until_tokens_are_taken_away() {
        let (table, proxy, client) = start(1).await;
        let count = async || {
            let add = aws_sdk_dynamodb::types::Update::builder()
                .table_name("handoff")
                .key("pk", S("a".to_owned()))
                .key("sk", S("a".to_owned()))
                .update_expression("ADD times :one")
                .expression_attribute_values(":one", N("1".to_owned()));
            let item = aws_sdk_dynamodb::types::TransactWriteItem::builder().update(add.build().unwrap()).build();
            let transaction = client.transact_write_items().client_request_token("same").transact_items(item);
            transaction.send().await.unwrap();
            table.items().unwrap().iter().find_map(|item| item.get("times").cloned())
        };
        let first = count().await;
        assert_eq!(count().await, first, "the second is the first");
        proxy.take_tokens_away();
        assert_ne!(count().await, first, "the third is another one");
    }

    #[tokio::test]
    async fn throttling_is_worded_as_dynamodb_words_it() {
        let (table, proxy, client) = start(1).await;
        let cases =
            [(throughput_exceeded(), "ProvisionedThroughputExceededException"), (throttled(), "ThrottlingException")];
        for (fault, code) in cases {
            proxy.faults().next(1, ".PutItem", fault);
            assert_eq!(put(&client).send().await.unwrap_err().code(), Some(code));
        }
        assert!(table.items().unwrap().is_empty(), "nothing was written");
    }

    #[tokio::test]
    async fn the_sdk_takes_throttling_and_broken_connections_for_a_reason_to_try_again() {
        let (table, proxy, client) = start(3).await;
        proxy.faults().next(1, ".PutItem", throttled());
        proxy.faults().next(1, ".PutItem", Fault::Reset);
        put(&client).send().await.unwrap();
        assert_eq!(table.items().unwrap().len(), 1);
    }

    fn key(sk: &str) -> [(String, AttributeValue); 2] {
        [("pk".to_owned(), S("a".to_owned())), ("sk".to_owned(), S(sk.to_owned()))]
    }

    fn transaction(
        client: &Client,
        sks: &[&str],
    ) -> aws_sdk_dynamodb::operation::transact_write_items::builders::TransactWriteItemsFluentBuilder {
        sks.iter().fold(client.transact_write_items(), |transaction, sk| {
            let delete = Delete::builder().table_name("handoff").set_key(Some(key(sk).into())).build().unwrap();
            transaction.transact_items(TransactWriteItem::builder().delete(delete).build())
        })
    }

    fn codes(error: &TransactWriteItemsError) -> Vec<&str> {
        let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else { panic!("{error:?}") };
        cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect()
    }

    /// A table whose writes take ten milliseconds on a manual clock, and one transaction of `a` and `b` in flight.
    async fn with_one_under_way(
        token: &str,
    ) -> (EmbeddedTable, Arc<TableProxy>, Client, ManualClock, tokio::task::JoinHandle<bool>) {
        let manual = ManualClock::new(Timestamp::from_unix_millis(0));
        let (table, proxy, client) = start_by(1, manual.clock()).await;
        let pace = Duration::from_millis(10)..=Duration::from_millis(10);
        proxy.conflicts().set(Pace { hold: pace, share: 0.0 }, 1);
        let first = transaction(&client, &["a", "b"]).client_request_token(token);
        let first = tokio::spawn(async move { first.send().await.is_ok() });
        let proxy = Arc::new(proxy);
        while proxy.conflicts().waiting() == 0 {
            tokio::task::yield_now().await;
        }
        (table, proxy, client, manual, first)
    }

    #[tokio::test]
    async fn a_transaction_is_cancelled_by_another_one_on_one_of_its_items() {
        let (_table, proxy, client, manual, first) = with_one_under_way("one").await;
        let units = proxy.units();
        let error = transaction(&client, &["c", "b"]).send().await.unwrap_err().into_service_error();
        assert_eq!(codes(&error), ["None", "TransactionConflict"]);
        assert!(
            (proxy.units() - units - 4.0).abs() < 0.01,
            "it is charged for all the same: {}",
            proxy.units() - units
        );
        let get = Get::builder().table_name("handoff").set_key(Some(key("a").into())).build().unwrap();
        let reading = client.transact_get_items().transact_items(TransactGetItem::builder().get(get).build());
        assert_eq!(reading.send().await.unwrap_err().code(), Some("TransactionCanceledException"));
        manual.advance(Duration::from_millis(10));
        assert!(first.await.unwrap());
        let later = tokio::spawn(transaction(&client, &["c", "b"]).send());
        while proxy.conflicts().waiting() == 0 {
            tokio::task::yield_now().await;
        }
        manual.advance(Duration::from_millis(10));
        assert!(later.await.unwrap().is_ok(), "nothing is in its way any more");
        assert_eq!(proxy.conflicts().tally(), Tally { transactions: 3, applied: 2, met: 2 });
    }

    #[tokio::test]
    async fn a_plain_write_is_refused_by_a_transaction_and_waits_for_another_plain_one() {
        let (table, proxy, client, manual, first) = with_one_under_way("one").await;
        assert_eq!(put(&client).send().await.unwrap_err().code(), Some("TransactionConflictException"));
        manual.advance(Duration::from_millis(10));
        assert!(first.await.unwrap());
        let (one, other) = (tokio::spawn(put(&client).send()), tokio::spawn(put(&client).send()));
        for _ in 0..2 {
            while proxy.conflicts().waiting() == 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(proxy.conflicts().waiting(), 1, "one after the other");
            manual.advance(Duration::from_millis(10));
            while proxy.conflicts().waiting() == 1 && !(one.is_finished() && other.is_finished()) {
                tokio::task::yield_now().await;
            }
        }
        assert!(one.await.unwrap().is_ok() && other.await.unwrap().is_ok());
        assert_eq!(table.items().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_token_under_way_is_refused_and_one_that_is_through_is_answered_again() {
        let (_table, _proxy, client, manual, first) = with_one_under_way("one").await;
        let again = || transaction(&client, &["a", "b"]).client_request_token("one").send();
        assert_eq!(again().await.unwrap_err().code(), Some("TransactionInProgressException"));
        manual.advance(Duration::from_millis(10));
        assert!(first.await.unwrap());
        assert!(again().await.is_ok(), "at once, since nothing is written");
    }

    #[tokio::test]
    async fn a_part_of_all_writes_meets_one_that_nobody_has_made() {
        let (_table, proxy, client) = start(1).await;
        proxy.conflicts().set(Pace { share: 0.5, ..Pace::AS_THE_TABLE }, 7);
        let mut met = 0;
        for _ in 0..200 {
            met += usize::from(put(&client).send().await.is_err());
        }
        assert!((70..130).contains(&met), "{met} of 200");
        proxy.conflicts().turn_off();
        assert!(put(&client).send().await.is_ok());
    }

    #[tokio::test]
    async fn pages_end_early_and_hide_nothing() {
        let (_table, proxy, client) = start(1).await;
        for sk in 0..40 {
            let put = client.put_item().table_name("handoff").item("pk", S("a".to_owned()));
            put.item("sk", S(format!("{sk:02}"))).send().await.unwrap();
        }
        proxy.pages().end_early(1.0, 7);
        let query = || client.query().table_name("handoff").key_condition_expression("pk = :pk");
        let mut pages = query().expression_attribute_values(":pk", S("a".to_owned())).into_paginator().send();
        let mut sizes = Vec::new();
        while let Some(page) = pages.next().await {
            sizes.push(page.unwrap().items().len());
        }
        assert_eq!(sizes.iter().sum::<usize>(), 40, "{sizes:?}");
        assert!(sizes.contains(&0) && sizes.iter().filter(|size| **size > 0).count() > 3, "{sizes:?}");

        proxy.pages().end_early(1.0, 7);
        let keys = (0..9).map(|sk| [key("00")[0].clone(), ("sk".to_owned(), S(format!("{sk:02}")))].into()).collect();
        let wanted = aws_sdk_dynamodb::types::KeysAndAttributes::builder().set_keys(Some(keys)).build().unwrap();
        let answer = client.batch_get_item().request_items("handoff", wanted).send().await.unwrap();
        let left_out = answer.unprocessed_keys().unwrap()["handoff"].keys().len();
        assert!((1..9).contains(&left_out));
        assert_eq!(answer.responses().unwrap()["handoff"].len() + left_out, 9);
        assert!(proxy.pages().ended_early() > 0);
    }
}
