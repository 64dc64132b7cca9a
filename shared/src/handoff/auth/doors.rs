//! Accepted and rejected calls: counted for the alarms, and recorded at intervals for `hitl doctor`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::handoff::{Handoff, Rejection};
use crate::metrics::{About, Metric};
use crate::store::TurnedAway;

/// How often a process records rejected calls of one vendor, which limits the writes that a flood of them costs.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// How often a process records an accepted call of a vendor.
const LET_IN_NOTED_EVERY: Duration = Duration::from_secs(600);

/// How long a call waits for the record to be written.
const NOTE_TIME: Duration = Duration::from_secs(1);

/// A process's counts of each vendor's calls.
#[derive(Debug, Default)]
pub(crate) struct Doors(Mutex<BTreeMap<&'static str, Seen>>);

#[derive(Debug, Default)]
struct Seen {
    let_in_noted_at: Option<Timestamp>,
    turned_away_noted_at: Option<Timestamp>,
    /// The number of rejected calls not recorded yet, and the time of the first.
    untold: Option<(u64, Timestamp)>,
}

impl Doors {
    /// Counts a rejected call. Returns what to record, if a record is due.
    fn turn_away(&self, vendor: &'static str, because: &str, now: Timestamp) -> Option<TurnedAway> {
        let mut doors = self.doors();
        let seen = doors.entry(vendor).or_default();
        let (count, since) = seen.untold.map_or((1, now), |(count, since)| (count + 1, since));
        if seen.turned_away_noted_at.is_some_and(|at| now < at + NOTED_EVERY) {
            seen.untold = Some((count, since));
            return None;
        }
        *seen = Seen { turned_away_noted_at: Some(now), ..Seen::default() };
        Some(TurnedAway { count, since, at: now, because: because.to_owned() })
    }

    /// Returns whether to record an accepted call. The first one after a rejected call is always recorded.
    fn is_due(&self, vendor: &'static str, now: Timestamp) -> bool {
        let noted_at = self.doors().get(vendor).and_then(|seen| seen.let_in_noted_at);
        noted_at.is_none_or(|at| at + LET_IN_NOTED_EVERY <= now)
    }

    /// Remembers that an accepted call was recorded, which resets the count of rejected ones.
    fn let_in(&self, vendor: &'static str, now: Timestamp) {
        self.doors().insert(vendor, Seen { let_in_noted_at: Some(now), ..Seen::default() });
    }

    fn doors(&self) -> MutexGuard<'_, BTreeMap<&'static str, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handoff {
    /// Counts a call that was rejected for its credentials or tenant, and records it at intervals.
    pub(crate) async fn turn_away(&self, vendor: &'static str, rejection: &Rejection) {
        let Some(because) = rejection.because() else { return };
        self.record(&About::Caller(format!("{vendor} {because}")), &[(Metric::TurnedAway, 1.0)]);
        let now = self.clock.now();
        let Some(more) = self.doors.turn_away(vendor, because, now) else { return };
        let table = self.table.needed_by(now + NOTE_TIME);
        let noted = self.clock.within(now + NOTE_TIME, table.note_turned_away(vendor, &more)).await;
        if !matches!(noted, Some(Ok(()))) {
            tracing::warn!(vendor, "a call that was turned away could not be recorded for the operator");
        }
    }

    /// Runs the work of an accepted call and, at intervals, records the call alongside. The record does not delay the work.
    pub(crate) async fn let_in<F: Future>(&self, vendor: &'static str, work: F) -> F::Output {
        let noted = async {
            self.note_let_in(vendor).await;
            // Never completes, so only the work decides when the call is answered.
            std::future::pending().await
        };
        tokio::select! {
            biased;
            done = work => done,
            never = noted => never,
        }
    }

    async fn note_let_in(&self, vendor: &'static str) {
        let now = self.clock.now();
        if !self.doors.is_due(vendor, now) {
            return;
        }
        let table = self.table.needed_by(now + NOTE_TIME);
        match self.clock.within(now + NOTE_TIME, table.note_let_in(vendor, now)).await {
            Some(Ok(())) => self.doors.let_in(vendor, now),
            _ => tracing::warn!(vendor, "an accepted call could not be recorded for the operator"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000)
    }

    #[test]
    fn a_flood_is_noted_once_a_minute_with_its_count() {
        let doors = Doors::default();
        let noted: Vec<_> = (0..130).filter_map(|second| doors.turn_away("LiveChat", "secret", at(second))).collect();
        let counts: Vec<_> = noted.iter().map(|one| (one.count, one.since, one.at)).collect();
        assert_eq!(counts, [(1, at(0), at(0)), (60, at(1), at(60)), (60, at(61), at(120))]);
        assert!(doors.turn_away("Botpress", "signature", at(130)).is_some(), "another vendor's is another count");
    }

    #[test]
    fn the_first_to_be_let_in_after_a_refusal_is_noted() {
        let doors = Doors::default();
        assert!(doors.is_due("LiveChat", at(0)) && doors.is_due("LiveChat", at(0)), "until it is noted");
        doors.let_in("LiveChat", at(0));
        assert!(!doors.is_due("LiveChat", at(599)));
        assert!(doors.turn_away("LiveChat", "secret", at(599)).is_some());
        assert!(doors.is_due("LiveChat", at(600)));
        doors.let_in("LiveChat", at(600));
        assert!(!doors.is_due("LiveChat", at(601)) && doors.is_due("LiveChat", at(1_200)));
    }
}
