//! The hooks that are asked before a client's write, at the start and by a reload.

use std::sync::Arc;

use super::reload::{PreparedChange, ReloadablePart};
use crate::callback::{HookSettings, Hooks};
use crate::config::{Config, HookConfig, HookFailure, HooksConfig};
use crate::service::HookKind;

/// Returns the settings of each hook; `None` for one that nobody is to be asked for.
pub(super) fn settings(config: &Config) -> Result<[(HookKind, Option<HookSettings>); 3], String> {
    let of = |kind: HookKind, hook: &HookConfig| -> Result<_, String> {
        let because = |(key, why): (&str, String)| format!("hooks.{}.{key}: {why}", kind.name());
        if !hook.is_on() {
            return Ok((kind, None));
        }
        let settings = HookSettings {
            outbound: hook.outbound().map_err(because)?,
            secrets: hook.secrets().map_err(because)?,
            fields: hook.fields().map_err(because)?,
            profile_fields: hook.profile_fields().map_err(because)?,
            allows_on_failure: hook.on_failure == HookFailure::Allow,
            in_flight: hook.in_flight,
            waiting: hook.waiting,
        };
        Ok((kind, Some(settings)))
    };
    let HooksConfig { profile, friend, status } = &config.hooks;
    Ok([of(HookKind::Profile, profile)?, of(HookKind::Friend, friend)?, of(HookKind::Status, status)?])
}

/// Puts settings into effect.
pub(super) fn apply(hooks: &Hooks, settings: [(HookKind, Option<HookSettings>); 3]) {
    for (kind, settings) in settings {
        hooks.apply(kind, settings);
    }
}

/// Creates the part that replaces the hooks.
pub(super) fn part(hooks: Arc<Hooks>) -> ReloadablePart {
    ReloadablePart::new(&["hooks."], move |config| {
        let (hooks, settings) = (hooks.clone(), settings(config)?);
        Ok(PreparedChange::live(move || apply(&hooks, settings)))
    })
}
