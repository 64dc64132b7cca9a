//! The simulated cloud as one value: its state, its clock, its journal, and its background tasks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use serde_json::{Value, json};
use shared::clock::{Clock, Timestamp};
use tokio::sync::watch;

use super::admin::workspace::Admin;
use super::errors::ErrorType;
use super::schedule::{Posted, Schedule};
use super::state::{Conversation, Message, User, World, lock};
use super::{InstallStatus, Options, Turned};
use crate::faults::Faults;
use crate::journal::Vendor;

/// Shared by the server, the plugin and the people.
#[derive(Debug)]
pub(super) struct Platform {
    pub options: Options,
    /// The workspace as the deployer of an integration sees it.
    pub admin: Admin,
    /// Whether the initial access key of the workspace still opens the runtime API.
    pub access_key_valid: AtomicBool,
    /// The error with which every call of the runtime API is refused at present.
    pub refusing: Mutex<Option<ErrorType>>,
    pub client: reqwest::Client,
    /// Faults, also of what the platform sends.
    pub faults: Faults,
    pub pending: Pending,
    /// When the plugin handles the integration's posts.
    pub schedule: Mutex<Schedule>,
    /// The simulator's own address, set once it listens.
    pub address: OnceLock<String>,
    /// The integration's address, while it is installed.
    pub integration_url: Mutex<Option<String>>,
    pub install_status: Mutex<InstallStatus>,
    /// The time of the last signature, in Unix milliseconds.
    pub signed_at: AtomicI64,
    /// The assumption of the contracts that does not hold, if any.
    pub turned: Mutex<Option<Turned>>,
    world: Mutex<World>,
}

impl Platform {
    pub(crate) fn new(options: Options, client: reqwest::Client, faults: Faults) -> Self {
        let mut world = World::default();
        world.add_user(options.clock.now(), "", Some(&options.install.bot_id));
        let admin = Admin::new(options.definition.clone(), options.signing_secret.clone());
        Self {
            options,
            admin,
            access_key_valid: AtomicBool::new(true),
            refusing: Mutex::default(),
            client,
            faults,
            pending: Pending::default(),
            schedule: Mutex::default(),
            address: OnceLock::new(),
            integration_url: Mutex::default(),
            install_status: Mutex::default(),
            signed_at: AtomicI64::default(),
            turned: Mutex::default(),
            world: Mutex::new(world),
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(crate) fn is_turned(&self, statement: Turned) -> bool {
        *lock(&self.turned) == Some(statement)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.options.clock.now()
    }

    pub(crate) fn bot_id(&self) -> &str {
        &self.options.install.bot_id
    }

    pub(crate) fn alias(&self) -> &str {
        &self.options.install.alias
    }

    /// Adds a line to the journal.
    pub(crate) fn record(&self, effect: &'static str, detail: Value) {
        self.options.journal.record(self.now(), Vendor::Botpress, effect, detail);
    }

    pub(crate) fn record_user(&self, effect: &'static str, user: &User) {
        self.record(
            effect,
            json!({"user_id": user.id, "tags": user.tags, "name": user.name, "picture_url": user.picture_url}),
        );
    }

    pub(crate) fn record_conversation(&self, effect: &'static str, conversation: &Conversation) {
        self.record(effect, json!({"conversation_id": conversation.id, "tags": conversation.tags}));
    }

    pub(crate) fn record_message(&self, effect: &'static str, message: &Message) {
        self.record(
            effect,
            json!({
                "message_id": message.id,
                "conversation_id": message.conversation_id,
                "user_id": message.user_id,
                "type": message.message_type,
                "payload": message.payload,
                "tags": message.tags,
                "direction": if message.outgoing { "outgoing" } else { "incoming" },
            }),
        );
    }

    /// Returns whether the install owns `user`; every install may name the bot's own user.
    pub(crate) fn owns_user(&self, user: &User) -> bool {
        user.integration == self.alias() || user.id == self.bot_id()
    }

    /// Returns whether the install owns `conversation`.
    pub(crate) fn owns_conversation(&self, conversation: &Conversation) -> bool {
        conversation.integration == self.alias()
    }

    /// Runs `task` in the background.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let running = self.pending.start();
        tokio::spawn(async move {
            task.await;
            drop(running);
        });
    }

    /// Runs `task` in the background once `due` has come, or now.
    pub(crate) fn at<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        due: Timestamp,
        task: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) {
        let platform = Arc::clone(self);
        self.spawn(async move {
            platform.sleep_until(due).await;
            task(platform).await;
        });
    }

    pub(crate) async fn sleep_until(&self, due: Timestamp) {
        self.pending.sleep_until(&self.options.clock, due).await;
    }

    /// Passes a new message on the channel `hitl` to its addressee.
    pub(crate) fn dispatch(self: &Arc<Self>, message_id: &str) {
        let mut world = self.world();
        let Some(message) = world.messages.get(message_id) else { return };
        if message.outgoing {
            self.deliver(&mut world, message_id);
        } else {
            drop(world);
            self.hand_to_plugin(Posted::Message, message_id);
        }
    }
}

/// Counts background tasks, and those of them that wait for the clock.
#[derive(Debug, Default)]
pub(super) struct Pending(watch::Sender<Tasks>);

#[derive(Debug, Default)]
struct Tasks {
    running: usize,
    sleeping: BTreeMap<u64, Timestamp>,
    next_id: u64,
}

/// Counts as a background task while it lives.
#[derive(Debug)]
pub(super) struct Running(watch::Sender<Tasks>);

impl Pending {
    /// Counts a task from now on.
    pub(crate) fn start(&self) -> Running {
        self.0.send_modify(|tasks| tasks.running += 1);
        Running(self.0.clone())
    }

    /// The number of tasks.
    pub(crate) fn count(&self) -> usize {
        self.0.borrow().running
    }

    async fn sleep_until(&self, clock: &Clock, due: Timestamp) {
        let mut id = 0;
        self.0.send_modify(|tasks| {
            id = tasks.next_id;
            tasks.next_id += 1;
            tasks.sleeping.insert(id, due);
        });
        clock.sleep_until(due).await;
        self.0.send_modify(|tasks| {
            tasks.sleeping.remove(&id);
        });
    }

    /// Waits until every task has ended or waits for a time in the future.
    pub(crate) async fn settled(&self, clock: &Clock) {
        let mut tasks = self.0.subscribe();
        let quiet = |tasks: &Tasks| {
            let now = clock.now();
            tasks.running == tasks.sleeping.values().filter(|due| **due > now).count()
        };
        // Fails only when the sender is dropped, and `self` keeps it.
        let _ = tasks.wait_for(quiet).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|tasks| tasks.running -= 1);
    }
}
