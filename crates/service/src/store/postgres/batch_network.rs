//! What carries batches between gateways besides the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::batch_seal::LARGEST;
use crate::metrics::{DatabaseMetrics, Kind};

/// Carries messages between the gateways of a database. It may lose, repeat and reorder them.
pub trait BatchNetwork: Send + Sync + 'static {
    /// Runs until nobody hands it anything any more.
    fn carry(&self, end: CourierEnd) -> BoxFuture<'static, ()>;
}

/// The network's end: it takes what is to be carried, and gives what came.
pub struct CourierEnd {
    /// Where the gateways of this database hand each other messages.
    pub subject: String,
    /// What is to be carried to all of them; this one may get it, too.
    pub outgoing: mpsc::Receiver<Vec<u8>>,
    pub(super) incoming: mpsc::Sender<Vec<u8>>,
    pub(super) connected: Arc<AtomicBool>,
    pub(super) metrics: DatabaseMetrics,
}

impl CourierEnd {
    /// Notes whether messages get through.
    pub fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Release);
        self.metrics.nats_connected.set(connected.into());
    }

    /// Gives what was carried here to who reads the log, unless too much waits there.
    pub fn deliver(&self, message: &[u8]) {
        if message.len() > LARGEST {
            refuse(&self.metrics, "FORGED");
        } else if let Err(mpsc::error::TrySendError::Full(_)) = self.incoming.try_send(message.to_vec()) {
            self.missed();
        }
    }

    /// Counts a message that came faster than it could be taken.
    pub fn missed(&self) {
        refuse(&self.metrics, "FULL");
    }
}

/// Counts a message that is of no use.
pub(super) fn refuse(metrics: &DatabaseMetrics, kind: &'static str) {
    metrics.nats_refused.get_or_create(&Kind { kind }).inc();
}
