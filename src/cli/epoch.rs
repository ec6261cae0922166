//! `rosterd epoch new`: has clients sync in full after the next start, because the database is not the one that they know.
//!
//! It returns a text that `main` prints.

use super::CliError;
use crate::config::{Config, StoreUrl};
use crate::store::postgres;

/// Begins a new history in the database of the settings.
///
/// # Errors
/// The store is a file, or the database cannot be used or is in use.
pub fn new(config: &Config) -> Result<String, CliError> {
    let StoreUrl::Postgres(url) = &config.store.url else {
        let message = "a store in a file begins a new history by itself when it is restored; this is for PostgreSQL";
        return Err(CliError(message.to_owned()));
    };
    postgres::new_epoch(url).map_err(CliError::of)?;
    Ok(format!("{url} has a new history: clients will sync in full, and followers of the feed begin anew"))
}
