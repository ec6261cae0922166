//! What the writer and the tail ask of the database, and what it answers. All their I/O is behind these traits, so that a
//! simulation can stand in for a server.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::messages::StoreTask;
use super::options::Sharing;
use super::pg_error::PgResult;
use super::position::LogPosition;
use super::staged::Staged;
use super::waker::Waker;
use crate::store::{PresenceRow, StoredRules, Write};
use rosterd_engine::model::{Account, Change, LoggedChange, Millis, Revision, SeenNumber};

/// Which session of the server a connection is: its process, and when that began.
pub type WriterBackend = (i32, String);

/// Makes connections.
pub trait Database: Send + Sync + 'static {
    /// Connects to write.
    fn connect_writer(&self) -> BoxFuture<'_, PgResult<Arc<dyn WriterLink>>>;

    /// Connects to read the log, and tells `waker` from then on when another gateway has written.
    fn listen(&self, waker: Waker) -> BoxFuture<'_, PgResult<Arc<dyn LogLink>>>;

    /// Ends the sessions of writers that have held the lock for seconds without doing anything: their processes or networks
    /// stand still. One that waits for a standby is not ended, because its commit would be visible and not replicated.
    /// Returns what was ended.
    fn end_stuck_writers(&self) -> BoxFuture<'_, PgResult<Vec<i32>>>;

    /// Makes 64 random bits, as they are stored; never 0.
    ///
    /// # Errors
    /// The system has no randomness.
    fn random(&self) -> PgResult<i64>;
}

/// A connection that reads the log.
pub trait LogLink: Send + Sync + 'static {
    /// Reads the rows after a position, in one snapshot with the epoch. Rows of `own` come without their changes.
    fn tail(&self, after: Revision, own: i64) -> BoxFuture<'_, PgResult<LogTail>>;

    /// Reads the rules about who sees what.
    fn rules(&self) -> BoxFuture<'_, PgResult<StoredRules>>;
}

/// The connection that writes. Only one task uses it, and a transaction of it is one at a time.
pub trait WriterLink: Send + Sync + 'static {
    /// Returns whether the connection is known to be over.
    fn is_closed(&self) -> bool;

    /// Returns which session of the server this is, to be able to end it once it is out of reach.
    fn backend(&self) -> BoxFuture<'_, PgResult<WriterBackend>>;

    /// Takes the lock of the one gateway, or that of one of several. The session before may still have it if the network
    /// broke: then it is ended, unless it waits for a standby.
    fn take_gateway_lock(&self, sharing: Sharing, before: Option<WriterBackend>) -> BoxFuture<'_, PgResult<()>>;

    /// Gives it back.
    fn release_gateway_lock(&self, sharing: Sharing) -> BoxFuture<'_, ()>;

    /// Returns which server, which database and which schema this is.
    fn system(&self) -> BoxFuture<'_, PgResult<String>>;

    /// Begins a transaction, takes the lock of all writes, and reads where the history stands then.
    fn begin(&self) -> BoxFuture<'_, PgResult<Standing>>;

    /// Begins a transaction as [`Self::begin`] does, stores who came and went, and reads the rows that writes need. Also
    /// returns the last number of a presence transition, if one was given.
    fn begin_batch<'a>(
        &'a self,
        seen: PresenceNotes<'a>,
        writes: &'a [Write],
        staged: &'a mut Staged,
    ) -> BoxFuture<'a, PgResult<(Standing, Option<SeenNumber>)>>;

    /// Reads the rows that further writes need.
    fn read_more<'a>(&'a self, writes: &'a [Write], staged: &'a mut Staged) -> BoxFuture<'a, PgResult<()>>;

    /// Writes the rows of a batch and commits. The outer error says that it was not asked to commit; after the inner one that
    /// is no refusal, it may have. Returns the last number of a presence transition, if one was given.
    fn commit_batch<'a>(&'a self, rows: &'a BatchRows) -> BoxFuture<'a, PgResult<PgResult<Option<SeenNumber>>>>;

    /// Stores who came and went in a transaction of its own. Returns the last number of a transition, if one was given.
    fn note<'a>(&'a self, seen: PresenceNotes<'a>) -> BoxFuture<'a, PgResult<Option<SeenNumber>>>;

    /// Commits.
    fn commit(&self) -> BoxFuture<'_, PgResult<()>>;

    /// Undoes the transaction.
    fn rollback(&self) -> BoxFuture<'_, PgResult<()>>;

    /// Reads the rules about who sees what.
    fn rules(&self) -> BoxFuture<'_, PgResult<StoredRules>>;

    /// Reads the newest batch that begins at a revision or before it.
    fn position_at(&self, head: Revision) -> BoxFuture<'_, PgResult<Option<LogPosition>>>;

    /// Keeps on which server and timeline the history goes on.
    fn put_identity(&self, identity: String) -> BoxFuture<'_, PgResult<()>>;

    /// Begins another epoch, and ends the history of the log.
    fn begin_epoch(&self, epoch: i64) -> BoxFuture<'_, PgResult<()>>;

    /// Returns whether the server warned since the last time: a commit did not wait for the standby to the end.
    fn warned(&self) -> bool;

    /// Commits something without a meaning, which waits for the standby.
    fn write_marker(&self) -> BoxFuture<'_, PgResult<()>>;

    /// Says this word to all gateways, on the channel on which they say that they have written.
    fn tell(&self, word: String) -> BoxFuture<'_, PgResult<()>>;

    /// Does something else in the transaction that [`Self::begin`] began, or in one of its own if there is no standing, and
    /// commits.
    fn carry_out(
        &self,
        task: StoreTask,
        standing: Option<Standing>,
        is_shared: bool,
    ) -> BoxFuture<'_, PgResult<TaskDone>>;
}

/// What a task came to.
#[derive(Debug, Default, Clone, Copy)]
pub struct TaskDone {
    /// A number of things, or 1 if there was something to do.
    pub count: u64,
    /// Up to where tombstones are dropped, if it is known.
    pub compacted: Revision,
}

/// Who came and went.
#[derive(Debug, Clone, Copy)]
pub struct PresenceNotes<'a> {
    /// In the order in which they did.
    pub rows: &'a [PresenceRow],
    /// Whether each transition gets a number.
    pub numbers: bool,
    /// Whether other gateways know of accounts, too.
    pub is_shared: bool,
}

/// What a batch writes.
pub struct BatchRows {
    /// The rows, each as it is at the end.
    pub staged: Staged,
    /// What its rows in the log have in common.
    pub feed: FeedBatch,
    /// The changes, for the log.
    pub changes: Vec<Change>,
    /// The accounts that began or ceased to hide and get a number for it.
    pub numbered: Vec<Account>,
    /// Whether old rows of the log are dropped with it.
    pub drops_old: bool,
}

impl BatchRows {
    /// Returns whether it writes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.staged.is_clean()
    }
}

/// What all rows of one batch have in common.
#[derive(Debug, Clone, Copy)]
pub struct FeedBatch {
    /// The epoch.
    pub epoch: i64,
    /// Random: it tells this batch from another that took the same revisions.
    pub nonce: i64,
    /// When.
    pub time: Millis,
    /// Which process writes it.
    pub writer: i64,
    /// Whether somebody reads the log; otherwise the rows have no changes, and there is only one.
    pub kept: bool,
}

/// What follows a position in the log, for another gateway.
#[derive(Debug, Clone)]
pub struct LogTail {
    /// The epoch in the same snapshot.
    pub epoch: i64,
    /// Up to where tombstones are dropped.
    pub compacted: Revision,
    /// The number of the last presence transition.
    pub seen: SeenNumber,
    /// The number of the rules about who sees what.
    pub rules: i64,
    /// In the order of their revisions.
    pub rows: Vec<TailRow>,
    /// Whether there may be more.
    pub is_full: bool,
}

/// A row of the log.
#[derive(Debug, Clone)]
pub struct TailRow {
    /// Its first revision.
    pub first: Revision,
    /// Its last revision.
    pub last: Revision,
    /// That of its batch.
    pub nonce: i64,
    /// Which process wrote it.
    pub writer: i64,
    /// How long before the reading it was written.
    pub age: Duration,
    /// None if the reader wrote it itself.
    pub changes: Vec<LoggedChange>,
}

/// Where the history of the database stands, read under the lock.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The last revision.
    pub head: Revision,
    /// The nonce of the batch that took it.
    pub nonce: i64,
    /// The time of that batch.
    pub time: Millis,
    /// The database's clock.
    pub clock: Millis,
    /// The timeline of the server.
    pub timeline: String,
    /// The epoch.
    pub epoch: i64,
    /// Up to where tombstones are dropped.
    pub compacted: Revision,
    /// The number of the last presence transition.
    pub seen: SeenNumber,
    /// The number of the rules about who sees what.
    pub rules: i64,
    /// The server and timeline on which the epoch is known to go on.
    pub identity: String,
    /// How long ago the transaction began; under the lock, how long it waited for that.
    pub waited: Duration,
}
