//! Processor time in units that are comparable between machines: the time that the same process takes for requests that do nothing.

use std::fmt;
use std::time::Duration;

use sandbox::stack::Side;

use super::Run;
use super::calls::Call;
use super::measure::{Measured, measure};
use super::site::Site;

/// The number of requests measured of each kind.
const REQUESTS: usize = 3_000;

/// The number of requests before, so that connections and credentials exist.
const WARM_UP: usize = 100;

/// The ratio when it was last reviewed.
pub const STORED_RATIO: f64 = 13.0;

/// The processor time of a user's message.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    message: Duration,
    nothing: Duration,
}

impl Ratio {
    /// The number of requests that do nothing with the same cost.
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
