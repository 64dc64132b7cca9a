//! The particularity of Botcopy: its deadline.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sandbox::faults::Fault;
use sandbox::stack::{Options, Stack};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::fail_point::Plan;
use tokio::task::JoinSet;

use super::{Report, Size};
use crate::World;
use crate::raw::together;

/// The time that 99 of 100 callers may wait on a warm stack.
const WARM: Duration = Duration::from_millis(300);

/// The time that any caller may wait.
const ALWAYS: Duration = Duration::from_secs(2);

/// The value that `part` per cent of all do not exceed.
fn percentile<T>(sorted: &[T], part: usize) -> Option<&T> {
    sorted.get(sorted.len().saturating_sub(1) * part / 100)
}

/// A deadline is meaningful only where time passes by itself.
async fn in_real_time() -> World {
    let options = Options { table_proxy: true, ..Options::in_process(Clock::system()) };
    let stack = Stack::start(options).await.expect("the stack starts");
    let world = World { stack, fail_points: Plan::default(), clock: None };
    world.install().await.expect("the integration is installed");
    world
}

/// Calls arrive at a steady rate, in real time, and each is measured.
pub(super) async fn latency(size: Size) -> Report {
    let (calls, pace) = (size.of(3_000, 100), Duration::from_millis(20));
    let users = calls / 10;
    let world = Arc::new(in_real_time().await);
    let warm = world.stack.botcopy.new_user();
    world.stack.botcopy.user_says(&warm, "a human please").await.expect("the user can write");
    if let Some(proxy) = &world.stack.table_proxy {
        proxy.faults().always("", Fault::Delay(Duration::from_millis(5)));
    }
    let users: Vec<String> = (0..users).map(|_| world.stack.botcopy.new_user()).collect();
    let waits = Arc::new(Mutex::new(Vec::new()));
    let mut running = JoinSet::new();
    let begin = Instant::now();
    for number in 0..calls {
        let Some(user) = users.get(number % users.len()) else { continue };
        let botcopy = &world.stack.botcopy;
        let body = match number < users.len() {
            true => botcopy.step_one_body(user, &format!("human {number}")),
            false => botcopy.step_two_body(user, &format!("message {number}")),
        };
        let body = body.expect("the user exists");
        tokio::time::sleep_until((begin + pace * u32::try_from(number).unwrap_or(u32::MAX)).into()).await;
        let (world, waits) = (Arc::clone(&world), Arc::clone(&waits));
        running.spawn(async move {
            let watch = Instant::now();
            let answer = world.stack.botcopy.call_endpoint(&body, &[]).await;
            let is_paused = answer.is_ok_and(|answer| answer.json().get("paused") == Some(&json!(true)));
            waits.lock().expect("nobody panics with the list in hand").push((watch.elapsed(), is_paused));
        });
    }
    running.join_all().await;
    let mut waits = waits.lock().expect("nobody panics with the list in hand").clone();
    waits.sort();
    let at = |part| percentile(&waits, part).map_or(Duration::ZERO, |(wait, _)| *wait);
    let not_paused = waits.iter().filter(|(_, is_paused)| !is_paused).count();
    let figure = format!(
        "{calls} calls at 50 per second, {} of them starts: p50 {} ms, p99 {} ms, longest {} ms, {not_paused} not paused",
        users.len(),
        at(50).as_millis(),
        at(99).as_millis(),
        at(100).as_millis(),
    );
    let mut findings = Vec::new();
    findings.extend((at(99) > WARM).then(|| format!("p99 is {:?}", at(99))));
    findings.extend((not_paused > 0).then(|| format!("{not_paused} calls were not answered \"paused\"")));
    Report { figure, findings }
}

/// LiveChat accepts calls but does not answer; some users already talk to agents, others ask for a person just then.
pub(super) async fn hanging(size: Size) -> Report {
    let world = in_real_time().await;
    let count = size.of(50, 4);
    let botcopy = &world.stack.botcopy;
    let mut texts = Vec::new();
    for number in 0..count {
        let user = botcopy.new_user();
        botcopy.user_says(&user, &format!("user {number} wants a human")).await.expect("the user can write");
        texts.push((user, format!("message {number}")));
        texts.push((botcopy.new_user(), format!("newcomer {number} wants a human")));
    }
    world.stack.livechat.faults().always("", Fault::Delay(Duration::from_secs(60)));
    let begin = world.stack.journal.len();
    let says = texts.iter().map(|(user, text)| botcopy.user_says(user, text));
    for said in together(says).await {
        said.expect("the user can write");
    }
    let news = world.stack.journal.since(begin);
    let mut written = HashMap::new();
    let (mut findings, mut waits, mut promised) = (Vec::new(), Vec::new(), Vec::new());
    for entry in &news {
        match entry.effect {
            "user_wrote" => drop(written.insert(entry.text("/user_id"), entry.at)),
            "webhook_called" => {
                let wait = written.get(entry.text("/user_id")).map_or(Duration::ZERO, |at| entry.at.since(*at));
                waits.push(wait);
                promised.extend(
                    (entry.detail.get("paused") == Some(&Value::Bool(true))).then(|| entry.text("/text").to_owned()),
                );
            }
            "answer_ignored" => findings.push(format!("an answer was ignored: {}", entry.detail)),
            _ => {}
        }
    }
    waits.sort();
    let at = |part| percentile(&waits, part).copied().unwrap_or_default();
    let longest = at(100);
    findings.extend((longest > ALWAYS).then(|| format!("an answer took {longest:?}")));
    findings.extend((waits.len() < texts.len()).then(|| format!("{} calls for {} texts", waits.len(), texts.len())));
    world.stack.livechat.faults().clear();
    recover(&world).await;
    // Promised texts must be in LiveChat, once; all others must be with the bot.
    let sent = world.sent_by_customers();
    for (_, text) in &texts {
        let line = format!(": {text}");
        let times = sent.iter().filter(|sent| *sent == text || sent.lines().any(|one| one.ends_with(&line))).count();
        let expected = usize::from(promised.contains(text));
        if times != expected {
            findings.push(format!("{text:?} is {times} times in LiveChat and was promised {expected} times"));
        }
    }
    for (user, text) in &texts {
        if promised.contains(text) && !botcopy.is_paused(user) {
            findings.push(format!("the bot of the user who wrote {text:?} is not paused, although that was promised"));
        }
    }
    let figure = format!(
        "{} calls while LiveChat hung, {} promised: p50 {} ms, p99 {} ms, longest {} ms",
        waits.len(),
        promised.len(),
        at(50).as_millis(),
        at(99).as_millis(),
        longest.as_millis(),
    );
    Report { figure, findings }
}

/// Runs the schedule, faster than its interval, until nothing waits any more.
async fn recover(world: &World) {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        drop(world.stack.sweep().await);
        world.stack.settled().await;
        let starting = world.items("session").iter().any(|one| crate::text(one, "session_state") == "starting");
        if !starting && world.items("waiting").is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
