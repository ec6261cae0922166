//! Stores profiles, edges, requests, blocks and their tombstones durably, and feeds commits to the hub.
//!
//! A store reads what a command needs, lets [`rosterd_engine::sync::decide`] decide, writes the rows and makes them
//! durable; it decides nothing itself. Every adapter passes the same conformance suite (`tests/suite/store/mod.rs`).
//! [`sqlite`] and [`postgres`] are the adapters in the binary; `tests/memory-store` has one for tests. A further one
//! implements [`Store`] and uses [`commit`], the part that all adapters share.

mod audit;
mod change_log;
mod columns;
pub mod commit;
pub mod copied_rows;
mod delivery;
mod error;
pub mod log_rows;
pub mod nodes;
pub mod postgres;
mod rules_in_force;
pub mod sqlite;
mod stored_rules;

pub use self::audit::{AuditEntry, AuditLog, AuditQuery, AuditRow, erased_subject};
pub use self::change_log::{ChangeLog, LOG_PAGE, LogExtent, LogPage, SnapshotKind};
pub use self::delivery::{DEAD_LETTERS, DeadLetter, DeliveryStore};
pub use self::error::StoreError;
pub use self::rules_in_force::{RulesInForce, RulesObserver};
pub use self::stored_rules::StoredRules;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use rosterd_engine::model::{
    Account, Answer, Block, Change, Command, Credential, DeviceKind, Edge, Lineage, ListedEdge, Millis, OnlineAccount,
    Profile, Request, RequestError, Revision, SeenPresence, User, Visibility, WriteOrigin,
};

/// The capacity of the feed: how many batches may wait for its consumer before the store stops committing.
///
/// No more than one: writes that would form a second batch are better added to the first, with one sync for both.
pub const FEED_CAPACITY: usize = 1;

/// How many tombstones one [`Store::compact`] drops at most, so that writes never wait long behind it.
pub const COMPACTION_LIMIT: usize = 1000;

/// Gives a store the time of its writes.
pub type StoreClock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// Returns the clock of the machine.
#[must_use]
pub fn system_clock() -> StoreClock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    })
}

/// Why a write was not carried out. Of a write of several commands, none was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// A command was refused by its decision.
    #[error("{error}")]
    Refused {
        /// The position of the command in the write.
        at: usize,
        /// The answer to the command.
        error: RequestError,
    },
    /// The rows could not be made durable.
    #[error(transparent)]
    Failed(#[from] StoreError),
    /// Whether it was carried out is not known.
    #[error("{0}")]
    Unknown(StoreError),
}

/// The result of a write: an answer for every command, in order.
pub type Written = Result<Vec<Answer>, WriteError>;

/// Commands that are carried out together or not at all.
#[derive(Debug)]
pub struct Write {
    /// In this order; each sees the rows of those before.
    pub commands: Vec<Command>,
    /// Who asks for them.
    pub origin: WriteOrigin,
}

/// What a command would come to now.
#[derive(Debug)]
pub struct Rehearsal {
    /// The answer that it would have.
    pub answer: Answer,
    /// The profiles that it rests on, as they are.
    pub users: Vec<Arc<Profile>>,
}

/// One commit, on its way to the hub.
///
/// The answers travel with it: the consumer applies the changes and then calls [`CommitBatch::answer`]. So a caller
/// that has its answer reads nothing older from this node.
#[derive(Debug)]
pub struct CommitBatch {
    /// In commit order; revisions ascend through all batches.
    pub changes: Vec<Change>,
    /// The callers that wait, and the answer to each.
    pub answers: Vec<(oneshot::Sender<Written>, Written)>,
    /// When the commit became durable.
    pub committed: Instant,
}

impl CommitBatch {
    /// Answers every caller that waits for this commit. A caller that stopped waiting changes nothing: the write
    /// stands.
    pub fn answer(self) {
        for (waiting, answer) in self.answers {
            let _ = waiting.send(answer);
        }
    }
}

/// The relations between an account and some others.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Relations {
    /// Its edges to them.
    pub edges: Vec<Edge>,
    /// The requests from and to them that the account may see.
    pub requests: Vec<Request>,
    /// Its blocks of them.
    pub blocks: Vec<Block>,
}

/// Rows that were read, and how far back their snapshot goes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct StorePage<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Tombstones up to this revision may be missing among them.
    pub compacted: Revision,
}

/// The rows that a login needs to find out how far its client is, all of one snapshot.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LoginRows {
    /// The history that the snapshot belongs to, and how far back it goes.
    pub lineage: Lineage,
    /// The last revision in the snapshot.
    pub head: Revision,
    /// Its static token and the time of the last revocation.
    pub credential: Credential,
    /// The first page of its edges, as of [`Store::listed`].
    pub edges: Vec<ListedEdge>,
    /// Its requests, as of [`Store::requests`].
    pub requests: Vec<Request>,
    /// The first page of its blocks, as of [`Store::blocks`].
    pub blocks: Vec<Block>,
    /// The account itself, if it was asked for and exists. It may be newer than the snapshot.
    pub user: Option<User>,
}

/// How an account is seen: whether it seems to be online, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceRow {
    /// The account.
    pub account: Account,
    /// The account that sees it so, which it blocks or has blocked; `None` for all other friends.
    pub peer: Option<Account>,
    /// What they see; `None` for a peer that sees what others see.
    pub seen: Option<SeenPresence>,
    /// The kinds of devices that friends see beside it; not stored of a peer.
    pub devices: Vec<DeviceKind>,
}

/// An open store, and the one feed of its commits.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its change log.
    pub log: Arc<dyn ChangeLog>,
    /// Its audit log.
    pub audit: Arc<dyn AuditLog>,
    /// What is kept of deliveries to endpoints.
    pub deliveries: Arc<dyn DeliveryStore>,
    /// What the gateways that share the store know of each other; `None` for one that is alone.
    pub nodes: Option<Arc<dyn nodes::NodeStore>>,
    /// Commits, in order. It must be consumed, or no write is answered.
    pub feed: mpsc::Receiver<CommitBatch>,
    /// The last revision committed.
    pub head: Revision,
}

/// A durable store, as the service uses it. Reads see every write that was answered before them.
pub trait Store: Send + Sync + 'static {
    /// Decides and commits a write. Resolves once the change is durable and the hub of this node has applied it.
    fn write(&self, write: Write) -> BoxFuture<'_, Written>;

    /// Decides a command on the current rows without writing anything, and without the writer.
    /// The inner error is the command's.
    fn rehearse(&self, command: Command) -> BoxFuture<'_, Result<Result<Rehearsal, RequestError>, StoreError>>;

    /// Returns those of the accounts that exist with all their blocks, in any order.
    fn users(&self, accounts: Vec<Account>) -> BoxFuture<'_, Result<Vec<User>, StoreError>>;

    /// Returns those of the accounts that exist, in any order, as a session of `viewer` needs them to follow them. Of an
    /// account that has more than `few` live blocks these come with no others than that of `viewer`, and those whose peer
    /// still sees the account online.
    fn users_followed_by(
        &self,
        viewer: Account,
        accounts: Vec<Account>,
        few: usize,
    ) -> BoxFuture<'_, Result<Vec<User>, StoreError>>;

    /// Returns those of the accounts that exist, in any order, with no other blocks than those of `viewer`. An account may
    /// block thousands of others, and a look-up must not read them all.
    fn users_seen_by(&self, viewer: Account, accounts: Vec<Account>) -> BoxFuture<'_, Result<Vec<User>, StoreError>>;

    /// Returns the profiles whose account begins with a text: at most `limit`, in order of the account, after `after`.
    fn profiles(
        &self,
        prefix: String,
        after: Option<Account>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Profile>, StoreError>>;

    /// Returns one page of an owner's edges: at most `limit`, in order of the peer, after `after`. These are the live
    /// ones and, with `since`, also tombstones of a later version.
    fn page(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<Vec<Edge>, StoreError>>;

    /// Returns the same page for a reader that has every edge up to `since`: of these it may leave out everything but the
    /// version, and so reads much less.
    fn listed(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<StorePage<ListedEdge>, StoreError>>;

    /// Returns all relations between `account` and these peers that `account` may see, tombstones included.
    fn relations(&self, account: Account, peers: Vec<Account>) -> BoxFuture<'_, Result<Relations, StoreError>>;

    /// Returns the requests from and to an account that it may see, in order of the other side: the open ones and, with
    /// `since`, also closed ones of a later version.
    fn requests(&self, account: Account, since: Option<Revision>) -> BoxFuture<'_, Result<Vec<Request>, StoreError>>;

    /// Returns one page of an owner's blocks, as [`Store::page`] does for edges.
    fn blocks(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<StorePage<Block>, StoreError>>;

    /// Reads everything that a login needs in one call, because a call costs more than the rows that it finds. With `few`
    /// that is also the account itself, as [`Store::users_followed_by`] returns it.
    fn login_rows(
        &self,
        account: Account,
        limit: usize,
        since: Option<Revision>,
        few: Option<usize>,
    ) -> BoxFuture<'_, Result<LoginRows, StoreError>>;

    /// Returns the profiles of those owners that block `viewer`, each as it was when the block began, in any order.
    fn frozen(&self, viewer: Account, owners: Vec<Account>) -> BoxFuture<'_, Result<Vec<Arc<Profile>>, StoreError>>;

    /// Returns open requests that were made before a time, the oldest first.
    fn stale_requests(&self, before: Millis, limit: usize) -> BoxFuture<'_, Result<Vec<Request>, StoreError>>;

    /// Returns the static token and the revocation of an account, whether or not the account exists.
    fn credential(&self, account: Account) -> BoxFuture<'_, Result<Credential, StoreError>>;

    /// Stores how accounts are seen; later rows win, and accounts and blocks that do not exist are skipped. This is no change: it gets no revision, is not on the feed, and is durable by the next commit.
    fn put_seen(&self, seen: Vec<PresenceRow>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Returns the accounts that are stored as seen online, in any order.
    fn online(&self) -> BoxFuture<'_, Result<Vec<OnlineAccount>, StoreError>>;

    /// Drops at most [`COMPACTION_LIMIT`] tombstones, closed requests and ended blocks that are older than `before`,
    /// except ended blocks that still decide what the peer sees, and raises the compacted revision past them. Returns how many it dropped; 0 means that none is left.
    fn compact(&self, before: Millis) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Removes what was erased from every file that still holds it, such as a log of older states. Does nothing if
    /// nothing was erased since the last time.
    fn purge(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Returns the rules about who sees what that writes are decided by, with those before while a change is under way.
    fn rules(&self) -> &RulesInForce;

    /// Decides by other rules from now on, unless others than `instead_of` hold by now. They are kept with the store, so that
    /// one that is opened later knows of a change that is not complete. Returns whether it does.
    fn put_rules(&self, rules: Visibility, instead_of: Arc<Visibility>) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Returns the lineage of the store, as far as it is known here. That of a snapshot comes with what was read from it.
    fn lineage(&self) -> Lineage;

    /// Returns the last revision committed here. It runs ahead of the feed's consumer.
    fn head(&self) -> Revision;

    /// Resolves once the store takes no more calls: it was closed, or broke off.
    fn ended(&self) -> BoxFuture<'_, ()>;

    /// Returns whether no account exists.
    fn is_empty(&self) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Carries out the calls so far and takes no further ones. Resolves once everything is released and another process
    /// can open the store. The feed must be consumed meanwhile; it ends.
    fn close(&self) -> BoxFuture<'_, ()>;
}
