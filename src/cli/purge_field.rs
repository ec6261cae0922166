//! `rosterd schema purge NAME` removes what profiles still hold of an own field that is no more in the settings.
//!
//! It goes through the gateway if one runs, and otherwise directly to the store, a part of all profiles at a time: if it is cut
//! off, the next run goes on harmlessly.

use hyper::Method;

use super::{CliError, reachable, runtime, trust};
use crate::app::Core;
use crate::config::Config;
use crate::keys::Scope;
use rosterd_client::Backend;
use rosterd_engine::model::WriteOrigin;

/// Removes the values, and says how many there were.
///
/// # Errors
/// The field is still in the settings, or the gateway or the store fails.
pub fn purge(config: &Config, field: &str) -> Result<String, CliError> {
    if config.profile.fields.contains_key(field) {
        return Err(CliError(format!("profile.fields.{field} is in the settings: remove it there first")));
    }
    runtime()?.block_on(async {
        let trust = trust(config.ops.tls_files().as_ref())?;
        let key = config.ops.own_key(&[Scope::Erase]);
        let changed = match Backend::connect_trusting(reachable(config.ops.listen), key, trust.as_ref()).await {
            Ok(backend) => through_gateway(backend, field).await?,
            Err(_) => in_store(config, field).await?,
        };
        Ok(format!("{field} was removed from {changed} profiles"))
    })
}

async fn through_gateway(mut backend: Backend, field: &str) -> Result<u64, CliError> {
    let (mut changed, mut after) = (0, String::new());
    loop {
        let path = format!("/v1/schema/{field}/purge{after}");
        let part = backend.request(Method::POST, &path, String::new()).await.map_err(CliError::of)?;
        changed += part["changed"].as_u64().unwrap_or_default();
        match part["next"].as_str() {
            Some(next) => after = format!("?after={next}"),
            None => return Ok(changed),
        }
    }
}

async fn in_store(config: &Config, field: &str) -> Result<u64, CliError> {
    let core = Core::open(config).map_err(CliError::of)?;
    let (mut changed, mut after) = (0, None);
    let purged = loop {
        match core.service.purge_field(field, after, &WriteOrigin::Settings).await {
            Ok(part) => {
                changed += part.changed;
                after = part.next;
                if after.is_none() {
                    break Ok(changed);
                }
            }
            Err(error) => break Err(CliError::of(error)),
        }
    };
    core.close().await;
    purged
}
