//! Raw calls and raw reads, for what no simulator does by itself.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use sandbox::botpress::{Definition, OperationAnswer};
use sandbox::stack::{Options, Runtime, SIDE_BY_SIDE, Stack};
use serde_json::{Map, Value, json};
use shared::clock::Clock;
use shared::fail_point::Plan;
use tokio::task::JoinHandle;

use super::{Clocks, World, binaries, owned};

/// The name of the sandbox's secret.
pub const SECRET_ID: &str = "livechat-hitl";

impl World {
    /// A world inside this process on the machine's clock, for vendors that hang.
    pub async fn in_real_time() -> Self {
        let environment = owned(&[("SETTLE_MS", "50")]);
        let options = Options { environment, ..Options::in_process(Clock::system()) };
        let stack = Stack::start(options).await.expect("the stack starts");
        let world = Self { stack, fail_points: Plan::default(), clock: None };
        world.install().await.expect("the integration is installed");
        world
    }

    /// A world whose secret contains only what the template generates, and in which nothing is installed.
    pub async fn unconnected() -> Self {
        Self::unconnected_with(1).await
    }

    /// The same through compiled functions if `HITL_BINARIES` names them; time is then the machine's.
    pub async fn unconnected_at_full_size(instances: usize) -> Self {
        let Some(folder) = binaries() else { return Self::unconnected_with(instances).await };
        let environment = owned(&[("SETTLE_MS", "50")]);
        let (runtime, instances) = (Runtime::Processes(&folder), instances.max(SIDE_BY_SIDE));
        let options =
            Options { runtime, environment, instances, connected: false, ..Options::in_process(Clock::system()) };
        let stack = Stack::start(options).await.expect("the compiled functions start");
        Self { stack, fail_points: Plan::default(), clock: None }
    }

    /// The same with several instances of each function, each of which caches the secret separately.
    pub async fn unconnected_with(instances: usize) -> Self {
        let clock = Clocks::new();
        let options = Options { connected: false, instances, ..clock.options() };
        let stack = Stack::start(options).await.expect("the stack starts");
        Self { stack, fail_points: Plan::default(), clock: Some(clock) }
    }

    /// The same with further variables.
    pub async fn unconnected_in(environment: &[(&str, &str)]) -> Self {
        let clock = Clocks::new();
        let options = Options { connected: false, environment: owned(environment), ..clock.options() };
        let stack = Stack::start(options).await.expect("the stack starts");
        Self { stack, fail_points: Plan::default(), clock: Some(clock) }
    }

    /// The clock for code that acts on this world from outside.
    pub fn clock(&self) -> Clock {
        self.clock.as_ref().map_or_else(Clock::system, Clocks::clock)
    }

    /// The platform calls an operation, once.
    pub async fn operate(&self, operation: &str, body: &Value) -> OperationAnswer {
        self.operate_with(operation, body, &[]).await
    }

    /// The same with other headers; one without a value is left out.
    pub async fn operate_with(
        &self,
        operation: &str,
        body: &Value,
        headers: &[(&str, Option<&str>)],
    ) -> OperationAnswer {
        let call = self.stack.botpress.call_operation(operation, body, headers);
        self.drive(call).await.expect("the integration answers")
    }

    /// The platform calls an action, once.
    pub async fn act(&self, action: &str, input: Value) -> OperationAnswer {
        self.operate("action_triggered", &json!({ "type": action, "input": input })).await
    }

    /// Lets time pass and the schedule tick until every waiting retry has been made.
    pub async fn catch_up(&self) {
        for _ in 0..2 {
            self.advance(Duration::from_secs(61));
            self.sweep().await;
        }
    }

    /// The owner of the agent token calls LiveChat, outside of the integration: `agent/action/resume_chat`.
    pub async fn owner_calls(&self, action: &str, body: &Value) {
        let url = format!("{}/v3.6/{action}", self.stack.livechat.url());
        let token = format!("Basic {}", self.stack.livechat.account().agent_token);
        let call = http().post(url).header("authorization", token).json(body).send();
        let status = self.drive(call).await.expect("LiveChat answers").status();
        assert!(status.is_success(), "LiveChat answers {action} with {status}");
    }

    /// The contents of the secret, with some values replaced.
    pub fn secret(&self, changes: &[(&str, &str)]) -> Value {
        let mut secret = self.stack.secret();
        let changes = changes.iter().map(|(key, value)| ((*key).to_owned(), json!(value)));
        secret.as_object_mut().expect("the secret is an object").extend(changes);
        secret
    }

    /// A world whose HITL plugin takes `delay` from the answer of `startHitl` to the activation of the session.
    pub async fn with_activation_delay(delay: Duration) -> Self {
        let clock = Clocks::new();
        let options = Options { activation_delay: delay, ..clock.options() };
        let stack = Stack::start(options).await.expect("the stack starts");
        let world = Self { stack, fail_points: Plan::default(), clock: Some(clock) };
        world.install().await.expect("the integration is installed");
        world
    }

    /// A world whose integration has other declarations than usual.
    pub async fn with_definition(definition: Definition) -> Self {
        let clock = Clocks::new();
        let stack = Stack::start(Options { definition, ..clock.options() }).await.expect("the stack starts");
        let world = Self { stack, fail_points: Plan::default(), clock: Some(clock) };
        world.install().await.expect("the integration is installed");
        world
    }

    /// Sends `body` to `url` unchanged; returns the status and the body of the answer.
    pub async fn post(&self, url: &str, body: impl Into<String>) -> (u16, String) {
        self.drive(self.posted(url, body)).await.expect("the request is not given up")
    }

    /// The same in the background, while the clock stands still.
    pub fn posted(&self, url: &str, body: impl Into<String>) -> JoinHandle<(u16, String)> {
        let request = http().post(url).header("content-type", "application/json").body(body.into());
        // Until the answer arrives, time does not pass because others sleep.
        let underway = self.stack.underway.begin();
        tokio::spawn(async move {
            let _underway = underway;
            let answer = request.send().await.expect("an answer arrives");
            (answer.status().as_u16(), answer.text().await.expect("the answer is whole"))
        })
    }

    /// Waits until `happened`, while the clock stands still.
    pub async fn until(&self, happened: impl Fn(&Self) -> bool) {
        let happens = async {
            while !happened(self) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), happens).await.expect("it happens");
    }

    /// Runs all of the work concurrently.
    pub async fn all<F: Future>(&self, work: impl IntoIterator<Item = F>) -> Vec<F::Output> {
        self.drive(together(work)).await
    }

    /// Lets time pass, then runs the schedule.
    pub async fn sweep_after(&self, wait: Duration) {
        self.advance(wait);
        self.sweep().await;
    }

    /// Removes the keys of Botcopy; the webhooks then serve only Botpress.
    pub fn without_botcopy(&self) {
        let mut secret = self.stack.secret();
        if let Some(keys) = secret.as_object_mut() {
            keys.retain(|key, _| !key.starts_with("botcopy"));
        }
        self.stack.secrets_manager.put(SECRET_ID, secret);
        // The cached secret is not looked up again before that.
        self.advance(Duration::from_secs(11));
    }

    /// A webhook as LiveChat sends it: for the service's organization, with the right secret.
    pub fn envelope(&self, action: &str, payload: Value) -> Value {
        json!({
            "webhook_id": "1188f5", "secret_key": self.stack.webhook_secret(), "action": action,
            "organization_id": self.stack.livechat.account().organization_id, "payload": payload, "additional_data": {},
        })
    }

    /// LiveChat reports something once; returns the status of the answer.
    pub async fn reports(&self, action: &str, payload: Value) -> u16 {
        self.post(&self.stack.webhook_url(), self.envelope(action, payload).to_string()).await.0
    }

    /// Chat and thread of the only open chat.
    pub fn chat_and_thread(&self) -> (String, String) {
        let chat_id = self.chat_id();
        let thread = self.stack.livechat.thread(&chat_id).expect("an open chat has a thread");
        (chat_id, thread.id)
    }

    /// Replaces one value of the secret, as an operator does; the current version becomes the previous one.
    pub fn rotate_secret(&self, key: &str, value: &str) {
        self.stack.secrets_manager.rotate(SECRET_ID, self.secret(&[(key, value)]));
    }

    /// The table's items whose sort key is `sk` or begins with it.
    pub fn items_under(&self, sk: &str) -> Vec<Value> {
        let items = self.stack.table.items().expect("the table can be read");
        items.into_iter().filter(|item| text(item, "sk").starts_with(sk)).collect()
    }

    /// All items of the table except the notes on callers.
    pub fn items_besides_doors(&self) -> Vec<Value> {
        let items = self.stack.table.items().expect("the table can be read");
        items.into_iter().filter(|item| text(item, "entity") != "door").collect()
    }

    /// Changes an item directly, bypassing the functions; `values` are in DynamoDB's own notation: `{":a":{"S":"x"}}`.
    pub async fn change_item(&self, item: &Value, expression: &str, values: Value) {
        let call = json!({
            "TableName": self.stack.table.name(), "UpdateExpression": expression, "ExpressionAttributeValues": values,
            "Key": key_of(item),
        });
        self.call_table("UpdateItem", &call).await;
    }

    /// Removes an item, as the table does with one that has expired.
    pub async fn remove_item(&self, item: &Value) {
        let call = json!({"TableName": self.stack.table.name(), "Key": key_of(item)});
        self.call_table("DeleteItem", &call).await;
    }

    /// LiveChat forgets its customers: their cookies no longer match its records.
    pub async fn forget_customers(&self) {
        for user in self.items("user") {
            if user.get("customer").is_some() {
                let values = json!({":wrong": {"S": "no-longer-known"}});
                self.change_item(&user, "SET customer.cookies.secret = :wrong", values).await;
            }
        }
    }

    /// The table's answer to a request for these items at once.
    pub async fn read_items(&self, items: &[&Value]) -> Vec<Value> {
        let name = self.stack.table.name();
        let keys: Vec<_> = items.iter().map(|item| key_of(item)).collect();
        let wanted = Map::from_iter([(name.to_owned(), json!({ "Keys": keys, "ConsistentRead": true }))]);
        let mut answer = self.call_table("BatchGetItem", &json!({ "RequestItems": wanted })).await;
        answer
            .pointer_mut(&format!("/Responses/{name}"))
            .and_then(Value::as_array_mut)
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Everything in a small table, in DynamoDB's own notation.
    pub async fn dump(&self) -> Vec<Value> {
        let mut found = self.call_table("Scan", &json!({ "TableName": self.stack.table.name() })).await;
        assert!(found.get("LastEvaluatedKey").is_none(), "the table has more than one page");
        found.get_mut("Items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default()
    }

    /// Puts what was [dumped](Self::dump) into the table.
    pub async fn load(&self, items: &[Value]) {
        for item in items {
            self.call_table("PutItem", &json!({ "TableName": self.stack.table.name(), "Item": item })).await;
        }
    }

    async fn call_table(&self, operation: &str, call: &Value) -> Value {
        let request =
            http().post(self.stack.table.url()).header("x-amz-target", format!("DynamoDB_20120810.{operation}"));
        let request = request.header("content-type", "application/x-amz-json-1.0").body(call.to_string());
        let request = request.header("x-amz-date", "20260511T094100Z").header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=tests/20260511/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
        );
        let answer = request.send().await.expect("the table answers");
        let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

fn key_of(item: &Value) -> Value {
    json!({"pk": {"S": text(item, "pk")}, "sk": {"S": text(item, "sk")}})
}

/// Runs all of the work concurrently; returns the results in the given order.
pub(crate) async fn together<F: Future>(work: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = work.into_iter().map(|one| (Box::pin(one), None)).collect();
    poll_fn(move |context| {
        for (one, done) in &mut running {
            if done.is_none()
                && let Poll::Ready(output) = one.as_mut().poll(context)
            {
                *done = Some(output);
            }
        }
        match running.iter().all(|(_, done)| done.is_some()) {
            true => Poll::Ready(running.drain(..).filter_map(|(_, done)| done).collect()),
            false => Poll::Pending,
        }
    })
    .await
}

/// The text of one field of an item, or `""`.
pub fn text<'a>(item: &'a Value, field: &str) -> &'a str {
    item.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A client that trusts no certificate: tests stay on this machine, in plain HTTP.
pub fn http() -> reqwest::Client {
    sandbox::server::client().expect("a client without roots builds")
}
