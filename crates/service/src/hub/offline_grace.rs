//! The accounts in offline grace: they are no longer there for some viewers, who still see them online.

use std::collections::BTreeMap;

use tokio::time::Instant;

use rosterd_engine::model::Account;

/// A place in [`OfflineGrace`]: when the account left, and a number, because several may leave together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GracePlace(Instant, u64);

impl GracePlace {
    /// When the account left.
    pub(super) fn left(self) -> Instant {
        self.0
    }
}

/// Keeps accounts in offline grace in the order in which they left, each with the viewer that it left, if it is only one.
#[derive(Debug, Default)]
pub(super) struct OfflineGrace {
    waiting: BTreeMap<GracePlace, (Account, Option<Account>)>,
    last: u64,
}

impl OfflineGrace {
    /// Adds an account that left at `left`, for one viewer or for all others; returns its place.
    pub(super) fn add(&mut self, left: Instant, account: Account, peer: Option<Account>) -> GracePlace {
        self.last += 1;
        let place = GracePlace(left, self.last);
        self.waiting.insert(place, (account, peer));
        place
    }

    /// Removes an account that came back, or that has a newer place.
    pub(super) fn remove(&mut self, place: GracePlace) {
        self.waiting.remove(&place);
    }

    /// Removes the account that left first, if it left no later than `until`.
    pub(super) fn pop(&mut self, until: Instant) -> Option<(GracePlace, Account, Option<Account>)> {
        let first = self.waiting.first_entry().filter(|first| first.key().left() <= until)?;
        let (place, (account, peer)) = first.remove_entry();
        Some((place, account, peer))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
