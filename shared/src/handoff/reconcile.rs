//! Reconciliation: what happened in a thread although no webhook told of it.
//!
//! LiveChat repeats a webhook for about a minute only. A thread that has been silent for a while is read as a whole, and
//! goes through the same decisions as its webhooks would have; what is known already is recognised as a duplicate.

use std::time::Duration;

use super::drain::Content as _;
use super::{DELIVERY_TIME, Handoff, Result, lease_until, platform};
use crate::bridge::ToBot;
use crate::bridge::decide::{self, Intention};
use crate::clock::Timestamp;
use crate::livechat::Chat;
use crate::store::lane::{Accepted, Position};
use crate::store::{ChatPointer, Due, KEPT_AGAIN_AFTER, Session, State, Thread};

/// How long a thread may be silent before it is read.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// The longest time between two readings of a thread that stays silent; each call is billed.
const LONGEST_SILENCE: Duration = Duration::from_secs(960);

/// A sweep that comes later than this after the one before follows an outage of ours.
const OUTAGE: Duration = Duration::from_secs(150);

/// How many sessions are hastened after an outage; the rest is read when it is due.
const MOST_HASTENED: i32 = 1_000;

impl Handoff {
    /// After an outage of ours every session is due at once: nobody knows what was missed. The sweep `last` ran then.
    pub(super) async fn hasten_after_outage(&self, last: Timestamp, now: Timestamp) -> Result<()> {
        if now.since(last) > OUTAGE {
            tracing::warn!(outage.seconds = now.since(last).as_secs(), "the sweep has not run for a while");
            self.hasten_all(now).await?;
        }
        Ok(())
    }

    /// Makes every session due: nobody knows in which of them something has happened.
    pub(super) async fn hasten_all(&self, now: Timestamp) -> Result<()> {
        for (_, session_id, due) in self.table.due(now + LONGEST_SILENCE, MOST_HASTENED).await? {
            if due == Due::Session {
                self.table.hasten_read(&session_id, now).await?;
            }
        }
        Ok(())
    }

    /// Reads a silent session's thread and accepts what is new in it; tells whether it was this one's turn.
    pub(super) async fn reconcile(&self, session: &Session, deadline: Timestamp) -> Result<bool> {
        let now = self.clock.now();
        let session_id = &session.session_id;
        let arrived_at = self.table.last_arrival(session_id, ToBot::LANE).await?;
        let speaks_until = arrived_at.map(|at| at + SILENCE).filter(|until| now < *until && !session.must_read);
        if let Some(speaks_until) = speaks_until {
            return Ok(self.table.take_read(session_id, now, speaks_until, 0).await?);
        }
        let pause = SILENCE.saturating_mul(2_u32.saturating_pow(session.silent_reads)).min(LONGEST_SILENCE);
        if !self.table.take_read(session_id, now, now + pause, session.silent_reads.saturating_add(1)).await? {
            return Ok(false);
        }
        if let Err(error) = self.deliver_missed(session, deadline).await {
            self.note_limit(&error, &session.user_id).await;
            self.table.hasten_read(session_id, now + SILENCE).await?;
            return Err(error);
        }
        Ok(true)
    }

    /// Accepts and delivers what no webhook has brought; a user who waits hears how the queue moves.
    pub(super) async fn deliver_missed(&self, session: &Session, deadline: Timestamp) -> Result<()> {
        let read = match self.read_session(session).await {
            Err(error) if is_gone(&error) => {
                return match self.is_out_of_reach(session, &error).await? {
                    true => self.end_out_of_reach(session, &error, deadline).await,
                    false => {
                        tracing::warn!(error = %error, session.id = %session.session_id, "a thread is not for the agent token");
                        Ok(())
                    }
                };
            }
            read => read?,
        };
        let Some((chat, pointer)) = read else { return Ok(()) };
        let (session_id, lease) = (&session.session_id, lease_until(deadline));
        if self.tell_place(session, &chat, deadline).await? {
            self.table.hasten_read(session_id, self.clock.now() + SILENCE).await?;
        }
        let accepted = self.accept_all(session_id, self.told_by(chat, &pointer), &lease).await?;
        if accepted != Accepted::Duplicate {
            tracing::warn!(session.id = %session_id, "a thread held something that no webhook had brought");
            self.drain_accepted::<ToBot>(session_id, accepted, &lease, deadline).await;
        }
        Ok(())
    }

    /// Accepts what happened in a thread before its webhooks could find the session; holds it for the settle time.
    ///
    /// The reading is an addition to the webhooks, so its failure fails nothing.
    pub(super) async fn catch_up(&self, session: &Session, thread: &Thread, pointer: &ChatPointer) {
        let caught_up = async {
            let settled_at = self.clock.now() + platform::settle(self, session);
            let chat = self.read_thread(thread).await?;
            if let Some((position, notice)) = self.place_in_queue(session, &chat) {
                self.accept_for(settled_at, &session.session_id, position, &notice).await?;
            }
            for (position, content) in self.told_by(chat, pointer) {
                self.accept_for(settled_at, &session.session_id, position, &content).await?;
            }
            Ok::<(), super::Error>(())
        };
        if let Err(error) = caught_up.await {
            tracing::warn!(error = %error, session.id = %session.session_id, "the thread could not be read");
        }
    }

    /// Accepts what no webhook has brought, while the lane's lease is held already.
    pub(super) async fn accept_missed(&self, session: &Session) -> Result<()> {
        let missed = self.missed(session).await?;
        let lease = lease_until(self.clock.now() + DELIVERY_TIME);
        self.accept_all(&session.session_id, missed, &lease).await.map(drop)
    }

    /// Everything that the session's thread shows to have happened.
    async fn missed(&self, session: &Session) -> Result<Vec<(Position, ToBot)>> {
        let read = self.read_session(session).await?;
        Ok(read.map(|(chat, pointer)| self.told_by(chat, &pointer)).unwrap_or_default())
    }

    /// The session's thread, with what its events are judged by.
    async fn read_session(&self, session: &Session) -> Result<Option<(Chat, ChatPointer)>> {
        let Some(thread) = &session.thread else { return Ok(None) };
        let (chat, pointer) = tokio::join!(self.read_thread(thread), self.table.find_by_chat(&thread.chat_id));
        let chat = chat?;
        Ok(pointer?.map(|pointer| (chat, pointer)))
    }

    /// Tells a user who waits what their place in the queue is, once for each; answers whether they wait and can be told.
    async fn tell_place(&self, session: &Session, chat: &Chat, deadline: Timestamp) -> Result<bool> {
        let Some((position, notice)) = self.place_in_queue(session, chat) else { return Ok(false) };
        self.tell_bot(session, position, &notice, deadline).await?;
        Ok(true)
    }

    /// What there is to say of the queue in which a session's thread waits.
    fn place_in_queue(&self, session: &Session, chat: &Chat) -> Option<(Position, ToBot)> {
        let thread = chat.thread.as_ref().filter(|thread| thread.active)?;
        let queue = thread.queue.filter(|_| session.agent_told.is_none() && platform::tells_notices(session))?;
        let text = self.words_for_user(session).waiting(queue.position, queue.wait)?.into();
        let position = Position { at: self.clock.now(), source_id: format!("waiting:{}", queue.position) };
        Some((position, ToBot::Notice { text }))
    }

    /// Keeps the records of a session that has been open for long: what they have accepted would be new once they have expired.
    async fn keep(&self, session: &Session) {
        let now = self.clock.now();
        if now.since(session.kept_at.unwrap_or(session.started_at)) < KEPT_AGAIN_AFTER {
            return;
        }
        if let Err(error) = Box::pin(self.table.keep(session, now, self.kept_until(now))).await {
            tracing::warn!(error = %error, session.id = %session.session_id, "the records of a session are kept later");
        }
    }

    fn told_by(&self, chat: Chat, pointer: &ChatPointer) -> Vec<(Position, ToBot)> {
        let decided = chat.thread.map(|read| decide::decide_from_thread(&read, &chat.users, pointer, self.clock.now()));
        decided.unwrap_or_default().into_iter().map(Intention::into_item).collect()
    }

    /// Does what is due for a session; tells whether there was anything.
    pub(super) async fn look_after(&self, session: Session, deadline: Timestamp) -> Result<bool> {
        match session.state {
            State::Starting => self.resume_start(session, deadline).await,
            State::Active => {
                Box::pin(self.keep(&session)).await;
                self.reconcile(&session, deadline).await
            }
            // Only the undoing of a start is due by itself; what is left of any other end waits in a lane.
            State::Closing => self.close_from_bot(&session.session_id, deadline).await.map(|()| true),
            State::Closed => Ok(false),
        }
    }
}

fn is_gone(error: &super::Error) -> bool {
    matches!(error, super::Error::LiveChat(error) if error.is_gone())
}
