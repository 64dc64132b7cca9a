//! Pauses: when to retry a failed delivery.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};

use crate::handoff::Error;
use crate::store::TRIAL_EVERY;

/// The first pause after a failure that named none; it doubles with each try.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause that the service chooses itself. A vendor may name up to an hour, but tries are at most a minute apart.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The longest pause while the stack's credentials are refused; the shortest is half of it.
const CREDENTIALS_PAUSE: Duration = Duration::from_secs(20);

/// Returns the longest pause after `attempts`: exponential and bounded.
fn longest_pause_after(attempts: u32) -> Duration {
    let schedule =
        ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE).without_max_times();
    let index = usize::try_from(attempts.min(16)).unwrap_or_default();
    schedule.build().nth(index).unwrap_or(LONGEST_PAUSE)
}

/// Returns the pause before retrying a delivery that failed with `error`.
pub(crate) fn pause_for(error: &Error, attempts: u32) -> Duration {
    match error.retry_after() {
        None if error.is_authentication() => CREDENTIALS_PAUSE.mul_f64(f64::midpoint(1.0, fastrand::f64())),
        named => pause_after(attempts).max(named.unwrap_or_default()).min(TRIAL_EVERY),
    }
}

/// Returns a random pause up to the longest one (full jitter), so that lanes that failed together do not retry together.
fn pause_after(attempts: u32) -> Duration {
    longest_pause_after(attempts).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_spread_over_all_of_it() {
        let longest: Vec<_> = (0..100).map(longest_pause_after).collect();
        assert_eq!(longest[0], FIRST_PAUSE);
        assert_eq!(longest[3], FIRST_PAUSE * 8);
        assert_eq!(longest[99], LONGEST_PAUSE);
        for (attempts, longest) in (0..100).zip(longest) {
            let mut pauses: Vec<_> = (0..200).map(|_| pause_after(attempts)).collect();
            pauses.sort();
            assert!(pauses[0] < longest / 4 && pauses[199] > longest * 3 / 4 && pauses[199] <= longest);
        }
    }
}
