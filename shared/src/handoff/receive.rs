//! LiveChat's events: judged, accepted into the lane towards the bot, and delivered from there.

use std::time::Duration;

use super::drain::Whose;
use super::{Handoff, Result, lease_until};
use crate::bridge::ToBot;
use crate::bridge::decide::{self, Intention};
use crate::clock::Timestamp;
use crate::livechat::webhook::Event;
use crate::store::lane::Accepted;
use crate::store::{ChatPointer, Surroundings};

/// How long an event may arrive before the start that opened its thread has recorded the thread.
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
        let Some((pointer, around)) = self.find_chat_of(event).await? else { return Ok(Received::NotOurs) };
        let intentions = decide::decide(event, &pointer, self.clock.now());
        let (whose, lease) = (Whose::from(&pointer.session_id), lease_until(deadline));
        if intentions.is_empty() {
            if let Event::IncomingChat { .. } = event {
                // What the start has found in its thread waits for somebody who has the time to bring it.
                self.drain_accepted::<ToBot>(whose, Accepted::Duplicate, &lease, deadline).await;
            }
            return Ok(Received::Ignored);
        }
        let around = match around {
            Some(around) => around,
            None => self.look_around::<ToBot>(whose).await,
        };
        let intentions = intentions.into_iter().map(Intention::into_item);
        let intake = self.accept_seeing(around, &pointer.session_id, intentions, &lease).await?;
        self.drain_accepted::<ToBot>(whose, intake, &lease, deadline).await;
        Ok(Received::Accepted)
    }

    async fn find_chat_of(&self, event: &Event) -> Result<Option<(ChatPointer, Option<Surroundings>)>> {
        let Some(chat_id) = event.chat_id() else { return Ok(None) };
        let found = self.find_chat(chat_id).await?;
        // A returning user's pointer names the thread before until the start has recorded the new one.
        let expected = match (&found, event) {
            (Some((known, _)), _) => event.thread_id().is_some_and(|thread_id| *thread_id != known.thread_id),
            (None, Event::IncomingChat { chat }) => {
                chat.source_client_id() == Some(self.config.livechat.client_id.as_str())
            }
            (None, _) => false,
        };
        if !expected {
            return Ok(found);
        }
        self.clock.sleep(START_HEAD_START).await;
        self.find_chat(chat_id).await
    }
}
