//! Entities and look-ups; no I/O.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use shared::clock::Timestamp;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::tags::Tags;

/// Rows in order of creation, found by id.
#[derive(Debug)]
pub(super) struct Table<T> {
    rows: BTreeMap<u64, T>,
    numbers: HashMap<String, u64>,
    next: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), numbers: HashMap::new(), next: 0 }
    }
}

impl<T> Table<T> {
    pub(crate) fn insert(&mut self, id: String, row: T) -> &mut T {
        let number = self.next;
        self.next += 1;
        self.numbers.insert(id, number);
        self.rows.entry(number).or_insert(row)
    }

    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.rows.get(self.numbers.get(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.rows.get_mut(self.numbers.get(id)?)
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<T> {
        self.rows.remove(&self.numbers.remove(id)?)
    }

    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &T> {
        self.rows.values().rev()
    }
}

#[derive(Clone, Debug)]
pub(super) struct User {
    pub id: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Alias of the owning install; `""` for the bot's own user.
    pub integration: String,
    pub tags: Tags,
    pub plugin_tags: Tags,
    pub name: Option<String>,
    pub picture_url: Option<String>,
    pub properties: Tags,
}

#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub id: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Alias of the owning install.
    pub integration: String,
    pub channel: String,
    pub tags: Tags,
    pub plugin_tags: Tags,
    pub properties: Tags,
    /// Users who wrote or were added, in order of the first time.
    pub participants: Vec<String>,
    /// Ids, oldest first.
    pub messages: Vec<String>,
    /// Whether the plugin's HITL state is active.
    pub hitl_active: bool,
    /// The plugin's record of the latest session; on upstream conversations only.
    pub session: Option<Session>,
}

/// The author of an upstream message, as the end user sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The end user, or another participant.
    User,
    /// The bot itself.
    Bot,
    /// A human agent.
    Agent,
    /// The HITL plugin.
    Plugin,
}

impl Speaker {
    /// `user`, `bot`, `agent` or `plugin`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Bot => "bot",
            Self::Agent => "agent",
            Self::Plugin => "plugin",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub id: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub message_type: String,
    pub payload: Value,
    pub outgoing: bool,
    pub user_id: String,
    pub conversation_id: String,
    pub tags: Tags,
    pub plugin_tags: Tags,
    pub origin: Option<String>,
    /// On upstream messages: the author, and the author's name if one is shown.
    pub speaker: Option<(Speaker, Option<String>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EventStatus {
    Pending,
    Scheduled,
    Processed,
    Ignored,
    Failed(String),
    Canceled,
}

#[derive(Clone, Debug)]
pub(super) struct Event {
    pub id: String,
    pub created_at: Timestamp,
    pub event_type: String,
    pub payload: Value,
    /// `conversationId`, `userId`, `messageId`, `workflowId`, each if given.
    pub attributes: Tags,
    pub status: EventStatus,
}

impl Event {
    /// The conversation of the event: the attribute, or else the payload key.
    pub(crate) fn conversation_id(&self) -> Option<&str> {
        let attribute = self.attributes.get("conversationId").map(String::as_str);
        attribute.or_else(|| self.payload.get("conversationId")?.as_str())
    }
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub id: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub payload: Value,
    pub expiry: Option<Duration>,
    pub expires_at: Option<Timestamp>,
}

/// Type, id of the owner, name.
pub(super) type StateKey = (String, String, String);

/// All entities of the simulated workspace.
#[derive(Debug, Default)]
pub(super) struct World {
    pub users: Table<User>,
    pub conversations: Table<Conversation>,
    pub messages: Table<Message>,
    pub events: Table<Event>,
    pub states: BTreeMap<StateKey, State>,
    /// Per conversation: resolves when the first attempt of the latest delivery is over.
    pub deliveries: HashMap<String, oneshot::Receiver<()>>,
    pub last_delivered: Option<String>,
    /// How many milliseconds the clock of these entities runs ahead of all others; behind, if negative.
    pub ahead_ms: i64,
    last_stamp: Option<Timestamp>,
}

impl World {
    /// The time for a new or changed entity, by the vendor's own clock: whole milliseconds, and later than any before,
    /// as in a system in which every call takes time.
    pub(crate) fn stamp(&mut self, now: Timestamp) -> Timestamp {
        let now = Timestamp::from_unix_millis(now.unix_millis());
        let stamp = self.last_stamp.map_or(now, |last| now.max(last + Duration::from_millis(1)));
        self.last_stamp = Some(stamp);
        Timestamp::from_unix_millis(stamp.unix_millis() + self.ahead_ms)
    }

    /// Adds a user without tags.
    pub(crate) fn add_user(&mut self, now: Timestamp, integration: &str, id: Option<&str>) -> &mut User {
        let stamp = self.stamp(now);
        let id = id.map_or_else(|| new_id("user_"), str::to_owned);
        let user = User {
            id: id.clone(),
            created_at: stamp,
            updated_at: stamp,
            integration: integration.to_owned(),
            tags: Tags::new(),
            plugin_tags: Tags::new(),
            name: None,
            picture_url: None,
            properties: Tags::new(),
        };
        self.users.insert(id, user)
    }

    /// Adds a conversation without tags.
    pub(crate) fn add_conversation(&mut self, now: Timestamp, integration: &str, channel: &str) -> &mut Conversation {
        let stamp = self.stamp(now);
        let id = new_id("conv_");
        let conversation = Conversation {
            id: id.clone(),
            created_at: stamp,
            updated_at: stamp,
            integration: integration.to_owned(),
            channel: channel.to_owned(),
            tags: Tags::new(),
            plugin_tags: Tags::new(),
            properties: Tags::new(),
            participants: Vec::new(),
            messages: Vec::new(),
            hitl_active: false,
            session: None,
        };
        self.conversations.insert(id, conversation)
    }

    /// Adds a message without tags to its conversation, which must exist.
    pub(crate) fn add_message(
        &mut self,
        now: Timestamp,
        conversation_id: &str,
        user_id: &str,
        message_type: &str,
        payload: Value,
    ) -> &mut Message {
        let stamp = self.stamp(now);
        let id = new_id("msg_");
        if let Some(conversation) = self.conversations.get_mut(conversation_id) {
            conversation.messages.push(id.clone());
            if !conversation.participants.iter().any(|participant| participant == user_id) {
                conversation.participants.push(user_id.to_owned());
            }
        }
        let message = Message {
            id: id.clone(),
            created_at: stamp,
            updated_at: stamp,
            message_type: message_type.to_owned(),
            payload,
            outgoing: false,
            user_id: user_id.to_owned(),
            conversation_id: conversation_id.to_owned(),
            tags: Tags::new(),
            plugin_tags: Tags::new(),
            origin: None,
            speaker: None,
        };
        self.messages.insert(id, message)
    }

    /// A plugin tag of a conversation.
    pub(crate) fn conversation_tag(&self, conversation_id: &str, name: &str) -> Option<String> {
        self.conversations.get(conversation_id)?.plugin_tags.get(name).cloned()
    }

    /// Sets a plugin tag of a conversation.
    pub(crate) fn tag_conversation(&mut self, conversation_id: &str, name: &str, value: &str) {
        if let Some(conversation) = self.conversations.get_mut(conversation_id) {
            conversation.plugin_tags.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Sets a plugin tag of a user.
    pub(crate) fn tag_user(&mut self, user_id: &str, name: &str, value: &str) {
        if let Some(user) = self.users.get_mut(user_id) {
            user.plugin_tags.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The messages of a conversation, newest first.
    pub(crate) fn messages_of(&self, conversation: &Conversation) -> impl Iterator<Item = &Message> {
        conversation.messages.iter().rev().filter_map(|id| self.messages.get(id))
    }
}

/// An id with 26 characters after its prefix, like the vendor's.
pub(super) fn new_id(prefix: &str) -> String {
    let random: String = Uuid::new_v4().simple().to_string().to_uppercase().chars().take(26).collect();
    format!("{prefix}{random}")
}

/// The plugin's record of an upstream conversation's latest session.
#[derive(Clone, Debug)]
pub(in crate::botpress) struct Session {
    pub(super) configuration: Configuration,
    pub(super) start_message_id: Option<String>,
    pub(super) started_at: Timestamp,
}

/// The plugin's configuration; a text of `NULL` is not sent.
///
/// Source: `plugin.definition` of the HITL plugin.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// `onHitlHandoffMessage`, to the user.
    pub handoff_message: String,
    /// `onHumanAgentAssignedMessage`, to the user.
    pub agent_assigned_message: String,
    /// `onHitlStoppedMessage`, to the user.
    pub stopped_message: String,
    /// `onUserHitlCancelledMessage`, to the agent.
    pub user_cancelled_message: String,
    /// `onIncompatibleMsgTypeMessage`, to the agent.
    pub incompatible_message: String,
    /// `onUserHitlCloseMessage`, to the user.
    pub user_closed_message: String,
    /// `onAgentAssignedTimeoutMessage`, to the user.
    pub assignment_timeout_message: String,
    /// `userHitlCloseCommand`.
    pub close_command: String,
    /// `agentAssignedTimeoutSeconds`; zero is off.
    pub agent_assigned_timeout: Duration,
    /// `useHumanAgentInfo`: agents appear under their own name.
    pub use_human_agent_info: bool,
    /// `flowOnHitlStopped`: the workflow goes on after the end.
    pub flow_on_hitl_stopped: bool,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            handoff_message: "I have escalated this conversation to a human agent. They should be with you shortly."
                .to_owned(),
            agent_assigned_message: "A human agent has joined the conversation.".to_owned(),
            stopped_message: "The human agent closed the conversation. I will continue assisting you.".to_owned(),
            user_cancelled_message: "( The user has ended the session. )".to_owned(),
            incompatible_message:
                "Sorry, the user can not receive this type of message. Please resend your message as a text message."
                    .to_owned(),
            user_closed_message: "You have ended the session with the human agent. I will continue assisting you."
                .to_owned(),
            assignment_timeout_message: "No human agent is available at the moment. Please try again later. \
                I will continue assisting you for the time being."
                .to_owned(),
            close_command: "/end".to_owned(),
            agent_assigned_timeout: Duration::ZERO,
            use_human_agent_info: true,
            flow_on_hitl_stopped: true,
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::wire::wire_time;
    use super::*;

    #[test]
    fn stamps_grow_although_the_clock_stands_still() {
        let mut world = World::default();
        let now = Timestamp::from_unix_millis(1_000);
        let first = world.stamp(now);
        assert!(world.stamp(now) > first);
        assert_eq!(wire_time(first), "1970-01-01T00:00:01.000Z");
    }
}
