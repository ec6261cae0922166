//! A client comes back and receives exactly what it lacks.

use hyper::Method;
use rosterd_client::{ClientError, Replica};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::json;

use crate::raw::{Raw, payload};
use crate::support::{Gateway, World, live_blocks, to};

const FULL: i32 = v1::SyncMode::Full as i32;
const DELTA: i32 = v1::SyncMode::Delta as i32;
const CURRENT: i32 = v1::SyncMode::Current as i32;

/// Logs in and keeps every frame of the catch-up.
async fn frames(gateway: &Gateway, account: &str, encoding: Encoding, cursor: Option<String>) -> Vec<v1::ServerFrame> {
    let mut client = gateway.connect(encoding).await;
    client.send(ClientCommand::Login(v1::Login { token: account.into(), cursor, device: None })).await.unwrap();
    let mut frames = Vec::new();
    loop {
        frames.push(client.next().await.unwrap());
        if frames.last().unwrap().synced.is_some() {
            return frames;
        }
    }
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n:04}")).collect()
}

/// Makes an account with these friends.
async fn befriended(gateway: &Gateway, owner: &str, friends: &[String]) {
    let users: Vec<_> = friends.iter().map(String::as_str).chain([owner]).collect();
    let pairs: Vec<_> = friends.iter().map(|friend| (owner, friend.as_str())).collect();
    gateway.populate(&users, &pairs).await;
}

#[tokio::test]
async fn of_200_friends_3_changed_1_left_and_1_came_with_an_old_profile() {
    let world = World::new();
    let gateway = world.start();
    let friends = names("f", 200);
    befriended(&gateway, "alice", &friends).await;
    gateway.populate(&["newcomer"], &[]).await;
    for encoding in Encoding::ALL {
        let peer = gateway.login("alice", encoding).await;
        let replica = peer.replica;
        drop(peer.client);
        let round = format!("{encoding:?}");
        let mut backend = gateway.backend().await;
        for friend in &friends[..3] {
            let body = json!({"nick": format!("{friend} {round}")}).to_string();
            backend.request(Method::PATCH, &format!("/v1/users/{friend}"), body).await.unwrap();
        }
        let (leaver, newcomer) = ("/v1/users/alice/friends/f0100", "/v1/users/newcomer/friends/alice");
        backend.request(Method::DELETE, leaver, String::new()).await.unwrap();
        backend.request(Method::PUT, newcomer, String::new()).await.unwrap();

        let frames = frames(&gateway, "alice", encoding, replica.cursor().map(str::to_owned)).await;
        let reply = frames[0].login_reply.as_ref().unwrap();
        assert_eq!((reply.sync, reply.because.as_deref()), (DELTA, None));
        let changes: Vec<_> = frames.iter().filter_map(|frame| frame.changes.as_ref()).collect();
        let mut users: Vec<_> = changes.iter().flat_map(|c| &c.users).map(|user| user.account.as_str()).collect();
        users.sort_unstable();
        let entered: Vec<_> = changes.iter().flat_map(|c| &c.friends).map(|friend| friend.account.as_str()).collect();
        let left: Vec<_> = changes.iter().flat_map(|c| &c.removed).map(String::as_str).collect();
        assert_eq!(users, ["f0000", "f0001", "f0002", "newcomer"]);
        assert_eq!((entered, left), (vec!["newcomer"], vec!["f0100"]));

        let mut replica = replica;
        replica.begin(reply);
        for frame in &frames {
            replica.apply(frame).expect("count and digest agree");
        }
        let fresh = gateway.login("alice", encoding).await.replica;
        assert_eq!((replica.friends(), replica.users()), (fresh.friends(), fresh.users()));
        // For the next round.
        backend.request(Method::PUT, leaver, String::new()).await.unwrap();
        backend.request(Method::DELETE, newcomer, String::new()).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_missed_nothing_is_current_and_still_gets_the_own_profile() {
    let world = World::new();
    let gateway = world.start();
    befriended(&gateway, "alice", &names("f", 30)).await;
    let peer = gateway.login("alice", Encoding::Json).await;
    assert_eq!((peer.reply.sync, peer.reply.because.as_deref()), (FULL, Some("NO_CURSOR")));
    let cursor = peer.replica.cursor().map(str::to_owned);
    let frames = frames(&gateway, "alice", Encoding::Json, cursor).await;
    assert_eq!(frames[0].login_reply.as_ref().unwrap().sync, CURRENT);
    let changes: Vec<_> = frames.iter().filter_map(|frame| frame.changes.as_ref()).collect();
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].me.as_ref().unwrap().account.as_str(), changes[0].users.len()), ("alice", 0));
}

#[tokio::test]
async fn a_cursor_from_a_live_push_is_as_good_as_one_from_synced() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob", "carol"], &[("alice", "bob"), ("alice", "carol")]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    let mut bob = gateway.login("bob", Encoding::Json).await;
    let before = alice.replica.cursor().unwrap().to_owned();
    bob.nick("Bob 2").await;
    alice.changes().await;
    assert_ne!(alice.replica.cursor().unwrap(), before);
    drop(alice.client);
    gateway.login("carol", Encoding::Json).await.nick("Carol 2").await;
    let frames = frames(&gateway, "alice", Encoding::Json, alice.replica.cursor().map(str::to_owned)).await;
    let users: Vec<_> = frames.iter().filter_map(|f| f.changes.as_ref()).flat_map(|c| &c.users).collect();
    assert_eq!(users.iter().map(|user| user.nick.as_str()).collect::<Vec<_>>(), ["Carol 2"]);
}

#[tokio::test]
async fn a_cursor_that_cannot_be_answered_gets_everything_and_the_reason() {
    let (world, other) = (World::new(), World::new());
    let (gateway, foreign) = (world.start(), other.start());
    gateway.populate(&["alice", "bob"], &[("alice", "bob")]).await;
    foreign.populate(&["alice"], &[]).await;
    let own = gateway.login("alice", Encoding::Json).await.replica.cursor().unwrap().to_owned();
    let elsewhere = foreign.login("alice", Encoding::Json).await.replica.cursor().unwrap().to_owned();
    let (epoch, _) = own.split_once('-').unwrap();
    for (cursor, because) in [
        ("no cursor at all".to_owned(), "CURSOR_MALFORMED"),
        (elsewhere, "CURSOR_FOREIGN"),
        (format!("{epoch}-999999"), "CURSOR_FROM_FUTURE"),
    ] {
        let frames = frames(&gateway, "alice", Encoding::Json, Some(cursor)).await;
        let reply = frames[0].login_reply.as_ref().unwrap();
        assert_eq!((reply.sync, reply.because.as_deref()), (FULL, Some(because)));
        assert_eq!(frames.last().unwrap().synced.as_ref().unwrap().count, 1);
    }
}

#[tokio::test]
async fn a_long_list_comes_in_pages_and_adds_up_while_it_changes() {
    let world = World::new();
    let gateway = world.start();
    let friends = names("f", 1300);
    befriended(&gateway, "alice", &friends).await;
    for encoding in Encoding::ALL {
        let mut backend = gateway.backend().await;
        let mut alice = gateway.connect(encoding).await;
        let mut replica = Replica::default();
        // Friends change, leave and come back while alice catches up; what raced is pushed after `synced`.
        let ((), login) = tokio::join!(
            async {
                for (at, friend) in friends.iter().step_by(40).enumerate() {
                    let body = json!({"sign": format!("{encoding:?} {at}")}).to_string();
                    backend.request(Method::PATCH, &format!("/v1/users/{friend}"), body).await.unwrap();
                    let edge = format!("/v1/users/alice/friends/{friend}");
                    backend.request(Method::DELETE, &edge, String::new()).await.unwrap();
                    backend.request(Method::PUT, &edge, String::new()).await.unwrap();
                }
            },
            alice.login("alice", &mut replica),
        );
        login.expect("count and digest agree at synced");
        let fresh = gateway.login("alice", encoding).await.replica;
        assert_eq!(fresh.friends().len(), 1300);
        while (replica.friends(), replica.users()) != (fresh.friends(), fresh.users()) {
            replica.apply(&alice.next().await.unwrap()).unwrap();
        }
        assert_eq!(replica.digest(), fresh.digest());
    }
}

#[tokio::test]
async fn removals_past_their_retention_are_forgotten_and_older_cursors_expire() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob", "carol"], &[("alice", "bob"), ("alice", "carol")]).await;
    let mut old = gateway.login("alice", Encoding::Json).await.replica;
    let mut backend = gateway.backend().await;
    backend.request(Method::DELETE, "/v1/users/alice/friends/bob", String::new()).await.unwrap();
    let recent = gateway.login("alice", Encoding::Json).await.replica;
    assert_eq!(gateway.terminate().await, Some(0));
    // A hundred days pass: the tombstone ages in the file.
    let file = rusqlite::Connection::open(world.path().join("rosterd.db")).unwrap();
    let aged = file.execute("UPDATE edge SET update_time = update_time - 8640000000 WHERE removed = 1", []).unwrap();
    assert_eq!(aged, 2);
    drop(file);
    let gateway = world.start();
    // Compaction runs at the start, in the background. A login that it overtakes is ended, to be tried again.
    let reply = loop {
        match gateway.try_resume("alice", Encoding::Json, old.clone()).await {
            Ok(peer) if peer.reply.sync == FULL => {
                old = peer.replica;
                break peer.reply;
            }
            Ok(_) => {}
            Err(ClientError::Closed { code, .. }) => assert_eq!(code, 3002),
            Err(ClientError::Refused(error)) => assert_eq!(error.code, 503),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(reply.because.as_deref(), Some("CURSOR_EXPIRED"));
    assert_eq!(old.friends().keys().collect::<Vec<_>>(), ["carol"]);
    assert_eq!(gateway.resume("alice", Encoding::Json, recent).await.reply.sync, CURRENT);
}

#[tokio::test]
async fn who_is_deleted_and_made_again_blocks_nobody_on_a_client_that_was_away() {
    let world = World::new();
    let gateway = world.start();
    for encoding in Encoding::ALL {
        gateway.populate(&["alice", "bob", "carol"], &[]).await;
        let mut alice = gateway.login("alice", encoding).await;
        for account in ["bob", "carol"] {
            alice.request(to::block(account)).await;
        }
        alice.until(|replica| replica.blocks().count() == 2).await;
        let (replica, mut elsewhere) = (alice.replica, gateway.login("alice", encoding).await);
        drop(alice.client);
        elsewhere.request(to::unblock("carol")).await;
        let mut backend = gateway.backend().await;
        backend.request(Method::DELETE, "/v1/users/alice", String::new()).await.unwrap();
        gateway.populate(&["alice"], &[]).await;
        let back = gateway.resume("alice", encoding, replica).await;
        assert_eq!(back.reply.sync, DELTA);
        assert_eq!(live_blocks(&back.replica), [] as [String; 0]);
    }
}

#[tokio::test]
async fn a_login_whose_client_has_gone_is_not_served_to_its_end() {
    const GONE: u32 = 30;
    let world = World::new();
    let gateway = world.start_with(&["sessions.max=1000"]);
    let friends = names("f", 6000);
    let users: Vec<_> = friends.iter().map(String::as_str).chain(["ann"]).collect();
    let pairs: Vec<_> = friends.iter().map(|friend| ("ann", friend.as_str())).collect();
    gateway.populate(&users, &pairs).await;
    let ann = gateway.login("ann", Encoding::Json).await;
    let cursor = ann.replica.cursor().map(str::to_owned);
    let served = async || gateway.metric_of("rosterd_logins_total", "CURRENT").await;
    let before = served().await;
    // With nothing new, so that nothing is written that would show that they have gone.
    for _ in 0..GONE {
        let mut raw = Raw::open(&gateway, Encoding::Json).await;
        let login = v1::Login { token: "ann".to_owned(), cursor: cursor.clone(), device: None };
        raw.message(payload(Encoding::Json, ClientCommand::Login(login), 1)).await;
        drop(raw);
    }
    gateway.until_metric("rosterd_sessions_closed_total", "CLIENT_LEFT", |left| left >= f64::from(GONE)).await;
    let served_to_the_end = served().await - before;
    assert!(served_to_the_end < f64::from(GONE) / 3.0, "{served_to_the_end} of {GONE}");
    // Who stays is served, and what it sends early is not lost.
    let mut raw = Raw::open(&gateway, Encoding::Json).await;
    let login = v1::Login { token: "ann".to_owned(), cursor, device: None };
    raw.message(payload(Encoding::Json, ClientCommand::Login(login), 1)).await;
    let get = ClientCommand::GetUsers(v1::GetUsers { accounts: vec!["nobody".to_owned()] });
    raw.message(payload(Encoding::Json, get, 2)).await;
    while raw.server().await.synced.is_none() {}
    while raw.server().await.get_users_reply.is_none() {}
}
