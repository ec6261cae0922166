//! What all connections of the client listener share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::admission::{Admission, AdmissionPolicy};
use crate::lifecycle::Lifecycle;
use crate::service::Service;
use crate::session::{self, SessionContext, SessionSettings};

/// How many that are turned away are told so at a time.
const TURNED_AWAY: usize = 64;

/// What an operator sets about connections.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// What holds for each session.
    pub sessions: SessionSettings,
    /// Whether the demo page is at `/`.
    pub demo_page: bool,
}

/// What every connection shares.
pub struct Gateway {
    pub(super) sessions: Arc<SessionContext>,
    pub(super) demo_page: bool,
    pub(super) connections: TaskTracker,
    /// Connections there have been.
    pub(super) arrivals: AtomicU64,
    pub(super) turning_away: Semaphore,
}

impl Gateway {
    /// A gateway without a listener yet.
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

    /// Lets in by these rules from now on. Those who are there stay; sizes hold for connections that come.
    pub fn set_policy(&self, policy: AdmissionPolicy) {
        self.sessions.admission.set_policy(policy);
    }

    /// Tells sessions that sleep what they are owed, for ever. A gateway that serves needs one that does, and can do with
    /// as many as there are threads.
    pub async fn flush_sleeping(self: Arc<Self>) {
        session::flush_sleeping(&self.sessions.service).await;
    }

    /// Waits until every connection has ended.
    pub async fn drained(&self) {
        self.connections.close();
        self.connections.wait().await;
    }

    /// How many connections there are, those of HTTP included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }
}
