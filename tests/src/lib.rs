#![expect(clippy::expect_used, clippy::panic, reason = "a world that cannot be set up fails the test")]
//! The world that flows are played in: a stack, a clock that the test moves, and words for what people do.
//!
//! Flows run inside this process, or through compiled functions when `HITL_BINARIES` names their folder:
//! `HITL_BINARIES=target/release cargo test -p tests`.

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use sandbox::botpress::{Escalation, OperationAnswer, UpstreamUser};
use sandbox::journal::Entry;
use sandbox::stack::{Options, Runtime, Stack};
use serde_json::{Value, json};
use shared::clock::{Clock, ManualClock, Timestamp};
use shared::fail_point::Plan;
use tokio::task::JoinHandle;

/// The agent whom the router picks first.
pub const ANNA: &str = "anna@example.com";
/// Her colleague in the same group.
pub const BEN: &str = "ben@example.com";

/// 2026-05-11T09:41:00Z, when every world begins.
const BEGINNING: Timestamp = Timestamp::from_unix_millis(1_778_492_460_000);

/// How long real work is waited for before a look whether all that is left of it is waiting.
const PATIENCE: Duration = Duration::from_millis(3);

/// How many looks may find invocations at work before the clock moves all the same: what they wait for may be a simulator.
const LOOKS: u32 = 30;

/// A stack with the integration installed, and the clock it lives by.
#[derive(Debug)]
pub struct World {
    /// Everything.
    pub stack: Stack,
    /// Where invocations in this process die.
    pub fail_points: Plan,
    clock: Option<Clocks>,
}

/// One time, and who waits by it: the functions, and the simulators.
#[derive(Debug)]
struct Clocks {
    functions: ManualClock,
    simulators: ManualClock,
}

impl Clocks {
    fn new() -> Self {
        let functions = ManualClock::new(BEGINNING);
        Self { simulators: functions.with_own_sleepers(), functions }
    }

    fn options(&self) -> Options<'static> {
        Options { functions_clock: self.functions.clock(), ..Options::in_process(self.simulators.clock()) }
    }

    /// Whether every invocation waits for time to pass.
    fn all_sleep(&self, stack: &Stack) -> bool {
        stack.running() <= self.functions.sleepers()
    }

    /// To the next time that anybody waits for.
    fn jump(&self) {
        let next = self.functions.next_wake().into_iter().chain(self.simulators.next_wake()).min();
        if let Some(next) = next {
            self.functions.advance(next.since(self.functions.now()));
        }
    }
}

impl World {
    /// A world for flows that need nothing but the passing of time.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same, with variables for the functions.
    pub async fn with(environment: &[(&str, &str)]) -> Self {
        match binaries() {
            Some(folder) => Self::through(&folder, environment).await,
            None => Self::in_process_with(environment).await,
        }
    }

    /// A world whose clock can be moved by hours; always inside this process.
    pub async fn in_process() -> Self {
        Self::in_process_with(&[]).await
    }

    /// The same, with variables for the functions.
    pub async fn in_process_with(environment: &[(&str, &str)]) -> Self {
        let world = Self::uninstalled(environment).await;
        world.install().await.expect("the integration is installed");
        world
    }

    /// The same, before the integration is installed.
    pub async fn uninstalled(environment: &[(&str, &str)]) -> Self {
        let clock = Clocks::new();
        let fail_points = Plan::default();
        let options = Options { environment: owned(environment), fail_points: fail_points.clone(), ..clock.options() };
        let stack = Stack::start(options).await.expect("the stack starts");
        Self { stack, fail_points, clock: Some(clock) }
    }

    async fn through(folder: &std::path::Path, environment: &[(&str, &str)]) -> Self {
        // Real time passes here, so the settle time is short.
        let mut variables = vec![("SETTLE_MS".to_owned(), "50".to_owned())];
        variables.extend(owned(environment));
        let options = Options {
            runtime: Runtime::Processes(folder),
            environment: variables,
            ..Options::in_process(Clock::system())
        };
        let stack = Stack::start(options).await.expect("the compiled functions start");
        let world = Self { stack, fail_points: Plan::default(), clock: None };
        world.install().await.expect("the integration is installed");
        world
    }

    /// Installs the integration, which registers LiveChat's webhooks.
    ///
    /// # Errors
    ///
    /// What Botpress would show.
    pub async fn install(&self) -> Result<(), String> {
        self.drive(self.stack.install()).await.map_err(|error| error.to_string())
    }

    /// The time, as the functions see it.
    pub fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or_else(|| Clock::system().now(), |clock| clock.functions.now())
    }

    /// Lets time pass at once.
    pub fn advance(&self, duration: Duration) {
        self.clock.as_ref().expect("only a world in this process has a clock to move").functions.advance(duration);
    }

    /// Waits for `work`; whenever all that is left of it is waiting, the clock jumps to the end of the shortest wait.
    pub async fn drive<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut looks = 0;
        loop {
            if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
                return done;
            }
            looks += 1;
            if let Some(clock) = &self.clock
                && (clock.all_sleep(&self.stack) || looks > LOOKS)
            {
                clock.jump();
                looks = 0;
            }
        }
    }

    /// Waits until nothing is under way any more.
    pub async fn settle(&self) {
        self.drive(self.stack.settled()).await;
    }

    /// A new user of the bot, who has said hello.
    pub async fn user(&self, name: &str) -> UpstreamUser {
        let email = format!("{}@example.com", name.to_lowercase());
        let user = self.stack.botpress.new_user(name, Some(&email), None);
        self.says(&user, "hello").await;
        user
    }

    /// The user writes, and everything that follows from it happens.
    pub async fn says(&self, user: &UpstreamUser, text: &str) {
        self.drive(self.stack.botpress.user_says(&user.conversation_id, text)).await.expect("the user can write");
        self.settle().await;
    }

    /// The bot hands the user over, and everything that follows from it happens.
    ///
    /// # Errors
    ///
    /// What the bot's author would see.
    pub async fn escalate(&self, user: &UpstreamUser) -> Result<(), String> {
        self.escalate_with(user, Escalation::default()).await
    }

    /// The same, with a title, a description or a group.
    ///
    /// # Errors
    ///
    /// What the bot's author would see.
    pub async fn escalate_with(&self, user: &UpstreamUser, escalation: Escalation) -> Result<(), String> {
        let escalated = self.drive(self.stack.botpress.escalate(&user.conversation_id, escalation)).await;
        self.settle().await;
        escalated
    }

    /// A user who has just been handed over to Anna.
    pub async fn escalated_user(&self, name: &str) -> UpstreamUser {
        let user = self.user(name).await;
        self.escalate(&user).await.expect("the user is handed over");
        user
    }

    /// The agent writes to whoever is in the only open chat.
    pub async fn answers(&self, agent_id: &str, text: &str) {
        self.stack.livechat.agent_sends_text(&self.chat_id(), agent_id, text).expect("the agent can write");
        self.settle().await;
    }

    /// The only open chat.
    pub fn chat_id(&self) -> String {
        let chats = self.stack.livechat.open_chats();
        let [chat] = chats.as_slice() else { panic!("{} chats are open", chats.len()) };
        chat.id.clone()
    }

    /// The agent closes the only open chat.
    pub async fn agent_closes(&self, agent_id: &str) {
        self.stack.livechat.agent_closes(&self.chat_id(), agent_id).expect("the agent can close");
        self.settle().await;
    }

    /// The user ends the session by the command for it.
    pub async fn user_ends(&self, user: &UpstreamUser) {
        self.drive(self.stack.botpress.user_ends(&user.conversation_id)).await.expect("the user can end");
        self.settle().await;
    }

    /// The schedule ticks.
    pub async fn sweep(&self) {
        self.drive(self.stack.sweep()).await.expect("the sweep runs");
        self.settle().await;
    }

    /// What the agents wrote, as the users saw it.
    pub fn shown_by_agents(&self) -> Vec<String> {
        texts(&self.entries("shown_to_user", "/from", "agent"))
    }

    /// What reached LiveChat in the customers' name, openings and notes included.
    pub fn sent_by_customers(&self) -> Vec<String> {
        texts(&self.entries("event_sent", "/author_type", "customer"))
    }

    /// The bot platform's events of one type.
    pub fn bot_events(&self, kind: &str) -> Vec<Entry> {
        self.entries("event_created", "/type", kind)
    }

    /// Every entry of one effect where the text at `pointer` is `expected`.
    pub fn entries(&self, effect: &str, pointer: &str, expected: &str) -> Vec<Entry> {
        self.stack.journal.all(effect).into_iter().filter(|entry| entry.text(pointer) == expected).collect()
    }

    /// How often something happened.
    pub fn count(&self, effect: &str) -> usize {
        self.stack.journal.all(effect).len()
    }

    /// The items of one entity in the table, by the sandbox's own look at it.
    pub fn items(&self, entity: &str) -> Vec<Value> {
        let items = self.stack.table.items().expect("the table can be read");
        items.into_iter().filter(|item| item.get("entity").and_then(Value::as_str) == Some(entity)).collect()
    }

    /// A world inside this process that lives by the machine's clock: for vendors that hang.
    pub async fn in_real_time() -> Self {
        let environment = owned(&[("SETTLE_MS", "50")]);
        let options = Options { environment, ..Options::in_process(Clock::system()) };
        let world = Self { stack: Stack::start(options).await.expect("the stack starts"), clock: None };
        world.install().await.expect("the integration is installed");
        world
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

    /// Time passes, and the schedule ticks, until whatever waited for a next try has had it.
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

    /// What is in the secret, with some values replaced.
    pub fn secret(&self, changes: &[(&str, &str)]) -> Value {
        let botpress = self.stack.botpress.options();
        let url = self.stack.integration_url();
        let mut secret = json!({
            "agentToken": self.stack.livechat.account().agent_token,
            "webhookSecret": self.stack.webhook_secret(),
            "botpressToken": botpress.access_key,
            "botpressSigningSecret": botpress.signing_secret,
            "botpressPathKey": url.rsplit('/').next(),
        });
        let changes = changes.iter().map(|(key, value)| ((*key).to_owned(), json!(value)));
        secret.as_object_mut().expect("the secret is an object").extend(changes);
        secret
    }
}

/// The name of the sandbox's secret.
pub const SECRET_ID: &str = "livechat-hitl";

/// A client for calls that no simulator makes.
pub fn http() -> reqwest::Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("the client can be built")
}

/// The body of `message_created`; without a user it is the plugin's own remark.
pub fn message(conversation_id: &str, message_id: &str, text: &str, user_id: Option<&str>, at: Timestamp) -> Value {
    let mut payload = json!({ "text": text });
    if let (Some(user_id), Some(payload)) = (user_id, payload.as_object_mut()) {
        payload.insert("userId".to_owned(), json!(user_id));
    }
    json!({
        "type": "text",
        "payload": payload,
        "conversation": { "id": conversation_id, "channel": "hitl", "tags": {} },
        "user": { "id": "the bot", "tags": {} },
        "message": { "id": message_id, "createdAt": at, "tags": {} },
    })
}

/// The texts of events or messages.
pub fn texts(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.text("/text").to_owned()).collect()
}

fn owned(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting of the product")]
fn binaries() -> Option<PathBuf> {
    std::env::var("HITL_BINARIES").ok().map(PathBuf::from)
}

/// Raw calls and raw looks, for what no simulator does by itself.
impl World {
    /// A world whose HITL plugin takes `delay` from the answer of `startHitl` to the activation of the session.
    pub async fn with_activation_delay(delay: Duration) -> Self {
        let clock = Clocks::new();
        let options = Options { activation_delay: delay, ..clock.options() };
        let stack = Stack::start(options).await.expect("the stack starts");
        let world = Self { stack, fail_points: Plan::default(), clock: Some(clock) };
        world.install().await.expect("the integration is installed");
        world
    }

    /// Sends `body` to `url` as it is; the answer is its status and its body.
    pub async fn post(&self, url: &str, body: impl Into<String>) -> (u16, String) {
        self.drive(self.posted(url, body)).await.expect("the request is not given up")
    }

    /// The same in the background, while the clock stands still.
    pub fn posted(&self, url: &str, body: impl Into<String>) -> JoinHandle<(u16, String)> {
        let request = loopback_client().post(url).header("content-type", "application/json").body(body.into());
        tokio::spawn(async move {
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

    /// Does everything at once.
    pub async fn all<F: Future>(&self, work: impl IntoIterator<Item = F>) -> Vec<F::Output> {
        let mut running: Vec<_> = work.into_iter().map(|one| (Box::pin(one), None)).collect();
        let finished = poll_fn(move |context| {
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
        });
        self.drive(finished).await
    }

    /// Time passes, and the schedule ticks.
    pub async fn sweep_after(&self, wait: Duration) {
        self.advance(wait);
        self.sweep().await;
    }

    /// A webhook as LiveChat words it: about our organization, with the right secret.
    pub fn envelope(&self, action: &str, payload: Value) -> Value {
        json!({
            "webhook_id": "1188f5", "secret_key": self.stack.webhook_secret(), "action": action,
            "organization_id": self.stack.livechat.account().organization_id, "payload": payload, "additional_data": {},
        })
    }

    /// LiveChat reports something once; the answer is the status it gets.
    pub async fn reports(&self, action: &str, payload: Value) -> u16 {
        self.post(&self.stack.webhook_url(), self.envelope(action, payload).to_string()).await.0
    }

    /// Chat and thread of the only open chat.
    pub fn chat_and_thread(&self) -> (String, String) {
        let chat_id = self.chat_id();
        let thread = self.stack.livechat.thread(&chat_id).expect("an open chat has a thread");
        (chat_id, thread.id)
    }

    /// Replaces one value of the secret, as an operator does; what was current is the previous version from now on.
    pub fn rotate_secret(&self, key: &str, value: &str) {
        let stack = &self.stack;
        let mut secret = json!({
            "agentToken": stack.livechat.account().agent_token,
            "webhookSecret": stack.webhook_secret(),
            "botpressToken": stack.botpress.options().access_key,
            "botpressSigningSecret": stack.botpress.options().signing_secret,
            "botpressPathKey": stack.integration_url().rsplit('/').next(),
        });
        if let Some(old) = secret.get_mut(key) {
            *old = json!(value);
        }
        stack.secrets_manager.rotate("livechat-hitl", secret);
    }

    /// The table's items whose sort key is `sk` or begins with it.
    pub fn items_under(&self, sk: &str) -> Vec<Value> {
        let items = self.stack.table.items().expect("the table can be read");
        items.into_iter().filter(|item| text(item, "sk").starts_with(sk)).collect()
    }

    /// Changes an item behind everybody's back; `values` are in DynamoDB's own notation: `{":a":{"S":"x"}}`.
    pub async fn change_item(&self, item: &Value, expression: &str, values: Value) {
        let table = &self.stack.table;
        let call = json!({
            "TableName": table.name(), "UpdateExpression": expression, "ExpressionAttributeValues": values,
            "Key": {"pk": {"S": text(item, "pk")}, "sk": {"S": text(item, "sk")}},
        });
        let request = loopback_client().post(table.url()).header("x-amz-target", "DynamoDB_20120810.UpdateItem");
        let request = request.header("content-type", "application/x-amz-json-1.0").body(call.to_string());
        let request = request.header("x-amz-date", "20260511T094100Z").header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=tests/20260511/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
        );
        let answer = request.send().await.expect("the table answers");
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap_or_default());
    }
}

/// The text of one field of an item, or `""`.
pub fn text<'a>(item: &'a Value, field: &str) -> &'a str {
    item.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// A client that trusts nobody: tests stay on this machine, in plain HTTP.
fn loopback_client() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the default versions are there")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().expect("a client without roots builds")
}
