//! Reconciliation: what happened in a thread although no webhook told of it.
//!
//! LiveChat repeats a webhook for about a minute only. A thread that has been silent for a while is read as a whole, and
//! goes through the same decisions as its webhooks would have. What is known already is recognised by its receipts, in one batch; and what
//! an earlier reading has seen to is not even looked for, so that a long thread costs no more than a short one.

use std::time::Duration;

use super::drain::Content as _;
use super::{DELIVERY_TIME, Handoff, Result, lease_until, platform};
use crate::bridge::ToBot;
use crate::bridge::decide::{self, Intention};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::livechat::Chat;
use crate::store::lane::{Accepted, Lease, Position};
use crate::store::{ChatPointer, Disposition, Due, KEPT_AGAIN_AFTER, Session, State, Thread};

/// How long a thread may be silent before it is read.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// The longest time between two readings of a thread that stays silent; each call is billed.
const LONGEST_SILENCE: Duration = Duration::from_secs(960);

/// A sweep that comes later than this after the one before follows an outage of ours.
const OUTAGE: Duration = Duration::from_secs(150);

/// How many sessions are hastened after an outage; the rest is read when it is due.
const MOST_HASTENED: i32 = 1_000;

/// What a thread that was read tells.
struct Told {
    items: Vec<(Position, ToBot)>,
    /// Once that is in the lane, so is everything up to this number.
    up_to: Option<u64>,
}

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
        let place = self.place_in_queue(session, &chat);
        if place.is_some() {
            self.table.hasten_read(session_id, self.clock.now() + SILENCE).await?;
        }
        let mut told = self.told_by(session, chat, &pointer);
        told.items.extend(place);
        let accepted = self.accept_news(session, told.items, &lease).await?;
        if let Some(number) = told.up_to.filter(|number| Some(*number) > session.read_up_to) {
            self.table.note_read(session_id, number).await?;
        }
        if accepted != Accepted::Duplicate {
            self.drain_accepted::<ToBot>(session_id, accepted, &lease, deadline).await;
        }
        Ok(())
    }

    /// Accepts what a reading brings and the lane has not had: what it has had is found in one batch, and written no second time.
    async fn accept_news(&self, session: &Session, told: Vec<(Position, ToBot)>, lease: &Lease) -> Result<Accepted> {
        let session_id = &session.session_id;
        let news = self.news(session_id, told).await?;
        if news.iter().any(|(_, content)| !matches!(content, ToBot::Notice { .. })) {
            tracing::warn!(session.id = %session_id, "a thread held something that no webhook had brought");
        }
        self.accept_all(session_id, news, lease).await
    }

    /// Those of `items` that the lane has not had.
    async fn news(&self, session_id: &SessionId, mut items: Vec<(Position, ToBot)>) -> Result<Vec<(Position, ToBot)>> {
        let source_ids: Vec<_> = items.iter().map(|(position, _)| position.source_id.as_str()).collect();
        let known = self.table.receipts(session_id, ToBot::LANE, &source_ids, self.clock.now()).await?;
        items.retain(|(position, _)| !known.contains(&position.source_id));
        Ok(items)
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
            let mut told = self.told_by(session, chat, pointer).items;
            // A single one is tried: to look for it would cost as much time as to write it.
            if told.len() > 1 {
                told = self.news(&session.session_id, told).await?;
            }
            for (position, content) in told {
                self.accept_for(settled_at, &session.session_id, position, &content).await?;
            }
            Ok::<(), super::Error>(())
        };
        if let Err(error) = caught_up.await {
            tracing::warn!(error = %error, session.id = %session.session_id, "the thread could not be read");
        }
    }

    /// Accepts what no webhook has brought, while the lane's lease is held already; tells what the thread says of its end.
    pub(super) async fn accept_missed(&self, session: &Session) -> Result<Option<Disposition>> {
        let Some((chat, pointer)) = self.read_session(session).await? else { return Ok(None) };
        let disposition = chat.thread.as_ref().map(decide::disposition);
        let lease = lease_until(self.clock.now() + DELIVERY_TIME);
        self.accept_news(session, self.told_by(session, chat, &pointer).items, &lease).await?;
        Ok(disposition)
    }

    /// The session's thread, with what its events are judged by.
    async fn read_session(&self, session: &Session) -> Result<Option<(Chat, ChatPointer)>> {
        let Some(thread) = &session.thread else { return Ok(None) };
        let (chat, pointer) = tokio::join!(self.read_thread(thread), self.table.find_by_chat(&thread.chat_id));
        let chat = chat?;
        Ok(pointer?.map(|pointer| (chat, pointer)))
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

    /// What a session's thread tells, but for what earlier readings have seen to.
    fn told_by(&self, session: &Session, chat: Chat, pointer: &ChatPointer) -> Told {
        let Some(read) = chat.thread else { return Told { items: Vec::new(), up_to: None } };
        let decided = decide::decide_from_thread(&read, &chat.users, pointer, self.clock.now());
        let mut items: Vec<_> = decided.into_iter().map(Intention::into_item).collect();
        items.retain(|(position, _)| {
            let number = decide::number_of_source(&position.source_id);
            number.is_none_or(|number| Some(number) > session.read_up_to)
        });
        // A thread that is not the present one tells nothing.
        let up_to = decide::read_up_to(&read, session.read_up_to).filter(|_| read.id == pointer.thread_id);
        Told { items, up_to }
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
