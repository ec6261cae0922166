//! The default store: one `SQLite` file, one thread that writes it, and a few connections that read it.
//!
//! One process at a time uses a file, which an advisory lock on `<file>.lock` ensures, beside the file that the path
//! really leads to. Commits are synced to the disk before anyone learns of them. [`open`] verifies and migrates; the rest is behind [`Store`]. The composition root
//! opens the store.

mod backup;
mod connection;
mod copy_source;
mod delivery_writer;
mod files;
mod log;
mod log_writer;
mod presence_numbers;
mod readers;
mod rows;
mod schema;
mod writer;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use futures::future::BoxFuture;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::backup::{backup, restore};
pub use self::copy_source::{SqliteSource, copy_source};

use self::backup::finish_restore;
use self::connection::{closed, set_up};
use self::delivery_writer::DeliveryTask;
use self::files::{claim, create_private};
use self::log::WriteAheadLog;
use self::log_writer::{LogTask, LogWriter};
use self::presence_numbers::PresenceNumbers;
use self::readers::{READERS, Readers};
use self::rows::SqliteTables;
use self::schema::{KeptForFollowers, Meta, explain};
use self::writer::{BATCH, Message, QueuedRules, Writer};
use super::{
    AuditEntry, AuditLog, AuditQuery, AuditRow, ChangeLog, DeadLetter, DeliveryStore, FEED_CAPACITY, LogExtent,
    LogPage, LoginRows, Opened, PresenceRow, Rehearsal, Relations, RulesInForce, SnapshotKind, Store, StoreClock,
    StoreError, StorePage, Write, WriteError, Written, system_clock,
};
use crate::store::commit::{CommitContext, rehearse};
use rosterd_engine::model::{
    Account, Block, Command, Credential, Edge, Epoch, Lineage, ListedEdge, LogHistory, LoggedChange, Millis,
    NumberedPresence, OnlineAccount, Profile, Request, RequestError, Revision, SeenNumber, User, Visibility,
};
use rosterd_engine::sync::delivery::{EventKey, KeptDelivery};
use rosterd_protocol::SnapshotRow;

/// How a store is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    /// How long to wait for another process that holds the database, before a write fails.
    pub busy_timeout: Duration,
    /// The time of writes.
    pub clock: StoreClock,
    /// Which fields of a profile each audience may see. Other rules than before begin a new history.
    pub visibility: Visibility,
    /// Whether to keep a change log. To keep none for once ends its history.
    pub keeps_log: bool,
    /// Whether presence transitions get numbers, so that they can be followed as the change log is.
    pub numbers_presence: bool,
}

impl Default for SqliteOptions {
    /// Five seconds, the clock of the machine, the default visibility, and a change log without presence.
    fn default() -> Self {
        let (clock, visibility) = (system_clock(), Visibility::default());
        Self { busy_timeout: Duration::from_secs(5), clock, visibility, keeps_log: true, numbers_presence: false }
    }
}

/// Opens the store at `path`, or creates it together with its directory. Blocks for as long as that takes.
///
/// Dropping the store closes it too, as soon as its last write is done; the feed ends then. [`Store::close`] waits for
/// that.
///
/// # Errors
/// One sentence for the operator, which names the path: the file is not a database of rosterd, is of a newer version,
/// is in use, or cannot be written. None of these changes the file.
pub fn open(path: &Path, options: SqliteOptions) -> Result<Opened, StoreError> {
    let (path, lock) = claim(path)?;
    let path = path.as_path();
    finish_restore(path)?;
    create_private(path).map_err(|e| StoreError(format!("cannot create the database {}: {e}", path.display())))?;
    let mut conn = connect(path, options.busy_timeout).map_err(|e| explain(path, &e.into()))?;
    let keeps = KeptForFollowers { log: options.keeps_log, presence: options.numbers_presence };
    let (meta, visibility) = schema::prepare(&mut conn, &options.visibility, keeps).map_err(|e| explain(path, &e))?;
    start(path, SqliteOptions { visibility, ..options }, lock, conn, &meta)
}

fn start(path: &Path, options: SqliteOptions, lock: File, conn: Connection, meta: &Meta) -> Result<Opened, StoreError> {
    let (messages, inbox) = mpsc::channel(BATCH);
    let (feed, commits) = mpsc::channel(FEED_CAPACITY);
    let (running, ended) = watch::channel(());
    let compacted = Arc::new(AtomicU64::new(meta.compacted));
    let head = Arc::new(AtomicU64::new(meta.revision));
    let (presence_numbers, seen) = PresenceNumbers::new(meta.seen);
    let rules = RulesInForce::new(options.visibility);
    let writer = Writer {
        conn,
        lock,
        clock: options.clock.clone(),
        rules: rules.clone(),
        revision: meta.revision,
        head: head.clone(),
        compacted: compacted.clone(),
        log: WriteAheadLog::new(path, options.busy_timeout),
        change_log: LogWriter::new(meta),
        presence_numbers,
        failing: false,
        feed,
        running,
    };
    let thread = thread::Builder::new().name("rosterd-store".into());
    thread.spawn(move || writer.run(inbox)).map_err(|e| StoreError(format!("cannot start the store's thread: {e}")))?;
    let readers = Readers::new(path.to_owned(), options.busy_timeout, READERS);
    // Logins wait for the others, and not behind those who read far back.
    let log_reader = Readers::new(path.to_owned(), options.busy_timeout, 1);
    let history = meta.history;
    let (clock, epoch) = (options.clock, meta.epoch);
    let store = Sqlite { readers, log_reader, messages, clock, rules, epoch, history, seen, head, compacted, ended };
    let store = Arc::new(store);
    let (log, audit, deliveries) = (store.clone(), store.clone(), store.clone());
    Ok(Opened { store, log, audit, deliveries, nodes: None, feed: commits, head: meta.revision })
}

fn connect(path: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    set_up(&conn, busy_timeout)?;
    Ok(conn)
}

struct Sqlite {
    /// Before `messages`, so that the writer closes the file last and removes its log.
    readers: Readers,
    /// Reads the change log.
    log_reader: Readers,
    messages: mpsc::Sender<Message>,
    clock: StoreClock,
    /// Replaced by the writer.
    rules: RulesInForce,
    epoch: Epoch,
    history: Option<LogHistory>,
    seen: Option<watch::Receiver<SeenNumber>>,
    /// Raised by the writer.
    head: Arc<AtomicU64>,
    /// Raised by the writer.
    compacted: Arc<AtomicU64>,
    /// Loses its sender when the writer has ended.
    ended: watch::Receiver<()>,
}

impl Sqlite {
    /// Sends the writer a message and waits for its answer.
    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.messages.send(message(answer)).await.map_err(|_| closed())?;
        answered.await.map_err(|_| broke_off())
    }
}

fn broke_off() -> StoreError {
    StoreError("the store broke off: whether this was done is not known".into())
}

impl Store for Sqlite {
    fn write(&self, write: Write) -> BoxFuture<'_, Written> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            self.messages.send(Message::Write(write, answer)).await.map_err(|_| closed())?;
            answered.await.unwrap_or_else(|_| Err(WriteError::Unknown(broke_off())))
        })
    }

    fn rehearse(&self, command: Command) -> BoxFuture<'_, Result<Result<Rehearsal, RequestError>, StoreError>> {
        let (head, now, visibility) = (self.head(), (self.clock)(), self.rules.get());
        Box::pin(self.readers.read(move |conn| {
            rehearse(&SqliteTables(conn), &command, CommitContext { head, now, visibility: &visibility })
        }))
    }

    fn users(&self, accounts: Vec<Account>) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        Box::pin(self.readers.read(move |conn| rows::profiles::users(conn, &accounts)))
    }

    fn users_followed_by(
        &self,
        viewer: Account,
        accounts: Vec<Account>,
        few: usize,
    ) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        Box::pin(self.readers.read(move |conn| rows::profiles::users_followed_by(conn, &viewer, &accounts, few)))
    }

    fn users_seen_by(&self, viewer: Account, accounts: Vec<Account>) -> BoxFuture<'_, Result<Vec<User>, StoreError>> {
        Box::pin(self.readers.read(move |conn| rows::profiles::users_seen_by(conn, &viewer, &accounts)))
    }

    fn profiles(
        &self,
        prefix: String,
        after: Option<Account>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Profile>, StoreError>> {
        let after = after.unwrap_or_else(Account::none);
        Box::pin(self.readers.read(move |conn| rows::profiles::profiles_from(conn, &prefix, after.as_str(), limit)))
    }

    fn page(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<Vec<Edge>, StoreError>> {
        Box::pin(self.readers.read(move |conn| rows::relations::page(conn, &owner, after.as_ref(), limit, since)))
    }

    fn listed(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<StorePage<ListedEdge>, StoreError>> {
        Box::pin(self.readers.read(move |conn| {
            let (lineage, _) = rows::extent(conn)?;
            let rows = rows::relations::listed(conn, &owner, after.as_ref(), limit, since)?;
            Ok(StorePage { rows, compacted: lineage.compacted })
        }))
    }

    fn relations(&self, account: Account, peers: Vec<Account>) -> BoxFuture<'_, Result<Relations, StoreError>> {
        Box::pin(self.readers.read(move |conn| rows::relations::between(conn, &account, &peers)))
    }

    fn requests(&self, account: Account, since: Option<Revision>) -> BoxFuture<'_, Result<Vec<Request>, StoreError>> {
        Box::pin(self.readers.read(move |conn| rows::relations::requests(conn, &account, since)))
    }

    fn blocks(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<StorePage<Block>, StoreError>> {
        Box::pin(self.readers.read(move |conn| {
            let (lineage, _) = rows::extent(conn)?;
            let rows = rows::relations::blocks(conn, &owner, after.as_ref(), limit, since)?;
            Ok(StorePage { rows, compacted: lineage.compacted })
        }))
    }

    fn login_rows(
        &self,
        account: Account,
        limit: usize,
        since: Option<Revision>,
        few: Option<usize>,
    ) -> BoxFuture<'_, Result<LoginRows, StoreError>> {
        Box::pin(self.readers.read(move |conn| {
            let (lineage, head) = rows::extent(conn)?;
            let own = |few| rows::profiles::users_followed_by(conn, &account, std::slice::from_ref(&account), few);
            Ok(LoginRows {
                lineage,
                head,
                credential: rows::credentials::credential(conn, &account)?,
                edges: rows::relations::listed(conn, &account, None, limit, since)?,
                requests: rows::relations::requests(conn, &account, since)?,
                blocks: rows::relations::blocks(conn, &account, None, limit, since)?,
                user: few.map(own).transpose()?.and_then(|mut found| found.pop()),
            })
        }))
    }

    fn frozen(&self, viewer: Account, owners: Vec<Account>) -> BoxFuture<'_, Result<Vec<Arc<Profile>>, StoreError>> {
        Box::pin(self.readers.read(move |conn| rows::profiles::frozen(conn, &viewer, &owners)))
    }

    fn stale_requests(&self, before: Millis, limit: usize) -> BoxFuture<'_, Result<Vec<Request>, StoreError>> {
        Box::pin(self.readers.read(move |conn| rows::relations::stale_requests(conn, before, limit)))
    }

    fn credential(&self, account: Account) -> BoxFuture<'_, Result<Credential, StoreError>> {
        Box::pin(self.readers.read(move |conn| rows::credentials::credential(conn, &account)))
    }

    fn put_seen(&self, seen: Vec<PresenceRow>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.ask(|answer| Message::Presence(seen, answer)).await? })
    }

    fn online(&self) -> BoxFuture<'_, Result<Vec<OnlineAccount>, StoreError>> {
        Box::pin(self.readers.read(rows::profiles::online))
    }

    fn compact(&self, before: Millis) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move { self.ask(|answer| Message::Compact(before, answer)).await? })
    }

    fn purge(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.ask(Message::Purge).await? })
    }

    fn rules(&self) -> &RulesInForce {
        &self.rules
    }

    fn put_rules(&self, rules: Visibility, instead_of: Arc<Visibility>) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async { self.ask(|answer| Message::Rules(QueuedRules { rules, instead_of, answer })).await? })
    }

    fn lineage(&self) -> Lineage {
        Lineage { epoch: self.epoch, compacted: self.compacted.load(Ordering::Acquire) }
    }

    fn head(&self) -> Revision {
        self.head.load(Ordering::Acquire)
    }

    fn ended(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let _ = self.ended.clone().changed().await;
        })
    }

    fn is_empty(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.readers.read(rows::profiles::is_empty))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.readers.close().await;
            self.log_reader.close().await;
            // An error means that it was closed before; then only the end of the writer is left to wait for.
            let _ = self.messages.send(Message::Close).await;
            self.ended().await;
        })
    }
}

impl ChangeLog for Sqlite {
    fn history(&self) -> Option<LogHistory> {
        self.history
    }

    fn log_page(&self, after: Revision) -> BoxFuture<'_, Result<LogPage, StoreError>> {
        Box::pin(self.log_reader.read(move |conn| rows::change_log::page(conn, after)))
    }

    fn log_change(&self, revision: Revision) -> BoxFuture<'_, Result<Option<LoggedChange>, StoreError>> {
        Box::pin(self.log_reader.read(move |conn| rows::change_log::change(conn, revision)))
    }

    fn log_extent(&self) -> BoxFuture<'_, Result<LogExtent, StoreError>> {
        Box::pin(self.log_reader.read(rows::change_log::extent))
    }

    fn seen(&self) -> Option<watch::Receiver<SeenNumber>> {
        self.seen.clone()
    }

    fn seen_page(
        &self,
        after: SeenNumber,
        until: SeenNumber,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<NumberedPresence>, StoreError>> {
        Box::pin(self.log_reader.read(move |conn| rows::profiles::seen_page(conn, after, until, limit)))
    }

    fn snapshot_page(
        &self,
        kind: SnapshotKind,
        after: Option<(Account, Account)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SnapshotRow>, StoreError>> {
        let read = move |conn: &Connection| rows::change_log::snapshot_page(conn, kind, after.as_ref(), limit);
        Box::pin(self.log_reader.read(read))
    }

    fn prune_log(&self, before: Millis, most: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move { self.ask(|answer| Message::Log(LogTask::Prune { before, most }, answer)).await? })
    }

    fn scrub_log(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async { self.ask(|answer| Message::Log(LogTask::Scrub, answer)).await? })
    }
}

impl AuditLog for Sqlite {
    fn record(&self, entry: AuditEntry) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.ask(|answer| Message::Record(entry, answer)).await? })
    }

    fn audit_page(&self, query: AuditQuery) -> BoxFuture<'_, Result<Vec<AuditRow>, StoreError>> {
        Box::pin(self.log_reader.read(move |conn| rows::audit::page(conn, &query)))
    }

    fn prune_audit(&self, before: Millis, most: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move { self.ask(|answer| Message::PruneAudit(before, most, answer)).await? })
    }
}

impl DeliveryStore for Sqlite {
    fn delivery(&self, name: String) -> BoxFuture<'_, Result<Option<KeptDelivery>, StoreError>> {
        Box::pin(self.log_reader.read(move |conn| rows::delivery::delivery(conn, &name)))
    }

    fn put_delivery(
        &self,
        name: String,
        kept: KeptDelivery,
        dead: Option<DeadLetter>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let task = DeliveryTask::Put { name, kept, dead };
        Box::pin(async move { self.ask(|answer| Message::Delivery(task, answer)).await?.map(drop) })
    }

    fn forget_deliveries(&self, except: Vec<String>, before: Millis) -> BoxFuture<'_, Result<(), StoreError>> {
        let task = DeliveryTask::Forget { except, before };
        Box::pin(async move { self.ask(|answer| Message::Delivery(task, answer)).await?.map(drop) })
    }

    fn dead_letters(
        &self,
        name: String,
        after: Option<EventKey>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>> {
        Box::pin(self.log_reader.read(move |conn| rows::delivery::dead_letters(conn, &name, after, limit)))
    }

    fn count_dead_letters(&self, name: String) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.log_reader.read(move |conn| rows::delivery::count(conn, &name)))
    }

    fn remove_dead_letter(&self, name: String, event: EventKey) -> BoxFuture<'_, Result<bool, StoreError>> {
        let task = DeliveryTask::RemoveDead { name, event };
        Box::pin(async move { self.ask(|answer| Message::Delivery(task, answer)).await? })
    }
}
