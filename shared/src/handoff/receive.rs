//! LiveChat's events: judged, accepted into the lane towards the bot, and delivered from there.

use std::time::Duration;

use super::accept::Intake;
use super::drain::Whose;
use super::start::LOOK_AGAIN;
use super::{DELIVERY_TIME, Handoff, Result, lease_until, platform};
use crate::bridge::ToBot;
use crate::bridge::decide;
use crate::clock::Timestamp;
use crate::livechat::webhook::Event;
use crate::store::lane::Occupancy;
use crate::store::{ChatPointer, State, Surroundings};

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
        let source_ids = decide::source_ids(event);
        let Some((pointer, around)) = self.find_chat_of(event, &source_ids).await? else {
            return Ok(Received::NotOurs);
        };
        let intentions = decide::decide(event, &pointer, self.clock.now());
        if intentions.is_empty() && !matches!(event, Event::IncomingChat { .. }) {
            return Ok(Received::Ignored);
        }
        let whose = Whose { source_ids: &source_ids, ..Whose::from(&pointer.session_id) };
        let around = match around {
            Some(around) => around,
            None => self.look_around::<ToBot>(whose).await,
        };
        if intentions.is_empty() {
            self.bring_what_the_start_finds(whose, around, deadline).await;
            return Ok(Received::Ignored);
        }
        let lease = lease_until(deadline);
        let seen = around.session.clone();
        let intentions = intentions.into_iter().map(|intention| match &seen {
            Some(session) => intention.seen_in(session).into_item(),
            None => intention.into_item(),
        });
        let intake = self.accept_seeing(around, &pointer.session_id, intentions, &lease).await?;
        self.drain_accepted::<ToBot>(whose, intake, &lease, deadline).await;
        Ok(Received::Accepted)
    }

    /// Delivers what the start has found in its thread, or finds there before it is over: its caller cannot wait for that.
    async fn bring_what_the_start_finds(&self, whose: Whose<'_>, mut around: Surroundings, deadline: Timestamp) {
        while let (Occupancy::Idle { .. }, Some(session)) = (around.occupancy, &around.session)
            && session.state == State::Starting
            && self.clock.now() + LOOK_AGAIN + platform::settle(self, session) + DELIVERY_TIME < deadline
        {
            self.clock.sleep(LOOK_AGAIN).await;
            around = self.look_around::<ToBot>(whose).await;
        }
        if !around.occupancy.is_idle() {
            let intake = Intake::nothing_new(around.occupancy);
            self.drain_accepted::<ToBot>(whose, intake, &lease_until(deadline), deadline).await;
        }
    }

    async fn find_chat_of(
        &self,
        event: &Event,
        source_ids: &[String],
    ) -> Result<Option<(ChatPointer, Option<Surroundings>)>> {
        let Some(chat_id) = event.chat_id() else { return Ok(None) };
        let patience_end = self.clock.now() + START_HEAD_START;
        loop {
            let found = self.find_chat(chat_id, source_ids).await?;
            if !self.is_expected(event, found.as_ref().map(|(pointer, _)| pointer)) || self.clock.now() >= patience_end
            {
                return Ok(found);
            }
            self.clock.sleep(LOOK_AGAIN).await;
        }
    }

    /// Whether a start may be about to record where this event belongs; `known` is the chat's pointer so far.
    fn is_expected(&self, event: &Event, known: Option<&ChatPointer>) -> bool {
        match (known, event) {
            // A returning user's pointer names the thread before until the start has recorded the new one.
            (Some(known), _) => event.thread_id().is_some_and(|thread_id| *thread_id != known.thread_id),
            (None, Event::IncomingChat { chat }) => {
                chat.source_client_id() == Some(self.config.livechat.client_id.as_str())
            }
            (None, _) => false,
        }
    }
}
