//! How a vendor is called: credentials, limits, calls in doubt, LiveChat's customers and threads.

pub(super) mod credentials;
pub(super) mod customer;
pub(super) mod doubt;
pub(super) mod groups;
pub(super) mod limits;
pub(super) mod thread;

use std::time::Duration;

use crate::background::Background;
use crate::bridge::wording::Wording;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::ids::GroupId;
use crate::metrics::{About, Metric, Metrics};
use crate::model::session::Session;
use crate::odd::{OddFields, Reporter};
use crate::store::Table;
use crate::{botpress, livechat, secrets};

/// How much longer than the retention an open session's records are kept after they are written; within this time they are extended. So
/// the retention counts from the session's end, and a session that ends on its first day needs no write for it.
const KEEPING: Duration = Duration::from_secs(86_400);

/// The lowest part of a handoff: the vendors' clients, and what every call of them needs. It knows no lane and no session's course.
#[derive(Debug)]
pub struct Vendors {
    /// The settings from the environment.
    pub config: Config,
    /// The time.
    pub clock: Clock,
    /// The credentials.
    pub secrets: secrets::Cache,
    /// The table.
    pub table: Table,
    pub(super) livechat: livechat::Client,
    pub(super) botpress: botpress::Client,
    pub(super) botcopy: crate::botcopy::Client,
    pub(super) gates: limits::Gates,
    pub(super) groups: groups::Groups,
    /// The deliveries that go on when their callers have been answered.
    pub background: Background,
    pub(super) metrics: Metrics,
    pub(super) reporter: Reporter,
}

impl Vendors {
    /// Reports fields of a call that differ from its vendor's documentation; `operation` names the call.
    pub fn report_odd(&self, vendor: &'static str, operation: &str, odd: &OddFields) {
        self.reporter.report(vendor, operation, odd);
    }

    pub(in crate::handoff) fn record(&self, about: &About, values: &[(Metric, f64)]) {
        self.metrics.record(&self.clock, about, values);
    }

    /// The sentences for the user of a session, in their language.
    pub(in crate::handoff) fn words_for_user(&self, session: &Session) -> &Wording {
        self.config.wording.of(session.language.as_deref(), session.group_id)
    }

    /// The sentences for the agents of a group, and for the author of a bot that hands over to it.
    pub(in crate::handoff) fn words_for_agents(&self, group_id: GroupId) -> &Wording {
        self.config.wording.of(None, group_id)
    }

    /// Until when an item parked at `now` is kept with its text.
    pub(in crate::handoff) fn retained_until(&self, now: Timestamp) -> Timestamp {
        now + self.config.retention
    }

    /// Until when a record of a session or its user that is written at `now` is kept.
    pub(in crate::handoff) fn kept_until(&self, now: Timestamp) -> Timestamp {
        self.retained_until(now) + KEEPING
    }
}
