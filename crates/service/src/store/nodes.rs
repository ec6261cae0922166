//! What gateways that share a store know of each other: who is there, which sessions each has, and messages between them.

use futures::future::BoxFuture;

use super::error::StoreError;
use rosterd_engine::model::{Millis, NodeId, Revision};
use rosterd_engine::sync::session_directory::SessionChange;
use rosterd_protocol::v1;

/// A session's change as nodes tell each other.
pub type NodeSessionChange = SessionChange<v1::Device>;

/// A gateway that joins the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoiningNode {
    /// What operators call it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The settings that all nodes must have alike, each as `key=value`.
    pub rules: Vec<String>,
    /// How long a node's beat may stand still.
    pub dead_after: Millis,
}

/// What a node says of itself with each beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeBeat {
    /// The last revision that its clients may have seen.
    pub applied: Revision,
    /// How long its accounts count as being there after this, in milliseconds, if it has begun to stop.
    pub stops: Option<Millis>,
    /// What operators may know of it, in JSON.
    pub status: String,
    /// How long changes of sessions that have ended are kept for others.
    pub keep_ended: Millis,
}

/// A node as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its id.
    pub id: NodeId,
    /// What operators call it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started: Millis,
    /// Counts up while it lives.
    pub beat: u64,
    /// When it counted last, by the database's clock.
    pub beat_time: Millis,
    /// The last revision that its clients may have seen.
    pub applied: Revision,
    /// Whether it serves.
    pub phase: NodePhase,
    /// What operators may know of it, in JSON.
    pub status: String,
}

/// Whether a node serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodePhase {
    /// It serves.
    Serves,
    /// It stops since then; its accounts count as being there for the grace.
    Stops {
        /// Since when.
        since: Millis,
        /// For how long.
        grace: Millis,
    },
    /// Others have called it dead: it may not come back under this id.
    Dead,
}

/// What a beat found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLook {
    /// Whether the own row was there. If not, others have called this node dead.
    pub is_known: bool,
    /// The database's clock.
    pub now: Millis,
    /// All other nodes.
    pub others: Vec<NodeRow>,
}

/// Some changes of the sessions of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSessionsPage {
    /// The node.
    pub node: NodeId,
    /// Whether it serves.
    pub phase: NodePhase,
    /// In the order of their numbers.
    pub changes: Vec<NodeSessionChange>,
}

/// Keeps what the nodes that share a store know of each other.
pub trait NodeStore: Send + Sync + 'static {
    /// Adds a node.
    ///
    /// # Errors
    /// Another that lives has other settings where all must have the same; or the store is away.
    fn join(&self, node: JoiningNode) -> BoxFuture<'_, Result<NodeId, StoreError>>;

    /// Counts this node's beat, and looks at all others.
    fn beat(&self, me: NodeId, beat: NodeBeat) -> BoxFuture<'_, Result<NodeLook, StoreError>>;

    /// Stores changes of this node's sessions, and wakes the others. It may be done again with the same.
    fn put_sessions(&self, me: NodeId, changes: Vec<NodeSessionChange>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Returns what other nodes' sessions did after these numbers, a bounded part of it: all of it is read once nothing comes.
    fn read_sessions(
        &self,
        me: NodeId,
        read: Vec<(NodeId, u64)>,
    ) -> BoxFuture<'_, Result<Vec<NodeSessionsPage>, StoreError>>;

    /// Calls a node dead, unless its beat has moved since. Returns whether it is dead; it may not come back under its id then.
    fn call_dead(&self, node: NodeId, beat: u64) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Removes a dead node with its sessions, and notes that accounts that are nowhere else have gone.
    fn bury(&self, node: NodeId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Sends messages; they may get lost.
    fn send(&self, messages: Vec<(NodeId, Vec<u8>)>) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Takes the messages that have come, a bounded number.
    fn receive(&self, me: NodeId) -> BoxFuture<'_, Result<Vec<Vec<u8>>, StoreError>>;

    /// Takes or renews what one node at a time does for all, for this long. Returns whose it is now.
    fn lease(&self, me: NodeId, name: &'static str, length: Millis) -> BoxFuture<'_, Result<NodeId, StoreError>>;

    /// Gives it up, if it is this node's.
    fn release(&self, me: NodeId, name: &'static str) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Resolves once there may be something to read or to receive. It may miss that.
    fn told(&self) -> BoxFuture<'_, ()>;
}
