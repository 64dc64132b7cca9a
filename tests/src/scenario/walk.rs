//! Anything at any time: a random walk over everything that people, vendors and machines do, checked against a reference model.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use sandbox::demo::Bot;
use sandbox::faults::{Fault, Faults};
use sandbox::livechat::Target;
use sandbox::table_proxy::{throttled, throughput_exceeded};
use shared::fail_point::Place;

use super::life::{Life, MINUTE};
use super::side_by_side::side_by_side;
use super::{Report, Size, by_weight};
use crate::model::Excused;
use crate::{ANNA, BEN};

/// The number of steps in one world; a new one begins with an empty table and an empty journal.
const STEPS: usize = 400;

/// The number of users in a world.
const USERS: usize = 4;

/// How soon a call is repeated, if at all.
const SOON: Duration = Duration::from_secs(5);

/// The number of last steps that are printed when something is wrong.
const TOLD: usize = 30;

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
    (Step::PlatformDown, 1),
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
    PlatformDown,
    VendorsUp,
    LoseVendorAnswers,
    LimitRate,
    SpoilTable,
    Wait,
    Jump,
    Sweep,
}

/// Walks through one world after the other, some of them in parallel.
pub(super) async fn random(size: Size, bot: Bot) -> Report {
    let mut random = size.random();
    let total = size.of(200_000, STEPS / 4);
    let mut lives: Vec<_> = (0..total).step_by(STEPS).map(|begin| (random.u64(..), STEPS.min(total - begin))).collect();
    // The world that a long walk has reported is repeated with its own seed.
    if let [(seed, _)] = lives.as_mut_slice() {
        *seed = size.seed;
    }
    let mut tally = Tally::default();
    let mut findings = Vec::new();
    for (seed, walked) in
        side_by_side(lives, move |(seed, steps)| async move { (seed, Walk::live(bot, seed, steps).await) }).await
    {
        match walked {
            Ok(one) => tally.add(one),
            Err(failure) => findings.push(format!("the world of seed {seed}: {failure}")),
        }
    }
    let Tally { words, sessions, kills, excused } = tally;
    let figure =
        format!("{total} steps with {sessions} sessions, {words} words and {kills} kills; {}", excused.told(bot));
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
        self.excused += other.excused;
    }
}

struct Walk {
    life: Life,
    random: fastrand::Rng,
    steps: VecDeque<String>,
    places: BTreeSet<Place>,
    tally: Tally,
}

impl Walk {
    async fn live(bot: Bot, seed: u64, steps: usize) -> Result<Tally, String> {
        let mut walk = Self {
            life: Life::begin(bot, USERS, true).await,
            random: fastrand::Rng::with_seed(seed),
            steps: VecDeque::new(),
            places: BTreeSet::new(),
            tally: Tally::default(),
        };
        match walk.go(steps).await {
            Ok(()) => Ok(walk.tally),
            Err(wrong) => {
                let last: Vec<_> = walk.steps.into();
                let told = walk.life.journal_about(&wrong);
                Err(format!("{wrong} after:\n    {}\n  {}", last.join("\n    "), told.join("\n  ")))
            }
        }
    }

    async fn go(&mut self, steps: usize) -> Result<(), String> {
        for number in 0..steps {
            let step = by_weight(&mut self.random, &STEPS_BY_WEIGHT).unwrap_or(Step::Wait);
            let told = self.take(step).await?;
            self.steps.push_back(format!("{number}: {step:?} {told}"));
            if self.steps.len() > TOLD {
                self.steps.pop_front();
            }
            // Most things happen one after another, some at the same time.
            if self.random.u8(..10) < 7 {
                self.settle().await?;
            } else {
                self.life.observe()?;
            }
        }
        self.steps.push_back("everything rests".to_owned());
        self.life.heal();
        self.life.world.fail_points.clear();
        // Either the schedule runs as usual, or it has been down for as long.
        let pauses = if self.random.bool() { vec![MINUTE; 20] } else { vec![MINUTE, 18 * MINUTE, MINUTE, MINUTE] };
        self.tally.excused = self.life.rest(&pauses).await?;
        self.life.lead_back(&pauses).await?;
        let world = &self.life.world;
        self.tally.sessions = world.count("chat_started") + world.count("chat_resumed");
        self.tally.words = self.life.texts();
        self.life.judge()
    }

    async fn settle(&mut self) -> Result<(), String> {
        if self.life.settle().await? {
            self.tally.kills += 1;
            let plan = &self.life.world.fail_points;
            self.places.extend(plan.passed().into_keys());
            plan.clear();
        }
        Ok(())
    }

    /// Does one step; returns a description of it.
    async fn take(&mut self, step: Step) -> Result<String, String> {
        let number = self.random.usize(..USERS);
        let Some(person) = self.life.people.get(number).cloned() else {
            return Ok(String::new());
        };
        match step {
            Step::UserSays => {
                let text = self.life.text("user");
                let told = format!("{number} \"{text}\"");
                let side = self.life.side.clone();
                self.life.spawn(async move |_| drop(side.says(&person, &text).await));
                return Ok(told);
            }
            // Botcopy's users can do neither.
            Step::UserEnds | Step::BotStops if self.life.side.bot == Bot::Botcopy => {}
            Step::UserEnds => {
                self.life.spawn(async move |world| drop(world.stack.botpress.user_ends(&person).await));
            }
            Step::BotStops => self.life.spawn(async move |world| drop(world.stack.botpress.stop(&person).await)),
            Step::Escalate => {
                let text = self.life.asking();
                return Ok(format!("{number} {}", self.life.escalate(person, text)));
            }
            Step::RepeatWebhook => {
                let delivery = self.random.choice(&self.life.deliveries).copied().unwrap_or_default();
                return Ok(format!("{delivery} {}", self.life.world.stack.livechat.replay(delivery)));
            }
            Step::RepeatMessage if self.life.side.bot == Bot::Botcopy => {
                return self.say_twice(number, &person).await;
            }
            Step::RepeatMessage => {
                let message = self.random.choice(&self.life.messages).cloned().unwrap_or_default();
                self.life.world.stack.botpress.deliver_again(&message);
                return Ok(message);
            }
            Step::Sweep => self.life.spawn(async |world| drop(world.stack.sweep().await)),
            Step::Wait => self.life.world.advance(Duration::from_millis(self.random.u64(100..30_000))),
            Step::Jump => {
                // No live process stops working for hours.
                self.settle().await?;
                let seconds = self.random.u64(60..36_000);
                self.life.world.advance(Duration::from_secs(seconds));
                return Ok(format!("{seconds} s"));
            }
            Step::Kill => return Ok(self.kill()),
            Step::AgentSays
            | Step::AgentWritesNote
            | Step::Transfer
            | Step::Join
            | Step::AgentCloses
            | Step::RouterCloses => return Ok(format!("{number} {}", self.agent_acts(step, &person))),
            _ => return Ok(self.spoil(step)),
        }
        Ok(number.to_string())
    }

    /// A user writes the same text twice; if the first call had no answer, Botcopy repeats it within the seconds in
    /// which it is recognised as a repetition.
    async fn say_twice(&mut self, number: usize, person: &str) -> Result<String, String> {
        self.settle().await?;
        let (text, world) = (self.life.text("user"), std::sync::Arc::clone(&self.life.world));
        let begin = world.now();
        drop(world.drive(self.life.side.says(person, &text)).await);
        let answered = world
            .entries("webhook_called", "/text", &text)
            .pop()
            .map(|call| call.detail.get("status") == Some(&200.into()));
        match answered {
            Some(false) if world.now().since(begin) < SOON => {
                drop(world.drive(world.stack.botcopy.repeat_last_call(person)).await);
            }
            Some(true) => drop(world.drive(self.life.side.says(person, &text)).await),
            _ => {}
        }
        Ok(format!("{number} \"{text}\", twice, {answered:?}"))
    }

    /// An agent does something in the chat of a user, if there is one.
    fn agent_acts(&mut self, step: Step, person: &str) -> String {
        let (chat, agent) = self.life.chat_of(person);
        let other = if agent == ANNA { BEN } else { ANNA };
        let text = self.life.text("agent");
        let livechat = &self.life.world.stack.livechat;
        let done = match step {
            Step::AgentSays => livechat.agent_sends_text(&chat, &agent, &text).map(drop),
            Step::AgentWritesNote => livechat.agent_sends_private_note(&chat, &agent, &text).map(drop),
            Step::Transfer => livechat.agent_transfers(&chat, &agent, Target::Agent(other.to_owned())),
            Step::Join => livechat.agent_joins(&chat, other),
            Step::AgentCloses => livechat.agent_closes(&chat, &agent),
            _ => livechat.router_closes(&chat),
        };
        if matches!(step, Step::AgentWritesNote) {
            self.life.private.push(text.clone());
        }
        match done {
            Ok(()) => format!("{agent} \"{text}\""),
            Err(error) => format!("{error:?}"),
        }
    }

    /// Lets something go wrong from now on.
    fn spoil(&mut self, step: Step) -> String {
        let world = &self.life.world;
        let stack = &world.stack;
        let times = self.random.u32(1..6);
        let lost = if self.random.bool() { Fault::Reset } else { Fault::answer(503, "") };
        match step {
            Step::LoseWebhooks => stack.gateway_faults.next(times, "POST /livechat", lost),
            Step::LoseOurAnswers => stack.gateway_faults.next(times, "POST", Fault::LoseAnswer),
            Step::LiveChatDown => stack.livechat.faults().always("", lost),
            Step::PlatformDown => self.life.side.faults().always("", lost),
            Step::VendorsUp => {
                self.life.vendors().into_iter().for_each(Faults::clear);
            }
            Step::LoseVendorAnswers => self.random.choice(self.life.vendors()).into_iter().for_each(|faults| {
                faults.next(times, "POST", Fault::LoseAnswer);
            }),
            Step::LimitRate => {
                let headers = BTreeMap::from([("retry-after".to_owned(), format!("{}", 10 * times))]);
                let limit = Fault::Answer { status: 429, headers, body: String::new() };
                self.random.choice(self.life.vendors()).into_iter().for_each(|faults| {
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
        let plan = &self.life.world.fail_points;
        self.places.extend(plan.passed().into_keys());
        let Some(place) = self.random.choice(&self.places).copied() else { return String::new() };
        let nth = self.random.u32(1..4);
        plan.kill_at(place, nth);
        format!("{:?} {} for the {nth}. time", place.side, place.step)
    }
}
