//! The presence transitions that are not stored yet, by account.

use rustc_hash::FxHashMap;

use super::account_presence::PresenceTransition;
use rosterd_engine::model::{Account, DeviceKind, SeenPresence};

/// Of each account and viewer the newest transition.
#[derive(Debug, Default)]
pub(super) struct Transitions(FxHashMap<Account, FxHashMap<Option<Account>, SeenWithKinds>>);

/// What is seen, and the kinds of devices beside it.
type SeenWithKinds = (Option<SeenPresence>, Vec<DeviceKind>);

impl Transitions {
    /// Adds one; an older one of the same account and viewer is dropped.
    pub(super) fn add(&mut self, account: &Account, peer: Option<&Account>, seen: SeenWithKinds) {
        self.0.entry(account.clone()).or_default().insert(peer.cloned(), seen);
    }

    /// Puts one back that could not be stored; a newer one stays.
    pub(super) fn put_back(&mut self, transition: PresenceTransition) {
        let PresenceTransition { account, peer, seen, devices } = transition;
        self.0.entry(account).or_default().entry(peer).or_insert((seen, devices));
    }

    /// Drops those of an account.
    pub(super) fn forget(&mut self, account: &Account) {
        self.0.remove(account);
    }

    /// Whether there is one of an account.
    pub(super) fn has(&self, account: &Account) -> bool {
        self.0.contains_key(account)
    }

    /// Takes those of one account after the other, until there are at least so many.
    pub(super) fn take(&mut self, some: usize) -> Vec<PresenceTransition> {
        let mut taken = Vec::new();
        let accounts: Vec<_> = self.0.keys().take(some).cloned().collect();
        for account in accounts {
            if taken.len() >= some {
                break;
            }
            for (peer, (seen, devices)) in self.0.remove(&account).into_iter().flatten() {
                taken.push(PresenceTransition { account: account.clone(), peer, seen, devices });
            }
        }
        taken
    }
}
