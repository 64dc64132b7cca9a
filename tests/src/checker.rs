//! The judge of a run: it reads only the journal and what people wrote, and knows nothing else of the product.
//!
//! Two things associate Botpress with LiveChat. A conversation created for a session carries the id of its LiveChat
//! thread in the tag `id`, and the HITL plugin links that conversation to the person's own one. A person is therefore
//! named by the upstream conversation.
//!
//! Only texts associate Botcopy with LiveChat: a thread belongs to the user one of whose lines, written by no other
//! user, is in its opening. A person is named by the user's id.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use sandbox::journal::{Entry, Vendor};
use serde_json::Value;
use shared::clock::Timestamp;

/// The direction of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the bot's user to LiveChat.
    ToAgent,
    /// From an agent to the bot's user.
    ToUser,
}

/// A text that must arrive exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The upstream conversation of the user who wrote it, or for whom it is meant.
    pub person: String,
    /// Its direction.
    pub direction: Direction,
    /// A text that is written only once.
    pub text: String,
}

/// A call that a vendor was scripted to refuse; simulators do not journal these themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The vendor that refused.
    pub vendor: Vendor,
    /// When the call arrived.
    pub at: Timestamp,
    /// How long the vendor asked not to be called.
    pub reset: Option<Duration>,
}

/// What the journal must contain.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// Every text; per person and direction in the order in which it must arrive.
    pub words: Vec<Words>,
    /// Texts that no user may see: private notes of agents.
    pub private: Vec<String>,
    /// The number of requested handoffs, without repetitions; if none, it is not checked.
    pub escalations: Option<usize>,
    /// The scripted refusals of the vendors.
    pub refused: Vec<Refused>,
    /// When a function lost track of its own call: the answer was lost, or the process died before recording it.
    pub doubts: Vec<Doubt>,
}

/// A period, including both ends, in which the outcome of a push was unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The earliest time.
    pub from: Timestamp,
    /// The latest time.
    pub until: Timestamp,
}

impl Doubt {
    /// A doubt of a single moment.
    pub const fn at(time: Timestamp) -> Self {
        Self { from: time, until: time }
    }

    /// Returns whether it explains that a text shown at `first` was shown again at `again`.
    pub fn explains(&self, first: Timestamp, again: Timestamp) -> bool {
        first <= self.until && self.from <= again
    }
}

/// An error in the behaviour of the product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A text never arrived.
    Lost(Words),
    /// A text arrived more than once.
    Doubled {
        /// The text.
        words: Words,
        /// How often it arrived.
        times: usize,
    },
    /// A push was repeated, as required where its outcome is unknown: Botcopy cannot be asked.
    PushedAgain {
        /// The text.
        words: Words,
        /// How often beyond the first time.
        times: usize,
    },
    /// A text arrived after one that was written later.
    Reordered {
        /// The late text.
        words: Words,
        /// The text that arrived before it.
        after: String,
    },
    /// A text was shown to, or sent in the name of, the wrong person.
    WrongPerson {
        /// The text.
        words: Words,
        /// The person it reached; empty if unknown.
        reached: String,
    },
    /// A user or an agent saw a text not meant for them: a private note, or an echo of the other side's own text.
    Leaked(String),
    /// A text was delivered in a session that had ended.
    TextAfterClosure(String),
    /// A session is open on one side and closed on the other.
    StuckSession {
        /// The LiveChat thread.
        thread: String,
        /// The downstream conversation, if there is one.
        conversation: Option<String>,
        /// The side on which it is still open.
        open_at: Vendor,
    },
    /// More threads were opened than handoffs were requested.
    ChatsOpened(usize),
    /// More conversations were created than handoffs were requested.
    ConversationsCreated(usize),
    /// The bot was notified of the same agent twice in a row.
    AssignedAgain {
        /// The downstream conversation.
        conversation: String,
        /// The agent's Botpress user.
        agent: String,
    },
    /// A vendor was called before the time that it had given.
    BeforeReset {
        /// The vendor that was called.
        vendor: Vendor,
        /// The time of the call.
        at: Timestamp,
        /// The time from which it would have been allowed.
        reset_at: Timestamp,
    },
}

/// Returns every error of a run.
pub fn check(entries: &[Entry], expectations: &Expectations) -> Vec<Finding> {
    let sessions = Sessions::read(entries);
    let mut findings = words(entries, &sessions, expectations);
    findings.extend(leaks(entries, expectations));
    findings.extend(after_closure(entries));
    findings.extend(sessions.stuck());
    findings.extend(expectations.escalations.map(|asked| openings(entries, asked)).into_iter().flatten());
    findings.extend(assignments(entries));
    findings.extend(before_reset(entries, &expectations.refused));
    findings
}

/// The person of each thread.
pub(crate) fn people(entries: &[Entry]) -> HashMap<&str, &str> {
    Sessions::read(entries).people
}

/// What the journal contains about every session.
#[derive(Debug, Default)]
struct Sessions<'a> {
    /// Thread by downstream conversation.
    threads: BTreeMap<&'a str, &'a str>,
    /// Upstream conversation by thread.
    people: HashMap<&'a str, &'a str>,
    open_threads: BTreeSet<&'a str>,
    closed_threads: BTreeSet<&'a str>,
    /// Downstream conversations on which HITL is active.
    escalated: BTreeSet<&'a str>,
    /// Botcopy users whose bot is paused.
    paused: BTreeSet<&'a str>,
    /// The author of each line at Botcopy.
    writers: HashMap<&'a str, &'a str>,
}

impl<'a> Sessions<'a> {
    fn read(entries: &'a [Entry]) -> Self {
        let mut sessions = Self::default();
        for entry in entries {
            let (conversation, thread) = (entry.text("/conversation_id"), entry.text("/thread_id"));
            match entry.effect {
                "chat_started" | "chat_resumed" if entry.detail.get("active") != Some(&Value::Bool(false)) => {
                    sessions.open_threads.insert(thread);
                }
                "chat_deactivated" => {
                    sessions.open_threads.remove(thread);
                    sessions.closed_threads.insert(thread);
                }
                "conversation_created" => {
                    // A session that has moved has another conversation: `<thread>#<number of the move>`.
                    let thread = entry.text("/tags/id");
                    let thread = thread.split_once('#').map_or(thread, |(thread, _)| thread);
                    sessions.threads.insert(conversation, thread);
                }
                "hitl_started" => {
                    sessions.escalated.insert(conversation);
                    if let Some(thread) = sessions.threads.get(conversation) {
                        sessions.people.insert(thread, entry.text("/upstream_conversation_id"));
                    }
                }
                "hitl_ended" => {
                    sessions.escalated.remove(conversation);
                }
                "user_wrote" if entry.vendor == Vendor::Botcopy => {
                    sessions.writers.insert(entry.text("/text"), entry.text("/user_id"));
                }
                "event_sent" if !sessions.people.contains_key(thread) => {
                    let lines = entry.text("/text").lines().filter_map(|line| line.split_once(": "));
                    if let Some(writer) = lines.filter_map(|(_, line)| sessions.writers.get(line)).next() {
                        sessions.people.insert(thread, writer);
                    }
                }
                "paused" => {
                    sessions.paused.insert(entry.text("/user_id"));
                }
                "unpaused" | "pause_lapsed" => {
                    sessions.paused.remove(entry.text("/user_id"));
                }
                _ => {}
            }
        }
        sessions
    }

    /// Threads and pauses without a counterpart, for Botcopy's bot.
    fn stuck_at_botcopy(&self) -> Vec<Finding> {
        let talks_to = |thread: &str| self.people.get(thread).copied().unwrap_or_default();
        let stuck =
            |thread: &str, open_at| Finding::StuckSession { thread: thread.to_owned(), conversation: None, open_at };
        let alone =
            self.paused.iter().filter(|user| !self.open_threads.iter().any(|thread| talks_to(thread) == **user));
        alone.map(|user| stuck(user, Vendor::Botcopy)).collect()
    }

    fn stuck(&self) -> Vec<Finding> {
        let escalated = |thread: &str| {
            let is_paused = self.people.get(thread).is_some_and(|person| self.paused.contains(person));
            is_paused || self.escalated.iter().any(|one| self.threads.get(one) == Some(&thread))
        };
        let nobody_there = self.open_threads.iter().filter(|thread| !escalated(thread)).map(|thread| {
            let conversation = self.threads.iter().find(|(_, known)| *known == thread).map(|(one, _)| *one);
            (*thread, conversation, Vendor::LiveChat)
        });
        let nobody_answers = self.escalated.iter().filter_map(|conversation| {
            let thread = self.threads.get(conversation).copied().unwrap_or_default();
            let is_over = self.closed_threads.contains(thread) || thread.is_empty();
            is_over.then_some((thread, Some(*conversation), Vendor::Botpress))
        });
        let finding = |(thread, conversation, open_at): (&str, Option<&str>, _)| Finding::StuckSession {
            thread: thread.to_owned(),
            conversation: conversation.map(str::to_owned),
            open_at,
        };
        nobody_there.chain(nobody_answers).map(finding).chain(self.stuck_at_botcopy()).collect()
    }
}

/// The arrival of a text, if `entry` is one: the person, the direction, the text.
fn arrival<'a>(entry: &'a Entry, sessions: &Sessions<'a>) -> Option<(&'a str, Direction, &'a str)> {
    match said(entry)? {
        Direction::ToUser => Some((shown_to(entry), Direction::ToUser, entry.text("/text"))),
        Direction::ToAgent => {
            let person = sessions.people.get(entry.text("/thread_id")).copied().unwrap_or_default();
            Some((person, Direction::ToAgent, entry.text("/text")))
        }
    }
}

/// The user who was shown something.
pub(crate) fn shown_to(entry: &Entry) -> &str {
    entry.text(if entry.vendor == Vendor::Botcopy { "/user_id" } else { "/conversation_id" })
}

/// The direction of the text in `entry`, if it is about a text.
fn said(entry: &Entry) -> Option<Direction> {
    match entry.effect {
        "shown_to_user" if entry.text("/from") == "agent" => Some(Direction::ToUser),
        "event_sent" if entry.text("/author_type") == "customer" => Some(Direction::ToAgent),
        _ => None,
    }
}

/// How often a text has arrived.
#[derive(Clone, Copy, Debug, Default)]
struct Arrivals {
    times: usize,
    /// The number of these that were pushes whose repetition is explained.
    pushed_again: usize,
    last: Option<Timestamp>,
}

impl Arrivals {
    fn count(&mut self, entry: &Entry, doubts: &[Doubt]) {
        let explained = |last| doubts.iter().any(|doubt| doubt.explains(last, entry.at));
        let is_push = entry.vendor == Vendor::Botcopy;
        self.pushed_again += usize::from(is_push && self.last.is_some_and(explained));
        self.times += 1;
        self.last = Some(entry.at);
    }

    fn findings(self, words: &Words) -> impl Iterator<Item = Finding> {
        let lost = (self.times == 0).then(|| Finding::Lost(words.clone()));
        let again =
            (self.pushed_again > 0).then(|| Finding::PushedAgain { words: words.clone(), times: self.pushed_again });
        let times = self.times - self.pushed_again;
        let doubled = (times > 1).then(|| Finding::Doubled { words: words.clone(), times });
        lost.into_iter().chain(again).chain(doubled)
    }
}

/// Lost, doubled, reordered and misdirected texts.
fn words(
    entries: &[Entry],
    sessions: &Sessions<'_>,
    Expectations { words, doubts, .. }: &Expectations,
) -> Vec<Finding> {
    let by_text: HashMap<_, _> =
        words.iter().enumerate().map(|(index, one)| ((one.direction, one.text.as_str()), (index, one))).collect();
    let mut arrived = vec![Arrivals::default(); words.len()];
    let mut furthest: HashMap<(Direction, &str), (usize, &str)> = HashMap::new();
    let mut findings = Vec::new();
    for entry in entries {
        let Some((person, direction, text)) = arrival(entry, sessions) else { continue };
        let Some((index, one)) = by_text.get(&(direction, text)) else { continue };
        if person != one.person {
            findings.push(Finding::WrongPerson { words: (*one).clone(), reached: person.to_owned() });
        }
        let Some(arrivals) = arrived.get_mut(*index) else { continue };
        arrivals.count(entry, doubts);
        let furthest = furthest.entry((direction, person)).or_insert((*index, text));
        match (*index).cmp(&furthest.0) {
            std::cmp::Ordering::Less if arrivals.times == 1 => {
                findings.push(Finding::Reordered { words: (*one).clone(), after: furthest.1.to_owned() });
            }
            std::cmp::Ordering::Greater => *furthest = (*index, text),
            _ => {}
        }
    }
    findings.extend(words.iter().zip(arrived).flat_map(|(words, arrivals)| arrivals.findings(words)));
    findings
}

fn leaks(entries: &[Entry], expectations: &Expectations) -> Vec<Finding> {
    let private: BTreeSet<&str> = expectations.private.iter().map(String::as_str).collect();
    let written: HashSet<_> = expectations.words.iter().map(|words| (words.direction, words.text.as_str())).collect();
    let leaked = |entry: &&Entry| {
        let (Some(direction), text) = (said(entry), entry.text("/text")) else { return false };
        let other = match direction {
            Direction::ToAgent => Direction::ToUser,
            Direction::ToUser => Direction::ToAgent,
        };
        (direction == Direction::ToUser && private.contains(text)) || written.contains(&(other, text))
    };
    entries.iter().filter(leaked).map(|entry| Finding::Leaked(entry.text("/text").to_owned())).collect()
}

fn after_closure(entries: &[Entry]) -> Vec<Finding> {
    let (mut escalated, mut closed) = (BTreeSet::new(), BTreeSet::new());
    let mut findings = Vec::new();
    for entry in entries {
        match (entry.effect, said(entry)) {
            ("hitl_started", _) => {
                escalated.insert(entry.text("/upstream_conversation_id"));
            }
            ("hitl_ended", _) => {
                escalated.remove(entry.text("/upstream_conversation_id"));
            }
            ("chat_deactivated", _) => {
                closed.insert(entry.text("/thread_id"));
            }
            // A pause that begins with a push was promised before.
            ("paused", _) => {
                escalated.insert(entry.text("/user_id"));
            }
            ("unpaused", _) => {
                escalated.remove(entry.text("/user_id"));
            }
            (_, Some(Direction::ToUser)) if !escalated.contains(shown_to(entry)) => {
                findings.push(Finding::TextAfterClosure(entry.text("/text").to_owned()));
            }
            (_, Some(Direction::ToAgent)) if closed.contains(entry.text("/thread_id")) => {
                findings.push(Finding::TextAfterClosure(entry.text("/text").to_owned()));
            }
            _ => {}
        }
    }
    findings
}

fn openings(entries: &[Entry], asked: usize) -> Vec<Finding> {
    let count = |effects: &[&str]| entries.iter().filter(|entry| effects.contains(&entry.effect)).count();
    let (threads, conversations) = (count(&["chat_started", "chat_resumed"]), count(&["conversation_created"]));
    let too_many = [
        (threads > asked).then_some(Finding::ChatsOpened(threads)),
        (conversations > asked).then_some(Finding::ConversationsCreated(conversations)),
    ];
    too_many.into_iter().flatten().collect()
}

fn assignments(entries: &[Entry]) -> Vec<Finding> {
    let mut told: BTreeMap<&str, &str> = BTreeMap::new();
    let mut findings = Vec::new();
    let told_again = entries.iter().filter(|entry| entry.effect == "event_created");
    for entry in told_again.filter(|entry| entry.text("/type") == "hitlAssigned") {
        let (conversation, agent) = (entry.text("/conversation_id"), entry.text("/user_id"));
        if told.insert(conversation, agent) == Some(agent) {
            findings.push(Finding::AssignedAgain { conversation: conversation.to_owned(), agent: agent.to_owned() });
        }
    }
    findings
}

/// A call at the same moment as the refusal was already in flight; any later caller had been warned, once enough refusals are in
/// force that the limit applies to all: two for each party, of which LiveChat has two, its customers and the agent token.
fn before_reset(entries: &[Entry], refused: &[Refused]) -> Vec<Finding> {
    let answered = entries.iter().filter(|entry| entry.effect == "call_answered").map(|entry| (entry.vendor, entry.at));
    let calls = answered.chain(refused.iter().map(|one| (one.vendor, one.at)));
    let windows: Vec<_> = refused.iter().filter_map(|one| Some((one.vendor, one.at, one.at + one.reset?))).collect();
    let is_for_all = |index: usize, vendor: Vendor, at: Timestamp| {
        let before = windows.iter().take(index + 1);
        let in_force =
            before.filter(|(named_by, from, until)| *named_by == vendor && *from <= at && at < *until).count();
        in_force >= if vendor == Vendor::LiveChat { 4 } else { 2 }
    };
    let binding: Vec<_> =
        windows.iter().enumerate().filter(|(index, (vendor, at, _))| is_for_all(*index, *vendor, *at)).collect();
    let too_early = |(vendor, at): (Vendor, Timestamp)| {
        let windows = binding.iter().map(|(_, window)| **window);
        let mut broken = windows.filter(|&(named_by, from, until)| named_by == vendor && from < at && at < until);
        broken.next().map(|(_, _, reset_at)| Finding::BeforeReset { vendor, at, reset_at })
    };
    calls.filter_map(too_early).collect()
}
