//! Who comes and goes, for backends of several gateways: each transition once, with the same number on each of them.

use hyper::Method;
use rosterd_protocol::Encoding;
use serde_json::Value;

use super::rig::{Cluster, until_sessions};
use crate::device_kinds::on;
use crate::devices::log_in;
use crate::feed::{backend, events, get};
use crate::presence_feed::{until_devices, until_known};
use crate::support::Gateway;

const JSON: Encoding = Encoding::Json;

/// All that the feed of a gateway says about who comes and goes.
async fn all_presence(gateway: &Gateway) -> Vec<Value> {
    events(&mut backend(gateway).await, "types=presence.*").await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_of_devices_are_those_on_all_gateways_and_go_with_the_one_that_they_are_on() {
    let settings = ["feed.presence=true", "presence.devices=true", "presence.linger=300ms"];
    let Some(mut cluster) = Cluster::start(2, &settings) else { return };
    let [one, other] = &cluster.gateways[..] else { panic!("two") };
    one.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let (mut here, mut there) = (backend(one).await, backend(other).await);
    let (_, begin) = events(&mut here, "after=now").await;
    let (mut ann, mut tab) = (one.login("ann", JSON).await, other.login("ann", JSON).await);
    let phone = log_in(one, "bob", "ios", JSON).await;
    let laptop = log_in(other, "bob", "web", JSON).await;
    for peer in [&mut ann, &mut tab] {
        peer.until(on("bob", &["ios", "web"])).await;
    }
    for reader in [&mut here, &mut there] {
        until_devices(reader, &begin, "bob", &["ios", "web"]).await;
    }
    for gateway in &cluster.gateways {
        let (_, body) = gateway.call(Method::GET, "/v1/users/bob/presence", "").await;
        assert_eq!(body["devices"], serde_json::json!(["ios", "web"]));
    }
    // Another of a kind is nothing new, on whichever gateway.
    let second = log_in(one, "bob", "web", JSON).await;
    drop(laptop);
    let tv = log_in(other, "bob", "tv", JSON).await;
    for peer in [&mut ann, &mut tab] {
        peer.until(on("bob", &["ios", "tv", "web"])).await;
    }
    drop(second);
    for peer in [&mut ann, &mut tab] {
        peer.until(on("bob", &["ios", "tv"])).await;
    }
    let position = until_devices(&mut here, &begin, "bob", &["ios", "tv"]).await;
    cluster.gateways.remove(1).kill();
    ann.until(on("bob", &["ios"])).await;
    assert!(ann.sees_online("bob"));
    let position = until_devices(&mut here, &position, "bob", &["ios"]).await;
    drop(phone);
    ann.until(|replica| !replica.presence()["bob"].online).await;
    assert!(on("bob", &[])(&ann.replica));
    until_devices(&mut here, &position, "bob", &[]).await;
    drop((tv, tab));
    assert_eq!(cluster.terminate().await, [Some(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_transition_is_one_event_whichever_gateway_is_read() {
    let settings = ["feed.presence=true", "presence.linger=300ms"];
    let Some(mut cluster) = Cluster::start(2, &settings) else { return };
    let [one, other] = &cluster.gateways[..] else { panic!("two") };
    one.populate(&["bob", "cat", "dan"], &[]).await;
    let (mut here, mut there) = (backend(one).await, backend(other).await);
    let (_, begin) = events(&mut here, "after=now").await;
    let number = |position: &str| position.rsplit_once('-').unwrap().1.parse::<u64>().unwrap();
    // A login on the other gateway wakes one that waits here.
    let bob = other.login("bob", JSON).await;
    let came = until_known(&mut here, &begin, "bob", true).await;
    assert_eq!(number(&came), 1);
    until_known(&mut there, &begin, "bob", true).await;
    assert_eq!(all_presence(one).await, all_presence(other).await);
    // A second session on this one, and the end of the first, are no transition.
    let second = one.login("bob", JSON).await;
    drop(bob);
    until_sessions(other, 0).await;
    let cat = other.login("cat", JSON).await;
    let came = until_known(&mut here, &came, "cat", true).await;
    assert_eq!(number(&came), 2, "nothing of bob");
    drop(second);
    let went = until_known(&mut there, &came, "bob", false).await;
    assert_eq!(number(&went), 3, "once, although both gateways knew bob");
    // What a reader has from one gateway the other takes at once.
    for turn in 0..20 {
        let (reader, next) = if turn % 2 == 0 { (&mut here, &mut there) } else { (&mut there, &mut here) };
        one.put("/v1/users/dan", serde_json::json!({"nick": format!("Dan {turn}")})).await;
        let (_, position) = events(reader, "after=now").await;
        let (status, body) = get(next, &format!("/v1/feed?after={position}")).await;
        assert_eq!(status, 200, "{body:?}");
    }
    // A gateway is killed: who was there goes, once, and who is back in time does not.
    let dan = other.login("dan", JSON).await;
    let position = until_known(&mut here, &went, "dan", true).await;
    cluster.gateways.remove(1).kill();
    let rest = &cluster.gateways[0];
    let dan = rest.resume("dan", JSON, dan.replica).await;
    let gone = until_known(&mut here, &position, "cat", false).await;
    assert_eq!(number(&gone), number(&position) + 1, "nothing of dan");
    let (_, body) = rest.call(Method::GET, "/v1/users/dan/presence", "").await;
    assert_eq!(body["online"], true);
    // It knew what this one knows, and a later one does, too.
    cluster.add();
    assert_eq!(all_presence(&cluster.gateways[0]).await, all_presence(&cluster.gateways[1]).await);
    drop((dan, cat));
    assert_eq!(cluster.terminate().await, [Some(0), Some(0)]);
}
