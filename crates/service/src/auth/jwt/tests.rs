//! Which tokens are accepted, which are not, and that no answer shows a token's content.

use proptest::prelude::*;
use serde_json::json;

use super::*;

macro_rules! key {
    ($name:literal) => {
        include_bytes!(concat!("../../../../../tests/keys/", $name))
    };
}

/// Noon of some day, in seconds and in milliseconds.
const NOON: u64 = 1_800_000_000;
const NOW: Millis = NOON * 1000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn with_key(key: VerifyingKey) -> Jwt {
    let (audience, issuer, leeway) = ("rosterd".to_owned(), String::new(), Duration::from_mins(1));
    Jwt { keys: vec![key], jwks: None, expected: Expected { audience, issuer, leeway } }
}

fn hs256() -> Jwt {
    with_key(VerifyingKey::hs256(SECRET).unwrap())
}

fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    encode(header, claims, key).unwrap()
}

/// A token of the secret with these claims.
fn signed(claims: &Value) -> String {
    sign(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET))
}

fn claims() -> Value {
    json!({ "sub": "ann", "exp": NOON + 60 })
}

/// The good claims with one of them changed; null removes it.
fn with(claim: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[claim] = value;
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

/// Why a token is refused.
fn refused(jwt: &Jwt, token: &str) -> String {
    match jwt.verify(token, NOW) {
        Err(AuthError::Rejected(why)) => {
            assert!(token.is_empty() || !why.contains(token), "the answer shows the token: {why}");
            why
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// An algorithm, its public key, its private key, and another private key of the same type.
fn pairs() -> [(Algorithm, Jwt, EncodingKey, EncodingKey); 4] {
    let ed = |pem: &[u8]| EncodingKey::from_ed_pem(pem).unwrap();
    let ec = |pem: &[u8]| EncodingKey::from_ec_pem(pem).unwrap();
    let rsa = |pem: &[u8]| EncodingKey::from_rsa_pem(pem).unwrap();
    let public = |pem: &[u8]| with_key(VerifyingKey::public(pem).unwrap());
    let secret = EncodingKey::from_secret;
    [
        (Algorithm::HS256, hs256(), secret(SECRET), secret(b"another secret of thirty-two bytes")),
        (Algorithm::EdDSA, public(key!("ed25519.pub.pem")), ed(key!("ed25519.pem")), ed(key!("ed25519-other.pem"))),
        (Algorithm::ES256, public(key!("p256.pub.pem")), ec(key!("p256.pem")), ec(key!("p256-other.pem"))),
        (Algorithm::RS256, public(key!("rsa.pub.pem")), rsa(key!("rsa.pem")), rsa(key!("rsa-other.pem"))),
    ]
}

#[test]
fn a_good_token_of_each_algorithm_is_accepted_and_one_of_another_key_is_not() {
    for (algorithm, jwt, own, other) in pairs() {
        let header = Header::new(algorithm);
        let ann = jwt.verify(&sign(&header, &claims(), &own), NOW).unwrap();
        assert_eq!((ann.account.as_str(), ann.expires_at), ("ann", Some(NOW + 60_000)), "{algorithm:?}");
        assert_eq!(refused(&jwt, &sign(&header, &claims(), &other)), "the token's signature is wrong", "{algorithm:?}");
    }
    let pkcs1 = with_key(VerifyingKey::public(key!("rsa-pkcs1.pub.pem")).unwrap());
    let rsa = EncodingKey::from_rsa_pem(key!("rsa.pem")).unwrap();
    assert!(pkcs1.verify(&sign(&Header::new(Algorithm::RS256), &claims(), &rsa), NOW).is_ok());
}

#[test]
fn a_key_takes_no_algorithm_but_its_own() {
    for (own, jwt, ..) in pairs() {
        for (other, _, key, _) in pairs() {
            if own != other {
                let why = refused(&jwt, &sign(&Header::new(other), &claims(), &key));
                assert_eq!(why, format!("the token is signed with {other:?}, not with {own:?}"));
            }
        }
    }
    let rsa = EncodingKey::from_rsa_pem(key!("rsa.pem")).unwrap();
    let jwt = with_key(VerifyingKey::public(key!("rsa.pub.pem")).unwrap());
    for other in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        refused(&jwt, &sign(&Header::new(other), &claims(), &rsa));
    }
    for other in [Algorithm::HS384, Algorithm::HS512] {
        refused(&hs256(), &sign(&Header::new(other), &claims(), &EncodingKey::from_secret(SECRET)));
    }
}

#[test]
fn a_public_key_is_not_a_secret() {
    for pem in [&key!("rsa.pub.pem")[..], key!("p256.pub.pem"), key!("ed25519.pub.pem")] {
        let jwt = with_key(VerifyingKey::public(pem).unwrap());
        for bytes in [pem, pem.trim_ascii_end(), jwt.keys[0].verifies.try_get_as_bytes().unwrap()] {
            let token = sign(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(bytes));
            assert!(refused(&jwt, &token).starts_with("the token is signed with HS256, not with "));
        }
    }
}

#[test]
fn a_token_without_a_signature_is_refused() {
    // {"alg":"none"}, {"alg":"None","typ":"JWT"} and the claims of ann.
    let payload = signed(&claims()).split('.').nth(1).unwrap().to_owned();
    for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOb25lIiwidHlwIjoiSldUIn0"] {
        for token in [format!("{header}.{payload}."), format!("{header}.{payload}"), format!("{header}.{payload}.AAAA")]
        {
            for (_, jwt, ..) in pairs() {
                refused(&jwt, &token);
            }
        }
    }
    let token = signed(&claims());
    let (unsigned, _) = token.rsplit_once('.').unwrap();
    assert_eq!(refused(&hs256(), &format!("{unsigned}.")), "the token's signature is wrong");
}

#[test]
fn other_claims_under_the_same_signature_are_refused() {
    let (ann, eve) = (signed(&claims()), signed(&with("sub", json!("eve"))));
    let (ann, eve): (Vec<_>, Vec<_>) = (ann.split('.').collect(), eve.split('.').collect());
    let forged = [ann[0], eve[1], ann[2]].join(".");
    assert_eq!(refused(&hs256(), &forged), "the token's signature is wrong");
}

#[test]
fn the_end_is_honoured_to_the_millisecond() {
    let token = signed(&with("exp", json!(NOON)));
    assert!(hs256().verify(&token, NOW - 1).is_ok());
    assert_eq!(hs256().verify(&token, NOW), Err(AuthError::Expired));
    assert_eq!(hs256().verify(&token, Millis::MAX), Err(AuthError::Expired));
    let fraction = signed(&with("exp", json!(1_800_000_000.5)));
    assert_eq!(hs256().verify(&fraction, NOW).unwrap().expires_at, Some(NOW + 500));
    let never = signed(&with("exp", json!(u64::MAX)));
    assert_eq!(hs256().verify(&never, NOW).unwrap().expires_at, Some(Millis::MAX));
}

#[test]
fn an_expired_token_of_another_key_is_rejected_rather_than_expired() {
    let other = EncodingKey::from_secret(b"another secret of thirty-two bytes");
    refused(&hs256(), &sign(&Header::new(Algorithm::HS256), &with("exp", json!(1)), &other));
}

#[test]
fn a_token_is_not_good_before_its_time() {
    assert!(hs256().verify(&signed(&with("nbf", json!(NOON + 60))), NOW).is_ok());
    assert_eq!(refused(&hs256(), &signed(&with("nbf", json!(NOON + 61)))), "the token is not valid yet (nbf)");
}

#[test]
fn each_claim_that_is_wrong_is_named() {
    for (claim, value, why) in [
        ("exp", Value::Null, "the token has no end (exp)"),
        ("exp", json!("1800000060"), "the token's exp is not a time in seconds"),
        ("exp", json!(-1), "the token's exp is not a time in seconds"),
        ("nbf", json!([]), "the token's nbf is not a time in seconds"),
        ("sub", Value::Null, "the token names no account (sub)"),
        ("sub", json!(7), "the token's account (sub) is not a string"),
        (
            "sub",
            json!("not an account"),
            "sub must be 1 to 32 characters out of letters, digits and _ @ . -, and not only dots",
        ),
        ("sub", json!(""), "sub must be 1 to 32 characters out of letters, digits and _ @ . -, and not only dots"),
        ("aud", json!("chat"), "the token is meant for others: aud does not name \"rosterd\""),
        ("aud", json!(["chat"]), "the token is meant for others: aud does not name \"rosterd\""),
        ("aud", json!(5), "the token is meant for others: aud does not name \"rosterd\""),
    ] {
        assert_eq!(refused(&hs256(), &signed(&with(claim, value))), why);
    }
    for audience in [json!("rosterd"), json!(["chat", "rosterd"])] {
        assert!(hs256().verify(&signed(&with("aud", audience)), NOW).is_ok());
    }
    for not_claims in [json!([]), json!("ann"), json!(null)] {
        refused(&hs256(), &signed(&not_claims));
    }
}

#[test]
fn issuer_and_audience_are_what_the_settings_say() {
    let mut jwt = hs256();
    (jwt.expected.issuer, jwt.expected.audience) = ("https://id".to_owned(), "roster".to_owned());
    for bad in [claims(), with("iss", json!("https://id/")), with("iss", json!(["https://id"])), with("iss", json!(7))]
    {
        assert_eq!(refused(&jwt, &signed(&bad)), "the token is from someone else: iss is not \"https://id\"");
    }
    let mut good = with("iss", json!("https://id"));
    assert!(jwt.verify(&signed(&good), NOW).is_ok());
    good["aud"] = json!("rosterd");
    assert_eq!(refused(&jwt, &signed(&good)), "the token is meant for others: aud does not name \"roster\"");
    jwt.expected.audience.clear();
    assert!(jwt.verify(&signed(&good), NOW).is_ok());
}

#[test]
fn a_token_from_the_future_is_refused_and_the_time_of_issue_is_returned() {
    let issued = |iat: Value| hs256().verify(&signed(&with("iat", iat)), NOW).map(|identity| identity.issued_at);
    assert_eq!(issued(json!(NOON)), Ok(NOW));
    assert_eq!(issued(json!(1_799_999_999.25)), Ok(NOW - 750));
    assert_eq!(issued(Value::Null), Ok(0));
    assert_eq!(issued(json!(NOON + 60)), Ok(NOW + 60_000));
    let future = refused(&hs256(), &signed(&with("iat", json!(NOON + 61))));
    assert_eq!(future, "the token was issued in the future (iat)");
}

#[test]
fn a_key_of_before_is_good_until_its_time() {
    let old = b"the secret that was in use before";
    let mut jwt = hs256();
    jwt.keys.push(VerifyingKey { until: Some(NOW + 1), ..VerifyingKey::hs256(old).unwrap() });
    jwt.keys.push(VerifyingKey { until: Some(NOW), ..VerifyingKey::public(key!("ed25519.pub.pem")).unwrap() });
    let token = sign(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(old));
    assert!(jwt.verify(&signed(&claims()), NOW).is_ok());
    assert!(jwt.verify(&token, NOW).is_ok());
    assert!(matches!(jwt.verify(&token, NOW + 1), Err(AuthError::Rejected(_))));
    let ed = EncodingKey::from_ed_pem(key!("ed25519.pem")).unwrap();
    let token = sign(&Header::new(Algorithm::EdDSA), &claims(), &ed);
    assert_eq!(refused(&jwt, &token), "the token is signed with EdDSA, not with HS256");
    assert!(jwt.verify(&token, NOW - 1).is_ok());
}

#[test]
fn critical_extensions_are_refused() {
    let header = Header { crit: Some(vec!["b64".to_owned()]), ..Header::new(Algorithm::HS256) };
    let token = sign(&header, &claims(), &EncodingKey::from_secret(SECRET));
    assert!(refused(&hs256(), &token).contains("crit"));
}

#[test]
fn a_token_of_more_than_4_kib_is_not_looked_at() {
    let long = |bytes: usize| signed(&with("pad", json!("x".repeat(bytes))));
    assert!(hs256().verify(&long(2500), NOW).is_ok());
    assert_eq!(refused(&hs256(), &long(3500)), "the token is longer than 4096 bytes");
}

#[test]
fn garbage_is_refused() {
    for token in ["", ".", "..", "...", "a.b.c", "ann", "e30.e30.e30", "\0", "ÿ.ÿ.ÿ", &"x".repeat(TOKEN_BYTES)] {
        let why = refused(&hs256(), token);
        assert!(token.len() < 3 || why == "the token is not a JSON Web Token signed with HS256", "{why}");
    }
}

#[test]
fn a_key_that_cannot_be_used_is_found_at_the_start() {
    for (pem, part) in [
        (&key!("p384.pub.pem")[..], "P-256"),
        (key!("secp256k1.pub.pem"), "P-256"),
        (key!("rsa1024.pub.pem"), "2048"),
        (key!("rsa.pem"), "private key"),
        (key!("ed25519.pem"), "private key"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "openssl x509"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no key of a type"),
        (b"-----BEGIN PUBLIC KEY-----", "no key of a type"),
        (b"-----BEGIN RSA PUBLIC KEY-----\nMAYCAQACAQM=\n-----END RSA PUBLIC KEY-----\n", "2048"),
        (b"", "PEM"),
        (b"\xff", "PEM"),
    ] {
        let why = VerifyingKey::public(pem).err().unwrap();
        assert!(why.contains(part), "{}: {why}", String::from_utf8_lossy(pem));
    }
    let two = [&key!("ed25519.pub.pem")[..], key!("rsa.pub.pem")].concat();
    assert!(VerifyingKey::public(&two).err().unwrap().contains("one block"));
    assert!(VerifyingKey::hs256(b"").is_err());
}

#[test]
fn a_minted_token_is_good_for_its_time() {
    let ann = Account::parse("ann", "account").unwrap();
    let token = sign_hs256(SECRET, &ann, ("", "rosterd"), Duration::from_mins(1), NOW + 1);
    let identity = hs256().verify(&token, NOW).unwrap();
    assert_eq!(identity, VerifiedToken { account: ann.clone(), expires_at: Some(NOW + 61_000), issued_at: NOW });
    let endless = sign_hs256(SECRET, &ann, ("us", ""), Duration::MAX, NOW);
    assert!(hs256().verify(&endless, NOW).is_ok());
}

proptest! {
    #[test]
    fn no_token_panics(token in ".*", header in "[A-Za-z0-9_-]{0,40}", payload in "[A-Za-z0-9_-]{0,40}") {
        for token in [token, format!("{header}.{payload}.{payload}"), format!("eyJhbGciOiJIUzI1NiJ9.{payload}.{header}")] {
            prop_assert!(hs256().verify(&token, NOW).is_err());
        }
    }

    #[test]
    fn no_claim_panics(text in ".*", number: f64, exp: i64) {
        for claim in ["sub", "exp", "nbf", "iat", "aud", "iss"] {
            for value in [json!(text), json!(number), json!(exp), json!([text]), json!({ text.as_str(): number })] {
                let _ = hs256().verify(&signed(&with(claim, value)), NOW);
            }
        }
    }

    #[test]
    fn no_key_file_panics(bytes: Vec<u8>, label in "(PUBLIC KEY|RSA PUBLIC KEY)", body in "[A-Za-z0-9+/]{0,64}={0,2}") {
        let _ = VerifyingKey::public(&bytes);
        let _ = VerifyingKey::public(format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").as_bytes());
    }
}
