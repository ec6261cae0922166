//! A store in memory for tests: maps under one lock, behind the same decisions and the same feed as the `SQLite` store.
//!
//! No part of the binary: only tests, simulations and fuzz targets depend on this package. The rows are lost with the
//! store unless a test keeps its [`Disk`]. A write of several commands copies the maps, so that a refusal can restore
//! them.

mod audit;
mod log;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use self::audit::MemoryAudit;
use self::log::MemoryLog;
use rosterd_engine::model::{
    Account, Block, ChosenPresence, Command, Credential, DeviceKind, Edge, Epoch, LastChange, Lineage, ListedEdge,
    LogHistory, LoggedChange, Millis, NumberedPresence, OnlineAccount, Profile, Request, RequestError, RequestSide,
    RequestState, Revision, Row, SeenNumber, SeenPresence, User, Visibility,
};
use rosterd_engine::sync::decide::{CurrentRows, Reads, RelationCounts, StoredPresence};
use rosterd_engine::sync::delivery::{EventKey, KeptDelivery};
use rosterd_protocol::SnapshotRow;
use rosterd_service::store::commit::{Abort, CommitContext, CommittedWrite, Rows, carry_out, rehearse};
use rosterd_service::store::{
    AuditEntry, AuditLog, AuditQuery, AuditRow, COMPACTION_LIMIT, ChangeLog, CommitBatch, DEAD_LETTERS, DeadLetter,
    DeliveryStore, FEED_CAPACITY, LogExtent, LogPage, LoginRows, Opened, PresenceRow, Rehearsal, Relations,
    RulesInForce, SnapshotKind, Store, StoreClock, StoreError, StorePage, Write, WriteError, Written,
};

/// Makes an empty store.
///
/// # Errors
/// The system has no randomness for its epoch.
pub fn open(clock: StoreClock, visibility: Visibility) -> Result<Opened, StoreError> {
    let epoch = getrandom::u64().map_err(|e| StoreError(format!("no randomness for an epoch: {e}")))?;
    Ok(open_on(Disk::new(Epoch(epoch)), clock, visibility))
}

/// Opens the store on a disk. A disk may have one open store at a time.
#[must_use]
pub fn open_on(disk: Disk, clock: StoreClock, visibility: Visibility) -> Opened {
    let (feed, commits) = mpsc::channel(FEED_CAPACITY);
    let head = disk.head();
    let (seen, _) = watch::channel(disk.state.lock().tables.seen);
    let stored = disk.state.lock().rules.clone();
    let rules = visibility.clone().opening(&stored, head).unwrap_or(visibility);
    disk.state.lock().rules = rules.to_text(&stored);
    let (epoch, state, feed) = (disk.epoch, disk.state, Mutex::new(Some(feed)));
    let store = Arc::new(Memory { clock, rules: RulesInForce::new(rules), epoch, state, feed, seen });
    let (log, audit, deliveries) = (store.clone(), store.clone(), store.clone());
    Opened { store, log, audit, deliveries, nodes: None, feed: commits, head }
}

/// The rows of a store, which a test keeps when one store ends and another begins.
#[derive(Clone)]
pub struct Disk {
    epoch: Epoch,
    state: Arc<Mutex<MemoryState>>,
}

impl Disk {
    /// Makes an empty disk.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, state: Arc::default() }
    }

    /// Copies the disk with its current rows.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { epoch: self.epoch, state: Arc::new(Mutex::new(self.state.lock().clone())) }
    }

    /// Copies the disk as the beginning of another history, like a restored backup.
    #[must_use]
    pub fn of_epoch(&self, epoch: Epoch) -> Self {
        Self { epoch, ..self.copy() }
    }

    /// The last revision committed.
    #[must_use]
    pub fn head(&self) -> Revision {
        self.state.lock().revision
    }

    /// Up to where tombstones are dropped.
    #[must_use]
    pub fn compacted(&self) -> Revision {
        self.state.lock().compacted
    }

    /// Returns what a decision would read.
    #[must_use]
    pub fn current(&self, reads: Reads) -> CurrentRows {
        let Ok(current) = self.state.lock().tables.current(reads);
        current
    }

    /// Carries a write out, without a feed.
    ///
    /// # Errors
    /// It is refused.
    pub fn carry_out(&self, write: &Write, now: Millis, visibility: &Visibility) -> Result<CommittedWrite, WriteError> {
        self.state.lock().write(write, now, visibility)
    }
}

struct Memory {
    clock: StoreClock,
    rules: RulesInForce,
    epoch: Epoch,
    state: Arc<Mutex<MemoryState>>,
    /// Taken by `close`.
    feed: Mutex<Option<mpsc::Sender<CommitBatch>>>,
    /// The number of the last presence transition.
    seen: watch::Sender<SeenNumber>,
}

#[derive(Default, Clone)]
struct MemoryState {
    tables: MemoryTables,
    revision: Revision,
    compacted: Revision,
    /// The rules about who sees what, as a text.
    rules: String,
    log: MemoryLog,
    /// With the time at which each was written.
    deliveries: BTreeMap<String, (KeptDelivery, Millis)>,
    dead: BTreeMap<(String, EventKey), DeadLetter>,
}

#[derive(Default, Clone)]
struct MemoryTables {
    users: BTreeMap<Account, StoredUser>,
    edges: BTreeMap<(Account, Account), Edge>,
    /// By sender, receiver and whose copy it is.
    requests: BTreeMap<(Account, Account, RequestSide), Request>,
    /// By owner and peer.
    blocks: BTreeMap<(Account, Account), Block>,
    /// By viewer and account.
    frozen: BTreeMap<(Account, Account), Arc<Profile>>,
    /// An empty credential has no entry.
    credentials: BTreeMap<Account, Credential>,
    audit: MemoryAudit,
    /// The number of the last presence transition.
    seen: SeenNumber,
}

/// The row of an account.
#[derive(Clone)]
struct StoredUser {
    profile: Arc<Profile>,
    chosen: ChosenPresence,
    seen: SeenPresence,
    devices: Vec<DeviceKind>,
    /// The number of its last presence transition; 0 if there was none.
    number: SeenNumber,
}

impl StoredUser {
    fn presence(&self) -> StoredPresence {
        StoredPresence { chosen: self.chosen.clone(), seen: self.seen }
    }
}

impl MemoryTables {
    /// Returns the owner's edges in order of the peer, tombstones included.
    fn of<'a>(&'a self, owner: &'a Account, after: Option<&Account>) -> impl Iterator<Item = &'a Edge> {
        // No account is empty, so the empty text sorts before all.
        let after = after.cloned().unwrap_or_else(|| Account::stored("").expect("it fits"));
        let from = (Bound::Excluded((owner.clone(), after)), Bound::Unbounded);
        self.edges.range(from).map(|(_, edge)| edge).take_while(move |edge| edge.owner == *owner)
    }

    fn page(&self, owner: &Account, after: Option<&Account>, limit: usize, since: Option<Revision>) -> Vec<Edge> {
        let shown = |edge: &&Edge| !edge.removed || since.is_some_and(|since| edge.version > since);
        self.of(owner, after).filter(shown).take(limit).cloned().collect()
    }

    fn friends<'a>(&'a self, owner: &'a Account) -> impl Iterator<Item = &'a Edge> {
        self.of(owner, None).filter(|edge| !edge.removed)
    }

    fn requests_of<'a>(&'a self, account: &'a Account) -> impl Iterator<Item = &'a Request> {
        self.requests.values().filter(move |request| request.sender == *account || request.receiver == *account)
    }

    fn blocks_by<'a>(&'a self, owner: &'a Account) -> impl Iterator<Item = &'a Block> {
        self.blocks.values().filter(move |block| block.owner == *owner)
    }

    fn counts(&self, account: &Account) -> RelationCounts {
        let open = |request: &&Request| request.state == RequestState::Open;
        let open = |request: &&Request| open(request) && request.side == RequestSide::Sender;
        RelationCounts {
            friends: self.friends(account).count() as u64,
            sent: self.requests_of(account).filter(open).filter(|r| r.sender == *account).count() as u64,
            received: self.requests_of(account).filter(open).filter(|r| r.receiver == *account).count() as u64,
            blocks: self.blocks_by(account).filter(|block| !block.removed).count() as u64,
        }
    }

    /// Returns the copies of a request.
    fn copies<'a>(&'a self, sender: &'a Account, receiver: &'a Account) -> impl Iterator<Item = &'a Request> {
        let sides = [RequestSide::Sender, RequestSide::Receiver];
        sides.into_iter().filter_map(|side| self.requests.get(&(sender.clone(), receiver.clone(), side)))
    }

    /// Returns all relations between two accounts, in both directions.
    fn between(&self, a: &Account, b: &Account) -> Relations {
        let keys = [(a.clone(), b.clone()), (b.clone(), a.clone())];
        Relations {
            edges: keys.iter().filter_map(|key| self.edges.get(key).cloned()).collect(),
            requests: keys.iter().flat_map(|(sender, receiver)| self.copies(sender, receiver)).cloned().collect(),
            blocks: keys.iter().filter_map(|key| self.blocks.get(key).cloned()).collect(),
        }
    }

    fn erase(&mut self, account: &Account) {
        self.audit.erase(account);
        self.users.remove(account);
        self.frozen.retain(|(viewer, frozen), _| viewer != account && frozen != account);
        for request in self.requests.values_mut().filter(|r| r.sender == *account || r.receiver == *account) {
            request.message = Box::default();
        }
    }

    /// Returns the live records of a kind whose accounts come after some, in order.
    fn snapshot(&self, kind: SnapshotKind, later: &dyn Fn(&Account, &Account) -> bool) -> Vec<SnapshotRow> {
        match kind {
            SnapshotKind::Users => {
                let users = self.users.iter().filter(|(account, _)| later(account, &Account::none()));
                users.map(|(_, held)| SnapshotRow::User(held.profile.clone(), held.presence())).collect()
            }
            SnapshotKind::Friends => {
                let live = self.edges.values().filter(|edge| !edge.removed && later(&edge.owner, &edge.peer));
                live.cloned().map(SnapshotRow::Friend).collect()
            }
            SnapshotKind::Requests => {
                let sent = self.requests.values().filter(|request| {
                    let open = request.state == RequestState::Open && request.side == RequestSide::Sender;
                    open && later(&request.sender, &request.receiver)
                });
                sent.map(|sent| self.request_record(sent)).collect()
            }
            SnapshotKind::Blocks => {
                let live = self.blocks.values().filter(|block| !block.removed && later(&block.owner, &block.peer));
                let frozen = |block: &Block| self.frozen.get(&(block.peer.clone(), block.owner.clone())).cloned();
                live.map(|block| SnapshotRow::Block(block.clone(), frozen(block))).collect()
            }
            SnapshotKind::Credentials => {
                let kept = self.credentials.iter().filter(|(account, _)| later(account, &Account::none()));
                kept.map(|(account, held)| SnapshotRow::Credential(account.clone(), held.clone())).collect()
            }
        }
    }

    /// Returns the newer copy of a request, and whether the receiver does not see it.
    fn request_record(&self, sent: &Request) -> SnapshotRow {
        let key = (sent.sender.clone(), sent.receiver.clone(), RequestSide::Receiver);
        match self.requests.get(&key) {
            Some(received) if received.version > sent.version => SnapshotRow::Request(received.clone(), false),
            Some(received) if received.version == sent.version => SnapshotRow::Request(sent.clone(), false),
            _ => SnapshotRow::Request(sent.clone(), true),
        }
    }

    fn credential(&self, account: &Account) -> Credential {
        self.credentials.get(account).cloned().unwrap_or_default()
    }

    fn put_profile(&mut self, profile: &Arc<Profile>) {
        let (chosen, seen) = (ChosenPresence::default(), SeenPresence::default());
        let new = StoredUser { profile: profile.clone(), chosen, seen, devices: Vec::new(), number: 0 };
        self.users.entry(profile.account.clone()).or_insert(new).profile = profile.clone();
    }
}

impl Rows for MemoryTables {
    type Error = Infallible;

    fn current(&self, reads: Reads) -> Result<CurrentRows, Infallible> {
        let held = |account: &Account| self.users.get(account);
        let mut current = CurrentRows {
            users: reads.users.iter().filter_map(held).map(|held| held.profile.clone()).collect(),
            presence: reads.presence.as_ref().and_then(held).map(StoredUser::presence).unwrap_or_default(),
            frozen: reads
                .frozen
                .as_ref()
                .and_then(|(owner, peer)| self.frozen.get(&(peer.clone(), owner.clone())).cloned()),
            credential: reads.credential.as_ref().map(|account| self.credential(account)).unwrap_or_default(),
            ..CurrentRows::default()
        };
        if let Some((a, b)) = &reads.pair {
            Relations { edges: current.edges, requests: current.requests, blocks: current.blocks } = self.between(a, b);
        }
        if let Some(account) = &reads.all_of {
            current.edges = self.friends(account).cloned().collect();
            let open = self.requests_of(account).filter(|request| request.state == RequestState::Open);
            current.requests = open.cloned().collect();
            let either = |block: &&Block| block.owner == *account || block.peer == *account;
            let of = self.blocks.values().filter(either).filter(|block| !block.removed);
            current.blocks = of.cloned().collect();
            let blocked = current.blocks.iter().filter(|block| block.owner == *account);
            let theirs = blocked.filter_map(|block| self.edges.get(&(block.peer.clone(), account.clone())));
            current.edges.extend(theirs.filter(|edge| !edge.removed).cloned());
        }
        current.counts = reads.counts.into_iter().map(|a| (a.clone(), self.counts(&a))).collect();
        Ok(current)
    }

    fn put(&mut self, row: &Row) -> Result<(), Infallible> {
        match row {
            Row::Profile(profile) => self.put_profile(profile),
            Row::Gone { account, .. } => self.erase(account),
            Row::Edge(edge) => drop(self.edges.insert((edge.owner.clone(), edge.peer.clone()), edge.clone())),
            Row::Request(request) => {
                let key = (request.sender.clone(), request.receiver.clone(), request.side);
                self.requests.insert(key, request.clone());
            }
            Row::Block { block, frozen } => {
                let key = (block.peer.clone(), block.owner.clone());
                match frozen {
                    Some(profile) => drop(self.frozen.insert(key, profile.clone())),
                    None => drop(self.frozen.remove(&key)),
                }
                self.blocks.insert((block.owner.clone(), block.peer.clone()), block.clone());
            }
            Row::Presence { account, chosen, .. } => {
                if let Some(held) = self.users.get_mut(account) {
                    held.chosen = chosen.clone();
                    self.seen += 1;
                    held.number = self.seen;
                }
            }
            Row::Credential { account, credential } => {
                self.credentials.insert(account.clone(), credential.clone());
                self.credentials.retain(|_, credential| *credential != Credential::default());
            }
        }
        Ok(())
    }

    fn put_last_seen(&mut self, account: &Account, last_seen: Millis) -> Result<(), Infallible> {
        if let Some(held) = self.users.get_mut(account) {
            held.seen = SeenPresence { online: false, last_seen };
        }
        Ok(())
    }

    fn record(&mut self, entry: &AuditEntry) -> Result<(), Infallible> {
        self.audit.append(entry);
        Ok(())
    }
}

impl MemoryState {
    fn write(&mut self, write: &Write, now: Millis, visibility: &Visibility) -> Result<CommittedWrite, WriteError> {
        // A single command is refused before its first row is put.
        let before = (write.commands.len() > 1).then(|| self.tables.clone());
        match carry_out(&mut self.tables, write, CommitContext { head: self.revision, now, visibility }) {
            Ok(done) => {
                self.revision += done.changes.len() as Revision;
                self.log.append(&done.changes);
                Ok(done)
            }
            Err(Abort::Refused { at, error }) => {
                if let Some(before) = before {
                    self.tables = before;
                }
                Err(WriteError::Refused { at, error })
            }
        }
    }

    fn compact(&mut self, before: Millis) -> u64 {
        let mut old = Vec::new();
        let tables = &self.tables;
        for (key, edge) in tables.edges.iter().filter(|(_, edge)| edge.removed && edge.update_time < before) {
            old.push((edge.update_time, 0, key.clone(), RequestSide::Sender, edge.version));
        }
        let closed = |request: &Request| request.state != RequestState::Open && request.update_time < before;
        for ((sender, receiver, side), request) in tables.requests.iter().filter(|(_, request)| closed(request)) {
            old.push((request.update_time, 1, (sender.clone(), receiver.clone()), *side, request.version));
        }
        let is_over = |block: &Block| {
            let owner = tables.users.get(&block.owner).filter(|_| block.views.is_some());
            let is_past = |at: LastChange| at.version > block.version;
            let views = owner.is_none_or(|held| is_past(held.profile.friends) && is_past(held.profile.everyone));
            block.removed && block.update_time < before && block.presence.is_none() && views
        };
        for (key, block) in tables.blocks.iter().filter(|(_, block)| is_over(block)) {
            old.push((block.update_time, 2, key.clone(), RequestSide::Sender, block.version));
        }
        old.sort_unstable();
        old.truncate(COMPACTION_LIMIT);
        for (_, kind, key, side, version) in &old {
            match kind {
                0 => drop(self.tables.edges.remove(key)),
                1 => drop(self.tables.requests.remove(&(key.0.clone(), key.1.clone(), *side))),
                _ => drop(self.tables.blocks.remove(key)),
            }
            self.compacted = self.compacted.max(*version);
        }
        old.len() as u64
    }
}

impl Memory {
    async fn commit(&self, write: Write) -> Written {
        let feed = self.feed.lock().clone().ok_or_else(|| StoreError("the store is closed".into()))?;
        // Reserves room in the feed first, so that the commit and its place in the feed are one step under the lock.
        let room = feed.reserve().await.ok();
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.state.lock();
            let (changes, written) = match state.write(&write, (self.clock)(), &self.rules.get()) {
                Ok(done) => (done.changes, Ok(done.answers)),
                Err(refusal) => (Vec::new(), Err(refusal)),
            };
            let batch = CommitBatch { changes, answers: vec![(answer, written)], committed: Instant::now() };
            self.seen.send_replace(state.tables.seen);
            match room {
                Some(room) => room.send(batch),
                None => batch.answer(),
            }
        }
        answered.await.unwrap_or_else(|_| Err(StoreError("the consumer of the feed gave no answer".into()).into()))
    }
}

impl Store for Memory {
    fn write(&self, write: Write) -> BoxFuture<'_, Written> {
        Box::pin(self.commit(write))
    }

    fn rehearse(&self, command: Command) -> BoxFuture<'_, Result<Result<Rehearsal, RequestError>, StoreError>> {
        let state = self.state.lock();
        let visibility = self.rules.get();
        let context = CommitContext { head: state.revision, now: (self.clock)(), visibility: &visibility };
        let Ok(rehearsed) = rehearse(&state.tables, &command, context);
        Box::pin(async { Ok(rehearsed) })
    }

    fn users(&self, accounts: Vec<Account>) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        let state = self.state.lock();
        let user = |account: &Account| {
            let held = state.tables.users.get(account)?;
            let blocks = state.tables.blocks_by(account).filter(|block| !block.removed).cloned().collect();
            let is_ended = |block: &&Block| block.removed && (block.presence.is_some() || block.views.is_some());
            let ended = state.tables.blocks_by(account).filter(is_ended).cloned().collect();
            let StoredUser { chosen, seen, .. } = held;
            let (profile, last_seen) = (held.profile.clone(), seen.last_seen);
            Some(User { profile, chosen: chosen.clone(), last_seen, blocks, has_more_blocks: false, ended })
        };
        let found = accounts.iter().filter_map(user).collect();
        Box::pin(async { Ok(found) })
    }

    fn users_followed_by(
        &self,
        viewer: Account,
        accounts: Vec<Account>,
        few: usize,
    ) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        Box::pin(async move {
            let mut found = self.users(accounts).await?;
            for user in found.iter_mut().filter(|user| user.blocks.len() > few) {
                let is_online = |block: &Block| block.presence.is_some_and(|seen| seen.online);
                user.blocks.retain(|block| block.peer == viewer || is_online(block));
                user.has_more_blocks = true;
            }
            Ok(found)
        })
    }

    fn users_seen_by(&self, viewer: Account, accounts: Vec<Account>) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        Box::pin(async move {
            let mut found = self.users(accounts).await?;
            for user in &mut found {
                user.blocks.retain(|block| block.peer == viewer);
                user.ended.retain(|block| block.peer == viewer);
            }
            Ok(found)
        })
    }

    fn profiles(
        &self,
        prefix: String,
        after: Option<Account>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Profile>, StoreError>> {
        let state = self.state.lock();
        let wanted = |account: &Account| {
            account.as_str().starts_with(&prefix) && after.as_ref().is_none_or(|after| account > after)
        };
        let users = state.tables.users.iter().filter(|(account, _)| wanted(account));
        let page = users.take(limit).map(|(_, held)| Profile::clone(&held.profile)).collect();
        Box::pin(async { Ok(page) })
    }

    fn page(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<Vec<Edge>, StoreError>> {
        let page = self.state.lock().tables.page(&owner, after.as_ref(), limit, since);
        Box::pin(async { Ok(page) })
    }

    fn relations(&self, account: Account, peers: Vec<Account>) -> BoxFuture<'_, Result<Relations, StoreError>> {
        let state = self.state.lock();
        let mut found = Relations::default();
        for peer in peers {
            let between = state.tables.between(&account, &peer);
            found.edges.extend(between.edges.into_iter().filter(|edge| edge.owner == account));
            found.requests.extend(between.requests.into_iter().filter(|request| *request.owner() == account));
            found.blocks.extend(between.blocks.into_iter().filter(|block| block.owner == account));
        }
        Box::pin(async { Ok(found) })
    }

    fn requests(&self, account: Account, since: Option<Revision>) -> BoxFuture<'_, Result<Vec<Request>, StoreError>> {
        let state = self.state.lock();
        let shown = |request: &&Request| {
            let late = since.is_some_and(|since| request.version > since);
            (request.state == RequestState::Open || late) && *request.owner() == account
        };
        let mut found: Vec<_> = state.tables.requests_of(&account).filter(shown).cloned().collect();
        found.sort_by_key(|request| (request.peer().clone(), request.sender.clone()));
        Box::pin(async { Ok(found) })
    }

    fn listed(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<StorePage<ListedEdge>, StoreError>> {
        let state = self.state.lock();
        let is_held = |edge: &ListedEdge| since.is_some_and(|since| edge.version <= since);
        let listed = state.tables.page(&owner, after.as_ref(), limit, since).into_iter().map(ListedEdge::from);
        let rows = listed.map(|edge| if is_held(&edge) { ListedEdge { edge: None, ..edge } } else { edge }).collect();
        let page = StorePage { rows, compacted: state.compacted };
        Box::pin(async { Ok(page) })
    }

    fn blocks(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<StorePage<Block>, StoreError>> {
        let state = self.state.lock();
        let shown = |block: &&Block| {
            let live = !block.removed || since.is_some_and(|since| block.version > since);
            live && after.as_ref().is_none_or(|after| block.peer > *after)
        };
        let rows = state.tables.blocks_by(&owner).filter(shown).take(limit).cloned().collect();
        let page = StorePage { rows, compacted: state.compacted };
        Box::pin(async { Ok(page) })
    }

    fn login_rows(
        &self,
        account: Account,
        limit: usize,
        since: Option<Revision>,
        few: Option<usize>,
    ) -> BoxFuture<'_, Result<LoginRows, StoreError>> {
        // Nothing is written between these, which do not wait.
        Box::pin(async move {
            let user = match few {
                Some(few) => self.users_followed_by(account.clone(), vec![account.clone()], few).await?.pop(),
                None => None,
            };
            Ok(LoginRows {
                user,
                lineage: self.lineage(),
                head: self.head(),
                credential: self.credential(account.clone()).await?,
                edges: self.listed(account.clone(), None, limit, since).await?.rows,
                requests: self.requests(account.clone(), since).await?,
                blocks: self.blocks(account, None, limit, since).await?.rows,
            })
        })
    }

    fn frozen(&self, viewer: Account, owners: Vec<Account>) -> BoxFuture<'_, Result<Vec<Arc<Profile>>, StoreError>> {
        let state = self.state.lock();
        let frozen = |owner: Account| state.tables.frozen.get(&(viewer.clone(), owner)).cloned();
        let found = owners.into_iter().filter_map(frozen).collect();
        Box::pin(async { Ok(found) })
    }

    fn stale_requests(&self, before: Millis, limit: usize) -> BoxFuture<'_, Result<Vec<Request>, StoreError>> {
        let state = self.state.lock();
        let open = |request: &Request| request.state == RequestState::Open && request.side == RequestSide::Sender;
        let old = |request: &&Request| open(request) && request.create_time < before;
        let mut found: Vec<_> = state.tables.requests.values().filter(old).cloned().collect();
        found.sort_by_key(|request| request.create_time);
        found.truncate(limit);
        Box::pin(async { Ok(found) })
    }

    fn credential(&self, account: Account) -> BoxFuture<'_, Result<Credential, StoreError>> {
        let found = self.state.lock().tables.credential(&account);
        Box::pin(async { Ok(found) })
    }

    fn put_seen(&self, seen: Vec<PresenceRow>) -> BoxFuture<'_, Result<(), StoreError>> {
        let tables = &mut self.state.lock().tables;
        for PresenceRow { account, peer, seen, devices } in seen {
            if let Some(peer) = peer {
                let block = tables.blocks.get_mut(&(account, peer));
                if let Some(block) = block.filter(|block| block.removed || seen.is_some()) {
                    block.presence = seen;
                }
            } else if let Some(held) = tables.users.get_mut(&account) {
                held.seen = seen.unwrap_or_default();
                held.devices = devices;
                tables.seen += 1;
                held.number = tables.seen;
            }
        }
        self.seen.send_replace(tables.seen);
        Box::pin(async { Ok(()) })
    }

    fn online(&self) -> BoxFuture<'_, Result<Vec<OnlineAccount>, StoreError>> {
        let state = self.state.lock();
        let shows = |block: &&Block| block.presence.is_some_and(|seen| seen.online);
        let online = state.tables.users.iter().filter(|(_, held)| held.seen.online);
        let online = online.map(|(account, held)| OnlineAccount {
            account: account.clone(),
            chosen: held.chosen.clone(),
            last_seen: held.seen.last_seen,
            blocks: state.tables.blocks_by(account).filter(shows).cloned().collect(),
        });
        let online = online.collect();
        Box::pin(async { Ok(online) })
    }

    fn compact(&self, before: Millis) -> BoxFuture<'_, Result<u64, StoreError>> {
        let dropped = self.state.lock().compact(before);
        Box::pin(async move { Ok(dropped) })
    }

    fn purge(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn rules(&self) -> &RulesInForce {
        &self.rules
    }

    fn put_rules(&self, rules: Visibility, instead_of: Arc<Visibility>) -> BoxFuture<'_, Result<bool, StoreError>> {
        let mut state = self.state.lock();
        let holds = self.rules.are(&instead_of);
        if holds {
            state.rules = rules.to_text(&state.rules);
            self.rules.set(rules, 0);
        }
        Box::pin(async move { Ok(holds) })
    }

    fn lineage(&self) -> Lineage {
        Lineage { epoch: self.epoch, compacted: self.state.lock().compacted }
    }

    fn head(&self) -> Revision {
        self.state.lock().revision
    }

    /// Never: it has no thread that could end.
    fn ended(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn is_empty(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        let empty = self.state.lock().tables.users.is_empty();
        Box::pin(async move { Ok(empty) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.feed.lock().take();
        Box::pin(async {})
    }
}

impl ChangeLog for Memory {
    fn history(&self) -> Option<LogHistory> {
        Some(LogHistory(self.epoch.0))
    }

    fn log_page(&self, after: Revision) -> BoxFuture<'_, Result<LogPage, StoreError>> {
        let state = self.state.lock();
        let page = state.log.page(after, state.revision);
        Box::pin(async { Ok(page) })
    }

    fn log_change(&self, revision: Revision) -> BoxFuture<'_, Result<Option<LoggedChange>, StoreError>> {
        let found = self.state.lock().log.change(revision);
        Box::pin(async { Ok(found) })
    }

    fn log_extent(&self) -> BoxFuture<'_, Result<LogExtent, StoreError>> {
        let state = self.state.lock();
        let extent = state.log.extent(state.revision);
        Box::pin(async move { Ok(extent) })
    }

    fn seen(&self) -> Option<watch::Receiver<SeenNumber>> {
        Some(self.seen.subscribe())
    }

    fn seen_page(
        &self,
        after: SeenNumber,
        until: SeenNumber,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<NumberedPresence>, StoreError>> {
        let state = self.state.lock();
        let users = state.tables.users.iter().filter(|(_, held)| held.number > after && held.number <= until);
        let mut found: Vec<_> = users
            .map(|(account, held)| NumberedPresence {
                account: account.clone(),
                presence: held.seen,
                devices: held.devices.clone(),
                chosen: held.chosen.clone(),
                revision: held.profile.version.max(held.chosen.version),
                seen: held.number,
            })
            .collect();
        found.sort_by_key(|found| found.seen);
        found.truncate(limit);
        Box::pin(async { Ok(found) })
    }

    fn snapshot_page(
        &self,
        kind: SnapshotKind,
        after: Option<(Account, Account)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SnapshotRow>, StoreError>> {
        let state = self.state.lock();
        let later = |one: &Account, other: &Account| {
            after.as_ref().is_none_or(|(first, second)| (one, other) > (first, second))
        };
        let rows = state.tables.snapshot(kind, &later).into_iter().take(limit).collect();
        Box::pin(async { Ok(rows) })
    }

    fn prune_log(&self, before: Millis, most: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        let dropped = self.state.lock().log.prune(before, most);
        Box::pin(async move { Ok(dropped) })
    }

    fn scrub_log(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        // An erasure is done at once here.
        Box::pin(async { Ok(false) })
    }
}

impl AuditLog for Memory {
    fn record(&self, entry: AuditEntry) -> BoxFuture<'_, Result<(), StoreError>> {
        self.state.lock().tables.audit.append(&entry);
        Box::pin(async { Ok(()) })
    }

    fn audit_page(&self, query: AuditQuery) -> BoxFuture<'_, Result<Vec<AuditRow>, StoreError>> {
        let page = self.state.lock().tables.audit.page(&query);
        Box::pin(async { Ok(page) })
    }

    fn prune_audit(&self, before: Millis, most: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        let pruned = self.state.lock().tables.audit.prune(before, most);
        Box::pin(async move { Ok(pruned) })
    }
}

impl DeliveryStore for Memory {
    fn delivery(&self, name: String) -> BoxFuture<'_, Result<Option<KeptDelivery>, StoreError>> {
        let kept = self.state.lock().deliveries.get(&name).map(|(kept, _)| kept.clone());
        Box::pin(async { Ok(kept) })
    }

    fn put_delivery(
        &self,
        name: String,
        kept: KeptDelivery,
        dead: Option<DeadLetter>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut state = self.state.lock();
        state.deliveries.insert(name.clone(), (kept, (self.clock)()));
        if let Some(dead) = dead {
            state.dead.insert((name.clone(), dead.event), dead);
            let mut of_name: Vec<_> = state.dead.keys().filter(|(other, _)| *other == name).cloned().collect();
            of_name.sort_by_key(|(_, event)| match event {
                EventKey::Change { revision, index } => (*revision, i64::from(*index)),
                EventKey::Presence(seen) => (*seen, -1),
            });
            for key in of_name.iter().rev().skip(DEAD_LETTERS) {
                state.dead.remove(key);
            }
        }
        Box::pin(async { Ok(()) })
    }

    fn forget_deliveries(&self, except: Vec<String>, before: Millis) -> BoxFuture<'_, Result<(), StoreError>> {
        let state = &mut *self.state.lock();
        state.deliveries.retain(|name, (_, written)| *written >= before || except.contains(name));
        let deliveries = &state.deliveries;
        state.dead.retain(|(name, _), _| deliveries.contains_key(name));
        Box::pin(async { Ok(()) })
    }

    fn dead_letters(
        &self,
        name: String,
        after: Option<EventKey>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>> {
        let state = self.state.lock();
        let is_next = |dead: &&DeadLetter| after.is_none_or(|after| dead.event > after);
        let of_name = state.dead.iter().filter(|((other, _), _)| *other == name).map(|(_, dead)| dead);
        let letters = of_name.filter(is_next).take(limit).copied().collect();
        Box::pin(async { Ok(letters) })
    }

    fn count_dead_letters(&self, name: String) -> BoxFuture<'_, Result<u64, StoreError>> {
        let count = self.state.lock().dead.keys().filter(|(other, _)| *other == name).count();
        Box::pin(async move { Ok(count as u64) })
    }

    fn remove_dead_letter(&self, name: String, event: EventKey) -> BoxFuture<'_, Result<bool, StoreError>> {
        let removed = self.state.lock().dead.remove(&(name, event)).is_some();
        Box::pin(async move { Ok(removed) })
    }
}
