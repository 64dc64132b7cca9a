//! The field: every observed misbehaviour of vendors, one kind after another, checked against the reference model.
//!
//! A round is one trouble while people talk. After it ends, the model must find within two minutes that nothing is
//! lost, doubled, locked out or stuck, without an operator.

mod troubles;

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::demo::Bot;
use sandbox::livechat::Target;

use self::troubles::{Scene, Trouble};
use super::life::{Life, MINUTE};
use super::side_by_side::side_by_side;
use super::{Report, Size, by_weight};
use crate::model::{BAD_WORDS, Excused, MENDED};
use crate::{ANNA, BEN};

/// The number of troubles in one world.
const ROUNDS: usize = 6;

/// The number of users in a world.
const USERS: usize = 3;

/// The time after a trouble within which everything it held up must be through: two ticks of the schedule.
const HEALED_WITHIN: [Duration; 2] = [MINUTE, MINUTE];

/// The longest silence between two actions of people.
const LONGEST_SILENCE: u64 = 8_000;

/// What people do meanwhile, and how often relative to the rest.
const STEPS_BY_WEIGHT: [(Step, u32); 10] = [
    (Step::UserSays, 16),
    (Step::AgentSays, 16),
    (Step::Escalate, 8),
    (Step::AgentWritesNote, 2),
    (Step::AgentCorrects, 3),
    (Step::SomebodySaysNothing, 2),
    (Step::Transfer, 2),
    (Step::AgentCloses, 2),
    (Step::UserEnds, 1),
    (Step::BotStops, 1),
];

#[derive(Clone, Copy, Debug)]
enum Step {
    UserSays,
    AgentSays,
    Escalate,
    AgentWritesNote,
    AgentCorrects,
    SomebodySaysNothing,
    Transfer,
    AgentCloses,
    UserEnds,
    BotStops,
}

/// Texts that people send but that show nothing.
const NOTHING: [&str; 4] = [" ", "\u{200b}", "\u{feff} \u{2060}", "\n\u{3164}\t"];

/// Plays round after round, in many worlds in parallel.
pub(super) async fn seen(size: Size, bot: Bot) -> Report {
    let mut random = size.random();
    let total = size.of(3_000, ROUNDS);
    let mut lives: Vec<_> =
        (0..total).step_by(ROUNDS).map(|begin| (random.u64(..), ROUNDS.min(total - begin))).collect();
    // The world that a long run has reported is repeated with its own seed.
    if let [(seed, _)] = lives.as_mut_slice() {
        *seed = size.seed;
    }
    let (mut tally, mut findings) = (Tally::default(), Vec::new());
    for (seed, lived) in
        side_by_side(lives, move |(seed, rounds)| async move { (seed, Field::live(bot, seed, rounds).await) }).await
    {
        match lived {
            Ok(one) => tally.add(one),
            Err(failure) => findings.push(format!("the world of seed {seed}: {failure}")),
        }
    }
    let Tally { rounds, words, sessions, excused } = tally;
    let kinds = rounds.len();
    let figure =
        format!("{total} troubles of {kinds} kinds with {sessions} sessions and {words} words; {}", excused.told(bot));
    Report { figure, findings }
}

#[derive(Clone, Debug, Default)]
struct Tally {
    rounds: BTreeMap<&'static str, usize>,
    words: usize,
    sessions: usize,
    excused: Excused,
}

impl Tally {
    fn add(&mut self, other: Self) {
        for (name, count) in other.rounds {
            *self.rounds.entry(name).or_default() += count;
        }
        self.words += other.words;
        self.sessions += other.sessions;
        self.excused += other.excused;
    }
}

/// A message that an agent has changed, version by version.
#[derive(Debug)]
struct Corrected {
    chat_id: String,
    versions: [String; 2],
}

struct Field {
    life: Life,
    random: fastrand::Rng,
    steps: Vec<String>,
    corrected: Vec<Corrected>,
    tally: Tally,
}

impl Field {
    async fn live(bot: Bot, seed: u64, rounds: usize) -> Result<Tally, String> {
        let mut field = Self {
            life: Life::begin(bot, USERS, true).await,
            random: fastrand::Rng::with_seed(seed),
            steps: Vec::new(),
            corrected: Vec::new(),
            tally: Tally::default(),
        };
        match field.go(rounds).await {
            Ok(()) => Ok(field.tally),
            Err(wrong) => {
                let told = field.life.journal_about(&wrong);
                Err(format!("{wrong} after:\n    {}\n  {}", field.steps.join("\n    "), told.join("\n  ")))
            }
        }
    }

    async fn go(&mut self, rounds: usize) -> Result<(), String> {
        self.life.private.push(troubles::REPORTED.to_owned());
        self.life.model.customers_are_lost = true;
        let troubles: Vec<_> = troubles::of(self.life.side.bot).collect();
        for _ in 0..rounds {
            let Some(trouble) = self.random.choice(&troubles).copied() else { break };
            self.steps.clear();
            self.round(trouble).await.map_err(|wrong| format!("{}: {wrong}", trouble.name))?;
            *self.tally.rounds.entry(trouble.name).or_default() += 1;
        }
        self.life.lead_back(&HEALED_WITHIN).await?;
        let world = &self.life.world;
        self.tally.sessions = world.count("chat_started") + world.count("chat_resumed");
        self.tally.words = self.life.texts();
        self.life.judge()
    }

    /// Plays one trouble, from the quiet before it to the quiet two minutes after it.
    async fn round(&mut self, trouble: &'static Trouble) -> Result<(), String> {
        let quiet = self.random.u64(2_000..20_000);
        self.talk_for(Duration::from_millis(quiet)).await?;
        let (scene, begin) = (Scene::of(&self.life, &mut self.random), self.life.world.now());
        trouble.begin(&scene);
        self.steps.push(format!("{} begins", trouble.name));
        self.life.limits_one_for_long |= trouble.limits_one_for_long;
        if trouble.is_about_words {
            self.say_bad_words(&scene.person);
        }
        let lasts = self.random.u64(trouble.lasts());
        self.talk_for(Duration::from_secs(lasts)).await?;
        self.life.heal();
        trouble.end(&scene);
        self.steps.push(format!("{} is over", trouble.name));
        self.everybody_speaks();
        if self.random.bool() {
            self.talk_for(Duration::from_secs(10)).await?;
        }
        self.tally.excused = self.life.rest(&HEALED_WITHIN).await?;
        let spoiled = self.life.world.stack.livechat.faults().spoiled();
        if trouble.hides_threads || spoiled.iter().any(|one| begin <= one.at) {
            // A thread that cannot be read is judged by what was reported.
            self.corrected.clear();
        }
        self.check_corrections()?;
        self.nobody_is_locked_out().await
    }

    /// Both sides send a text on which the other side's vendor always fails.
    fn say_bad_words(&mut self, person: &str) {
        self.life.may_be_parked += 2;
        let (chat, agent) = self.life.chat_of(person);
        let (to_user, to_agent) = (self.life.text(BAD_WORDS), self.life.text(BAD_WORDS));
        let said = self.life.world.stack.livechat.agent_sends_text(&chat, &agent, &to_user);
        self.steps.push(format!("\"{to_user}\" {said:?} \"{to_agent}\""));
        let (side, person) = (self.life.side.clone(), person.to_owned());
        self.life.spawn(async move |_| drop(side.says(&person, &to_agent).await));
    }

    /// Users and agents notice what is gone only when they write.
    fn everybody_speaks(&mut self) {
        for person in self.life.people.clone() {
            let told = self.agent_acts(Step::AgentSays, &person);
            let (text, side) = (self.life.text("user"), self.life.side.clone());
            self.steps.push(format!("everybody speaks: {told}, \"{text}\""));
            self.life.spawn(async move |_| drop(side.says(&person, &text).await));
        }
    }

    /// People talk, and the schedule runs each minute.
    async fn talk_for(&mut self, duration: Duration) -> Result<(), String> {
        let end = self.life.world.now() + duration;
        let mut tick = self.life.world.now() + MINUTE;
        while self.life.world.now() < end {
            let step = by_weight(&mut self.random, &STEPS_BY_WEIGHT).unwrap_or(Step::UserSays);
            let told = self.take(step);
            self.steps.push(format!("{} {step:?} {told}", self.life.world.now()));
            // Most things happen one after another, some at the same time.
            if self.random.u8(..10) < 7 {
                self.life.settle().await?;
            } else {
                self.life.observe()?;
            }
            self.life.world.advance(Duration::from_millis(self.random.u64(100..LONGEST_SILENCE)));
            if self.life.world.now() >= tick {
                tick = self.life.world.now() + MINUTE;
                self.life.spawn(async |world| drop(world.stack.sweep().await));
            }
        }
        self.life.settle().await.map(drop)
    }

    /// Does one step; returns a description of it.
    fn take(&mut self, step: Step) -> String {
        let number = self.random.usize(..USERS);
        let Some(person) = self.life.people.get(number).cloned() else { return String::new() };
        match step {
            Step::UserSays => {
                let text = self.life.text("user");
                let (told, side) = (format!("{number} \"{text}\""), self.life.side.clone());
                self.life.spawn(async move |_| drop(side.says(&person, &text).await));
                told
            }
            Step::Escalate => {
                let text = self.life.asking();
                format!("{number} {}", self.life.escalate(person, text))
            }
            Step::SomebodySaysNothing if self.random.bool() => {
                let nothing = self.random.choice(NOTHING).unwrap_or_default();
                let side = self.life.side.clone();
                self.life.spawn(async move |_| drop(side.says(&person, nothing).await));
                format!("{number} {nothing:?}")
            }
            // Botcopy's users can do neither.
            Step::UserEnds | Step::BotStops if self.life.side.bot == Bot::Botcopy => String::new(),
            Step::UserEnds => {
                self.life.spawn(async move |world| drop(world.stack.botpress.user_ends(&person).await));
                number.to_string()
            }
            Step::BotStops => {
                self.life.spawn(async move |world| drop(world.stack.botpress.stop(&person).await));
                number.to_string()
            }
            _ => format!("{number} {}", self.agent_acts(step, &person)),
        }
    }

    /// An agent does something in the chat of a user, if there is one.
    fn agent_acts(&mut self, step: Step, person: &str) -> String {
        let (chat, agent) = self.life.chat_of(person);
        let other = if agent == ANNA { BEN } else { ANNA };
        let text = self.life.text("agent");
        let livechat = &self.life.world.stack.livechat;
        let done = match step {
            Step::AgentSays => livechat.agent_sends_text(&chat, &agent, &text).map(drop),
            Step::AgentWritesNote => {
                self.life.private.push(text.clone());
                livechat.agent_sends_private_note(&chat, &agent, &text).map(drop)
            }
            Step::AgentCorrects => {
                let corrected =
                    Corrected { versions: [text.clone(), format!("{text}{MENDED}")], chat_id: chat.clone() };
                livechat.agent_sends_text(&chat, &agent, &text).and_then(|event_id| {
                    for version in [1, 0, 1].into_iter().filter_map(|version: usize| corrected.versions.get(version)) {
                        livechat.agent_edits(&chat, &event_id, version)?;
                    }
                    self.corrected.push(corrected);
                    Ok(())
                })
            }
            Step::SomebodySaysNothing => {
                let nothing = self.random.choice(NOTHING).unwrap_or_default();
                livechat.agent_sends_text(&chat, &agent, nothing).map(drop)
            }
            Step::Transfer => livechat.agent_transfers(&chat, &agent, Target::Agent(other.to_owned())),
            _ => livechat.agent_closes(&chat, &agent),
        };
        match done {
            Ok(()) => format!("{agent} \"{text}\""),
            Err(error) => format!("{error:?}"),
        }
    }

    /// If its session continues, users finally see the last version of a corrected message.
    fn check_corrections(&mut self) -> Result<(), String> {
        let shown = self.life.world.shown_by_agents();
        for Corrected { chat_id, versions } in std::mem::take(&mut self.corrected) {
            let [_, last] = &versions;
            let is_one = |text: &&String| versions.iter().any(|one| text.ends_with(one.as_str()));
            let is_open = self.life.model.open().any(|(_, session)| session.chat_id == chat_id);
            if let Some(seen) = shown.iter().rfind(is_one)
                && is_open
                && !seen.ends_with(last.as_str())
            {
                return Err(format!("the user reads \"{seen}\", and not the correction"));
            }
        }
        Ok(())
    }

    /// Every user who is with the bot gets an agent, by the second attempt at the latest.
    async fn nobody_is_locked_out(&mut self) -> Result<(), String> {
        for person in self.life.people.clone() {
            if self.life.model.session_of(&person).is_some() {
                continue;
            }
            let mut told = Ok(());
            for _ in 0..2 {
                let text = self.life.asking();
                let asked = self.life.side.asks(&person, &text);
                told = self.life.world.drive(asked).await;
                self.life.settle().await?;
                if told.is_ok() {
                    break;
                }
            }
            told.map_err(|error| format!("a user is locked out: {error}"))?;
        }
        Ok(())
    }
}
