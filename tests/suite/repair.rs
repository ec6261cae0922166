//! A client with a friend list that is wrong in any way gets again what differs, and nothing else.

use std::collections::BTreeSet;

use futures::{SinkExt, StreamExt};
use rosterd_client::{Client, Replica};
use rosterd_engine::sync::repair::bucket;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::auth::{login, token, with_secret};
use crate::support::{Gateway, PATIENCE, Peer, World, is_aside, to};

/// Friends of the account under test: about five to a part.
const FRIENDS: usize = 300;

fn friend(n: usize) -> String {
    format!("f{n:03}")
}

async fn populate(gateway: &Gateway) {
    let friends: Vec<_> = (0..FRIENDS).map(friend).collect();
    let users: Vec<_> = friends.iter().map(String::as_str).chain(["alice", "stranger"]).collect();
    let pairs: Vec<_> = friends.iter().map(|friend| ("alice", friend.as_str())).collect();
    gateway.populate(&users, &pairs).await;
}

fn changed(replica: &Replica, changes: v1::Changes) -> Replica {
    let mut replica = replica.clone();
    let cursor = replica.cursor().map(str::to_owned);
    let changes = Some(v1::Changes { cursor, ..changes }.into());
    replica.apply(&v1::ServerFrame { changes, ..Default::default() }).unwrap();
    replica
}

/// The replica with one friend's records replaced.
fn replaced(replica: &Replica, account: &str, friend_version: u64, user: Option<v1::User>) -> Replica {
    let friend = v1::Friend { version: friend_version, ..record(replica, account).0 };
    let without = changed(replica, v1::Changes { removed: vec![account.to_owned()], ..Default::default() });
    changed(&without, v1::Changes { friends: vec![friend], users: user.into_iter().collect(), ..Default::default() })
}

fn record(replica: &Replica, account: &str) -> (v1::Friend, v1::User) {
    (replica.friends()[account].clone(), replica.users()[account].clone())
}

fn stranger() -> v1::Changes {
    let (friend, user) = (v1::Friend::default(), v1::User::default());
    v1::Changes {
        friends: vec![v1::Friend { account: "stranger".to_owned(), version: 5, ..friend }],
        users: vec![v1::User { account: "stranger".to_owned(), version: 6, ..user }],
        ..Default::default()
    }
}

/// Not compared by `assert_eq`, which would print hundreds of records.
fn same(a: &Replica, b: &Replica) -> bool {
    (a.friends(), a.users()) == (b.friends(), b.users())
}

/// What went wrong with a good copy, and the accounts that it went wrong with.
fn corruptions(good: &Replica) -> Vec<(&'static str, Replica, Vec<String>)> {
    let (friend_1, card_1) = record(good, "f001");
    let older = v1::User { version: card_1.version - 1, nick: "old".to_owned(), ..card_1.clone() };
    let newer = v1::User { version: card_1.version + 1_000_000, nick: "never was".to_owned(), ..card_1.clone() };
    let removed = |accounts: Vec<String>| changed(good, v1::Changes { removed: accounts, ..Default::default() });
    let one = |n| vec![friend(n)];
    let tenth: Vec<_> = (0..FRIENDS).step_by(10).map(friend).collect();
    let many = tenth.iter().fold(changed(good, stranger()), |replica, account| {
        let (friend, profile) = record(&replica, account);
        replaced(&replica, account, friend.version - 1, Some(profile))
    });
    vec![
        ("a missing friend", removed(one(7)), one(7)),
        ("two missing friends", removed(vec![friend(7), friend(8)]), vec![friend(7), friend(8)]),
        ("a friend too many", changed(good, stranger()), vec!["stranger".to_owned()]),
        ("a stale profile", replaced(good, "f001", friend_1.version, Some(older)), one(1)),
        ("a profile from the future", replaced(good, "f001", friend_1.version, Some(newer)), one(1)),
        ("a missing profile", replaced(good, "f001", friend_1.version, None), one(1)),
        ("a stale edge", replaced(good, "f001", friend_1.version - 1, Some(card_1.clone())), one(1)),
        ("an edge from the future", replaced(good, "f001", friend_1.version + 99, Some(card_1)), one(1)),
        ("many", many, [tenth, vec!["stranger".to_owned()]].concat()),
        ("nobody held", removed((0..FRIENDS).map(friend).collect()), (0..FRIENDS).map(friend).collect()),
    ]
}

/// Logs in with a copy that is wrong; the connection, and whether `synced` said that it is.
async fn come(gateway: &Gateway, encoding: Encoding, replica: &mut Replica) -> (Client, bool) {
    let mut client = gateway.connect(encoding).await;
    let cursor = replica.cursor().map(str::to_owned);
    let login = v1::Login { token: "alice".to_owned(), cursor, device: None };
    let reply = client.request(ClientCommand::Login(login)).await.unwrap().login_reply.unwrap();
    assert_eq!(reply.sync, v1::SyncMode::Current as i32);
    replica.begin(&reply);
    loop {
        let frame = timeout(PATIENCE, client.next()).await.expect("a frame in time").unwrap();
        let applied = replica.apply(&frame);
        if frame.synced.is_some() {
            return (client, applied.is_ok());
        }
    }
}

/// Asks for a repair; every frame of it, the reply first. That another session of the account left is none of it.
async fn frames(client: &mut Client, leaves: Vec<u32>) -> Vec<v1::ServerFrame> {
    client.send(ClientCommand::Repair(v1::Repair { leaves })).await.unwrap();
    let mut frames = Vec::new();
    loop {
        let frame = timeout(PATIENCE, client.next()).await.expect("a frame in time").unwrap();
        let last = frame.synced.is_some();
        if frame.sessions.is_none() {
            frames.push(frame);
        }
        if last {
            return frames;
        }
    }
}

#[tokio::test]
async fn only_what_differs_travels_whatever_is_wrong() {
    let world = World::new();
    let gateway = world.start();
    populate(&gateway).await;
    for encoding in Encoding::ALL {
        let good = gateway.login("alice", encoding).await.replica;
        assert_eq!(good.friends().len(), FRIENDS);
        for (what, mut replica, wrong) in corruptions(&good) {
            let what = format!("{encoding:?}, {what}");
            let (mut client, agreed) = come(&gateway, encoding, &mut replica).await;
            assert!(!agreed && replica.cursor().is_none(), "{what}: nobody noticed");
            let frames = frames(&mut client, replica.leaves()).await;
            let parts: BTreeSet<_> = wrong.iter().map(|account| bucket(account) as u32).collect();
            let reply = frames[0].repair_reply.as_ref().unwrap_or_else(|| panic!("{what}: {frames:?}"));
            assert_eq!(reply.parts, parts.iter().copied().collect::<Vec<_>>(), "{what}");
            let changes: Vec<_> = frames.iter().filter_map(|frame| frame.changes.as_ref()).collect();
            let came: BTreeSet<_> = changes.iter().flat_map(|c| &c.friends).map(|f| f.account.clone()).collect();
            let profiles: BTreeSet<_> = changes.iter().flat_map(|c| &c.users).map(|u| u.account.clone()).collect();
            let due = good.friends().keys().filter(|account| parts.contains(&(bucket(account) as u32)));
            assert_eq!((&came, &profiles), (&due.cloned().collect(), &came), "{what}");
            assert!(changes.iter().all(|c| c.removed.is_empty() && c.me.is_none() && c.cursor.is_none()), "{what}");

            // The list stays as it is until the end, and then it is right.
            let (last, before) = frames.split_last().unwrap();
            let held = replica.clone();
            for frame in before {
                replica.apply(frame).unwrap();
            }
            assert!(same(&replica, &held), "{what}");
            replica.apply(last).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(same(&replica, &good), "{what}");
            assert_eq!(replica.cursor(), good.cursor(), "{what}");
        }
    }
    world.until_logged("told again what differs").await;
    let log = world.log();
    assert!(!log.contains("alice") && !log.contains("f001"), "{log}");
}

#[tokio::test]
async fn the_client_repairs_by_itself_and_goes_on_getting_changes() {
    let world = World::new();
    let gateway = world.start();
    populate(&gateway).await;
    let count = corruptions(&gateway.login("alice", Encoding::Json).await.replica).len();
    for at in 0..count {
        let encoding = Encoding::ALL[at % 2];
        // Of the list as it is now: otherwise the login alone would bring what was changed in the rounds before.
        let good = gateway.login("alice", encoding).await.replica;
        let (what, replica, wrong) = corruptions(&good).swap_remove(at);
        let mut alice = gateway.resume("alice", encoding, replica).await;
        let fresh = gateway.login("alice", encoding).await.replica;
        assert!(same(&alice.replica, &fresh), "{what}");
        // The session follows what it was sent again.
        let first = wrong.iter().find(|account| *account != "stranger").cloned().unwrap_or(friend(3));
        let mut other = gateway.login(&first, encoding).await;
        other.nick("heard").await;
        alice.until(|replica| replica.users()[&first].nick == "heard").await;
        other.nick(&first).await;
        alice.until(|replica| replica.users()[&first].nick == first).await;
        alice.agrees(&gateway, encoding).await;
    }
    // One each, and not a single full sync but that of clients which knew nothing.
    assert_eq!(gateway.metric("rosterd_repairs_total").await, f64::from(count as u32));
    assert!(gateway.metric("rosterd_repair_records_total").await > 0.0);
}

#[tokio::test]
async fn a_repair_of_what_is_right_brings_nothing() {
    let world = World::new();
    let gateway = world.start();
    populate(&gateway).await;
    for encoding in Encoding::ALL {
        let mut alice = gateway.login("alice", encoding).await;
        let frames = frames(&mut alice.client, alice.replica.leaves()).await;
        let [reply, synced] = &frames[..] else { panic!("{frames:?}") };
        assert!(reply.repair_reply.as_ref().unwrap().parts.is_empty());
        for frame in [reply, synced] {
            alice.replica.apply(frame).unwrap();
        }
        alice.agrees(&gateway, encoding).await;
    }
    // Of nobody's list, too.
    let mut lonely = gateway.login("stranger", Encoding::Json).await;
    let reply = frames(&mut lonely.client, vec![0; 64]).await;
    let synced = reply[1].synced.as_ref().unwrap();
    assert_eq!((synced.count, synced.digest, synced.cursor.as_str()), (0, 0, lonely.replica.cursor().unwrap()));
}

#[tokio::test]
async fn a_repair_that_is_asked_for_while_the_catch_up_runs_comes_after_it() {
    let world = World::new();
    let gateway = world.start();
    populate(&gateway).await;
    for encoding in Encoding::ALL {
        let good = gateway.login("alice", encoding).await.replica;
        let mut replica = changed(&good, v1::Changes { removed: vec![friend(9)], ..Default::default() });
        let mut client = gateway.connect(encoding).await;
        let cursor = replica.cursor().map(str::to_owned);
        client.send(ClientCommand::Login(v1::Login { token: "alice".to_owned(), cursor, device: None })).await.unwrap();
        let frames = frames(&mut client, replica.leaves()).await;
        // To the first `synced`.
        assert!(frames[0].login_reply.is_some() && frames.iter().all(|frame| frame.repair_reply.is_none()));
        replica.begin(frames[0].login_reply.as_ref().unwrap());
        let mut rest = Vec::new();
        while rest.last().is_none_or(|frame: &v1::ServerFrame| frame.synced.is_none()) {
            rest.push(timeout(PATIENCE, client.next()).await.expect("a frame in time").unwrap());
        }
        // Sessions that end bring lists of sessions at any time.
        assert!(rest.iter().find(|frame| !is_aside(frame)).unwrap().repair_reply.is_some());
        let applied: Vec<_> = frames.iter().chain(&rest).map(|frame| replica.apply(frame)).collect();
        assert_eq!(applied.iter().filter(|applied| applied.is_err()).count(), 1);
        assert!(same(&replica, &good));
    }
}

#[tokio::test]
async fn a_profile_from_before_a_block_and_a_watched_stranger_are_repaired_as_the_client_may_see_them() {
    let world = World::with("[profile.visibility]\ntel = \"friends\"\n");
    let gateway = world.start();
    gateway.populate(&["alice", "bob", "zoe"], &[("alice", "bob")]).await;
    for encoding in Encoding::ALL {
        let mut bob = gateway.login("bob", encoding).await;
        bob.nick("before").await;
        bob.request(to::block("alice")).await;
        bob.nick("after").await;
        let mut alice = gateway.login("alice", encoding).await;
        let watch = v1::Watch { accounts: vec!["zoe".to_owned()] };
        alice.request(ClientCommand::Watch(watch)).await;
        alice.until(|replica| replica.users().contains_key("zoe")).await;
        let good = alice.replica.clone();
        // It takes zoe for a friend, with what only friends see, and holds something else of bob.
        let own = v1::User { tel: "secret".to_owned(), version: 1 << 40, ..good.users()["zoe"].clone() };
        let zoe = v1::Friend { account: "zoe".to_owned(), version: 3, ..Default::default() };
        let wrong = v1::Changes { friends: vec![zoe], users: vec![own], ..Default::default() };
        alice.replica = changed(&replaced(&good, "bob", 1, None), wrong);
        repair(&mut alice).await;
        assert!(same(&alice.replica, &good));
        assert_eq!(alice.replica.users()["bob"].nick, "before");
        bob.request(to::unblock("alice")).await;
        alice.until(|replica| replica.users()["bob"].nick == "after").await;
    }
}

async fn repair(peer: &mut Peer) {
    timeout(PATIENCE, peer.client.repair(&mut peer.replica)).await.expect("a repair in time").unwrap().unwrap();
}

/// What a made-up gateway says to one connection: after the login these frames, after a repair those.
pub(crate) async fn play(listener: &TcpListener, after_login: &[Value], after_repair: &[Value]) -> Vec<Value> {
    let (stream, _) = listener.accept().await.unwrap();
    #[expect(clippy::result_large_err, reason = "the library asks for it")]
    let accept = |_: &Request, mut response: Response| {
        let protocol = HeaderValue::from_static(Encoding::Json.subprotocol());
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, accept).await.unwrap();
    let mut heard = Vec::new();
    while let Some(Ok(Message::Text(text))) = socket.next().await {
        let command: Value = serde_json::from_str(&text).unwrap();
        let frames = if command["login"].is_object() { after_login } else { after_repair };
        for frame in frames {
            let mut frame = frame.clone();
            if frame.as_object().unwrap().keys().any(|key| key.ends_with("Reply") || key == "error") {
                frame["id"] = command["id"].clone();
            }
            socket.send(Message::text(frame.to_string())).await.unwrap();
        }
        heard.push(command);
    }
    heard
}

#[tokio::test]
async fn where_a_repair_does_not_help_everything_is_asked_for_on_a_new_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1/ws", listener.local_addr().unwrap());
    let reply = |sync: &str| json!({"loginReply": {"account": "alice", "session": "s", "epoch": "e", "sync": sync}});
    let synced = |count| json!({"synced": {"cursor": "e-1", "count": count, "digest": 0}});
    let gateway = async {
        let repaired = [json!({"repairReply": {"parts": []}}), synced(9)];
        let first = play(&listener, &[reply("current"), synced(9)], &repaired).await;
        let second = play(&listener, &[reply("full"), synced(0)], &[]).await;
        (first, second)
    };
    let client = async {
        let mut replica = Replica::default();
        replica.begin(&v1::LoginReply::default());
        let agreed = v1::Synced { cursor: "e-0".to_owned(), ..Default::default() };
        replica.apply(&v1::ServerFrame { synced: Some(agreed), ..Default::default() }).unwrap();
        let mut client = Client::connect(&url, Encoding::Json).await.unwrap();
        let reply = client.login("alice", &mut replica).await.unwrap();
        assert_eq!((reply.sync, replica.cursor()), (v1::SyncMode::Full as i32, Some("e-1")));
    };
    let ((first, second), ()) = timeout(PATIENCE, async { tokio::join!(gateway, client) }).await.expect("an end");
    assert_eq!(first[0]["login"]["cursor"], "e-0");
    assert_eq!(first[1]["repair"]["leaves"], json!(vec![0; 64]));
    assert_eq!((first.len(), second.len(), &second[0]["login"]["cursor"]), (2, 1, &Value::Null));
}

#[tokio::test]
async fn a_login_may_repair_once_and_goes_on_after_it_was_refused_another() {
    let world = with_secret();
    let gateway = world.start();
    populate(&gateway).await;
    for encoding in Encoding::ALL {
        let mut alice = login(&gateway, &token("alice", 600), encoding).await;
        // The first brings what differs, which is everything.
        let frames = frames(&mut alice.client, vec![7; 64]).await;
        assert_eq!(frames[0].repair_reply.as_ref().unwrap().parts.len(), 64);
        let error = alice.refused(ClientCommand::Repair(v1::Repair { leaves: vec![7; 64] })).await;
        assert_eq!((error.code, error.reason.as_str()), (416, "RATE_LIMITED"));
        assert!(error.retry_after_ms.is_some_and(|wait| wait > 0), "{error:?}");
        alice.nick("Still here").await;
        // Another login may.
        let mut again = login(&gateway, &token("alice", 600), encoding).await;
        assert!(again.client.repair(&mut again.replica).await.unwrap().is_ok());
    }
    assert_eq!(gateway.metric_of("rosterd_refused_total", "LIST_READS").await, 2.0);
}
