//! What the sweep looks for: the sparse index `due`.

use serde::Deserialize;

use super::keys::{DUE_SHARD, Key};
use super::lane::Lane;
use super::timers::Timer;
use super::transaction::Change;
use super::{Item, Result, Table, text};
use crate::clock::Timestamp;
use crate::ids::SessionId;

/// Something that may have been left undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A lane with waiting items.
    Lane(Lane),
    /// A timer of a session.
    Timer(Timer),
    /// A session: a start that was claimed and not finished, or a thread that nothing has come from for a while.
    Session,
}

impl Table {
    /// What should have been looked at by the time `by`, longest due first, with the time when it was or will be due.
    ///
    /// The index is only eventually right; whoever acts on it makes sure by a conditional write.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn due(&self, by: Timestamp, limit: i32) -> Result<Vec<(Timestamp, SessionId, Due)>> {
        let request = self.client.query().table_name(&self.name).index_name("due").limit(limit);
        let mut pages = request
            .key_condition_expression("due_shard = :shard AND due_at <= :by")
            .expression_attribute_values(":shard", text(DUE_SHARD))
            .expression_attribute_values(":by", text(by))
            .into_paginator()
            .send();
        let (mut due, most) = (Vec::new(), usize::try_from(limit).unwrap_or_default());
        // A page may end early: only one that leads no further is the last.
        while due.len() < most
            && let Some(page) = pages.next().await
        {
            due.extend(page?.items().iter().filter_map(read));
        }
        due.truncate(most);
        Ok(due)
    }
}

/// The runs of the sweep.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Sweeps {
    /// When one last began.
    pub ran_at: Timestamp,
    /// Until when one is at work, unless it ends before.
    #[serde(default)]
    pub lease_until: Option<Timestamp>,
}

impl Table {
    /// Begins a run of the sweep, unless another one is at work; `until` is when this one has ended even if it dies.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn begin_sweep(&self, holder: &str, now: Timestamp, until: Timestamp) -> Result<bool> {
        let change = Change {
            expression: "SET ran_at = :now, lease_holder = :holder, lease_until = :until",
            condition: "attribute_not_exists(lease_until) OR lease_until <= :now",
            values: vec![(":now", text(now)), (":holder", text(holder)), (":until", text(until))],
        };
        self.update("table begin_sweep", &Key::sweep(), change).await
    }

    /// Ends a run of the sweep.
    ///
    /// # Errors
    ///
    /// As all writes: see [`Error`](super::Error).
    pub async fn end_sweep(&self, holder: &str) -> Result<()> {
        let change = Change {
            expression: "REMOVE lease_holder, lease_until",
            condition: "lease_holder = :holder",
            values: vec![(":holder", text(holder))],
        };
        self.update("table end_sweep", &Key::sweep(), change).await.map(drop)
    }

    /// The last run of the sweep.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
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
