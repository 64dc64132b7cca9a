//! LiveChat's events: checked, accepted into the lane towards the bot, and delivered from there.

use std::time::Duration;

use futures_util::FutureExt as _;

use crate::bridge::{ToBot, decide};
use crate::clock::Timestamp;
use crate::handoff::delivery::platform;
use crate::handoff::inbox::accept::Intake;
use crate::handoff::inbox::content::LaneKey;
use crate::handoff::session::starting::START_POLL;
use crate::handoff::{DELIVERY_TIME, Handoff, Result, lease_until};
use crate::ids::{ChatId, NO_CHAT, ThreadId};
use crate::livechat::Chat;
use crate::livechat::webhook::Event;
use crate::model::lane::{Occupancy, Position};
use crate::model::session::{ChatPointer, State, Thread};
use crate::model::vendor::LIVECHAT;
use crate::store::LaneContext;

/// How long an event may arrive before the start that opened its thread has recorded the thread.
const START_HEAD_START: Duration = Duration::from_secs(1);

/// How long a transfer waits for the event with the same agent's name: a call to look the name up is billed.
const NAME_HEAD_START: Duration = Duration::from_secs(1);

/// The result of an event; for the log, since LiveChat gets 200 in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Its chat belongs to the licence, but was not opened by a bot.
    NotOurs,
    /// It means nothing to the bot.
    Ignored,
    /// It is in the lane, or has been.
    Accepted,
}

impl Handoff {
    /// Handles an authenticated event of LiveChat.
    ///
    /// # Errors
    ///
    /// [`Error`](crate::handoff::Error) only when the event could not be made durable: LiveChat must send it again.
    pub async fn receive(&self, event: &Event, deadline: Timestamp) -> Result<Received> {
        let received = Box::pin(self.receive_any(event, deadline));
        match event.chat_id() {
            // The operator's command only tests the endpoint.
            Some(chat_id) if chat_id.as_str() == NO_CHAT => received.await,
            _ => self.let_in(LIVECHAT, received).await,
        }
    }

    async fn receive_any(&self, event: &Event, deadline: Timestamp) -> Result<Received> {
        match event {
            Event::Unclear { chat_id, rest } => {
                let read = match chat_id {
                    Some(chat_id) => Box::pin(self.read_instead(chat_id, deadline)).await?,
                    None => Received::NotOurs,
                };
                let rest = Box::pin(self.receive_clear(rest, deadline)).await?;
                if chat_id.is_none() && rest == Received::NotOurs {
                    // Its session cannot be determined, so every session's thread is read soon.
                    self.hasten_all(self.clock.now()).await?;
                }
                Ok(if rest == Received::NotOurs { read } else { rest })
            }
            clear => self.receive_clear(clear, deadline).await,
        }
    }

    /// Reads the thread of an event that is not as documented: the thread contains what the event should have reported.
    async fn read_instead(&self, chat_id: &ChatId, deadline: Timestamp) -> Result<Received> {
        let Some((pointer, _)) = self.find_chat(chat_id, &[]).await? else {
            if self.config.only_my_chats {
                self.note_early(chat_id).await?;
            }
            return Ok(Received::NotOurs);
        };
        let Some(session) = self.table.session(&pointer.session_id).await? else { return Ok(Received::NotOurs) };
        if session.state != State::Active {
            // It may belong to a start that has not recorded its thread yet.
            self.note_early(chat_id).await?;
            return Ok(Received::Ignored);
        }
        if let Err(error) = self.deliver_missed(&session, deadline).await {
            tracing::warn!(error = %error, session.id = %session.session_id,
                "the thread of an event that is not as documented could not be read; it is read again soon");
            self.table.hasten_read(&session.session_id, self.clock.now()).await?;
        }
        Ok(Received::Accepted)
    }

    async fn receive_clear(&self, event: &Event, deadline: Timestamp) -> Result<Received> {
        let source_ids = decide::source_ids(event);
        let Some((pointer, around)) = self.find_chat_of(event, &source_ids).await? else {
            return Ok(Received::NotOurs);
        };
        if decide::reports_rating(event, &pointer) {
            // Boxed because it is rare, and would enlarge the future of every event.
            Box::pin(self.take_reported_rating(&pointer.session_id)).await?;
            return Ok(Received::Accepted);
        }
        let spoken_in = decide::spoken_in(event, &pointer);
        let elsewhere = spoken_in.clone().filter(|thread_id| *thread_id != pointer.thread_id);
        if let Some(thread_id) = elsewhere {
            return self.may_be_unheard(event, &pointer, thread_id, deadline).await;
        }
        let intentions = decide::decide(event, &pointer, self.clock.now());
        if intentions.is_empty() && !matches!(event, Event::IncomingChat { .. }) {
            return Ok(Received::Ignored);
        }
        let whose = LaneKey { source_ids: &source_ids, ..LaneKey::from(&pointer.session_id) };
        let around = match around {
            Some(around) => around,
            None => self.load_context::<ToBot>(whose).await,
        };
        let around = match event {
            Event::ChatTransferred { thread_id: Some(_), .. } if !intentions.is_empty() => {
                self.let_name_go_first(whose, around).await
            }
            _ => around,
        };
        let place = self.place_at_start(event, &pointer, &around);
        let was_heard = source_ids.iter().any(|id| around.has_accepted(id, self.clock.now()));
        // The session is over, so the message reaches no user, unless this is a repeat of an event accepted before.
        if let Some(thread_id) = spoken_in.filter(|_| is_over(&around) && !was_heard) {
            return self.may_be_unheard(event, &pointer, thread_id, deadline).await;
        }
        if intentions.is_empty() && place.is_none() {
            self.bring_what_the_start_finds(whose, around, deadline).await;
            return Ok(Received::Ignored);
        }
        let lease = lease_until(deadline);
        let intentions = intentions
            .into_iter()
            .map(|intention| intention.seen_in(around.session.as_ref(), &around.changes).into_item());
        let intentions: Vec<_> = intentions.chain(place).collect();
        let intake = self.accept_seeing(around, &pointer.session_id, intentions, &lease).await?;
        self.drain_accepted::<ToBot>(whose, intake, &lease, deadline).await;
        Ok(Received::Accepted)
    }

    /// Waits for a short time until an event with the agent's name has been accepted in place of a transfer.
    async fn let_name_go_first(&self, whose: LaneKey<'_>, mut around: LaneContext) -> LaneContext {
        let patience_end = self.clock.now() + NAME_HEAD_START;
        let is_known =
            |around: &LaneContext| whose.source_ids.iter().any(|id| around.has_accepted(id, self.clock.now()));
        while !is_known(&around) && !is_over(&around) && self.clock.now() < patience_end {
            self.clock.sleep(START_POLL).await;
            around = self.load_context::<ToBot>(whose).await;
        }
        around
    }

    async fn may_be_unheard(
        &self,
        event: &Event,
        pointer: &ChatPointer,
        thread_id: ThreadId,
        deadline: Timestamp,
    ) -> Result<Received> {
        let Some(chat_id) = event.chat_id().cloned() else { return Ok(Received::Ignored) };
        let thread = Thread { chat_id, thread_id };
        // Boxed as a plain future: the futures behind it nest too deep for the compiler.
        Ok(match self.receive_unheard(pointer, thread, deadline).boxed().await? {
            true => Received::Accepted,
            false => Received::Ignored,
        })
    }

    /// Delivers what the start has found in its thread, or finds before it ends: the start's caller cannot wait for that.
    async fn bring_what_the_start_finds(&self, whose: LaneKey<'_>, mut around: LaneContext, deadline: Timestamp) {
        while let (Occupancy::Idle { .. }, Some(session)) = (around.occupancy, &around.session)
            && session.state == State::Starting
            && self.clock.now() + START_POLL + platform::settle(self, session) + DELIVERY_TIME < deadline
        {
            self.clock.sleep(START_POLL).await;
            around = self.load_context::<ToBot>(whose).await;
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
    ) -> Result<Option<(ChatPointer, Option<LaneContext>)>> {
        let Some(chat_id) = event.chat_id() else { return Ok(None) };
        let patience_end = self.clock.now() + START_HEAD_START;
        let found = loop {
            let found = self.find_chat(chat_id, source_ids).await?;
            if !self.is_expected(event, found.as_ref().map(|(pointer, _)| pointer)) {
                return Ok(found);
            }
            if self.clock.now() >= patience_end {
                break found;
            }
            self.clock.sleep(START_POLL).await;
        };
        if !decide::may_be_missed(event) || !self.may_be_a_starts(found.as_ref()).await? {
            return Ok(found);
        }
        self.note_early(chat_id).await?;
        // A start that has recorded its thread before that note has not seen it.
        self.find_chat(chat_id, source_ids).await
    }

    /// Whether a start may have opened a thread that no session has recorded: a start comes after the end of the earlier session.
    async fn may_be_a_starts(&self, known: Option<&(ChatPointer, Option<LaneContext>)>) -> Result<bool> {
        let Some((pointer, _)) = known else { return Ok(self.config.only_my_chats) };
        let session = self.table.session(&pointer.session_id).await?;
        Ok(session.is_none_or(|session| matches!(session.state, State::Closing | State::Closed)))
    }

    /// Notes that a start has missed an event, for which it then reads the thread; once a minute for each chat, since a running start
    /// finds the existing note.
    async fn note_early(&self, chat_id: &ChatId) -> Result<()> {
        let now = self.clock.now();
        if !self.memory.has_early(chat_id, now) {
            self.table.note_early(chat_id, now).await?;
            self.memory.put_early(chat_id, now);
        }
        Ok(())
    }

    /// Whether a start may be about to record this event's session; `known` is the chat's current pointer.
    fn is_expected(&self, event: &Event, known: Option<&ChatPointer>) -> bool {
        match (known, event) {
            // A returning user's pointer names the earlier thread until the start has recorded the new one.
            (Some(known), _) => event.thread_id().is_some_and(|thread_id| *thread_id != known.thread_id),
            (None, _) if event.chat_id().is_some_and(|chat_id| chat_id.as_str() == NO_CHAT) => false,
            (None, Event::IncomingChat { chat }) => self.is_our_chat(chat),
            // Where LiveChat reports every chat of the licence, most unknown ones do not belong to a start.
            (None, event) => self.config.only_my_chats && decide::may_be_missed(event),
        }
    }

    fn is_our_chat(&self, chat: &Chat) -> bool {
        chat.source_client_id.as_ref() == Some(&self.config.livechat.client_id)
    }

    /// The place in the queue that the event of a session's new thread contains.
    fn place_at_start(&self, event: &Event, pointer: &ChatPointer, around: &LaneContext) -> Option<(Position, ToBot)> {
        let (Event::IncomingChat { chat }, Some(session)) = (event, &around.session) else { return None };
        let is_present = chat.thread.as_ref().is_some_and(|thread| thread.id == pointer.thread_id);
        let goes_on = matches!(session.state, State::Starting | State::Active);
        self.place_in_queue(session, chat).filter(|_| is_present && goes_on)
    }
}

/// Whether a session is over, or no longer stored, according to this read.
fn is_over(around: &LaneContext) -> bool {
    match &around.session {
        Some(session) => session.state == State::Closed,
        None => around.occupancy.is_idle(),
    }
}
