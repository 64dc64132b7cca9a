//! The times that vendors have named: nobody calls them before.

use std::sync::{Mutex, PoisonError};

use super::{Error, Result};
use crate::clock::{Clock, Timestamp};

/// One gate for each vendor; a process has its own.
#[derive(Debug)]
pub(super) struct Gates {
    pub(super) livechat: Gate,
    pub(super) botpress: Gate,
}

impl Gates {
    pub(super) fn new(clock: &Clock) -> Self {
        let gate = |vendor| Gate { vendor, clock: clock.clone(), closed_until: Mutex::default() };
        Self { livechat: gate("LiveChat"), botpress: gate("Botpress") }
    }
}

/// Closed while a vendor has asked not to be called.
#[derive(Debug)]
pub(super) struct Gate {
    vendor: &'static str,
    clock: Clock,
    closed_until: Mutex<Option<Timestamp>>,
}

impl Gate {
    /// Lets a call through, or tells how long to wait.
    pub(super) fn pass(&self) -> Result<()> {
        let now = self.clock.now();
        let closed_until = *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        match closed_until.filter(|until| now < *until) {
            Some(until) => Err(Error::Waiting { vendor: self.vendor, wait: until.since(now) }),
            None => Ok(()),
        }
    }

    /// Takes note of an answer: one that names a time closes the gate until then.
    pub(super) fn note<T, E: Into<Error>>(&self, answer: Result<T, E>) -> Result<T> {
        let answer = answer.map_err(Into::into);
        if let Err(error) = &answer
            && let Some(wait) = error.retry_after()
        {
            let until = Some(self.clock.now() + wait);
            let mut closed_until = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
            *closed_until = until.max(*closed_until);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_gate_opens_at_the_latest_time_that_was_named() {
        let manual = ManualClock::new(Timestamp::from_unix_millis(0));
        let gates = Gates::new(&manual.clock());
        let told = |seconds| Error::Waiting { vendor: "LiveChat", wait: Duration::from_secs(seconds) };
        assert!(gates.livechat.pass().is_ok());
        assert!(gates.livechat.note(Err::<(), _>(told(30))).is_err());
        assert!(gates.livechat.note(Err::<(), _>(told(5))).is_err());
        manual.advance(Duration::from_secs(29));
        let Err(Error::Waiting { wait, .. }) = gates.livechat.pass() else { panic!("the gate is open") };
        assert_eq!(wait, Duration::from_secs(1));
        assert!(gates.botpress.pass().is_ok(), "the other vendor has named no time");
        manual.advance(Duration::from_secs(1));
        assert!(gates.livechat.pass().is_ok());
    }
}
