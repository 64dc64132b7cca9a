//! Every key of the table, in one place.
//!
//! | Entity | `pk` | `sk` | Read by |
//! |---|---|---|---|
//! | user | `USER#<user id>` | `USER` | start, delivery to the agent |
//! | told | `USER#<user id>` | `TOLD` | start of a returning user |
//! | session | `SESSION#<session id>` | `SESSION` | delivery, stop |
//! | lane | `SESSION#<session id>` | `LANE#<lane>` | drain |
//! | waiting item | `SESSION#<session id>` | `LANE#<lane>#<time>#<source id>` | drain, together with its lane |
//! | parked item | `SESSION#<session id>` | `PARKED#<lane>#<time>#<source id>` | operators |
//! | trail | `SESSION#<session id>` | `TRAIL#<lane>#<source id>` | accept, to recognise duplicates; changes of a message |
//! | timer | `SESSION#<session id>` | `TIMER#<timer>` | sweep |
//! | heard | `USER#<user id>` | `HEARD` | callers that may receive the same words twice without an id |
//! | asked | `ASKED#<digest of the input>` | `ASKED` | `createUser`, to recognise a call that is repeated within seconds |
//! | call | `CALL#<digest of time and body>` | `CALL` | effects of signed calls, to recognise a replay while its signature is valid |
//! | conversation | `CONVERSATION#<conversation id>` | `CONVERSATION` | everything Botpress calls |
//! | chat | `CHAT#<chat id>` | `CHAT` | everything LiveChat calls |
//! | early | `CHAT#<chat id>` | `EARLY` | start, to check whether LiveChat called before the thread was recorded |
//! | agent | `AGENT#<install id>#<agent id>` | `AGENT` | delivery to the bot |
//! | gate | `GATES` | `GATE#<vendor>` | everything that calls a vendor |
//! | sweep | `SWEEP` | `SWEEP` | sweep, to detect that it has not run for a while |
//! | door | `DOORS` | `DOOR#<vendor>` | doctor, to report whose calls are accepted and whose are rejected |
//! | wait | `GROUP#<group id>` | `WAIT#<slot>` | `checkAvailability`: the group's latest times to assignment, at most 32 |
//! | record | `RECORDS#<day of the start>` | `<start>#<session id>` | `hitl stats`, a query for each day; `getHandoffReport`, one by its key |
//! | install | `INSTALLS` | `INSTALL#<install id>` | register, unregister |
//!
//! [`lane`](super::lane) lists the attributes of a lane's record, who writes each and when it is removed. The table of `docs/design.md`
//! ("The retention counts from a session's end") lists how long each item lives and what ends it. Nothing of an open session expires.
//! Everything of an ended session and of its user expires at the same time, and what arrives afterwards is removed with its partition
//! ([`bury`](super::Table::bury)). Waiting items, timers and lanes of open sessions have no `expires_at`.
//!
//! `<lane>` is `to_agent` or `to_bot`; `<timer>` is `pause` or `assignment`. `<time>` is the source's own time in the fixed width of
//! [`Timestamp`], so a query returns a lane's items oldest first; items of equal time are sorted when they are read
//! ([`in_order`](super::lane::in_order)). All reads by key are consistent. The index `due` (`due_shard`, `due_at`) only shows the sweep
//! where to look and whether anything is parked: parked items have their own partition in it, ordered by the time when they are deleted.
//! `expires_at` (seconds) is the table's TTL attribute.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::clock::Timestamp;
use crate::ids::{AgentId, ChatId, ConversationId, GroupId, InstallId, SessionId, UserId};
use crate::model::lane::{Lane, Position, Timer};

/// The primary key of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) pk: String,
    pub(super) sk: String,
}

impl Key {
    fn new(pk: String, sk: impl Into<String>) -> Self {
        Self { pk, sk: sk.into() }
    }

    pub(super) fn user(id: &UserId) -> Self {
        Self::new(format!("USER#{id}"), "USER")
    }

    pub(super) fn told(id: &UserId) -> Self {
        Self::new(format!("USER#{id}"), "TOLD")
    }

    pub(super) fn session(id: &SessionId) -> Self {
        Self::new(session_partition(id), "SESSION")
    }

    /// The lane itself. It is also the prefix of its waiting items, so one query returns both.
    pub(super) fn lane(id: &SessionId, lane: Lane) -> Self {
        Self::new(session_partition(id), format!("LANE#{lane}"))
    }

    pub(super) fn waiting(id: &SessionId, lane: Lane, position: &Position) -> Self {
        Self::new(session_partition(id), format!("LANE#{lane}#{}#{}", position.at, position.source_id))
    }

    /// Reads the position of a lane's waiting item from its sort key.
    pub(super) fn position_of(lane: Lane, sk: &str) -> Option<Position> {
        let (at, source_id) = sk.strip_prefix(&format!("LANE#{lane}#"))?.split_once('#')?;
        Some(Position { at: Timestamp::parse(at)?, source_id: source_id.to_owned() })
    }

    pub(super) fn parked(id: &SessionId, lane: Lane, position: &Position) -> Self {
        Self::new(session_partition(id), format!("PARKED#{lane}#{}#{}", position.at, position.source_id))
    }

    pub(super) fn trail(id: &SessionId, lane: Lane, source_id: &str) -> Self {
        Self::new(session_partition(id), format!("TRAIL#{lane}#{source_id}"))
    }

    pub(super) fn timer(id: &SessionId, timer: Timer) -> Self {
        Self::new(session_partition(id), format!("TIMER#{timer}"))
    }

    pub(super) fn heard(id: &UserId) -> Self {
        Self::new(format!("USER#{id}"), "HEARD")
    }

    pub(super) fn asked(digest: &str) -> Self {
        Self::new(format!("ASKED#{digest}"), "ASKED")
    }

    pub(super) fn call(id: &str) -> Self {
        Self::new(format!("CALL#{id}"), "CALL")
    }

    pub(super) fn conversation(id: &ConversationId) -> Self {
        Self::new(format!("CONVERSATION#{id}"), "CONVERSATION")
    }

    pub(super) fn chat(id: &ChatId) -> Self {
        Self::new(format!("CHAT#{id}"), "CHAT")
    }

    pub(super) fn early(id: &ChatId) -> Self {
        Self::new(format!("CHAT#{id}"), "EARLY")
    }

    pub(super) fn agent(install: &InstallId, agent: &AgentId) -> Self {
        Self::new(format!("AGENT#{install}#{agent}"), "AGENT")
    }

    pub(super) fn install(id: &InstallId) -> Self {
        Self::new(INSTALLS.to_owned(), format!("INSTALL#{id}"))
    }

    /// One of a group's latest times to assignment.
    pub(super) fn wait(group_id: GroupId, slot: u32) -> Self {
        Self::new(Self::waits_of(group_id), format!("WAIT#{slot}"))
    }

    /// The partition of a group's latest times to assignment.
    pub(super) fn waits_of(group_id: GroupId) -> String {
        format!("GROUP#{group_id}")
    }

    /// The record that a session leaves. Its key follows from the session, so a session has at most one.
    pub(super) fn record(started_at: Timestamp, id: &SessionId) -> Self {
        Self::new(Self::records_of(started_at), format!("{started_at}#{id}"))
    }

    /// The partition of the records of the sessions that started on the same day, in UTC.
    pub(super) fn records_of(day: Timestamp) -> String {
        let day = day.to_string();
        format!("RECORDS#{}", day.split('T').next().unwrap_or_default())
    }

    pub(super) fn sweep() -> Self {
        Self::new("SWEEP".to_owned(), "SWEEP")
    }

    pub(super) fn door(caller: &str) -> Self {
        Self::new(DOORS.to_owned(), format!("DOOR#{caller}"))
    }

    pub(super) fn gate(vendor: &str) -> Self {
        Self::new(GATES.to_owned(), format!("GATE#{vendor}"))
    }

    /// Returns whether this is the sort key of a lane itself.
    pub(super) fn is_lane(sk: &str) -> bool {
        sk.strip_prefix("LANE#").is_some_and(|lane| Lane::parse(lane).is_some())
    }

    /// The key that an item of the table has.
    pub(super) fn of(pk: &str, sk: &str) -> Self {
        Self::new(pk.to_owned(), sk)
    }

    /// The session whose partition this is.
    pub(super) fn session_of(pk: &str) -> Option<SessionId> {
        pk.strip_prefix("SESSION#").map(SessionId::new)
    }

    /// The key as DynamoDB takes it.
    pub(super) fn attributes(&self) -> HashMap<String, AttributeValue> {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.pk.clone())),
            ("sk".to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }
}

/// The only partition of the index `due`; it carries far more than one tenant's open lanes.
pub(super) const DUE_SHARD: &str = "0";

/// The partition of the index `due` that contains parked items, ordered by the time when they are deleted.
pub(super) const PARKED_SHARD: &str = "parked";

/// The partition of all installs: a handful per tenant.
pub(super) const INSTALLS: &str = "INSTALLS";

/// The partition of the records of callers: one item for each vendor.
pub(super) const DOORS: &str = "DOORS";

/// The partition of the vendors' limits and failures: one item for each vendor.
pub(super) const GATES: &str = "GATES";

fn session_partition(id: &SessionId) -> String {
    format!("SESSION#{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_a_prefix_of_its_waiting_items_and_of_nothing_else() {
        let id = SessionId::from("s1");
        let position = Position { at: Timestamp::from_unix_millis(1_778_492_460_877), source_id: "T1_3".into() };
        let lane = Key::lane(&id, Lane::ToBot);
        let waiting = Key::waiting(&id, Lane::ToBot, &position);
        assert_eq!(waiting.sk, "LANE#to_bot#2026-05-11T09:41:00.877000Z#T1_3");
        assert!(waiting.sk.starts_with(&lane.sk));
        assert_eq!(Key::position_of(Lane::ToBot, &waiting.sk), Some(position.clone()));
        assert_eq!(Key::position_of(Lane::ToAgent, &waiting.sk), None);
        for other in [
            Key::lane(&id, Lane::ToAgent),
            Key::parked(&id, Lane::ToBot, &position),
            Key::trail(&id, Lane::ToBot, "T1_3"),
            Key::session(&id),
        ] {
            assert!(!other.sk.starts_with(&lane.sk), "{other:?}");
        }
    }
}
