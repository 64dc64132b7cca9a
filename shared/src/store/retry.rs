//! When to retry a write that conflicted with another one on the same item, or exceeded the item's throughput.

use std::time::Duration;

use super::{Error, Result, Table};
use crate::clock::{Clock, Timestamp};

/// The longest first pause: DynamoDB locks the items of a write for about ten milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A pause takes at most this fraction of the remaining time, so that a caller with little time still gets many tries.
const PART_OF_REST: u32 = 8;

/// How long a write is retried if its caller sets no limit.
const UNNAMED: Duration = Duration::from_secs(5);

/// The tries of one write.
pub(super) struct Tries<'a> {
    clock: &'a Clock,
    until: Timestamp,
    failed: u32,
}

impl Table {
    /// Returns tries that end at `until`, or at the earlier time by which the table's caller needs an outcome.
    pub(super) fn tries_until(&self, until: Timestamp) -> Tries<'_> {
        Tries { clock: &self.clock, until: self.needed_by.map_or(until, |by| by.min(until)), failed: 0 }
    }

    /// Returns tries for a caller that sets no limit.
    pub(super) fn tries(&self) -> Tries<'_> {
        self.tries_until(self.clock.now() + UNNAMED)
    }
}

impl Tries<'_> {
    /// Waits before the next try, or fails with `error` if no time is left for one.
    ///
    /// The pause is random up to its bound (full jitter), so that writers that conflicted do not conflict again.
    pub(super) async fn pause(&mut self, error: Error) -> Result<()> {
        let now = self.clock.now();
        let longest = (self.until.since(now) / PART_OF_REST).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let bound = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failed)).min(longest);
        self.failed += 1;
        let wake_at = now + bound.mul_f64(fastrand::f64());
        if wake_at > self.until {
            return Err(error);
        }
        self.clock.sleep_until(wake_at).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn met() -> Error {
        Error::Unavailable { reason: "TransactionCanceledException".to_owned(), source: "met".into() }
    }

    #[tokio::test]
    async fn tries_go_on_until_the_callers_time_and_no_longer() {
        let begin = Timestamp::from_unix_millis(0);
        let manual = ManualClock::new(begin);
        let clock = manual.clock();
        let until = begin + Duration::from_secs(9);
        let trying = tokio::spawn(async move {
            let mut tries = Tries { clock: &clock, until, failed: 0 };
            while tries.pause(met()).await.is_ok() {}
            tries.failed
        });
        let mut longest = Duration::ZERO;
        while !trying.is_finished() {
            if let Some(wake_at) = manual.next_wake() {
                longest = longest.max(wake_at.since(manual.now()));
                manual.advance(wake_at.since(manual.now()));
            }
            tokio::task::yield_now().await;
        }
        let tries = trying.await.unwrap();
        assert!(manual.now() <= until && manual.now() > until - LONGEST_PAUSE, "{}", manual.now());
        assert!((20..100).contains(&tries) && longest <= LONGEST_PAUSE, "{tries} tries");
    }
}
