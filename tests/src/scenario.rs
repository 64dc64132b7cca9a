//! Scenarios: one kind of trouble each, at any size, judged by the [`checker`](crate::checker).

mod beside;
mod bot_side;
mod botcopy;
mod conflicts;
mod down;
mod due;
mod duplicates;
mod field;
mod handling;
mod kills;
mod late;
mod life;
mod order;
mod outages;
mod security;
mod side_by_side;
mod stage;
mod starts;
mod store_answers;
mod walk;
mod years;

pub use kills::{Flow, places};

use std::pin::Pin;

use sandbox::demo::Bot;

/// How a scenario is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// The random seed.
    pub seed: u64,
    /// The share of the full size, such as 0.01.
    pub scale: f64,
}

impl Size {
    /// `full` scaled down, but never below `least`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "counts")]
    fn of(self, full: usize, least: usize) -> usize {
        ((full as f64 * self.scale).round() as usize).max(least)
    }

    const fn random(self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }
}

/// A random one of `choices`, in proportion to its weight; none if there are no choices.
fn by_weight<T: Copy>(random: &mut fastrand::Rng, choices: &[(T, u32)]) -> Option<T> {
    let total = choices.iter().map(|(_, weight)| weight).sum::<u32>();
    let mut left = random.u32(..total.max(1));
    let chosen = choices.iter().find(|(_, weight)| {
        let is_here = left < *weight;
        left = left.saturating_sub(*weight);
        is_here
    });
    chosen.map(|(choice, _)| *choice)
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was done, and its outcome, in one line.
    pub figure: String,
    /// What should not have happened.
    pub findings: Vec<String>,
}

type Running = Pin<Box<dyn Future<Output = Report>>>;

/// One scenario, with a bot of one platform.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    bot: Bot,
    kind: &'static Kind,
}

/// The kind of test, for any platform of the bot.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    shows: &'static str,
    play: fn(Size, Bot) -> Running,
}

impl Kind {
    /// What is tried with every bot.
    const EVERY: [Self; 25] = [
        Self {
            name: "duplicates-spread",
            shows: "10,000 agent messages, each delivered up to ten times and shuffled, are shown 10,000 times",
            play: |size, bot| Box::pin(duplicates::spread(size, bot)),
        },
        Self {
            name: "duplicates-instant",
            shows: "1,000 copies of one message at the same instant, on four instances, are shown once, in 50 rounds",
            play: |size, bot| Box::pin(duplicates::instant(size, bot)),
        },
        Self {
            name: "concurrent-start",
            shows: "32 equal starts at once open one chat and one conversation, in 500 rounds",
            play: |size, bot| Box::pin(starts::at_once(size, bot)),
        },
        Self {
            name: "impatient-start",
            shows: "the same while LiveChat is slow or its answer is lost, and callers give up and repeat",
            play: |size, bot| Box::pin(starts::impatient(size, bot)),
        },
        Self {
            name: "botpress-errors",
            shows: "the bot's platform answers 503 for a minute: everything arrives once, in order, soon afterwards",
            play: |size, bot| Box::pin(outages::platform(size, outages::Trouble::Errors, bot)),
        },
        Self {
            name: "botpress-resets",
            shows: "the same with broken connections",
            play: |size, bot| Box::pin(outages::platform(size, outages::Trouble::Resets, bot)),
        },
        Self {
            name: "botpress-limits",
            shows: "the same with 429 and a named reset, before which nobody calls",
            play: |size, bot| Box::pin(outages::platform(size, outages::Trouble::Limits, bot)),
        },
        Self {
            name: "livechat-errors",
            shows: "LiveChat answers 503 for a minute: everything arrives once, in order, soon afterwards",
            play: |size, bot| Box::pin(outages::livechat(size, outages::Trouble::Errors, bot)),
        },
        Self {
            name: "livechat-resets",
            shows: "the same with broken connections",
            play: |size, bot| Box::pin(outages::livechat(size, outages::Trouble::Resets, bot)),
        },
        Self {
            name: "livechat-limits",
            shows: "the same with 429 and a named time, before which nobody calls",
            play: |size, bot| Box::pin(outages::livechat(size, outages::Trouble::Limits, bot)),
        },
        Self {
            name: "both-down",
            shows: "both vendors are down for ten minutes: everything is accepted, and arrives afterwards",
            play: |size, bot| Box::pin(outages::both(size, outages::Trouble::Resets, bot)),
        },
        Self {
            name: "both-fail",
            shows: "the same with answers 500; nobody who writes waits for more than two seconds, and hardly anybody for half of one",
            play: |size, bot| Box::pin(outages::both(size, outages::Trouble::Internal, bot)),
        },
        Self {
            name: "both-hang",
            shows: "the same with vendors that do not answer",
            play: |size, bot| Box::pin(outages::both(size, outages::Trouble::Hangs, bot)),
        },
        Self {
            name: "down",
            shows: "we are down for five minutes: every message and every closure is recovered within 120 s, once",
            play: |size, bot| Box::pin(down::for_minutes(size, bot)),
        },
        Self {
            name: "due",
            shows: "10,000 lanes are due for a vendor that is down: one of each other vendor has its turn in the same sweep",
            play: |size, bot| Box::pin(due::behind_a_vendor(size, bot)),
        },
        Self {
            name: "lost-store-answers",
            shows: "10,000 answers of the table are lost: nothing is lost, nothing is doubled",
            play: |size, bot| Box::pin(store_answers::lost(size, bot)),
        },
        Self {
            name: "table-throttled",
            shows: "10,000 calls of the table are refused for want of capacity: nothing is lost, nothing is doubled",
            play: |size, bot| Box::pin(store_answers::refused(size, bot)),
        },
        Self {
            name: "conflicts",
            shows: "writes meet as at AWS: 32 at one instant, lively talk, and 10,000 messages while half of all writes meet one",
            play: |size, bot| Box::pin(conflicts::met(size, bot)),
        },
        Self {
            name: "order",
            shows: "50,000 arrivals are displaced by up to five seconds: whatever waited is put right",
            play: |size, bot| Box::pin(order::displaced(size, bot)),
        },
        Self {
            name: "kills",
            shows: "the process dies at every fail-point of every flow, 20 times: nothing is lost, doubled or stuck",
            play: |size, bot| Box::pin(kills::everywhere(size, bot)),
        },
        Self {
            name: "random-walk",
            shows: "200,000 steps of everything that can happen: one owner at each, and every way leads back to the bot",
            play: |size, bot| Box::pin(walk::random(size, bot)),
        },
        Self {
            name: "field",
            shows: "3,000 times what vendors have been seen to do: two minutes after it nothing is lost, doubled, locked out or stuck",
            play: |size, bot| Box::pin(field::seen(size, bot)),
        },
        Self {
            name: "late",
            shows: "LiveChat carries out one call in 20 of 10,000 up to 15 s late, and Botcopy takes as long for one push in 20: nothing is lost, doubled, out of order or closed by mistake",
            play: |size, bot| Box::pin(late::finished(size, bot)),
        },
        Self {
            name: "years",
            shows: "1,000 users for two years, with each retention and TTL: nothing grows, repeats itself or is due for ever",
            play: |size, bot| Box::pin(years::lived(size, bot)),
        },
        Self {
            name: "beside",
            shows: "1,800 messages both ways and three outages, through as many versions at once as HITL_BINARIES names: 0 lost, 0 doubled",
            play: |size, bot| Box::pin(beside::beside(size, bot)),
        },
    ];

    /// The test that only Botcopy requires: it waits no longer than five seconds.
    const BOTCOPY: [Self; 2] = [
        Self {
            name: "latency",
            shows: "50 calls per second on a table at 5 ms are answered within 300 ms (p99), in real time",
            play: |size, _| Box::pin(botcopy::latency(size)),
        },
        Self {
            name: "hanging",
            shows: "while LiveChat hangs every call is answered within two seconds, and truthfully, in real time",
            play: |size, _| Box::pin(botcopy::hanging(size)),
        },
    ];

    /// The test of behaviour that only Botpress has, or may have.
    const BOTPRESS: [Self; 1] = [Self {
        name: "side-by-side",
        shows: "2,000 sessions at a Botpress that handles things side by side: in order with the pause, and not without",
        play: |size, _| Box::pin(handling::side_by_side_at_botpress(size)),
    }];

    /// Hostile input of every kind.
    const HOSTILE: [Self; 5] = [
        Self {
            name: "forged-calls",
            shows: "100,000 forged calls at every door: none is let in, writes, calls a vendor, or hears why",
            play: |size, _| Box::pin(security::forged::calls(size)),
        },
        Self {
            name: "malformed",
            shows: "1,000,000 malformed requests: no panic, no hang, no answer 5xx, and memory stays flat",
            play: |size, _| Box::pin(security::malformed::requests(size)),
        },
        Self {
            name: "malformed-answers",
            shows: "vendors' answers and the secret are spoiled in 2,000 worlds: no panic, no hang",
            play: |size, _| Box::pin(security::malformed::answers(size)),
        },
        Self {
            name: "isolation",
            shows: "1,000,000 random events, and visitors with shared addresses: nothing to a wrong person, nothing private, no echo",
            play: |size, _| Box::pin(security::isolation::nobody_elses(size)),
        },
        Self {
            name: "canaries",
            shows: "words and secrets everywhere, at every level, through every error: none in any line of the log",
            play: |size, _| Box::pin(security::canaries::nowhere(size)),
        },
    ];
}

impl Scenario {
    /// Every scenario.
    pub fn all() -> impl Iterator<Item = Self> {
        let of = |bot| move |kind| Self { bot, kind };
        let both = [Bot::Botpress, Bot::Botcopy].into_iter().flat_map(move |bot| Kind::EVERY.iter().map(of(bot)));
        let botcopy = Kind::BOTCOPY.iter().map(of(Bot::Botcopy));
        let botpress = Kind::BOTPRESS.iter().chain(&Kind::HOSTILE).map(of(Bot::Botpress));
        both.chain(botcopy).chain(botpress)
    }

    /// Its name on the command line: with a Botcopy bot every name begins with `botcopy-`.
    pub fn name(&self) -> String {
        match self.bot {
            Bot::Botpress => self.kind.name.to_owned(),
            Bot::Botcopy => format!("botcopy-{}", self.kind.name.trim_start_matches("botpress-")),
        }
    }

    /// Its subject, in one line.
    pub const fn shows(&self) -> &'static str {
        self.kind.shows
    }

    /// The scenario of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|scenario| scenario.name() == name)
    }

    /// Runs it.
    pub async fn run(&self, size: Size) -> Report {
        (self.kind.play)(size, self.bot).await
    }
}
