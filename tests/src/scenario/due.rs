//! One vendor is down, and far more is due than a sweep can handle: items for the other vendors are served in the same sweep.

use std::time::Duration;

use sandbox::demo::Bot;
use sandbox::faults::{Fault, Faults};
use shared::clock::Timestamp;

use super::stage::{Session, Stage};
use super::{Report, Size};
use crate::ANNA;
use crate::checker::{Direction, Expectations, Words};

/// The interval of the schedule.
const TICK: Duration = Duration::from_secs(60);

/// The number of sessions opened between two ticks.
const BETWEEN_TICKS: usize = 64;

/// The number of calls to the failed vendor that one sweep may make: a few at once, in each look.
const MOST_CALLS: usize = 300;

/// The time after the sweep's begin within which the others are served: long before all due lanes could have been tried.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// The number of ticks after the vendor's return within which everything must have arrived.
const DRAINED_WITHIN: usize = 5;

/// The number of the other bot's user, which no other user has.
const NUMBER_ELSEWHERE: usize = 1_000_000;

/// The vendor that is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Down {
    Platform,
    LiveChat,
}

/// Each vendor in turn is down with that many lanes due for it, followed by one lane for each of the others.
pub(super) async fn behind_a_vendor(size: Size, bot: Bot) -> Report {
    let parts = [one_down(size, bot, Down::Platform).await, one_down(size, bot, Down::LiveChat).await];
    let figure = parts.iter().map(|part| part.figure.as_str()).collect::<Vec<_>>().join("; ");
    Report { figure, findings: parts.into_iter().flat_map(|part| part.findings).collect() }
}

async fn one_down(size: Size, bot: Bot, down: Down) -> Report {
    let stage = Stage::in_process(bot, 1).await;
    let sessions = opened(&stage, size.of(10_000, 48)).await;
    let other = stage.with(other_than(bot));
    let [elsewhere]: [Session; 1] =
        other.sessions_from(NUMBER_ELSEWHERE, 1).await.try_into().expect("one was asked for");

    let faults = faults(&stage, down);
    // A refusal would cost a sweep no time.
    faults.always("", Fault::hang());
    let mut words = Vec::new();
    for (number, session) in sessions.iter().enumerate() {
        words.push(say(&stage, session, down, &format!("message {number}")).await);
    }
    let due = stage.due_lanes();
    // The longest due come first, so these come last.
    stage.pass(Duration::from_secs(1)).await;
    let healthy = left_to_the_sweep(&stage, (&other, &elsewhere), &sessions, down).await;
    stage.pass(Duration::from_secs(30)).await;
    let early = stage.effects(&healthy);

    let calls_before = faults.spoiled().len();
    let begin = stage.world.now();
    drop(stage.drive(stage.world.stack.sweep()).await);
    let (took, calls) = (stage.world.now().since(begin), faults.spoiled().len() - calls_before);
    let turns = turns(&stage, &healthy);
    let (delivered, waited) = (turns.len(), turns.into_iter().max().map_or(Duration::ZERO, |last| last.since(begin)));

    faults.clear();
    let mut ticks = 0;
    let mut effects = 0;
    while ticks < DRAINED_WITHIN && effects < words.len() {
        tick(&stage, TICK).await;
        ticks += 1;
        effects = stage.effects(&words);
    }
    stage.drain().await;
    let vendor = if down == Down::LiveChat { "LiveChat" } else { "the bot's platform" };
    let figure = format!(
        "{due} lanes due for {vendor}, which was down: one sweep of {:.0} s made {calls} calls there and delivered {delivered} of {} for \
         others, the last after {:.1} s; all {effects} arrived within {ticks} min of its return",
        took.as_secs_f64(),
        healthy.len(),
        waited.as_secs_f64(),
    );
    let (count, others) = (words.len(), healthy.len());
    words.extend(healthy);
    let escalations = Some(sessions.len() + 1);
    let mut report =
        stage.report(figure, stage.findings(Expectations { words, escalations, ..Expectations::default() }));
    report.findings.extend(stage.left_over());
    report.findings.extend((due < count).then(|| format!("only {due} of {count} were due")));
    report.findings.extend((early > 0).then(|| format!("{early} of the others needed no sweep")));
    report.findings.extend((delivered < others).then(|| format!("{} had no turn", others - delivered)));
    report.findings.extend((waited > TURN_WITHIN).then(|| format!("the others waited for {waited:?}")));
    report.findings.extend((calls > MOST_CALLS).then(|| format!("the vendor was called {calls} times in one sweep")));
    report.findings.extend((effects < count).then(|| format!("{} took too long", count - effects)));
    report
}

/// The time at which each of these had its effect.
fn turns(stage: &Stage, words: &[Words]) -> Vec<Timestamp> {
    let entries = stage.world.stack.journal.entries();
    let effects = entries.iter().filter(|entry| ["shown_to_user", "event_sent"].contains(&entry.effect));
    let of_agents = effects.filter(|entry| entry.text("/from") == "agent" || entry.text("/author_type") == "customer");
    of_agents.filter(|entry| words.iter().any(|one| one.text == entry.text("/text"))).map(|entry| entry.at).collect()
}

const fn other_than(bot: Bot) -> Bot {
    match bot {
        Bot::Botpress => Bot::Botcopy,
        Bot::Botcopy => Bot::Botpress,
    }
}

fn faults(stage: &Stage, down: Down) -> &Faults {
    match down {
        Down::Platform => stage.side.faults(),
        Down::LiveChat => stage.world.stack.livechat.faults(),
    }
}

/// Opens sessions, while the schedule runs: that takes far longer than a bot's pause.
async fn opened(stage: &Stage, count: usize) -> Vec<Session> {
    let mut sessions = Vec::new();
    while sessions.len() < count {
        let some = stage.sessions_from(sessions.len(), BETWEEN_TICKS.min(count - sessions.len())).await;
        sessions.extend(some);
        tick(stage, Duration::from_secs(30)).await;
    }
    sessions
}

async fn tick(stage: &Stage, pause: Duration) {
    stage.pass(pause).await;
    drop(stage.drive(stage.world.stack.sweep()).await);
}

/// Writes something for the vendor that is down.
async fn say(stage: &Stage, session: &Session, down: Down, text: &str) -> Words {
    let direction = match down {
        Down::Platform => {
            stage.world.stack.livechat.agent_sends_text(&session.chat_id, ANNA, text).expect("the agent can write");
            Direction::ToUser
        }
        Down::LiveChat => {
            drop(stage.drive(stage.side.says(&session.person, text)).await);
            Direction::ToAgent
        }
    };
    stage.drive(stage.world.stack.settled()).await;
    session.words(direction, text)
}

/// One lane for each of the other vendors that is due because that vendor has failed for a moment.
async fn left_to_the_sweep(
    stage: &Stage,
    (other, elsewhere): (&Stage, &Session),
    sessions: &[Session],
    down: Down,
) -> Vec<Words> {
    let last = sessions.last().expect("there are sessions");
    let fail = |faults: &Faults, calls: &str| faults.always(calls, Fault::answer(503, ""));
    fail(other.side.faults(), other.side.showing_call());
    let (faults, calls, from, text) = match down {
        Down::Platform => (stage.world.stack.livechat.faults(), "send_event", Down::LiveChat, "for LiveChat"),
        Down::LiveChat => (stage.side.faults(), stage.side.showing_call(), Down::Platform, "for the bot's platform"),
    };
    fail(faults, calls);
    let mut words = vec![say(other, elsewhere, Down::Platform, "for the other platform").await];
    words.push(say(stage, last, from, text).await);
    other.side.faults().clear();
    faults.clear();
    words
}
