//! Live profiles of people who are no friends: the list, what is sent about whom, and when it stops.

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
    assert_eq!(users(&mut ann).await, [user("bob", "another")]);
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
