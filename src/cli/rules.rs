//! `rosterd rules apply`: changes who sees and who writes what for all gateways of a database, while they run.
//!
//! It returns a text that `main` prints.

use super::CliError;
use crate::config::{Config, StoreUrl};
use crate::store::postgres::{self, RulesApplied};

/// Changes the rules in the database of the settings to those of the settings, and waits until every gateway has taken them over.
///
/// # Errors
/// The store is a file, or the database cannot be used; or some gateways have not taken the rules over yet.
pub fn apply(config: &Config) -> Result<String, CliError> {
    let StoreUrl::Postgres(url) = &config.store.url else {
        let message =
            "a store in a file has one gateway, which takes rules over when it is sent SIGHUP; this is for several";
        return Err(CliError(message.to_owned()));
    };
    let rules = (&config.profile.rules(), &config.profile.write);
    let applied = postgres::apply_rules(url, rules, config.cluster.dead_after).map_err(CliError::of)?;
    let RulesApplied { changed, gateways } = applied;
    let what =
        if changed { "the rules of profiles were changed" } else { "the rules of profiles were the same already" };
    Ok(match gateways {
        0 => format!("{what}; no gateway runs"),
        1 => format!("{what}; the one gateway that runs goes by them"),
        more => format!("{what}; all {more} gateways go by them"),
    })
}
