//! What a client shows at a login: cursors, session ids, tokens of every kind, and the key sets that tokens go by.
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
        0 => words(&String::from_utf8_lossy(rest)),
        1 => any_token(&String::from_utf8_lossy(rest)),
        2 => signed(rest),
        _ => key_set(rest),
    }
});

/// A cursor and a session id are written in one way.
fn words(text: &str) {
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
    if let Ok(session) = text.parse::<SessionId>() {
        assert_eq!(session.to_string(), text);
    }
}

/// A token that nobody signed names nobody, but where it is the account.
fn any_token(token: &str) {
    if let Ok(identity) = DEVELOPMENT.verify(token, NOW) {
        assert_eq!(identity.account.as_str(), token);
    }
    assert!(STATIC.verify(token, NOW).is_err());
    if let Ok(Some(shown)) = STATIC.static_token(token) {
        assert!(token.starts_with(shown.account.as_str()));
        assert!(!shown.is(None));
    }
    not_shown(token, JWT.verify(token, NOW).expect_err("a token that was not signed"));
}

/// A head and claims of any kind, signed with the right key: only whole and timely ones name anybody.
fn signed(data: &[u8]) {
    let cut = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (head, claims) = data.split_at(cut);
    let head = if head.is_empty() { &br#"{"alg":"HS256","typ":"JWT"}"#[..] } else { head };
    let said = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(SECRET);
    let signature = crypto::sign(said.as_bytes(), &key, Algorithm::HS256).expect("a signature");
    let token = format!("{said}.{signature}");
    match JWT.verify(&token, NOW) {
        Ok(identity) => {
            assert!(Account::parse(identity.account.as_str(), "account").is_ok());
            assert!(identity.expires_at.is_some_and(|end| end > NOW), "a token without an end, or past it");
        }
        Err(error) => not_shown(&token, error),
    }
}

/// Why a token is refused is said without any of it.
fn not_shown(token: &str, error: AuthError) {
    let (AuthError::Rejected(why) | AuthError::Unavailable(why)) = error else { return };
    let said = token.split('.').all(|part| part.len() < 16 || !why.contains(part));
    assert!(said, "{why}");
}

/// A key set that a file holds: read, or refused for a reason.
fn key_set(text: &[u8]) {
    std::fs::write(&*FILE, text).expect("a file in the directory for such");
    match jwt(KeySource::KeySet(KeySetUrl::File(FILE.clone()), Duration::from_secs(60))) {
        Ok(keys) => drop(keys.verify("eyJhbGciOiJIUzI1NiJ9.e30.c2ln", NOW).expect_err("signed by nobody")),
        Err(why) => assert!(!why.is_empty()),
    }
}
