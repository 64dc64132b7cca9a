//! A start that asks for what was given out already: its session moves to a fresh conversation.
//!
//! A conversation id is given out once. Whoever asks again after the answer is another conversation of the same user at the
//! bot, or the first one whose answer was lost; nobody can tell which. The newest asker gets the agent, in a conversation of its
//! own, and the bot of the conversation before resumes; the HITL plugin ignores that where the answer never arrived.

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
    /// Gives an active session a fresh conversation, and lets the one before hear its end.
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
        // The plugin ignores an end that reaches it before it has taken the conversation over.
        let ready_at = session.active_at.unwrap_or(session.started_at) + platform::settle(self, &session);
        let farewell = ToBot::Left { conversation_id: from, ready_at };
        let arrival = self.arrival(&session.session_id, position, &farewell);
        let Some(accepted) = self.table.move_session(&session, &to, &arrival, &lease).await? else {
            // Another call has moved it at the same time, and this one shares its answer; or the session has ended.
            *waited_for = Some(session.session_id);
            return Ok(Step::LookAgain);
        };
        tracing::info!(session.id = %session.session_id, conversation.id = telemetry::id(&to),
            "a session has moved to a fresh conversation");
        if let Some(agent) = &session.announced_agent {
            self.announce_in(&session, &to, agent).await;
        }
        if accepted == Accepted::WithLease {
            // Without a wait: what is for the new conversation comes after its settle time, by the sweep if need be.
            let drained =
                self.drain::<ToBot>(None, (&session.session_id).into(), &lease, deadline, Patience::Leave).await;
            if let Err(error) = drained {
                tracing::warn!(error = %error, session.id = %session.session_id, "a left conversation is told by the sweep");
            }
        }
        Ok(Step::Answer(to))
    }

    /// Has the present agent announced in the fresh conversation; without that their next message presents them.
    async fn announce_in(&self, session: &Session, to: &ConversationId, agent: &AnnouncedAgent) {
        let now = self.clock.now();
        let position = Position { at: now, source_id: format!("moved:{to}") };
        let agent_id = agent.agent_id.clone();
        let word = ToBot::Assigned { agent_id, profile: None, is_transfer: false, since: None };
        let ready_at = now + platform::settle(self, session);
        if let Err(error) = self.accept_for(ready_at, &session.session_id, position, &word).await {
            tracing::warn!(error = %error, session.id = %session.session_id, "an agent is announced by their next message");
        }
    }
}
