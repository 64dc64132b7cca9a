//! LiveChat's threads: read, written to and closed.

use super::Vendors;
use super::credentials::call;
use crate::bridge::AgentProfile;
use crate::handoff::{Error, Result};
use crate::ids::{AgentId, ChatId, EventId, numbered};
use crate::livechat::{Chat, NewEvent};
use crate::model::session::{Session, Thread};
use crate::model::user::User;

impl Vendors {
    /// Whether an agent takes part in the session's chat now.
    pub(crate) async fn is_present(&self, session: &Session, agent_id: &AgentId) -> Result<bool> {
        let Some(thread) = &session.thread else { return Ok(false) };
        let users = match self.read_thread(thread).await {
            Err(Error::LiveChat(error)) if error.is_gone() => return Ok(false),
            read => read?.users,
        };
        Ok(users.iter().any(|user| user.id == *agent_id && user.present != Some(false)))
    }

    /// An agent's profile according to LiveChat, in this chat.
    pub(crate) async fn look_up_profile(&self, session: &Session, agent_id: &AgentId) -> Option<AgentProfile> {
        match self.read_thread(session.thread.as_ref()?).await {
            Ok(chat) => chat.users.iter().find(|user| user.id == *agent_id).map(AgentProfile::of),
            Err(error) => {
                tracing::warn!(error = %error, session.id = %session.session_id, "an agent's name could not be read");
                None
            }
        }
    }

    /// A chat with one of its threads, as agents see it; events of the same time are sorted by LiveChat's numbers.
    pub(crate) async fn read_thread(&self, thread: &Thread) -> Result<Chat> {
        let mut agent = self.as_agent().await?;
        let mut chat: Chat = call!(agent.get_chat(&thread.chat_id, Some(&thread.thread_id)))?;
        if let Some(thread) = &mut chat.thread {
            thread.events.sort_by_key(|event| (event.created_at, numbered(event.id.as_str()).1));
        }
        Ok(chat)
    }

    pub(crate) async fn send_event(&self, user: &User, chat_id: &ChatId, event: &NewEvent) -> Result<EventId> {
        let customer = self.ensure_customer(&user.user_id, user.customer.clone()).await?;
        let mut customer = self.as_customer(&user.user_id, customer);
        call!(once customer.send_event(chat_id, event))
    }

    /// Looks for an event of the service in a thread: the only way to find out the outcome of an unanswered call.
    pub(crate) async fn find_event(&self, thread: &Thread, custom_id: &str) -> Result<Option<EventId>> {
        let events = self.read_thread(thread).await?.thread.map(|thread| thread.events).unwrap_or_default();
        let found = events.into_iter().find(|event| event.custom_id.as_deref() == Some(custom_id));
        Ok(found.map(|event| event.id))
    }

    /// Closes the open thread of a chat; succeeds if it is closed already or no longer exists.
    pub(crate) async fn deactivate(&self, chat_id: &ChatId) -> Result<()> {
        let mut agent = self.as_agent().await?;
        match call!(once agent.deactivate_chat(chat_id)) {
            Err(Error::LiveChat(error)) if error.is_chat_inactive() || (error.is_gone() && !error.is_forbidden()) => {
                Ok(())
            }
            answer => answer,
        }
    }
}
