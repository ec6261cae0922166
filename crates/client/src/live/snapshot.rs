//! What a live client holds at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use rosterd_protocol::v1;

use super::error::RosterdError;
use crate::Records;
use crate::replica::{Lists, Replica};

/// How far the connection is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConnectionPhase {
    /// There is none until [`RosterdClient::connect`](crate::RosterdClient::connect).
    #[default]
    Disconnected,
    /// It was lost, or could not be opened, and there will be another attempt.
    Reconnecting,
    /// It is being opened.
    Connecting,
    /// It is logged in, and the gateway sends what was missed.
    Syncing,
    /// What the client holds is what the gateway holds, and every change comes as it happens.
    Live,
}

/// The connection in detail.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConnectionState {
    /// How far it is.
    pub phase: ConnectionPhase,
    /// Why it is not live, until it is again.
    pub last_error: Option<RosterdError>,
    /// When the next attempt is, while it is [`ConnectionPhase::Reconnecting`].
    pub retry_at: Option<SystemTime>,
    /// The gateway's name for the session, once it is logged in: another one for each login.
    pub session: Option<String>,
    /// The hash of the fields that the deployment adds to profiles, as of the last login; `None` if it adds none.
    pub schema: Option<String>,
}

/// Everything that a client holds at one moment. It never changes: a later one is another one.
///
/// Later ones share with it what has stayed the same, so they are cheap to keep.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientSnapshot {
    /// The account whose records these are.
    pub account: String,
    /// The connection.
    pub connection: ConnectionState,
    /// The account's own profile, once it is known, with what is pending.
    pub me: Option<Arc<v1::User>>,
    /// The fields of `me` that the gateway has not confirmed; `None` if it has confirmed all.
    pub pending: Option<Arc<v1::UpdateMyInfo>>,
    /// Profiles: of all friends, of watched strangers, and of strangers who sent a signal.
    pub users: Records<v1::User>,
    /// The friend list.
    pub friends: Records<v1::Friend>,
    /// The open requests of both directions, in order of the account.
    pub requests: Arc<[v1::Request]>,
    /// The blocks in force.
    pub blocks: Records<v1::BlockRecord>,
    /// Presence as of the last connection. An account that is not in it has never been online. The client's own is in it,
    /// with `invisible`, if that was ever set.
    pub presence: Records<v1::Presence>,
    /// The account's sessions, the oldest first; empty if this one has been the only one since its login.
    pub sessions: Arc<Vec<v1::Session>>,
    /// The strangers that are watched.
    pub watched: Arc<BTreeSet<String>>,
    /// The open requests, and those that have ended, by account and direction.
    pub(super) all_requests: Arc<BTreeMap<(String, i32), v1::Request>>,
}

impl ClientSnapshot {
    pub(super) fn empty(account: &str) -> Self {
        Self {
            account: account.to_owned(),
            connection: ConnectionState::default(),
            me: None,
            pending: None,
            users: Records::default(),
            friends: Records::default(),
            requests: Arc::new([]),
            blocks: Records::default(),
            presence: Records::default(),
            sessions: Arc::default(),
            watched: Arc::default(),
            all_requests: Arc::default(),
        }
    }

    /// Returns the next snapshot, which shows what `replica` holds now.
    ///
    /// `lists` are those that this one shows, and become those of the next.
    pub(super) fn with_records(&self, replica: &Replica, lists: &mut Lists) -> Self {
        let now = replica.lists();
        let requests = if Arc::ptr_eq(&now.requests, &lists.requests) {
            self.requests.clone()
        } else {
            replica.requests().cloned().collect()
        };
        lists.clone_from(now);
        Self {
            account: self.account.clone(),
            connection: self.connection.clone(),
            me: now.me.clone(),
            pending: self.pending.clone(),
            users: now.users.clone(),
            friends: now.friends.clone(),
            requests,
            blocks: now.blocks.clone(),
            presence: replica.presence().clone(),
            sessions: replica.shared_sessions().clone(),
            watched: replica.shared_watched().clone(),
            all_requests: now.requests.clone(),
        }
    }

    /// Returns whether both share every record, so that nothing has changed but perhaps the connection.
    pub(super) fn shares_records(&self, other: &Self) -> bool {
        same(self.me.as_ref(), other.me.as_ref())
            && same(self.pending.as_ref(), other.pending.as_ref())
            && self.users.is_same(&other.users)
            && self.friends.is_same(&other.friends)
            && Arc::ptr_eq(&self.requests, &other.requests)
            && self.blocks.is_same(&other.blocks)
            && self.presence.is_same(&other.presence)
            && Arc::ptr_eq(&self.sessions, &other.sessions)
            && Arc::ptr_eq(&self.watched, &other.watched)
    }
}

fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}
