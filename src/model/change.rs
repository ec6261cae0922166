//! Writes: the commands that ask for them, the rows they make, and the committed change everyone hears of.

use std::sync::Arc;

use super::{Account, Edge, Patch, Profile, SessionId, Stamp};

/// One write asked for, whoever asks: a client, the backend, or an import. Its parts are already checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Change an account's profile.
    SetProfile {
        /// Whose.
        account: Account,
        /// What to change.
        patch: Patch,
        /// Make the account if it does not exist.
        create: bool,
        /// Change nothing unless the profile still has this version.
        if_version: Option<u64>,
    },
    /// Delete an account with its profile and every edge from and to it.
    DeleteUser {
        /// Whose.
        account: Account,
    },
    /// Make two accounts friends of each other.
    Befriend {
        /// One of them.
        account: Account,
        /// The other.
        peer: Account,
    },
    /// End a friendship, in both directions.
    Unfriend {
        /// One of them.
        account: Account,
        /// The other.
        peer: Account,
    },
}

/// One row as it stands after a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A profile, made or changed.
    Profile(Arc<Profile>),
    /// A profile that is no more.
    Gone {
        /// Whose it was.
        account: Account,
        /// The version at which it went.
        version: u64,
    },
    /// An edge, made, changed or removed.
    Edge(Edge),
}

/// One committed write, as the feed tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its position in commit order.
    pub stamp: Stamp,
    /// The session that asked for it, which gets an answer instead of a push.
    pub origin: Option<SessionId>,
    /// What it wrote; each row at most once.
    pub rows: Vec<Row>,
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Something new was made.
    Created,
    /// Something was changed or removed.
    Changed,
    /// All was so already; no version, no stamp, no push.
    Unchanged,
}

/// The answer to a command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What became of it.
    pub outcome: Outcome,
    /// For [`Command::SetProfile`], the profile as it now stands.
    pub profile: Option<Arc<Profile>>,
}
