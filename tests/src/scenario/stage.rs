//! The stage of scenarios: sessions, raw webhooks, and time that passes only while nothing else happens.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbox::demo::Bot;
use sandbox::faults::{Fault, Spoiled};
use sandbox::journal::Vendor;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use tokio::task::JoinSet;

use super::Report;
use super::bot_side::{ASKING, BotSide};
use crate::checker::{self, Direction, Doubt, Expectations, Finding, Refused, Words};
use crate::{ANNA, LATE, World, weight};

/// How long nothing may have happened before time passes.
const QUIET: Duration = Duration::from_millis(4);

/// The shortest step of time; a task that waits for a moment in between wakes slightly late.
const STEP: Duration = Duration::from_millis(50);

/// The number of concurrent escalations.
const SIDE_BY_SIDE: usize = 16;

/// The number of minutes of sweeps that the last item may take.
const LAST_MINUTES: usize = 30;

/// A world under load.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub world: Arc<World>,
    pub side: BotSide,
    client: reqwest::Client,
    /// The shortest step of time.
    pub step: Duration,
}

/// A user who was handed over.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub person: String,
    pub chat_id: String,
    pub thread_id: String,
}

impl Session {
    pub(crate) fn words(&self, direction: Direction, text: &str) -> Words {
        Words { person: self.person.clone(), direction, text: text.to_owned() }
    }
}

impl Stage {
    /// A stage for a bot, with this many instances of each function in this process, or with as many processes of the
    /// compiled functions if `HITL_BINARIES` is set.
    pub(crate) async fn start(bot: Bot, instances: usize) -> Self {
        match crate::binaries() {
            Some(folder) => Self::around(bot, World::through(&folder, &[], instances).await),
            None => Self::in_process(bot, instances).await,
        }
    }

    /// A stage with its own time, whose table can be spoiled.
    pub(crate) async fn in_process(bot: Bot, instances: usize) -> Self {
        // The proxy also shows activity that the journal does not.
        let world = World::of_instances(instances, true).await;
        Self::around(bot, world)
    }

    /// The same stage, for users of another bot.
    pub(crate) fn with(&self, bot: Bot) -> Self {
        Self { side: BotSide::new(bot, &self.world), ..self.clone() }
    }

    fn around(bot: Bot, world: World) -> Self {
        let world = Arc::new(world);
        let client = sandbox::server::client().expect("a client can be made");
        Self { side: BotSide::new(bot, &world), world, client, step: STEP }
    }

    /// Waits until nothing has happened for a moment, and every invocation waits for time to pass.
    async fn quiet(&self) {
        let (mut seen, mut looks) = (self.world.activity(), 0);
        loop {
            let asked_at = Instant::now();
            tokio::time::sleep(QUIET).await;
            let now = self.world.activity();
            looks = if now == seen { looks + weight(QUIET, asked_at.elapsed()) } else { 0 };
            // An invocation that works without an effect may wait for a simulator that waits itself.
            if looks > self.world.most_looks() * LATE || (looks > 0 && self.world.all_sleep()) {
                return;
            }
            seen = now;
        }
    }

    /// Runs `work` to its end; time passes whenever nothing happens.
    pub(crate) async fn drive<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.quiet() => {}
            }
            if let Some(clock) = &self.world.clock
                && let Some(next) = clock.next_event(&self.world.stack)
            {
                clock.advance(next.since(clock.now()).max(self.step));
            }
        }
    }

    /// Lets time pass until `time`, including everything that falls due on the way.
    pub(crate) async fn until(&self, time: Timestamp) {
        let Some(clock) = &self.world.clock else { return };
        while clock.now() < time {
            self.quiet().await;
            let next = clock.next_event(&self.world.stack).map_or(time, |wake| wake.max(clock.now() + self.step));
            clock.advance(next.min(time).since(clock.now()));
        }
        self.quiet().await;
    }

    /// Lets time pass.
    pub(crate) async fn pass(&self, duration: Duration) {
        self.until(self.world.now() + duration).await;
    }

    /// Waits for time to pass.
    pub(crate) async fn sleep(&self, duration: Duration) {
        match &self.world.clock {
            Some(clock) => clock.clock().sleep(duration).await,
            None => tokio::time::sleep(duration).await,
        }
    }

    /// New users, handed over, after the settle time.
    pub(crate) async fn sessions(&self, count: usize) -> Vec<Session> {
        self.sessions_from(0, count).await
    }

    /// The same, beginning with number `first`.
    pub(crate) async fn sessions_from(&self, first: usize, count: usize) -> Vec<Session> {
        let people: Vec<_> =
            (first..first + count).map(|number| (self.side.new_person(number), asking(number))).collect();
        for some in people.chunks(SIDE_BY_SIDE) {
            let mut escalations = JoinSet::new();
            for (person, text) in some {
                let (side, person, text) = (self.side.clone(), person.clone(), text.clone());
                escalations.spawn(async move { side.asks(&person, &text).await });
            }
            let escalated = self.drive(escalations.join_all()).await;
            assert!(escalated.iter().all(Result::is_ok), "without faults every user is handed over: {escalated:?}");
            // Webhooks are held back until then, and LiveChat's timeout is shorter than a large number of starts may take.
            self.pass(Duration::from_secs(5)).await;
        }
        let located = self.located(people.iter().map(|(person, _)| person));
        assert_eq!(located.len(), count, "without faults every user has a thread");
        located
    }

    /// The handed-over users of `people`, in the same order, with the latest thread of each.
    pub(crate) fn located<'a>(&self, people: impl IntoIterator<Item = &'a String>) -> Vec<Session> {
        let entries = self.world.stack.journal.entries();
        let talkers = checker::people(&entries);
        let opened = entries.iter().filter(|entry| ["chat_started", "chat_resumed"].contains(&entry.effect));
        let threads: HashMap<_, _> =
            opened.filter_map(|entry| Some((*talkers.get(entry.text("/thread_id"))?, entry))).collect();
        let locate = |person: &String| {
            let opened = threads.get(person.as_str())?;
            let (chat_id, thread_id) = (opened.text("/chat_id").to_owned(), opened.text("/thread_id").to_owned());
            Some(Session { person: person.clone(), chat_id, thread_id })
        };
        people.into_iter().filter_map(locate).collect()
    }

    /// The webhook about an agent's message that LiveChat itself does not contain.
    pub(crate) fn message_webhook(&self, session: &Session, number: usize, text: &str, at: Timestamp) -> Value {
        let stack = &self.world.stack;
        json!({
            "webhook_id": "f2b0c4d8a1e94b7f8c6d5e4f3a2b1c0d",
            "secret_key": stack.webhook_secret(),
            "action": "incoming_event",
            "organization_id": stack.livechat.account().organization_id,
            "payload": {
                "chat_id": session.chat_id,
                "thread_id": session.thread_id,
                "event": {
                    // Far from the numbers that LiveChat itself assigns.
                    "id": format!("{}_{}", session.thread_id, 10_000 + number),
                    "created_at": at,
                    "type": "message",
                    "text": text,
                    "author_id": ANNA,
                    "visibility": "all",
                },
            },
            "additional_data": {},
        })
    }

    /// Delivers a webhook once; returns the status, if there was an answer.
    pub(crate) async fn post(&self, webhook: &Value) -> Option<u16> {
        let _underway = self.world.stack.underway.begin();
        let answer = self.client.post(self.world.stack.webhook_url()).json(webhook).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Delivers webhooks over this many connections; returns how many were not answered with 200.
    pub(crate) async fn post_all(&self, webhooks: Vec<Value>, connections: usize) -> usize {
        let queue = Arc::new(std::sync::Mutex::new(webhooks));
        let mut workers = JoinSet::new();
        for _ in 0..connections {
            let (stage, queue) = (self.clone(), Arc::clone(&queue));
            workers.spawn(async move {
                let mut refused = 0;
                loop {
                    let next = queue.lock().expect("nobody panics with the queue in hand").pop();
                    let Some(webhook) = next else { return refused };
                    refused += usize::from(stage.post(&webhook).await != Some(200));
                }
            });
        }
        self.drive(workers.join_all()).await.into_iter().sum()
    }

    /// Runs the schedule each minute until nothing waits any more, and at least until vendors have stopped retrying.
    pub(crate) async fn drain(&self) {
        // Where time passes by itself, a process may still hold a lane until the bot is ready for its items.
        if self.world.clock.is_none() {
            self.world.settle().await;
        }
        for _ in 0..LAST_MINUTES {
            self.pass(Duration::from_secs(60)).await;
            // A sweep that fails, because the table does, is made up for by the next one.
            drop(self.drive(self.world.stack.sweep()).await);
            self.quiet().await;
            if self.due_lanes() == 0 {
                return;
            }
        }
    }

    /// The number of lanes with waiting items; much cheaper than reading every item.
    pub(crate) fn due_lanes(&self) -> usize {
        let due = self.world.stack.table.due().expect("the table can be read");
        due.iter().filter(|key| crate::text(key, "sk").starts_with("LANE#")).count()
    }

    /// What is left in the table although nothing should wait or be parked.
    pub(crate) fn left_over(&self) -> Option<String> {
        let (waiting, parked) = (self.world.items("waiting").len(), self.world.items("parked").len());
        (waiting + parked > 0).then(|| format!("{waiting} items wait, and {parked} are parked"))
    }

    /// The checker's findings.
    pub(crate) fn findings(&self, mut expectations: Expectations) -> Vec<Finding> {
        let stack = &self.world.stack;
        expectations.refused.extend(refused(Vendor::LiveChat, stack.livechat.faults().spoiled()));
        expectations.refused.extend(refused(Vendor::Botpress, stack.botpress.faults().spoiled()));
        expectations.refused.extend(refused(Vendor::Botcopy, stack.botcopy.faults().spoiled()));
        expectations.doubts.extend(doubts(&self.world));
        checker::check(&stack.journal.entries(), &expectations)
    }

    /// The number of these texts that had an effect.
    pub(crate) fn effects(&self, words: &[Words]) -> usize {
        let written: std::collections::HashSet<&str> = words.iter().map(|words| words.text.as_str()).collect();
        let entries = self.world.stack.journal.entries();
        let effects = entries.iter().filter(|entry| ["shown_to_user", "event_sent"].contains(&entry.effect));
        effects
            .filter(|entry| entry.text("/from") == "agent" || entry.text("/author_type") == "customer")
            .filter(|entry| written.contains(entry.text("/text")))
            .count()
    }
}

fn refused(vendor: Vendor, spoiled: Vec<Spoiled>) -> impl Iterator<Item = Refused> {
    spoiled.into_iter().map(move |Spoiled { at, fault, .. }| {
        let named = match &fault {
            Fault::Answer { headers, .. } => headers.get("ratelimit-reset").or_else(|| headers.get("retry-after")),
            Fault::Delay(_) | Fault::Pace(_) | Fault::Hang(_) | Fault::Reset => None,
            Fault::LoseAnswer | Fault::Late { .. } | Fault::Garble(_) => None,
        };
        // Whole seconds are rounded up, so the actual moment may be almost a second earlier.
        let reset = named.and_then(|seconds| seconds.parse::<u64>().ok()?.checked_sub(1)).map(Duration::from_secs);
        Refused { vendor, at, reset }
    })
}

/// The times at which an answer about the outcome of a push, or of the record of it, was lost.
pub(super) fn doubts(world: &World) -> impl Iterator<Item = Doubt> {
    let pushes = world
        .stack
        .botcopy
        .faults()
        .spoiled()
        .into_iter()
        .filter(|one| matches!(one.fault, Fault::LoseAnswer | Fault::Late { .. } | Fault::Garble(_)));
    let notes = world.stack.table_proxy.iter().flat_map(|proxy| proxy.faults().spoiled());
    pushes.chain(notes).map(|one| Doubt::at(one.at))
}

/// The text with which a user asks for a person; unique to that user.
pub(super) fn asking(number: usize) -> String {
    format!("user {number} wants a {ASKING}")
}

impl Stage {
    /// The report with every finding as text. Findings that a Botcopy bot is allowed are counted in the figure instead:
    /// pushes with unknown outcome are repeated, and texts that the service could not accept go to the bot.
    pub(crate) fn report(&self, figure: String, mut findings: Vec<Finding>) -> Report {
        let (mut doubled, mut left_to_bot) = (0, 0);
        findings.retain(|finding| match finding {
            Finding::PushedAgain { times, .. } => {
                doubled += times;
                false
            }
            Finding::Lost(words) if self.side.has_answered(&words.text) => {
                left_to_bot += 1;
                false
            }
            _ => true,
        });
        let figure = match self.side.bot {
            Bot::Botpress => figure,
            Bot::Botcopy => format!("{figure}, {doubled} pushes doubled, {left_to_bot} messages left to the bot"),
        };
        Report { figure, findings: findings.iter().map(|finding| format!("{finding:?}")).collect() }
    }
}
