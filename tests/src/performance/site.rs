//! A stack of compiled functions to be measured.

use std::path::Path;
use std::sync::Arc;

use sandbox::faults::Fault;
use sandbox::stack::{Options, Runtime, Side, Stack};
use serde_json::Value;
use shared::clock::Clock;
use shared::fail_point::Plan;
use tokio::task::JoinSet;

use super::calls::{Call, Session, Thread};
use super::{Delays, process};
use crate::World;

/// The number of sessions started in parallel.
const SIDE_BY_SIDE: usize = 8;

/// A stack, with the integration installed.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub world: Arc<World>,
    pub client: reqwest::Client,
}

impl Site {
    /// Starts this many processes of each function.
    pub(crate) async fn start(binaries: &Path, instances: usize) -> Self {
        let site = Self::uninstalled(binaries, instances, Vec::new()).await;
        site.world.install().await.expect("the integration is installed");
        site
    }

    /// The same with variables for the functions, and before the integration is installed.
    pub(crate) async fn uninstalled(binaries: &Path, instances: usize, environment: Vec<(String, String)>) -> Self {
        // No waiting is needed: the simulator of the plugin activates a session at once.
        let settle = ("SETTLE_MS".to_owned(), "0".to_owned());
        let options = Options {
            runtime: Runtime::Processes(binaries),
            environment: [settle].into_iter().chain(environment).collect(),
            table_proxy: true,
            instances,
            ..Options::in_process(Clock::system())
        };
        let stack = Stack::start(options).await.expect("the compiled functions start");
        // The functions are measured; the measurement itself sets the time that the table takes.
        stack.table_proxy.iter().for_each(|proxy| proxy.conflicts().turn_off());
        let world = World { stack, fail_points: Plan::default(), clock: None };
        Self { world: Arc::new(world), client: crate::http() }
    }

    /// The same for a long measurement in which nothing is sent twice.
    pub(crate) async fn start_for_long(binaries: &Path, instances: usize) -> Self {
        let site = Self::start(binaries, instances).await;
        if let Some(proxy) = &site.world.stack.table_proxy {
            proxy.take_tokens_away();
        }
        site
    }

    /// Sets the delays of all other parts.
    pub(crate) fn slow_down(&self, delays: Delays) {
        let stack = &self.world.stack;
        for faults in [stack.livechat.faults(), stack.botpress.faults(), stack.botcopy.faults()] {
            faults.clear();
            if !delays.vendors.is_zero() {
                faults.always("", Fault::Pace(delays.vendors));
            }
        }
        if let Some(proxy) = &stack.table_proxy {
            proxy.faults().clear();
            if !delays.table.is_zero() {
                proxy.faults().always("", Fault::Pace(delays.table));
            }
        }
    }

    /// Processor time that the processes of a function have used so far.
    pub(crate) fn processor_time(&self, side: Side) -> std::time::Duration {
        process::processor_time(&self.process_ids(side))
    }

    pub(crate) fn process_ids(&self, side: Side) -> Vec<u32> {
        self.world.stack.processes(side).map(|processes| processes.process_ids()).unwrap_or_default()
    }

    /// New users, handed over.
    pub(crate) async fn sessions(&self, first: usize, count: usize) -> Vec<Session> {
        let numbers: Vec<_> = (first..first + count).collect();
        let mut sessions = Vec::new();
        for some in numbers.chunks(SIDE_BY_SIDE) {
            let mut starts = JoinSet::new();
            for number in some.iter().copied() {
                let site = self.clone();
                starts.spawn(async move { site.session(number).await });
            }
            sessions.extend(starts.join_all().await);
            // Otherwise the few processes fall behind with the webhooks of many starts, and LiveChat repeats them.
            self.world.stack.settled().await;
        }
        sessions
    }

    async fn session(&self, number: usize) -> Session {
        let made = self.answer(&Call::create_user(number)).await;
        let user_id = text_at(&made, "/output/userId");
        let started = self.answer(&Call::start(&user_id)).await;
        Session { user_id, conversation_id: text_at(&started, "/output/conversationId") }
    }

    /// The answer to an operation that must succeed.
    pub(crate) async fn answer(&self, call: &Call) -> Value {
        let answer = call.send(&self.world, &self.client).await;
        let (status, body) = answer.expect("the function answers");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Every open thread, with the agent made known to its bot.
    pub(crate) async fn threads(&self) -> Vec<Thread> {
        let livechat = &self.world.stack.livechat;
        let threads: Vec<_> = livechat
            .open_chats()
            .into_iter()
            .filter_map(|chat| {
                let thread_id = livechat.thread(&chat.id)?.id;
                Some(Thread { chat_id: chat.id, thread_id })
            })
            .collect();
        for thread in &threads {
            self.answer(&Call::agent_message(&self.world, thread, "hello")).await;
        }
        threads
    }
}

/// The text at a JSON pointer.
pub(super) fn text_at(answer: &Value, pointer: &str) -> String {
    answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
