//! What an authenticator is made of: where keys are, and what tokens must say.

use std::path::PathBuf;
use std::time::Duration;

use super::fetch::Url;
use rosterd_engine::model::Millis;

/// What an authenticator is made of. Not `Debug`: it holds secrets.
pub enum AuthSettings {
    /// A token is the account itself, and never ends. It verifies nothing: `config` refuses it wherever others than
    /// this machine can connect.
    Development,
    /// Static tokens alone.
    Static,
    /// JSON Web Tokens, and static tokens of accounts that have one.
    Jwt {
        /// The keys that tokens are signed with.
        source: KeySource,
        /// Keys of before that are good for a while yet.
        previous: Vec<Previous>,
        /// What tokens must say besides.
        expected: Expected,
    },
}

/// Where keys are.
pub enum KeySource {
    /// HS256 and this secret.
    Secret(Vec<u8>),
    /// The private half of this public key, a PEM file's content.
    PublicKey(Vec<u8>),
    /// A JSON Web Key Set, read anew every so often.
    KeySet(KeySetUrl, Duration),
}

/// Where a key set is. From the settings, never from a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySetUrl {
    /// A file of this machine. It may hold secrets.
    File(PathBuf),
    /// Fetched from there.
    Url(Url),
}

/// A key of before.
pub struct Previous {
    /// The key; not a set.
    pub source: KeySource,
    /// From when on it is not good any more.
    pub until: Millis,
}

/// What a token must say besides whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// What `aud` must name if the token has one, and with a key set it must. Empty: it is not looked at.
    pub audience: String,
    /// What `iss` must be. Empty: it is not looked at.
    pub issuer: String,
    /// How far the signer's clock may be ahead.
    pub leeway: Duration,
}
