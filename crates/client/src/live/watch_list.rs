//! The list of watched strangers, put together from the application's list and from counted holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::Replica;

/// How long changes of holds are gathered. What is held again at once changes nothing.
const GATHER: Duration = Duration::from_millis(20);

/// Keeps the list.
#[derive(Debug, Default)]
pub(super) struct WatchList {
    listed: BTreeSet<String>,
    holds: BTreeMap<String, usize>,
    /// When to compare the list with the one that the gateway has.
    pub(super) due: Option<Instant>,
}

impl WatchList {
    /// The list, if the application's is this one.
    pub(super) fn with(&self, listed: &BTreeSet<String>, account: &str, replica: &Replica) -> BTreeSet<String> {
        let comes_anyway = |held: &&String| *held == account || replica.friends().contains_key(*held);
        let held = self.holds.keys().filter(|held| !comes_anyway(held));
        listed.iter().chain(held).cloned().collect()
    }

    /// The list.
    pub(super) fn wanted(&self, account: &str, replica: &Replica) -> BTreeSet<String> {
        self.with(&self.listed, account, replica)
    }

    /// Replaces the application's part, which the gateway has accepted.
    pub(super) fn list(&mut self, accounts: BTreeSet<String>) {
        self.listed = accounts;
    }

    pub(super) fn hold(&mut self, accounts: &BTreeSet<String>) {
        for account in accounts {
            *self.holds.entry(account.clone()).or_default() += 1;
        }
        self.refresh();
    }

    pub(super) fn release(&mut self, accounts: &BTreeSet<String>) {
        for account in accounts {
            if let Some(count) = self.holds.get_mut(account) {
                *count -= 1;
                if *count == 0 {
                    self.holds.remove(account);
                }
            }
        }
        self.refresh();
    }

    /// Has the list compared soon: after a change of holds or of friends, and after a login.
    pub(super) fn refresh(&mut self) {
        self.due = Some(self.due.unwrap_or_else(|| Instant::now() + GATHER));
    }

    /// Forgets the application's part.
    pub(super) fn clear(&mut self) {
        self.listed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<const N: usize>(accounts: [&str; N]) -> BTreeSet<String> {
        accounts.map(str::to_owned).into()
    }

    #[test]
    fn holds_are_counted_beside_the_list() {
        let (mut list, replica) = (WatchList::default(), Replica::default());
        list.list(set(["zoe"]));
        list.hold(&set(["ann", "bob", "alice"]));
        list.hold(&set(["bob"]));
        assert_eq!(list.wanted("alice", &replica), set(["ann", "bob", "zoe"]), "its own profile comes anyway");
        list.release(&set(["ann", "bob"]));
        assert_eq!(list.wanted("alice", &replica), set(["bob", "zoe"]));
        list.release(&set(["bob"]));
        list.release(&set(["bob"]));
        assert_eq!(list.wanted("alice", &replica), set(["zoe"]));
        assert!(list.due.is_some());
    }
}
