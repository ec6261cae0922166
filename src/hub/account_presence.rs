//! One account's presence: what its entry keeps, and what is written down of it.

use rosterd_engine::model::{Millis, User};

/// An account's presence, changed by its sessions' coming and going.
#[derive(Debug, Default)]
pub(super) struct AccountPresence {
    /// Whether it counts as online: it has a session, or had one less than the linger ago.
    pub(super) online: bool,
    /// Whether it hides that; unknown until the store was read.
    pub(super) invisible: Option<bool>,
    /// When it came, or was last online; 0 if it never was.
    pub(super) last_seen: Millis,
    /// Its place among those who departed, while it still counts as online without a session.
    pub(super) left: Option<u64>,
}

impl AccountPresence {
    /// Takes what the store has; what happened since stands.
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

/// That an account came or went, to be written down.
#[derive(Debug, Clone, Copy)]
pub struct PresenceTransition {
    /// Whether it is online now.
    pub online: bool,
    /// When it came or went.
    pub time: Millis,
}
