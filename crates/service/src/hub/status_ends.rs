//! When the next status of each account ends.

use std::collections::{BTreeSet, HashMap};

use rosterd_engine::model::{Account, Millis};

/// When the next status of each account ends, of those that have an end of their own and an entry in the registry.
#[derive(Debug, Default)]
pub(super) struct StatusEnds {
    by_time: BTreeSet<(Millis, Account)>,
    by_account: HashMap<Account, Millis>,
}

impl StatusEnds {
    /// Sets when the next status of an account ends, if one does.
    pub(super) fn set(&mut self, account: &Account, end: Option<Millis>) {
        if self.by_account.get(account).copied() == end {
            return;
        }
        self.remove(account);
        if let Some(end) = end {
            self.by_account.insert(account.clone(), end);
            self.by_time.insert((end, account.clone()));
        }
    }

    pub(super) fn remove(&mut self, account: &Account) {
        if let Some(end) = self.by_account.remove(account) {
            self.by_time.remove(&(end, account.clone()));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.by_time.len(), self.by_account.len());
        self.by_time.len()
    }

    /// Removes an account one of whose statuses has ended.
    pub(super) fn pop(&mut self, now: Millis) -> Option<Account> {
        self.by_time.first().filter(|(end, _)| *end <= now)?;
        let (_, account) = self.by_time.pop_first()?;
        self.by_account.remove(&account);
        Some(account)
    }
}
