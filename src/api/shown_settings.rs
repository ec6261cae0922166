//! The settings in force, as operators are shown them.

use parking_lot::RwLock;
use serde::Serialize;
use utoipa::ToSchema;

/// A setting in force.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Setting)]
pub struct ShownSetting {
    /// `section.key`.
    pub key: String,
    /// Its value; of a secret `set`, or nothing.
    #[schema(value_type = serde_json::Value)]
    pub value: serde_json::Value,
    /// Where it comes from: `default`, the name of the file, a variable, or the command line.
    pub source: String,
}

/// The settings in force. A reload replaces them.
#[derive(Debug, Default)]
pub struct ShownSettings(RwLock<Vec<ShownSetting>>);

impl ShownSettings {
    /// Replaces them.
    pub fn replace(&self, settings: Vec<ShownSetting>) {
        *self.0.write() = settings;
    }

    /// Returns all of them.
    pub(super) fn all(&self) -> Vec<ShownSetting> {
        self.0.read().clone()
    }
}
