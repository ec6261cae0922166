//! How fast several stores write to one database, and how soon each has what the others wrote: gateways without sessions.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use hdrhistogram::Histogram;
use rosterd::store::postgres::{PostgresOptions, PostgresUrl, Sharing, open};
use rosterd::store::{Opened, Store, Write};
use rosterd_bench::tally::histogram;
use rosterd_engine::model::{Account, Command, Fields, Outcome, Revision, WriteOrigin};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval_at};

use super::written::{WAITING, Written, micros};

/// The accounts that are written.
const ACCOUNTS: usize = 20_000;
/// Makes each update another.
static TURNS: AtomicU64 = AtomicU64::new(0);

/// When a node had committed up to a revision.
type Commits = Arc<Mutex<HashMap<Revision, Instant>>>;

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

/// When a writer writes: so often, and not all at the same moment.
struct Pace {
    every: Duration,
    offset: Duration,
}

/// Writes until the time is over: as fast as it goes, or at a pace.
async fn write(
    store: Arc<dyn Store>,
    first: usize,
    pace: Option<Pace>,
    end: Instant,
) -> Result<Histogram<u64>, String> {
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
            return Ok(latency);
        }
        number = (number + 7919) % ACCOUNTS;
        let answers = store.write(update(number)).await.map_err(|failure| format!("{failure:?}"))?;
        assert_ne!(answers[0].outcome, Outcome::Unchanged, "what changes nothing costs nothing");
        latency.saturating_record(micros(begun.elapsed()));
    }
}

/// Has so many stores write for this long: as many as they can, or so many in all.
pub(crate) async fn measure(
    url: &PostgresUrl,
    nodes: usize,
    per_second: Option<u32>,
    length: Duration,
) -> Result<Written, String> {
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
    let end = begun + length;
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
        latency.add(each.expect("no panic")?).expect("the same bounds");
    }
    let seconds = begun.elapsed().as_secs_f64();
    join_all(stores.iter().map(|store| store.close())).await;
    drop(stores);
    let mut lag = histogram();
    for each in join_all(consumers).await {
        lag.add(each.expect("it ends")).expect("the same bounds");
    }
    Ok(Written { latency, lag, seconds })
}
