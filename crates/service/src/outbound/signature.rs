//! Signs what is sent, in the form of Standard Webhooks.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};

use rosterd_engine::model::Millis;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// The length of a secret, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The length of a secret that is made here, in bytes.
const NEW_BYTES: usize = 32;

/// A secret that a receiver shares. Not `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// Reads `whsec_` and base64 of 24 to 64 bytes.
    ///
    /// # Errors
    /// What would be right; never the secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        const RIGHT: &str = "`rosterd webhook secret` makes one";
        let encoded = text.strip_prefix(PREFIX).ok_or_else(|| format!("must begin with {PREFIX}; {RIGHT}"))?;
        let bytes = STANDARD.decode(encoded).map_err(|_| format!("must be {PREFIX} and base64; {RIGHT}"))?;
        if !SECRET_BYTES.contains(&bytes.len()) {
            let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
            return Err(format!("has {} bytes, must have {least} to {most}; {RIGHT}", bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// Makes a new secret, as text.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate() -> Result<String, String> {
        let mut bytes = [0; NEW_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| format!("no randomness for a secret: {error}"))?;
        Ok(format!("{PREFIX}{}", STANDARD.encode(bytes)))
    }

    fn sign(&self, content: &[u8]) -> String {
        format!("v1,{}", STANDARD.encode(sign(&Key::new(HMAC_SHA256, &self.0), content)))
    }
}

/// The secrets of a receiver: one, and perhaps the one before until a time.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecrets {
    /// The secret.
    pub secret: SigningSecret,
    /// The one before, and when it ends.
    pub previous: Option<(SigningSecret, Millis)>,
}

impl SigningSecrets {
    /// Returns the headers of a request with this body, signed.
    #[must_use]
    pub fn headers(&self, id: &str, now: Millis, body: &[u8], content_type: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (CONTENT_TYPE, content_type),
            (ACCEPT, "*/*"),
            (USER_AGENT, concat!("rosterd/", env!("CARGO_PKG_VERSION"))),
            (HeaderName::from_static("webhook-id"), id),
            (HeaderName::from_static("webhook-timestamp"), &(now / 1000).to_string()),
            (HeaderName::from_static("webhook-signature"), &self.header(id, now, body)),
        ] {
            // What is made here has no sign that a header cannot have.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        headers
    }

    /// Returns the value of `webhook-signature` for a message.
    #[must_use]
    pub fn header(&self, id: &str, now: Millis, body: &[u8]) -> String {
        let mut content = format!("{id}.{}.", now / 1000).into_bytes();
        content.extend_from_slice(body);
        let mut header = self.secret.sign(&content);
        if let Some((previous, _)) = self.previous.as_ref().filter(|(_, until)| now < *until) {
            header.push(' ');
            header.push_str(&previous.sign(&content));
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_vectors() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../../docs/conformance/webhook.json")).unwrap();
        let vectors = vectors["signatures"].as_array().unwrap();
        assert!(!vectors.is_empty());
        for vector in vectors {
            let text = |key: &str| vector[key].as_str().unwrap();
            let secret = SigningSecret::parse(text("secret")).unwrap();
            let previous = vector["previousSecret"].as_str().map(|it| (SigningSecret::parse(it).unwrap(), u64::MAX));
            let now = vector["timestamp"].as_u64().unwrap() * 1000;
            let header = SigningSecrets { secret, previous }.header(text("id"), now, text("body").as_bytes());
            assert_eq!(header, text("signature"));
        }
    }

    #[test]
    fn the_secret_before_signs_until_its_end() {
        let secret = || SigningSecret::parse(&SigningSecret::generate().unwrap()).unwrap();
        let secrets = SigningSecrets { secret: secret(), previous: Some((secret(), 5000)) };
        let signatures = |now| secrets.header("id", now, b"body").split(' ').count();
        assert_eq!((signatures(4999), signatures(5000)), (2, 1));
    }

    #[test]
    fn a_secret_that_is_wrong_is_answered_with_what_is_right_and_is_not_shown() {
        for (text, why) in [
            ("", "begin with whsec_"),
            ("c2VjcmV0", "begin with whsec_"),
            ("whsec_not base64!", "base64"),
            ("whsec_c2VjcmV0", "has 6 bytes, must have 24 to 64"),
            (&format!("whsec_{}", STANDARD.encode([7; 65])), "has 65 bytes"),
        ] {
            let error = SigningSecret::parse(text).err().unwrap();
            assert!(error.contains(why) && error.contains("rosterd webhook secret"), "{text}: {error}");
            assert!(!error.contains("c2Vj"), "{error}");
        }
    }
}
