//! Pages that end before they are full, as DynamoDB may end any of them.
//!
//! Source: the references of `Query` and `Scan` (`LastEvaluatedKey`: only its absence means that there is no more; a
//! page may be empty and have one) and of `BatchGetItem` (`UnprocessedKeys`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

/// The maximum number of items of a page that ends early.
const SHORT_PAGE: u64 = 3;

/// Marks the key after which an empty page ends: callers send such a key back without reading it.
const AFTER_NOTHING: &str = "after_nothing";

/// Decides which pages end early; copies share the state.
#[derive(Clone, Debug)]
pub struct Pages(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    share: f64,
    random: fastrand::Rng,
    ended: usize,
}

/// How a read proceeds.
pub(super) enum Read {
    /// The call is made, and its answer lists these keys of a `BatchGetItem` as unprocessed.
    Made { call: Value, unprocessed: Option<Value> },
    /// The call is not made, and this is its answer.
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

    /// The number of pages that have ended early since `end_early` was called.
    pub fn ended_early(&self) -> usize {
        self.lock().ended
    }

    /// How a call of `operation` proceeds; none if it does not return pages, or proceeds unchanged.
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

    /// At least one key is processed: a call that processes none fails.
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

/// Removes the mark of an empty page from the key at which a call begins; returns whether it was present.
fn take_mark(call: &mut Map<String, Value>) -> bool {
    let Some(key) = call.get_mut("ExclusiveStartKey").and_then(Value::as_object_mut) else { return false };
    let follows_nothing = key.remove(AFTER_NOTHING).is_some();
    if key.is_empty() {
        call.remove("ExclusiveStartKey");
    }
    follows_nothing
}
