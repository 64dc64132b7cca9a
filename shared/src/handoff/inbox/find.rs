//! Finding the session that a call is for.
//!
//! The id in a call leads to a session through a pointer in the table, and only then can the session's context be read. A process
//! remembers where pointers led, so that both can be read at once. The memory is only a guess: it counts if the pointer that was
//! read confirms it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Inbox;
use super::content::{Content, LaneKey};
use crate::bridge::{ToAgent, ToBot};
use crate::clock::Timestamp;
use crate::handoff::Result;
use crate::ids::{ChatId, ConversationId, SessionId, UserId};
use crate::model::session::{ChatPointer, ConversationPointer, Session, State};
use crate::model::user::User;
use crate::store::LaneContext;

/// How many pointers of a kind a process remembers, far more than it handles at a time; then it starts over.
const MOST_REMEMBERED: usize = 1_000;

/// Where pointers led when they were last read.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    conversations: Remembered<ConversationId, ConversationPointer>,
    chats: Remembered<ChatId, SessionId>,
    users: Remembered<UserId, SessionId>,
    early: Remembered<ChatId, Timestamp>,
}

/// How long a process writes no second note of early events in a chat.
const NOTED_FOR: Duration = Duration::from_secs(60);

impl Memory {
    /// Returns whether this process has recently noted an early event in a chat.
    pub(crate) fn has_early(&self, id: &ChatId, now: Timestamp) -> bool {
        self.early.get(id).is_some_and(|at| now.since(at) < NOTED_FOR)
    }

    /// Remembers that the note was written.
    pub(crate) fn put_early(&self, id: &ChatId, now: Timestamp) {
        self.early.put(id, &now);
    }
}

#[derive(Debug)]
struct Remembered<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Remembered<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: &K, value: &V) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(key.clone(), value.clone());
    }
}

impl Inbox {
    /// Returns the session of a conversation, and the context of its lane to the agents, where the items with `source_ids` will go.
    pub(crate) async fn find_conversation(
        &self,
        id: &ConversationId,
        source_ids: &[String],
    ) -> Result<Option<(ConversationPointer, LaneContext)>> {
        let now = self.clock.now();
        if let Some(guess) = self.memory.conversations.get(id) {
            let wanted = LaneKey { source_ids, ..LaneKey::from(&guess) }.wanted::<ToAgent>();
            let (pointer, around) = self.table.find_by_conversation_and_look(id, wanted, now).await?;
            if pointer.as_ref() == Some(&guess) {
                return Ok(pointer.map(|pointer| (pointer, around)));
            }
        }
        let Some(pointer) = self.table.find_by_conversation(id, now).await? else { return Ok(None) };
        self.memory.conversations.put(id, &pointer);
        let around = self.load_context::<ToAgent>(LaneKey { source_ids, ..LaneKey::from(&pointer) }).await;
        Ok(Some((pointer, around)))
    }

    /// Returns the latest session of a chat and, if it was remembered, the context of its lane to the bot.
    pub(crate) async fn find_chat(
        &self,
        id: &ChatId,
        source_ids: &[String],
    ) -> Result<Option<(ChatPointer, Option<LaneContext>)>> {
        if let Some(guess) = self.memory.chats.get(id) {
            let wanted = LaneKey { source_ids, ..LaneKey::from(&guess) }.wanted::<ToBot>();
            let (pointer, around) = self.table.find_by_chat_and_look(id, wanted).await?;
            if let Some(pointer) = pointer.filter(|pointer| pointer.session_id == guess) {
                return Ok(Some((pointer, Some(around))));
            }
        }
        let Some(pointer) = self.table.find_by_chat(id).await? else { return Ok(None) };
        self.memory.chats.put(id, &pointer.session_id);
        Ok(Some((pointer, None)))
    }

    /// Returns the current or last session of a user, and the context of its lane to the agents.
    pub(crate) async fn find_session_of(&self, user_id: &UserId) -> Result<Option<(Session, LaneContext)>> {
        let leads_to = |user: &User, session_id: &SessionId| user.session_id.as_ref() == Some(session_id);
        let look = async |session_id: &SessionId| {
            let whose = LaneKey { user_id: Some(user_id), ..LaneKey::from(session_id) };
            self.table.lane_context(whose.wanted::<ToAgent>()).await
        };
        if let Some(guess) = self.memory.users.get(user_id) {
            let around = look(&guess).await?;
            if around.user.as_ref().is_some_and(|user| leads_to(user, &guess)) {
                return Ok(around.session.clone().map(|session| (session, around)));
            }
        }
        let Some(session_id) = self.table.user(user_id).await?.and_then(|user| user.session_id) else {
            return Ok(None);
        };
        self.memory.users.put(user_id, &session_id);
        let around = look(&session_id).await?;
        Ok(around.session.clone().map(|session| (session, around)))
    }

    /// Reads the context of a lane before an item is accepted. A failure is only logged, since the item can be made durable without it.
    pub(crate) async fn load_context<C: Content>(&self, whose: LaneKey<'_>) -> LaneContext {
        self.table.lane_context(whose.wanted::<C>()).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error, session.id = %whose.session_id,
                "a lane could not be read in advance; it is read when it is needed");
            LaneContext::default()
        })
    }

    /// Returns the live session that a user's messages are for.
    pub(crate) async fn live_session(&self, user_id: &UserId) -> Result<Option<(Session, LaneContext)>> {
        Ok(self.find_session_of(user_id).await?.filter(|(session, _)| is_live(session)))
    }
}

/// Returns whether a session has agents at its other end, or will have.
pub(crate) const fn is_live(session: &Session) -> bool {
    matches!(session.state, State::Starting | State::Active)
}
