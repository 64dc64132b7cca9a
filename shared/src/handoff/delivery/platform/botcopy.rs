//! Sessions of Botcopy bots: pushes to the user's widget, and a pause that must not lapse.
//!
//! A push cannot be looked up, so one with an unknown outcome is repeated and may be shown twice. A push that succeeded is not repeated
//! only because the table could not record it.

use std::time::Duration;

use super::Shown;
use crate::botcopy::{AgentProfile, Push};
use crate::bridge::{self, MessageContent};
use crate::clock::Timestamp;
use crate::handoff::delivery::outbound::Delivered;
use crate::handoff::vendors::credentials::call;
use crate::handoff::{Handoff, Result};
use crate::ids::{AgentId, BotcopyUserId, ConversationId};
use crate::model::lane::Timer;
use crate::model::session::{AnnouncedAgent, Channel, ResumeReason, Session};
use crate::redacted::Redacted;
use crate::store;

/// A pause is renewed as late as is safe, since the widget may show each renewal: with this much of it left, or half of it where that is
/// less. The sweep runs each minute, and one that dies keeps the lane's lease for more than another minute: this leaves time for two
/// deaths.
const LEFT_AT_MOST: Duration = Duration::from_secs(300);

/// At least this much is left: time for one sweep with a try that fails.
const LEFT_AT_LEAST: Duration = Duration::from_secs(90);

/// A pause too short for that is not renewed before this fraction of it is over: it has begun with a push.
const NOT_BEFORE: u32 = 4;

/// The recorded start of a pause is updated once it is older than this fraction of the pause, so that not every push costs a write.
const NOTE_AFTER: u32 = 8;

/// The widget shows only text: files become links, rich messages Markdown.
pub(super) async fn show(
    handoff: &Handoff,
    session: &mut Session,
    channel: &Channel,
    agent_id: &AgentId,
    content: &MessageContent,
) -> Result<Shown> {
    if agent_id.is_person() && session.announced(agent_id).is_none() {
        announce(handoff, session, channel, agent_id, None).await?;
    }
    let text = content.as_text(handoff.words_for_user(session)).into();
    handoff.push(session, channel, &Push::Message { text }).await?;
    Ok(Shown { vendor_id: None, is_new: true })
}

pub(super) async fn tell(
    handoff: &Handoff,
    session: &mut Session,
    channel: &Channel,
    text: &Redacted,
) -> Result<Delivered> {
    handoff.push(session, channel, &Push::Message { text: text.clone() }).await?;
    Ok(Delivered::without_id())
}

/// Renews the pause, unless the push that presented the agent, or a later one, has done so meanwhile.
pub(super) async fn renew(handoff: &Handoff, session: &mut Session, channel: &Channel) -> Result<Delivered> {
    if session.announced_agent.is_some() && handoff.clock.now() < Renewed::of(handoff, session).due_at {
        return Ok(Delivered::dropped());
    }
    continue_session(handoff, session, channel).await
}

pub(super) async fn continue_session(handoff: &Handoff, session: &mut Session, channel: &Channel) -> Result<Delivered> {
    let push = Push::Joined(handoff.shown(session, session.announced_agent.as_ref()));
    handoff.push(session, channel, &push).await?;
    Ok(Delivered::without_id())
}

/// Shows in the widget which agent answers.
pub(super) async fn announce(
    handoff: &Handoff,
    session: &mut Session,
    channel: &Channel,
    agent_id: &AgentId,
    profile: Option<&bridge::AgentProfile>,
) -> Result<()> {
    let found = match profile {
        Some(profile) => Some(profile.clone()),
        None => handoff.look_up_profile(session, agent_id).await,
    };
    let bridge::AgentProfile { name, picture_url } = found.unwrap_or_default();
    let announced_at = Some(handoff.clock.now());
    let agent = AnnouncedAgent { agent_id: agent_id.clone(), user_id: None, name, picture_url, announced_at };
    let shown = handoff.shown(session, Some(&agent));
    handoff.push(session, channel, &Push::Joined(shown)).await?;
    let before = session.announced_agent.clone();
    session.announce(agent);
    note(session, handoff.table.put_announced(session, before.as_ref()).await.map(drop));
    Ok(())
}

/// Logs a failure to record a push that was made.
fn note(session: &Session, noted: store::Result<()>) {
    if let Err(error) = noted {
        tracing::warn!(error = %error, session.id = %session.session_id, "a push to a widget could not be recorded");
    }
}

pub(super) async fn resume(handoff: &Handoff, channel: &Channel, reason: ResumeReason) -> Result<()> {
    let mut widget = handoff.as_channel(channel).await?;
    call!(once widget.push(&Push::Left(reason)))
}

/// Resumes the bot for a user who does not exist, which no user sees.
pub(super) async fn push_to_nobody(handoff: &Handoff, channel: &Channel) -> Result<()> {
    let nobody = Channel { user_id: BotcopyUserId::from("hitl-probe"), ..channel.clone() };
    resume(handoff, &nobody, ResumeReason::UserSide).await
}

/// A widget has nothing to open; the timer of the pause is set here.
pub(super) async fn open(handoff: &Handoff, session: &Session) -> Result<ConversationId> {
    let id = &session.session_id;
    handoff.table.set_timer(id, Timer::Pause, Renewed::of(handoff, session).due_at).await?;
    Ok(ConversationId::of_session(id))
}

/// When a session's pause last began, as far as known, and when it must be renewed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewed {
    pub(crate) at: Timestamp,
    pub(crate) due_at: Timestamp,
}

impl Renewed {
    pub(crate) fn of(handoff: &Handoff, session: &Session) -> Self {
        let pause = handoff.config.botcopy.pause;
        let at = session.paused_at.unwrap_or(session.started_at);
        let left = (pause / 2).clamp(LEFT_AT_LEAST, LEFT_AT_MOST);
        let good_for = pause.saturating_sub(left).max(pause / NOT_BEFORE);
        Self { at, due_at: at + good_for }
    }
}

impl Handoff {
    /// How the widget shows an agent.
    fn shown(&self, session: &Session, agent: Option<&AnnouncedAgent>) -> AgentProfile {
        let known = |text: Option<&Redacted>, otherwise: String| text.cloned().unwrap_or_else(|| otherwise.into());
        AgentProfile {
            name: known(agent.and_then(|agent| agent.name.as_ref()), self.words_for_user(session).unnamed_agent()),
            avatar_url: known(agent.and_then(|agent| agent.picture_url.as_ref()), String::new()),
        }
    }

    async fn push(&self, session: &mut Session, channel: &Channel, push: &Push) -> Result<()> {
        let began = self.clock.now();
        let mut widget = self.as_channel(channel).await?;
        call!(once widget.push(push))?;
        let known = Renewed::of(self, session).at;
        if push.renews_pause() && began.since(known) > self.config.botcopy.pause / NOTE_AFTER {
            note(session, self.table.put_paused_at(&session.session_id, began).await);
            session.paused_at = Some(began);
        }
        Ok(())
    }
}
