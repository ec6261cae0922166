//! Copies a database while a gateway writes it, and restores a copy while none does.
//!
//! A copy is the state of the database between two commits. It is marked as a copy, and the first opening of a marked
//! database begins a new history: clients may hold later changes, so they have to sync in full. Called by the command
//! line.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::files::{beside, claim, create_private, directory, real_path};
use super::rows::change_log;
use super::schema::{self, COPIED, SchemaError, explain};
use crate::store::StoreError;

/// The suffix of a database that a copy replaced.
const REPLACED: &str = ".replaced";
/// The suffix of a copy until it is complete.
const PARTIAL: &str = ".partial";
/// The suffix of a complete copy that is to replace the database.
const RESTORED: &str = ".restored";
/// The suffixes of all files of a database, the database itself last.
const PARTS: [&str; 3] = ["-wal", "-shm", ""];

/// Copies the database at `path`, which a gateway may be writing, to the new file `to`.
///
/// # Errors
/// One sentence for the operator. No new file is left at `to`.
pub fn backup(path: &Path, to: &Path) -> Result<(), StoreError> {
    if to.exists() {
        return Err(StoreError(format!("{} exists already: a copy goes into a new file", to.display())));
    }
    let path = &real_path(path)?;
    if beside(path, RESTORED).exists() {
        let message = format!("a restore of {} broke off: start the gateway, which finishes it", path.display());
        return Err(StoreError(message));
    }
    copy(path, to)
}

/// Replaces the database at `path` with a copy. The old database is kept under another name, which is returned.
///
/// A process that is killed in here leaves the old database as it was, or a restore that [`finish_restore`] ends.
///
/// # Errors
/// One sentence for the operator: the copy is no database or damaged, a gateway runs, or a database that was replaced
/// earlier is still there. The database is unchanged.
pub fn restore(from: &Path, path: &Path) -> Result<Option<PathBuf>, StoreError> {
    // Locked until the end, so that no gateway starts on an incomplete database.
    let (path, _lock) = claim(path)?;
    let path = path.as_path();
    finish_restore(path)?;
    let replaced = beside(path, REPLACED);
    if path.exists() && replaced.exists() {
        let message = format!("{} is still there from an earlier restore: move it away first", replaced.display());
        return Err(StoreError(message));
    }
    check(from).map_err(|error| explain(from, &error))?;
    let kept = path.exists().then_some(replaced);
    if kept.is_some() {
        merge_log(path);
    }
    copy(from, &beside(path, RESTORED))?;
    finish_restore(path)?;
    Ok(kept)
}

/// Ends a restore whose copy is complete: every step of it can be repeated by the next process. Call it under the lock.
///
/// A complete copy beside the database is the decision to restore it. Before it is in place, the old database is
/// renamed with its log, which would destroy another database. The copy is renamed last, which ends the restore.
///
/// # Errors
/// One sentence for the operator; a further call goes on.
pub(super) fn finish_restore(path: &Path) -> Result<(), StoreError> {
    // Of a restore that was killed before it was decided.
    remove(&beside(&beside(path, RESTORED), PARTIAL))?;
    moves(path).iter().try_for_each(|(from, to)| rename(from, to))
}

/// Returns the renames that are left of a restore, in order; none if there is no complete copy.
fn moves(path: &Path) -> Vec<(PathBuf, PathBuf)> {
    let restored = beside(path, RESTORED);
    if !restored.exists() {
        return Vec::new();
    }
    let replaced = beside(path, REPLACED);
    let parts = PARTS.iter().map(|part| (beside(path, part), beside(&replaced, part)));
    parts.filter(|(old, _)| old.exists()).chain([(restored, path.to_owned())]).collect()
}

/// Copies one state of a database to a file and marks it as a copy. It is synced to the disk when this returns.
fn copy(path: &Path, to: &Path) -> Result<(), StoreError> {
    let partial = beside(to, PARTIAL);
    remove(&partial)?;
    let cannot = |error: &dyn std::fmt::Display| StoreError(format!("cannot write {}: {error}", partial.display()));
    create_private(&partial).map_err(|error| cannot(&error))?;
    let copied = write_copy(path, &partial);
    if let Err(error) = copied {
        let _ = fs::remove_file(&partial);
        return Err(match error {
            Failed::Database(error) => explain(path, &error),
            Failed::Copy(error) => cannot(&error),
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
    begin_anew(&copy).map_err(Failed::Copy)?;
    copy.close().map_err(|(_, error)| Failed::Copy(error))
}

/// Makes a copy the beginning of another history. Its change log, which nobody can go on reading, is left out, and with it
/// what it may still hold of deleted accounts.
fn begin_anew(copy: &Connection) -> rusqlite::Result<()> {
    copy.execute("UPDATE meta SET epoch = ?1", [COPIED])?;
    // A database of an older version gets a log when it is migrated.
    let has_log =
        copy.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'feed'", [], |r| r.get::<_, bool>(0))?;
    if has_log {
        copy.execute("UPDATE meta SET history = ?1", [COPIED])?;
        change_log::clear(copy)?;
        copy.execute_batch("VACUUM")?;
    }
    Ok(())
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

/// Copies the log of a database into it, so that one file is left to rename.
fn merge_log(path: &Path) {
    // A file that is no database any more, which may be the reason for the restore, has no log to copy.
    if let Ok(conn) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE) {
        let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

/// Renames a file. Its contents and its new name are synced to the disk when this returns.
fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    let renamed = File::open(from)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(from, to))
        .and_then(|()| File::open(directory(to))?.sync_all());
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

#[cfg(test)]
mod tests {
    use super::*;
    use rosterd_engine::model::Visibility;

    /// Makes a database with a last revision, which is in its log and not yet in the file, as after a kill.
    fn database(at: &Path, revision: i64) {
        let original = beside(at, ".original");
        let mut conn = Connection::open(&original).unwrap();
        let keeps = schema::KeptForFollowers { log: true, presence: false };
        schema::prepare(&mut conn, &Visibility::default(), keeps).unwrap();
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        conn.execute("UPDATE meta SET stamp = ?1", [revision]).unwrap();
        for part in ["", "-wal", "-shm"] {
            fs::copy(beside(&original, part), beside(at, part)).unwrap();
        }
    }

    fn revision(path: &Path) -> i64 {
        open(path).unwrap().query_row("SELECT stamp FROM meta", [], |record| record.get(0)).unwrap()
    }

    #[test]
    fn a_restore_that_is_killed_at_any_rename_is_ended_by_the_next_process() {
        for done in 0..=4 {
            let place = tempfile::tempdir().unwrap();
            let (path, other) = (place.path().join("rosterd.db"), place.path().join("copy.db"));
            database(&path, 1);
            database(&other, 2);
            copy(&other, &beside(&path, RESTORED)).unwrap();
            let moves = moves(&path);
            assert_eq!(moves.len(), 4, "the log, its index, the database and the copy: {moves:?}");
            for (from, to) in &moves[..done] {
                rename(from, to).unwrap();
            }
            assert_eq!(path.exists(), done != 3, "between the last two there is no database");
            // A copy of what is half in place would lack the log.
            assert_eq!(backup(&path, &place.path().join("half.db")).is_ok(), done == 4);
            finish_restore(&path).unwrap();
            assert_eq!(revision(&path), 2);
            assert_eq!(revision(&beside(&path, REPLACED)), 1, "the old database lost its log");
            assert!(!beside(&path, RESTORED).exists());
        }
    }

    #[test]
    fn a_restore_that_is_killed_before_its_copy_is_complete_changes_nothing() {
        let place = tempfile::tempdir().unwrap();
        let (path, other) = (place.path().join("rosterd.db"), place.path().join("copy.db"));
        database(&path, 1);
        database(&other, 2);
        let partial = beside(&beside(&path, RESTORED), PARTIAL);
        fs::write(&partial, &fs::read(&other).unwrap()[..8192]).unwrap();
        finish_restore(&path).unwrap();
        assert_eq!((revision(&path), partial.exists()), (1, false));
        restore(&other, &path).unwrap();
        assert_eq!(revision(&path), 2);
    }
}
