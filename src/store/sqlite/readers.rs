//! A few read-only connections, used from blocking tasks. A read sees one state of the database, the newest there
//! is when it starts, and goes on whether or not the writer can write.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, Result};
use tokio::sync::Semaphore;
use tokio::task;

use crate::store::StoreError;

/// Reads at a time. A point read takes microseconds, so a few connections serve many sessions.
const READERS: u32 = 4;

pub(super) struct Readers {
    pool: Arc<Pool>,
    /// One permit for each connection there may be.
    permits: Arc<Semaphore>,
}

struct Pool {
    path: PathBuf,
    busy_timeout: Duration,
    /// Open and not in use. Opened when first needed; one that met an error does not come back.
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, busy_timeout: Duration) -> Self {
        let pool = Pool { path, busy_timeout, idle: Mutex::default() };
        Self { pool: Arc::new(pool), permits: Arc::new(Semaphore::new(READERS as usize)) }
    }

    /// Runs a query in a read transaction of its own. It is run to its end even if nobody waits for it any more.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, StoreError> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| super::closed())?;
        let pool = self.pool.clone();
        let reading = task::spawn_blocking(move || {
            let _until_it_is_back = permit;
            pool.read(query)
        });
        let found = reading.await.map_err(|e| StoreError(format!("a read broke off: {e}")))?;
        found.map_err(|e| StoreError(format!("cannot read the database: {e}")))
    }

    /// Waits for the reads that run, then closes every connection; later reads fail.
    pub(super) async fn close(&self) {
        // An error says that it was closed before.
        if let Ok(_all) = self.permits.acquire_many(READERS).await {
            self.permits.close();
            self.pool.idle.lock().clear();
        }
    }
}

impl Pool {
    fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().pop();
        let conn = idle.map_or_else(|| self.open(), Ok)?;
        conn.prepare_cached("BEGIN")?.execute([])?;
        let found = query(&conn)?;
        conn.prepare_cached("COMMIT")?.execute([])?;
        self.idle.lock().push(conn);
        Ok(found)
    }

    fn open(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&self.path, flags)?;
        super::set_up(&conn, self.busy_timeout)?;
        Ok(conn)
    }
}
