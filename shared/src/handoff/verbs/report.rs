//! `getHandoffReport`: the report of a session for the bot that had it.

use std::time::Duration;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::handoff::vendors::credentials::call;
use crate::handoff::{Error, Handoff, Result};
use crate::ids::{ConversationId, SessionId, UserId};
use crate::model::session::{Install, Platform, Session, State, Thread};
use crate::redacted::Redacted;
use crate::store::Record;

/// How long the report waits for LiveChat's summary.
const SUMMARY_TIME: Duration = Duration::from_secs(8);

/// One sentence both for an unknown session and for another user's, so that a caller cannot tell them apart.
const UNKNOWN: &str = "There is no handoff of this user to report. Pass the userId that createUser has returned, and a sessionId \
                       or conversationId of this user's own, or neither for the last handoff";

/// The session to report on.
#[derive(Clone, Copy, Debug)]
pub struct ReportRequest<'a> {
    /// The end user's mirror.
    pub user_id: &'a UserId,
    /// The session; without this and `conversation_id`, the user's last one.
    pub session_id: Option<&'a SessionId>,
    /// The conversation that the start returned.
    pub conversation_id: Option<&'a ConversationId>,
    /// Whether LiveChat's summary is requested.
    pub with_summary: bool,
}

/// How a session went.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    session_id: SessionId,
    /// `open`, `ended`, or `unrecorded` for a session that an earlier version has ended.
    status: &'static str,
    started_at: Timestamp,
    group_id: u32,
    #[serde(flatten)]
    ended: Option<Ended>,
    /// `not_asked`, `ready`, `requested` or `unavailable`.
    summary_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
}

/// The part of a report that is known once a session has ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    ended_at: Timestamp,
    ended_because: String,
    ended_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    handed_back_because: Option<crate::model::session::ResumeReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_to_assignment: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_to_first_answer: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handling_seconds: Option<f64>,
    messages_from_user: u64,
    messages_from_agents: u64,
    agents: usize,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rating: Option<u64>,
}

impl From<Record> for Ended {
    fn from(record: Record) -> Self {
        let seconds = |ms: Option<u64>| ms.map(|ms| Duration::from_millis(ms).as_secs_f64());
        Self {
            ended_at: record.ended_at,
            ended_because: record.ended_because,
            ended_by: record.ended_by,
            handed_back_because: record.handed_back_because,
            seconds_to_assignment: seconds(record.assigned_after_ms),
            seconds_to_first_answer: seconds(record.answered_after_ms),
            handling_seconds: seconds(record.handled_ms),
            messages_from_user: record.from_user,
            messages_from_agents: record.from_agents,
            agents: record.agents.len(),
            tags: record.thread_tags,
            rating: record.rating,
        }
    }
}

impl Handoff {
    /// Reports a session to the install that had it. LiveChat's summary is optional, so its failure does not fail the report.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the user has no such session; else the table's error.
    pub async fn report(&self, install: &Install, request: ReportRequest<'_>, deadline: Timestamp) -> Result<Report> {
        let session = self.session_to_report(install, request).await?;
        let record = match session.state {
            State::Closed => self.table.record(&session, self.clock.now()).await?,
            _ => None,
        };
        let status = match (session.state, &record) {
            (State::Closed, Some(_)) => "ended",
            (State::Closed, None) => "unrecorded",
            _ => "open",
        };
        let (summary_status, summary) = match (request.with_summary, &session.thread) {
            (false, _) => ("not_asked", None),
            (true, None) => ("unavailable", None),
            (true, Some(thread)) => self.summary_in_time(&session, thread, deadline).await,
        };
        Ok(Report {
            status,
            started_at: session.started_at,
            group_id: session.group_id.0,
            ended: record.map(Ended::from),
            summary_status,
            summary: summary.map(|text| text.expose().to_owned()),
            session_id: session.session_id,
        })
    }

    /// Returns the requested session if it belongs to this user and this install.
    async fn session_to_report(&self, install: &Install, request: ReportRequest<'_>) -> Result<Session> {
        let session_id = match (request.session_id, request.conversation_id) {
            (Some(id), _) => Some(id.clone()),
            (None, Some(id)) => {
                self.table.find_by_conversation(id, self.clock.now()).await?.map(|pointer| pointer.session_id)
            }
            (None, None) => self.table.user(request.user_id).await?.and_then(|user| user.session_id),
        };
        let session = match session_id {
            Some(id) => self.table.session(&id).await?,
            None => None,
        };
        let is_own = |session: &Session| {
            let of_install = matches!(&session.platform, Platform::Botpress(of)
                if of.install_id == install.install_id && of.bot_id == install.bot_id);
            of_install && session.user_id == *request.user_id
        };
        session.filter(is_own).ok_or_else(|| Error::Refused(UNKNOWN.to_owned()))
    }

    async fn summary_in_time(
        &self,
        session: &Session,
        thread: &Thread,
        deadline: Timestamp,
    ) -> (&'static str, Option<Redacted>) {
        let until = deadline.min(self.clock.now() + SUMMARY_TIME);
        match self.clock.within(until, Box::pin(self.summary_of(thread))).await {
            Some(Ok(Some(summary))) => ("ready", Some(summary)),
            Some(Ok(None)) => ("requested", None),
            Some(Err(error)) => {
                tracing::warn!(error = %error, session.id = %session.session_id,
                    "the summary of a chat could not be fetched");
                ("unavailable", None)
            }
            None => ("unavailable", None),
        }
    }

    /// Returns LiveChat's summary of a thread. If there is none yet, requests it and returns `None`; a later report contains it.
    ///
    /// The summary is passed on and never stored. See LiveChat Docs, "Request Thread Summary".
    async fn summary_of(&self, thread: &Thread) -> Result<Option<Redacted>> {
        let read = self.read_thread(thread).await?.thread;
        if let Some(summary) = read.and_then(|read| read.summary) {
            return Ok(Some(summary));
        }
        let mut agent = self.as_agent().await?;
        call!(agent.request_thread_summary(&thread.chat_id, &thread.thread_id))?;
        Ok(None)
    }
}
