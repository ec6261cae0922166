//! A database server whose disk is full: a small file system, where the tables are, or the server's log of writes.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hyper::Method;
use rosterd_client::{Backend, Replica};
use rosterd_postgres_server::{ROLE, Server, ordinary_user};
use rosterd_protocol::Encoding;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::cluster::SETTINGS;
use crate::random::Random;
use crate::support::{Gateway, PATIENCE, World, finished};

/// A file system in memory, of the user that the server runs as. Unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where none can be mounted, which was printed.
    #[expect(clippy::print_stdout, reason = "who reads the output of tests must see what was not tested")]
    fn mount(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let (uid, gid) = ordinary_user().unwrap_or((0, 0));
        let options = format!("size={size},mode=0755,uid={uid},gid={gid}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(directory.path());
        if mount.output().is_ok_and(|done| done.status.success()) {
            return Some(Self(directory));
        }
        println!("skipped: no file system can be mounted here, which needs root");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Writes until nothing fits any more.
    fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        for bytes in [1 << 20, 4096, 1] {
            let zeros = vec![0; bytes];
            let full = loop {
                if let Err(error) = filler.write_all(&zeros) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        finished(Command::new("umount").arg("--lazy").arg(self.path()));
    }
}

/// What a backend has asked for, one after the other, and what came of it.
#[derive(Default)]
struct WriteTally {
    asked: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    stop: AtomicBool,
}

impl WriteTally {
    /// Writes two fields of one account, a kilobyte that cannot be packed, until it is to stop.
    async fn write_on(self: Arc<Self>, mut backend: Backend) {
        let random = Random::new(1);
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            let text: String = (0..1000).map(|_| char::from(b'!' + random.below(90) as u8)).collect();
            let body = json!({"nick": number.to_string(), "custom": format!("{number} {text}")}).to_string();
            match backend.send(Method::PATCH, "/v1/users/ann", body).await.unwrap().0 {
                200 => self.answered.store(number, Ordering::Relaxed),
                status => {
                    assert!(matches!(status, 503 | 504), "{status}");
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Waits until one of the counts has grown by so much.
    async fn until_more(&self, of: impl Fn(&Self) -> &AtomicU64, more: u64) {
        let wanted = of(self).load(Ordering::Relaxed) + more;
        let reached = async {
            while of(self).load(Ordering::Relaxed) < wanted {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, reached).await.expect("it goes on");
    }

    /// Compares what a gateway has with what was answered, and returns the number of the write that is there.
    async fn check(&self, gateway: &Gateway) -> u64 {
        let answered = self.answered.load(Ordering::Relaxed);
        let user = gateway.user("ann").await;
        let number: u64 = user["nick"].as_str().unwrap().parse().unwrap();
        let asked = self.asked.load(Ordering::Relaxed);
        assert!(number >= answered && number <= asked, "{number} is there, and {answered} of {asked} was answered");
        assert!(
            user["custom"].as_str().unwrap().starts_with(&format!("{number} ")),
            "half of a write is there: {user}"
        );
        number
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_disk_of_the_tables_is_full_writes_are_refused_whole_and_then_go_on() {
    let Some(disk) = SmallDisk::mount("64m") else { return };
    let Some(server) = Server::start(&[]) else { return };
    server.sql("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", disk.path().display()));
    server.sql("postgres", &format!("CREATE DATABASE x OWNER {ROLE} TABLESPACE small"));
    let store = format!("store.url={}", server.url(ROLE, "x"));
    let settings: Vec<_> = SETTINGS.into_iter().chain([store.as_str(), "store.write_timeout=5s"]).collect();
    let worlds = [World::new(), World::new()];
    let [one, other] = [worlds[0].start_with(&settings), worlds[1].start_with(&settings)];
    one.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let mut bob = other.login("bob", Encoding::Json).await;
    let epoch = server.sql("x", "SELECT epoch FROM rosterd.meta");
    let written = Arc::new(WriteTally::default());
    let writing = tokio::spawn(written.clone().write_on(one.backend().await));
    written.until_more(|written| &written.answered, 20).await;
    disk.fill();
    written.until_more(|written| &written.refused, 20).await;
    worlds[0].until_logged("No space left on device").await;
    assert!(worlds[0].log().contains("(53100"), "{}", worlds[0].log());
    // Reads and logins go on, on either gateway.
    for gateway in [&one, &other] {
        written.check(gateway).await;
        assert!(gateway.login("ann", Encoding::Json).await.replica.friends().contains_key("bob"));
    }
    disk.free();
    written.until_more(|written| &written.answered, 20).await;
    written.stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    let last = written.check(&one).await;
    bob.until(|replica| replica.users()["ann"].nick == last.to_string()).await;
    bob.agrees(&other, Encoding::Json).await;
    worlds[0].until_logged("the store can write again").await;
    for gateway in [&one, &other] {
        assert_eq!(gateway.metric("rosterd_feed_holes_total").await, 0.0);
    }
    assert_eq!(server.sql("x", "SELECT epoch FROM rosterd.meta"), epoch);
    assert_eq!((one.terminate().await, other.terminate().await), (Some(0), Some(0)));
}

/// Without room for its log of writes the server ends, in the midst of commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_because_its_log_of_writes_finds_no_room_loses_nothing() {
    let Some(disk) = SmallDisk::mount("120m") else { return };
    let Some(server) = Server::start(&["restart_after_crash = off", "min_wal_size = 32MB"]) else { return };
    server.sql("postgres", &format!("CREATE DATABASE x OWNER {ROLE}"));
    server.stop();
    let (log, moved) = (server.socket().unwrap().0.join("data/pg_wal"), disk.path().join("pg_wal"));
    assert!(finished(Command::new("cp").arg("-a").args([&log, &moved])).status.success());
    std::fs::remove_dir_all(&log).unwrap();
    symlink(&moved, &log).unwrap();
    server.run();
    let world = World::new();
    let gateway = world.start_with(&[&format!("store.url={}", server.url(ROLE, "x")), "store.write_timeout=2s"]);
    gateway.populate(&["ann", "bob"], &[("ann", "bob")]).await;
    let mut bob = gateway.login("bob", Encoding::Json).await;
    let written = Arc::new(WriteTally::default());
    let writing = tokio::spawn(written.clone().write_on(gateway.backend().await));
    written.until_more(|written| &written.answered, 20).await;
    disk.fill();
    // The next piece of the log does not fit. Whoever writes until then is answered.
    let ends = async {
        while server.try_sql("postgres", "SELECT pg_switch_wal()").is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, ends).await.expect("the server ends");
    written.until_more(|written| &written.refused, 2).await;
    let said = server.log();
    assert!(said.contains("PANIC") && said.contains("No space left on device"), "{said}");
    assert!(gateway.try_resume("ann", Encoding::Json, Replica::default()).await.is_err());
    disk.free();
    // What is left of it is gone before it starts again.
    server.kill();
    server.run();
    written.until_more(|written| &written.answered, 20).await;
    written.stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    let last = written.check(&gateway).await;
    // Its session has outlived it, in the same history.
    bob.until(|replica| replica.users()["ann"].nick == last.to_string()).await;
    bob.agrees(&gateway, Encoding::Json).await;
    assert_eq!(gateway.terminate().await, Some(0));
}
