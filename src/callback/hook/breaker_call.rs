//! A call as the breaker of its hook counts it.

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use rosterd_engine::model::Millis;
use rosterd_engine::sync::breaker::{Breaker, BreakerPass, BreakerState};

/// The breaker of a hook, with its clock.
pub(super) struct HookBreaker {
    breaker: Mutex<Breaker>,
    begun: Instant,
    /// 1 while calls are stopped.
    open: Gauge,
    hook: &'static str,
}

impl HookBreaker {
    pub(super) fn new(hook: &'static str, open: Gauge) -> Self {
        open.set(0);
        Self { breaker: Mutex::default(), begun: Instant::now(), open, hook }
    }

    /// Lets a call out, or not.
    pub(super) fn begin(&self) -> Option<BreakerCall<'_>> {
        let pass = self.breaker.lock().begin(self.now())?;
        Some(BreakerCall { breaker: self, pass: Some(pass) })
    }

    /// Returns whether calls go out, and in how many milliseconds if not.
    pub(super) fn state(&self) -> (BreakerState, Option<u64>) {
        let state = self.breaker.lock().state();
        match state {
            BreakerState::Open { until } => (state, Some(until.saturating_sub(self.now()))),
            BreakerState::Closed | BreakerState::Probing => (state, None),
        }
    }

    fn now(&self) -> Millis {
        Instant::now().duration_since(self.begun).as_millis() as Millis
    }
}

/// A call that is out. Dropped without a result, it counts as not made.
pub(super) struct BreakerCall<'a> {
    breaker: &'a HookBreaker,
    pass: Option<BreakerPass>,
}

impl BreakerCall<'_> {
    pub(super) fn finish(mut self, failed: bool) {
        let Some(pass) = self.pass.take() else { return };
        let HookBreaker { breaker, open, hook, .. } = self.breaker;
        let mut breaker = breaker.lock();
        let was_closed = breaker.state() == BreakerState::Closed;
        breaker.finish(pass, failed, self.breaker.now());
        let is_closed = breaker.state() == BreakerState::Closed;
        open.set(i64::from(!is_closed));
        match (was_closed, is_closed) {
            (true, false) => tracing::error!(hook, "the hook mostly fails, and is called rarely until it answers"),
            (false, true) => tracing::info!(hook, "the hook answers again"),
            _ => {}
        }
    }
}

impl Drop for BreakerCall<'_> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.breaker.breaker.lock().abandon(pass);
        }
    }
}
