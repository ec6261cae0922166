//! One account someone connected cares about: its card, and who watches.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

use crate::model::{Account, Profile};
use crate::sync::interest::{Slot, Watchers};
use crate::wire::Card;

/// A registry entry. Lives in the registry while a session watches it; elsewhere it is only a name.
#[derive(Debug)]
pub(super) struct User {
    account: Account,
    hash: u64,
    pub(super) state: Mutex<State>,
}

/// What changes about an entry, and who changes it: the feed sets the card, sessions come and go.
#[derive(Debug, Default)]
pub(super) struct State {
    standing: Standing,
    pub(super) watchers: Watchers,
    /// The sessions of this account itself; they watch it too.
    pub(super) own: Vec<Slot>,
}

#[derive(Debug, Default)]
enum Standing {
    /// Nobody looked yet.
    #[default]
    Unknown,
    Present(Arc<Card>),
    /// Deleted at this version: an older profile that a reader still brings is not believed.
    Gone(u64),
}

impl Standing {
    fn version(&self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Present(card) => card.profile().version,
            Self::Gone(version) => *version,
        }
    }
}

impl State {
    /// Takes a profile unless a newer state is held (I1). True if it was taken.
    pub(super) fn offer(&mut self, profile: &Arc<Profile>) -> bool {
        let newer = profile.version > self.standing.version();
        if newer {
            self.standing = Standing::Present(Arc::new(Card::new(profile.clone())));
        }
        newer
    }

    pub(super) fn gone(&mut self, version: u64) {
        if version > self.standing.version() {
            self.standing = Standing::Gone(version);
        }
    }

    pub(super) fn card(&self) -> Option<Arc<Card>> {
        match &self.standing {
            Standing::Present(card) => Some(card.clone()),
            Standing::Unknown | Standing::Gone(_) => None,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.watchers.is_empty() && self.own.is_empty()
    }
}

/// A shared entry, equal to another of the same account: the key of an outbox.
#[derive(Debug, Clone)]
pub struct UserRef(Arc<User>);

impl UserRef {
    /// An entry of its own, not in the registry.
    #[must_use]
    pub fn detached(account: Account) -> Self {
        // Hashed once here: a mark must not cost a pass over the account's text.
        let hash = FxBuildHasher.hash_one(account.as_str());
        Self(Arc::new(User { account, hash, state: Mutex::default() }))
    }

    /// Whose entry it is.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.0.account
    }

    /// The newest card the registry has, if the account is known to exist.
    #[must_use]
    pub fn card(&self) -> Option<Arc<Card>> {
        self.0.state.lock().card()
    }

    /// Brings a profile that was read from the store; the newer one stays.
    pub fn offer(&self, profile: &Arc<Profile>) {
        self.0.state.lock().offer(profile);
    }

    pub(super) fn state(&self) -> &Mutex<State> {
        &self.0.state
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl PartialEq for UserRef {
    fn eq(&self, other: &Self) -> bool {
        self.is(other) || self.account() == other.account()
    }
}

impl Eq for UserRef {}

impl Hash for UserRef {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0.hash);
    }
}
