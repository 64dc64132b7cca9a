#![expect(clippy::expect_used, clippy::panic, reason = "a world that cannot be set up fails the test")]
//! The world in which flows run: a stack, a clock that the test moves, and helpers for what people do.
//!
//! Flows run inside this process, or through compiled functions when `HITL_BINARIES` names their folder:
//! `HITL_BINARIES=target/release cargo test -p tests`.

mod botcopy;
pub mod checker;
mod log;
mod model;
pub mod performance;
mod raw;
pub mod scenario;

pub use botcopy::ASK;
pub use log::Log;
pub use raw::{SECRET_ID, http, text};

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sandbox::botpress::{Escalation, UpstreamUser};
use sandbox::journal::Entry;
use sandbox::stack::{Options, Runtime, SIDE_BY_SIDE, Stack};
use serde_json::{Value, json};
use shared::clock::{Clock, ManualClock, Timestamp};
use shared::fail_point::Plan;

/// The agent that the router picks first.
pub const ANNA: &str = "anna@example.com";
/// Her colleague in the same group.
pub const BEN: &str = "ben@example.com";

/// 2026-05-11T09:41:00Z, when every world begins.
const BEGINNING: Timestamp = Timestamp::from_unix_millis(1_778_492_460_000);

/// The real time given to the work before checking whether it only waits for the clock.
const PATIENCE: Duration = Duration::from_millis(3);

/// The number of consecutive checks that may find running invocations idle before the clock moves all the same, while a
/// simulator holds a call back: they may be waiting for it.
const LOOKS: u32 = 100;

/// The limit while no call is held back: the invocations are then still working, on a busy machine.
const LOOKS_AT_WORK: u32 = 5_000;

/// After a pause that took this many times as long as it should, the machine was busy with other work: the look counts as a fraction of
/// one, this many of which make a whole.
pub(crate) const LATE: u32 = 4;

/// What a look after a pause counts, in fractions of a look.
pub(crate) fn weight(pause: Duration, took: Duration) -> u32 {
    if took > pause * LATE { 1 } else { LATE }
}

/// A stack with the integration installed, and its clock.
#[derive(Debug)]
pub struct World {
    /// The stack.
    pub stack: Stack,
    /// The fail points of invocations in this process.
    pub fail_points: Plan,
    clock: Option<Clocks>,
}

/// One time for two groups of sleepers: the functions, and the simulators.
#[derive(Debug)]
struct Clocks {
    functions: ManualClock,
    simulators: ManualClock,
    held_calls_sleep: AtomicBool,
}

impl Clocks {
    fn new() -> Self {
        let functions = ManualClock::new(BEGINNING);
        Self { simulators: functions.with_own_sleepers(), functions, held_calls_sleep: AtomicBool::new(false) }
    }

    fn options(&self) -> Options<'static> {
        Options { functions_clock: self.functions.clock(), ..Options::in_process(self.simulators.clock()) }
    }

    /// Returns whether every call in flight has become an invocation, and every invocation waits for time to pass.
    fn all_sleep(&self, stack: &Stack) -> bool {
        let running = stack.running();
        let in_table = stack.table_proxy.as_ref().map_or(0, |proxy| proxy.conflicts().waiting());
        let held = if self.held_calls_sleep.load(Ordering::Relaxed) { stack.held_calls() } else { 0 };
        let asleep = match self.functions.waiting() {
            // Every call to a vendor is held back, so no invocation that waits for one is working.
            (asleep, calls) if held == 0 && calls > 0 && calls <= stack.held_calls() => asleep,
            _ => self.functions.sleepers(),
        };
        let is_late_due = stack.next_late().is_some_and(|at| at <= self.now());
        !is_late_due && stack.underway.count() <= stack.invocations() && running <= asleep + in_table + held
    }

    /// Jumps to the next time for which anything waits. A deadline counts only while a call is held back on purpose:
    /// otherwise its holder is working, and a busy machine is no reason for a timeout.
    fn jump(&self, stack: &Stack) {
        if let Some(next) = self.next_event(stack) {
            self.advance(next.since(self.now()));
        }
    }

    fn next_event(&self, stack: &Stack) -> Option<Timestamp> {
        let deadline = self.functions.next_deadline().into_iter().chain(self.simulators.next_deadline()).min();
        let deadline = deadline.filter(|_| stack.holds_calls());
        self.next_wake().into_iter().chain(deadline).chain(stack.next_late()).min()
    }

    fn now(&self) -> Timestamp {
        self.functions.now()
    }

    fn next_wake(&self) -> Option<Timestamp> {
        self.functions.next_wake().into_iter().chain(self.simulators.next_wake()).min()
    }

    fn advance(&self, duration: Duration) {
        self.functions.advance(duration);
    }

    /// The clock for everything but the functions; waits on it count for the next wake-up as well.
    fn clock(&self) -> Clock {
        self.simulators.clock()
    }
}

impl World {
    /// A world for flows that need only the passing of time.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same, with variables for the functions.
    pub async fn with(environment: &[(&str, &str)]) -> Self {
        match binaries() {
            Some(folder) => Self::through(&folder, environment, 1).await,
            None => Self::in_process_with(environment).await,
        }
    }

    /// A world whose clock can be moved by hours; always in this process.
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

    /// A world in which the clock of the function `webhooks`, which the sweep is a part of, is ahead of that of `actions` by so many
    /// milliseconds; behind, if negative.
    pub async fn with_webhooks_ahead_ms(ahead_ms: i64) -> Self {
        let clock = Clocks::new();
        let webhooks_clock = Some(clock.functions.ahead_by_ms(ahead_ms).clock());
        let stack = Stack::start(Options { webhooks_clock, ..clock.options() }).await.expect("the stack starts");
        let world = Self { stack, fail_points: Plan::default(), clock: Some(clock) };
        world.install().await.expect("the integration is installed");
        world
    }

    /// A world with so many instances of each function, and perhaps with a table that can be spoiled.
    pub async fn of_instances(instances: usize, table_proxy: bool) -> Self {
        Self::of_instances_with(instances, table_proxy, &[]).await
    }

    /// The same, with variables for the functions.
    pub async fn of_instances_with(instances: usize, table_proxy: bool, environment: &[(&str, &str)]) -> Self {
        let clock = Clocks::new();
        let fail_points = Plan::default();
        let environment = owned(environment);
        let options =
            Options { table_proxy, instances, environment, fail_points: fail_points.clone(), ..clock.options() };
        let stack = Stack::start(options).await.expect("the stack starts");
        let world = Self { stack, fail_points, clock: Some(clock) };
        world.install().await.expect("the integration is installed");
        world
    }

    async fn through(folder: &std::path::Path, environment: &[(&str, &str)], instances: usize) -> Self {
        // Real time passes here, so the settle time is short.
        let mut variables = vec![("SETTLE_MS".to_owned(), "50".to_owned())];
        variables.extend(owned(environment));
        let options = Options {
            runtime: Runtime::Processes(folder),
            environment: variables,
            // Writes conflict there as they do at AWS.
            table_proxy: true,
            instances: instances.max(SIDE_BY_SIDE),
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
    /// The message that Botpress would show.
    pub async fn install(&self) -> Result<(), String> {
        self.drive(self.stack.install()).await.map_err(|error| error.to_string())
    }

    /// The time on the functions' clock.
    pub fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or_else(|| Clock::system().now(), Clocks::now)
    }

    /// Advances the clock at once.
    pub fn advance(&self, duration: Duration) {
        self.clock.as_ref().expect("only a world in this process has a clock to move").advance(duration);
    }

    /// Waits until another task has moved the clock this far.
    pub async fn sleep(&self, duration: Duration) {
        match &self.clock {
            Some(clock) => clock.clock().sleep(duration).await,
            None => Clock::system().sleep(duration).await,
        }
    }

    /// Makes an invocation whose call is held back count as waiting from now on; valid only if each makes one call at a time.
    pub(crate) fn held_calls_sleep(&self) {
        if let Some(clock) = &self.clock {
            clock.held_calls_sleep.store(true, Ordering::Relaxed);
        }
    }

    /// Runs `work` to its end; whenever all of it only waits, the clock jumps to the end of the shortest wait.
    pub async fn drive<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let (mut looks, mut seen) = (0, 0);
        loop {
            let asked_at = Instant::now();
            if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
                return done;
            }
            let activity = self.activity();
            looks = if activity == seen { looks + weight(PATIENCE, asked_at.elapsed()) } else { 0 };
            seen = activity;
            if let Some(clock) = &self.clock
                && (clock.all_sleep(&self.stack) || looks > self.most_looks() * LATE)
            {
                clock.jump(&self.stack);
                looks = 0;
            }
        }
    }

    /// The number of consecutive checks without news before working invocations are assumed to be waiting.
    fn most_looks(&self) -> u32 {
        let is_known = self.clock.as_ref().is_some_and(|clock| clock.functions.waiting().1 > 0);
        if self.stack.holds_calls() && !is_known { LOOKS } else { LOOKS_AT_WORK }
    }

    /// The next time for which anything waits; none where time passes by itself.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.clock.as_ref()?.next_wake().into_iter().chain(self.stack.next_late()).min()
    }

    /// Returns whether every invocation waits for time to pass.
    fn all_sleep(&self) -> bool {
        self.clock.as_ref().is_none_or(|clock| clock.all_sleep(&self.stack))
    }

    /// A number that grows with every activity.
    fn activity(&self) -> usize {
        let table_calls = self.stack.table_proxy.as_ref().map_or(0, |proxy| proxy.calls().values().sum());
        self.stack.journal.len() + table_calls
    }

    /// Waits until nothing is in flight.
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

    /// The user writes; returns when all effects have happened.
    pub async fn says(&self, user: &UpstreamUser, text: &str) {
        self.drive(self.stack.botpress.user_says(&user.conversation_id, text)).await.expect("the user can write");
        self.settle().await;
    }

    /// The user sends a message of any type; returns when all effects have happened.
    pub async fn shows(&self, user: &UpstreamUser, message_type: &str, payload: Value) {
        let sent = self.stack.botpress.user_sends(&user.conversation_id, message_type, payload);
        self.drive(sent).await.expect("the user can send this");
        self.settle().await;
    }

    /// The bot hands the user over; returns when all effects have happened.
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

    /// The agent writes in the only open chat.
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

    /// The user ends the session with the command for it.
    pub async fn user_ends(&self, user: &UpstreamUser) {
        self.drive(self.stack.botpress.user_ends(&user.conversation_id)).await.expect("the user can end");
        self.settle().await;
    }

    /// Runs the schedule once.
    pub async fn sweep(&self) {
        self.drive(self.stack.sweep()).await.expect("the sweep runs");
        self.settle().await;
    }

    /// The agents' texts, as the users saw them.
    pub fn shown_by_agents(&self) -> Vec<String> {
        texts(&self.entries("shown_to_user", "/from", "agent"))
    }

    /// The texts that reached LiveChat in the customers' name, including openings and notes.
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

    /// The number of effects of one kind.
    pub fn count(&self, effect: &str) -> usize {
        self.stack.journal.all(effect).len()
    }

    /// The items of one entity in the table, read through the sandbox.
    pub fn items(&self, entity: &str) -> Vec<Value> {
        let items = self.stack.table.items().expect("the table can be read");
        items.into_iter().filter(|item| item.get("entity").and_then(Value::as_str) == Some(entity)).collect()
    }
}

/// The body of `message_created`; without a user it is the plugin's own text.
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

/// The folder of compiled functions, or several in the form of `PATH`. Cargo runs tests in their own package's folder; a relative path
/// is relative to the workspace.
#[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting of the product")]
pub fn binaries() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = std::env::var("HITL_BINARIES").ok()?;
    let folders = std::env::split_paths(&folders).map(|folder| workspace.join(folder));
    std::env::join_paths(folders).ok().map(PathBuf::from)
}
