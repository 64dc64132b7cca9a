//! Pages that end before they are full, as DynamoDB is free to end any of them.
//!
//! Source: the references of `Query` and `Scan` (`LastEvaluatedKey`: only its absence says that there is no more; a page may be empty
//! and have one) and of `BatchGetItem` (`UnprocessedKeys`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

/// The most items of a page that ends early.
const SHORT_PAGE: u64 = 3;

/// Stands in the key after which an empty page ends: to a caller, such a key is just something to send back.
const AFTER_NOTHING: &str = "after_nothing";

/// Which pages end early; copies share it.
#[derive(Clone, Debug)]
pub struct Pages(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    share: f64,
    random: fastrand::Rng,
    ended: usize,
}

/// What becomes of a read.
pub(super) enum Read {
    /// This call is made, and its answer gets these keys of a `BatchGetItem` back as not processed.
    Made { call: Value, unprocessed: Option<Value> },
    /// It is answered like this, and not made.
    Empty(Value),
}

impl Default for Pages {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { share: 0.0, random: fastrand::Rng::with_seed(0), ended: 0 })))
    }
}

impl Pages {
    /// From now on this share of all pages, from 0 to 1, ends early: after up to three items, or after none.
    pub fn end_early(&self, share: f64, seed: u64) {
        *self.lock() = State { share, random: fastrand::Rng::with_seed(seed), ended: 0 };
    }

    /// How many pages have ended early since that was said.
    pub fn ended_early(&self) -> usize {
        self.lock().ended
    }

    /// What becomes of a call of `operation`; nothing where it is not one that brings pages, or goes on as it is.
    pub(super) fn read(&self, operation: &str, call: &Value) -> Option<Read> {
        let mut state = self.lock();
        match operation {
            "Query" | "Scan" => state.page(call.clone()),
            "BatchGetItem" => state.batch(call.clone()),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ends_early(&mut self) -> bool {
        let ends = self.random.f64() < self.share;
        self.ended += usize::from(ends);
        ends
    }

    fn page(&mut self, mut call: Value) -> Option<Read> {
        let fields = call.as_object_mut()?;
        let follows_nothing = take_mark(fields);
        if !self.ends_early() {
            return follows_nothing.then_some(Read::Made { call, unprocessed: None });
        }
        if !follows_nothing && self.random.bool() {
            let mut last = fields.get("ExclusiveStartKey").cloned().unwrap_or_else(|| json!({}));
            last.as_object_mut()?.insert(AFTER_NOTHING.to_owned(), json!({ "S": "-" }));
            return Some(Read::Empty(json!({ "Items": [], "Count": 0, "ScannedCount": 0, "LastEvaluatedKey": last })));
        }
        let asked = fields.get("Limit").and_then(Value::as_u64).unwrap_or(u64::MAX);
        fields.insert("Limit".to_owned(), json!(asked.min(self.random.u64(1..=SHORT_PAGE))));
        Some(Read::Made { call, unprocessed: None })
    }

    /// One key at least is processed: a call of which none is, fails.
    fn batch(&mut self, mut call: Value) -> Option<Read> {
        if !self.ends_early() {
            return None;
        }
        let (table, wanted) = call.get_mut("RequestItems")?.as_object_mut()?.iter_mut().next()?;
        let keys = wanted.get_mut("Keys")?.as_array_mut()?;
        if keys.len() < 2 {
            return None;
        }
        self.random.shuffle(keys);
        let left_out = keys.split_off(self.random.usize(1..keys.len()));
        let mut rest = wanted.clone();
        rest.as_object_mut()?.insert("Keys".to_owned(), Value::Array(left_out));
        let unprocessed = Value::Object(Map::from_iter([(table.clone(), rest)]));
        Some(Read::Made { call, unprocessed: Some(unprocessed) })
    }
}

/// Takes the mark of an empty page from the key that a call begins after; tells whether it was there.
fn take_mark(call: &mut Map<String, Value>) -> bool {
    let Some(key) = call.get_mut("ExclusiveStartKey").and_then(Value::as_object_mut) else { return false };
    let follows_nothing = key.remove(AFTER_NOTHING).is_some();
    if key.is_empty() {
        call.remove("ExclusiveStartKey");
    }
    follows_nothing
}
