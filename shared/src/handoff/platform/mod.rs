//! Bot platforms: the one place where it matters on which of them a session's bot lives.
//!
//! Lanes, claims, sweep and reconciliation know nothing of platforms; they come here with what a platform alone can do.

mod botcopy;
mod botpress;

pub(super) use botcopy::Renewed;

use std::time::Duration;

use super::drain::Delivered;
use super::gates::Gate;
use super::{Handoff, Result};
use crate::bridge::{AgentProfile, MessageContent};
use crate::ids::{AgentId, ConversationId, UserId};
use crate::redacted::Redacted;
use crate::store::{Platform, Session, Thread, User};

/// A message that the user has before them.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// What the platform calls it, if it calls it anything.
    pub(super) vendor_id: Option<String>,
    /// Whether it was shown just now, and not by an earlier attempt.
    pub(super) is_new: bool,
}

impl From<Shown> for Delivered {
    fn from(shown: Shown) -> Self {
        shown.vendor_id.map_or_else(Self::without_id, Self::as_vendor_id)
    }
}

/// Shows a message of an agent, who is presented first if need be; safe to call again after any failure.
pub(super) async fn show(
    handoff: &Handoff,
    session: &mut Session,
    agent_id: &AgentId,
    content: &MessageContent,
    source_id: &str,
) -> Result<Shown> {
    match session.platform.clone() {
        Platform::Botpress(install) => botpress::show(handoff, session, &install, (agent_id, content, source_id)).await,
        Platform::Botcopy(channel) => botcopy::show(handoff, session, &channel, agent_id, content).await,
    }
}

/// Presents the agent who has the session now, unless the bot knows.
pub(super) async fn present(
    handoff: &Handoff,
    session: &mut Session,
    agent_id: &AgentId,
    profile: Option<&AgentProfile>,
) -> Result<()> {
    match session.platform.clone() {
        Platform::Botpress(install) => botpress::present(handoff, session, &install, agent_id, profile).await,
        Platform::Botcopy(channel) => botcopy::present(handoff, session, &channel, agent_id, profile).await,
    }
}

/// Says something of our own to the user, where the platform has no words for it.
pub(super) async fn tell(handoff: &Handoff, session: &mut Session, text: &Redacted) -> Result<Delivered> {
    match session.platform.clone() {
        Platform::Botpress(_) => Ok(Delivered::dropped()),
        Platform::Botcopy(channel) => botcopy::tell(handoff, session, &channel, text).await,
    }
}

/// Keeps the bot silent for longer, where that has to be said again and again.
pub(super) async fn renew(handoff: &Handoff, session: &mut Session) -> Result<Delivered> {
    match session.platform.clone() {
        Platform::Botpress(_) => Ok(Delivered::dropped()),
        Platform::Botcopy(channel) => botcopy::renew(handoff, session, &channel).await,
    }
}

/// Gives the bot its turn back; safe to call again.
pub(super) async fn resume(handoff: &Handoff, session: &Session) -> Result<()> {
    match &session.platform {
        Platform::Botpress(install) => botpress::resume(handoff, session, install).await,
        Platform::Botcopy(channel) => botcopy::resume(handoff, channel).await,
    }
}

/// The bot's side of a session whose thread is open: from then on the user can be spoken to.
pub(super) async fn open(handoff: &Handoff, session: &Session, thread: &Thread) -> Result<ConversationId> {
    match &session.platform {
        Platform::Botpress(install) => botpress::open(handoff, install, thread).await,
        Platform::Botcopy(_) => botcopy::open(handoff, session).await,
    }
}

/// How long a session has to be active before the platform takes what it is told.
pub(super) fn settle(handoff: &Handoff, session: &Session) -> Duration {
    match &session.platform {
        // The HITL plugin discards whatever arrives before it has activated the session.
        Platform::Botpress(_) => handoff.config.settle,
        Platform::Botcopy(_) => Duration::ZERO,
    }
}

/// What stands before the vendor that takes the deliveries.
pub(super) const fn gate<'a>(handoff: &'a Handoff, session: &Session) -> &'a Gate {
    match &session.platform {
        Platform::Botpress(_) => &handoff.gates.botpress,
        Platform::Botcopy(_) => &handoff.gates.botcopy,
    }
}

/// A user of whom the table knows nothing.
pub(super) async fn new_user(handoff: &Handoff, platform: &Platform, user_id: &UserId) -> Result<User> {
    match platform {
        Platform::Botpress(install) => botpress::new_user(handoff, install, user_id).await,
        Platform::Botcopy(_) => Ok(User::unknown(user_id)),
    }
}

/// Whether a start is finished by the sweep when its caller could not wait, and not undone: the caller has been told
/// that the user is in good hands.
pub(super) const fn outlives_caller(platform: &Platform) -> bool {
    match platform {
        Platform::Botpress(_) => false,
        Platform::Botcopy(_) => true,
    }
}
