//! The database's primary is gone, and a standby takes its place: with and without commits that are lost, and while the
//! primary waits for a standby that does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rosterd::store::postgres::{Failover, PostgresOptions, PostgresUrl, Sharing, open};
use rosterd::store::{Store, StoreError, Write, WriteError, Written};
use rosterd_engine::model::{Account, Command, WriteOrigin};
use rosterd_postgres_server::{ROLE, Server};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::postgres::until;
use super::rig::{Running, nick};
use crate::support::PATIENCE;

/// How many accounts are written under load.
const ACCOUNTS: usize = 20;

/// Sessions of writers that have committed, and wait for the standby.
const AWAIT_STANDBY: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rosterd writer' AND wait_event = 'SyncRep'";

/// Sessions of writers that commit again what may not be on the standby, and wait for it.
const CONFIRMS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%emit_message%'";

/// A primary and its standby.
pub(super) struct StandbyPair {
    pub(super) primary: Server,
    pub(super) standby: Server,
}

impl StandbyPair {
    /// `None` if PostgreSQL is not installed.
    pub(super) fn start() -> Option<Self> {
        // Says so if not, and fails in CI.
        rosterd_postgres_server::shared()?;
        let primary = Server::start(&[])?;
        primary.sql("postgres", &format!("CREATE DATABASE friends OWNER {ROLE}"));
        let standby = primary.standby();
        let pair = Self { primary, standby };
        pair.follows("async");
        Some(pair)
    }

    /// Lets each commit wait for the standby.
    fn synchronous(&self) {
        configure(&self.primary, "synchronous_standby_names = '*'");
        self.follows("sync");
    }

    /// Waits until the standby follows in this way.
    fn follows(&self, state: &str) {
        let begun = Instant::now();
        while self.primary.sql("postgres", "SELECT sync_state FROM pg_stat_replication") != state {
            assert!(begun.elapsed() < PATIENCE, "the standby does not follow: {}", self.standby.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Cuts the standby off for good.
    fn cut(&self) {
        configure(&self.standby, "primary_conninfo = ''");
        let begun = Instant::now();
        while self.primary.sql("postgres", "SELECT count(*) FROM pg_stat_replication") != "0" {
            assert!(begun.elapsed() < PATIENCE, "the standby still follows");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The primary is gone, and the standby takes over.
    fn fail_over(&self) {
        self.primary.kill();
        self.standby.promote();
        let timeline = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)";
        assert_eq!(self.standby.sql("postgres", timeline), "00000002", "it is another timeline");
    }

    /// The standby takes over, and the primary goes on as if nothing had happened.
    fn split(&self) {
        self.cut();
        self.standby.promote();
        let reads_only = "SELECT pg_is_in_recovery()";
        let both = [&self.primary, &self.standby].map(|server| server.sql("postgres", reads_only));
        assert_eq!(both, ["f", "f"], "both take writes");
    }

    /// Where the database is, whichever of the two is the primary.
    fn url(&self) -> PostgresUrl {
        let (one, other) = (self.primary.address(), self.standby.address());
        let text = format!("postgres://{ROLE}:secret@{one},{other}/friends?target_session_attrs=read-write");
        PostgresUrl::parse(&text).unwrap()
    }

    fn open(&self, options: PostgresOptions) -> Running {
        Running::new(open(&self.url(), options).unwrap())
    }

    fn on_primary(&self, sql: &str) -> String {
        self.primary.sql("friends", sql)
    }

    /// Begins to write to the account `a`, whose commit waits for the standby until a function of the server ends that.
    async fn write_that_waits(&self, db: &Running, command: Command, ends: &str) -> JoinHandle<Written> {
        let store = db.store.clone();
        let write = Write { commands: vec![command], origin: WriteOrigin::Import };
        let asked = tokio::spawn(async move { store.write(write).await });
        until(|| self.on_primary(AWAIT_STANDBY) == "1").await;
        let ended = format!("SELECT count({ends}(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        assert_eq!(self.on_primary(&ended), "1");
        until(|| self.on_primary("SELECT nick FROM rosterd.users WHERE account = 'a'") == "Anna").await;
        asked
    }
}

fn configure(server: &Server, setting: &str) {
    server.sql("postgres", &format!("ALTER SYSTEM SET {setting}"));
    server.sql("postgres", "SELECT pg_reload_conf()");
}

fn shared(failover: Failover) -> PostgresOptions {
    let sharing = Sharing::Shared { poll: Duration::from_millis(250) };
    PostgresOptions { readers: 2, failover, sharing, ..PostgresOptions::default() }
}

fn told(db: &Running) -> Vec<u64> {
    db.received.lock().unwrap().changes.iter().map(|change| change.revision).collect()
}

/// Writes to accounts in turns until it is told to stop, and notes the last number of each that was answered.
async fn write_on(store: Arc<dyn Store>, node: usize, answered: Arc<[[AtomicUsize; ACCOUNTS]; 2]>, until: usize) {
    for turn in 1.. {
        let at = turn % ACCOUNTS;
        let write =
            Write { commands: vec![nick(&format!("u{node}-{at}"), &turn.to_string())], origin: WriteOrigin::Import };
        if store.write(write).await.is_ok() {
            answered[node][at].store(turn, Ordering::Release);
        }
        if answered[node].iter().map(|last| last.load(Ordering::Acquire)).max() >= Some(until) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_standby_takes_over_without_a_loss_and_everyone_stays() {
    let Some(pair) = StandbyPair::start() else { return };
    pair.synchronous();
    let nodes = [pair.open(shared(Failover::Lossless)), pair.open(shared(Failover::Lossless))];
    let epoch = nodes[0].store.lineage().epoch;
    let answered: Arc<[[AtomicUsize; ACCOUNTS]; 2]> = Arc::default();
    let most = |node: usize| answered[node].iter().map(|last| last.load(Ordering::Acquire)).max().unwrap();
    let before: Vec<_> =
        (0..2).map(|node| tokio::spawn(write_on(nodes[node].store.clone(), node, answered.clone(), 400))).collect();
    until(|| most(0) > 100 && most(1) > 100).await;
    let begun = Instant::now();
    tokio::task::block_in_place(|| pair.fail_over());
    let taken_over = Instant::now();
    for writer in before {
        timeout(PATIENCE, writer).await.expect("they go on").unwrap();
    }
    // The promotion is the server's affair; what is the gateways' is to notice it.
    let (promotion, all) = (taken_over - begun, begun.elapsed());
    assert!(all < promotion + Duration::from_secs(20), "{promotion:?} of {all:?}");
    for db in &nodes {
        assert_eq!(db.store.lineage().epoch, epoch, "no client syncs in full");
    }
    let head = nodes[0].store.head().max(nodes[1].store.head());
    until(|| nodes.iter().all(|db| told(db).last() == Some(&head))).await;
    assert_eq!(told(&nodes[0]), (1..=head).collect::<Vec<_>>(), "without a hole, each once");
    assert_eq!(told(&nodes[0]), told(&nodes[1]));
    for node in 0..2 {
        for (at, last) in answered[node].iter().enumerate().filter(|(_, last)| last.load(Ordering::Acquire) > 0) {
            let profile = nodes[1 - node].profile(&format!("u{node}-{at}")).await.expect("it was answered");
            let found: usize = profile.nick.parse().unwrap();
            assert!(found >= last.load(Ordering::Acquire), "an answered write is lost");
        }
    }
    for db in nodes {
        db.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_lacks_commits_begins_a_new_epoch_and_every_gateway_ends() {
    for failover in [Failover::MayLose, Failover::Lossless] {
        let Some(pair) = StandbyPair::start() else { return };
        let (one, other) = (pair.open(shared(failover)), pair.open(shared(failover)));
        one.run(nick("a", "kept")).await;
        until(|| pair.standby.try_sql("friends", "SELECT nick FROM rosterd.users").is_ok_and(|nick| nick == "kept"))
            .await;
        let epoch = one.store.lineage().epoch;
        pair.cut();
        one.run(nick("a", "lost")).await;
        until(|| told(&other).last() == Some(&2)).await;
        tokio::task::block_in_place(|| pair.fail_over());
        assert_eq!(pair.standby.sql("friends", "SELECT nick FROM rosterd.users"), "kept", "a commit was lost");
        for db in [&one, &other] {
            timeout(PATIENCE, db.store.ended()).await.expect("it ends");
        }
        let again = pair.open(shared(failover));
        assert_ne!(again.store.lineage().epoch, epoch);
        assert_eq!((again.head, again.profile("a").await.unwrap().nick.to_string()), (1, "kept".to_owned()));
        again.run(nick("a", "new")).await;
        again.close().await;
    }
}

/// A gateway that is alone follows nobody. Its clients can write only once they are logged in.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_alone_notices_lost_commits_by_a_login() {
    let Some(pair) = StandbyPair::start() else { return };
    let alone = PostgresOptions { sharing: Sharing::Alone, ..shared(Failover::MayLose) };
    let db = pair.open(alone.clone());
    db.run(nick("a", "kept")).await;
    until(|| pair.standby.try_sql("friends", "SELECT nick FROM rosterd.users").is_ok_and(|nick| nick == "kept")).await;
    let epoch = db.store.lineage().epoch;
    pair.cut();
    db.run(nick("a", "lost")).await;
    tokio::task::block_in_place(|| pair.fail_over());
    // The first reads find their connections broken.
    let logins = async {
        loop {
            let _ = db.store.login_rows(Account::parse("a", "account").unwrap(), 10, None, None).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = db.store.ended() => {}
        () = logins => {}
        () = tokio::time::sleep(PATIENCE) => panic!("it goes on"),
    }
    let again = pair.open(alone);
    assert_ne!(again.store.lineage().epoch, epoch);
    again.close().await;
}

/// A commit waits for a standby that is gone: the lock stays held, which no other gateway may end. Who waited for longer than
/// the timeout learns what is so: that nothing was tried, or that it is not known.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_waits_for_a_standby_is_ended_by_nobody() {
    let Some(pair) = StandbyPair::start() else { return };
    pair.synchronous();
    let options = PostgresOptions { write_timeout: Duration::from_secs(5), ..shared(Failover::Lossless) };
    let (one, other) = (pair.open(options.clone()), pair.open(options));
    one.run(nick("a", "Ann")).await;
    tokio::task::block_in_place(|| pair.standby.stop());
    let write = |db: &Running, command| {
        let store = db.store.clone();
        tokio::spawn(async move { store.write(Write { commands: vec![command], origin: WriteOrigin::Import }).await })
    };
    let asked = Instant::now();
    let held = write(&one, nick("a", "Anna"));
    until(|| pair.on_primary(AWAIT_STANDBY) == "1").await;
    let pid = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let holder = pair.on_primary(pid);
    let behind = write(&other, nick("b", "Bob"));
    let refused = timeout(PATIENCE, behind).await.expect("an answer in time").unwrap();
    assert!(matches!(refused, Err(WriteError::Failed(StoreError(_)))), "nothing was tried: {refused:?}");
    let unknown = timeout(PATIENCE, held).await.expect("an answer in time").unwrap();
    assert!(matches!(unknown, Err(WriteError::Unknown(_))), "{unknown:?}");
    // Within the timeout, the wait for the lock of who looks then, and what a busy machine takes.
    let took = asked.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(15), "{took:?}");
    assert_eq!(pair.on_primary(pid), holder, "its session was not ended");
    tokio::task::block_in_place(|| pair.standby.run());
    other.run(nick("b", "Bob")).await;
    until(|| told(&one) == [1, 2, 3] && told(&other) == [1, 2, 3]).await;
    assert_eq!(other.profile("a").await.unwrap().nick.to_string(), "Anna", "it was done once");
    one.close().await;
    other.close().await;
}

/// Somebody cancels the wait for the standby: the commit is visible, and its answer comes with a warning. Or ends the session:
/// the commit is visible, and no answer comes. It is answered here once a later commit has reached the standby.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_wait_was_cancelled_or_ended_is_answered_once_it_is_replicated() {
    for ends in ["pg_cancel_backend", "pg_terminate_backend"] {
        let Some(pair) = StandbyPair::start() else { return };
        pair.synchronous();
        let db = pair.open(PostgresOptions { write_timeout: Duration::from_mins(1), ..shared(Failover::Lossless) });
        db.run(nick("a", "Ann")).await;
        tokio::task::block_in_place(|| pair.standby.stop());
        let asked = pair.write_that_waits(&db, nick("a", "Anna"), ends).await;
        // The commit after it waits as well.
        until(|| pair.on_primary(CONFIRMS) == "1").await;
        assert!(!asked.is_finished() && told(&db) == [1], "{ends}: nobody was told of what a failover would lose");
        tokio::task::block_in_place(|| pair.standby.run());
        timeout(PATIENCE, asked).await.expect("an answer in time").unwrap().unwrap();
        assert_eq!(told(&db), [1, 2]);
        // It has it, and shows it a moment later.
        until(|| pair.standby.sql("friends", "SELECT nick FROM rosterd.users") == "Anna").await;
        db.close().await;
    }
}

/// The same while the standby stays away: who waits is told in time what is so.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_replicated_is_not_known_and_what_comes_after_it_is_not_done() {
    for ends in ["pg_cancel_backend", "pg_terminate_backend"] {
        let Some(pair) = StandbyPair::start() else { return };
        pair.synchronous();
        let db = pair.open(PostgresOptions { write_timeout: Duration::from_secs(2), ..shared(Failover::Lossless) });
        db.run(nick("a", "Ann")).await;
        tokio::task::block_in_place(|| pair.standby.stop());
        let asked = pair.write_that_waits(&db, nick("a", "Anna"), ends).await;
        let unknown = timeout(PATIENCE, asked).await.expect("an answer in time").unwrap();
        assert!(matches!(unknown, Err(WriteError::Unknown(_))), "{ends}: {unknown:?}");
        let late = timeout(PATIENCE, db.write([nick("b", "Bob")])).await.expect("an answer in time");
        assert!(matches!(late, Err(WriteError::Failed(_))), "{ends}: {late:?}");
        // It goes on to wait on one session, however long that takes.
        assert_eq!(pair.on_primary(CONFIRMS), "1");
        assert_eq!(told(&db), [1], "{ends}: nobody was told of what a failover would lose");
        tokio::task::block_in_place(|| pair.standby.run());
        let on = async { while db.write([nick("b", "Bob")]).await.is_err() {} };
        timeout(PATIENCE, on).await.expect("it goes on");
        assert_eq!(told(&db), [1, 2, 3]);
        db.close().await;
    }
}

/// The old primary goes on beside the new one: one gateway writes to the old one, the others to the new one. Of the two
/// histories one goes on, all gateways end, and clients sync in full.
#[tokio::test(flavor = "multi_thread")]
async fn two_primaries_end_in_a_new_epoch_and_every_gateway_ends() {
    for failover in [Failover::MayLose, Failover::Lossless] {
        let Some(pair) = StandbyPair::start() else { return };
        let old = pair.open(shared(failover));
        old.run(nick("a", "both")).await;
        until(|| pair.standby.try_sql("friends", "SELECT nick FROM rosterd.users").is_ok_and(|nick| nick == "both"))
            .await;
        let epoch = old.store.lineage().epoch;
        tokio::task::block_in_place(|| pair.split());
        old.run(nick("a", "on the old one")).await;
        let there = PostgresUrl::parse(&pair.standby.url(ROLE, "friends")).unwrap();
        let new = Running::new(open(&there, shared(failover)).unwrap());
        new.run(nick("b", "on the new one")).await;
        // Somebody sees to it that there is one again.
        tokio::task::block_in_place(|| pair.primary.kill());
        timeout(PATIENCE, old.store.ended()).await.expect("it ends");
        assert_eq!(told(&old), [1, 2], "it took nothing of the other history");
        if failover == Failover::Lossless {
            // Nothing told it that commits were lost, before the other one came.
            assert_eq!(new.store.lineage().epoch, epoch);
            timeout(PATIENCE, new.store.ended()).await.expect("it ends");
        }
        drop(new);
        let again = pair.open(shared(failover));
        assert_ne!(again.store.lineage().epoch, epoch, "clients sync in full");
        let kept = (again.profile("a").await.unwrap().nick.to_string(), again.profile("b").await.is_some());
        assert_eq!(kept, ("both".to_owned(), true));
        again.close().await;
    }
}
