//! `startHitl`: one chat and one conversation per escalation, however often and from however many callers it is requested.

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

/// How often a start checks while it waits for the previous session to end; each check tries to complete that end.
const LOOK_AFTER_END: Duration = Duration::from_secs(1);

/// On a platform whose starts outlive their caller (Botcopy), an equal request within this time is a repeat.
const START_REPEAT_WINDOW: Duration = Duration::from_secs(120);

impl Handoff {
    /// Opens a session, or returns the one that the same request has opened.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with a sentence when no agent is online or the request cannot work; [`Error::Busy`] when another
    /// call holds the start beyond `deadline`; else the failure. After an error nothing is left open.
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
                // The body of a start is not that of a `createUser`.
                Some(FirstAnswer::Stranger(_)) | None => {}
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
        // This call waited for an equal start that failed, so it shares that failure instead of trying again.
        if is_same
            && waited_for.as_ref() == Some(&session.session_id)
            && let Some(failure) = session.failure
        {
            return Err(Error::Refused(failure));
        }
        // Several people share this user, and the service cannot tell which of them asks.
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
            // Botcopy: a second trigger continues the live session, so no other one is started.
            (State::Active, _) if platform::outlives_caller(request.platform) => match &session.conversation_id {
                Some(id) if is_same && now.since(session.started_at) < START_REPEAT_WINDOW => {
                    Ok(Step::Answer(id.clone()))
                }
                _ => Err(Error::Busy),
            },
            (State::Active, Some(conversation_id)) if is_same => {
                // Two bot conversations with the same id would steal it from each other, so each id is given out once. An equal request
                // shares the answer only if it overlaps the first start or is a second click in the same conversation.
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

/// Returns the next step of a start after it has tried to end the previous session: waits if that session is not over yet.
fn after_end(is_over: Result<bool>) -> Result<Step> {
    match is_over {
        Ok(true) => Ok(Step::LookAgain),
        Ok(false) => Ok(Step::Wait(START_POLL)),
        Err(Error::Busy) => Ok(Step::Wait(LOOK_AFTER_END)),
        Err(error) => Err(error),
    }
}
