//! Delivery to LiveChat, as the customer.

use std::time::Duration;

use futures_util::FutureExt as _;

use super::credentials::{AsCustomer, call};
use super::drain::{Attempt, Content, Delivered, Look, Whose};
use super::gates::{Gate, LIVECHAT};
use super::stop::Told;
use super::{DELIVERY_TIME, Error, Handoff, Result};
use crate::bridge::decide::number_of_event;
use crate::bridge::{MessageContent, ToAgent, ToBot};
use crate::clock::Timestamp;
use crate::ids::{ChatId, EventId, UserId};
use crate::livechat::{ChatOverview, NewEvent};
use crate::store::lane::{Lane, Waiting};
use crate::store::{Ending, Session, State, Thread, User};

/// How often a start that is still running is looked at.
pub(super) const STARTING_PAUSE: Duration = Duration::from_millis(500);

/// The number of the first part of a message that was split.
const FIRST_PART: u32 = 0;

impl Content for ToAgent {
    const LANE: Lane = Lane::ToAgent;
    const VENDORS: &'static [&'static str] = &[LIVECHAT];

    fn sender(whose: Whose<'_>) -> Option<&UserId> {
        whose.user_id
    }

    fn number(_: &Waiting<Self>, vendor_id: Option<&str>) -> Option<u64> {
        number_of_event(vendor_id?)
    }

    fn is_end(&self) -> bool {
        *self == Self::Close
    }

    fn is_spoken(&self) -> bool {
        !self.is_end()
    }

    fn is_said(item: &Waiting<Self>) -> bool {
        // A message that was split counts once, by its first part.
        let part = item.position.source_id.rsplit_once('#').and_then(|(_, part)| part.parse::<u32>().ok());
        matches!(item.content, Self::Message { .. } | Self::Media(_)) && part.is_none_or(|part| part == FIRST_PART)
    }

    fn vendor(_: &Session) -> &'static str {
        LIVECHAT
    }

    fn gate<'a>(handoff: &'a Handoff, _: &Session) -> &'a Gate {
        &handoff.gates.livechat
    }

    fn ready_at(&self, handoff: &Handoff, session: &Session) -> Timestamp {
        match session.state {
            State::Starting => handoff.clock.now() + STARTING_PAUSE,
            State::Active | State::Closing | State::Closed => session.started_at,
        }
    }

    async fn deliver(
        handoff: &Handoff,
        session: &mut Session,
        user: Option<&User>,
        item: &Waiting<Self>,
    ) -> Result<Attempt> {
        if let Self::Unheard { thread } = &item.content {
            let (user_id, group_id, doubt) = (&session.user_id, session.group_id, item.in_doubt_until);
            return Box::pin(handoff.answer_unheard(user_id, group_id, thread, doubt)).await;
        }
        let delivered = match (&item.content, session.state) {
            (_, State::Closed) | (Self::Unheard { .. }, _) => Ok(Delivered::dropped()),
            // Boxed, as is all that delivers: a delivery is deep in the stack.
            (Self::Close, _) => Box::pin(handoff.deliver_close(session, item)).await,
            (Self::Message { text, is_markdown }, _) => {
                let event = NewEvent::text(text.clone(), &item.position.source_id);
                let event = if *is_markdown { event.with_markdown() } else { event };
                Box::pin(handoff.deliver_words(session, user, item, event)).await
            }
            (Self::Note { text }, _) => match handoff.words_for_agents(session.group_id).note(text.expose()) {
                Some(note) => {
                    let event = NewEvent::text(note, &item.position.source_id);
                    Box::pin(handoff.deliver_words(session, user, item, event)).await
                }
                None => Ok(Delivered::dropped()),
            },
            (Self::Media(media), _) => Box::pin(handoff.deliver_media((session, user), item, media)).await,
        };
        let error = match delivered {
            Ok(delivered) => return Ok(delivered.into()),
            Err(error) => error,
        };
        if item.content.is_end() || !Box::pin(handoff.is_out_of_reach(session, &error)).await? {
            return Err(error);
        }
        let deadline = handoff.clock.now() + DELIVERY_TIME * 2;
        // Boxed as what it is to its caller alone: the other lane's delivery within this one is too deep for the compiler.
        handoff.end_out_of_reach(session, &error, deadline).boxed().await?;
        Ok(Delivered::dropped().into())
    }

    async fn look(handoff: &Handoff, session: &Session, user: Option<&User>, item: &Waiting<Self>) -> Result<Look> {
        let Some(addressee) = handoff.addressee(session, user).await? else { return Ok(Look::Missing) };
        handoff.look_for(&addressee, item).await.map(Look::from)
    }

    async fn tell_sender(
        handoff: &Handoff,
        session: &Session,
        item: &Waiting<Self>,
        may_have_arrived: bool,
    ) -> Result<()> {
        // Without an agent there is nobody in whose place the user could be told anything.
        let (Self::Message { .. } | Self::Media(_), Some(agent)) = (&item.content, &session.agent_told) else {
            return Ok(());
        };
        let words = handoff.words_for_user(session);
        let text = match may_have_arrived {
            true => words.perhaps_delivered_to_agent(),
            false => words.not_delivered_to_agent(),
        };
        let Some(text) = text else { return Ok(()) };
        let notice = ToBot::message(agent.agent_id.clone(), MessageContent::text(text));
        handoff.accept_notice(session, &notice, &item.position.source_id).await
    }
}

/// The thread of a session, and the user in whose name we write there.
#[derive(Debug)]
pub(super) struct Addressee {
    thread: Thread,
    user: User,
}

impl Handoff {
    async fn deliver_words(
        &self,
        session: &Session,
        user: Option<&User>,
        item: &Waiting<ToAgent>,
        event: NewEvent,
    ) -> Result<Delivered> {
        let Some(addressee) = self.addressee(session, user).await? else { return Ok(Delivered::dropped()) };
        match self.found(&addressee, item).await? {
            Some(delivered) => Ok(delivered),
            None => self.say(&addressee, &event).await,
        }
    }

    /// Where a session's items go, and in whose name; nowhere before it has a thread.
    pub(super) async fn addressee(&self, session: &Session, user: Option<&User>) -> Result<Option<Addressee>> {
        let Some(thread) = session.thread.clone() else { return Ok(None) };
        let user = match user {
            Some(user) => Some(user.clone()),
            None => self.table.user(&session.user_id).await?,
        };
        Ok(user.map(|user| Addressee { thread, user }))
    }

    /// An item whose last attempt had no answer may be in the thread already, or may still come there.
    pub(super) async fn found(&self, to: &Addressee, item: &Waiting<ToAgent>) -> Result<Option<Delivered>> {
        if !item.outcome_unknown {
            return Ok(None);
        }
        // Before the look: what comes after it is not seen.
        let is_certain = self.require_certainty(item);
        match self.look_for(to, item).await? {
            None => is_certain.map(|()| None),
            found => Ok(found),
        }
    }

    async fn look_for(&self, to: &Addressee, item: &Waiting<ToAgent>) -> Result<Option<Delivered>> {
        let event_id = self.find_event(&to.thread, &item.position.source_id).await?;
        Ok(event_id.map(Delivered::as_vendor_id))
    }

    /// Adds an event to the thread.
    pub(super) async fn say(&self, to: &Addressee, event: &NewEvent) -> Result<Delivered> {
        match self.send_event(&to.user, &to.thread.chat_id, event).await {
            Ok(event_id) => Ok(Delivered::as_vendor_id(event_id)),
            // The thread was closed while this was on its way; its closure follows on the other lane.
            Err(Error::LiveChat(error)) if error.is_chat_inactive() => Ok(Delivered::dropped()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn as_addressed_customer<'a>(&'a self, to: &'a Addressee) -> Result<AsCustomer<'a>> {
        let customer = self.ensure_customer(&to.user.user_id, to.user.customer.clone()).await?;
        Ok(self.as_customer(&to.user.user_id, customer))
    }

    pub(super) async fn send_event(&self, user: &User, chat_id: &ChatId, event: &NewEvent) -> Result<EventId> {
        let customer = self.ensure_customer(&user.user_id, user.customer.clone()).await?;
        let mut customer = self.as_customer(&user.user_id, customer);
        call!(customer.send_event(chat_id, event))
    }

    /// Whether a thread has an event of ours: the only way to learn what became of a call without an answer.
    pub(super) async fn find_event(&self, thread: &Thread, custom_id: &str) -> Result<Option<EventId>> {
        let events = self.read_thread(thread).await?.thread.map(|thread| thread.events).unwrap_or_default();
        let found = events.into_iter().find(|event| event.custom_id.as_deref() == Some(custom_id));
        Ok(found.map(|event| event.id))
    }

    async fn deliver_close(&self, session: &mut Session, item: &Waiting<ToAgent>) -> Result<Delivered> {
        let livechat = Box::pin(self.close_for_good(session, item)).await;
        Box::pin(self.end(session, Told { bot: Ok(()), livechat }, &Ending::unread("bot", None))).await
    }

    /// Closes what a session has open at LiveChat.
    pub(super) async fn close_thread_of(&self, session: &Session) -> Result<()> {
        match &session.thread {
            Some(thread) => self.close_thread(&session.user_id, thread).await,
            None => self.close_whatever_was_opened(session).await,
        }
    }

    /// The same, and waits until no earlier call of the kind can close the thread that comes next.
    pub(super) async fn close_for_good<T: Sync>(&self, session: &Session, item: &Waiting<T>) -> Result<()> {
        self.close_thread_of(session).await?;
        self.require_certainty(item)
    }

    /// Closes a user's thread; what the agent token may not do, the customer may, as long as they are in the chat.
    pub(super) async fn close_thread(&self, user_id: &UserId, thread: &Thread) -> Result<()> {
        let refused = match self.deactivate(&thread.chat_id).await {
            Err(Error::LiveChat(error)) if error.is_forbidden() => error,
            answer => return answer,
        };
        let customer = self.table.user(user_id).await?.and_then(|user| user.customer);
        let customer = customer.ok_or(refused)?;
        let closed = async {
            let customer = self.ensure_customer(user_id, Some(customer)).await?;
            let mut customer = self.as_customer(user_id, customer);
            call!(customer.deactivate_chat(&thread.chat_id))
        };
        match closed.await {
            Err(Error::LiveChat(error)) if error.is_chat_inactive() || error.is_gone() => Ok(()),
            Err(error @ Error::CustomerLost) => {
                tracing::warn!(error = %error, "a thread may stay open");
                Ok(())
            }
            answer => answer,
        }
    }

    /// A start whose answer was lost may have opened a thread that nobody knows: the customer's only chat tells.
    async fn close_whatever_was_opened(&self, session: &Session) -> Result<()> {
        let Some(user) = self.table.user(&session.user_id).await? else { return Ok(()) };
        let Some(customer) = user.customer else { return Ok(()) };
        let mut customer = self.as_customer(&user.user_id, customer);
        let in_doubt_until = session.in_doubt_until.unwrap_or_else(|| session.doubt_of_claim());
        let looked_at = self.clock.now();
        let chats: Vec<ChatOverview> = match call!(customer.list_chats()) {
            // Whom LiveChat no longer knows has nothing open.
            Err(Error::CustomerLost) => Vec::new(),
            listed => listed?,
        };
        match chats.into_iter().find(|chat| chat.active) {
            Some(chat) => self.deactivate(&chat.id).await,
            None if looked_at < in_doubt_until => Err(Error::InDoubt { until: in_doubt_until }),
            None => Ok(()),
        }
    }
}
