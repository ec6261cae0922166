//! The hooks of the settings.

use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::RwLock;

use super::running_hook::RunningHook;
use super::settings::HookSettings;
use crate::metrics::{HookLabel, Metrics};
use crate::service::{HookDecisions, HookKind, HookStatus};
use rosterd_protocol::{HookAnswer, HookQuestion};

/// The hooks of the settings, which a reload replaces. Calls that are out go on.
pub struct Hooks {
    metrics: Arc<Metrics>,
    profile: RwLock<Option<Arc<RunningHook>>>,
    friend: RwLock<Option<Arc<RunningHook>>>,
    status: RwLock<Option<Arc<RunningHook>>>,
}

impl Hooks {
    /// Creates hooks that ask nobody.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, profile: RwLock::default(), friend: RwLock::default(), status: RwLock::default() }
    }

    /// Takes over the settings of a hook; `None` ends it. One whose settings did not change stays as it is.
    pub fn apply(&self, kind: HookKind, settings: Option<HookSettings>) {
        let mut hook = self.of(kind).write();
        if hook.as_ref().map(|hook| &hook.settings) == settings.as_ref() {
            return;
        }
        if settings.is_none() {
            self.metrics.hook_open.remove(&HookLabel { hook: kind.name() });
        }
        *hook = settings.map(|settings| Arc::new(RunningHook::new(kind, settings, self.metrics.clone())));
    }

    fn of(&self, kind: HookKind) -> &RwLock<Option<Arc<RunningHook>>> {
        match kind {
            HookKind::Profile => &self.profile,
            HookKind::Friend => &self.friend,
            HookKind::Status => &self.status,
        }
    }
}

impl HookDecisions for Hooks {
    fn wants(&self, kind: HookKind) -> bool {
        self.of(kind).read().is_some()
    }

    fn wants_fields(&self, fields: &[&str]) -> bool {
        let hook = self.profile.read();
        let wanted = hook.as_ref().map(|hook| &hook.settings.profile_fields);
        wanted.is_some_and(|wanted| wanted.is_empty() || wanted.iter().any(|field| fields.contains(field)))
    }

    fn ask(&self, kind: HookKind, question: HookQuestion) -> Option<BoxFuture<'static, HookAnswer>> {
        let hook = self.of(kind).read().clone()?;
        Some(Box::pin(hook.ask(question)))
    }

    fn hooks(&self) -> Vec<HookStatus> {
        let hooks = [&self.profile, &self.friend, &self.status].into_iter().filter_map(|hook| hook.read().clone());
        hooks.map(|hook| hook.status()).collect()
    }
}
