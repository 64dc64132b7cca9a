//! `startHitl`: one chat and one conversation per escalation, however often and from however many sides it is asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::credentials::{AsCustomer, call};
use super::{Error, Handoff, Result, fresh_holder};
use crate::botpress::{self, Author, HistoryItem, Install};
use crate::bridge::transcript::Opening;
use crate::bridge::{to_livechat, wording};
use crate::clock::Timestamp;
use crate::config::WhenOffline;
use crate::ids::{ChatId, ConversationId, GroupId, SessionId, UserId};
use crate::livechat::{self, ChatOverview, NewChat, NewEvent};
use crate::store::{Claim, Profile, Session, State, Thread, User};

/// The channel of the HITL interface.
const CHANNEL: &str = "hitl";

/// How long a claimant may stay silent before somebody else takes the start over.
const CLAIM_TIME: Duration = Duration::from_secs(20);

/// How often a repeated call looks whether the first one has finished.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// An equal request within this time is a repeat; later it is a new escalation.
const REPEAT_WINDOW: Duration = Duration::from_secs(120);

/// What the HITL plugin asks for.
#[derive(Clone, Copy, Debug)]
pub struct StartRequest<'a> {
    /// The install that escalates.
    pub install: &'a Install,
    /// The end user, as [`create_user`](Handoff::create_user) returned them.
    pub user_id: &'a UserId,
    /// The group wished for by the session or by the install, in this order.
    pub group_id: Option<GroupId>,
    /// Heading for the agent.
    pub title: Option<&'a str>,
    /// Explanation for the agent.
    pub description: Option<&'a str>,
    /// What was said before, oldest first.
    pub history: &'a [HistoryItem],
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
        let mut waited_for = None;
        loop {
            let user = self.known_user(&request).await?;
            let session = match &user.session_id {
                Some(id) => self.table.session(id).await?,
                None => None,
            };
            match self.step(&request, &digest, user, session, &mut waited_for, deadline).await? {
                Step::Answer(conversation_id) => return Ok(conversation_id),
                Step::LookAgain => {}
                Step::Wait if self.clock.now() + LOOK_AGAIN < deadline => self.clock.sleep(LOOK_AGAIN).await,
                Step::Wait => return Err(Error::Busy),
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
        if session.request_digest == digest
            && waited_for.as_ref() == Some(&session.session_id)
            && let Some(failure) = session.failure
        {
            return Err(Error::Refused(failure));
        }
        match (session.state, &session.conversation_id) {
            (State::Closed, _) => self.claim(request, digest, user, deadline).await,
            (State::Closing, _) => {
                self.finish_closing(&session, deadline).await?;
                Ok(Step::LookAgain)
            }
            (State::Starting, _) if now < session.claim.until => {
                *waited_for = Some(session.session_id);
                Ok(Step::Wait)
            }
            (State::Starting, _) => self.take_over(request, user, session, deadline).await,
            (State::Active, Some(conversation_id))
                if session.request_digest == digest && now.since(session.started_at) < REPEAT_WINDOW =>
            {
                Ok(Step::Answer(conversation_id.clone()))
            }
            (State::Active, _) => {
                self.supersede(&session, deadline).await?;
                Ok(Step::LookAgain)
            }
        }
    }

    /// The user as the table knows them; one that was made before this stack is asked for at Botpress.
    async fn known_user(&self, request: &StartRequest<'_>) -> Result<User> {
        if let Some(user) = self.table.user(request.user_id).await? {
            return Ok(user);
        }
        let mut bot = self.as_install(request.install).await?;
        let found: Result<botpress::User> = call!(bot.get_user(request.user_id));
        let found = found.map_err(|error| match error {
            Error::Botpress(error) if error.is_not_found() => {
                Error::Refused(format!("Botpress does not know the user {} of this integration.", request.user_id))
            }
            other => other,
        })?;
        let profile = Profile {
            name: found.name.unwrap_or_default().into(),
            email: None,
            picture_url: found.picture_url.map(Into::into),
        };
        self.table.put_profile(request.user_id, &profile).await?;
        self.table.user(request.user_id).await?.ok_or(Error::Busy)
    }

    async fn claim(&self, request: &StartRequest<'_>, digest: &str, user: User, deadline: Timestamp) -> Result<Step> {
        let now = self.clock.now();
        let session = Session {
            session_id: SessionId::random(),
            state: State::Starting,
            install: request.install.clone(),
            user_id: user.user_id.clone(),
            group_id: request.group_id.unwrap_or(self.config.group_id),
            request_digest: digest.to_owned(),
            claim: self.new_claim(),
            started_at: now,
            thread: None,
            conversation_id: None,
            active_at: None,
            agent_told: None,
            failure: None,
        };
        let known_chat = user.chat_id.as_ref().zip(user.customer.as_ref());
        let known_chat =
            known_chat.map(|(chat_id, customer)| (chat_id, &customer.customer_id, user.thread_id.as_ref()));
        if self.table.claim_start(&session, user.session_id.as_ref(), known_chat).await? {
            self.build(request, user, session, deadline).await.map(Step::Answer)
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
        let claim = self.new_claim();
        if !self.table.take_over_start(&session, &claim).await? {
            return Ok(Step::LookAgain);
        }
        session.claim = claim;
        self.build(request, user, session, deadline).await.map(Step::Answer)
    }

    pub(super) fn new_claim(&self) -> Claim {
        Claim { holder: fresh_holder(), until: self.clock.now() + CLAIM_TIME }
    }

    /// Does the work of a claimed start; undoes it when a step fails.
    async fn build(
        &self,
        request: &StartRequest<'_>,
        user: User,
        mut session: Session,
        deadline: Timestamp,
    ) -> Result<ConversationId> {
        match self.try_build(request, user, &mut session).await {
            Ok(conversation_id) => Ok(conversation_id),
            Err(Error::Busy) => Err(Error::Busy),
            Err(error) => {
                self.abandon(&session, &error, deadline).await;
                Err(error)
            }
        }
    }

    async fn try_build(&self, request: &StartRequest<'_>, user: User, session: &mut Session) -> Result<ConversationId> {
        let customer = match self.ensure_customer(&user.user_id, user.customer.clone()).await {
            Err(Error::CustomerLost) => self.mint(&user.user_id, user.customer.as_ref()).await?,
            known => known?,
        };
        let mut customer = self.as_customer(&user.user_id, customer);
        let thread = match session.thread.clone() {
            Some(thread) => thread,
            None => {
                self.introduce(&user, session.group_id, &mut customer).await?;
                self.open_thread(request, &user, session, &mut customer).await?
            }
        };
        session.thread = Some(thread.clone());
        if !self.table.open_thread(session, &customer.customer.customer_id, &thread).await? {
            return Err(Error::Busy);
        }
        let tags = BTreeMap::from([("id".to_owned(), thread.thread_id.to_string())]);
        let mut bot = self.as_install(&session.install).await?;
        let conversation = async { call!(bot.get_or_create_conversation(CHANNEL, &tags, &["id"])) };
        let (conversation, ()) = tokio::join!(conversation, self.catch_up(session));
        let conversation_id = conversation?.id;
        match self.table.activate(session, &conversation_id, self.clock.now()).await? {
            true => Ok(conversation_id),
            false => Err(Error::Busy),
        }
    }

    /// Tells LiveChat who the customer is, and learns whether anybody of the group is there to meet them.
    async fn introduce(&self, user: &User, group_id: GroupId, customer: &mut AsCustomer<'_>) -> Result<()> {
        let mut asking = customer.clone();
        let statuses = async { call!(asking.list_group_statuses(&[group_id])) };
        let (told, statuses): (_, Result<BTreeMap<_, _>>) = tokio::join!(self.tell_profile(user, customer), statuses);
        if let Err(error) = told {
            tracing::warn!(error = %error, "LiveChat did not take the customer's profile");
        }
        let may_wait = self.config.when_offline == WhenOffline::LeaveMessage;
        match wording::refusal(group_id, statuses?.get(&group_id).copied(), may_wait) {
            Some(sentence) => Err(Error::Refused(sentence)),
            None => Ok(()),
        }
    }

    async fn tell_profile(&self, user: &User, customer: &mut AsCustomer<'_>) -> Result<()> {
        if user.profile_sent.as_ref() == Some(&user.profile) {
            return Ok(());
        }
        let profile = livechat::CustomerProfile {
            name: Some(user.profile.name.expose().to_owned()).filter(|name| !name.is_empty()),
            email: user.profile.email.as_ref().map(|email| email.expose().to_owned()),
            avatar: user.profile.picture_url.as_ref().map(|url| url.expose().to_owned()),
            session_fields: Vec::new(),
        };
        call!(customer.update_customer(&profile))?;
        Ok(self.table.put_profile_sent(&user.user_id, &user.profile).await?)
    }

    /// Starts the customer's chat, or resumes it; where LiveChat says that it is open, or says nothing, looks first.
    async fn open_thread(
        &self,
        request: &StartRequest<'_>,
        user: &User,
        session: &Session,
        customer: &mut AsCustomer<'_>,
    ) -> Result<Thread> {
        let new_chat = NewChat {
            group_id: session.group_id,
            // A customer without a web page would otherwise risk being taken for one who has left it.
            continuous: true,
            events: request.opening(user, session).into_iter().collect(),
        };
        let is_same_customer =
            user.customer.as_ref().is_none_or(|known| known.customer_id == customer.customer.customer_id);
        let known_chat = user.chat_id.as_ref().filter(|_| is_same_customer);
        match self.open_chat(known_chat, &new_chat, customer).await {
            Err(Error::LiveChat(error)) if error.outcome_unknown() || error.is_chat_already_active_or_exists() => {
                match self.find_open_thread(user, customer).await.map_err(|_| Error::from(error))? {
                    Found::Open(thread) => self.adopt(thread, user, &new_chat).await,
                    Found::Closed(chat_id) => self.open_chat(Some(&chat_id), &new_chat, customer).await,
                    Found::Nothing => self.open_chat(None, &new_chat, customer).await,
                }
            }
            Err(Error::LiveChat(error)) if error.is_group_unavailable() => {
                Err(Error::Refused(wording::group_offline(session.group_id)))
            }
            Err(Error::LiveChat(error)) if error.is_group_not_found() => {
                Err(Error::Refused(wording::group_unknown(session.group_id)))
            }
            opened => opened,
        }
    }

    /// Takes a thread that is already open for this session; its opening words are added unless they are in it.
    async fn adopt(&self, thread: Thread, user: &User, new_chat: &NewChat) -> Result<Thread> {
        for event in &new_chat.events {
            if self.find_event(&thread, event.custom_id()).await?.is_none() {
                self.send_event(user, &thread.chat_id, event).await?;
            }
        }
        Ok(thread)
    }

    async fn open_chat(
        &self,
        chat_id: Option<&ChatId>,
        new_chat: &NewChat,
        customer: &mut AsCustomer<'_>,
    ) -> Result<Thread> {
        let started = match chat_id {
            None => call!(customer.start_chat(new_chat))?,
            Some(chat_id) => call!(customer.resume_chat(chat_id, new_chat))?,
        };
        Ok(Thread { chat_id: started.chat_id, thread_id: started.thread_id })
    }

    /// Looks at the customer's only chat; an open thread that belongs to an ended session is closed first.
    async fn find_open_thread(&self, user: &User, customer: &mut AsCustomer<'_>) -> Result<Found> {
        let chats: Vec<ChatOverview> = call!(customer.list_chats())?;
        let Some(chat) = chats.into_iter().next() else { return Ok(Found::Nothing) };
        match chat.last_thread_id.filter(|_| chat.active) {
            Some(thread_id) if Some(&thread_id) != user.thread_id.as_ref() => {
                Ok(Found::Open(Thread { chat_id: chat.id, thread_id }))
            }
            Some(_) => {
                self.deactivate(&chat.id).await?;
                Ok(Found::Closed(chat.id))
            }
            None => Ok(Found::Closed(chat.id)),
        }
    }
}

impl StartRequest<'_> {
    /// The first event of the session, recognisable later by its custom id.
    fn opening(&self, user: &User, session: &Session) -> Option<NewEvent> {
        let opening = Opening {
            title: self.title,
            description: self.description,
            history: self.history,
            user_id: self.user_id,
            user_name: user.profile.name.expose(),
        };
        opening.text().map(|text| NewEvent::text(text, format!("opening:{}", session.session_id)))
    }

    /// A fingerprint of everything asked for; the texts cannot be read from it.
    fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for part in [Some(self.user_id.as_str()), self.title, self.description] {
            hash.update(part.unwrap_or_default());
            hash.update([0, u8::from(part.is_some())]);
        }
        for item in self.history {
            let HistoryItem::Message { author, content } = item else { continue };
            hash.update(match author {
                Author::Bot => "",
                Author::User(id) => id.as_str(),
            });
            hash.update([0]);
            hash.update(to_livechat::readable(content).expose());
            hash.update([0]);
        }
        hash.update(self.group_id.map_or(-1, |group| i64::from(group.0)).to_be_bytes());
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }
}

/// What a look at the user's present session leads to.
enum Step {
    Answer(ConversationId),
    LookAgain,
    Wait,
}

/// What a look at the customer's chat shows.
enum Found {
    Open(Thread),
    Closed(ChatId),
    Nothing,
}
