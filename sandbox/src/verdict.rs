//! The project's promises, judged from the journal alone: no message lost, doubled, out of order, or shown to the wrong person.
//!
//! The demonstration and the console use this code. It associates a LiveChat thread with a user of Botpress through the
//! conversation that was created for the thread, and with a user of Botcopy through the field that shows agents the user's id.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use serde::Serialize;
use serde_json::Value;

use crate::journal::{Entry, Vendor};

/// A text longer than this may arrive in parts; its first part then represents it.
const LONG: usize = 2_000;

/// The number of broken promises, and of texts in transit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Texts that should have arrived so far.
    pub expected: usize,
    /// Texts that have not arrived, but still may.
    pub under_way: usize,
    /// Texts that have not arrived and are no longer in transit.
    pub lost: usize,
    /// Arrivals beyond the first of each text.
    pub doubled: usize,
    /// Texts that arrived after a text written later.
    pub out_of_order: usize,
    /// Private notes, and texts for another user, that a user was shown.
    pub private_shown: usize,
}

impl Verdict {
    /// Returns whether every promise is kept so far.
    pub const fn is_good(&self) -> bool {
        self.lost + self.doubled + self.out_of_order + self.private_shown == 0
    }
}

/// What is known, apart from the journal, about texts that have not arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Something is in transit: no text counts as lost yet.
    UnderWay,
    /// Nothing is in transit except this many items, which wait for an operator.
    Parked(usize),
}

/// Judges everything that has happened so far.
pub fn judge(entries: &[Entry], rest: Rest) -> Verdict {
    let people = People::read(entries);
    let exchange = Exchange::read(entries, &people);
    let mut verdict = Verdict { private_shown: exchange.private_shown(entries), ..Verdict::default() };
    let mut missing = 0;
    for (key, expected) in &exchange.expected {
        let none = Vec::new();
        let arrived = exchange.arrived.get(key).unwrap_or(&none);
        verdict.expected += expected.len();
        missing += count(expected, arrived, &mut verdict);
    }
    match rest {
        Rest::UnderWay => verdict.under_way = missing,
        Rest::Parked(parked) => {
            verdict.under_way = missing.min(parked);
            verdict.lost = missing - verdict.under_way;
        }
    }
    verdict
}

/// The direction of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    ToAgent,
    ToUser,
}

/// The user of each thread, according to the journal.
#[derive(Debug, Default)]
pub(crate) struct People<'a> {
    /// The user by LiveChat thread: a Botpress conversation of the bot, or a Botcopy user.
    by_thread: HashMap<&'a str, &'a str>,
    /// The same by the conversation that was made for the thread.
    by_conversation: HashMap<&'a str, &'a str>,
}

impl<'a> People<'a> {
    pub(crate) fn read(entries: &'a [Entry]) -> Self {
        let (mut threads, mut customers) = (HashMap::new(), HashMap::new());
        let mut people = Self::default();
        let mut fields: Vec<(&str, &Entry)> = Vec::new();
        let mut users = HashSet::new();
        for entry in entries {
            let (conversation, thread) = (entry.text("/conversation_id"), entry.text("/thread_id"));
            match entry.effect {
                "conversation_created" => {
                    // A session that has moved has another conversation: `<thread>#<number of the move>`.
                    let tag = entry.text("/tags/id");
                    threads.insert(conversation, tag.split_once('#').map_or(tag, |(thread, _)| thread));
                }
                "hitl_started" => {
                    let person = entry.text("/upstream_conversation_id");
                    people.by_conversation.insert(conversation, person);
                    people.by_thread.extend(threads.get(conversation).map(|thread| (*thread, person)));
                }
                "chat_started" | "chat_resumed" => {
                    customers.insert(thread, entry.text("/customer_id"));
                }
                "customer_updated" => fields.push((entry.text("/customer_id"), entry)),
                "user_wrote" if entry.vendor == Vendor::Botcopy => {
                    users.insert(entry.text("/user_id"));
                }
                _ => {}
            }
        }
        let named = fields.into_iter().filter_map(|(customer, entry)| Some((customer, named(entry, &users)?)));
        let named: HashMap<_, _> = named.collect();
        for (thread, customer) in customers {
            if let Some(person) = named.get(customer) {
                people.by_thread.entry(thread).or_insert(person);
            }
        }
        people
    }

    pub(crate) fn of_thread(&self, thread: &str) -> Option<&'a str> {
        self.by_thread.get(thread).copied()
    }
}

/// The Botcopy user named in the fields of a customer.
fn named<'a>(entry: &'a Entry, users: &HashSet<&'a str>) -> Option<&'a str> {
    let fields = entry.detail.get("session_fields").and_then(Value::as_array)?;
    let mut values = fields.iter().filter_map(Value::as_object).flat_map(|field| field.values());
    values.find_map(|value| users.get(value.as_str()?).copied())
}

/// A text, with its place in the journal.
#[derive(Clone, Copy, Debug)]
struct Words<'a> {
    text: &'a str,
    number: usize,
    event_id: &'a str,
}

type Lists<'a> = BTreeMap<(Direction, &'a str), Vec<Words<'a>>>;

/// The texts that should arrive, and those that did.
#[derive(Debug, Default)]
struct Exchange<'a> {
    expected: Lists<'a>,
    arrived: Lists<'a>,
    private: HashSet<&'a str>,
}

impl<'a> Exchange<'a> {
    fn read(entries: &'a [Entry], people: &People<'a>) -> Self {
        let mut exchange = Self::default();
        for entry in entries {
            exchange.note_arrival(entry, people);
        }
        let mut unclaimed: HashMap<(&str, &str), VecDeque<usize>> = HashMap::new();
        for entry in entries {
            match entry.effect {
                "event_sent" if entry.text("/author_type") == "agent" => exchange.note_agent(entry, people),
                "event_updated" => exchange.note_correction(entry),
                "event_deleted" => exchange.note_deletion(entry),
                "message_created" => exchange.note_forwarded(entry, people),
                "user_wrote" if entry.vendor == Vendor::Botcopy => {
                    let key = (entry.text("/user_id"), entry.text("/text"));
                    unclaimed.entry(key).or_default().push_back(entry.number);
                }
                "webhook_called" if is_taken(entry) => {
                    let (user, text) = (entry.text("/user_id"), entry.text("/text"));
                    let number = unclaimed.get_mut(&(user, text)).and_then(VecDeque::pop_front);
                    let words = Words { text, number: number.unwrap_or(entry.number), event_id: "" };
                    exchange.expected.entry((Direction::ToAgent, user)).or_default().push(words);
                }
                _ => {}
            }
        }
        // Calls from Botcopy are journaled when they are answered, which may differ from the order in which the user wrote.
        exchange.expected.values_mut().for_each(|words| words.sort_by_key(|one| one.number));
        exchange
    }

    fn note_arrival(&mut self, entry: &'a Entry, people: &People<'a>) {
        let key = match entry.effect {
            "shown_to_user" if entry.text("/from") == "agent" => (Direction::ToUser, shown_to(entry)),
            "event_sent" if entry.text("/author_type") == "customer" => {
                let Some(person) = people.of_thread(entry.text("/thread_id")) else { return };
                (Direction::ToAgent, person)
            }
            _ => return,
        };
        self.arrived.entry(key).or_default().extend(words(entry, "/text"));
    }

    fn note_agent(&mut self, entry: &'a Entry, people: &People<'a>) {
        let Some(words) = words(entry, "/text") else { return };
        if entry.text("/visibility") == "agents" {
            self.private.insert(words.text);
        } else if let Some(person) = people.of_thread(entry.text("/thread_id")).filter(|_| is_message(entry)) {
            self.expected.entry((Direction::ToUser, person)).or_default().push(words);
        }
    }

    /// A message that the HITL plugin passes to the integration: a user's text names its author.
    fn note_forwarded(&mut self, entry: &'a Entry, people: &People<'a>) {
        let person = people.by_conversation.get(entry.text("/conversation_id"));
        let is_users = !entry.text("/payload/userId").is_empty() && entry.text("/type") == "text";
        if let Some(person) = person.filter(|_| is_users) {
            self.expected.entry((Direction::ToAgent, person)).or_default().extend(words(entry, "/payload/text"));
        }
    }

    /// A message that is corrected before it is shown is expected in its corrected form.
    fn note_correction(&mut self, entry: &'a Entry) {
        let (event_id, text) = (entry.text("/event_id"), entry.text("/text").trim());
        for ((direction, person), expected) in &mut self.expected {
            let arrived = self.arrived.get(&(*direction, *person));
            for words in expected.iter_mut().filter(|words| words.event_id == event_id) {
                let is_shown = |one: &Words<'_>| one.text == words.text && one.number < entry.number;
                if !arrived.is_some_and(|arrived| arrived.iter().any(is_shown)) {
                    words.text = text;
                }
            }
        }
    }

    /// A message that is deleted before it is shown is no longer expected.
    fn note_deletion(&mut self, entry: &'a Entry) {
        let event_id = entry.text("/event_id");
        for (key, expected) in &mut self.expected {
            let arrived = self.arrived.get(key);
            let is_shown =
                |words: &Words<'_>| arrived.is_some_and(|arrived| arrived.iter().any(|one| one.text == words.text));
            expected.retain(|words| words.event_id != event_id || is_shown(words));
        }
    }

    /// Counts private notes that a user was shown, and agents' texts that were shown to the wrong user.
    fn private_shown(&self, entries: &[Entry]) -> usize {
        let to_users = self.expected.iter().filter(|((direction, _), _)| *direction == Direction::ToUser);
        let mut meant: HashMap<&str, HashSet<&str>> = HashMap::new();
        for ((_, person), words) in to_users {
            for one in words {
                meant.entry(one.text).or_default().insert(person);
            }
        }
        let shown = entries.iter().filter(|entry| entry.effect == "shown_to_user" && entry.text("/from") == "agent");
        let is_wrong = |entry: &&Entry| {
            let text = entry.text("/text").trim();
            match meant.get(text) {
                Some(people) => !people.contains(shown_to(entry)),
                None => self.private.contains(text),
            }
        };
        shown.filter(is_wrong).count()
    }
}

/// The user who was shown something.
fn shown_to(entry: &Entry) -> &str {
    entry.text(if entry.vendor == Vendor::Botcopy { "/user_id" } else { "/conversation_id" })
}

fn is_message(entry: &Entry) -> bool {
    entry.text("/type") == "message"
}

/// Returns whether Botcopy's endpoint took a user's text instead of leaving it to the bot.
fn is_taken(entry: &Entry) -> bool {
    let is = |name: &str, value: Value| entry.detail.get(name) == Some(&value);
    is("step", 2.into()) && is("paused", true.into()) && !entry.text("/text").trim().is_empty()
}

/// The text of an entry, without the mark of lines that look like the service's own.
fn words<'a>(entry: &'a Entry, pointer: &str) -> Option<Words<'a>> {
    let text = entry.text(pointer).trim();
    let text = text.strip_prefix("> ").unwrap_or(text);
    (!text.is_empty()).then_some(Words { text, number: entry.number, event_id: entry.text("/event_id") })
}

/// Compares two lists of one user and direction: counts doubled and out-of-order texts, and returns the number of missing ones.
fn count(expected: &[Words<'_>], arrived: &[Words<'_>], verdict: &mut Verdict) -> usize {
    let mut places: HashMap<&str, VecDeque<usize>> = HashMap::new();
    for (place, words) in expected.iter().enumerate() {
        places.entry(words.text).or_default().push_back(place);
    }
    let mut furthest = 0;
    for words in arrived {
        let Some(waiting) = places.get_mut(words.text) else { continue };
        match waiting.pop_front() {
            None => verdict.doubled += 1,
            Some(place) if place < furthest => verdict.out_of_order += 1,
            Some(place) => furthest = place,
        }
    }
    let is_in_parts = |text: &str| {
        text.len() > LONG && arrived.iter().any(|part| part.text.len() > LONG / 2 && text.contains(part.text))
    };
    places.iter().filter(|(text, _)| !is_in_parts(text)).map(|(_, waiting)| waiting.len()).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::clock::Timestamp;

    use super::*;
    use crate::journal::Journal;

    /// A journal of one handed-over user, `up`, whose thread is `T`, followed by `more`.
    fn journal(more: &[(&'static str, Value)]) -> Vec<Entry> {
        let journal = Journal::default();
        let begin = [
            ("conversation_created", json!({"conversation_id": "down", "tags": {"id": "T"}})),
            ("hitl_started", json!({"conversation_id": "down", "upstream_conversation_id": "up"})),
        ];
        for (effect, detail) in begin.iter().chain(more) {
            journal.record(Timestamp::from_unix_millis(0), Vendor::Botpress, effect, detail.clone());
        }
        journal.entries()
    }

    fn said(event_id: &str, text: &str) -> (&'static str, Value) {
        let (author, kind, visibility) = ("agent", "message", "all");
        let detail = json!({
            "thread_id": "T", "event_id": event_id, "author_type": author, "type": kind, "visibility": visibility,
            "text": text,
        });
        ("event_sent", detail)
    }

    fn note(text: &str) -> (&'static str, Value) {
        let (effect, mut detail) = said("n", text);
        detail["visibility"] = json!("agents");
        (effect, detail)
    }

    fn shown(person: &str, text: &str) -> (&'static str, Value) {
        ("shown_to_user", json!({"conversation_id": person, "from": "agent", "type": "text", "text": text}))
    }

    fn wrote(text: &str) -> (&'static str, Value) {
        let payload = json!({"text": text, "userId": "u"});
        ("message_created", json!({"conversation_id": "down", "type": "text", "payload": payload}))
    }

    fn arrived(text: &str) -> (&'static str, Value) {
        ("event_sent", json!({"thread_id": "T", "author_type": "customer", "type": "message", "text": text}))
    }

    fn of(more: &[(&'static str, Value)]) -> Verdict {
        judge(&journal(more), Rest::Parked(0))
    }

    #[test]
    fn what_arrives_once_and_in_order_is_good_in_both_directions() {
        let talk = [said("1", "a"), said("2", "a"), shown("up", "a"), shown("up", "a"), wrote("x"), arrived("x")];
        assert_eq!(of(&talk), Verdict { expected: 3, ..Verdict::default() });
    }

    #[test]
    fn each_broken_promise_is_counted_as_what_it_is() {
        let lost = of(&[said("1", "a"), wrote("x")]);
        assert_eq!((lost.lost, lost.is_good()), (2, false));
        assert_eq!(of(&[wrote("x"), arrived("x"), arrived("x")]).doubled, 1);
        let swapped = [said("1", "a"), said("2", "b"), shown("up", "b"), shown("up", "a")];
        assert_eq!(of(&swapped).out_of_order, 1);
        assert_eq!(of(&[note("secret"), shown("up", "secret")]).private_shown, 1);
        assert_eq!(of(&[said("1", "a"), shown("up", "a"), shown("other", "a")]).private_shown, 1);
    }

    #[test]
    fn what_is_carried_or_parked_is_not_lost() {
        let entries = journal(&[said("1", "a"), said("2", "b")]);
        assert_eq!((judge(&entries, Rest::UnderWay).under_way, judge(&entries, Rest::UnderWay).lost), (2, 0));
        let parked = judge(&entries, Rest::Parked(1));
        assert_eq!((parked.under_way, parked.lost), (1, 1));
    }

    #[test]
    fn corrections_and_deletions_before_the_showing_change_what_is_expected() {
        let corrected = ("event_updated", json!({"event_id": "1", "text": "b"}));
        assert!(of(&[said("1", "a"), corrected.clone(), shown("up", "b")]).is_good());
        assert!(of(&[said("1", "a"), shown("up", "a"), corrected]).is_good());
        let deleted = ("event_deleted", json!({"event_id": "1"}));
        assert_eq!(of(&[said("1", "a"), deleted.clone()]), Verdict::default());
        assert_eq!(of(&[said("1", "a"), shown("up", "a"), deleted]).expected, 1);
    }

    #[test]
    fn a_long_text_may_arrive_in_parts() {
        let long = "word ".repeat(1_000);
        let (first, second) = long.split_at(2_500);
        assert!(of(&[wrote(&long), arrived(first), arrived(second)]).is_good());
    }
}
