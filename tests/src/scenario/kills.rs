//! The process dies at every place between two steps, in every flow; afterwards nothing is lost, doubled or stuck.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sandbox::botpress::Escalation;
use sandbox::faults::Fault;
use sandbox::livechat::Target;
use serde_json::json;
use shared::fail_point::Place;

use super::life::{Life, MINUTE};
use super::side_by_side::side_by_side;
use super::{Report, Size};
use crate::{ANNA, BEN};

/// How often each flow dies at each place, each time among other circumstances.
const SEEDS: usize = 20;

/// What goes on while the process dies.
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
    /// A user writes.
    UserSpeaks,
    /// The same, with a customer's token that is no longer good, and a lost answer.
    UserSpeaksIntoTrouble,
    /// An agent writes.
    AgentSpeaks,
    /// The same, while Botpress has too much to do, and is down.
    AgentSpeaksIntoTrouble,
    /// An agent hands the chat over to another.
    Transfer,
    /// An agent closes the chat after their last words.
    AgentCloses,
    /// No webhook tells of the same.
    UntoldClose,
    /// A user ends the session.
    UserEnds,
    /// The bot ends it.
    BotStops,
}

impl Flow {
    /// Every flow.
    pub const ALL: [Self; 13] = [
        Self::Install,
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
        Self::UserEnds,
        Self::BotStops,
    ];

    /// Every place that a flow passes and its recovery with it, and how often, when nothing else happens.
    ///
    /// # Errors
    ///
    /// What went wrong although nobody died.
    pub async fn places(self) -> Result<BTreeMap<Place, u32>, String> {
        let mut death = Death::new(self, 0).await?;
        death.life.world.fail_points.clear();
        death.act().await?;
        death.recover().await?;
        let passed = death.life.world.fail_points.passed();
        death.judge().await.map(|()| passed)
    }
}

/// Each flow with the places that it passes.
///
/// # Errors
///
/// What went wrong although nobody died.
pub async fn places() -> Result<BTreeMap<Flow, BTreeMap<Place, u32>>, String> {
    let found = side_by_side(Flow::ALL, |flow| async move { flow.places().await.map(|places| (flow, places)) }).await;
    found.into_iter().collect()
}

/// Dies everywhere.
pub(super) async fn everywhere(size: Size) -> Report {
    let mut random = size.random();
    let places = match places().await {
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
    // A small run dies here and there rather than everywhere in a few flows.
    random.shuffle(&mut deaths);
    deaths.truncate(size.of(planned, 24));
    let tried = deaths.len();
    let ends = side_by_side(deaths, |(flow, place, nth, seed)| async move {
        let died = die(flow, place, nth, seed).await;
        died.map_err(|wrong| format!("{flow:?}, {:?} {}, {nth}. time, seed {seed}: {wrong}", place.side, place.step))
    })
    .await;
    let killed = ends.iter().filter(|end| matches!(end, Ok(true))).count();
    let findings: Vec<_> = ends.into_iter().filter_map(Result::err).collect();
    let distinct: BTreeSet<_> = places.values().flat_map(BTreeMap::keys).collect();
    let figure = format!(
        "{killed} of {tried} invocations died, at {} places in {} flows: {} lost, doubled or stuck",
        distinct.len(),
        places.len(),
        findings.len(),
    );
    Report { figure, findings }
}

async fn die(flow: Flow, place: Place, nth: u32, seed: u64) -> Result<bool, String> {
    let mut death = Death::new(flow, seed).await?;
    death.life.world.fail_points.kill_at(place, nth);
    death.act().await?;
    let died_acting = death.dies_again();
    death.recover().await?;
    let died = died_acting || death.life.world.fail_points.has_killed();
    death.life.world.fail_points.clear();
    death.judge().await.map(|()| died)
}

/// One run of a flow.
struct Death {
    flow: Flow,
    life: Life,
    circumstances: Circumstances,
    person: String,
}

/// What else happens; seeds vary it.
#[derive(Debug)]
struct Circumstances {
    random: fastrand::Rng,
    /// How long people wait between two things they do; at least as long as Botpress repeats what it delivers.
    pause: Duration,
    /// Whether the other side writes as well.
    answers: bool,
    /// Whether both vendors repeat what they have delivered.
    repeats: bool,
    /// Whether somebody else dies in the recovery.
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
    async fn new(flow: Flow, seed: u64) -> Result<Self, String> {
        let mut life = Life::begin(1, false).await;
        let person = life.users.first().map(|user| user.conversation_id.clone()).unwrap_or_default();
        if !matches!(flow, Flow::Install | Flow::Start | Flow::FailedStart) {
            escalate(&mut life, &person).await?;
        }
        if flow == Flow::Return {
            let (chat_id, agent) = life.chat_of(&person);
            drop(life.world.stack.livechat.agent_closes(&chat_id, &agent));
            life.settle().await?;
        }
        Ok(Self { flow, life, circumstances: Circumstances::new(seed), person })
    }

    /// A killed invocation is an error for its caller, so errors count for nothing here.
    async fn act(&mut self) -> Result<(), String> {
        let world = std::sync::Arc::clone(&self.life.world);
        match self.flow {
            Flow::Install => {
                drop(world.drive(world.stack.botpress.uninstall()).await);
                drop(world.drive(world.stack.install()).await);
            }
            Flow::Start | Flow::Return => drop(escalate(&mut self.life, &self.person).await),
            Flow::FailedStart => {
                let refusal = Fault::answer(400, "{}");
                world.stack.botpress.faults().next(1, "conversations/get-or-create", refusal);
                drop(escalate(&mut self.life, &self.person).await);
            }
            Flow::UserSpeaks => self.speak_twice(Self::user_speaks).await?,
            Flow::UserSpeaksIntoTrouble => {
                world.stack.livechat.expire_customer_tokens();
                world.stack.livechat.faults().next(1, "action/send_event", Fault::LoseAnswer);
                self.speak_twice(Self::user_speaks).await?;
            }
            Flow::AgentSpeaks => self.speak_twice(Self::agent_speaks).await?,
            Flow::AgentSpeaksIntoTrouble => {
                let headers = BTreeMap::from([("retry-after".to_owned(), "2".to_owned())]);
                let limit = Fault::Answer { status: 429, headers, body: String::new() };
                world.stack.botpress.faults().next(1, "messages/get-or-create", limit);
                world.stack.botpress.faults().next(2, "messages/get-or-create", Fault::answer(503, ""));
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
                for _ in 0..4 {
                    world.advance(MINUTE);
                    self.life.settle().await?;
                }
                world.stack.gateway_faults.clear();
            }
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

    async fn speak_twice(&mut self, speak: fn(&mut Self)) -> Result<(), String> {
        speak(self);
        if self.circumstances.answers {
            self.user_speaks();
            self.agent_speaks();
        }
        self.pause().await?;
        speak(self);
        Ok(())
    }

    fn user_speaks(&mut self) {
        let (text, person) = (self.life.text("user"), self.person.clone());
        self.life.spawn(async move |world| drop(world.stack.botpress.user_says(&person, &text).await));
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

    /// People take their time, and meanwhile the vendors repeat what was refused.
    async fn pause(&mut self) -> Result<(), String> {
        self.life.settle().await?;
        self.life.world.advance(self.circumstances.pause);
        self.life.settle().await.map(drop)
    }

    /// Plans another death for the recovery, if the circumstances have one; tells whether the planned one has happened.
    fn dies_again(&mut self) -> bool {
        let plan = &self.life.world.fail_points;
        let died = plan.has_killed();
        if died && self.circumstances.dies_again {
            let places: Vec<_> = plan.passed().into_keys().collect();
            if let Some(place) = self.circumstances.random.choice(places) {
                plan.kill_at(place, 1);
            }
        }
        died
    }

    /// The vendors repeat what they repeat, and the schedule ticks for some minutes.
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
        let excused = self.life.rest(&[MINUTE; 6]).await?;
        match excused.words + excused.stops + excused.starts {
            0 => Ok(()),
            _ => Err(format!("something never reached us although only one of us died: {excused:?}")),
        }
    }

    async fn judge(&mut self) -> Result<(), String> {
        if self.flow == Flow::Install {
            let count = |effect| self.life.world.count(effect);
            let webhooks = count("webhook_registered") - count("webhook_unregistered");
            if webhooks != WEBHOOKS {
                return Err(format!("{webhooks} webhooks are registered"));
            }
        }
        self.life.lead_back(&[MINUTE; 2]).await?;
        self.life.judge()
    }
}

/// How many webhooks one stack needs.
const WEBHOOKS: usize = 7;

async fn escalate(life: &mut Life, person: &str) -> Result<(), String> {
    let text = life.text("please");
    let world = std::sync::Arc::clone(&life.world);
    let botpress = &world.stack.botpress;
    // That there is no such tag fails nothing.
    let escalation = Escalation { hitl_session: Some(json!({"tags": ["unknown"]})), ..Escalation::default() };
    let escalated = async {
        botpress.user_says(person, &text).await?;
        botpress.escalate(person, escalation).await
    };
    let escalated = world.drive(escalated).await;
    life.settle().await?;
    escalated
}
