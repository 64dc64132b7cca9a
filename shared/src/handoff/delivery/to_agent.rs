//! Delivery to LiveChat, as the customer.

use std::time::Duration;

use futures_util::FutureExt as _;

use super::close::{EndAnswers, end_item};
use crate::bridge::decide::number_of_event;
use crate::bridge::unread::{self, Said};
use crate::bridge::{MessageContent, ToAgent, ToBot};
use crate::clock::Timestamp;
use crate::handoff::delivery::outbound::{Attempt, Delivered, Look, Outbound};
use crate::handoff::inbox::content::{Content, LaneKey};
use crate::handoff::vendors::limits::Gate;
use crate::handoff::{DELIVERY_TIME, Handoff, Result};
use crate::ids::UserId;
use crate::livechat::NewEvent;
use crate::model::lane::{Lane, Waiting};
use crate::model::session::{Session, State};
use crate::model::user::User;
use crate::model::vendor::LIVECHAT;
use crate::store::{Ending, LaneToAgent};

/// The pause between two looks at a start that is still running.
pub(super) const STARTING_PAUSE: Duration = Duration::from_millis(500);

/// The number of the first part of a message that was split.
const FIRST_PART: u32 = 0;

impl Content for ToAgent {
    const LANE: Lane = Lane::ToAgent;
    const VENDORS: &'static [&'static str] = &[LIVECHAT];

    fn sender(whose: LaneKey<'_>) -> Option<&UserId> {
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

    fn mark(&self, user_id: &UserId) -> Option<String> {
        let said = match self {
            Self::Message { text, .. } => Said::ByUser(text.expose()),
            Self::Media(_) => Said::FileByUser,
            Self::Note { .. } | Self::Unheard { .. } | Self::Close => return None,
        };
        Some(unread::fingerprint(user_id, said))
    }
}

impl Outbound for ToAgent {
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
            (Self::Close, State::Closed) => {
                let logged = handoff.log_record_again(session, &end_item(Self::LANE, item)).await;
                logged.map(|()| Delivered::dropped())
            }
            (_, State::Closed) | (Self::Unheard { .. }, _) => Ok(Delivered::dropped()),
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
        // If the customer or the chat is lost, no later message can be delivered either, so the session ends.
        if item.content.is_end() || !Box::pin(handoff.is_out_of_reach(session, &error)).await? {
            return Err(error);
        }
        let deadline = handoff.clock.now() + DELIVERY_TIME * 2;
        // Boxed as a plain future: the other lane's delivery nested in this one is too deep for the compiler.
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
        // Without an agent there is no one in whose name the user could be told.
        let (Self::Message { .. } | Self::Media(_), Some(agent)) = (&item.content, &session.announced_agent) else {
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

    async fn deliver_close(&self, session: &mut Session, item: &Waiting<ToAgent>) -> Result<Delivered> {
        let livechat = Box::pin(self.close_for_good(session, item)).await;
        let told = self.as_far_as_it_can(item, EndAnswers { bot: Ok(()), livechat });
        let ending = Ending::unread("bot", None, end_item(ToAgent::LANE, item));
        Box::pin(self.end(session, told, &ending, LaneToAgent::Ours)).await
    }
}
