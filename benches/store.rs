//! Group commit on a real file: updates of so many writers at once, each answered once it is durable. One writer has a
//! commit for itself; many share one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use rosterd::store::{Opened, Store, Write, sqlite};
use rosterd_engine::model::{Account, Command, Fields, WriteOrigin};
use tokio::runtime::Runtime;

fn account(n: usize) -> Account {
    Account::parse(&format!("user{n:06}"), "account").expect("an account")
}

/// Gives the nick a value that it never had, so that something is written.
async fn update(store: &dyn Store, writer: usize, times: &AtomicU64) {
    let nick = format!("Nick {}", times.fetch_add(1, Ordering::Relaxed));
    let patch = Fields { nick: Some(nick), ..Fields::default() }.check().expect("a good nick");
    let command = Command::SetProfile { account: account(writer), patch, create: true, if_version: None };
    let written = store.write(Write { commands: vec![command], origin: WriteOrigin::Import }).await;
    written.expect("a disk with room");
}

fn commits(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("rosterd.db");
    let Opened { store, mut feed, .. } = sqlite::open(&path, sqlite::SqliteOptions::default()).expect("a store");
    // As a gateway's feed, without a hub behind it.
    runtime.spawn(async move {
        while let Some(batch) = feed.recv().await {
            batch.answer();
        }
    });
    let times = Arc::new(AtomicU64::new(0));
    let mut group = c.benchmark_group("store");
    for writers in [1, 16, 256] {
        group.throughput(Throughput::Elements(writers as u64));
        group.bench_with_input(BenchmarkId::new("durable updates", writers), &writers, |b, writers| {
            b.iter(|| runtime.block_on(join_all((0..*writers).map(|writer| update(&*store, writer, &times)))));
        });
    }
    group.finish();
    runtime.block_on(store.close());
}

criterion_group!(benches, commits);
criterion_main!(benches);
