//! Who is online: seen by friends from coming to going, not flapping with connections, true again after any end.

use hyper::Method;
use rosterd_client::Replica;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::json;

use crate::support::{Gateway, Peer, World, nick_command};

const JSON: Encoding = Encoding::Json;

/// The gateway's addresses stay when it starts again: these are nobody else's.
const HERE: &str = "clients.listen=127.0.0.94:0";

/// Reads until `done`. Returns every presence that came: the account, and whether it is online.
pub async fn presences_until(peer: &mut Peer, done: impl Fn(&Replica) -> bool) -> Vec<(String, bool)> {
    let mut seen = Vec::new();
    while !done(&peer.replica) {
        let frame = peer.next_of_all().await;
        let users = frame.presence.into_iter().flat_map(|presence| presence.users);
        seen.extend(users.map(|user| (user.account, user.online)));
    }
    seen
}

pub fn went(account: &'static str) -> impl Fn(&Replica) -> bool {
    move |replica| replica.presence().get(account).is_some_and(|presence| !presence.online)
}

pub fn came(account: &'static str) -> impl Fn(&Replica) -> bool {
    move |replica| replica.presence().get(account).is_some_and(|presence| presence.online)
}

/// Who is noted as online in the file.
pub fn noted(world: &World, account: &str) -> bool {
    let file = rusqlite::Connection::open(world.path().join("rosterd.db")).unwrap();
    file.query_row("SELECT online FROM user WHERE account = ?1", [account], |row| row.get(0)).unwrap()
}

pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

async fn friends(gateway: &Gateway) {
    gateway.populate(&["ann", "bob", "cat", "eve"], &[("ann", "bob"), ("ann", "cat"), ("bob", "cat")]).await;
}

#[tokio::test]
async fn an_account_is_online_from_its_first_session_until_a_while_after_its_last() {
    let world = World::new();
    let gateway = world.start_with(&["presence.linger=300ms"]);
    friends(&gateway).await;
    for encoding in Encoding::ALL {
        let mut ann = gateway.login("ann", encoding).await;
        let mut eve = gateway.login("eve", JSON).await;
        let before = now();
        let phone = gateway.login("bob", JSON).await;
        assert_eq!(presences_until(&mut ann, came("bob")).await, [("bob".to_owned(), true)]);
        let seen = ann.replica.presence()["bob"].last_seen;
        assert!((before..=now()).contains(&seen), "{before} {seen}");
        // A second device changes nothing, nor does the first one's going; cat's coming proves that nothing was sent.
        let laptop = gateway.login("bob", JSON).await;
        drop(phone);
        let cat = gateway.login("cat", JSON).await;
        assert_eq!(presences_until(&mut ann, came("cat")).await, [("cat".to_owned(), true)]);
        let left = now();
        drop((laptop, cat));
        let mut gone = presences_until(&mut ann, |replica| went("bob")(replica) && went("cat")(replica)).await;
        gone.sort();
        assert_eq!(gone, [("bob".to_owned(), false), ("cat".to_owned(), false)]);
        // `lastSeen` is when the account left: the offline grace only delays showing it.
        let seen = ann.replica.presence()["bob"].last_seen;
        assert!((left..=now() - 300).contains(&seen), "{left} {seen}");
        let fresh = gateway.login("ann", encoding).await;
        assert_eq!(fresh.replica.presence(), ann.replica.presence());
        // A stranger learns nothing.
        eve.quiet().await;
        assert!(eve.replica.presence().is_empty());
    }
}

#[tokio::test]
async fn who_comes_back_in_time_never_went() {
    let world = World::new();
    let gateway = world.start_with(&["presence.linger=2s"]);
    friends(&gateway).await;
    let mut ann = gateway.login("ann", JSON).await;
    let mut bob = gateway.login("bob", JSON).await;
    let cat = gateway.login("cat", Encoding::Protobuf).await;
    presences_until(&mut ann, |replica| came("bob")(replica) && came("cat")(replica)).await;
    for _ in 0..5 {
        let held = bob.replica.clone();
        drop(bob);
        bob = gateway.resume("bob", JSON, held).await;
    }
    // Cat leaves after he came back: once she counts as gone, he would have been gone too.
    drop(cat);
    assert_eq!(presences_until(&mut ann, went("cat")).await, [("cat".to_owned(), false)]);
    assert_eq!(presences_until(&mut bob, went("cat")).await.last().unwrap(), &("cat".to_owned(), false));
}

#[tokio::test]
async fn who_hides_is_offline_for_friends_on_every_device_until_it_shows_again() {
    let world = World::new();
    let gateway = world.start_with(&[HERE, "presence.linger=100ms"]);
    friends(&gateway).await;
    let mut ann = gateway.login("ann", JSON).await;
    let mut bob = gateway.login("bob", Encoding::Protobuf).await;
    let mut tab = gateway.login("bob", JSON).await;
    presences_until(&mut ann, came("bob")).await;
    bob.hide(true).await;
    let hides = |replica: &Replica| replica.presence().get("bob").is_some_and(|bob| bob.invisible == Some(true));
    for device in [&mut bob, &mut tab] {
        device.until(hides).await;
        assert!(device.sees_online("bob"), "one's own devices know");
    }
    assert_eq!(presences_until(&mut ann, went("bob")).await, [("bob".to_owned(), false)]);
    // The same again is sent to nobody.
    bob.hide(true).await;
    let seen = ann.replica.presence()["bob"].clone();
    // He goes and comes, hidden: no friend learns of it. That he is gone is known once the backend says so.
    let held = bob.replica.clone();
    drop((bob, tab));
    while gateway.call(Method::GET, "/v1/users/bob/presence", "").await.1["online"] == true {
        tokio::task::yield_now().await;
    }
    let mut bob = gateway.resume("bob", JSON, held.clone()).await;
    assert!(hides(&bob.replica));
    ann.marked(&gateway, "1").await;
    assert_eq!(ann.replica.presence()["bob"], seen);
    assert_eq!(gateway.login("ann", JSON).await.replica.presence()["bob"], seen);
    // Nor when the gateway comes back without him.
    let mut held = [bob.replica.clone(), ann.replica.clone()];
    let address = format!("clients.listen={}", gateway.clients);
    gateway.kill();
    let gateway = world.start_with(&[&address, "presence.linger=100ms"]);
    assert!(!noted(&world, "bob"));
    ann = gateway.resume("ann", JSON, std::mem::take(&mut held[1])).await;
    assert_eq!(ann.replica.presence()["bob"], seen);
    // Shown again.
    bob = gateway.resume("bob", JSON, std::mem::take(&mut held[0])).await;
    assert!(hides(&bob.replica));
    bob.hide(false).await;
    assert_eq!(presences_until(&mut ann, came("bob")).await, [("bob".to_owned(), true)]);
    bob.until(|replica| replica.presence()["bob"].invisible == Some(false)).await;
    // The backend may do it too, and see through it.
    let (_, body) = gateway.call(Method::PUT, "/v1/users/bob/presence", r#"{"invisible": true}"#).await;
    assert_eq!((body["invisible"].clone(), body["online"].clone()), (json!(true), json!(true)));
    presences_until(&mut ann, went("bob")).await;
}

#[tokio::test]
async fn without_presence_nothing_is_sent_and_nobody_can_hide() {
    let world = World::new();
    let gateway = world.start_with(&["presence.enabled=false", "presence.linger=0s"]);
    friends(&gateway).await;
    let mut ann = gateway.login("ann", JSON).await;
    for encoding in Encoding::ALL {
        let mut bob = gateway.login("bob", encoding).await;
        let set = v1::SetPresence { invisible: Some(true), if_version: None, ..v1::SetPresence::default() };
        let error = bob.refused(ClientCommand::SetPresence(set)).await;
        assert_eq!((error.code, error.reason.as_str()), (403, "PERMISSION_DENIED"));
    }
    let (status, body) = gateway.call(Method::PUT, "/v1/users/bob/presence", r#"{"invisible": true}"#).await;
    assert_eq!((status, body["error"]["code"].clone()), (403, json!(403)));
    gateway.patch("/v1/users/ann", json!({"tel": "1"})).await;
    assert_eq!(presences_until(&mut ann, |replica| replica.me().unwrap().tel == "1").await, []);
    assert!(gateway.login("ann", JSON).await.replica.presence().is_empty());
}

/// All are there when the gateway ends, and ann and bob come back: cat went, and only then and only she goes offline for her friends.
async fn after(end: impl AsyncFnOnce(Gateway)) {
    let world = World::new();
    let gateway = world.start_with(&[HERE, "presence.linger=1s"]);
    friends(&gateway).await;
    let mut ann = gateway.login("ann", JSON).await;
    let bob = gateway.login("bob", Encoding::Protobuf).await;
    let cat = gateway.login("cat", JSON).await;
    presences_until(&mut ann, |replica| came("bob")(replica) && came("cat")(replica)).await;
    while !["ann", "bob", "cat"].into_iter().all(|account| noted(&world, account)) {
        tokio::task::yield_now().await;
    }
    let (held, bobs) = (ann.replica.clone(), bob.replica.clone());
    let ended = now();
    let address = format!("clients.listen={}", gateway.clients);
    end(gateway).await;
    drop((ann, bob, cat));

    let gateway = world.start_with(&[&address, "presence.linger=1s"]);
    let mut ann = gateway.resume("ann", JSON, held).await;
    assert!(ann.sees_online("bob") && ann.sees_online("cat"), "nobody went yet: {:?}", ann.replica.presence());
    let _bob = gateway.resume("bob", Encoding::Protobuf, bobs).await;
    assert_eq!(presences_until(&mut ann, went("cat")).await, [("cat".to_owned(), false)]);
    let seen = ann.replica.presence()["cat"].last_seen;
    assert!((ended..=now() - 1000).contains(&seen), "{ended} {seen}");
    assert!(ann.sees_online("bob"));
    assert_eq!(gateway.login("ann", JSON).await.replica.presence(), ann.replica.presence());
    while noted(&world, "cat") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_restart_in_good_order_is_not_seen_as_everyone_leaving() {
    after(async |gateway: Gateway| assert_eq!(gateway.terminate().await, Some(0))).await;
}

#[tokio::test]
async fn after_a_kill_who_does_not_come_back_is_offline_and_the_others_never_were() {
    after(async |gateway: Gateway| gateway.kill()).await;
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_state_and_not_how_it_came_to_be() {
    const CHANGES: usize = 100;
    let world = World::new();
    let gateway = world.start();
    friends(&gateway).await;
    let (mut slow, mut replica) = gateway.login_with_small_buffer("ann").await;
    // It stops reading, and large profiles fill what the system holds for it.
    let mut bob = gateway.login("bob", JSON).await;
    let mut cat = gateway.login("cat", Encoding::Protobuf).await;
    let mut written = 0;
    while gateway.metric("rosterd_marks_conflated_total").await < 50.0 {
        let custom = Some(format!("{written:>1000}"));
        bob.request(ClientCommand::UpdateMyInfo(v1::UpdateMyInfo { custom, ..Default::default() })).await;
        written += 1;
        assert!(written < 20_000, "it is not slow");
    }
    for n in 0..CHANGES {
        cat.hide(n % 2 == 0).await;
    }
    let _ = cat.request(nick_command("last")).await;
    let mut seen = 0;
    while replica.users()["cat"].nick != "last" || !came("cat")(&replica) {
        let frame = slow.next().await.expect("it is not disconnected");
        seen += frame.presence.iter().flat_map(|presence| &presence.users).filter(|user| user.account == "cat").count();
        replica.apply(&frame).unwrap();
    }
    assert!(seen <= 3, "{seen} presences for {CHANGES} changes");
}
