//! One account someone connected cares about: its card, who is told of it, and whether it is online.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::account_presence::AccountPresence;
use crate::locks::Mutex;
use rosterd_engine::model::{Account, Audience, Block, Profile, User, Visibility};
use rosterd_engine::sync::interest::{Slot, Watchers};
use rosterd_protocol::{EncodedProfile, ProfileViews};

/// A registry entry. Lives in the registry while someone is interested in it; elsewhere it is only a name.
#[derive(Debug)]
pub(super) struct UserEntry {
    account: Account,
    hash: u64,
    state: Mutex<UserState>,
}

/// What changes about an entry, and who changes it: the feed sets cards and blocks, sessions come and go.
#[derive(Debug, Default)]
pub(super) struct UserState {
    standing: KnownProfile,
    /// Sessions whose account lists this one: they see what friends see.
    pub(super) friends: Watchers,
    /// Sessions that watch it, friends or not: they see what everyone sees.
    pub(super) strangers: Watchers,
    /// The sessions of this account itself, in the order they came.
    pub(super) own: Vec<Slot>,
    /// Whether what the store had of the account was taken. Before, a block or that it is invisible may be missing, so
    /// nothing of it is told; from then on the feed tells of every change.
    known: bool,
    /// Whom it blocks, by account. Until it is known also whom it blocks no longer, since a reader may still bring that.
    blocks: Option<Box<FxHashMap<Account, Block>>>,
    pub(super) presence: AccountPresence,
}

#[derive(Debug, Default)]
enum KnownProfile {
    /// Nobody looked yet, or there was nothing to see.
    #[default]
    Unknown,
    Present(ProfileViews),
    /// Deleted at this version: an older profile that a reader still brings is not believed.
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
    /// Takes a profile unless a newer state is held (I1).
    pub(super) fn offer(&mut self, profile: &Arc<Profile>, visibility: &Visibility) {
        if profile.version > self.standing.version() {
            self.standing = KnownProfile::Present(ProfileViews::new(profile.clone(), visibility));
        }
    }

    /// Takes what a reader found in the store, if anything, as far as nothing newer is held. It began to read when this
    /// entry was there already, so what it did not see yet comes by the feed.
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

    /// The account is no more. Whoever is made under its name starts afresh, also where a reader that is ahead of the
    /// feed has brought that profile already, which is answered: the feed tells the rest of it after this.
    pub(super) fn gone(&mut self, version: u64) -> bool {
        let is_made_again = self.standing.version() > version;
        if !is_made_again {
            self.standing = KnownProfile::Gone(version);
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
        match &self.standing {
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

/// A shared entry, equal to another of the same account: the key of an outbox.
#[derive(Debug, Clone)]
pub struct UserRef(Arc<UserEntry>);

impl UserRef {
    /// An entry of its own, not in the registry.
    #[must_use]
    pub fn detached(account: Account) -> Self {
        // Hashed once here: a mark must not cost a pass over the account's text.
        let hash = FxBuildHasher.hash_one(account.as_str());
        Self(Arc::new(UserEntry { account, hash, state: Mutex::default() }))
    }

    /// Whose entry it is.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.0.account
    }

    /// The newest profile the registry has, if the account is known to exist.
    #[must_use]
    pub fn profile(&self) -> Option<Arc<Profile>> {
        self.state().lock().encoded(Audience::Own).map(|card| card.profile().clone())
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
        // The hash tells most that differ apart, without a look at the texts.
        self.is(other) || self.0.hash == other.0.hash && self.account() == other.account()
    }
}

impl Eq for UserRef {}

impl Hash for UserRef {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0.hash);
    }
}
