//! Webhooks that overtake one another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use super::stage::{Stage, report};
use super::{Report, Size};
use crate::checker::{Direction, Expectations, Finding};

/// How far apart an agent's messages are written, at most.
const PAUSE_MS: u64 = 4_000;

/// How late a webhook may be.
const DISPLACED_MS: u64 = 5_000;

/// How far apart arrivals are told apart at all.
const TICK_MS: u64 = 20;

/// What is promised: an item overtakes none that was written earlier and had been accepted before it was taken up. So
/// arrivals that are displaced by less than the time an item waits are put right; beyond that the order of arrival counts,
/// since one that has been delivered before an earlier one came in could not have waited for it: nobody knew of that one.
pub(super) async fn displaced(size: Size) -> Report {
    let mut random = size.random();
    let stage = Stage::in_process(1).await;
    let sessions = stage.sessions(size.of(1_000, 6)).await;
    let (mut words, mut arrivals) = (Vec::new(), Vec::new());
    let begin = stage.world.now();
    for session in &sessions {
        let mut written_at = begin;
        for number in 0..size.of(50, 25).min(50) {
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

    let answered: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let mut posts = JoinSet::new();
    for (at, text, webhook) in arrivals {
        if stage.world.now() < at {
            stage.until(at).await;
        }
        let (stage, answered) = (stage.clone(), Arc::clone(&answered));
        posts.spawn(async move {
            let status = stage.post(&webhook).await;
            let known = stage.world.stack.journal.len();
            answered.lock().expect("nobody panics with the map in hand").entry(text).or_insert(known);
            status == Some(200)
        });
    }
    let refused = stage.drive(posts.join_all()).await.into_iter().filter(|good| !good).count();
    stage.drain().await;

    let shown: HashMap<String, usize> = stage
        .world
        .stack
        .journal
        .all("shown_to_user")
        .iter()
        .map(|entry| (entry.text("/text").to_owned(), entry.number))
        .collect();
    let answered = answered.lock().expect("nobody panics with the map in hand").clone();
    let effects = stage.effects(&words);
    let expectations = Expectations { words, escalations: Some(sessions.len()), ..Expectations::default() };
    let (overtaken, findings): (Vec<_>, Vec<_>) =
        stage.findings(expectations).into_iter().partition(|finding| match finding {
            // Known before the later words were shown: those should have waited.
            Finding::Reordered { words, after } => answered.get(&words.text) >= shown.get(after),
            _ => false,
        });
    let figure = format!(
        "{deliveries} deliveries displaced by up to 5 s had {effects} effects, {} came after later words had been shown",
        overtaken.len()
    );
    let mut report = report(figure, &findings);
    report.findings.extend((refused > 0).then(|| format!("{refused} deliveries were not answered with 200")));
    report
}
