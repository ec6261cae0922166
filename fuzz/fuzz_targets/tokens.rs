//! Credentials of a login: cursors, session ids, tokens of every kind, and the key sets that verify tokens.
#![no_main]

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use libfuzzer_sys::fuzz_target;
use rosterd::auth::{AuthError, AuthSettings, Authenticator, Expected, KeySetUrl, KeySource};
use rosterd::metrics::Metrics;
use rosterd_engine::model::{Account, Cursor, SessionId};

const SECRET: &[u8] = b"a secret of thirty-two bytes, ok";
const NOW: u64 = 1_795_420_532_876;

static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(Arc::default);
static DEVELOPMENT: LazyLock<Authenticator> =
    LazyLock::new(|| authenticator(AuthSettings::Development).expect("no keys"));
static STATIC: LazyLock<Authenticator> = LazyLock::new(|| authenticator(AuthSettings::Static).expect("no keys"));
static JWT: LazyLock<Authenticator> = LazyLock::new(|| jwt(KeySource::Secret(SECRET.to_vec())).expect("a secret"));
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("rosterd-fuzz-{}.json", std::process::id())));

fn authenticator(settings: AuthSettings) -> Result<Authenticator, String> {
    Authenticator::new(settings, None, &METRICS)
}

fn jwt(source: KeySource) -> Result<Authenticator, String> {
    let expected = Expected { audience: "app".to_owned(), issuer: String::new(), leeway: Duration::from_secs(30) };
    authenticator(AuthSettings::Jwt { source, previous: Vec::new(), expected })
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    match kind % 4 {
        0 => cursors_and_ids(&String::from_utf8_lossy(rest)),
        1 => any_token(&String::from_utf8_lossy(rest)),
        2 => signed(rest),
        _ => key_set(rest),
    }
});

/// Checks that cursors and session ids have one written form.
fn cursors_and_ids(text: &str) {
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
    if let Ok(session) = text.parse::<SessionId>() {
        assert_eq!(session.to_string(), text);
    }
}

/// Checks that an unsigned token is refused, except in development mode, where the token is the account.
fn any_token(token: &str) {
    if let Ok(verified) = DEVELOPMENT.verify(token, NOW) {
        assert_eq!(verified.account.as_str(), token);
    }
    assert!(STATIC.verify(token, NOW).is_err());
    if let Ok(Some(shown)) = STATIC.static_token(token) {
        assert!(token.starts_with(shown.account.as_str()));
        assert!(!shown.is(None));
    }
    assert_not_shown(token, JWT.verify(token, NOW).expect_err("a token that was not signed"));
}

/// Checks any header and claims, signed with the right key: only complete and current ones are accepted.
fn signed(data: &[u8]) {
    let cut = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (head, claims) = data.split_at(cut);
    let head = if head.is_empty() { &br#"{"alg":"HS256","typ":"JWT"}"#[..] } else { head };
    let signed_part = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(SECRET);
    let signature = crypto::sign(signed_part.as_bytes(), &key, Algorithm::HS256).expect("a signature");
    let token = format!("{signed_part}.{signature}");
    match JWT.verify(&token, NOW) {
        Ok(verified) => {
            assert!(Account::parse(verified.account.as_str(), "account").is_ok());
            assert!(verified.expires_at.is_some_and(|end| end > NOW), "a token without an end, or after it");
        }
        Err(error) => assert_not_shown(&token, error),
    }
}

/// Checks that the reason of a refusal contains no part of the token.
fn assert_not_shown(token: &str, error: AuthError) {
    let (AuthError::Rejected(why) | AuthError::Unavailable(why)) = error else { return };
    let hidden = token.split('.').all(|part| part.len() < 16 || !why.contains(part));
    assert!(hidden, "{why}");
}

/// Checks that a key set in a file is read or refused with a reason.
fn key_set(text: &[u8]) {
    std::fs::write(&*FILE, text).expect("the temporary directory is writable");
    match jwt(KeySource::KeySet(KeySetUrl::File(FILE.clone()), Duration::from_secs(60))) {
        Ok(keys) => drop(keys.verify("eyJhbGciOiJIUzI1NiJ9.e30.c2ln", NOW).expect_err("signed by nobody")),
        Err(why) => assert!(!why.is_empty()),
    }
}
