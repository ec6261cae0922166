//! JSON Web Tokens (RFC 7519): one key, and the one algorithm that goes with it.
//!
//! The key decides the algorithm, never the token: a token that names another one is refused before anything is
//! computed. Signatures are `jsonwebtoken`'s work; the claims are checked here, against the caller's clock.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AuthError, Authenticator, Identity};
use crate::model::{Account, Millis};

/// The longest token that is looked at, in bytes.
pub const TOKEN_BYTES: usize = 4096;
/// What `aud` must name if the token has one (RFC 7519, section 4.1.3): a token for someone else is not for us.
pub const AUDIENCE: &str = "rosterd";

/// How far the backend's clock may be ahead of ours when it says from when on a token is good. For the end there is
/// no such leeway: a session must not outlive its token.
const NOT_BEFORE_LEEWAY: Millis = 60_000;

/// DER of a P-256 public key up to its point, in base64: the algorithm, the curve and the uncompressed form
/// (RFC 5480). Other curves of the same size would be taken for it and then fail at every token.
const P256_PREFIX: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";
/// DER of an RSA public key, in bytes, from 2048 to 8192 bits; the verifier refuses others at every token.
const RSA_DER_BYTES: std::ops::RangeInclusive<usize> = 264..=1100;

/// Verifies tokens of one key.
pub(super) struct Jwt {
    algorithm: Algorithm,
    key: DecodingKey,
    validation: Validation,
}

/// What is looked at. Values of any type, so that a wrong one can be named.
#[derive(Deserialize)]
struct Claims {
    sub: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
    aud: Option<Value>,
}

impl Jwt {
    /// For tokens signed with HS256 and this secret.
    pub(super) fn hs256(secret: &[u8]) -> Result<Self, String> {
        if secret.is_empty() {
            return Err("is empty".to_owned());
        }
        Ok(Self::new(Algorithm::HS256, DecodingKey::from_secret(secret)))
    }

    /// For tokens signed with the private half of this key: `EdDSA`, ES256 or RS256 by its type.
    pub(super) fn public_key(pem: &[u8]) -> Result<Self, String> {
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

    fn new(algorithm: Algorithm, key: DecodingKey) -> Self {
        let mut validation = Validation::new(algorithm);
        // Claims are checked below, by the caller's clock.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Self { algorithm, key, validation }
    }

    /// The claims of a token whose signature is right.
    fn claims(&self, token: &str) -> Result<Claims, AuthError> {
        if token.len() > TOKEN_BYTES {
            return Err(rejected(format_args!("the token is longer than {TOKEN_BYTES} bytes")));
        }
        let expected = self.algorithm;
        let header = decode_header(token)
            .map_err(|_| rejected(format_args!("the token is not a JSON Web Token signed with {expected:?}")))?;
        if header.alg != expected {
            return Err(rejected(format_args!("the token is signed with {:?}, not with {expected:?}", header.alg)));
        }
        // RFC 7515, section 4.1.11: whoever does not understand these extensions must refuse the token.
        if header.crit.is_some() {
            return Err(rejected("the token has critical extensions (crit), none is known"));
        }
        decode(token, &self.key, &self.validation).map(|data| data.claims).map_err(|error| reason(error.kind()))
    }
}

impl Authenticator for Jwt {
    fn verify(&self, token: &str, now: Millis) -> Result<Identity, AuthError> {
        let claims = self.claims(token)?;
        if !is_for_us(claims.aud.as_ref()) {
            return Err(rejected(format_args!("the token is meant for others: aud does not name \"{AUDIENCE}\"")));
        }
        let account = subject(claims.sub.as_ref())?;
        let ends = time("exp", claims.exp.as_ref())?.ok_or_else(|| rejected("the token has no end (exp)"))?;
        if ends <= now {
            return Err(AuthError::Expired);
        }
        if time("nbf", claims.nbf.as_ref())?.is_some_and(|begins| begins > now.saturating_add(NOT_BEFORE_LEEWAY)) {
            return Err(rejected("the token is not valid yet (nbf)"));
        }
        Ok(Identity { account, expires_at: Some(ends) })
    }
}

fn rejected(why: impl std::fmt::Display) -> AuthError {
    AuthError::Rejected(why.to_string())
}

/// The reason alone: the library's own texts may show parts of the token.
fn reason(kind: &jsonwebtoken::errors::ErrorKind) -> AuthError {
    use jsonwebtoken::errors::ErrorKind;
    rejected(match kind {
        ErrorKind::InvalidSignature => "the token's signature is wrong",
        ErrorKind::Base64(_) | ErrorKind::Json(_) | ErrorKind::Utf8(_) => "the token's claims cannot be read",
        _ => "the token cannot be verified",
    })
}

fn is_for_us(audience: Option<&Value>) -> bool {
    match audience {
        None => true,
        Some(Value::String(one)) => one == AUDIENCE,
        Some(Value::Array(several)) => several.iter().any(|one| one == AUDIENCE),
        Some(_) => false,
    }
}

fn subject(subject: Option<&Value>) -> Result<Account, AuthError> {
    match subject {
        None => Err(rejected("the token names no account (sub)")),
        Some(Value::String(text)) => Account::parse(text, "sub").map_err(|error| rejected(error.message)),
        Some(_) => Err(rejected("the token's account (sub) is not a string")),
    }
}

/// A claim's time. The standard counts seconds and allows fractions.
fn time(claim: &str, value: Option<&Value>) -> Result<Option<Millis>, AuthError> {
    let Some(value) = value else { return Ok(None) };
    let whole = value.as_u64().map(|seconds| seconds.saturating_mul(1000));
    #[expect(clippy::cast_sign_loss, reason = "negative ones are filtered out; the cast saturates")]
    let fraction = || value.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| (seconds * 1000.0) as Millis);
    let millis = whole.or_else(fraction);
    millis.map(Some).ok_or_else(|| rejected(format_args!("the token's {claim} is not a time in seconds")))
}

/// The base64 text of a PEM file's one block, which must be a public key.
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

/// What [`sign_hs256`] writes.
#[derive(Serialize)]
struct Minted<'a> {
    sub: &'a str,
    iat: u64,
    exp: u64,
}

/// A token for `account`, good from `now` for `ttl`, rounded up to whole seconds.
///
/// # Panics
/// Never: a string and two numbers can be written as JSON, and HS256 takes any secret.
pub fn sign_hs256(secret: &[u8], account: &Account, ttl: Duration, now: Millis) -> String {
    let ttl = Millis::try_from(ttl.as_millis()).unwrap_or(Millis::MAX);
    let claims = Minted { sub: account.as_str(), iat: now / 1000, exp: now.saturating_add(ttl).div_ceil(1000) };
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret))
        .expect("a string and two numbers can be written as JSON, and HS256 takes any secret")
}

#[cfg(test)]
mod tests;
