//! Holds what all connections of the client listener share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::admission::{Admission, AdmissionPolicy};
use crate::lifecycle::Lifecycle;
use crate::service::Service;
use crate::session::{self, SessionContext, SessionSettings};

/// How many connections that are turned away are answered at a time.
const TURNED_AWAY: usize = 64;

/// The settings of connections.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// The settings of each session.
    pub sessions: SessionSettings,
    /// Whether the demo page is at `/`.
    pub demo_page: bool,
}

/// The state that all connections share.
pub struct Gateway {
    pub(super) sessions: Arc<SessionContext>,
    pub(super) demo_page: bool,
    pub(super) connections: TaskTracker,
    /// The number of connections so far.
    pub(super) arrivals: AtomicU64,
    pub(super) turning_away: Semaphore,
}

impl Gateway {
    /// Makes a gateway without a listener yet.
    pub fn new(
        service: Arc<Service>,
        settings: GatewaySettings,
        policy: AdmissionPolicy,
        lifecycle: Arc<Lifecycle>,
    ) -> Arc<Self> {
        let (connections, turning_away) = (TaskTracker::new(), Semaphore::new(TURNED_AWAY));
        let sessions = SessionContext::new(service, settings.sessions, Admission::new(policy), lifecycle);
        let (sessions, demo_page, arrivals) = (Arc::new(sessions), settings.demo_page, AtomicU64::default());
        Arc::new(Self { sessions, demo_page, connections, arrivals, turning_away })
    }

    /// Replaces the admission policy. Connections that are there stay; sizes hold for later ones.
    pub fn set_policy(&self, policy: AdmissionPolicy) {
        self.sessions.admission.set_policy(policy);
    }

    /// Returns how long a connection may take for its handshake and first request, by the present policy.
    #[must_use]
    pub fn handshake_timeout(&self) -> Duration {
        self.sessions.admission.policy().handshake_timeout
    }

    /// Flushes pending updates to idle sessions, for ever. A gateway that serves needs one such task, and can use as many as
    /// there are threads.
    pub async fn flush_sleeping(self: Arc<Self>) {
        session::flush_sleeping(&self.sessions.service).await;
    }

    /// Waits until every connection has ended.
    pub async fn drained(&self) {
        self.connections.close();
        self.connections.wait().await;
    }

    /// Returns how many connections there are, those of HTTP included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }
}
