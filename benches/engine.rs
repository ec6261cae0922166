//! The engine's hot paths, one by one: marks, watchers, encoding, decoding, joining frames, delta and digest.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rosterd::hub::UserRef;
use rosterd_engine::model::{Account, Cursor, Edge, Epoch, ListedEdge, Profile};
use rosterd_engine::sync::delta::{Plan, RowDelta, row_delta};
use rosterd_engine::sync::digest::Digest;
use rosterd_engine::sync::interest::Watchers;
use rosterd_engine::sync::outbox::{Outbox, RecordKinds};
use rosterd_protocol::{Changes, ClientCommand, EncodedProfile, Encoding, decode, v1};

const SIZES: [usize; 3] = [50, 500, 10_000];

fn account(n: usize) -> Account {
    Account::parse(&format!("user{n:06}"), "account").expect("an account")
}

fn profile(n: usize) -> Arc<Profile> {
    let sign = "Somewhere between here and there".into();
    Arc::new(Profile {
        nick: format!("User {n}").into(),
        sign,
        ..Profile::new(account(n), n as u64 + 1, 1_700_000_000_000)
    })
}

/// Marking `n` keys, again, and taking them.
fn outbox(c: &mut Criterion) {
    let mut group = c.benchmark_group("outbox");
    for n in SIZES {
        let users: Vec<_> = (0..n).map(|n| UserRef::detached(account(n))).collect();
        group.throughput(Throughput::Elements(n as u64));
        group.bench_with_input(BenchmarkId::new("mark and take", n), &users, |b, users| {
            let mut outbox = Outbox::default();
            b.iter(|| {
                for user in users {
                    outbox.mark(user.clone(), RecordKinds::PROFILE);
                }
                black_box(outbox.take()).len()
            });
        });
        group.bench_with_input(BenchmarkId::new("mark again", n), &users, |b, users| {
            let mut outbox = Outbox::default();
            b.iter(|| {
                for user in users {
                    black_box(outbox.mark(user.clone(), RecordKinds::PROFILE));
                }
            });
        });
    }
    group.finish();
}

/// Adding, looking up and walking the watchers of one account.
fn interest(c: &mut Criterion) {
    let mut group = c.benchmark_group("interest");
    for n in SIZES {
        group.throughput(Throughput::Elements(n as u64));
        group.bench_with_input(BenchmarkId::new("add", n), &n, |b, n| {
            b.iter(|| {
                let mut watchers = Watchers::default();
                for slot in 0..*n as u32 {
                    watchers.insert(slot);
                }
                watchers
            });
        });
        let mut watchers = Watchers::default();
        for slot in 0..n as u32 {
            watchers.insert(slot);
        }
        group.bench_with_input(BenchmarkId::new("walk", n), &watchers, |b, watchers| {
            b.iter(|| watchers.iter().map(u64::from).sum::<u64>());
        });
        group.bench_with_input(BenchmarkId::new("look up", n), &watchers, |b, watchers| {
            b.iter(|| (0..n as u32).filter(|slot| watchers.contains(black_box(slot * 2))).count());
        });
    }
    group.finish();
}

/// Encoding a profile for the first time, reading an update, and joining encoded profiles into one frame.
fn wire(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire");
    for encoding in Encoding::ALL {
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("encode a profile", format!("{encoding:?}")), |b| {
            b.iter_batched(
                || EncodedProfile::new(profile(7)),
                |profile| profile.bytes(encoding).len(),
                BatchSize::SmallInput,
            );
        });
        let nick = Some("Somebody else".to_owned());
        let command = ClientCommand::UpdateMyInfo(v1::UpdateMyInfo { nick, ..Default::default() });
        let mut update = Vec::new();
        encoding.encode(&command.frame(7), &mut update);
        group.bench_function(BenchmarkId::new("decode an update", format!("{encoding:?}")), |b| {
            b.iter(|| decode(encoding, black_box(&update)).is_ok());
        });
        let profiles: Vec<_> = (0..50).map(|n| EncodedProfile::new(profile(n))).collect();
        let cursor = Cursor { epoch: Epoch(7), watermark: 1_000_000 };
        group.throughput(Throughput::Elements(50));
        group.bench_function(BenchmarkId::new("join 50 profiles", format!("{encoding:?}")), |b| {
            b.iter(|| {
                let (mut changes, mut frame) = (Changes::new(encoding), Vec::new());
                for profile in &profiles {
                    changes.user(profile);
                }
                changes.finish(Some(cursor), &mut frame);
                frame
            });
        });
    }
    group.finish();
}

/// What a login computes for each friend: `row_delta`, and the digest.
fn delta(c: &mut Criterion) {
    let mut group = c.benchmark_group("delta");
    for n in SIZES {
        let edges: BTreeMap<_, _> =
            (0..n).map(|n| (n, ListedEdge::from(Edge::new(account(0), account(n), n as u64 + 1, 0)))).collect();
        group.throughput(Throughput::Elements(n as u64));
        group.bench_with_input(BenchmarkId::new("row_delta", n), &edges, |b, edges| {
            let plan = Plan::Since(n as u64 - 5);
            b.iter(|| edges.values().filter(|edge| row_delta(plan, edge, 1) == RowDelta::Friend).count());
        });
        group.bench_with_input(BenchmarkId::new("digest", n), &edges, |b, edges| {
            b.iter(|| {
                let mut digest = Digest::default();
                for edge in edges.values() {
                    digest.add(edge.peer.as_str(), edge.version, 1);
                }
                digest.value()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, outbox, interest, wire, delta);
criterion_main!(benches);
