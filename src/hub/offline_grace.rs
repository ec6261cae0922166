//! Accounts in offline grace, in the order their last sessions left.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::user::UserRef;

/// The accounts whose last session left and that still count as online, in the order they left.
#[derive(Debug, Default)]
pub(super) struct OfflineGrace {
    pub(super) waiting: BTreeMap<u64, (Instant, UserRef)>,
    places: u64,
}

impl OfflineGrace {
    /// Adds an account that leaves now; its place.
    pub(super) fn add(&mut self, user: UserRef) -> u64 {
        self.places += 1;
        self.waiting.insert(self.places, (Instant::now(), user));
        self.places
    }

    /// The one that left first, if that was not after `until`, with its place.
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
