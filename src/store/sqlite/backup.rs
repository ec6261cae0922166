//! Copies a database while a gateway writes it, and restores a copy while none does.
//!
//! A copy is the state of the database between two commits. It is marked as a copy, and the first opening of a marked
//! database begins a new history: clients may hold later changes, so they have to sync in full. Called by the command
//! line.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::schema::{self, COPIED, SchemaError};
use super::{beside, explain, lock};
use crate::store::StoreError;

/// The suffix of a database that a copy replaced.
const REPLACED: &str = ".replaced";
/// The suffix of a copy until it is complete.
const PARTIAL: &str = ".partial";
/// The suffixes of the other files of a database.
const PARTS: [&str; 2] = ["-wal", "-shm"];

/// Copies the database at `path`, which a gateway may be writing, to the new file `to`.
///
/// # Errors
/// One sentence for the operator. No new file is left at `to`.
pub fn backup(path: &Path, to: &Path) -> Result<(), StoreError> {
    if to.exists() {
        return Err(StoreError(format!("{} exists already: a copy goes into a new file", to.display())));
    }
    copy(path, to)
}

/// Replaces the database at `path` with a copy. The old database is kept under another name, which is returned.
///
/// # Errors
/// One sentence for the operator: the copy is no database or damaged, a gateway runs, or a database that was replaced
/// earlier is still there. The database is unchanged.
pub fn restore(from: &Path, path: &Path) -> Result<Option<PathBuf>, StoreError> {
    // Held until the end, so that no gateway starts on an incomplete database.
    let _lock = lock(path)?;
    let replaced = beside(path, REPLACED);
    if path.exists() && replaced.exists() {
        let message = format!("{} is still there from an earlier restore: move it away first", replaced.display());
        return Err(StoreError(message));
    }
    check(from).map_err(|error| explain(from, &error))?;
    let whole = beside(path, ".restored");
    remove(&whole)?;
    copy(from, &whole)?;
    let kept = if path.exists() {
        set_aside(path, &replaced)?;
        Some(replaced)
    } else {
        None
    };
    // A log must not stay beside another database, which it would destroy.
    PARTS.iter().try_for_each(|part| remove(&beside(path, part)))?;
    rename(&whole, path)?;
    Ok(kept)
}

/// Copies one state of a database to a file and marks it as a copy. It is synced to the disk when this returns.
fn copy(path: &Path, to: &Path) -> Result<(), StoreError> {
    let partial = beside(to, PARTIAL);
    remove(&partial)?;
    let copied = write_copy(path, &partial);
    if let Err(error) = copied {
        let _ = fs::remove_file(&partial);
        return Err(match error {
            Failed::Database(error) => explain(path, &error),
            Failed::Copy(error) => StoreError(format!("cannot write {}: {error}", partial.display())),
        });
    }
    rename(&partial, to)
}

/// Which of the two files failed.
enum Failed {
    Database(SchemaError),
    Copy(rusqlite::Error),
}

fn write_copy(path: &Path, to: &Path) -> Result<(), Failed> {
    let conn = open(path).map_err(Failed::Database)?;
    let name = to.to_str().ok_or_else(|| Failed::Copy(rusqlite::Error::InvalidPath(to.to_owned())))?;
    conn.execute("VACUUM INTO ?1", [name]).map_err(Failed::Copy)?;
    let copy = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(Failed::Copy)?;
    copy.execute("UPDATE meta SET epoch = ?1", [COPIED]).map_err(Failed::Copy)?;
    copy.close().map_err(|(_, error)| Failed::Copy(error))
}

/// Opens a database of ours for reading, together with the log of a running gateway.
fn open(path: &Path) -> Result<Connection, SchemaError> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    schema::verify_used(&conn)?;
    Ok(conn)
}

fn check(path: &Path) -> Result<(), SchemaError> {
    let conn = open(path)?;
    let found: String = conn.query_row("PRAGMA integrity_check(1)", [], |record| record.get(0))?;
    if found == "ok" { Ok(()) } else { Err(SchemaError::Damaged(found)) }
}

/// Renames a database with all of its files. Its log is copied into it first, so that usually one file is left.
fn set_aside(path: &Path, to: &Path) -> Result<(), StoreError> {
    // A file that is no database any more, which may be the reason for the restore, has no log to copy.
    if let Ok(conn) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE) {
        let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
    for part in PARTS.iter().filter(|part| beside(path, part).exists()) {
        rename(&beside(path, part), &beside(to, part))?;
    }
    rename(path, to)
}

/// Renames a file. Its contents and its new name are synced to the disk when this returns.
fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    let directory = to.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let renamed = File::open(from)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(from, to))
        .and_then(|()| File::open(directory)?.sync_all());
    renamed.map_err(|error| StoreError(format!("cannot move {} to {}: {error}", from.display(), to.display())))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError(format!("cannot remove {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}
