//! The work of a start: claimed by one invocation, built at LiveChat and at the bot, finished by the sweep if no caller waits.

use std::time::Duration;

use super::ending::MayBeOpen;
use super::history::Known;
use super::opening::Opened;
use super::request::{StartRequest, spoken};
use crate::bridge::{ToBot, wording};
use crate::clock::Timestamp;
use crate::handoff::delivery::missed::SILENCE;
use crate::handoff::delivery::platform;
use crate::handoff::vendors::customer::{AsCustomer, may_be_lost};
use crate::handoff::vendors::limits::{before, calls_so_far, counted};
use crate::handoff::{Error, Handoff, Result};
use crate::ids::{ConversationId, SessionId};
use crate::metrics::{About, Metric};
use crate::model::lane::Position;
use crate::model::session::{ChatPointer, ResumeReason, Session, State};
use crate::model::user::{Introduction, User};
use crate::model::vendor_calls::VendorCalls;
use crate::telemetry;

/// The pause between two looks of a caller who waits for a start.
pub(crate) const START_POLL: Duration = Duration::from_millis(200);

/// How long an unattended start is retried: half of the bot's default pause of ten minutes, so that it ends well before the pause lapses.
const UNATTENDED_TIME: Duration = Duration::from_secs(300);

/// What follows from a look at the user's current session.
pub(crate) enum Step {
    /// The answer, which is recorded for replays together with what was opened.
    Opened(ConversationId),
    Answer(ConversationId),
    LookAgain,
    /// Another look after this long.
    Wait(Duration),
}

impl Handoff {
    pub(crate) async fn claim(
        &self,
        request: &StartRequest<'_>,
        digest: &str,
        user: User,
        deadline: Timestamp,
    ) -> Result<Step> {
        let now = self.clock.now();
        let mut session = Session {
            session_id: SessionId::random(),
            state: State::Starting,
            platform: request.platform.clone(),
            user_id: user.user_id.clone(),
            group_id: request.group_id.unwrap_or(self.config.group_id),
            language: request.language.and_then(wording::language),
            request_digest: digest.to_owned(),
            handoff_texts: spoken(request.history).1,
            claim: self.new_claim(deadline),
            started_at: now,
            earlier_thread_id: user.thread_id.clone(),
            thread: None,
            conversation_id: None,
            in_doubt_until: None,
            active_at: None,
            moves: 0,
            left_conversations: Vec::new(),
            announced_agent: None,
            earlier_agents: Vec::new(),
            assigned_at: None,
            announcements: 0,
            opening: None,
            paused_at: None,
            silent_reads: 0,
            nobody_online: false,
            read_up_to: None,
            readings: 0,
            start_calls: VendorCalls::default(),
            must_read: false,
            bot_told: None,
            kept_at: None,
            failure: None,
            closed_by_operator: false,
            rating: None,
            end_item: None,
        };
        if platform::outlives_caller(request.platform) {
            session.opening = request.opening_text(&user, self.words_for_agents(session.group_id));
        }
        let table = self.table.needed_by(request.claimed_by);
        if table.claim_start(&session, user.session_id.as_ref(), user.closing_until).await? {
            Box::pin(self.build(request, user, session, deadline)).await.map(Step::Opened)
        } else {
            Ok(Step::LookAgain)
        }
    }

    pub(crate) async fn take_over(
        &self,
        request: &StartRequest<'_>,
        user: User,
        mut session: Session,
        deadline: Timestamp,
    ) -> Result<Step> {
        let claim = self.new_claim(deadline);
        if !self.table.take_over_start(&session, &claim).await? {
            return Ok(Step::LookAgain);
        }
        // Until then a call of the silent claimant may still open a thread.
        session.in_doubt_until = Some(session.doubt_of_claim());
        session.claim = claim;
        Box::pin(self.build(request, user, session, deadline)).await.map(Step::Opened)
    }

    /// Carries out a claimed start; undoes it when a step fails.
    async fn build(
        &self,
        request: &StartRequest<'_>,
        user: User,
        mut session: Session,
        deadline: Timestamp,
    ) -> Result<ConversationId> {
        let is_taken_up_again = is_taken_up_again(&user, &session);
        let work = Box::pin(self.try_build(request, user, &mut session, deadline));
        let built = counted(before(deadline, work)).await.0;
        if let Err(error) = &built {
            self.note_limit(error, &session.user_id).await;
        }
        match built {
            Ok(conversation_id) => Ok(conversation_id),
            // Another invocation has the start, so nothing is undone here.
            Err(Error::Busy) => Err(Error::Busy),
            // The sweep retries it, so that the caller can be promised the handoff now.
            Err(error) if error.is_retryable() && platform::outlives_caller(&session.platform) => Err(error),
            Err(error) => {
                session.raise_doubt(&error, self.clock.now());
                let is_doubtful = session.in_doubt_until.is_some();
                let may_be_open = match is_taken_up_again || session.thread.is_some() || is_doubtful {
                    true => MayBeOpen::Yes,
                    false => MayBeOpen::No,
                };
                Box::pin(self.abandon(&session, &error, may_be_open, deadline)).await;
                Err(error)
            }
        }
    }

    async fn try_build(
        &self,
        request: &StartRequest<'_>,
        user: User,
        session: &mut Session,
        deadline: Timestamp,
    ) -> Result<ConversationId> {
        let mut customer = self.customer_for(&user).await?;
        // The earlier claimant may have died after it opened a thread and before it recorded it.
        if is_taken_up_again(&user, session) && session.thread.is_none() {
            match self.find_left_behind(request, &user, session, &mut customer).await {
                Ok(left_behind) => session.thread = left_behind,
                Err(error) => customer = self.replaced(&user, &customer, error).await?,
            }
        }
        let introduced = Box::pin(self.introduced(request, &user, session, customer));
        let known = Box::pin(self.known_to_agents(&user, request.history));
        let (introduced, known) = tokio::join!(introduced, known);
        let (customer, news_of_user) = introduced?;
        let note = async {
            if let Some(told) = &news_of_user {
                self.note_introduction(&user, told).await;
            }
        };
        let opened = Box::pin(self.open_both_sides(request, &user, session, (customer, known), deadline));
        let (opened, ()) = tokio::join!(opened, note);
        opened
    }

    /// Opens the thread at LiveChat, then what the bot's platform needs; `known` is what the agents have been sent of the user already.
    async fn open_both_sides<'a>(
        &self,
        request: &StartRequest<'a>,
        user: &User,
        session: &mut Session,
        (mut customer, mut known): (AsCustomer<'_>, Known<'a>),
        deadline: Timestamp,
    ) -> Result<ConversationId> {
        let Opened { thread, is_new, up_to } = match session.thread.clone() {
            Some(thread) => Opened::found(thread),
            None => {
                let of = (user, &mut *session);
                match Box::pin(self.open_thread(request, of, &mut customer, &mut known, deadline)).await {
                    Err(error) if may_be_lost(&error) => {
                        customer = self.replaced(user, &customer, error).await?;
                        let of = (user, &mut *session);
                        Box::pin(self.open_as_another(request, of, &mut customer, &mut known, deadline)).await?
                    }
                    opened => opened?,
                }
            }
        };
        // If no caller waits for the start, the agent is announced to the bot before the bot's pause is renewed.
        let is_new = is_new && request.prepared.is_none();
        session.thread = Some(thread.clone());
        session.read_up_to = session.read_up_to.max(up_to);
        let pointer = ChatPointer::to(session, &customer.customer.customer_id, &thread);
        if !self.table.open_thread(session, &thread, &pointer).await? {
            return Err(Error::Busy);
        }
        let (opened, (), ()) = tokio::join!(
            platform::open(self, session, &thread),
            Box::pin(self.catch_up(session, &thread, &pointer, is_new)),
            Box::pin(self.tag_thread(&thread, request.tags))
        );
        let conversation_id = opened?;
        // Nothing may take long from here on: the settle time begins before the caller has its answer.
        let now = self.clock.now();
        session.start_calls = calls_so_far();
        let activate = self.table.activate(session, &conversation_id, now, now + SILENCE, request.call);
        // Only now: what a failed start has sent is sent again by the next one.
        let remember = Box::pin(self.remember_told(&user.user_id, known));
        let (activated, ()) = tokio::join!(activate, remember);
        match activated? {
            true => {
                self.record(&About::Stack, &[(Metric::SessionsStarted, 1.0)]);
                tracing::info!(session.id = %session.session_id, conversation.id = telemetry::id(&conversation_id),
                    chat.id = telemetry::id(&thread.chat_id), thread.id = telemetry::id(&thread.thread_id),
                    "a session is active");
                Ok(conversation_id)
            }
            false => Err(Error::Busy),
        }
    }

    /// Finishes a claimed start that no caller waits for; gives it up when it is refused, or fails for too long.
    pub(super) async fn finish_start(&self, mut session: Session, deadline: Timestamp) -> Result<()> {
        let platform = session.platform.clone();
        let (user_id, opening) = (session.user_id.clone(), session.opening.clone());
        let request = StartRequest {
            platform: &platform,
            user_id: &user_id,
            group_id: Some(session.group_id),
            language: None,
            title: None,
            description: None,
            history: &[],
            tags: &[],
            session_fields: &[],
            prepared: opening.as_ref(),
            repeat_key: None,
            call: None,
            asked_at: session.started_at,
            claimed_by: deadline,
        };
        let user = self.table.user(&user_id).await?.unwrap_or_else(|| User::unknown(&user_id));
        let work = Box::pin(self.try_build(&request, user, &mut session, deadline));
        let built = counted(before(deadline, work)).await.0;
        if let Err(error) = &built {
            self.note_limit(error, &user_id).await;
        }
        match built {
            Ok(_) => {
                // The bot must be silent from here on, whatever the caller of the start was answered.
                let position = Position { at: self.clock.now(), source_id: "late_start".to_owned() };
                self.tell_bot(&session, position, &ToBot::Renewal, deadline).await?;
                self.deliver_what_waits(&session.session_id, deadline).await
            }
            Err(Error::Busy) => Ok(()),
            Err(error) if error.is_retryable() && self.clock.now().since(session.started_at) < UNATTENDED_TIME => {
                Err(error)
            }
            Err(error) => {
                tracing::warn!(error = %error, session.id = %session.session_id,
                    "a start that was acknowledged cannot be completed and is given up");
                let reason = if error.is_retryable() { ResumeReason::GivenUp } else { ResumeReason::NobodyCame };
                self.give_up(&session, reason, deadline).await
            }
        }
    }

    /// Opens the thread as a new customer, whose profile LiveChat must get first.
    async fn open_as_another<'a>(
        &self,
        request: &StartRequest<'a>,
        (user, session): (&User, &mut Session),
        customer: &mut AsCustomer<'_>,
        known: &mut Known<'a>,
        deadline: Timestamp,
    ) -> Result<Opened> {
        let introduction = request.introduction(user, self.words_for_agents(session.group_id));
        if self.introduce(user, &introduction, session, customer).await? {
            self.note_introduction(user, &introduction).await;
        }
        self.open_thread(request, (user, session), customer, known, deadline).await
    }

    /// The customer after their profile was sent to LiveChat, with the profile if it was new. A session that has a thread has sent it
    /// before.
    async fn introduced<'a>(
        &'a self,
        request: &StartRequest<'_>,
        user: &'a User,
        session: &mut Session,
        mut customer: AsCustomer<'a>,
    ) -> Result<(AsCustomer<'a>, Option<Introduction>)> {
        if session.thread.is_some() {
            return Ok((customer, None));
        }
        let introduction = request.introduction(user, self.words_for_agents(session.group_id));
        let is_news = match self.introduce(user, &introduction, session, &mut customer).await {
            Ok(is_news) => is_news,
            Err(error) => {
                customer = self.replaced(user, &customer, error).await?;
                self.introduce(user, &introduction, session, &mut customer).await?
            }
        };
        Ok((customer, Some(introduction).filter(|_| is_news)))
    }

    /// Takes over a start whose claimant has died: finishes it if its caller was promised the handoff, else undoes it, since no caller
    /// waits for the answer any more.
    pub(crate) async fn resume_start(&self, mut session: Session, deadline: Timestamp) -> Result<bool> {
        if self.clock.now() < session.claim.until {
            return Ok(false);
        }
        let claim = self.new_claim(deadline);
        let taken = self.table.take_over_start(&session, &claim).await?;
        if taken {
            session.in_doubt_until = Some(session.doubt_of_claim());
            session.claim = claim;
            match platform::outlives_caller(&session.platform) {
                true => self.finish_start(session, deadline).await?,
                false => Box::pin(self.undo(&session, None, MayBeOpen::Yes, deadline)).await?,
            }
        }
        Ok(taken)
    }
}

/// Whether another invocation began the start before, and may have opened something: the first claimant of a start reads the user before
/// it claims.
fn is_taken_up_again(user: &User, session: &Session) -> bool {
    user.session_id.as_ref() == Some(&session.session_id)
}
