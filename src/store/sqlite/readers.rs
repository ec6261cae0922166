//! A few threads, each with a read-only connection. A read sees one state of the database, the newest there is when it
//! starts, and goes on whether or not the writer can write.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OpenFlags, Result};
use tokio::sync::oneshot;
use tokio::task;

use super::connection::{closed, set_up};
use crate::store::StoreError;

/// Reads at a time. A point read takes microseconds, so a few threads serve many sessions.
const READERS: usize = 4;

/// Reads that may wait for each thread that is reading, before another one is woken for them. Waking a thread costs as
/// much as a read: a burst is done by few, one after the other, while more come in.
const WAITING: usize = 8;

pub(super) struct Readers(Arc<ReaderPool>);

struct ReaderPool {
    path: PathBuf,
    busy_timeout: Duration,
    state: Mutex<ReaderQueue>,
    work: Condvar,
}

#[derive(Default)]
struct ReaderQueue {
    reads: VecDeque<Read>,
    /// Started when first needed.
    threads: Vec<JoinHandle<()>>,
    /// How many of them sleep, and nobody has woken.
    idle: usize,
    closed: bool,
}

/// Takes the thread's connection, and puts it back if there was no error.
type Read = Box<dyn FnOnce(&ReaderPool, &mut Option<Connection>) + Send>;

impl Readers {
    pub(super) fn new(path: PathBuf, busy_timeout: Duration) -> Self {
        Self(Arc::new(ReaderPool { path, busy_timeout, state: Mutex::default(), work: Condvar::new() }))
    }

    /// Runs a query in a read transaction of its own. Once begun it is run to its end, even if nobody waits for it.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, StoreError> {
        let (answer, told) = oneshot::channel();
        self.queue(Box::new(move |shared, conn| {
            if !answer.is_closed() {
                // Who stopped waiting meanwhile does not want it.
                let _ = answer.send(shared.read(conn, query));
            }
        }))?;
        let found = told.await.map_err(|_| StoreError("a read broke off".into()))?;
        found.map_err(|e| StoreError(format!("cannot read the database: {e}")))
    }

    fn queue(&self, read: Read) -> std::result::Result<(), StoreError> {
        let mut state = self.0.state.lock();
        if state.closed {
            return Err(closed());
        }
        state.reads.push_back(read);
        let reading = state.threads.len() - state.idle;
        if state.reads.len() <= reading * WAITING {
            return Ok(());
        }
        if state.idle > 0 {
            state.idle -= 1;
            self.0.work.notify_one();
        } else if state.threads.len() < READERS {
            let shared = self.0.clone();
            match thread::Builder::new().name("rosterd-read".into()).spawn(move || shared.run()) {
                Ok(thread) => state.threads.push(thread),
                Err(error) if state.threads.is_empty() => {
                    state.reads.clear();
                    return Err(StoreError(format!("cannot start a thread to read with: {error}")));
                }
                Err(_) => {} // Those that are there do it.
            }
        }
        Ok(())
    }

    /// Does what waits, then closes every connection; later reads fail.
    pub(super) async fn close(&self) {
        let threads = self.shut();
        // A thread's panic was told to who waited for it.
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

    /// The next read; `None` once the store is closed and nothing is left to do.
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

    /// A connection that met an error is not used again.
    fn read<T>(&self, held: &mut Option<Connection>, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let conn = held.take().map_or_else(|| self.open(), Ok)?;
        conn.prepare_cached("BEGIN")?.execute([])?;
        let found = query(&conn)?;
        conn.prepare_cached("COMMIT")?.execute([])?;
        *held = Some(conn);
        Ok(found)
    }

    fn open(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&self.path, flags)?;
        set_up(&conn, self.busy_timeout)?;
        Ok(conn)
    }
}
