//! A start whose conversation was given out already: its session moves to a fresh one.
//!
//! A conversation id is given out once. A later request comes from another conversation of the same user at the bot, or from the first
//! one whose answer was lost; the two cannot be told apart. The newest caller gets the agent, in a conversation of its own, and the bot
//! of the earlier conversation resumes; the HITL plugin ignores that if the answer never arrived.

use super::starting::Step;
use crate::bridge::ToBot;
use crate::clock::Timestamp;
use crate::handoff::delivery::drain::Patience;
use crate::handoff::delivery::platform;
use crate::handoff::{Handoff, Result, lease_until};
use crate::ids::{ConversationId, SessionId};
use crate::model::lane::{Accepted, Position};
use crate::model::session::{AnnouncedAgent, Session};
use crate::telemetry;

impl Handoff {
    /// Gives an active session a fresh conversation, and ends the earlier one.
    pub(crate) async fn move_to_fresh_conversation(
        &self,
        session: Session,
        waited_for: &mut Option<SessionId>,
        deadline: Timestamp,
    ) -> Result<Step> {
        let Some(from) = session.conversation_id.clone() else { return Ok(Step::LookAgain) };
        let to = platform::open_another(self, &session).await?;
        let lease = lease_until(deadline);
        let position = Position { at: self.clock.now(), source_id: format!("left:{from}") };
        // The plugin ignores an end that arrives before it has taken the conversation over.
        let ready_at = session.active_at.unwrap_or(session.started_at) + platform::settle(self, &session);
        let farewell = ToBot::Left { conversation_id: from, ready_at };
        let arrival = self.arrival(&session.session_id, position, &farewell);
        let Some(accepted) = self.table.move_session(&session, &to, &arrival, &lease).await? else {
            // Either another call has moved it concurrently, and this one shares its answer, or the session has ended.
            *waited_for = Some(session.session_id);
            return Ok(Step::LookAgain);
        };
        tracing::info!(session.id = %session.session_id, conversation.id = telemetry::id(&to),
            "a session has moved to a fresh conversation");
        if let Some(agent) = &session.announced_agent {
            self.announce_in(&session, &to, agent).await;
        }
        if accepted == Accepted::WithLease {
            // Without a wait: items for the new conversation follow after its settle time, by the sweep if necessary.
            let drained =
                self.drain::<ToBot>(None, (&session.session_id).into(), &lease, deadline, Patience::Leave).await;
            if let Err(error) = drained {
                tracing::warn!(error = %error, session.id = %session.session_id,
                    "a session's previous conversation could not be notified now; the sweep notifies it");
            }
        }
        Ok(Step::Answer(to))
    }

    /// Announces the current agent in the fresh conversation. If that fails, their next message presents them.
    async fn announce_in(&self, session: &Session, to: &ConversationId, agent: &AnnouncedAgent) {
        let now = self.clock.now();
        let position = Position { at: now, source_id: format!("moved:{to}") };
        let agent_id = agent.agent_id.clone();
        let word = ToBot::Assigned { agent_id, profile: None, is_transfer: false, since: None };
        let ready_at = now + platform::settle(self, session);
        if let Err(error) = self.accept_for(ready_at, &session.session_id, position, &word).await {
            tracing::warn!(error = %error, session.id = %session.session_id,
                "an agent could not be announced in a fresh conversation; their next message announces them");
        }
    }
}
