//! Fault scripts: what a simulator does wrong, to which calls, and how often.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::clock::Timestamp;

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
    /// The call goes on as usual, and its answer comes no sooner than this after the call: how slow a service is in all.
    Pace(Duration),
    /// The connection breaks before anything is done.
    Reset,
    /// The call takes effect, then the connection breaks: the caller cannot know.
    LoseAnswer,
    /// The call takes effect, and its answer arrives spoiled.
    Garble(Garble),
}

/// What becomes of the body of an answer; copies are the same.
#[derive(Clone)]
pub struct Garble(Arc<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>);

impl Garble {
    /// Spoils a body.
    pub fn apply(&self, body: Vec<u8>) -> Vec<u8> {
        (self.0)(body)
    }
}

impl fmt::Debug for Garble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Garble")
    }
}

impl Fault {
    /// An answer that is spoiled on its way.
    pub fn garble(spoil: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::Garble(Garble(Arc::new(spoil)))
    }

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

/// A call that went wrong as scripted.
#[derive(Clone, Debug)]
pub struct Spoiled {
    /// When it came in, by the sandbox's clock.
    pub at: Timestamp,
    /// Its request line.
    pub call: String,
    /// What was done to it.
    pub fault: Fault,
}

#[derive(Debug, Default)]
struct Script {
    usual_headers: BTreeMap<String, String>,
    held: usize,
    rules: Vec<Rule>,
    spoiled: Vec<Spoiled>,
}

/// The script of one simulator; copies share it.
///
/// A rule names calls by a part of their request line without the query, such as `customer/action/send_event` or
/// `POST /v1/chat/events`. Calls of AWS all have the same path; there the operation follows it, as in
/// `POST / DynamoDB_20120810.GetItem`. The oldest rule that fits and is not used up applies.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Script>>);

impl Faults {
    /// An empty script of a vendor whose scripted answers have these headers too, unless they set them themselves.
    ///
    /// A 429 has only what its script names: when to come back is what such a test is about.
    pub fn with_usual_headers(headers: &[(&str, &str)]) -> Self {
        let faults = Self::default();
        faults.lock().usual_headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        faults
    }

    /// Spoils the next `times` matching calls.
    pub fn next(&self, times: u32, calls: &str, fault: Fault) {
        self.lock().rules.push(Rule { calls: calls.to_owned(), remaining: Some(times), fault });
    }

    /// Spoils every matching call until [`clear`](Self::clear).
    pub fn always(&self, calls: &str, fault: Fault) {
        self.lock().rules.push(Rule { calls: calls.to_owned(), remaining: None, fault });
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        self.lock().rules.clear();
    }

    /// Every call that went wrong so far, in the order of arrival.
    pub fn spoiled(&self) -> Vec<Spoiled> {
        self.lock().spoiled.clone()
    }

    /// How many calls a [`Delay`](Fault::Delay) holds back at this moment.
    pub fn held(&self) -> usize {
        self.lock().held
    }

    /// Notes that a call is held back until the returned value is dropped.
    pub fn hold(&self) -> Held<'_> {
        self.lock().held += 1;
        Held(self)
    }

    /// Takes the fault meant for the call with this request line (`POST /v3.6/…`) that comes in `now`, if any.
    pub fn take(&self, request_line: &str, now: Timestamp) -> Option<Fault> {
        let mut script = self.lock();
        let fits = |rule: &Rule| rule.remaining != Some(0) && request_line.contains(&rule.calls);
        let rule = script.rules.iter_mut().find(|rule| fits(rule))?;
        rule.remaining = rule.remaining.map(|remaining| remaining - 1);
        let mut fault = rule.fault.clone();
        if let Fault::Answer { status, headers, .. } = &mut fault
            && *status != 429
        {
            let named = std::mem::replace(headers, script.usual_headers.clone());
            headers.extend(named);
        }
        script.rules.retain(|rule| rule.remaining != Some(0));
        script.spoiled.push(Spoiled { at: now, call: request_line.to_owned(), fault: fault.clone() });
        Some(fault)
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is held back.
#[derive(Debug)]
pub struct Held<'a>(&'a Faults);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.lock().held -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_applies_as_often_as_it_says_and_to_the_calls_it_names() {
        let faults = Faults::default();
        let now = Timestamp::from_unix_millis(5);
        faults.next(2, "action/send_event", Fault::Reset);
        assert!(faults.take("POST /v3.6/customer/action/start_chat", now).is_none());
        assert!(faults.take("POST /v3.6/customer/action/send_event", now).is_some());
        assert!(faults.take("POST /v3.6/customer/action/send_event", now).is_some());
        assert!(faults.take("POST /v3.6/customer/action/send_event", now).is_none());
        let spoiled = faults.spoiled();
        assert_eq!(spoiled.len(), 2);
        assert!(spoiled.iter().all(|call| call.at == now && call.call.ends_with("send_event")));
    }

    #[test]
    fn scripted_answers_have_the_vendor_s_usual_headers_unless_they_ask_for_patience() {
        let faults = Faults::with_usual_headers(&[("ratelimit-reset", "1")]);
        for (status, expected) in [(500, Some("1")), (429, None)] {
            faults.next(1, "POST", Fault::answer(status, ""));
            let Some(Fault::Answer { headers, .. }) = faults.take("POST /", Timestamp::from_unix_millis(5)) else {
                panic!("an answer was scripted");
            };
            assert_eq!(headers.get("ratelimit-reset").map(String::as_str), expected, "{status}");
        }
    }
}
