//! The keys that are valid, and which of them a request shows.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

use super::DEFAULT_KEY;
use super::scope::Scopes;
use rosterd_engine::model::Millis;

/// The SHA-256 of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<_> = text.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
        let bytes: Vec<_> = digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
        let bytes = bytes.try_into().ok()?;
        (digits.len() == 64).then_some(Self(bytes))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

/// Returns the hash of a key.
///
/// # Panics
/// Never: a SHA-256 has 32 bytes.
#[must_use]
pub fn hash(key: &[u8]) -> KeyHash {
    KeyHash(digest(&SHA256, key).as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// A key of the server API, without the key itself.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// The name that the operator gave it.
    pub name: Arc<str>,
    /// The hash by which it is recognized.
    pub hash: KeyHash,
    /// What it may do.
    pub scopes: Scopes,
    /// The time from which it is not valid any more.
    pub until: Option<Millis>,
}

impl ApiKey {
    /// Creates the key that has every scope, for ever.
    #[must_use]
    pub fn unlimited(hash: KeyHash) -> Self {
        Self { name: DEFAULT_KEY.into(), hash, scopes: Scopes::ALL, until: None }
    }

    /// Reports whether the key is valid at a time.
    #[must_use]
    pub fn is_valid(&self, now: Millis) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// All keys of a gateway.
#[derive(Debug, Clone, Default)]
pub struct KeyRing(Vec<ApiKey>);

impl KeyRing {
    /// Creates the ring of these keys.
    #[must_use]
    pub fn new(keys: Vec<ApiKey>) -> Self {
        Self(keys)
    }

    /// Reports whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the key with a hash.
    #[must_use]
    pub fn get(&self, hash: KeyHash) -> Option<&ApiKey> {
        self.0.iter().find(|key| key.hash == hash)
    }

    /// Returns the key that a request shows. It is compared with every key, by hashes and in constant time, so the time
    /// says neither which key it was nor how much of it is right.
    #[must_use]
    pub fn find(&self, shown: &[u8]) -> Option<&ApiKey> {
        let shown = hash(shown);
        self.0.iter().fold(None, |found, key| {
            let is_it = verify_slices_are_equal(&key.hash.0, &shown.0).is_ok();
            if is_it { Some(key) } else { found }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::*;

    #[test]
    fn a_hash_is_64_digits() {
        let hash = hash(b"a-key");
        assert_eq!(KeyHash::parse(&hash.to_string()), Some(hash));
        assert_eq!(KeyHash::parse(&hash.to_string().to_uppercase()), Some(hash));
        for bad in ["", "a", &hash.to_string()[1..], &format!("{hash}0"), &"x".repeat(64), &"é".repeat(32)] {
            assert_eq!(KeyHash::parse(bad), None, "{bad}");
        }
        // As `sha256sum` prints it.
        assert_eq!(super::hash(b"").to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn a_key_is_found_by_itself_alone() {
        let key = |name: &str, key: &str, until| ApiKey {
            name: name.into(),
            hash: hash(key.as_bytes()),
            scopes: [Scope::Read].into_iter().collect(),
            until,
        };
        let ring = KeyRing::new(vec![key("one", "1111111111111111", None), key("two", "2222222222222222", Some(50))]);
        let name = |shown: &str| ring.find(shown.as_bytes()).map(|key| key.name.to_string());
        assert_eq!((name("1111111111111111"), name("2222222222222222")), (Some("one".into()), Some("two".into())));
        for other in ["", "1", "111111111111111", "11111111111111111", "3333333333333333"] {
            assert_eq!(name(other), None, "{other}");
        }
        let two = ring.find(b"2222222222222222").unwrap();
        assert!(two.is_valid(49) && !two.is_valid(50));
        assert!(KeyRing::default().is_empty() && KeyRing::default().find(b"").is_none());
    }
}
