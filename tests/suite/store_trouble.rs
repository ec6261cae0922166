//! Checks a store that cannot write: writers get 503, readers are still served, and nothing acknowledged is lost.

use std::path::{Path, PathBuf};
use std::process::Command as Process;

use hyper::Method;
use rosterd_client::ClientError;
use rosterd_protocol::{ClientCommand, Encoding, v1};
use rusqlite::Connection;
use serde_json::json;
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE, Peer, World, nick_command, reason, to};

/// Checks everything that must work whether or not the store can write.
async fn readers_are_served(gateway: &Gateway) {
    for encoding in Encoding::ALL {
        // A new login, a login that resumes, and lookups.
        let mut bob = gateway.login("bob", encoding).await;
        let get = v1::GetUsers { accounts: vec!["alice".into(), "bob".into(), "carol".into(), "nobody".into()] };
        let found = bob.request(ClientCommand::GetUsers(get)).await.get_users_reply.unwrap();
        assert_eq!((found.users.len(), found.missing.len()), (3, 1));
        let back = gateway.resume("bob", encoding, bob.replica).await;
        assert_eq!(back.reply.sync, v1::SyncMode::Current as i32);
    }
    assert_eq!(gateway.user("carol").await["account"], "carol");
    let mut backend = gateway.backend().await;
    assert_eq!(backend.send(Method::GET, "/readyz", String::new()).await.unwrap().0, 200);
    let page = backend.request(Method::GET, "/v1/users/bob/friends", String::new()).await.unwrap();
    assert_eq!(page["friends"][0]["account"], "alice");
}

/// Checks that an error means: not now, and nothing was changed.
fn is_unavailable(error: &v1::Error) {
    assert_eq!((error.code, error.reason.as_str()), (503, "UNAVAILABLE"), "{error:?}");
    assert!(error.retry_after_ms.is_some_and(|ms| ms > 0), "{error:?}");
    // What it was is for the operator.
    assert_eq!(error.message, "the store cannot do this now; try again later");
}

/// Of the words of the database and of where it is, a client sees none, whatever it asks while nothing can be read.
#[tokio::test]
async fn what_fails_in_the_database_is_for_the_operator_alone() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob"], &[]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    let damage = Connection::open(world.path().join("rosterd.db")).unwrap();
    damage.execute_batch("ALTER TABLE user RENAME TO elsewhere").unwrap();
    let get = v1::GetUsers { accounts: vec!["bob".into()] };
    let watch = v1::Watch { accounts: vec!["bob".into()] };
    let signal = v1::Signal { to: "bob".into(), payload: String::new() };
    for command in [
        ClientCommand::GetUsers(get),
        ClientCommand::Watch(watch),
        ClientCommand::Signal(signal),
        to::ask("bob"),
        nick_command("Ally"),
    ] {
        is_unavailable(&alice.refused(command).await);
    }
    let (status, answer) = gateway.call(Method::GET, "/v1/users/bob", String::new()).await;
    assert_eq!((status, &answer["error"]["message"]), (503, &json!("the store cannot do this now; try again later")));
    for told in ["the store cannot read; it keeps trying", "the store cannot write; it keeps trying", "no such table"] {
        world.until_logged(told).await;
    }
    damage.execute_batch("ALTER TABLE elsewhere RENAME TO user").unwrap();
    assert_eq!(alice.look_up("bob").await.account, "bob");
    world.until_logged("the store can read again").await;
}

/// Fails every sync of the write-ahead log while a file is there.
const FAILING_SYNC: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <stdio.h>
static int fails(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 4 || access(getenv("SYNC_FAILS"), F_OK)) return 0;
    return !strncmp(path + length - 4, "-wal", 4);
}
int fsync(int fd) { if (fails(fd)) { errno = EIO; return -1; } return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { if (fails(fd)) { errno = EIO; return -1; } return syscall(SYS_fdatasync, fd); }
"#;

/// Makes the command that starts a gateway whose syncs fail while a file is there, and returns it with the file.
#[cfg(target_os = "linux")]
pub fn with_failing_sync(tools: &Path) -> (String, PathBuf) {
    let (source, library, fails) = (tools.join("sync.c"), tools.join("sync.so"), tools.join("f"));
    std::fs::write(&source, FAILING_SYNC).unwrap();
    let built = Process::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status().unwrap();
    assert!(built.success());
    let through =
        format!("export LD_PRELOAD={} SYNC_FAILS={}; exec \"$@\"", library.to_str().unwrap(), fails.to_str().unwrap());
    (through, fails)
}

/// A commit whose sync failed may stand after a crash, so whoever asked for it is not told that nothing was changed.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_commit_that_the_disk_does_not_confirm_is_never_said_to_have_changed_nothing() {
    let tools = tempfile::tempdir().unwrap();
    let (through, fails) = with_failing_sync(tools.path());
    let world = World { through: Some(through), ..World::new() };
    let gateway = world.start_with(&["presence.enabled=false"]);
    gateway.populate(&["alice", "bob", "carol"], &[("alice", "bob")]).await;
    for encoding in Encoding::ALL {
        let mut alice = gateway.login("alice", encoding).await;
        std::fs::write(&fails, "").unwrap();
        let sent = alice.client.send(nick_command("Ally")).await.unwrap();
        let goodbye = loop {
            let frame = timeout(PATIENCE, alice.client.next()).await.expect("a goodbye in time").unwrap();
            assert_ne!(frame.id, sent, "{frame:?}");
            if let Some(goodbye) = frame.goodbye {
                break goodbye;
            }
        };
        assert_eq!((goodbye.code, goodbye.reconnect), (3002, true), "{goodbye:?}");
        let (status, answer) = gateway.call(Method::PATCH, "/v1/users/carol", r#"{"nick": "Cara"}"#.to_owned()).await;
        assert_eq!((status, &answer["error"]["reason"]), (504, &json!("OUTCOME_UNKNOWN")), "{answer}");
        // Whoever reads is served meanwhile, and sees neither.
        assert_eq!(gateway.user("carol").await["nick"], "carol");
        std::fs::remove_file(&fails).unwrap();
    }
    assert_eq!(gateway.metric_of("rosterd_store_in_doubt_total", "UNKNOWN").await, 4.0);
    // Once the disk confirms, writes go on, and everybody converges.
    let mut bob = gateway.login("bob", Encoding::Json).await;
    let mut alice = gateway.login("alice", Encoding::Protobuf).await;
    alice.request(nick_command("Alice A.")).await;
    bob.until(|replica| replica.users().get("alice").is_some_and(|alice| alice.nick == "Alice A.")).await;
    readers_are_served(&gateway).await;
}

/// Whoever logs in while its friends cannot be read learns when to come back, with the answer and with the goodbye.
#[tokio::test]
async fn a_login_whose_friends_cannot_be_read_is_put_off_with_a_time() {
    let world = World::new();
    let gateway = world.start();
    gateway.populate(&["alice", "bob", "carol"], &[("alice", "bob"), ("alice", "carol")]).await;
    // She follows alice, whose profile is known from then on; only that of bob has to be read.
    let carol = gateway.login("carol", Encoding::Json).await;
    let damage = Connection::open(world.path().join("rosterd.db")).unwrap();
    damage.execute_batch("ALTER TABLE user RENAME TO elsewhere").unwrap();
    for encoding in Encoding::ALL {
        let mut alice = gateway.connect(encoding).await;
        let login = v1::Login { token: "alice".into(), ..Default::default() };
        let refused = alice.request(ClientCommand::Login(login)).await;
        let Err(ClientError::Refused(error)) = refused else { panic!("{refused:?}") };
        is_unavailable(&error);
        let goodbye = timeout(PATIENCE, alice.next()).await.expect("a goodbye in time").unwrap().goodbye.unwrap();
        assert_eq!((goodbye.code, goodbye.reconnect), (3002, true), "{goodbye:?}");
        assert!(goodbye.retry_after_ms.is_some_and(|ms| ms > 0), "{goodbye:?}");
    }
    damage.execute_batch("ALTER TABLE elsewhere RENAME TO user").unwrap();
    assert_eq!(gateway.login("alice", Encoding::Json).await.replica.friends().len(), 2);
    drop(carol);
}

#[tokio::test]
async fn while_another_process_holds_the_database_writers_are_put_off_and_readers_served() {
    let world = World::new();
    let gateway = world.start_with(&["auth.create_accounts=true", "presence.enabled=false"]);
    gateway.populate(&["alice", "bob", "carol"], &[("alice", "bob")]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    let mut bob = gateway.login("bob", Encoding::Protobuf).await;
    let before = gateway.user("alice").await;

    let other = Connection::open(world.path().join("rosterd.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let put_off = alice.client.send(nick_command("put off")).await.unwrap();
    readers_are_served(&gateway).await;
    let reply = timeout(PATIENCE, alice.client.next()).await.expect("an answer in time").unwrap();
    assert_eq!(reply.id, put_off);
    is_unavailable(&reply.error.unwrap());
    assert_eq!(gateway.user("alice").await, before);
    assert_eq!(gateway.metric("rosterd_store_failed_writes_total").await, 1.0);
    world.until_logged("the store cannot write").await;

    // A backend's write, and a login that makes its account.
    let mut backend = gateway.backend().await;
    let by_backend = tokio::spawn(async move {
        backend.request(Method::PATCH, "/v1/users/carol", r#"{"nick": "Caroline"}"#.to_owned()).await
    });
    let mut newcomer = gateway.connect(Encoding::Json).await;
    newcomer.send(ClientCommand::Login(v1::Login { token: "newcomer".into(), ..Default::default() })).await.unwrap();
    readers_are_served(&gateway).await;
    assert!(!by_backend.is_finished());

    // Writers that still wait when the lock is released succeed.
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(by_backend.await.unwrap().unwrap()["nick"], "Caroline");
    let made = timeout(PATIENCE, newcomer.next()).await.expect("an answer in time").unwrap();
    assert_eq!(made.login_reply.unwrap().account, "newcomer");
    alice.nick("at last").await;
    // The watcher gets the write that succeeded, and no other.
    let heard = bob.changes().await;
    assert_eq!(heard.users[0].nick, "at last");
    bob.quiet().await;
    world.until_logged("the store can write again").await;
}

/// Writes until a client and a backend have both got 503. Returns what was acknowledged to each.
async fn fill(alice: &mut Peer, gateway: &Gateway) -> (String, Vec<String>) {
    let mut backend = gateway.backend().await;
    let filler = "漢".repeat(1000);
    let (mut last, mut made, mut put_off) = (String::new(), Vec::new(), (false, false));
    for n in 0..2000 {
        let custom = format!("{n} {filler}");
        let update = v1::UpdateMyInfo { custom: Some(custom.clone()), ..Default::default() };
        match timeout(PATIENCE, alice.client.request(ClientCommand::UpdateMyInfo(update)))
            .await
            .expect("an answer in time")
        {
            Ok(_) => last = custom.clone(),
            Err(ClientError::Refused(error)) => {
                is_unavailable(&error);
                put_off.0 = true;
            }
            Err(error) => panic!("{error}"),
        }
        let account = format!("made{n}");
        let body = json!({"custom": custom}).to_string();
        let (status, text) = backend.send(Method::PUT, &format!("/v1/users/{account}"), body).await.unwrap();
        if status == 201 {
            made.push(account);
        } else {
            assert_eq!((status, reason(&text).as_str()), (503, "UNAVAILABLE"), "{text}");
            put_off.1 = true;
        }
        if put_off == (true, true) {
            return (last, made);
        }
    }
    panic!("the limit was never met");
}

#[tokio::test]
async fn a_full_disk_puts_writers_off_and_loses_nothing_that_was_acknowledged() {
    // A limit on the size of files simulates the disk. The signal at the limit would end the process.
    let mut world = World { through: Some("trap '' XFSZ; ulimit -f 1024; exec \"$@\"".to_owned()), ..World::new() };
    let gateway = world.start();
    gateway.populate(&["alice", "bob", "carol"], &[("alice", "bob")]).await;
    let mut alice = gateway.login("alice", Encoding::Json).await;
    let mut bob = gateway.login("bob", Encoding::Protobuf).await;
    let (last, made) = fill(&mut alice, &gateway).await;
    assert!(!last.is_empty() && made.len() > 10, "{made:?}");
    readers_are_served(&gateway).await;
    bob.until(|replica| replica.users()["alice"].custom == last).await;
    assert_eq!(gateway.user("alice").await["custom"], last);
    assert_eq!(gateway.terminate().await, Some(0));

    world.through = None;
    let gateway = world.start();
    assert_eq!(gateway.user("alice").await["custom"], last);
    let asked: Vec<_> = (0..=made.len() + 1).map(|n| format!("made{n}")).collect();
    let mut found = Vec::new();
    for some in asked.chunks(150) {
        let body = json!({"accounts": some}).to_string();
        let reply = gateway.backend().await.request(Method::POST, "/v1/users:batchGet", body).await.unwrap();
        let users = reply["users"].as_array().unwrap().clone();
        found.extend(users.iter().map(|user| user["account"].as_str().unwrap().to_owned()));
    }
    // Nothing that was answered with 503 exists.
    assert_eq!(found, made);
    let mut back = gateway.resume("bob", Encoding::Json, bob.replica).await;
    assert_eq!(back.replica.users()["alice"].custom, last);
    back.nick("Bob after all").await;
    assert_eq!(gateway.user("bob").await["nick"], "Bob after all");
}
