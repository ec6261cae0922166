//! A simulated database server, with what the gateways rest on: sessions and their transactions, the lock, the log, a
//! standby, crashes and promotions. Rows and decisions of the data are those of the store in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rosterd::store::postgres::{
    Failover, FeedBatch, FoundHistory, LogPosition, LogTail, PgError, PgResult, Standing, StoreTask, TailRow, TaskDone,
    Waker,
};
use rosterd::store::{PresenceRow, Store, StoreClock, StoredRules, Write};
use rosterd_engine::model::{
    Account, Change, Epoch, LoggedChange, Millis, Revision, SeenNumber, Visibility, WriteRights,
};
use rosterd_engine::sync::decide::{CurrentRows, Reads};
use rosterd_memory_store::{self as memory_store, Disk};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep};

use super::nodes::NodeRows;
use crate::disk::Committed;
use crate::random::Random;

/// How many rows of the log come at a time: few, so that few are more than that.
const TAIL: usize = 4;
/// How long a session may be idle in a transaction.
const IDLE: Duration = Duration::from_secs(2);
/// How long a holder of the lock may do nothing until those that wait end it.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long until the server notices that a network is cut.
const KEEPALIVE: Duration = Duration::from_millis(3100);

/// How long after another epoch began a frame may still arrive that was made before.
const ON_ITS_WAY: Duration = Duration::from_secs(30);

/// A batch in the log.
struct FeedRow {
    last: Revision,
    nonce: i64,
    writer: i64,
    changes: Vec<Change>,
}

/// All that a server keeps.
struct Data {
    disk: Disk,
    /// Reads `disk`.
    view: Arc<dyn Store>,
    /// By the first revision.
    feed: BTreeMap<Revision, Arc<FeedRow>>,
    time: Millis,
    epoch: i64,
    identity: String,
    log: Vec<Committed>,
    nodes: NodeRows,
    rules: StoredRules,
}

/// A connection to the server.
pub struct ServerSession {
    process: u64,
    writes: bool,
    /// Held by the transaction that it is in.
    guard: Option<OwnedMutexGuard<()>>,
    changed: Instant,
    /// Whether the server waits for the rest of a message if its process stands still now: no timeout ends it then.
    stuck: bool,
}

/// What happens to the next commit of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// It never arrives.
    Lost,
    /// It arrives so many milliseconds later, on a connection that its process takes for broken.
    Late(u64),
    /// It is done, and the answer gets lost.
    Unanswered,
}

/// The server.
pub struct Server {
    data: Data,
    standby: Data,
    timeline: u32,
    lock: Arc<tokio::sync::Mutex<()>>,
    sessions: BTreeMap<i32, ServerSession>,
    listeners: BTreeMap<i32, Waker>,
    next_session: i32,
    down_until: Instant,
    failover: Failover,
    /// Those of the settings of all gateways.
    rules: Visibility,
    clock: StoreClock,
    random: Random,
    /// All writes that were ever committed, also those that a promotion lost.
    ever: Vec<Committed>,
    /// When the last epoch began, unless it is the first.
    began: Option<Instant>,
    /// Epochs that must not go on, because a promotion may have lost commits of theirs.
    over: Vec<i64>,
    faults: BTreeMap<u64, CommitFault>,
    /// How often each account has logged in.
    logins: BTreeMap<Account, u64>,
    pub happened: Vec<&'static str>,
    pub wrong: Option<String>,
}

/// The server as all connections share it.
pub type SharedServer = Arc<Mutex<Server>>;

impl Data {
    fn new(disk: Disk, clock: &StoreClock, rules: &Visibility) -> Self {
        let view = memory_store::open_on(disk.clone(), clock.clone(), rules.clone()).store;
        let (feed, log, nodes) = (BTreeMap::new(), Vec::new(), NodeRows::default());
        let rules = StoredRules { number: 1, ..StoredRules::of(rules, &WriteRights::default(), 0, "") };
        Self { disk, view, feed, time: 0, epoch: 1, identity: String::new(), log, nodes, rules }
    }

    fn copy(&self, clock: &StoreClock, rules: &Visibility) -> Self {
        let (feed, log, nodes) = (self.feed.clone(), self.log.clone(), self.nodes.clone());
        let (time, epoch, identity, kept) = (self.time, self.epoch, self.identity.clone(), self.rules.clone());
        Self { feed, time, epoch, identity, log, nodes, rules: kept, ..Self::new(self.disk.copy(), clock, rules) }
    }

    fn newest(&self) -> LogPosition {
        let newest = self.feed.last_key_value();
        newest.map_or(LogPosition { head: 0, nonce: 0 }, |(_, row)| LogPosition { head: row.last, nonce: row.nonce })
    }

    /// Keeps other rules, unless they are the same.
    fn put_rules(&mut self, rules: &Visibility) {
        let (number, since) = (self.rules.number, self.newest().head);
        let next = StoredRules::of(rules, &WriteRights::default(), since, &self.rules.visibility);
        let same = next.visibility == self.rules.visibility && next.own_fields == self.rules.own_fields;
        if !same {
            self.rules = StoredRules { number: number + 1, ..next };
        }
    }

    /// Changes the rules as a command of an operator does, or a start with other settings.
    fn change_rules(&mut self, rules: &Visibility) {
        let next = rules.clone().opening(&self.rules.visibility, self.newest().head).expect("the rules can be read");
        self.put_rules(&next);
    }

    fn begin_epoch(&mut self, epoch: i64, clock: &StoreClock, rules: &Visibility) {
        self.epoch = epoch;
        self.disk = self.disk.of_epoch(Epoch(epoch.cast_unsigned()));
        self.view = memory_store::open_on(self.disk.clone(), clock.clone(), rules.clone()).store;
    }
}

fn broken(why: &str) -> PgError {
    PgError::Away(why.to_owned())
}

impl Server {
    pub fn start(failover: Failover, clock: StoreClock, rules: Visibility, random: Random) -> SharedServer {
        let epoch = (random.next() >> 1).cast_signed();
        let mut data = Data::new(Disk::new(Epoch(epoch.cast_unsigned())), &clock, &rules);
        (data.epoch, data.identity) = (epoch, "sim/1".to_owned());
        let standby = data.copy(&clock, &rules);
        Arc::new(Mutex::new(Self {
            data,
            standby,
            timeline: 1,
            lock: Arc::default(),
            sessions: BTreeMap::new(),
            listeners: BTreeMap::new(),
            next_session: 1,
            down_until: Instant::now(),
            failover,
            rules,
            clock,
            random,
            ever: Vec::new(),
            began: None,
            over: Vec::new(),
            faults: BTreeMap::new(),
            logins: BTreeMap::new(),
            happened: Vec::new(),
            wrong: None,
        }))
    }

    fn demand(&mut self, is: bool, otherwise: impl FnOnce() -> String) {
        if !is {
            self.wrong.get_or_insert_with(otherwise);
        }
    }

    pub fn head(&self) -> Revision {
        self.data.newest().head
    }

    /// Whether commits of the epoch may be lost, and no other has begun yet.
    pub fn is_over(&self) -> bool {
        self.over.contains(&self.data.epoch)
    }

    pub fn view(&self) -> Arc<dyn Store> {
        self.data.view.clone()
    }

    pub fn current(&self, reads: Reads) -> CurrentRows {
        self.data.disk.current(reads)
    }

    pub fn nodes(&mut self) -> &mut NodeRows {
        &mut self.data.nodes
    }

    pub fn now(&self) -> Millis {
        (self.clock)()
    }

    pub fn log(&self) -> &[Committed] {
        &self.data.log
    }

    pub fn ever(&self) -> &[Committed] {
        &self.ever
    }

    pub fn is_up(&self) -> bool {
        Instant::now() >= self.down_until
    }

    pub fn standing(&self) -> Standing {
        let LogPosition { head, nonce } = self.data.newest();
        Standing {
            head,
            nonce,
            time: self.data.time,
            clock: self.now(),
            timeline: self.timeline.to_string(),
            epoch: self.data.epoch,
            compacted: self.data.disk.compacted(),
            seen: 0,
            rules: self.data.rules.number,
            identity: self.data.identity.clone(),
            waited: Duration::ZERO,
        }
    }

    /// Whether clients may still hear of an epoch whose commits were lost.
    pub fn was_over_of_late(&self) -> bool {
        self.is_over() || self.began.is_some_and(|began| began.elapsed() < ON_ITS_WAY)
    }

    /// What an opening finds, and begins: another epoch where commits may be lost.
    pub fn open(&mut self) -> FoundHistory {
        let identity = format!("sim/{}", self.timeline);
        if self.data.identity != identity {
            if !self.failover.loses_nothing(&self.data.identity, &identity) {
                let epoch = (self.random.next() >> 1).cast_signed();
                self.data.begin_epoch(epoch, &self.clock, &self.rules);
                self.began = Some(Instant::now());
                self.happened.push("another epoch begins, at a start");
            }
            self.data.identity = identity;
        }
        let wanted = self.rules.clone();
        self.data.change_rules(&wanted);
        let (standing, salt, rules) = (self.standing(), Arc::from([7; 4]), self.visibility());
        FoundHistory { epoch: standing.epoch, system: "sim".into(), standing, rules, salt }
    }

    /// The rules by which everything is decided now.
    pub fn visibility(&self) -> Visibility {
        self.data.rules.read().expect("the rules can be read").0
    }

    pub fn stored_rules(&self) -> StoredRules {
        self.data.rules.clone()
    }

    /// Changes the rules for all gateways, as an operator does who has the lock.
    pub fn change_rules(&mut self, rules: &Visibility) {
        self.rules.clone_from(rules);
        self.data.change_rules(rules);
        self.replicate();
    }

    pub fn begin_epoch(&mut self, epoch: i64) {
        self.data.begin_epoch(epoch, &self.clock, &self.rules);
        self.began = Some(Instant::now());
        self.happened.push("another epoch begins, by a writer that missed something");
    }

    pub fn put_identity(&mut self, identity: String) {
        self.data.identity = identity;
        self.happened.push("a failover without a loss");
    }

    // --- Sessions ---

    pub fn connect(&mut self, process: u64, writes: bool) -> PgResult<i32> {
        if !self.is_up() {
            return Err(broken("the server is down"));
        }
        let id = self.next_session;
        self.next_session += 1;
        let session = ServerSession { process, writes, guard: None, changed: Instant::now(), stuck: false };
        self.sessions.insert(id, session);
        Ok(id)
    }

    pub fn listen(&mut self, session: i32, waker: Waker) {
        self.listeners.insert(session, waker);
    }

    /// Returns a session that the server has not ended.
    pub fn session(&mut self, id: i32) -> PgResult<&mut ServerSession> {
        let found = self.sessions.get_mut(&id).ok_or_else(|| broken("the server has ended the session"))?;
        found.changed = Instant::now();
        Ok(found)
    }

    pub fn end(&mut self, id: i32) {
        self.listeners.remove(&id);
        self.sessions.remove(&id);
    }

    pub fn end_all_of(&mut self, process: u64) {
        for id in self.sessions_of(process) {
            self.end(id);
        }
    }

    fn sessions_of(&self, process: u64) -> Vec<i32> {
        self.sessions.iter().filter(|(_, session)| session.process == process).map(|(id, _)| *id).collect()
    }

    pub fn end_stuck(&mut self) -> Vec<i32> {
        let is_stuck = |session: &ServerSession| {
            session.writes && session.guard.is_some() && session.changed.elapsed() >= PATIENCE
        };
        let ids: Vec<_> = self.sessions.iter().filter(|(_, s)| is_stuck(s)).map(|(id, _)| *id).collect();
        for id in &ids {
            self.end(*id);
            self.happened.push("a holder that stood still was ended by one that waited");
        }
        ids
    }

    pub fn lock(&self) -> Arc<tokio::sync::Mutex<()>> {
        self.lock.clone()
    }

    /// Begins a transaction with the lock. Returns when it was last heard of, for [`watch_idle`].
    pub fn hold(&mut self, id: i32, guard: OwnedMutexGuard<()>) -> PgResult<Instant> {
        let stuck = self.random.percent(40);
        let session = self.session(id)?;
        (session.guard, session.stuck) = (Some(guard), stuck);
        Ok(session.changed)
    }

    pub fn rollback(&mut self, id: i32) -> PgResult<()> {
        self.session(id)?.guard = None;
        Ok(())
    }

    /// Lets the lock go.
    pub fn commit(&mut self, id: i32) -> PgResult<()> {
        let Some(guard) = self.session(id)?.guard.take() else { return Err(broken("it is in no transaction")) };
        self.replicate();
        drop(guard);
        Ok(())
    }

    /// Commits a batch. The writes are carried out once more by the store in memory, which must come to the same.
    pub fn commit_batch(
        &mut self,
        id: i32,
        feed: FeedBatch,
        changes: &[Change],
        writes: &[Write],
    ) -> PgResult<Option<SeenNumber>> {
        let is_held = self.session(id)?.guard.is_some();
        if !is_held {
            return Err(broken("it is in no transaction"));
        }
        if let (Some(first), Some(last)) = (changes.first(), changes.last()) {
            let head = self.head();
            let (first, last) = (first.revision, last.revision);
            if self.data.feed.contains_key(&first) {
                return Err(PgError::Refused { code: "23505".into(), words: "the revision is taken".into() });
            }
            self.demand(first == head + 1, || format!("a batch begins at {first}, and the head is {head}"));
            let (epoch, over) = (self.data.epoch, self.is_over());
            self.demand(feed.epoch == epoch, || format!("a batch of epoch {} is written in {epoch}", feed.epoch));
            self.demand(!over, || "an epoch goes on after a failover that may have lost commits".into());
            self.carry_out(feed.time, changes, writes);
            let row = FeedRow { last, nonce: feed.nonce, writer: feed.writer, changes: changes.to_vec() };
            self.data.feed.insert(first, Arc::new(row));
            self.data.time = feed.time;
        }
        self.commit(id)?;
        Ok(None)
    }

    fn carry_out(&mut self, now: Millis, changes: &[Change], writes: &[Write]) {
        let mut done = Vec::new();
        let rules = Arc::new(self.visibility());
        for write in writes {
            let Ok(written) = self.data.disk.carry_out(write, now, &rules) else { continue };
            if !written.changes.is_empty() {
                let committed = Committed { commands: write.commands.clone(), now, rules: rules.clone() };
                self.data.log.push(committed.clone());
                self.ever.push(committed);
            }
            done.extend(written.changes);
        }
        self.demand(done == changes, || format!("a batch came to {changes:?}\nand not to\n{done:?}"));
    }

    /// The standby gets what there is, now and then.
    fn replicate(&mut self) {
        if self.random.percent(25) {
            self.standby = self.data.copy(&self.clock, &self.rules);
        }
    }

    /// Stores who came and went. It stands even if the transaction is undone: whoever noted it does so again.
    pub fn put_seen(&mut self, rows: Vec<PresenceRow>) {
        let nodes = &self.data.nodes;
        let is_gone = |row: &PresenceRow| {
            let leaves = row.peer.is_none() && row.seen.is_some_and(|seen| !seen.online);
            !(leaves && nodes.is_there(&row.account))
        };
        let rows = rows.into_iter().filter(is_gone).collect();
        // The store in memory does it when it is asked.
        drop(self.data.view.put_seen(rows));
    }

    pub fn log_in(&mut self, account: &Account) {
        *self.logins.entry(account.clone()).or_default() += 1;
    }

    pub fn logins_of(&self, account: &Account) -> u64 {
        self.logins.get(account).copied().unwrap_or_default()
    }

    /// Drops all tombstones, as a gateway more would, unless somebody has the lock.
    pub fn compact(&mut self) {
        let before = self.now() + 1;
        if let (Ok(_guard), true) = (self.lock.clone().try_lock_owned(), self.is_up()) {
            let dropped = futures::FutureExt::now_or_never(self.data.view.compact(before));
            if matches!(dropped, Some(Ok(1..))) {
                self.happened.push("compaction while a client reads its friends");
            }
        }
    }

    pub fn carry_out_task(&mut self, id: i32, task: &StoreTask) -> PgResult<TaskDone> {
        self.session(id)?;
        let mut done = TaskDone::default();
        if let StoreTask::Compact(before) = task {
            let dropped = futures::FutureExt::now_or_never(self.data.view.compact(*before));
            done.count = dropped.and_then(Result::ok).unwrap_or_default();
            done.compacted = self.data.disk.compacted();
        }
        if let StoreTask::PutRules { rules, .. } = task {
            self.data.put_rules(rules);
            done.count = self.data.rules.number.unsigned_abs();
        }
        self.commit(id)?;
        Ok(done)
    }

    // --- The log ---

    pub fn position_at(&self, head: Revision) -> LogPosition {
        let newest = self.data.feed.range(..=head).next_back();
        // There is a row before the first change, too.
        newest.map_or(LogPosition { head: 0, nonce: 0 }, |(_, row)| LogPosition { head: row.last, nonce: row.nonce })
    }

    pub fn tail(&self, after: Revision, own: i64) -> LogTail {
        let rows = self.data.feed.range(after + 1..).take(TAIL).map(|(first, row)| TailRow {
            first: *first,
            last: row.last,
            nonce: row.nonce,
            writer: row.writer,
            age: Duration::ZERO,
            changes: if row.writer == own {
                Vec::new()
            } else {
                row.changes.iter().map(|change| LoggedChange { change: change.clone(), erased: false }).collect()
            },
        });
        let rows: Vec<_> = rows.collect();
        let is_full = rows.len() == TAIL;
        let (epoch, compacted, rules) = (self.data.epoch, self.data.disk.compacted(), self.data.rules.number);
        LogTail { epoch, compacted, seen: 0, rules, rows, is_full }
    }

    /// Passes a word on to all who listen. Some never get it.
    pub fn tell(&mut self, channel: &'static str, payload: &str) {
        for waker in self.listeners.values() {
            if self.random.percent(75) {
                waker.take(channel, payload);
            } else {
                self.happened.push("a word was lost");
            }
        }
    }

    // --- Faults ---

    pub fn next_commit(&mut self, process: u64, fault: CommitFault) {
        self.faults.insert(process, fault);
    }

    pub fn take_fault(&mut self, process: u64) -> Option<CommitFault> {
        let fault = self.faults.remove(&process)?;
        self.happened.push(match fault {
            CommitFault::Lost => "a commit got lost",
            CommitFault::Late(_) => "a commit was late",
            CommitFault::Unanswered => "the answer to a commit got lost",
        });
        Some(fault)
    }

    /// Crashes, and is back after a while. What was committed stays.
    pub fn crash(&mut self, down: Duration) {
        self.break_off(down);
        self.happened.push("the database crashed");
    }

    fn break_off(&mut self, down: Duration) {
        self.sessions.clear();
        self.listeners.clear();
        self.lock = Arc::default();
        self.data.nodes.lose_messages();
        self.down_until = Instant::now() + down;
    }

    /// The standby takes over: with `lags` as it is, and otherwise with all that was committed.
    pub fn promote(&mut self, lags: bool, down: Duration) {
        self.break_off(down);
        self.timeline += 1;
        let lags = lags && self.failover == Failover::MayLose;
        if self.failover == Failover::MayLose {
            self.over.push(self.data.epoch);
        }
        if lags {
            let standby = self.standby.copy(&self.clock, &self.rules);
            let lost = std::mem::replace(&mut self.data, standby);
            if lost.newest().head > self.head() {
                self.happened.push("a promotion lost commits");
            }
        } else {
            self.happened.push("a promotion lost nothing");
        }
    }
}

/// Ends a session that is idle in its transaction since then, unless the server waits for the rest of a message.
pub fn watch_idle(server: &SharedServer, id: i32, since: Instant) {
    let server = server.clone();
    tokio::spawn(async move {
        sleep(IDLE).await;
        let mut server = server.lock().unwrap();
        let is_idle = |s: &ServerSession| s.guard.is_some() && s.changed == since && !s.stuck;
        if server.sessions.get(&id).is_some_and(is_idle) {
            server.end(id);
            server.happened.push("a session was ended that was idle in a transaction");
        }
    });
}

/// Ends the sessions of a process that is out of reach, once the server notices.
pub fn notice_cut(server: &SharedServer, process: u64, is_cut: impl Fn() -> bool + Send + 'static) {
    let (server, sessions) = (server.clone(), server.lock().unwrap().sessions_of(process));
    tokio::spawn(async move {
        sleep(KEEPALIVE).await;
        if is_cut() {
            let mut server = server.lock().unwrap();
            for id in sessions {
                server.end(id);
            }
        }
    });
}
