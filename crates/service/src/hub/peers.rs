//! The peers of an account's blocks: what each sees of it, during the block and for a while after.

use super::account_presence::ShownPresence;
use super::offline_grace::OfflineGrace;
use super::peer::Peer;
use super::presence::SeenBy;
use super::registry::Hub;
use super::user::{UserRef, UserState};
use rosterd_engine::model::{Account, Block};

impl Hub {
    /// Takes blocks that a reader found in the store. `is_held` says whether the entry is in the registry.
    pub(super) fn offer_blocks<'a>(
        &self,
        entry: &UserRef,
        is_held: bool,
        state: &mut UserState,
        found: impl Iterator<Item = &'a Block>,
    ) {
        // An entry that is only a name is dropped soon: nobody would take it offline.
        let is_kept = |seen: &Block| seen.presence.is_some_and(|seen| seen.online) && is_held;
        for block in found {
            let begins = is_kept(block) && (!block.removed || !state.presence.is_present());
            let peer = state.offer_block(block);
            if let Some(shown) = peer.and_then(|peer| peer.shown.as_mut()).filter(|_| begins) {
                let left = self.departure(block.update_time);
                shown.go(left, entry.account(), Some(&block.peer), &mut self.offline_grace.lock());
            }
        }
    }

    /// Applies the begin or end of a block. Returns whether the peer sees the owner come or go at once.
    pub(super) fn apply_block(&self, owner: &UserRef, state: &mut UserState, block: &Block) -> SeenBy {
        let mut seen_by = SeenBy::default();
        let held = state.peer(&block.peer);
        if held.is_some_and(|held| held.block.version >= block.version) {
            return seen_by;
        }
        let mut grace = self.offline_grace.lock();
        let before = state.take_peer(&block.peer).and_then(|held| held.shown);
        // A block that ends and is not held: the store says what the peer saw.
        let is_held = state.holds_all_blocks() || state.is_known() && !block.removed;
        let mut shown = match (before, is_held) {
            (Some(shown), _) => shown,
            (None, true) => state.presence.shown.copy_for(owner.account(), &block.peer, &mut grace),
            (None, false) => block.presence.unwrap_or_default().into(),
        };
        let is_own = match block.presence {
            Some(_) if !block.removed || !state.presence.is_present() => {
                let is_absent = block.removed;
                let left =
                    if is_absent { self.departure_of(&state.presence) } else { self.departure(block.update_time) };
                shown.go(left, owner.account(), Some(&block.peer), &mut grace);
                true
            }
            Some(_) => {
                if shown.come(block.update_time, &mut grace) {
                    seen_by.peers.push(block.peer.clone());
                }
                true
            }
            // The store says that the peer sees what others see.
            None => {
                if !shown.looks_like(&state.presence.shown) {
                    seen_by.peers.push(block.peer.clone());
                }
                shown.leave_grace(&mut grace);
                false
            }
        };
        drop(grace);
        let peer = Peer { block: block.clone(), shown: Some(shown).filter(|_| is_own) };
        state.put_peer(peer);
        seen_by.and(self.show_status(owner, state));
        seen_by.and(self.show_kinds(owner, state, self.departure(block.update_time)));
        if is_own && self.settings.presence && self.stores(state) {
            self.note_peer(owner.account(), state, &block.peer);
        }
        self.rejoin_peers(owner.account(), state);
        state.forget_peers();
        seen_by
    }
}

impl ShownPresence {
    /// What a peer that saw the same sees from now on, with a place of its own in offline grace.
    fn copy_for(&self, account: &Account, peer: &Account, grace: &mut OfflineGrace) -> Self {
        let Self { seen, status, .. } = self.clone();
        let mut copy = Self { seen, status, ..Self::default() };
        if let Some(place) = self.grace {
            copy.go(place.departure(), account, Some(peer), grace);
        }
        copy.kinds = self.kinds.copy_for(account, peer, grace);
        copy
    }
}
