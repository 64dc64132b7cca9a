//! The embedded DynamoDB: the real wire protocol on loopback, kept in memory.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};
use std::{fmt, io};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use dynoxide::actions::delete_item::DeleteItemRequest;
use dynoxide::actions::put_item::PutItemRequest;
use dynoxide::actions::query::QueryRequest;
use dynoxide::actions::scan::ScanRequest;
use dynoxide::types::{AttributeValue, Item};
use dynoxide::{Database, DynoxideError};
use serde_json::{Value, json};
use shared::clock::Timestamp;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// One table in its own database; both are deleted when this value is dropped.
///
/// The table is the one that `template.yaml` declares: string keys `pk` and `sk`, TTL on `expires_at`, on-demand
/// billing, and the sparse index `due` (`due_shard`, `due_at`; keys only). Nothing expires here by itself, because the
/// time of expiry there cannot be relied upon; [`delete_expired`](EmbeddedTable::delete_expired) simulates a run of TTL.
pub struct EmbeddedTable {
    name: String,
    database: Database,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The reason why the table is not available.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine refused the table or a scan.
    #[error("the embedded database refuses")]
    Database(#[from] DynoxideError),
    /// The engine does not understand the table's definition.
    #[error("the table's definition is not understood")]
    Definition(#[from] serde_json::Error),
    /// No port or no thread is available for the server.
    #[error("the embedded database cannot be served")]
    Serve(#[from] io::Error),
}

impl EmbeddedTable {
    /// Creates the table `name` and serves it on a free loopback port.
    ///
    /// # Errors
    ///
    /// When the name is not a valid table name, or the machine has no port or thread left.
    pub fn start(name: &str) -> Result<Self, Error> {
        let database = Database::memory()?;
        database.create_table(serde_json::from_value(definition(name))?)?;
        database.update_time_to_live(serde_json::from_value(json!({
            "TableName": name,
            "TimeToLiveSpecification": { "AttributeName": "expires_at", "Enabled": true },
        }))?)?;

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        // The engine works on the thread that serves it. A dedicated thread keeps that work out of all other runtimes.
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let served = database.clone();
        let thread = thread::Builder::new()
            .name("embedded-table".to_owned())
            .spawn(move || serve(&runtime, listener, served, stopped))?;
        Ok(Self { name: name.to_owned(), database, address, stop: Some(stop), thread: Some(thread) })
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `http://127.0.0.1:<port>`: the value for `AWS_ENDPOINT_URL_DYNAMODB`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Deletes what TTL deletes if its clock shows `now`; returns the number of deleted items.
    ///
    /// DynamoDB deletes late, by up to days (a `now` in the past), early where its clock is ahead of the functions' (a
    /// `now` in the future), or never (no call). It deletes in no order and not all at once: `chooses` picks from the expired items.
    ///
    /// # Errors
    ///
    /// As [`items`](Self::items).
    pub fn delete_expired(&self, now: Timestamp, mut chooses: impl FnMut(&Value) -> bool) -> Result<usize, Error> {
        let condition = "expires_at <= :now";
        let now = Item::from([(":now".to_owned(), AttributeValue::N(now.unix_seconds().to_string()))]);
        let mut deleted = 0;
        for item in self.scan(Some((condition, &now)))? {
            if !chooses(&item) {
                continue;
            }
            let key = ["pk", "sk"].map(|name| (name.to_owned(), AttributeValue::S(text(&item, name))));
            self.database.delete_item(DeleteItemRequest {
                table_name: self.name.clone(),
                key: key.into(),
                condition_expression: Some(condition.to_owned()),
                expression_attribute_values: Some(now.clone()),
                ..DeleteItemRequest::default()
            })?;
            deleted += 1;
        }
        Ok(deleted)
    }

    /// Puts items directly into the table, bypassing the functions; each is given by its attributes, all of them texts.
    ///
    /// # Errors
    ///
    /// As [`items`](Self::items).
    pub fn fill<const N: usize>(
        &self,
        items: impl IntoIterator<Item = [(&'static str, String); N]>,
    ) -> Result<(), Error> {
        for item in items {
            let item = item.map(|(name, value)| (name.to_owned(), AttributeValue::S(value)));
            self.database.put_item(PutItemRequest {
                table_name: self.name.clone(),
                item: item.into(),
                ..PutItemRequest::default()
            })?;
        }
        Ok(())
    }

    /// Everything in the table, ordered by key, as plain JSON: `{"pk":"…","sk":"…","attempts":2}`.
    ///
    /// Binary values are base64 text, sets are arrays.
    ///
    /// # Errors
    ///
    /// When the engine cannot scan, for instance because the table was deleted.
    pub fn items(&self) -> Result<Vec<Value>, Error> {
        self.scan(None)
    }

    fn scan(&self, filter: Option<(&str, &Item)>) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let page = self.database.scan(ScanRequest {
                table_name: self.name.clone(),
                consistent_read: Some(true),
                exclusive_start_key: start.take(),
                filter_expression: filter.map(|(condition, _)| condition.to_owned()),
                expression_attribute_values: filter.map(|(_, values)| values.clone()),
                ..ScanRequest::default()
            })?;
            items.extend(page.items.unwrap_or_default().iter().map(plain_item));
            start = page.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        items.sort_by_cached_key(|item| (text(item, "pk"), text(item, "sk")));
        Ok(items)
    }

    /// The keys of all entries of the index `due`, whenever they are due: `{"pk":"…","sk":"…"}`; cheap in a large table.
    ///
    /// # Errors
    ///
    /// As [`items`](Self::items).
    pub fn due(&self) -> Result<Vec<Value>, Error> {
        let request = json!({
            "TableName": self.name,
            "IndexName": "due",
            "KeyConditionExpression": "due_shard = :shard",
            "ExpressionAttributeValues": { ":shard": { "S": "0" } },
        });
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let request: QueryRequest = serde_json::from_value(request.clone())?;
            let page = self.database.query(QueryRequest { exclusive_start_key: start, ..request })?;
            items.extend(page.items.unwrap_or_default().iter().map(plain_item));
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }
}

impl fmt::Debug for EmbeddedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedTable")
            .field("name", &self.name)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for EmbeddedTable {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(runtime: &Runtime, listener: TcpListener, database: Database, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        // Not the engine's own graceful stop, which waits for connections that clients keep open.
        tokio::select! {
            _ = dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()) => {}
            _ = stopped => {}
        }
    });
}

/// The parameters of `CreateTable`: the table that `template.yaml` declares, without TTL, which needs a separate call.
pub fn definition(name: &str) -> Value {
    json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            { "AttributeName": "pk", "AttributeType": "S" },
            { "AttributeName": "sk", "AttributeType": "S" },
            { "AttributeName": "due_shard", "AttributeType": "S" },
            { "AttributeName": "due_at", "AttributeType": "S" },
        ],
        "KeySchema": [
            { "AttributeName": "pk", "KeyType": "HASH" },
            { "AttributeName": "sk", "KeyType": "RANGE" },
        ],
        "GlobalSecondaryIndexes": [{
            "IndexName": "due",
            "KeySchema": [
                { "AttributeName": "due_shard", "KeyType": "HASH" },
                { "AttributeName": "due_at", "KeyType": "RANGE" },
            ],
            "Projection": { "ProjectionType": "KEYS_ONLY" },
        }],
    })
}

fn text(item: &Value, key: &str) -> String {
    item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn plain_item(item: &Item) -> Value {
    item.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
}

fn plain(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!(text),
        AttributeValue::N(number) => plain_number(number),
        AttributeValue::B(bytes) => json!(BASE64_STANDARD.encode(bytes)),
        AttributeValue::BOOL(flag) => json!(flag),
        AttributeValue::NULL(_) => Value::Null,
        AttributeValue::SS(texts) => json!(texts),
        AttributeValue::NS(numbers) => numbers.iter().map(|number| plain_number(number)).collect(),
        AttributeValue::BS(blobs) => blobs.iter().map(|bytes| BASE64_STANDARD.encode(bytes)).collect(),
        AttributeValue::L(values) => values.iter().map(plain).collect(),
        AttributeValue::M(item) => plain_item(item),
    }
}

fn plain_number(number: &str) -> Value {
    serde_json::from_str(number).unwrap_or_else(|_| json!(number))
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
    use aws_sdk_dynamodb::types::AttributeValue::{N, S};

    use super::*;
    use crate::invocation::REGION;

    fn client(table: &EmbeddedTable) -> Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("sandbox", "sandbox", None, None, "sandbox"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(table.url())
            .build();
        Client::from_conf(config)
    }

    #[tokio::test]
    async fn the_sdk_writes_reads_and_finds_what_is_due() {
        let table = EmbeddedTable::start("handoff").unwrap();
        let client = client(&table);
        for (sk, due) in [("b", true), ("a", false)] {
            let mut put = client.put_item().table_name("handoff");
            put =
                put.item("pk", S("LANE#1".to_owned())).item("sk", S(sk.to_owned())).item("attempts", N("2".to_owned()));
            if due {
                put = put.item("due_shard", S("0".to_owned())).item("due_at", S("2026-05-11".to_owned()));
            }
            put.send().await.unwrap();
        }

        let due = client
            .query()
            .table_name("handoff")
            .index_name("due")
            .key_condition_expression("due_shard = :shard AND due_at <= :now")
            .expression_attribute_values(":shard", S("0".to_owned()))
            .expression_attribute_values(":now", S("2026-05-12".to_owned()))
            .send()
            .await
            .unwrap();
        let [only] = due.items() else { panic!("one item is due: {due:?}") };
        assert_eq!(only.get("sk"), Some(&S("b".to_owned())));
        assert_eq!(only.get("attempts"), None, "the index holds keys only");

        let items = table.items().unwrap();
        assert_eq!(items[0], json!({ "pk": "LANE#1", "sk": "a", "attempts": 2 }));
        assert_eq!(items[1]["due_at"], "2026-05-11");
        let [due] = table.due().unwrap().try_into().unwrap();
        assert_eq!((&due["pk"], &due["sk"]), (&json!("LANE#1"), &json!("b")));
    }

    #[tokio::test]
    async fn ttl_deletes_by_its_own_clock_and_what_it_chooses() {
        let table = EmbeddedTable::start("handoff").unwrap();
        let client = client(&table);
        for (pk, expires_at) in
            [("kept", None), ("early", Some("1000")), ("middle", Some("2000")), ("late", Some("3000"))]
        {
            let put = client.put_item().table_name("handoff").item("pk", S(pk.to_owned())).item("sk", S(pk.to_owned()));
            let put = expires_at.into_iter().fold(put, |put, at| put.item("expires_at", N(at.to_owned())));
            put.send().await.unwrap();
        }
        let left = || table.items().unwrap().iter().map(|item| text(item, "pk")).collect::<Vec<_>>();

        assert_eq!(table.delete_expired(Timestamp::from_unix_millis(999_999), |_| true).unwrap(), 0, "TTL is late");
        let of_middle = |item: &Value| text(item, "pk") == "middle";
        assert_eq!(table.delete_expired(Timestamp::from_unix_millis(2_000_000), of_middle).unwrap(), 1);
        assert_eq!(left(), ["early", "kept", "late"], "TTL deletes in no order");
        assert_eq!(table.delete_expired(Timestamp::from_unix_millis(9_000_000), |_| true).unwrap(), 2, "TTL is early");
        assert_eq!(left(), ["kept"]);
    }

    #[tokio::test]
    async fn the_table_is_the_one_the_template_declares() {
        let table = EmbeddedTable::start("handoff").unwrap();
        let client = client(&table);
        let described = client.describe_table().table_name("handoff").send().await.unwrap();
        let billing = described.table().and_then(|table| table.billing_mode_summary()).unwrap();
        assert_eq!(billing.billing_mode().map(|mode| mode.as_str()), Some("PAY_PER_REQUEST"));
        let ttl = client.describe_time_to_live().table_name("handoff").send().await.unwrap();
        let ttl = ttl.time_to_live_description().unwrap();
        assert_eq!(ttl.attribute_name(), Some("expires_at"));
    }

    #[tokio::test]
    async fn tables_do_not_share_data_and_stop_when_dropped() {
        let (first, second) = (EmbeddedTable::start("handoff").unwrap(), EmbeddedTable::start("handoff").unwrap());
        let put = client(&first).put_item().table_name("handoff").item("pk", S("a".into())).item("sk", S("a".into()));
        put.send().await.unwrap();
        assert_eq!(first.items().unwrap().len(), 1);
        assert!(second.items().unwrap().is_empty());

        let address = first.address;
        drop(first);
        assert!(std::net::TcpStream::connect(address).is_err());
    }
}
