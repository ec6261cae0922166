//! Holds what all sessions of a gateway share.

use std::sync::Arc;
use std::time::Duration;

use super::memory_budget::MemoryBudget;
use crate::admission::Admission;
use crate::lifecycle::Lifecycle;
use crate::metrics::Kind;
use crate::service::Service;

/// The settings of sessions.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// How often the gateway sends a heartbeat; a client silent for a whole interval after one is gone.
    pub heartbeat: Duration,
    /// How long a write may make no progress before the connection counts as dead.
    pub stall_timeout: Duration,
}

/// The context that all sessions of a gateway share.
pub(crate) struct SessionContext {
    pub(crate) service: Arc<Service>,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) admission: Arc<Admission>,
    pub(super) settings: SessionSettings,
    pub(super) memory_budget: MemoryBudget,
}

impl SessionContext {
    pub(crate) fn new(
        service: Arc<Service>,
        settings: SessionSettings,
        admission: Arc<Admission>,
        lifecycle: Arc<Lifecycle>,
    ) -> Self {
        let memory_budget = MemoryBudget::new(service.metrics().clone());
        Self { service, lifecycle, admission, settings, memory_budget }
    }

    /// Counts a connection or request that was refused or ended at a limit, or by a rule.
    pub(crate) fn refused(&self, kind: &'static str) {
        self.service.metrics().refused.get_or_create(&Kind { kind }).inc();
    }
}
