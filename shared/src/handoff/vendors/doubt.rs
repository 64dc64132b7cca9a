//! Doubt: the effect that an unanswered call may still have.
//!
//! LiveChat works on a call for up to 15 seconds, whether or not the caller still waits. Until then a look that finds nothing proves
//! nothing: a call that must happen once is not repeated, and no thread is opened that a late call could close.

use std::time::Duration;

use super::Vendors;
use crate::clock::Timestamp;
use crate::handoff::{Error, Result};
use crate::model::lane::Waiting;
use crate::model::session::Session;
use crate::model::vendor::LIVECHAT;

/// How long LiveChat may still carry out a call: 15 s by its documentation, and 1 s for transmission.
pub(crate) const AT_WORK: Duration = Duration::from_secs(16);

/// How soon a first look is repeated.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// When to look again for the effect of a call that is in doubt until `until`: each pause is as long as the doubt has lasted, so that six
/// looks are enough.
pub(crate) fn next_look(until: Timestamp, now: Timestamp) -> Timestamp {
    let lasted = AT_WORK.saturating_sub(until.since(now));
    until.min(now + lasted.max(FIRST_PAUSE))
}

impl Error {
    /// Until when LiveChat may still carry out the call that has just failed.
    pub(crate) fn in_doubt_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Hanging { vendor, called_at, .. } if *vendor == LIVECHAT => Some(*called_at + AT_WORK),
            Self::LiveChat(error) if error.may_be_at_work() => Some(now + AT_WORK),
            _ => None,
        }
    }
}

impl Session {
    /// Until when the start of a silent claimant is in doubt: a claim is kept for as long as a call may take.
    pub(crate) fn doubt_of_claim(&self) -> Timestamp {
        self.claim.until + AT_WORK
    }

    /// Notes in the session that a call of the start may have opened or closed a thread, or may still do so.
    pub(crate) fn raise_doubt(&mut self, error: &Error, now: Timestamp) {
        if let Some(until) = error.in_doubt_until(now) {
            self.in_doubt_until = self.in_doubt_until.max(Some(until));
        } else if error.outcome_unknown() {
            self.in_doubt_until = self.in_doubt_until.max(Some(now));
        }
    }
}

impl Vendors {
    /// Passes an item whose earlier calls can no longer take effect.
    ///
    /// # Errors
    ///
    /// [`Error::InDoubt`] as long as one can.
    pub(crate) fn require_certainty<T>(&self, item: &Waiting<T>) -> Result<()> {
        match item.in_doubt_until {
            Some(until) if self.clock.now() < until => Err(Error::InDoubt { until }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_is_looked_into_six_times_and_a_last_time_when_it_is_over() {
        let (begin, seconds) = (Timestamp::from_unix_millis(0), |seconds: f64| Duration::from_secs_f64(seconds));
        let until = begin + AT_WORK;
        let (mut looks, mut now) = (Vec::new(), begin);
        while now < until {
            now = next_look(until, now);
            looks.push(now);
        }
        let expected: Vec<_> = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0].into_iter().map(|at| begin + seconds(at)).collect();
        assert_eq!(looks, expected);
    }
}
