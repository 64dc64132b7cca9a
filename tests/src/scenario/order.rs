//! Webhooks that overtake one another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sandbox::demo::Bot;
use serde_json::Value;
use tokio::task::JoinSet;

use super::stage::Stage;
use super::{Report, Size};
use crate::checker::{self, Direction, Expectations, Finding};

/// The maximum time between an agent's messages.
const PAUSE_MS: u64 = 4_000;

/// The maximum delay of a webhook.
const DISPLACED_MS: u64 = 5_000;

/// The resolution of arrival times.
const TICK_MS: u64 = 20;

/// The promise: an item does not overtake any that was written earlier and had been accepted before it was taken up.
/// Arrivals displaced by less than the time an item waits are therefore reordered; beyond that the order of arrival
/// counts, because an item delivered before an earlier one arrived could not have waited for it.
pub(super) async fn displaced(size: Size, bot: Bot) -> Report {
    let mut random = size.random();
    let stage = Stage::in_process(bot, 1).await;
    let sessions = stage.sessions(size.of(1_000, 4)).await;
    let (mut words, mut arrivals) = (Vec::new(), Vec::new());
    let begin = stage.world.now();
    for session in &sessions {
        let mut written_at = begin;
        for number in 0..(if size.scale < 0.01 { 12 } else { 50 }) {
            written_at = written_at + Duration::from_millis(random.u64(1..PAUSE_MS));
            let text = format!("{} message {number}", session.thread_id);
            let webhook = stage.message_webhook(session, number, &text, written_at);
            let repeated = random.u8(..100) < 2;
            for _ in 0..=usize::from(repeated) {
                let late_ms = random.u64(..=DISPLACED_MS / TICK_MS) * TICK_MS;
                let at = begin
                    + Duration::from_millis(
                        (written_at.since(begin).as_millis() as u64).next_multiple_of(TICK_MS) + late_ms,
                    );
                arrivals.push((at, text.clone(), webhook.clone()));
            }
            words.push(session.words(Direction::ToUser, &text));
        }
    }
    arrivals.sort_by_key(|(at, ..)| *at);
    let deliveries = arrivals.len();

    let watch = Watch::default();
    let mut posts = JoinSet::new();
    for (at, text, webhook) in arrivals {
        if stage.world.now() < at {
            stage.until(at).await;
        }
        let (stage, watch) = (stage.clone(), watch.clone());
        posts.spawn(async move { watch.post(&stage, text, &webhook).await });
    }
    let refused = stage.drive(posts.join_all()).await.into_iter().filter(|good| !good).count();
    stage.drain().await;

    let effects = stage.effects(&words);
    let expectations = Expectations { words, escalations: Some(sessions.len()), ..Expectations::default() };
    let (overtaken, findings) = watch.overtaken(&stage, stage.findings(expectations));
    let figure = format!(
        "{deliveries} deliveries displaced by up to 5 s had {effects} effects, {} came after later words had been shown",
        overtaken.len()
    );
    let mut report = stage.report(figure, findings);
    report.findings.extend((refused > 0).then(|| format!("{refused} deliveries were not answered with 200")));
    report
}

/// The journal's position when a message was first posted, and when it was first answered; copies share the state.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    posted: Arc<Mutex<HashMap<String, usize>>>,
    answered: Arc<Mutex<HashMap<String, usize>>>,
}

impl Watch {
    /// Delivers a webhook once; returns whether the answer was 200.
    pub(crate) async fn post(&self, stage: &Stage, text: String, webhook: &Value) -> bool {
        let begun = stage.world.stack.journal.len();
        lock(&self.posted).entry(text.clone()).or_insert(begun);
        let status = stage.post(webhook).await;
        let known = stage.world.stack.journal.len();
        lock(&self.answered).entry(text).or_insert(known);
        status == Some(200)
    }

    /// Splits the findings: those about texts that were not known in time, and all others.
    pub(crate) fn overtaken(&self, stage: &Stage, findings: Vec<Finding>) -> (Vec<Finding>, Vec<Finding>) {
        let (taken_up, answered) = (taken_up(stage, &lock(&self.posted)), lock(&self.answered).clone());
        findings.into_iter().partition(|finding| match finding {
            // Known before the later text was taken up: that one should have waited.
            Finding::Reordered { words, after } => answered.get(&words.text) >= taken_up.get(after),
            _ => false,
        })
    }
}

fn lock(map: &Mutex<HashMap<String, usize>>) -> MutexGuard<'_, HashMap<String, usize>> {
    map.lock().expect("nobody panics with the map in hand")
}

/// The earliest possible journal position at which a text was taken up: after its posting, and after the previous text was shown.
fn taken_up(stage: &Stage, posted: &HashMap<String, usize>) -> HashMap<String, usize> {
    let mut shown_last = HashMap::new();
    let mut taken_up = HashMap::new();
    for entry in stage.world.entries("shown_to_user", "/from", "agent") {
        let text = entry.text("/text").to_owned();
        let before = shown_last.insert(checker::shown_to(&entry).to_owned(), entry.number);
        let posted = posted.get(&text).copied().unwrap_or_default();
        taken_up.insert(text, before.unwrap_or_default().max(posted));
    }
    taken_up
}
