//! Takes the store's commits to the hub.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::hub::feed::Feed;
use crate::metrics::Metrics;
use crate::store::CommitBatch;

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
            feed.apply(&batch.changes);
            batch.answer();
        }
        feed.sweep();
        tokio::task::yield_now().await;
    }
}
