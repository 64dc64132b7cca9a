//! Work that is due in a session even if no call arrives: renewing its pause, or giving it up.

use std::time::Duration;

use crate::bridge::ToBot;
use crate::clock::Timestamp;
use crate::handoff::delivery::platform::Renewed;
use crate::handoff::inbox::content::Content as _;
use crate::handoff::{Error, Handoff, Result};
use crate::model::lane::{Position, Timer};
use crate::model::session::{ResumeReason, Session, State};

/// When to check a timer again while its session is still starting, or while its action is in progress.
const TIMER_RETRY: Duration = Duration::from_secs(30);

impl Handoff {
    /// Acts on a session's timer. Returns whether this invocation claimed it.
    pub(super) async fn fire(&self, session: Session, timer: Timer, deadline: Timestamp) -> Result<bool> {
        let now = self.clock.now();
        match (session.state, timer) {
            (State::Closing | State::Closed, _) => {
                self.table.stop_timer(&session.session_id, timer).await.map(|()| true)
            }
            (State::Starting, _) => self.table.take_timer(&session.session_id, timer, now, now + TIMER_RETRY).await,
            (State::Active, Timer::Pause) => return self.renew_pause(&session, deadline).await,
            (State::Active, Timer::Assignment) => return self.expect_agent(&session, deadline).await,
        }
        .map_err(Error::from)
    }

    async fn renew_pause(&self, session: &Session, deadline: Timestamp) -> Result<bool> {
        let (now, renewed) = (self.clock.now(), Renewed::of(self, session));
        // Not the time of the next renewal yet, since this one may still fail.
        let next = if now < renewed.due_at { renewed.due_at } else { now + TIMER_RETRY };
        let taken = self.table.take_timer(&session.session_id, Timer::Pause, now, next).await?;
        if taken && Box::pin(self.is_abandoned(session)).await? {
            tracing::info!(session.id = %session.session_id, "a session without messages from either side is given up");
            Box::pin(self.give_up(session, ResumeReason::Abandoned, deadline)).await?;
        } else if taken && now >= renewed.due_at {
            let source_id = self.renewal_of(session, renewed.at).await?;
            self.tell_bot(session, Position { at: now, source_id }, &ToBot::Renewal, deadline).await?;
        }
        Ok(taken)
    }

    /// Returns whether neither side has said anything for so long that the session is given up.
    async fn is_abandoned(&self, session: &Session) -> Result<bool> {
        let last = self.table.last_words_at(&session.session_id).await?.unwrap_or(session.started_at);
        Ok(self.clock.now().since(last) >= self.config.botcopy.silence)
    }

    /// Returns the source id for renewing a pause that began at `paused_at`: the same id while that renewal waits, a new one once it has
    /// left its lane and the pause is still the old one.
    async fn renewal_of(&self, session: &Session, paused_at: Timestamp) -> Result<String> {
        let (now, source_id) = (self.clock.now(), format!("renewal:{paused_at}"));
        let trail = self.table.trail(&session.session_id, ToBot::LANE, &source_id, now).await?;
        Ok(match trail.is_some_and(|trail| trail.outcome.is_some()) {
            true => format!("{source_id}:{now}"),
            false => source_id,
        })
    }

    async fn expect_agent(&self, session: &Session, deadline: Timestamp) -> Result<bool> {
        let now = self.clock.now();
        let taken = self.table.take_timer(&session.session_id, Timer::Assignment, now, now + TIMER_RETRY).await?;
        if !taken {
            return Ok(false);
        }
        if !self.has_agent(session, deadline).await? {
            tracing::info!(session.id = %session.session_id, "no agent has taken a session in time");
            self.give_up(session, ResumeReason::NobodyCame, deadline).await?;
        }
        self.table.stop_timer(&session.session_id, Timer::Assignment).await?;
        Ok(true)
    }

    /// Returns whether a person has taken the session, or it is over. A person counts even if no webhook reported them, or if their
    /// announcement to the bot still waits.
    async fn has_agent(&self, session: &Session, deadline: Timestamp) -> Result<bool> {
        let is_announced = |session: &Session| session.announced_agent.is_some() || session.announcements > 0;
        if is_announced(session) {
            return Ok(true);
        }
        self.deliver_missed(session, deadline).await?;
        let now = self.table.session(&session.session_id).await?;
        if now.is_none_or(|now| now.state != State::Active || is_announced(&now)) {
            return Ok(true);
        }
        let waiting = self.table.lane::<ToBot>(&session.session_id, ToBot::LANE).await?.waiting;
        Ok(waiting.iter().any(|item| match &item.content {
            ToBot::Assigned { agent_id, .. } | ToBot::Message { agent_id, .. } => agent_id.is_person(),
            _ => false,
        }))
    }
}
