//! What a LiveChat event means for the bot.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::{AgentProfile, MessageContent, ToBot};
use crate::clock::Timestamp;
use crate::ids::{AgentId, EventId, ThreadId, numbered};
use crate::livechat::{Content, Event, Thread, User, UserKind, Visibility, webhook};
use crate::model::lane::Position;
use crate::model::session::{ChatPointer, Disposition, Session};

/// One item for the lane towards the bot.
#[derive(Clone, Debug, PartialEq)]
pub struct Intention {
    /// Its place in the lane, and the id by which a repeat is recognised.
    pub position: Position,
    /// What to deliver.
    pub content: ToBot,
}

impl Intention {
    /// The same intention in this session; `changes` counts, for each item, the changes that have been processed. A transfer to an agent
    /// who was announced before, and followed by another agent, is a return and not a repeat. A change after one that has been processed
    /// is a change of its own, even if its content is the same.
    pub fn seen_in(mut self, session: Option<&Session>, changes: &HashMap<String, u64>) -> Self {
        let count = match (&self.content, session) {
            (ToBot::Assigned { agent_id, is_transfer: true, .. }, Some(session))
                if session.earlier_agents.iter().any(|earlier| earlier.agent_id == *agent_id) =>
            {
                Some(u64::from(session.announcements))
            }
            (ToBot::Correction { of, .. }, _) => changes.get(of).copied(),
            _ => None,
        };
        if let Some(count) = count {
            self.position.source_id = format!("{}:{count}", self.position.source_id);
        }
        self
    }

    /// The item for the lane, with its position.
    pub fn into_item(self) -> (Position, ToBot) {
        (self.position, self.content)
    }
}

/// All items that follow from `event` for the session of `pointer`; often none.
///
/// Late events of an earlier thread, notes among agents, echoes of the service's own calls and LiveChat's system messages yield nothing.
/// `received_at` orders events that carry no time of their own.
pub fn decide(event: &webhook::Event, pointer: &ChatPointer, received_at: Timestamp) -> Vec<Intention> {
    let about = About { pointer, received_at };
    match event {
        webhook::Event::IncomingChat { chat } => {
            let thread = chat.thread.as_ref();
            let opened_at = thread.and_then(|thread| thread.created_at);
            about.opened(thread, &chat.users, |_| opened_at)
        }
        webhook::Event::IncomingEvent { thread_id, event, .. } => about.written(thread_id, event).into_iter().collect(),
        webhook::Event::EventUpdated { thread_id, event, .. } => about.changed(thread_id, event),
        webhook::Event::EventDeleted { thread_id, event_id, .. } => about.deleted(thread_id, event_id),
        webhook::Event::ChatTransferred { thread_id, agent_ids, .. } => {
            about.assigned(thread_id.as_ref(), agent_ids.first(), Taken::by_transfer()).into_iter().collect()
        }
        webhook::Event::UserAddedToChat { thread_id, user, .. } => {
            about.joined(thread_id.as_ref(), user, None).into_iter().collect()
        }
        webhook::Event::ChatDeactivated { thread_id, .. } => about.ended(thread_id).into_iter().collect(),
        // The thread, read later, supplies the part that could not be parsed here.
        webhook::Event::Unclear { rest, .. } => decide(rest, pointer, received_at),
        webhook::Event::Other => Vec::new(),
    }
}

/// The number of an event in its thread: LiveChat numbers the ids upwards, `<thread>_<number>`.
pub fn number_of_event(id: &str) -> Option<u64> {
    numbered(id).1
}

/// The number of the event that an item reports for the first time.
pub fn number_of_source(source_id: &str) -> Option<u64> {
    number_of_event(source_id.strip_prefix("event:")?)
}

/// The ids by which repeats of an event are recognised, as far as the event alone determines them. There may be more or fewer of them
/// than intentions.
pub fn source_ids(event: &webhook::Event) -> Vec<String> {
    match event {
        webhook::Event::IncomingEvent { event, .. } => vec![source_of(&event.id)],
        webhook::Event::EventUpdated { event, .. } => {
            let correction = MessageContent::of(&event.content).map(|content| correction_of(&event.id, &content));
            [source_of(&event.id)].into_iter().chain(correction).collect()
        }
        webhook::Event::EventDeleted { event_id, .. } => vec![source_of(event_id), deletion_of(event_id)],
        webhook::Event::ChatDeactivated { thread_id, .. } => vec![end_of(thread_id)],
        webhook::Event::ChatTransferred { thread_id: Some(thread), agent_ids, .. } => {
            agent_ids.first().map(|agent_id| assignment_of(thread, agent_id)).into_iter().collect()
        }
        webhook::Event::UserAddedToChat { thread_id: Some(thread), user, .. } => {
            vec![assignment_of(thread, &user.id.to_agent_id())]
        }
        webhook::Event::Unclear { rest, .. } => source_ids(rest),
        _ => Vec::new(),
    }
}

/// The thread in which an agent of the licence, not a bot, has written to the customer of this chat.
pub fn spoken_in(event: &webhook::Event, pointer: &ChatPointer) -> Option<ThreadId> {
    let is_spoken = |event: &Event| {
        let author = event.author_id.as_ref().filter(|author| **author != pointer.customer_id);
        let is_persons = author.is_some_and(|author| author.to_agent_id().is_person());
        is_persons && is_public(event) && MessageContent::of(&event.content).is_some()
    };
    match event {
        webhook::Event::IncomingEvent { thread_id, event, .. } => is_spoken(event).then(|| thread_id.clone()),
        webhook::Event::IncomingChat { chat } => {
            let thread = chat.thread.as_ref()?;
            thread.events.iter().any(is_spoken).then(|| thread.id.clone())
        }
        _ => None,
    }
}

/// Whether LiveChat reports that the session's thread was rated, or that a rating was withdrawn. Only the thread contains the score.
///
/// See LiveChat Docs, "System messages".
pub fn reports_rating(event: &webhook::Event, pointer: &ChatPointer) -> bool {
    let webhook::Event::IncomingEvent { thread_id, event, .. } = event else { return false };
    let Content::SystemMessage { system_message_type } = &event.content else { return false };
    let is_rating = ["rating.chat_rated", "rating.chat_rating_canceled"].contains(&system_message_type.as_str());
    is_rating && *thread_id == pointer.thread_id
}

/// Whether a session whose thread is not recorded yet would miss this event: an assignment, an agent's message, a place in the queue, or
/// the end.
pub fn may_be_missed(event: &webhook::Event) -> bool {
    let is_spoken = |event: &Event| {
        let is_persons = event.author_id.as_ref().is_some_and(|author| author.to_agent_id().is_person());
        is_persons && is_public(event) && MessageContent::of(&event.content).is_some()
    };
    match event {
        webhook::Event::IncomingChat { chat } => {
            let tells =
                |thread: &Thread| !thread.active || thread.queue.is_some() || thread.events.iter().any(is_spoken);
            chat.thread.as_ref().is_some_and(tells) || chat.users.iter().any(|user| user.kind == UserKind::Agent)
        }
        webhook::Event::IncomingEvent { event, .. } | webhook::Event::EventUpdated { event, .. } => is_spoken(event),
        webhook::Event::ChatTransferred { agent_ids, .. } => agent_ids.iter().any(AgentId::is_person),
        webhook::Event::UserAddedToChat { user, .. } => user.kind == UserKind::Agent,
        webhook::Event::ChatDeactivated { .. } => true,
        webhook::Event::Unclear { rest, .. } => may_be_missed(rest),
        webhook::Event::EventDeleted { .. } | webhook::Event::Other => false,
    }
}

/// What happened according to a complete thread: the same intentions as from its webhooks.
///
/// Corrections are left out: an event does not show that it was changed.
pub fn decide_from_thread(
    thread: &Thread,
    users: &[User],
    pointer: &ChatPointer,
    read_at: Timestamp,
) -> Vec<Intention> {
    let about = About { pointer, received_at: read_at };
    let first_event_by = |agent_id: &AgentId| {
        let by = |event: &&Event| event.author_id.as_ref().is_some_and(|author| author.to_agent_id() == *agent_id);
        thread.events.iter().filter(by).map(|event| event.created_at).min()
    };
    let mut intentions = about.opened(Some(thread), users, first_event_by);
    intentions.extend(thread.events.iter().filter_map(|event| about.written(&thread.id, event)));
    let deleted = thread.events.iter().filter(|event| event.deleted && !about.is_customers(event));
    intentions.extend(deleted.flat_map(|event| about.deleted(&thread.id, &event.id)));
    if !thread.active {
        intentions.extend(about.ended(&thread.id));
    }
    intentions
}

/// The number up to which a thread shows every event, given that it already did up to `before`; `None` if even the first event is
/// missing. Missing events may still appear.
pub fn read_up_to(thread: &Thread, before: Option<u64>) -> Option<u64> {
    complete_up_to(thread.events.iter().map(|event| &event.id), before)
}

/// The number up to which a new thread is known: that of the events which opened it, if nothing can have come before them.
pub fn opened_up_to(event_ids: &[EventId]) -> Option<u64> {
    complete_up_to(event_ids, None)
}

fn complete_up_to<'a>(event_ids: impl IntoIterator<Item = &'a EventId>, before: Option<u64>) -> Option<u64> {
    let numbers: BTreeSet<_> = event_ids.into_iter().filter_map(|id| number_of_event(id.as_str())).collect();
    let after = before.unwrap_or(0);
    let complete = numbers.range(after + 1..).zip(after + 1..).take_while(|(number, expected)| *number == expected);
    complete.last().map(|(number, _)| *number).or(before)
}

/// How an agent got a chat.
struct Taken {
    profile: Option<AgentProfile>,
    is_transfer: bool,
    since: Option<Timestamp>,
}

impl Taken {
    /// By a transfer, which is reported without a time.
    const fn by_transfer() -> Self {
        Self { profile: None, is_transfer: true, since: None }
    }
}

struct About<'a> {
    pointer: &'a ChatPointer,
    received_at: Timestamp,
}

impl About<'_> {
    /// The agents in the chat; `since` returns the time from which LiveChat lists each of them.
    fn opened(
        &self,
        thread: Option<&Thread>,
        users: &[User],
        since: impl Fn(&AgentId) -> Option<Timestamp>,
    ) -> Vec<Intention> {
        let thread_id = thread.map(|thread| &thread.id);
        users.iter().filter_map(|user| self.joined(thread_id, user, since(&user.id.to_agent_id()))).collect()
    }

    fn written(&self, thread_id: &ThreadId, event: &Event) -> Option<Intention> {
        let (agent_id, content) = self.shown(thread_id, event)?;
        Some(Intention {
            position: Position { at: event.created_at, source_id: source_of(&event.id) },
            content: ToBot::message(agent_id, content),
        })
    }

    /// A change yields a correction, and the message itself in case it has not arrived yet.
    fn changed(&self, thread_id: &ThreadId, event: &Event) -> Vec<Intention> {
        let Some((agent_id, content)) = self.shown(thread_id, event) else { return Vec::new() };
        // Without an explicit "public" the changed event could be a note: then it only corrects a message that was public before.
        let itself = self.written(thread_id, event).filter(|_| event.visibility_told);
        let correction = Intention {
            position: Position {
                // After the message, even if the two clocks disagree.
                at: self.received_at.max(event.created_at + Duration::from_micros(1)),
                source_id: correction_of(&event.id, &content),
            },
            content: ToBot::Correction { agent_id, of: source_of(&event.id), content },
        };
        itself.into_iter().chain([correction]).collect()
    }

    /// A deletion takes the message's place in case it has not arrived yet. Users are told only about deletions of messages that they
    /// have seen.
    fn deleted(&self, thread_id: &ThreadId, event_id: &EventId) -> Vec<Intention> {
        if !self.concerns(Some(thread_id)) {
            return Vec::new();
        }
        let at = self.received_at;
        let deletion = ToBot::Deletion { of: source_of(event_id) };
        vec![
            Intention { position: Position { at, source_id: source_of(event_id) }, content: ToBot::Retracted },
            Intention { position: Position { at, source_id: deletion_of(event_id) }, content: deletion },
        ]
    }

    /// The part of an event that the customer may see, and its author.
    fn shown(&self, thread_id: &ThreadId, event: &Event) -> Option<(AgentId, MessageContent)> {
        let author = event.author_id.as_ref().filter(|_| !self.is_customers(event))?;
        let is_shown = is_public(event) && self.concerns(Some(thread_id));
        let content = MessageContent::of(&event.content).filter(|_| is_shown)?;
        Some((author.to_agent_id(), content))
    }

    fn is_customers(&self, event: &Event) -> bool {
        event.author_id.as_ref().is_some_and(|author| *author == self.pointer.customer_id)
    }

    fn joined(&self, thread_id: Option<&ThreadId>, user: &User, since: Option<Timestamp>) -> Option<Intention> {
        let answers = user.kind == UserKind::Agent && user.visibility == Visibility::All && user.present != Some(false);
        let taken = Taken { profile: Some(AgentProfile::of(user)), is_transfer: false, since };
        answers.then(|| self.assigned(thread_id, Some(&user.id.to_agent_id()), taken))?
    }

    fn assigned(
        &self,
        thread_id: Option<&ThreadId>,
        agent_id: Option<&AgentId>,
        Taken { profile, is_transfer, since }: Taken,
    ) -> Option<Intention> {
        // The licence's own bots are never announced to the user.
        let agent_id = agent_id.filter(|agent_id| agent_id.is_person() && self.concerns(thread_id))?;
        let thread = thread_id.unwrap_or(&self.pointer.thread_id);
        Some(Intention {
            // Neither event has an id or a time: the same agent in the same thread counts as a repeat, unless it is a return.
            position: Position { at: self.received_at, source_id: assignment_of(thread, agent_id) },
            content: ToBot::Assigned { agent_id: agent_id.clone(), profile, is_transfer, since },
        })
    }

    fn ended(&self, thread_id: &ThreadId) -> Option<Intention> {
        self.concerns(Some(thread_id)).then(|| Intention {
            position: Position { at: self.received_at, source_id: end_of(thread_id) },
            content: ToBot::Stopped,
        })
    }

    /// Whether a thread is the session's own; an event without a thread concerns the current one.
    fn concerns(&self, thread_id: Option<&ThreadId>) -> bool {
        thread_id.is_none_or(|thread_id| *thread_id == self.pointer.thread_id)
    }
}

/// The current content, according to a thread, of the message with the lane's `source_id`; `None` if the customer may no longer see it.
///
/// # Errors
///
/// [`NotThere`] if the thread does not contain the message.
pub fn as_it_is_now(thread: &Thread, source_id: &str) -> Result<Option<MessageContent>, NotThere> {
    let event = thread.events.iter().find(|event| source_of(&event.id) == source_id).ok_or(NotThere)?;
    Ok(MessageContent::of(&event.content).filter(|_| is_public(event)))
}

/// A thread does not contain a message, for instance because the licence's plan hides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotThere;

fn is_public(event: &Event) -> bool {
    event.visibility == Visibility::All && !event.deleted
}

/// The id by which the lane recognises a message.
fn source_of(event_id: &EventId) -> String {
    format!("event:{event_id}")
}

fn correction_of(event_id: &EventId, content: &MessageContent) -> String {
    format!("corrected:{event_id}:{}", content.revision())
}

fn deletion_of(event_id: &EventId) -> String {
    format!("deleted:{event_id}")
}

fn assignment_of(thread: &ThreadId, agent_id: &AgentId) -> String {
    format!("assigned:{thread}:{agent_id}")
}

/// The id by which the lane recognises the end of a thread.
pub fn end_of(thread_id: &ThreadId) -> String {
    format!("ended:{thread_id}")
}

/// How a thread ended: its tags, its rating, and who closed it according to LiveChat's last system message on it.
pub fn disposition(thread: &Thread) -> Disposition {
    let ended_by = thread.events.iter().rev().find_map(Event::closed_by);
    Disposition { tags: thread.tags.clone(), rating: thread.rating, ended_by }
}

/// A source id for the log, without the agent's id (an e-mail address) at the end of an assignment's.
pub fn without_agent(source_id: &str) -> String {
    match source_id.split_once("assigned:") {
        Some((before, of)) => format!("{before}assigned:{}", of.split(':').next().unwrap_or_default()),
        None => source_id.to_owned(),
    }
}
