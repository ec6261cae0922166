//! The wall clock that all nodes have in common: the database's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::store::{StoreClock, system_clock};
use rosterd_engine::model::Millis;

/// By how much the machine's clock differs from the database's, as it was found last.
#[derive(Clone)]
pub struct ClusterClock {
    ahead: Arc<AtomicI64>,
    machine: StoreClock,
}

impl Default for ClusterClock {
    fn default() -> Self {
        Self::on(system_clock())
    }
}

impl ClusterClock {
    /// Makes one on a machine with this clock.
    #[must_use]
    pub fn on(machine: StoreClock) -> Self {
        Self { ahead: Arc::default(), machine }
    }

    /// Notes what the database's clock says now.
    pub(super) fn set(&self, now: Millis) {
        let machine = (self.machine)();
        self.ahead.store(now.wrapping_sub(machine).cast_signed(), Ordering::Release);
    }

    /// Returns the clock.
    #[must_use]
    pub fn clock(&self) -> StoreClock {
        let (ahead, machine) = (self.ahead.clone(), self.machine.clone());
        Arc::new(move || machine().saturating_add_signed(ahead.load(Ordering::Acquire)))
    }
}
