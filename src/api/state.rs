//! What the handlers of the ops listener share.

use std::sync::Arc;

use parking_lot::RwLock;

use super::console_sessions::ConsoleSessions;
use super::live_numbers::LiveNumbers;
use super::shown_settings::ShownSettings;
use crate::keys::KeyRing;
use crate::lifecycle::Lifecycle;
use crate::service::{Endpoints, Service};
use rosterd_engine::model::Millis;

/// Who may use the server API.
#[derive(Debug, Clone)]
pub enum Access {
    /// Callers that send one of these keys.
    Keys(KeyRing),
    /// Programs on this machine, without a key: development on loopback.
    Open,
    /// Nobody, because no key is set.
    Closed,
}

/// Who may use the server API from now on. A reload replaces it; requests that have passed go on.
#[derive(Debug)]
pub struct AccessControl(RwLock<Arc<Access>>);

impl AccessControl {
    /// Creates the control of a gateway.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self(RwLock::new(Arc::new(access)))
    }

    /// Returns who may use the server API now.
    #[must_use]
    pub fn current(&self) -> Arc<Access> {
        self.0.read().clone()
    }

    /// Replaces who may use the server API, between two requests.
    pub fn replace(&self, access: Access) {
        *self.0.write() = Arc::new(access);
    }
}

/// The state that the handlers share.
pub(super) struct Api {
    pub(super) service: Arc<Service>,
    pub(super) endpoints: Arc<dyn Endpoints>,
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) access: Arc<AccessControl>,
    pub(super) numbers: Arc<LiveNumbers>,
    pub(super) settings: Arc<ShownSettings>,
    pub(super) console: ConsoleSessions,
    /// When the process began to serve.
    pub(super) started_at: Millis,
}
