//! Several gateways on one database: each takes every change of all of them to its hub, once and in the one order.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rosterd::metrics::{DatabaseMetrics, Kind};
use rosterd::store::postgres::{Failover, PostgresOptions, PostgresUrl, Sharing, open};
use rosterd::store::{StoreError, Write};
use rosterd_engine::model::{Audience, Change, Command, Millis, Outcome, Request, Revision, Visibility, WriteOrigin};
use rosterd_postgres_server::ROLE;
use tokio::time::timeout;

use super::postgres::until;
use super::rig::{Place, Running, account, ask, befriend, block, delete, nick, told, unfriend};
use crate::proxy::Proxy;
use crate::support::PATIENCE;

fn options() -> PostgresOptions {
    let sharing = Sharing::Shared { poll: Duration::from_millis(250) };
    PostgresOptions { readers: 2, sharing, ..PostgresOptions::default() }
}

/// A gateway more at a database.
pub(super) fn join(place: &Place) -> Running {
    Running::new(try_join(place, options()).unwrap())
}

/// A gateway more, and what it counts.
pub(super) fn join_counted(place: &Place) -> (DatabaseMetrics, Running) {
    let metrics = DatabaseMetrics::default();
    let counted = PostgresOptions { metrics: metrics.clone(), ..options() };
    (metrics, Running::new(try_join(place, counted).unwrap()))
}

fn try_join(place: &Place, options: PostgresOptions) -> Result<rosterd::store::Opened, StoreError> {
    open(&place.url(), options)
}

/// A gateway more, behind a proxy.
async fn join_through_proxy(place: &Place, metrics: &DatabaseMetrics) -> (Proxy, Running) {
    let (server, database) = place.database.as_ref().unwrap();
    let proxy = Proxy::start(&server.address()).await;
    let through = server.url(ROLE, &database.name).replace(&server.address(), &proxy.address);
    let counted = PostgresOptions { metrics: metrics.clone(), ..options() };
    (proxy, Running::new(open(&PostgresUrl::parse(&through).unwrap(), counted).unwrap()))
}

pub(super) fn received(db: &Running) -> Vec<Change> {
    db.received.lock().unwrap().changes.clone()
}

pub(super) fn applied(db: &Running) -> Revision {
    db.received.lock().unwrap().changes.last().map_or(db.head, |change| change.revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_gateway_gets_every_change_once_in_one_order_and_an_answer_only_after_what_is_before_it() {
    const WRITES: usize = 150;
    let Some(place) = Place::postgres() else { return };
    let nodes = [join(&place), join(&place), join(&place)];
    let writers = nodes.iter().enumerate().map(|(node, db)| async move {
        for turn in 0..WRITES {
            let (a, b) = (format!("u{}", turn % 7), format!("u{}", (turn + node + 1) % 7));
            let commands = match turn % 5 {
                0 => vec![nick(&a, &format!("{node} {turn}"))],
                1 => vec![nick(&a, "x"), nick(&b, "y"), befriend(&a, &b)],
                2 => vec![unfriend(&a, &b)],
                3 => vec![block(&a, &b)],
                _ => vec![nick(&a, "same")],
            };
            // What two gateways do to one account may be refused, as by one.
            if let Ok(answers) = db.write(commands).await {
                let newest = answers.iter().filter_map(|answer| Some(answer.profile.as_ref()?.version)).max();
                assert!(applied(db) >= newest.unwrap_or_default(), "answered before it was applied");
            }
        }
    });
    futures::future::join_all(writers).await;
    nodes[0].run(delete("u3")).await;
    let head = nodes[0].store.head();
    until(|| nodes.iter().all(|db| applied(db) == head)).await;
    let all: Vec<Vec<Change>> = nodes.iter().map(received).collect();
    let revisions: Vec<_> = all[0].iter().map(|change| change.revision).collect();
    assert_eq!(revisions, (1..=head).collect::<Vec<_>>(), "without a hole, each once");
    let logged: Vec<Change> = nodes[1].logged(0).await.into_iter().map(|logged| logged.change).collect();
    assert!(told(&all[0]) == told(&all[1]) && told(&all[1]) == told(&all[2]), "all were told the same");
    assert_eq!(logged.iter().map(|change| change.revision).collect::<Vec<_>>(), revisions);
    let [first, second, third] = nodes;
    first.close().await;
    // The others go on.
    second.run(nick("late", "Late")).await;
    until(|| applied(&third) == head + 1).await;
    second.close().await;
    third.close().await;
    assert_eq!(place.miscounted(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_told_of_a_change_finds_it_anyway_and_who_loses_the_connection_goes_on() {
    let Some(place) = Place::postgres() else { return };
    let ((counted, one), other) = (join_counted(&place), join(&place));
    let listeners =
        "FROM pg_stat_activity WHERE application_name = 'rosterd listener' AND datname = current_database()";
    for turn in 1..=3 {
        until(|| place.sql(&format!("SELECT count(*) {listeners}")) == "2").await;
        assert_eq!(place.sql(&format!("SELECT count(pg_terminate_backend(pid)) {listeners}")), "2");
        one.run(nick("a", &format!("Ann {turn}"))).await;
        until(|| applied(&other) == turn).await;
    }
    // Without a word from the writer.
    place.sql("REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC");
    assert_eq!(place.sql("SELECT has_function_privilege('rosterd', 'pg_notify(text, text)', 'execute')"), "f");
    let unwoken = counted.feed_unwoken.get();
    // A listener that has just connected again looks without a word, too.
    let mut turn = 0;
    while counted.feed_unwoken.get() == unwoken {
        turn += 1;
        assert!(turn < 50, "a word came each time");
        other.run(nick("a", &format!("Anna {turn}"))).await;
        let written = Instant::now();
        until(|| applied(&one) == 3 + turn).await;
        // A quarter of a second, and what a busy machine takes.
        assert!(written.elapsed() < Duration::from_secs(4), "{:?}", written.elapsed());
    }
    assert_eq!((counted.feed_read_rows.get(), counted.feed_holes.get()), (turn, 0), "its own it does not read");
    one.close().await;
    other.close().await;
}

/// The answer to a commit is lost, and before it is looked for, others have written.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_in_doubt_is_found_behind_those_of_others() {
    let Some(place) = Place::postgres() else { return };
    let metrics = DatabaseMetrics::default();
    let (proxy, db) = join_through_proxy(&place, &metrics).await;
    let other = join(&place);
    db.run(nick("a", "Ann")).await;
    for turn in 0..4 {
        let text = format!("in-doubt-{turn}");
        let is_done = turn % 2 == 0;
        if is_done {
            proxy.swallow_after(&text);
        } else {
            proxy.drop_from(&text);
        }
        let (store, command) = (db.store.clone(), nick("a", &text));
        let asked =
            tokio::spawn(
                async move { store.write(Write { commands: vec![command], origin: WriteOrigin::Import }).await },
            );
        if is_done {
            until(|| place.sql(&format!("SELECT count(*) FROM rosterd.users WHERE nick = '{text}'")) == "1").await;
            proxy.close();
            proxy.cut();
        } else {
            until(|| proxy.dropped() > turn / 2).await;
            proxy.close();
        }
        for n in 0..3 {
            other.run(nick("b", &format!("{turn} {n}"))).await;
        }
        proxy.open();
        let answers = timeout(PATIENCE, asked).await.expect("an answer in time").unwrap().unwrap();
        assert_eq!(answers[0].outcome, Outcome::Changed);
        assert_eq!(db.profile("a").await.unwrap().nick.to_string(), text);
    }
    assert!(proxy.swallowed() >= 2 && proxy.dropped() >= 2, "answers and commits were lost");
    let counted = ["DONE", "NOT", "UNKNOWN"].map(|kind| metrics.in_doubt.get_or_create(&Kind { kind }).get());
    assert_eq!(counted, [2, 2, 0]);
    let head = other.store.head().max(db.store.head());
    until(|| applied(&db) == head && applied(&other) == head).await;
    let all: Vec<_> = received(&db).iter().map(|change| change.revision).collect();
    assert_eq!(all, (1..=head).collect::<Vec<_>>());
    assert_eq!(head, 1 + 4 * 4, "each was done once");
    db.close().await;
    other.close().await;
}

/// What a writer does first.
pub(super) const TAKE_LOCK: &str = "BEGIN; SELECT id FROM rosterd.sequencer WHERE id = 1 FOR UPDATE;";

/// A session that takes the lock as a gateway's writer does, and then only does what it is told.
pub(super) struct StuckWriter(Child);

impl StuckWriter {
    pub(super) fn start(place: &Place, begin: &str) -> Self {
        let mut writer = Self::idle(place, "rosterd writer");
        writer.run(begin);
        writer
    }

    /// A session that has done nothing yet.
    pub(super) fn idle(place: &Place, name: &str) -> Self {
        let (server, database) = place.database.as_ref().unwrap();
        let child = server
            .tool("psql")
            .args(["-X", "-q", &server.url(ROLE, &database.name)])
            .env("PGAPPNAME", name)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    pub(super) fn run(&mut self, sql: &str) {
        let stdin = self.0.stdin.as_mut().unwrap();
        writeln!(stdin, "{sql}").unwrap();
        stdin.flush().unwrap();
    }
}

impl Drop for StuckWriter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stands_still_with_the_lock_is_ended_by_those_that_wait() {
    let Some(place) = Place::postgres() else { return };
    let ((counted, one), (others, other)) = (join_counted(&place), join_counted(&place));
    one.run(nick("a", "Ann")).await;
    let stuck = StuckWriter::start(&place, TAKE_LOCK);
    let holds = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rosterd writer'
                 AND datname = current_database() AND state = 'idle in transaction' AND query LIKE '%sequencer%'";
    until(|| place.sql(holds) == "1").await;
    let begun = Instant::now();
    let both = futures::future::join(one.run(nick("a", "Anna")), other.run(nick("b", "Bob")));
    timeout(PATIENCE, both).await.expect("they go on");
    assert!(begun.elapsed() >= Duration::from_secs(2), "nothing had stood still");
    assert_eq!(place.sql(holds), "0", "its session has ended");
    assert!(counted.lock_holders_ended.get() + others.lock_holders_ended.get() >= 1);
    drop(stuck);
    until(|| applied(&one) == 3 && applied(&other) == 3).await;
    one.close().await;
    other.close().await;
}

/// The lock is one statement and the head another, which sees what was written while the first one waited.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_waited_for_the_lock_goes_on_after_what_was_written_meanwhile() {
    let Some(place) = Place::postgres() else { return };
    let (one, other) = (join(&place), join(&place));
    one.run(nick("a", "Ann")).await;
    let mut holder = StuckWriter::start(&place, TAKE_LOCK);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rosterd writer'
                   AND datname = current_database() AND wait_event_type = 'Lock'";
    let holds = waiting.replace("wait_event_type = 'Lock'", "state = 'idle in transaction'");
    until(|| place.sql(&holds) == "1").await;
    let write = |db: &Running, command| {
        let (store, write) = (db.store.clone(), Write { commands: vec![command], origin: WriteOrigin::Import });
        tokio::spawn(async move { store.write(write).await })
    };
    let asked = [write(&one, nick("a", "Anna")), write(&other, nick("b", "Bob"))];
    until(|| place.sql(waiting) == "2").await;
    holder.run("COMMIT;");
    for asked in asked {
        timeout(PATIENCE, asked).await.expect("an answer in time").unwrap().unwrap();
    }
    until(|| applied(&one) == 3 && applied(&other) == 3).await;
    one.close().await;
    other.close().await;
}

/// How long its transaction has lasted says nothing: it may have waited for the lock itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_works_with_the_lock_is_not_ended_however_long_its_transaction_lasts() {
    let Some(place) = Place::postgres() else { return };
    let db = join(&place);
    db.run(nick("a", "Ann")).await;
    let mut busy = StuckWriter::start(&place, TAKE_LOCK);
    let holds = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rosterd writer'
                 AND datname = current_database() AND state = 'idle in transaction'";
    until(|| place.sql(holds) == "1").await;
    let store = db.store.clone();
    let write = Write { commands: vec![nick("a", "Anna")], origin: WriteOrigin::Import };
    let asked = tokio::spawn(async move { store.write(write).await });
    // Longer than anybody waits for the lock, and twice: who waits looks who has it, and waits on.
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..70 {
        ticks.tick().await;
        busy.run("SELECT 1;");
    }
    assert!(!asked.is_finished(), "the lock was not held");
    assert_eq!(place.sql(holds), "1", "its session is still there");
    busy.run("COMMIT;");
    let answers = timeout(PATIENCE, asked).await.expect("an answer in time").unwrap().unwrap();
    assert_eq!(answers[0].outcome, Outcome::Changed);
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_miss_a_commit_they_know_end_and_begin_a_new_epoch_once() {
    let Some(place) = Place::postgres() else { return };
    let (one, other) = (join(&place), join(&place));
    for turn in 1..=3 {
        one.run(nick("a", &format!("Ann {turn}"))).await;
    }
    until(|| applied(&other) == 3).await;
    let epoch = place.sql("SELECT epoch FROM rosterd.meta");
    // As a failover does that loses a commit, after which somebody else has taken its revision.
    place.sql("DELETE FROM rosterd.feed WHERE first = 3; UPDATE rosterd.users SET nick = 'Ann 2', version = 2");
    place.sql(
        "INSERT INTO rosterd.feed SELECT 3, 4, epoch, 7, 7, time, 1, 0, '' FROM rosterd.feed ORDER BY first DESC LIMIT 1",
    );
    place.sql(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE application_name LIKE 'rosterd %' AND datname = current_database()",
    );
    assert!(one.write([nick("b", "Bob")]).await.is_err());
    for db in [&one, &other] {
        timeout(PATIENCE, db.store.ended()).await.expect("it ends");
    }
    assert_ne!(place.sql("SELECT epoch FROM rosterd.meta"), epoch);
    let begun = place.sql("SELECT epoch FROM rosterd.meta");
    assert_eq!((applied(&one), applied(&other)), (3, 3), "nothing of the other history was applied");
    let db = join(&place);
    assert_eq!((place.sql("SELECT epoch FROM rosterd.meta"), db.head), (begun, 4), "one epoch for both");
    db.run(nick("b", "Bob")).await;
    db.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_away_for_longer_than_the_log_ends_and_the_epoch_stays() {
    let Some(place) = Place::postgres() else { return };
    let (proxy, away) = join_through_proxy(&place, &DatabaseMetrics::default()).await;
    let (other, epoch) = write_without(&place, &proxy, &away).await;
    // Hours later.
    place.sql("DELETE FROM rosterd.feed WHERE first < 4");
    proxy.open();
    timeout(PATIENCE, away.store.ended()).await.expect("it ends");
    assert_eq!((applied(&away), place.sql("SELECT epoch FROM rosterd.meta")), (1, epoch));
    other.run(nick("a", "Anna")).await;
    other.close().await;
}

/// Cuts a gateway off after its first write, and writes three times on another, which has read all of that. Returns that one,
/// and the epoch.
async fn write_without(place: &Place, proxy: &Proxy, away: &Running) -> (Running, String) {
    let other = join(place);
    away.run(nick("a", "Ann")).await;
    let epoch = place.sql("SELECT epoch FROM rosterd.meta");
    proxy.close();
    proxy.cut();
    for turn in 0..3 {
        other.run(nick("a", &format!("Ann {turn}"))).await;
    }
    until_read(place).await;
    (other, epoch)
}

/// Waits until the one gateway that reaches the database has read all that it wrote, and looks at the end alone.
async fn until_read(place: &Place) {
    let now = place.sql("SELECT clock_timestamp()");
    let looks = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rosterd listener'
         AND datname = current_database() AND state = 'idle' AND query_start > '{now}'"
    );
    until(|| place.sql(&looks) == "1").await;
}

/// A row of the log is gone, and not the one before it: whoever has not read it must not go on with the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_finds_a_hole_in_the_log_ends_and_skips_nothing() {
    let Some(place) = Place::postgres() else { return };
    let metrics = DatabaseMetrics::default();
    let (proxy, away) = join_through_proxy(&place, &metrics).await;
    let (other, epoch) = write_without(&place, &proxy, &away).await;
    place.sql("DELETE FROM rosterd.feed WHERE first = 3");
    proxy.open();
    timeout(PATIENCE, away.store.ended()).await.expect("it ends");
    // It has looked a second time before it gave up.
    assert!(metrics.feed_holes.get() >= 2, "{}", metrics.feed_holes.get());
    assert_eq!((applied(&away), place.sql("SELECT epoch FROM rosterd.meta")), (2, epoch));
    other.run(nick("a", "Anna")).await;
    other.close().await;
}

/// Every gateway does the jobs: what two do at once is done once.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_two_gateways_do_at_once_is_done_once() {
    const REQUESTS: usize = 40;
    let Some(place) = Place::postgres() else { return };
    let (one, other) = (join(&place), join(&place));
    one.run(nick("a", "Ann")).await;
    for n in 0..REQUESTS {
        one.write([nick(&format!("u{n}"), "x"), ask(&format!("u{n}"), "a", "")]).await.unwrap();
    }
    let begun = one.store.head();
    until(|| applied(&other) == begun).await;
    // Each has found them to be open, before any is closed, and begins at another end.
    let mut found = Vec::new();
    for db in [&one, &other] {
        found.push(db.store.stale_requests(Millis::MAX, REQUESTS).await.unwrap());
    }
    assert!(found[0].len() == REQUESTS && found[0] == found[1]);
    found[1].reverse();
    let expire = async |db: &Running, open: Vec<Request>| {
        let mut done = 0;
        for Request { sender, receiver, .. } in open {
            let command = Command::ExpireRequest { sender, receiver, before: Millis::MAX };
            done += usize::from(db.run(command).await.outcome == Outcome::Changed);
        }
        done
    };
    let (reversed, found) = (found.remove(1), found.remove(0));
    let (some, rest) = futures::future::join(expire(&one, found), expire(&other, reversed)).await;
    assert_eq!(some + rest, REQUESTS, "{some} and {rest}");
    assert!(some > 0 && rest > 0, "they did not do it at once: {some} and {rest}");
    assert!(one.store.stale_requests(Millis::MAX, 1).await.unwrap().is_empty());
    let changes = one.logged(begun).await.len();
    assert_eq!(changes, REQUESTS, "each was closed once");
    one.close().await;
    other.close().await;
    assert_eq!(place.miscounted(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_settings_than_those_of_the_others_are_refused() {
    let Some(place) = Place::postgres() else { return };
    let one = join(&place);
    let rules = Visibility { nick: Audience::Own, ..Visibility::default() };
    let without = PostgresOptions { keeps_log: false, ..options() };
    let numbered = PostgresOptions { numbers_presence: true, ..options() };
    let other_rules = PostgresOptions { visibility: rules.clone(), ..options() };
    let alone = PostgresOptions { sharing: Sharing::Alone, ..options() };
    for (other, word) in [
        (other_rules, "another profile.visibility"),
        (without, "another feed.retention"),
        (numbered, "another feed.presence"),
        (alone, "another gateway uses it"),
    ] {
        let error = try_join(&place, other).err().unwrap_or_else(|| panic!("not refused: {word}")).to_string();
        assert!(error.contains(word), "{error}");
    }
    one.run(nick("a", "Ann")).await;
    one.close().await;
    // Nobody is there any more.
    let other_rules = PostgresOptions { visibility: rules, failover: Failover::Lossless, ..options() };
    let db = Running::new(try_join(&place, other_rules).unwrap());
    assert_eq!(db.store.users(vec![account("a")]).await.unwrap().len(), 1);
    db.close().await;
}

/// Without a log for followers the rows are there for the gateways all the same.
#[tokio::test(flavor = "multi_thread")]
async fn gateways_follow_each_other_where_nobody_else_follows_the_log() {
    let Some(place) = Place::postgres() else { return };
    let without = || PostgresOptions { keeps_log: false, ..options() };
    let one = Running::new(try_join(&place, without()).unwrap());
    let other = Running::new(try_join(&place, without()).unwrap());
    let commands: Vec<Command> = (0..40).map(|n| nick("a", &n.to_string())).collect();
    for command in commands {
        one.run(command).await;
    }
    until(|| applied(&other) == 40).await;
    assert_eq!((one.log.history(), received(&other).len()), (None, 40));
    one.close().await;
    other.close().await;
}
