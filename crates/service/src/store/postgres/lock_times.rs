//! How long transactions wait for the lock of all writes, and how long they hold it.

use std::time::{Duration, Instant};

use prometheus_client::metrics::histogram::Histogram;

use crate::metrics::DatabaseMetrics;

/// The lock of a transaction that ends when this is dropped.
pub(super) struct LockTimes {
    begun: Instant,
    waited: Duration,
    held: Histogram,
}

impl LockTimes {
    /// Notes that a transaction which was begun then has the lock, after it waited for it for so long.
    pub(super) fn new(metrics: &DatabaseMetrics, begun: Instant, waited: Duration) -> Self {
        metrics.lock_wait.observe(waited.as_secs_f64());
        Self { begun, waited, held: metrics.lock_held.clone() }
    }
}

impl Drop for LockTimes {
    fn drop(&mut self) {
        self.held.observe(self.begun.elapsed().saturating_sub(self.waited).as_secs_f64());
    }
}
