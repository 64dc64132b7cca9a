//! Agents who write in a thread without a live session: in a chat reopened after its end, or in a thread that outlived its session.
//!
//! The service posts one notice in the thread and closes it. A start in progress may take over an open thread, so it has priority: the
//! service waits for it, and checks for one again between the notice and the closing. A start in turn takes over no thread that
//! contains the notice.

use std::time::Duration;

use crate::bridge::decide::end_of;
use crate::bridge::{ToAgent, ToBot};
use crate::clock::Timestamp;
use crate::handoff::delivery::outbound::{Attempt, Delay, Delivered};
use crate::handoff::vendors::limits::hurried;
use crate::handoff::{Error, Handoff, Result, fresh_holder, lease_until};
use crate::ids::{GroupId, ThreadId, UserId};
use crate::livechat::NewEvent;
use crate::model::lane::Position;
use crate::model::message::Utterance;
use crate::model::session::{ChatPointer, Session, State, Thread};

/// How often to check a start that may take over the thread.
const LISTENER_POLL: Duration = Duration::from_secs(1);

/// Without a session to record them, reports within this time count as one: less than LiveChat waits before it repeats a webhook.
const AT_ONCE: Duration = Duration::from_secs(4);

/// What listens in a thread.
enum Listener {
    /// A start in progress that may take it over.
    Start,
    /// The user's current session.
    Session,
    /// Nothing; the session, if any, still refers to an earlier thread of the user.
    Nobody(Option<Box<Session>>),
}

impl Handoff {
    /// Handles an agent's message in a thread of a known chat that may have no live session. Returns whether that can be the case: a
    /// late report of an earlier thread is recognised by the thread's id, or because the thread is closed.
    pub(crate) async fn receive_unheard(
        &self,
        pointer: &ChatPointer,
        thread: Thread,
        deadline: Timestamp,
    ) -> Result<bool> {
        let (id, now) = (&pointer.session_id, self.clock.now());
        let Some(session) = self.table.session(id).await? else {
            let asked = Utterance { heard_at: now, source_id: fresh_holder() };
            let is_first =
                self.table.first_asked(&remark_in(&thread.thread_id), asked.clone(), AT_ONCE).await? == asked;
            if is_first {
                self.answer_unheard(&pointer.user_id, self.config.group_id, &thread, None).await?;
            }
            return Ok(is_first);
        };
        // A late report of an earlier thread, which gets no notice any more.
        if session.earlier_thread_id.as_ref() == Some(&thread.thread_id)
            || (session.state == State::Active && hurried(self.is_closed(&thread)).await)
        {
            return Ok(false);
        }
        let lease = lease_until(deadline);
        let position = Position { at: now, source_id: remark_in(&thread.thread_id) };
        let accepted = self.accept(id, position, &ToAgent::Unheard { thread }, &lease).await?;
        self.drain_accepted::<ToAgent>(id, accepted, &lease, deadline).await;
        Ok(true)
    }

    /// Posts the notice in a thread without a live session, and closes it. Safe to call again after any failure; LiveChat may still
    /// carry out a failed call until `in_doubt_until`.
    pub(super) async fn answer_unheard(
        &self,
        user_id: &UserId,
        group_id: GroupId,
        thread: &Thread,
        in_doubt_until: Option<Timestamp>,
    ) -> Result<Attempt> {
        let Listener::Nobody(earlier) = self.listener_in(user_id, thread).await? else {
            return self.wait_for_listener(user_id, thread).await;
        };
        // Taken before the thread is read: a notice that appears after the reading would be missed.
        let doubt = in_doubt_until.filter(|until| self.clock.now() < *until);
        let read = match self.read_thread(thread).await {
            Err(Error::LiveChat(error)) if error.is_gone() => None,
            read => read?.thread,
        };
        let Some(read) = read.filter(|read| read.active) else { return Ok(Delivered::dropped().into()) };
        if let Some(earlier) = earlier {
            self.end_earlier(&earlier).await?;
        }
        let remark = remark_in(&thread.thread_id);
        if !read.events.iter().any(|event| event.custom_id.as_ref() == Some(&remark)) {
            if let Some(until) = doubt {
                return Err(Error::InDoubt { until });
            }
            self.say_that_nobody_listens(user_id, group_id, thread, remark).await?;
        }
        // A start that began meanwhile may have taken the thread over before the notice was in it.
        let Listener::Nobody(_) = self.listener_in(user_id, thread).await? else {
            return self.wait_for_listener(user_id, thread).await;
        };
        self.close_beside_starts(user_id, thread, in_doubt_until).await?;
        tracing::warn!("an agent wrote in a chat without a session; the thread is closed");
        Ok(Delivered::without_id().into())
    }

    /// Returns whether a thread is known to be closed or no longer exists.
    async fn is_closed(&self, thread: &Thread) -> bool {
        match self.read_thread(thread).await {
            Ok(chat) => !chat.thread.is_some_and(|read| read.active),
            Err(Error::LiveChat(error)) => error.is_gone(),
            Err(_) => false,
        }
    }

    async fn wait_for_listener(&self, user_id: &UserId, thread: &Thread) -> Result<Attempt> {
        Ok(match self.listener_in(user_id, thread).await? {
            Listener::Session => Delivered::dropped().into(),
            Listener::Start | Listener::Nobody(_) => Attempt::Later(self.clock.now() + LISTENER_POLL, Delay::Early),
        })
    }

    async fn listener_in(&self, user_id: &UserId, thread: &Thread) -> Result<Listener> {
        let session_id = self.table.user(user_id).await?.and_then(|user| user.session_id);
        let session = match session_id {
            Some(session_id) => self.table.session(&session_id).await?,
            None => None,
        };
        let Some(session) = session else { return Ok(Listener::Nobody(None)) };
        let is_its_own = session.thread.as_ref() == Some(thread);
        Ok(match session.state {
            State::Starting => Listener::Start,
            State::Active | State::Closing if is_its_own => Listener::Session,
            State::Active => Listener::Nobody(Some(Box::new(session))),
            State::Closing | State::Closed => Listener::Nobody(None),
        })
    }

    /// Ends a session in an earlier thread of the same chat. A chat has one open thread, so that session is over but does not know it.
    async fn end_earlier(&self, session: &Session) -> Result<()> {
        let Some(thread) = &session.thread else { return Ok(()) };
        let now = self.clock.now();
        let position = Position { at: now, source_id: end_of(&thread.thread_id) };
        self.accept_for(now, &session.session_id, position, &ToBot::Stopped).await
    }

    /// Posts the notice in the customer's name. If that is impossible the notice is omitted, and the thread is closed anyway.
    async fn say_that_nobody_listens(
        &self,
        user_id: &UserId,
        group_id: GroupId,
        thread: &Thread,
        remark: String,
    ) -> Result<()> {
        let words = self.words_for_agents(group_id);
        let note = words.nobody_listens().and_then(|text| words.note(&text));
        let user = self.table.user(user_id).await?.filter(|user| user.customer.is_some());
        let (Some(note), Some(user)) = (note, user) else { return Ok(()) };
        match self.send_event(&user, &thread.chat_id, &NewEvent::text(note, remark)).await {
            Err(error) if error.is_retryable() => Err(error),
            Err(error) => {
                tracing::warn!(error = %error, "an agent could not be notified that the chat has no session");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }
}

/// The id by which the notice is recognised in its thread, and its item in the lane.
pub(crate) fn remark_in(thread_id: &ThreadId) -> String {
    format!("unheard:{thread_id}")
}
