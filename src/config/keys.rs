//! `[ops.keys.NAME]`: further keys of the server API.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::form::{self, Secret};

/// `[ops.keys.NAME]`: a key of the server API, and what it may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyConfig {
    /// The SHA-256 of the key, as 64 hexadecimal digits; empty if `key` is set.
    pub sha256: String,
    /// The key itself; empty if `sha256` is set.
    pub key: Secret,
    /// What the key may do.
    pub scopes: Vec<String>,
    /// When the key stops being valid; `None` = never.
    #[serde(with = "form::moment")]
    pub until: Option<SystemTime>,
}
