//! Tokens through the socket: who comes in, who does not, how a session outlives its token, and that no log shows one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rosterd_client::Replica;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::raw::{BINARY, Frame, Raw, TEXT, payload};
use crate::support::{Gateway, PATIENCE, Peer, World};

pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Verifies with a secret.
pub fn with_secret() -> World {
    World { auth: format!("mode = \"jwt\"\nhs256_secret = \"{SECRET}\""), ..World::new() }
}

fn with_public_key() -> World {
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/ed25519.pub.pem");
    World { auth: format!("mode = \"jwt\"\npublic_key_file = \"{key}\""), ..World::new() }
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What a good token says, for so many seconds from now; they may be past.
pub fn claims(account: &str, seconds: i64) -> Value {
    json!({"sub": account, "exp": now().checked_add_signed(seconds).unwrap()})
}

pub fn signed(secret: &str, claims: &Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

pub fn token(account: &str, seconds: i64) -> String {
    signed(SECRET, &claims(account, seconds))
}

/// Signed with a private key of `tests/keys`.
pub fn signed_ed(pem: &[u8], claims: &Value) -> String {
    encode(&Header::new(Algorithm::EdDSA), claims, &EncodingKey::from_ed_pem(pem).unwrap()).unwrap()
}

/// The claims of a token under a header that says it needs no signature.
fn unsigned(token: &str) -> String {
    // {"alg":"none"}
    format!("eyJhbGciOiJub25lIn0.{}.", token.split('.').nth(1).unwrap())
}

pub async fn login(gateway: &Gateway, token: &str, encoding: Encoding) -> Peer {
    let (mut client, mut replica) = (gateway.connect(encoding).await, Replica::default());
    let reply = timeout(PATIENCE, client.login(token, &mut replica)).await.expect("a login in time").unwrap();
    Peer { client, replica, reply }
}

/// A login that is refused: the error's code and field, then a goodbye and a close frame that agree.
pub async fn refused(gateway: &Gateway, token: &str, (code, field): (u32, Option<&str>), (close, word): (u16, &str)) {
    for encoding in Encoding::ALL {
        let mut raw = Raw::open(gateway, encoding).await;
        let error = raw.log_in(token).await.error.unwrap();
        assert_eq!((error.code, error.field.as_deref()), (code, field), "{error:?}");
        assert!(token.len() < 20 || !error.message.contains(token), "the answer shows the token: {error:?}");
        raw.ending().await.assert(close, word, &error.message);
    }
}

#[tokio::test]
async fn a_good_token_lets_in_and_the_reply_says_when_it_ends() {
    let (secret, key) = (with_secret(), with_public_key());
    let ed = |seconds| signed_ed(include_bytes!("../keys/ed25519.pem"), &claims("ann", seconds));
    for (world, token) in [(secret, token("ann", 600)), (key, ed(600))] {
        let gateway = world.start();
        gateway.populate(&["ann"], &[]).await;
        for encoding in Encoding::ALL {
            let mut ann = login(&gateway, &token, encoding).await;
            assert_eq!(ann.reply.account, "ann");
            let left = ann.reply.expires_at.unwrap().checked_sub(ann.reply.server_time).unwrap();
            assert!((500_000..=600_000).contains(&left), "{left}");
            ann.nick("Ann").await;
        }
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_does_not() {
    let (secret, key) = (with_secret(), with_public_key());
    let (by_secret, by_key) = (secret.start(), key.start());
    let bad = ((302, Some("token")), (3500, "BAD_TOKEN"));
    let (good, ed) = (token("ann", 600), include_bytes!("../keys/ed25519.pem"));
    for gateway in [&by_secret, &by_key] {
        gateway.populate(&["ann"], &[]).await;
        let long = "x".repeat(5000);
        for token in ["", "ann", "a.b.c", &unsigned(&good), &format!("{good}x"), &long] {
            refused(gateway, token, bad.0, bad.1).await;
        }
    }
    let other = include_bytes!("../keys/ed25519-other.pem");
    let public = include_str!("../keys/ed25519.pub.pem");
    for token in [
        signed("another secret of thirty-two bytes", &claims("ann", 600)),
        signed_ed(ed, &claims("ann", 600)),
        signed(SECRET, &json!({"sub": "ann"})),
        signed(SECRET, &json!({"exp": now() + 600})),
        signed(SECRET, &json!({"sub": "a b", "exp": now() + 600})),
        signed(SECRET, &json!({"sub": "ann", "exp": now() + 600, "nbf": now() + 300})),
        signed(SECRET, &json!({"sub": "ann", "exp": now() + 600, "aud": "others"})),
    ] {
        refused(&by_secret, &token, bad.0, bad.1).await;
    }
    for token in [signed_ed(other, &claims("ann", 600)), good, signed(public, &claims("ann", 600))] {
        refused(&by_key, &token, bad.0, bad.1).await;
    }
    // A token that was valid gets another answer: the client only needs a new one.
    let expired = (302, Some("token"));
    refused(&by_secret, &token("ann", -1), expired, (3506, "TOKEN_EXPIRED")).await;
    refused(&by_key, &signed_ed(ed, &claims("ann", -1)), expired, (3506, "TOKEN_EXPIRED")).await;
    for gateway in [&by_secret, &by_key] {
        assert_eq!((gateway.metric("rosterd_sessions").await, gateway.metric("rosterd_connections").await), (0.0, 0.0));
    }
}

#[tokio::test]
async fn an_account_that_nobody_made_is_made_only_where_the_settings_say_so() {
    let world = with_secret();
    let gateway = world.start();
    refused(&gateway, &token("new", 600), (404, None), (3500, "BAD_TOKEN")).await;
    gateway.kill();
    let gateway = world.start_with(&["auth.create_accounts=true"]);
    let mut made = login(&gateway, &token("new", 600), Encoding::Json).await;
    assert_eq!(made.replica.me().unwrap(), &v1::User { account: "new".into(), ..made.replica.me().unwrap().clone() });
    made.nick("New").await;
    assert_eq!(gateway.user("new").await["nick"], "New");
    // A second login makes nothing anew.
    assert_eq!(login(&gateway, &token("new", 600), Encoding::Protobuf).await.replica.me().unwrap().nick, "New");
    refused(&gateway, &token("newer", -1), (302, Some("token")), (3506, "TOKEN_EXPIRED")).await;
    let (status, _) = gateway.backend().await.send(hyper::Method::GET, "/v1/users/newer", String::new()).await.unwrap();
    assert_eq!(status, 404);
}

pub fn refresh(token: String) -> ClientCommand {
    ClientCommand::Refresh(v1::Refresh { token })
}

#[tokio::test]
async fn a_session_ends_with_its_token_unless_it_is_refreshed() {
    let world = with_secret();
    let gateway = world.start_with(&["auth.expiry_grace=0s"]);
    gateway.populate(&["ann"], &[]).await;
    let sign_in = async |encoding, seconds| {
        let mut raw = Raw::open(&gateway, encoding).await;
        let reply = raw.log_in(&token("ann", seconds)).await.login_reply.unwrap();
        while raw.server().await.synced.is_none() {}
        (raw, reply.expires_at.unwrap())
    };
    let (mut refreshed, first_end) = sign_in(Encoding::Protobuf, 4).await;
    let (mut lapsing, ends) = sign_in(Encoding::Json, 4).await;
    assert!(ends >= first_end);
    let (mut shortened, _) = sign_in(Encoding::Json, 600).await;
    let reply = refreshed.command(refresh(token("ann", 600))).await.refresh_reply.unwrap();
    assert!(reply.expires_at.unwrap() > first_end + 500_000);
    // What is refused prolongs nothing, and ends nothing.
    for (bad, code) in [(token("eve", 600), 403), ("garbage".to_owned(), 302), (token("ann", -5), 302)] {
        for raw in [&mut lapsing, &mut refreshed] {
            let error = raw.command(refresh(bad.clone())).await.error.unwrap();
            assert_eq!((error.code, error.field.as_deref()), (code, Some("token")), "{error:?}");
            raw.assert_alive("after a refresh that was refused").await;
        }
    }
    // The newest token counts, even if it ends sooner.
    assert!(shortened.command(refresh(token("ann", 2))).await.refresh_reply.is_some());
    lapsing.ending().await.assert(3506, "TOKEN_EXPIRED", "not refreshed");
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(at >= Duration::from_millis(ends) && at < Duration::from_millis(ends + 3000), "{at:?}, not {ends}");
    shortened.ending().await.assert(3506, "TOKEN_EXPIRED", "refreshed with less");
    refreshed.assert_alive("after the end of its first token").await;
}

#[tokio::test]
async fn a_session_may_outlast_its_token_by_the_grace_and_be_refreshed_in_it() {
    let world = with_secret();
    let gateway = world.start_with(&["auth.expiry_grace=3s"]);
    gateway.populate(&["ann"], &[]).await;
    let sign_in = async || {
        let mut raw = Raw::open(&gateway, Encoding::Json).await;
        let reply = raw.log_in(&token("ann", 2)).await.login_reply.unwrap();
        while raw.server().await.synced.is_none() {}
        (raw, reply.expires_at.unwrap())
    };
    let ((mut late, _), (mut lapsing, ends)) = (sign_in().await, sign_in().await);
    let at = || Duration::from_millis(ends).saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
    while !at().is_zero() {
        lapsing.assert_alive("before the end").await;
        tokio::time::sleep(at().min(Duration::from_millis(200))).await;
    }
    // The token has ended: it lets nobody in, and the session that has it lives.
    refused(
        &gateway,
        &signed(SECRET, &json!({"sub": "ann", "exp": ends / 1000})),
        (302, Some("token")),
        (3506, "TOKEN_EXPIRED"),
    )
    .await;
    late.assert_alive("in the grace").await;
    assert!(late.command(refresh(token("ann", 600))).await.refresh_reply.is_some());
    lapsing.ending().await.assert(3506, "TOKEN_EXPIRED", "not refreshed");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(now >= Duration::from_millis(ends + 3000), "{now:?}");
    late.assert_alive("refreshed in the grace").await;
}

#[tokio::test]
async fn development_mode_is_refused_where_others_can_connect() {
    let world = World::new();
    for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7678"] {
        let said = world.run_badly(&["serve", "--set", &format!("clients.listen={open}")]);
        assert!(said.contains("clients.listen: is ") && said.contains("anyone may be any account"), "{said}");
    }
    // With tokens that are verified it is fine.
    let world = with_secret();
    let gateway = world.start_with(&["clients.listen=0.0.0.0:0"]);
    assert!(gateway.clients.ip().is_unspecified());
}

/// Everything a client can send that holds a token or a profile's content, in the right place and in wrong ones.
async fn say_everything(gateway: &Gateway, encoding: Encoding, token: &str, secret_text: &str) {
    let text = || Some(secret_text.to_owned());
    let update = v1::UpdateMyInfo { nick: text(), sign: text(), custom: text(), ..Default::default() };
    let set = |update: v1::UpdateMyInfo| ClientCommand::UpdateMyInfo(update);
    let mut raw = Raw::open(gateway, encoding).await;
    assert!(raw.log_in(token).await.login_reply.is_some());
    while raw.server().await.synced.is_none() {}
    raw.command(set(update.clone())).await.update_my_info_reply.unwrap();
    for command in [
        set(v1::UpdateMyInfo { email: text(), ..update.clone() }),
        set(v1::UpdateMyInfo { birth: text(), ..update.clone() }),
        set(v1::UpdateMyInfo { if_version: Some(1), ..update.clone() }),
        refresh(format!("{token}x")),
        refresh(secret_text.to_owned()),
        ClientCommand::Login(v1::Login { token: token.to_owned(), ..Default::default() }),
    ] {
        assert!(raw.command(command).await.error.is_some());
    }
    if encoding == Encoding::Json {
        for json in [
            json!({"id": 1, "updateMyInfo": {"nick": [secret_text]}}),
            json!({"id": 1, "updateMyInfo": {"gender": secret_text}}),
            json!({"id": 1, "updateMyInfo": secret_text}),
            json!({"id": secret_text, "updateMyInfo": {}}),
            json!({"id": 1, "refresh": [token]}),
        ] {
            assert!(raw.ask(json.to_string()).await.error.is_some());
        }
    }
    let whole = payload(encoding, set(update), 9);
    let own = if encoding == Encoding::Json { TEXT } else { BINARY };
    let wrong = [
        whole[..whole.len() - 1].to_vec(),
        token.into(),
        secret_text.into(),
        json!(token).to_string().into_bytes(),
        json!([secret_text]).to_string().into_bytes(),
        format!("{{\"{secret_text}\": \"{token}\" x").into_bytes(),
    ];
    let unreadable = wrong.into_iter().map(|payload| Frame::new(own, payload));
    for frame in unreadable.chain([Frame::new(own, token).reserved(), Frame::new(own, secret_text).unmasked()]) {
        let mut raw = Raw::open(gateway, encoding).await;
        raw.send(&frame).await;
        raw.ending().await.assert(3501, "MALFORMED_FRAME", "what cannot be read");
    }
    refused(gateway, &format!("{token}x"), (302, Some("token")), (3500, "BAD_TOKEN")).await;
}

#[tokio::test]
async fn no_log_shows_a_token_a_key_or_what_a_profile_holds() {
    let world = with_secret();
    let gateway = world.start_with(&["log.level=trace"]);
    gateway.populate(&["ann"], &[]).await;
    let (token, secret_text) = (token("ann", 600), "my-very-own-content");
    for encoding in Encoding::ALL {
        say_everything(&gateway, encoding, &token, secret_text).await;
    }
    let mut backend = gateway.backend().await;
    for body in [json!({"sign": secret_text}), json!({"sign": [secret_text]}), json!(secret_text)] {
        backend.send(hyper::Method::PATCH, "/v1/users/ann", body.to_string()).await.unwrap();
        backend.send(hyper::Method::POST, "/v1/import", json!({"user": body}).to_string()).await.unwrap();
    }
    assert_eq!(gateway.user("ann").await["sign"], secret_text);
    assert_eq!(gateway.terminate().await, Some(0));
    let log = world.log();
    // It did log, down to the frames that it could not read.
    assert!(log.contains("stopping") && log.contains("a frame could not be read"), "{log}");
    let (_, signature) = token.rsplit_once('.').unwrap();
    let claims = token.split('.').nth(1).unwrap();
    for hidden in [claims, signature, secret_text, SECRET, crate::support::API_KEY] {
        let shown: Vec<_> = log.lines().filter(|line| line.contains(hidden)).collect();
        assert!(shown.is_empty(), "{hidden}: {shown:#?}");
    }
}

/// The lines about refused logins.
fn refusals(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("a login was refused")).collect()
}

#[tokio::test]
async fn a_refused_login_is_logged_with_reason_and_address_and_without_the_token() {
    let world = with_secret();
    let gateway = world.start_with(&["log.level=info,rosterd=debug"]);
    gateway.populate(&["ann"], &[]).await;
    let (forged, nobodys) = (signed("another-secret-of-32-bytes-or-more", &claims("ann", 600)), token("nobody", 600));
    for token in [&forged, &nobodys, &token("ann", 600)] {
        let mut raw = Raw::open(&gateway, Encoding::Json).await;
        raw.log_in(token).await;
    }
    assert_eq!(gateway.terminate().await, Some(0));
    let log = world.log();
    let [first, second] = refusals(&log)[..] else { panic!("{log}") };
    assert!(
        first.contains("reason=\"UNAUTHENTICATED\" address=127.0.0.1 why=\"the token is not accepted: the token's signature is wrong\""),
        "{first}"
    );
    assert!(second.contains("reason=\"NOT_FOUND\" address=127.0.0.1") && second.contains("nobody"), "{second}");
    for part in forged.split('.').chain(nobodys.split('.')) {
        assert!(!log.contains(part), "{part}: {log}");
    }
}

#[tokio::test]
async fn a_refused_login_is_logged_with_the_address_that_a_proxy_names_and_only_at_debug_level() {
    let world = with_secret();
    for (level, lines) in [("info", 0), ("info,rosterd=debug", 1)] {
        let level = format!("log.level={level}");
        let gateway = world.start_with(&[&level, "clients.trusted_proxies=127.0.0.1"]);
        let mut raw = Raw::try_open(gateway.clients, "X-Forwarded-For: 203.0.113.7\r\n").await.unwrap();
        assert!(raw.log_in("no token").await.error.is_some());
        assert_eq!(gateway.terminate().await, Some(0));
        let log = world.log();
        assert_eq!(refusals(&log).len(), lines, "{log}");
        assert!(refusals(&log).iter().all(|line| line.contains("address=203.0.113.7")), "{log}");
    }
}
