//! The presence of one account: what its registry entry keeps of it, and what the service stores.

use rosterd_engine::model::{Millis, User};

/// An account's presence, which changes as its sessions log in and leave.
#[derive(Debug, Default)]
pub(super) struct AccountPresence {
    /// Whether it counts as online: it has a session, or is in offline grace.
    pub(super) online: bool,
    /// Whether it hides that; `None` until the store was read.
    pub(super) invisible: Option<bool>,
    /// When it came online or was last online; 0 if it never was.
    pub(super) last_seen: Millis,
    /// Its place in [`OfflineGrace`](super::offline_grace::OfflineGrace), while it counts as online without a session.
    pub(super) grace: Option<u64>,
}

impl AccountPresence {
    /// Takes what the store has; newer state stays.
    pub(super) fn offer(&mut self, user: &User) {
        self.invisible.get_or_insert(user.invisible);
        self.last_seen = self.last_seen.max(user.last_seen);
    }

    pub(super) fn is_invisible(&self) -> bool {
        self.invisible.unwrap_or_default()
    }

    /// Whether friends see it as online.
    pub(super) fn shows(&self) -> bool {
        self.online && !self.is_invisible()
    }
}

/// A presence transition that the store does not have yet: an account came online or went offline.
#[derive(Debug, Clone, Copy)]
pub struct PresenceTransition {
    /// Whether it is online now.
    pub online: bool,
    /// When it came online, or was last online.
    pub time: Millis,
}
