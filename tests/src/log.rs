//! Captures log output for inspection.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use shared::telemetry;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines of a log; copies share them.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// A subscriber that writes here in the product's own format, at the levels in `wanted`, which has the syntax of `RUST_LOG`.
    pub fn subscriber(&self, wanted: &str) -> impl Subscriber + Send + Sync + use<> {
        let log = self.clone();
        telemetry::subscriber(EnvFilter::new(wanted), move || log.clone())
    }

    /// Captures what this thread logs until the returned value is dropped.
    ///
    /// With a single subscriber, a place in the source that another thread logs from first would be cached as uninteresting, so there are
    /// two.
    #[must_use]
    pub fn listen(&self, wanted: &str) -> impl Sized + use<> {
        let second = Dispatch::new(Self::default().subscriber(wanted));
        (self.subscriber(wanted).set_default(), second)
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
