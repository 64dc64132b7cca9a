//! Work that goes on when its caller has been answered.
//!
//! Lambda delivers an answer when the runtime posts it, and freezes the process only when the runtime asks for the next invocation. The
//! functions therefore wait between the two until this work has ended ([`Background::outlasting`]).
//!
//! Source: <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>, "Invoke phase".

use std::mem::replace;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tower::{Service, ServiceExt as _};

use crate::telemetry;

tokio::task_local! {
    /// The caller of this task's work.
    static CALLER: Arc<Caller>;
}

/// Tells the caller of the current work, if it was [carried](Background::carry), not to wait for its end.
pub(crate) fn let_caller_go() {
    // Fails only outside `carry`, where the caller itself does the work.
    let _ = CALLER.try_with(|caller| caller.leave());
}

/// Whether the current work goes on if its caller leaves.
pub(crate) fn outlasts_caller() -> bool {
    CALLER.try_with(|_| ()).is_ok()
}

/// The work that goes on without its callers; copies share it.
#[derive(Clone, Debug)]
pub struct Background(watch::Sender<usize>);

impl Default for Background {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Background {
    /// Does `work` to its end, even if this future is dropped. Returns `None` once the work has let its caller go.
    pub(crate) async fn carry<F>(&self, work: F) -> Option<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let caller = Arc::new(Caller::new(self.clone()));
        let work = CALLER.scope(Arc::clone(&caller), inherited(telemetry::in_this_trace(work)));
        let ends = Ends(Arc::clone(&caller));
        let work = tokio::spawn(async move {
            let _ends = ends;
            work.await
        });
        let waits = Waits(caller);
        tokio::select! {
            biased;
            ended = work => match ended {
                Ok(output) => Some(output),
                Err(error) => error.try_into_panic().map_or(None, |panic| resume_unwind(panic)),
            },
            () = waits.0.let_go.notified() => None,
        }
    }

    /// The number of pieces of work that go on without a caller.
    pub fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until no work goes on without a caller.
    pub async fn finished(&self) {
        // Fails only when the sender is dropped, and `self` keeps it.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }

    /// The same service, each answer of which is followed by the end of all work without a caller, before the next request.
    pub fn outlasting<R, S: Service<R>>(
        &self,
        service: S,
    ) -> impl Service<R, Response = S::Response, Error = S::Error, Future: Send> + use<R, S>
    where
        S::Future: Send,
        S::Response: Send,
        S::Error: Send,
    {
        let background = self.clone();
        service.map_future(move |answering| {
            let background = background.clone();
            async move {
                let answered = answering.await;
                background.finished().await;
                answered
            }
        })
    }
}

/// The caller of a piece of work.
#[derive(Debug)]
struct Caller {
    course: Mutex<Course>,
    let_go: Notify,
    background: Background,
}

/// The course of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// Its caller waits for it.
    Attended,
    /// It goes on without its caller.
    Alone,
    /// It has ended.
    Ended,
}

impl Caller {
    fn new(background: Background) -> Self {
        Self { course: Mutex::new(Course::Attended), let_go: Notify::new(), background }
    }

    /// Leaves the work. It counts from here on, before the caller acts on it, so that it is never overlooked.
    fn leave(&self) {
        let mut course = self.course();
        if *course == Course::Attended {
            *course = Course::Alone;
            self.background.0.send_modify(|count| *count += 1);
        }
        self.let_go.notify_one();
    }

    fn end(&self) {
        if replace(&mut *self.course(), Course::Ended) == Course::Alone {
            self.background.0.send_modify(|count| *count = count.saturating_sub(1));
        }
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, the caller waits.
struct Waits(Arc<Caller>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// While it lives, the work goes on. If it dies, the sweep repeats what is left.
struct Ends(Arc<Caller>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Does `work` on behalf of the inbound call, and under the plan of deaths, of the current task.
#[cfg(feature = "fail-points")]
fn inherited<F: Future>(work: F) -> impl Future<Output = F::Output> {
    crate::cause::inherited(crate::fail_point::inherited(work))
}

#[cfg(not(feature = "fail-points"))]
const fn inherited<F: Future>(work: F) -> F {
    work
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::sync::oneshot;
    use tower::service_fn;

    use super::*;

    #[tokio::test]
    async fn a_caller_gets_the_output_of_work_that_does_not_let_it_go() {
        let background = Background::default();
        assert_eq!(background.carry(async { 7 }).await, Some(7));
        assert_eq!(background.count(), 0);
    }

    #[tokio::test]
    async fn work_goes_on_when_it_has_let_its_caller_go_and_when_its_caller_has_left() {
        let background = Background::default();
        let (end, ends) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let work = async move {
            let_caller_go();
            let _ = ends.await;
            done.send(()).unwrap();
        };
        assert_eq!(background.carry(work).await, None);
        assert_eq!(background.count(), 1);
        end.send(()).unwrap();
        background.finished().await;
        assert_eq!((is_done.await, background.count()), (Ok(()), 0));

        let (done, is_done) = oneshot::channel();
        let work = async move {
            tokio::task::yield_now().await;
            done.send(()).unwrap();
        };
        let mut caller = Box::pin(background.carry(work));
        assert!(futures_util::poll!(&mut caller).is_pending());
        drop(caller);
        assert_eq!(background.count(), 1);
        background.finished().await;
        assert_eq!(is_done.await, Ok(()));
    }

    #[tokio::test]
    #[should_panic(expected = "as asked")]
    async fn a_death_of_the_work_is_its_callers_death() {
        Background::default().carry(async { panic!("as asked") }).await.unwrap()
    }

    #[tokio::test]
    async fn the_next_request_comes_after_the_work_of_the_one_before() {
        let background = Background::default();
        let (end, ends) = oneshot::channel::<()>();
        let ends = std::sync::Mutex::new(Some(ends));
        let mut service = background.outlasting(service_fn(|()| {
            let (background, ends) = (background.clone(), ends.lock().unwrap().take());
            async move {
                let work = async {
                    let_caller_go();
                    drop(ends.unwrap().await);
                };
                background.carry(work).await;
                Ok::<_, Infallible>("answered")
            }
        }));
        let mut answered = Box::pin(service.call(()));
        for _ in 0..100 {
            assert!(futures_util::poll!(&mut answered).is_pending());
            tokio::task::yield_now().await;
        }
        assert_eq!(background.count(), 1);
        end.send(()).unwrap();
        assert_eq!(answered.await, Ok("answered"));
        assert_eq!(background.count(), 0);
    }
}
