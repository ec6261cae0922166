//! The write-ahead log: it holds older states of the database, and so what was erased since.
//!
//! `SQLite` copies the log back by itself when it is long, and writes it again from its beginning; the bytes behind the
//! end stay, and while a reader of an old state is there, the log grows. So it is cut to nothing after an erasure, and
//! when it is longer than it has to be.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Result};

use super::files::beside;
use super::schema::LOG_BYTES;

/// How long a purge waits for readers of older states. Writes wait as long; a reader that stays longer defers the purge.
const WAIT: Duration = Duration::from_millis(100);

/// What is known of the log of a database.
pub(super) struct WriteAheadLog {
    file: PathBuf,
    /// How long the writer waits for another process, except for a purge.
    busy_timeout: Duration,
    /// Whether it may hold rows that were erased: also those that the process before this one erased.
    erased: bool,
    /// Whether the last purge was deferred. This is logged once.
    deferred: bool,
}

impl WriteAheadLog {
    pub(super) fn new(database: &Path, busy_timeout: Duration) -> Self {
        Self { file: beside(database, "-wal"), busy_timeout, erased: true, deferred: false }
    }

    /// Notes that rows were erased.
    pub(super) fn erased(&mut self) {
        self.erased = true;
    }

    /// Copies the log back and cuts it off, if it may hold what was erased or is too long.
    pub(super) fn purge(&mut self, conn: &Connection) -> Result<()> {
        let bytes = fs::metadata(&self.file).map_or(0, |data| data.len());
        if bytes == 0 || !self.erased && bytes <= LOG_BYTES {
            self.erased = false;
            return Ok(());
        }
        conn.busy_timeout(WAIT)?;
        let busy = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |record| record.get::<_, bool>(0));
        conn.busy_timeout(self.busy_timeout)?;
        let deferred = busy?;
        if deferred && !self.deferred {
            tracing::warn!(
                bytes,
                "another process, a backup perhaps, has been reading the database for long: until it ends, the log \
                 grows, and holds what was erased"
            );
        }
        self.deferred = deferred;
        self.erased &= deferred;
        Ok(())
    }
}
