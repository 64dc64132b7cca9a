//! Anything at any time: a random walk over everything that people, vendors and machines do, beside a reference model.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sandbox::botpress::{Escalation, UpstreamUser};
use sandbox::faults::{Fault, Faults};
use sandbox::livechat::Target;
use sandbox::table_proxy::{throttled, throughput_exceeded};
use shared::clock::Timestamp;
use shared::fail_point::Place;
use tokio::task::JoinSet;

use super::side_by_side::side_by_side;
use super::{Report, Size};
use crate::checker::{self, Expectations, Finding};
use crate::model::{Excused, Model, delivery_of};
use crate::{ANNA, BEN, World};

/// How many steps one world lives; a new one begins with an empty table and an empty journal.
const STEPS: usize = 400;

/// How many users there are in a world.
const USERS: usize = 4;

/// How many of the last steps are told when something is wrong.
const TOLD: usize = 30;

const MINUTE: Duration = Duration::from_secs(60);

/// Everything that can happen, and how often relative to the rest.
const STEPS_BY_WEIGHT: [(Step, u32); 24] = [
    (Step::UserSays, 16),
    (Step::AgentSays, 16),
    (Step::AgentWritesNote, 3),
    (Step::Transfer, 3),
    (Step::Join, 2),
    (Step::AgentCloses, 4),
    (Step::RouterCloses, 1),
    (Step::UserEnds, 3),
    (Step::BotStops, 1),
    (Step::Escalate, 12),
    (Step::RepeatWebhook, 5),
    (Step::RepeatMessage, 3),
    (Step::LoseWebhooks, 2),
    (Step::LoseOurAnswers, 2),
    (Step::Kill, 6),
    (Step::LiveChatDown, 1),
    (Step::BotpressDown, 1),
    (Step::VendorsUp, 4),
    (Step::LoseVendorAnswers, 3),
    (Step::LimitRate, 1),
    (Step::SpoilTable, 3),
    (Step::Wait, 6),
    (Step::Jump, 2),
    (Step::Sweep, 8),
];

#[derive(Clone, Copy, Debug)]
enum Step {
    UserSays,
    AgentSays,
    AgentWritesNote,
    Transfer,
    Join,
    AgentCloses,
    RouterCloses,
    UserEnds,
    BotStops,
    Escalate,
    RepeatWebhook,
    RepeatMessage,
    LoseWebhooks,
    LoseOurAnswers,
    Kill,
    LiveChatDown,
    BotpressDown,
    VendorsUp,
    LoseVendorAnswers,
    LimitRate,
    SpoilTable,
    Wait,
    Jump,
    Sweep,
}

/// Walks through one world after the other, some of them side by side.
pub(super) async fn random(size: Size) -> Report {
    let mut random = size.random();
    let total = size.of(200_000, STEPS / 2);
    let lives: Vec<_> =
        (0..total).step_by(STEPS).map(|begin| (random.u64(..), STEPS.min(total - begin))).collect();
    let mut tally = Tally::default();
    let mut findings = Vec::new();
    for (seed, walked) in side_by_side(lives, |(seed, steps)| async move { (seed, Walk::live(seed, steps).await) }).await {
        match walked {
            Ok(one) => tally.add(one),
            Err(failure) => findings.push(format!("the world of seed {seed}: {failure}")),
        }
    }
    let Tally { words, sessions, kills, excused } = tally;
    let figure = format!(
        "{total} steps with {sessions} sessions, {words} words and {kills} kills; {} words, {} ends and {} starts \
         never reached us",
        excused.words, excused.stops, excused.starts,
    );
    Report { figure, findings }
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    words: usize,
    sessions: usize,
    kills: usize,
    excused: Excused,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.words += other.words;
        self.sessions += other.sessions;
        self.kills += other.kills;
        self.excused.words += other.excused.words;
        self.excused.stops += other.excused.stops;
        self.excused.starts += other.excused.starts;
    }
}

struct Walk {
    world: Arc<World>,
    random: fastrand::Rng,
    model: Model,
    users: Vec<UpstreamUser>,
    running: JoinSet<()>,
    /// Where reading the journal goes on.
    read: usize,
    steps: VecDeque<String>,
    places: BTreeSet<Place>,
    deliveries: BTreeSet<u64>,
    messages: Vec<String>,
    private: Vec<String>,
    said: usize,
    tally: Tally,
}

impl Walk {
    async fn live(seed: u64, steps: usize) -> Result<Tally, String> {
        let world = Arc::new(World::spoilable(1).await);
        let users = (0..USERS)
            .map(|number| world.stack.botpress.new_user(&format!("User {number}"), Some(&email(number)), None))
            .collect();
        let mut walk = Self {
            world,
            random: fastrand::Rng::with_seed(seed),
            model: Model::default(),
            users,
            running: JoinSet::new(),
            read: 0,
            steps: VecDeque::new(),
            places: BTreeSet::new(),
            deliveries: BTreeSet::new(),
            messages: Vec::new(),
            private: Vec::new(),
            said: 0,
            tally: Tally::default(),
        };
        match walk.go(steps).await {
            Ok(()) => Ok(walk.tally),
            Err(wrong) => {
                let last: Vec<_> = walk.steps.into();
                Err(format!("{wrong} after:\n    {}", last.join("\n    ")))
            }
        }
    }

    async fn go(&mut self, steps: usize) -> Result<(), String> {
        for number in 0..steps {
            let step = self.pick();
            let told = self.take(step).await;
            self.steps.push_back(format!("{number}: {step:?} {told}"));
            if self.steps.len() > TOLD {
                self.steps.pop_front();
            }
            // Most things happen one after another, some at the same time.
            if self.random.u8(..10) < 7 {
                self.settle().await?;
            } else {
                self.observe()?;
            }
        }
        self.rest().await?;
        self.lead_back().await?;
        self.judge()
    }

    fn pick(&mut self) -> Step {
        let total: u32 = STEPS_BY_WEIGHT.iter().map(|(_, weight)| weight).sum();
        let mut left = self.random.u32(..total);
        for (step, weight) in STEPS_BY_WEIGHT {
            if left < weight {
                return step;
            }
            left -= weight;
        }
        Step::Wait
    }

    /// Does one thing; the answer says to whom.
    async fn take(&mut self, step: Step) -> String {
        let stack = &self.world.stack;
        let number = self.random.usize(..self.users.len());
        let person = self.users.get(number).map(|user| user.conversation_id.clone()).unwrap_or_default();
        let chat = self.model.session_of(&person).map(|session| session.chat_id.clone()).unwrap_or_default();
        let agent = self.agent_of(&chat);
        match step {
            Step::UserSays => {
                let text = self.text("user");
                let told = format!("{number} \"{text}\"");
                self.spawn(async move |world| drop(world.stack.botpress.user_says(&person, &text).await));
                return told;
            }
            Step::AgentSays => {
                let text = self.text("agent");
                return format!("{:?}", self.world.stack.livechat.agent_sends_text(&chat, &agent, &text).map(|_| text));
            }
            Step::AgentWritesNote => {
                let text = self.text("note");
                drop(self.world.stack.livechat.agent_sends_private_note(&chat, &agent, &text));
                self.private.push(text);
            }
            Step::Transfer => {
                let other = if agent == ANNA { BEN } else { ANNA };
                drop(stack.livechat.agent_transfers(&chat, &agent, Target::Agent(other.to_owned())));
            }
            Step::Join => drop(stack.livechat.agent_joins(&chat, if agent == ANNA { BEN } else { ANNA })),
            Step::AgentCloses => drop(stack.livechat.agent_closes(&chat, &agent)),
            Step::RouterCloses => drop(stack.livechat.router_closes(&chat)),
            Step::UserEnds => self.spawn(async move |world| drop(world.stack.botpress.user_ends(&person).await)),
            Step::BotStops => self.spawn(async move |world| drop(world.stack.botpress.stop(&person).await)),
            Step::Escalate => {
                let text = self.text("please");
                self.spawn(async move |world| {
                    drop(world.stack.botpress.user_says(&person, &text).await);
                    drop(world.stack.botpress.escalate(&person, Escalation::default()).await);
                });
            }
            Step::RepeatWebhook => {
                let delivery = self.random.choice(&self.deliveries).copied();
                let sent = delivery.is_some_and(|delivery| stack.livechat.replay(delivery));
                return format!("{delivery:?} {sent}");
            }
            Step::RepeatMessage => {
                let message = self.random.choice(&self.messages).cloned().unwrap_or_default();
                stack.botpress.deliver_again(&message);
                return message;
            }
            Step::Kill => return self.kill(),
            Step::Wait => self.world.advance(Duration::from_millis(self.random.u64(100..30_000))),
            Step::Jump => {
                // Nothing that is alive stops working for hours.
                drop(self.settle().await);
                let seconds = self.random.u64(60..36_000);
                self.world.advance(Duration::from_secs(seconds));
                return format!("{seconds} s");
            }
            Step::Sweep => self.spawn(async |world| drop(world.stack.sweep().await)),
            _ => return self.spoil(step),
        }
        format!("{number}")
    }

    /// Lets something go wrong from now on.
    fn spoil(&mut self, step: Step) -> String {
        let stack = &self.world.stack;
        let times = self.random.u32(1..6);
        let lost = if self.random.bool() { Fault::Reset } else { Fault::answer(503, "") };
        match step {
            Step::LoseWebhooks => stack.gateway_faults.next(times, "POST /livechat", lost),
            Step::LoseOurAnswers => stack.gateway_faults.next(times, "POST", Fault::LoseAnswer),
            Step::LiveChatDown => stack.livechat.faults().always("", lost),
            Step::BotpressDown => stack.botpress.faults().always("", lost),
            Step::VendorsUp => {
                stack.livechat.faults().clear();
                stack.botpress.faults().clear();
            }
            Step::LoseVendorAnswers => self.random.choice(vendors(&self.world)).into_iter().for_each(|faults| {
                faults.next(times, "POST", Fault::LoseAnswer);
            }),
            Step::LimitRate => {
                let headers = BTreeMap::from([("retry-after".to_owned(), format!("{}", 10 * times))]);
                let limit = Fault::Answer { status: 429, headers, body: String::new() };
                self.random.choice(vendors(&self.world)).into_iter().for_each(|faults| {
                    faults.next(1, "POST", limit.clone());
                });
            }
            Step::SpoilTable => {
                let fault = match self.random.u8(..4) {
                    0 => throttled(),
                    1 => throughput_exceeded(),
                    2 => Fault::Reset,
                    _ => Fault::LoseAnswer,
                };
                if let Some(proxy) = &stack.table_proxy {
                    proxy.faults().next(times, "DynamoDB", fault);
                }
            }
            _ => {}
        }
        format!("{times} times")
    }

    fn kill(&mut self) -> String {
        let plan = &self.world.fail_points;
        self.places.extend(plan.passed().into_keys());
        let Some(place) = self.random.choice(&self.places).copied() else { return String::new() };
        let nth = self.random.u32(1..4);
        plan.kill_at(place, nth);
        format!("{:?} {} for the {nth}. time", place.side, place.step)
    }

    fn text(&mut self, who: &str) -> String {
        self.said += 1;
        format!("{who} {}", self.said)
    }

    fn agent_of(&self, chat_id: &str) -> String {
        let chats = self.world.stack.livechat.open_chats();
        let chat = chats.iter().find(|chat| chat.id == chat_id);
        chat.and_then(|chat| chat.public_agent()).unwrap_or(ANNA).to_owned()
    }

    fn spawn<F>(&mut self, work: impl FnOnce(Arc<World>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.running.spawn(work(Arc::clone(&self.world)));
    }

    /// Everything under way comes to its end; whoever was killed has a successor.
    async fn settle(&mut self) -> Result<(), String> {
        let (world, running) = (&self.world, &mut self.running);
        let ends = async {
            while running.join_next().await.is_some() {}
            world.stack.settled().await;
        };
        world.drive(ends).await;
        if world.fail_points.has_killed() {
            self.tally.kills += 1;
            self.places.extend(world.fail_points.passed().into_keys());
            world.fail_points.clear();
            world.stack.restart_functions().map_err(|error| error.to_string())?;
        }
        self.observe()
    }

    /// Shows the model what has happened.
    fn observe(&mut self) -> Result<(), String> {
        let entries = self.world.stack.journal.since(self.read);
        self.read += entries.len();
        self.deliveries.extend(entries.iter().filter_map(delivery_of));
        let messages = entries.iter().filter(|entry| entry.text("/direction") == "outgoing");
        self.messages.extend(messages.map(|entry| entry.text("/message_id").to_owned()));
        match self.model.observe(&entries).into_iter().next() {
            Some(wrong) => Err(wrong),
            None => Ok(()),
        }
    }

    /// Nothing goes wrong any more, and time passes until nothing is left to happen.
    async fn rest(&mut self) -> Result<(), String> {
        self.steps.push_back("everything rests".to_owned());
        let stack = &self.world.stack;
        vendors(&self.world).into_iter().for_each(Faults::clear);
        stack.gateway_faults.clear();
        stack.table_proxy.iter().for_each(|proxy| proxy.faults().clear());
        self.world.fail_points.clear();
        self.settle().await?;
        // Either the schedule goes on as usual, or it has been gone for as long.
        let pauses = if self.random.bool() { vec![MINUTE; 20] } else { vec![MINUTE, 18 * MINUTE, MINUTE, MINUTE] };
        for pause in pauses {
            self.world.advance(pause);
            self.spawn(async |world| drop(world.stack.sweep().await));
            self.settle().await?;
        }
        let (wrong, excused) = self.model.rest(&self.unreadable());
        self.tally.excused = excused;
        match (wrong.into_iter().next(), self.left_over()) {
            (Some(wrong), _) | (None, Some(wrong)) => Err(wrong),
            (None, None) => Ok(()),
        }
    }

    /// When LiveChat did not let a thread be read.
    fn unreadable(&self) -> Vec<Timestamp> {
        let spoiled = self.world.stack.livechat.faults().spoiled();
        spoiled.into_iter().filter(|one| one.call.contains("get_chat")).map(|one| one.at).collect()
    }

    fn left_over(&self) -> Option<String> {
        let items = ["waiting", "parked"].into_iter().flat_map(|entity| self.world.items(entity));
        let mut keys = items.map(|item| format!("{} of {} is left", item["sk"], item["pk"]));
        keys.next()
    }

    /// From wherever the walk has led, everybody comes back to the bot, and can be handed over again.
    async fn lead_back(&mut self) -> Result<(), String> {
        for again in [false, true] {
            self.end_everything().await?;
            if self.model.is_anybody_with_agents() || self.model.open().next().is_some() {
                return Err(format!("not everybody is back: {:?}", self.model.open().collect::<Vec<_>>()));
            }
            if again {
                break;
            }
            for user in self.users.clone() {
                let text = self.text("please");
                let escalated = async {
                    self.world.stack.botpress.user_says(&user.conversation_id, &text).await?;
                    self.world.stack.botpress.escalate(&user.conversation_id, Escalation::default()).await
                };
                self.world.drive(escalated).await.map_err(|error| format!("no new start: {error}"))?;
            }
            self.settle().await?;
            if self.model.open().count() != self.users.len() {
                return Err(format!("{} threads are open for {USERS} users", self.model.open().count()));
            }
        }
        self.tally.sessions = self.world.count("chat_started") + self.world.count("chat_resumed");
        Ok(())
    }

    async fn end_everything(&mut self) -> Result<(), String> {
        let open: Vec<_> = self.model.open().map(|(_, session)| session.chat_id.clone()).collect();
        for chat_id in open {
            drop(self.world.stack.livechat.agent_closes(&chat_id, &self.agent_of(&chat_id)));
        }
        self.rest().await
    }

    /// What the checker says; lost words and open ends are the model's business, which knows what was honestly lost.
    fn judge(&mut self) -> Result<(), String> {
        let entries = self.world.stack.journal.entries();
        self.tally.words = self.said;
        let expectations = Expectations { private: self.private.clone(), ..Expectations::default() };
        let wrong = checker::check(&entries, &expectations).into_iter().find(|finding| {
            matches!(finding, Finding::Leaked(_) | Finding::TextAfterClosure(_) | Finding::AssignedAgain { .. })
        });
        wrong.map_or(Ok(()), |finding| Err(format!("{finding:?}")))
    }
}

fn vendors(world: &World) -> [&Faults; 2] {
    [world.stack.livechat.faults(), world.stack.botpress.faults()]
}

fn email(number: usize) -> String {
    format!("user-{number}@example.com")
}
