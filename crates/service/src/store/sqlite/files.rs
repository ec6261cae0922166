//! The files of a database: where they really are, who may read them, and the lock that one process has on them.
//!
//! Everything else here works on the path that [`real_path`] returns, so that every name of a database leads to the
//! same lock.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// Only the owner reads what clients wrote. `SQLite` gives its log the mode of the database.
const PRIVATE: u32 = 0o600;
/// How many symbolic links may follow each other before they count as a circle, as on Linux.
const LINKS: usize = 40;

/// Locks the database that a path leads to, which need not exist yet, and returns its real path. Creates the directory
/// of the path if there is none.
pub(super) fn claim(path: &Path) -> Result<(PathBuf, File), StoreError> {
    let directory = directory(path);
    fs::create_dir_all(directory)
        .map_err(|e| StoreError(format!("cannot create the directory {}: {e}", directory.display())))?;
    let real = real_path(path)?;
    let lock = lock(&real)?;
    Ok((real, lock))
}

/// Returns the path of a database without symbolic links. The database itself need not exist.
///
/// # Errors
/// One sentence for the operator: the directory cannot be used, or the file has other names, under which another
/// process would not see our lock.
pub(super) fn real_path(path: &Path) -> Result<PathBuf, StoreError> {
    let mut name = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = fs::read_link(&name) else {
            return without_links(&name);
        };
        name = directory(&name).join(target);
    }
    Err(StoreError(format!("cannot use the database {}: its symbolic links lead nowhere", path.display())))
}

/// Resolves the directory of a path that is no symbolic link itself.
fn without_links(path: &Path) -> Result<PathBuf, StoreError> {
    let cannot = |why: &dyn Display| StoreError(format!("cannot use the database {}: {why}", path.display()));
    let name = path.file_name().ok_or_else(|| cannot(&"the path names no file"))?;
    let real = directory(path).canonicalize().map_err(|error| cannot(&error))?.join(name);
    let names = fs::metadata(&real).ok().filter(fs::Metadata::is_file).map_or(1, |data| data.nlink());
    if names > 1 {
        let why = "under another one another process could use it, too: keep one, or copy the file";
        return Err(cannot(&format!("the file has {names} names (hard links), and {why}")));
    }
    Ok(real)
}

/// Returns the directory that a path is in.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates an empty file that only its owner may read, whatever the umask. An existing file stays as it is.
///
/// `SQLite` takes an empty file for a new database.
pub(super) fn create_private(path: &Path) -> std::io::Result<()> {
    match private().create_new(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        created => created.map(drop),
    }
}

fn private() -> OpenOptions {
    let mut options = File::options();
    options.write(true).mode(PRIVATE);
    options
}

/// Locks the database at a real path for this process.
///
/// The lock is on a file of its own, because closing any handle on a database drops the locks that `SQLite` itself
/// holds on it.
fn lock(real: &Path) -> Result<File, StoreError> {
    let name = beside(real, ".lock");
    let cannot = |e| StoreError(format!("cannot lock the database with {}: {e}", name.display()));
    let file = private().create(true).truncate(false).open(&name).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(StoreError(format!("the database {} is used by another rosterd process", real.display())))
        }
        Err(TryLockError::Error(e)) => Err(cannot(e)),
    }
}

/// Returns the path of a file that belongs to a database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
