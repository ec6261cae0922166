//! How fast several stores write to one PostgreSQL database, and how soon each has what the others wrote.
//!
//! `make cluster-table` prints it. The server is PostgreSQL as it is installed, with fsync on, on the machine that runs the
//! stores as well; so the ratios of one run say more than its numbers.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::cast_precision_loss, reason = "a report")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use hdrhistogram::Histogram;
use rosterd::store::postgres::{PostgresOptions, PostgresUrl, Sharing, open};
use rosterd::store::{Opened, Store, Write};
use rosterd_engine::model::{Account, Command, Fields, Outcome, Revision, WriteOrigin};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval_at};

/// How long each row of the table is measured.
const SECONDS: u64 = 5;
/// The accounts that are written.
const ACCOUNTS: usize = 20_000;
/// How many writes of a node wait at any time.
const WAITING: usize = 500;

/// Makes each update another.
static TURNS: AtomicU64 = AtomicU64::new(0);

/// When a node had committed up to a revision.
type Commits = Arc<Mutex<HashMap<Revision, Instant>>>;

/// What one row is made of.
struct Measured {
    updates: u64,
    latency: Histogram<u64>,
    lag: Histogram<u64>,
    seconds: f64,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("these bounds are right")
}

fn update(number: usize) -> Write {
    let turn = TURNS.fetch_add(1, Ordering::Relaxed);
    let account = Account::parse(&format!("user-{number:06}"), "account").expect("an account");
    let fields = Fields { nick: Some(format!("Nick {turn:06}")), ..Fields::default() };
    let patch = fields.check().expect("right fields");
    let command = Command::SetProfile { account, patch, create: true, if_version: None };
    Write { commands: vec![command], origin: WriteOrigin::Import }
}

/// Takes a node's feed, as its hub does, and notes how late the batches of others come.
async fn consume(mut feed: mpsc::Receiver<rosterd::store::CommitBatch>, commits: Commits) -> Histogram<u64> {
    let mut lag = histogram();
    while let Some(batch) = feed.recv().await {
        if let Some(last) = batch.changes.last().map(|change| change.revision) {
            if batch.answers.is_empty() {
                // Who wrote it may learn later than this node that it is committed.
                let late = commits.lock().expect("no panic").get(&last).map_or(Duration::ZERO, Instant::elapsed);
                lag.saturating_record(micros(late));
            } else {
                commits.lock().expect("no panic").insert(last, batch.committed);
            }
        }
        batch.answer();
    }
    lag
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

/// When a writer writes: so often, and not all at the same moment.
struct Pace {
    every: Duration,
    offset: Duration,
}

/// Writes until the time is over: as fast as it goes, or at a pace.
async fn write(store: Arc<dyn Store>, first: usize, pace: Option<Pace>, end: Instant) -> Histogram<u64> {
    let mut latency = histogram();
    let mut pace = pace.map(|Pace { every, offset }| {
        let mut pace = interval_at(tokio::time::Instant::now() + offset, every);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pace
    });
    let mut number = first;
    loop {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let begun = Instant::now();
        if begun >= end {
            return latency;
        }
        number = (number + 7919) % ACCOUNTS;
        let answers = store.write(update(number)).await.expect("it is written");
        assert_ne!(answers[0].outcome, Outcome::Unchanged, "what changes nothing costs nothing");
        latency.saturating_record(micros(begun.elapsed()));
    }
}

async fn measure(url: &PostgresUrl, nodes: usize, per_second: Option<u32>) -> Measured {
    let sharing = Sharing::Shared { poll: Duration::from_millis(250) };
    let options = || PostgresOptions { readers: 1, sharing, ..PostgresOptions::default() };
    let commits = Commits::default();
    let (mut stores, mut consumers) = (Vec::new(), Vec::new());
    for _ in 0..nodes {
        let Opened { store, feed, .. } = open(url, options()).expect("it opens");
        consumers.push(tokio::spawn(consume(feed, commits.clone())));
        stores.push(store);
    }
    let begun = Instant::now();
    let end = begun + Duration::from_secs(SECONDS);
    // So many writers that none has to wait for its own turn.
    let writers = per_second.map_or(WAITING, |_| 50);
    let all = nodes * writers;
    let pace = |at: usize| {
        let every = Duration::from_secs_f64(all as f64 / f64::from(per_second?));
        Some(Pace { every, offset: every.mul_f64(at as f64 / all as f64) })
    };
    let writing = stores.iter().enumerate().flat_map(|(node, store)| {
        (0..writers).map(move |n| tokio::spawn(write(store.clone(), node * 7 + n * 31, pace(n * nodes + node), end)))
    });
    let mut latency = histogram();
    for each in join_all(writing.collect::<Vec<_>>()).await {
        latency.add(each.expect("it ends")).expect("the same bounds");
    }
    let seconds = begun.elapsed().as_secs_f64();
    join_all(stores.iter().map(|store| store.close())).await;
    drop(stores);
    let mut lag = histogram();
    for each in join_all(consumers).await {
        lag.add(each.expect("it ends")).expect("the same bounds");
    }
    Measured { updates: latency.len(), latency, lag, seconds }
}

fn row(load: &str, nodes: usize, measured: &Measured) {
    let ms = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    let Measured { updates, latency, lag, seconds } = measured;
    let lags = if nodes == 1 { "–".into() } else { format!("{:.1} / {:.1}", ms(lag, 0.5), ms(lag, 0.99)) };
    let rate = *updates as f64 / seconds;
    println!("| {load} | {nodes} | {rate:.0} | {:.1} / {:.1} | {lags} |", ms(latency, 0.5), ms(latency, 0.99));
}

#[tokio::main]
async fn main() {
    let Some(server) = rosterd_postgres_server::shared() else {
        eprintln!("There is no PostgreSQL to measure with: make postgres");
        std::process::exit(1);
    };
    let database = server.database();
    let url = PostgresUrl::parse(&database.url).expect("a URL");
    println!("| load | nodes | updates/s | answer p50 / p99 in ms | change on another node p50 / p99 in ms |");
    println!("|---|---|---|---|---|");
    // The accounts are made.
    measure(&url, 1, None).await;
    for nodes in [1, 2, 4, 8] {
        row(&format!("{WAITING} waiting on each"), nodes, &measure(&url, nodes, None).await);
    }
    for nodes in [1, 2, 4, 8] {
        row("1,000/s in all", nodes, &measure(&url, nodes, Some(1000)).await);
    }
}
