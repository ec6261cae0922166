//! Finds friendships of which a file has one direction only.
//!
//! To keep every pair would take as much memory as the friendships do. So the first reading keeps sums: each direction
//! adds a hash of its pair to one of some thousand buckets or takes it away, and a bucket of whole friendships is 0. Only
//! the pairs of other buckets are kept, in a second reading.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};

use rosterd_engine::model::{Account, Command};

/// The number of buckets.
const BUCKETS: usize = 1 << 16;

/// The sums of the directions of friendships.
pub(super) struct EdgeSums {
    /// Random, so that nobody can make a file whose sums are 0.
    hash: RandomState,
    buckets: Vec<u64>,
}

impl Default for EdgeSums {
    fn default() -> Self {
        Self { hash: RandomState::new(), buckets: Vec::new() }
    }
}

impl EdgeSums {
    pub(super) fn add(&mut self, owner: &Account, peer: &Account) {
        self.buckets.resize(BUCKETS, 0);
        let (bucket, hash) = self.place(owner, peer);
        let sum = &mut self.buckets[bucket];
        *sum = if owner < peer { sum.wrapping_add(hash) } else { sum.wrapping_sub(hash) };
    }

    /// Whether some friendship has one direction only.
    pub(super) fn is_odd(&self) -> bool {
        self.buckets.iter().any(|sum| *sum != 0)
    }

    fn may_be_odd(&self, owner: &Account, peer: &Account) -> bool {
        self.buckets.get(self.place(owner, peer).0).is_some_and(|sum| *sum != 0)
    }

    fn place(&self, owner: &Account, peer: &Account) -> (usize, u64) {
        let hash = self.hash.hash_one((owner.min(peer), owner.max(peer)));
        // Neither number says anything of the other.
        ((hash % BUCKETS as u64) as usize, self.hash.hash_one(hash))
    }
}

/// The directions whose sums are not 0, and the blocks that may be why.
#[derive(Default)]
pub(super) struct OddEdges {
    edges: BTreeMap<(Account, Account), u64>,
    blocks: BTreeSet<(Account, Account)>,
}

impl OddEdges {
    /// Takes a line of the second reading.
    pub(super) fn line(&mut self, sums: &EdgeSums, number: u64, command: Command) {
        match command {
            Command::AdoptFriend { account, peer, .. } if sums.may_be_odd(&account, &peer) => {
                self.edges.entry((account, peer)).or_insert(number);
            }
            Command::AdoptBlock { account, peer, .. } if sums.may_be_odd(&account, &peer) => {
                self.blocks.insert((account, peer));
            }
            _ => {}
        }
    }

    /// Returns the lines whose other direction is missing, unless the peer blocks the owner, which is how a friendship
    /// comes to have one.
    pub(super) fn bad(self) -> Vec<(u64, String)> {
        let Self { edges, blocks } = self;
        let is_alone = |(owner, peer): &(Account, Account)| {
            let other = (peer.clone(), owner.clone());
            !edges.contains_key(&other) && !blocks.contains(&other)
        };
        let alone = edges.iter().filter(|(pair, _)| is_alone(pair));
        let mut bad: Vec<_> = alone
            .map(|((owner, peer), number)| {
                let why = format!(
                    "\"{owner}\" lists \"{peer}\", but there is no line for the other direction, nor for a block of \
                     \"{owner}\" by \"{peer}\""
                );
                (*number, why)
            })
            .collect();
        bad.sort();
        bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rosterd_engine::model::FriendUpdate;

    fn friend(a: &str, b: &str) -> Command {
        let [account, peer] = [a, b].map(|name| Account::parse(name, "account").unwrap());
        Command::AdoptFriend { account, peer, note: FriendUpdate::default(), create_time: None }
    }

    fn bad(commands: &[Command]) -> Vec<u64> {
        let (mut sums, mut odd) = (EdgeSums::default(), OddEdges::default());
        for command in commands {
            if let Command::AdoptFriend { account, peer, .. } = command {
                sums.add(account, peer);
            }
        }
        for (number, command) in (1..).zip(commands) {
            odd.line(&sums, number, command.clone());
        }
        let bad: Vec<_> = odd.bad().into_iter().map(|(number, _)| number).collect();
        assert!(sums.is_odd() || bad.is_empty());
        bad
    }

    #[test]
    fn a_direction_alone_is_found_whatever_is_around_it() {
        let whole: Vec<_> =
            (0..1000).flat_map(|n| [friend("a", &format!("b{n}")), friend(&format!("b{n}"), "a")]).collect();
        assert_eq!(bad(&whole), Vec::<u64>::new());
        assert_eq!(bad(&[&whole[..], &[friend("a", "x")], &[friend("y", "a")]].concat()), [2001, 2002]);
        // Twice the same is no pair.
        assert_eq!(bad(&[friend("a", "b"), friend("a", "b")]), [1]);
        assert_eq!(bad(&[friend("a", "b"), friend("b", "a"), friend("a", "b")]), Vec::<u64>::new());
        let [account, peer] = ["b", "a"].map(|name| Account::parse(name, "account").unwrap());
        let block = Command::AdoptBlock { account, peer, create_time: None, last_seen: None, frozen: None };
        assert_eq!(bad(&[block.clone(), friend("a", "b")]), Vec::<u64>::new());
        assert_eq!(bad(&[block, friend("b", "a")]), [2]);
    }
}
