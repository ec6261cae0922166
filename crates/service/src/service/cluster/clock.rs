//! The wall clock that all nodes have in common: the database's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::store::{StoreClock, system_clock};
use rosterd_engine::model::Millis;

/// By how much the machine's clock differs from the database's, as it was found last.
#[derive(Debug, Clone, Default)]
pub struct ClusterClock(Arc<AtomicI64>);

impl ClusterClock {
    /// Notes what the database's clock says now.
    pub(super) fn set(&self, now: Millis) {
        let machine = system_clock()();
        self.0.store(now.wrapping_sub(machine).cast_signed(), Ordering::Release);
    }

    /// Returns the clock.
    #[must_use]
    pub fn clock(&self) -> StoreClock {
        let (ahead, machine) = (self.0.clone(), system_clock());
        Arc::new(move || machine().saturating_add_signed(ahead.load(Ordering::Acquire)))
    }
}
