//! Named places between two steps, at which a test can kill the process; only in builds with the feature `fail-points`.
//!
//! They come before and after every write to the table and every vendor call, so a new step is covered automatically. A test
//! gives an invocation a [`Plan`]; at the planned place the invocation panics, which for everything durable is equivalent to
//! a process that dies there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

tokio::task_local! {
    static PLAN: Plan;
}

/// The places that the invocations of one test pass, and where they die; copies share it.
#[derive(Clone, Debug, Default)]
pub struct Plan(Arc<Mutex<Passed>>);

#[derive(Debug, Default)]
struct Passed {
    counts: BTreeMap<Place, u32>,
    kill_at: Option<(Place, u32)>,
    killed: bool,
}

/// A place: before or after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The step: a verb of the table (`table accept`) or a vendor's call (`vendor send_event`).
    pub step: &'static str,
    /// The side of the step.
    pub side: Side,
}

/// A side of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Nothing of the step has happened.
    Before,
    /// It has happened, but is not recorded yet.
    After,
}

impl Plan {
    /// Forgets the passed places, and kills the invocation that reaches `place` for the `nth` time (from 1).
    pub fn kill_at(&self, place: Place, nth: u32) {
        *self.lock() = Passed { kill_at: Some((place, nth)), ..Passed::default() };
    }

    /// Forgets everything, the planned kill included.
    pub fn clear(&self) {
        *self.lock() = Passed::default();
    }

    /// Whether an invocation was killed.
    pub fn has_killed(&self) -> bool {
        self.lock().killed
    }

    /// Every passed place, with its count.
    pub fn passed(&self) -> BTreeMap<Place, u32> {
        self.lock().counts.clone()
    }

    /// Runs an invocation under this plan.
    pub async fn run<F: Future>(self, invocation: F) -> F::Output {
        PLAN.scope(self, invocation).await
    }

    fn pass(&self, place: Place) -> bool {
        let mut passed = self.lock();
        let count = passed.counts.entry(place).or_default();
        *count += 1;
        let dies = passed.kill_at == Some((place, *passed.counts.get(&place).unwrap_or(&0)));
        passed.killed |= dies;
        dies
    }

    fn lock(&self) -> MutexGuard<'_, Passed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same work, to be done by another task under the plan of this one.
pub(crate) fn inherited<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let plan = PLAN.try_with(Clone::clone).unwrap_or_default();
    plan.run(work)
}

/// Passes a place; does not return if the plan kills here.
pub(crate) fn pass(step: &'static str, side: Side) {
    if PLAN.try_with(|plan| plan.pass(Place { step, side })).unwrap_or(false) {
        // Bypasses the panic hook: planned deaths, thousands of them, are not worth a report.
        std::panic::resume_unwind(Box::new(format!("killed by the plan: {side:?} {step}")));
    }
}
