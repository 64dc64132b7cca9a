//! `rateHandoff`: the user's rating of a session, for LiveChat's own reports.

use serde::Serialize;

use crate::handoff::vendors::credentials::call;
use crate::handoff::vendors::doubt::AT_WORK;
use crate::handoff::{Error, Handoff, Result};
use crate::http::cap;
use crate::ids::{ConversationId, SessionId, UserId};
use crate::model::session::{Install, Platform, Session, Thread};
use crate::redacted::Redacted;

/// Longer comments are cut: LiveChat documents no limit, and this is far more than a user writes.
const MAX_COMMENT_CHARS: usize = 2_000;

/// The answer of `rateHandoff`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rated {
    /// Whether LiveChat has the rating.
    pub rated: bool,
    /// A sentence for the bot to show, in the user's language; empty if the stack has switched it off.
    pub sentence: String,
}

/// The rating, and the session that it is for.
#[derive(Debug)]
pub struct RateRequest<'a> {
    /// A conversation of the session, the current or an earlier one.
    pub conversation_id: Option<&'a ConversationId>,
    /// The user, whose latest session is rated if no conversation is given.
    pub user_id: Option<&'a UserId>,
    /// Whether the rating is good.
    pub is_good: bool,
    /// The user's comment.
    pub comment: Option<&'a Redacted>,
}

impl Handoff {
    /// Rates a session as its customer, once, even after its end. A repeat changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the install has no such session; [`Error::Busy`] while another call rates it, or LiveChat may still carry
    /// one out; else the failure. A refusal by LiveChat is no error, and is reported by the sentence.
    pub async fn rate(&self, install: &Install, request: &RateRequest<'_>) -> Result<Rated> {
        let (session, thread) = self.session_to_rate(install, request).await?;
        let id = &session.session_id;
        let (rating, now) = (self.table.rating(id).await?, self.clock.now());
        if rating.rated_at.is_some() {
            // The call that rated may have died before the rating was in the record.
            self.bring_into_record(&session, rating.rating_score).await?;
            return Ok(self.rated(&session, true));
        }
        if !self.table.take_rating(id, now, now + AT_WORK).await? {
            return Err(Error::Busy);
        }
        // An earlier call has left no outcome: a repeat would show the agents the same rating again.
        let taken = match rating.rating_until {
            Some(_) => self.rating_at_livechat(&session, &thread).await?,
            None => None,
        };
        let sent = match taken {
            Some(score) => Ok(score),
            None => Box::pin(self.send_rating(&session, &thread, request)).await.map(|()| request.is_good.into()),
        };
        match sent {
            Ok(score) => {
                self.table.note_rated(id, score, now).await?;
                self.bring_into_record(&session, Some(score)).await?;
                Ok(self.rated(&session, true))
            }
            Err(error) if error.outcome_unknown() => Err(error),
            Err(error) => {
                self.table.give_rating_back(id).await?;
                if error.is_retryable() {
                    return Err(error);
                }
                tracing::warn!(error = %error, session.id = %id, "LiveChat did not accept a rating");
                Ok(self.rated(&session, false))
            }
        }
    }

    /// The session to rate, if it belongs to the install, and to the user if one is given.
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

    /// Adds a rating to a session's record that was written without it, and logs that. The end itself records a rating that precedes it.
    async fn bring_into_record(&self, session: &Session, score: Option<u64>) -> Result<()> {
        let record = self.table.record(session, self.clock.now()).await?;
        if record.is_none_or(|record| record.rating == score) {
            return Ok(());
        }
        // Logged first: if the process dies in between, the next one finds the record unchanged and logs again.
        tracing::info!(session.id = %session.session_id, record.rating = score,
            "the rating in a session's record has changed");
        Ok(self.table.put_rating_in_record(session, score).await?)
    }

    /// Records a rating that LiveChat has reported, after reading it from the session's thread. A rating that a call of the service has
    /// just caused is known already, and not read.
    pub(crate) async fn take_reported_rating(&self, id: &SessionId) -> Result<()> {
        let (rating, now) = (self.table.rating(id).await?, self.clock.now());
        let is_ours = rating.rating_until.is_some_and(|until| now < until);
        let Some(session) = self.table.session(id).await?.filter(|_| !is_ours) else { return Ok(()) };
        let Some(thread) = &session.thread else { return Ok(()) };
        let read = match self.read_thread(thread).await {
            Err(error) if !error.is_retryable() => {
                tracing::warn!(error = %error, session.id = %id, "a rating that LiveChat reported could not be read");
                return Ok(());
            }
            read => read?.thread,
        };
        let Some(read) = read else { return Ok(()) };
        match read.rating {
            Some(score) => self.table.note_rated(id, score, now).await?,
            None => self.table.note_unrated(id).await?,
        }
        self.bring_into_record(&session, read.rating).await
    }

    async fn rating_at_livechat(&self, session: &Session, thread: &Thread) -> Result<Option<u64>> {
        let known = self.table.user(&session.user_id).await?.and_then(|user| user.customer);
        let customer = self.ensure_customer(&session.user_id, known).await?;
        let mut customer = self.as_customer(&session.user_id, customer);
        call!(customer.rating(&thread.chat_id, &thread.thread_id))
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
