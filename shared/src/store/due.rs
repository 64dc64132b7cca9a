//! The sweep's work list: the sparse index `due`.

use std::collections::HashMap;

use serde::Deserialize;

use super::keys::{DUE_SHARD, Key, PARKED_SHARD};
use super::transaction::Change;
use super::{Item, MOST_READ_AT_ONCE, Result, Table, number, text};
use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::model::lane::{Lane, Timer};
use crate::model::session::{Platform, Session};

/// Work that may have been left undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A lane with waiting items.
    Lane(Lane),
    /// A timer of a session.
    Timer(Timer),
    /// A session: a start that was claimed and not finished, or a thread without events for a while.
    Session,
}

impl Table {
    /// The entries that are due by `by`, longest due first, each with the time when it is due.
    ///
    /// The index is eventually consistent; a caller that acts on it must use a conditional write.
    pub async fn due(&self, by: Timestamp, limit: i32) -> Result<Vec<(Timestamp, SessionId, Due)>> {
        let request = self.client.query().table_name(&self.name).index_name("due").limit(limit);
        let mut pages = request
            .key_condition_expression("due_shard = :shard AND due_at <= :by")
            .expression_attribute_values(":shard", text(DUE_SHARD))
            .expression_attribute_values(":by", text(by))
            .into_paginator()
            .send();
        let (mut due, most) = (Vec::new(), usize::try_from(limit).unwrap_or_default());
        // A page may end early: only one without a continuation is the last.
        while due.len() < most
            && let Some(page) = pages.next().await
        {
            due.extend(page?.items().iter().filter_map(read));
        }
        due.truncate(most);
        Ok(due)
    }
}

impl Table {
    /// Whether any item is parked, according to the index. It does not contain items that were parked by versions without this check.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn has_parked(&self, now: Timestamp) -> Result<bool> {
        let request = self.client.query().table_name(&self.name).index_name("due").limit(1);
        let found = request
            .key_condition_expression("due_shard = :shard AND due_at > :now")
            .expression_attribute_values(":shard", text(PARKED_SHARD))
            .expression_attribute_values(":now", text(now))
            .send()
            .await?;
        Ok(!found.items().is_empty())
    }
}

#[derive(Deserialize)]
struct OnPlatform {
    session_id: SessionId,
    platform: Platform,
}

impl Due {
    fn key(self, id: &SessionId) -> Key {
        match self {
            Self::Lane(lane) => Key::lane(id, lane),
            Self::Timer(timer) => Key::timer(id, timer),
            Self::Session => Key::session(id),
        }
    }
}

impl Table {
    /// Makes an entry due at `then` that was due at `seen`, unless another invocation has moved it meanwhile.
    pub async fn look_later(&self, id: &SessionId, what: Due, seen: Timestamp, then: Timestamp) -> Result<()> {
        let change = Change {
            expression: "SET due_at = :then",
            condition: "due_at = :seen",
            values: vec![(":then", text(then)), (":seen", text(seen))],
        };
        self.update("table look_later", &what.key(id), change).await.map(drop)
    }

    /// The platforms of these sessions' bots; a session that no longer exists, or cannot be read, is left out.
    pub async fn platforms(&self, ids: &[SessionId]) -> Result<HashMap<SessionId, Platform>> {
        let sessions = self.sessions(ids).await?.into_iter();
        let read = sessions.filter_map(|item| serde_dynamo::from_item::<_, OnPlatform>(item).ok());
        Ok(read.map(|one| (one.session_id, one.platform)).collect())
    }

    /// Those of these sessions that this version cannot read.
    pub async fn unreadable(&self, ids: &[SessionId]) -> Result<Vec<SessionId>> {
        let sessions = self.sessions(ids).await?.into_iter();
        let unreadable = sessions.filter(|item| serde_dynamo::from_item::<_, Session>(item.clone()).is_err());
        Ok(unreadable.filter_map(|item| Key::session_of(item.get("pk")?.as_s().ok()?)).collect())
    }

    async fn sessions(&self, ids: &[SessionId]) -> Result<Vec<Item>> {
        let mut keys: Vec<_> = ids.iter().map(Key::session).collect();
        keys.sort_by(|one, other| one.pk.cmp(&other.pk));
        keys.dedup();
        let mut items = Vec::new();
        for some in keys.chunks(MOST_READ_AT_ONCE) {
            items.extend(self.get_all(some).await?);
        }
        Ok(items)
    }
}

/// The runs of the sweep.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Sweeps {
    /// When a run last began.
    pub ran_at: Timestamp,
    /// Until when a run is active, unless it ends before.
    #[serde(default)]
    pub lease_until: Option<Timestamp>,
    /// Since when each run has found work that it could not do.
    #[serde(default)]
    pub stuck_since: Option<Timestamp>,
    /// How many due entries the last run had no time for.
    #[serde(default)]
    pub unseen: u64,
}

/// The condition that no run of the sweep is active.
const NOBODY_IS_AT_WORK: &str = "attribute_not_exists(lease_until) OR lease_until <= :now";

impl Table {
    /// Begins a run of the sweep, unless another one is active; at `until` this one counts as ended even if it has died.
    pub async fn begin_sweep(&self, holder: &str, now: Timestamp, until: Timestamp) -> Result<bool> {
        let change = Change {
            expression: "SET ran_at = :now, lease_holder = :holder, lease_until = :until",
            condition: NOBODY_IS_AT_WORK,
            values: vec![(":now", text(now)), (":holder", text(holder)), (":until", text(until))],
        };
        self.update("table begin_sweep", &Key::sweep(), change).await
    }

    /// Records a run of the sweep without work, unless another one is active: one write instead of two for its beginning and end.
    pub async fn note_idle_sweep(&self, now: Timestamp) -> Result<bool> {
        let change = Change {
            expression: "SET ran_at = :now REMOVE stuck_since, unseen",
            condition: NOBODY_IS_AT_WORK,
            values: vec![(":now", text(now))],
        };
        self.update("table note_idle_sweep", &Key::sweep(), change).await
    }

    /// Ends a run of the sweep; `stuck_since` and `unseen` as in [`Sweeps`].
    pub async fn end_sweep(&self, holder: &str, stuck_since: Option<Timestamp>, unseen: usize) -> Result<()> {
        let mut change = Change {
            expression: "SET unseen = :unseen REMOVE lease_holder, lease_until, stuck_since",
            condition: "lease_holder = :holder",
            values: vec![(":holder", text(holder)), (":unseen", number(unseen))],
        };
        if let Some(since) = stuck_since {
            change.expression = "SET unseen = :unseen, stuck_since = :since REMOVE lease_holder, lease_until";
            change.values.push((":since", text(since)));
        }
        self.update("table end_sweep", &Key::sweep(), change).await.map(drop)
    }

    /// The last run of the sweep.
    pub async fn sweeps(&self) -> Result<Option<Sweeps>> {
        self.get(&Key::sweep()).await
    }
}

fn read(item: &Item) -> Option<(Timestamp, SessionId, Due)> {
    let part = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    let due_at = Timestamp::parse(part("due_at")?)?;
    let session_id = Key::session_of(part("pk")?)?;
    let sort_key = part("sk")?;
    let due = match (sort_key.strip_prefix("LANE#"), sort_key.strip_prefix("TIMER#")) {
        (Some(lane), _) => Due::Lane(Lane::parse(lane)?),
        (_, Some(timer)) => Due::Timer(Timer::parse(timer)?),
        _ if *sort_key == Key::session(&session_id).sk => Due::Session,
        _ => return None,
    };
    Some((due_at, session_id, due))
}
