//! Changes travel while clients are connected.

use hyper::Method;
use rosterd_protocol::Encoding;

use crate::support::World;

#[tokio::test]
async fn a_change_reaches_friends_and_own_other_clients_and_its_author_gets_a_reply_and_no_echo() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob", "carol"], &[("alice", "bob")]).await;
    for (a, b) in [(Encoding::Json, Encoding::Protobuf), (Encoding::Protobuf, Encoding::Json)] {
        let mut author = gateway.login("alice", a).await;
        let mut other = gateway.login("alice", b).await;
        let mut friend = gateway.login("bob", b).await;
        let mut stranger = gateway.login("carol", a).await;
        let nick = format!("Alice in {a:?}");
        let updated = author.nick(&nick).await;
        assert_eq!(updated.nick, nick);
        let mine = other.changes().await;
        assert_eq!((mine.me.as_ref(), mine.users.len()), (Some(&updated), 0));
        let theirs = friend.changes().await;
        assert_eq!((theirs.me.as_ref(), theirs.users.as_slice()), (None, std::slice::from_ref(&updated)));
        assert_eq!(friend.replica.users()["alice"], updated);
        author.quiet().await;
        stranger.quiet().await;
    }
}

#[tokio::test]
async fn a_backend_write_reaches_clients_like_a_clients_own() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[("alice", "bob")]).await;
    let (mut alice, mut bob) =
        (gateway.login("alice", Encoding::Json).await, gateway.login("bob", Encoding::Protobuf).await);
    let mut backend = gateway.backend().await;
    backend.request(Method::PATCH, "/v1/users/alice", r#"{"sign": "moderated"}"#.into()).await.unwrap();
    assert_eq!(alice.changes().await.me.unwrap().sign, "moderated");
    assert_eq!(bob.changes().await.users[0].sign, "moderated");
}

#[tokio::test]
async fn friendships_made_and_ended_are_live_and_bring_the_whole_profile() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[]).await;
    let (mut alice, mut bob) =
        (gateway.login("alice", Encoding::Json).await, gateway.login("bob", Encoding::Protobuf).await);
    let mut backend = gateway.backend().await;
    for _ in 0..2 {
        backend.request(Method::PUT, "/v1/users/alice/friends/bob", String::new()).await.unwrap();
        let entered = alice.changes().await;
        assert_eq!((entered.friends[0].account.as_str(), entered.users[0].nick.as_str()), ("bob", "bob"));
        bob.until(|replica| replica.friends().contains_key("alice")).await;
        // From now on changes travel ...
        alice.nick("Alice 1").await;
        bob.until(|replica| replica.users()["alice"].nick == "Alice 1").await;
        backend.request(Method::DELETE, "/v1/users/bob/friends/alice", String::new()).await.unwrap();
        assert_eq!(alice.changes().await.removed, ["bob"]);
        bob.until(|replica| replica.friends().is_empty()).await;
        // ... and no longer.
        alice.nick("Alice").await;
        bob.quiet().await;
        alice.quiet().await;
    }
}

#[tokio::test]
async fn a_deleted_account_leaves_its_friends_lists_and_its_sessions_end() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[("alice", "bob")]).await;
    let (mut alice, mut bob) =
        (gateway.login("alice", Encoding::Json).await, gateway.login("bob", Encoding::Json).await);
    gateway.backend().await.request(Method::DELETE, "/v1/users/alice", String::new()).await.unwrap();
    assert_eq!(bob.changes().await.removed, ["alice"]);
    let goodbye = loop {
        // Its own removal of bob may come first.
        if let Some(goodbye) = alice.next().await.goodbye {
            break goodbye;
        }
    };
    assert_eq!((goodbye.code, goodbye.reason.as_str(), goodbye.reconnect), (3505, "ACCOUNT_DISABLED", false));
    // Made again, the account's profile is newer than the one that is gone.
    let gone = bob.replica.clone();
    gateway.populate(&["alice"], &[("alice", "bob")]).await;
    let back = bob.changes().await;
    assert!(back.users[0].version > 0 && gone.friends().is_empty());
}

#[tokio::test]
async fn a_gateway_whose_output_nobody_reads_lives_on() {
    let world = World::new();
    let gateway = world.start_with(&["log.level=trace"]);
    // The harness stopped reading standard output once it knew the addresses.
    gateway.populate(&["alice"], &[]).await;
    gateway.login("alice", Encoding::Json).await.nick("Still here").await;
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_sent_to_nobody() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[("alice", "bob")]).await;
    let (mut alice, mut bob) =
        (gateway.login("alice", Encoding::Json).await, gateway.login("bob", Encoding::Json).await);
    let first = alice.nick("Ally").await;
    bob.changes().await;
    assert_eq!(alice.nick("Ally").await, first);
    bob.quiet().await;
}

#[tokio::test]
async fn the_gauge_of_watched_accounts_counts_friends_too() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob", "carol"], &[("alice", "bob"), ("alice", "carol")]).await;
    let _alice = gateway.login("alice", Encoding::Json).await;
    assert_eq!(gateway.metric("rosterd_watched_accounts").await, 3.0);
}
