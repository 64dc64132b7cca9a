//! Scenarios: one kind of trouble each, at any size, judged by the [`checker`](crate::checker).

mod botcopy;
mod down;
mod duplicates;
mod kills;
mod life;
mod order;
mod outages;
mod side_by_side;
mod stage;
mod starts;
mod store_answers;
mod walk;

pub use kills::{Flow, places};

use std::pin::Pin;

use sandbox::demo::Bot;

/// How a scenario is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// What chance is decided by.
    pub seed: u64,
    /// The part of the full size, such as 0.01.
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

/// How a run went.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was done, and what it led to, in one line.
    pub figure: String,
    /// What should not have happened.
    pub findings: Vec<String>,
}

type Running = Pin<Box<dyn Future<Output = Report>>>;

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What the command calls it.
    pub name: &'static str,
    /// What it shows, in one line.
    pub shows: &'static str,
    play: fn(Size) -> Running,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 27] = [
        Self {
            name: "duplicates-spread",
            shows: "10,000 agent messages, each delivered up to ten times and shuffled, are shown 10,000 times",
            play: |size| Box::pin(duplicates::spread(size, Bot::Botpress)),
        },
        Self {
            name: "duplicates-instant",
            shows: "1,000 copies of one message at the same instant, on four instances, are shown once, in 50 rounds",
            play: |size| Box::pin(duplicates::instant(size, Bot::Botpress)),
        },
        Self {
            name: "concurrent-start",
            shows: "32 equal starts at once open one chat and one conversation, in 500 rounds",
            play: |size| Box::pin(starts::at_once(size)),
        },
        Self {
            name: "impatient-start",
            shows: "the same while LiveChat is slow or its answer is lost, and callers give up and repeat",
            play: |size| Box::pin(starts::impatient(size)),
        },
        Self {
            name: "botpress-errors",
            shows: "Botpress answers 503 for a minute: everything arrives once, in order, soon afterwards",
            play: |size| Box::pin(outages::botpress(size, outages::Trouble::Errors)),
        },
        Self {
            name: "botpress-resets",
            shows: "the same with broken connections",
            play: |size| Box::pin(outages::botpress(size, outages::Trouble::Resets)),
        },
        Self {
            name: "botpress-limits",
            shows: "the same with 429 and a named reset, before which nobody calls",
            play: |size| Box::pin(outages::botpress(size, outages::Trouble::Limits)),
        },
        Self {
            name: "livechat-errors",
            shows: "LiveChat answers 503 for a minute: everything arrives once, in order, soon afterwards",
            play: |size| Box::pin(outages::livechat(size, outages::Trouble::Errors, Bot::Botpress)),
        },
        Self {
            name: "livechat-resets",
            shows: "the same with broken connections",
            play: |size| Box::pin(outages::livechat(size, outages::Trouble::Resets, Bot::Botpress)),
        },
        Self {
            name: "livechat-limits",
            shows: "the same with 429 and a named time, before which nobody calls",
            play: |size| Box::pin(outages::livechat(size, outages::Trouble::Limits, Bot::Botpress)),
        },
        Self {
            name: "both-down",
            shows: "both vendors are down for ten minutes: everything is accepted, and arrives afterwards",
            play: |size| Box::pin(outages::both(size)),
        },
        Self {
            name: "down",
            shows: "we are down for five minutes: every message and every closure is recovered within 120 s, once",
            play: |size| Box::pin(down::for_minutes(size)),
        },
        Self {
            name: "lost-store-answers",
            shows: "10,000 answers of the table are lost: nothing is lost, nothing is doubled",
            play: |size| Box::pin(store_answers::lost(size)),
        },
        Self {
            name: "table-throttled",
            shows: "10,000 calls of the table are refused for want of capacity: nothing is lost, nothing is doubled",
            play: |size| Box::pin(store_answers::refused(size)),
        },
        Self {
            name: "order",
            shows: "50,000 arrivals are displaced by up to five seconds: whatever waited is put right",
            play: |size| Box::pin(order::displaced(size)),
        },
        Self {
            name: "kills",
            shows: "the process dies at every fail-point of every flow, 20 times: nothing is lost, doubled or stuck",
            play: |size| Box::pin(kills::everywhere(size)),
        },
        Self {
            name: "random-walk",
            shows: "200,000 steps of everything that can happen: one owner at each, and every way leads back to the bot",
            play: |size| Box::pin(walk::random(size)),
        },
        Self {
            name: "botcopy-latency",
            shows: "50 calls of Botcopy per second on a table at 5 ms are answered within 300 ms (p99), in real time",
            play: |size| Box::pin(botcopy::latency(size)),
        },
        Self {
            name: "botcopy-hanging",
            shows: "while LiveChat hangs every call of Botcopy is answered within two seconds, and truthfully",
            play: |size| Box::pin(botcopy::hanging(size)),
        },
        Self {
            name: "botcopy-concurrent-start",
            shows: "32 equal first steps at once open one chat, in 200 rounds",
            play: |size| Box::pin(botcopy::at_once(size)),
        },
        Self {
            name: "botcopy-duplicates",
            shows: "duplicates-spread with a Botcopy bot",
            play: |size| Box::pin(duplicates::spread(size, Bot::Botcopy)),
        },
        Self {
            name: "botcopy-instant",
            shows: "duplicates-instant with a Botcopy bot",
            play: |size| Box::pin(duplicates::instant(size, Bot::Botcopy)),
        },
        Self {
            name: "botcopy-errors",
            shows: "Botcopy answers 503 for a minute: everything arrives, in order, soon afterwards",
            play: |size| Box::pin(outages::botcopy(size, outages::Trouble::Errors)),
        },
        Self {
            name: "botcopy-resets",
            shows: "the same with broken connections",
            play: |size| Box::pin(outages::botcopy(size, outages::Trouble::Resets)),
        },
        Self {
            name: "botcopy-limits",
            shows: "the same with 429 and a named reset, before which nobody calls",
            play: |size| Box::pin(outages::botcopy(size, outages::Trouble::Limits)),
        },
        Self {
            name: "botcopy-livechat-errors",
            shows: "livechat-errors with a Botcopy bot",
            play: |size| Box::pin(outages::livechat(size, outages::Trouble::Errors, Bot::Botcopy)),
        },
        Self {
            name: "botcopy-livechat-resets",
            shows: "livechat-resets with a Botcopy bot",
            play: |size| Box::pin(outages::livechat(size, outages::Trouble::Resets, Bot::Botcopy)),
        },
    ];

    /// The scenario of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.name == name)
    }

    /// Runs it.
    pub async fn run(&self, size: Size) -> Report {
        (self.play)(size).await
    }
}
