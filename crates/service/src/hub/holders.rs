//! The sessions whose clients hold profiles of accounts that the sessions do not follow.
//!
//! Such a profile came with a signal or as a prefetch, or the session watched the account before. Its changes are not
//! sent, but when the account is deleted the client has to drop it, and only those clients may learn of the deletion that
//! knew the account. Each session is here for a bounded number of accounts.

use rustc_hash::FxHashMap;

use crate::locks::Mutex;
use rosterd_engine::model::Account;
use rosterd_engine::sync::interest::Slot;

/// The sessions by account.
#[derive(Debug, Default)]
pub(super) struct Holders(Mutex<FxHashMap<Account, Vec<Slot>>>);

impl Holders {
    /// Adds a session, which is not there for this account.
    pub(super) fn add(&self, account: &Account, slot: Slot) {
        self.0.lock().entry(account.clone()).or_default().push(slot);
    }

    /// Removes a session.
    pub(super) fn remove(&self, account: &Account, slot: Slot) {
        let mut holders = self.0.lock();
        let Some(slots) = holders.get_mut(account) else { return };
        slots.retain(|held| *held != slot);
        if slots.is_empty() {
            holders.remove(account);
        }
    }

    /// The sessions of one account.
    pub(super) fn of(&self, account: &Account) -> Vec<Slot> {
        self.0.lock().get(account).cloned().unwrap_or_default()
    }
}
