//! Statuses beside presence: who sees which, for how long, and over which ends of a gateway.

use std::time::Duration;

use hyper::Method;
use rosterd_client::Replica;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::json;

use crate::presence::{came, now, went};
use crate::support::{Gateway, Peer, World, to};

const JSON: Encoding = Encoding::Json;

/// The gateway's addresses stay when it starts again: these are nobody else's.
const HERE: &str = "clients.listen=127.0.0.93:0";

pub fn set(status: &str, until: Option<u64>) -> ClientCommand {
    let status = Some(status.to_owned());
    ClientCommand::SetPresence(v1::SetPresence { status, until, ..v1::SetPresence::default() })
}

/// Whether an account is seen with this status; with none if it is empty.
pub fn shows(account: &'static str, text: &'static str) -> impl Fn(&Replica) -> bool {
    move |replica| replica.presence().get(account).and_then(|seen| seen.status.as_deref()).unwrap_or_default() == text
}

async fn friends(gateway: &Gateway) {
    gateway.populate(&["ann", "bob", "cat", "eve"], &[("ann", "bob"), ("bob", "cat")]).await;
}

async fn hide_with(bob: &mut Peer, invisible: bool, status: &str) {
    let set =
        v1::SetPresence { invisible: Some(invisible), status: Some(status.to_owned()), ..v1::SetPresence::default() };
    bob.request(ClientCommand::SetPresence(set)).await;
}

#[tokio::test]
async fn a_status_is_seen_by_friends_until_it_is_cleared_or_the_account_goes() {
    let world = World::new();
    let gateway = world.start_with(&["presence.linger=200ms"]);
    friends(&gateway).await;
    for encoding in Encoding::ALL {
        let mut ann = gateway.login("ann", encoding).await;
        let mut eve = gateway.login("eve", encoding).await;
        eve.watch(&["bob"]).await;
        eve.until(|replica| replica.users().contains_key("bob")).await;
        let mut bob = gateway.login("bob", encoding).await;
        let mut tab = gateway.login("bob", JSON).await;
        ann.until(came("bob")).await;
        bob.request(set("looking for a group", None)).await;
        for peer in [&mut ann, &mut bob, &mut tab] {
            peer.until(shows("bob", "looking for a group")).await;
        }
        assert_eq!(ann.replica.presence()["bob"].until, None);
        let version = tab.replica.presence()["bob"].version;
        // The same again changes nothing: what comes next is the next one.
        bob.request(set("looking for a group", None)).await;
        bob.request(set("found one", None)).await;
        tab.until(shows("bob", "found one")).await;
        ann.until(shows("bob", "found one")).await;
        assert!(tab.replica.presence()["bob"].version > version);
        let fresh = gateway.login("ann", encoding).await;
        assert_eq!(fresh.replica.presence(), ann.replica.presence());
        bob.request(set("", None)).await;
        ann.until(shows("bob", "")).await;
        // It goes with the account, and does not come back with it.
        bob.request(set("back soon", None)).await;
        ann.until(shows("bob", "back soon")).await;
        drop((bob, tab));
        ann.until(went("bob")).await;
        assert_eq!(ann.replica.presence()["bob"].status, None);
        let bob = gateway.login("bob", encoding).await;
        ann.until(came("bob")).await;
        assert_eq!((&ann.replica.presence()["bob"].status, &bob.replica.presence()["bob"].status), (&None, &None));
        // A stranger who watches learns nothing.
        eve.quiet().await;
        assert!(eve.replica.presence().is_empty());
        drop(bob);
        ann.until(went("bob")).await;
    }
}

#[tokio::test]
async fn a_status_with_an_end_ends_then_for_everybody_and_outlives_departures() {
    let world = World::new();
    let gateway = world.start_with(&["presence.linger=100ms"]);
    friends(&gateway).await;
    let mut ann = gateway.login("ann", JSON).await;
    let mut bob = gateway.login("bob", Encoding::Protobuf).await;
    let end = now() + 2500;
    bob.request(set("lunch", Some(end))).await;
    ann.until(shows("bob", "lunch")).await;
    assert_eq!(ann.replica.presence()["bob"].until, Some(end));
    drop(bob);
    ann.until(went("bob")).await;
    assert!(shows("bob", "")(&ann.replica), "nobody sees that of one who is offline");
    let mut bob = gateway.login("bob", JSON).await;
    ann.until(shows("bob", "lunch")).await;
    ann.until(shows("bob", "")).await;
    let ended = now();
    assert!((end..end + 2000).contains(&ended), "{ended} and not {end}");
    assert!(ann.sees_online("bob"));
    bob.until(shows("bob", "")).await;
    assert!(shows("bob", "")(&gateway.login("ann", JSON).await.replica));
}

#[tokio::test]
async fn what_is_set_while_hidden_or_behind_a_block_is_seen_by_nobody_before_the_end_of_it() {
    let world = World::new();
    let gateway = world.start_with(&["presence.linger=100ms"]);
    friends(&gateway).await;
    let mut ann = gateway.login("ann", JSON).await;
    let mut cat = gateway.login("cat", JSON).await;
    let mut bob = gateway.login("bob", JSON).await;
    ann.until(came("bob")).await;
    hide_with(&mut bob, true, "secret").await;
    bob.until(shows("bob", "secret")).await;
    ann.until(went("bob")).await;
    let hidden = ann.replica.presence()["bob"].clone();
    assert_eq!(hidden.status, None);
    bob.request(set("more secret", None)).await;
    ann.marked(&gateway, "1").await;
    assert_eq!(ann.replica.presence()["bob"], hidden);
    assert_eq!(gateway.login("ann", JSON).await.replica.presence()["bob"], hidden);
    bob.hide(false).await;
    ann.until(shows("bob", "more secret")).await;
    // Hiding ends one that has no end of its own.
    bob.hide(true).await;
    ann.until(went("bob")).await;
    bob.hide(false).await;
    ann.until(came("bob")).await;
    assert_eq!(ann.replica.presence()["bob"].status, None);
    // Behind a block.
    cat.until(came("bob")).await;
    bob.request(to::block("ann")).await;
    bob.request(set("not for ann", None)).await;
    cat.until(shows("bob", "not for ann")).await;
    ann.until(went("bob")).await;
    assert_eq!(ann.replica.presence()["bob"].status, None);
    bob.request(to::unblock("ann")).await;
    ann.until(shows("bob", "not for ann")).await;
}

#[tokio::test]
async fn a_status_is_there_after_a_restart_if_its_account_comes_back_in_time() {
    let world = World::new();
    let linger = "presence.linger=2s";
    let mut gateway = world.start_with(&[HERE, linger]);
    friends(&gateway).await;
    let mut bob = gateway.login("bob", JSON).await;
    bob.request(set("here", None)).await;
    let mut cat = gateway.login("cat", JSON).await;
    cat.request(set("gone by then", None)).await;
    cat.until(shows("cat", "gone by then")).await;
    for kills in [true, false] {
        // That they are online is stored a moment later.
        let online = |account: &str| {
            let file = rusqlite::Connection::open(world.path().join("rosterd.db")).unwrap();
            file.query_row("SELECT online FROM user WHERE account = ?1", [account], |row| row.get::<_, bool>(0))
                .unwrap()
        };
        while !online("bob") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let held = bob.replica.clone();
        let address = format!("clients.listen={}", gateway.clients);
        if kills {
            gateway.kill();
        } else {
            gateway.terminate().await;
        }
        gateway = world.start_with(&[&address, linger]);
        bob = gateway.resume("bob", JSON, held).await;
        let mut ann = gateway.login("ann", JSON).await;
        ann.until(shows("bob", "here")).await;
        assert!(shows("bob", "here")(&bob.replica), "kills: {kills}");
    }
    let mut watcher = gateway.login("bob", JSON).await;
    watcher.until(went("cat")).await;
    let cat = gateway.login("cat", JSON).await;
    watcher.until(came("cat")).await;
    assert!(shows("cat", "")(&watcher.replica) && shows("cat", "")(&cat.replica));
}

#[tokio::test]
async fn a_bad_status_is_refused_and_leaves_the_old_one() {
    let world = World::new();
    let gateway = world.start();
    friends(&gateway).await;
    let mut bob = gateway.login("bob", JSON).await;
    bob.request(set("good", None)).await;
    bob.until(shows("bob", "good")).await;
    let held = bob.replica.presence()["bob"].clone();
    let day = 86_400_000;
    for (status, until, field) in [
        (Some("x".repeat(257)), None, "status"),
        (Some("a\0b".to_owned()), None, "status"),
        (None, Some(now() + 1000), "until"),
        (Some(String::new()), Some(now() + 1000), "until"),
        (Some("x".to_owned()), Some(now() - 1000), "until"),
        (Some("x".to_owned()), Some(0), "until"),
        (Some("x".to_owned()), Some(now() + 367 * day), "until"),
        (Some("x".to_owned()), Some(u64::MAX), "until"),
    ] {
        let body = json!({"status": status, "until": until}).to_string();
        let set = v1::SetPresence { invisible: Some(true), status, until, if_version: None };
        let error = bob.refused(ClientCommand::SetPresence(set)).await;
        assert_eq!((error.code, error.field.as_deref()), (414, Some(field)), "{error:?}");
        let (code, answer) = gateway.call(Method::PUT, "/v1/users/bob/presence", body).await;
        assert_eq!((code, &answer["error"]["field"]), (400, &json!(field)), "{answer}");
    }
    let (code, answer) = gateway.call(Method::PUT, "/v1/users/bob/presence", "{}").await;
    assert_eq!((code, &answer["error"]["field"]), (400, &json!("invisible")));
    let fresh = gateway.login("bob", JSON).await;
    assert_eq!(fresh.replica.presence()["bob"], held);
    // With a version it is not changed by accident.
    let stale = v1::SetPresence { status: Some("x".into()), if_version: Some(0), ..v1::SetPresence::default() };
    assert_eq!(bob.refused(ClientCommand::SetPresence(stale)).await.code, 412);
    // The backend may set one, and end it.
    let (code, body) = gateway.call(Method::PUT, "/v1/users/bob/presence", r#"{"status": "in a game"}"#).await;
    assert_eq!((code, &body["status"]), (200, &json!("in a game")));
    bob.until(shows("bob", "in a game")).await;
    let (_, body) = gateway.call(Method::PUT, "/v1/users/bob/presence", r#"{"status": ""}"#).await;
    assert_eq!(body.get("status"), None);
}
