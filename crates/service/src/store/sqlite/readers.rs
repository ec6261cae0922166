//! Reads the database on a few threads, each with a read-only connection.
//!
//! A read sees one state of the database, the newest at its start, and works whether or not the writer can write.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OpenFlags, Result};
use tokio::sync::oneshot;
use tokio::task;

use super::connection::{closed, set_up};
use crate::store::StoreError;

/// The most threads that read. A point read takes microseconds, so a few threads serve many sessions.
pub(super) const READERS: usize = 4;

/// How many reads may wait for each busy thread before another thread is woken.
///
/// Waking a thread costs as much as a read, so a few threads do a burst, one read after the other.
const WAITING: usize = 8;

/// The most reads that wait. A session waits for one at a time, so this is more than come from as many sessions as a
/// gateway is made for; beyond it, a read would be late for whoever asks.
const QUEUED: usize = 65_536;

pub(super) struct Readers(Arc<ReaderPool>);

struct ReaderPool {
    path: PathBuf,
    busy_timeout: Duration,
    /// The most threads.
    most: usize,
    state: Mutex<ReaderQueue>,
    work: Condvar,
    /// Whether the last read failed.
    failing: AtomicBool,
}

#[derive(Default)]
struct ReaderQueue {
    reads: VecDeque<Read>,
    /// Started when first needed.
    threads: Vec<JoinHandle<()>>,
    /// How many of them sleep and have not been woken.
    idle: usize,
    closed: bool,
}

/// A queued read. It takes the connection of the thread, and puts it back if there was no error.
type Read = Box<dyn FnOnce(&ReaderPool, &mut Option<Connection>) + Send>;

impl Readers {
    pub(super) fn new(path: PathBuf, busy_timeout: Duration, most: usize) -> Self {
        let (state, work, failing) = Default::default();
        Self(Arc::new(ReaderPool { path, busy_timeout, most, state, work, failing }))
    }

    /// Runs a query in a read transaction of its own. Once begun, it runs to its end even if its caller stops waiting.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.queue(Box::new(move |shared, conn| {
            if !answer.is_closed() {
                // Sending fails if the caller stopped waiting meanwhile.
                let _ = answer.send(shared.report(shared.read(conn, query)));
            }
        }))?;
        let found = answered.await.map_err(|_| StoreError("a read broke off".into()))?;
        found.map_err(|e| StoreError(format!("cannot read the database: {e}")))
    }

    fn queue(&self, read: Read) -> std::result::Result<(), StoreError> {
        let mut state = self.0.state.lock();
        if state.closed {
            return Err(closed());
        }
        if state.reads.len() >= QUEUED {
            return Err(StoreError("too many reads wait".into()));
        }
        state.reads.push_back(read);
        let reading = state.threads.len() - state.idle;
        if state.reads.len() <= reading * WAITING {
            return Ok(());
        }
        if state.idle > 0 {
            state.idle -= 1;
            self.0.work.notify_one();
        } else if state.threads.len() < self.0.most {
            let shared = self.0.clone();
            match thread::Builder::new().name("rosterd-read".into()).spawn(move || shared.run()) {
                Ok(thread) => state.threads.push(thread),
                Err(error) if state.threads.is_empty() => {
                    state.reads.clear();
                    return Err(StoreError(format!("cannot start a thread to read with: {error}")));
                }
                Err(_) => {} // The existing threads do it.
            }
        }
        Ok(())
    }

    /// Finishes the reads that wait, then closes every connection. Later reads fail.
    pub(super) async fn close(&self) {
        let threads = self.shut();
        // The caller of a read that panicked has got an error.
        let _ = task::spawn_blocking(move || join(threads)).await;
    }

    fn shut(&self) -> Vec<JoinHandle<()>> {
        let mut state = self.0.state.lock();
        state.closed = true;
        self.0.work.notify_all();
        std::mem::take(&mut state.threads)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        join(self.shut());
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        let _ = thread.join();
    }
}

impl ReaderPool {
    fn run(&self) {
        let mut conn = None;
        while let Some(read) = self.next() {
            if catch_unwind(AssertUnwindSafe(|| read(self, &mut conn))).is_err() {
                conn = None;
            }
        }
    }

    /// Waits for the next read; `None` once the store is closed and no read is left.
    fn next(&self) -> Option<Read> {
        let mut state = self.state.lock();
        loop {
            if let Some(read) = state.reads.pop_front() {
                return Some(read);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            self.work.wait(&mut state);
        }
    }

    /// Runs a query on the connection of the thread. A connection that had an error is not used again.
    fn read<T>(&self, held: &mut Option<Connection>, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let conn = held.take().map_or_else(|| self.open(), Ok)?;
        conn.prepare_cached("BEGIN")?.execute([])?;
        let found = query(&conn)?;
        conn.prepare_cached("COMMIT")?.execute([])?;
        *held = Some(conn);
        Ok(found)
    }

    /// Logs once that reads fail, and once that they succeed again. Nobody else does: clients are not told what failed.
    fn report<T>(&self, outcome: Result<T>) -> Result<T> {
        if self.failing.load(Ordering::Relaxed) != outcome.is_err() {
            self.failing.store(outcome.is_err(), Ordering::Relaxed);
            if let Err(error) = &outcome {
                tracing::error!(%error, "the store cannot read; it keeps trying");
            } else {
                tracing::info!("the store can read again");
            }
        }
        outcome
    }

    fn open(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&self.path, flags)?;
        set_up(&conn, self.busy_timeout)?;
        Ok(conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::poll;

    #[tokio::test]
    async fn so_many_reads_may_wait_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reads.db");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 1).unwrap();
        let readers = Readers::new(path, Duration::from_secs(1), READERS);
        let (shut, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let mut waiting = Vec::new();
        let refused = loop {
            let gate = gate.clone();
            let mut read = Box::pin(readers.read(move |_| {
                let _ = gate.lock().recv();
                Ok(())
            }));
            match poll!(&mut read) {
                std::task::Poll::Ready(refused) => break refused,
                std::task::Poll::Pending => waiting.push(read),
            }
        };
        assert!(refused.unwrap_err().to_string().contains("too many reads wait"));
        assert!((QUEUED..=QUEUED + READERS).contains(&waiting.len()), "{}", waiting.len());
        drop(shut);
        // Whoever stops waiting costs nothing more, and there is room again.
        waiting.truncate(1);
        for read in waiting {
            read.await.unwrap();
        }
        assert_eq!(readers.read(|_| Ok(7)).await.unwrap(), 7);
        readers.close().await;
    }

    #[tokio::test]
    async fn a_read_that_panics_costs_its_caller_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE some (one INTEGER)").unwrap();
        let readers = Readers::new(path, Duration::from_secs(5), READERS);
        for _ in 0..2 * READERS {
            let broken = readers.read(|_| -> Result<()> { panic!("in a test") }).await;
            assert!(broken.is_err());
            let count =
                readers.read(|conn| conn.query_row("SELECT count(*) FROM some", [], |row| row.get::<_, i64>(0)));
            assert_eq!(count.await.unwrap(), 0);
        }
        assert!(readers.0.state.lock().threads.iter().all(|thread| !thread.is_finished()));
        readers.close().await;
    }
}
