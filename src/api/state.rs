//! What the handlers of the ops listener share.

use std::sync::Arc;

use crate::lifecycle::Lifecycle;
use crate::service::Service;

/// Who may use the server API.
#[derive(Debug, Clone)]
pub enum Access {
    /// Callers that send this key.
    Key(String),
    /// Programs on this machine, without a key: development on loopback.
    Open,
    /// Nobody, because no key is set.
    Closed,
}

/// The state that the handlers share.
pub(super) struct Api {
    pub(super) service: Arc<Service>,
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) access: Access,
}
