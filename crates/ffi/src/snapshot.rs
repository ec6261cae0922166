//! What a client holds at one moment, as an object: a record crosses the boundary when somebody asks for it.

use std::sync::Arc;
use std::time::SystemTime;

use rosterd_client::{ClientSnapshot, ConnectionPhase, SnapshotChange};

use crate::error::ErrorDetail;
use crate::records::{
    ForeignBlock, ForeignFriend, ForeignPresence, ForeignRequest, ForeignSession, ForeignUpdate, ForeignUser,
};

/// How far the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
#[uniffi(name = "ConnectionPhase")]
pub enum ForeignPhase {
    /// There is none until `connect`.
    Disconnected,
    /// It was lost, and there will be another attempt.
    Reconnecting,
    /// It is being opened.
    Connecting,
    /// The gateway sends what was missed.
    Syncing,
    /// Every change comes as it happens.
    Live,
}

/// The connection in detail.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
#[uniffi(name = "ConnectionState")]
pub struct ForeignConnection {
    /// How far it is.
    pub phase: ForeignPhase,
    /// Why it is not live, until it is again.
    pub last_error: Option<ErrorDetail>,
    /// When the next attempt is.
    pub retry_at: Option<SystemTime>,
    /// The gateway's name for the session.
    pub session: Option<String>,
}

/// Everything that a client holds at one moment. It never changes.
#[derive(Debug, uniffi::Object)]
#[uniffi(name = "Snapshot")]
pub struct ForeignSnapshot(pub(crate) Arc<ClientSnapshot>);

#[uniffi::export(name = "Snapshot")]
impl ForeignSnapshot {
    /// The account whose records these are.
    pub fn account(&self) -> String {
        self.0.account.clone()
    }

    /// The connection.
    pub fn connection(&self) -> ForeignConnection {
        let connection = &self.0.connection;
        let phase = match connection.phase {
            ConnectionPhase::Disconnected => ForeignPhase::Disconnected,
            ConnectionPhase::Reconnecting => ForeignPhase::Reconnecting,
            ConnectionPhase::Connecting => ForeignPhase::Connecting,
            ConnectionPhase::Syncing => ForeignPhase::Syncing,
            ConnectionPhase::Live => ForeignPhase::Live,
        };
        let last_error = connection.last_error.as_ref().map(ErrorDetail::from);
        ForeignConnection { phase, last_error, retry_at: connection.retry_at, session: connection.session.clone() }
    }

    /// The account's own profile, once it is known, with what is pending.
    pub fn me(&self) -> Option<ForeignUser> {
        self.0.me.as_deref().map(ForeignUser::from)
    }

    /// The fields of the own profile that the gateway has not confirmed, if there are any.
    pub fn pending(&self) -> Option<ForeignUpdate> {
        self.0.pending.as_deref().map(ForeignUpdate::from)
    }

    /// The profile of an account, if it is held.
    pub fn user(&self, account: String) -> Option<ForeignUser> {
        self.0.users.get(account).map(ForeignUser::from)
    }

    /// All profiles, in order of the account.
    pub fn users(&self) -> Vec<ForeignUser> {
        self.0.users.values().map(ForeignUser::from).collect()
    }

    /// A friendship, if the account is a friend.
    pub fn friend(&self, account: String) -> Option<ForeignFriend> {
        self.0.friends.get(account).map(ForeignFriend::from)
    }

    /// The friend list, in order of the account.
    pub fn friends(&self) -> Vec<ForeignFriend> {
        self.0.friends.values().map(ForeignFriend::from).collect()
    }

    /// The open requests.
    pub fn requests(&self) -> Vec<ForeignRequest> {
        self.0.requests.iter().map(ForeignRequest::from).collect()
    }

    /// The blocks in force.
    pub fn blocks(&self) -> Vec<ForeignBlock> {
        self.0.blocks.values().map(ForeignBlock::from).collect()
    }

    /// The presence of an account, if it was ever online.
    pub fn presence(&self, account: String) -> Option<ForeignPresence> {
        self.0.presence.get(account).map(ForeignPresence::from)
    }

    /// All presence, in order of the account.
    pub fn presences(&self) -> Vec<ForeignPresence> {
        self.0.presence.values().map(ForeignPresence::from).collect()
    }

    /// The account's sessions; empty if this one has been the only one since its login.
    pub fn sessions(&self) -> Vec<ForeignSession> {
        self.0.sessions.iter().map(ForeignSession::from).collect()
    }

    /// The strangers that are watched.
    pub fn watched(&self) -> Vec<String> {
        self.0.watched.iter().cloned().collect()
    }
}

/// Two snapshots, one later than the other, and what differs.
#[derive(Debug, uniffi::Object)]
#[uniffi(name = "SnapshotChange")]
pub struct ForeignSnapshotChange(pub(crate) SnapshotChange);

#[uniffi::export(name = "SnapshotChange")]
impl ForeignSnapshotChange {
    /// The one that the reader saw before.
    pub fn before(&self) -> Arc<ForeignSnapshot> {
        Arc::new(ForeignSnapshot(self.0.before.clone()))
    }

    /// The newest.
    pub fn after(&self) -> Arc<ForeignSnapshot> {
        Arc::new(ForeignSnapshot(self.0.after.clone()))
    }

    /// Whether the account's own profile is otherwise, or what is pending of it.
    pub fn me(&self) -> bool {
        self.0.me()
    }

    /// The accounts whose profiles came, changed or went.
    pub fn users(&self) -> Vec<String> {
        self.0.users()
    }

    /// The accounts that became friends, are none any more, or have other notes.
    pub fn friends(&self) -> Vec<String> {
        self.0.friends()
    }

    /// Whether requests came or ended.
    pub fn requests(&self) -> bool {
        self.0.requests()
    }

    /// The requests that were open and are not any more, as they ended.
    pub fn ended_requests(&self) -> Vec<ForeignRequest> {
        self.0.ended_requests().iter().map(ForeignRequest::from).collect()
    }

    /// The accounts that are blocked, or are not any more.
    pub fn blocks(&self) -> Vec<String> {
        self.0.blocks()
    }

    /// The accounts that came online or went offline.
    pub fn presence(&self) -> Vec<String> {
        self.0.presence()
    }

    /// Whether sessions of the account came or went.
    pub fn sessions(&self) -> bool {
        self.0.sessions()
    }

    /// Whether the connection is otherwise.
    pub fn connection(&self) -> bool {
        self.0.connection()
    }
}
