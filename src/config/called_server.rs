//! What the sections of all servers that the gateway calls have in common: where they are, and what requests are signed
//! with.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;

use super::auth::is_set;
use super::form::Secret;
use crate::outbound::{OutboundSettings, SigningSecret, SigningSecrets, TrustFiles, Url};
use rosterd_engine::model::Millis;

/// The most bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 * 1024;

/// What is wrong with a key, and the key.
pub(super) type Wrong = (&'static str, String);

/// The keys that every section of a called server has.
pub(super) struct CalledServer<'a> {
    pub(super) url: &'a str,
    /// Whether `http` may be used to other machines.
    pub(super) plain: bool,
    pub(super) networks: &'a [String],
    pub(super) ca: &'a PathBuf,
    pub(super) client_certificate: &'a PathBuf,
    pub(super) client_key: &'a PathBuf,
    pub(super) timeout: Duration,
    /// The most connections that are kept.
    pub(super) connections: usize,
    pub(super) secret: &'a Secret,
    pub(super) previous_secret: &'a Secret,
    pub(super) previous_until: Option<SystemTime>,
}

impl CalledServer<'_> {
    /// Returns how the server is called.
    ///
    /// # Errors
    /// The first key that is wrong, and what would be right.
    pub(super) fn outbound(&self) -> Result<OutboundSettings, Wrong> {
        let url = if self.plain { Url::parse_plain(self.url) } else { Url::parse(self.url) };
        let url = url.map_err(|why| ("url", why))?;
        let networks = self.networks.iter().map(|network| {
            let parsed = network.parse::<IpNet>();
            parsed.map_err(|_| ("networks", format!("{network:?} is not a network; write one such as 10.0.0.0/8")))
        });
        let networks = networks.collect::<Result<Vec<_>, _>>()?;
        let client = match (is_set(self.client_certificate), is_set(self.client_key)) {
            (true, true) => Some((self.client_certificate.clone(), self.client_key.clone())),
            (false, false) => None,
            (true, false) => return Err(("client_key", "is needed because client_certificate is set".to_owned())),
            (false, true) => return Err(("client_certificate", "is needed because client_key is set".to_owned())),
        };
        let trust = TrustFiles { authorities: is_set(self.ca).then(|| self.ca.clone()), client };
        let (timeout, connections) = (self.timeout, self.connections);
        Ok(OutboundSettings { url, networks, trust, timeout, answer_bytes: ANSWER_BYTES, connections })
    }

    /// Returns what requests are signed with.
    ///
    /// # Errors
    /// The first key that is wrong, and what would be right.
    pub(super) fn secrets(&self) -> Result<SigningSecrets, Wrong> {
        let secret = SigningSecret::parse(self.secret.expose()).map_err(|why| ("secret", why))?;
        let previous = match (self.previous_secret.is_empty(), self.previous_until) {
            (true, None) => None,
            (true, Some(_)) => return Err(("previous_until", "is set, but previous_secret is not; remove it".into())),
            (false, None) => {
                let why =
                    "is needed where previous_secret is set: until when is it good? Such as \"2026-12-01T00:00:00Z\"";
                return Err(("previous_until", why.to_owned()));
            }
            (false, Some(until)) => {
                let previous = SigningSecret::parse(self.previous_secret.expose());
                let until = until.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as Millis;
                Some((previous.map_err(|why| ("previous_secret", why))?, until))
            }
        };
        Ok(SigningSecrets { secret, previous })
    }
}
