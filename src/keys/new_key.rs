//! Makes a key.

use super::key_ring::{KeyHash, hash};

/// A key that was just made, and its hash.
pub struct NewKey {
    /// The key, which nobody can tell again.
    pub key: String,
    /// What the settings hold of it.
    pub hash: KeyHash,
}

/// Makes a random key. The name in it tells whoever finds it somewhere whose it is.
///
/// # Panics
/// The system has no randomness, which it does once it has started.
#[must_use]
pub fn new_key(name: &str) -> NewKey {
    use std::fmt::Write as _;
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).expect("the system's random source works once it has started");
    let mut key = format!("rk_{name}_");
    for byte in bytes {
        let _ = write!(key, "{byte:02x}");
    }
    let hash = hash(key.as_bytes());
    NewKey { key, hash }
}
