//! The audit log: what operators did is kept before they are answered, in the store and in the log of the process.

use hyper::Method;
use rosterd::keys::hash;
use rosterd_client::Backend;
use rosterd_protocol::Encoding;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::api::{Api, error, with_users};
use crate::support::{Gateway, World};

const SUPPORT: &str = "rk_support_0123456789";
const CRM: &str = "rk_crm_0123456789";

fn settings() -> String {
    let section = |name: &str, key: &str, scopes: &[&str]| {
        format!("[ops.keys.{name}]\nsha256 = \"{}\"\nscopes = {scopes:?}\n", hash(key.as_bytes()))
    };
    section("support", SUPPORT, &["read", "sessions"]) + &section("crm", CRM, &["write", "tokens", "erase"])
}

async fn with_key(gateway: &Gateway, key: &str) -> Api {
    Api(Backend::connect(gateway.ops, key).await.unwrap())
}

/// The entries of a page in short: caller, action, subject and detail.
async fn entries(api: &mut Api, query: &str) -> Vec<String> {
    let (status, page) = api.get(&format!("/v1/audit{query}")).await;
    assert_eq!(status, 200, "{page}");
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let short = |entry: &Value| ["caller", "action", "subject", "detail"].map(|name| text(entry, name)).join(" ");
    page["entries"].as_array().unwrap().iter().map(|entry| short(entry).trim_end().to_owned()).collect()
}

#[tokio::test]
async fn what_operators_do_is_kept_before_they_are_answered() {
    let world = World::with(&settings());
    let (gateway, mut api) = with_users(&world, &["ann", "bob"]).await;
    let (mut support, mut crm) = (with_key(&gateway, SUPPORT).await, with_key(&gateway, CRM).await);
    let mut ann = gateway.login("ann", Encoding::Json).await;
    let session = ann.reply.session.clone();
    // Reading and writing of profiles is not in it.
    assert_eq!(crm.patch("/v1/users/ann", "{\"nick\": \"Ann\"}").await.0, 200);
    assert_eq!(support.get("/v1/users/ann").await.0, 200);
    assert_eq!(entries(&mut api, "").await, [""; 0]);

    let (status, kicked) = support.delete(&format!("/v1/users/ann/sessions/{session}")).await;
    assert_eq!((status, kicked), (200, json!({"kicked": [session]})));
    ann.ended().await;
    assert_eq!(support.delete("/v1/users/bob/sessions").await.0, 200);
    let secret = "of-ann-0123456789";
    let body = json!({"secret": secret}).to_string();
    assert_eq!(crm.put("/v1/users/ann/token", body).await.0, 200);
    assert_eq!(crm.delete("/v1/users/ann/token").await.0, 200);
    assert_eq!(crm.post("/v1/users/bob/tokens:revoke", "{\"issuedBefore\": 1}").await.0, 200);
    // The log is written by a thread of its own; the entries are in the store already.
    world.until_logged("tokens.revoked").await;
    gateway.kill();
    let log = world.log();
    let gateway = world.start();
    let mut api = Api(gateway.backend().await);
    let expected = [
        format!("support sessions.ended ann session={session}"),
        "support sessions.ended bob".to_owned(),
        "crm token.set ann".to_owned(),
        "crm token.removed ann".to_owned(),
        "crm tokens.revoked bob issuedBefore=1".to_owned(),
    ];
    assert_eq!(entries(&mut api, "").await, expected);
    assert_eq!(entries(&mut api, "?caller=support").await, expected[..2]);
    assert_eq!(entries(&mut api, "?subject=bob&caller=crm").await, expected[4..]);
    let (_, page) = api.get("/v1/audit?limit=3").await;
    assert_eq!((page["next"].as_str(), page["entries"][0]["number"].as_u64()), (Some("3"), Some(1)));
    assert_eq!(entries(&mut api, "?after=3").await, expected[3..]);
    let newest: Vec<_> = expected.iter().rev().cloned().collect();
    assert_eq!(entries(&mut api, "?order=desc").await, newest);
    let (_, page) = api.get("/v1/audit?order=desc&limit=2").await;
    assert_eq!((page["next"].as_str(), page["entries"][0]["number"].as_u64()), (Some("4"), Some(5)));
    assert_eq!(entries(&mut api, "?order=desc&after=4&caller=support").await, newest[3..]);
    let wrong = api.get("/v1/audit?order=newest").await;
    assert_eq!(error(&wrong), (400, 414, "INVALID_ARGUMENT", Some("order")));

    // One structured line each, and no secret.
    let lines: Vec<_> = log.lines().filter(|line| line.contains(" audit: ")).collect();
    assert_eq!(lines.len(), expected.len(), "{log}");
    let first = lines[0];
    for part in ["caller=support", "action=\"sessions.ended\"", "subject=ann", &format!("session={session}")] {
        assert!(first.contains(part), "{part}: {first}");
    }
    assert!(!log.contains(secret) && !log.contains(CRM) && !log.contains(SUPPORT), "{log}");
}

#[tokio::test]
async fn an_erased_account_is_in_no_entry_and_found_by_those_who_know_it() {
    let world = World::with(&settings());
    let (gateway, mut api) = with_users(&world, &["ann", "bob"]).await;
    let (mut support, mut crm) = (with_key(&gateway, SUPPORT).await, with_key(&gateway, CRM).await);
    assert_eq!(support.delete("/v1/users/ann/sessions").await.0, 200);
    assert_eq!(crm.delete("/v1/users/ann").await.0, 200);
    let all = entries(&mut api, "").await;
    let subject = all[0].split(' ').nth(2).unwrap().to_owned();
    assert!(subject.starts_with("erased:"), "{all:?}");
    assert_eq!(all, [format!("support sessions.ended {subject}"), format!("crm user.deleted {subject}")]);
    assert_eq!(entries(&mut api, "?subject=ann").await, all);
    assert_eq!(entries(&mut api, "?subject=bob").await, [""; 0]);
    // What did not happen is not in it.
    assert_eq!(crm.delete("/v1/users/ann").await.0, 404);
    assert_eq!(support.delete("/v1/users/ann/sessions").await.0, 404);
    assert_eq!(entries(&mut api, "").await, all);
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let world = World::with(&settings());
    let (gateway, mut api) = with_users(&world, &["ann"]).await;
    let (mut support, mut crm) = (with_key(&gateway, SUPPORT).await, with_key(&gateway, CRM).await);
    let mut ann = gateway.login("ann", Encoding::Json).await;
    let damage = Connection::open(world.path().join("rosterd.db")).unwrap();
    damage.execute_batch("ALTER TABLE audit RENAME TO elsewhere").unwrap();
    assert_eq!(error(&support.delete("/v1/users/ann/sessions").await), (503, 503, "UNAVAILABLE", None));
    for (method, path, body) in [
        (Method::DELETE, "/v1/users/ann", ""),
        (Method::PUT, "/v1/users/ann/token", "{}"),
        (Method::POST, "/v1/users/ann/tokens:revoke", ""),
    ] {
        assert_eq!(error(&crm.json(method, path, body).await), (503, 503, "UNAVAILABLE", None), "{path}");
    }
    assert!(!world.log().contains(" audit: "), "{}", world.log());
    // She is still there, and what is no action of an operator goes on.
    ann.nick("still here").await;
    assert_eq!(crm.patch("/v1/users/ann", "{\"sign\": \"hi\"}").await.0, 200);
    damage.execute_batch("ALTER TABLE elsewhere RENAME TO audit").unwrap();
    assert_eq!(entries(&mut api, "").await, [""; 0]);
    assert_eq!(support.delete("/v1/users/ann/sessions").await.0, 200);
    ann.ended().await;
    assert_eq!(entries(&mut api, "").await, ["support sessions.ended ann"]);
}

#[tokio::test]
async fn a_question_that_cannot_be_meant_is_answered_with_its_field() {
    let world = World::new();
    let (_gateway, mut api) = with_users(&world, &[]).await;
    for (query, field) in [
        ("?after=x", "after"),
        ("?after=-1", "after"),
        ("?after=%2B1", "after"),
        ("?after=1234567890123456789", "after"),
        ("?caller=CRM", "caller"),
        ("?caller=", "caller"),
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?subject=a%20b", "subject"),
    ] {
        let answer = api.get(&format!("/v1/audit{query}")).await;
        assert_eq!(error(&answer), (400, 414, "INVALID_ARGUMENT", Some(field)), "{query}");
    }
}
