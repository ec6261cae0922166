//! Who a token says its bearer is: the [`Authenticator`], and what it is made of.
//!
//! It verifies tokens and nothing else: whether the account exists or may log in, and whether its tokens were revoked,
//! is `service`'s business, and what the settings say is `config`'s. Verifying takes no clock, since `now` is given, so
//! that a login and the end of a session that lasts longer than its token go by the same time; and no I/O. Only
//! [`jwks`] reads: a key set, from the one place that the settings name.
//! Called by `service` at login and refresh.

mod fetch;
mod jwks;
mod jwt;
mod key;
mod static_token;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::jwks::Jwks;
use self::jwt::Jwt;
use self::key::VerifyingKey;
use crate::metrics::Metrics;
use rosterd_engine::model::{Account, Millis};

pub use fetch::Url;
pub use jwt::{TOKEN_BYTES, sign_hs256};
pub use static_token::{Shown, static_token};

/// Who the bearer of a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// The account.
    pub account: Account,
    /// When the token ends, in milliseconds since the epoch: the first moment at which it is not good any more.
    /// None: it never does.
    pub expires_at: Option<Millis>,
    /// When it was issued; 0 if it does not say.
    pub issued_at: Millis,
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
    /// It names a key that is not known yet; [`Authenticator::learn`] may find it.
    #[error("the token's key is not known")]
    UnknownKey(Option<String>),
    /// Whether it is good cannot be said now.
    #[error("{0}")]
    Unavailable(String),
}

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
    /// A JSON Web VerifyingKey Set, read anew every so often.
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

/// Verifies tokens.
pub struct Authenticator(AuthKind);

enum AuthKind {
    Development,
    Static,
    Jwt(Jwt),
}

impl Authenticator {
    /// Makes one. Reads a key set that is a file; one that is elsewhere is fetched by [`Authenticator::refresh`].
    /// `before` is the one that this one replaces: a key set that they share is not forgotten.
    ///
    /// # Errors
    /// The secret is empty, or the key is none that can be used; the text continues a sentence that names the setting.
    pub fn new(settings: AuthSettings, before: Option<&Self>, metrics: &Arc<Metrics>) -> Result<Self, String> {
        let (source, previous, expected) = match settings {
            AuthSettings::Development => return Ok(Self(AuthKind::Development)),
            AuthSettings::Static => return Ok(Self(AuthKind::Static)),
            AuthSettings::Jwt { source, previous, expected } => (source, previous, expected),
        };
        let (mut keys, jwks) = match source {
            KeySource::KeySet(place, refresh) => {
                let held = before.and_then(Self::jwks).filter(|held| held.is_of(&place, refresh));
                let jwks = match held {
                    Some(held) => held.clone(),
                    None => Arc::new(Jwks::new(place, refresh, metrics.clone())),
                };
                jwks.read_file()?;
                (Vec::new(), Some(jwks))
            }
            source => (vec![key(&source)?], None),
        };
        for Previous { source, until } in previous {
            keys.push(VerifyingKey { until: Some(until), ..key(&source)? });
        }
        Ok(Self(AuthKind::Jwt(Jwt { keys, jwks, expected })))
    }

    /// A static token, if static tokens are accepted and this is one: `ACCOUNT:SECRET`.
    ///
    /// # Errors
    /// [`AuthError::Rejected`] for one that names no account.
    pub fn static_token<'a>(&self, token: &'a str) -> Result<Option<Shown<'a>>, AuthError> {
        match &self.0 {
            AuthKind::Development => Ok(None),
            _ if token.len() > TOKEN_BYTES => Ok(None),
            AuthKind::Jwt(_) | AuthKind::Static => Shown::read(token),
        }
    }

    /// Whose token this is, at `now`, unless it is static. Takes microseconds, some tens of them for public keys.
    ///
    /// # Errors
    /// [`AuthError::Expired`] for a token that was good before `now`, [`AuthError::UnknownKey`] for one whose key may
    /// yet be learned, [`AuthError::Rejected`] for any other that is not good.
    pub fn verify(&self, token: &str, now: Millis) -> Result<VerifiedToken, AuthError> {
        match &self.0 {
            AuthKind::Development => {
                let account = Account::parse(token, "token").map_err(|error| AuthError::Rejected(error.message))?;
                Ok(VerifiedToken { account, expires_at: None, issued_at: now })
            }
            AuthKind::Static => Err(AuthError::Rejected("the token is not of the form ACCOUNT:SECRET".to_owned())),
            AuthKind::Jwt(jwt) => jwt.verify(token, now),
        }
    }

    /// Looks for a key that a token names.
    ///
    /// # Errors
    /// [`AuthError::Rejected`] if there is none of this name, [`AuthError::Unavailable`] if that cannot be said now.
    pub async fn learn(&self, kid: Option<&str>) -> Result<(), AuthError> {
        match self.jwks() {
            Some(jwks) => jwks.learn(kid).await,
            None => Err(AuthError::Rejected("the token's key is not known".to_owned())),
        }
    }

    /// Reads the key set anew; answers when to do so again. If it cannot be read, the keys of before stay.
    pub async fn refresh(&self) -> Option<Duration> {
        match self.jwks() {
            Some(jwks) => Some(jwks.refresh().await),
            None => None,
        }
    }

    fn jwks(&self) -> Option<&Arc<Jwks>> {
        match &self.0 {
            AuthKind::Jwt(jwt) => jwt.jwks.as_ref(),
            AuthKind::Development | AuthKind::Static => None,
        }
    }
}

fn key(source: &KeySource) -> Result<VerifyingKey, String> {
    match source {
        KeySource::Secret(secret) => VerifyingKey::hs256(secret),
        KeySource::PublicKey(pem) => VerifyingKey::public(pem),
        KeySource::KeySet(..) => Err("is a key set, which has no end of its own".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_development_the_token_is_the_account() {
        let open = Authenticator::new(AuthSettings::Development, None, &Arc::default()).unwrap();
        let ann = open.verify("ann", 7).unwrap();
        assert_eq!((ann.account.as_str(), ann.expires_at, ann.issued_at), ("ann", None, 7));
        for bad in ["", "not an account", "ann:secret", &"x".repeat(5000)] {
            assert!(open.static_token(bad).unwrap().is_none());
            let Err(AuthError::Rejected(why)) = open.verify(bad, 0) else { panic!("{bad}") };
            assert!(why.contains("token must be") && !why.contains("not an account"), "{why}");
        }
    }
}
