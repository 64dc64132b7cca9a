//! LiveChat's events: judged, accepted into the lane towards the bot, and delivered from there.

use std::time::Duration;

use super::{Handoff, Result, lease_until};
use crate::bridge::ToBot;
use crate::bridge::decide::{self, Intention};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::livechat::webhook::Event;
use crate::store::lane::{Accepted, Lease};
use crate::store::{ChatPointer, Session};

/// How long the first event of a chat may arrive before the start that opened the chat has recorded it.
const START_HEAD_START: Duration = Duration::from_secs(1);

/// What became of an event; for the log, since LiveChat hears 200 in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is about a chat of the licence that no bot has opened.
    NotOurs,
    /// It means nothing to the bot.
    Ignored,
    /// It is in the lane, or was before.
    Accepted,
}

impl Handoff {
    /// Takes an authentic event of LiveChat.
    ///
    /// # Errors
    ///
    /// [`Error`](super::Error) only when the event could not be made durable: LiveChat shall send it again.
    pub async fn receive(&self, event: &Event, deadline: Timestamp) -> Result<Received> {
        let Some(pointer) = self.find_chat(event).await? else { return Ok(Received::NotOurs) };
        let intentions = decide::decide(event, &pointer, self.clock.now());
        if intentions.is_empty() {
            return Ok(Received::Ignored);
        }
        let lease = lease_until(deadline);
        let holds_lease = self.accept_all(&pointer.session_id, intentions, &lease).await?;
        self.drain_accepted::<ToBot>(&pointer.session_id, holds_lease, &lease, deadline).await;
        Ok(Received::Accepted)
    }

    async fn find_chat(&self, event: &Event) -> Result<Option<ChatPointer>> {
        let Some(chat_id) = event.chat_id() else { return Ok(None) };
        let pointer = self.table.find_by_chat(chat_id).await?;
        let opened_by_us = matches!(
            event,
            Event::IncomingChat { chat } if chat.source_client_id() == Some(self.config.livechat.client_id.as_str())
        );
        if pointer.is_some() || !opened_by_us {
            return Ok(pointer);
        }
        self.clock.sleep(START_HEAD_START).await;
        Ok(self.table.find_by_chat(chat_id).await?)
    }

    /// Makes intentions durable; tells whether the lane's lease came with one of them.
    async fn accept_all(&self, session_id: &SessionId, intentions: Vec<Intention>, lease: &Lease) -> Result<Accepted> {
        let mut result = Accepted::Duplicate;
        for Intention { position, content } in intentions {
            match self.accept(session_id, position, &content, lease).await? {
                Accepted::WithLease => result = Accepted::WithLease,
                Accepted::WithoutLease if result == Accepted::Duplicate => result = Accepted::WithoutLease,
                Accepted::WithoutLease | Accepted::Duplicate => {}
            }
        }
        Ok(result)
    }

    /// Accepts what happened in a thread before its webhooks could find the session; holds it for the settle time.
    ///
    /// The reading is an addition to the webhooks, so its failure fails nothing.
    pub(super) async fn catch_up(&self, session: &Session) {
        if let Err(error) = self.try_catch_up(session).await {
            tracing::warn!(error = %error, session.id = %session.session_id, "the thread could not be read");
        }
    }

    async fn try_catch_up(&self, session: &Session) -> Result<()> {
        let Some(thread) = &session.thread else { return Ok(()) };
        let (chat, pointer) = tokio::join!(self.read_thread(thread), self.table.find_by_chat(&thread.chat_id),);
        let (chat, Some(pointer)) = (chat?, pointer?) else { return Ok(()) };
        let Some(read) = &chat.thread else { return Ok(()) };
        let now = self.clock.now();
        let intentions = decide::decide_from_thread(read, &chat.users, &pointer, now);
        let settled_at = now + self.config.settle;
        let lease = lease_until(settled_at);
        if self.accept_all(&session.session_id, intentions, &lease).await? == Accepted::WithLease {
            self.table.postpone(&session.session_id, crate::store::lane::Lane::ToBot, &lease, settled_at).await?;
        }
        Ok(())
    }
}
