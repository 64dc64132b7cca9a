//! The service itself is down, while agents write and close.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use sandbox::demo::Bot;
use sandbox::faults::Fault;

use super::stage::{Session, Stage};
use super::{Report, Size};
use crate::ANNA;
use crate::checker::{Direction, Expectations, Finding, Words};
use crate::model::delivery_of;

/// How long the service does not answer.
const OUTAGE: Duration = Duration::from_secs(300);

/// The interval at which an agent writes in each session: five times a minute.
const PAUSE: Duration = Duration::from_secs(12);

/// The time after the service's return within which everything must have arrived.
const RECOVERED_WITHIN: Duration = Duration::from_secs(120);

/// The interval of the schedule.
const TICK: Duration = Duration::from_secs(60);

/// What happens at a moment; at the same moment, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Says(usize),
    Closes(usize),
}

/// Neither webhooks nor ticks of the schedule reach the service for five minutes; LiveChat's retries run out, and come late.
pub(super) async fn for_minutes(size: Size, bot: Bot) -> Report {
    let mut random = size.random();
    let stage = Stage::in_process(bot, 1).await;
    let sessions = stage.sessions(size.of(200, 3)).await;
    tick(&stage, TICK).await;
    // Connections are refused, or the gateway answers that the service is unavailable.
    let refusal = if random.bool() { Fault::Reset } else { Fault::answer(503, "") };
    stage.world.stack.gateway_faults.always("POST /livechat", refusal);
    let begin = stage.world.now();
    let mut plan = Vec::new();
    for index in 0..sessions.len() {
        let mut at = Duration::from_millis(random.u64(..12_000));
        let closes = (random.u8(..2) == 0).then(|| Duration::from_millis(random.u64(30_000..300_000)));
        while at < closes.unwrap_or(OUTAGE) {
            plan.push((at, Happening::Says(index)));
            at += PAUSE;
        }
        plan.extend(closes.map(|at| (at, Happening::Closes(index))));
    }
    plan.sort();
    let closures = plan.iter().filter(|(_, one)| matches!(one, Happening::Closes(_))).count();
    let words = play(&stage, &sessions, plan).await;
    stage.until(begin + OUTAGE).await;
    let early = stage.effects(&words);

    stage.world.stack.gateway_faults.clear();
    let back = stage.world.now();
    // The schedule is independent of the service: its next tick may come at once, or in a minute.
    tick(&stage, Duration::from_millis(random.u64(..60_000))).await;
    while stage.world.now() < back + RECOVERED_WITHIN {
        tick(&stage, TICK).await;
    }
    let recovered = stage.effects(&words);
    let last = last_effect(&stage, &words).map_or(Duration::ZERO, |at| at.since(back));
    let brought = brought_by_webhooks(&stage);
    let repeats = repeat_everything(&stage).await;
    stage.drain().await;

    let told = stage.side.ends_told().len();
    let figure = format!(
        "{} sessions, {} messages and {closures} closures while we were down; {recovered} messages and {told} closures \
         recovered, the last {:.1} s after our return; {repeats} late deliveries",
        sessions.len(),
        words.len(),
        last.as_secs_f64(),
    );
    let count = words.len();
    let expectations = Expectations { words, escalations: Some(sessions.len()), ..Expectations::default() };
    let mut findings = stage.findings(expectations);
    // LiveChat's last retries deliver the last texts of the outage before the sweep has read the ones missed earlier.
    findings.retain(|finding| !matches!(finding, Finding::Reordered { after, .. } if brought.contains(after)));
    let mut report = stage.report(figure, findings);
    report.findings.extend(stage.left_over());
    report.findings.extend((early > 0).then(|| format!("{early} messages came through while we were down")));
    report.findings.extend((recovered < count).then(|| format!("{} messages took too long", count - recovered)));
    report.findings.extend((last > RECOVERED_WITHIN).then(|| format!("the last effect came after {last:?}")));
    report.findings.extend((told != closures).then(|| format!("{told} of {closures} closures were told")));
    report
}

async fn tick(stage: &Stage, pause: Duration) {
    stage.pass(pause).await;
    drop(stage.drive(stage.world.stack.sweep()).await);
}

async fn play(stage: &Stage, sessions: &[Session], plan: Vec<(Duration, Happening)>) -> Vec<Words> {
    let begin = stage.world.now();
    let livechat = &stage.world.stack.livechat;
    let mut words = Vec::new();
    for (number, (at, happening)) in plan.into_iter().enumerate() {
        stage.until(begin + at).await;
        match happening {
            Happening::Says(index) => {
                let Some(session) = sessions.get(index) else { continue };
                let text = format!("message {number}");
                livechat.agent_sends_text(&session.chat_id, ANNA, &text).expect("the agent can write");
                words.push(session.words(Direction::ToUser, &text));
            }
            Happening::Closes(index) => {
                let Some(session) = sessions.get(index) else { continue };
                livechat.agent_closes(&session.chat_id, ANNA).expect("the agent can close");
            }
        }
    }
    words
}

fn last_effect(stage: &Stage, words: &[Words]) -> Option<shared::clock::Timestamp> {
    let shown = stage.world.entries("shown_to_user", "/from", "agent");
    let shown: HashMap<&str, _> = shown.iter().map(|entry| (entry.text("/text"), entry.at)).collect();
    let words = words.iter().filter_map(|one| shown.get(one.text.as_str()).copied());
    let ends = stage.side.ends_told().into_iter().map(|entry| entry.at);
    words.chain(ends).max()
}

/// The texts that a webhook has reported.
fn brought_by_webhooks(stage: &Stage) -> HashSet<String> {
    let delivered = stage.world.stack.journal.all("webhook_delivered");
    let taken = delivered.iter().filter(|entry| entry.detail.get("status") == Some(&200.into()));
    let taken: HashSet<&str> = taken.map(|entry| entry.text("/event_id")).collect();
    let written = stage.world.entries("event_sent", "/author_type", "agent");
    let brought = written.iter().filter(|entry| taken.contains(entry.text("/event_id")));
    brought.map(|entry| entry.text("/text").to_owned()).collect()
}

/// LiveChat repeats everything that it has ever sent: retries that come far too late.
async fn repeat_everything(stage: &Stage) -> usize {
    let entries = stage.world.stack.journal.all("webhook_delivered");
    let deliveries: BTreeSet<_> = entries.iter().filter_map(delivery_of).collect();
    for (sent, delivery) in deliveries.iter().enumerate() {
        stage.world.stack.livechat.replay(*delivery);
        // Not all of them at once: no machine has that many connections.
        if sent % 64 == 63 {
            stage.drive(stage.world.stack.settled()).await;
        }
    }
    stage.drive(stage.world.stack.settled()).await;
    deliveries.len()
}
