//! LiveChat's answers about groups of agents, cached for a while, since each call is billed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Vendors;
use super::credentials::call;
use super::customer::AsCustomer;
use crate::clock::Timestamp;
use crate::handoff::Result;
use crate::ids::GroupId;
use crate::livechat::{GroupStatus, WorkSchedule};

/// How long a status is valid for all callers of a process. A missing answer is cached for as long.
const STATUS_KEPT: Duration = Duration::from_secs(15);

/// How long the working times of a group's agents are valid. A failure to read them is cached for as long.
const WORKING_TIMES_KEPT: Duration = Duration::from_secs(3_600);

/// How many groups a process remembers, far more than a licence has; then it starts over.
const MOST_GROUPS: usize = 1_000;

/// The cached answers for each group. The status is `None` if LiveChat did not report it, or has no such group.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    statuses: Latest<Option<GroupStatus>>,
    schedules: Latest<Arc<[WorkSchedule]>>,
}

impl Groups {
    /// Returns the cached status if it is valid, else the result of `ask`.
    pub(crate) async fn status(
        &self,
        group_id: GroupId,
        now: Timestamp,
        ask: impl Future<Output = Option<GroupStatus>>,
    ) -> Option<GroupStatus> {
        self.statuses.get(group_id, (now, STATUS_KEPT), ask).await
    }

    /// Returns the cached working times if they are valid, else the result of `ask`.
    pub(crate) async fn schedules(
        &self,
        group_id: GroupId,
        now: Timestamp,
        ask: impl Future<Output = Arc<[WorkSchedule]>>,
    ) -> Arc<[WorkSchedule]> {
        self.schedules.get(group_id, (now, WORKING_TIMES_KEPT), ask).await
    }
}

type Slot<T> = Arc<tokio::sync::Mutex<Option<(Timestamp, T)>>>;

/// The latest answer for each group. The caller that asks LiveChat holds the group's lock, so all others wait for that answer.
#[derive(Debug)]
struct Latest<T>(Mutex<HashMap<GroupId, Slot<T>>>);

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone + Default> Latest<T> {
    /// Returns the latest answer if it is younger than `kept`, else the result of `ask`.
    async fn get(&self, group_id: GroupId, (now, kept): (Timestamp, Duration), ask: impl Future<Output = T>) -> T {
        let latest = self.of(group_id);
        let mut latest = latest.lock().await;
        if let Some((_, known)) = latest.as_ref().filter(|(at, _)| now.since(*at) < kept) {
            return known.clone();
        }
        // Stored before LiveChat is asked: a caller that runs out of time drops this future, and the next one must not pay again.
        *latest = Some((now, T::default()));
        let answer = ask.await;
        *latest = Some((now, answer.clone()));
        answer
    }

    fn of(&self, group_id: GroupId) -> Slot<T> {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.len() >= MOST_GROUPS && !groups.contains_key(&group_id) {
            groups.clear();
        }
        Arc::clone(groups.entry(group_id).or_default())
    }
}

impl Vendors {
    /// Returns the status of a group for a start that needs it.
    ///
    /// A cached answer that agents were online within the last 15 s is used. Any other is asked for again, since it would refuse the
    /// start.
    pub(crate) async fn status_for_start(
        &self,
        group_id: GroupId,
        customer: &mut AsCustomer<'_>,
    ) -> Result<Option<GroupStatus>> {
        let latest = self.groups.statuses.of(group_id);
        // Another caller may be asking LiveChat now, and may wait longer than a start can.
        let known = latest.try_lock().ok().and_then(|latest| *latest);
        let fresh = known.filter(|(at, _)| self.clock.now().since(*at) < STATUS_KEPT).and_then(|(_, status)| status);
        if let Some(status @ (GroupStatus::Online | GroupStatus::OnlineForQueue)) = fresh {
            return Ok(Some(status));
        }
        let statuses: Result<BTreeMap<_, _>> = call!(customer.list_group_statuses(&[group_id]));
        let status = statuses?.get(&group_id).copied();
        if let Ok(mut latest) = latest.try_lock() {
            *latest = Some((self.clock.now(), status));
        }
        Ok(status)
    }
}
