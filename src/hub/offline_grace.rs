//! The accounts in offline grace: their last session has left, and they still count as online.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::user::UserRef;

/// Keeps accounts in offline grace in the order in which they left.
#[derive(Debug, Default)]
pub(super) struct OfflineGrace {
    waiting: BTreeMap<u64, (Instant, UserRef)>,
    last: u64,
}

impl OfflineGrace {
    /// Adds an account whose last session leaves now; returns its place.
    pub(super) fn add(&mut self, user: UserRef) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, (Instant::now(), user));
        self.last
    }

    /// Removes an account that came back, or that has a newer place.
    pub(super) fn remove(&mut self, place: u64) {
        self.waiting.remove(&place);
    }

    /// Removes the account that left first, if it left no later than `until`; returns its place and when it left.
    pub(super) fn pop(&mut self, until: Instant) -> Option<(u64, Instant, UserRef)> {
        let first = self.waiting.first_entry().filter(|first| first.get().0 <= until)?;
        let (place, (left, user)) = first.remove_entry();
        Some((place, left, user))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
