//! Finds the buckets of a friend list that differ, so that a client whose digest does not agree receives only those
//! again.
//!
//! The list is split into [`BUCKETS`] buckets by the account alone, so that both sides know the bucket of a friend that
//! only one of them has. Each bucket has a [`Digest`] of its own; those of a client are the `leaves` of its `repair`.
//! The service reads the list and sends the records.

use super::digest::{Digest, fnv1a};

/// The number of buckets of a friend list.
pub const BUCKETS: usize = 64;

/// Returns the bucket of an account: the low six bits of FNV-1a (32 bit) over its bytes.
#[must_use]
pub fn bucket(account: &str) -> usize {
    fnv1a(account) as usize % BUCKETS
}

/// The digests of a friend list, bucket by bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketDigests([ListDigest; BUCKETS]);

/// The number of friends in one or several buckets, and their digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListDigest {
    /// The number of friends.
    pub count: u32,
    /// Their digest.
    pub digest: Digest,
}

impl ListDigest {
    /// Adds one friend.
    pub fn add(&mut self, account: &str, friend_version: u64, user_version: u64) {
        self.count += 1;
        self.digest.add(account, friend_version, user_version);
    }
}

impl Default for BucketDigests {
    fn default() -> Self {
        Self([ListDigest::default(); BUCKETS])
    }
}

impl BucketDigests {
    /// Adds one friend.
    pub fn add(&mut self, account: &str, friend_version: u64, user_version: u64) {
        self.0[bucket(account)].add(account, friend_version, user_version);
    }

    /// Returns the digests of all buckets, as a client sends them.
    #[must_use]
    pub fn leaves(&self) -> [u32; BUCKETS] {
        self.0.map(|sum| sum.digest.value())
    }

    /// Returns the buckets whose digests differ from a client's.
    #[must_use]
    pub fn differing(&self, leaves: &[u32; BUCKETS]) -> BucketSet {
        let differ = |at: &usize| self.0[*at].digest.value() != leaves[*at];
        BucketSet((0..BUCKETS).filter(differ).fold(0, |buckets, at| buckets | 1 << at))
    }

    /// Returns the buckets of which more accounts were delivered than were added.
    ///
    /// The client is still receiving records of these buckets, so its leaves may be older than they: they look right,
    /// and are not.
    #[must_use]
    pub fn outnumbered<'a>(&self, delivered: impl Iterator<Item = &'a str>) -> BucketSet {
        let mut counts = [0; BUCKETS];
        delivered.for_each(|account| counts[bucket(account)] += 1);
        BucketSet((0..BUCKETS).filter(|at| counts[*at] > self.0[*at].count).fold(0, |buckets, at| buckets | 1 << at))
    }

    /// Returns the count and digest of all buckets but these.
    #[must_use]
    pub fn without(&self, buckets: BucketSet) -> ListDigest {
        let rest = (0..BUCKETS).filter(|at| !buckets.has(*at)).map(|at| self.0[at]);
        rest.fold(ListDigest::default(), |all, bucket| ListDigest {
            count: all.count + bucket.count,
            digest: all.digest.and(bucket.digest),
        })
    }
}

/// A set of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketSet(u64);

impl BucketSet {
    /// Makes the set of the numbers that are buckets.
    #[must_use]
    pub fn of(numbers: &[u32]) -> Self {
        let named = numbers.iter().filter(|number| (**number as usize) < BUCKETS);
        Self(named.fold(0, |buckets, number| buckets | 1 << number))
    }

    /// Returns the union of both sets.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether bucket `at` is in the set.
    #[must_use]
    pub fn has(self, at: usize) -> bool {
        self.0 >> at & 1 == 1
    }

    /// Returns whether the account's bucket is in the set.
    #[must_use]
    pub fn hold(self, account: &str) -> bool {
        self.has(bucket(account))
    }

    /// Returns whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the buckets' numbers, ascending.
    #[must_use]
    pub fn numbers(self) -> Vec<u32> {
        (0..BUCKETS as u32).filter(|at| self.has(*at as usize)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    type List = BTreeMap<String, (u64, u64)>;

    fn sums(list: &List) -> BucketDigests {
        let mut sums = BucketDigests::default();
        for (account, (friend, user)) in list {
            sums.add(account, *friend, *user);
        }
        sums
    }

    fn total(list: &List) -> ListDigest {
        let mut sum = ListDigest::default();
        for (account, (friend, user)) in list {
            sum.add(account, *friend, *user);
        }
        sum
    }

    fn list() -> impl Strategy<Value = List> {
        prop::collection::btree_map("[a-f]{1,3}", (1..5u64, 1..5u64), 0..60)
    }

    proptest! {
        /// Whatever a client holds, exactly the buckets with a difference in them differ, and once they are replaced the
        /// client holds the list. Its digest can be computed without reading the other buckets again.
        #[test]
        fn buckets_that_differ_are_found_and_replaced(ours in list(), theirs in list()) {
            let buckets = sums(&ours).differing(&sums(&theirs).leaves());
            let differ = |account: &&String| ours.get(*account) != theirs.get(*account);
            let expected: BTreeSet<_> = ours.keys().chain(theirs.keys()).filter(differ).map(|a| bucket(a)).collect();
            prop_assert_eq!(&buckets.numbers().into_iter().map(|at| at as usize).collect::<BTreeSet<_>>(), &expected);
            prop_assert_eq!(BucketSet::of(&buckets.numbers()), buckets);

            let mut repaired = theirs.clone();
            repaired.retain(|account, _| !buckets.hold(account));
            let mut sum = sums(&ours).without(buckets);
            prop_assert_eq!(sum, total(&repaired));
            for (account, (friend, user)) in ours.iter().filter(|(account, _)| buckets.hold(account)) {
                repaired.insert(account.clone(), (*friend, *user));
                sum.add(account, *friend, *user);
            }
            prop_assert_eq!(&repaired, &ours);
            prop_assert_eq!(sum, total(&ours));
        }
    }

    #[test]
    fn a_bucket_of_which_more_was_delivered_than_it_holds_differs_whatever_the_leaves() {
        let mut sums = BucketDigests::default();
        sums.add("alice", 1, 1);
        assert!(sums.outnumbered(["alice"].into_iter()).is_empty());
        assert_eq!(sums.outnumbered(["alice", "carol"].into_iter()).numbers(), [bucket("carol") as u32]);
        let both = sums.outnumbered(["carol"].into_iter()).or(sums.differing(&[0; BUCKETS]));
        assert_eq!(both.numbers(), [bucket("carol") as u32, bucket("alice") as u32]);
    }

    #[test]
    fn numbers_that_are_no_buckets_are_ignored() {
        assert_eq!(BucketSet::of(&[64, u32::MAX, 63, 0, 63]).numbers(), [0, 63]);
        assert!(BucketSet::of(&[64]).is_empty() && !BucketSet::of(&[0]).is_empty());
        assert_eq!(BucketSet::of(&[1, 2]).or(BucketSet::of(&[2, 3])).numbers(), [1, 2, 3]);
    }

    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Vector {
        friends: Vec<Listed>,
        repair: Vec<u32>,
    }

    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Listed {
        account: String,
        friend_version: u64,
        user_version: u64,
    }

    #[test]
    fn the_published_vectors_are_right() {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("../../../../docs/conformance/digest.json")).unwrap();
        assert!(vectors.len() > 5);
        for Vector { friends, repair } in vectors {
            let mut sums = BucketDigests::default();
            for friend in &friends {
                sums.add(&friend.account, friend.friend_version, friend.user_version);
            }
            assert_eq!(sums.leaves().to_vec(), repair);
        }
    }
}
