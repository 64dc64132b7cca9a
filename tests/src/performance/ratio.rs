//! Processor time in units that another machine has as well: what the same process takes for requests that do nothing.

use std::fmt;
use std::time::Duration;

use sandbox::stack::Side;

use super::Run;
use super::calls::Call;
use super::measure::{Measured, measure};
use super::site::Site;

/// How many requests of each kind are measured.
const REQUESTS: usize = 3_000;

/// How many there are before, so that connections and credentials are there.
const WARM_UP: usize = 100;

/// The ratio when somebody last looked at it.
pub const STORED_RATIO: f64 = 13.0;

/// What a user's message takes of a processor.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    message: Duration,
    nothing: Duration,
}

impl Ratio {
    /// How many requests that do nothing take as much.
    pub fn value(self) -> f64 {
        self.message.as_secs_f64() / self.nothing.as_secs_f64()
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, nothing } = self;
        write!(
            f,
            "A user's message takes {message:.2?} of a processor, {:.2} times a request that does nothing ({nothing:.2?}).",
            self.value()
        )
    }
}

/// Measures a user's message against requests to `GET /health`.
pub async fn ratio(run: Run<'_>) -> Ratio {
    let site = Site::start(run.binaries, 2).await;
    let session = site.sessions(0, 1).await.remove(0);
    let words =
        |count: usize| (0..count).map(|number| Call::user_message(&session, &format!("message {number}"))).collect();
    drop(requests(&site, words(WARM_UP)).await);
    let nothing = requests(&site, vec![Call::Health; run.of(REQUESTS, WARM_UP)]).await;
    let message = requests(&site, words(run.of(REQUESTS, WARM_UP))).await;
    Ratio { message: message.processor_time_each(), nothing: nothing.processor_time_each() }
}

async fn requests(site: &Site, calls: Vec<Call>) -> Measured {
    let measured = measure(site, Side::Actions, vec![calls]).await;
    assert_eq!(measured.failed, 0, "every request is answered");
    measured
}
