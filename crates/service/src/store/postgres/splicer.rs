//! Takes the batches of this node and those of others to the feed, in the order of their revisions.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::store::CommitBatch;
use rosterd_engine::model::Revision;
use rosterd_engine::sync::splice::Splice;

/// How many batches of others may wait for one before them. Then no more are read.
const WAITING: usize = 64;

/// How long the end waits for batches of others that are before an own one.
const ENDING: Duration = Duration::from_secs(2);

/// A batch with its revisions.
pub(super) struct NumberedBatch {
    /// The revision before its first.
    pub after: Revision,
    pub batch: CommitBatch,
}

/// Brings batches into one order.
pub(super) struct Splicer {
    pub splice: Splice<CommitBatch>,
    /// Of the writer.
    pub own: mpsc::Receiver<NumberedBatch>,
    /// Of other nodes, read from the log.
    pub others: mpsc::Receiver<NumberedBatch>,
    pub feed: mpsc::Sender<CommitBatch>,
}

impl Splicer {
    /// Runs until the writer has ended and all that it wrote is on the feed.
    pub(super) async fn run(mut self) {
        loop {
            let has_room = self.splice.waiting() < WAITING;
            // Own ones first: they come once a commit, and others have room in between.
            let batch = tokio::select! {
                biased;
                own = self.own.recv() => match own {
                    Some(own) => own,
                    None => break,
                },
                Some(other) = self.others.recv(), if has_room => other,
            };
            self.take(batch).await;
        }
        while self.splice.waiting() > 0
            && let Ok(Some(other)) = timeout(ENDING, self.others.recv()).await
        {
            self.take(other).await;
        }
        for batch in self.splice.abandon() {
            // It is durable, whatever is before it.
            batch.answer();
        }
    }

    async fn take(&mut self, NumberedBatch { after, batch }: NumberedBatch) {
        match batch.changes.last() {
            Some(last) => {
                let last = last.revision;
                if self.splice.offer(after + 1, last, batch).is_err() {
                    // The writer finds out at its next connection; until then nothing of another history is applied.
                    tracing::error!(after, last, "the log has changes that do not fit to those before");
                }
            }
            None => self.splice.follow(after, batch),
        }
        while let Some(batch) = self.splice.leave() {
            if let Err(mpsc::error::SendError(batch)) = self.feed.send(batch).await {
                // No consumer is left to apply it, but it is durable.
                batch.answer();
            }
        }
    }
}
