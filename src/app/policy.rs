//! Keys of tokens and of the server API, origins, proxies and limits, at the start and by a reload.

use std::sync::Arc;

use super::open_files::room_for;
use super::reload::{PreparedChange, ReloadablePart};
use super::start_error::StartError;
use crate::admission::{AdmissionPolicy, Origins, Proxies, Rate};
use crate::api::{Access, AccessControl};
use crate::config::{Config, Mode};
use crate::gateway::Gateway;
use crate::service::Service;

/// Creates the admission policy of these settings.
pub(super) fn policy(config: &Config) -> Result<AdmissionPolicy, StartError> {
    let (clients, limits) = (&config.clients, &config.limits);
    let origins = Origins::parse(&clients.origins).map_err(|why| StartError(format!("clients.origins: {why}")))?;
    let networks = Proxies::parse(&clients.trusted_proxies);
    let networks = networks.map_err(|why| StartError(format!("clients.trusted_proxies: {why}")))?;
    // In development a page may have any origin, and may be a file.
    let development = config.auth.mode == Mode::Development;
    let any = development && clients.origins.is_empty();
    let rate = |per_second, burst| Rate { per_second: per_second as u32, burst: burst as u32 };
    Ok(AdmissionPolicy {
        origins: (!any).then_some(origins),
        proxies: Proxies { networks, header: clients.forwarded_header },
        connections: room_for(limits.connections)?,
        connections_per_address: limits.connections_per_address,
        logins: rate(limits.logins_per_second, limits.logins_burst),
        handshake_timeout: limits.handshake_timeout,
        header_bytes: limits.header_bytes,
        login_timeout: limits.login_timeout,
        expiry_grace: config.auth.expiry_grace,
        frame_bytes: limits.frame_bytes,
        fragments: limits.fragments,
        commands: (!development).then(|| rate(limits.commands_per_second, limits.commands_burst)),
        outbound_bytes: limits.outbound_bytes,
    })
}

/// Creates the part that replaces the keys of tokens. Open sessions stay.
pub(super) fn keys(mode: Mode, service: Arc<Service>) -> ReloadablePart {
    const KEYS: &[&str] = &[
        "auth.hs256_secret",
        "auth.public_key_file",
        "auth.jwks_file",
        "auth.jwks_url",
        "auth.jwks_refresh",
        "auth.previous_hs256_secret",
        "auth.previous_public_key_file",
        "auth.previous_until",
        "auth.audience",
        "auth.issuer",
        "auth.leeway",
    ];
    ReloadablePart::new(KEYS, move |config| {
        if config.auth.mode != mode {
            return Ok(PreparedChange::needs_restart());
        }
        let authenticator = config.auth.authenticator(Some(&service.authenticator()), service.metrics())?;
        let service = service.clone();
        Ok(PreparedChange::live(move || service.set_authenticator(authenticator)))
    })
}

/// Returns who may use the server API by these settings.
pub(super) fn access(config: &Config) -> Access {
    let keys = config.ops.key_ring();
    match (keys.is_empty(), config.auth.mode) {
        (false, _) => Access::Keys(keys),
        (true, Mode::Development) => Access::Open,
        (true, Mode::Jwt | Mode::Static) => Access::Closed,
    }
}

/// Creates the part that replaces the keys of the server API. Requests that have passed go on.
///
/// To take the last key away would open the server API in development mode, and so waits for a restart, which checks the
/// address that it then listens at.
pub(super) fn api_keys(mode: Mode, control: Arc<AccessControl>) -> ReloadablePart {
    ReloadablePart::new(&["ops.api_key", "ops.keys."], move |config| {
        let access = access(config);
        if config.auth.mode != mode || !matches!(access, Access::Keys(_)) {
            return Ok(PreparedChange::needs_restart());
        }
        let control = control.clone();
        Ok(PreparedChange::live(move || control.replace(access)))
    })
}

/// Creates the part that replaces who sees and who writes what in a profile, and which own fields there are.
///
/// What looks other than before to somebody is sent once it has a new version, which takes as long as there are profiles.
/// Several gateways on one database have the same rules at any time, so a reload of one of them changes none: `rosterd rules
/// apply` does, for all. A reload with the rules that are in force then finds nothing to change.
pub(super) fn rules(service: Arc<Service>) -> ReloadablePart {
    ReloadablePart::new(&["profile.visibility.", "profile.write.", "profile.fields."], move |config| {
        let (service, rules, write) = (service.clone(), config.profile.rules(), config.profile.write.clone());
        if service.shared().is_some() {
            if service.has_rules(&rules, &write) {
                return Ok(PreparedChange::live(|| {}));
            }
            tracing::warn!(
                "profile.visibility, profile.fields and profile.write stay as they are: all gateways have the same, and \
                 rosterd rules apply changes them for all"
            );
            return Ok(PreparedChange::needs_restart());
        }
        Ok(PreparedChange::live(move || service.want_rules(rules, write)))
    })
}

/// Creates the part that replaces origins, proxies and limits. Open connections stay.
pub(super) fn limits(mode: Mode, gateway: Arc<Gateway>) -> ReloadablePart {
    const KEYS: &[&str] = &[
        "auth.expiry_grace",
        "clients.origins",
        "clients.trusted_proxies",
        "clients.forwarded_header",
        "limits.connections",
        "limits.connections_per_address",
        "limits.logins_per_second",
        "limits.logins_burst",
        "limits.handshake_timeout",
        "limits.header_bytes",
        "limits.login_timeout",
        "limits.frame_bytes",
        "limits.fragments",
        "limits.commands_per_second",
        "limits.commands_burst",
        "limits.outbound_bytes",
    ];
    ReloadablePart::new(KEYS, move |config| {
        if config.auth.mode != mode {
            return Ok(PreparedChange::needs_restart());
        }
        let policy = policy(config).map_err(|error| error.to_string())?;
        let gateway = gateway.clone();
        Ok(PreparedChange::live(move || gateway.set_policy(policy)))
    })
}
