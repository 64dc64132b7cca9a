//! Two versions of the functions side by side on one table, as during a canary deployment.
//!
//! Each invocation goes to any free process, so either version reads and delivers what the other has stored. While the vendors do
//! not answer, everything stays in the table, and either version runs the sweeps that follow.

use std::collections::BTreeSet;
use std::time::Duration;

use sandbox::demo::Bot;
use sandbox::faults::Fault;
use tokio::task::JoinSet;

use super::stage::Stage;
use super::{Report, Size};
use crate::checker::{Direction, Expectations, Finding, Words};

/// The processes of each function; half of them run either version if `HITL_BINARIES` names two folders.
const PROCESSES: usize = 4;

/// How many rounds each session lasts; in every third the vendors fail at first.
const ROUNDS: usize = 9;

/// How often, and at which interval, to check whether anything still waits, in real time: a failed vendor is tried at least once a minute.
const LOOKS: usize = 120;
const BETWEEN: Duration = Duration::from_secs(1);

/// How many probes it takes to meet every process.
const PROBES: usize = 40;

/// Messages both ways, with three outages.
pub(super) async fn beside(size: Size, bot: Bot) -> Report {
    let stage = Stage::start(bot, PROCESSES).await;
    let versions = versions(&stage).await;
    let sessions = stage.sessions(size.of(100, 6)).await;
    let (mut words, mut refused) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let is_outage = round % 3 == 2;
        set_outage(&stage, is_outage);
        let mut said = JoinSet::new();
        let mut webhooks = Vec::new();
        for (number, session) in sessions.iter().enumerate() {
            let (theirs, ours) = (format!("{number} asks {round}"), format!("{number} is answered {round}"));
            webhooks.push(stage.message_webhook(session, round, &ours, stage.world.now()));
            words.push(session.words(Direction::ToUser, &ours));
            words.push(session.words(Direction::ToAgent, &theirs));
            let (side, person) = (stage.side.clone(), session.person.clone());
            said.spawn(async move { side.says(&person, &theirs).await.is_err() });
        }
        refused += stage.post_all(webhooks, 16).await;
        refused += stage.drive(said.join_all()).await.into_iter().filter(|refused| *refused).count();
        set_outage(&stage, false);
        if is_outage {
            drain(&stage).await;
        }
    }
    drain(&stage).await;
    judged(&stage, &versions, words, sessions.len(), refused)
}

/// Waits until nothing waits any more. Where time passes by itself, this includes the wait for an item's next attempt.
async fn drain(stage: &Stage) {
    for _ in 0..LOOKS {
        stage.drain().await;
        if stage.due_lanes() == 0 {
            return;
        }
        stage.drive(stage.sleep(BETWEEN)).await;
    }
}

/// Makes every vendor fail, or work again.
fn set_outage(stage: &Stage, is_on: bool) {
    for faults in [stage.world.stack.livechat.faults(), stage.side.faults()] {
        faults.clear();
        if is_on {
            faults.always("", Fault::answer(503, "<html>Service Unavailable</html>"));
        }
    }
}

/// Returns the builds that answer.
async fn versions(stage: &Stage) -> BTreeSet<String> {
    let mut probes = JoinSet::new();
    for _ in 0..PROBES {
        let url = format!("{}/health", stage.world.stack.gateway.url());
        probes.spawn(async move {
            let client = sandbox::server::client().ok()?;
            client.get(url).send().await.ok()?.text().await.ok()
        });
    }
    stage.drive(probes.join_all()).await.into_iter().flatten().collect()
}

fn judged(stage: &Stage, versions: &BTreeSet<String>, words: Vec<Words>, sessions: usize, refused: usize) -> Report {
    let messages = words.len();
    let expectations = Expectations { words, escalations: Some(sessions), ..Expectations::default() };
    let findings = stage.findings(expectations);
    let lost = findings.iter().filter(|one| matches!(one, Finding::Lost(_))).count();
    let doubled = findings.iter().filter(|one| matches!(one, Finding::Doubled { .. })).count();
    let versions: Vec<_> = versions.iter().map(|version| version.trim_start_matches("ok ")).collect();
    let figure = format!(
        "{messages} messages of {sessions} sessions through {}: {lost} lost, {doubled} doubled, {refused} refused",
        versions.join(" beside ")
    );
    let mut report = stage.report(figure, findings);
    report.findings.extend(stage.left_over());
    report
}
