//! Takes the store's commits to the hub, and observes whether they get there.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::state::Service;
use crate::hub::feed::Feed;
use crate::metrics::Metrics;
use crate::store::CommitBatch;
use rosterd_engine::model::Revision;

/// Applies a store's commits to the hub and answers the writes that wait for them, until the store closes its feed.
pub async fn consume(mut commits: mpsc::Receiver<CommitBatch>, mut feed: Feed, metrics: Arc<Metrics>) {
    loop {
        let batch = if feed.is_sweeping() {
            match commits.try_recv() {
                Ok(batch) => Some(batch),
                Err(mpsc::error::TryRecvError::Empty) => None,
                Err(mpsc::error::TryRecvError::Disconnected) => return,
            }
        } else {
            match commits.recv().await {
                Some(batch) => Some(batch),
                None => return,
            }
        };
        if let Some(batch) = batch {
            metrics.commits.inc();
            feed.committed(batch.committed);
            let mut changes = &batch.changes[..];
            while !changes.is_empty() {
                changes = &changes[feed.apply_some(changes)..];
                if !changes.is_empty() {
                    tokio::task::yield_now().await;
                }
            }
            feed.publish_applied();
            batch.answer();
        }
        feed.sweep();
        tokio::task::yield_now().await;
    }
}

impl Service {
    /// Returns the revision of the last committed change.
    #[must_use]
    pub fn head(&self) -> Revision {
        self.store.head()
    }

    /// Returns the revision of the last change that is applied here: whoever asks now is answered with it.
    #[must_use]
    pub fn applied_revision(&self) -> Revision {
        *self.hub.applied().borrow()
    }

    /// Reports whether changes are committed here and nothing of them was applied for 10 seconds, as far as calls of this
    /// function show: the first that finds changes waiting begins the time. A database that cannot be written is no
    /// reason.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        // In this order: a batch that is applied in between counts as a step.
        let steps = self.hub.feed_steps();
        let waits = self.store.head() > self.hub.watermark();
        self.feed_progress.is_stuck(steps, waits, Instant::now())
    }
}
