//! Verifies JSON Web Tokens (RFC 7519).
//!
//! The key decides the algorithm, never the token: a token that names another one is refused before anything is
//! computed. `jsonwebtoken` verifies signatures; this file checks the claims, against the caller's clock.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::AuthError;
use super::jwks::Jwks;
use super::key::VerifyingKey;
use super::settings::Expected;
use super::verified_token::VerifiedToken;
use rosterd_engine::model::{Account, Millis};

/// The length of the longest token that is read, in bytes.
pub const TOKEN_BYTES: usize = 4096;
/// The length of the longest name of a key, in bytes.
const KID_BYTES: usize = 256;

/// Verifies JSON Web Tokens with the keys that are valid.
pub(super) struct Jwt {
    /// The keys of the settings.
    pub(super) keys: Vec<VerifyingKey>,
    /// The key set, if the settings name one.
    pub(super) jwks: Option<Arc<Jwks>>,
    pub(super) expected: Expected,
}

/// The claims that are read. Each may have any type, so that an error can name a wrong one.
#[derive(Deserialize)]
struct Claims {
    sub: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
    iat: Option<Value>,
    aud: Option<Value>,
    iss: Option<Value>,
}

impl Jwt {
    /// Verifies a token as of `now`.
    pub(super) fn verify(&self, token: &str, now: Millis) -> Result<VerifiedToken, AuthError> {
        let claims = self.claims(token, now)?;
        self.check_parties(&claims)?;
        let account = subject(claims.sub.as_ref())?;
        let ends = time("exp", claims.exp.as_ref())?.ok_or_else(|| rejected("the token has no end (exp)"))?;
        if ends <= now {
            return Err(AuthError::Expired);
        }
        // How far the signer's clock may be ahead of ours. The end has no such leeway: it would let a client in again
        // right after it was refused because its token had expired.
        let leeway = Millis::try_from(self.expected.leeway.as_millis()).unwrap_or(Millis::MAX);
        let latest = now.saturating_add(leeway);
        if time("nbf", claims.nbf.as_ref())?.is_some_and(|begins| begins > latest) {
            return Err(rejected("the token is not valid yet (nbf)"));
        }
        let issued_at = time("iat", claims.iat.as_ref())?.unwrap_or(0);
        // It would outlast every revocation.
        if issued_at > latest {
            return Err(rejected("the token was issued in the future (iat)"));
        }
        Ok(VerifiedToken { account, expires_at: Some(ends), issued_at })
    }

    /// Verifies the signature and returns the claims.
    fn claims(&self, token: &str, now: Millis) -> Result<Claims, AuthError> {
        if token.len() > TOKEN_BYTES {
            return Err(rejected(format_args!("the token is longer than {TOKEN_BYTES} bytes")));
        }
        let set = self.jwks.as_ref().map(|jwks| jwks.keys());
        let own = || self.keys.iter().filter(|key| key.until.is_none_or(|until| now < until));
        let all = || own().chain(set.iter().flat_map(|set| set.iter()));
        let known = || self.algorithms(all());
        let header = decode_header(token)
            .map_err(|_| rejected(format_args!("the token is not a JSON Web Token signed with {}", known())))?;
        let in_set = self.jwks.as_ref().is_some_and(|jwks| jwks.may_hold(header.alg));
        if !in_set && !all().any(|key| key.algorithm == header.alg) {
            return Err(rejected(format_args!("the token is signed with {:?}, not with {}", header.alg, known())));
        }
        // RFC 7515, section 4.1.11: whoever does not understand these extensions must refuse the token.
        if header.crit.is_some() {
            return Err(rejected("the token has critical extensions (crit), none is known"));
        }
        if header.kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES) {
            return Err(rejected(format_args!("the token names a key (kid) with more than {KID_BYTES} bytes")));
        }
        let sole = all().filter(|key| key.algorithm == header.alg).count() == 1;
        let mut refused = rejected("the token does not name its key (kid), and there are several");
        for key in all().filter(|key| key.fits(&header, sole)) {
            match signed_claims(token, key) {
                Ok(claims) => return Ok(claims),
                Err(error) => refused = error,
            }
        }
        match &self.jwks {
            // It may be a key of the set that came after it was read.
            Some(jwks) if in_set && !jwks.has(header.kid.as_deref()) => Err(AuthError::UnknownKey(header.kid)),
            _ => Err(refused),
        }
    }

    /// Lists the algorithms of these keys and of the set, for an error.
    fn algorithms<'a>(&self, keys: impl Iterator<Item = &'a VerifyingKey>) -> String {
        let mut names: Vec<_> = keys.map(|key| key.algorithm).collect();
        names.extend(self.jwks.iter().flat_map(|jwks| jwks.algorithms()));
        let mut shown: Vec<String> = Vec::new();
        for name in names.iter().map(|name| format!("{name:?}")) {
            if !shown.contains(&name) {
                shown.push(name);
            }
        }
        shown.join(" or ")
    }

    /// Checks the token's issuer and audience.
    fn check_parties(&self, claims: &Claims) -> Result<(), AuthError> {
        let Expected { audience, issuer, .. } = &self.expected;
        let named = claims.aud.as_ref().map(|claimed| names(claimed, audience));
        // The owner of a key set often signs tokens for other services too.
        let good = audience.is_empty() || named.unwrap_or(self.jwks.is_none());
        if !good {
            return Err(rejected(format_args!("the token is meant for others: aud does not name \"{audience}\"")));
        }
        let from = claims.iss.as_ref().and_then(Value::as_str);
        if !issuer.is_empty() && from != Some(issuer) {
            return Err(rejected(format_args!("the token is from someone else: iss is not \"{issuer}\"")));
        }
        Ok(())
    }
}

/// Returns the claims if this key made the signature.
fn signed_claims(token: &str, key: &VerifyingKey) -> Result<Claims, AuthError> {
    let mut validation = Validation::new(key.algorithm);
    // Claims are checked by the caller, by its clock.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    decode(token, &key.verifies, &validation).map(|data| data.claims).map_err(|error| reason(error.kind()))
}

fn rejected(why: impl std::fmt::Display) -> AuthError {
    AuthError::Rejected(why.to_string())
}

/// Maps the library's error to a text of our own, since its texts may quote the token.
fn reason(kind: &jsonwebtoken::errors::ErrorKind) -> AuthError {
    use jsonwebtoken::errors::ErrorKind;
    rejected(match kind {
        ErrorKind::InvalidSignature => "the token's signature is wrong",
        ErrorKind::Base64(_) | ErrorKind::Json(_) | ErrorKind::Utf8(_) => "the token's claims cannot be read",
        _ => "the token cannot be verified",
    })
}

fn names(audience: &Value, wanted: &str) -> bool {
    match audience {
        Value::String(one) => one == wanted,
        Value::Array(several) => several.iter().any(|one| one == wanted),
        _ => false,
    }
}

fn subject(subject: Option<&Value>) -> Result<Account, AuthError> {
    match subject {
        None => Err(rejected("the token names no account (sub)")),
        Some(Value::String(text)) => Account::parse(text, "sub").map_err(|error| rejected(error.message)),
        Some(_) => Err(rejected("the token's account (sub) is not a string")),
    }
}

/// Reads a claim's time. The standard counts seconds and allows fractions.
fn time(claim: &str, value: Option<&Value>) -> Result<Option<Millis>, AuthError> {
    let Some(value) = value else { return Ok(None) };
    let whole = value.as_u64().map(|seconds| seconds.saturating_mul(1000));
    #[expect(clippy::cast_sign_loss, reason = "negative ones are filtered out; the cast saturates")]
    let fraction = || value.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| (seconds * 1000.0) as Millis);
    let millis = whole.or_else(fraction);
    millis.map(Some).ok_or_else(|| rejected(format_args!("the token's {claim} is not a time in seconds")))
}

/// The claims that [`sign_hs256`] writes.
#[derive(Serialize)]
struct Minted<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    iss: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    aud: &'a str,
    iat: u64,
    exp: u64,
}

/// Signs a token for `account`, valid from `now` for `ttl`, rounded up to whole seconds. An empty issuer or audience
/// leaves the claim out.
///
/// # Panics
/// Never: a string and two numbers can be written as JSON, and HS256 takes any secret.
pub fn sign_hs256(secret: &[u8], account: &Account, (iss, aud): (&str, &str), ttl: Duration, now: Millis) -> String {
    let ttl = Millis::try_from(ttl.as_millis()).unwrap_or(Millis::MAX);
    let exp = now.saturating_add(ttl).div_ceil(1000);
    let claims = Minted { sub: account.as_str(), iss, aud, iat: now / 1000, exp };
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret))
        .expect("a string and two numbers can be written as JSON, and HS256 takes any secret")
}

#[cfg(test)]
mod tests;
