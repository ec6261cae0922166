//! Static tokens, and tokens that are revoked: through the server API, and what clients then get.

use hyper::Method;
use rosterd_protocol::Encoding;
use serde_json::{Value, json};

use crate::auth::{SECRET, login, now, refresh, refused, signed, token, with_secret};
use crate::raw::Raw;
use crate::support::{Gateway, World};

const BAD: ((u32, Option<&str>), (u16, &str)) = ((302, Some("token")), (3500, "BAD_TOKEN"));

async fn api(gateway: &Gateway, method: Method, path: &str, body: Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, text) = gateway.backend().await.send(method, path, body).await.unwrap();
    (status, serde_json::from_str(&text).unwrap())
}

async fn revoke(gateway: &Gateway, account: &str, body: Value) -> u64 {
    let path = format!("/v1/users/{account}/tokens:revoke");
    let (status, answer) = api(gateway, Method::POST, &path, body).await;
    assert_eq!(status, 200, "{answer}");
    answer["issuedBefore"].as_u64().unwrap()
}

async fn set(gateway: &Gateway, account: &str, body: Value) -> String {
    let (status, answer) = api(gateway, Method::PUT, &format!("/v1/users/{account}/token"), body).await;
    assert_eq!(status, 200, "{answer}");
    answer["token"].as_str().unwrap().to_owned()
}

/// A token issued so many seconds from now.
fn issued(account: &str, seconds: i64) -> String {
    signed(SECRET, &json!({"sub": account, "exp": now() + 600, "iat": now().checked_add_signed(seconds).unwrap()}))
}

/// A session that goes by this token.
async fn session(gateway: &Gateway, token: &str) -> Raw {
    let mut raw = Raw::open(gateway, Encoding::Json).await;
    let reply = raw.log_in(token).await;
    assert!(reply.login_reply.is_some(), "{reply:?}");
    while raw.server().await.synced.is_none() {}
    raw
}

#[tokio::test]
async fn a_static_token_lets_in_until_another_takes_its_place() {
    let only_static = World { auth: "mode = \"static\"".to_owned(), ..World::new() };
    for world in [only_static, with_secret()] {
        let gateway = world.start();
        gateway.populate(&["ann", "bob"], &[]).await;
        refused(&gateway, "ann:0123456789abcdef", BAD.0, BAD.1).await;
        let random = set(&gateway, "ann", Value::Null).await;
        assert!(random.starts_with("ann:") && random.len() == 68, "{random}");
        for encoding in Encoding::ALL {
            let mut ann = login(&gateway, &random, encoding).await;
            assert_eq!((ann.reply.account.as_str(), ann.reply.expires_at), ("ann", None));
            ann.nick("Ann").await;
        }
        let secret = random.strip_prefix("ann:").unwrap();
        for bad in [
            format!("bob:{secret}"),
            secret.to_owned(),
            format!("{random}0"),
            random[..random.len() - 1].to_owned(),
            "ann:".to_owned(),
            format!("nobody:{secret}"),
            format!("a b:{secret}"),
            "ann:\u{0}".to_owned(),
            format!("ann:{}", "x".repeat(5000)),
        ] {
            refused(&gateway, &bad, BAD.0, BAD.1).await;
        }
        // One's own, as it was elsewhere; sessions that are there stay.
        let mut before = session(&gateway, &random).await;
        let own = set(&gateway, "ann", json!({"secret": "a-secret:brought-along"})).await;
        assert_eq!(own, "ann:a-secret:brought-along");
        refused(&gateway, &random, BAD.0, BAD.1).await;
        before.assert_alive("after its token was replaced").await;
        assert_eq!(before.command(refresh(random.clone())).await.error.unwrap().code, 302);
        assert!(before.command(refresh(own.clone())).await.refresh_reply.is_some());
        assert_eq!(login(&gateway, &own, Encoding::Json).await.reply.account, "ann");
        assert_eq!(api(&gateway, Method::DELETE, "/v1/users/ann/token", Value::Null).await, (200, json!({})));
        refused(&gateway, &own, BAD.0, BAD.1).await;
        for (account, body, status) in
            [("nobody", Value::Null, 404), ("ann", json!({"secret": "short"}), 400), ("ann", json!([1]), 400)]
        {
            let (found, answer) = api(&gateway, Method::PUT, &format!("/v1/users/{account}/token"), body).await;
            assert_eq!(found, status, "{answer}");
        }
        // With its account it is gone for good.
        let last = set(&gateway, "ann", Value::Null).await;
        api(&gateway, Method::DELETE, "/v1/users/ann", Value::Null).await;
        gateway.populate(&["ann"], &[]).await;
        refused(&gateway, &last, BAD.0, BAD.1).await;
    }
}

#[tokio::test]
async fn a_static_token_is_nowhere_on_the_disk_and_in_no_log() {
    let world = World { auth: "mode = \"static\"".to_owned(), ..World::new() };
    let gateway = world.start_with(&["log.level=trace"]);
    gateway.populate(&["ann"], &[]).await;
    let secret = "a-secret-that-nobody-else-has";
    let (random, own) =
        (set(&gateway, "ann", Value::Null).await, set(&gateway, "ann", json!({"secret": secret})).await);
    assert_eq!(login(&gateway, &own, Encoding::Json).await.reply.account, "ann");
    refused(&gateway, &random, BAD.0, BAD.1).await;
    assert_eq!(gateway.terminate().await, Some(0));
    let random = random.strip_prefix("ann:").unwrap();
    let mut looked_at = 0;
    for entry in std::fs::read_dir(world.path()).unwrap() {
        let file = entry.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        for hidden in [secret, random] {
            assert!(!bytes.windows(hidden.len()).any(|part| part == hidden.as_bytes()), "{}", file.display());
        }
        looked_at += bytes.len();
    }
    assert!(looked_at > 10_000);
}

#[tokio::test]
async fn revoked_tokens_let_nobody_in_and_their_sessions_end() {
    let world = with_secret();
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let (old, new, silent) = (issued("ann", -100), issued("ann", 30), token("ann", 600));
    let (mut by_old, mut by_new) = (session(&gateway, &old).await, session(&gateway, &new).await);
    let (mut by_silent, mut bob) = (session(&gateway, &silent).await, session(&gateway, &issued("bob", -100)).await);
    let mut refreshed = session(&gateway, &old).await;
    assert!(refreshed.command(refresh(new.clone())).await.refresh_reply.is_some());
    let by_static = set(&gateway, "ann", Value::Null).await;
    let mut fixed = session(&gateway, &by_static).await;

    let at = revoke(&gateway, "ann", Value::Null).await;
    assert!(at >= now() * 1000 - 5000);
    for (ended, what) in
        [(&mut by_old, "issued before"), (&mut by_silent, "says no time"), (&mut fixed, "its token is static")]
    {
        ended.ending().await.assert(3500, "BAD_TOKEN", what);
    }
    by_new.assert_alive("issued later").await;
    refreshed.assert_alive("refreshed with one issued later").await;
    bob.assert_alive("someone else").await;
    for bad in [&old, &silent, &by_static] {
        refused(&gateway, bad, BAD.0, BAD.1).await;
        assert_eq!(by_new.command(refresh(bad.clone())).await.error.unwrap().code, 302);
    }
    by_new.assert_alive("after a refresh that was refused").await;
    assert_eq!(login(&gateway, &new, Encoding::Json).await.reply.account, "ann");
    // One that is set afterwards is good at once.
    let again = set(&gateway, "ann", Value::Null).await;
    let mut again_there = session(&gateway, &again).await;

    // It is durable, an earlier time takes nothing back, and the account may go and come.
    gateway.kill();
    let gateway = world.start();
    assert_eq!(revoke(&gateway, "ann", json!({"issuedBefore": 5})).await, 5);
    refused(&gateway, &old, BAD.0, BAD.1).await;
    api(&gateway, Method::DELETE, "/v1/users/ann", Value::Null).await;
    gateway.populate(&["ann"], &[]).await;
    refused(&gateway, &old, BAD.0, BAD.1).await;
    assert_eq!(login(&gateway, &new, Encoding::Json).await.reply.account, "ann");
    assert!(again_there.ending().await.goodbye.is_none(), "killed without a word");
}

#[tokio::test]
async fn a_revocation_has_a_time_of_its_own_and_needs_no_account() {
    let world = with_secret();
    let gateway = world.start_with(&["auth.create_accounts=true"]);
    gateway.populate(&["ann"], &[]).await;
    let ago = |seconds: u64| (now() - seconds) * 1000;
    let (mut older, mut newer) =
        (session(&gateway, &issued("ann", -200)).await, session(&gateway, &issued("ann", -100)).await);
    assert_eq!(revoke(&gateway, "ann", json!({"issuedBefore": ago(150)})).await, ago(150));
    older.ending().await.assert(3500, "BAD_TOKEN", "issued before that time");
    newer.assert_alive("issued after that time").await;
    // A token that is old enough to be stolen makes no account either.
    revoke(&gateway, "new", json!({"issuedBefore": ago(10)})).await;
    refused(&gateway, &issued("new", -20), BAD.0, BAD.1).await;
    let (status, _) = api(&gateway, Method::GET, "/v1/users/new", Value::Null).await;
    assert_eq!(status, 404);
    assert_eq!(login(&gateway, &issued("new", 0), Encoding::Json).await.reply.account, "new");
    for (body, status) in [
        (json!({"issuedBefore": (now() + 3600) * 1000}), 400),
        (json!({"issuedBefore": u64::MAX}), 400),
        (json!({"issuedBefore": -1}), 400),
        (json!({"issuedBefore": "now"}), 400),
        (json!(7), 400),
    ] {
        let (found, answer) = api(&gateway, Method::POST, "/v1/users/ann/tokens:revoke", body.clone()).await;
        assert_eq!(found, status, "{body}: {answer}");
    }
    let (status, _) = api(&gateway, Method::POST, "/v1/users/a%20b/tokens:revoke", Value::Null).await;
    assert_eq!(status, 400);
    newer.assert_alive("after revocations that were refused").await;
}
