//! The stream of changes: what differs from the snapshot that its reader saw last, and messages that are not kept.

use std::sync::Arc;

use rosterd_protocol::v1;
use tokio::sync::{broadcast, watch};

use super::error::RosterdError;
use super::snapshot::ClientSnapshot;

/// How many messages wait for a reader that is slow. Snapshots do not wait: a slow reader gets the newest.
pub(super) const NOTICES: usize = 256;

/// A message that is in no snapshot.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ClientNotice {
    Signal { from: String, payload: String },
    Error(RosterdError),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientChange {
    /// What the client holds, or its connection, is otherwise.
    Snapshot(SnapshotChange),
    /// Another account sent a signal. Its newest profile is in the snapshot already.
    Signal {
        /// Who sent it.
        from: String,
        /// Its text.
        payload: String,
    },
    /// Something failed that no caller waits for.
    Error(RosterdError),
    /// The reader was so slow that so many signals and errors are lost for it. Of what the client holds nothing is.
    Missed(u64),
}

/// Two snapshots, one later than the other.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotChange {
    /// The one that the reader saw before.
    pub before: Arc<ClientSnapshot>,
    /// The newest.
    pub after: Arc<ClientSnapshot>,
}

impl SnapshotChange {
    /// Returns whether the account's own profile is otherwise, or what is pending of it.
    #[must_use]
    pub fn me(&self) -> bool {
        self.before.me != self.after.me || self.before.pending != self.after.pending
    }

    /// Returns the accounts whose profiles came, changed or went.
    #[must_use]
    pub fn users(&self) -> Vec<String> {
        self.after.users.changed_since(&self.before.users)
    }

    /// Returns the accounts that became friends, are none any more, or have other notes.
    #[must_use]
    pub fn friends(&self) -> Vec<String> {
        self.after.friends.changed_since(&self.before.friends)
    }

    /// Returns whether requests came or ended.
    #[must_use]
    pub fn requests(&self) -> bool {
        self.before.requests != self.after.requests
    }

    /// Returns the requests that were open and are not any more, as they ended: their `state` says how.
    ///
    /// One of which the client does not know how it ended is not among them: a full sync brings open requests only.
    #[must_use]
    pub fn ended_requests(&self) -> Vec<v1::Request> {
        let is_open = |request: &v1::Request| request.state == v1::RequestState::Open as i32;
        let open = self.before.all_requests.iter().filter(|(_, request)| is_open(request));
        let now = open.filter_map(|(key, _)| self.after.all_requests.get(key));
        now.filter(|request| !is_open(request)).cloned().collect()
    }

    /// Returns the accounts that are blocked, or are not any more.
    #[must_use]
    pub fn blocks(&self) -> Vec<String> {
        self.after.blocks.changed_since(&self.before.blocks)
    }

    /// Returns the accounts that came online or went offline, or whose presence is not shown any more.
    #[must_use]
    pub fn presence(&self) -> Vec<String> {
        self.after.presence.changed_since(&self.before.presence)
    }

    /// Returns whether sessions of the account came or went.
    #[must_use]
    pub fn sessions(&self) -> bool {
        self.before.sessions != self.after.sessions
    }

    /// Returns whether the connection is otherwise.
    #[must_use]
    pub fn connection(&self) -> bool {
        self.before.connection != self.after.connection
    }
}

/// A reader of changes. Each reader gets all of them, at its own pace, and holds nobody up.
#[derive(Debug)]
pub struct ClientChanges {
    pub(super) snapshots: watch::Receiver<Arc<ClientSnapshot>>,
    pub(super) notices: broadcast::Receiver<ClientNotice>,
    pub(super) seen: Arc<ClientSnapshot>,
}

impl ClientChanges {
    /// Returns the snapshot that this reader saw last.
    #[must_use]
    pub fn seen(&self) -> &Arc<ClientSnapshot> {
        &self.seen
    }

    /// Waits for the next change; `None` once the client is gone.
    ///
    /// Several changes of what is held come as one if the reader is slower than they are.
    ///
    /// Cancel safe: no change is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<ClientChange> {
        tokio::select! {
            biased;
            // Without its sender nothing changes any more; what was sent before is still there.
            Ok(()) = self.snapshots.changed() => {
                let after = self.snapshots.borrow_and_update().clone();
                let before = std::mem::replace(&mut self.seen, after.clone());
                Some(ClientChange::Snapshot(SnapshotChange { before, after }))
            }
            notice = self.notices.recv() => match notice {
                Ok(notice) => Some(notice.into()),
                Err(broadcast::error::RecvError::Lagged(missed)) => Some(ClientChange::Missed(missed)),
                Err(broadcast::error::RecvError::Closed) => None,
            },
        }
    }
}

impl From<ClientNotice> for ClientChange {
    fn from(notice: ClientNotice) -> Self {
        match notice {
            ClientNotice::Signal { from, payload } => Self::Signal { from, payload },
            ClientNotice::Error(error) => Self::Error(error),
        }
    }
}
