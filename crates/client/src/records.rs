//! Records by account, in buckets that copies share: to copy them costs nothing, and a change copies one bucket.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use rosterd_engine::sync::repair::{BUCKETS, bucket};

/// One bucket, shared by all copies in which nothing in it has changed.
type SharedBucket<T> = Arc<BTreeMap<String, Arc<T>>>;

/// Records by account.
///
/// A clone is a picture of this moment: it never changes, and shares everything that stays the same.
pub struct Records<T> {
    buckets: Arc<Vec<SharedBucket<T>>>,
}

impl<T> Records<T> {
    /// Returns the number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.len()).sum()
    }

    /// Returns whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.is_empty())
    }

    /// Returns the record of an account.
    #[must_use]
    pub fn get(&self, account: impl AsRef<str>) -> Option<&T> {
        self.shared(account.as_ref()).map(Arc::as_ref)
    }

    /// Returns whether an account has a record.
    #[must_use]
    pub fn contains_key(&self, account: impl AsRef<str>) -> bool {
        self.get(account).is_some()
    }

    /// Returns the records, in order of the account.
    pub fn iter(&self) -> std::vec::IntoIter<(&String, &T)> {
        let mut all: Vec<_> = self.unordered().map(|(account, record)| (account, record.as_ref())).collect();
        all.sort_unstable_by_key(|(account, _)| *account);
        all.into_iter()
    }

    /// Returns the accounts, in order.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.iter().map(|(account, _)| account)
    }

    /// Returns the records without their accounts, in order of the account.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, record)| record)
    }

    /// Returns the accounts whose records are others than in `before`, or are only here, or only there.
    ///
    /// What both share is not looked at, so this is quick if little has changed.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Vec<String>
    where
        T: PartialEq,
    {
        let mut changed = Vec::new();
        for (now, old) in self.buckets.iter().zip(before.buckets.iter()).filter(|(now, old)| !Arc::ptr_eq(now, old)) {
            let differs =
                |(account, record): &(&String, &Arc<T>)| old.get(*account).is_none_or(|other| !same(record, other));
            changed.extend(now.iter().filter(differs).map(|(account, _)| account.clone()));
            changed.extend(old.keys().filter(|account| !now.contains_key(*account)).cloned());
        }
        changed.sort_unstable();
        changed
    }

    /// Returns whether both are the same picture. Equal ones that were made apart are not.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.buckets, &other.buckets)
    }

    pub(crate) fn unordered(&self) -> impl Iterator<Item = (&String, &Arc<T>)> {
        self.buckets.iter().flat_map(|bucket| bucket.iter())
    }

    pub(crate) fn shared(&self, account: &str) -> Option<&Arc<T>> {
        self.buckets[bucket(account)].get(account)
    }

    pub(crate) fn insert(&mut self, account: String, record: Arc<T>) {
        self.bucket_mut(bucket(&account)).insert(account, record);
    }

    /// Removes a record, and returns whether there was one.
    pub(crate) fn remove(&mut self, account: &str) -> bool {
        self.contains_key(account) && self.bucket_mut(bucket(account)).remove(account).is_some()
    }

    /// Removes the records for which `keep` is false.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str, &T) -> bool) {
        let gone: Vec<_> = self.unordered().filter(|(account, record)| !keep(account, record)).collect();
        let gone: Vec<_> = gone.into_iter().map(|(account, _)| account.clone()).collect();
        for account in gone {
            self.remove(&account);
        }
    }

    fn bucket_mut(&mut self, at: usize) -> &mut BTreeMap<String, Arc<T>> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.buckets)[at])
    }
}

fn same<T: PartialEq>(one: &Arc<T>, other: &Arc<T>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

impl<T> Default for Records<T> {
    fn default() -> Self {
        Self { buckets: Arc::new(vec![SharedBucket::default(); BUCKETS]) }
    }
}

impl<T> Clone for Records<T> {
    fn clone(&self) -> Self {
        Self { buckets: self.buckets.clone() }
    }
}

impl<T: PartialEq> PartialEq for Records<T> {
    fn eq(&self, other: &Self) -> bool {
        let mut buckets = self.buckets.iter().zip(other.buckets.iter());
        buckets.all(|(one, other)| Arc::ptr_eq(one, other) || one == other)
    }
}

impl<T: PartialEq> PartialEq<BTreeMap<String, T>> for Records<T> {
    fn eq(&self, other: &BTreeMap<String, T>) -> bool {
        self.len() == other.len() && self.unordered().all(|(account, record)| other.get(account) == Some(record))
    }
}

impl<T: fmt::Debug> fmt::Debug for Records<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<T> FromIterator<(String, T)> for Records<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(records: I) -> Self {
        let mut all = Self::default();
        records.into_iter().for_each(|(account, record)| all.insert(account, Arc::new(record)));
        all
    }
}

impl<T, Q: AsRef<str> + ?Sized> Index<&Q> for Records<T> {
    type Output = T;

    /// Returns the record of an account.
    ///
    /// # Panics
    /// There is none.
    fn index(&self, account: &Q) -> &T {
        let account = account.as_ref();
        self.get(account).unwrap_or_else(|| panic!("there is no record of {account}"))
    }
}

impl<'a, T> IntoIterator for &'a Records<T> {
    type Item = (&'a String, &'a T);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(numbers: impl IntoIterator<Item = u32>) -> Records<u32> {
        numbers.into_iter().map(|n| (format!("a{n:03}"), n)).collect()
    }

    #[test]
    fn a_picture_does_not_change_and_shares_what_stays() {
        let mut records = numbered(0..200);
        let before = records.clone();
        assert!(records.is_same(&before));
        records.insert("a007".to_owned(), Arc::new(700));
        records.remove("a100");
        records.insert("zoe".to_owned(), Arc::new(1));
        assert_eq!((before["a007"], before.len(), before.contains_key("zoe")), (7, 200, false));
        assert_eq!(records.changed_since(&before), ["a007", "a100", "zoe"]);
        assert_eq!(before.changed_since(&records), ["a007", "a100", "zoe"]);
        let shared = |(now, old): &(&SharedBucket<u32>, &SharedBucket<u32>)| Arc::ptr_eq(now, old);
        assert!(records.buckets.iter().zip(before.buckets.iter()).filter(shared).count() >= BUCKETS - 3);
    }

    #[test]
    fn records_come_in_order_of_the_account() {
        let records = numbered((0..50).rev());
        assert!(records.values().copied().eq(0..50));
        assert!(records.keys().is_sorted());
        assert_eq!(records, numbered(0..50));
        assert_ne!(records, numbered(0..49));
    }

    #[test]
    fn equal_records_that_were_made_apart_are_no_change() {
        assert_eq!(numbered(0..50).changed_since(&numbered(0..50)), [""; 0]);
    }

    #[test]
    fn what_is_not_kept_goes() {
        let mut records = numbered(0..50);
        records.retain(|_, n| n % 2 == 0);
        assert!(records.values().copied().eq((0..50).step_by(2)));
        assert!(!records.remove("a001"));
    }
}
