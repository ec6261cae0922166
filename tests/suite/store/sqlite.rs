//! Checks what only a store in a file must do: keep its rows, keep to its own file, and survive a disk that fails.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use futures::future::join_all;
use rosterd::store::{self, PresenceRow, WriteError};
use rosterd_engine::model::{Audience, ChosenPresence, Fields, Millis, Reason, SeenPresence, Visibility};
use rusqlite::Connection;

use crate::support::{finished, spawn};

use super::rig::{Place, Running, account, befriend, failed, nick, profile, refused, unfriend};

/// Returns why the store does not open.
fn refusal(place: &Place) -> String {
    match place.try_open() {
        Ok(_) => panic!("it opened"),
        Err(error) => error.0,
    }
}

/// Makes a place where the file was made by something else.
fn taken(make: impl FnOnce(&Path)) -> Place {
    let place = Place::sqlite();
    fs::create_dir_all(place.path().parent().unwrap()).unwrap();
    make(&place.path());
    place
}

/// Reads the database and its log from the disk; a missing log counts as empty.
///
/// Only while no store has them open: closing a file drops the locks that `SQLite` holds on it.
fn files(path: &Path) -> [Vec<u8>; 2] {
    [path.to_owned(), beside(path, "-wal")].map(|file| fs::read(file).unwrap_or_default())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", path.display()).into()
}

#[tokio::test]
async fn the_change_log_is_there_after_reopening_and_begins_anew_in_a_copy_or_after_none_was_kept() {
    let place = Place::sqlite();
    let db = place.open();
    db.run(nick("a", "Ann")).await;
    let (history, logged) = (db.log.history(), db.logged(0).await);
    assert!(history.is_some());
    db.close().await;

    let db = place.open();
    assert_eq!((db.log.history(), db.logged(0).await), (history, logged));
    db.run(nick("a", "Anna")).await;
    let copy = Place::sqlite();
    fs::create_dir_all(copy.path().parent().unwrap()).unwrap();
    store::sqlite::backup(&place.path(), &copy.path()).unwrap();
    db.close().await;

    let copied = copy.open();
    let (other, extent) = (copied.log.history(), copied.log.log_extent().await.unwrap());
    assert!(other.is_some() && other != history);
    assert_eq!((extent.floor, extent.bytes), (2, 0));
    copied.close().await;

    // Without a log, nobody can go on where it ended.
    let options = || store::sqlite::SqliteOptions { keeps_log: false, ..store::sqlite::SqliteOptions::default() };
    let without = Running::new(store::sqlite::open(&place.path(), options()).unwrap());
    assert_eq!(without.log.history(), None);
    without.run(nick("b", "Bob")).await;
    assert_eq!(without.log.log_extent().await.unwrap().bytes, 0);
    without.close().await;
    let db = place.open();
    assert!(db.log.history().is_some() && db.log.history() != history);
    assert_eq!(db.log.log_extent().await.unwrap().floor, 3);
    db.close().await;
}

/// Returns who came or went after a number, whether they are online, and their numbers.
async fn page(db: &Running, after: u64) -> Vec<(String, bool, u64)> {
    let page = db.log.seen_page(after, 99, 99).await.unwrap();
    page.into_iter().map(|found| (found.account.to_string(), found.presence.online, found.seen)).collect()
}

#[tokio::test]
async fn where_numbers_of_presence_begin_whoever_may_be_thought_online_takes_one() {
    let place = Place::sqlite();
    let without = || {
        let options = store::sqlite::SqliteOptions::default();
        Running::new(store::sqlite::open(&place.path(), options).unwrap())
    };
    let seen = |name, online| PresenceRow {
        account: account(name),
        peer: None,
        seen: Some(SeenPresence { online, last_seen: 9 }),
        devices: Vec::new(),
    };
    let db = without();
    db.write(["a", "b", "c"].map(|name| nick(name, "x"))).await.unwrap();
    db.store.put_seen(vec![seen("a", true), seen("b", false)]).await.unwrap();
    assert!(db.log.seen().is_none() && page(&db, 0).await.is_empty());
    db.close().await;
    // Those who are online.
    let db = place.open();
    assert_eq!(page(&db, 0).await, [("a".to_owned(), true, 1)]);
    db.store.put_seen(vec![seen("c", true)]).await.unwrap();
    db.close().await;
    // Opened once more it gives none anew.
    let db = place.open();
    assert_eq!(page(&db, 0).await, [("a".to_owned(), true, 1), ("c".to_owned(), true, 2)]);
    db.close().await;
    // Nobody saw that one leaves and another comes.
    let db = without();
    db.store.put_seen(vec![seen("a", false), seen("b", true)]).await.unwrap();
    db.close().await;
    let db = place.open();
    let all = [("a".to_owned(), false, 3), ("b".to_owned(), true, 4), ("c".to_owned(), true, 5)];
    assert_eq!((page(&db, 2).await, *db.log.seen().unwrap().borrow()), (all.to_vec(), 5));
    db.close().await;
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let place = Place::sqlite();
    let db = place.open();
    db.write(["a", "b", "c"].map(|name| nick(name, "x"))).await.unwrap();
    db.write([befriend("a", "b"), befriend("a", "c"), befriend("b", "c"), unfriend("b", "c")]).await.unwrap();
    db.run(unfriend("a", "c")).await;
    place.at(2000);
    db.run(befriend("a", "c")).await;
    assert_eq!(db.store.compact(Millis::MAX).await.unwrap(), 2);
    let (lineage, before) = (db.store.lineage(), db.profile("a").await);
    db.close().await;
    assert!(!beside(&place.path(), "-wal").exists(), "the log was not copied back");

    let db = place.open();
    assert_eq!((db.head, db.store.lineage(), db.profile("a").await), (9, lineage, before));
    assert_eq!(lineage.compacted, 7);
    assert_eq!(db.peers("a", 9, Some(0)).await, [["b", "c"]]);
    assert_eq!(db.run(nick("d", "")).await.profile.unwrap().version, 10);
    db.close().await;
}

/// The row of facts is written now and then only, so that a commit writes a page less: the log knows the rest.
#[tokio::test]
async fn the_last_revision_and_the_size_of_the_log_are_known_after_any_number_of_commits() {
    let place = Place::sqlite();
    let stored = |sql: &str| {
        let conn = Connection::open(place.path()).unwrap();
        conn.query_row(sql, [], |record| record.get::<_, i64>(0)).unwrap().cast_unsigned()
    };
    for (before, commits, noted) in [(0, 5, 0), (5, 1000, 1005)] {
        let db = place.open();
        assert_eq!(db.head, before);
        for number in 0..commits {
            db.run(nick("a", &format!("Ann {number}"))).await;
        }
        let bytes = db.log.log_extent().await.unwrap().bytes;
        assert_eq!((bytes, db.store.head()), (stored("SELECT sum(size) FROM feed"), before + commits));
        db.close().await;
        assert_eq!(stored("SELECT stamp FROM meta"), noted);
    }
    let db = place.open();
    assert!(db.log.prune_log(Millis::MAX, 0).await.unwrap());
    assert_eq!(stored("SELECT feed_bytes FROM meta"), stored("SELECT coalesce(sum(size), 0) FROM feed"));
    db.close().await;
    assert_eq!((place.open().head, stored("SELECT stamp FROM meta")), (1005, 1005));
}

#[tokio::test]
async fn a_dropped_store_releases_its_file() {
    let place = Place::sqlite();
    let db = place.open();
    db.run(nick("a", "Ann")).await;
    drop((db.store, db.log, db.audit, db.deliveries));
    db.consumer.await.unwrap();
    assert!(!beside(&place.path(), "-wal").exists(), "the log was not copied back");
    let db = place.open();
    assert_eq!(&*db.profile("a").await.unwrap().nick, "Ann");
    db.close().await;
}

#[tokio::test]
async fn every_new_file_begins_a_history() {
    let (one, other) = (Place::sqlite().open(), Place::sqlite().open());
    assert_ne!(one.store.lineage().epoch, other.store.lineage().epoch);
}

#[tokio::test]
async fn a_second_opener_is_refused() {
    let place = Place::sqlite();
    let db = place.open();
    assert!(refusal(&place).contains("is used by another rosterd process"));
    db.run(nick("a", "")).await;
    db.close().await;
    place.open().close().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let place = Place::sqlite();
    place.open().close().await;
    let file = Connection::open(place.path()).unwrap();
    let known: i64 = file.pragma_query_value(None, "user_version", |record| record.get(0)).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    let before = files(&place.path());
    let why = refusal(&place);
    assert!(why.contains("version 99") && why.contains(&format!("up to {known}:")), "{why}");
    assert!(files(&place.path()) == before, "it was written to");
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_alone() {
    let other = "PRAGMA user_version = 1; CREATE TABLE user (account TEXT); INSERT INTO user VALUES ('theirs');";
    let plain = taken(|path| Connection::open(path).unwrap().execute_batch(other).unwrap());
    // With a log that its owner has not copied back, as after a crash.
    let logged = taken(|path| {
        let original = beside(path, ".original");
        let conn = Connection::open(&original).unwrap();
        conn.execute_batch(&format!("PRAGMA journal_mode = WAL; {other}")).unwrap();
        fs::copy(&original, path).unwrap();
        fs::copy(beside(&original, "-wal"), beside(path, "-wal")).unwrap();
    });
    for place in [plain, logged] {
        let before = files(&place.path());
        let why = refusal(&place);
        assert!(why.contains("not one of rosterd's") && why.contains("rosterd.db"), "{why}");
        assert!(files(&place.path()) == before, "it was written to");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    for content in ["# notes".to_owned(), "lorem ipsum\n".repeat(1000)] {
        let place = taken(|path| fs::write(path, &content).unwrap());
        let why = refusal(&place);
        assert!(why.contains("not an SQLite database"), "{why}");
        assert!(files(&place.path()) == [content.into_bytes(), Vec::new()], "it was written to");
    }
}

#[tokio::test]
async fn an_empty_file_becomes_a_database() {
    let place = taken(|path| fs::write(path, "").unwrap());
    let db = place.open();
    db.run(nick("a", "")).await;
    db.close().await;
}

#[tokio::test]
async fn an_impossible_path_is_named() {
    let place = taken(|path| fs::create_dir(path).unwrap());
    assert!(refusal(&place).contains("rosterd.db"));
    let place = Place::sqlite();
    fs::write(place.path().parent().unwrap(), "a file in the place of the directory").unwrap();
    let why = refusal(&place);
    assert!(why.contains("directory") && why.contains("data"), "{why}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_refused() {
    let place = Place::sqlite();
    place.open().close().await;
    let mut permissions = fs::metadata(place.path()).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(place.path(), permissions).unwrap();
    // The superuser is not bound by permissions and writes all the same.
    if fs::File::options().append(true).open(place.path()).is_err() {
        assert!(refusal(&place).contains("cannot be written"));
    }
}

#[tokio::test]
async fn a_database_locked_by_another_process_is_not_opened() {
    let place = Place { busy_timeout: Duration::from_millis(20), ..Place::sqlite() };
    place.open().close().await;
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(refusal(&place).contains("is locked by another process"));
    other.execute_batch("ROLLBACK").unwrap();
    place.open().close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_process_holds_the_lock_reads_go_on_and_writes_fail() {
    let place = Place { busy_timeout: Duration::from_millis(20), ..Place::sqlite() };
    let db = place.open();
    db.write([nick("a", "Ann"), nick("b", "Bob"), befriend("a", "b"), unfriend("a", "b")]).await.unwrap();
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let writes = join_all((0..5).map(|n| db.write([nick(&format!("lost{n}"), ""), nick("a", "lost")]))).await;
    for written in writes {
        let why = failed(written);
        assert!(why.contains("locked"), "{why}");
    }
    assert!(db.store.compact(Millis::MAX).await.is_err());
    assert_eq!(db.store.lineage().compacted, 0);
    assert_eq!(&*db.profile("a").await.unwrap().nick, "Ann");
    assert_eq!(db.peers("a", 9, Some(0)).await, [["-b"]]);

    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(db.run(nick("a", "Anna")).await.profile.unwrap().version, 5);
    assert_eq!(db.store.compact(Millis::MAX).await.unwrap(), 2);
    assert_eq!(db.close().await.changes.len(), 5);
    let db = place.open();
    assert_eq!((db.head, &*db.profile("a").await.unwrap().nick), (5, "Anna"));
    assert_eq!(db.profile("lost0").await, None);
    db.close().await;
}

/// Reads a byte count of the log from outside.
fn log_bytes(place: &Place) -> u64 {
    fs::metadata(beside(&place.path(), "-wal")).map_or(0, |data| data.len())
}

/// What the log may hold once nobody reads an old state any more.
const LOG_BOUND: u64 = 4000 * 4096;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_grew_under_a_reader_is_short_again_when_it_leaves() {
    let place = Place::sqlite();
    let db = place.open();
    let long =
        |n: usize| profile(&format!("user{n:05}"), Fields { custom: Some("漢".repeat(1024)), ..Fields::default() });
    db.run(long(0)).await;
    let reader = Connection::open(place.path()).unwrap();
    for purged in [false, true] {
        reader.execute_batch("BEGIN; SELECT count(*) FROM user").unwrap();
        let mut written = 0;
        while log_bytes(&place) < LOG_BOUND * 3 / 2 {
            db.write((0..100).map(|n| long(written + n + usize::from(purged) * 50_000))).await.unwrap();
            written += 100;
        }
        db.store.purge().await.unwrap();
        assert!(log_bytes(&place) > LOG_BOUND, "the reader keeps it");
        reader.execute_batch("COMMIT").unwrap();
        if purged {
            db.store.purge().await.unwrap();
            assert_eq!(log_bytes(&place), 0, "nothing was written since");
        } else {
            for n in 0..4 {
                db.run(nick("last", &n.to_string())).await;
            }
            assert!(log_bytes(&place) <= LOG_BOUND, "{} bytes", log_bytes(&place));
        }
    }
    db.close().await;
}

#[tokio::test]
async fn the_limit_of_friends_holds() {
    let place = Place::sqlite();
    place.open().close().await;
    let fill = "
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
        INSERT INTO edge (owner, peer, removed, alias, custom, create_time, update_time, version)
        SELECT 'a', 'peer' || i, 0, '', x'', 1, 1, 1 FROM n";
    Connection::open(place.path()).unwrap().execute_batch(fill).unwrap();
    let db = place.open();
    db.write(["a", "b", "c"].map(|name| nick(name, ""))).await.unwrap();
    db.run(befriend("a", "b")).await;
    assert_eq!(refused(db.write([befriend("c", "a")]).await), (0, Reason::LimitExceeded));
    db.run(unfriend("a", "b")).await;
    db.run(befriend("c", "a")).await;
    db.close().await;
}

/// The variable with the path of the store, for the process that is killed.
const DOOMED: &str = "ROSTERD_TEST_DOOMED";

/// Runs this test again in another process, which writes until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_every_answered_write_is_there_and_no_half_of_one() {
    if let Some(path) = std::env::var_os(DOOMED) {
        return write_until_killed(Path::new(&path)).await;
    }
    let place = Place::sqlite();
    let mut doomed = Process::new(std::env::current_exe().unwrap());
    let doomed = doomed
        .args(["--exact", "store::sqlite::after_a_kill_every_answered_write_is_there_and_no_half_of_one"])
        .arg("--nocapture")
        .env(DOOMED, place.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut doomed = spawn(doomed);
    let mut lines = BufReader::new(doomed.stderr.take().unwrap()).lines();
    let mut answered: Vec<String> = lines.by_ref().take(300).map(Result::unwrap).collect();
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    // The rest of its output. An incomplete last line is a write that was not acknowledged.
    answered.extend(lines.map(Result::unwrap).filter(|line| line.ends_with('.')));

    let db = place.open();
    for line in &answered {
        assert!(db.profile(&format!("first{}", line.trim_end_matches('.'))).await.is_some(), "{line} is lost");
    }
    let mut there = 0;
    while db.profile(&format!("first{there}")).await.is_some() {
        assert!(db.profile(&format!("second{there}")).await.is_some());
        there += 1;
    }
    assert!(there >= answered.len() as u64 && answered.len() >= 300);
    assert_eq!(db.profile(&format!("second{there}")).await, None);
    assert_eq!(db.head, there * 2);
    db.close().await;
}

async fn write_until_killed(path: &Path) {
    let db = Running::new(store::sqlite::open(path, store::sqlite::SqliteOptions::default()).unwrap());
    for n in 0.. {
        db.write([nick(&format!("first{n}"), ""), nick(&format!("second{n}"), "")]).await.unwrap();
        eprintln!("{n}.");
    }
}

/// The variable that is set for the process under the limit.
const LIMITED: &str = "ROSTERD_TEST_LIMITED";

/// Simulates a full disk by a limit on the size of files, and runs this test again in a process with the limit.
#[cfg_attr(not(target_os = "linux"), ignore = "the limit is written for Linux")]
#[tokio::test(flavor = "multi_thread")]
async fn when_the_disk_is_full_reads_go_on_and_no_answered_write_is_lost() {
    if std::env::var_os(LIMITED).is_some() {
        return live_with_a_full_disk().await;
    }
    let mut limited = Process::new("sh");
    let limited = limited
        // 1 MiB. The signal at the limit would end the process.
        .args(["-c", "trap '' XFSZ; ulimit -S -f 2048; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::sqlite::when_the_disk_is_full_reads_go_on_and_no_answered_write_is_lost"])
        .arg("--nocapture")
        .env(LIMITED, "yes");
    let limited = finished(limited);
    let output = String::from_utf8_lossy(&limited.stderr);
    assert!(limited.status.success(), "{output}{}", String::from_utf8_lossy(&limited.stdout));
    assert!(output.contains("the disk was full"), "{output}");
}

async fn live_with_a_full_disk() {
    let place = Place::sqlite();
    let db = place.open();
    let write = |n: u64| profile(&format!("user{n}"), Fields { custom: Some("漢".repeat(1024)), ..Fields::default() });
    let mut answered = 0;
    let why = loop {
        match db.write([write(answered)]).await {
            Ok(_) => answered += 1,
            Err(WriteError::Failed(error)) => break error.0,
            Err(error) => panic!("{error}"),
        }
        assert!(answered < 10_000, "the limit was never met");
    };
    assert!(answered > 10, "{why}");
    let why = failed(db.write([write(answered), write(answered + 1)]).await);
    eprintln!("the disk was full after {answered} writes: {why}");
    for n in 0..answered {
        assert!(db.profile(&format!("user{n}")).await.is_some());
    }
    assert_eq!(db.profile(&format!("user{answered}")).await, None);

    let room = ["--fsize=unlimited", "--pid", &std::process::id().to_string()].map(str::to_owned);
    assert!(Process::new("prlimit").args(room).status().unwrap().success());
    assert_eq!(db.run(write(answered)).await.profile.unwrap().version, answered + 1);
    db.close().await;
    let db = place.open();
    assert_eq!(db.head, answered + 1);
    for n in 0..=answered {
        assert!(db.profile(&format!("user{n}")).await.is_some());
    }
    db.close().await;
}

#[tokio::test]
async fn a_file_of_the_first_version_is_brought_up_to_date_and_loses_nothing() {
    let place = taken(|path| {
        let file = Connection::open(path).unwrap();
        file.execute_batch(include_str!("../../../crates/service/src/store/schema/sqlite/0001_profiles_and_edges.sql"))
            .unwrap();
        file.execute_batch(
            "PRAGMA application_id = 0x72737464; PRAGMA user_version = 1;
             INSERT INTO meta VALUES (1, 7, 4, 0);
             INSERT INTO user VALUES ('a', 'Ann', '', '', 0, '', '', '', x'', 10, 20, 3);
             INSERT INTO user VALUES ('b', 'Bob', '', '', 0, '', '', '', x'', 10, 10, 2);
             INSERT INTO edge VALUES ('a', 'b', 0, '', x'', 30, 30, 4), ('b', 'a', 0, '', x'', 30, 30, 4);",
        )
        .unwrap();
    });
    let db = place.open();
    assert_eq!((db.store.lineage().epoch.0, db.head), (7, 4), "clients continue where they were");
    let ann = db.profile("a").await.unwrap();
    assert_eq!((&*ann.nick, ann.version, ann.friends.version, ann.everyone.time), ("Ann", 3, 3, 20));
    assert_eq!(db.user("a").await.unwrap().chosen, ChosenPresence::default());
    assert_eq!(db.peers("a", 9, None).await, [["b"]]);
    db.close().await;
    assert_eq!(place.miscounted(), Vec::<String>::new());
}

/// Each side of a request has a copy. One that was hidden from its receiver reaches it with the migration, unless the
/// block is still in force.
#[tokio::test]
async fn requests_of_before_there_were_copies_and_counts_are_kept_counted_and_arrive_if_hidden_for_nothing() {
    let place = taken(|path| {
        let file = Connection::open(path).unwrap();
        for migration in [
            include_str!("../../../crates/service/src/store/schema/sqlite/0001_profiles_and_edges.sql"),
            include_str!("../../../crates/service/src/store/schema/sqlite/0002_relations_views_presence.sql"),
            include_str!("../../../crates/service/src/store/schema/sqlite/0003_credentials.sql"),
        ] {
            file.execute_batch(migration).unwrap();
        }
        file.execute_batch(
            "PRAGMA application_id = 0x72737464; PRAGMA user_version = 3;
             INSERT INTO meta VALUES (1, 7, 20, 0, '');
             INSERT INTO block VALUES ('a', 'b', 0, 0, 1, 1, 9), ('a', 'c', 1, 0, 1, 1, 11);
             INSERT INTO edge VALUES ('a', 'f', 0, '', x'', 1, 1, 4), ('f', 'a', 0, '', x'', 1, 1, 4),
                                     ('a', 'g', 1, '', x'', 1, 1, 5), ('g', 'a', 1, '', x'', 1, 1, 5);
             INSERT INTO request VALUES ('b', 'a', x'62', 0, 1, 1, 1, 12), ('c', 'a', x'63', 0, 1, 1, 1, 10),
                                        ('d', 'a', x'64', 0, 0, 1, 1, 13), ('e', 'a', x'65', 3, 1, 1, 1, 14);",
        )
        .unwrap();
    });
    let db = place.open();
    let open = async |name: &str, since| {
        let found = db.store.requests(account(name), since).await.unwrap();
        found.iter().map(|request| (request.peer().to_string(), request.version)).collect::<Vec<_>>()
    };
    assert_eq!(db.head, 21);
    assert_eq!(open("a", None).await, [("c".to_owned(), 21), ("d".to_owned(), 13)]);
    for (name, version) in [("b", 12), ("c", 10), ("d", 13)] {
        assert_eq!(open(name, None).await, [("a".to_owned(), version)]);
    }
    assert_eq!((open("e", None).await, open("e", Some(1)).await), (vec![], vec![("a".to_owned(), 14)]));
    db.close().await;
    assert_eq!(place.miscounted(), Vec::<String>::new());
    let kept = Connection::open(place.path()).unwrap();
    let sum = "SELECT sum(friends + sent + received + blocks) FROM relation_count";
    let sum: i64 = kept.query_row(sum, [], |record| record.get(0)).unwrap();
    assert_eq!(sum, 2 + 3 * 2 + 1, "a friendship, three requests, two of them hidden, a block");
}

/// Returns the visibility rules that a closed store holds, after replacing them if a line is given.
fn stored_rules(place: &Place, line: Option<&str>) -> String {
    let file = Connection::open(place.path()).unwrap();
    if let Some(line) = line {
        file.execute("UPDATE meta SET visibility = ?1", [line]).unwrap();
    }
    file.query_row("SELECT visibility FROM meta", [], |record| record.get(0)).unwrap()
}

#[tokio::test]
async fn a_field_that_the_stored_rules_lack_changes_them_only_under_another_rule_than_its_default() {
    let opened = async |place: &Place| {
        let db = place.open();
        let held = db.store.rules().get();
        let facts = (db.store.lineage().epoch, held.change.is_some());
        let settled = Visibility { change: None, ..Visibility::clone(&held) };
        assert!(db.store.put_rules(settled.clone(), held.clone()).await.unwrap());
        assert!(!db.store.put_rules(settled, held).await.unwrap(), "others hold by now");
        db.close().await;
        facts
    };
    let mut place = Place::sqlite();
    place.visibility.email = Audience::Own;
    let (epoch, changes) = opened(&place).await;
    assert!(!changes, "nobody has seen anything of an empty store");
    let db = place.open();
    db.run(nick("a", "A")).await;
    db.close().await;
    let all = stored_rules(&place, None);
    assert_eq!(all, place.visibility.to_text(""));
    // As a rosterd wrote it that knew no `tel` yet, and one that knew a field that is gone.
    let older = all.replace(" tel=everyone", "");
    for line in [older.clone(), format!("{older} shoe_size=self"), format!("shoe_size=self {all}")] {
        assert_ne!(line, all);
        stored_rules(&place, Some(&line));
        assert_eq!(opened(&place).await, (epoch, false), "{line}");
        assert_eq!(stored_rules(&place, None), all, "the line is brought up to date");
    }

    place.visibility.tel = Audience::Friends;
    stored_rules(&place, Some(&older));
    assert_eq!(
        opened(&place).await,
        (epoch, true),
        "a new field that is not shown to all that its default shows it to"
    );
    assert_eq!(stored_rules(&place, None), place.visibility.to_text(""));
    assert_eq!(opened(&place).await, (epoch, false));

    // The rules of an unreadable line are unknown.
    stored_rules(&place, Some(&all.replace("nick=everyone", "nick=whoever")));
    let (other, changes) = opened(&place).await;
    assert!(other != epoch && !changes, "clients sync in full instead");
}
