//! Events whose webhooks never arrived: they are read from the thread.
//!
//! The events of a thread go through the same decisions as their webhooks would have. Known events are recognised by their receipts,
//! read in one batch. Events that an earlier reading has accepted are not looked up, so a long thread costs no more than a short one.

use std::time::Duration;

use super::platform;
use crate::bridge::ToBot;
use crate::bridge::decide::{self, Intention};
use crate::clock::Timestamp;
use crate::handoff::inbox::content::Content as _;
use crate::handoff::{DELIVERY_TIME, Error, Handoff, Result, lease_until};
use crate::ids::SessionId;
use crate::livechat::Chat;
use crate::model::lane::{Accepted, Lease, Position};
use crate::model::session::{ChatPointer, Disposition, Session, Thread};

/// How long a thread may be silent before it is read.
pub(crate) const SILENCE: Duration = Duration::from_secs(60);

/// The result of reading a thread.
struct Reading {
    items: Vec<(Position, ToBot)>,
    /// Once the items are in the lane, so is everything up to this number.
    up_to: Option<u64>,
}

impl Handoff {
    /// Accepts and delivers the events that no webhook has reported. A queued user is notified of their place in the queue.
    pub(crate) async fn deliver_missed(&self, session: &Session, deadline: Timestamp) -> Result<()> {
        let read = match self.read_session(session).await {
            Err(error) if is_gone(&error) => {
                return match self.is_out_of_reach(session, &error).await? {
                    true => self.end_out_of_reach(session, &error, deadline).await,
                    false => {
                        tracing::warn!(error = %error, session.id = %session.session_id,
                            "the agent token has no access to a session's thread");
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

    /// Accepts those items of a reading that the lane has not accepted before; these are found in one batch and not written again.
    async fn accept_news(&self, session: &Session, told: Vec<(Position, ToBot)>, lease: &Lease) -> Result<Accepted> {
        let session_id = &session.session_id;
        let news = self.news(session_id, told).await?;
        if news.iter().any(|(_, content)| !matches!(content, ToBot::Notice { .. })) {
            tracing::warn!(session.id = %session_id, "events without a webhook were recovered from a thread");
        }
        self.accept_all(session_id, news, lease).await
    }

    /// Returns those of `items` that the lane has not accepted before.
    async fn news(&self, session_id: &SessionId, mut items: Vec<(Position, ToBot)>) -> Result<Vec<(Position, ToBot)>> {
        let source_ids: Vec<_> = items.iter().map(|(position, _)| position.source_id.as_str()).collect();
        let known = self.table.receipts(session_id, ToBot::LANE, &source_ids, self.clock.now()).await?;
        items.retain(|(position, _)| !known.contains(&position.source_id));
        Ok(items)
    }

    /// Accepts the events of a thread from before its webhooks could find the session, and holds them for the settle time. A thread that
    /// was just opened (`is_new`) is read only if such a webhook has left a note, since the reading is billed.
    ///
    /// The reading only supplements the webhooks, so its failure does not fail the start.
    pub(crate) async fn catch_up(&self, session: &Session, thread: &Thread, pointer: &ChatPointer, is_new: bool) {
        let caught_up = async {
            let settled_at = self.clock.now() + platform::settle(self, session);
            // Where LiveChat reports every chat of the licence, unknown chats leave no note, so its absence proves nothing.
            let is_noted = is_new && self.config.only_my_chats;
            if is_noted && !self.table.has_early(&thread.chat_id, self.clock.now()).await? {
                return Ok(());
            }
            let chat = self.read_thread(thread).await?;
            if let Some((position, notice)) = self.place_in_queue(session, &chat) {
                self.accept_for(settled_at, &session.session_id, position, &notice).await?;
            }
            let mut told = self.told_by(session, chat, pointer).items;
            // A single item is written without a lookup, which would take as long as the write.
            if told.len() > 1 {
                told = self.news(&session.session_id, told).await?;
            }
            for (position, content) in told {
                self.accept_for(settled_at, &session.session_id, position, &content).await?;
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = caught_up.await {
            tracing::warn!(error = %error, session.id = %session.session_id, "a session's thread could not be read");
        }
    }

    /// Accepts the events that no webhook has reported, while the caller holds the lane's lease. Returns the thread's disposition.
    pub(super) async fn accept_missed(&self, session: &Session) -> Result<Option<Disposition>> {
        let Some((chat, pointer)) = self.read_session(session).await? else { return Ok(None) };
        let disposition = chat.thread.as_ref().map(decide::disposition);
        let lease = lease_until(self.clock.now() + DELIVERY_TIME);
        self.accept_news(session, self.told_by(session, chat, &pointer).items, &lease).await?;
        Ok(disposition)
    }

    /// Reads the session's thread, and the chat pointer that decisions on its events need.
    async fn read_session(&self, session: &Session) -> Result<Option<(Chat, ChatPointer)>> {
        let Some(thread) = &session.thread else { return Ok(None) };
        let (chat, pointer) = tokio::join!(self.read_thread(thread), self.table.find_by_chat(&thread.chat_id));
        let chat = chat?;
        Ok(pointer?.map(|pointer| (chat, pointer)))
    }

    /// Returns the notice of a queued thread's place in the queue, if there is one to give.
    pub(crate) fn place_in_queue(&self, session: &Session, chat: &Chat) -> Option<(Position, ToBot)> {
        let thread = chat.thread.as_ref().filter(|thread| thread.active)?;
        let queue = thread.queue.filter(|_| session.announced_agent.is_none() && platform::tells_notices(session))?;
        let text = self.words_for_user(session).waiting(queue.position, queue.wait)?.into();
        let position = Position { at: self.clock.now(), source_id: format!("waiting:{}", queue.position) };
        Some((position, ToBot::Notice { text }))
    }

    /// Decides on the events of a session's thread, except those that earlier readings have handled.
    fn told_by(&self, session: &Session, chat: Chat, pointer: &ChatPointer) -> Reading {
        let Some(read) = chat.thread else { return Reading { items: Vec::new(), up_to: None } };
        let decided = decide::decide_from_thread(&read, &chat.users, pointer, self.clock.now());
        let mut items: Vec<_> = decided.into_iter().map(Intention::into_item).collect();
        items.retain(|(position, _)| {
            let number = decide::number_of_source(&position.source_id);
            number.is_none_or(|number| Some(number) > session.read_up_to)
        });
        // A thread that is not the current one does not advance the number.
        let up_to = decide::read_up_to(&read, session.read_up_to).filter(|_| read.id == pointer.thread_id);
        Reading { items, up_to }
    }
}

fn is_gone(error: &Error) -> bool {
    matches!(error, Error::LiveChat(error) if error.is_gone())
}
