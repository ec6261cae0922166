//! Key sets, by file and by URL: who signs well comes in, whatever tokens name asks nobody else for keys, and what
//! goes wrong at the place of the keys loses none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rosterd_protocol::Encoding;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::auth::{self, SECRET, login, now, refused, token};
use crate::raw::Raw;
use crate::support::{Gateway, PATIENCE, World};

const SET: &str = include_str!("../keys/jwks.json");
const OTHER: &str = include_str!("../keys/jwks-other.json");
/// What is said of a token that is not accepted.
const BAD: ((u32, Option<&str>), (u16, &str)) = ((302, Some("token")), (3500, "BAD_TOKEN"));

/// What the place of the keys answers.
#[derive(Clone)]
enum Says {
    Set(String),
    Status(&'static str),
    Redirect(String),
}

/// A server that has keys.
struct KeyServer {
    url: String,
    says: Arc<Mutex<Says>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    async fn start(says: Says) -> Self {
        Self::with_tls(says, None).await
    }

    async fn with_tls(says: Says, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{}/jwks.json", listener.local_addr().unwrap().port());
        let (says, asked) = (Arc::new(Mutex::new(says)), Arc::new(AtomicUsize::new(0)));
        let server = Self { url, says: says.clone(), asked: asked.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (says, asked, tls) = (says.clone(), asked.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                answer(stream, &says, &asked).await;
                            }
                        }
                        None => answer(stream, &says, &asked).await,
                    }
                });
            }
        });
        server
    }

    fn say(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// A gateway's settings that name it.
    fn world(&self) -> World {
        World { auth: format!("mode = \"jwt\"\njwks_url = \"{}\"", self.url), ..World::new() }
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, says: &Mutex<Says>, asked: &AtomicUsize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    assert!(head.starts_with(b"GET /jwks.json HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&head));
    asked.fetch_add(1, Ordering::SeqCst);
    let says = says.lock().unwrap().clone();
    let answer = match says {
        Says::Set(text) => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()),
        Says::Status(status) => format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"),
        Says::Redirect(to) => format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"),
    };
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// A good token for this gateway's settings but for its key.
fn claims(account: &str) -> Value {
    json!({"sub": account, "exp": now() + 600, "iat": now(), "aud": "rosterd"})
}

/// The private key of this name, and its algorithm.
fn private(name: &str) -> (Algorithm, EncodingKey) {
    let ed = |pem: &[u8]| (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem).unwrap());
    match name {
        "ed" => ed(include_bytes!("../keys/ed25519.pem")),
        "other" => ed(include_bytes!("../keys/ed25519-other.pem")),
        "ec" => (Algorithm::ES256, EncodingKey::from_ec_pem(include_bytes!("../keys/p256.pem")).unwrap()),
        "rsa" => (Algorithm::RS256, EncodingKey::from_rsa_pem(include_bytes!("../keys/rsa.pem")).unwrap()),
        other => panic!("{other}"),
    }
}

/// A token of this key, which its header calls so.
fn signed(name: &str, kid: Option<&str>, claims: &Value) -> String {
    let (algorithm, key) = private(name);
    encode(&Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) }, claims, &key).unwrap()
}

fn good(name: &str) -> String {
    signed(name, Some(name), &claims("ann"))
}

/// A login's answer: `None` if it is let in, else the code of its error and of the close.
async fn try_login(gateway: &Gateway, token: &str) -> Option<(u32, u16)> {
    let mut raw = Raw::open(gateway, Encoding::Json).await;
    let code = raw.log_in(token).await.error?.code;
    Some((code, raw.ending().await.close.unwrap().0))
}

/// Tries until a login is let in, as a client does that is asked to come back.
async fn until_let_in(gateway: &Gateway, token: &str) {
    let begun = Instant::now();
    while let Some(refused) = try_login(gateway, token).await {
        assert_eq!(refused, (503, 3002));
        assert!(begun.elapsed() < PATIENCE, "never let in");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Tries until it is said of a token that it is not good.
async fn until_refused(gateway: &Gateway, token: &str) {
    let begun = Instant::now();
    while let Some((503, 3002)) = try_login(gateway, token).await {
        assert!(begun.elapsed() < PATIENCE, "neither good nor bad");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(try_login(gateway, token).await, Some((302, 3500)));
}

#[tokio::test]
async fn every_key_of_a_set_is_good_under_its_own_name_and_algorithm() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/jwks.json");
    let by_file = World { auth: format!("mode = \"jwt\"\njwks_file = \"{file}\""), ..World::new() };
    let server = KeyServer::start(Says::Set(SET.to_owned())).await;
    for (world, by_url) in [(by_file, false), (server.world(), true)] {
        let gateway = world.start();
        gateway.populate(&["ann"], &[]).await;
        for name in ["ed", "ec", "rsa"] {
            if by_url {
                until_let_in(&gateway, &good(name)).await;
            }
            login(&gateway, &good(name), Encoding::Protobuf).await.nick(name).await;
            // Each is the only one of its algorithm.
            assert_eq!(login(&gateway, &signed(name, None, &claims("ann")), Encoding::Json).await.reply.account, "ann");
        }
        let unsigned = format!("eyJhbGciOiJub25lIiwia2lkIjoiZWQifQ.{}.", good("ed").split('.').nth(1).unwrap());
        let with = |claim: &str, value: Value| {
            let mut claims = claims("ann");
            claims[claim] = value;
            claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            signed("ed", Some("ed"), &claims)
        };
        let public = include_str!("../keys/ed25519.pub.pem");
        let of_public = Header { kid: Some("ed".to_owned()), ..Header::new(Algorithm::HS256) };
        let of_public = encode(&of_public, &claims("ann"), &EncodingKey::from_secret(public.as_bytes())).unwrap();
        for bad in [
            unsigned,
            of_public,
            signed("other", Some("ed"), &claims("ann")),
            signed("rsa", Some("ec"), &claims("ann")),
            signed("ed", Some(&"k".repeat(257)), &claims("ann")),
            // A key set's keys may sign for others too.
            with("aud", Value::Null),
            with("aud", json!("others")),
            with("nbf", json!(now() + 300)),
            with("iat", json!(now() + 300)),
        ] {
            refused(&gateway, &bad, BAD.0, BAD.1).await;
        }
    }
}

#[tokio::test]
async fn a_file_may_hold_secrets_a_url_may_not_and_a_bad_file_is_refused_at_the_start() {
    // "0123456789abcdef0123456789abcdef"
    let secrets = json!({"keys": [
        {"kty": "oct", "kid": "now", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"},
        {"kty": "oct", "kid": "short", "k": "MDEyMzQ1Njc4OWFiY2RlZg"},
        {"kty": "RSA", "kid": "for-encryption", "use": "enc", "n": "AQAB", "e": "AQAB"},
        {"kty": "new", "kid": "unheard-of"}, "nonsense",
    ]});
    let world = World::new();
    let file = world.path().join("keys.json");
    std::fs::write(&file, secrets.to_string()).unwrap();
    let world = World { auth: format!("mode = \"jwt\"\njwks_file = \"{}\"", file.display()), ..world };
    let signed = |kid: &str, secret: &str| {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
        encode(&header, &claims("ann"), &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    assert_eq!(login(&gateway, &signed("now", SECRET), Encoding::Json).await.reply.account, "ann");
    until_refused(&gateway, &signed("short", "0123456789abcdef")).await;
    // The file is read again for a name that is new; who came before it is let in still.
    let both: Value = serde_json::from_str(SET).unwrap();
    std::fs::write(&file, both.to_string()).unwrap();
    let began = Instant::now();
    while try_login(&gateway, &good("ed")).await.is_some() {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    drop(gateway);
    for (text, why) in [("nonsense", "JSON"), ("{}", "Key Set"), ("{\"keys\": []}", "no key")] {
        std::fs::write(&file, text).unwrap();
        for command in [&["serve"][..], &["config", "check"]] {
            let said = world.run_badly(command);
            assert!(said.contains("auth.jwks_file") && said.contains("keys.json") && said.contains(why), "{said}");
        }
    }
    let server = KeyServer::start(Says::Set(secrets.to_string())).await;
    let world = server.world();
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    refused(&gateway, &signed("now", SECRET), BAD.0, BAD.1).await;
}

#[tokio::test]
async fn a_key_that_is_new_is_found_when_a_token_names_it_and_names_that_are_not_cost_nothing_more() {
    let server = KeyServer::start(Says::Set(SET.to_owned())).await;
    let world = server.world();
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    until_let_in(&gateway, &good("ed")).await;
    let at_first = server.asked();
    // Before the keys change, a hundred tokens name a hundred keys: whoever is behind them has the set read once more
    // at the most, and all others of that time are asked to come back.
    let junk: Vec<_> = (0..100).map(|n| signed("other", Some(&format!("junk{n}")), &claims("ann"))).collect();
    let answers = join_all(junk.iter().map(|token| try_login(&gateway, token))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Some((302, 3500) | (503, 3002)))), "{answers:?}");
    assert!(server.asked() <= at_first + 1, "{} reads", server.asked() - at_first);
    // Nobody else is held up by them.
    assert_eq!(login(&gateway, &good("rsa"), Encoding::Json).await.reply.account, "ann");
    server.say(Says::Set(OTHER.to_owned()));
    until_let_in(&gateway, &good("other")).await;
    // What was looked for in vain is known to be nowhere.
    let reads = server.asked();
    let kid = signed("ed", Some("never-there"), &claims("ann"));
    until_refused(&gateway, &kid).await;
    for _ in 0..20 {
        assert_eq!(try_login(&gateway, &kid).await, Some((302, 3500)));
    }
    assert!(server.asked() <= reads + 1);
    // A key that was taken out is good no more.
    assert_eq!(try_login(&gateway, &good("rsa")).await.map(|(_, close)| close >= 3000), Some(true));
    assert!(gateway.metric("rosterd_key_set_reads_total").await as usize + 1 >= server.asked());
}

#[tokio::test]
async fn what_a_token_names_as_the_place_of_its_key_is_not_asked() {
    let (own, evil) =
        (KeyServer::start(Says::Set(SET.to_owned())).await, KeyServer::start(Says::Set(OTHER.to_owned())).await);
    let world = own.world();
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    until_let_in(&gateway, &good("ed")).await;
    let (algorithm, key) = private("other");
    let jwk = serde_json::from_value(serde_json::from_str::<Value>(OTHER).unwrap()["keys"][0].clone()).unwrap();
    for header in [
        Header { jku: Some(evil.url.clone()), kid: Some("other".to_owned()), ..Header::new(algorithm) },
        Header { x5u: Some(evil.url.clone()), kid: Some("other".to_owned()), ..Header::new(algorithm) },
        Header { jwk: Some(jwk), kid: Some("ed".to_owned()), ..Header::new(algorithm) },
        Header { kid: Some(evil.url.clone()), ..Header::new(algorithm) },
    ] {
        let mut claims = claims("ann");
        claims["iss"] = json!(evil.url);
        assert!(try_login(&gateway, &encode(&header, &claims, &key).unwrap()).await.is_some());
    }
    // Nor is where the place of the keys would send us.
    own.say(Says::Redirect(evil.url.clone()));
    let asked = own.asked();
    let begun = Instant::now();
    while own.asked() == asked {
        assert!(try_login(&gateway, &good("other")).await.is_some() && begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(try_login(&gateway, &good("other")).await.is_some());
    assert_eq!(evil.asked(), 0);
    assert_eq!(login(&gateway, &good("ed"), Encoding::Json).await.reply.account, "ann");
}

#[tokio::test]
async fn while_there_are_no_keys_clients_are_asked_to_come_back_and_once_there_were_some_they_stay() {
    let server = KeyServer::start(Says::Status("500 Internal Server Error")).await;
    let world = server.world();
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    assert_eq!(try_login(&gateway, &good("ed")).await, Some((503, 3002)));
    server.say(Says::Set(SET.to_owned()));
    until_let_in(&gateway, &good("ed")).await;
    server.say(Says::Set("<html>".to_owned()));
    let asked = server.asked();
    let begun = Instant::now();
    // It is asked again, in vain, as soon as that may be.
    while server.asked() == asked {
        assert_eq!(try_login(&gateway, &good("other")).await, Some((503, 3002)));
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(login(&gateway, &good("rsa"), Encoding::Json).await.reply.account, "ann");
    world.until_logged("the keys of before stay").await;
}

#[tokio::test]
async fn keys_come_over_tls_from_a_server_that_this_machine_trusts_and_from_no_other() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    let server = KeyServer::with_tls(Says::Set(SET.to_owned()), Some(tls)).await;
    let trusting = server.world();
    let list = trusting.path().join("authorities.pem");
    std::fs::write(&list, made.cert.pem()).unwrap();
    let through = format!("SSL_CERT_FILE='{}' exec \"$@\"", list.display());
    let trusting = World { through: Some(through), ..trusting };
    let gateway = trusting.start();
    gateway.populate(&["ann"], &[]).await;
    until_let_in(&gateway, &good("ed")).await;
    let asked = server.asked();
    let wary = server.world();
    let gateway = wary.start();
    gateway.populate(&["ann"], &[]).await;
    assert_eq!(try_login(&gateway, &good("ed")).await, Some((503, 3002)));
    assert_eq!(server.asked(), asked);
    let said = auth::with_secret().run_badly(&["config", "check", "--set", "auth.jwks_url=http://id.example.com/jwks"]);
    assert!(said.contains("auth.jwks_url"), "{said}");
}

#[tokio::test]
async fn the_secret_of_before_is_good_until_its_time_beside_a_key_of_another_kind() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/jwks.json");
    let until = |text: &str| World {
        auth: format!(
            "mode = \"jwt\"\njwks_file = \"{file}\"\nprevious_hs256_secret = \"{SECRET}\"\nprevious_until = \"{text}\""
        ),
        ..World::new()
    };
    let old = auth::signed(SECRET, &claims("ann"));
    let (valid, over) = (until("2222-01-01T00:00:00Z"), until("2022-01-01T00:00:00Z"));
    for (world, lets_in) in [(valid, true), (over, false)] {
        let gateway = world.start();
        gateway.populate(&["ann"], &[]).await;
        assert_eq!(login(&gateway, &good("ed"), Encoding::Json).await.reply.account, "ann");
        assert_eq!(try_login(&gateway, &old).await, (!lets_in).then_some((302, 3500)));
    }
    let said = until("next year").run_badly(&["config", "check"]);
    assert!(said.contains("auth.previous_until") && said.contains("2026-12-01T00:00:00Z"), "{said}");
    assert_eq!(token("ann", 1).split('.').count(), 3);
}
