//! The authenticator, which maps a token to its account.

use std::sync::Arc;
use std::time::Duration;

use super::error::AuthError;
use super::jwks::Jwks;
use super::jwt::{Jwt, TOKEN_BYTES};
use super::key::VerifyingKey;
use super::settings::{AuthSettings, KeySource, Previous};
use super::static_token::Shown;
use super::verified_token::VerifiedToken;
use crate::metrics::Metrics;
use rosterd_engine::model::{Account, Millis};

/// Verifies tokens.
pub struct Authenticator(AuthKind);

enum AuthKind {
    Development,
    Static,
    Jwt(Jwt),
}

impl Authenticator {
    /// Creates an authenticator. `before` is the one that it replaces: a key set that both use keeps its keys.
    ///
    /// This reads a key set that is a file; [`Authenticator::refresh`] fetches one that has a URL.
    ///
    /// # Errors
    /// The secret is empty or the key cannot be used; the text continues a sentence that names the setting.
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

    /// Parses a static token, `ACCOUNT:SECRET`. Returns `None` for another token, and where static tokens are not accepted.
    ///
    /// # Errors
    /// [`AuthError::Rejected`] if what is before the colon is not an account.
    pub fn static_token<'a>(&self, token: &'a str) -> Result<Option<Shown<'a>>, AuthError> {
        match &self.0 {
            AuthKind::Development => Ok(None),
            _ if token.len() > TOKEN_BYTES => Ok(None),
            AuthKind::Jwt(_) | AuthKind::Static => Shown::read(token),
        }
    }

    /// Verifies a token that is not static, as of `now`.
    ///
    /// This takes microseconds; with a public key some tens of them.
    ///
    /// # Errors
    /// [`AuthError::Expired`] for a token that was valid before `now`, [`AuthError::UnknownKey`] for one whose key may
    /// still be found, [`AuthError::Rejected`] for any other that is not valid.
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

    /// Looks for the key that a token names, and reads the key set if necessary.
    ///
    /// # Errors
    /// [`AuthError::Rejected`] if there is no key of this name, [`AuthError::Unavailable`] if that cannot be found out now.
    pub async fn learn(&self, kid: Option<&str>) -> Result<(), AuthError> {
        match self.jwks() {
            Some(jwks) => jwks.learn(kid).await,
            None => Err(AuthError::Rejected("the token's key is not known".to_owned())),
        }
    }

    /// Reads the key set again and returns after how long to repeat that. If it cannot be read, the earlier keys stay.
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
