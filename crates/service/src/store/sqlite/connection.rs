//! Sets up connections to the database, and has the error of a closed store.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::store::StoreError;

/// Sets the options of every connection.
pub(super) fn set_up(conn: &Connection, busy_timeout: Duration) -> rusqlite::Result<()> {
    conn.busy_timeout(busy_timeout)?;
    // Room for all statements, so that they stay prepared.
    conn.set_prepared_statement_cache_capacity(100);
    // Otherwise SQLite plans some statements anew for every value that they are given.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// The error of every call to a closed store.
pub(super) fn closed() -> StoreError {
    StoreError("the store is closed".into())
}
