//! The end of a session: its thread is closed, both sides are told, and the session's record is written.

use std::time::Duration;

use crate::bridge::ToAgent;
use crate::clock::Timestamp;
use crate::handoff::delivery::outbound::Delivered;
use crate::handoff::vendors::credentials::call;
use crate::handoff::vendors::doubt::AT_WORK;
use crate::handoff::vendors::limits::{calls_so_far, holds_words};
use crate::handoff::{Error, Handoff, LONGEST_CALL, Result};
use crate::ids::UserId;
use crate::livechat::ChatOverview;
use crate::metrics::{About, Metric};
use crate::model::lane::{Lane, Occupancy, Waiting};
use crate::model::session::{Session, State, Thread};
use crate::store::{Closing, Ending, LaneToAgent, Record};
use crate::telemetry;

/// Each side's answer to the news that a session is over.
#[derive(Debug)]
pub(crate) struct EndAnswers {
    pub(crate) bot: Result<()>,
    pub(crate) livechat: Result<()>,
}

/// The advice logged when one side could not be told of an end in all that time.
const GIVEN_UP: &str = "All attempts failed for as long as the session's records are kept";

/// How long an end waits for messages that are on their way to the agents: longer than a caller waits for its answer.
const WORDS_ON_THEIR_WAY: Duration = Duration::from_secs(2);

/// How often the lane is looked at meanwhile.
const LOOK_AT_WORDS: Duration = Duration::from_millis(250);

/// Whether a side has been told. A permanent refusal is final; a transient failure is returned as an error.
fn knows(session: &Session, side: &'static str, told: Result<()>) -> Result<bool> {
    match told {
        Ok(()) => Ok(true),
        Err(error) if error.is_retryable() => Err(error),
        Err(error) => {
            tracing::error!(error = %error, session.id = %session.session_id, side,
                "one side refused the notice of a session's end permanently; the session ends without it");
            Ok(false)
        }
    }
}

/// The id by which an end is recognised in the lane that delivers it.
pub(super) fn end_item<T>(lane: Lane, item: &Waiting<T>) -> String {
    format!("{lane}:{}", item.position.source_id)
}

/// Logs a record: once, and again with the same values if a process died or failed at that moment.
fn log(record: &Record) {
    let handed_back = record.handed_back_because.and_then(|reason| serde_json::to_value(reason).ok());
    tracing::info!(session.id = %record.session_id, record.platform = record.platform_name,
        record.bot = telemetry::id(&record.bot_id), record.group = record.group_number,
        record.agents = record.agents.join(","), record.ended_because = record.ended_because,
        record.ended_by = record.ended_by, record.handed_back = handed_back.as_ref().and_then(|name| name.as_str()),
        record.started_at = %record.started_at, record.ended_at = %record.ended_at,
        record.assigned_after_ms = record.assigned_after_ms, record.answered_after_ms = record.answered_after_ms,
        record.handled_ms = record.handled_ms, record.from_user = record.from_user,
        record.from_agents = record.from_agents, record.tags = record.thread_tags.join(","),
        record.livechat_calls = record.vendor_calls.map(|calls| calls.livechat),
        record.botpress_calls = record.vendor_calls.map(|calls| calls.botpress),
        record.botcopy_calls = record.vendor_calls.map(|calls| calls.botcopy),
        record.rating = record.rating, record.thread_read = record.thread_was_read,
        "a session is recorded");
}

impl Handoff {
    /// Marks a session as over once both sides have been told, or can never be: its user must be free to start another.
    pub(crate) async fn end(
        &self,
        session: &mut Session,
        told: EndAnswers,
        ending: &Ending,
        to_agent: LaneToAgent,
    ) -> Result<Delivered> {
        let bot_told = knows(session, "bot", told.bot)?;
        if let Err(error) = knows(session, "livechat", told.livechat) {
            // Recorded before the end is retried, so that the bot is not resumed twice.
            if bot_told && session.bot_told.is_none() {
                Box::pin(self.table.note_bot_told(&session.session_id)).await?;
            }
            return Err(error);
        }
        session.bot_told = Some(bot_told);
        let is_first = self.close(session, ending, to_agent).await?;
        session.state = State::Closed;
        if is_first {
            self.record(&About::Reason(ending.reason), &[(Metric::SessionsEnded, 1.0)]);
            tracing::info!(session.id = %session.session_id, reason = ending.reason, "a session is over");
        }
        Ok(Delivered::without_id())
    }

    /// Each side's answer. A transient failure becomes final once the item has waited for as long as messages are kept.
    pub(super) fn as_far_as_it_can<T>(&self, item: &Waiting<T>, told: EndAnswers) -> EndAnswers {
        let final_if_late = |told: Result<()>| match told {
            Err(error) if error.is_retryable() && self.has_waited_in_vain(item) => {
                Err(Error::Explained { advice: GIVEN_UP.to_owned(), cause: Box::new(error) })
            }
            told => told,
        };
        EndAnswers { bot: final_if_late(told.bot), livechat: final_if_late(told.livechat) }
    }

    /// Whether an item has waited for as long as a session's messages are kept after its end.
    pub(super) fn has_waited_in_vain<T>(&self, item: &Waiting<T>) -> bool {
        self.kept_until(item.position.at) <= self.clock.now()
    }

    /// Marks a session as over, with its record. Returns whether it was not over before.
    async fn close(&self, session: &Session, ending: &Ending, mut to_agent: LaneToAgent) -> Result<bool> {
        loop {
            let record = self.record_of(session, ending).await?;
            match self.table.close(session, record, ending.item.as_deref(), to_agent).await? {
                Closing::Done(record) => {
                    self.record_times(&record);
                    log(&record);
                    return Ok(true);
                }
                Closing::WasOver => return Ok(false),
                Closing::LaneBusy => {
                    // A message is on its way to the agents: the end waits for it for a short time, and then happens in any case.
                    Box::pin(self.expect_words_on_their_way(session)).await?;
                    to_agent = LaneToAgent::Busy;
                }
            }
        }
    }

    /// A user's message that LiveChat has not answered may still reach their chat. The next thread is not opened before that becomes
    /// impossible.
    async fn expect_words_on_their_way(&self, session: &Session) -> Result<()> {
        let id = &session.session_id;
        let until = self.clock.now() + WORDS_ON_THEIR_WAY;
        loop {
            let now = self.clock.now();
            let is_held = match self.table.occupancy(id, Lane::ToAgent).await? {
                // The words whose delivery has found that the session is over were answered: nothing of them is under way.
                Occupancy::Held { until } => now < until && !holds_words(),
                Occupancy::Idle { .. } | Occupancy::Busy => false,
            };
            if !is_held || until <= now {
                let waiting = self.table.lane::<ToAgent>(id, Lane::ToAgent).await?.waiting;
                let in_doubt = waiting.iter().filter_map(|item| item.in_doubt_until);
                let in_doubt_until = in_doubt.chain(is_held.then(|| now + AT_WORK)).max();
                return match in_doubt_until.filter(|until| now < *until) {
                    Some(until) => Ok(self.table.put_closing_until(&session.user_id, until).await?),
                    None => Ok(()),
                };
            }
            self.clock.sleep(LOOK_AT_WORDS).await;
        }
    }

    /// Closes a start with nothing open, which no lane item ends. Nothing returns to it once it is closed, so its record is logged first.
    pub(crate) async fn close_unopened(&self, session: &Session) -> Result<()> {
        let record = self.record_of(session, &Ending::of_start()).await?;
        log(&record);
        self.table.close(session, record, None, LaneToAgent::Busy).await?;
        Ok(())
    }

    async fn record_of(&self, session: &Session, ending: &Ending) -> Result<Record> {
        let (said, now) = (self.table.said(&session.session_id).await?, self.clock.now());
        Ok(Record::of(session, ending, (said, calls_so_far()), now, self.kept_until(now)))
    }

    /// Logs the record of a session that `item` has ended, in case the process died before it did. The only sign of that is an item that
    /// is still in its lane.
    pub(super) async fn log_record_again(&self, session: &Session, item: &str) -> Result<()> {
        if session.end_item.as_deref() == Some(item)
            && let Some(record) = Box::pin(self.table.record(session, self.clock.now())).await?
        {
            log(&record);
        }
        Ok(())
    }

    /// Records the times of a session as metrics.
    fn record_times(&self, record: &Record) {
        let times = [
            (Metric::TimeToAssign, record.assigned_after_ms),
            (Metric::TimeToFirstAnswer, record.answered_after_ms),
            (Metric::HandleTime, record.handled_ms),
        ];
        let known =
            times.into_iter().filter_map(|(metric, ms)| Some((metric, Duration::from_millis(ms?).as_secs_f64())));
        let known: Vec<_> = known.collect();
        if !known.is_empty() {
            self.record(&About::Stack, &known);
        }
    }

    /// Closes what a session has open at LiveChat.
    pub(super) async fn close_thread_of(&self, session: &Session) -> Result<()> {
        match &session.thread {
            Some(thread) => self.close_thread(&session.user_id, thread).await,
            None => self.close_whatever_was_opened(session).await,
        }
    }

    /// Closes what a session has open, and requires that no earlier call of the kind can still close the user's next thread.
    pub(super) async fn close_for_good<T: Sync>(&self, session: &Session, item: &Waiting<T>) -> Result<()> {
        self.close_thread_of(session).await?;
        self.require_certainty(item)
    }

    /// Closes a user's thread; where the agent token is forbidden to, the customer may, as long as they are in the chat.
    pub(super) async fn close_thread(&self, user_id: &UserId, thread: &Thread) -> Result<()> {
        let refused = match self.deactivate(&thread.chat_id).await {
            Err(Error::LiveChat(error)) if error.is_forbidden() => error,
            answer => return answer,
        };
        let customer = self.table.user(user_id).await?.and_then(|user| user.customer);
        let customer = customer.ok_or(refused)?;
        let closed = async {
            let customer = self.ensure_customer(user_id, Some(customer)).await?;
            let mut customer = self.as_customer(user_id, customer);
            call!(once customer.deactivate_chat(&thread.chat_id))
        };
        match closed.await {
            Err(Error::LiveChat(error)) if error.is_chat_inactive() || error.is_gone() => Ok(()),
            Err(error @ Error::CustomerLost) => {
                tracing::warn!(error = %error, "a thread could not be closed and may stay open");
                Ok(())
            }
            answer => answer,
        }
    }

    /// A start whose answer was lost may have opened an unrecorded thread: the customer's only chat shows it.
    async fn close_whatever_was_opened(&self, session: &Session) -> Result<()> {
        let Some(user) = self.table.user(&session.user_id).await? else { return Ok(()) };
        let Some(customer) = user.customer else { return Ok(()) };
        let mut customer = self.as_customer(&user.user_id, customer);
        let in_doubt_until = session.in_doubt_until.unwrap_or_else(|| session.doubt_of_claim());
        let looked_at = self.clock.now();
        let chats: Vec<ChatOverview> = match call!(customer.list_chats()) {
            // A customer whom LiveChat no longer knows has nothing open.
            Err(Error::CustomerLost) => Vec::new(),
            listed => listed?,
        };
        match chats.into_iter().find(|chat| chat.active) {
            Some(chat) => self.deactivate(&chat.id).await,
            None if looked_at < in_doubt_until => Err(Error::InDoubt { until: in_doubt_until }),
            None => Ok(()),
        }
    }

    /// Closes a thread that no session waits for; a start of the same user waits until the call can no longer close a newer thread. An
    /// earlier call of the kind may still take effect until `in_doubt_until`.
    pub(crate) async fn close_beside_starts(
        &self,
        user_id: &UserId,
        thread: &Thread,
        in_doubt_until: Option<Timestamp>,
    ) -> Result<()> {
        // Before the call: if this process dies, the user's next start must know of it.
        self.table.put_closing_until(user_id, self.clock.now() + LONGEST_CALL + AT_WORK).await?;
        self.close_thread(user_id, thread).await?;
        let closing_until = in_doubt_until.unwrap_or_else(|| self.clock.now());
        Ok(self.table.put_closing_until(user_id, closing_until).await?)
    }
}
