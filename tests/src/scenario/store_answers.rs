//! The table writes but its answer is lost, or it has no capacity left.

use sandbox::demo::Bot;
use sandbox::faults::{Fault, Faults};
use sandbox::livechat::Error;
use sandbox::table_proxy::{throttled, throughput_exceeded, transaction_over_throughput, transaction_throttled};

use super::stage::{Session, Stage, asking};
use super::{Report, Size};
use crate::ANNA;
use crate::checker::{Direction, Expectations, Finding, Words};
use crate::model::Model;

/// The table operations of the functions; the most important ones are listed more often.
const OPERATIONS: [&str; 9] = [
    ".TransactWriteItems",
    ".TransactWriteItems",
    ".TransactWriteItems",
    ".GetItem",
    ".GetItem",
    ".BatchGetItem",
    ".Query",
    ".PutItem",
    ".UpdateItem",
];

/// The SDK makes three attempts; a call fails only if the answer is lost each time.
const TRIES: u32 = 3;

/// The number of users who talk at once.
const SIDE_BY_SIDE: usize = 4;

/// The number of messages of each side in a session.
const MESSAGES: usize = 4;

/// The number of attempts for a failed escalation: of those that meet a fault three in four fail.
const ESCALATIONS: usize = 60;

/// Answers of the table are lost in every step of a session, from its start to its end.
pub(super) async fn lost(size: Size, bot: Bot) -> Report {
    play(size, bot, Trouble::Lost).await
}

/// Calls are refused in the same steps, because the table or the account exceeds its limit.
pub(super) async fn refused(size: Size, bot: Bot) -> Report {
    play(size, bot, Trouble::Throttled).await
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Lost,
    Throttled,
}

async fn play(size: Size, bot: Bot, trouble: Trouble) -> Report {
    let stage = Stage::in_process(bot, 1).await;
    let mut play = Play { stage, trouble, random: size.random(), words: Vec::new(), asked: 0, texts: 0 };
    let wanted = size.of(10_000, 40);
    let mut users = 0;
    while play.faults().spoiled().len() < wanted {
        play.round(users).await;
        users += SIDE_BY_SIDE;
    }
    let (lost, Play { stage, words, asked, .. }) = (play.faults().spoiled().len(), play);
    let effects = stage.effects(&words);
    let what = match trouble {
        Trouble::Lost => "answers lost",
        Trouble::Throttled => "calls throttled",
    };
    let figure = format!("{lost} {what} while {users} users exchanged {} messages, {effects} effects", words.len());
    let mut findings = stage.findings(Expectations { words, escalations: Some(asked), ..Expectations::default() });
    // The vendor repeats what could not be accepted, after what was written later; the model knows that.
    findings.retain(|finding| !matches!(finding, Finding::Reordered { .. }));
    let overtaken = Model::default().observe(&stage.world.stack.journal.entries());
    let mut report = stage.report(figure, findings);
    report.findings.extend(overtaken);
    report.findings.extend(stage.left_over());
    report
}

struct Play {
    stage: Stage,
    trouble: Trouble,
    random: fastrand::Rng,
    words: Vec<Words>,
    asked: usize,
    texts: usize,
}

impl Play {
    fn faults(&self) -> &Faults {
        self.stage.world.stack.table_proxy.as_ref().expect("this stage has the proxy").faults()
    }

    /// Some users, from their escalation to its end.
    async fn round(&mut self, first: usize) {
        let mut people = Vec::new();
        for number in first..first + SIDE_BY_SIDE {
            let person = self.stage.side.new_person(number);
            self.escalate(&person).await;
            people.push(person);
        }
        let sessions = self.stage.located(&people);
        for turn in 0..MESSAGES {
            for session in &sessions {
                self.talk(session, turn).await;
            }
        }
        // Texts and ends go to different sides; earlier ones must be through first.
        self.stage.drain().await;
        for (number, session) in sessions.iter().enumerate() {
            self.spoil();
            self.end(session, number % 2 == 0).await;
        }
        self.faults().clear();
        self.stage.drain().await;
    }

    /// Loses some of the next answers.
    fn spoil(&mut self) {
        for _ in 0..2 {
            let Some(operation) = self.random.choice(OPERATIONS) else { continue };
            let times = if self.random.bool() { 1 } else { TRIES };
            let fault = match self.trouble {
                Trouble::Lost => Fault::LoseAnswer,
                Trouble::Throttled => self.throttling(operation),
            };
            self.faults().next(times, operation, fault);
        }
    }

    /// One of the forms in which a limit is reported: by the call itself, or among the reasons for which a transaction is cancelled.
    fn throttling(&mut self, operation: &str) -> Fault {
        let forms = match operation {
            ".TransactWriteItems" => {
                [throttled, throughput_exceeded, transaction_throttled, transaction_over_throughput].as_slice()
            }
            _ => [throttled, throughput_exceeded].as_slice(),
        };
        self.random.choice(forms).map_or_else(throttled, |form| form())
    }

    /// Asks for a person until there is a thread; a Botcopy start may have been promised and then failed.
    async fn escalate(&mut self, person: &String) {
        for _ in 0..ESCALATIONS {
            self.spoil();
            self.asked += 1;
            self.texts += 1;
            let text = asking(self.texts);
            let escalated = self.stage.drive(self.stage.side.asks(person, &text)).await;
            if escalated.is_ok() && !self.stage.located([person]).is_empty() {
                return;
            }
            // Remaining faults would only pile up: most calls end at the first that fails.
            self.faults().clear();
            self.stage.drain().await;
        }
        panic!("{ESCALATIONS} escalations in a row failed");
    }

    async fn talk(&mut self, session: &Session, turn: usize) {
        self.spoil();
        let text = format!("{} agent {turn}", session.thread_id);
        let sent: Result<String, Error> =
            self.stage.world.stack.livechat.agent_sends_text(&session.chat_id, ANNA, &text);
        sent.expect("the agent can write");
        self.words.push(session.words(Direction::ToUser, &text));
        let text = format!("{} user {turn}", session.thread_id);
        self.stage.drive(self.stage.side.says(&session.person, &text)).await.expect("the user can write");
        self.words.push(session.words(Direction::ToAgent, &text));
        self.stage.drive(self.stage.world.stack.settled()).await;
    }

    async fn end(&mut self, session: &Session, by_agent: bool) {
        let stack = &self.stage.world.stack;
        if by_agent || self.stage.side.bot == Bot::Botcopy {
            stack.livechat.agent_closes(&session.chat_id, ANNA).expect("the agent can close");
        } else {
            self.stage.drive(stack.botpress.user_ends(&session.person)).await.expect("the user can end");
        }
        self.stage.drive(stack.settled()).await;
    }
}
