//! Many concurrent starts of one session.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sandbox::demo::Bot;
use sandbox::faults::Fault;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::bot_side::ASKING;
use super::stage::Stage;
use super::{Report, Size};
use crate::ANNA;
use crate::checker::Expectations;

/// The number of callers that request the same thing.
const CALLERS: usize = 32;

/// The number of repetitions before a caller counts as failed.
const MOST_TRIES: usize = 20;

/// How callers behave, and what happens to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Patient,
    /// They disconnect after a few seconds, and ask again.
    Impatient,
}

/// Nothing is wrong but the number of callers.
pub(super) async fn at_once(size: Size, bot: Bot) -> Report {
    play(size, bot, Mood::Patient).await
}

/// LiveChat takes longer than a claim lasts, or its answer is lost.
pub(super) async fn impatient(size: Size, bot: Bot) -> Report {
    play(size, bot, Mood::Impatient).await
}

async fn play(size: Size, bot: Bot, mood: Mood) -> Report {
    let mut random = size.random();
    let rounds = size.of(500, 1);
    let stage = Stage::in_process(bot, 1).await;
    let mut wrong = Vec::new();
    for round in 0..rounds {
        let request = request(&stage, round).await;
        let faults = stage.world.stack.livechat.faults();
        if mood == Mood::Impatient {
            match random.u8(..3) {
                0 => faults.next(1, "action/start_chat", Fault::Delay(Duration::from_secs(random.u64(1..30)))),
                1 => faults.next(1, "action/start_chat", Fault::LoseAnswer),
                _ => faults.next(2, "action/start_chat", Fault::LoseAnswer),
            }
        }
        let patience = (mood == Mood::Impatient).then(|| Duration::from_millis(random.u64(2_000..15_000)));
        let answers = start_from_all_sides(&stage, request, patience).await;
        faults.clear();
        let different: BTreeSet<_> = answers.iter().collect();
        if different.len() != 1 || answers.iter().any(Result::is_err) {
            wrong.push(format!("round {round} answered {different:?}"));
        }
        stage.drain().await;
        end(&stage, answers.into_iter().flatten().collect()).await;
        stage.drain().await;
    }
    let count = |effect| stage.world.count(effect);
    let (chats, threads) = (count("chat_started"), count("chat_started") + count("chat_resumed"));
    let conversations = match bot {
        Bot::Botpress => format!(" and {} conversations", count("conversation_created")),
        Bot::Botcopy => String::new(),
    };
    let open = stage.world.stack.livechat.open_chats().len();
    let figure = format!(
        "{rounds} rounds of {CALLERS} equal starts opened {chats} chats with {threads} threads{conversations}, {open} \
         left open"
    );
    wrong.extend((chats != rounds).then(|| format!("{chats} chats were opened in {rounds} rounds")));
    let findings = stage.findings(Expectations { escalations: Some(rounds), ..Expectations::default() });
    let mut report = stage.report(figure, findings);
    report.findings.extend(wrong);
    report
}

/// A bot's request for a session of a new user.
async fn request(stage: &Stage, round: usize) -> Value {
    if stage.side.bot == Bot::Botcopy {
        let botcopy = &stage.world.stack.botcopy;
        return botcopy.step_one_body(&botcopy.new_user(), &format!("{ASKING} {round}")).expect("the user exists");
    }
    let input = json!({"name": format!("User {round}"), "email": format!("user-{round}@example.com")});
    let user_id = act(stage, &json!({"type": "createUser", "input": input}), "/output/userId").await;
    let user_id = user_id.expect("a user can be created");
    json!({"type": "startHitl", "input": {"userId": user_id, "title": "Help", "messageHistory": []}})
}

/// Calls an action of the Botpress integration; returns the value at `pointer` of its output.
async fn act(stage: &Stage, body: &Value, pointer: &str) -> Result<String, String> {
    let call = stage.world.stack.botpress.call_operation("action_triggered", body, &[]);
    let answer = stage.drive(call).await?;
    match answer.json().pointer(pointer).and_then(Value::as_str) {
        Some(found) if answer.status == 200 => Ok(found.to_owned()),
        _ => Err(answer.body),
    }
}

/// Ends everything that was started.
async fn end(stage: &Stage, answers: BTreeSet<String>) {
    let livechat = &stage.world.stack.livechat;
    match stage.side.bot {
        Bot::Botpress => {
            for conversation in answers {
                let input = json!({"type": "stopHitl", "input": {"conversationId": conversation}});
                drop(act(stage, &input, "").await);
            }
        }
        // Its users cannot end anything.
        Bot::Botcopy => {
            for chat in livechat.open_chats() {
                drop(livechat.agent_closes(&chat.id, chat.public_agent().unwrap_or(ANNA)));
            }
        }
    }
}

/// The final answers to all callers.
async fn start_from_all_sides(
    stage: &Stage,
    request: Value,
    patience: Option<Duration>,
) -> Vec<Result<String, String>> {
    let request = Arc::new(request);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (stage, request) = (stage.clone(), Arc::clone(&request));
        callers.spawn(async move { start(&stage, &request, patience).await });
    }
    stage.drive(callers.join_all()).await
}

async fn start(stage: &Stage, request: &Value, patience: Option<Duration>) -> Result<String, String> {
    let mut last = String::new();
    for _ in 0..MOST_TRIES {
        let call = call(stage, request);
        let answer = match patience {
            None => call.await,
            Some(patience) => tokio::select! {
                answer = call => answer,
                () = stage.sleep(patience) => Err("gave up".to_owned()),
            },
        };
        match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks once; returns the conversation that Botpress gets, or the pause that Botcopy gets.
async fn call(stage: &Stage, request: &Value) -> Result<String, String> {
    let stack = &stage.world.stack;
    let (status, body, found) = match stage.side.bot {
        Bot::Botpress => {
            let answer = stack.botpress.call_operation("action_triggered", request, &[]).await?;
            let conversation =
                answer.json().pointer("/output/conversationId").and_then(Value::as_str).map(str::to_owned);
            (answer.status, answer.body, conversation)
        }
        Bot::Botcopy => {
            let answer = stack.botcopy.call_endpoint(request, &[]).await?;
            let is_paused = answer.json().get("paused") == Some(&json!(true));
            (answer.status, answer.body, is_paused.then(|| "paused".to_owned()))
        }
    };
    found.filter(|_| status == 200).ok_or(body)
}
