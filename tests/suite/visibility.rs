//! Who may see which field: by every way a profile reaches a client, and what of a hidden change shows anywhere.

use rosterd_engine::model::Profile;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};

use crate::support::{Gateway, Peer, World, to};

const JSON: Encoding = Encoding::Json;
const CURRENT: i32 = v1::SyncMode::Current as i32;

/// The fields, each with two values that are good.
const FIELDS: [(&str, [&str; 2]); Profile::FIELDS.len()] = [
    ("nick", ["a", "b"]),
    ("avatar", ["a", "b"]),
    ("sign", ["a", "b"]),
    ("gender", ["male", "female"]),
    ("email", ["a@example.com", "b@example.com"]),
    ("birth", ["1990-01-01", "1990-01-02"]),
    ("tel", ["1", "2"]),
    ("custom", ["{a}", "{b}"]),
];

fn rules(lines: &[(&str, &str)]) -> World {
    let lines: Vec<_> = lines.iter().map(|(field, to)| format!("{field} = \"{to}\"")).collect();
    World::with(&format!("[profile.visibility]\n{}", lines.join("\n")))
}

/// A field's text, as it would be in JSON.
fn text(user: &v1::User, field: &str) -> String {
    serde_json::to_value(user).unwrap()[field].as_str().unwrap().to_owned()
}

/// What a field that may not be seen holds.
fn nothing(field: &str) -> &'static str {
    if field == "gender" { "unknown" } else { "" }
}

/// `ann`, her friend `bob`, and `eve`, who watches her.
struct Three {
    gateway: Gateway,
    ann: Peer,
    bob: Peer,
    eve: Peer,
}

async fn three(world: &World, encoding: Encoding) -> Three {
    let gateway = world.start();
    gateway.populate(&["ann", "bob", "eve"], &[("ann", "bob")]).await;
    let all: serde_json::Map<_, _> = FIELDS.iter().map(|(field, [a, _])| ((*field).to_owned(), json!(a))).collect();
    gateway.put("/v1/users/ann", Value::Object(all)).await;
    let (ann, bob) = (gateway.login("ann", JSON).await, gateway.login("bob", encoding).await);
    let mut eve = gateway.login("eve", encoding).await;
    eve.watch(&["ann"]).await;
    eve.until(|replica| replica.users().contains_key("ann")).await;
    Three { gateway, ann, bob, eve }
}

#[tokio::test]
async fn a_field_reaches_those_who_may_see_it_by_every_way_and_nobody_else() {
    assert_eq!(FIELDS.map(|(field, _)| field), Profile::FIELDS);
    // Each field has each audience once.
    let audiences = ["everyone", "friends", "self"];
    for shift in 0..3 {
        let lines: Vec<_> =
            FIELDS.iter().enumerate().map(|(n, (field, _))| (*field, audiences[(n + shift) % 3])).collect();
        let world = rules(&lines);
        let encoding = Encoding::ALL[shift % 2];
        let Three { gateway, ann, mut bob, mut eve } = three(&world, encoding).await;
        let mut tab = gateway.login("ann", encoding).await;
        for (n, (field, [a, b])) in FIELDS.into_iter().enumerate() {
            let audience = audiences[(n + shift) % 3];
            let seen_by = |level: &str, value| if level_sees(level, audience) { value } else { nothing(field) };
            for (name, peer) in [("friends", &mut bob), ("everyone", &mut eve)] {
                let before = peer.replica.users()["ann"].clone();
                let what = format!("{field} for {audience}, seen by {name}");
                assert_eq!(text(&before, field), seen_by(name, a), "{what}, at login");
                assert_eq!(peer.look_up("ann").await, before, "{what}, looked up");
            }
            gateway.patch("/v1/users/ann", json!({field: b})).await;
            let own = tab.changes().await.me.unwrap();
            assert_eq!(text(&own, field), b, "{field}, on an own device");
            for (name, peer) in [("friends", &mut bob), ("everyone", &mut eve)] {
                let what = format!("{field} for {audience}, seen by {name}");
                let before = peer.replica.users()["ann"].clone();
                if level_sees(name, audience) {
                    let changes = peer.changes().await;
                    assert_eq!((changes.users.len(), text(&changes.users[0], field).as_str()), (1, b), "{what}, live");
                    assert_eq!(changes.users[0].version, own.version, "{what}");
                } else {
                    peer.quiet().await;
                    // Neither version nor time shows that something happened.
                    assert_eq!(peer.look_up("ann").await, before, "{what}");
                }
                assert_eq!(peer.look_up("ann").await, peer.replica.users()["ann"], "{what}, looked up");
            }
            let fresh = gateway.login("bob", encoding).await.replica;
            assert_eq!(fresh.users()["ann"], bob.replica.users()["ann"], "{field}");
        }
        // Nor a delta: who missed only what is hidden is current.
        let hidden = FIELDS.iter().enumerate().find(|(n, _)| audiences[(n + shift) % 3] == "self").unwrap().1;
        let held = bob.replica.clone();
        drop(bob);
        gateway.patch("/v1/users/ann", json!({hidden.0: hidden.1[0]})).await;
        let back = gateway.resume("bob", encoding, held.clone()).await;
        assert_eq!((back.reply.sync, back.replica.users()), (CURRENT, held.users()));
        drop(ann);
    }
}

fn level_sees(level: &str, audience: &str) -> bool {
    audience == "everyone" || audience == "friends" && level == "friends"
}

#[tokio::test]
async fn becoming_friends_and_strangers_changes_what_is_seen_at_once() {
    let world = rules(&[("tel", "friends"), ("email", "self")]);
    for encoding in Encoding::ALL {
        let Three { gateway, mut ann, mut bob, mut eve } = three(&world, encoding).await;
        gateway.patch("/v1/users/ann", json!({"tel": "5"})).await;
        bob.until(|replica| replica.users()["ann"].tel == "5").await;
        let stranger = eve.replica.users()["ann"].clone();
        assert_eq!((stranger.tel.as_str(), stranger.email.as_str()), ("", ""));
        // The profile that a friend sees may be newer than the one that a stranger saw, or not: it comes in either case.
        ann.request(to::add("eve")).await;
        eve.until(|replica| replica.friends().contains_key("ann")).await;
        let friend = eve.replica.users()["ann"].clone();
        assert_eq!((friend.tel.as_str(), friend.email.as_str()), ("5", ""));
        eve.agrees(&gateway, encoding).await;
        eve.request(to::delete("ann")).await;
        eve.until(|replica| replica.friends().is_empty()).await;
        assert_eq!(eve.replica.users()["ann"], stranger);
        assert_eq!(eve.look_up("ann").await, stranger);
        // Bob watches nobody: what he saw as a friend is forgotten, and a look-up shows what everyone sees.
        ann.request(to::delete("bob")).await;
        bob.until(|replica| replica.friends().is_empty()).await;
        assert!(bob.replica.users().is_empty());
        assert_eq!(bob.look_up("ann").await, stranger);
        gateway.delete("/v1/users/ann").await;
        drop(gateway);
        // The file is used by the next round.
        std::fs::remove_file(world.path().join("rosterd.db")).unwrap();
        for extra in ["rosterd.db-wal", "rosterd.db-shm"] {
            let _ = std::fs::remove_file(world.path().join(extra));
        }
    }
}

#[tokio::test]
async fn a_signal_and_a_prefetch_bring_a_stranger_only_what_everyone_sees() {
    let world = rules(&[("tel", "friends"), ("sign", "self")]);
    let Three { gateway, mut ann, mut bob, mut eve } = three(&world, JSON).await;
    eve.watch(&[]).await;
    for peer in [&mut bob, &mut eve] {
        let account = peer.reply.account.clone();
        ann.request(ClientCommand::Signal(v1::Signal { to: account, payload: "x".into() })).await;
        while peer.next().await.signal.is_none() {}
    }
    assert_eq!(text(&eve.replica.users()["ann"], "tel"), "");
    assert_eq!(text(&bob.replica.users()["ann"], "tel"), "1");
    // A change she may not see makes no version of hers, so the next signal brings no profile.
    gateway.patch("/v1/users/ann", json!({"sign": "hidden", "tel": "9"})).await;
    ann.request(ClientCommand::Signal(v1::Signal { to: "eve".into(), payload: "y".into() })).await;
    assert!(eve.next().await.signal.is_some());
    gateway
        .backend()
        .await
        .request(hyper::Method::POST, "/v1/users/eve/hints", json!({"accounts": ["ann"]}).to_string())
        .await
        .unwrap();
    eve.quiet().await;
}

#[tokio::test]
async fn if_version_compares_the_own_view_and_the_backend_sees_everything() {
    let world = rules(&[("tel", "self"), ("sign", "friends")]);
    let Three { gateway, mut ann, bob, .. } = three(&world, Encoding::Protobuf).await;
    gateway.patch("/v1/users/ann", json!({"tel": "7"})).await;
    ann.until(|replica| replica.me().unwrap().tel == "7").await;
    let (own, theirs) = (ann.replica.me().unwrap().version, bob.replica.users()["ann"].version);
    assert!(own > theirs);
    let update = |version| {
        let sign = Some(format!("for {version}"));
        ClientCommand::UpdateMyInfo(v1::UpdateMyInfo { sign, if_version: Some(version), ..Default::default() })
    };
    assert_eq!(ann.refused(update(theirs)).await.code, 412);
    ann.request(update(own)).await;
    let user = gateway.user("ann").await;
    assert_eq!((user["tel"].as_str(), user["sign"].as_str()), (Some("7"), Some(format!("for {own}").as_str())));
}

#[tokio::test]
async fn other_rules_send_what_looks_other_than_before_and_no_full_sync() {
    let mut world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    gateway.patch("/v1/users/ann", json!({"tel": "5"})).await;
    let mut held = gateway.login("bob", JSON).await.replica;
    assert_eq!(held.users()["ann"].tel, "5");
    assert_eq!(gateway.terminate().await, Some(0));
    for (settings, moves, tel) in [
        ("", false, "5"),
        ("[profile.visibility]\ntel = \"everyone\"", false, "5"),
        ("[profile.visibility]\ntel = \"self\"", true, ""),
        ("[profile.visibility]\ntel = \"self\"", false, ""),
        ("[profile.visibility]\ntel = \"friends\"", true, "5"),
    ] {
        settings.clone_into(&mut world.settings);
        let gateway = world.start();
        let version = held.users()["ann"].version;
        let mut back = gateway.resume("bob", Encoding::Protobuf, held).await;
        assert_eq!(back.reply.because, None, "{settings}: {:?}", back.reply);
        back.until(|replica| replica.users()["ann"].tel == tel).await;
        back.agrees(&gateway, JSON).await;
        assert_eq!(back.replica.users()["ann"].version > version, moves, "{settings}");
        held = back.replica;
        assert_eq!(gateway.terminate().await, Some(0));
    }
}
