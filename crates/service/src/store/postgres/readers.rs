//! Reads the database on a fixed number of connections, each of which a task of its own uses.
//!
//! A read that was begun runs to its end even if its caller stops waiting, so no connection is left in the middle of a
//! transaction. A connection that had an error is not used again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::pause::{PAUSE, part_of};
use super::pg_error::{PgError, closed};
use super::schema::random;
use super::session::{Connector, PgSession, SessionKind};
use crate::store::StoreError;

/// The most reads that wait, as many as in a file's store.
const QUEUED: usize = 65_536;

/// How long a read may take. A server that hangs keeps the connection open.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a read on a session, and returns whether the session is good for another.
type PgRead = Box<dyn FnOnce(Result<Arc<PgSession>, PgError>) -> BoxFuture<'static, bool> + Send>;

/// The readers of a store.
pub(super) struct PgReaders {
    queue: Mutex<Option<mpsc::Sender<PgRead>>>,
    /// Loses its senders when the last reader has ended.
    running: watch::Receiver<()>,
    /// Whether the last read failed.
    failing: Arc<AtomicBool>,
}

impl PgReaders {
    /// Starts readers on the current runtime. Each connects when it has something to read.
    pub(super) fn start(connector: &Connector, kind: SessionKind, count: usize) -> Self {
        let (queue, reads) = mpsc::channel(QUEUED);
        let reads = Arc::new(tokio::sync::Mutex::new(reads));
        let (alive, running) = watch::channel(());
        let alive = Arc::new(alive);
        for _ in 0..count {
            let (connector, reads, alive) = (connector.clone(), reads.clone(), alive.clone());
            tokio::spawn(async move {
                read_on(connector, kind, reads).await;
                drop(alive);
            });
        }
        Self { queue: Mutex::new(Some(queue)), running, failing: Arc::default() }
    }

    /// Runs a query.
    pub(super) async fn read<T, F>(
        &self,
        query: impl FnOnce(Arc<PgSession>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PgError>> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let failing = self.failing.clone();
        let read: PgRead = Box::new(move |session| {
            Box::pin(async move {
                if answer.is_closed() {
                    return true;
                }
                let found = match session {
                    Ok(session) => match timeout(PATIENCE, query(session)).await {
                        Ok(found) => found,
                        Err(_) => Err(PgError::Silent(PATIENCE)),
                    },
                    Err(error) => Err(error),
                };
                let is_good = found.is_ok();
                report(&failing, found.as_ref().err());
                // Sending fails if the caller stopped waiting meanwhile.
                let _ = answer.send(found);
                is_good
            })
        });
        let queue = self.queue.lock().clone().ok_or_else(closed)?;
        queue.try_send(read).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError("too many reads wait".into()),
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        drop(queue);
        let found = answered.await.map_err(|_| StoreError("a read broke off".into()))?;
        found.map_err(|error| StoreError(format!("cannot read the database: {error}")))
    }

    /// Finishes the reads that wait, then closes every connection. Later reads fail.
    pub(super) async fn close(&self) {
        drop(self.queue.lock().take());
        let _ = self.running.clone().changed().await;
    }
}

/// Logs once that reads fail, and once that they succeed again. Nobody else does: clients are not told what failed.
fn report(failing: &AtomicBool, error: Option<&PgError>) {
    if failing.swap(error.is_some(), Ordering::Relaxed) != error.is_some() {
        if let Some(error) = error {
            tracing::error!(%error, "the store cannot read; it keeps trying");
        } else {
            tracing::info!("the store can read again");
        }
    }
}

/// Carries out reads until no more can come.
async fn read_on(connector: Connector, kind: SessionKind, reads: Arc<tokio::sync::Mutex<mpsc::Receiver<PgRead>>>) {
    let mut held: Option<Arc<PgSession>> = None;
    let mut pause = Pause::default();
    loop {
        let Some(read) = reads.lock().await.recv().await else { return };
        let session = match held.take().filter(|session| !session.is_closed()) {
            Some(session) => Ok(session),
            None => pause.connect(&connector, kind).await.map(Arc::new),
        };
        let opened = session.as_ref().ok().cloned();
        // A read that panics costs its caller and its connection, and not the reader.
        if AssertUnwindSafe(read(session)).catch_unwind().await.unwrap_or(false) {
            held = opened;
        }
    }
}

/// Keeps a reader from connecting again and again to a server that is away.
#[derive(Default)]
struct Pause {
    length: Duration,
    /// Until when, and why.
    until: Option<(Instant, String)>,
}

impl Pause {
    async fn connect(&mut self, connector: &Connector, kind: SessionKind) -> Result<PgSession, PgError> {
        if let Some((until, why)) = &self.until
            && Instant::now() < *until
        {
            return Err(PgError::Away(why.clone()));
        }
        match connector.connect(kind).await {
            Ok(session) => {
                *self = Self::default();
                Ok(session)
            }
            Err(error) => {
                self.length = (self.length * 2).clamp(PAUSE.0, PAUSE.1);
                self.until = Some((Instant::now() + part_of(self.length, random().unwrap_or(1)), error.to_string()));
                Err(error)
            }
        }
    }
}
