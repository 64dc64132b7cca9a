//! Counts the calls to the functions that are in flight, which the clock must not overtake.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A count of calls; copies share it.
#[derive(Clone, Debug, Default)]
pub struct Underway(Arc<AtomicUsize>);

/// Counts as one call while this value lives.
#[derive(Debug)]
pub struct Call(Arc<AtomicUsize>);

impl Underway {
    /// Counts one more call until the returned value is dropped.
    #[must_use]
    pub fn begin(&self) -> Call {
        self.0.fetch_add(1, Ordering::SeqCst);
        Call(Arc::clone(&self.0))
    }

    /// The present number of calls.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
