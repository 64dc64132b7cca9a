//! A user who types: Botcopy gets the bot's current state, and the agent sees the user typing if the stack is set to show it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::botcopy::Answer;
use crate::clock::Timestamp;
use crate::handoff::delivery::platform::Renewed;
use crate::handoff::vendors::limits::Kind;
use crate::handoff::{Handoff, Result};
use crate::ids::UserId;
use crate::model::session::{Session, State};
use crate::store::LaneContext;

/// Botcopy reports typing no more often than this; LiveChat, which charges for each call, gets it no more often either.
const AT_MOST_EVERY: Duration = Duration::from_secs(4);

/// How many users a process remembers; at this number it forgets all of them.
const MOST_REMEMBERED: usize = 1_000;

/// When each user was last shown to agents as typing.
#[derive(Debug, Default)]
pub(crate) struct Peeks(Mutex<HashMap<UserId, Timestamp>>);

impl Peeks {
    /// Whether a user may be shown as typing again; if so, records `now` as the last time.
    fn take_turn(&self, user_id: &UserId, now: Timestamp) -> bool {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.get(user_id).is_some_and(|at| now < *at + AT_MOST_EVERY) {
            return false;
        }
        if shown.len() >= MOST_REMEMBERED {
            shown.clear();
        }
        shown.insert(user_id.clone(), now);
        true
    }
}

impl Handoff {
    /// Answers a call that reports that the user types; writes nothing, and extends no pause.
    pub(crate) async fn types(&self, user_id: &UserId, deadline: Timestamp) -> Option<Answer> {
        let (answer, found) = self.whether_paused(user_id, deadline).await?;
        if let Some((session, around)) = found.filter(|_| self.config.botcopy.shows_typing)
            && let Some(Err(error)) = self.clock.within(deadline, self.show_typing(&session, around)).await
        {
            tracing::warn!(error = %error, session.id = %session.session_id,
                "agents could not be shown that the user is typing");
        }
        Some(answer)
    }

    /// The state of a user's bot, and the session for which it is paused; `None` if the table does not answer.
    pub(crate) async fn whether_paused(
        &self,
        user_id: &UserId,
        deadline: Timestamp,
    ) -> Option<(Answer, Option<(Session, LaneContext)>)> {
        match self.clock.within(deadline, self.live_session(user_id)).await {
            Some(Ok(Some((session, around)))) => {
                let ends_at = Renewed::of(self, &session).at + self.config.botcopy.pause;
                let answer = Answer::paused_already(ends_at.since(self.clock.now()));
                Some((answer, Some((session, around))))
            }
            Some(Ok(None)) => Some((Answer::NOT_PAUSED, None)),
            Some(Err(_)) | None => None,
        }
    }

    /// Shows the current agent that the user types, if a valid token is stored: it is not worth another call.
    async fn show_typing(&self, session: &Session, around: LaneContext) -> Result<()> {
        let now = self.clock.now();
        let customer = around.user.and_then(|user| user.customer).filter(|customer| now < customer.expires_at);
        let (Some(thread), Some(customer), Some(_)) = (&session.thread, customer, &session.announced_agent) else {
            return Ok(());
        };
        if session.state != State::Active || !self.peeks.take_turn(&session.user_id, now) {
            return Ok(());
        }
        let text = self.words_for_agents(session.group_id).typing();
        let customer = self.as_customer(&session.user_id, customer);
        let mut passed = customer.door().pass("send_sneak_peek", Kind::Repeatable).await?;
        let shown = passed.answer(customer.api().send_sneak_peek(&thread.chat_id, &text)).await?;
        passed.note(shown).await
    }
}
