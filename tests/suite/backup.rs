//! A copy of the store is taken under load and put back, and clients are brought back to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::Method;
use rosterd_protocol::{Encoding, v1};
use rusqlite::Connection;
use serde_json::json;

use crate::support::{Gateway, World};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn set_nick(gateway: &Gateway, account: &str, nick: &str) {
    let path = format!("/v1/users/{account}");
    gateway.backend().await.request(Method::PATCH, &path, json!({"nick": nick}).to_string()).await.unwrap();
}

#[tokio::test]
async fn clients_that_hold_what_a_restored_store_never_had_are_synced_in_full() {
    let world = World::new();
    let copy = world.path().join("copy.db");
    let gateway = world.start();
    gateway.populate(&["alice", "bob", "carol"], &[("alice", "bob"), ("alice", "carol")]).await;
    set_nick(&gateway, "bob", "before").await;
    let said = world.run_well(&["backup", text(&copy)]);
    assert!(said.contains("copy.db is a copy of"), "{said}");
    // It goes on: a change, a friend that goes, one that comes, and a client that has seen all of it.
    set_nick(&gateway, "bob", "after").await;
    gateway.populate(&["dave"], &[("alice", "dave")]).await;
    let unfriend = "/v1/users/alice/friends/carol";
    gateway.backend().await.request(Method::DELETE, unfriend, String::new()).await.unwrap();
    let mut held = gateway.login("alice", Encoding::Json).await;
    assert_eq!(held.replica.friends().keys().collect::<Vec<_>>(), ["bob", "dave"]);
    held.quiet().await;
    let refused = world.run_badly(&["restore", text(&copy)]);
    assert!(refused.contains("used by another rosterd process"), "{refused}");
    assert_eq!(gateway.terminate().await, Some(0));

    let said = world.run_well(&["restore", text(&copy)]);
    assert!(said.contains("rosterd.db.replaced"), "{said}");
    let gateway = world.start();
    let mut back = gateway.resume("alice", Encoding::Json, held.replica.clone()).await;
    assert_eq!(back.reply.sync, v1::SyncMode::Full as i32);
    assert_eq!(back.reply.because.as_deref(), Some("CURSOR_FOREIGN"));
    assert_eq!(back.replica.friends().keys().collect::<Vec<_>>(), ["bob", "carol"]);
    assert_eq!(back.replica.users()["bob"].nick, "before");
    // Revisions are given out again that the old history had given out for something else.
    for n in 0..20 {
        set_nick(&gateway, "bob", &format!("again {n}")).await;
    }
    back.until(|replica| replica.users()["bob"].nick == "again 19").await;
    back.agrees(&gateway, Encoding::Protobuf).await;
    assert_eq!(gateway.terminate().await, Some(0));

    // The same copy a second time is another history than the first time.
    let said = world.run_badly(&["restore", text(&copy)]);
    assert!(said.contains("rosterd.db.replaced") && said.contains("move it away"), "{said}");
    std::fs::remove_file(world.path().join("rosterd.db.replaced")).unwrap();
    world.run_well(&["restore", text(&copy)]);
    let gateway = world.start();
    let back = gateway.resume("alice", Encoding::Protobuf, back.replica).await;
    assert_eq!(back.reply.because.as_deref(), Some("CURSOR_FOREIGN"));
    assert_eq!(back.replica.users()["bob"].nick, "before");
}

/// A copy is kept whole as it is: put in place by hand, it begins a history of its own too.
#[tokio::test]
async fn a_copy_that_is_put_in_place_by_hand_is_a_history_of_its_own() {
    let world = World::new();
    let copy = world.path().join("copy.db");
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    let alice = gateway.login("alice", Encoding::Json).await;
    world.run_well(&["backup", text(&copy)]);
    let other = World::new();
    std::fs::copy(&copy, other.path().join("rosterd.db")).unwrap();
    let gateway = other.start();
    let back = gateway.resume("alice", Encoding::Json, alice.replica).await;
    assert_eq!(back.reply.because.as_deref(), Some("CURSOR_FOREIGN"));
    // From then on it stays the same one.
    assert_eq!(gateway.terminate().await, Some(0));
    let gateway = other.start();
    let back = gateway.resume("alice", Encoding::Json, back.replica).await;
    assert_eq!(back.reply.sync, v1::SyncMode::Current as i32);
}

/// How many profiles a copy has, and whether each friendship in it is there from both sides.
fn look(copy: &Path) -> (i64, i64) {
    let conn = Connection::open(copy).unwrap();
    let whole: String = conn.query_row("PRAGMA integrity_check", [], |record| record.get(0)).unwrap();
    assert_eq!(whole, "ok");
    let halves = "SELECT count(*) FROM edge a WHERE NOT EXISTS \
                  (SELECT 1 FROM edge b WHERE b.owner = a.peer AND b.peer = a.owner AND b.removed = a.removed)";
    let count = |query: &str| conn.query_row(query, [], |record| record.get::<_, i64>(0)).unwrap();
    assert_eq!(count(halves), 0, "half of a friendship is in the copy");
    (count("SELECT count(*) FROM edge"), count("SELECT stamp FROM meta"))
}

#[tokio::test]
async fn copies_that_are_taken_while_it_is_written_are_each_one_moment() {
    let world = World::new();
    let gateway = world.start();
    let names: Vec<_> = (0..60).map(|n| format!("u{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    gateway.populate(&names, &[]).await;
    // Friendships are made and ended, both sides in one commit, for as long as copies are taken.
    let done = Arc::new(AtomicBool::new(false));
    let mut backend = gateway.backend().await;
    let (stop, accounts) = (done.clone(), names.iter().map(ToString::to_string).collect::<Vec<_>>());
    let writing = tokio::spawn(async move {
        let mut writes = 0_usize;
        while !stop.load(Ordering::Relaxed) {
            let (a, b) = (&accounts[writes % 60], &accounts[(writes * 7 + 1) % 60]);
            if a != b {
                let method = if writes / 60 % 3 == 2 { Method::DELETE } else { Method::PUT };
                let path = format!("/v1/users/{a}/friends/{b}");
                let _ = backend.send(method, &path, String::new()).await.unwrap();
            }
            writes += 1;
        }
        writes
    });
    let mut copies: Vec<(i64, i64)> = Vec::new();
    while copies.len() < 4 {
        let copy = world.path().join(format!("copy-{}.db", copies.len()));
        let arguments = ["backup".to_owned(), text(&copy).to_owned()];
        let (config, binary) = (world.config(), env!("CARGO_BIN_EXE_rosterd"));
        let taken = tokio::task::spawn_blocking(move || {
            std::process::Command::new(binary).args(arguments).arg("--config").arg(config).output().unwrap()
        });
        let taken = taken.await.unwrap();
        assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
        copies.push(look(&copy));
    }
    done.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0);
    // It was written indeed: later copies are of later moments.
    assert!(copies.windows(2).all(|pair| pair[0].1 < pair[1].1), "{copies:?}");
}

#[tokio::test]
async fn what_is_no_copy_changes_nothing() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice"], &[]).await;
    assert_eq!(gateway.terminate().await, Some(0));
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = world.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let copy = world.path().join("copy.db");
    world.run_well(&["backup", text(&copy)]);
    let whole = std::fs::read(&copy).unwrap();
    let mut damaged = whole.clone();
    // The middle of the file: the header is right, and what it says is not there.
    let middle = damaged.len() / 2;
    damaged[middle..middle + 4096].fill(0xa5);
    let foreign = world.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    for (path, why) in [
        (file("empty", b""), "nothing in it"),
        (file("garbage", &[7; 9000]), "not an SQLite database"),
        (file("cut", &whole[..whole.len() - 8192]), "cannot use the database"),
        (file("damaged", &damaged), "cannot use the database"),
        (foreign, "not one of rosterd's"),
        (world.path().join("nowhere"), "cannot use the database"),
    ] {
        let said = world.run_badly(&["restore", text(&path)]);
        assert!(said.contains(why), "{}: {said}", path.display());
        assert!(!world.path().join("rosterd.db.replaced").exists());
    }
    let said = world.run_badly(&["backup", text(&copy)]);
    assert!(said.contains("exists already"), "{said}");
    let gateway = world.start();
    assert_eq!(gateway.user("alice").await["account"], "alice");
    assert_eq!(gateway.terminate().await, Some(0));
    // And a backup of what is not there makes no file.
    let nothing = World::new();
    let to = nothing.path().join("copy.db");
    nothing.run_badly(&["backup", text(&to)]);
    assert!(!to.exists() && !nothing.path().join("rosterd.db").exists());
}
