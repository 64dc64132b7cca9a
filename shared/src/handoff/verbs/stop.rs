//! `stopHitl`: the end of a session at the bot's request.

use crate::clock::Timestamp;
use crate::handoff::{Handoff, Result};
use crate::ids::ConversationId;

impl Handoff {
    /// Ends a session because the bot's side has ended it. The close follows the user's last messages through the lane.
    ///
    /// An unknown or ended session is a success.
    ///
    /// # Errors
    ///
    /// [`Error`](crate::handoff::Error) only when the close could not be made durable.
    pub async fn stop(&self, conversation_id: &ConversationId, deadline: Timestamp) -> Result<()> {
        match self.table.find_by_conversation(conversation_id, self.clock.now()).await? {
            // The session continues in another conversation.
            Some(pointer) if pointer.has_moved => Ok(()),
            Some(pointer) => self.close_from_bot(&pointer.session_id, deadline).await,
            None => Ok(()),
        }
    }
}
