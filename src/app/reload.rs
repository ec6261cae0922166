//! Replaces settings while the gateway runs. All parts are prepared before any takes effect.

use crate::config::{Config, LoadedConfig};

/// A part of the settings that a reload can replace.
pub struct ReloadablePart {
    /// A key that ends with a dot stands for all that begin with it.
    keys: &'static [&'static str],
    prepare: Box<Prepare>,
}

type Prepare = dyn Fn(&Config) -> Result<PreparedChange, String> + Send + Sync;

/// The prepared change of one part.
pub struct PreparedChange(Option<Box<dyn FnOnce() + Send>>);

impl PreparedChange {
    /// Creates a change that `take_over` puts into effect; that cannot fail.
    pub fn live(take_over: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(take_over)))
    }

    /// Creates a change that takes effect at the next start.
    pub fn needs_restart() -> Self {
        Self(None)
    }
}

impl ReloadablePart {
    /// Creates a part. `prepare` reads and checks new settings and changes nothing. It runs at every reload, since a
    /// file's content may change while its name stays.
    pub fn new(
        keys: &'static [&'static str],
        prepare: impl Fn(&Config) -> Result<PreparedChange, String> + Send + Sync + 'static,
    ) -> Self {
        Self { keys, prepare: Box::new(prepare) }
    }
}

/// The result of a reload.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The keys that changed and are in effect.
    pub live: Vec<String>,
    /// The keys that changed and wait for a restart.
    pub restart: Vec<String>,
}

impl Reloaded {
    /// Puts new settings into effect as far as possible without a restart, all of them or none.
    ///
    /// # Errors
    /// A part cannot use the new settings; nothing has changed.
    pub fn take_over(parts: &[ReloadablePart], before: &LoadedConfig, after: &LoadedConfig) -> Result<Self, String> {
        let prepared = parts.iter().map(|part| Ok((part.keys, (part.prepare)(&after.config)?)));
        let prepared = prepared.collect::<Result<Vec<_>, String>>()?;
        let is_of =
            |keys: &[&str], key: &str| keys.iter().any(|k| *k == key || k.ends_with('.') && key.starts_with(*k));
        let takes = |key: &String| prepared.iter().any(|(keys, change)| change.0.is_some() && is_of(keys, key));
        let (live, restart) = before.changed(after).into_iter().partition(takes);
        prepared.into_iter().filter_map(|(_, change)| change.0).for_each(|take_over| take_over());
        Ok(Self { live, restart })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SettingsOptions, load};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn loaded(overrides: &[(&str, &str)]) -> LoadedConfig {
        let overrides = overrides.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        load(&SettingsOptions { file: Some("config.toml".into()), overrides }).unwrap()
    }

    #[test]
    fn what_changed_is_taken_over_or_said_to_need_a_restart() {
        let taken = Arc::new(AtomicU32::new(0));
        let counted = taken.clone();
        let parts = [ReloadablePart::new(&["log.level", "shutdown.rate"], move |_| {
            let counted = counted.clone();
            Ok(PreparedChange::live(move || {
                counted.fetch_add(1, Ordering::Relaxed);
            }))
        })];
        let before = loaded(&[]);
        let after = loaded(&[("log.level", "debug"), ("sessions.max", "3"), ("ops.api_key", "0123456789abcdef")]);
        let reloaded = Reloaded::take_over(&parts, &before, &after).unwrap();
        assert_eq!(reloaded.live, ["log.level"]);
        // A secret that changed is named like any other, and not shown.
        assert_eq!(reloaded.restart, ["ops.api_key", "sessions.max"]);
        assert_eq!(Reloaded::take_over(&parts, &after, &after).unwrap(), Reloaded::default());
        assert_eq!(taken.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_part_that_cannot_keeps_all_others_from_changing() {
        let taken = Arc::new(AtomicU32::new(0));
        let counted = taken.clone();
        let good = ReloadablePart::new(&["log.level"], move |_| {
            let counted = counted.clone();
            Ok(PreparedChange::live(move || {
                counted.fetch_add(1, Ordering::Relaxed);
            }))
        });
        let bad = ReloadablePart::new(&["shutdown.rate"], |_| Err("no such file".to_owned()));
        let refused = Reloaded::take_over(&[good, bad], &loaded(&[]), &loaded(&[("log.level", "debug")]));
        assert_eq!((refused, taken.load(Ordering::Relaxed)), (Err("no such file".to_owned()), 0));
    }

    #[test]
    fn a_part_may_leave_it_to_a_restart() {
        let part = ReloadablePart::new(&["log.level"], |_| Ok(PreparedChange::needs_restart()));
        let reloaded = Reloaded::take_over(&[part], &loaded(&[]), &loaded(&[("log.level", "debug")])).unwrap();
        assert_eq!(reloaded, Reloaded { live: vec![], restart: vec!["log.level".to_owned()] });
    }
}
