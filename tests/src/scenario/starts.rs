//! Many starts of one session at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sandbox::botpress::OperationAnswer;
use sandbox::faults::Fault;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::stage::{Stage, report};
use super::{Report, Size};
use crate::checker::Expectations;

/// How many callers ask for the same thing.
const CALLERS: usize = 32;

/// How often a caller repeats before it counts as a failure.
const MOST_TRIES: usize = 20;

/// How callers behave, and what happens to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Patient,
    /// They stop listening after a few seconds, and ask again.
    Impatient,
}

/// Nothing is wrong but the number of callers.
pub(super) async fn at_once(size: Size) -> Report {
    play(size, Mood::Patient).await
}

/// LiveChat is slower than a claim lasts, or its answer is lost.
pub(super) async fn impatient(size: Size) -> Report {
    play(size, Mood::Impatient).await
}

async fn play(size: Size, mood: Mood) -> Report {
    let mut random = size.random();
    let rounds = size.of(500, 1);
    let stage = Stage::in_process(1).await;
    let mut wrong = Vec::new();
    for round in 0..rounds {
        let user_id = create_user(&stage, round).await;
        let faults = stage.world.stack.livechat.faults();
        if mood == Mood::Impatient {
            match random.u8(..3) {
                0 => faults.next(1, "action/start_chat", Fault::Delay(Duration::from_secs(random.u64(1..30)))),
                1 => faults.next(1, "action/start_chat", Fault::LoseAnswer),
                _ => faults.next(2, "action/start_chat", Fault::LoseAnswer),
            }
        }
        let patience = (mood == Mood::Impatient).then(|| Duration::from_millis(random.u64(2_000..15_000)));
        let conversations = start_from_all_sides(&stage, &user_id, patience).await;
        faults.clear();
        let different: BTreeSet<_> = conversations.iter().collect();
        if different.len() != 1 || conversations.iter().any(Result::is_err) {
            wrong.push(format!("round {round} answered {different:?}"));
        }
        stage.drain().await;
        for conversation in conversations.into_iter().flatten().collect::<BTreeSet<_>>() {
            let input = json!({"type": "stopHitl", "input": {"conversationId": conversation}});
            let _stopped = call(&stage, &input).await;
        }
        stage.drain().await;
    }
    let count = |effect| stage.world.count(effect);
    let (chats, threads) = (count("chat_started"), count("chat_started") + count("chat_resumed"));
    let conversations = count("conversation_created");
    let open = stage.world.stack.livechat.open_chats().len();
    let figure = format!(
        "{rounds} rounds of {CALLERS} equal starts opened {chats} chats with {threads} threads and {conversations} \
         conversations, {open} left open"
    );
    let findings = stage.findings(Expectations { escalations: Some(rounds), ..Expectations::default() });
    let mut report = report(figure, &findings);
    report.findings.extend(wrong);
    report
}

async fn create_user(stage: &Stage, round: usize) -> String {
    let input = json!({"name": format!("User {round}"), "email": format!("user-{round}@example.com")});
    let answer = call(stage, &json!({"type": "createUser", "input": input})).await;
    answer
        .expect("a user can be created")
        .json()
        .pointer("/output/userId")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// What every caller hears in the end.
async fn start_from_all_sides(stage: &Stage, user_id: &str, patience: Option<Duration>) -> Vec<Result<String, String>> {
    let body = Arc::new(json!({
        "type": "startHitl",
        "input": {"userId": user_id, "title": "Help", "messageHistory": []},
    }));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (stage, body) = (stage.clone(), Arc::clone(&body));
        callers.spawn(async move { start(&stage, &body, patience).await });
    }
    stage.drive(callers.join_all()).await
}

async fn start(stage: &Stage, body: &Value, patience: Option<Duration>) -> Result<String, String> {
    let mut last = String::new();
    for _ in 0..MOST_TRIES {
        let call = stage.world.stack.botpress.call_operation("action_triggered", body, &[]);
        let answer = match patience {
            None => call.await,
            Some(patience) => tokio::select! {
                answer = call => answer,
                () = stage.sleep(patience) => Err("gave up".to_owned()),
            },
        };
        match answer {
            Ok(answer) if answer.status == 200 => {
                let id = answer.json().pointer("/output/conversationId").and_then(Value::as_str).map(str::to_owned);
                return id.ok_or(answer.body);
            }
            Ok(answer) => last = answer.body,
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn call(stage: &Stage, body: &Value) -> Result<OperationAnswer, String> {
    stage.drive(stage.world.stack.botpress.call_operation("action_triggered", body, &[])).await
}
