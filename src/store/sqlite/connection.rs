//! How a connection to the database is set up, and the error once the store is closed.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::store::StoreError;

/// What holds for every connection.
pub(super) fn set_up(conn: &Connection, busy_timeout: Duration) -> rusqlite::Result<()> {
    conn.busy_timeout(busy_timeout)?;
    // All statements stay prepared.
    conn.set_prepared_statement_cache_capacity(40);
    // And stay as they are: otherwise some are planned anew for every value they are given.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// What is asked of a closed store.
pub(super) fn closed() -> StoreError {
    StoreError("the store is closed".into())
}
