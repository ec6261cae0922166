//! The change log of a store: the committed changes of the last days, for those who follow them from outside.
//!
//! The store writes it in the transaction of the changes. A reader keeps its own position, the last revision that it has,
//! and does not hold the log: beyond the retention changes are dropped, and the reader is told so.

use futures::future::BoxFuture;
use tokio::sync::watch;

use super::error::StoreError;
use rosterd_engine::model::{Account, LogHistory, LoggedChange, Millis, NumberedPresence, Revision, SeenNumber};
use rosterd_protocol::SnapshotRow;

/// The most changes of a page.
pub const LOG_PAGE: usize = 1000;

/// The changes after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// The first position from which nothing is missing. A reader whose own is lower has missed changes.
    pub floor: Revision,
    /// In commit order, at most [`LOG_PAGE`]; none if there are no later ones, or if the reader has missed some.
    pub changes: Vec<LoggedChange>,
}

/// What a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogExtent {
    /// The first position from which nothing is missing.
    pub floor: Revision,
    /// The time of the oldest change; `None` if there is none.
    pub since: Option<Millis>,
    /// The size of its changes.
    pub bytes: u64,
}

/// The kinds of records of a snapshot, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum SnapshotKind {
    Users,
    Friends,
    Requests,
    Blocks,
    Credentials,
}

impl SnapshotKind {
    /// The kinds of a snapshot, in order. Credentials are in no snapshot, because one goes over HTTP.
    pub const ALL: [Self; 4] = [Self::Users, Self::Friends, Self::Requests, Self::Blocks];
}

/// A store's change log, and the snapshots that one begins with to follow it.
pub trait ChangeLog: Send + Sync + 'static {
    /// Returns the identity of the log. It is another one if changes may be missing. `None` if no log is kept.
    fn history(&self) -> Option<LogHistory>;

    /// Returns changes after a position, with what was erased since taken out.
    fn log_page(&self, after: Revision) -> BoxFuture<'_, Result<LogPage, StoreError>>;

    /// Returns the change of a revision, with what was erased since taken out; `None` if it is not kept.
    fn log_change(&self, revision: Revision) -> BoxFuture<'_, Result<Option<LoggedChange>, StoreError>>;

    /// Returns what the log holds.
    fn log_extent(&self) -> BoxFuture<'_, Result<LogExtent, StoreError>>;

    /// Returns the number of the last presence transition that is durable, and notice of later ones. `None` if transitions
    /// get no numbers.
    fn seen(&self) -> Option<watch::Receiver<SeenNumber>>;

    /// Returns the presence of the accounts whose last transition came after a number and not after another: at most
    /// `limit`, in order of their numbers.
    fn seen_page(
        &self,
        after: SeenNumber,
        until: SeenNumber,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<NumberedPresence>, StoreError>>;

    /// Returns the records of a kind that are there now, without removed ones: at most `limit`, in the order of their two
    /// accounts, after `after`. An account has an empty second one.
    fn snapshot_page(
        &self,
        kind: SnapshotKind,
        after: Option<(Account, Account)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<SnapshotRow>, StoreError>>;

    /// Drops the oldest changes while they are older than `before`, or the log is larger than `most` bytes. It drops a
    /// bounded number at a time, and returns whether it dropped any.
    fn prune_log(&self, before: Millis, most: u64) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Takes the personal data of deleted accounts out of a part of the log, and returns whether there was something to do.
    fn scrub_log(&self) -> BoxFuture<'_, Result<bool, StoreError>>;
}
