//! Who a token says its bearer is: the [`Authenticator`] trait and its two kinds, JSON Web Tokens and development mode.
//!
//! It verifies tokens and nothing else: whether the account exists or may log in is `service`'s business, and what
//! the settings say is `config`'s. No clock: `now` is given, so that a login and the end of a session that lasts
//! longer than its token go by the same time. No I/O.
//! Called by `service` at login and refresh.

mod development;
mod jwt;

use std::sync::Arc;

use crate::model::{Account, Millis};

pub use jwt::{AUDIENCE, TOKEN_BYTES, sign_hs256};

/// Who the bearer of a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: Account,
    /// When the token ends, in milliseconds since the epoch: the first moment at which it is not good any more.
    /// None: it never does.
    pub expires_at: Option<Millis>,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It never was good, or is not yet. The text says why in one sentence, without any content of the token.
    #[error("{0}")]
    Rejected(String),
    /// It was good, and has ended.
    #[error("the token has expired")]
    Expired,
}

/// Verifies tokens.
pub trait Authenticator: Send + Sync + 'static {
    /// Whose token this is, at `now`. Takes microseconds, some tens of them for public keys.
    ///
    /// # Errors
    /// [`AuthError::Expired`] for a token that was good before `now`, [`AuthError::Rejected`] for any
    /// other that is not.
    fn verify(&self, token: &str, now: Millis) -> Result<Identity, AuthError>;
}

/// What an authenticator is made of. Not `Debug`: it holds the secret.
pub enum Settings {
    /// A token is the account itself.
    Development,
    /// JSON Web Tokens signed with HS256 and this secret.
    Secret(Vec<u8>),
    /// JSON Web Tokens signed with the private half of this public key, a PEM file's content.
    PublicKey(Vec<u8>),
}

/// Makes the authenticator.
///
/// # Errors
/// The secret is empty, or the key is none that can be used; the text continues a sentence that names the setting.
pub fn authenticator(settings: &Settings) -> Result<Arc<dyn Authenticator>, String> {
    Ok(match settings {
        Settings::Development => Arc::new(development::Development),
        Settings::Secret(secret) => Arc::new(jwt::Jwt::hs256(secret)?),
        Settings::PublicKey(pem) => Arc::new(jwt::Jwt::public_key(pem)?),
    })
}
