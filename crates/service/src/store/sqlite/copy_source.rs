//! Reads a database row by row, to copy it into another kind of store. It is locked meanwhile.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

use super::backup::finish_restore;
use super::connect;
use super::files::claim;
use super::rows::{self, number};
use super::schema::{self, explain};
use crate::store::StoreError;
use crate::store::copied_rows::{CopiedFacts, CopiedValue, CopySource, TakeRow};

/// The tables whose rows are counted.
const TABLES: [&str; 9] =
    ["user", "edge", "request", "block", "frozen", "credential", "relation_count", "audit", "webhook"];

/// A database that is copied.
pub struct SqliteSource {
    conn: Connection,
    path: PathBuf,
    /// Locked as long as the connection is open.
    _lock: File,
}

/// Opens the database at a path to copy it. An older one is migrated first.
///
/// # Errors
/// One sentence for the operator: there is none, it is not rosterd's, or a gateway uses it.
pub fn copy_source(path: &Path) -> std::result::Result<SqliteSource, StoreError> {
    if !path.exists() {
        return Err(StoreError(format!("there is no database {}", path.display())));
    }
    let (path, lock) = claim(path)?;
    finish_restore(&path)?;
    let mut conn = connect(&path, Duration::from_secs(5)).map_err(|error| explain(&path, &error.into()))?;
    schema::bring_up_to_date(&mut conn).map_err(|error| explain(&path, &error))?;
    // One state for all reads.
    conn.execute_batch("BEGIN").map_err(|error| explain(&path, &error.into()))?;
    Ok(SqliteSource { conn, path, _lock: lock })
}

impl SqliteSource {
    fn explained(&self, error: &rusqlite::Error) -> StoreError {
        StoreError(format!("cannot read the database {}: {error}", self.path.display()))
    }

    fn read_facts(&self) -> Result<CopiedFacts> {
        let (lineage, head) = rows::extent(&self.conn)?;
        let sql = "SELECT visibility, seen, numbers_seen, audit_salt,
                          coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0) FROM meta";
        let mut facts = self.conn.query_row(sql, [], |record| {
            Ok(CopiedFacts {
                head,
                compacted: lineage.compacted,
                visibility: record.get(0)?,
                seen: number(record, 1)?,
                numbers_seen: record.get(2)?,
                audit_salt: record.get(3)?,
                last_entry: number(record, 4)?,
                rows: 0,
            })
        })?;
        for table in TABLES {
            let sql = format!("SELECT count(*) FROM {table}");
            facts.rows += self.conn.query_row(&sql, [], |record| number(record, 0))?;
        }
        Ok(facts)
    }
}

impl CopySource for SqliteSource {
    fn facts(&self) -> std::result::Result<CopiedFacts, StoreError> {
        self.read_facts().map_err(|error| self.explained(&error))
    }

    fn rows(&self, table: &str, columns: &[&str], take: &mut TakeRow<'_>) -> std::result::Result<(), StoreError> {
        let explained = |error| self.explained(&error);
        let sql = format!("SELECT {} FROM {table}", columns.join(", "));
        let mut select = self.conn.prepare(&sql).map_err(explained)?;
        let mut rows = select.query([]).map_err(explained)?;
        let mut values = Vec::with_capacity(columns.len());
        while let Some(record) = rows.next().map_err(explained)? {
            values.clear();
            for column in 0..columns.len() {
                values.push(match record.get_ref(column).map_err(explained)? {
                    ValueRef::Null => CopiedValue::Null,
                    ValueRef::Integer(number) => CopiedValue::Number(number),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => CopiedValue::Bytes(bytes),
                    ValueRef::Real(_) => return Err(StoreError(format!("{table} holds a fraction, which is damaged"))),
                });
            }
            take(&values)?;
            values = Vec::with_capacity(columns.len());
        }
        Ok(())
    }
}
