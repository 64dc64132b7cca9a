//! Agents who write where nobody listens: in a chat that they opened again after its end, or in a thread that outlived its session.
//!
//! They are told so in the thread, once, and the thread is closed. A start that is under way takes an open thread over, so it comes
//! first: it is waited for, and looked for once more between the sentence and the closing. A start in turn takes no thread over in
//! which it finds the sentence.

use std::time::Duration;

use crate::bridge::decide::end_of;
use crate::bridge::{ToAgent, ToBot};
use crate::clock::Timestamp;
use crate::handoff::inbox::content::{Attempt, Delay, Delivered};
use crate::handoff::vendors::limits::hurried;
use crate::handoff::{Error, Handoff, Result, fresh_holder, lease_until};
use crate::ids::{GroupId, ThreadId, UserId};
use crate::livechat::NewEvent;
use crate::model::lane::Position;
use crate::model::message::Utterance;
use crate::model::session::{ChatPointer, Session, State, Thread};

/// How often a start that may take the thread over is looked at.
const LISTENER_POLL: Duration = Duration::from_secs(1);

/// Without a session that could remember it, reports within this time are one: less than LiveChat lets pass before it repeats one.
const AT_ONCE: Duration = Duration::from_secs(4);

/// Who listens in a thread.
enum Listener {
    /// A start is under way that may take it over.
    Start,
    /// The user's present session.
    Session,
    /// Nobody; this session still believes in an earlier thread of the user's.
    Nobody(Option<Box<Session>>),
}

impl Handoff {
    /// Takes note that an agent has written in a thread of our chat in which nobody may listen, and sees to it; tells whether that can
    /// be. Late word of an earlier thread is told from it by the thread's id, or by its being closed.
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
        // Late word of an earlier thread, in which nobody is told anything any more.
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

    /// Tells agents in a thread that nobody listens, and closes it; safe to call again after any failure, of which LiveChat may be at
    /// work until then.
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
        let Listener::Nobody(_) = self.listener_in(user_id, thread).await? else {
            return self.wait_for_listener(user_id, thread).await;
        };
        self.close_beside_starts(user_id, thread, in_doubt_until).await?;
        tracing::warn!("an agent wrote where nobody listens; the thread is closed");
        Ok(Delivered::without_id().into())
    }

    /// Whether a thread is known to be closed, or gone.
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

    /// A chat has one open thread: a session in an earlier one of the same chat is over, and has not heard of it.
    async fn end_earlier(&self, session: &Session) -> Result<()> {
        let Some(thread) = &session.thread else { return Ok(()) };
        let now = self.clock.now();
        let position = Position { at: now, source_id: end_of(&thread.thread_id) };
        self.accept_for(now, &session.session_id, position, &ToBot::Stopped).await
    }

    /// What cannot be said in the customer's name is left unsaid: the thread is closed all the same.
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
                tracing::warn!(error = %error, "an agent could not be told that nobody listens");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }
}

/// By what the sentence is recognised in its thread, and what leads to it in the lane.
pub(crate) fn remark_in(thread_id: &ThreadId) -> String {
    format!("unheard:{thread_id}")
}
