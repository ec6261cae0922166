//! `[auth]`: which tokens are accepted.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::choice::{self, Mode};
use super::form::{self, Secret};
use crate::auth::{AuthSettings, Authenticator, Expected, KeySetUrl, KeySource, Previous};
use crate::metrics::Metrics;
use crate::outbound::Url;

/// The default for `auth.audience`: a token whose `aud` names another service is refused.
const AUDIENCE: &str = "rosterd";

/// `[auth]`: which tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The form of tokens.
    #[serde(with = "choice")]
    pub mode: Mode,
    /// The secret for HS256, 32 bytes or more, used as written; empty = none.
    pub hs256_secret: Secret,
    /// A PEM file with the public key for `EdDSA`, RS256 or ES256; empty = none.
    pub public_key_file: PathBuf,
    /// A file with a JSON Web Key Set; empty = none.
    pub jwks_file: PathBuf,
    /// The URL of a JSON Web Key Set; empty = none.
    pub jwks_url: String,
    /// How often the key set is read, 10 s to 24 h.
    #[serde(with = "form::duration")]
    pub jwks_refresh: Duration,
    /// The earlier secret; empty = none.
    pub previous_hs256_secret: Secret,
    /// A PEM file with the earlier public key; empty = none.
    pub previous_public_key_file: PathBuf,
    /// When the earlier secret and key stop being valid.
    #[serde(with = "form::moment")]
    pub previous_until: Option<SystemTime>,
    /// The audience that `aud` must name; empty = not checked.
    pub audience: String,
    /// The value that `iss` must have; empty = not checked.
    pub issuer: String,
    /// How far the signer's clock may be ahead, up to 5 min.
    #[serde(with = "form::duration")]
    pub leeway: Duration,
    /// How long a session may outlast its token, up to 5 min.
    #[serde(with = "form::duration")]
    pub expiry_grace: Duration,
    /// Whether a login with a valid token creates an account that does not exist.
    pub create_accounts: bool,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            hs256_secret: Secret::default(),
            public_key_file: PathBuf::new(),
            jwks_file: PathBuf::new(),
            jwks_url: String::new(),
            jwks_refresh: Duration::from_mins(10),
            previous_hs256_secret: Secret::default(),
            previous_public_key_file: PathBuf::new(),
            previous_until: None,
            audience: AUDIENCE.to_owned(),
            issuer: String::new(),
            leeway: Duration::from_mins(1),
            expiry_grace: Duration::from_secs(10),
            create_accounts: false,
        }
    }
}

impl Auth {
    /// Creates the authenticator of these settings, which replaces `before`. Reads the files that they name.
    ///
    /// # Errors
    /// A key file cannot be read or holds no usable key; the text names the setting and says why.
    pub fn authenticator(
        &self,
        before: Option<&Authenticator>,
        metrics: &Arc<Metrics>,
    ) -> Result<Authenticator, String> {
        let key = self.key_setting();
        let because = |why: &dyn Display| format!("{key}{why}");
        let settings = match self.mode {
            Mode::Development => AuthSettings::Development,
            Mode::Static => AuthSettings::Static,
            Mode::Jwt => {
                let source = self.source().map_err(|why| because(&why))?;
                let (audience, issuer) = (self.audience.clone(), self.issuer.clone());
                let expected = Expected { audience, issuer, leeway: self.leeway };
                AuthSettings::Jwt { source, previous: self.previous()?, expected }
            }
        };
        Authenticator::new(settings, before, metrics).map_err(|why| because(&why))
    }

    /// Names the setting of the key, for an error. Errors about earlier keys name their own.
    fn key_setting(&self) -> String {
        if !self.hs256_secret.is_empty() {
            "auth.hs256_secret ".to_owned()
        } else if !self.jwks_url.is_empty() {
            "auth.jwks_url: ".to_owned()
        } else if is_set(&self.jwks_file) {
            format!("auth.jwks_file {}: ", self.jwks_file.display())
        } else {
            format!("auth.public_key_file {}: ", self.public_key_file.display())
        }
    }

    fn source(&self) -> Result<KeySource, String> {
        if !self.hs256_secret.is_empty() {
            return Ok(KeySource::Secret(self.hs256_secret.expose().as_bytes().to_vec()));
        }
        if !self.jwks_url.is_empty() {
            return Ok(KeySource::KeySet(KeySetUrl::Url(Url::parse(&self.jwks_url)?), self.jwks_refresh));
        }
        if is_set(&self.jwks_file) {
            return Ok(KeySource::KeySet(KeySetUrl::File(self.jwks_file.clone()), self.jwks_refresh));
        }
        std::fs::read(&self.public_key_file).map(KeySource::PublicKey).map_err(|error| error.to_string())
    }

    fn previous(&self) -> Result<Vec<Previous>, String> {
        let Some(until) = self.previous_until else {
            return Ok(Vec::new());
        };
        let until = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let mut previous = Vec::new();
        if !self.previous_hs256_secret.is_empty() {
            let secret = self.previous_hs256_secret.expose().as_bytes().to_vec();
            previous.push(Previous { source: KeySource::Secret(secret), until });
        }
        if is_set(&self.previous_public_key_file) {
            let file = &self.previous_public_key_file;
            let because = |why: &dyn Display| format!("auth.previous_public_key_file {}: {why}", file.display());
            let pem = std::fs::read(file).map_err(|error| because(&error))?;
            previous.push(Previous { source: KeySource::PublicKey(pem), until });
        }
        Ok(previous)
    }
}

/// Reports whether a file is named.
pub(super) fn is_set(file: &Path) -> bool {
    !file.as_os_str().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        let auth = Auth { mode: Mode::Jwt, public_key_file: file.clone(), ..Auth::default() };
        let make = |auth: &Auth| auth.authenticator(None, &Arc::default());
        let missing = make(&auth).err().unwrap();
        assert!(missing.contains("auth.public_key_file") && missing.contains("key.pem"), "{missing}");
        std::fs::write(&file, "nonsense").unwrap();
        let unusable = make(&auth).err().unwrap();
        assert!(unusable.contains("key.pem") && unusable.contains("PEM"), "{unusable}");
        let set = Auth { mode: Mode::Jwt, jwks_file: file.clone(), ..Auth::default() };
        let unusable = make(&set).err().unwrap();
        assert!(unusable.contains("auth.jwks_file") && unusable.contains("JSON"), "{unusable}");
        let previous = Auth {
            hs256_secret: Secret::new("0123456789abcdef0123456789abcdef"),
            public_key_file: PathBuf::new(),
            previous_public_key_file: folder.path().join("nowhere.pem"),
            previous_until: Some(SystemTime::now()),
            ..auth.clone()
        };
        let missing = make(&previous).err().unwrap();
        assert!(missing.starts_with("auth.previous_public_key_file") && missing.contains("nowhere.pem"), "{missing}");
        std::fs::write(&file, include_str!("../../tests/keys/ed25519.pub.pem")).unwrap();
        assert!(make(&auth).is_ok());
    }
}
