//! What is asked of the writer, and what it says of the history.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::messages::{PgMessage, StoreTask};
use super::pg_error::closed;
use crate::store::{PresenceRow, RulesInForce, StoreError, Write, WriteError, Written};
use rosterd_engine::model::{Epoch, Lineage, Revision};

/// The way to a writer, for the store in front of it.
pub struct WriterHandle {
    pub(super) messages: mpsc::Sender<PgMessage>,
    /// Replaced by the writer.
    pub(super) rules: RulesInForce,
    pub(super) epoch: Epoch,
    /// Raised by the writer.
    pub(super) head: Arc<AtomicU64>,
    /// Raised by the writer.
    pub(super) compacted: Arc<AtomicU64>,
    /// Told where there are changes that this gateway has not read.
    pub(super) wake: Arc<Notify>,
    pub(super) closing: Arc<AtomicBool>,
    /// Loses its sender when the writer has ended.
    pub(super) ended: watch::Receiver<()>,
}

impl WriterHandle {
    /// Has a write carried out.
    ///
    /// # Errors
    /// It was refused, failed, or whether it was done is not known.
    pub async fn write(&self, write: Write) -> Written {
        let (answer, answered) = oneshot::channel();
        let message = PgMessage::Write(write, Instant::now(), answer);
        self.messages.send(message).await.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(WriteError::Unknown(broke_off())))
    }

    /// Has it stored who came and went.
    ///
    /// # Errors
    /// The database is away.
    pub async fn put_seen(&self, seen: Vec<PresenceRow>) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.messages.send(PgMessage::Presence(seen, answer)).await.map_err(|_| closed())?;
        answered.await.map_err(|_| broke_off())?
    }

    /// Gives the writer a task and waits for its answer.
    ///
    /// # Errors
    /// The database is away.
    pub async fn task(&self, task: StoreTask) -> Result<u64, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.messages.send(PgMessage::Task(task, answer)).await.map_err(|_| closed())?;
        answered.await.map_err(|_| broke_off())?
    }

    /// Notes that a snapshot had this as its last revision, of which `known` was known before. Whoever read it waits for what is
    /// not known here. Where some of that is not there the server is another, and has lost it: the writer finds out, which
    /// without a write nobody else would have it do.
    pub fn saw(&self, known: Revision, head: Revision) {
        if head > self.head() {
            self.wake.notify_one();
        }
        if head < known {
            // If it has so much to do that this finds no room, it notices by itself.
            let _ = self.messages.try_send(PgMessage::LookAgain);
        }
    }

    /// Returns the rules that the writer decides by.
    #[must_use]
    pub fn rules(&self) -> &RulesInForce {
        &self.rules
    }

    /// Returns the history, as far as it is known.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        Lineage { epoch: self.epoch, compacted: self.compacted.load(Ordering::Acquire) }
    }

    /// Returns the last revision that is known.
    #[must_use]
    pub fn head(&self) -> Revision {
        self.head.load(Ordering::Acquire)
    }

    /// Has nobody wait for a database that is away any more.
    pub fn stop_waiting(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Has the writer end once what waits is done.
    pub async fn close(&self) {
        self.stop_waiting();
        // An error means that it was closed before; then only the end of the writer is left to wait for.
        let _ = self.messages.send(PgMessage::Close).await;
        self.ended().await;
    }

    /// Resolves once the writer has ended.
    pub async fn ended(&self) {
        let _ = self.ended.clone().changed().await;
    }
}

fn broke_off() -> StoreError {
    StoreError("the store broke off: whether this was done is not known".into())
}
