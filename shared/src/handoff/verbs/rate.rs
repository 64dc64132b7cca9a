//! `rateHandoff`: the user's opinion of a session, in LiveChat's own reports.

use serde::Serialize;

use crate::handoff::vendors::credentials::call;
use crate::handoff::vendors::doubt::AT_WORK;
use crate::handoff::{Error, Handoff, Result};
use crate::http::cap;
use crate::ids::{ConversationId, UserId};
use crate::model::session::{Install, Platform, Session, Thread};
use crate::redacted::Redacted;

/// Longer comments are cut: LiveChat documents no limit, and this is far more than a user writes.
const MAX_COMMENT_CHARS: usize = 2_000;

/// What `rateHandoff` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rated {
    /// Whether LiveChat has the rating.
    pub rated: bool,
    /// What the bot can say, in the user's language; empty where the stack has switched the sentence off.
    pub sentence: String,
}

/// What the user thinks, and of which session.
#[derive(Debug)]
pub struct RateRequest<'a> {
    /// The conversation of the session; any that the session has had.
    pub conversation_id: Option<&'a ConversationId>,
    /// The user, whose latest session is meant where no conversation is named.
    pub user_id: Option<&'a UserId>,
    /// Whether it was good.
    pub is_good: bool,
    /// Why.
    pub comment: Option<&'a Redacted>,
}

impl Handoff {
    /// Rates a session as its customer: once, also after its end. A repeat changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where the install has no such session; [`Error::Busy`] while another call is at work on it, or LiveChat may
    /// be; else what failed. What LiveChat refuses is no error, and is said by the sentence.
    pub async fn rate(&self, install: &Install, request: &RateRequest<'_>) -> Result<Rated> {
        let (session, thread) = self.session_to_rate(install, request).await?;
        let id = &session.session_id;
        let (rating, now) = (self.table.rating(id).await?, self.clock.now());
        if rating.rated_at.is_some() {
            return Ok(self.rated(&session, true));
        }
        if !self.table.take_rating(id, now, now + AT_WORK).await? {
            return Err(Error::Busy);
        }
        // An earlier call has left no outcome: LiveChat would tell its agents of the same rating again.
        let sent = match rating.rating_until.is_some() && self.has_rating(&session, &thread).await? {
            true => Ok(()),
            false => Box::pin(self.send_rating(&session, &thread, request)).await,
        };
        match sent {
            Ok(()) => self.table.note_rated(id, now).await.map(|()| self.rated(&session, true)).map_err(Error::from),
            Err(error) if error.outcome_unknown() => Err(error),
            Err(error) => {
                self.table.give_rating_back(id).await?;
                if error.is_retryable() {
                    return Err(error);
                }
                tracing::warn!(error = %error, session.id = %id, "LiveChat did not take a rating");
                Ok(self.rated(&session, false))
            }
        }
    }

    /// The session that is meant, if it is one of the install's, and belongs to the user where one is named.
    async fn session_to_rate(&self, install: &Install, request: &RateRequest<'_>) -> Result<(Session, Thread)> {
        let session_id = match (request.conversation_id, request.user_id) {
            (Some(id), _) => self.table.find_by_conversation(id, self.clock.now()).await?.map(|found| found.session_id),
            (None, Some(id)) => self.table.user(id).await?.and_then(|user| user.session_id),
            (None, None) => None,
        };
        let session = match session_id {
            Some(id) => self.table.session(&id).await?,
            None => None,
        };
        let is_own = |session: &Session| {
            let is_installs =
                matches!(&session.platform, Platform::Botpress(own) if own.install_id == install.install_id);
            is_installs && request.user_id.is_none_or(|id| *id == session.user_id)
        };
        let found = session.filter(is_own).and_then(|session| {
            let thread = session.thread.clone()?;
            Some((session, thread))
        });
        found.ok_or_else(|| Error::Refused("There is no handoff of this user that could be rated.".to_owned()))
    }

    async fn has_rating(&self, session: &Session, thread: &Thread) -> Result<bool> {
        let known = self.table.user(&session.user_id).await?.and_then(|user| user.customer);
        let customer = self.ensure_customer(&session.user_id, known).await?;
        let mut customer = self.as_customer(&session.user_id, customer);
        call!(customer.has_rating(&thread.chat_id, &thread.thread_id))
    }

    async fn send_rating(&self, session: &Session, thread: &Thread, request: &RateRequest<'_>) -> Result<()> {
        let known = self.table.user(&session.user_id).await?.and_then(|user| user.customer);
        let Some(known) = known else { return Err(Error::CustomerLost) };
        let customer = self.ensure_customer(&session.user_id, Some(known)).await?;
        let mut customer = self.as_customer(&session.user_id, customer);
        let comment = request.comment.map(|comment| Redacted::from(cap(comment.expose(), MAX_COMMENT_CHARS)));
        call!(customer.rate(&thread.chat_id, &thread.thread_id, request.is_good, comment.as_ref()))
    }

    fn rated(&self, session: &Session, rated: bool) -> Rated {
        let words = self.words_for_user(session);
        let sentence = if rated { words.rating_taken() } else { words.rating_not_taken() };
        Rated { rated, sentence: sentence.unwrap_or_default() }
    }
}
