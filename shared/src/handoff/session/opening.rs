//! The LiveChat side of a start: the customer is introduced, and their only chat gets a thread for the session.

use super::history::Known;
use super::request::StartRequest;
use crate::bridge::decide;
use crate::bridge::transcript::Opening;
use crate::clock::Timestamp;
use crate::config::WhenOffline;
use crate::handoff::delivery::unheard::remark_in;
use crate::handoff::vendors::credentials::call;
use crate::handoff::vendors::customer::AsCustomer;
use crate::handoff::vendors::doubt::next_look;
use crate::handoff::{DELIVERY_TIME, Error, Handoff, Result};
use crate::ids::ChatId;
use crate::livechat::{self, ChatOverview, GroupStatus, NewChat, NewEvent};
use crate::model::session::{Session, Thread};
use crate::model::user::{Introduction, User};
use crate::redacted::Redacted;
use crate::text::is_blank;

/// Prefix of the custom id of a session's first event.
pub(super) const OPENING: &str = "opening:";

/// Limit on tags: each costs a call, and the start waits for all of them.
const MOST_TAGS: usize = 10;

/// The thread that a session has at its start.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) thread: Thread,
    /// Whether it was opened just now: then webhooks have been sent for everything that has happened in it.
    pub(super) is_new: bool,
    /// The number of the last event that it was opened with, if LiveChat has named it.
    pub(super) up_to: Option<u64>,
}

impl Opened {
    /// A thread that existed before.
    pub(super) const fn found(thread: Thread) -> Self {
        Self { thread, is_new: false, up_to: None }
    }
}

impl Handoff {
    /// Sends the customer's profile to LiveChat, and checks whether an agent of the group is online. Returns whether the profile was new
    /// to LiveChat and must still be recorded.
    pub(super) async fn introduce(
        &self,
        user: &User,
        introduction: &Introduction,
        session: &mut Session,
        customer: &mut AsCustomer<'_>,
    ) -> Result<bool> {
        let group_id = session.group_id;
        let mut asking = customer.clone();
        let (told, status) =
            tokio::join!(self.tell_profile(user, introduction, customer), self.status_for_start(group_id, &mut asking));
        let is_news = told.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "LiveChat did not accept the customer's profile");
            false
        });
        let may_wait = self.config.when_offline == WhenOffline::LeaveMessage;
        let status = status?;
        session.nobody_online = status == Some(GroupStatus::Offline);
        match self.words_for_agents(group_id).refusal(group_id, status, may_wait) {
            Some(sentence) => Err(Error::Refused(sentence)),
            None => Ok(is_news),
        }
    }

    async fn tell_profile(&self, user: &User, told: &Introduction, customer: &mut AsCustomer<'_>) -> Result<bool> {
        if user.profile_sent.as_ref() == Some(told) && is_still(user, customer) {
            return Ok(false);
        }
        let full = profile(told);
        match call!(customer.update_customer(&full)) {
            // An e-mail address or picture that LiveChat refuses must not cost the rest of the profile.
            Err(Error::LiveChat(error)) if !error.is_retryable() && (full.email.is_some() || full.avatar.is_some()) => {
                let plain = livechat::CustomerProfile { email: None, avatar: None, ..full };
                call!(customer.update_customer(&plain))?;
            }
            answer => answer?,
        }
        Ok(true)
    }

    /// Records the profile that LiveChat has been sent; without the record the next start sends it again.
    pub(super) async fn note_introduction(&self, user: &User, told: &Introduction) {
        if let Err(error) = self.table.put_profile_sent(&user.user_id, told).await {
            tracing::warn!(error = %error,
                "the profile that LiveChat has could not be recorded; the next start sends it again");
        }
    }

    /// Tags a new thread; a tag that LiveChat refuses does not fail the start.
    pub(super) async fn tag_thread(&self, thread: &Thread, tags: &[String]) {
        for tag in tags.iter().take(MOST_TAGS) {
            let tagged = async {
                let mut agent = self.as_agent().await?;
                call!(agent.tag_thread(&thread.chat_id, &thread.thread_id, tag))
            };
            if let Err(error) = tagged.await {
                tracing::warn!(error = %error, "LiveChat did not accept a tag");
            }
        }
    }

    /// The thread that a start opened before it died, if it is closed by now: its messages and its end must be delivered like those of
    /// any other.
    ///
    /// One that is still open is found when another cannot be opened beside it. It is recognised by the opening that the start has
    /// written into it; if the start had none, by the absence of any other start's opening and of a notice. Times are not compared: the
    /// vendor's clock may differ.
    pub(super) async fn find_left_behind(
        &self,
        request: &StartRequest<'_>,
        user: &User,
        session: &Session,
        customer: &mut AsCustomer<'_>,
    ) -> Result<Option<Thread>> {
        let chat = call!(customer.list_chats())?.into_iter().next().filter(|chat| !chat.active);
        let closed = chat.and_then(|chat| Some((chat.id, chat.last_thread_id?)));
        let Some((chat_id, thread_id)) = closed.filter(|(_, thread_id)| Some(thread_id) != user.thread_id.as_ref())
        else {
            return Ok(None);
        };
        let thread = Thread { chat_id, thread_id };
        let read = match self.read_thread(&thread).await {
            Err(Error::LiveChat(error)) if error.is_gone() => None,
            read => read?.thread,
        };
        let has_opening =
            request.prepared.is_some() || request.opening_text(user, self.words_for_agents(session.group_id)).is_some();
        Ok(read.filter(|read| is_left_behind(read, session, has_opening)).map(|_| thread))
    }

    /// Starts the customer's chat, or resumes it; where LiveChat reports it open, or does not answer, looks first.
    pub(super) async fn open_thread<'a>(
        &self,
        request: &StartRequest<'a>,
        (user, session): (&User, &mut Session),
        customer: &mut AsCustomer<'_>,
        known: &mut Known<'a>,
        deadline: Timestamp,
    ) -> Result<Opened> {
        // Another customer has another chat, in which agents cannot read what was sent before.
        if !is_still(user, customer) {
            known.forget(request.history);
        }
        let may_wait = self.config.when_offline == WhenOffline::LeaveMessage;
        let mut new_chat = NewChat {
            group_id: session.group_id,
            // Otherwise LiveChat may treat a customer without a web page as one who has left.
            continuous: true,
            events: self.opening(request, user, session, known).await.into_iter().collect(),
            left_message: may_wait.then_some(session.nobody_online),
        };
        let now = self.clock.now();
        session.in_doubt_until = session.in_doubt_until.max(user.closing_until).filter(|until| now < *until);
        let opened = match session.in_doubt_until {
            Some(until) => Err(Error::InDoubt { until }),
            None => {
                let asked = (request, &mut new_chat, &mut *known);
                Box::pin(self.open_known_chat(asked, (user, session), customer, deadline)).await
            }
        };
        match opened {
            Err(error) if error.outcome_unknown() || is_open_already(&error) => {
                session.raise_doubt(&error, self.clock.now());
                self.look_and_open((user, session), &new_chat, customer, deadline).await
            }
            Err(Error::LiveChat(error)) if error.is_group_unavailable() => {
                Err(Error::Refused(self.words_for_agents(session.group_id).group_offline(session.group_id)))
            }
            Err(Error::LiveChat(error)) if error.is_group_not_found() => {
                Err(Error::Refused(self.words_for_agents(session.group_id).group_unknown(session.group_id)))
            }
            opened => opened,
        }
    }

    /// Opens a thread in the user's chat, or in a new one if LiveChat no longer has it.
    async fn open_known_chat<'a>(
        &self,
        (request, new_chat, known): (&StartRequest<'a>, &mut NewChat, &mut Known<'a>),
        (user, session): (&User, &mut Session),
        customer: &mut AsCustomer<'_>,
        deadline: Timestamp,
    ) -> Result<Opened> {
        self.keep_claim(session, deadline).await?;
        let known_chat = user.chat_id.as_ref().filter(|_| is_still(user, customer));
        match self.open_chat(known_chat, new_chat, customer).await {
            Err(Error::LiveChat(error)) if known_chat.is_some() && error.is_gone() => {
                tracing::warn!(error = %error, "LiveChat no longer has a user's chat; a new one is started");
                // In the new chat agents cannot read what was sent before.
                known.forget(request.history);
                new_chat.events = self.opening(request, user, session, known).await.into_iter().collect();
                self.open_chat(None, new_chat, customer).await
            }
            opened => opened,
        }
    }

    /// Opens a thread after LiveChat has reported that one is open, or has not answered; not before an unanswered call can no longer take
    /// effect.
    async fn look_and_open(
        &self,
        (user, session): (&User, &mut Session),
        new_chat: &NewChat,
        customer: &mut AsCustomer<'_>,
        deadline: Timestamp,
    ) -> Result<Opened> {
        loop {
            let doubt = session.in_doubt_until.filter(|until| self.clock.now() < *until);
            let found = self.find_open_thread(user, customer).await;
            self.keep_claim(session, deadline).await?;
            let opened = match (found, doubt) {
                (Ok(Found::Open(thread)), _) => self.adopt(thread, user, new_chat, doubt).await.map(Opened::found),
                // The unanswered call may still open a thread.
                (Ok(Found::Closed(_) | Found::Nothing), Some(until)) => Err(Error::InDoubt { until }),
                (Ok(Found::Closed(chat_id)), None) => self.open_chat(Some(&chat_id), new_chat, customer).await,
                (Ok(Found::Nothing), None) => match self.open_chat(None, new_chat, customer).await {
                    // LiveChat has a chat of this customer that it does not list, so it is out of reach.
                    Err(error) if is_open_already(&error) => Err(Error::CustomerLost),
                    opened => opened,
                },
                (Err(failed), _) => Err(failed),
            };
            let error = match opened {
                Err(doubtful) if matches!(doubtful, Error::InDoubt { .. }) => doubtful,
                Err(doubtful) if doubtful.in_doubt_until(self.clock.now()).is_some() => doubtful,
                // A customer has one chat for life, and this one's no longer exists.
                Err(Error::LiveChat(error)) if error.is_gone() => return Err(Error::CustomerLost),
                opened => return opened,
            };
            session.raise_doubt(&error, self.clock.now());
            let now = self.clock.now();
            let look_at = session.in_doubt_until.map_or(now, |until| next_look(until, now));
            if look_at + DELIVERY_TIME > deadline {
                return Err(error);
            }
            self.clock.sleep_until(look_at).await;
        }
    }

    /// Adopts a thread that is already open for this session, and adds the opening unless the thread contains it.
    async fn adopt(&self, thread: Thread, user: &User, new_chat: &NewChat, doubt: Option<Timestamp>) -> Result<Thread> {
        for event in &new_chat.events {
            match (self.find_event(&thread, event.custom_id()).await?, doubt) {
                (Some(_), _) => {}
                (None, Some(until)) => return Err(Error::InDoubt { until }),
                (None, None) => drop(self.send_event(user, &thread.chat_id, event).await?),
            }
        }
        Ok(thread)
    }

    /// The session's first event, recognised later by its custom id.
    async fn opening(
        &self,
        request: &StartRequest<'_>,
        user: &User,
        session: &Session,
        known: &Known<'_>,
    ) -> Option<NewEvent> {
        let custom_id = opening_of(session);
        if let Some(text) = request.prepared {
            return Some(NewEvent::text(text.clone(), custom_id));
        }
        let names = self.names(user, known.news).await;
        let opening = Opening {
            title: request.title,
            description: request.description,
            history: known.news,
            names: &names,
            wording: self.words_for_agents(session.group_id),
        };
        opening.text().map(|text| NewEvent::text(text, custom_id))
    }

    async fn open_chat(
        &self,
        chat_id: Option<&ChatId>,
        new_chat: &NewChat,
        customer: &mut AsCustomer<'_>,
    ) -> Result<Opened> {
        let started = match chat_id {
            None => call!(once customer.start_chat(new_chat))?,
            Some(chat_id) => call!(once customer.resume_chat(chat_id, new_chat))?,
        };
        let thread = Thread { chat_id: started.chat_id, thread_id: started.thread_id };
        Ok(Opened { thread, is_new: true, up_to: decide::opened_up_to(&started.event_ids) })
    }

    /// Looks at the customer's only chat; an open thread that belongs to an ended session is closed first.
    async fn find_open_thread(&self, user: &User, customer: &mut AsCustomer<'_>) -> Result<Found> {
        let chats: Vec<ChatOverview> = call!(customer.list_chats())?;
        let Some(chat) = chats.into_iter().next() else { return Ok(Found::Nothing) };
        match chat.last_thread_id.filter(|_| chat.active) {
            Some(thread_id) if Some(&thread_id) != user.thread_id.as_ref() => {
                let thread = Thread { chat_id: chat.id, thread_id };
                // Its agent has been told that no session serves it, and it is being closed.
                if self.find_event(&thread, &remark_in(&thread.thread_id)).await?.is_some() {
                    self.deactivate(&thread.chat_id).await?;
                    return Ok(Found::Closed(thread.chat_id));
                }
                Ok(Found::Open(thread))
            }
            Some(_) => {
                self.deactivate(&chat.id).await?;
                Ok(Found::Closed(chat.id))
            }
            None => Ok(Found::Closed(chat.id)),
        }
    }
}

/// Whether a thread was opened by a session's start.
fn is_left_behind(thread: &livechat::Thread, session: &Session, has_opening: bool) -> bool {
    let written = |is_meant: &dyn Fn(&str) -> bool| {
        thread.events.iter().any(|event| event.custom_id.as_deref().is_some_and(is_meant))
    };
    let (own, remark) = (opening_of(session), remark_in(&thread.id));
    match has_opening {
        true => written(&|id| id == own),
        false => !written(&|id| id.starts_with(OPENING) || id == remark),
    }
}

/// The custom id of a session's first event.
fn opening_of(session: &Session) -> String {
    format!("{OPENING}{}", session.session_id)
}

/// Whether LiveChat refuses to open a thread because one is open, or because the chat exists.
fn is_open_already(error: &Error) -> bool {
    matches!(error, Error::LiveChat(error) if error.is_chat_already_active_or_exists())
}

/// Whether the customer is the one with whom the user's chat and profile were recorded.
fn is_still(user: &User, customer: &AsCustomer<'_>) -> bool {
    user.customer.as_ref().is_none_or(|known| known.customer_id == customer.customer.customer_id)
}

/// An introduction in LiveChat's form.
fn profile(told: &Introduction) -> livechat::CustomerProfile {
    let Introduction { profile, session_fields } = told;
    let plain = |text: &Redacted| Some(text.expose().to_owned()).filter(|text| !is_blank(text));
    let is_web = |url: &String| url.starts_with("https://") || url.starts_with("http://");
    livechat::CustomerProfile {
        name: plain(&profile.name),
        email: profile.email.as_ref().and_then(plain),
        avatar: profile.picture_url.as_ref().and_then(plain).filter(is_web),
        session_fields: session_fields.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect(),
    }
}

/// The result of a look at the customer's chat.
enum Found {
    Open(Thread),
    Closed(ChatId),
    Nothing,
}
