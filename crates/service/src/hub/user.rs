//! One account that someone connected is interested in: its profile, the sessions that follow it, and its presence.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::account_presence::{AccountPresence, ShownPresence};
use super::offline_grace::OfflineGrace;
use super::peer::Peer;
use crate::locks::Mutex;
use rosterd_engine::model::{Account, Audience, Block, Profile, User, Visibility};
use rosterd_engine::sync::interest::{Slot, Watchers};
use rosterd_protocol::{EncodedProfile, ProfileViews};

/// An entry of the registry. It is there while someone is interested in the account; outside the registry it is only a name.
#[derive(Debug)]
pub(super) struct UserEntry {
    account: Account,
    hash: u64,
    state: Mutex<UserState>,
}

/// The part of an entry that changes: the feed sets profiles and blocks, sessions enter and withdraw their interest.
#[derive(Debug, Default)]
pub(super) struct UserState {
    known_profile: KnownProfile,
    /// Sessions whose account lists this one as a friend: they see what friends see.
    pub(super) friends: Watchers,
    /// Sessions that watch the account, friends or not: they see what everyone sees.
    pub(super) strangers: Watchers,
    /// The account's own sessions, in the order in which they came.
    pub(super) own: Vec<Slot>,
    /// Whether a reader has brought what the store has of the account. Until then a block or its invisibility may be
    /// missing, so nothing is shown; from then on the feed applies every change.
    known: bool,
    /// The accounts that it blocks or has blocked, as far as that decides what they see. Until the store's state is known
    /// also blocks that have ended, since a late reader may still bring them.
    peers: Option<Box<FxHashMap<Account, Peer>>>,
    /// The followers whose accounts' blocks are yet to be read, if the account blocks more others than were read for all
    /// of them; `None` if every block is held.
    unread: Option<Box<Watchers>>,
    pub(super) presence: AccountPresence,
}

#[derive(Debug, Default)]
enum KnownProfile {
    /// Not read yet, or there was none.
    #[default]
    Unknown,
    Present(ProfileViews),
    /// Deleted at this version: an older profile that a late reader brings is ignored.
    Gone(u64),
}

impl KnownProfile {
    fn version(&self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Present(views) => views.profile().version,
            Self::Gone(version) => *version,
        }
    }
}

impl UserState {
    /// Takes a profile unless a newer state is held.
    pub(super) fn offer(&mut self, profile: &Arc<Profile>, visibility: &Visibility) {
        if profile.version > self.known_profile.version() {
            self.known_profile = KnownProfile::Present(ProfileViews::new(profile.clone(), visibility));
        }
    }

    /// Derives the views of the profile anew.
    pub(super) fn derive_views(&mut self, visibility: &Visibility) {
        if let KnownProfile::Present(views) = &self.known_profile {
            self.known_profile = KnownProfile::Present(ProfileViews::new(views.profile().clone(), visibility));
        }
    }

    /// Takes what a reader found in the store, if anything, as far as nothing newer is held; blocks come with
    /// [`Hub::offer`](super::Hub::offer). The reader began when this entry was in the registry already, so the feed brings
    /// whatever it missed.
    pub(super) fn offer_user(&mut self, found: Option<&User>, visibility: &Visibility) {
        if let Some(user) = found {
            self.offer(&user.profile, visibility);
            if !self.known {
                self.presence.offer(user);
                if user.has_more_blocks {
                    let mut unread = Watchers::default();
                    for slot in self.friends.iter().chain(self.strangers.iter()) {
                        unread.insert(slot);
                    }
                    self.unread = Some(Box::new(unread));
                }
            }
        }
        self.known = true;
        self.forget_peers();
    }

    /// Enters a session whose account lists this one as a friend; false if it was there.
    pub(super) fn add_friend(&mut self, slot: Slot) -> bool {
        self.begin_to_follow(slot);
        self.friends.insert(slot)
    }

    /// Enters a session that watches the account; false if it was there.
    pub(super) fn add_stranger(&mut self, slot: Slot) -> bool {
        self.begin_to_follow(slot);
        self.strangers.insert(slot)
    }

    fn begin_to_follow(&mut self, slot: Slot) {
        let Some(unread) = &mut self.unread else { return };
        if !self.friends.contains(slot) && !self.strangers.contains(slot) {
            unread.insert(slot);
        }
    }

    pub(super) fn remove_friend(&mut self, slot: Slot) {
        self.friends.remove(slot);
        self.end_following(slot);
    }

    pub(super) fn remove_stranger(&mut self, slot: Slot) {
        self.strangers.remove(slot);
        self.end_following(slot);
    }

    fn end_following(&mut self, slot: Slot) {
        if self.unread.is_some() && !self.friends.contains(slot) && !self.strangers.contains(slot) {
            self.has_read(slot);
        }
    }

    /// Notes that the block of a follower's account is held, if there is one.
    pub(super) fn has_read(&mut self, slot: Slot) {
        if self.unread.as_mut().is_some_and(|unread| unread.remove(slot) && unread.is_empty()) {
            self.forget_peers();
        }
    }

    /// Whether it is yet to be read whether a follower's account is blocked. Until then nothing is shown to it.
    pub(super) fn is_unread(&self, slot: Slot) -> bool {
        self.unread.as_ref().is_some_and(|unread| unread.contains(slot))
    }

    /// Whether every block of the account is held.
    pub(super) fn holds_all_blocks(&self) -> bool {
        self.known && self.unread.is_none()
    }

    /// Applies the deletion of the account. An account that is made again under its name starts afresh. Returns whether a
    /// reader ahead of the feed has brought such an account's profile already: the feed brings the rest of it after this.
    pub(super) fn gone(&mut self, version: u64) -> bool {
        let is_made_again = self.known_profile.version() > version;
        if !is_made_again {
            self.known_profile = KnownProfile::Gone(version);
        }
        if let Some(peers) = &mut self.peers {
            peers.retain(|_, peer| !peer.block.removed && peer.block.version > version);
        }
        self.presence = AccountPresence::default();
        // The feed brings every block that is made from now on.
        self.unread = None;
        self.known = true;
        is_made_again
    }

    /// Takes a block that a reader found, unless a newer state of it is held. Returns the peer if it was taken.
    pub(super) fn offer_block(&mut self, block: &Block) -> Option<&mut Peer> {
        let peers = self.peers.get_or_insert_default();
        if peers.get(&block.peer).is_some_and(|held| block.version <= held.block.version) {
            return None;
        }
        let shown = block.presence.map(ShownPresence::from);
        peers.insert(block.peer.clone(), Peer { block: block.clone(), shown });
        peers.get_mut(&block.peer)
    }

    pub(super) fn peer(&self, account: &Account) -> Option<&Peer> {
        self.peers.as_ref()?.get(account)
    }

    pub(super) fn peer_mut(&mut self, account: &Account) -> Option<&mut Peer> {
        self.peers.as_mut()?.get_mut(account)
    }

    pub(super) fn peers_mut(&mut self) -> impl Iterator<Item = (&Account, &mut Peer)> {
        self.peers.iter_mut().flat_map(|peers| peers.iter_mut())
    }

    pub(super) fn take_peer(&mut self, account: &Account) -> Option<Peer> {
        self.peers.as_mut()?.remove(account)
    }

    pub(super) fn put_peer(&mut self, peer: Peer) {
        self.peers.get_or_insert_default().insert(peer.block.peer.clone(), peer);
    }

    /// Ends the views of peers whose block has ended, and that see what others see from now on; returns these.
    pub(super) fn rejoin_peers(&mut self, grace: &mut OfflineGrace) -> Vec<Account> {
        let Self { peers, presence, .. } = self;
        let ended = peers.iter_mut().flat_map(|peers| peers.iter_mut()).filter(|(_, peer)| peer.block.removed);
        let mut rejoined = Vec::new();
        for (account, peer) in ended {
            if let Some(mut shown) = peer.shown.take_if(|shown| shown.agrees(&presence.shown)) {
                shown.leave_grace(grace);
                rejoined.push(account.clone());
            }
        }
        rejoined
    }

    /// Drops blocks that have ended and no longer decide what the peer sees, unless a late reader may still bring them.
    pub(super) fn forget_peers(&mut self) {
        let is_read = self.known && self.unread.as_ref().is_none_or(|unread| unread.is_empty());
        if let Some(mut peers) = self.peers.take() {
            if is_read {
                peers.retain(|_, peer| self.depends_on(peer));
            }
            self.peers = Some(peers).filter(|peers| !peers.is_empty());
        }
    }

    /// Whether this peer's block decides what the peer sees.
    fn depends_on(&self, peer: &Peer) -> bool {
        let Peer { block, shown } = peer;
        !block.removed || shown.is_some() || block.views.is_some() && self.has_view_of(block.version)
    }

    /// Whether a reader has brought what the store has of the account.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// Whether a view of the profile has not changed since a version.
    fn has_view_of(&self, version: u64) -> bool {
        match &self.known_profile {
            KnownProfile::Unknown => true,
            KnownProfile::Present(views) => {
                let Profile { friends, everyone, .. } = **views.profile();
                friends.version.min(everyone.version) <= version
            }
            KnownProfile::Gone(_) => false,
        }
    }

    /// The block that keeps `viewer` from seeing this account.
    pub(super) fn blocks(&self, viewer: &Account) -> Option<&Block> {
        Some(&self.peer(viewer)?.block).filter(|block| !block.removed)
    }

    pub(super) fn encoded(&self, audience: Audience) -> Option<Arc<EncodedProfile>> {
        match &self.known_profile {
            KnownProfile::Present(views) if self.known => Some(views.encoded(audience).clone()),
            _ => None,
        }
    }

    /// The profile as `viewer`, which is not blocked, sees it as one of an audience.
    pub(super) fn encoded_for(&self, viewer: &Account, audience: Audience) -> Option<Arc<EncodedProfile>> {
        let encoded = self.encoded(audience)?;
        let KnownProfile::Present(views) = &self.known_profile else { return Some(encoded) };
        match self.peer(viewer).and_then(|peer| peer.block.last_change(views.profile(), audience)) {
            Some(at) => Some(Arc::new(encoded.with_last_change(at))),
            None => Some(encoded),
        }
    }

    #[cfg(test)]
    pub(super) fn held_blocks(&self) -> usize {
        self.peers.as_ref().map_or(0, |peers| peers.len())
    }

    pub(super) fn is_idle(&self) -> bool {
        let has_sessions = !(self.friends.is_empty() && self.strangers.is_empty() && self.own.is_empty());
        !has_sessions && !self.presence.is_kept()
    }
}

/// A shared entry, equal to every other entry of the same account. It is the key of an outbox.
#[derive(Debug, Clone)]
pub struct UserRef(Arc<UserEntry>);

impl UserRef {
    /// An entry that is not in the registry.
    #[must_use]
    pub fn detached(account: Account) -> Self {
        // Hashed once, here: setting a mark must not hash the account's text.
        let hash = FxBuildHasher.hash_one(account.as_str());
        Self(Arc::new(UserEntry { account, hash, state: Mutex::default() }))
    }

    /// The entry's account.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.0.account
    }

    /// The newest profile the registry has, if the account is known to exist.
    #[must_use]
    pub fn profile(&self) -> Option<Arc<Profile>> {
        match &*self.state().lock() {
            UserState { known_profile: KnownProfile::Present(views), known: true, .. } => Some(views.profile().clone()),
            _ => None,
        }
    }

    /// Whether it blocks an account; `None` if the store has to be asked.
    #[must_use]
    pub fn blocks(&self, account: &Account) -> Option<bool> {
        let state = self.state().lock();
        let blocks = state.blocks(account).is_some();
        (blocks || state.holds_all_blocks()).then_some(blocks)
    }

    pub(super) fn state(&self) -> &Mutex<UserState> {
        &self.0.state
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl PartialEq for UserRef {
    fn eq(&self, other: &Self) -> bool {
        // The hashes of most unequal accounts differ, so their texts need not be compared.
        self.is(other) || self.0.hash == other.0.hash && self.account() == other.account()
    }
}

impl Eq for UserRef {}

impl Hash for UserRef {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0.hash);
    }
}
