//! Fault scripts: what a simulator does wrong, to which calls, and how often.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One way for a call to go wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The simulator answers this instead of doing anything.
    Answer {
        /// HTTP status.
        status: u16,
        /// Extra headers, such as `retry-after`.
        headers: BTreeMap<String, String>,
        /// Body, JSON or not.
        body: String,
    },
    /// The call waits for this long by the sandbox's clock, then goes on as usual.
    Delay(Duration),
    /// The connection breaks before anything is done.
    Reset,
    /// The call takes effect, then the connection breaks: the caller cannot know.
    LoseAnswer,
}

impl Fault {
    /// An answer with `status` and a body, without extra headers.
    pub fn answer(status: u16, body: impl Into<String>) -> Self {
        Self::Answer { status, headers: BTreeMap::new(), body: body.into() }
    }
}

#[derive(Debug)]
struct Rule {
    calls: String,
    remaining: Option<u32>,
    fault: Fault,
}

/// The script of one simulator; copies share it.
///
/// A rule names calls by a part of their request line without the query, such as `customer/action/send_event` or
/// `POST /v1/chat/events`. The oldest rule that fits and is not used up applies.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<Rule>>>);

impl Faults {
    /// Spoils the next `times` matching calls.
    pub fn next(&self, times: u32, calls: &str, fault: Fault) {
        self.lock().push(Rule { calls: calls.to_owned(), remaining: Some(times), fault });
    }

    /// Spoils every matching call until [`clear`](Self::clear).
    pub fn always(&self, calls: &str, fault: Fault) {
        self.lock().push(Rule { calls: calls.to_owned(), remaining: None, fault });
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Takes the fault meant for the call with this request line (`POST /v3.6/…`), if any.
    pub fn take(&self, request_line: &str) -> Option<Fault> {
        let mut rules = self.lock();
        let rule = rules.iter_mut().find(|rule| rule.remaining != Some(0) && request_line.contains(&rule.calls))?;
        rule.remaining = rule.remaining.map(|remaining| remaining - 1);
        Some(rule.fault.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_applies_as_often_as_it_says_and_to_the_calls_it_names() {
        let faults = Faults::default();
        faults.next(2, "action/send_event", Fault::Reset);
        assert!(faults.take("POST /v3.6/customer/action/start_chat").is_none());
        assert!(faults.take("POST /v3.6/customer/action/send_event").is_some());
        assert!(faults.take("POST /v3.6/customer/action/send_event").is_some());
        assert!(faults.take("POST /v3.6/customer/action/send_event").is_none());
    }
}
