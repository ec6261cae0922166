//! The sum by which client and server prove that they hold the same friend list.
//!
//! `digest = Σ h(account, friend.version, user.version) mod 2^32` over all friends, in any order, with
//! `h` = FNV-1a (32 bit) over the UTF-8 account, then for each of the four words *low and high half of
//! `friend.version`, low and high half of `user.version`*: xor the word in and apply murmur3's `fmix32`.
//! Test vectors stand in `docs/conformance/digest.json`.

/// A running digest.
///
/// Adding and subtracting are inverse, so a digest can follow a list that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest(u32);

impl Digest {
    /// Adds one friend.
    pub fn add(&mut self, account: &str, friend_version: u64, user_version: u64) {
        self.0 = self.0.wrapping_add(friend_hash(account, friend_version, user_version));
    }

    /// Subtracts one friend.
    pub fn subtract(&mut self, account: &str, friend_version: u64, user_version: u64) {
        self.0 = self.0.wrapping_sub(friend_hash(account, friend_version, user_version));
    }

    /// Returns the digest of two lists together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// Returns the sum.
    #[must_use]
    pub fn value(self) -> u32 {
        self.0
    }
}

/// Returns `h`, one friend's share of the digest.
#[must_use]
pub fn friend_hash(account: &str, friend_version: u64, user_version: u64) -> u32 {
    [friend_version, user_version].into_iter().fold(fnv1a(account), |h, version| {
        let (low, high) = (version as u32, (version >> 32) as u32);
        fmix32(fmix32(h ^ low) ^ high)
    })
}

pub(super) fn fnv1a(account: &str) -> u32 {
    account.bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

fn fmix32(mut h: u32) -> u32 {
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn sum<'a>(friends: impl IntoIterator<Item = (&'a String, &'a (u64, u64))>) -> u32 {
        let mut digest = Digest::default();
        friends.into_iter().for_each(|(a, (f, u))| digest.add(a, *f, *u));
        digest.value()
    }

    proptest! {
        #[test]
        fn order_does_not_matter(friends: BTreeMap<String, (u64, u64)>) {
            prop_assert_eq!(sum(&friends), sum(friends.iter().rev()));
        }

        /// The single faults a client could have: a version that stayed behind, a friend too many or too few, versions swapped.
        #[test]
        fn one_difference_shows(friends in prop::collection::btree_map("[a-z]{1,8}", (1..1u64 << 53, 1..1u64 << 53), 1..40), pick: prop::sample::Index) {
            let (name, (f, u)) = friends.iter().nth(pick.index(friends.len())).unwrap();
            for other in [Some((f - 1, *u)), Some((*f, u + 1)), Some((u ^ 1, *f)), None] {
                let mut changed = friends.clone();
                match other {
                    Some(v) => drop(changed.insert(name.clone(), v)),
                    None => drop(changed.remove(name)),
                }
                prop_assert_ne!(sum(&changed), sum(&friends));
            }
        }
    }

    /// One list of `docs/conformance/digest.json`, which other languages check themselves against too.
    #[derive(serde::Deserialize)]
    struct Vector {
        friends: Vec<Listed>,
        leaves: Vec<u32>,
        digest: u32,
    }

    #[derive(serde::Deserialize)]
    struct Listed {
        account: String,
        #[serde(rename = "friendVersion")]
        friend: u64,
        #[serde(rename = "userVersion")]
        user: u64,
    }

    #[test]
    fn the_published_vectors_are_right() {
        let text = include_str!("../../../../docs/conformance/digest.json");
        let vectors: Vec<Vector> = serde_json::from_str(text).unwrap();
        assert!(vectors.iter().any(|v| v.friends.is_empty()) && vectors.len() > 5);
        for Vector { friends, leaves, digest } in vectors {
            let of = |f: &Listed| friend_hash(&f.account, f.friend, f.user);
            assert_eq!(friends.iter().map(of).collect::<Vec<_>>(), leaves);
            let mut sum = Digest::default();
            for friend in &friends {
                sum.add(&friend.account, friend.friend, friend.user);
            }
            assert_eq!(sum.value(), digest);
        }
    }
}
