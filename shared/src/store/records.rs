//! Records of sessions: the data kept for statistics once a session is over, without any text.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::keys::Key;
use super::{Item, Result, Table, text};
use crate::clock::Timestamp;
use crate::ids::{AgentId, InstallId, SessionId, UserId};
use crate::model::lane::{Lane, Tally};
use crate::model::session::{Disposition, ResumeReason, Session};
use crate::model::vendor_calls::VendorCalls;

/// The record that a session leaves at its end; each session has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The session.
    pub session_id: SessionId,
    /// Its user, by which an erasure finds the record; neither the log line nor the statistics contain it.
    pub user_id: UserId,
    /// `botpress` or `botcopy`.
    pub platform_name: String,
    /// The bot, by its platform's id.
    pub bot_id: String,
    /// The install, if the platform has installs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_id: Option<InstallId>,
    /// The requested group.
    pub group_number: u32,
    /// The agents who were announced to the bot, each once, as [`hashed`] ids; the last one last.
    #[serde(default)]
    pub agents: Vec<String>,
    /// Why it ended: `livechat`, `bot`, `superseded`, `operator`, `given_up`, or `not_started` for one that was never active.
    pub ended_because: String,
    /// Who ended it: `agent`, `customer`, `livechat` (its router), `bot`, `operator`, `stack` (this service).
    pub ended_by: String,
    /// The reason that the bot was given when it resumed, if this service resumed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_back_because: Option<ResumeReason>,
    /// When the escalation was claimed.
    pub started_at: Timestamp,
    /// When the session was over on both sides.
    pub ended_at: Timestamp,
    /// Milliseconds from the start until the first announced agent had the chat: LiveChat's own time if it gives one (the thread's
    /// opening with the agent in it, the agent's first event), else the time of the report. The settle time does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_after_ms: Option<u64>,
    /// Milliseconds from the start until the user saw the first message of an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_after_ms: Option<u64>,
    /// Milliseconds from that assignment to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled_ms: Option<u64>,
    /// Messages of the user that reached the agents.
    pub from_user: u64,
    /// Messages of agents that the user saw.
    pub from_agents: u64,
    /// Vendor calls from the start to the end, including reads of the thread, but without those of failed attempts that were left to the
    /// sweep and of verbs that belong to no session. Unknown for sessions that an earlier version has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor_calls: Option<VendorCalls>,
    /// The thread's tags when it ended; also empty if the end did not read the thread.
    #[serde(default)]
    pub thread_tags: Vec<String>,
    /// The user's rating: 0 (bad) or 1 (good); one that comes after the end is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rating: Option<u64>,
    /// Whether the end has read the thread, so that tags and rating are known.
    pub thread_was_read: bool,
    /// When it is deleted, in Unix seconds.
    pub expires_at: i64,
}

/// How a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// As in the metric `SessionsEnded`: `livechat`, `bot`, `superseded`, `operator` or `given_up`.
    pub reason: &'static str,
    /// The reason that the bot is given, if this service resumes it.
    pub hand_back: Option<ResumeReason>,
    /// The disposition of the thread, if the end has read it.
    pub disposition: Option<Disposition>,
    /// The lane's item that ends it, `<lane>:<source id>`; none for a start that has opened nothing.
    pub item: Option<String>,
}

impl Ending {
    /// An end that has not read the thread.
    pub const fn unread(reason: &'static str, hand_back: Option<ResumeReason>, item: String) -> Self {
        Self { reason, hand_back, disposition: None, item: Some(item) }
    }

    /// The end of a start that has opened nothing.
    pub const fn of_start() -> Self {
        Self { reason: "bot", hand_back: None, disposition: None, item: None }
    }

    fn by(&self) -> &'static str {
        match (self.reason, self.disposition.as_ref().and_then(|read| read.ended_by)) {
            ("livechat", by) => by.unwrap_or("livechat"),
            ("bot", _) => "bot",
            ("operator", _) => "operator",
            _ => "stack",
        }
    }
}

/// How many messages each side has sent, and when the first was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The user.
    pub by_user: Tally,
    /// The agents.
    pub by_agents: Tally,
}

/// An agent's id in records: the first 16 hexadecimal digits of its SHA-256, in lower case.
///
/// Ids of agents are e-mail addresses, and records leave the table through the log. A reader who has an address can recognise its hash.
pub fn hashed(agent: &AgentId) -> String {
    let hash =
        Sha256::new().chain_update("livechat-hitl agent\n").chain_update(agent.as_str().to_lowercase()).finalize();
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl Record {
    /// The record of `session`, which ends at `ended_at` and is kept until `expires_at`; its end has made `end_calls`.
    pub fn of(
        session: &Session,
        ending: &Ending,
        (said, end_calls): (Said, VendorCalls),
        ended_at: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        let since_start = |at: Timestamp| milliseconds(at, session.started_at);
        let read = ending.disposition.as_ref();
        let never_active = session.active_at.is_none();
        let told = session.earlier_agents.iter().chain(&session.announced_agent);
        let ended_by = match (never_active, session.closed_by_operator) {
            (true, true) => "operator",
            (true, false) => "stack",
            (false, _) => ending.by(),
        };
        Self {
            session_id: session.session_id.clone(),
            user_id: session.user_id.clone(),
            platform_name: session.platform.name().to_owned(),
            bot_id: session.platform.bot_id().to_owned(),
            install_id: session.platform.install_id().cloned(),
            group_number: session.group_id.0,
            agents: told.map(|told| hashed(&told.agent_id)).collect(),
            ended_because: if never_active { "not_started" } else { ending.reason }.to_owned(),
            ended_by: ended_by.to_owned(),
            handed_back_because: ending.hand_back,
            started_at: session.started_at,
            ended_at,
            assigned_after_ms: session.assigned_at.map(since_start),
            answered_after_ms: said.by_agents.first_at.map(since_start),
            handled_ms: session.assigned_at.map(|at| milliseconds(ended_at, at)),
            from_user: said.by_user.count,
            from_agents: said.by_agents.count,
            vendor_calls: Some(calls_of(session).plus(said.by_user.calls).plus(said.by_agents.calls).plus(end_calls)),
            thread_tags: read.map(|read| read.tags.clone()).unwrap_or_default(),
            rating: read.and_then(|read| read.rating).or(session.rating),
            thread_was_read: read.is_some(),
            expires_at: expires_at.unix_seconds(),
        }
    }
}

/// The vendor calls of a session apart from its lanes.
const fn calls_of(session: &Session) -> VendorCalls {
    session.start_calls.plus(VendorCalls { livechat: session.readings, botpress: 0, botcopy: 0 })
}

fn milliseconds(at: Timestamp, earlier: Timestamp) -> u64 {
    u64::try_from(at.since(earlier).as_millis()).unwrap_or(u64::MAX)
}

/// The records of one day, and the cost of reading them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DayOfRecords {
    /// Oldest start first.
    pub records: Vec<Record>,
    /// Records in a form that this version cannot read.
    pub unreadable: usize,
    /// The read units that DynamoDB has counted; 0 if it does not report them.
    pub read_units: f64,
}

impl Table {
    /// How many messages each side of a session has sent.
    pub async fn said(&self, id: &SessionId) -> Result<Said> {
        let (to_agent, to_bot) = (Key::lane(id, Lane::ToAgent), Key::lane(id, Lane::ToBot));
        let mut said = Said::default();
        for item in self.get_all(&[to_agent.clone(), to_bot]).await? {
            let is_users = item.get("sk") == Some(&text(&to_agent.sk));
            let LaneSaid { said: tally } = serde_dynamo::from_item(item)?;
            *(if is_users { &mut said.by_user } else { &mut said.by_agents }) = tally;
        }
        Ok(said)
    }

    /// The record of a session that is over.
    pub async fn record(&self, session: &Session, now: Timestamp) -> Result<Option<Record>> {
        self.get_unexpired(&Key::record(session.started_at, &session.session_id), now).await
    }

    /// The records of the sessions that started on the day of `day` (UTC), by one query.
    pub async fn records_of_day(&self, day: Timestamp, now: Timestamp) -> Result<DayOfRecords> {
        let request = self.client.query().table_name(&self.name);
        let mut pages = request
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(Key::records_of(day)))
            .return_consumed_capacity(aws_sdk_dynamodb::types::ReturnConsumedCapacity::Total)
            .into_paginator()
            .send();
        let mut found = DayOfRecords::default();
        while let Some(page) = pages.next().await {
            let page = page?;
            found.read_units += page.consumed_capacity.and_then(|spent| spent.capacity_units).unwrap_or_default();
            let items: Vec<Item> = page.items.unwrap_or_default();
            for item in items.into_iter().filter(|item| !super::has_expired(item, now)) {
                match serde_dynamo::from_item(item) {
                    Ok(record) => found.records.push(record),
                    Err(_) => found.unreadable += 1,
                }
            }
        }
        Ok(found)
    }
}

/// The part of a lane's record that counts its messages.
#[derive(Deserialize)]
struct LaneSaid {
    #[serde(default)]
    said: Tally,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_has_one_hash_without_their_address() {
        let hash = hashed(&"Anna@example.com".into());
        assert_eq!(hash, hashed(&"anna@example.com".into()));
        assert_ne!(hash, hashed(&"bob@example.com".into()));
        assert!(hash.len() == 16 && !hash.contains("anna"), "{hash}");
    }
}
