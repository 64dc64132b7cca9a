//! Delivery to the bot, on any platform.

use std::time::Duration;

use super::close::{EndAnswers, end_item};
use super::platform;
use super::to_agent::STARTING_PAUSE;
use crate::bridge::decide::{self, NotThere};
use crate::bridge::{MessageContent, ToAgent, ToBot, revisions};
use crate::clock::Timestamp;
use crate::handoff::delivery::outbound::{Attempt, Delay, Delivered, Look, Outbound};
use crate::handoff::inbox::content::Content;
use crate::handoff::vendors::limits::Gate;
use crate::handoff::{Error, Handoff, Result};
use crate::ids::{AgentId, ConversationId};
use crate::model::lane::{Lane, Outcome, Position, Waiting};
use crate::model::session::{Disposition, ResumeReason, Session, State};
use crate::model::user::User;
use crate::model::vendor::{BOTCOPY, BOTPRESS, LIVECHAT};
use crate::store::{Ending, LaneToAgent};

/// How many failed reads of the thread an end waits for.
const READINGS_BEFORE_END: u32 = 3;

/// How long an end waits at most for a time that LiveChat has named: about as long as failed reads delay it. LiveChat may name an hour.
const WAIT_BEFORE_END: Duration = Duration::from_secs(60);

/// How many failed reads of the thread a change waits for.
const READINGS_BEFORE_CHANGE: u32 = 3;

impl Content for ToBot {
    const LANE: Lane = Lane::ToBot;
    // Users' messages take numbers of the same thread.
    const BESIDE: Option<Lane> = Some(Lane::ToAgent);
    // LiveChat too: delivery reads the thread for an agent's name or the last messages.
    const VENDORS: &'static [&'static str] = &[LIVECHAT, BOTPRESS, BOTCOPY];

    fn number(item: &Waiting<Self>, _: Option<&str>) -> Option<u64> {
        decide::number_of_source(&item.position.source_id)
    }

    fn revision(&self) -> Option<String> {
        match self {
            Self::Message { content, .. } => Some(content.revision()),
            _ => None,
        }
    }

    fn apply_changes(waiting: &mut [Waiting<Self>]) {
        revisions::apply(waiting);
    }

    fn is_end(&self) -> bool {
        matches!(self, Self::Stopped | Self::Superseded { .. } | Self::GivenUp { .. })
    }

    fn is_never_parked(&self) -> bool {
        self.is_end() || matches!(self, Self::Left { .. })
    }

    fn is_spoken(&self) -> bool {
        matches!(self, Self::Message { .. } | Self::Correction { .. } | Self::Deletion { .. } | Self::Notice { .. })
    }

    fn is_said(item: &Waiting<Self>) -> bool {
        // A notice that the service shows in an agent's name is no event of the thread.
        matches!(item.content, Self::Message { .. }) && item.position.source_id.starts_with("event:")
    }
}

impl Outbound for ToBot {
    fn vendor(session: &Session) -> &'static str {
        platform::vendor(&session.platform)
    }

    fn earliest(&self, handoff: &Handoff, session: &Session, last_finished_at: Timestamp) -> Timestamp {
        match self {
            // Botpress may handle a message and an event concurrently: the last message must not come after the end.
            Self::Left { .. } | Self::Stopped | Self::Superseded { .. } | Self::GivenUp { .. } => {
                last_finished_at + platform::pause(handoff, session)
            }
            _ => last_finished_at,
        }
    }

    fn gate<'a>(handoff: &'a Handoff, session: &Session) -> &'a Gate {
        platform::gate(handoff, session)
    }

    fn ready_at(&self, handoff: &Handoff, session: &Session) -> Timestamp {
        match (self, session.state, session.active_at) {
            (Self::Left { ready_at, .. }, ..) => *ready_at,
            (_, State::Starting, _) => handoff.clock.now() + STARTING_PAUSE,
            (_, State::Active, Some(active_at)) => active_at + platform::settle(handoff, session),
            _ => session.started_at,
        }
    }

    async fn deliver(
        handoff: &Handoff,
        session: &mut Session,
        _: Option<&User>,
        item: &Waiting<Self>,
    ) -> Result<Attempt> {
        match (&item.content, session.state) {
            // In every state: this conversation is no longer part of the session.
            (Self::Left { .. }, _) => Box::pin(handoff.carry_out(session, item)).await.map(Attempt::Done),
            (content, State::Closed) => {
                if content.is_end() {
                    handoff.log_record_again(session, &end_item(Self::LANE, item)).await?;
                }
                Ok(Delivered::dropped().into())
            }
            // These two may end a session that never became active.
            (Self::GivenUp { reason }, _) => Box::pin(handoff.end_from_here(session, item, *reason, "given_up")).await,
            (Self::Notice { .. }, _) => Box::pin(handoff.carry_out(session, item)).await.map(Attempt::Done),
            (_, State::Starting | State::Closing) => Ok(Delivered::dropped().into()),
            (Self::Stopped, State::Active) => Box::pin(handoff.end_from_livechat(session, item)).await,
            (Self::Superseded { by_operator }, State::Active) => {
                let reason = if *by_operator { "operator" } else { "superseded" };
                Box::pin(handoff.end_from_here(session, item, ResumeReason::UserSide, reason)).await
            }
            (_, State::Active) => {
                let waited = session.announced_agent.is_none();
                session.assigned_at = session.assigned_at.or_else(|| taken_at(session, item));
                let delivered = Box::pin(handoff.carry_out(session, item)).await;
                if waited && session.announced_agent.is_some() {
                    Box::pin(handoff.note_wait(session)).await;
                }
                match delivered {
                    Err(Error::ConversationLost) => {
                        Box::pin(handoff.end_without_conversation(session)).await?;
                        Ok(Delivered::dropped().into())
                    }
                    delivered => delivered.map(Attempt::Done),
                }
            }
        }
    }

    async fn look(handoff: &Handoff, session: &Session, _: Option<&User>, item: &Waiting<Self>) -> Result<Look> {
        platform::find_shown(handoff, session, &item.position.source_id).await
    }

    async fn tell_sender(
        handoff: &Handoff,
        session: &Session,
        item: &Waiting<Self>,
        may_have_arrived: bool,
    ) -> Result<()> {
        let (Self::Message { .. } | Self::Correction { .. }) = item.content else { return Ok(()) };
        let words = handoff.words_for_agents(session.group_id);
        let text = match may_have_arrived {
            true => words.perhaps_delivered_to_user(),
            false => words.not_delivered_to_user(),
        };
        let Some(text) = text else { return Ok(()) };
        let notice = ToAgent::Note { text: text.into() };
        handoff.accept_notice(session, &notice, &item.position.source_id).await
    }
}

/// The expected wait is computed from the waits of this last period.
pub(crate) const WAITS_OF: Duration = Duration::from_secs(3_600);

impl Handoff {
    /// Carries out an item of an active session, on any platform.
    async fn carry_out(&self, session: &mut Session, item: &Waiting<ToBot>) -> Result<Delivered> {
        match &item.content {
            ToBot::Message { agent_id, content, revised: false } => {
                Ok(platform::show(self, session, agent_id, content, item).await?.into())
            }
            ToBot::Message { agent_id, content, revised: true } => {
                Box::pin(self.show_revised(session, item, (agent_id, content))).await
            }
            ToBot::Correction { agent_id, of, content } => {
                Box::pin(self.correct(session, item, (agent_id, of, content))).await
            }
            ToBot::Deletion { of } => Box::pin(self.tell_deletion(session, item, of)).await,
            ToBot::Assigned { agent_id, profile, is_transfer, .. } => {
                if !self.takes_part_anew(session, agent_id, *is_transfer).await? {
                    return Ok(Delivered::dropped());
                }
                platform::announce(self, session, agent_id, profile.as_ref()).await?;
                Ok(Delivered::without_id())
            }
            ToBot::Notice { text } => platform::tell(self, session, text, &item.position.source_id).await,
            ToBot::Renewal => platform::renew(self, session).await,
            ToBot::Left { conversation_id, .. } => self.leave(session, conversation_id).await,
            ToBot::Continued => platform::continue_session(self, session).await,
            ToBot::Retracted | ToBot::Stopped | ToBot::Superseded { .. } | ToBot::GivenUp { .. } => {
                Ok(Delivered::dropped())
            }
        }
    }

    /// Whether an agent is to be announced to the bot: once, and again when the chat has returned to them from another agent.
    ///
    /// A transfer has neither an id nor a time, so who is in the chat now distinguishes a return from a transfer that was reported late.
    async fn takes_part_anew(&self, session: &Session, agent_id: &AgentId, is_transfer: bool) -> Result<bool> {
        let has_it_now = session.announced_agent.as_ref().is_some_and(|told| told.agent_id == *agent_id);
        match session.announced(agent_id) {
            None => Ok(true),
            Some(_) if has_it_now || !is_transfer => Ok(false),
            Some(_) => self.is_present(session, agent_id).await,
        }
    }

    /// Resumes the bot of a conversation that the session has left; a conversation that no longer exists needs nothing.
    async fn leave(&self, session: &Session, conversation_id: &ConversationId) -> Result<Delivered> {
        match platform::leave(self, session, conversation_id).await {
            Err(Error::Botpress(error)) if error.is_gone() => Ok(Delivered::dropped()),
            told => told.map(|()| Delivered::without_id()),
        }
    }

    /// Shows a message that was changed while it waited.
    async fn show_revised(
        &self,
        session: &mut Session,
        item: &Waiting<ToBot>,
        (agent_id, content): (&AgentId, &MessageContent),
    ) -> Result<Delivered> {
        let source_id = &item.position.source_id;
        let Some(content) = self.as_it_is_now(session, item, (source_id, content)).await? else {
            return Ok(Delivered::dropped());
        };
        let shown = platform::show(self, session, agent_id, &content, item).await?;
        // A message that was already there is shown in its earlier version, and its correction must still follow.
        if shown.is_new {
            self.note_shown(session, source_id, &content).await?;
        }
        Ok(shown.into())
    }

    /// The current content of a message; `None` if it is not to be shown any more.
    ///
    /// LiveChat gives a change neither a number nor a time, and may report an earlier one late: only the thread shows which is the last.
    /// The reported content counts if the thread cannot be read soon, or does not show the message.
    async fn as_it_is_now(
        &self,
        session: &Session,
        item: &Waiting<ToBot>,
        (source_id, reported): (&str, &MessageContent),
    ) -> Result<Option<MessageContent>> {
        let Some(thread) = &session.thread else { return Ok(Some(reported.clone())) };
        let read = match self.read_thread(thread).await {
            // A wait that LiveChat has named may be long, and must not delay the agents' messages.
            Err(error @ Error::Waiting { .. }) => Err(error),
            Err(error) if error.is_retryable() && item.attempts < READINGS_BEFORE_CHANGE => return Err(error),
            read => read,
        };
        let thread = read.map(|chat| chat.thread).unwrap_or_else(|error| {
            tracing::warn!(error = %error, session.id = %session.session_id,
                "an edited message could not be read again; the user sees the version that the webhook reported");
            None
        });
        let now = thread.map_or(Err(NotThere), |thread| decide::as_it_is_now(&thread, source_id));
        Ok(now.unwrap_or_else(|NotThere| Some(reported.clone())))
    }

    /// Shows the current content of a message, unless it is what was shown last, or the message was never shown.
    async fn correct(
        &self,
        session: &mut Session,
        item: &Waiting<ToBot>,
        (agent_id, of, content): (&AgentId, &str, &MessageContent),
    ) -> Result<Delivered> {
        let trail = self.table.trail(&session.session_id, ToBot::LANE, of, self.clock.now()).await?;
        let Some(trail) = trail.filter(|trail| matches!(trail.outcome, Some(Outcome::Delivered | Outcome::Parked)))
        else {
            return Ok(Delivered::dropped());
        };
        // Before the thread is read: a later change is then accepted as another one.
        self.table.count_change(&session.session_id, ToBot::LANE, of).await?;
        let Some(now) = self.as_it_is_now(session, item, (of, content)).await? else {
            return Ok(Delivered::dropped());
        };
        let in_words = match trail.outcome {
            // The vendor refused the message itself; it may take the current content.
            Some(Outcome::Parked) => Some(now.clone()),
            _ if trail.revision.as_ref() == Some(&now.revision()) => None,
            _ => now.corrected(self.words_for_user(session)),
        };
        let Some(in_words) = in_words else { return Ok(Delivered::dropped()) };
        // Another version is another message: it must not be taken for the version that an earlier attempt has shown.
        let source_id = match now == *content {
            true => item.position.source_id.clone(),
            false => format!("{}:{}", item.position.source_id, now.revision()),
        };
        let shown_as = Waiting { position: Position { source_id, ..item.position.clone() }, ..item.clone() };
        let shown = platform::show(self, session, agent_id, &in_words, &shown_as).await?;
        self.note_shown(session, of, &now).await?;
        Ok(shown.into())
    }

    /// Reports a deletion if the message was shown, in the name of the current agent: LiveChat does not say who deleted it.
    async fn tell_deletion(&self, session: &mut Session, item: &Waiting<ToBot>, of: &str) -> Result<Delivered> {
        let trail = self.table.trail(&session.session_id, ToBot::LANE, of, self.clock.now()).await?;
        let was_shown = trail.is_some_and(|trail| trail.outcome == Some(Outcome::Delivered));
        let present = session.announced_agent.as_ref().map(|agent| agent.agent_id.clone());
        let (Some(sentence), Some(agent_id), true) = (self.words_for_user(session).deletion(), present, was_shown)
        else {
            return Ok(Delivered::dropped());
        };
        let sentence = MessageContent::text(sentence);
        Ok(platform::show(self, session, &agent_id, &sentence, item).await?.into())
    }

    /// Records which version of a message the user has seen.
    async fn note_shown(&self, session: &Session, source_id: &str, content: &MessageContent) -> Result<()> {
        Ok(self.table.note_revision(&session.session_id, ToBot::LANE, source_id, &content.revision()).await?)
    }

    /// Ends a session that LiveChat has ended, once all its messages are shown.
    async fn end_from_livechat(&self, session: &mut Session, item: &Waiting<ToBot>) -> Result<Attempt> {
        let (has_more, disposition) = self.found_last_words(session, item.attempts).await?;
        if has_more {
            return Ok(Attempt::Later(self.clock.now(), Delay::Early));
        }
        let bot = Box::pin(platform::resume(self, session, ResumeReason::AgentClosed)).await;
        let told = self.as_far_as_it_can(item, EndAnswers { bot, livechat: Ok(()) });
        let item = end_item(ToBot::LANE, item);
        let ending = Ending { disposition, ..Ending::unread("livechat", Some(ResumeReason::AgentClosed), item) };
        Box::pin(self.end(session, told, &ending, LaneToAgent::Idle)).await.map(Attempt::Done)
    }

    /// Ends a session although LiveChat has not: the bot resumes, and any thread open at LiveChat is closed.
    async fn end_from_here(
        &self,
        session: &mut Session,
        item: &Waiting<ToBot>,
        resumes: ResumeReason,
        reason: &'static str,
    ) -> Result<Attempt> {
        let bot = match session.bot_told {
            // An earlier attempt has resumed it; some platforms would show a repeat.
            Some(true) => Ok(()),
            _ => Box::pin(platform::resume(self, session, resumes)).await,
        };
        if bot.as_ref().is_err_and(Error::is_retryable) && !self.has_waited_in_vain(item) {
            return bot.map(|()| Delivered::without_id().into());
        }
        let livechat = Box::pin(self.close_for_good(session, item)).await;
        let told = self.as_far_as_it_can(item, EndAnswers { bot, livechat });
        let ending = Ending::unread(reason, Some(resumes), end_item(ToBot::LANE, item));
        Box::pin(self.end(session, told, &ending, LaneToAgent::Idle)).await.map(Attempt::Done)
    }

    /// Ends a session whose conversation no longer exists, so that no agent's message reaches its user: the agents get a notice, and then
    /// the thread is closed.
    async fn end_without_conversation(&self, session: &Session) -> Result<()> {
        tracing::warn!(session.id = %session.session_id, "a session's conversation no longer exists; the session ends");
        if let Err(error) = platform::resume(self, session, ResumeReason::UserSide).await {
            tracing::warn!(error = %error, session.id = %session.session_id, "the bot could not be resumed");
        }
        let (id, now) = (&session.session_id, self.clock.now());
        if let Some(text) = self.words_for_agents(session.group_id).conversation_gone() {
            let position = Position { at: now, source_id: "conversation_gone".to_owned() };
            self.accept_for(now, id, position, &ToAgent::Note { text: text.into() }).await?;
        }
        let position = Position { at: now, source_id: "close".to_owned() };
        self.accept_for(now, id, position, &ToAgent::Close).await?;
        self.table.begin_closing(id).await?;
        Ok(())
    }

    /// Whether messages that the user has not seen yet must come before the end; and the end according to the thread.
    ///
    /// Messages that no webhook has brought are read from the thread; those that one brings meanwhile are in the lane by then. A thread
    /// that cannot be read does not delay the end for long.
    async fn found_last_words(&self, session: &Session, attempts: u32) -> Result<(bool, Option<Disposition>)> {
        let read = match self.accept_missed(session).await {
            Err(error) if is_worth_waiting(&error) && attempts < READINGS_BEFORE_END => return Err(error),
            Err(error) => {
                self.note_limit(&error, &session.user_id).await;
                tracing::warn!(error = %error, session.id = %session.session_id,
                    "a session ends although its thread could not be read; messages without a webhook may be lost");
                None
            }
            Ok(read) => read,
        };
        let contents = self.table.lane::<ToBot>(&session.session_id, ToBot::LANE).await?;
        Ok((contents.waiting.iter().any(|item| !item.content.is_end()), read))
    }

    /// Records how long a session has waited for its first agent.
    pub(super) async fn note_wait(&self, session: &Session) {
        let now = self.clock.now();
        let waited = session.assigned_at.unwrap_or(now).since(session.started_at);
        if let Err(error) = self.table.put_wait(session.group_id, &session.session_id, now, waited, WAITS_OF).await {
            tracing::warn!(error = %error, session.id = %session.session_id,
                "a session's waiting time could not be recorded");
        }
    }
}

/// When a person took the chat, according to this item: LiveChat's own time if there is one, else the time of the report.
///
/// The item may have waited for the bot to be ready, which does not count as a wait for an agent.
fn taken_at(session: &Session, item: &Waiting<ToBot>) -> Option<Timestamp> {
    let at = match &item.content {
        ToBot::Assigned { since, .. } => since.unwrap_or(item.position.at),
        ToBot::Message { agent_id, .. } if agent_id.is_person() => item.position.at,
        _ => return None,
    };
    // LiveChat's clock may be behind the service's.
    Some(at.max(session.started_at))
}

/// Whether an end waits for a readable thread after this error. It does not wait for refused credentials, which may take any time to be
/// replaced; the bot gets the user back first.
fn is_worth_waiting(error: &Error) -> bool {
    let asked_for = match error {
        // A gate lets one call a minute through, even before the named time.
        Error::Waiting { asked_for, .. } => Some(*asked_for),
        error => error.retry_after(),
    };
    let is_soon = asked_for.is_none_or(|wait| wait <= WAIT_BEFORE_END);
    error.is_retryable() && !error.is_authentication() && is_soon
}
