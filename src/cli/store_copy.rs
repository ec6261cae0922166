//! `rosterd store copy FROM [TO]`: moves a deployment from a file to a database server.
//!
//! It returns a text that `main` prints.

use indicatif::{ProgressBar, ProgressStyle};

use super::CliError;
use crate::config::{Config, StoreUrl};
use crate::store::{postgres, sqlite};

/// Copies a store into another, which is that of the settings unless one is named.
///
/// # Errors
/// Either store cannot be used, or the database is not empty.
pub fn copy(config: &Config, from: String, to: Option<String>) -> Result<String, CliError> {
    let parse = |text: String| StoreUrl::try_from(text).map_err(|error| CliError(format!("the URL {error}")));
    let from = parse(from)?;
    let to = to.map_or_else(|| Ok(config.store.url.clone()), parse)?;
    let (StoreUrl::Sqlite(path), StoreUrl::Postgres(url)) = (&from, &to) else {
        let message = format!("cannot copy {from} to {to}: a copy goes from sqlite:PATH to postgres://HOST/DATABASE");
        return Err(CliError(message));
    };
    let source = sqlite::copy_source(path).map_err(CliError::of)?;
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}") {
        bar.set_style(style.clone());
    }
    bar.set_message("copying rows");
    let copied = postgres::copy_into(url, source, &mut |copied, all| {
        bar.set_length(all);
        bar.set_position(copied);
    });
    bar.finish_and_clear();
    let rows = copied.map_err(CliError::of)?;
    Ok(format!("{rows} rows of {from} are in {to}\nclients will sync in full once"))
}
