//! `checkAvailability`: whether agents are online, before a bot promises one.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::bridge::opening::opens_at;
use crate::clock::Timestamp;
use crate::handoff::delivery::to_bot::WAITS_OF;
use crate::handoff::vendors::credentials::call;
use crate::handoff::{Error, Handoff, Result};
use crate::ids::GroupId;
use crate::livechat::{GroupStatus, WorkSchedule};

/// How long LiveChat may take: the bot and its user wait for the answer.
const ANSWER_TIME: Duration = Duration::from_secs(4);

/// The answer of `checkAvailability`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Availability {
    /// Whether the group takes chats.
    pub status: Status,
    /// The median time to assignment of the group's sessions of the last hour, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_wait_seconds: Option<u64>,
    /// When the first agent of an offline group begins to work, if LiveChat has working times and the agent token has the
    /// scope `agents--all:ro`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Timestamp>,
    /// A sentence for the bot to show, in the user's language; empty if the stack has switched it off.
    pub sentence: String,
}

/// Whether a group takes chats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// An agent is free.
    Online,
    /// Agents are online and busy.
    Queue,
    /// No agent is online.
    Offline,
    /// LiveChat did not report the status, or has no such group.
    Unknown,
}

impl Status {
    const fn of(status: Option<GroupStatus>) -> Self {
        match status {
            Some(GroupStatus::Online) => Self::Online,
            Some(GroupStatus::OnlineForQueue) => Self::Queue,
            Some(GroupStatus::Offline) => Self::Offline,
            Some(GroupStatus::Other) | None => Self::Unknown,
        }
    }
}

impl Handoff {
    /// Returns whether agents of a group are online, how long a user is likely to wait, and when the first of them is back.
    ///
    /// It makes at most one billed call to LiveChat in 15 s for each group and process, and one more in an hour while a group is offline.
    /// Any failure makes the status unknown.
    pub async fn check_availability(
        &self,
        group_id: Option<GroupId>,
        language: Option<&str>,
        deadline: Timestamp,
    ) -> Availability {
        let group_id = group_id.unwrap_or(self.config.group_id);
        let soon = deadline.min(self.clock.now() + ANSWER_TIME);
        let status = self.clock.within(soon, Box::pin(self.status_of(group_id, soon))).await.unwrap_or(Status::Unknown);
        let wait = match status {
            Status::Online | Status::Queue => self.clock.within(deadline, self.expected_wait(group_id)).await.flatten(),
            Status::Offline | Status::Unknown => None,
        };
        let opens_at = match status {
            Status::Offline => self.clock.within(soon, self.next_shift(group_id, soon)).await.flatten(),
            Status::Online | Status::Queue | Status::Unknown => None,
        };
        Availability { opens_at, ..self.availability(status, wait, group_id, language) }
    }

    /// Returns the answer to a request that cannot be read.
    pub fn unknown_availability(&self, language: Option<&str>) -> Availability {
        self.availability(Status::Unknown, None, self.config.group_id, language)
    }

    fn availability(
        &self,
        status: Status,
        wait: Option<Duration>,
        group_id: GroupId,
        language: Option<&str>,
    ) -> Availability {
        let language = language.and_then(crate::bridge::wording::language);
        let words = self.config.wording.of(language.as_deref(), group_id);
        let sentence = match (status, wait) {
            (Status::Online, _) => words.availability_online(),
            (Status::Queue, Some(wait)) => words.availability_queue_wait(wait),
            (Status::Queue, None) => words.availability_queue(),
            (Status::Offline, _) => words.availability_offline(),
            (Status::Unknown, _) => words.availability_unknown(),
        };
        let expected_wait_seconds = wait.map(|wait| wait.as_secs());
        Availability { status, expected_wait_seconds, opens_at: None, sentence: sentence.unwrap_or_default() }
    }

    async fn status_of(&self, group_id: GroupId, deadline: Timestamp) -> Status {
        let ask = async {
            match self.clock.within(deadline, Box::pin(self.group_status(group_id))).await? {
                Ok(status) => status,
                Err(error) => {
                    tracing::warn!(error = %error, "LiveChat did not report whether agents are available");
                    None
                }
            }
        };
        Status::of(self.groups.status(group_id, self.clock.now(), ask).await)
    }

    async fn next_shift(&self, group_id: GroupId, deadline: Timestamp) -> Option<Timestamp> {
        let ask = async {
            let Some(told) = self.clock.within(deadline, Box::pin(self.working_times(group_id))).await else {
                return Arc::default();
            };
            match told {
                Ok(schedules) => schedules.into(),
                // The scope is optional.
                Err(Error::LiveChat(error)) if error.is_forbidden() => Arc::default(),
                Err(error) => {
                    tracing::warn!(error = %error, "LiveChat did not report the agents' work schedules");
                    Arc::default()
                }
            }
        };
        let now = self.clock.now();
        opens_at(&self.groups.schedules(group_id, now, ask).await, now)
    }

    async fn working_times(&self, group_id: GroupId) -> Result<Vec<WorkSchedule>> {
        let mut owner = self.as_owner().await?;
        call!(owner.list_work_schedules(group_id))
    }

    async fn expected_wait(&self, group_id: GroupId) -> Option<Duration> {
        match self.table.waits(group_id, self.clock.now(), WAITS_OF).await {
            Ok(waits) => median(waits),
            Err(error) => {
                tracing::warn!(error = %error, "the waiting times of recent sessions could not be read");
                None
            }
        }
    }
}

fn median(mut waits: Vec<Duration>) -> Option<Duration> {
    waits.sort_unstable();
    let middle = waits.len().checked_sub(1)? / 2;
    waits.get(middle).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_wait_does_not_raise_the_expected_one() {
        let median = |seconds: &[u64]| median(seconds.iter().copied().map(Duration::from_secs).collect());
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3_000, 20, 30]), Some(Duration::from_secs(30)));
        assert_eq!(median(&[40, 20]), Some(Duration::from_secs(20)));
    }
}
