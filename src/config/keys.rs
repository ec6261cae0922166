//! `[ops.keys.NAME]`: further keys of the server API.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::form::{self, Secret};
use crate::keys::{ApiKey, KeyHash, Scopes, hash};

/// `[ops.keys.NAME]`: a key of the server API, and what it may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyConfig {
    /// The SHA-256 of the key, as 64 hexadecimal digits; empty if `key` is set.
    pub sha256: String,
    /// The key itself; empty if `sha256` is set.
    pub key: Secret,
    /// What the key may do.
    #[serde(with = "scope_list")]
    pub scopes: Scopes,
    /// When the key stops being valid; `None` = never.
    #[serde(with = "form::moment")]
    pub until: Option<SystemTime>,
}

impl KeyConfig {
    /// Returns the hash of the key, unless the settings give none or a wrong one.
    pub(super) fn hash(&self) -> Option<KeyHash> {
        if self.key.is_empty() { KeyHash::parse(&self.sha256) } else { Some(hash(self.key.expose().as_bytes())) }
    }

    /// Returns the key under its name.
    pub(super) fn named(&self, name: &str) -> Option<ApiKey> {
        let until = self.until.map(|until| until.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64);
        Some(ApiKey { name: name.into(), hash: self.hash()?, scopes: self.scopes, until })
    }
}

/// Lists of scopes.
mod scope_list {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::keys::{Scope, Scopes};
    use rosterd_protocol::nearest;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    pub(super) fn serialize<S: Serializer>(scopes: &Scopes, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(scopes.iter().map(Scope::word))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Scopes, D::Error> {
        let words = Vec::<String>::deserialize(from)?;
        let known = || Scope::ALL.into_iter().map(Scope::word);
        let scope = |word: &String| {
            Scope::of(word).ok_or_else(|| {
                let hint = match nearest(word, known()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("the scopes are {}", known().collect::<Vec<_>>().join(", ")),
                };
                de::Error::custom(format!("{word:?} is not a scope; {hint}"))
            })
        };
        words.iter().map(scope).collect()
    }
}
