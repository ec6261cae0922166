//! Live profiles of people who are no friends: the list, what is sent about whom, and when it stops.

use hyper::Method;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use serde_json::{Value, json};

use crate::support::{Gateway, Peer, World, to};

const JSON: Encoding = Encoding::Json;

async fn change(gateway: &Gateway, account: &str, sign: &str) {
    gateway.patch(&format!("/v1/users/{account}"), json!({"sign": sign})).await;
}

/// The profiles that the next frame brings, which is nothing but profiles.
async fn users(peer: &mut Peer) -> Vec<(String, String)> {
    let changes = peer.changes().await;
    assert!(changes.friends.is_empty() && changes.removed.is_empty(), "{changes:?}");
    let mut users: Vec<_> = changes.users.into_iter().map(|user| (user.account, user.sign)).collect();
    users.sort();
    users
}

fn user(account: &str, sign: &str) -> (String, String) {
    (account.to_owned(), sign.to_owned())
}

/// The accounts that the next frame removes, and nothing else.
async fn removed(peer: &mut Peer) -> Vec<String> {
    let changes = peer.changes().await;
    assert!(changes.friends.is_empty() && changes.users.is_empty() && changes.cursor.is_none(), "{changes:?}");
    changes.removed
}

/// By whatever way it was sent a profile, a client learns when the account is deleted; one that never was, does not.
#[tokio::test]
async fn a_deleted_account_is_removed_from_every_client_that_may_hold_its_profile_and_from_no_other() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let gateway = world.start();
        let everyone = ["ann", "watches", "watched", "blocked", "signalled", "hinted", "friend", "asked", "other"];
        gateway.populate(&everyone, &[("ann", "friend")]).await;
        let mut peers = Vec::new();
        for account in &everyone[1..] {
            peers.push(gateway.login(account, encoding).await);
        }
        let [watches, unwatches, blocked, signalled, hinted, friend, asked, other] = &mut peers[..] else { panic!() };
        for peer in [&mut *watches, &mut *unwatches, &mut *blocked] {
            peer.watch(&["ann"]).await;
            assert_eq!(users(peer).await, [user("ann", "")]);
        }
        // Off the list, it may hold the profile still.
        unwatches.watch(&[]).await;
        let mut ann = gateway.login("ann", JSON).await;
        ann.request(to::block("blocked")).await;
        ann.signal("signalled", "hi").await;
        while signalled.next().await.signal.is_none() {}
        gateway.call(Method::POST, "/v1/users/hinted/hints", json!({"accounts": ["ann"]}).to_string()).await;
        assert_eq!(users(hinted).await, [user("ann", "")]);
        assert_eq!(asked.look_up("ann").await.account, "ann");
        friend.until(|replica| replica.users().contains_key("ann")).await;
        gateway.delete("/v1/users/ann").await;
        for peer in [&mut *watches, &mut *unwatches, &mut *blocked, &mut *signalled, &mut *hinted] {
            assert_eq!(removed(peer).await, ["ann"], "{}", peer.reply.account);
            assert!(!peer.replica.users().contains_key("ann"));
        }
        friend.until(|replica| replica.friends().is_empty() && !replica.users().contains_key("ann")).await;
        // What was in an answer is not held, and who never knew the account does not learn of it.
        for peer in [asked, other] {
            peer.quiet().await;
        }
        // Made again, it is on the list of the one that watches, and a stranger to all others.
        gateway.put("/v1/users/ann", json!({"sign": "new"})).await;
        for peer in [&mut *watches, &mut *blocked] {
            assert_eq!(users(peer).await, [user("ann", "new")]);
        }
        for peer in [&mut *unwatches, &mut *signalled, &mut *hinted] {
            peer.quiet().await;
        }
        let mut ann = gateway.login("ann", JSON).await;
        ann.signal("signalled", "hi").await;
        assert_eq!(users(signalled).await, [user("ann", "new")]);
    }
}

/// A client that comes back holds no stranger but those that it watches again, and the answer says which are missing.
#[tokio::test]
async fn a_client_that_was_away_when_an_account_was_deleted_does_not_keep_its_profile() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob", "cat", "dan"], &[("bob", "dan")]).await;
    for encoding in Encoding::ALL {
        let mut bob = gateway.login("bob", encoding).await;
        bob.watch(&["ann", "cat"]).await;
        bob.until(|replica| replica.users().len() == 3).await;
        let away = bob.replica.clone();
        drop(bob);
        gateway.delete("/v1/users/ann").await;
        let mut bob = gateway.resume("bob", encoding, away).await;
        assert_eq!(bob.reply.sync, v1::SyncMode::Current as i32);
        assert_eq!(bob.replica.users().keys().collect::<Vec<_>>(), ["dan"]);
        assert_eq!(bob.watch(&["ann", "cat"]).await, ["ann"]);
        bob.until(|replica| replica.users().contains_key("cat")).await;
        assert_eq!(bob.replica.users().keys().collect::<Vec<_>>(), ["cat", "dan"]);
        gateway.put("/v1/users/ann", json!({})).await;
    }
}

/// The profiles of strangers that a client holds are bounded, and so is what the gateway remembers of them.
#[tokio::test]
async fn the_profile_that_was_sent_longest_ago_is_removed_when_a_client_holds_too_many() {
    let world = World::new();
    let gateway = world.start();
    let names: Vec<_> = (0..503).map(|n| format!("u{n:03}")).collect();
    gateway.populate(&["ann"], &[]).await;
    gateway.populate(&names.iter().map(String::as_str).collect::<Vec<_>>(), &[("ann", "u001")]).await;
    let mut ann = gateway.login("ann", JSON).await;
    ann.watch(&["u002"]).await;
    for some in names.chunks(100) {
        let body = json!({"accounts": some}).to_string();
        assert_eq!(gateway.call(Method::POST, "/v1/users/ann/hints", body).await.0, 200);
        ann.until(|replica| some.iter().all(|name| replica.users().contains_key(name))).await;
    }
    ann.until(|replica| replica.users().len() == 502).await;
    assert!(!ann.replica.users().contains_key("u000"));
    // What is followed is no such profile, however long ago it was sent.
    for name in ["u001", "u002"] {
        change(&gateway, name, "still live").await;
        ann.until(|replica| replica.users()[name].sign == "still live").await;
    }
}

#[tokio::test]
async fn a_list_is_replaced_and_only_what_is_new_comes_at_once() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob", "cat", "dan"], &[]).await;
    for encoding in Encoding::ALL {
        let mut ann = gateway.login("ann", encoding).await;
        let mut device = gateway.login("ann", encoding).await;
        for account in ["bob", "cat", "dan"] {
            change(&gateway, account, "").await;
        }
        assert_eq!(ann.watch(&["bob", "cat", "bob"]).await, [""; 0]);
        assert_eq!(users(&mut ann).await, [user("bob", ""), user("cat", "")]);
        assert_eq!(ann.watch(&["cat", "dan"]).await, [""; 0]);
        assert_eq!(users(&mut ann).await, [user("dan", "")]);
        // Who is on it is live, who is off it no longer.
        change(&gateway, "bob", "unheard").await;
        change(&gateway, "cat", "heard").await;
        assert_eq!(users(&mut ann).await, [user("cat", "heard")]);
        change(&gateway, "dan", "heard").await;
        assert_eq!(users(&mut ann).await, [user("dan", "heard")]);
        // The same again brings nothing.
        ann.watch(&["dan", "cat"]).await;
        ann.quiet().await;
        ann.watch(&[]).await;
        change(&gateway, "cat", "unheard").await;
        ann.quiet().await;
        // It is this session's list and not its account's, and does not outlive it.
        device.quiet().await;
        ann.watch(&["bob"]).await;
        let held = ann.replica.clone();
        drop(ann);
        let mut back = gateway.resume("ann", encoding, held).await;
        change(&gateway, "bob", "unheard by one who came back").await;
        back.quiet().await;
    }
}

#[tokio::test]
async fn an_account_that_does_not_exist_yet_comes_when_it_does() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann"], &[]).await;
    let mut ann = gateway.login("ann", Encoding::Protobuf).await;
    assert_eq!(ann.watch(&["bob", "ann", "cat"]).await, ["bob", "cat"]);
    gateway.put("/v1/users/bob", json!({"sign": "I am new"})).await;
    assert_eq!(users(&mut ann).await, [user("bob", "I am new")]);
    change(&gateway, "bob", "and I change").await;
    assert_eq!(users(&mut ann).await, [user("bob", "and I change")]);
    // Gone and made again.
    gateway.delete("/v1/users/bob").await;
    gateway.put("/v1/users/bob", json!({"sign": "another"})).await;
    ann.until(|replica| replica.users().get("bob").is_some_and(|bob| bob.sign == "another")).await;
    // The own account on the list comes once, as one's own.
    gateway.patch("/v1/users/ann", json!({"sign": "mine"})).await;
    let changes = ann.changes().await;
    assert_eq!((changes.me.unwrap().sign, changes.users.len()), ("mine".to_owned(), 0));
}

#[tokio::test]
async fn a_list_that_is_wrong_changes_nothing() {
    let world = World::new();
    let gateway = world.start();
    let many: Vec<_> = (0..501).map(|n| format!("u{n:03}")).collect();
    let names: Vec<_> = many.iter().map(String::as_str).collect();
    gateway.populate(&names, &[]).await;
    gateway.populate(&["ann", "bob"], &[]).await;
    for encoding in Encoding::ALL {
        let mut ann = gateway.login("ann", encoding).await;
        ann.watch(&["bob"]).await;
        ann.until(|replica| replica.users().contains_key("bob")).await;
        for (accounts, code, field) in
            [(many.clone(), 419, "accounts"), (vec!["u000".into(), "a b".into()], 414, "accounts[1]")]
        {
            let error = ann.refused(ClientCommand::Watch(v1::Watch { accounts })).await;
            assert_eq!((error.code, error.field.as_deref()), (code, Some(field)), "{error:?}");
        }
        change(&gateway, "u000", &format!("{encoding:?}")).await;
        change(&gateway, "bob", &format!("{encoding:?}")).await;
        assert_eq!(users(&mut ann).await, [user("bob", &format!("{encoding:?}"))]);
        // 500 are fine, and all of them live.
        assert_eq!(ann.watch(&names[..500]).await, [""; 0]);
        ann.until(|replica| names[..500].iter().all(|name| replica.users().contains_key(*name))).await;
        for name in [names[0], names[499]] {
            change(&gateway, name, &format!("{encoding:?} {name}")).await;
            assert_eq!(users(&mut ann).await, [user(name, &format!("{encoding:?} {name}"))]);
        }
        change(&gateway, names[500], &format!("{encoding:?}")).await;
        ann.quiet().await;
    }
}

#[tokio::test]
async fn a_friend_on_the_list_comes_once_and_stays_live_after_either_ends() {
    let world = World::with("[profile.visibility]\ntel = \"friends\"");
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    gateway.patch("/v1/users/bob", json!({"tel": "1"})).await;
    for encoding in Encoding::ALL {
        let mut ann = gateway.login("ann", encoding).await;
        ann.watch(&["bob"]).await;
        // Again, as a friend sees it.
        assert_eq!(ann.changes().await.users[0].tel, "1");
        change(&gateway, "bob", &format!("{encoding:?} 1")).await;
        let changes = ann.changes().await;
        assert_eq!((changes.users.len(), changes.users[0].tel.as_str()), (1, "1"));
        // Taken off the list, a friend is a friend.
        ann.watch(&[]).await;
        change(&gateway, "bob", &format!("{encoding:?} 2")).await;
        assert_eq!(ann.changes().await.users.len(), 1);
        ann.watch(&["bob"]).await;
        ann.changes().await;
        // No friend any more, a watched one is seen as everyone sees it.
        ann.request(to::delete("bob")).await;
        let parted = ann.changes().await;
        assert_eq!((parted.removed.as_slice(), parted.users[0].tel.as_str()), (&["bob".to_owned()][..], ""));
        assert_eq!(ann.replica.users()["bob"].tel, "");
        change(&gateway, "bob", &format!("{encoding:?} 3")).await;
        assert_eq!(users(&mut ann).await, [user("bob", &format!("{encoding:?} 3"))]);
        // And a friend again.
        gateway.put("/v1/users/ann/friends/bob", Value::Null).await;
        ann.until(|replica| replica.friends().contains_key("bob")).await;
        assert_eq!(ann.replica.users()["bob"].tel, "1");
        change(&gateway, "bob", &format!("{encoding:?} 4")).await;
        assert_eq!(ann.changes().await.users.len(), 1);
        ann.agrees(&gateway, encoding).await;
    }
}

#[tokio::test]
async fn presence_is_for_friends_and_not_for_who_watches() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["ann", "bob"], &[]).await;
    let mut ann = gateway.login("ann", JSON).await;
    ann.watch(&["bob"]).await;
    let mut bob = gateway.login("bob", JSON).await;
    bob.nick("Bobby").await;
    ann.until(|replica| replica.users().get("bob").is_some_and(|bob| bob.nick == "Bobby")).await;
    assert!(ann.replica.presence().is_empty());
}
