//! The process dies at every place between two steps, in every flow; afterwards nothing is lost, doubled or stuck.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sandbox::botpress::Escalation;
use sandbox::demo::Bot;
use sandbox::faults::Fault;
use sandbox::livechat::{GroupStatus, Target};
use serde_json::json;
use shared::fail_point::Place;

use super::life::{Life, MINUTE};
use super::side_by_side::side_by_side;
use super::{Report, Size};
use crate::model::Excused;
use crate::{ANNA, BEN};

/// How many times each flow dies at each place, each time under other circumstances.
const SEEDS: usize = 20;

/// The flow during which the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// The integration is removed, and installed again.
    Install,
    /// A user is handed over for the first time.
    Start,
    /// The bot side's part of a start fails, and what is open has to be closed.
    FailedStart,
    /// A user comes back.
    Return,
    /// A user asks with the same words in a new conversation, and the session moves there.
    Move,
    /// A user writes.
    UserSpeaks,
    /// The same, with an expired customer token and a lost answer.
    UserSpeaksIntoTrouble,
    /// An agent writes.
    AgentSpeaks,
    /// The same, while the bot's platform is overloaded, and then down.
    AgentSpeaksIntoTrouble,
    /// An agent transfers the chat to another one.
    Transfer,
    /// An agent closes the chat after their last words.
    AgentCloses,
    /// The same without a webhook.
    UntoldClose,
    /// A user ends the session.
    UserEnds,
    /// The bot ends it.
    BotStops,
    /// LiveChat hangs while a user is handed over, and the sweep has to keep the promise.
    PromisedStart,
    /// The same, but meanwhile the last agent has left: the promise is withdrawn.
    BrokenPromise,
    /// Nothing is written for so long that the bot's pause must be renewed.
    Renewal,
}

impl Flow {
    /// The flows of both bots.
    const ALWAYS: [Self; 10] = [
        Self::Start,
        Self::FailedStart,
        Self::Return,
        Self::UserSpeaks,
        Self::UserSpeaksIntoTrouble,
        Self::AgentSpeaks,
        Self::AgentSpeaksIntoTrouble,
        Self::Transfer,
        Self::AgentCloses,
        Self::UntoldClose,
    ];

    /// Every flow of a bot.
    pub fn all(bot: Bot) -> impl Iterator<Item = Self> {
        let own: &[Self] = match bot {
            Bot::Botpress => &[Self::Install, Self::Move, Self::UserEnds, Self::BotStops],
            Bot::Botcopy => &[Self::PromisedStart, Self::BrokenPromise, Self::Renewal],
        };
        Self::ALWAYS.iter().chain(own).copied()
    }

    const fn begins_at_the_bot(self) -> bool {
        let promised = matches!(self, Self::PromisedStart | Self::BrokenPromise);
        promised || matches!(self, Self::Install | Self::Start | Self::FailedStart)
    }

    /// Every place that a flow passes, including its recovery, and how often, when nothing else happens.
    ///
    /// # Errors
    ///
    /// What went wrong although no process died.
    pub async fn places(self, bot: Bot) -> Result<BTreeMap<Place, u32>, String> {
        let mut death = Death::new(bot, self, 0).await?;
        death.life.world.fail_points.clear();
        death.act().await?;
        death.recover().await?;
        let passed = death.life.world.fail_points.passed();
        death.conclude().await.map(|_| passed)
    }
}

/// Each flow of a bot with the places that it passes.
///
/// # Errors
///
/// What went wrong although no process died.
pub async fn places(bot: Bot) -> Result<BTreeMap<Flow, BTreeMap<Place, u32>>, String> {
    let flows = Flow::all(bot);
    let found =
        side_by_side(flows, move |flow| async move { flow.places(bot).await.map(|places| (flow, places)) }).await;
    found.into_iter().collect()
}

/// Dies at every place.
pub(super) async fn everywhere(size: Size, bot: Bot) -> Report {
    let mut random = size.random();
    let places = match places(bot).await {
        Ok(places) => places,
        Err(wrong) => return Report { figure: "nobody died".to_owned(), findings: vec![wrong] },
    };
    let mut deaths = Vec::new();
    for (flow, places) in &places {
        let times = places.iter().flat_map(|(place, times)| (1..=*times).map(move |nth| (*place, nth)));
        for (place, nth) in times {
            deaths.extend((0..SEEDS).map(|_| (*flow, place, nth, random.u64(..))));
        }
    }
    let planned = deaths.len();
    // A small run dies at random places rather than at every place of a few flows.
    random.shuffle(&mut deaths);
    deaths.truncate(size.of(planned, 24));
    let tried = deaths.len();
    let ends = side_by_side(deaths, move |(flow, place, nth, seed)| async move {
        let died = die(bot, flow, place, nth, seed).await;
        died.map_err(|wrong| format!("{flow:?}, {:?} {}, {nth}. time, seed {seed}: {wrong}", place.side, place.step))
    })
    .await;
    let killed = ends.iter().flatten().filter(|end| end.died).count();
    let mut excused = Excused::default();
    ends.iter().flatten().for_each(|end| excused += end.excused);
    let findings: Vec<_> = ends.into_iter().filter_map(Result::err).collect();
    let distinct: BTreeSet<_> = places.values().flat_map(BTreeMap::keys).collect();
    let figure = format!(
        "{killed} of {tried} invocations died, at {} places in {} flows: {} lost, doubled or stuck; {}",
        distinct.len(),
        places.len(),
        findings.len(),
        excused.told(bot),
    );
    Report { figure, findings }
}

/// How a run ended well.
struct End {
    died: bool,
    excused: Excused,
}

async fn die(bot: Bot, flow: Flow, place: Place, nth: u32, seed: u64) -> Result<End, String> {
    let mut death = Death::new(bot, flow, seed).await?;
    death.life.world.fail_points.kill_at(place, nth);
    death.act().await?;
    let died_acting = death.dies_again();
    death.recover().await?;
    let died = died_acting || death.life.world.fail_points.has_killed();
    death.conclude().await.map(|excused| End { died, excused })
}

/// One run of a flow.
struct Death {
    flow: Flow,
    life: Life,
    circumstances: Circumstances,
    person: String,
    /// The text with which the user was handed over.
    asked: String,
}

/// The other events of a run; they vary with the seed.
#[derive(Debug)]
struct Circumstances {
    random: fastrand::Rng,
    /// How long people wait between two actions; at least as long as Botpress repeats its deliveries.
    pause: Duration,
    /// Whether the other side writes as well.
    answers: bool,
    /// Whether both vendors repeat their deliveries.
    repeats: bool,
    /// Whether another process dies in the recovery.
    dies_again: bool,
}

impl Circumstances {
    /// Seed 0 is the plainest case.
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut sometimes = || seed > 0 && random.bool();
        let (answers, repeats, dies_again) = (sometimes(), sometimes(), sometimes());
        let pause = if seed == 0 { 10_000 } else { random.u64(7_000..20_000) };
        Self { pause: Duration::from_millis(pause), answers, repeats, dies_again, random }
    }
}

impl Death {
    async fn new(bot: Bot, flow: Flow, seed: u64) -> Result<Self, String> {
        let mut life = Life::begin(bot, 1, false).await;
        let person = life.people.first().cloned().unwrap_or_default();
        let asked = life.asking();
        if flow == Flow::Install {
            life.world.without_botcopy();
        }
        if !flow.begins_at_the_bot() {
            escalate(&mut life, &person, &asked).await?;
        }
        if flow == Flow::Return {
            let (chat_id, agent) = life.chat_of(&person);
            drop(life.world.stack.livechat.agent_closes(&chat_id, &agent));
            life.settle().await?;
        }
        Ok(Self { flow, life, circumstances: Circumstances::new(seed), person, asked })
    }

    /// A killed invocation is an error for its caller, so errors are ignored here.
    async fn act(&mut self) -> Result<(), String> {
        let world = std::sync::Arc::clone(&self.life.world);
        match self.flow {
            Flow::Install => {
                drop(world.drive(world.stack.botpress.uninstall()).await);
                drop(world.drive(world.stack.install()).await);
            }
            Flow::Start | Flow::Return => drop(self.escalates().await),
            Flow::FailedStart => {
                match self.life.side.bot {
                    Bot::Botpress => {
                        let refused = json!({"id": "err_1", "code": 400, "type": "InvalidPayload", "message": "no"});
                        let refusal = Fault::answer(400, refused.to_string());
                        world.stack.botpress.faults().next(1, "conversations/get-or-create", refusal);
                    }
                    // A widget has nothing to open.
                    Bot::Botcopy => {
                        let refused = json!({"error": {"type": "validation", "message": "no"}});
                        let refusal = Fault::answer(422, refused.to_string());
                        world.stack.livechat.faults().next(1, "action/start_chat", refusal);
                    }
                }
                drop(self.escalates().await);
            }
            Flow::Move => {
                self.agent_speaks();
                self.pause().await?;
                let again = self.life.side.again(&self.person);
                drop(world.drive(self.life.side.asks_with(&again, &self.asked, escalation())).await);
                self.life.people = vec![again.clone()];
                self.person = again;
            }
            Flow::UserSpeaks => self.speak_twice(Self::user_says_yes).await?,
            Flow::UserSpeaksIntoTrouble => {
                world.stack.livechat.expire_customer_tokens();
                world.stack.livechat.faults().next(1, "action/send_event", Fault::LoseAnswer);
                self.speak_twice(Self::user_says_yes).await?;
            }
            Flow::AgentSpeaks => self.speak_twice(Self::agent_speaks).await?,
            Flow::AgentSpeaksIntoTrouble => {
                let headers = BTreeMap::from([("retry-after".to_owned(), "2".to_owned())]);
                let limit = Fault::Answer { status: 429, headers, body: String::new() };
                let side = &self.life.side;
                side.faults().next(1, side.showing_call(), limit);
                side.faults().next(2, side.showing_call(), Fault::answer(503, ""));
                self.speak_twice(Self::agent_speaks).await?;
            }
            Flow::Transfer => {
                let (chat_id, _) = self.life.chat_of(&self.person);
                drop(world.stack.livechat.agent_transfers(&chat_id, ANNA, Target::Agent(BEN.to_owned())));
                self.pause().await?;
                self.agent_speaks();
            }
            Flow::AgentCloses => {
                self.agent_speaks();
                self.agent_closes();
            }
            Flow::UntoldClose => {
                world.stack.gateway_faults.always("POST /livechat", Fault::answer(503, ""));
                self.agent_speaks();
                self.agent_closes();
                self.minutes(4).await?;
                world.stack.gateway_faults.clear();
            }
            Flow::PromisedStart | Flow::BrokenPromise => {
                world.stack.livechat.faults().always("action/list_group_statuses", Fault::Delay(MINUTE));
                drop(self.escalates().await);
                self.user_speaks();
                self.life.settle().await?;
                world.stack.livechat.faults().clear();
                if self.flow == Flow::BrokenPromise {
                    world.stack.livechat.set_group_status(GROUP, GroupStatus::Offline);
                }
                self.sweeps(2).await?;
                world.stack.livechat.set_group_status(GROUP, GroupStatus::Online);
            }
            Flow::Renewal => self.sweeps(7).await?,
            Flow::UserEnds => {
                self.user_speaks();
                self.pause().await?;
                drop(world.drive(world.stack.botpress.user_ends(&self.person)).await);
            }
            Flow::BotStops => {
                self.user_speaks();
                self.pause().await?;
                drop(world.drive(world.stack.botpress.stop(&self.person)).await);
            }
        }
        self.life.settle().await.map(drop)
    }

    async fn escalates(&mut self) -> Result<(), String> {
        let text = self.life.asking();
        escalate(&mut self.life, &self.person, &text).await
    }

    async fn minutes(&mut self, count: usize) -> Result<(), String> {
        for _ in 0..count {
            self.life.world.advance(MINUTE);
            self.life.settle().await?;
        }
        Ok(())
    }

    /// The same with the schedule running.
    async fn sweeps(&mut self, count: usize) -> Result<(), String> {
        for _ in 0..count {
            self.minutes(1).await?;
            self.life.spawn(async |world| drop(world.stack.sweep().await));
            self.life.settle().await?;
        }
        Ok(())
    }

    async fn speak_twice(&mut self, speak: fn(&mut Self)) -> Result<(), String> {
        speak(self);
        if self.circumstances.answers {
            self.user_speaks();
            self.agent_speaks();
        }
        self.life.settle().await?;
        self.repeat_unanswered_call().await?;
        self.pause().await?;
        speak(self);
        Ok(())
    }

    /// Botcopy may repeat a call that had no answer.
    async fn repeat_unanswered_call(&mut self) -> Result<(), String> {
        let world = std::sync::Arc::clone(&self.life.world);
        let written = world.stack.journal.all("user_wrote").pop();
        let calls = written.map(|one| world.entries("webhook_called", "/text", one.text("/text"))).unwrap_or_default();
        let is_unanswered = calls.last().is_some_and(|call| call.detail.get("status") != Some(&200.into()));
        if self.circumstances.repeats && is_unanswered {
            drop(world.drive(world.stack.botcopy.repeat_last_call(&self.person)).await);
            self.life.settle().await?;
        }
        Ok(())
    }

    /// Writes the same short text each time if the bot platform assigns no ids.
    fn user_says_yes(&mut self) {
        if self.life.side.bot == Bot::Botpress {
            return self.user_speaks();
        }
        let (person, side) = (self.person.clone(), self.life.side.clone());
        self.life.spawn(async move |_| drop(side.says(&person, "yes").await));
    }

    fn user_speaks(&mut self) {
        let (text, person, side) = (self.life.text("user"), self.person.clone(), self.life.side.clone());
        self.life.spawn(async move |_| drop(side.says(&person, &text).await));
    }

    fn agent_speaks(&mut self) {
        let text = self.life.text("agent");
        let (chat_id, agent) = self.life.chat_of(&self.person);
        drop(self.life.world.stack.livechat.agent_sends_text(&chat_id, &agent, &text));
    }

    fn agent_closes(&mut self) {
        let (chat_id, agent) = self.life.chat_of(&self.person);
        drop(self.life.world.stack.livechat.agent_closes(&chat_id, &agent));
    }

    /// People pause, and meanwhile the vendors repeat what was refused.
    async fn pause(&mut self) -> Result<(), String> {
        self.life.settle().await?;
        self.life.world.advance(self.circumstances.pause);
        self.life.settle().await.map(drop)
    }

    /// Plans another death for the recovery, if the circumstances include one; returns whether the planned one has happened.
    fn dies_again(&mut self) -> bool {
        let plan = &self.life.world.fail_points;
        let died = plan.has_killed();
        if died && self.circumstances.dies_again {
            let places: Vec<_> = plan.passed().into_keys().collect();
            if let Some(place) = self.circumstances.random.choice(places) {
                plan.kill_at(place, 1);
                self.life.expect_another_death();
            }
        }
        died
    }

    /// The vendors make their repetitions, and the schedule runs for some minutes.
    async fn recover(&mut self) -> Result<(), String> {
        if self.circumstances.repeats {
            for delivery in self.life.deliveries.clone() {
                self.life.world.stack.livechat.replay(delivery);
            }
            for message in self.life.messages.clone() {
                self.life.world.stack.botpress.deliver_again(&message);
            }
        }
        if self.flow == Flow::Install {
            // Botpress repeats it daily; the first of these may die again.
            for _ in 0..2 {
                drop(self.life.world.drive(self.life.world.stack.install()).await);
            }
        }
        self.sweeps(RECOVERY).await
    }

    /// No process dies any more, and soon nothing is left to happen.
    async fn conclude(&mut self) -> Result<Excused, String> {
        self.life.world.fail_points.clear();
        // A process that died early has not met its fault, and no other process may meet it.
        self.life.heal();
        let excused = self.life.rest(&[MINUTE; 3]).await?;
        let broken = if self.flow == Flow::BrokenPromise { excused.words + excused.given_up } else { 0 };
        if excused.words + excused.stops + excused.starts + excused.given_up > broken {
            return Err(format!("something never reached us although only one of us died: {excused:?}"));
        }
        self.judge().await.map(|()| excused)
    }

    async fn judge(&mut self) -> Result<(), String> {
        if self.flow == Flow::Install {
            let count = |effect| self.life.world.count(effect);
            let webhooks = count("webhook_registered") - count("webhook_unregistered");
            if webhooks != WEBHOOKS {
                return Err(format!("{webhooks} webhooks are registered"));
            }
        }
        if self.life.world.count("pause_lapsed") > 0 {
            return Err("the bot's pause has lapsed".to_owned());
        }
        self.life.lead_back(&[MINUTE; 2]).await?;
        self.life.judge()
    }
}

/// The number of minutes for which the schedule runs; a pause is renewed in the fifth, and the process may die then as well.
const RECOVERY: usize = 6;

/// The number of webhooks that one stack needs.
const WEBHOOKS: usize = 7;

/// The group that every user is handed over to.
const GROUP: u32 = 1;

async fn escalate(life: &mut Life, person: &str, text: &str) -> Result<(), String> {
    let world = std::sync::Arc::clone(&life.world);
    let escalated = world.drive(life.side.asks_with(person, text, escalation())).await;
    life.settle().await?;
    escalated
}

/// The bot's options. The unknown tag must not make anything fail.
fn escalation() -> Escalation {
    Escalation { hitl_session: Some(json!({"tags": ["unknown"]})), ..Escalation::default() }
}
