//! Items that the service itself sends to a bot, and sessions that it gives up.

use crate::bridge::ToBot;
use crate::bridge::decide::end_of;
use crate::clock::Timestamp;
use crate::handoff::{Error, Handoff, Result, lease_until};
use crate::model::lane::{Accepted, Position};
use crate::model::session::{ResumeReason, Session, State};

impl Handoff {
    /// Gives up a session, started or not: notifies the user of the reason, resumes the bot, and closes LiveChat's side.
    pub(crate) async fn give_up(&self, session: &Session, reason: ResumeReason, deadline: Timestamp) -> Result<()> {
        let words = self.words_for_user(session);
        let sentence = match reason {
            ResumeReason::NobodyCame => words.nobody_came(),
            ResumeReason::Abandoned => words.abandoned(),
            _ => words.not_reached(),
        };
        let now = self.clock.now();
        let lease = lease_until(deadline);
        let mut accepted = Accepted::Duplicate;
        if let Some(text) = sentence {
            let told = Position { at: now, source_id: "given_up:notice".to_owned() };
            let notice = ToBot::Notice { text: text.into() };
            accepted = self.accept(&session.session_id, told, &notice, &lease).await?;
        }
        let over = Position { at: now, source_id: "given_up".to_owned() };
        let second = self.accept(&session.session_id, over, &ToBot::GivenUp { reason }, &lease).await?;
        self.table.begin_closing(&session.session_id).await?;
        let accepted = if accepted.holds_lease() { accepted } else { second };
        self.drain_accepted::<ToBot>(&session.session_id, accepted, &lease, deadline).await;
        Ok(())
    }

    /// Accepts one of the service's own items for the bot and delivers it.
    pub(crate) async fn tell_bot(
        &self,
        session: &Session,
        position: Position,
        word: &ToBot,
        deadline: Timestamp,
    ) -> Result<()> {
        let lease = lease_until(deadline);
        let accepted = self.accept(&session.session_id, position, word, &lease).await?;
        self.drain_accepted::<ToBot>(&session.session_id, accepted, &lease, deadline).await;
        Ok(())
    }

    /// Ends a session whose chat no longer exists, or whose customer is lost: resumes the bot, and closes what is still open.
    pub(super) async fn end_out_of_reach(&self, session: &Session, error: &Error, deadline: Timestamp) -> Result<()> {
        let (Some(thread), State::Active) = (&session.thread, session.state) else { return Ok(()) };
        tracing::warn!(error = %error, session.id = %session.session_id,
            "a session's chat can no longer be reached at LiveChat; the session ends");
        // A chat without its customer is still open at LiveChat.
        match error {
            Error::CustomerLost => self.give_up(session, ResumeReason::GivenUp, deadline).await,
            Error::LiveChat(error) if error.is_refused_token() => {
                self.give_up(session, ResumeReason::GivenUp, deadline).await
            }
            _ => {
                let position = Position { at: self.clock.now(), source_id: end_of(&thread.thread_id) };
                self.tell_bot(session, position, &ToBot::Stopped, deadline).await
            }
        }
    }
}
