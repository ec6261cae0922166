//! The accounts that an account mutes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Account;

/// The accounts that an account mutes, which its own clients alone learn. Where there are none it costs a word.
///
/// It decides nothing in the gateway: it is for clients, which show less of a muted account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Muted(Option<Arc<BTreeSet<Account>>>);

impl Muted {
    /// Whether no account is muted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the number of accounts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |accounts| accounts.len())
    }

    /// Returns the accounts in order.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.0.iter().flat_map(|accounts| accounts.iter())
    }

    /// Whether an account is muted.
    #[must_use]
    pub fn has(&self, account: &Account) -> bool {
        self.0.as_ref().is_some_and(|accounts| accounts.contains(account))
    }

    /// Returns the accounts with this one muted, or not.
    #[must_use]
    pub fn with(&self, account: &Account, muted: bool) -> Self {
        let others = self.iter().filter(|other| *other != account);
        others.chain(Some(account).filter(|_| muted)).cloned().collect()
    }
}

impl FromIterator<Account> for Muted {
    fn from_iter<T: IntoIterator<Item = Account>>(accounts: T) -> Self {
        let accounts: BTreeSet<_> = accounts.into_iter().collect();
        Self((!accounts.is_empty()).then(|| Arc::new(accounts)))
    }
}
