//! What really happened at the vendors, in order: the record against which tests and the demo are checked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::clock::Timestamp;
use tokio::sync::watch;

use crate::cause::{self, Cause};

/// The vendor whose simulator saw the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Vendor {
    /// The LiveChat simulator.
    LiveChat,
    /// The Botpress simulator.
    Botpress,
    /// The Botcopy simulator.
    Botcopy,
}

/// One line of the journal.
///
/// Shape: `{"number":7,"at":"…Z","vendor":"live_chat","effect":"event_sent","cause":"call-3","detail":{…}}`.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Position in the journal, from 0.
    pub number: usize,
    /// When it happened, by the sandbox's clock.
    pub at: Timestamp,
    /// The vendor that saw it.
    pub vendor: Vendor,
    /// What happened, in the past tense: `chat_started`, `message_created`, `call_refused`.
    pub effect: &'static str,
    /// The inbound call on whose behalf it happened, if known; the entry of that call has the same one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// For an inbound call: how many milliseconds of real time it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// The details, flat where possible; the simulator that writes the entry documents its keys.
    pub detail: Value,
}

impl Entry {
    /// The text at `pointer` (a JSON pointer such as `/event/text`), or `""`.
    pub fn text(&self, pointer: &str) -> &str {
        self.detail.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The SHA-256 of a file, in hexadecimal, for comparing files.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The shared, append-only record of effects; copies write to the same one.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Kept>);

#[derive(Debug, Default)]
struct Kept {
    entries: Mutex<Vec<Entry>>,
    /// The number of entries, for readers that wait for more.
    length: watch::Sender<usize>,
}

impl Journal {
    /// Records an effect that `vendor` saw at `at`.
    pub fn record(&self, at: Timestamp, vendor: Vendor, effect: &'static str, detail: Value) {
        let mut entries = self.lock();
        let number = entries.len();
        let (cause, took_ms) = (cause::current(), cause::elapsed_ms());
        entries.push(Entry { number, at, vendor, effect, cause, took_ms, detail });
        self.0.length.send_replace(entries.len());
    }

    /// Follows the number of entries as it grows.
    pub fn follow(&self) -> watch::Receiver<usize> {
        self.0.length.subscribe()
    }

    /// At most `most` entries from position `number` on.
    pub fn page(&self, number: usize, most: usize) -> Vec<Entry> {
        self.lock().iter().skip(number).take(most).cloned().collect()
    }

    /// Passes all entries to `look` without a copy; nothing can be recorded meanwhile.
    pub fn read<T>(&self, look: impl FnOnce(&[Entry]) -> T) -> T {
        look(&self.lock())
    }

    /// A copy of everything recorded so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    /// A copy of what has been recorded from position `number` on.
    pub fn since(&self, number: usize) -> Vec<Entry> {
        self.lock().iter().skip(number).cloned().collect()
    }

    /// Every entry of one kind, in order.
    pub fn all(&self, effect: &str) -> Vec<Entry> {
        self.lock().iter().filter(|entry| entry.effect == effect).cloned().collect()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns whether nothing has happened yet.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
