//! Keys that verify tokens, each with its one algorithm, read from a secret, a PEM file or a key set.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde::Deserialize as _;
use serde_json::Value;

use rosterd_engine::model::Millis;

/// DER of a P-256 public key up to its point, in base64: the algorithm, the curve and the uncompressed form
/// (RFC 5480). Other curves of the same size would be taken for it and then fail at every token.
const P256_PREFIX: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";
/// DER of an RSA public key, in bytes, from 2048 to 8192 bits; the verifier refuses others at every token.
const RSA_DER_BYTES: std::ops::RangeInclusive<usize> = 264..=1100;
/// An RSA modulus in base64, from 2048 to 8192 bits.
const RSA_MODULUS_CHARS: std::ops::RangeInclusive<usize> = 342..=1367;
/// The shortest secret in a key set, in base64: 32 bytes, as long as the hash (RFC 7518, section 3.2).
const OCTET_CHARS: usize = 43;
/// The most entries of a key set that are looked at.
const ENTRIES: usize = 100;

/// A key that verifies tokens.
#[derive(Clone)]
pub(super) struct VerifyingKey {
    /// The key's name; a key without one is tried for every token.
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) verifies: DecodingKey,
    /// The first moment at which the key is no longer valid; `None`: it has no end.
    pub(super) until: Option<Millis>,
}

impl VerifyingKey {
    fn new(algorithm: Algorithm, key: DecodingKey) -> Self {
        Self { kid: None, algorithm, verifies: key, until: None }
    }

    /// Creates a key for tokens that are signed with HS256 and this secret.
    pub(super) fn hs256(secret: &[u8]) -> Result<Self, String> {
        if secret.is_empty() {
            return Err("is empty".to_owned());
        }
        Ok(Self::new(Algorithm::HS256, DecodingKey::from_secret(secret)))
    }

    /// Creates a key for tokens that are signed with the private half of this public key. Its type decides between
    /// `EdDSA`, ES256 and RS256.
    pub(super) fn public(pem: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(pem).map_err(|_| "is not a PEM file".to_owned())?;
        let body = public_pem_body(text)?;
        if let Ok(key) = DecodingKey::from_ed_pem(pem) {
            return Ok(Self::new(Algorithm::EdDSA, key));
        }
        if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            let p256 = body.starts_with(P256_PREFIX);
            let why =
                "is an EC key, but not one on the curve P-256 (prime256v1) in uncompressed form, which ES256 needs";
            return if p256 { Ok(Self::new(Algorithm::ES256, key)) } else { Err(why.to_owned()) };
        }
        if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            let size = key.try_get_as_bytes().map_or(0, <[u8]>::len);
            let why = "is an RSA key, but not one of 2048 to 8192 bits";
            return if RSA_DER_BYTES.contains(&size) {
                Ok(Self::new(Algorithm::RS256, key))
            } else {
                Err(why.to_owned())
            };
        }
        Err("holds no key of a type that is known: Ed25519 (EdDSA), P-256 (ES256) or RSA (RS256)".to_owned())
    }

    /// Reports whether this key may have signed a token with this header. The key decides the algorithm, never the token.
    /// `sole` says that no other key has this algorithm, so that the token need not name its key.
    pub(super) fn fits(&self, header: &Header, sole: bool) -> bool {
        let named = match (&self.kid, &header.kid) {
            (None, _) => true,
            (Some(own), Some(named)) => own == named,
            (Some(_), None) => sole,
        };
        named && self.algorithm == header.alg
    }
}

/// Reads the keys of a set (RFC 7517, section 5) that verify signatures. It skips others, because sets also hold keys
/// for other purposes. Secrets count only if `secrets` is set: a set that anyone may fetch must not hold any.
pub(super) fn key_set(text: &[u8], secrets: bool) -> Result<Vec<VerifyingKey>, String> {
    let set: Value = serde_json::from_slice(text).map_err(|_| "is not JSON".to_owned())?;
    let entries = set.get("keys").and_then(Value::as_array).ok_or("is not a JSON Web Key Set, {\"keys\": […]}")?;
    let mut keys: Vec<VerifyingKey> = Vec::new();
    for entry in entries.iter().take(ENTRIES) {
        let Some(key) = Jwk::deserialize(without_padding(entry)).ok().and_then(|jwk| entry_key(&jwk, secrets)) else {
            continue;
        };
        // Keys of different types may share a name (RFC 7517, section 4.5). Of two for one algorithm the first counts.
        if key.kid.is_none() || !keys.iter().any(|held| (&held.kid, held.algorithm) == (&key.kid, key.algorithm)) {
            keys.push(key);
        }
    }
    if keys.is_empty() {
        return Err("holds no key that verifies RS256, ES256 or EdDSA".to_owned());
    }
    Ok(keys)
}

/// Takes the padding off the numbers of a key: they are base64url without it, but not every issuer knows.
fn without_padding(entry: &Value) -> Value {
    let mut entry = entry.clone();
    for name in ["n", "e", "x", "y", "k"] {
        if let Some(Value::String(number)) = entry.get_mut(name) {
            number.truncate(number.trim_end_matches('=').len());
        }
    }
    entry
}

fn entry_key(jwk: &Jwk, secrets: bool) -> Option<VerifyingKey> {
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    let verifies = common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if RSA_MODULUS_CHARS.contains(&rsa.n.len()) => {
            (Algorithm::RS256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::OctetKey(octets) if secrets && octets.value.len() >= OCTET_CHARS => {
            (Algorithm::HS256, KeyAlgorithm::HS256)
        }
        _ => return None,
    };
    // A key that names its algorithm is valid for no other.
    let meant = common.key_algorithm.is_none_or(|meant| meant == name);
    let key = DecodingKey::from_jwk(jwk).ok()?;
    (signs && verifies && meant)
        .then(|| VerifyingKey { kid: common.key_id.clone(), ..VerifyingKey::new(algorithm, key) })
}

/// Returns the base64 text of a PEM file's only block, which must be a public key.
fn public_pem_body(text: &str) -> Result<String, String> {
    const BEGIN: &str = "-----BEGIN ";
    let mut blocks = text.split(BEGIN).skip(1);
    let (Some(block), None) = (blocks.next(), blocks.next()) else {
        return Err("is not a PEM file with one block, -----BEGIN PUBLIC KEY-----".to_owned());
    };
    let (label, rest) = block.split_once("-----").unwrap_or((block, ""));
    let why = match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => None,
        "CERTIFICATE" => Some("holds a certificate; `openssl x509 -pubkey -noout` gives its public key"),
        _ if label.ends_with("PRIVATE KEY") => {
            Some("holds a private key, your backend's alone; `openssl pkey -pubout` gives its public half")
        }
        _ => Some("is not a PEM file with a public key, -----BEGIN PUBLIC KEY-----"),
    };
    if let Some(why) = why {
        return Err(why.to_owned());
    }
    let body = rest.split("-----").next().unwrap_or_default();
    Ok(body.split_whitespace().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The set of the tests: RSA, P-256 and Ed25519.
    fn set() -> Value {
        serde_json::from_str(include_str!("../../../../tests/keys/jwks.json")).unwrap()
    }

    fn algorithms(set: &Value) -> Vec<Algorithm> {
        let keys = key_set(set.to_string().as_bytes(), false).unwrap();
        keys.iter().map(|key| key.algorithm).collect()
    }

    #[test]
    fn keys_of_different_types_may_share_a_name_and_of_one_type_the_first_counts() {
        let mut named = set();
        let all = algorithms(&named);
        assert!(all.len() > 1 && all.contains(&Algorithm::RS256), "{all:?}");
        for entry in named["keys"].as_array_mut().unwrap() {
            entry["kid"] = "2026".into();
        }
        let mut once = all.clone();
        once.dedup();
        assert_eq!(algorithms(&named), once);
        let twice: Vec<_> = named["keys"].as_array().unwrap().iter().chain(named["keys"].as_array().unwrap()).collect();
        assert_eq!(algorithms(&json!({"keys": twice})), once);
    }

    #[test]
    fn padded_numbers_are_read_as_well() {
        let mut padded = set();
        for entry in padded["keys"].as_array_mut().unwrap() {
            for name in ["n", "e", "x", "y"] {
                if let Some(Value::String(number)) = entry.get_mut(name) {
                    while number.len() % 4 != 0 {
                        number.push('=');
                    }
                }
            }
        }
        assert_ne!(padded, set());
        assert_eq!(algorithms(&padded), algorithms(&set()));
    }
}
