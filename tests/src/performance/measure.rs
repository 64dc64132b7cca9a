//! The time of calls, made in parallel.

use std::time::{Duration, Instant};

use sandbox::stack::Side;
use serde_json::Value;
use tokio::task::JoinSet;

use super::calls::Call;
use super::site::Site;

/// The results of calls.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub waits: Vec<Duration>,
    pub answers: Vec<Value>,
    pub failed: usize,
    pub took: Duration,
    /// Processor time of the function's processes.
    pub processor_time: Duration,
}

impl Measured {
    /// Adds the results of more calls of the same kind.
    pub(crate) fn add(&mut self, more: Self) {
        self.waits.extend(more.waits);
        self.failed += more.failed;
        self.took += more.took;
        self.processor_time += more.processor_time;
    }

    pub(crate) fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far from any limit")]
        let count = self.waits.len() as f64;
        count / self.took.as_secs_f64()
    }

    pub(crate) fn processor_time_each(&self) -> Duration {
        self.processor_time / u32::try_from(self.waits.len().max(1)).unwrap_or(u32::MAX)
    }
}

/// Makes the calls of each list one after another, and the lists in parallel.
pub(super) async fn measure(site: &Site, side: Side, lists: Vec<Vec<Call>>) -> Measured {
    let (begin, used) = (Instant::now(), site.processor_time(side));
    let mut callers = JoinSet::new();
    for list in lists {
        let site = site.clone();
        callers.spawn(async move {
            let mut answered = Vec::with_capacity(list.len());
            for call in list {
                debug_assert_eq!(call.side(), side, "one function is measured");
                let watch = Instant::now();
                let answer = call.send(&site.world, &site.client).await;
                answered.push((watch.elapsed(), answer));
            }
            answered
        });
    }
    let answered: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    let took = begin.elapsed();
    let processor_time = site.processor_time(side).saturating_sub(used);
    let failed = answered.iter().filter(|(_, answer)| answer.as_ref().is_none_or(|(status, _)| *status != 200)).count();
    let waits = answered.iter().map(|(wait, _)| *wait).collect();
    let answers = answered.into_iter().filter_map(|(_, answer)| answer.map(|(_, body)| body)).collect();
    Measured { waits, answers, failed, took, processor_time }
}
