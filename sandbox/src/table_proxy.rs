//! A proxy in front of the table, through which its calls go wrong as scripted.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use serde_json::{Map, Value, json};
use shared::clock::Clock;

use crate::faults::{Fault, Faults};
use crate::server::{Server, client};

/// DynamoDB takes 16 MB at most.
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
    refused: Arc<AtomicUsize>,
    without_tokens: Arc<AtomicBool>,
}

impl TableProxy {
    /// Serves the table at `table_url` on a free port of the loopback interface.
    ///
    /// # Errors
    ///
    /// When the machine has no port left.
    pub async fn start(table_url: String, clock: Clock) -> io::Result<Self> {
        let (faults, calls, units) = (Faults::default(), Calls::default(), Units::default());
        let (refused, without_tokens) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let table = Upstream {
            client: client()?,
            url: table_url,
            calls: calls.clone(),
            units: units.clone(),
            refused: Arc::clone(&refused),
            without_tokens: Arc::clone(&without_tokens),
        };
        let router = Router::new().fallback(forward).with_state(table);
        let server = Server::start(0, router, faults.clone(), clock).await?;
        Ok(Self { server, faults, calls, units, refused, without_tokens })
    }

    /// `http://127.0.0.1:<port>`: what takes the place of the table's own address.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What goes wrong.
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Takes the token from every transaction from now on.
    ///
    /// The embedded table looks through all tokens of its last ten minutes on each transaction, so that a long measurement would be
    /// more and more of that. It recognises no repetition any more: not for a script that loses answers.
    pub fn take_tokens_away(&self) {
        self.without_tokens.store(true, Ordering::Relaxed);
    }

    /// How many calls have reached the table, by operation; those whose answer was lost afterwards are among them.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        self.calls.lock().clone()
    }

    /// How many calls the table itself has refused so far, most of them because a condition did not hold.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// The capacity units that the table says it has spent on all calls so far, reads and writes in one.
    pub fn units(&self) -> f64 {
        *self.units.lock()
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
struct Units(Arc<Mutex<f64>>);

impl Units {
    /// Adds what an answer says: `{"ConsumedCapacity": {"CapacityUnits": 1.0}}`, a list of these for a transaction.
    fn add(&self, answer: &[u8]) {
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let consumed = answer.get("ConsumedCapacity");
        let tables: Vec<&Value> = match consumed {
            Some(Value::Array(tables)) => tables.iter().collect(),
            one => one.into_iter().collect(),
        };
        let units: f64 = tables.into_iter().filter_map(|one| one.get("CapacityUnits")?.as_f64()).sum();
        *self.lock() += units;
    }

    fn lock(&self) -> MutexGuard<'_, f64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Debug)]
struct Upstream {
    client: reqwest::Client,
    url: String,
    calls: Calls,
    units: Units,
    refused: Arc<AtomicUsize>,
    without_tokens: Arc<AtomicBool>,
}

async fn forward(State(table): State<Upstream>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    *table.calls.lock().entry(operation).or_default() += 1;
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    for name in [HOST, CONTENT_LENGTH, CONNECTION] {
        head.headers.remove(name);
    }
    let without_token = table.without_tokens.load(Ordering::Relaxed).then(|| without_token(&body)).flatten();
    let body = asking_for_units(without_token.as_deref().unwrap_or(&body));
    let request = table.client.request(head.method, &table.url).headers(head.headers).body(body);
    match answer(request, &table.units).await {
        Ok(answer) => {
            table.refused.fetch_add(usize::from(answer.status().is_client_error()), Ordering::Relaxed);
            answer
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// The same call where it had a token.
fn without_token(body: &[u8]) -> Option<Vec<u8>> {
    let mut call: Map<String, Value> = serde_json::from_slice(body).ok()?;
    call.remove("ClientRequestToken")?;
    serde_json::to_vec(&call).ok()
}

/// The same call; its answer tells what it has cost. Whoever made it asked for no such thing and does not look.
fn asking_for_units(body: &[u8]) -> Vec<u8> {
    match body.trim_ascii_end().strip_suffix(b"}") {
        Some(open) => [open, br#","ReturnConsumedCapacity":"TOTAL"}"#].concat(),
        None => body.to_vec(),
    }
}

async fn answer(request: reqwest::RequestBuilder, units: &Units) -> reqwest::Result<Response> {
    let answer = request.send().await?;
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    for name in [CONTENT_LENGTH, CONNECTION, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let body = answer.bytes().await?;
    units.add(&body);
    let mut response = Response::new(Body::from(body));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::config::retry::RetryConfig;
    use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
    use aws_sdk_dynamodb::error::ProvideErrorMetadata;
    use aws_sdk_dynamodb::types::AttributeValue::{N, S};

    use super::*;
    use crate::function::REGION;
    use crate::table::EmbeddedTable;

    async fn start(attempts: u32) -> (EmbeddedTable, TableProxy, Client) {
        let table = EmbeddedTable::start("handoff").unwrap();
        let proxy = TableProxy::start(table.url(), Clock::system()).await.unwrap();
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
        assert!((proxy.units() - 2.5).abs() < 0.01, "{}", proxy.units());
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
}
