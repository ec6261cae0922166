//! Kinds of devices beside presence: who sees which, from when to when, and nobody where they are not shown.

use std::time::Duration;

use hyper::Method;
use rosterd_client::Replica;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};

use crate::devices::log_in;
use crate::presence::{came, noted, went};
use crate::support::{Gateway, Peer, World, to};

const JSON: Encoding = Encoding::Json;

/// The gateway's addresses stay when it starts again: these are nobody else's.
const HERE: &str = "clients.listen=127.0.0.95:0";
const SHOWN: [&str; 2] = ["presence.devices=true", "presence.linger=300ms"];

/// Whether an account is seen on exactly these kinds of devices.
pub fn on(account: &'static str, kinds: &'static [&'static str]) -> impl Fn(&Replica) -> bool {
    move |replica| replica.presence().get(account).map(|seen| &seen.devices[..]).unwrap_or_default() == kinds
}

async fn friends(gateway: &Gateway) {
    gateway.populate(&["ann", "bob", "cat", "eve"], &[("ann", "bob"), ("bob", "cat")]).await;
}

/// Every other list of kinds that comes of an account, up to one. A list may come twice: it is read when it is sent, which
/// may be before the mark for it is set.
async fn kinds_until(peer: &mut Peer, account: &'static str, kinds: &'static [&'static str]) -> Vec<String> {
    let mut seen = vec![peer.replica.presence().get(account).map_or_else(String::new, |held| held.devices.join(" "))];
    while !on(account, kinds)(&peer.replica) {
        let frame = peer.next_of_all().await;
        let users = frame.presence.into_iter().flat_map(|presence| presence.users);
        seen.extend(users.filter(|user| user.account == account).map(|user| user.devices.join(" ")));
    }
    seen.dedup();
    seen.split_off(1)
}

async fn presence(gateway: &Gateway, account: &str) -> Value {
    gateway.call(Method::GET, &format!("/v1/users/{account}/presence"), "").await.1
}

#[tokio::test]
async fn friends_see_the_kinds_of_devices_and_nobody_else_does() {
    let world = World::new();
    let gateway = world.start_with(&SHOWN);
    friends(&gateway).await;
    for encoding in Encoding::ALL {
        let mut ann = gateway.login("ann", encoding).await;
        let mut eve = gateway.login("eve", encoding).await;
        eve.watch(&["bob"]).await;
        eve.until(|replica| replica.users().contains_key("bob")).await;
        let phone = log_in(&gateway, "bob", "iOS", encoding).await;
        ann.until(on("bob", &["ios"])).await;
        assert!(ann.sees_online("bob"));
        let laptop = log_in(&gateway, "bob", "web", encoding).await;
        assert_eq!(kinds_until(&mut ann, "bob", &["ios", "web"]).await, ["ios web"]);
        let tab = log_in(&gateway, "bob", "web", JSON).await;
        let named = log_in(&gateway, "bob", "Bob's phone, call me", JSON).await;
        assert_eq!(presence(&gateway, "bob").await["devices"], json!(["ios", "web"]));
        // What is no news is not sent: nothing comes before the next.
        let tv = log_in(&gateway, "bob", "tv", JSON).await;
        assert_eq!(kinds_until(&mut ann, "bob", &["ios", "tv", "web"]).await, ["ios tv web"]);
        drop((tv, named, tab));
        assert_eq!(kinds_until(&mut ann, "bob", &["ios", "web"]).await, ["ios web"]);
        let fresh = gateway.login("ann", encoding).await;
        assert_eq!(fresh.replica.presence(), ann.replica.presence());
        drop(fresh);
        // One that comes back in time has not been away.
        drop(phone);
        let mut phone = log_in(&gateway, "bob", "ios", encoding).await;
        drop(laptop);
        assert_eq!(kinds_until(&mut ann, "bob", &["ios"]).await, ["ios"]);
        // Its own clients are told of sessions instead.
        phone.hide(true).await;
        phone.until(|replica| replica.presence().get("bob").is_some_and(|own| own.invisible == Some(true))).await;
        assert!(phone.replica.presence()["bob"].devices.is_empty());
        assert_eq!(presence(&gateway, "bob").await["devices"], json!(["ios"]), "the backend sees what is there");
        assert_eq!(kinds_until(&mut ann, "bob", &[]).await, [""]);
        assert!(!ann.sees_online("bob"), "with the presence");
        let tv = log_in(&gateway, "bob", "tv", JSON).await;
        phone.hide(false).await;
        assert_eq!(kinds_until(&mut ann, "bob", &["ios", "tv"]).await, ["ios tv"]);
        drop((phone, tv));
        ann.until(went("bob")).await;
        assert!(on("bob", &[])(&ann.replica));
        eve.quiet().await;
        assert!(eve.replica.presence().is_empty());
        let hidden = presence(&gateway, "bob").await;
        assert_eq!(hidden.get("devices"), None);
    }
}

#[tokio::test]
async fn who_is_blocked_sees_the_kinds_of_a_departure() {
    let world = World::new();
    let gateway = world.start_with(&SHOWN);
    friends(&gateway).await;
    let mut ann = gateway.login("ann", JSON).await;
    let mut cat = gateway.login("cat", JSON).await;
    let mut phone = log_in(&gateway, "bob", "ios", JSON).await;
    let laptop = log_in(&gateway, "bob", "web", JSON).await;
    ann.until(on("bob", &["ios", "web"])).await;
    cat.until(on("bob", &["ios", "web"])).await;
    phone.request(to::block("ann")).await;
    drop(laptop);
    let tv = log_in(&gateway, "bob", "tv", JSON).await;
    assert_eq!(kinds_until(&mut cat, "bob", &["ios", "tv"]).await, ["ios tv web", "ios tv"]);
    assert_eq!(kinds_until(&mut ann, "bob", &[]).await, [""]);
    assert!(!ann.sees_online("bob"));
    let fresh = gateway.login("ann", JSON).await;
    assert_eq!(fresh.replica.presence(), ann.replica.presence());
    let car = log_in(&gateway, "bob", "car", JSON).await;
    cat.until(on("bob", &["car", "ios", "tv"])).await;
    drop(car);
    phone.request(to::unblock("ann")).await;
    assert_eq!(kinds_until(&mut ann, "bob", &["ios", "tv"]).await, ["ios tv"], "no more than is there");
    drop(tv);
}

#[tokio::test]
async fn kinds_go_with_the_gateway_and_come_back_with_their_sessions() {
    let world = World::new();
    let settings = ["presence.devices=true", "presence.linger=2s", HERE];
    let gateway = world.start_with(&settings);
    friends(&gateway).await;
    let bob = log_in(&gateway, "bob", "ios", JSON).await;
    let mut ann = gateway.login("ann", JSON).await;
    ann.until(on("bob", &["ios"])).await;
    while !noted(&world, "bob") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop((bob, ann));
    gateway.kill();
    let gateway = world.start_with(&settings);
    let mut ann = gateway.login("ann", JSON).await;
    assert!(ann.sees_online("bob") && on("bob", &[])(&ann.replica), "within the grace");
    let _bob = log_in(&gateway, "bob", "web", JSON).await;
    assert_eq!(kinds_until(&mut ann, "bob", &["web"]).await, ["web"]);
    assert!(ann.sees_online("bob"));
}

#[tokio::test]
async fn unless_it_is_set_nothing_of_kinds_is_sent() {
    let world = World::new();
    let gateway = world.start_with(&["presence.linger=0s"]);
    friends(&gateway).await;
    let mut ann = gateway.login("ann", JSON).await;
    let phone = log_in(&gateway, "bob", "ios", JSON).await;
    ann.until(came("bob")).await;
    let laptop = log_in(&gateway, "bob", "web", JSON).await;
    drop(phone);
    let command = ClientCommand::GetSessions(v1::GetSessions {});
    ann.request(command).await;
    ann.quiet().await;
    assert!(on("bob", &[])(&ann.replica));
    assert_eq!(presence(&gateway, "bob").await.get("devices"), None);
    drop(laptop);
    let problem = World::with("[presence]\nenabled = false\ndevices = true\n").run_badly(&["config", "check"]);
    assert!(problem.contains("presence.devices: is true, but presence.enabled is false"), "{problem}");
}
