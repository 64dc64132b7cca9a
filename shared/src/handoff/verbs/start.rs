//! `startHitl`: one chat and one conversation per escalation, however often and from however many sides it is asked for.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::handoff::delivery::platform;
use crate::handoff::session::request::{StartRequest, spoken};
use crate::handoff::session::starting::{START_POLL, Step};
use crate::handoff::{Error, Handoff, Result};
use crate::ids::{ConversationId, SessionId};
use crate::model::call::FirstAnswer;
use crate::model::session::{Session, State};
use crate::model::user::User;

/// How often a start looks while it waits for the end of the session before; each look tries to bring that end about.
const LOOK_AFTER_END: Duration = Duration::from_secs(1);

/// Where the bot keeps its sessions, an equal request within this time is a repeat.
const START_REPEAT_WINDOW: Duration = Duration::from_secs(120);

impl Handoff {
    /// Opens a session, or returns the one that the same request has opened.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with a sentence when nobody is there or the request cannot work; [`Error::Busy`] when another
    /// call holds the start beyond `deadline`; else what failed. After an error nothing is left open.
    pub async fn start(&self, request: StartRequest<'_>, deadline: Timestamp) -> Result<ConversationId> {
        let digest = request.digest();
        let digest = &digest;
        let mut waited_for = None;
        loop {
            let first_answer = self.first_answer(request.call);
            let (user, _, answered) = tokio::try_join!(self.known_user(&request), self.gates.refresh(), first_answer)?;
            match answered {
                Some(FirstAnswer::Given(conversation_id)) => return Ok(ConversationId::new(conversation_id)),
                Some(FirstAnswer::Refused(sentence)) => return Err(Error::Refused(sentence)),
                None => {}
            }
            let session = match &user.session_id {
                Some(id) => self.table.session(id).await?,
                None => None,
            };
            let step = self.step(&request, digest, user, session, &mut waited_for, deadline).await;
            if let Err(error) = &step {
                self.remember_refusal(request.call, error).await;
            }
            match step? {
                Step::Opened(conversation_id) => return Ok(conversation_id),
                Step::Answer(conversation_id) => {
                    self.remember_answer(request.call, || FirstAnswer::Given(conversation_id.to_string())).await;
                    return Ok(conversation_id);
                }
                Step::LookAgain => {}
                Step::Wait(pause) if self.clock.now() + pause < deadline => self.clock.sleep(pause).await,
                Step::Wait(_) => return Err(Error::Busy),
            }
        }
    }

    async fn step(
        &self,
        request: &StartRequest<'_>,
        digest: &str,
        user: User,
        session: Option<Session>,
        waited_for: &mut Option<SessionId>,
        deadline: Timestamp,
    ) -> Result<Step> {
        let now = self.clock.now();
        let Some(session) = session else { return self.claim(request, digest, user, deadline).await };
        let is_same = session.request_digest == digest;
        if is_same
            && waited_for.as_ref() == Some(&session.session_id)
            && let Some(failure) = session.failure
        {
            return Err(Error::Refused(failure));
        }
        // Nobody can tell which of the people behind the address asks.
        if user.upstream_users > 1 && matches!(session.state, State::Starting | State::Active) {
            return Err(Error::Refused(self.words_for_agents(session.group_id).already_with_agent()));
        }
        match (session.state, &session.conversation_id) {
            (State::Closed, _) => self.claim(request, digest, user, deadline).await,
            (State::Closing, _) => {
                if !self.tell_all(&session.session_id, deadline).await? {
                    return Ok(Step::Wait(START_POLL));
                }
                after_end(self.finish_closing(&session, deadline).await)
            }
            (State::Starting, _) if !is_same && platform::outlives_caller(request.platform) => Err(Error::Busy),
            (State::Starting, _) if now < session.claim.until => {
                *waited_for = Some(session.session_id);
                Ok(Step::Wait(START_POLL))
            }
            (State::Starting, _) => self.take_over(request, user, session, deadline).await,
            // The user of a bot that keeps its sessions goes on in the one there is.
            (State::Active, _) if platform::outlives_caller(request.platform) => match &session.conversation_id {
                Some(id) if is_same && now.since(session.started_at) < START_REPEAT_WINDOW => {
                    Ok(Step::Answer(id.clone()))
                }
                _ => Err(Error::Busy),
            },
            (State::Active, Some(conversation_id)) if is_same => {
                let was_under_way = session.active_at.is_none_or(|active_at| request.asked_at <= active_at);
                let is_second_click = spoken(request.history).1 > session.handoff_texts;
                match is_second_click || was_under_way || waited_for.as_ref() == Some(&session.session_id) {
                    true => Ok(Step::Answer(conversation_id.clone())),
                    false => self.move_to_fresh_conversation(session, waited_for, deadline).await,
                }
            }
            (State::Active, _) => after_end(self.supersede(&session, deadline).await),
        }
    }

    async fn known_user(&self, request: &StartRequest<'_>) -> Result<User> {
        match self.table.user(request.user_id).await? {
            Some(user) => Ok(user),
            None => platform::new_user(self, request.platform, request.user_id).await,
        }
    }
}

/// How a start goes on after it has tried to end the session before: one that is not over yet is waited for.
fn after_end(is_over: Result<bool>) -> Result<Step> {
    match is_over {
        Ok(true) => Ok(Step::LookAgain),
        Ok(false) => Ok(Step::Wait(START_POLL)),
        Err(Error::Busy) => Ok(Step::Wait(LOOK_AFTER_END)),
        Err(error) => Err(error),
    }
}
