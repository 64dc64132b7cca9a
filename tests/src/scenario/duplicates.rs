//! The same webhook, again and again.

use sandbox::demo::Bot;

use super::stage::Stage;
use super::{Report, Size};
use crate::checker::{Direction, Expectations, Finding};

/// The number of instances of a function, or processes of the compiled one, that work concurrently.
const INSTANCES: usize = 4;

/// LiveChat repeats its webhooks, at any distance and in any order.
pub(super) async fn spread(size: Size, bot: Bot) -> Report {
    let mut random = size.random();
    let messages = size.of(10_000, 20);
    let stage = Stage::start(bot, 1).await;
    let sessions = stage.sessions(size.of(50, 4)).await;
    let (mut words, mut webhooks) = (Vec::new(), Vec::new());
    for number in 0..messages {
        let Some(session) = random.choice(&sessions) else { continue };
        let text = format!("message {number}");
        let webhook = stage.message_webhook(session, number, &text, stage.world.now());
        webhooks.extend(std::iter::repeat_n(webhook, random.usize(1..=10)));
        words.push(session.words(Direction::ToUser, &text));
    }
    random.shuffle(&mut webhooks);
    let deliveries = webhooks.len();
    let refused = stage.post_all(webhooks, 16).await;
    stage.drain().await;

    let effects = stage.effects(&words);
    let mut findings =
        stage.findings(Expectations { words, escalations: Some(sessions.len()), ..Expectations::default() });
    // All were written at the same moment, so none of them is earlier.
    findings.retain(|finding| !matches!(finding, Finding::Reordered { .. }));
    let figure =
        format!("{messages} messages in {deliveries} deliveries had {effects} effects, {refused} not answered 200");
    let mut report = stage.report(figure, findings);
    report.findings.extend((refused > 0).then(|| format!("{refused} deliveries were not answered with 200")));
    report
}

/// Everything at once: the worst combination of retries and several instances.
pub(super) async fn instant(size: Size, bot: Bot) -> Report {
    let (rounds, copies) = (size.of(50, 2), size.of(1_000, 40));
    let stage = Stage::start(bot, INSTANCES).await;
    let sessions = stage.sessions(1).await;
    let (mut words, mut refused) = (Vec::new(), 0);
    for (round, session) in (0..rounds).zip(sessions.iter().cycle()) {
        let text = format!("round {round}");
        let webhook = stage.message_webhook(session, round, &text, stage.world.now());
        words.push(session.words(Direction::ToUser, &text));
        refused += stage.post_all(vec![webhook; copies], 64).await;
    }
    stage.drain().await;

    let effects = stage.effects(&words);
    let findings = stage.findings(Expectations { words, escalations: Some(1), ..Expectations::default() });
    let figure = format!(
        "{rounds} rounds of {copies} copies on 64 connections to {INSTANCES} instances had {effects} effects, {refused} \
         not answered 200"
    );
    let mut report = stage.report(figure, findings);
    report.findings.extend((refused > 0).then(|| format!("{refused} deliveries were not answered with 200")));
    report
}
