//! The keys of the server API: what each may do, whose a key is, and new ones.
//!
//! Of a key only its SHA-256 is kept. A plain hash is enough because a key is no password: it is random.

mod key_ring;
mod new_key;
mod scope;

pub use self::key_ring::{ApiKey, KeyHash, KeyRing, hash};
pub use self::new_key::{NewKey, new_key};
pub use self::scope::{Scope, Scopes};

/// The name of the key that has every scope, `ops.api_key`.
pub const DEFAULT_KEY: &str = "default";
