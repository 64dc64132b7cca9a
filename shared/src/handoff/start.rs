//! `startHitl`: one chat and one conversation per escalation, however often and from however many sides it is asked for.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::credentials::AsCustomer;
use super::drain::Drained;
use super::reconcile::SILENCE;
use super::stop::MayBeOpen;
use super::{Error, Handoff, Result, fresh_holder, platform};
use crate::botcopy::ResumeReason;
use crate::botpress::signature::SignedCall;
use crate::botpress::{Author, HistoryItem};
use crate::bridge::wording::{self, Wording};
use crate::bridge::{ToAgent, ToBot, news, to_livechat};
use crate::clock::Timestamp;
use crate::ids::{ConversationId, GroupId, SessionId, UserId};
use crate::metrics::{About, Metric};
use crate::redacted::Redacted;
use crate::store::lane::Position;
use crate::store::{ChatPointer, Claim, FirstAnswer, Introduction, Platform, Session, State, Thread, User};
use crate::telemetry;

/// How long a claimant may stay silent before somebody else takes the start over.
const CLAIM_TIME: Duration = Duration::from_secs(20);

/// How much longer a claim lasts than its holder's deadline, if that comes sooner.
const CLAIM_MARGIN: Duration = Duration::from_secs(1);

/// How often somebody who waits for a start looks how far it has come.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The same for a start that waits for the end of the session before: each look tries to bring it about.
const LOOK_AFTER_END: Duration = Duration::from_secs(1);

/// Where the bot keeps its sessions, an equal request within this time is a repeat.
const REPEAT_WINDOW: Duration = Duration::from_secs(120);

/// How long an unattended start is tried; it is far from over when the pause of the bot lapses by itself.
const UNATTENDED_TIME: Duration = Duration::from_secs(300);

/// What a bot platform asks for.
#[derive(Clone, Copy, Debug)]
pub struct StartRequest<'a> {
    /// Where the bot is that escalates.
    pub platform: &'a Platform,
    /// The end user, by the platform's id.
    pub user_id: &'a UserId,
    /// The group wished for by the session or by the install, in this order.
    pub group_id: Option<GroupId>,
    /// Heading for the agent.
    pub title: Option<&'a str>,
    /// Explanation for the agent.
    pub description: Option<&'a str>,
    /// The code of the user's language, where it is known.
    pub language: Option<&'a str>,
    /// What was said before, oldest first.
    pub history: &'a [HistoryItem],
    /// LiveChat tags for the thread.
    pub tags: &'a [String],
    /// What agents shall know of the customer besides, as name and value.
    pub session_fields: &'a [(String, Redacted)],
    /// What agents read first, where that was put into words before.
    pub prepared: Option<&'a Redacted>,
    /// By what a repeat is known, where not everything that is asked for counts.
    pub repeat_key: Option<&'a str>,
    /// By what a replay of the call is known, where it was signed.
    pub call: Option<&'a SignedCall>,
    /// When the call reached the stack: calls that were under way at the same time share an answer.
    pub asked_at: Timestamp,
}

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
            let (user, (), answered) = tokio::try_join!(self.known_user(&request), self.gates.refresh(), first_answer)?;
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
                    return Ok(Step::Wait(LOOK_AGAIN));
                }
                after_end(self.finish_closing(&session, deadline).await)
            }
            (State::Starting, _) if !is_same && platform::outlives_caller(request.platform) => Err(Error::Busy),
            (State::Starting, _) if now < session.claim.until => {
                *waited_for = Some(session.session_id);
                Ok(Step::Wait(LOOK_AGAIN))
            }
            (State::Starting, _) => self.take_over(request, user, session, deadline).await,
            // The user of a bot that keeps its sessions goes on in the one there is.
            (State::Active, _) if platform::outlives_caller(request.platform) => match &session.conversation_id {
                Some(id) if is_same && now.since(session.started_at) < REPEAT_WINDOW => Ok(Step::Answer(id.clone())),
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

    async fn claim(&self, request: &StartRequest<'_>, digest: &str, user: User, deadline: Timestamp) -> Result<Step> {
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
            agent_told: None,
            earlier_agents: Vec::new(),
            assigned_at: None,
            announcements: 0,
            opening: None,
            paused_at: None,
            silent_reads: 0,
            nobody_online: false,
            read_up_to: None,
            must_read: false,
            bot_told: None,
            kept_at: None,
            failure: None,
        };
        if platform::outlives_caller(request.platform) {
            session.opening = request.opening_text(&user, self.words_for_agents(session.group_id));
        }
        if self.table.claim_start(&session, user.session_id.as_ref()).await? {
            Box::pin(self.build(request, user, session, deadline)).await.map(Step::Opened)
        } else {
            Ok(Step::LookAgain)
        }
    }

    async fn take_over(
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
        session.in_doubt_until = Some(session.doubt_of_claim());
        session.claim = claim;
        Box::pin(self.build(request, user, session, deadline)).await.map(Step::Opened)
    }

    /// A claim for whoever is gone at `deadline` at the latest.
    pub(super) fn new_claim(&self, deadline: Timestamp) -> Claim {
        let until = (self.clock.now() + CLAIM_TIME).min(deadline + CLAIM_MARGIN);
        Claim { holder: fresh_holder(), until }
    }

    /// Does the work of a claimed start; undoes it when a step fails.
    async fn build(
        &self,
        request: &StartRequest<'_>,
        user: User,
        mut session: Session,
        deadline: Timestamp,
    ) -> Result<ConversationId> {
        let is_taken_up_again = is_taken_up_again(&user, &session);
        // Boxed, as are its parts: together they are more than a thread's stack likes to hold.
        let built = Box::pin(self.try_build(request, user, &mut session, deadline)).await;
        if let Err(error) = &built {
            self.note_limit(error, &session.user_id).await;
        }
        match built {
            Ok(conversation_id) => Ok(conversation_id),
            Err(Error::Busy) => Err(Error::Busy),
            // Tried again by the sweep, so that it can be promised now.
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
        if is_taken_up_again(&user, session) && session.thread.is_none() {
            match self.find_left_behind(request, &user, session, &mut customer).await {
                Ok(left_behind) => session.thread = left_behind,
                Err(error) => customer = self.replaced(&user, &customer, error).await?,
            }
        }
        // Boxed, like the other long ways below: side by side they would need more stack than a worker has.
        let introduced = Box::pin(self.introduced(request, &user, session, customer));
        let (introduced, known) = tokio::join!(introduced, Box::pin(self.known_to_agents(&user)));
        let (customer, news_of_user) = introduced?;
        let request = &StartRequest { history: news::news(request.user_id, request.history, &known), ..*request };
        let note = async {
            if let Some(told) = &news_of_user {
                self.note_introduction(&user, told).await;
            }
        };
        let opened = Box::pin(self.open_both_sides(request, &user, session, (customer, known), deadline));
        let (opened, ()) = tokio::join!(opened, note);
        opened
    }

    /// Opens the thread at LiveChat, then whatever the bot's platform needs; `known` is what agents know of the user already.
    async fn open_both_sides(
        &self,
        request: &StartRequest<'_>,
        user: &User,
        session: &mut Session,
        (mut customer, known): (AsCustomer<'_>, Vec<String>),
        deadline: Timestamp,
    ) -> Result<ConversationId> {
        let thread = match session.thread.clone() {
            Some(thread) => thread,
            None => match Box::pin(self.open_thread(request, user, session, &mut customer, deadline)).await {
                Err(error @ Error::CustomerLost) => {
                    customer = self.replaced(user, &customer, error).await?;
                    Box::pin(self.open_as_another(request, user, session, &mut customer, deadline)).await?
                }
                opened => opened?,
            },
        };
        session.thread = Some(thread.clone());
        let pointer = ChatPointer::to(session, &customer.customer.customer_id, &thread);
        if !self.table.open_thread(session, &thread, &pointer).await? {
            return Err(Error::Busy);
        }
        let (opened, (), ()) = tokio::join!(
            platform::open(self, session, &thread),
            Box::pin(self.catch_up(session, &thread, &pointer)),
            Box::pin(self.tag_thread(&thread, request.tags))
        );
        let conversation_id = opened?;
        // Nothing may take long from here on: the platform's settle time has begun before the caller has its answer.
        let now = self.clock.now();
        let activate = self.table.activate(session, &conversation_id, now, now + SILENCE, request.call);
        // Only now: a start that fails is told again by the next one.
        let remember = Box::pin(self.remember_told(&user.user_id, known, request.history));
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

    /// Finishes a claimed start that nobody waits for; gives it up when it is refused, or fails for too long.
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
        };
        let user = self.table.user(&user_id).await?.unwrap_or_else(|| User::unknown(&user_id));
        let built = Box::pin(self.try_build(&request, user, &mut session, deadline)).await;
        if let Err(error) = &built {
            self.note_limit(error, &user_id).await;
        }
        match built {
            Ok(_) => {
                // Whatever was answered when the start was asked for, from here on the bot has to be silent.
                let position = Position { at: self.clock.now(), source_id: "late_start".to_owned() };
                self.tell_bot(&session, position, &ToBot::Renewal, deadline).await?;
                self.deliver_what_waits(&session.session_id, deadline).await
            }
            Err(Error::Busy) => Ok(()),
            Err(error) if error.is_retryable() && self.clock.now().since(session.started_at) < UNATTENDED_TIME => {
                Err(error)
            }
            Err(error) => {
                tracing::warn!(error = %error, session.id = %session.session_id, "a promised start is given up");
                let reason = if error.is_retryable() { ResumeReason::GivenUp } else { ResumeReason::NobodyCame };
                self.give_up(&session, reason, deadline).await
            }
        }
    }

    /// Tells the user of a session that is ending what they have not been told yet, such as that it was given up: once it is
    /// over nobody does. Answers whether nothing is left to tell.
    async fn tell_all(&self, session_id: &SessionId, deadline: Timestamp) -> Result<bool> {
        Ok(match self.drain_if_free::<ToBot>(session_id, deadline).await? {
            Some(drained) => !matches!(drained, Drained::Postponed(_)),
            None => self.look_around::<ToBot>(session_id.into()).await.occupancy.is_idle(),
        })
    }

    /// Delivers what the user has written while their session was still being started.
    pub(super) async fn deliver_what_waits(&self, session_id: &SessionId, deadline: Timestamp) -> Result<()> {
        self.drain_if_free::<ToAgent>(session_id, deadline).await.map(drop)
    }
}

impl Handoff {
    /// Opens the thread as a customer whom LiveChat has to be told of first.
    async fn open_as_another(
        &self,
        request: &StartRequest<'_>,
        user: &User,
        session: &mut Session,
        customer: &mut AsCustomer<'_>,
        deadline: Timestamp,
    ) -> Result<Thread> {
        let introduction = request.introduction(user, self.words_for_agents(session.group_id));
        if self.introduce(user, &introduction, session, customer).await? {
            self.note_introduction(user, &introduction).await;
        }
        self.open_thread(request, user, session, customer, deadline).await
    }

    /// The customer once LiveChat knows who they are, with what it has been told just now; a thread that is open already was not
    /// opened by a stranger.
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
}

impl StartRequest<'_> {
    /// A fingerprint of everything asked for; the texts cannot be read from it.
    fn digest(&self) -> String {
        if let Some(key) = self.repeat_key {
            return key.to_owned();
        }
        let mut hash = Sha256::new();
        for part in [Some(self.user_id.as_str()), self.title, self.description] {
            hash.update(part.unwrap_or_default());
            hash.update([0, u8::from(part.is_some())]);
        }
        for (author, words) in spoken(self.history).0 {
            hash.update(author);
            hash.update([0]);
            hash.update(words.expose());
            hash.update([0]);
        }
        let fields = self.session_fields.iter().flat_map(|(name, value)| [name.as_str(), value.expose()]);
        for text in self.tags.iter().map(String::as_str).chain(fields) {
            hash.update(text);
            hash.update([0]);
        }
        hash.update(self.group_id.map_or(-1, |group| i64::from(group.0)).to_be_bytes());
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }
}

/// What a history says apart from the hand-off text, author and words, and how often it has that text.
///
/// The HITL plugin posts its hand-off text before it builds the history, so the last item is that text, and the second of two
/// clicks finds it once more. The click itself may be a message that was sent twice.
fn spoken(history: &[HistoryItem]) -> (Vec<(&str, Redacted)>, usize) {
    let said = history.iter().filter_map(|item| match item {
        HistoryItem::Message { author, content } => {
            Some((author_mark(author), to_livechat::readable(content, &Wording::default())))
        }
        HistoryItem::Unreadable => None,
    });
    let mut said: Vec<_> = said.collect();
    let all = said.len();
    if let Some(handoff_text) = said.last().filter(|(author, _)| *author == author_mark(&Author::Bot)).cloned() {
        said.retain(|one| *one != handoff_text);
    }
    let handoff_texts = all - said.len();
    said.dedup();
    (said, handoff_texts)
}

fn author_mark(author: &Author) -> &str {
    match author {
        Author::Bot => "",
        Author::Agent => "agent",
        Author::User(id) => id.as_str(),
    }
}

/// Whether somebody began the start before, and may have opened something: a start's first claimant has read the user before
/// they claimed it.
fn is_taken_up_again(user: &User, session: &Session) -> bool {
    user.session_id.as_ref() == Some(&session.session_id)
}

/// What a look at the user's present session leads to.
pub(super) enum Step {
    /// The answer, which is noted for replays together with what was opened.
    Opened(ConversationId),
    Answer(ConversationId),
    LookAgain,
    /// Another look after this long.
    Wait(Duration),
}

/// How a start goes on after it has tried to end the session before: one that is not over yet is waited for.
fn after_end(is_over: Result<bool>) -> Result<Step> {
    match is_over {
        Ok(true) => Ok(Step::LookAgain),
        Ok(false) => Ok(Step::Wait(LOOK_AGAIN)),
        Err(Error::Busy) => Ok(Step::Wait(LOOK_AFTER_END)),
        Err(error) => Err(error),
    }
}
