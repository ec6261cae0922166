//! The kinds of devices that viewers see beside an account's presence.
//!
//! A kind comes with its first session, and goes once offline grace is over after its last one, like presence itself. While
//! the account is in offline grace for a viewer, the kinds stand still for that viewer, and all of them go with it; so devices
//! that leave shortly after each other look the same as hiding and blocking. Nothing of what a viewer sees depends on
//! sessions that are not there for that viewer.

use rustc_hash::FxHashMap;

use super::offline_grace::{Departure, GracePlace, OfflineGrace};
use rosterd_engine::model::limits::DEVICE_KINDS;
use rosterd_engine::model::{Account, DeviceKind};
use rosterd_engine::sync::interest::Slot;

/// The kinds that some viewers see, in their order. Only a pointer where nobody sees any, as every account has it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct ShownKinds(Option<Box<KindList>>);

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct KindList(Vec<ShownKind>);

/// An account, and the viewer, if it is only one.
type Viewers<'a> = (&'a Account, Option<&'a Account>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ShownKind {
    kind: DeviceKind,
    there: KindPlace,
}

/// Whether a kind has sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KindPlace {
    There,
    /// Its last session ended: its place in [`OfflineGrace`].
    Leaving(GracePlace),
    /// Its offline grace is over, but it stands still with the account.
    Left,
}

impl ShownKind {
    fn grace(&self) -> Option<GracePlace> {
        if let KindPlace::Leaving(place) = self.there { Some(place) } else { None }
    }
}

impl KindList {
    /// Lets the viewers see exactly these kinds, and for offline grace those that are no longer among them. Returns whether
    /// they see others than before.
    fn follow(
        &mut self,
        there: &[DeviceKind],
        left: Departure,
        viewers: Viewers<'_>,
        grace: &mut OfflineGrace,
    ) -> bool {
        let before = self.0.len();
        self.0.retain(|shown| shown.there != KindPlace::Left || there.contains(&shown.kind));
        let mut differs = self.0.len() < before;
        self.leave(|kind| !there.contains(kind), left, viewers, grace);
        for kind in there {
            match self.0.binary_search_by_key(kind, |shown| shown.kind) {
                Ok(at) => {
                    self.0[at].grace().into_iter().for_each(|place| grace.remove(place));
                    self.0[at].there = KindPlace::There;
                }
                Err(at) => {
                    self.0.insert(at, ShownKind { kind: *kind, there: KindPlace::There });
                    differs = true;
                }
            }
        }
        // Those that are there are no more than this.
        while self.0.len() > DEVICE_KINDS
            && let Some(first) = self.0.iter().filter_map(ShownKind::grace).min()
        {
            grace.remove(first);
            self.0.retain(|shown| shown.grace() != Some(first));
            differs = true;
        }
        differs
    }

    /// Begins the offline grace of kinds that were there.
    fn leave(
        &mut self,
        is_gone: impl Fn(&DeviceKind) -> bool,
        left: Departure,
        (account, peer): Viewers<'_>,
        grace: &mut OfflineGrace,
    ) {
        for shown in self.0.iter_mut().filter(|shown| shown.there == KindPlace::There && is_gone(&shown.kind)) {
            shown.there = KindPlace::Leaving(grace.add(left, account.clone(), peer.cloned()));
        }
    }
}

impl ShownKinds {
    /// Shows the kinds that are there; `None` if the account is no longer there for the viewers. Returns whether they see
    /// others than before.
    pub(super) fn follow(
        &mut self,
        there: Option<&[DeviceKind]>,
        left: Departure,
        viewers: Viewers<'_>,
        grace: &mut OfflineGrace,
    ) -> bool {
        match there {
            Some([]) | None if self.0.is_none() => false,
            Some(kinds) => self.0.get_or_insert_default().follow(kinds, left, viewers, grace),
            None => {
                self.0.iter_mut().for_each(|list| list.leave(|_| true, left, viewers, grace));
                false
            }
        }
    }

    /// Ends the offline grace of the kind that has this place, which goes unless the kinds stand still. Returns whether the
    /// viewers see others than before.
    pub(super) fn expire(&mut self, place: GracePlace, stand_still: bool) -> bool {
        let Some(list) = &mut self.0 else { return false };
        let Some(at) = list.0.iter().position(|shown| shown.grace() == Some(place)) else { return false };
        if stand_still {
            list.0[at].there = KindPlace::Left;
        } else {
            list.0.remove(at);
            self.0.take_if(|list| list.0.is_empty());
        }
        !stand_still
    }

    /// Shows none any more.
    pub(super) fn clear(&mut self, grace: &mut OfflineGrace) {
        let list = self.0.take().into_iter().flat_map(|list| list.0);
        list.filter_map(|shown| shown.grace()).for_each(|place| grace.remove(place));
    }

    /// The same for one viewer, with places of its own in offline grace.
    pub(super) fn copy_for(&self, account: &Account, peer: &Account, grace: &mut OfflineGrace) -> Self {
        let mut copy = |shown: &ShownKind| match shown.there {
            KindPlace::Leaving(held) => {
                let place = grace.add(held.departure(), account.clone(), Some(peer.clone()));
                ShownKind { there: KindPlace::Leaving(place), ..*shown }
            }
            KindPlace::There | KindPlace::Left => *shown,
        };
        Self(self.0.as_ref().map(|list| Box::new(KindList(list.0.iter().map(&mut copy).collect()))))
    }

    /// Whether from now on both are the same, whatever happens.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let stays =
            |shown: &ShownKind| (shown.kind, shown.there == KindPlace::Left, shown.grace().map(GracePlace::left));
        self.list().map(stays).eq(other.list().map(stays))
    }

    pub(super) fn kinds(&self) -> impl Iterator<Item = DeviceKind> {
        self.list().map(|shown| shown.kind)
    }

    fn list(&self) -> impl Iterator<Item = &ShownKind> {
        self.0.iter().flat_map(|list| &list.0)
    }
}

/// The kinds of the sessions here, by account.
#[derive(Debug, Default)]
pub(super) struct KindsHere(FxHashMap<Account, Vec<(Slot, DeviceKind)>>);

impl KindsHere {
    pub(super) fn add(&mut self, account: &Account, slot: Slot, kind: DeviceKind) {
        self.0.entry(account.clone()).or_default().push((slot, kind));
    }

    pub(super) fn remove(&mut self, account: &Account, slot: Slot) {
        let Some(kinds) = self.0.get_mut(account) else { return };
        kinds.retain(|(held, _)| *held != slot);
        if kinds.is_empty() {
            self.0.remove(account);
        }
    }

    pub(super) fn of(&self, account: &Account) -> Vec<DeviceKind> {
        self.0.get(account).into_iter().flatten().map(|(_, kind)| *kind).collect()
    }

    pub(super) fn forget(&mut self, account: &Account) {
        self.0.remove(account);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
