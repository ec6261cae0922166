//! The sessions of one account.

use super::Service;
use crate::hub::Session;
use rosterd_engine::model::{Account, Millis, Reason, RequestError, Revision, SessionId};
use rosterd_protocol::v1;

/// The most characters of each text a device says of itself.
const DEVICE_CHARS: usize = 64;

/// One session, as the other sessions of its account may know it.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// What it said of its device at login; empty if nothing.
    pub device: v1::Device,
    /// When it logged in.
    pub connected_at: Millis,
}

/// One session, as an operator may know it.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionStatus {
    /// What its account may know too.
    pub info: SessionInfo,
    /// Whose it is.
    pub account: Account,
    /// Accounts of which it has yet to be told something.
    pub pending: usize,
    /// The last stamp that it was told it holds everything up to; none before it is in sync.
    pub told: Option<Revision>,
}

impl SessionStatus {
    pub(super) fn of(session: &Session) -> Self {
        let account = session.account().clone();
        Self { info: SessionInfo::of(session), account, pending: session.owed(), told: session.delivered_up_to() }
    }
}

impl SessionInfo {
    fn of(session: &Session) -> Self {
        let device = session.device().cloned().unwrap_or_default();
        Self { id: session.id(), device, connected_at: session.connected_at().unwrap_or_default() }
    }

    /// As it goes on the wire to the session `to`, if to one.
    #[must_use]
    pub fn record(self, to: Option<SessionId>) -> v1::Session {
        let current = to == Some(self.id);
        let device = Some(self.device);
        v1::Session { session: self.id.to_string(), device, connected_at: self.connected_at, current }
    }
}

impl Service {
    /// An account's sessions, the oldest first.
    #[must_use]
    pub fn sessions(&self, account: &Account) -> Vec<SessionInfo> {
        self.hub.sessions_of(account).iter().map(|session| SessionInfo::of(session)).collect()
    }

    /// The sessions of every account, in order of their ids, after `after`; at most `limit`.
    #[must_use]
    pub fn all_sessions(&self, after: Option<SessionId>, limit: usize) -> Vec<SessionStatus> {
        self.hub.sessions_after(after, limit).iter().map(|session| SessionStatus::of(session)).collect()
    }

    /// The stamp up to which every change has been marked.
    #[must_use]
    pub fn watermark(&self) -> Revision {
        self.hub.watermark()
    }

    /// Ends those of an account's sessions that are named, or all of them; answers which there were.
    pub fn kick(&self, account: &Account, named: Option<&[SessionId]>) -> Vec<SessionId> {
        self.hub.kick(account, named)
    }

    /// Checks what a login says of its device.
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
