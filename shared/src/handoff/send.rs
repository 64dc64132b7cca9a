//! `message_created`: a user's words, on their way to the agent.

use super::{Error, Handoff, Result, lease_until};
use crate::botpress::MessageCreated;
use crate::bridge::{ToAgent, to_livechat};
use crate::clock::Timestamp;

impl Handoff {
    /// Accepts a message and delivers it, at once if possible.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] for a conversation that is not a session's; else only when the message could not be made
    /// durable. A message for a session that is over is accepted and goes nowhere.
    pub async fn send(&self, message: &MessageCreated, deadline: Timestamp) -> Result<()> {
        let (pointer, around) = self
            .find_conversation(&message.conversation_id)
            .await?
            .ok_or_else(|| Error::Refused("This conversation was not handed over to LiveChat.".to_owned()))?;
        let lease = lease_until(deadline);
        let items = to_livechat::items(message, &self.config.wording);
        let intake = self.accept_seeing(around, &pointer.session_id, items, &lease).await?;
        self.drain_accepted::<ToAgent>(&pointer, intake, &lease, deadline).await;
        Ok(())
    }
}
