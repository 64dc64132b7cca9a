//! How many calls to the functions are under way: whoever moves the clock must not overtake them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A count of calls; copies count together.
#[derive(Clone, Debug, Default)]
pub struct Underway(Arc<AtomicUsize>);

/// One call, for as long as this value lives.
#[derive(Debug)]
pub struct Call(Arc<AtomicUsize>);

impl Underway {
    /// Counts one more, until what is returned is dropped.
    #[must_use]
    pub fn begin(&self) -> Call {
        self.0.fetch_add(1, Ordering::SeqCst);
        Call(Arc::clone(&self.0))
    }

    /// How many there are now.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
