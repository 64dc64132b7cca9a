//! What stands before each vendor: the time it has named, before which nobody calls it, and whether it answers at all.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Error, Result};
use crate::clock::{Clock, Timestamp};
use crate::metrics::{About, Metric, Metrics};
use crate::store::{NamedTime, Table};

/// The vendors, as gates and metrics name them.
pub(super) const LIVECHAT: &str = "LiveChat";
pub(super) const BOTPRESS: &str = "Botpress";
pub(super) const BOTCOPY: &str = "Botcopy";

/// So many failures in a row are more than a blip.
const FAILURES_IN_A_ROW: u32 = 3;

/// For how long after such a failure nobody waits for the vendor; then one who is in a hurry may try again.
const FAILING_FOR: Duration = Duration::from_secs(5);

/// One gate for each vendor.
#[derive(Debug)]
pub(super) struct Gates {
    pub(super) livechat: Gate,
    pub(super) botpress: Gate,
    pub(super) botcopy: Gate,
    table: Table,
}

impl Gates {
    pub(super) fn new(clock: &Clock, table: &Table, metrics: &Metrics) -> Self {
        let gate = |vendor: &'static str| Gate {
            vendor,
            clock: clock.clone(),
            table: table.clone(),
            metrics: metrics.clone(),
            seen: Mutex::new(Seen::default()),
        };
        Self { livechat: gate(LIVECHAT), botpress: gate(BOTPRESS), botcopy: gate(BOTCOPY), table: table.clone() }
    }

    /// Learns what other invocations were told; costs one read, which is made beside others.
    pub(super) async fn refresh(&self) -> Result<()> {
        self.learn(&self.table.named_times().await?);
        Ok(())
    }

    /// When the last of the gates opens that a vendor has had closed.
    pub(super) fn last_to_open(&self) -> Option<Timestamp> {
        [&self.livechat, &self.botpress, &self.botcopy].into_iter().filter_map(|gate| gate.seen().opens_at).max()
    }

    /// Closes gates until the times that others were told.
    pub(super) fn learn(&self, named_times: &[NamedTime]) {
        for named in named_times {
            let gates = [&self.livechat, &self.botpress, &self.botcopy];
            for gate in gates.into_iter().filter(|gate| gate.vendor == named.vendor) {
                gate.close_until(named.opens_at);
            }
        }
    }
}

/// Closed while a vendor has asked not to be called.
#[derive(Debug)]
pub(super) struct Gate {
    vendor: &'static str,
    clock: Clock,
    table: Table,
    metrics: Metrics,
    seen: Mutex<Seen>,
}

/// What this process knows of a vendor.
#[derive(Debug, Default)]
struct Seen {
    opens_at: Option<Timestamp>,
    failures_in_a_row: u32,
    failed_at: Option<Timestamp>,
}

impl Gate {
    /// Lets a call through, and says when; or tells how long to wait.
    pub(super) fn pass(&self) -> Result<Timestamp> {
        let now = self.clock.now();
        match self.seen().opens_at.filter(|opens_at| now < *opens_at) {
            Some(opens_at) => Err(Error::Waiting { vendor: self.vendor, wait: opens_at.since(now) }),
            None => Ok(now),
        }
    }

    /// Whether the vendor has failed again and again until just now: somebody who waits for it waits in vain.
    pub(super) fn is_failing(&self) -> bool {
        let now = self.clock.now();
        let seen = self.seen();
        let lately = seen.failed_at.is_some_and(|failed_at| now < failed_at + FAILING_FOR);
        lately && seen.failures_in_a_row >= FAILURES_IN_A_ROW
    }

    /// Takes note of the answer to a call that was let through at `called_at`: one that names a time closes the gate until
    /// then, for all invocations.
    pub(super) async fn note<T, E: Into<Error>>(&self, called_at: Timestamp, answer: Result<T, E>) -> Result<T> {
        let answer = answer.map_err(Into::into);
        self.measure(called_at, answer.as_ref().err());
        self.count(answer.as_ref().is_err_and(Error::is_retryable));
        if let Err(error) = &answer
            && let Some(wait) = error.retry_after()
        {
            let opens_at = self.clock.now() + wait;
            self.close_until(opens_at);
            if let Err(error) = self.table.note_named_time(self.vendor, opens_at).await {
                tracing::warn!(error = %error, vendor = self.vendor, "others will have to be told by the vendor again");
            }
        }
        answer
    }

    fn measure(&self, called_at: Timestamp, error: Option<&Error>) {
        let took = self.clock.now().since(called_at).as_secs_f64() * 1_000.0;
        let failed = f64::from(u8::from(error.is_some_and(Error::is_retryable)));
        let refused = f64::from(u8::from(error.is_some_and(Error::is_authentication)));
        let values =
            [(Metric::VendorLatency, took), (Metric::VendorErrors, failed), (Metric::CredentialsRefused, refused)];
        self.metrics.record(&self.clock, &About::Vendor(self.vendor), &values);
    }

    fn count(&self, failed: bool) {
        let now = self.clock.now();
        let mut seen = self.seen();
        seen.failures_in_a_row = if failed { seen.failures_in_a_row.saturating_add(1) } else { 0 };
        seen.failed_at = failed.then_some(now);
    }

    fn close_until(&self, opens_at: Timestamp) {
        let mut seen = self.seen();
        seen.opens_at = seen.opens_at.max(Some(opens_at));
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::{Client, Config};

    use super::*;
    use crate::clock::ManualClock;

    fn gates() -> (Gates, ManualClock) {
        let manual = ManualClock::new(Timestamp::from_unix_millis(0));
        let nowhere = Client::from_conf(Config::builder().behavior_version_latest().build());
        (
            Gates::new(&manual.clock(), &Table::new(nowhere, "table".to_owned(), manual.clock()), &Metrics::kept()),
            manual,
        )
    }

    #[test]
    fn a_gate_opens_at_the_latest_time_that_was_named() {
        let (gates, manual) = gates();
        assert!(gates.livechat.pass().is_ok());
        for seconds in [30, 5] {
            gates.livechat.close_until(manual.now() + Duration::from_secs(seconds));
        }
        manual.advance(Duration::from_secs(29));
        let Err(Error::Waiting { wait, .. }) = gates.livechat.pass() else { panic!("the gate is open") };
        assert_eq!(wait, Duration::from_secs(1));
        assert!(gates.botpress.pass().is_ok(), "the other vendor has named no time");
        manual.advance(Duration::from_secs(1));
        assert!(gates.livechat.pass().is_ok());
    }

    #[test]
    fn a_vendor_fails_once_it_has_failed_three_times_in_a_row_and_until_just_now() {
        let (gates, manual) = gates();
        for failed in [true, true, false, true, true] {
            gates.livechat.count(failed);
            assert!(!gates.livechat.is_failing(), "a blip");
        }
        gates.livechat.count(true);
        assert!(gates.livechat.is_failing());
        assert!(!gates.botpress.is_failing(), "the other vendor answers");
        manual.advance(FAILING_FOR);
        assert!(!gates.livechat.is_failing(), "somebody has to find out whether it still fails");
        gates.livechat.count(true);
        assert!(gates.livechat.is_failing());
        gates.livechat.count(false);
        assert!(!gates.livechat.is_failing());
    }
}
