//! What is around the profile: a friendship asked for and accepted, a storm of people who go and come, a long watch list.

use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rosterd::hub::{Hub, HubSettings, SessionHandle, SessionsLimit, feed::Feed};
use rosterd::store::{Opened, Store, Write, sqlite};
use rosterd_engine::model::limits::WATCHED_ACCOUNTS;
use rosterd_engine::model::{Account, ChosenPresence, Command, Profile, SessionId, SessionsPolicy, User, WriteOrigin};
use tokio::runtime::Runtime;

const LIMIT: SessionsLimit = SessionsLimit { policy: SessionsPolicy::All, max: 16 };
/// Who goes and comes at once, and how many friends each has.
const STORM: (usize, usize) = (5000, 50);
/// How many friends an account has that makes another: nearly as many as it may.
const MANY: usize = 9900;

fn account(n: usize) -> Account {
    Account::parse(&format!("user{n:06}"), "account").expect("an account")
}

fn hub() -> Arc<Hub> {
    Hub::new(0, HubSettings::default(), Arc::default())
}

/// Joins the hub, as a login does: its own account is known from then on.
fn sit(hub: &Arc<Hub>, who: usize, id: usize) -> SessionHandle {
    let handle = hub.join(&account(who), SessionId(id as u64), None);
    hub.offer(handle.me(), Some(&user(who)));
    handle
}

fn user(n: usize) -> User {
    User {
        profile: Arc::new(Profile::new(account(n), 1, 0)),
        chosen: ChosenPresence::default(),
        last_seen: 1,
        blocks: Vec::new(),
        has_more_blocks: false,
        ended: Vec::new(),
    }
}

async fn carry_out(store: &dyn Store, command: Command) {
    store.write(Write { commands: vec![command], origin: WriteOrigin::Import }).await.expect("what was asked is done");
}

/// Three commits to the disk, one after the other, and the marks on both sides.
fn request_and_accept(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let options = sqlite::SqliteOptions::default();
    let Opened { store, mut feed, head, .. } =
        sqlite::open(&directory.path().join("rosterd.db"), options).expect("a store");
    let hub = Hub::new(head, HubSettings::default(), Arc::default());
    let mut handles = [sit(&hub, 0, 1), sit(&hub, 1, 2)];
    let mut applied = Feed::new(hub);
    runtime.spawn(async move {
        while let Some(batch) = feed.recv().await {
            applied.apply(&batch.changes);
            batch.answer();
        }
    });
    let (ann, bob) = (account(0), account(1));
    for who in [&ann, &bob] {
        let patch = rosterd_engine::model::Patch::default();
        let command = Command::SetProfile { account: who.clone(), patch, create: true, if_version: None };
        runtime.block_on(carry_out(&*store, command));
    }
    c.bench_function("relations/request, accept, delete", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let (account, peer) = (ann.clone(), bob.clone());
                carry_out(&*store, Command::RequestFriend { account, peer, message: Box::default() }).await;
                let (account, peer) = (bob.clone(), ann.clone());
                carry_out(&*store, Command::AcceptFriend { account, peer }).await;
                let (account, peer) = (ann.clone(), bob.clone());
                carry_out(&*store, Command::DeleteFriend { account, peer }).await;
            });
            handles.each_mut().map(SessionHandle::take)
        });
    });
    runtime.block_on(store.close());
}

/// Two commits: a friendship made and ended by an account that has many, whose number is checked each time.
fn befriend_beside_many(c: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let options = sqlite::SqliteOptions::default();
    let Opened { store, mut feed, .. } = sqlite::open(&directory.path().join("rosterd.db"), options).expect("a store");
    runtime.spawn(async move {
        while let Some(batch) = feed.recv().await {
            batch.answer();
        }
    });
    let made = (0..=MANY + 1).map(|n| Command::SetProfile {
        account: account(n),
        patch: rosterd_engine::model::Patch::default(),
        create: true,
        if_version: None,
    });
    let befriend = |n| Command::Befriend { account: account(0), peer: account(n) };
    let commands = made.chain((1..=MANY).map(befriend)).collect();
    runtime.block_on(store.write(Write { commands, origin: WriteOrigin::Import })).expect("all are made");
    let mut group = c.benchmark_group("relations");
    group.bench_function("befriend and unfriend beside 9,900 friends", |b| {
        b.iter(|| {
            runtime.block_on(async {
                carry_out(&*store, befriend(MANY + 1)).await;
                carry_out(&*store, Command::Unfriend { account: account(0), peer: account(MANY + 1) }).await;
            });
        });
    });
    group.finish();
    runtime.block_on(store.close());
}

/// All of them leave, the linger ends, and all of them come back, each seen by its friends: who are there all the time.
fn presence_storm(c: &mut Criterion) {
    let (people, friends) = STORM;
    let hub = hub();
    let mut handles: Vec<_> = (0..people).map(|n| sit(&hub, n, n)).collect();
    for (n, handle) in handles.iter_mut().enumerate() {
        for friend in 1..=friends {
            handle.add_friend(&account((n + friend) % people));
        }
    }
    let mut group = c.benchmark_group("presence");
    group.throughput(Throughput::Elements((people * friends * 2) as u64));
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function("storm of 5,000 with 50 friends", |b| {
        b.iter(|| {
            let guests: Vec<_> =
                (0..people).map(|n| hub.join(&account(n), SessionId((people + n) as u64), None)).collect();
            for guest in &guests {
                hub.arrive(guest, 5, LIMIT);
            }
            let taken: usize = handles.iter_mut().map(|handle| handle.take().marks.len()).sum();
            drop(guests);
            let now = tokio::time::Instant::now();
            hub.expire(now, now, 9);
            taken + handles.iter_mut().map(|handle| handle.take().marks.len()).sum::<usize>()
        });
    });
    group.finish();
}

fn watch(c: &mut Criterion) {
    let hub = hub();
    let accounts: Vec<_> = (1..=WATCHED_ACCOUNTS).map(account).collect();
    let mut group = c.benchmark_group("watch");
    group.throughput(Throughput::Elements(WATCHED_ACCOUNTS as u64));
    group.bench_function("500 new accounts", |b| {
        let handle = || sit(&hub, 0, 1);
        b.iter_batched(handle, |mut handle| (handle.watch(&accounts), handle).1, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, request_and_accept, befriend_beside_many, presence_storm, watch);
criterion_main!(benches);
