//! The Rust client that stays connected, where a scenario cannot look: damaged lists, many readers, dropped handles.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rosterd_client::{
    ClientChange, ClientChanges, ClientOptions, ClientSnapshot, ConnectionPhase, RosterdClient, UpdateOptions,
};
use rosterd_protocol::{ClientCommand, Encoding, v1};
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE, World};

pub(crate) fn options(gateway: &Gateway, account: &str) -> ClientOptions {
    ClientOptions::new(gateway.url(), account).backoff(Duration::from_millis(10), Duration::from_millis(100))
}

pub(crate) async fn connected(options: ClientOptions) -> RosterdClient {
    let client = RosterdClient::new(options).unwrap();
    timeout(PATIENCE, client.connect()).await.expect("a connection in time").unwrap();
    client
}

/// The next change that is like this.
pub(crate) async fn change(changes: &mut ClientChanges, mut wanted: impl FnMut(&ClientChange) -> bool) -> ClientChange {
    let found = async {
        loop {
            let change = changes.next().await.expect("the client is still there");
            if wanted(&change) {
                return change;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("a change in time")
}

/// The only file in a folder.
pub(crate) fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_lacks_friends_is_noticed_and_repaired_and_never_shown_in_part() {
    let world = World::new();
    let gateway = world.start();
    let names: Vec<_> = (0..40).map(|n| format!("f{n:02}")).collect();
    let users: Vec<_> = names.iter().map(String::as_str).chain(["alice"]).collect();
    let friends: Vec<_> = names.iter().map(|name| ("alice", name.as_str())).collect();
    gateway.populate(&users, &friends).await;
    for (how, left) in [("kind IN (1, 2) AND account = 'f07'", 39), ("kind = 2 AND account > 'f10'", 11)] {
        let folder = world.path().join(format!("cache-{left}"));
        let client = connected(options(&gateway, "alice").cache(&folder)).await;
        client.disconnect().await;
        drop(client);
        let cache = rusqlite::Connection::open(only_file(&folder)).unwrap();
        assert!(cache.execute(&format!("DELETE FROM record WHERE {how}"), []).unwrap() > 0);
        drop(cache);

        let client = RosterdClient::new(options(&gateway, "alice").cache(&folder)).unwrap();
        let mut changes = client.changes();
        let (connecting, mut counts, mut noticed) = (client.clone(), Vec::new(), false);
        let connecting = tokio::spawn(async move { connecting.connect().await });
        change(&mut changes, |change| {
            match change {
                ClientChange::Error(error) => noticed |= error.reason == "OUT_OF_STEP",
                ClientChange::Snapshot(change) => counts.push(change.after.friends.len()),
                _ => {}
            }
            counts.last() == Some(&40)
        })
        .await;
        connecting.await.unwrap().unwrap();
        counts.dedup();
        assert_eq!(counts, [left, 40], "the list as it was, and then as it is");
        while !noticed {
            change(&mut changes, |change| {
                noticed |= matches!(change, ClientChange::Error(error) if error.reason == "OUT_OF_STEP");
                noticed
            })
            .await;
        }
        assert_eq!(client.snapshot().users["f07"].nick, "f07");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reader_gets_what_changed_since_it_looked_however_slow_it_is() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob", "carol"], &[("alice", "bob"), ("alice", "carol")]).await;
    let client = connected(options(&gateway, "alice")).await;
    let (mut quick, mut slow) = (client.changes(), client.changes());
    let mut bob = gateway.login("bob", Encoding::Json).await;
    for n in 0..50 {
        bob.nick(&format!("Bob {n}")).await;
        if n == 0 {
            change(
                &mut quick,
                |change| matches!(change, ClientChange::Snapshot(change) if change.users() == ["bob"] && !change.me()),
            )
            .await;
        }
    }
    client.until(|held| held.users["bob"].nick == "Bob 49").await.unwrap();
    let before = slow.seen().clone();
    let ClientChange::Snapshot(change) = slow.next().await.unwrap() else { panic!("nothing else happened") };
    assert_eq!((change.users(), change.after.users["bob"].nick.as_str()), (vec!["bob".to_owned()], "Bob 49"));
    assert_eq!(before.users["bob"].nick, "bob", "a snapshot does not change");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_handle_ends_the_connection_and_no_other_does() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "eve"], &[]).await;
    let client = connected(options(&gateway, "alice")).await;
    let (other, mut changes, hold) = (client.clone(), client.changes(), client.hold(&["eve"]));
    client.until(|held| held.users.contains_key("eve")).await.unwrap();
    drop(client);
    other.update_my_info(v1::UpdateMyInfo { nick: Some("still here".to_owned()), ..Default::default() }).await.unwrap();
    drop(other);
    gateway.until_metric("rosterd_sessions", "", |sessions| sessions == 0.0).await;
    while timeout(PATIENCE, changes.next()).await.expect("an end in time").is_some() {}
    drop(hold);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_dropped_is_not_sent() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let client = RosterdClient::new(options(&gateway, "alice")).unwrap();
    let update = v1::UpdateMyInfo { nick: Some("never sent".to_owned()), ..Default::default() };
    assert!(timeout(Duration::from_millis(50), client.update_my_info(update)).await.is_err(), "there is no connection");
    client.connect().await.unwrap();
    let me = client.get_user("alice", true).await.unwrap();
    assert_eq!((me.nick.as_str(), client.snapshot().connection.phase), ("alice", ConnectionPhase::Live));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_optimistic_change_whose_caller_goes_is_taken_back_and_a_kept_one_stays() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let client = RosterdClient::new(options(&gateway, "alice").cache(world.path().join("cache"))).unwrap();
    client.connect().await.unwrap();
    client.disconnect().await;
    let update = |nick: &str| v1::UpdateMyInfo { nick: Some(nick.to_owned()), ..Default::default() };
    let nick = |held: &ClientSnapshot| held.me.as_ref().map(|me| me.nick.clone());
    let optimistic = UpdateOptions { optimistic: true, keep: false };
    let call = client.update_my_info_with(update("for a moment"), optimistic);
    assert!(timeout(Duration::from_millis(50), call).await.is_err(), "there is no connection");
    client.until(|held| held.pending.is_none() && nick(held).as_deref() == Some("alice")).await.unwrap();
    let kept = UpdateOptions { optimistic: false, keep: true };
    let call = client.update_my_info_with(update("for good"), kept);
    assert!(timeout(Duration::from_millis(50), call).await.is_err(), "there is no connection");
    assert_eq!(nick(&client.snapshot()).as_deref(), Some("for good"));
    drop(client);

    // The next client with this cache sends it.
    let client = RosterdClient::new(options(&gateway, "alice").cache(world.path().join("cache"))).unwrap();
    client.connect().await.unwrap();
    let confirmed = client.until(|held| held.pending.is_none()).await.unwrap();
    assert_eq!(nick(&confirmed).as_deref(), Some("for good"));
    assert_eq!(gateway.user("alice").await["nick"], "for good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_says_how_requests_ended() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob", "carol"], &[]).await;
    let alice = connected(options(&gateway, "alice")).await;
    for (other, state) in [("bob", v1::RequestState::Accepted), ("carol", v1::RequestState::Rejected)] {
        alice.request_friend(other, "").await.unwrap();
        let mut changes = alice.changes();
        assert_eq!(changes.seen().requests.len(), 1);
        let theirs = connected(options(&gateway, other)).await;
        match state {
            v1::RequestState::Accepted => theirs.accept_friend("alice").await.unwrap(),
            _ => theirs.reject_friend("alice").await.unwrap(),
        }
        let mut ended = Vec::new();
        change(&mut changes, |change| {
            if let ClientChange::Snapshot(change) = change {
                ended.extend(change.ended_requests());
            }
            !ended.is_empty()
        })
        .await;
        assert_eq!((ended.len(), ended[0].account.as_str(), ended[0].state), (1, other, state as i32));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_the_schema_does_not_allow_are_not_sent() {
    let fields = "[profile.fields.level]\ntype = \"integer\"\nmax = 9\nwrite = \"backend\"\n\
                  [profile.fields.about]\ntype = \"text\"\nmax_length = 3\n[profile.write]\nsign = \"backend\"\n";
    let world = World::with(fields);
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let client = connected(options(&gateway, "alice")).await;
    let about = |text: &str| v1::FieldValue { text: Some(text.to_owned()), ..Default::default() };
    let change =
        |name: &str, value| v1::UpdateMyInfo { fields: [(name.to_owned(), value)].into(), ..Default::default() };
    let sent = || gateway.metric("rosterd_commands_total");
    assert_eq!(client.update_my_info(change("about", about("long"))).await.unwrap_err().code, 414);
    assert!(sent().await > 0.0, "it is not known yet what would be right");
    let schema = client.get_schema().await.unwrap();
    assert_eq!(client.snapshot().connection.schema.as_ref(), Some(&schema.hash));
    let before = sent().await;
    for (name, code) in [("about", 414), ("level", 403), ("abuot", 414)] {
        let error = client.update_my_info(change(name, about("long"))).await.unwrap_err();
        assert_eq!((error.code, error.field), (code, Some(format!("fields.{name}"))));
    }
    let sign = v1::UpdateMyInfo { sign: Some("x".to_owned()), ..change("about", about("long")) };
    let kept = client.update_my_info_with(sign.clone(), UpdateOptions { keep: true, optimistic: false }).await;
    let raw = client.request(ClientCommand::UpdateMyInfo(sign)).await.map(drop);
    for error in [kept.map(drop).unwrap_err(), raw.unwrap_err()] {
        assert_eq!((error.code, error.field.as_deref()), (403, Some("sign")));
    }
    assert_eq!(client.snapshot().pending, None);
    assert_eq!(sent().await, before);
    let me = client.update_my_info(change("about", about("me"))).await.unwrap();
    assert_eq!((me.fields["about"].text.as_deref(), sent().await), (Some("me"), before + 1.0));
}
