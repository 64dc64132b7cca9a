//! Fault scripts: what a simulator does wrong, in which calls, and how often.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use shared::clock::{Clock, Timestamp};
use tokio::sync::watch;

/// The prefix of the line of a body that the simulator itself sends.
const SENDS: &str = "sends ";

/// Placeholder in a text for half an emoji, until the text is JSON.
const HALF: &str = "\u{f8ff}";

/// One way for a call to go wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The simulator returns this answer and does nothing else.
    Answer {
        /// HTTP status.
        status: u16,
        /// Extra headers, such as `retry-after`.
        headers: BTreeMap<String, String>,
        /// Body, JSON or not.
        body: String,
    },
    /// The call is delayed by this long by the sandbox's clock, then proceeds as usual.
    Delay(Duration),
    /// The call proceeds as usual, and its answer arrives no sooner than this after the call: the total latency of a slow service.
    Pace(Duration),
    /// Nothing is done, and the connection breaks after this long by the sandbox's clock.
    Hang(Duration),
    /// The connection breaks before anything is done.
    Reset,
    /// The call takes effect, then the connection breaks: the caller cannot know.
    LoseAnswer,
    /// The connection breaks after a while, and the call takes effect later, after its caller has disconnected.
    Late {
        /// How long the caller waits without an answer, by the sandbox's clock.
        breaks_after: Duration,
        /// How long after the call it takes effect.
        takes_effect_after: Duration,
    },
    /// The call takes effect, and its answer arrives spoiled.
    Garble(Garble),
}

/// A change of the body of an answer; copies are the same.
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
    /// An answer that is spoiled in transit.
    pub fn garble(spoil: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::Garble(Garble(Arc::new(spoil)))
    }

    /// A hang for as long as any caller waits for a call that can be repeated, which is five seconds.
    pub const fn hang() -> Self {
        Self::Hang(Duration::from_secs(5))
    }

    /// The connection breaks at once, but the call still takes effect this much later: a gateway timed out before the
    /// service behind it. LiveChat processes a call for up to 15 seconds.
    pub const fn late(takes_effect_after: Duration) -> Self {
        Self::Late { breaks_after: Duration::ZERO, takes_effect_after }
    }

    /// A 429 without a body, whose header `name` gives the time to retry.
    pub fn limited(name: &str, value: impl ToString) -> Self {
        let headers = BTreeMap::from([(name.to_owned(), value.to_string())]);
        Self::Answer { status: 429, headers, body: String::new() }
    }

    /// A body in which the field at a JSON pointer is replaced or missing; `-` in the pointer is the last item of a list.
    ///
    /// A body without that field stays unchanged.
    pub fn odd_field(pointer: &str, value: Option<Value>) -> Self {
        let pointer = pointer.to_owned();
        Self::garble(move |body| edited(body, |json| set(json, &pointer, value.clone())))
    }

    /// A body in which the text at a JSON pointer (as in [`odd_field`](Self::odd_field)) is followed by `escapes`, such
    /// as `\ud83d` alone: the rest of an emoji that was cut in two.
    pub fn half_emoji(pointer: &str, escapes: &str) -> Self {
        let (pointer, escapes) = (pointer.to_owned(), escapes.to_owned());
        Self::garble(move |body| {
            let marked = edited(body, |json| {
                if let Some(Value::String(text)) = place(json, &pointer) {
                    text.push_str(HALF);
                }
            });
            match String::from_utf8(marked) {
                Ok(marked) => marked.replace(HALF, &escapes).into_bytes(),
                Err(error) => error.into_bytes(),
            }
        })
    }

    /// An answer with `status` and a body, without extra headers.
    pub fn answer(status: u16, body: impl Into<String>) -> Self {
        Self::Answer { status, headers: BTreeMap::new(), body: body.into() }
    }
}

/// A body after a change of its JSON; a body that is not JSON stays unchanged.
fn edited(body: Vec<u8>, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    match serde_json::from_slice(&body) {
        Ok(mut json) => {
            change(&mut json);
            json.to_string().into_bytes()
        }
        Err(_) => body,
    }
}

fn set(json: &mut Value, pointer: &str, value: Option<Value>) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    match (place(json, parent), value) {
        (Some(Value::Object(fields)), Some(value)) => drop(fields.insert(name.to_owned(), value)),
        (Some(Value::Object(fields)), None) => drop(fields.remove(name)),
        (Some(list @ Value::Array(_)), Some(value)) => {
            if let Some(item) = place(list, &format!("/{name}")) {
                *item = value;
            }
        }
        _ => {}
    }
}

fn place<'a>(json: &'a mut Value, pointer: &str) -> Option<&'a mut Value> {
    pointer.split('/').skip(1).try_fold(json, |json, name| match json {
        Value::Object(fields) => fields.get_mut(name),
        Value::Array(items) => match name {
            "-" => items.last_mut(),
            number => items.get_mut(number.parse::<usize>().ok()?),
        },
        _ => None,
    })
}

#[derive(Debug)]
struct Rule {
    /// Notified of each hit, if the rule is watched.
    watch: Option<Watch>,
    calls: String,
    /// A text that a call must contain in a header or in its body, if the rule is not for all calls.
    whose: Option<String>,
    effect: Effect,
}

/// Follows one rule, even after it is used up; copies follow the same rule.
#[derive(Clone)]
pub struct Watch(Arc<Watched>);

struct Watched {
    hits: AtomicU32,
    heard: Box<dyn Fn(&str) + Send + Sync>,
}

impl Watch {
    /// A watch that passes `heard` the request line of each call that its rule spoils.
    pub fn new(heard: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Watched { hits: AtomicU32::new(0), heard: Box::new(heard) }))
    }

    /// The number of spoiled calls.
    pub fn hits(&self) -> u32 {
        self.0.hits.load(Ordering::Relaxed)
    }

    fn note(&self, line: &str) {
        self.0.hits.fetch_add(1, Ordering::Relaxed);
        (self.0.heard)(line);
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.hits()).finish()
    }
}

/// The effect of a rule on matching calls.
#[derive(Debug)]
enum Effect {
    Spoil { fault: Fault, remaining: Option<u32> },
    Limit { most: usize, window: Duration, served: VecDeque<Timestamp> },
}

impl Rule {
    fn fits(&self, request: &Request<'_>) -> bool {
        !matches!(self.effect, Effect::Spoil { remaining: Some(0), .. })
            && request.line.contains(&self.calls)
            && self.whose.as_ref().is_none_or(|whose| request.contains(whose))
    }

    /// The fault for a matching call: none while the rule's limit is not reached.
    fn apply(&mut self, now: Timestamp) -> Option<Fault> {
        match &mut self.effect {
            Effect::Spoil { fault, remaining } => {
                *remaining = remaining.map(|remaining| remaining - 1);
                Some(fault.clone())
            }
            Effect::Limit { most, window, served } => {
                while served.front().is_some_and(|at| *at + *window <= now) {
                    served.pop_front();
                }
                if served.len() < *most {
                    served.push_back(now);
                    return None;
                }
                let left = served.front().map_or(*window, |first| (*first + *window).since(now));
                Some(Fault::limited("retry-after", left.as_millis().div_ceil(1_000)))
            }
        }
    }
}

/// The parts of a call that rules examine.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Method and path, such as `POST /v3.6/customer/action/send_event`.
    pub line: &'a str,
    /// Values of its headers.
    pub headers: &'a [&'a str],
    /// Its body.
    pub body: &'a str,
}

impl<'a> Request<'a> {
    /// A call of which only the request line is known.
    pub const fn line(line: &'a str) -> Self {
        Self { line, headers: &[], body: "" }
    }

    fn contains(&self, text: &str) -> bool {
        self.body.contains(text) || self.headers.iter().any(|value| value.contains(text))
    }
}

/// A call that went wrong as scripted.
#[derive(Clone, Debug)]
pub struct Spoiled {
    /// When it arrived, by the sandbox's clock.
    pub at: Timestamp,
    /// Its request line.
    pub call: String,
    /// The fault that was applied.
    pub fault: Fault,
}

#[derive(Debug, Default)]
struct Script {
    usual_headers: BTreeMap<String, String>,
    stamps: BTreeMap<String, String>,
    held: usize,
    rules: Vec<Rule>,
    spoiled: Vec<Spoiled>,
}

/// The script of one simulator; copies share it.
///
/// A rule names calls by a part of their request line without the query, such as `customer/action/send_event` or
/// `POST /v1/chat/events`. Calls to AWS all have the same path, so the operation is appended to it, as in
/// `POST / DynamoDB_20120810.GetItem`. The oldest rule that matches and is not used up applies.
///
/// A rule that begins with `sends ` concerns what the simulator itself sends, and can only [garble](Fault::Garble) it:
/// LiveChat `sends incoming_event`, and so on for each webhook; Botpress `sends message_created text`,
/// `sends action_triggered startHitl`, `sends register`; Botcopy `sends step_one`, `sends step_two` and `sends typing`.
/// Signatures cover the body as it is sent.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    script: Arc<Mutex<Script>>,
    /// The time at which each call whose caller has disconnected takes effect.
    late: watch::Sender<BTreeMap<u64, Timestamp>>,
}

impl Faults {
    /// An empty script of a vendor whose scripted answers have these headers too, unless the script sets them itself.
    ///
    /// A 429 has only the headers that its script names, because such a test is about the time to retry.
    pub fn with_usual_headers(headers: &[(&str, &str)]) -> Self {
        let faults = Self::default();
        faults.lock().usual_headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        faults
    }

    /// Spoils the next `times` matching calls.
    pub fn next(&self, times: u32, calls: &str, fault: Fault) {
        self.add(calls, None, Effect::Spoil { fault, remaining: Some(times) });
    }

    /// Spoils every matching call until [`clear`](Self::clear).
    pub fn always(&self, calls: &str, fault: Fault) {
        self.add(calls, None, Effect::Spoil { fault, remaining: None });
    }

    /// Spoils every matching call that contains `whose` in a header or in its body: a token, a chat, a bot, a user.
    pub fn always_for(&self, whose: &str, calls: &str, fault: Fault) {
        self.add(calls, Some(whose), Effect::Spoil { fault, remaining: None });
    }

    /// Spoils the next `times` matching calls that contain `whose`, as [`always_for`](Self::always_for) does.
    pub fn next_for(&self, times: u32, whose: &str, calls: &str, fault: Fault) {
        self.add(calls, Some(whose), Effect::Spoil { fault, remaining: Some(times) });
    }

    /// Serves at most `most` matching calls with `whose` in any `window`; the others get a 429 with a correct `Retry-After`.
    pub fn limit_for(&self, whose: &str, calls: &str, most: usize, window: Duration) {
        self.add(calls, Some(whose), Effect::Limit { most, window, served: VecDeque::new() });
    }

    /// Adds headers to every answer from now on, whatever its status, unless a script names them itself: rate headers, another `Date`.
    pub fn stamp(&self, headers: &[(&str, &str)]) {
        self.lock().stamps = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    }

    /// The headers that every answer has.
    pub fn stamps(&self) -> BTreeMap<String, String> {
        self.lock().stamps.clone()
    }

    /// Forgets all rules and stamps.
    pub fn clear(&self) {
        let mut script = self.lock();
        script.rules.clear();
        script.stamps.clear();
    }

    fn add(&self, calls: &str, whose: Option<&str>, effect: Effect) {
        self.lock().rules.push(Rule { watch: None, calls: calls.to_owned(), whose: whose.map(str::to_owned), effect });
    }

    /// Spoils the next `times` matching calls, or every one; notifies `watch` of each.
    pub fn watched(&self, times: Option<u32>, calls: &str, fault: Fault, watch: Watch) {
        let effect = Effect::Spoil { fault, remaining: times };
        self.lock().rules.push(Rule { watch: Some(watch), calls: calls.to_owned(), whose: None, effect });
    }

    /// Ends the rule that has this watch.
    pub fn end(&self, watch: &Watch) {
        self.lock().rules.retain(|rule| rule.watch.as_ref().is_none_or(|other| !other.is(watch)));
    }

    /// Every call that was spoiled so far, in the order of arrival.
    pub fn spoiled(&self) -> Vec<Spoiled> {
        self.lock().spoiled.clone()
    }

    /// The number of calls that a [`Delay`](Fault::Delay) holds back at this moment.
    pub fn held(&self) -> usize {
        self.lock().held
    }

    /// Notes that a call is held back until the returned value is dropped.
    pub fn hold(&self) -> Held<'_> {
        self.lock().held += 1;
        Held(self)
    }

    /// Records that a call takes effect at this time; it has done so when the returned value is dropped.
    pub fn take_effect_at(&self, at: Timestamp) -> Late {
        let mut id = 0;
        self.late.send_modify(|late| {
            id = late.keys().next_back().map_or(0, |last| last + 1);
            late.insert(id, at);
        });
        Late { late: self.late.clone(), id }
    }

    /// The earliest time at which a call whose caller has disconnected takes effect: not after `now` while one does so at this moment.
    pub fn next_late(&self) -> Option<Timestamp> {
        self.late.borrow().values().min().copied()
    }

    /// Waits until every late call whose time has come has taken effect.
    pub async fn settled(&self, clock: &Clock) {
        let mut late = self.late.subscribe();
        // Fails only when the sender is dropped, and `self` keeps it.
        let _ = late.wait_for(|late| late.values().all(|at| *at > clock.now())).await;
    }

    /// Takes the fault for the call that arrives `now`, if any.
    pub fn take(&self, request: &Request<'_>, now: Timestamp) -> Option<Fault> {
        self.take_for(request, now, |_| true)
    }

    fn take_for(&self, request: &Request<'_>, now: Timestamp, is_meant: impl Fn(&Rule) -> bool) -> Option<Fault> {
        let mut script = self.lock();
        let mut meant = script.rules.iter_mut().filter(|rule| rule.fits(request) && is_meant(rule));
        let (watch, mut fault) = meant.find_map(|rule| Some((rule.watch.clone(), rule.apply(now)?)))?;
        if let Some(watch) = watch {
            watch.note(request.line);
        }
        if let Fault::Answer { status, headers, .. } = &mut fault
            && *status != 429
        {
            let named = std::mem::replace(headers, script.usual_headers.clone());
            headers.extend(named);
        }
        script.rules.retain(|rule| !matches!(rule.effect, Effect::Spoil { remaining: Some(0), .. }));
        script.spoiled.push(Spoiled { at: now, call: request.line.to_owned(), fault: fault.clone() });
        Some(fault)
    }

    /// Returns what is sent instead of `body`, which a line such as `incoming_event` describes.
    pub(crate) fn spoil(&self, line: &str, body: Vec<u8>, now: Timestamp) -> Vec<u8> {
        match self.take_for(&Request::line(&format!("{SENDS}{line}")), now, |rule| rule.calls.starts_with(SENDS)) {
            Some(Fault::Garble(garble)) => garble.apply(body),
            _ => body,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
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

/// A call that takes effect although its caller has disconnected.
#[derive(Debug)]
pub struct Late {
    late: watch::Sender<BTreeMap<u64, Timestamp>>,
    id: u64,
}

impl Drop for Late {
    fn drop(&mut self) {
        self.late.send_modify(|late| {
            late.remove(&self.id);
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_applies_as_often_as_it_says_and_to_the_calls_it_names() {
        let faults = Faults::default();
        let now = Timestamp::from_unix_millis(5);
        faults.next(2, "action/send_event", Fault::Reset);
        assert!(faults.take(&Request::line("POST /v3.6/customer/action/start_chat"), now).is_none());
        assert!(faults.take(&Request::line("POST /v3.6/customer/action/send_event"), now).is_some());
        assert!(faults.take(&Request::line("POST /v3.6/customer/action/send_event"), now).is_some());
        assert!(faults.take(&Request::line("POST /v3.6/customer/action/send_event"), now).is_none());
        let spoiled = faults.spoiled();
        assert_eq!(spoiled.len(), 2);
        assert!(spoiled.iter().all(|call| call.at == now && call.call.ends_with("send_event")));
    }

    #[test]
    fn a_field_is_spoiled_where_the_pointer_leads_and_nowhere_else() {
        let spoiled = |fault: Fault, body: &str| {
            let Fault::Garble(garble) = fault else { panic!("{fault:?}") };
            String::from_utf8(garble.apply(body.into())).unwrap()
        };
        let body = r#"{"a":[{"b":"x"},{"b":"y"}]}"#;
        for (pointer, value, expected) in [
            ("/a/0/b", Some(json!(7)), r#"{"a":[{"b":7},{"b":"y"}]}"#),
            ("/a/-/b", None, r#"{"a":[{"b":"x"},{}]}"#),
            ("/a/1", Some(json!(null)), r#"{"a":[{"b":"x"},null]}"#),
            ("/a", Some(json!("no list")), r#"{"a":"no list"}"#),
            ("/z/b", Some(json!(7)), body),
        ] {
            assert_eq!(spoiled(Fault::odd_field(pointer, value), body), expected, "{pointer}");
        }
        let half = Fault::half_emoji("/a/0/b", "\\ud83d");
        assert_eq!(spoiled(half, body), r#"{"a":[{"b":"x\ud83d"},{"b":"y"}]}"#);
        assert_eq!(spoiled(Fault::odd_field("/a", None), "no json"), "no json");
    }

    #[test]
    fn what_a_simulator_sends_is_spoiled_by_rules_for_that_alone() {
        let (faults, now) = (Faults::default(), Timestamp::from_unix_millis(5));
        faults.always("", Fault::garble(|_| Vec::new()));
        assert_eq!(faults.spoil("incoming_event", b"{}".to_vec(), now), b"{}");
        faults.next(1, "sends incoming_event", Fault::garble(|_| b"spoiled".to_vec()));
        assert_eq!(faults.spoil("incoming_chat", b"{}".to_vec(), now), b"{}");
        assert_eq!(faults.spoil("incoming_event", b"{}".to_vec(), now), b"spoiled");
        assert_eq!(faults.spoil("incoming_event", b"{}".to_vec(), now), b"{}");
    }

    #[test]
    fn scripted_answers_have_the_vendor_s_usual_headers_unless_they_ask_for_patience() {
        let faults = Faults::with_usual_headers(&[("ratelimit-reset", "1")]);
        for (status, expected) in [(500, Some("1")), (429, None)] {
            faults.next(1, "POST", Fault::answer(status, ""));
            let Some(Fault::Answer { headers, .. }) =
                faults.take(&Request::line("POST /"), Timestamp::from_unix_millis(5))
            else {
                panic!("an answer was scripted");
            };
            assert_eq!(headers.get("ratelimit-reset").map(String::as_str), expected, "{status}");
        }
    }

    #[test]
    fn a_limit_on_one_leaves_the_others_alone_and_says_when_it_ends() {
        let faults = Faults::default();
        faults.limit_for("token of Ann", "send_event", 2, Duration::from_secs(10));
        let at = |second: i64| Timestamp::from_unix_millis(second * 1_000);
        let say = |headers: &[&str], now| faults.take(&Request { line: "POST /send_event", headers, body: "{}" }, now);
        for second in [0, 3] {
            assert!(say(&["Bearer token of Ann"], at(second)).is_none());
        }
        let Some(Fault::Answer { status: 429, headers, .. }) = say(&["Bearer token of Ann"], at(4)) else {
            panic!("the third is one too many");
        };
        assert_eq!(headers.get("retry-after").map(String::as_str), Some("6"));
        assert!(say(&["Bearer token of Bob"], at(4)).is_none());
        assert!(say(&["Bearer token of Ann"], at(10)).is_none());
    }
}
