//! Lists sessions, and ends them.

use super::cluster::NodeStatus;
use super::state::Service;
use crate::hub::Session;
use rosterd_engine::model::{Account, Millis, Reason, RequestError, Revision, SessionId};
use rosterd_engine::sync::session_directory::ListedSession;
use rosterd_protocol::v1;

/// The most characters in each text about a device.
const DEVICE_CHARS: usize = 64;

/// One session, as the other sessions of its account may know it.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// Its device, as the login describes it; empty if it does not.
    pub device: v1::Device,
    /// When it logged in.
    pub connected_at: Millis,
}

/// One session, as an operator may know it.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionStatus {
    /// The part that its account may know too.
    pub info: SessionInfo,
    /// Its account.
    pub account: Account,
    /// How many accounts have updates pending for it.
    pub pending: usize,
    /// The revision up to which everything was delivered; none before it is in sync.
    pub delivered_up_to: Option<Revision>,
}

/// The sessions that were ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kicked {
    /// Those that there were.
    pub sessions: Vec<SessionId>,
    /// The names of nodes that may have more of them, and did not answer.
    pub unreached: Vec<String>,
}

/// Which sessions an operator asks for.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    /// What their accounts begin with.
    pub prefix: String,
    /// The type of their device; empty for any.
    pub device: String,
    /// At least so many accounts have updates pending for them.
    pub pending: usize,
}

impl SessionFilter {
    fn passes(&self, session: &Session) -> bool {
        session.account().as_str().starts_with(&self.prefix)
            && (self.device.is_empty() || session.device().is_some_and(|device| device.r#type == self.device))
            && (self.pending == 0 || session.pending_count() >= self.pending)
    }
}

impl SessionStatus {
    pub(super) fn of(session: &Session) -> Self {
        let account = session.account().clone();
        Self {
            info: SessionInfo::of(session),
            account,
            pending: session.pending_count(),
            delivered_up_to: session.delivered_up_to(),
        }
    }
}

impl SessionInfo {
    fn of(session: &Session) -> Self {
        let device = session.device().cloned().unwrap_or_default();
        Self { id: session.id(), device, connected_at: session.connected_at().unwrap_or_default() }
    }

    /// Makes the record that goes on the wire to the session `to`, if to one.
    #[must_use]
    pub fn record(self, to: Option<SessionId>) -> v1::Session {
        let current = to == Some(self.id);
        let device = Some(self.device);
        v1::Session { session: self.id.to_string(), device, connected_at: self.connected_at, current }
    }
}

impl Service {
    /// Returns an account's sessions, on whichever node, the oldest first.
    #[must_use]
    pub fn sessions(&self, account: &Account) -> Vec<SessionInfo> {
        let mut found: Vec<_> = self.hub.sessions_of(account).iter().map(|session| SessionInfo::of(session)).collect();
        let others = self.hub.sessions_elsewhere(account);
        if !others.is_empty() {
            let others = others.into_iter().map(|ListedSession { id, connected_at, device, .. }| SessionInfo {
                id,
                device,
                connected_at,
            });
            found.extend(others);
            found.sort_by_key(|session| (session.connected_at, session.id.0));
        }
        found
    }

    /// Returns at most `limit` sessions of all accounts after `after` that pass the filter, in order of their ids.
    #[must_use]
    pub fn all_sessions(&self, after: Option<SessionId>, limit: usize, filter: &SessionFilter) -> Vec<SessionStatus> {
        let found = self.hub.sessions_after(after, limit, |session| filter.passes(session));
        found.iter().map(|session| SessionStatus::of(session)).collect()
    }

    /// Returns a session that has logged in.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<SessionStatus> {
        self.hub.sessions_after(None, 1, |session| session.id() == id).first().map(|session| SessionStatus::of(session))
    }

    /// Returns what this node says of itself, in JSON.
    pub(super) fn node_status(&self) -> String {
        let gauge = |value: i64| value.max(0).unsigned_abs();
        let status = NodeStatus {
            connections: gauge(self.metrics.connections.get()),
            sessions: gauge(self.metrics.sessions.get()),
            watched_accounts: self.hub.watched_accounts() as u64,
            committed: self.head(),
            watermark: self.hub.watermark(),
        };
        serde_json::to_string(&status).unwrap_or_default()
    }

    /// Returns how many accounts a session here is interested in.
    #[must_use]
    pub fn watched_accounts(&self) -> usize {
        self.hub.watched_accounts()
    }

    /// Returns the watermark: every watcher of each change up to it is marked.
    #[must_use]
    pub fn watermark(&self) -> Revision {
        self.hub.watermark()
    }

    /// Ends those of an account's sessions here that are named, or all of them, and returns those that there were.
    pub fn kick_here(&self, account: &Account, named: Option<&[SessionId]>) -> Vec<SessionId> {
        self.hub.kick(account, named)
    }

    /// Checks what a login says about its device.
    ///
    /// # Errors
    /// 414 for a text of more than 64 characters.
    pub fn check_device(device: Option<&v1::Device>) -> Result<(), RequestError> {
        let Some(device) = device else {
            return Ok(());
        };
        for (field, text) in [("device.id", &device.id), ("device.type", &device.r#type), ("device.tag", &device.tag)] {
            if text.chars().count() > DEVICE_CHARS {
                let message = format!("{field} is longer than {DEVICE_CHARS} characters");
                return Err(RequestError::new(Reason::InvalidArgument, message).field(field));
            }
        }
        Ok(())
    }
}
