//! The rules by which a store decides, shared by its writer and by what only rehearses.

use std::sync::Arc;

use parking_lot::RwLock;

use rosterd_engine::model::Visibility;

/// The rules about who sees what that writes are decided by. The writer replaces them.
#[derive(Debug, Clone)]
pub struct RulesInForce(Arc<RwLock<Arc<Visibility>>>);

impl RulesInForce {
    /// Makes them out of the rules of the settings.
    #[must_use]
    pub fn new(rules: Visibility) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(rules))))
    }

    /// Returns the rules that hold now.
    #[must_use]
    pub fn get(&self) -> Arc<Visibility> {
        self.0.read().clone()
    }

    /// Replaces the rules.
    pub fn set(&self, rules: Visibility) {
        *self.0.write() = Arc::new(rules);
    }
}
