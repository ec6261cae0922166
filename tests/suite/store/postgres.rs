//! What only the store in PostgreSQL has to do: refuse a server that it cannot use, and live through one that fails.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rosterd::store::postgres::{Failover, PostgresOptions, PostgresUrl, open};
use rosterd::store::{AuditQuery, PresenceRow, Write, WriteError};
use rosterd_engine::model::{Account, Command, Outcome, SeenPresence, WriteOrigin};
use rosterd_postgres_server::{self as postgres_server, ROLE, Server};
use tokio::time::timeout;

use super::rig::{Place, Running, account, ask, befriend, block, delete, nick, refused, unfriend};
use crate::proxy::Proxy;
use crate::support::PATIENCE;

fn url(server: &Server, database: &str) -> PostgresUrl {
    PostgresUrl::parse(&server.url(ROLE, database)).unwrap()
}

fn options() -> PostgresOptions {
    PostgresOptions { readers: 2, ..PostgresOptions::default() }
}

/// Opens a store that cannot be used; the error.
fn refusal(url: &PostgresUrl) -> String {
    let error = open(url, options()).err().expect("it was opened").to_string();
    assert!(!error.contains("secret"), "{error}");
    error
}

fn write(commands: Vec<Command>) -> Write {
    Write { commands, origin: WriteOrigin::Import }
}

#[test]
fn what_cannot_be_used_is_refused_with_what_to_do() {
    let Some(server) = postgres_server::shared() else { return };
    let database = server.database();
    let at = |text: String| PostgresUrl::parse(&text).unwrap();
    let nowhere = at(server.url(ROLE, "x").replace(&server.address(), "127.0.0.1:1"));
    assert!(refusal(&nowhere).contains("cannot use the database postgres://rosterd@127.0.0.1:1/x: "));
    assert!(refusal(&url(server, "no_such_database")).contains("create it with CREATE DATABASE"));
    let stranger = at(server.url("nobody_of_this_name", &database.name));
    assert!(refusal(&stranger).contains("check user and password"), "{}", refusal(&stranger));

    let theirs = server.database();
    server.sql(&theirs.name, "CREATE SCHEMA rosterd; CREATE TABLE rosterd.meta (id int, epoch text)");
    assert!(refusal(&url(server, &theirs.name)).contains("a schema \"rosterd\" that is not rosterd's"));
    let plain = server.database();
    server.sql("postgres", &format!("ALTER DATABASE \"{}\" OWNER TO postgres", plain.name));
    let error = refusal(&url(server, &plain.name));
    assert!(error.contains(&format!("GRANT CREATE ON DATABASE \"{}\" TO \"rosterd\"", plain.name)), "{error}");
    server.sql("postgres", &format!("GRANT CREATE ON DATABASE \"{}\" TO rosterd", plain.name));
    drop(open(&url(server, &plain.name), options()).unwrap());
    let latin = server.database_with("ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'");
    assert!(refusal(&url(server, &latin.name)).contains("its encoding is LATIN1"));
    // Nothing was made in any of them.
    assert_eq!(server.sql(&latin.name, "SELECT count(*) FROM pg_namespace WHERE nspname = 'rosterd'"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_and_a_second_gateway_are_refused() {
    let Some(place) = Place::postgres() else { return };
    let (server, database) = place.database.as_ref().unwrap();
    let db = place.open();
    db.run(nick("a", "Ann")).await;
    let error = refusal(&url(server, &database.name));
    assert!(error.contains("another gateway uses it"), "{error}");
    db.run(nick("a", "Anna")).await;
    db.close().await;
    place.sql("UPDATE rosterd.meta SET schema = 99");
    let error = refusal(&url(server, &database.name));
    assert!(error.contains("its schema has version 99, this rosterd knows versions up to 7"), "{error}");
    place.sql("UPDATE rosterd.meta SET schema = 7, format = 2");
    let error = refusal(&url(server, &database.name));
    assert!(error.contains("its change log has form 2, this rosterd reads forms up to 1"), "{error}");
    place.sql("UPDATE rosterd.meta SET format = 1");
    place.open().close().await;
}

#[test]
fn a_server_without_fsync_is_refused() {
    let Some(server) = Server::start(&["fsync = off"]) else { return };
    server.sql("postgres", &format!("CREATE DATABASE x OWNER {ROLE}"));
    let error = refusal(&url(&server, "x"));
    assert!(error.contains("fsync = off") && error.contains("set it to on"), "{error}");
}

/// The server is a new one, and says what an old one would.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_old_is_refused() {
    let Some(place) = Place::postgres() else { return };
    let (server, database) = place.database.as_ref().unwrap();
    let proxy = Proxy::start(&server.address()).await;
    let through = server.url(ROLE, &database.name).replace(&server.address(), &proxy.address);
    let version: i32 = place.sql("SHOW server_version_num").parse().unwrap();
    proxy.lie(&version.to_be_bytes(), &120_022_i32.to_be_bytes());
    let error = refusal(&PostgresUrl::parse(&through).unwrap());
    assert!(error.contains("rosterd needs PostgreSQL 13 or later"), "{error}");
    assert_eq!(place.sql("SELECT to_regnamespace('rosterd') IS NULL"), "t", "nothing was made");
    proxy.lie(&version.to_be_bytes(), &130_000_i32.to_be_bytes());
    let db = Running::new(open(&PostgresUrl::parse(&through).unwrap(), options()).unwrap());
    db.run(nick("a", "Ann")).await;
    db.close().await;
}

/// What a role or a database sets does not change what the store does.
#[tokio::test(flavor = "multi_thread")]
async fn odd_settings_of_a_role_change_nothing() {
    let Some(place) = Place::postgres() else { return };
    let (server, database) = place.database.as_ref().unwrap();
    for setting in [
        "search_path = 'pg_temp'",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
        "standard_conforming_strings = off",
        "row_security = on",
        // Not less: the statement that lifts it may have to wait for a core.
        "statement_timeout = '20ms'",
        "lock_timeout = '1ms'",
        "synchronous_commit = off",
        "timezone = 'America/St_Johns'",
        "datestyle = 'German'",
        "client_min_messages = error",
    ] {
        server.sql("postgres", &format!("ALTER ROLE {ROLE} IN DATABASE \"{}\" SET {setting}", database.name));
    }
    let db = place.open();
    db.write([nick("a", "it's \\ 'quoted'"), nick("b", ""), befriend("a", "b")]).await.unwrap();
    assert_eq!(&*db.profile("a").await.unwrap().nick, "it's \\ 'quoted'");
    let seen = Some(SeenPresence { online: true, last_seen: 7 });
    db.store
        .put_seen(vec![PresenceRow { account: account("a"), peer: None, seen, devices: Vec::new() }])
        .await
        .unwrap();
    assert_eq!(db.store.online().await.unwrap().len(), 1);
    let kept = "SELECT setting FROM pg_settings WHERE name = 'synchronous_commit'";
    assert_eq!(place.sql(kept), "on");
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_a_way_to_the_database() {
    let Some(place) = Place::postgres() else { return };
    let (server, database) = place.database.as_ref().unwrap();
    let Some((directory, port)) = server.socket() else { return };
    let text = format!("postgres:///{}?host={}&port={port}&user={ROLE}", database.name, directory.display());
    let db = Running::new(open(&PostgresUrl::parse(&text).unwrap(), options()).unwrap());
    db.run(nick("a", "Ann")).await;
    assert_eq!(&*db.profile("a").await.unwrap().nick, "Ann");
    db.close().await;
}

/// Text that no `text` can hold is found nowhere, and is no failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_with_nul_finds_nothing() {
    let Some(place) = Place::postgres() else { return };
    let db = place.open();
    db.run(nick("a", "Ann")).await;
    assert_eq!(db.store.profiles("\0".into(), None, 9).await.unwrap(), []);
    let query = AuditQuery { caller: Some("\0".into()), limit: 9, ..AuditQuery::default() };
    assert_eq!(db.audit.audit_page(query).await.unwrap(), []);
    db.close().await;
}

/// Of many rows one statement each, with a row written several times, and everything that a deletion takes along.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_writes_each_row_as_it_is_at_the_end() {
    let Some(place) = Place::postgres() else { return };
    let db = place.open();
    let names: Vec<_> = (0..3000).map(|n| format!("u{n}")).collect();
    db.write(names.iter().flat_map(|name| [nick(name, "1"), nick(name, "2"), nick(name, "3")])).await.unwrap();
    let accounts: Vec<Account> = (0..10_000).map(|n| account(&format!("u{n}"))).collect();
    let found = db.store.users(accounts).await.unwrap();
    assert_eq!((found.len(), found.iter().all(|user| &*user.profile.nick == "3")), (3000, true));
    // In one batch: made, befriended, asked, blocked, deleted, made again.
    let all = [
        befriend("u1", "u2"),
        block("u3", "u1"),
        ask("u1", "u4", "private"),
        delete("u1"),
        nick("u1", "again"),
        befriend("u1", "u2"),
        ask("u1", "u5", "hello"),
    ];
    db.write(all).await.unwrap();
    assert_eq!(db.peers("u1", 9, None).await, [["u2"]]);
    let requests = db.store.requests(account("u1"), Some(0)).await.unwrap();
    let messages: Vec<_> = requests.iter().map(|request| (request.receiver.as_str(), &*request.message)).collect();
    assert_eq!(messages, [("u4", ""), ("u5", "hello")]);
    assert_eq!(db.store.frozen(account("u1"), vec![account("u3")]).await.unwrap().len(), 0);
    // What is refused half way leaves a frozen copy alone that it never read.
    db.write([nick("v", ""), nick("w", "old"), block("w", "v"), nick("w", "new")]).await.unwrap();
    assert_eq!(refused(db.write([block("w", "v"), nick("w", "x"), delete("nobody")]).await).0, 2);
    assert_eq!(&*db.store.frozen(account("v"), vec![account("w")]).await.unwrap()[0].nick, "old");
    db.close().await;
    assert_eq!(place.miscounted(), Vec::<String>::new());
}

/// Logins that come while all readers are busy are read together; each gets its own rows, and what is wrong with those of one
/// is no matter of the others.
#[tokio::test(flavor = "multi_thread")]
async fn logins_that_are_read_together_get_each_its_own_rows() {
    let Some(place) = Place::postgres() else { return };
    let db = place.open();
    let names: Vec<_> = (0..30).map(|n| format!("u{n}")).collect();
    db.write(names.iter().map(|name| nick(name, "1"))).await.unwrap();
    let middle = db.store.head();
    for pair in names.windows(3) {
        db.write([befriend(&pair[0], &pair[1]), ask(&pair[0], &pair[2], &pair[1])]).await.unwrap();
    }
    db.write([unfriend("u3", "u4"), block("u7", "u8"), block("u7", "u9"), block("u20", "u7")]).await.unwrap();
    // The second of an account is read for what is new, and without the account itself.
    let few = |since: Option<u64>| since.is_none().then_some(1);
    let all: Vec<_> = names.iter().map(|name| (account(name), None)).collect();
    let all: Vec<_> = all.iter().cloned().chain(all.iter().map(|(name, _)| (name.clone(), Some(middle)))).collect();
    let mut alone = Vec::new();
    for (name, since) in &all {
        alone.push(db.store.login_rows(name.clone(), 2, *since, few(*since)).await.unwrap());
    }
    db.close().await;
    let at_once = |db: &Running| {
        let store = db.store.clone();
        let all = all.clone();
        async move { join_all(all.iter().map(|(name, since)| store.login_rows(name.clone(), 2, *since, few(*since)))).await }
    };
    let before = commits(&place).await;
    place.open().close().await;
    let opened = commits(&place).await;
    let db = place.open();
    assert!(at_once(&db).await.into_iter().map(Result::unwrap).eq(alone.iter().cloned()));
    db.close().await;
    let read = (commits(&place).await - opened) - (opened - before);
    assert!(read < 40, "{read} transactions for 60 logins");
    place.sql("SET search_path = rosterd; UPDATE edge SET peer = repeat('x', 99) WHERE owner = 'u5' AND peer = 'u6'");
    let db = place.open();
    for (((name, _), found), alone) in all.iter().zip(at_once(&db).await).zip(alone) {
        match found {
            Ok(found) => assert_eq!((name.as_str() != "u5", found), (true, alone)),
            Err(error) => assert_eq!((name.as_str(), error.to_string().contains("too long")), ("u5", true), "{error}"),
        }
    }
    db.close().await;
}

/// How many transactions there were, once all sessions have ended and told.
async fn commits(place: &Place) -> i64 {
    until(|| place.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'rosterd%' AND datname = current_database()") == "0").await;
    place.sql("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").parse().unwrap()
}

/// Opens the store of a place through a proxy, and makes a first change: what was prepared for it is prepared.
async fn through_proxy(place: &Place, write_timeout: Duration) -> (Proxy, Running) {
    let (server, database) = place.database.as_ref().unwrap();
    let proxy = Proxy::start(&server.address()).await;
    let through = server.url(ROLE, &database.name).replace(&server.address(), &proxy.address);
    let options = PostgresOptions { write_timeout, ..options() };
    let db = Running::new(open(&PostgresUrl::parse(&through).unwrap(), options).unwrap());
    db.run(nick("a", "Ann")).await;
    (proxy, db)
}

/// The server commits, and its answer is lost: whoever asked gets the answer of what was done, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_done_once() {
    let Some(place) = Place::postgres() else { return };
    let (proxy, db) = through_proxy(&place, options().write_timeout).await;
    for turn in 0..5 {
        let text = format!("committed-without-an-answer-{turn}");
        proxy.swallow_after(&text);
        let (store, command) = (db.store.clone(), nick("a", &text));
        let asked = tokio::spawn(async move { store.write(write(vec![command])).await });
        let is_there = format!("SELECT count(*) FROM rosterd.users WHERE nick = '{text}'");
        until(|| place.sql(&is_there) == "1").await;
        assert!(proxy.swallowed() > turn, "the answer was lost");
        assert!(!asked.is_finished(), "it was answered before the answer could have come");
        proxy.cut();
        let answers = timeout(PATIENCE, asked).await.expect("an answer in time").unwrap().unwrap();
        assert_eq!(answers[0].outcome, Outcome::Changed);
    }
    let revisions: Vec<_> = db.logged(0).await.iter().map(|logged| logged.change.revision).collect();
    assert_eq!(revisions, [1, 2, 3, 4, 5, 6]);
    let received = db.close().await;
    assert_eq!(received.changes.len(), 6, "each batch reached the feed once");
}

/// The connection breaks before the commit arrives: it was not done, and is done then.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_never_arrived_is_tried_again() {
    let Some(place) = Place::postgres() else { return };
    let (proxy, db) = through_proxy(&place, options().write_timeout).await;
    proxy.drop_from("never-arrives-at-first");
    let answer = timeout(PATIENCE, db.run(nick("a", "never-arrives-at-first"))).await.expect("an answer in time");
    assert_eq!((answer.outcome, proxy.dropped()), (Outcome::Changed, 1));
    assert_eq!(db.logged(0).await.len(), 2);
    assert_eq!(db.close().await.changes.len(), 2);
}

/// While it is not known whether a commit was done, and the database stays away, the answer says just that.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_verdict_the_answer_is_that_it_is_not_known() {
    let Some(place) = Place::postgres() else { return };
    let (proxy, db) = through_proxy(&place, Duration::from_secs(1)).await;
    proxy.swallow_after("is-it-done");
    let (store, command) = (db.store.clone(), nick("a", "is-it-done"));
    let begun = Instant::now();
    let asked = tokio::spawn(async move { store.write(write(vec![command])).await });
    until(|| place.sql("SELECT count(*) FROM rosterd.users WHERE nick = 'is-it-done'") == "1").await;
    proxy.close();
    proxy.cut();
    let answer = timeout(PATIENCE, asked).await.expect("an answer in time").unwrap();
    assert!(matches!(answer, Err(WriteError::Unknown(_))), "{answer:?}");
    // The timeout, the last try, and what a busy machine takes.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    // Writes that were never tried fail, with nothing changed.
    let late = timeout(PATIENCE, db.write([nick("a", "too late")])).await.expect("an answer in time");
    assert!(matches!(late, Err(WriteError::Failed(_))), "{late:?}");
    proxy.open();
    // The batch is settled before the next, and reaches the feed although nobody waits.
    let later = async { while db.write([nick("a", "later")]).await.is_err() {} };
    timeout(PATIENCE, later).await.expect("an answer in time");
    let nicks: Vec<_> = db.logged(0).await.iter().map(|logged| logged.change.revision).collect();
    assert_eq!(nicks, [1, 2, 3]);
    assert_eq!(db.close().await.changes.len(), 3);
}

/// The network swallows everything after a commit, and breaks no connection: the session that the server still has is ended
/// by its gateway.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_hangs_is_given_up_and_ended() {
    let Some(place) = Place::postgres() else { return };
    let (proxy, db) = through_proxy(&place, Duration::from_secs(2)).await;
    let sessions =
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'rosterd writer' AND datname = current_database()";
    let before = place.sql(sessions);
    proxy.swallow_after("into-the-void");
    let answer = timeout(PATIENCE, db.run(nick("a", "into-the-void"))).await.expect("an answer in time");
    assert_eq!((answer.outcome, proxy.swallowed()), (Outcome::Changed, 1));
    let after = place.sql(sessions);
    assert!(after != before && after.lines().count() == 1, "{before} and then {after}");
    let (server, _) = place.database.as_ref().unwrap();
    if server.socket().is_some() {
        assert!(server.log().contains("terminating connection due to administrator command"), "{}", server.log());
    }
    assert_eq!(db.logged(0).await.len(), 2, "what was committed was found");
    assert_eq!(db.close().await.changes.len(), 2);
}

/// The server crashes again and again while many write: each answered write is there, and each refused one is not.
#[tokio::test(flavor = "multi_thread")]
async fn no_answered_write_is_lost_when_the_server_is_killed() {
    let Some(server) = Server::start(&[]) else { return };
    server.sql("postgres", &format!("CREATE DATABASE x OWNER {ROLE}"));
    let db = Arc::new(Running::new(open(&url(&server, "x"), options()).unwrap()));
    let done = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = |n: usize| {
        let (store, done, stop) = (db.store.clone(), done.clone(), stop.clone());
        tokio::spawn(async move {
            let (mut answered, mut turn) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                turn += 1;
                match store.write(write(vec![nick(&format!("w{n}"), &format!("{turn}"))])).await {
                    Ok(_) => {
                        answered = turn;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(WriteError::Failed(_) | WriteError::Unknown(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            (answered, turn)
        })
    };
    let writers: Vec<_> = (0..8).map(writer).collect();
    for _ in 0..3 {
        let before = done.load(Ordering::Relaxed);
        until(|| done.load(Ordering::Relaxed) > before + 100).await;
        server.kill();
        server.run();
    }
    let before = done.load(Ordering::Relaxed);
    until(|| done.load(Ordering::Relaxed) > before + 100).await;
    stop.store(true, Ordering::Relaxed);
    for (n, writer) in writers.into_iter().enumerate() {
        let (answered, turn) = timeout(PATIENCE, writer).await.expect("an end in time").unwrap();
        let nick: u64 = db.profile(&format!("w{n}")).await.unwrap().nick.parse().unwrap();
        assert!(nick >= answered && nick <= turn, "w{n} has {nick}, answered was {answered}");
    }
    let revisions: Vec<_> = db.logged(0).await.iter().map(|logged| logged.change.revision).collect();
    let received = Arc::into_inner(db).unwrap().close().await;
    let sent: Vec<_> = received.changes.iter().map(|change| change.revision).collect();
    assert_eq!(sent, revisions, "the feed has every commit once and in order");
    assert!(revisions.iter().copied().eq(1..=revisions.len() as u64), "there is a hole");
}

/// A restored dump is another history: followers and clients begin anew, and nothing else changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_dump_begins_a_new_epoch_and_a_new_log() {
    let (Some(place), Some(other)) = (Place::postgres(), Server::start(&[])) else { return };
    let (server, database) = place.database.as_ref().unwrap();
    let db = place.open();
    db.write([nick("a", "Ann"), nick("b", "Bob"), befriend("a", "b")]).await.unwrap();
    let (lineage, history) = (db.store.lineage(), db.log.history());
    let file = place.directory.as_ref().unwrap().path().join("dump");
    let file = file.to_str().unwrap();
    // While the gateway runs.
    let dumped = server.program("pg_dump", &database.name, &["--format=custom", "--file", file]);
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    db.run(nick("a", "after the dump")).await;
    db.close().await;
    other.sql("postgres", &format!("CREATE DATABASE x OWNER {ROLE}"));
    let restored = other.program("pg_restore", "x", &[file]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let restored = Running::new(open(&url(&other, "x"), options()).unwrap());
    assert_eq!((&*restored.profile("a").await.unwrap().nick, restored.head), ("Ann", 3));
    assert_ne!(restored.store.lineage().epoch, lineage.epoch);
    assert!(restored.log.history().is_some() && restored.log.history() != history);
    assert_eq!(restored.peers("a", 9, None).await, [["b"]]);
    assert_eq!(restored.run(nick("a", "next")).await.profile.unwrap().version, 4);
    restored.close().await;
    // So does a copy beside the original, on the same server.
    let copy = format!("{}_copy", database.name);
    server.sql("postgres", &format!("CREATE DATABASE \"{copy}\" OWNER {ROLE} TEMPLATE \"{}\"", database.name));
    let copied = Running::new(open(&url(server, &copy), options()).unwrap());
    assert_ne!((copied.store.lineage().epoch, copied.log.history()), (lineage.epoch, history));
    copied.close().await;
    server.sql("postgres", &format!("DROP DATABASE \"{copy}\" WITH (FORCE)"));
    // The original goes on as it was.
    let db = place.open();
    assert_eq!((db.store.lineage(), db.log.history()), (lineage, history));
    db.close().await;
}

/// Somebody puts the database back to before the last commits while the gateway runs: it ends, and what follows is another
/// epoch.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_lost_commits_ends_the_gateway_and_begins_a_new_epoch() {
    for failover in [Failover::MayLose, Failover::Lossless] {
        let Some(place) = Place::postgres() else { return };
        let (server, database) = place.database.as_ref().unwrap();
        let options = PostgresOptions { failover, ..options() };
        let db = Running::new(open(&url(server, &database.name), options.clone()).unwrap());
        db.run(nick("a", "1")).await;
        db.run(nick("a", "2")).await;
        let epoch = db.store.lineage().epoch;
        // As if the second commit had not reached the server that is the primary now.
        place.sql("DELETE FROM rosterd.feed WHERE first = 2");
        let answer = timeout(PATIENCE, db.write([nick("a", "3")])).await.expect("an answer in time");
        assert!(matches!(answer, Err(WriteError::Failed(_))), "{answer:?}");
        timeout(PATIENCE, db.store.ended()).await.expect("the store ends");
        let again = Running::new(open(&url(server, &database.name), options).unwrap());
        assert_ne!(again.store.lineage().epoch, epoch);
        again.close().await;
    }
}

pub(super) async fn until(mut is: impl FnMut() -> bool) {
    let waited = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waited).await.expect("it happens in time");
}
