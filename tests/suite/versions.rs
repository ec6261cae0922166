//! Commands that rest on a version: the old command of one device does not undo what another wrote since.

use rosterd_client::Replica;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::json;

use crate::support::{Gateway, Peer, World, live_blocks, to};

const JSON: Encoding = Encoding::Json;

fn note(alias: &str, if_version: Option<u64>) -> ClientCommand {
    let alias = Some(alias.to_owned());
    ClientCommand::UpdateFriend(v1::UpdateFriend { account: "bob".into(), alias, if_version, ..Default::default() })
}

fn block(if_version: u64) -> ClientCommand {
    ClientCommand::Block(v1::Block { account: "bob".into(), if_version: Some(if_version) })
}

fn unblock(if_version: u64) -> ClientCommand {
    ClientCommand::Unblock(v1::Unblock { account: "bob".into(), if_version: Some(if_version) })
}

fn hide(invisible: bool, if_version: u64) -> ClientCommand {
    ClientCommand::SetPresence(v1::SetPresence {
        invisible: Some(invisible),
        if_version: Some(if_version),
        ..v1::SetPresence::default()
    })
}

/// `ann` on two devices, and `bob`, her friend.
async fn two_devices(gateway: &Gateway, encoding: Encoding) -> (Peer, Peer) {
    gateway.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    (gateway.login("ann", encoding).await, gateway.login("ann", JSON).await)
}

async fn stale(peer: &mut Peer, command: ClientCommand) {
    let error = peer.refused(command).await;
    let found = (error.code, error.reason.as_str(), error.field.as_deref());
    assert_eq!(found, (412, "VERSION_MISMATCH", Some("ifVersion")), "{}", error.message);
}

fn edge(replica: &Replica) -> u64 {
    replica.friends()["bob"].version
}

/// The version of the block, or of its end.
fn blocked(replica: &Replica) -> u64 {
    replica.block_version("bob")
}

/// Whether the account hides, as one of its devices knows it, and the version of that.
fn hides(replica: &Replica) -> (bool, u64) {
    let own = replica.presence().get("ann").cloned().unwrap_or_default();
    (own.invisible.unwrap_or_default(), own.version.unwrap_or_default())
}

#[tokio::test]
async fn an_old_note_about_a_friend() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let gateway = world.start();
        let (mut phone, mut tablet) = two_devices(&gateway, encoding).await;
        let base = edge(&phone.replica);
        tablet.request(note("newer", None)).await;
        stale(&mut phone, note("old", Some(base))).await;
        phone.until(|replica| replica.friends()["bob"].alias == "newer").await;
        // On what it holds now, and without a version, as ever.
        let held = edge(&phone.replica);
        phone.request(note("newest", Some(held))).await;
        phone.request(note("last", None)).await;
        tablet.until(|replica| replica.friends()["bob"].alias == "last").await;
    }
}

#[tokio::test]
async fn an_old_block_and_an_old_end_of_one() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let gateway = world.start();
        let (mut phone, mut tablet) = two_devices(&gateway, encoding).await;
        phone.request(block(0)).await;
        phone.until(|replica| !live_blocks(replica).is_empty()).await;
        let first = blocked(&phone.replica);
        // The tablet ends the block: the phone's old command must not make it again.
        tablet.request(to::unblock("bob")).await;
        stale(&mut phone, block(0)).await;
        phone.until(|replica| blocked(replica) > first).await;
        // And blocks again: the phone's old end of the first one must not end this one.
        tablet.request(to::block("bob")).await;
        stale(&mut phone, unblock(first)).await;
        phone.until(|replica| !live_blocks(replica).is_empty()).await;
        let second = blocked(&phone.replica);
        phone.request(block(0)).await;
        phone.request(unblock(second)).await;
        tablet.until(|replica| live_blocks(replica).is_empty() && blocked(replica) > second).await;
        // A device that saw the end knows its version.
        let ended = blocked(&tablet.replica);
        tablet.request(block(ended)).await;
        phone.until(|replica| blocked(replica) > ended).await;
        assert_eq!(live_blocks(&phone.replica), ["bob"]);
    }
}

#[tokio::test]
async fn an_old_wish_to_hide_or_to_show() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let gateway = world.start_with(&["presence.linger=100ms"]);
        let (mut phone, mut tablet) = two_devices(&gateway, encoding).await;
        assert_eq!(phone.replica.presence().get("ann"), None, "it was never set");
        phone.request(hide(true, 0)).await;
        phone.until(|replica| hides(replica).0).await;
        let (_, hidden) = hides(&phone.replica);
        tablet.request(hide(false, hidden)).await;
        stale(&mut phone, hide(true, 0)).await;
        stale(&mut phone, hide(true, hidden)).await;
        phone.until(|replica| !hides(replica).0).await;
        let shown = hides(&phone.replica);
        assert!(shown.1 > hidden);
        // A login says it, also one that finds the account visible, and after a restart.
        assert_eq!(hides(&gateway.login("ann", encoding).await.replica), shown);
        let address = format!("clients.listen={}", gateway.clients);
        gateway.kill();
        let gateway = world.start_with(&[&address, "presence.linger=100ms"]);
        let mut phone = gateway.login("ann", encoding).await;
        assert_eq!(hides(&phone.replica), shown);
        // Coming, going and the profile do not move it.
        phone.nick("Ann").await;
        assert_eq!(hides(&gateway.login("ann", JSON).await.replica), shown);
        stale(&mut phone, hide(true, hidden)).await;
        phone.request(hide(true, shown.1)).await;
        phone.until(|replica| hides(replica).0).await;
    }
}

/// A friend sees the same of a departure, of hiding, and of hiding for the tenth time: the version stays at home.
#[tokio::test]
async fn a_friend_sees_no_version_of_presence() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let gateway = world.start_with(&["presence.linger=0s"]);
        gateway.populate(&["ann", "bob"], &[("ann", "bob")]).await;
        let mut bob = gateway.login("bob", encoding).await;
        for times in 0..3 {
            let mut ann = gateway.login("ann", JSON).await;
            bob.until(|replica| replica.presence().get("ann").is_some_and(|ann| ann.online)).await;
            for _ in 0..times {
                ann.hide(true).await;
                bob.until(|replica| !replica.presence()["ann"].online).await;
                ann.hide(false).await;
                bob.until(|replica| replica.presence()["ann"].online).await;
            }
            drop(ann);
            bob.until(|replica| !replica.presence()["ann"].online).await;
            let seen = bob.replica.presence()["ann"].clone();
            let last_seen = seen.last_seen;
            let bare = v1::Presence { account: "ann".into(), online: false, last_seen, ..Default::default() };
            assert_eq!(seen, bare);
            let text = serde_json::to_value(&seen).unwrap();
            assert_eq!(text, json!({"account": "ann", "online": false, "lastSeen": last_seen}));
            let back = gateway.login("bob", encoding).await;
            assert_eq!(back.replica.presence()["ann"], bare);
        }
    }
}
