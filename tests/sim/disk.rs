//! A store on a simulated disk that outlives the process: the store in memory, with delays of reads and syncs, with
//! failures, and with crashes around a commit.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use rosterd::store::{
    CommitBatch, LoginRows, PresenceRow, Rehearsal, Relations, RulesInForce, Store, StoreClock, StoreError, StorePage,
    Write, WriteError, Written,
};
use rosterd_engine::model::{
    Account, Block, Command, Credential, Edge, Epoch, Lineage, ListedEdge, Millis, OnlineAccount, Profile, Request,
    RequestError, Revision, User, Visibility,
};
use rosterd_memory_store::{self as memory_store, Disk};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::node::Process;
use crate::random::Random;

/// When a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before anything is written.
    Before,
    /// When the rows are written, but not yet synced.
    Inside,
    /// When they are synced, but nobody knows yet.
    After,
}

/// A write that would survive a crash.
#[derive(Debug, Clone)]
pub struct Committed {
    pub commands: Vec<Command>,
    pub now: Millis,
    /// By which it was decided.
    pub rules: Arc<Visibility>,
}

/// The data that survive a crash.
pub struct Platter {
    pub disk: Disk,
    pub log: Vec<Committed>,
    pub backup: Option<(Disk, usize)>,
}

impl Platter {
    pub fn new(epoch: u64) -> Self {
        Self { disk: Disk::new(Epoch(epoch)), log: Vec::new(), backup: None }
    }

    pub fn back_up(&mut self) {
        self.backup = Some((self.disk.copy(), self.log.len()));
    }

    /// Replaces the data with the last backup, which begins another history. False if there is none.
    pub fn restore(&mut self, epoch: u64) -> bool {
        let Some((disk, length)) = &self.backup else { return false };
        self.disk = disk.of_epoch(Epoch(epoch));
        self.log.truncate(*length);
        true
    }
}

/// The faults, set by the director and cleared by a crash.
#[derive(Default)]
pub struct Faults {
    /// The process dies at its next write.
    pub crash: Mutex<Option<When>>,
    pub writes_fail: AtomicBool,
    pub reads_fail: AtomicBool,
}

/// The store of one process.
pub struct SimStore {
    inner: Arc<dyn Store>,
    /// The rows of `inner`; `platter` has those that would survive a crash.
    rows: Disk,
    platter: Arc<Mutex<Platter>>,
    faults: Arc<Faults>,
    clock: StoreClock,
    random: Random,
    /// One writer at a time, as in the real store.
    writing: tokio::sync::Mutex<()>,
    process: Arc<Process>,
}

/// Opens a store on the data that survived, and returns it with its feed and its last revision.
pub fn open(
    platter: &Arc<Mutex<Platter>>,
    faults: &Arc<Faults>,
    clock: StoreClock,
    random: Random,
    process: Arc<Process>,
    rules: Visibility,
) -> (Arc<SimStore>, mpsc::Receiver<CommitBatch>, Revision) {
    let rows = platter.lock().unwrap().disk.copy();
    let opened = memory_store::open_on(rows.clone(), clock.clone(), rules);
    // What an opening keeps of the rules survives a crash.
    platter.lock().unwrap().disk = rows.copy();
    let (platter, faults, writing) = (platter.clone(), faults.clone(), tokio::sync::Mutex::default());
    let store = SimStore { inner: opened.store, rows, platter, faults, clock, random, writing, process };
    (Arc::new(store), opened.feed, opened.head)
}

/// Takes commits from the store at once, so that a write never waits for room and commits when it is first polled.
pub async fn pump(mut commits: mpsc::Receiver<CommitBatch>, on: mpsc::UnboundedSender<CommitBatch>) {
    while let Some(batch) = commits.recv().await {
        if on.send(batch).is_err() {
            return;
        }
    }
}

/// Passes commits on to the hub: late, and some of them together, as a group commit does.
pub async fn group(mut commits: mpsc::UnboundedReceiver<CommitBatch>, feed: mpsc::Sender<CommitBatch>, random: Random) {
    while let Some(mut group) = commits.recv().await {
        if random.percent(70) {
            sleep(Duration::from_millis(random.below(25))).await;
        }
        while random.percent(80) {
            let Ok(more) = commits.try_recv() else { break };
            group.changes.extend(more.changes);
            group.answers.extend(more.answers);
        }
        if feed.send(group).await.is_err() {
            return;
        }
    }
}

impl SimStore {
    fn is_dead(&self) -> bool {
        self.process.is_dead()
    }

    async fn die(&self) -> ! {
        self.process.die();
        pending().await
    }

    async fn alive(&self) {
        if self.is_dead() {
            pending::<()>().await;
        }
    }

    /// Reads with a delay before and after, so that the answer may be outdated when it arrives.
    async fn read<T>(&self, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.pause(4).await;
        if self.faults.reads_fail.load(Ordering::Relaxed) {
            return Err(StoreError("the disk cannot be read".to_owned()));
        }
        let found = read.await;
        self.pause(8).await;
        found
    }

    async fn pause(&self, most: u64) {
        // Often there is no delay, and everything happens in one step.
        if self.random.percent(60) {
            sleep(Duration::from_millis(self.random.below(most + 1))).await;
        }
        self.alive().await;
    }

    async fn commit(&self, write: Write) -> Written {
        let writing = self.writing.lock().await;
        sleep(Duration::from_millis(1 + self.random.below(5))).await;
        self.alive().await;
        if self.faults.writes_fail.load(Ordering::Relaxed) {
            return Err(WriteError::Failed(StoreError("the disk is full".to_owned())));
        }
        let crash = self.faults.crash.lock().unwrap().take();
        if crash == Some(When::Before) {
            self.die().await;
        }
        let (commands, now, rules) = (write.commands.clone(), (self.clock)(), self.inner.rules().get());
        let before = self.rows.head();
        let mut written = pin!(self.inner.write(write));
        // The first poll commits; the rest is waiting for the hub.
        let first = poll_fn(|cx| Poll::Ready(written.as_mut().poll(cx))).await;
        if crash == Some(When::Inside) {
            self.die().await;
        }
        if self.rows.head() > before {
            let mut platter = self.platter.lock().unwrap();
            platter.disk = self.rows.copy();
            platter.log.push(Committed { commands, now, rules });
        }
        if crash == Some(When::After) {
            self.die().await;
        }
        drop(writing);
        let answer = match first {
            Poll::Ready(answer) => answer,
            Poll::Pending => written.await,
        };
        self.alive().await;
        answer
    }
}

impl Store for SimStore {
    fn write(&self, write: Write) -> BoxFuture<'_, Written> {
        Box::pin(self.commit(write))
    }

    fn rehearse(&self, command: Command) -> BoxFuture<'_, Result<Result<Rehearsal, RequestError>, StoreError>> {
        self.inner.rehearse(command)
    }

    fn users(&self, accounts: Vec<Account>) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        Box::pin(self.read(async { self.inner.users(accounts).await }))
    }

    fn users_followed_by(
        &self,
        viewer: Account,
        accounts: Vec<Account>,
        few: usize,
    ) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        Box::pin(self.read(async move { self.inner.users_followed_by(viewer, accounts, few).await }))
    }

    fn users_seen_by(&self, viewer: Account, accounts: Vec<Account>) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        Box::pin(self.read(async { self.inner.users_seen_by(viewer, accounts).await }))
    }

    fn profiles(
        &self,
        prefix: String,
        after: Option<Account>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Profile>, StoreError>> {
        Box::pin(self.read(async move { self.inner.profiles(prefix, after, limit).await }))
    }

    fn page(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<Vec<Edge>, StoreError>> {
        Box::pin(self.read(async move { self.inner.page(owner, after, limit, since).await }))
    }

    fn listed(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<StorePage<ListedEdge>, StoreError>> {
        Box::pin(self.read(async move { self.inner.listed(owner, after, limit, since).await }))
    }

    fn relations(&self, account: Account, peers: Vec<Account>) -> BoxFuture<'_, Result<Relations, StoreError>> {
        Box::pin(self.read(async { self.inner.relations(account, peers).await }))
    }

    fn requests(&self, account: Account, since: Option<Revision>) -> BoxFuture<'_, Result<Vec<Request>, StoreError>> {
        Box::pin(self.read(async move { self.inner.requests(account, since).await }))
    }

    fn blocks(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<StorePage<Block>, StoreError>> {
        Box::pin(self.read(async move { self.inner.blocks(owner, after, limit, since).await }))
    }

    fn login_rows(
        &self,
        account: Account,
        limit: usize,
        since: Option<Revision>,
        few: Option<usize>,
    ) -> BoxFuture<'_, Result<LoginRows, StoreError>> {
        Box::pin(self.read(async move { self.inner.login_rows(account, limit, since, few).await }))
    }

    fn frozen(&self, viewer: Account, owners: Vec<Account>) -> BoxFuture<'_, Result<Vec<Arc<Profile>>, StoreError>> {
        Box::pin(self.read(async { self.inner.frozen(viewer, owners).await }))
    }

    fn credential(&self, account: Account) -> BoxFuture<'_, Result<Credential, StoreError>> {
        Box::pin(self.read(async { self.inner.credential(account).await }))
    }

    fn stale_requests(&self, before: Millis, limit: usize) -> BoxFuture<'_, Result<Vec<Request>, StoreError>> {
        Box::pin(self.read(async move { self.inner.stale_requests(before, limit).await }))
    }

    fn put_seen(&self, seen: Vec<PresenceRow>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            self.pause(4).await;
            self.inner.put_seen(seen).await?;
            self.platter.lock().unwrap().disk = self.rows.copy();
            Ok(())
        })
    }

    fn online(&self) -> BoxFuture<'_, Result<Vec<OnlineAccount>, StoreError>> {
        self.inner.online()
    }

    fn compact(&self, before: Millis) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            self.pause(4).await;
            let dropped = self.inner.compact(before).await?;
            self.platter.lock().unwrap().disk = self.rows.copy();
            Ok(dropped)
        })
    }

    fn purge(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.purge()
    }

    fn rules(&self) -> &RulesInForce {
        self.inner.rules()
    }

    fn put_rules(&self, rules: Visibility, instead_of: Arc<Visibility>) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async {
            let _writing = self.writing.lock().await;
            self.pause(4).await;
            let put = self.inner.put_rules(rules, instead_of).await?;
            self.platter.lock().unwrap().disk = self.rows.copy();
            Ok(put)
        })
    }

    fn lineage(&self) -> Lineage {
        self.inner.lineage()
    }

    fn head(&self) -> Revision {
        self.inner.head()
    }

    fn ended(&self) -> BoxFuture<'_, ()> {
        self.inner.ended()
    }

    fn is_empty(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.inner.is_empty()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
