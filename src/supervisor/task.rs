//! Runs tasks, and reports their unexpected end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use tokio::task::JoinHandle;

use crate::lifecycle::Lifecycle;

/// When a supervised task may end by itself. A panic is never expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayEnd {
    /// Not before [`Supervisor::stand_down`].
    Never,
    /// Once the gateway closes.
    WhenClosing,
}

/// Runs the tasks of one gateway.
#[derive(Debug)]
pub struct Supervisor {
    lifecycle: Arc<Lifecycle>,
    /// Whether tasks may end, because the gateway has ended.
    is_over: AtomicBool,
}

impl Supervisor {
    /// Makes a supervisor that fails this lifecycle.
    #[must_use]
    pub fn new(lifecycle: Arc<Lifecycle>) -> Arc<Self> {
        Arc::new(Self { lifecycle, is_over: AtomicBool::default() })
    }

    /// Runs a task under this name. Its end fails the gateway, unless it may end then.
    pub fn spawn(
        self: &Arc<Self>,
        name: &'static str,
        may_end: MayEnd,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let report = EndReport { name, supervisor: self.clone(), is_expected: false };
        tokio::spawn(run(report, may_end, work))
    }

    /// Lets every task end from now on, because the gateway has ended.
    pub fn stand_down(&self) {
        self.is_over.store(true, Ordering::Release);
    }
}

async fn run(mut report: EndReport, may_end: MayEnd, work: impl Future<Output = ()> + Send + 'static) {
    #[cfg(debug_assertions)]
    let work = super::fault::with_fault(report.name, work);
    let has_panicked = AssertUnwindSafe(work).catch_unwind().await.is_err();
    report.is_expected = !has_panicked && may_end == MayEnd::WhenClosing && report.supervisor.lifecycle.is_closing();
}

/// Reports the end of a task when it is dropped, however that comes: also if the task is aborted.
struct EndReport {
    name: &'static str,
    supervisor: Arc<Supervisor>,
    is_expected: bool,
}

impl Drop for EndReport {
    fn drop(&mut self) {
        if self.is_expected || self.supervisor.is_over.load(Ordering::Acquire) {
            return;
        }
        tracing::error!(
            task = self.name,
            "a task that the gateway needs has ended; the process ends, to be started again"
        );
        self.supervisor.lifecycle.fail();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::lifecycle::{DrainSchedule, Phase};

    fn supervisor() -> (Arc<Lifecycle>, Arc<Supervisor>) {
        let lifecycle = Arc::new(Lifecycle::default());
        lifecycle.ready();
        (lifecycle.clone(), Supervisor::new(lifecycle))
    }

    async fn fails(lifecycle: &Lifecycle) {
        timeout(Duration::from_secs(20), lifecycle.failed()).await.expect("a failure in time");
        assert_eq!(lifecycle.phase(), Phase::Failed);
    }

    #[tokio::test]
    async fn a_panic_an_end_and_an_abort_fail_the_gateway() {
        let (lifecycle, supervisor) = supervisor();
        supervisor.spawn("panics", MayEnd::WhenClosing, async { panic!("in a test") });
        fails(&lifecycle).await;
        let (lifecycle, supervisor) = self::supervisor();
        supervisor.spawn("ends", MayEnd::WhenClosing, async {});
        fails(&lifecycle).await;
        let (lifecycle, supervisor) = self::supervisor();
        supervisor.spawn("is aborted", MayEnd::Never, pending()).abort();
        fails(&lifecycle).await;
    }

    #[tokio::test]
    async fn a_task_may_end_when_the_gateway_closes_and_any_task_once_it_has_ended() {
        let (lifecycle, supervisor) = supervisor();
        lifecycle.close(DrainSchedule::new(0, 1, Duration::ZERO, Duration::ZERO));
        supervisor.spawn("ends", MayEnd::WhenClosing, async {}).await.unwrap();
        assert_eq!(lifecycle.phase(), Phase::Draining);
        supervisor.stand_down();
        supervisor.spawn("ends", MayEnd::Never, async {}).await.unwrap();
        assert_eq!(lifecycle.phase(), Phase::Draining);
        let (lifecycle, supervisor) = self::supervisor();
        lifecycle.close(DrainSchedule::new(0, 1, Duration::ZERO, Duration::ZERO));
        supervisor.spawn("ends", MayEnd::Never, async {});
        fails(&lifecycle).await;
    }

    #[tokio::test]
    async fn a_panic_while_closing_is_a_failure_too() {
        let (lifecycle, supervisor) = supervisor();
        lifecycle.close(DrainSchedule::new(0, 1, Duration::ZERO, Duration::ZERO));
        supervisor.spawn("panics", MayEnd::WhenClosing, async { panic!("in a test") });
        fails(&lifecycle).await;
    }
}
