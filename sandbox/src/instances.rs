//! Instances of a function in this process: they take turns, and can be replaced as after a crash.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::handoff::Handoff;

use crate::error::Error;

type Make = dyn Fn() -> Result<Arc<Handoff>, Error> + Send + Sync;

/// The instances of one function; copies are the same ones.
#[derive(Clone)]
pub(crate) struct Instances {
    make: Arc<Make>,
    running: Arc<Mutex<Vec<Arc<Handoff>>>>,
    turns: Arc<AtomicUsize>,
}

impl Instances {
    /// Starts `count` instances, at least one.
    pub(crate) fn start(
        count: usize,
        make: impl Fn() -> Result<Arc<Handoff>, Error> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let running: Result<Vec<_>, _> = (0..count.max(1)).map(|_| make()).collect();
        Ok(Self { make: Arc::new(make), running: Arc::new(Mutex::new(running?)), turns: Arc::default() })
    }

    /// The instance that takes the next invocation.
    pub(crate) fn next(&self) -> Option<Arc<Handoff>> {
        let running = self.lock();
        let turn = self.turns.fetch_add(1, Ordering::Relaxed).checked_rem(running.len())?;
        running.get(turn).cloned()
    }

    /// The number of pieces of work that go on without their callers.
    pub(crate) fn in_background(&self) -> usize {
        self.lock().iter().map(|instance| instance.background.count()).sum()
    }

    /// Waits until no work goes on without its caller.
    pub(crate) async fn settled(&self) {
        let running = self.lock().clone();
        for instance in running {
            instance.background.finished().await;
        }
    }

    /// Replaces all instances by new ones without memory; running invocations keep theirs.
    pub(crate) fn restart(&self) -> Result<(), Error> {
        let mut running = self.lock();
        for instance in running.iter_mut() {
            *instance = (self.make)()?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Handoff>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instances").field("running", &self.lock().len()).finish_non_exhaustive()
    }
}
