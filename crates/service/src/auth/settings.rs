//! The settings of an authenticator: where its keys are, and what tokens must say.

use std::path::PathBuf;
use std::time::Duration;

use crate::outbound::Url;
use rosterd_engine::model::Millis;

/// Selects how tokens are verified. Not `Debug`, because it holds secrets.
pub enum AuthSettings {
    /// A token is the account itself and never expires. Nothing is verified, so `config` refuses this mode wherever
    /// other machines can connect.
    Development,
    /// Accepts static tokens only.
    Static,
    /// Accepts JSON Web Tokens, and static tokens of accounts that have one.
    Jwt {
        /// The keys that tokens are signed with.
        source: KeySource,
        /// Earlier keys that stay valid for a while.
        previous: Vec<Previous>,
        /// What else tokens must say.
        expected: Expected,
    },
}

/// Names the source of the keys.
pub enum KeySource {
    /// This secret, for HS256.
    Secret(Vec<u8>),
    /// This public key, the content of a PEM file.
    PublicKey(Vec<u8>),
    /// A JSON Web Key Set, which is read again at this interval.
    KeySet(KeySetUrl, Duration),
}

/// Locates a key set. It comes from the settings, never from a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySetUrl {
    /// A file on this machine. It may hold secrets.
    File(PathBuf),
    /// A URL that the set is fetched from.
    Url(Url),
}

/// An earlier key.
pub struct Previous {
    /// The key; it cannot be a set.
    pub source: KeySource,
    /// The first moment at which it is no longer valid.
    pub until: Millis,
}

/// The claims that a token must have besides its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The audience that `aud` must name if the token has one; with a key set it must have one. Empty: not checked.
    pub audience: String,
    /// The value that `iss` must have. Empty: not checked.
    pub issuer: String,
    /// How far the signer's clock may be ahead.
    pub leeway: Duration,
}
