//! The LiveChat thread that receives a session's items, and the customer that sends them.

use crate::bridge::ToAgent;
use crate::handoff::delivery::outbound::Delivered;
use crate::handoff::vendors::customer::AsCustomer;
use crate::handoff::{Error, Handoff, Result};
use crate::livechat::NewEvent;
use crate::model::lane::Waiting;
use crate::model::session::{Session, Thread};
use crate::model::user::User;

/// The thread of a session, and the user in whose name the service writes there.
#[derive(Debug)]
pub(crate) struct Addressee {
    thread: Thread,
    user: User,
}

impl Handoff {
    /// Returns the thread and user for a session's items; `None` before the session has a thread.
    pub(super) async fn addressee(&self, session: &Session, user: Option<&User>) -> Result<Option<Addressee>> {
        let Some(thread) = session.thread.clone() else { return Ok(None) };
        let user = match user {
            Some(user) => Some(user.clone()),
            None => self.table.user(&session.user_id).await?,
        };
        Ok(user.map(|user| Addressee { thread, user }))
    }

    /// Looks for an item whose last attempt had no answer: it may be in the thread already, or may still arrive there.
    pub(crate) async fn found(&self, to: &Addressee, item: &Waiting<ToAgent>) -> Result<Option<Delivered>> {
        if !item.outcome_unknown {
            return Ok(None);
        }
        // Checked before the look: an event that arrives after the look would be missed.
        let is_certain = self.require_certainty(item);
        match self.look_for(to, item).await? {
            None => is_certain.map(|()| None),
            found => Ok(found),
        }
    }

    pub(super) async fn look_for(&self, to: &Addressee, item: &Waiting<ToAgent>) -> Result<Option<Delivered>> {
        let event_id = self.find_event(&to.thread, &item.position.source_id).await?;
        Ok(event_id.map(Delivered::as_vendor_id))
    }

    /// Adds an event to the thread.
    pub(super) async fn say(&self, to: &Addressee, event: &NewEvent) -> Result<Delivered> {
        match self.send_event(&to.user, &to.thread.chat_id, event).await {
            Ok(event_id) => Ok(Delivered::as_vendor_id(event_id)),
            // The thread was closed during this call; the closure follows on the other lane.
            Err(Error::LiveChat(error)) if error.is_chat_inactive() => Ok(Delivered::dropped()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn as_addressed_customer<'a>(&'a self, to: &'a Addressee) -> Result<AsCustomer<'a>> {
        let customer = self.ensure_customer(&to.user.user_id, to.user.customer.clone()).await?;
        Ok(self.as_customer(&to.user.user_id, customer))
    }
}
