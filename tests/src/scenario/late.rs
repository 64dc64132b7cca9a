//! LiveChat executes calls after their callers have disconnected, and Botcopy takes long to answer a push.

use std::time::Duration;

use sandbox::demo::Bot;
use sandbox::faults::Fault;
use sandbox::journal::Entry;
use tokio::task::JoinSet;

use super::stage::{Stage, asking};
use super::{Report, Size};
use crate::ANNA;
use crate::checker::{Direction, Expectations, Finding, Words};

/// The number of users at once.
const AT_ONCE: usize = 20;

/// The number of texts that a user writes in a session.
const TEXTS: usize = 3;

/// One of this many calls finishes late.
const ONE_IN: u32 = 20;

/// How long LiveChat works on a call at most, and how long a caller waits at most.
const LONGEST: u64 = 15_000;
const PATIENCE: u64 = 5_000;

/// How long Botcopy takes for a push at most; a function waits for 15 s.
const LONGEST_PUSH: u64 = 14_500;

/// The conversations with agents, and what has been written.
struct Talk {
    stage: Stage,
    random: fastrand::Rng,
    words: Vec<Words>,
    asked: usize,
    refused: usize,
}

/// Every user is handed over, writes, ends the session, and immediately asks for another one.
pub(super) async fn finished(size: Size, bot: Bot) -> Report {
    let users = size.of(1_000, 8);
    let stage = Stage::in_process(bot, 1).await;
    let mut talk = Talk { stage, random: size.random(), words: Vec::new(), asked: 0, refused: 0 };
    for first in (0..users).step_by(AT_ONCE) {
        let numbers = first..users.min(first + AT_ONCE);
        let mut people: Vec<_> = numbers.map(|number| talk.stage.side.new_person(number)).collect();
        for session in 0..2 {
            people = talk.ask(people).await;
            talk.write(&people).await;
            if session == 1 {
                talk.stage.drain().await;
            }
            talk.end(&people).await;
        }
        talk.stage.drain().await;
    }
    talk.judge(users)
}

impl Talk {
    /// Makes the next such call late, by chance.
    fn perhaps_late(&mut self, call: &str) {
        if self.random.u32(..ONE_IN) == 0 {
            let takes_effect_after = Duration::from_millis(self.random.u64(..=LONGEST));
            let breaks_after = Duration::from_millis(self.random.u64(..=PATIENCE)).min(takes_effect_after);
            let late = Fault::Late { breaks_after, takes_effect_after };
            self.stage.world.stack.livechat.faults().next(1, call, late);
        }
    }

    /// Makes the next push to Botcopy slow, by chance.
    fn perhaps_slow(&mut self) {
        if self.stage.side.bot == Bot::Botcopy && self.random.u32(..ONE_IN) == 0 {
            let pace = Fault::Pace(Duration::from_millis(self.random.u64(..=LONGEST_PUSH)));
            self.stage.world.stack.botcopy.faults().next(1, "push", pace);
        }
    }

    /// All ask for a person; returns those who have one, or were promised one.
    async fn ask(&mut self, people: Vec<String>) -> Vec<String> {
        let mut asking_now = JoinSet::new();
        for person in people {
            self.perhaps_late("customer/action/start_chat");
            self.perhaps_late("customer/action/resume_chat");
            let (side, text) = (self.stage.side.clone(), asking(self.asked));
            self.asked += 1;
            asking_now.spawn(async move { side.asks(&person, &text).await.map(|()| person) });
        }
        let answers = self.stage.drive(asking_now.join_all()).await;
        let asked = answers.len();
        let with_agent: Vec<_> = answers.into_iter().filter_map(Result::ok).collect();
        self.refused += asked - with_agent.len();
        self.stage.pass(Duration::from_secs(5)).await;
        with_agent
    }

    /// All write, and get an answer if an agent has their chat.
    async fn write(&mut self, people: &[String]) {
        for _ in 0..TEXTS {
            let mut writing = JoinSet::new();
            for person in people {
                self.perhaps_late("customer/action/send_event");
                let words = self.words(person, Direction::ToAgent);
                let (side, person) = (self.stage.side.clone(), person.clone());
                writing.spawn(async move { side.says(&person, &words.text).await });
            }
            drop(self.stage.drive(writing.join_all()).await);
            for session in self.stage.located(people) {
                let open = self.stage.world.stack.livechat.open_chats();
                if open.iter().any(|chat| chat.id == session.chat_id && chat.public_agent() == Some(ANNA)) {
                    self.perhaps_slow();
                    let words = self.words(&session.person, Direction::ToUser);
                    let sent = self.stage.world.stack.livechat.agent_sends_text(&session.chat_id, ANNA, &words.text);
                    sent.expect("an agent can write in an open chat");
                }
            }
            let pause = Duration::from_millis(self.random.u64(..10_000));
            self.stage.pass(pause).await;
        }
    }

    fn words(&mut self, person: &str, direction: Direction) -> Words {
        let text = format!("text {}", self.words.len());
        let words = Words { person: person.to_owned(), direction, text };
        self.words.push(words.clone());
        words
    }

    /// Ends all sessions: by their users, where these can; otherwise by agents.
    async fn end(&mut self, people: &[String]) {
        if self.stage.side.bot == Bot::Botcopy {
            // Promises are kept, and texts delivered, before any session is ended.
            self.stage.drain().await;
            for chat in self.stage.world.stack.livechat.open_chats() {
                let agent = chat.public_agent().unwrap_or(ANNA).to_owned();
                drop(self.stage.world.stack.livechat.agent_closes(&chat.id, &agent));
            }
            return self.stage.pass(Duration::from_secs(5)).await;
        }
        let mut ending = JoinSet::new();
        for person in people {
            self.perhaps_late("agent/action/deactivate_chat");
            let (world, person) = (std::sync::Arc::clone(&self.stage.world), person.clone());
            ending.spawn(async move { world.stack.botpress.user_ends(&person).await });
        }
        drop(self.stage.drive(ending.join_all()).await);
    }

    fn judge(self, users: usize) -> Report {
        let Self { stage, words, asked, refused, .. } = self;
        let journal = &stage.world.stack.journal;
        let count = |effect: &str, once: &[&str]| {
            journal.all(effect).iter().filter(|entry| once.contains(&entry.text("/call"))).count()
        };
        let calls = ["customer/start_chat", "customer/resume_chat", "customer/send_event", "agent/deactivate_chat"];
        let late = stage.world.stack.livechat.faults().spoiled().len();
        // Botpress repeats a start that has failed. LiveChat may have opened a chat for the failed one by then, which is closed before
        // the repeat opens another.
        let failed_starts = journal.all("operation_called").iter().filter(|entry| is_failed_start(entry)).count();
        let mut figure = format!(
            "{users} users asked {asked} times, {refused} in vain, and wrote or were told {} texts; LiveChat finished {late} of {} \
             calls late, {failed_starts} starts failed and were repeated",
            words.len(),
            count("call_answered", &calls),
        );
        if stage.side.bot == Bot::Botcopy {
            let slow = stage.world.stack.botcopy.faults().spoiled().len();
            figure.push_str(&format!("; Botcopy took up to {LONGEST_PUSH} ms for {slow} pushes"));
        }
        let mut own: Vec<_> = stage.left_over().into_iter().collect();
        let open = stage.world.stack.livechat.open_chats().len();
        own.extend((open > 0).then(|| format!("{open} chats are open")));
        let expected = Expectations { words, escalations: Some(asked), ..Expectations::default() };
        let mut findings = stage.findings(expected);
        findings
            .retain(|finding| !matches!(finding, Finding::ChatsOpened(threads) if *threads <= asked + failed_starts));
        let mut report = stage.report(figure, findings);
        report.findings.extend(own);
        report
    }
}

fn is_failed_start(entry: &Entry) -> bool {
    entry.text("/type") == "startHitl" && entry.detail.get("status") != Some(&200.into())
}
