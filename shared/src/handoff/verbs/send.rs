//! `message_created`: a user's message to the agent.

use crate::botpress::{MessageCreated, UNREAD_SPEAKER};
use crate::bridge::{ToAgent, to_livechat};
use crate::clock::Timestamp;
use crate::handoff::{Error, Handoff, Result, lease_until};
use crate::ids::UserId;
use crate::redacted::Redacted;

impl Handoff {
    /// Accepts a message and delivers it, immediately if possible.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] for a conversation that does not belong to a session; else only when the message could not be made
    /// durable. A message for a session that is over is accepted and dropped.
    pub async fn send(&self, message: &MessageCreated, deadline: Timestamp) -> Result<()> {
        // A guess that is good enough to look for receipts: the speaker and the language are only known after the look.
        let guess = to_livechat::items(message, None, self.words_for_agents(self.config.group_id));
        let source_ids: Vec<_> = guess.into_iter().map(|(position, _)| position.source_id).collect();
        let (pointer, around) = self
            .find_conversation(&message.conversation_id, &source_ids)
            .await?
            .ok_or_else(|| Error::Refused("This conversation was not handed over to LiveChat.".to_owned()))?;
        let lease = lease_until(deadline);
        let participant = self.participant(message, &pointer.user_id).await;
        let group_id = around.session.as_ref().map_or(self.config.group_id, |session| session.group_id);
        let items = to_livechat::items(message, participant.as_ref(), self.words_for_agents(group_id));
        let intake = self.accept_seeing(around, &pointer.session_id, items, &lease).await?;
        self.drain_accepted::<ToAgent>(&pointer, intake, &lease, deadline).await;
        Ok(())
    }

    /// Returns the speaker's name if the speaker is not the session's user; an empty name if it is unknown.
    async fn participant(&self, message: &MessageCreated, user_id: &UserId) -> Option<Redacted> {
        let speaker = message
            .on_behalf_of
            .as_ref()
            .filter(|speaker| *speaker != user_id && speaker.as_str() != UNREAD_SPEAKER)?;
        let known = self.table.user(speaker).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "the name of a message's author could not be read");
            None
        });
        Some(known.map(|known| known.profile.name).unwrap_or_default())
    }
}
