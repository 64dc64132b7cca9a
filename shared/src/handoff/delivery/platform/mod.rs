//! Bot platforms: the only module that depends on which of them a session's bot runs on.
//!
//! Lanes, claims, sweep and reconciliation know nothing of platforms; they call this module for what depends on the platform.

mod agents;
mod botcopy;
mod botpress;

pub(crate) use botcopy::Renewed;

use std::time::Duration;

use crate::bridge::{AgentProfile, MessageContent, ToBot};
use crate::handoff::delivery::outbound::{Delivered, Look};
use crate::handoff::vendors::limits::Gate;
use crate::handoff::{Error, Handoff, Result};
use crate::ids::{AgentId, ConversationId, UserId};
use crate::model::lane::{Timer, Waiting};
use crate::model::session::{Platform, ResumeReason, Session, Thread};
use crate::model::user::User;
use crate::model::vendor::{BOTCOPY, BOTPRESS};
use crate::redacted::Redacted;

/// A message that the user sees.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The platform's id of it, if it has one.
    pub(crate) vendor_id: Option<String>,
    /// Whether it was shown just now, and not by an earlier attempt.
    pub(crate) is_new: bool,
}

impl From<Shown> for Delivered {
    fn from(shown: Shown) -> Self {
        shown.vendor_id.map_or_else(Self::without_id, Self::as_vendor_id)
    }
}

/// Shows an agent's message, and announces the agent first if necessary. Safe to call again after any failure.
pub(crate) async fn show(
    handoff: &Handoff,
    session: &mut Session,
    agent_id: &AgentId,
    content: &MessageContent,
    item: &Waiting<ToBot>,
) -> Result<Shown> {
    match session.platform.clone() {
        Platform::Botpress(install) => botpress::show(handoff, session, &install, (agent_id, content, item)).await,
        Platform::Botcopy(channel) => botcopy::show(handoff, session, &channel, agent_id, content).await,
    }
}

/// Announces an agent who takes part now, whether or not they were announced before.
pub(crate) async fn announce(
    handoff: &Handoff,
    session: &mut Session,
    agent_id: &AgentId,
    profile: Option<&AgentProfile>,
) -> Result<()> {
    match session.platform.clone() {
        Platform::Botpress(install) => {
            botpress::announce(handoff, session, &install, agent_id, profile).await.map(drop)
        }
        Platform::Botcopy(channel) => botcopy::announce(handoff, session, &channel, agent_id, profile).await,
    }
}

/// Shows a notice of the service to the user; safe to call again where the platform recognises repeats by `source_id`.
pub(crate) async fn tell(
    handoff: &Handoff,
    session: &mut Session,
    text: &Redacted,
    source_id: &str,
) -> Result<Delivered> {
    match session.platform.clone() {
        Platform::Botpress(install) => botpress::tell(handoff, session, &install, text, source_id).await,
        Platform::Botcopy(channel) => botcopy::tell(handoff, session, &channel, text).await,
    }
}

/// Whether [`tell`] reaches the user.
pub(crate) const fn tells_notices(session: &Session) -> bool {
    match &session.platform {
        Platform::Botpress(_) => false,
        Platform::Botcopy(_) => true,
    }
}

/// Keeps the bot silent for longer, on platforms whose pause lapses.
pub(crate) async fn renew(handoff: &Handoff, session: &mut Session) -> Result<Delivered> {
    match session.platform.clone() {
        Platform::Botpress(_) => Ok(Delivered::dropped()),
        Platform::Botcopy(channel) => botcopy::renew(handoff, session, &channel).await,
    }
}

/// Keeps the bot silent for a user who was back with it, and shows again who answers.
pub(crate) async fn continue_session(handoff: &Handoff, session: &mut Session) -> Result<Delivered> {
    match session.platform.clone() {
        Platform::Botpress(_) => Ok(Delivered::dropped()),
        Platform::Botcopy(channel) => botcopy::continue_session(handoff, session, &channel).await,
    }
}

/// Resumes the bot; safe to call again.
pub(crate) async fn resume(handoff: &Handoff, session: &Session, reason: ResumeReason) -> Result<()> {
    match (&session.platform, &session.conversation_id) {
        (Platform::Botpress(install), Some(conversation_id)) => {
            botpress::resume(handoff, install, conversation_id).await
        }
        (Platform::Botpress(_), None) => Ok(()),
        (Platform::Botcopy(channel), _) => botcopy::resume(handoff, channel, reason).await,
    }
}

/// Resumes the bot of a conversation that the session has left; only on platforms where the service creates conversations.
pub(crate) async fn leave(handoff: &Handoff, session: &Session, conversation_id: &ConversationId) -> Result<()> {
    match &session.platform {
        Platform::Botpress(install) => botpress::resume(handoff, install, conversation_id).await,
        Platform::Botcopy(_) => Ok(()),
    }
}

/// Opens another conversation for a session that has one; only on platforms where the service creates conversations.
pub(crate) async fn open_another(handoff: &Handoff, session: &Session) -> Result<ConversationId> {
    match (&session.platform, &session.thread) {
        (Platform::Botpress(install), Some(thread)) => {
            botpress::open(handoff, install, thread, session.moves.saturating_add(1)).await
        }
        _ => Err(Error::Busy),
    }
}

/// Opens the bot's side of a session whose thread is open: from then on messages can reach the user.
pub(crate) async fn open(handoff: &Handoff, session: &Session, thread: &Thread) -> Result<ConversationId> {
    let opened = async {
        match &session.platform {
            Platform::Botpress(install) => botpress::open(handoff, install, thread, session.moves).await,
            Platform::Botcopy(_) => botcopy::open(handoff, session).await,
        }
    };
    let timed = async {
        match handoff.config.assign_timeout {
            Some(timeout) => {
                let gives_up_at = session.started_at + timeout;
                Ok(handoff.table.set_timer(&session.session_id, Timer::Assignment, gives_up_at).await?)
            }
            None => Ok(()),
        }
    };
    tokio::try_join!(opened, timed).map(|(conversation_id, ())| conversation_id)
}

/// The least time between two deliveries that the platform must not handle in reverse order: an announcement and the message after it,
/// the last message and the end.
pub(crate) fn pause(handoff: &Handoff, session: &Session) -> Duration {
    match &session.platform {
        Platform::Botpress(_) => handoff.config.order_pause,
        // Botcopy answers a push once it is shown.
        Platform::Botcopy(_) => Duration::ZERO,
    }
}

/// How long a session must be active before the platform takes messages and events for it.
pub(crate) fn settle(handoff: &Handoff, session: &Session) -> Duration {
    match &session.platform {
        // The HITL plugin discards everything that arrives before it has activated the session.
        Platform::Botpress(_) => handoff.config.settle,
        Platform::Botcopy(_) => Duration::ZERO,
    }
}

/// The gate of the vendor that takes the deliveries.
pub(crate) fn gate<'a>(handoff: &'a Handoff, session: &Session) -> &'a Gate {
    match &session.platform {
        Platform::Botpress(_) => &handoff.gates.botpress,
        Platform::Botcopy(_) => &handoff.gates.botcopy,
    }
}

/// The vendor that takes the deliveries.
pub(crate) const fn vendor(platform: &Platform) -> &'static str {
    match platform {
        Platform::Botpress(_) => BOTPRESS,
        Platform::Botcopy(_) => BOTCOPY,
    }
}

/// Makes a call of the kind that failed with `error`, which changes nothing and contains nothing of the session. Returns `None` if the
/// platform has no such call.
pub(crate) async fn probe(handoff: &Handoff, session: &Session, error: &Error) -> Option<Result<()>> {
    match (error, &session.platform) {
        (Error::Botpress(error), Platform::Botpress(install)) => {
            Some(botpress::ask(handoff, session, install, error.message_call()).await)
        }
        (Error::Botcopy(_) | Error::Hanging { .. }, Platform::Botcopy(channel)) => {
            Some(botcopy::push_to_nobody(handoff, channel).await)
        }
        _ => None,
    }
}

/// Checks whether a message is shown already.
pub(crate) async fn find_shown(handoff: &Handoff, session: &Session, source_id: &str) -> Result<Look> {
    match &session.platform {
        Platform::Botpress(install) => botpress::find_shown(handoff, session, install, source_id).await.map(Look::from),
        Platform::Botcopy(_) => Ok(Look::Impossible),
    }
}

/// A user whom the table does not contain.
pub(crate) async fn new_user(handoff: &Handoff, platform: &Platform, user_id: &UserId) -> Result<User> {
    match platform {
        Platform::Botpress(install) => botpress::new_user(handoff, install, user_id).await,
        Platform::Botcopy(_) => Ok(User::unknown(user_id)),
    }
}

/// Whether the sweep finishes a start whose caller could not wait, instead of undoing it: the caller was told that the handoff goes on.
pub(crate) const fn outlives_caller(platform: &Platform) -> bool {
    match platform {
        Platform::Botpress(_) => false,
        Platform::Botcopy(_) => true,
    }
}
