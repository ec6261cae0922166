//! The accounts in offline grace: they are no longer there for some viewers, who still see them online.

use std::collections::BTreeMap;
use std::num::NonZero;

use tokio::time::Instant;

use rosterd_engine::model::{Account, Millis};

/// A place in [`OfflineGrace`]: when the account left, and a number, because several may leave together; and the wall clock
/// then, if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GracePlace(Instant, u64, Option<NonZero<Millis>>);

/// When an account left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Departure {
    pub(super) at: Instant,
    /// The wall clock then, where all nodes have to tell the same time; otherwise it follows from how long ago that was.
    pub(super) time: Option<Millis>,
}

impl GracePlace {
    /// When the account left.
    pub(super) fn left(self) -> Instant {
        self.0
    }

    /// When the account was last there, at `now`, which the clock says at `instant`.
    pub(super) fn last_seen(self, instant: Instant, now: Millis) -> Millis {
        let ago = instant.saturating_duration_since(self.0).as_millis() as Millis;
        self.2.map_or(now.saturating_sub(ago), NonZero::get)
    }

    pub(super) fn departure(self) -> Departure {
        Departure { at: self.0, time: self.2.map(NonZero::get) }
    }
}

/// Keeps accounts in offline grace in the order in which they left, each with the viewer that it left, if it is only one.
#[derive(Debug, Default)]
pub(super) struct OfflineGrace {
    waiting: BTreeMap<GracePlace, (Account, Option<Account>)>,
    last: u64,
}

impl OfflineGrace {
    /// Adds an account that left then, for one viewer or for all others; returns its place.
    pub(super) fn add(&mut self, left: Departure, account: Account, peer: Option<Account>) -> GracePlace {
        self.last += 1;
        let place = GracePlace(left.at, self.last, left.time.and_then(NonZero::new));
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
