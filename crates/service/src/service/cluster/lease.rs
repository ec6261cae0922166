//! What one node at a time does for all: to bring events to the endpoints of the settings.
//!
//! The node renews its lease again and again. It counts it from before it asked, and a while shorter than the database does, so
//! it stops before another may begin; one that stood still finds its lease over before it does anything.

use std::time::Duration;

use tokio::time::Instant;

use super::shared_node::KnownLease;
use crate::service::Service;
use rosterd_engine::model::Millis;

const NAME: &str = "webhooks";

/// How long the lease is in the database.
const LENGTH: Duration = Duration::from_secs(30);

/// How much sooner its node stops: a request that is out gets two seconds then.
const SOONER: Duration = Duration::from_secs(5);

impl Service {
    /// Returns whether this node brings events to the endpoints now. One that is alone always does.
    #[must_use]
    pub fn delivers(&self) -> bool {
        let Some(node) = &self.shared else { return true };
        node.lease.lock().until.is_some_and(|until| Instant::now() < until)
    }

    /// Takes or renews the lease for that, and returns whether this node has it.
    pub async fn renew_delivery(&self) -> bool {
        let Some(node) = &self.shared else { return true };
        let (begun, me) = (Instant::now(), node.id());
        match node.store.lease(me, NAME, LENGTH.as_millis() as Millis).await {
            Ok(holder) => {
                let until = (holder == me).then(|| begun + LENGTH - SOONER);
                *node.lease.lock() = KnownLease { holder: Some(holder), until };
            }
            Err(error) => tracing::debug!(%error, "the lease of the webhooks could not be renewed"),
        }
        self.delivers()
    }

    /// Gives the lease to whoever takes it next.
    pub async fn release_delivery(&self) {
        let Some(node) = &self.shared else { return };
        *node.lease.lock() = KnownLease::default();
        // If that fails it is over by itself.
        let _ = node.store.release(node.id(), NAME).await;
    }

    /// Returns what operators call the node that brings events to the endpoints, if it is another one.
    #[must_use]
    pub fn other_deliverer(&self) -> Option<String> {
        if self.delivers() {
            return None;
        }
        let node = self.shared.as_ref()?;
        let holder = node.lease.lock().holder;
        Some(holder.filter(|holder| *holder != node.id()).map_or_else(String::new, |holder| node.name_of(holder)))
    }
}
