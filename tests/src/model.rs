//! A small reference model of sessions, independent of the product: it reads the journal entry by entry, knows at each
//! moment who owns a user's conversation, and knows which texts must arrive and which may legitimately be lost.

mod botcopy;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::AddAssign;

use sandbox::demo::Bot;
use sandbox::journal::{Entry, Vendor};
use serde_json::Value;
use shared::clock::Timestamp;

use crate::checker::{Direction, Doubt};

/// The owner of the agent token, which the service writes with; any other closer of a chat is a person or the router.
const OURSELVES: &str = "clara@example.com";

/// The reason that the HITL plugin records for an end reported by the integration.
const TOLD: &str = "agent-closed-ticket";

/// The number of failed readings after which an end may leave texts behind that no webhook has delivered.
const READINGS: usize = 3;

/// The prefix of texts on which a vendor always fails: they may be parked instead of arriving.
pub(crate) const BAD_WORDS: &str = "bad words";

/// The text that an agent appends to a message to correct it; it may have been shown before, or not.
pub(crate) const MENDED: &str = ", mended";

/// A position in the journal.
type Position = usize;

/// The state of the world as an observer of both vendors sees it.
#[derive(Debug, Default)]
pub(crate) struct Model {
    sessions: BTreeMap<String, Session>,
    threads: HashMap<String, String>,
    /// Users whose conversation agents own, with the downstream conversation; all others are with the bot.
    with_agents: BTreeMap<String, String>,
    words: Vec<Word>,
    by_source: HashMap<String, usize>,
    /// Every word with a text, in the order in which they were written: short texts are repeated again and again.
    by_text: HashMap<(Direction, String), Vec<usize>>,
    /// Texts of Botcopy calls without a usable answer: such a call may be repeated.
    unanswered: HashSet<String>,
    /// How many times such texts arrived once more than they were written.
    heard_again: usize,
    /// Whether LiveChat forgets customers: the bot is then notified of an end first, and the thread is closed afterwards.
    pub customers_are_lost: bool,
    /// Texts that were pushed once more, with the times of both pushes.
    pushed_again: Vec<(String, Timestamp, Timestamp)>,
}

/// A LiveChat thread with its conversation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// The chat of the thread.
    pub chat_id: String,
    customer: String,
    conversation: Option<String>,
    person: Option<String>,
    /// Whether its bot is Botcopy's, for which only the service's push ends a session.
    is_botcopy: bool,
    closed: Option<(Position, By)>,
    /// When HITL ended, and whether the service reported that end.
    ended: Option<(Position, Timestamp, bool)>,
    is_stop_heard: bool,
    /// Whether its chat was deleted by LiveChat staff.
    is_gone: bool,
    /// When the service last reported the end; a Botcopy bot may have resumed before.
    told_at: Option<Timestamp>,
    /// Whether the bot was notified of an end while the thread was open: only another start of the same user may cause that.
    is_told_early: bool,
}

impl Session {
    /// Returns whether its thread is open.
    pub(crate) fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Returns whether people have closed it, but its user has not been notified.
    fn awaits_our_word(&self) -> bool {
        self.ended.is_none() && self.closed.is_some_and(|(_, by)| by == By::People)
    }

    /// Returns whether the bot's side ended it without a report from the service.
    fn is_ended_by_bot(&self) -> bool {
        self.ended.is_some_and(|(_, _, told)| !told)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    People,
    Ourselves,
}

#[derive(Clone, Debug)]
struct Word {
    direction: Direction,
    text: String,
    /// Empty for texts of a Botcopy user that were written before their thread was known.
    thread: String,
    /// The author, if a Botcopy user.
    person: Option<String>,
    written: (Position, Timestamp),
    /// When the service accepted it.
    accepted: Option<Position>,
    arrived: Option<Timestamp>,
    /// Whether agents have read it in the opening.
    is_told: bool,
    /// Whether its session was given up.
    is_given_up: bool,
}

impl Word {
    const fn is_through(&self) -> bool {
        self.arrived.is_some() || self.is_told
    }
}

/// Undelivered texts and open ends that are not the service's fault, by reason.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Excused {
    /// Texts that came too late, or that the service never accepted.
    pub words: usize,
    /// Ends of the bot's side that never reached the service.
    pub stops: usize,
    /// Starts whose answer never reached the bot's side.
    pub starts: usize,
    /// Botcopy sessions that had to be given up because LiveChat was unreachable.
    pub given_up: usize,
    /// Texts of Botcopy users that the service could not accept, so that their bot got them.
    pub left_to_bot: usize,
    /// Pushes that had to be repeated.
    pub pushed_again: usize,
    /// Texts of Botcopy users that arrived twice because a call without an answer was repeated.
    pub heard_again: usize,
    /// Texts that were mistaken for a repetition of an equal text whose call had no answer.
    pub unheard: usize,
}

impl AddAssign for Excused {
    fn add_assign(&mut self, other: Self) {
        self.words += other.words;
        self.stops += other.stops;
        self.starts += other.starts;
        self.given_up += other.given_up;
        self.left_to_bot += other.left_to_bot;
        self.pushed_again += other.pushed_again;
        self.heard_again += other.heard_again;
        self.unheard += other.unheard;
    }
}

impl Excused {
    /// The same as a sentence.
    pub(crate) fn told(self, bot: Bot) -> String {
        let Self { words, stops, starts, given_up, left_to_bot, pushed_again, heard_again, unheard } = self;
        match bot {
            Bot::Botpress => format!("{words} words, {stops} ends and {starts} starts never reached us"),
            Bot::Botcopy => format!(
                "{pushed_again} pushes doubled, {left_to_bot} messages left to the bot, {heard_again} words heard twice, \
                 {unheard} taken for repeats, {words} words came too late, {given_up} sessions given up"
            ),
        }
    }
}

impl Model {
    /// Processes the next entries of the journal; returns what must not have happened.
    pub(crate) fn observe(&mut self, entries: &[Entry]) -> Vec<String> {
        entries.iter().filter_map(|entry| self.step(entry).err()).collect()
    }

    fn step(&mut self, entry: &Entry) -> Result<(), String> {
        if entry.vendor == Vendor::Botcopy {
            return self.step_at_botcopy(entry);
        }
        let (conversation, thread) = (entry.text("/conversation_id"), entry.text("/thread_id"));
        match entry.effect {
            "chat_started" | "chat_resumed" => self.opened(entry, thread),
            "chat_deactivated" => self.closed(entry, thread),
            "chat_deleted" => {
                self.vanished(entry);
                Ok(())
            }
            "conversation_created" => {
                // A session that has moved has another conversation: `<thread>#<number of the move>`.
                let thread = entry.text("/tags/id");
                let thread = thread.split_once('#').map_or(thread, |(thread, _)| thread);
                self.threads.insert(conversation.to_owned(), thread.to_owned());
                if let Some(session) = self.sessions.get_mut(thread) {
                    session.conversation = Some(conversation.to_owned());
                }
                Ok(())
            }
            "hitl_started" => self.started(conversation, entry.text("/upstream_conversation_id")),
            "hitl_ended" => self.ended(entry, conversation, entry.text("/upstream_conversation_id")),
            "event_sent" => self.event_sent(entry, thread),
            "message_created" if !entry.text("/payload/userId").is_empty() => {
                let Some(thread) = self.threads.get(conversation).cloned() else { return Ok(()) };
                self.write(entry, Direction::ToAgent, entry.text("/payload/text"), &thread, entry.text("/message_id"));
                Ok(())
            }
            "webhook_delivered" if entry.detail.get("status") == Some(&200.into()) => {
                self.accept(entry.text("/event_id"), entry.number);
                Ok(())
            }
            "operation_called" if entry.detail.get("status") == Some(&200.into()) => {
                self.accept(entry.text("/message_id"), entry.number);
                if entry.text("/type") == "stopHitl"
                    && let Some(session) = self.threads.get(conversation).and_then(|one| self.sessions.get_mut(one))
                {
                    session.is_stop_heard = true;
                }
                Ok(())
            }
            "shown_to_user" if entry.text("/from") == "agent" => {
                let person = conversation;
                let thread = self.with_agents.get(person).and_then(|one| self.threads.get(one)).cloned();
                self.arrive(Direction::ToUser, entry, &thread.unwrap_or_default())
            }
            _ => Ok(()),
        }
    }

    fn opened(&mut self, entry: &Entry, thread: &str) -> Result<(), String> {
        let customer = entry.text("/customer_id").to_owned();
        let second = self.sessions.values().any(|session| session.is_open() && session.customer == customer);
        let chat_id = entry.text("/chat_id").to_owned();
        self.sessions.insert(thread.to_owned(), Session { chat_id, customer, ..Session::default() });
        if second { Err(format!("the customer of thread {thread} has a second open thread")) } else { Ok(()) }
    }

    fn closed(&mut self, entry: &Entry, thread: &str) -> Result<(), String> {
        let Some(session) = self.sessions.get_mut(thread) else { return Ok(()) };
        let by = entry.text("/by");
        let by = if by == OURSELVES || by == session.customer { By::Ourselves } else { By::People };
        session.closed = Some((entry.number, by));
        let owner = session.person.as_ref().and_then(|person| self.with_agents.get(person));
        let is_owned = owner.is_some() && owner == session.conversation.as_ref();
        match by == By::Ourselves && is_owned {
            true => Err(format!("we closed thread {thread} while its user was with the agents")),
            false => Ok(()),
        }
    }

    /// A chat deleted by LiveChat staff has ended for all its users, and its contents can no longer be read.
    fn vanished(&mut self, entry: &Entry) {
        let chat_id = entry.text("/chat_id");
        for session in self.sessions.values_mut().filter(|session| session.chat_id == chat_id) {
            session.closed.get_or_insert((entry.number, By::People));
            session.is_gone = true;
        }
    }

    fn started(&mut self, conversation: &str, person: &str) -> Result<(), String> {
        let thread = self.threads.get(conversation).cloned().unwrap_or_default();
        let before = self.with_agents.insert(person.to_owned(), conversation.to_owned());
        let Some(session) = self.sessions.get_mut(&thread) else {
            return Err(format!("conversation {conversation} belongs to no thread"));
        };
        session.person = Some(person.to_owned());
        if before.is_some() {
            return Err(format!("a second conversation owns the user of {conversation}"));
        }
        match session.closed {
            Some((_, By::Ourselves)) => Err(format!("thread {thread} was closed by us before its session began")),
            _ => Ok(()),
        }
    }

    fn ended(&mut self, entry: &Entry, conversation: &str, person: &str) -> Result<(), String> {
        if self.with_agents.get(person).is_some_and(|one| one == conversation) {
            self.with_agents.remove(person);
        }
        let Some(thread) = self.threads.get(conversation).cloned() else { return Ok(()) };
        let Some(session) = self.sessions.get_mut(&thread) else { return Ok(()) };
        if session.conversation.as_deref().is_some_and(|present| present != conversation) {
            return Ok(());
        }
        let told = entry.text("/reason") == TOLD;
        session.ended = Some((entry.number, entry.at, told));
        session.is_told_early = told && session.is_open();
        Ok(())
    }

    fn event_sent(&mut self, entry: &Entry, thread: &str) -> Result<(), String> {
        match entry.text("/author_type") {
            "agent" if entry.text("/visibility") == "all" && entry.text("/type") == "message" => {
                self.write(entry, Direction::ToUser, entry.text("/text"), thread, entry.text("/event_id"));
                Ok(())
            }
            "customer" => {
                self.read_opening(entry, thread);
                self.arrive(Direction::ToAgent, entry, thread)
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, entry: &Entry, direction: Direction, text: &str, thread: &str, source: &str) {
        if is_blank(text) {
            return;
        }
        let index = self.words.len();
        self.by_source.insert(source.to_owned(), index);
        self.by_text.entry((direction, text.to_owned())).or_default().push(index);
        let (text, thread) = (text.to_owned(), thread.to_owned());
        let written = (entry.number, entry.at);
        self.words.push(Word {
            direction,
            text,
            thread,
            person: None,
            written,
            accepted: None,
            arrived: None,
            is_told: false,
            is_given_up: false,
        });
    }

    fn accept(&mut self, source: &str, position: Position) {
        if let Some(word) = self.by_source.get(source).and_then(|index| self.words.get_mut(*index)) {
            word.accepted.get_or_insert(position);
        }
    }

    fn arrive(&mut self, direction: Direction, entry: &Entry, thread: &str) -> Result<(), String> {
        // The rest of an emoji that was cut in two; and a text that was corrected before it was shown.
        let text = entry.text("/text").trim_end_matches('\u{fffd}');
        let text = text.strip_suffix(MENDED).unwrap_or(text).to_owned();
        let Some(index) = self.which(direction, &text, thread) else { return Ok(()) };
        let Some(word) = self.words.get_mut(index) else { return Ok(()) };
        if word.arrived.is_some() && word.direction == Direction::ToAgent && self.unanswered.contains(&text) {
            self.heard_again += 1;
            return Ok(());
        }
        if let Some(before) = word.arrived.replace(entry.at) {
            if entry.vendor == Vendor::Botcopy {
                self.pushed_again.push((word.text.clone(), before, entry.at));
                return Ok(());
            }
            return Err(format!("\"{}\" arrived twice", word.text));
        }
        // The thread of a Botcopy user's text is known only when it arrives.
        if let Some(person) = &word.person
            && self.threads.get(person).is_some_and(|current| current == thread)
        {
            word.thread = thread.to_owned();
        }
        if word.thread != thread {
            return Err(format!("\"{}\" of thread {} arrived in thread {thread}", word.text, word.thread));
        }
        let word = word.clone();
        let earlier = self.words.iter().take(index);
        let mut earlier = earlier.filter(|one| {
            let is_here = one.direction == direction && one.thread == word.thread;
            is_here && !one.is_through() && !one.text.starts_with(BAD_WORDS)
        });
        match earlier.find(|one| one.accepted.is_some_and(|position| position < word.written.0)) {
            // It was in the lane before the later text was even written.
            Some(one) => Err(format!("\"{}\" overtook \"{}\"", word.text, one.text)),
            None => Ok(()),
        }
    }

    /// Of equal texts, the one that arrives in a thread: the first that has not arrived yet, if there is one.
    fn which(&self, direction: Direction, text: &str, thread: &str) -> Option<usize> {
        let indices = self.by_text.get(&(direction, text.to_owned()))?;
        let word = |index: &&usize| self.words.get(**index);
        let is_here = |word: &Word| word.thread.is_empty() || word.thread == thread;
        let waits = |index: &&usize| word(index).is_some_and(|word| !word.is_through() && is_here(word));
        let missing = |index: &&usize| word(index).is_some_and(|word| word.arrived.is_none() && is_here(word));
        indices.iter().find(waits).or_else(|| indices.iter().find(missing)).or_else(|| indices.last()).copied()
    }

    /// Returns whether a text may have been mistaken for a repetition of an equal one whose call had no answer, and
    /// thus not been delivered again.
    fn may_be_a_repeat(&self, word: &Word) -> bool {
        word.person.is_some() && self.unanswered.contains(&word.text)
    }

    /// The session that a user's conversation is handed over to.
    pub(crate) fn session_of(&self, person: &str) -> Option<&Session> {
        self.sessions.get(self.threads.get(self.with_agents.get(person)?)?)
    }

    /// The thread of a downstream conversation.
    pub(crate) fn thread_of(&self, conversation: &str) -> Option<&str> {
        self.threads.get(conversation).map(String::as_str)
    }

    /// Every open thread.
    pub(crate) fn open(&self) -> impl Iterator<Item = (&String, &Session)> {
        self.sessions.iter().filter(|(_, session)| session.is_open())
    }

    /// Returns whether agents own the conversation of any user.
    pub(crate) fn is_anybody_with_agents(&self) -> bool {
        !self.with_agents.is_empty()
    }

    /// Returns what is wrong when nothing is left to happen; `unreadable` contains the times at which a thread could not be read.
    ///
    /// `doubts` are the periods in which a function had lost track of its own calls.
    pub(crate) fn rest(&self, unreadable: &[Timestamp], doubts: &[Doubt]) -> (Vec<String>, Excused) {
        let (mut wrong, mut excused) = (Vec::new(), Excused { heard_again: self.heard_again, ..Excused::default() });
        for word in self.words.iter().filter(|word| !word.is_through()) {
            match self.is_owed(word, unreadable) {
                true if self.may_be_a_repeat(word) => excused.unheard += 1,
                true => wrong.push(format!("\"{}\" of thread {} never arrived", word.text, word.thread)),
                false if word.person.is_some() && word.accepted.is_none() => excused.left_to_bot += 1,
                false => excused.words += 1,
            }
        }
        for (text, first, again) in &self.pushed_again {
            match doubts.iter().any(|doubt| doubt.explains(*first, *again)) {
                true => excused.pushed_again += 1,
                false => wrong.push(format!("\"{text}\" was pushed twice although everybody knew of the first")),
            }
        }
        for (person, conversation) in &self.with_agents {
            let session = self.threads.get(conversation).and_then(|thread| self.sessions.get(thread));
            if !session.is_some_and(Session::is_open) {
                wrong.push(format!("the user of {person} waits for an agent, but the thread is closed"));
            }
        }
        for (thread, session) in self.sessions.iter().filter(|(_, session)| session.is_told_early) {
            // A start that failed: the bot resumes first.
            if session.is_botcopy && session.closed.is_some_and(|(_, by)| by == By::Ourselves) {
                excused.given_up += 1;
                continue;
            }
            let others = self.sessions.values().filter(|other| other.customer == session.customer);
            let is_superseded = session.closed.is_some_and(|(_, by)| by == By::Ourselves) && others.count() > 1;
            let is_superseded = is_superseded || (self.customers_are_lost && session.closed.is_some());
            if !is_superseded {
                wrong.push(format!("the bot was told of an end although thread {thread} was open"));
            }
        }
        for (thread, session) in self.open() {
            let owns = |person: &String| self.with_agents.get(person) == session.conversation.as_ref();
            match (&session.person, session.is_ended_by_bot()) {
                (Some(person), false) if owns(person) => {}
                (Some(_), true) if !session.is_stop_heard => excused.stops += 1,
                // Only the answer to a start can inform the bot's side of a session that is complete on the service's side.
                (None, _) if session.conversation.is_some() => excused.starts += 1,
                _ => wrong.push(format!("thread {thread} is open, and nobody is there: {session:?}")),
            }
        }
        (wrong, excused)
    }

    /// Returns whether a start that opened the thread, and died before recording it, was given up: the service never
    /// knew of what was written there.
    fn was_never_known(&self, thread: &str, session: &Session) -> bool {
        let by_us = session.closed.is_some_and(|(_, by)| by == By::Ourselves);
        let of_thread = |word: &&Word| word.thread == thread && word.direction == Direction::ToUser;
        let is_silent = self.words.iter().filter(of_thread).all(|word| word.arrived.is_none());
        session.is_botcopy && session.is_told_early && by_us && is_silent
    }

    fn is_owed(&self, word: &Word, unreadable: &[Timestamp]) -> bool {
        if word.is_given_up || word.text.starts_with(BAD_WORDS) {
            return false;
        }
        let Some(session) = self.sessions.get(&word.thread) else {
            // A start was promised but never came.
            return word.accepted.is_some();
        };
        let is_after = |end: Option<Position>| end.is_some_and(|end| word.accepted.is_none_or(|at| at > end));
        let ended_at = session.ended.map(|(position, ..)| position);
        match word.direction {
            Direction::ToAgent => {
                let by_people = session.closed.is_some_and(|(_, by)| by == By::People);
                word.accepted.is_some() && !by_people && !is_after(ended_at)
            }
            Direction::ToUser => {
                let failed_readings = session.ended.map_or(0, |(_, end, _)| {
                    let end = session.told_at.map_or(end, |told_at| told_at.max(end));
                    unreadable.iter().filter(|at| word.written.1 <= **at && **at <= end).count()
                });
                let is_unread_end = is_after(ended_at) && failed_readings >= READINGS;
                // Texts written between the bot's resumption and the closing of a thread whose customer is lost.
                let is_too_late = self.customers_are_lost && session.is_told_early;
                let is_lost = is_unread_end || is_too_late || self.was_never_known(&word.thread, session);
                session.person.is_some() && !session.is_ended_by_bot() && !session.is_gone && !is_lost
            }
        }
    }
}

/// Returns whether a text shows nothing on the screen.
fn is_blank(text: &str) -> bool {
    let is_unseen = |one| matches!(one, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{3164}' | '\u{feff}');
    text.chars().all(|one| one.is_whitespace() || is_unseen(one))
}

/// The number of a webhook's delivery, with which it can be repeated.
pub(crate) fn delivery_of(entry: &Entry) -> Option<u64> {
    (entry.effect == "webhook_delivered").then(|| entry.detail.get("delivery").and_then(Value::as_u64)).flatten()
}
