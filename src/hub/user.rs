//! One account that someone connected is interested in: its profile, the sessions that follow it, and its presence.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::account_presence::AccountPresence;
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
    /// Its blocks, by the blocked account. Until the store's state is known also blocks that have ended, since a late reader
    /// may still bring them.
    blocks: Option<Box<FxHashMap<Account, Block>>>,
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

    /// Takes what a reader found in the store, if anything, as far as nothing newer is held. The reader began when this
    /// entry was in the registry already, so the feed brings whatever it missed.
    pub(super) fn offer_user(&mut self, found: Option<&User>, visibility: &Visibility) {
        if let Some(user) = found {
            self.offer(&user.profile, visibility);
            if !self.known {
                self.presence.offer(user);
                user.blocks.iter().for_each(|block| self.block(block));
            }
        }
        self.known = true;
        if let Some(blocks) = &mut self.blocks {
            blocks.retain(|_, block| !block.removed);
        }
    }

    /// Applies the deletion of the account. An account that is made again under its name starts afresh. Returns whether a
    /// reader ahead of the feed has brought such an account's profile already: the feed brings the rest of it after this.
    pub(super) fn gone(&mut self, version: u64) -> bool {
        let is_made_again = self.known_profile.version() > version;
        if !is_made_again {
            self.known_profile = KnownProfile::Gone(version);
        }
        if let Some(blocks) = &mut self.blocks {
            blocks.retain(|_, block| !block.removed && block.version > version);
        }
        self.presence = AccountPresence::default();
        self.known = true;
        is_made_again
    }

    pub(super) fn block(&mut self, block: &Block) {
        let blocks = self.blocks.get_or_insert_default();
        if blocks.get(&block.peer).is_some_and(|held| block.version < held.version) {
            return;
        }
        if block.removed && self.known {
            blocks.remove(&block.peer);
        } else {
            blocks.insert(block.peer.clone(), block.clone());
        }
    }

    /// The block that keeps `viewer` from seeing this account.
    pub(super) fn blocks(&self, viewer: &Account) -> Option<&Block> {
        self.blocks.as_ref()?.get(viewer).filter(|block| !block.removed)
    }

    pub(super) fn encoded(&self, audience: Audience) -> Option<Arc<EncodedProfile>> {
        match &self.known_profile {
            KnownProfile::Present(views) if self.known => Some(views.encoded(audience).clone()),
            _ => None,
        }
    }

    #[cfg(test)]
    pub(super) fn held_blocks(&self) -> usize {
        self.blocks.as_ref().map_or(0, |blocks| blocks.len())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.friends.is_empty() && self.strangers.is_empty() && self.own.is_empty() && !self.presence.online
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
        self.state().lock().encoded(Audience::Own).map(|encoded| encoded.profile().clone())
    }

    /// Whether it blocks an account.
    #[must_use]
    pub fn blocks(&self, account: &Account) -> bool {
        self.state().lock().blocks(account).is_some()
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
