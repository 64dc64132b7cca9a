//! A Botpress that handles events and messages of one conversation side by side: with the pause, none of the pairs that
//! matter changes places; without it, some do.

use std::time::Duration;

use sandbox::botpress::Handling;

use super::side_by_side::side_by_side;
use super::{Report, Size};
use crate::{ANNA, World};

/// The longest time that Botpress takes to handle an item: less than the product's pause.
const LONGEST: Duration = Duration::from_millis(300);

/// What a user must see, in this order.
const EXPECTED: [&str; 4] = [
    "A human agent has joined the conversation.",
    "first words",
    "last words",
    "The human agent closed the conversation. I will continue assisting you.",
];

/// Plays this many short sessions, each with the pause and without.
pub(super) async fn side_by_side_at_botpress(size: Size) -> Report {
    let (mut random, count) = (size.random(), size.of(2_000, 12));
    let seeds: Vec<_> = (0..count).map(|_| random.u64(..)).collect();
    let disorders = |pause: &'static str| {
        let seeds = seeds.clone();
        async move { side_by_side(seeds, move |seed| session(pause, seed)).await.into_iter().flatten().collect::<Vec<_>>() }
    };
    let (with, without) = (disorders("400").await, disorders("0").await);
    let mut findings = with.clone();
    if without.is_empty() {
        findings.push("nothing changes places without the pause either: nothing is shown by this".to_owned());
    }
    let figure = format!(
        "{count} sessions at a Botpress that takes up to {} ms for each thing: {} out of order with the pause, {} without",
        LONGEST.as_millis(),
        with.len(),
        without.len()
    );
    Report { figure, findings }
}

/// Plays one session in which the agent writes at once and closes right after the last text; returns what was wrong with it.
async fn session(pause: &'static str, seed: u64) -> Option<String> {
    let world = World::in_process_with(&[("ORDER_PAUSE_MS", pause)]).await;
    let user = world.user("Ann").await;
    world.stack.botpress.handle(Handling::SideBySide { longest: LONGEST, seed });
    if let Err(error) = world.escalate(&user).await {
        return Some(format!("seed {seed}: {error}"));
    }
    world.answers(ANNA, EXPECTED[1]).await;
    // Time passes between two messages of a person.
    world.advance(LONGEST * 2);
    world.answers(ANNA, EXPECTED[2]).await;
    world.agent_closes(ANNA).await;
    world.sweep_after(LONGEST * 2).await;
    let lines = world.stack.botpress.transcript(&user.conversation_id);
    let seen: Vec<_> = lines.iter().map(|line| line.text.as_str()).filter(|text| EXPECTED.contains(text)).collect();
    (seen != EXPECTED).then(|| format!("seed {seed}: {seen:?}"))
}
