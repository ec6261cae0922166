//! The Rust client that stays connected, against a gateway that a test makes up: lists that no repair mends, and frames that
//! nobody can read.

use std::time::Duration;

use futures::FutureExt;
use rosterd_client::{ClientChange, ClientOptions, ClientSnapshot, ConnectionPhase, Replica, RosterdClient};
use rosterd_engine::sync::repair::bucket;
use rosterd_protocol::{Encoding, v1};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::repair::play;
use crate::support::PATIENCE;

/// What the gateway says to one connection: after the login, and after a repair.
type Part = (Vec<Value>, Vec<Value>);

fn login(sync: &str) -> Value {
    json!({"loginReply": {"account": "alice", "session": "s", "epoch": "e", "sync": sync, "heartbeatMs": 60_000}})
}

/// These friends, and that they are all.
fn friends(names: &[&str]) -> Value {
    let users: Vec<_> = names.iter().map(|name| json!({"account": name, "nick": name, "version": 3})).collect();
    let friends: Vec<_> = names.iter().map(|name| json!({"account": name, "version": 2})).collect();
    json!({"changes": {"users": users, "friends": friends}})
}

/// The end of a catch-up, which says that the client holds these friends.
fn synced(names: &[&str], cursor: &str) -> Value {
    let mut replica = Replica::default();
    let changes: v1::ServerFrame = serde_json::from_value(friends(names)).unwrap();
    replica.apply(&changes).unwrap();
    json!({"synced": {"cursor": cursor, "count": names.len(), "digest": replica.digest()}})
}

fn repaired(parts: &[usize]) -> Value {
    json!({"repairReply": {"parts": parts}})
}

/// A gateway that plays these parts, one connection after the other, and returns what it heard. The last connection stays.
async fn gateway(parts: Vec<Part>) -> (String, JoinHandle<Vec<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1/ws", listener.local_addr().unwrap());
    let playing = tokio::spawn(async move {
        let mut heard = Vec::new();
        for (after_login, after_repair) in parts {
            heard.push(play(&listener, &after_login, &after_repair).await);
        }
        heard
    });
    (url, playing)
}

/// A client, and what it shows until it is as wanted: the friends of each snapshot, and the reasons of errors.
async fn followed(
    url: &str,
    wanted: impl Fn(&ClientSnapshot) -> bool,
) -> (RosterdClient, Vec<Vec<String>>, Vec<String>) {
    let options = ClientOptions::new(url, "alice").encoding(Encoding::Json);
    let client = RosterdClient::new(options.backoff(Duration::from_millis(5), Duration::from_millis(20))).unwrap();
    let (mut changes, connecting) = (client.changes(), client.clone());
    let connecting = tokio::spawn(async move { connecting.connect().await });
    let (mut lists, mut errors) = (Vec::<Vec<String>>::new(), Vec::new());
    let following = async {
        loop {
            match changes.next().await.expect("the client is there") {
                ClientChange::Snapshot(change) => lists.push(change.after.friends.keys().cloned().collect()),
                ClientChange::Error(error) => errors.push(error.to_string()),
                _ => {}
            }
            if wanted(changes.seen()) {
                break;
            }
        }
        // Errors come after the snapshot of their moment.
        while let Some(Some(change)) = changes.next().now_or_never() {
            if let ClientChange::Error(error) = change {
                errors.push(error.to_string());
            }
        }
    };
    timeout(PATIENCE, following).await.unwrap_or_else(|_| panic!("never as wanted"));
    connecting.await.unwrap().unwrap();
    lists.dedup();
    (client, lists, errors)
}

fn is_live(held: &ClientSnapshot) -> bool {
    held.connection.phase == ConnectionPhase::Live
}

#[tokio::test]
async fn a_repair_that_does_not_help_is_followed_by_one_full_sync() {
    let (before, now) = (["bob", "carol"], ["bob", "carol", "dave"]);
    let lost =
        (vec![login("full"), friends(&before), synced(&before, "e-1"), json!({"goodbye": {"code": 3000}})], vec![]);
    // The gateway says that dave's bucket is another one, and then sends it without him.
    let differs = (vec![login("delta"), synced(&now, "e-2")], vec![repaired(&[bucket("dave")]), synced(&now, "e-2")]);
    let whole = (vec![login("full"), friends(&now), synced(&now, "e-2")], vec![]);
    let (url, playing) = gateway(vec![lost, differs, whole]).await;
    let (client, lists, errors) = followed(&url, |held| is_live(held) && held.friends.len() == 3).await;
    assert_eq!(lists.iter().filter(|list| !list.is_empty()).map(Vec::len).collect::<Vec<_>>(), [2, 3], "{lists:?}");
    let remedies: Vec<_> = errors.iter().filter_map(|error| error.split_once("; ").map(|(_, what)| what)).collect();
    assert_eq!(remedies, ["asking for what differs", "that did not help, getting all of it anew"]);
    client.disconnect().await;
    let heard = timeout(PATIENCE, playing).await.expect("an end").unwrap();
    let cursors: Vec<_> = heard.iter().map(|commands| &commands[0]["login"]["cursor"]).collect();
    assert_eq!(cursors, [&Value::Null, &json!("e-1"), &Value::Null], "what is in doubt has no cursor");
    let repairs: Vec<_> =
        heard.iter().map(|commands| commands.iter().filter(|c| c["repair"].is_object()).count()).collect();
    assert_eq!(repairs, [0, 1, 0]);
}

#[tokio::test]
async fn a_list_that_differs_even_then_is_shown_and_has_no_cursor() {
    let (bob, more) = (["bob"], ["bob", "carol"]);
    // A repair that the gateway refuses is no help either.
    let refused = json!({"error": {"code": 500, "reason": "INTERNAL", "message": "not now"}});
    let differs = (vec![login("full"), friends(&bob), synced(&more, "e-1")], vec![refused]);
    let still = (vec![login("full"), friends(&bob), synced(&more, "e-1"), json!({"goodbye": {"code": 3000}})], vec![]);
    let right = (vec![login("full"), friends(&more), synced(&more, "e-2")], vec![]);
    let (url, playing) = gateway(vec![differs, still, right]).await;
    let (client, lists, errors) = followed(&url, |held| is_live(held) && held.friends.len() == 2).await;
    assert_eq!(lists.iter().filter(|list| !list.is_empty()).map(Vec::len).collect::<Vec<_>>(), [1, 2], "{lists:?}");
    let remedies: Vec<_> = errors.iter().filter_map(|error| error.split_once("; ").map(|(_, what)| what)).collect();
    assert_eq!(remedies, ["asking for what differs", "it was got anew already"]);
    client.disconnect().await;
    let heard = timeout(PATIENCE, playing).await.expect("an end").unwrap();
    assert!(heard.iter().all(|commands| commands[0]["login"]["cursor"].is_null()), "{heard:?}");
}

#[tokio::test]
async fn a_frame_that_nobody_can_read_is_said_and_got_anew() {
    let bad = (vec![login("full"), friends(&["bob"]), json!({"changes": {"users": 7}})], vec![]);
    let good = (vec![login("full"), friends(&["bob"]), synced(&["bob"], "e-1")], vec![]);
    let (url, playing) = gateway(vec![bad, good]).await;
    let (client, lists, errors) = followed(&url, |held| is_live(held) && held.friends.len() == 1).await;
    assert_eq!(lists.last().unwrap(), &["bob"]);
    assert!(errors.iter().any(|error| error.starts_with("500 BAD_FRAME: a frame could not be read")), "{errors:?}");
    client.disconnect().await;
    timeout(PATIENCE, playing).await.expect("an end").unwrap();
}
