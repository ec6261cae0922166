//! Durable rows: profiles, edges, requests, blocks and their tombstones, and the feed of what was committed.
//!
//! A store reads what a command needs, lets [`rosterd_engine::sync::decide`] decide, writes the rows and makes them
//! durable; it decides nothing itself. Every adapter passes the same conformance suite
//! (`tests/suite/store/mod.rs`). [`sqlite`] is the only one in the binary; `tests/memory-store` is one for tests. Another
//! one implements [`Store`], with [`commit`] for the part that all adapters share.

pub mod commit;
pub mod sqlite;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use rosterd_engine::model::{
    Account, Answer, Block, Change, Command, Credential, Edge, Lineage, Millis, OnlineAccount, Profile, Request,
    RequestError, Revision, SessionId, User,
};

/// The capacity of the feed: how many batches may wait for its consumer before the store stops committing.
///
/// No more than one: writes that would form a second batch are better added to the first, with one sync for both.
pub const FEED_CAPACITY: usize = 1;

/// How many tombstones one [`Store::compact`] drops at most, so that writes never wait long behind it.
pub const COMPACTION_LIMIT: usize = 1000;

/// Tells a store the time of its writes.
pub type StoreClock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// The clock of the machine.
#[must_use]
pub fn system_clock() -> StoreClock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
    })
}

/// A store could not do what it was asked; nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Why a write was not done. Of a write of several commands, none was done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// A command was refused by its decision.
    #[error("{error}")]
    Refused {
        /// Which one.
        at: usize,
        /// Why.
        error: RequestError,
    },
    /// The rows could not be made durable.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

/// The result of a write: an answer for every command, in order.
pub type Written = Result<Vec<Answer>, WriteError>;

/// Commands that are carried out together or not at all.
#[derive(Debug)]
pub struct Write {
    /// In this order, each seeing the ones before.
    pub commands: Vec<Command>,
    /// The session that asks, if one does.
    pub origin: Option<SessionId>,
}

/// What one commit made durable, on its way to the hub.
///
/// The answers travel with it: the consumer applies the changes, then calls [`CommitBatch::answer`]. So whoever saw an
/// answer reads nothing older from this node.
#[derive(Debug)]
pub struct CommitBatch {
    /// In commit order; revisions ascend through all batches.
    pub changes: Vec<Change>,
    /// Who waits, and what for.
    pub answers: Vec<(oneshot::Sender<Written>, Written)>,
    /// When it became durable.
    pub committed: Instant,
}

impl CommitBatch {
    /// Tells everyone who waits for this commit. One that stopped waiting is no matter: the write stands.
    pub fn answer(self) {
        for (waiting, answer) in self.answers {
            let _ = waiting.send(answer);
        }
    }
}

/// What is between an account and some others.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Relations {
    /// Whom of them it lists.
    pub edges: Vec<Edge>,
    /// Requests from and to them that it may know of.
    pub requests: Vec<Request>,
    /// Whom of them it blocks.
    pub blocks: Vec<Block>,
}

/// What a session that logs in needs to be told where its client stands.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LoginRows {
    /// What is known of the account's tokens.
    pub credential: Credential,
    /// The first page of its edges, as of [`Store::page`].
    pub edges: Vec<Edge>,
    /// Its requests, as of [`Store::requests`].
    pub requests: Vec<Request>,
    /// The first page of its blocks, as of [`Store::blocks`].
    pub blocks: Vec<Block>,
}

/// That an account came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceRow {
    /// Who.
    pub account: Account,
    /// Whether it is online now.
    pub online: bool,
    /// When it came or went.
    pub time: Millis,
}

/// An open store, and the one feed of its commits.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Commits, in order; must be consumed for writes to be answered.
    pub feed: mpsc::Receiver<CommitBatch>,
    /// The last revision committed.
    pub head: Revision,
}

/// What the service needs of a store. Reads see every write answered before them.
pub trait Store: Send + Sync + 'static {
    /// Decides and commits. Resolves after the change is durable and this node's hub has applied it.
    fn write(&self, write: Write) -> BoxFuture<'_, Written>;

    /// Those of the accounts that exist, in any order.
    fn users(&self, accounts: Vec<Account>) -> BoxFuture<'_, Result<Vec<User>, StoreError>>;

    /// One page of an owner's edges: at most `limit`, in order of the peer, after `after`. Live ones, and with
    /// `since` also tombstones of a later version.
    fn page(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<Vec<Edge>, StoreError>>;

    /// Everything between `account` and these peers as `account` may know it, tombstones included.
    fn relations(&self, account: Account, peers: Vec<Account>) -> BoxFuture<'_, Result<Relations, StoreError>>;

    /// The requests from and to an account that it may know of, in order of the other side: open ones, and with
    /// `since` also closed ones of a later version.
    fn requests(&self, account: Account, since: Option<Revision>) -> BoxFuture<'_, Result<Vec<Request>, StoreError>>;

    /// One page of an owner's blocks, as [`Store::page`] does for edges.
    fn blocks(
        &self,
        owner: Account,
        after: Option<Account>,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<Vec<Block>, StoreError>>;

    /// What a login reads, at once: a read costs more than what it finds.
    fn login_rows(
        &self,
        account: Account,
        limit: usize,
        since: Option<Revision>,
    ) -> BoxFuture<'_, Result<LoginRows, StoreError>>;

    /// The profiles of those owners that block `viewer`, each as it was when the block began, in any order.
    fn frozen(&self, viewer: Account, owners: Vec<Account>) -> BoxFuture<'_, Result<Vec<Arc<Profile>>, StoreError>>;

    /// Open requests made before a time, the oldest first.
    fn stale_requests(&self, before: Millis, limit: usize) -> BoxFuture<'_, Result<Vec<Request>, StoreError>>;

    /// What is known of an account's tokens, whether or not it exists.
    fn credential(&self, account: Account) -> BoxFuture<'_, Result<Credential, StoreError>>;

    /// Notes who is online, and when who was last; later ones win. Of accounts that do not exist it notes nothing.
    /// Neither a change nor told to anyone: durable by the next commit.
    fn put_seen(&self, seen: Vec<PresenceRow>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The accounts that were noted as online, in any order.
    fn online(&self) -> BoxFuture<'_, Result<Vec<OnlineAccount>, StoreError>>;

    /// Drops tombstones, closed requests and ended blocks that are older than `before` and raises the floor past them; a bounded number at a time.
    /// Answers how many it dropped: 0 means that none is left.
    fn compact(&self, before: Millis) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// The store's lineage as it stands. The floor rises before the tombstones under it can be missing: whoever
    /// asks *after* its last [`Store::page`] and finds the floor at or below its cursor has missed none.
    fn lineage(&self) -> Lineage;

    /// Whether no account exists.
    fn is_empty(&self) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Carries out what was asked so far, then takes no more. Resolves when all of it is released: the next opener
    /// succeeds. The feed must be consumed meanwhile; it ends.
    fn close(&self) -> BoxFuture<'_, ()>;
}
