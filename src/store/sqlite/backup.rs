//! Copies of a database: taken while a gateway writes it, put back while none does.
//!
//! A copy is one state of the database, that of one moment between two commits. It is marked as a copy, and whoever
//! opens a marked database first begins a new history with it: clients may hold what came after that moment, so they
//! have to sync in full. Called by the command line.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::schema::{self, COPIED, SchemaError};
use super::{beside, explain, lock};
use crate::store::StoreError;

/// What becomes of the name of a database that a copy took the place of.
const REPLACED: &str = ".replaced";
/// What a copy is called until it is whole.
const PARTIAL: &str = ".partial";
/// The files of a database besides the one that it is called by.
const PARTS: [&str; 2] = ["-wal", "-shm"];

/// Copies the database at `path`, which a gateway may be writing, to the new file `to`.
///
/// # Errors
/// One sentence for the operator. There is no file at `to` then that was not there before.
pub fn backup(path: &Path, to: &Path) -> Result<(), StoreError> {
    if to.exists() {
        return Err(StoreError(format!("{} exists already: a copy goes into a new file", to.display())));
    }
    copy(path, to)
}

/// Puts a copy in the place of the database at `path`. What was there is kept under another name, which is answered.
///
/// # Errors
/// One sentence for the operator: the copy is none or damaged, a gateway runs, or what was replaced before is still
/// there. The database is as it was.
pub fn restore(from: &Path, path: &Path) -> Result<Option<PathBuf>, StoreError> {
    // Held until the end: no gateway can start on half of it.
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
    // A log without its database is nobody's; with another it would be its ruin.
    PARTS.iter().try_for_each(|part| remove(&beside(path, part)))?;
    rename(&whole, path)?;
    Ok(kept)
}

/// One state of a database in a file of its own, marked as a copy, on the disk when this returns.
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

/// Whose fault it was.
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

/// Opens a database of ours for reading. That of a running gateway has its log beside it, which is read too.
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

/// Renames a database with all of its parts. Its log is emptied into it first, so that the one file is all there is.
fn set_aside(path: &Path, to: &Path) -> Result<(), StoreError> {
    // One that is no database any more, which may be why another takes its place, has nothing to be emptied.
    if let Ok(conn) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE) {
        let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
    for part in PARTS.iter().filter(|part| beside(path, part).exists()) {
        rename(&beside(path, part), &beside(to, part))?;
    }
    rename(path, to)
}

/// Renames a file whose contents, and whose new name, are on the disk when this returns.
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
