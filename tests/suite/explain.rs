//! An operator can ask who is there, and why an account did not get another's change.

use std::collections::BTreeSet;

use hyper::Method;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};

use crate::raw::Raw;
use crate::support::{Gateway, World, reason, to};

async fn explain(gateway: &Gateway, account: &str, viewer: &str) -> Value {
    let path = format!("/v1/accounts/{account}/explain?viewer={viewer}");
    gateway.backend().await.request(Method::GET, &path, String::new()).await.unwrap()
}

#[tokio::test]
async fn every_obstacle_between_a_change_and_its_viewer_is_named() {
    let world = World::with("[profile.visibility]\ntel = \"self\"\nemail = \"friends\"\n");
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[("alice", "bob")]).await;
    // Nobody is there.
    let answer = explain(&gateway, "alice", "bob").await;
    assert_eq!(answer["reasons"], json!(["OFFLINE", "HIDDEN_FIELDS"]));
    assert_eq!((&answer["sessions"], &answer["liveVersion"]), (&json!([]), &Value::Null));
    // Bob is, and sees what friends see.
    let mut alice = gateway.login("alice", Encoding::Json).await;
    let mut bob = gateway.login("bob", Encoding::Protobuf).await;
    let nick = alice.nick("Ally").await;
    bob.until(|replica| replica.users()["alice"].nick == "Ally").await;
    let answer = explain(&gateway, "alice", "bob").await;
    assert_eq!(answer["reasons"], json!(["HIDDEN_FIELDS"]));
    assert!(answer["because"][0].as_str().unwrap().contains("a change of tel alone is not told"), "{answer}");
    assert_eq!((&answer["audience"], &answer["viewerLists"]["state"]), (&json!("friends"), &json!("friend")));
    assert_eq!(answer["liveVersion"], json!(nick.version));
    assert_eq!(answer["horizon"], json!(nick.version));
    let session = &answer["sessions"][0];
    assert_eq!(session["session"], json!(bob.reply.session));
    assert_eq!((&session["asFriend"], &session["waiting"]), (&json!(true), &json!([])));
    assert_eq!(session["told"], json!(nick.version));
    // A hidden change moves the view of the account itself and no other.
    let tel = ClientCommand::UpdateMyInfo(v1::UpdateMyInfo { tel: Some("1".to_owned()), ..Default::default() });
    let version = alice.request(tel).await.update_my_info_reply.unwrap().user.unwrap().version;
    let answer = explain(&gateway, "alice", "bob").await;
    let views: Vec<_> = answer["views"].as_array().unwrap().iter().map(|view| view["version"].clone()).collect();
    assert_eq!(views, [json!(nick.version), json!(nick.version), json!(version)]);
    // Friends no longer; then watched; then blocked.
    bob.request(to::delete("alice")).await;
    let answer = explain(&gateway, "alice", "bob").await;
    assert_eq!(answer["reasons"], json!(["NOT_FOLLOWED", "HIDDEN_FIELDS"]));
    assert_eq!((&answer["audience"], &answer["viewerLists"]["state"]), (&json!("everyone"), &json!("removed")));
    bob.request(ClientCommand::Watch(v1::Watch { accounts: vec!["alice".to_owned()] })).await;
    let answer = explain(&gateway, "alice", "bob").await;
    assert_eq!(answer["reasons"], json!(["HIDDEN_FIELDS"]));
    assert_eq!(answer["sessions"][0]["watches"], json!(true));
    alice.request(to::block("bob")).await;
    let answer = explain(&gateway, "alice", "bob").await;
    assert_eq!(answer["reasons"][0], "BLOCKED");
    // Of one who is no friend, the copy is what everyone sees.
    assert_eq!(answer["frozenVersion"], json!(nick.version));
    assert!(answer["blockedSince"].as_u64().unwrap() > 0);
    assert!(answer["because"][0].as_str().unwrap().contains("alice blocks bob"), "{answer}");
    // The other way round it is Alice who blocks, and sees everything.
    let answer = explain(&gateway, "bob", "alice").await;
    assert!(answer["blocksSince"].as_u64().unwrap() > 0 && answer["blockedSince"].is_null(), "{answer}");
    let own = explain(&gateway, "alice", "alice").await;
    assert_eq!((&own["audience"], &own["reasons"]), (&json!("self"), &json!([])));
    assert!(own["because"][0].as_str().unwrap().contains("nothing stands in the way"), "{own}");
}

#[tokio::test]
async fn what_a_slow_session_has_yet_to_read_is_seen() {
    let world = World::new();
    let gateway = world.start();
    let many: Vec<_> = (0..200).map(|n| format!("friend{n}")).collect();
    let names: Vec<_> = many.iter().map(String::as_str).chain(["bob"]).collect();
    let pairs: Vec<_> = many.iter().map(|name| ("bob", name.as_str())).collect();
    gateway.populate(&names, &pairs).await;
    // It reads nothing more once it is in sync.
    let slow = Raw::login(&gateway, "bob", Encoding::Json).await;
    let mut backend = gateway.backend().await;
    let large = "x".repeat(1000);
    let mut round = 0;
    let waiting = loop {
        let users = many.iter().map(|account| json!({"account": account, "custom": format!("{large}{round}")}));
        let users: Vec<_> = users.collect();
        for some in users.chunks(100) {
            let body = json!({"users": some}).to_string();
            backend.request(Method::POST, "/v1/users:batchUpdate", body).await.unwrap();
        }
        let answer = explain(&gateway, "friend7", "bob").await;
        if answer["reasons"] == json!(["PENDING"]) {
            break answer;
        }
        round += 1;
        assert!(round < 500, "a session that reads nothing got everything");
    };
    assert_eq!(waiting["sessions"][0]["waiting"], json!(["card"]));
    let listed = backend.request(Method::GET, "/v1/sessions", String::new()).await.unwrap();
    let pending = listed["sessions"][0]["pending"].as_u64().unwrap();
    assert!((1..=200).contains(&pending), "{listed}");
    assert!(listed["sessions"][0]["told"].as_u64() < listed["horizon"].as_u64(), "{listed}");
    drop(slow);
}

#[tokio::test]
async fn every_session_is_listed_once_page_by_page() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[]).await;
    let mut there = Vec::new();
    for n in 0..7 {
        there.push(gateway.login(if n % 3 == 0 { "alice" } else { "bob" }, Encoding::Json).await);
    }
    // Connected, and no session yet.
    let _raw = Raw::open(&gateway, Encoding::Json).await;
    let mut backend = gateway.backend().await;
    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/sessions?limit=3{after}");
        let page = backend.request(Method::GET, &path, String::new()).await.unwrap();
        let sessions = page["sessions"].as_array().unwrap();
        assert!(sessions.len() <= 3);
        let named = |session: &Value| (session["account"].to_string(), session["session"].as_str().unwrap().to_owned());
        listed.extend(sessions.iter().map(named));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(listed.len(), 7);
    let ids: BTreeSet<_> = listed.iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(ids, there.iter().map(|peer| peer.reply.session.clone()).collect());
    assert_eq!(listed.iter().filter(|(account, _)| account == "\"alice\"").count(), 3);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let mut backend = gateway.backend().await;
    for (path, status, word) in [
        ("/v1/accounts/alice/explain?viewer=nobody", 404, "NOT_FOUND"),
        ("/v1/accounts/nobody/explain?viewer=alice", 404, "NOT_FOUND"),
        ("/v1/accounts/alice/explain", 400, "INVALID_ARGUMENT"),
        ("/v1/accounts/alice/explain?viewer=a%20b", 400, "INVALID_ARGUMENT"),
        ("/v1/accounts/alice/explain?viewer=a&viewer=b", 400, "INVALID_ARGUMENT"),
        ("/v1/sessions?after=xyz", 400, "INVALID_ARGUMENT"),
        ("/v1/sessions?limit=0", 400, "INVALID_ARGUMENT"),
        ("/v1/sessions?limit=1001", 400, "INVALID_ARGUMENT"),
    ] {
        let (answered, text) = backend.send(Method::GET, path, String::new()).await.unwrap();
        assert_eq!((answered, reason(&text).as_str()), (status, word), "{path}: {text}");
    }
    let mut stranger = gateway.backend_with_key("another-key-entirely").await;
    assert_eq!(stranger.send(Method::GET, "/v1/sessions", String::new()).await.unwrap().0, 401);
}

#[tokio::test]
async fn the_way_of_a_change_from_its_commit_to_a_socket_is_measured() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob", "carol"], &[("alice", "bob"), ("bob", "carol")]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    let mut bob = gateway.login("bob", Encoding::Protobuf).await;
    let count = "rosterd_delivery_duration_seconds_count";
    assert_eq!(gateway.metric(count).await, 0.0);
    alice.nick("Ally").await;
    assert_eq!(bob.changes().await.users[0].nick, "Ally");
    // Carol's coming is sent too, and is no change that was committed.
    let carol = gateway.login("carol", Encoding::Json).await;
    while bob.next_of_all().await.presence.is_none() {}
    // The client may hear of it before it is counted.
    while gateway.metric(count).await < 1.0 {}
    assert_eq!(gateway.metric(count).await, 1.0);
    let took = gateway.metric("rosterd_delivery_duration_seconds_sum").await;
    assert!(took > 0.0 && took < 20.0, "{took}");
    assert_eq!(gateway.metric("rosterd_horizon_lag_changes").await, 0.0);
    assert_eq!(gateway.metric("rosterd_catch_up_duration_seconds_count").await, 3.0);
    assert_eq!(gateway.metric("rosterd_command_duration_seconds_count").await, 1.0);
    assert_eq!(gateway.metric("rosterd_connections_opened_total").await, 3.0);
    let (_, text) = gateway.backend().await.send(Method::GET, "/metrics", String::new()).await.unwrap();
    for account in ["alice", "bob", "carol"] {
        assert!(!text.contains(account), "a metric names an account");
    }
    drop(carol);
}
