//! `rosterd backup FILE` and `rosterd restore FILE`: a copy of the store beside a running gateway, and back again.
//!
//! Each returns a text that `main` prints.

use std::path::Path;

use super::CliError;
use crate::config::{Config, StoreUrl};
use crate::store::sqlite;

/// Returns the file of the store. A database server has tools of its own.
fn file<'a>(config: &'a Config, tool: &str) -> Result<&'a Path, CliError> {
    match &config.store.url {
        StoreUrl::Sqlite(path) => Ok(path),
        StoreUrl::Postgres(url) => Err(CliError(format!(
            "the store {url} is a PostgreSQL database: use {tool}; see \"Backup and restore\" in docs/operations.md"
        ))),
    }
}

/// Copies the store to a new file.
///
/// # Errors
/// The store or the file cannot be used.
pub fn backup(config: &Config, to: &Path) -> Result<String, CliError> {
    let path = file(config, "pg_dump --format=custom --file=FILE DATABASE")?;
    sqlite::backup(path, to).map_err(CliError::of)?;
    Ok(format!("{} is a copy of {}", to.display(), path.display()))
}

/// Replaces the store with a copy.
///
/// # Errors
/// The copy cannot be used, or a gateway runs.
pub fn restore(config: &Config, from: &Path) -> Result<String, CliError> {
    let path = file(config, "pg_restore --dbname=DATABASE FILE into an empty database")?;
    let kept = sqlite::restore(from, path).map_err(CliError::of)?;
    let kept = kept.map_or(String::new(), |kept| format!("; what was there is {}", kept.display()));
    Ok(format!("{} is in place as {}{kept}\nclients will sync in full once", from.display(), path.display()))
}
