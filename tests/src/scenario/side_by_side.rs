//! Many small worlds, some in parallel, so that one works while others wait.

use std::sync::{Arc, Mutex};

use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// The number of worlds in parallel; most of the time they wait for a moment of silence.
const AT_ONCE: usize = 6;

/// Runs `live` for each of `lives`, and returns the results in any order; each runs on one thread, so that it behaves
/// the same every time as far as possible.
pub(super) async fn side_by_side<T, L, F>(lives: impl IntoIterator<Item = T>, live: L) -> Vec<F::Output>
where
    T: Send + 'static,
    L: Fn(T) -> F + Clone + Send + 'static,
    F: Future<Output: Send + 'static>,
{
    let lives = Arc::new(Mutex::new(lives.into_iter().collect::<Vec<_>>()));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (lives, live) = (Arc::clone(&lives), live.clone());
        workers.spawn_blocking(move || {
            let mut ends = Vec::new();
            loop {
                let Some(next) = lives.lock().expect("nobody panics with the list in hand").pop() else { return ends };
                let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be had");
                ends.push(runtime.block_on(live(next)));
            }
        });
    }
    workers.join_all().await.into_iter().flatten().collect()
}
