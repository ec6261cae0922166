//! Holds the keys of a key set, and reads the set again from time to time.
//!
//! The settings name the one place of the set. It is read at an interval, and also for a token whose key is not in it:
//! by one reader at a time and at most once in every [`PAUSE`], whatever tokens name. A name that was not found is
//! remembered for a while. If the set cannot be read, the earlier keys stay. Only this file of the module does I/O.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{ACCEPT, HeaderMap, HeaderValue};
use jsonwebtoken::Algorithm;
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::AuthError;
use super::key::{VerifyingKey, key_set};
use super::settings::KeySetUrl;
use crate::metrics::{Kind, Metrics};
use crate::outbound::{OutboundClient, OutboundSettings, TrustFiles, Url, system_lookup};

/// The shortest time between two reads that tokens cause, and the longest before a failed read is repeated.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a name without a key is remembered, and how many such names.
const UNKNOWN: (Duration, usize) = (Duration::from_mins(5), 64);
/// The size of the largest set, in bytes.
const SET_BYTES: usize = 256 * 1024;
/// How long fetching a set may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The algorithms of a set that is fetched. A file may also hold secrets, for HS256.
const PUBLIC: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
const ALL: [Algorithm; 4] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS256];

/// A key set and the keys that were last read from it.
pub(super) struct Jwks {
    place: KeySetUrl,
    every: Duration,
    held: RwLock<HeldKeys>,
    /// Held by the one that reads the set.
    reading: Mutex<()>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct HeldKeys {
    keys: Arc<[VerifyingKey]>,
    /// When the read of these keys began; `None` before the first.
    read: Option<Instant>,
    /// When the last read began, successful or not.
    tried: Option<Instant>,
    /// Names that were not found, the newest last.
    unknown: Vec<(String, Instant)>,
}

/// The result of looking a key's name up.
#[derive(Debug, PartialEq)]
enum KeyLookup {
    Here,
    Nowhere,
    /// The set has to be read first.
    Ask,
    /// The set has to be read first, but was read too recently.
    Later,
}

impl HeldKeys {
    fn has(&self, kid: Option<&str>) -> bool {
        match kid {
            Some(kid) => self.keys.iter().any(|key| key.kid.as_deref() == Some(kid)),
            None => self.read.is_some(),
        }
    }

    /// Looks a name up; `asked` is when the caller first asked for it. A read that began later settles it.
    fn look(&mut self, kid: Option<&str>, asked: Instant) -> KeyLookup {
        let now = Instant::now();
        self.unknown.retain(|(_, since)| now < *since + UNKNOWN.0);
        if self.has(kid) {
            return KeyLookup::Here;
        }
        if let Some(kid) = kid {
            if self.unknown.iter().any(|(name, _)| name == kid) {
                return KeyLookup::Nowhere;
            }
            if self.read.is_some_and(|read| read >= asked) {
                if self.unknown.len() == UNKNOWN.1 {
                    self.unknown.remove(0);
                }
                self.unknown.push((kid.to_owned(), now));
                return KeyLookup::Nowhere;
            }
        }
        if self.tried.is_some_and(|tried| now < tried + PAUSE) { KeyLookup::Later } else { KeyLookup::Ask }
    }
}

impl Jwks {
    pub(super) fn new(place: KeySetUrl, every: Duration, metrics: Arc<Metrics>) -> Self {
        Self { place, every, held: RwLock::default(), reading: Mutex::default(), metrics }
    }

    /// Reports whether this set is read from `place` at the interval `every`.
    pub(super) fn is_of(&self, place: &KeySetUrl, every: Duration) -> bool {
        (&self.place, self.every) == (place, every)
    }

    pub(super) fn keys(&self) -> Arc<[VerifyingKey]> {
        self.held.read().keys.clone()
    }

    /// Reports whether a key of this name is here; without a name, whether the set has been read.
    pub(super) fn has(&self, kid: Option<&str>) -> bool {
        self.held.read().has(kid)
    }

    pub(super) fn may_hold(&self, algorithm: Algorithm) -> bool {
        self.algorithms().contains(&algorithm)
    }

    pub(super) fn algorithms(&self) -> &'static [Algorithm] {
        if self.has_secrets() { &ALL } else { &PUBLIC }
    }

    fn has_secrets(&self) -> bool {
        matches!(self.place, KeySetUrl::File(_))
    }

    /// Reads the set if it is a file, so that a start fails if it cannot be used.
    pub(super) fn read_file(&self) -> Result<(), String> {
        let KeySetUrl::File(path) = &self.place else {
            return Ok(());
        };
        let begun = Instant::now();
        let text = std::fs::read(path).map_err(|error| error.to_string())?;
        self.take(&text, begun)
    }

    /// Makes sure that the key of this name is here, and reads the set if necessary.
    pub(super) async fn learn(&self, kid: Option<&str>) -> Result<(), AuthError> {
        let asked = Instant::now();
        loop {
            let known = self.held.write().look(kid, asked);
            match known {
                KeyLookup::Here => return Ok(()),
                KeyLookup::Nowhere => {
                    return Err(AuthError::Rejected("the token names a key (kid) that is not known".to_owned()));
                }
                KeyLookup::Later => return Err(unavailable()),
                KeyLookup::Ask => {}
            }
            let _one_at_a_time = self.reading.lock().await;
            // Another task may have read it meanwhile.
            if self.held.write().look(kid, asked) == KeyLookup::Ask {
                self.read().await.map_err(|()| unavailable())?;
            }
        }
    }

    /// Reads the set and returns after how long to do so again.
    pub(super) async fn refresh(&self) -> Duration {
        let _one_at_a_time = self.reading.lock().await;
        match self.read().await {
            Ok(()) => self.every,
            Err(()) => self.every.min(PAUSE),
        }
    }

    async fn read(&self) -> Result<(), ()> {
        let begun = Instant::now();
        self.held.write().tried = Some(begun);
        let text = match &self.place {
            KeySetUrl::File(path) => read_file(path.clone()).await,
            KeySetUrl::Url(url) => fetch(url.clone()).await,
        };
        let taken = text.and_then(|text| self.take(&text, begun));
        let kind = if taken.is_ok() { "OK" } else { "FAILED" };
        self.metrics.key_sets.get_or_create(&Kind { kind }).inc();
        taken.map_err(|error| {
            let place = &self.place;
            tracing::warn!(?place, %error, "the key set could not be read; the keys of before stay");
        })
    }

    fn take(&self, text: &[u8], begun: Instant) -> Result<(), String> {
        let keys = key_set(text, self.has_secrets())?;
        let mut held = self.held.write();
        (held.keys, held.read) = (keys.into(), Some(begun));
        Ok(())
    }
}

async fn read_file(path: PathBuf) -> Result<Vec<u8>, String> {
    let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await.map_err(|error| error.to_string())?;
    read.map_err(|error| error.to_string())
}

/// Fetches a set. Fetches are rare, so each makes a connection of its own and reads anew whom this machine trusts.
async fn fetch(url: Url) -> Result<Vec<u8>, String> {
    let trust = TrustFiles::default();
    let (networks, timeout) = (Vec::new(), PATIENCE);
    let settings = OutboundSettings { url, networks, trust, timeout, answer_bytes: SET_BYTES, connections: 1 };
    let client = OutboundClient::new(settings, system_lookup());
    let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
    let answer = client.get(headers).await.map_err(|error| error.to_string())?;
    if answer.status == StatusCode::OK {
        Ok(answer.body.into())
    } else {
        Err(format!("the answer is {}", answer.status))
    }
}

fn unavailable() -> AuthError {
    AuthError::Unavailable("the key set cannot be read now".to_owned())
}
