//! Muted accounts: a private list, in step on all devices of the account and seen by nobody else.

use hyper::Method;
use rosterd_engine::model::limits::MUTED;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};

use crate::support::{Peer, World, to};

const JSON: Encoding = Encoding::Json;
const CURRENT: i32 = v1::SyncMode::Current as i32;

fn set(account: &str, muted: bool, if_version: Option<u64>) -> ClientCommand {
    ClientCommand::SetMuted(v1::SetMuted { account: account.to_owned(), muted, if_version })
}

async fn mute(peer: &mut Peer, account: &str, muted: bool) -> v1::User {
    let reply = peer.request(set(account, muted, None)).await.set_muted_reply.unwrap();
    reply.user.unwrap()
}

#[tokio::test]
async fn muted_accounts_are_in_step_on_all_devices_and_nobody_else_sees_them() {
    let world = World::new();
    for encoding in Encoding::ALL {
        let gateway = world.start();
        gateway.populate(&["ann", "bob", "eve"], &[("ann", "bob")]).await;
        let mut ann = gateway.login("ann", encoding).await;
        let mut tab = gateway.login("ann", encoding).await;
        let (mut bob, mut eve) = (gateway.login("bob", encoding).await, gateway.login("eve", encoding).await);
        eve.watch(&["ann"]).await;
        eve.until(|replica| replica.users().contains_key("ann")).await;
        let before = (bob.look_up("ann").await, eve.look_up("ann").await);
        // Of a friend and of a stranger.
        assert_eq!(mute(&mut ann, "eve", true).await.muted, ["eve"]);
        assert_eq!(mute(&mut ann, "bob", true).await.muted, ["bob", "eve"]);
        assert_eq!(ann.replica.me().unwrap().muted, ["bob", "eve"], "the reply is applied");
        tab.until(|replica| replica.me().unwrap().muted == ["bob", "eve"]).await;
        let version = tab.replica.me().unwrap().version;
        assert_eq!(mute(&mut ann, "bob", true).await.version, version, "what is so already changes nothing");
        for (peer, before) in [(&mut bob, &before.0), (&mut eve, &before.1)] {
            peer.quiet().await;
            assert_eq!(peer.look_up("ann").await, *before, "neither the list nor a version shows");
        }
        // It decides nothing: what a muted account does arrives as before.
        bob.nick("Bobby").await;
        ann.until(|replica| replica.users()["bob"].nick == "Bobby").await;
        eve.request(to::ask("ann")).await;
        ann.until(|replica| replica.requests().any(|request| request.account == "eve")).await;
        // A device that comes back has the list, and one that held it gets nothing.
        let held = tab.replica.clone();
        drop(tab);
        let back = gateway.resume("ann", encoding, held).await;
        assert_eq!(back.replica.me().unwrap().muted, ["bob", "eve"]);
        drop(back);
        let held = bob.replica.clone();
        drop(bob);
        assert_eq!(mute(&mut ann, "bob", false).await.muted, ["eve"]);
        let back = gateway.resume("bob", encoding, held.clone()).await;
        assert_eq!((back.reply.sync, back.replica.users()["ann"].muted.len()), (CURRENT, 0));
        for account in ["ann", "bob", "eve"] {
            gateway.delete(&format!("/v1/users/{account}")).await;
        }
    }
}

#[tokio::test]
async fn what_cannot_be_muted_is_named() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[]).await;
    let mut ann = gateway.login("ann", JSON).await;
    for (account, code) in [("ann", 414), ("a b", 414), ("", 414), ("nobody", 404)] {
        let error = ann.refused(set(account, true, None)).await;
        assert_eq!((error.code, error.field.as_deref()), (code, Some("account")), "{account}: {}", error.message);
    }
    // Taking one off that is not there, or gone, is no error.
    mute(&mut ann, "nobody", false).await;
    mute(&mut ann, "bob", true).await;
    gateway.delete("/v1/users/bob").await;
    assert!(mute(&mut ann, "bob", false).await.muted.is_empty());
    gateway.populate(&["bob"], &[]).await;
    let version = ann.replica.me().unwrap().version;
    assert_eq!(ann.refused(set("bob", true, Some(version - 1))).await.code, 412);
    assert_eq!(
        ann.request(set("bob", true, Some(version))).await.set_muted_reply.unwrap().user.unwrap().muted,
        ["bob"]
    );
}

#[tokio::test]
async fn the_list_has_a_limit() {
    let world = World::new();
    let names: Vec<_> = (0..MUTED).map(|n| format!("m{n}")).collect();
    let file = world.path().join("users.ndjson");
    let line = json!({"user": {"account": "ann", "createTime": 1, "muted": names}});
    std::fs::write(&file, format!("{line}\n{}\n", json!({"user": {"account": "bob"}}))).unwrap();
    world.run_well(&["import", file.to_str().unwrap()]);
    let gateway = world.start();
    let mut ann = gateway.login("ann", JSON).await;
    assert_eq!(ann.replica.me().unwrap().muted.len(), MUTED);
    let error = ann.refused(set("bob", true, None)).await;
    assert_eq!((error.code, error.field.as_deref()), (419, Some("account")), "{}", error.message);
    mute(&mut ann, "m7", false).await;
    assert_eq!(mute(&mut ann, "bob", true).await.muted.len(), MUTED);
}

#[tokio::test]
async fn the_backend_mutes_and_reads_whom_an_account_mutes_only_with_the_scope_private() {
    let keys = "[ops.keys.crm]\nkey = \"a-key-without-private-fields\"\nscopes = [\"read\", \"feed\"]\n";
    let world = World::with(keys);
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let mut ann = gateway.login("ann", JSON).await;
    gateway.put("/v1/users/ann/muted/bob", Value::Null).await;
    ann.until(|replica| replica.me().unwrap().muted == ["bob"]).await;
    let (_, user) = gateway.call(Method::GET, "/v1/users/ann", "").await;
    assert_eq!(user["muted"], json!(["bob"]));
    let mut crm = gateway.backend_with_key("a-key-without-private-fields").await;
    let (_, text) = crm.send(Method::GET, "/v1/users/ann", String::new()).await.unwrap();
    assert!(!text.contains("muted"), "{text}");
    let (status, _) = crm.send(Method::GET, "/v1/feed?fields=muted", String::new()).await.unwrap();
    assert_eq!(status, 403);
    // A profile that is replaced keeps the list, which is no field of it.
    gateway.put("/v1/users/ann", json!({"nick": "Ann"})).await;
    assert_eq!(ann.changes().await.me.unwrap().muted, ["bob"]);
    let (status, body) = gateway.call(Method::PUT, "/v1/users/ann/muted/nobody", "").await;
    assert_eq!((status, &body["error"]["field"]), (404, &json!("peer")));
    // A friend that is blocked sees the profile as it was, and never this.
    ann.request(to::block("bob")).await;
    let mut bob = gateway.login("bob", JSON).await;
    assert!(bob.look_up("ann").await.muted.is_empty());
    gateway.kill();
    let file = world.path().join("all.ndjson");
    let path = file.to_str().unwrap();
    world.run_well(&["export", path]);
    let other = World::new();
    other.run_well(&["import", path]);
    let gateway = other.start();
    assert_eq!(gateway.login("ann", JSON).await.replica.me().unwrap().muted, ["bob"]);
    gateway.delete("/v1/users/ann/muted/bob").await;
    assert!(gateway.login("ann", JSON).await.replica.me().unwrap().muted.is_empty());
}
