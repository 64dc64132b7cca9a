//! Writes conflict as they do at AWS: those of a burst, those of a lively conversation, and every other one by chance.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandbox::demo::Bot;
use sandbox::faults::Fault;
use sandbox::table_proxy::{Pace, TableProxy, Tally};
use serde_json::Value;
use tokio::task::JoinSet;

use super::order::Watch;
use super::stage::{Session, Stage};
use super::{Report, Size};
use crate::ANNA;
use crate::checker::{Direction, Expectations, Finding, Words};

/// The number of messages at one instant; as many instances handle them.
const AT_ONCE: usize = 32;

/// The time that the slowest of them may wait for its answer.
const SLOWEST: Duration = Duration::from_secs(5);

/// The number of transactions that a write may take in a lively conversation.
const MOST_TRANSACTIONS: f64 = 1.3;

/// With fewer messages than this, the number of conflicts is too random to judge.
const LEAST_JUDGED: usize = 500;

/// Far below the time for which a write holds its items.
const STEP: Duration = Duration::from_millis(2);

/// The time that the vendors take for a call.
const VENDOR: Duration = Duration::from_millis(50);

/// The intervals between messages of a lively conversation: many arrive while the previous one is being delivered.
const PAUSES_MS: RangeInclusive<u64> = 50..=250;

/// The number of users who write at once while every other write conflicts.
const TALKERS: usize = 64;

pub(super) async fn met(size: Size, bot: Bot) -> Report {
    let parts = [burst(size, bot).await, lively(size, bot).await, every_other(size, bot).await];
    let figure = parts.iter().map(|part| part.figure.as_str()).collect::<Vec<_>>().join("; ");
    Report { figure, findings: parts.into_iter().flat_map(|part| part.findings).collect() }
}

/// Different messages at one instant, and copies of one.
async fn burst(size: Size, bot: Bot) -> Report {
    let rounds = size.of(50, 1);
    let stage = at_pace(bot, AT_ONCE, Pace::REALISTIC, size.seed).await;
    let sessions = stage.sessions(1).await;
    slow_down(&stage);
    let (mut words, mut slowest, mut refused) = (Vec::new(), Duration::ZERO, 0);
    let watch = Watch::default();
    for (round, session) in (0..rounds).zip(sessions.iter().cycle()) {
        let written_at = stage.world.now();
        let different = (0..AT_ONCE).map(|number| {
            let text = format!("round {round} message {number}");
            words.push(session.words(Direction::ToUser, &text));
            let at = written_at + Duration::from_millis(number as u64);
            (text.clone(), stage.message_webhook(session, round * (AT_ONCE + 1) + number, &text, at))
        });
        let different: Vec<_> = different.collect();
        let text = format!("round {round} copies");
        let copy = stage.message_webhook(session, round * (AT_ONCE + 1) + AT_ONCE, &text, written_at + PAUSE);
        words.push(session.words(Direction::ToUser, &text));
        for posts in [different, vec![(text, copy); AT_ONCE]] {
            for (is_taken, waited) in all_at_once(&stage, &watch, posts).await {
                refused += usize::from(!is_taken);
                slowest = slowest.max(waited);
            }
        }
        stage.pass(Duration::from_secs(1)).await;
    }
    stage.drain().await;
    let effects = stage.effects(&words);
    let expectations = Expectations { words, escalations: Some(1), ..Expectations::default() };
    let (overtaken, findings) = watch.overtaken(&stage, stage.findings(expectations));
    let figure = format!(
        "{rounds} bursts of {AT_ONCE} messages and {AT_ONCE} copies of one had {effects} effects, the slowest answer after {:.1} s, \
         {refused} not answered 200, {} came after later words",
        slowest.as_secs_f64(),
        overtaken.len(),
    );
    let mut report = judged(&stage, figure, findings, refused);
    report.findings.extend((slowest > SLOWEST).then(|| format!("an answer took {slowest:?}")));
    report
}

/// The pause before the last text of a burst.
const PAUSE: Duration = Duration::from_millis(AT_ONCE as u64);

/// Returns whether each was answered with 200, and how long that took.
async fn all_at_once(stage: &Stage, watch: &Watch, posts: Vec<(String, Value)>) -> Vec<(bool, Duration)> {
    let posts: JoinSet<_> = posts
        .into_iter()
        .map(|(text, webhook)| {
            let (stage, watch) = (stage.clone(), watch.clone());
            async move {
                let begin = stage.world.now();
                let is_taken = watch.post(&stage, text, &webhook).await;
                (is_taken, stage.world.now().since(begin))
            }
        })
        .collect();
    stage.drive(posts.join_all()).await
}

/// Both sides write at once, sometimes faster than their messages are delivered.
async fn lively(size: Size, bot: Bot) -> Report {
    let mut random = size.random();
    let count = size.of(1_000, 40);
    let stage = at_pace(bot, 4, Pace::REALISTIC, size.seed).await;
    let sessions = stage.sessions(1).await;
    slow_down(&stage);
    let before = proxy(&stage).conflicts().tally();
    let (mut words, mut posts, watch) = (Vec::new(), JoinSet::new(), Watch::default());
    for session in &sessions {
        for number in 0..count {
            stage.pass(Duration::from_millis(random.u64(PAUSES_MS))).await;
            let text = format!("agent {number}");
            words.push(session.words(Direction::ToUser, &text));
            let webhook = stage.message_webhook(session, number, &text, stage.world.now());
            let (stage, watch) = (stage.clone(), watch.clone());
            posts.spawn(async move { watch.post(&stage, text, &webhook).await });
        }
    }
    let answers = stage.drive(posts.join_all()).await;
    let refused = answers.into_iter().filter(|is_taken| !is_taken).count();
    let Tally { transactions, applied, .. } = since(before, proxy(&stage).conflicts().tally());
    stage.drain().await;
    let effects = stage.effects(&words);
    let expectations = Expectations { words, escalations: Some(1), ..Expectations::default() };
    let (overtaken, findings) = watch.overtaken(&stage, stage.findings(expectations));
    let ratio = transactions as f64 / applied.max(1) as f64;
    let figure = format!(
        "{count} messages of a lively talk had {effects} effects with {ratio:.2} transactions a write, {} came after later words",
        overtaken.len(),
    );
    let mut report = judged(&stage, figure, findings, refused);
    let is_too_much = ratio >= MOST_TRANSACTIONS && count >= LEAST_JUDGED;
    report.findings.extend(is_too_much.then(|| format!("{ratio:.2} transactions a write")));
    report
}

/// Every other write of everything conflicts, from the first escalation on.
async fn every_other(size: Size, bot: Bot) -> Report {
    let messages = size.of(10_000, 48);
    let users = TALKERS.min(messages / 8);
    let stage = at_pace(bot, 4, Pace { share: 0.5, ..Pace::AS_THE_TABLE }, size.seed).await;
    let sessions = stage.sessions(users).await;
    // A start that was only promised is finished by the sweep. Texts written before that are read from the thread, but
    // LiveChat's simulator does not contain these texts.
    stage.drain().await;
    let words = Arc::new(Mutex::new(Vec::new()));
    let talks: JoinSet<_> = sessions
        .iter()
        .map(|session| talk(stage.clone(), session.clone(), messages / users / 2, Arc::clone(&words)))
        .collect();
    let refused = stage.drive(talks.join_all()).await.into_iter().sum();
    stage.drain().await;
    for session in &sessions {
        stage.world.stack.livechat.agent_closes(&session.chat_id, ANNA).expect("the agent can close");
    }
    stage.drain().await;
    let met = proxy(&stage).conflicts().tally().met;
    let words = words.lock().expect("nobody panics with the list in hand").clone();
    let (written, effects) = (words.len(), stage.effects(&words));
    let findings = stage.findings(Expectations { words, escalations: Some(users), ..Expectations::default() });
    let figure = format!("{written} messages met {met} other writes and had {effects} effects");
    let mut report = judged(&stage, figure, findings, refused);
    report.findings.extend(stage.left_over());
    report
}

/// Both sides of a session write in turn, each as soon as the previous text is answered; returns how many were not accepted.
async fn talk(stage: Stage, session: Session, turns: usize, words: Arc<Mutex<Vec<Words>>>) -> usize {
    let mut refused = 0;
    let write = |direction, text: &str| {
        words.lock().expect("nobody panics with the list in hand").push(session.words(direction, text));
    };
    for turn in 0..turns {
        let text = format!("{} agent {turn}", session.thread_id);
        write(Direction::ToUser, &text);
        let webhook = stage.message_webhook(&session, turn, &text, stage.world.now());
        refused += usize::from(stage.post(&webhook).await != Some(200));
        let text = format!("{} user {turn}", session.thread_id);
        write(Direction::ToAgent, &text);
        refused += usize::from(stage.side.says(&session.person, &text).await.is_err());
        // Texts written at the same instant have no order.
        stage.sleep(Duration::from_millis(5)).await;
    }
    refused
}

/// Slows the vendors' calls down.
fn slow_down(stage: &Stage) {
    stage.world.held_calls_sleep();
    for faults in [stage.world.stack.livechat.faults(), stage.side.faults()] {
        faults.always("", Fault::Delay(VENDOR));
    }
}

async fn at_pace(bot: Bot, instances: usize, pace: Pace, seed: u64) -> Stage {
    let mut stage = Stage::in_process(bot, instances).await;
    stage.step = STEP;
    proxy(&stage).conflicts().set(pace, seed);
    stage
}

fn proxy(stage: &Stage) -> &TableProxy {
    stage.world.stack.table_proxy.as_ref().expect("this stage has the proxy")
}

const fn since(before: Tally, now: Tally) -> Tally {
    Tally {
        transactions: now.transactions - before.transactions,
        applied: now.applied - before.applied,
        met: now.met - before.met,
    }
}

fn judged(stage: &Stage, figure: String, findings: Vec<Finding>, refused: usize) -> Report {
    let mut report = stage.report(figure, findings);
    report.findings.extend((refused > 0).then(|| format!("{refused} messages were not taken")));
    report
}
