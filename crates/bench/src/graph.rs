//! The friendships of a run: the same graph for the same parameters, on every machine. Pure.
//!
//! Users are numbered from 0. A friendship has a place in one flat list, which is also where the
//! [ledger](super::ledger) keeps what has been seen of it.

/// The friendships, each in both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// The place in `peers` where the friends of each user begin; one more at the end.
    starts: Vec<u32>,
    /// Each user's friends in ascending order.
    peers: Vec<u32>,
}

impl Graph {
    /// Makes a graph in which everyone has `friends` friends: a circle with random chords over users in random order, so
    /// that friends are not neighbours in any table.
    ///
    /// # Errors
    /// There is no such graph; the text names one that exists.
    pub fn regular(users: u32, friends: u32, seed: u64) -> Result<Self, String> {
        if !friends.is_multiple_of(2) {
            return Err(format!("everyone cannot have {friends} friends: give an even number"));
        }
        if friends >= users.max(1) {
            return Err(format!("{users} users cannot have {friends} friends each: give more than {friends} users"));
        }
        let mut chance = Chance::new(seed);
        let mut order: Vec<u32> = (0..users).collect();
        for at in (1..users).rev() {
            order.swap(at as usize, chance.below(at + 1) as usize);
        }
        // Halfway round the circle and back are one friendship, so with an even number of users it is left out.
        let mut chords: Vec<u32> = (1..=(users.max(1) - 1) / 2).collect();
        for at in 0..(friends / 2).min(chords.len() as u32) {
            let other = at + chance.below(chords.len() as u32 - at);
            chords.swap(at as usize, other as usize);
        }
        chords.truncate(friends as usize / 2);
        let mut graph = Self {
            starts: (0..=users).map(|user| user * friends).collect(),
            peers: vec![0; users as usize * friends as usize],
        };
        let mut next = graph.starts.clone();
        let mut put = |user: u32, friend: u32| {
            graph.peers[next[user as usize] as usize] = friend;
            next[user as usize] += 1;
        };
        for (at, chord) in (0..users).flat_map(|at| chords.iter().map(move |chord| (at, *chord))) {
            let across = (u64::from(at) + u64::from(chord)) % u64::from(users);
            let (one, other) = (order[at as usize], order[across as usize]);
            put(one, other);
            put(other, one);
        }
        graph.peers.chunks_mut(friends.max(1) as usize).for_each(<[u32]>::sort_unstable);
        Ok(graph)
    }

    /// Makes a graph in which user 0 is the only friend of all others.
    #[must_use]
    pub fn star(others: u32) -> Self {
        let starts = std::iter::once(0).chain((0..=others).map(|user| others + user)).collect();
        Self { starts, peers: (1..=others).chain((0..others).map(|_| 0)).collect() }
    }

    /// Counts the users.
    #[must_use]
    pub fn users(&self) -> u32 {
        self.starts.len() as u32 - 1
    }

    /// Counts the friendships in both directions.
    #[must_use]
    pub fn edges(&self) -> usize {
        self.peers.len()
    }

    /// Returns the friends of a user, in ascending order.
    #[must_use]
    pub fn friends(&self, user: u32) -> &[u32] {
        &self.peers[self.starts[user as usize] as usize..self.starts[user as usize + 1] as usize]
    }

    /// Finds the place of the friendship of `user` with `friend`, if there is one.
    #[must_use]
    pub fn place(&self, user: u32, friend: u32) -> Option<usize> {
        let at = self.friends(user).binary_search(&friend).ok()?;
        Some(self.starts[user as usize] as usize + at)
    }

    /// Yields each friendship once, the smaller number first.
    pub fn friendships(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..self.users()).flat_map(|user| {
            self.friends(user).iter().filter(move |friend| **friend > user).map(move |friend| (user, *friend))
        })
    }
}

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Starts the sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Draws a number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((((z ^ (z >> 31)) >> 32) * u64::from(end)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_as_many_friends_as_asked_for_and_each_is_mutual() {
        for (users, friends) in [(1, 0), (2, 0), (3, 2), (4, 2), (10, 8), (11, 10), (100, 50), (2000, 50)] {
            let graph = Graph::regular(users, friends, 7).unwrap();
            assert_eq!((graph.users(), graph.edges()), (users, (users * friends) as usize));
            for user in 0..users {
                let list = graph.friends(user);
                assert_eq!(list.len(), friends as usize);
                assert!(list.windows(2).all(|pair| pair[0] < pair[1]), "each once and in order: {list:?}");
                assert!(list.iter().all(|friend| *friend != user && graph.friends(*friend).contains(&user)));
            }
            assert_eq!(graph.friendships().count() * 2, graph.edges());
        }
    }

    #[test]
    fn the_same_numbers_give_the_same_graph_and_others_another() {
        assert_eq!(Graph::regular(200, 10, 1), Graph::regular(200, 10, 1));
        assert_ne!(Graph::regular(200, 10, 1), Graph::regular(200, 10, 2));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        assert!(Graph::regular(10, 3, 1).unwrap_err().contains("even"));
        assert!(Graph::regular(10, 10, 1).unwrap_err().contains("more than 10 users"));
        assert!(Graph::regular(0, 2, 1).is_err());
        // Halfway round is one friendship only, but then there is no even number of others either.
        assert!(Graph::regular(4, 4, 1).is_err());
    }

    #[test]
    fn every_friendship_has_a_place_of_its_own() {
        let graph = Graph::regular(50, 6, 3).unwrap();
        let pairs = (0..50).flat_map(|user| graph.friends(user).iter().map(move |friend| (user, *friend)));
        let places: Vec<_> = pairs.map(|(user, friend)| graph.place(user, friend).unwrap()).collect();
        assert_eq!(places, (0..graph.edges()).collect::<Vec<_>>());
        assert_eq!(graph.place(0, 0), None);
    }

    #[test]
    fn in_a_star_all_know_one() {
        let star = Graph::star(5);
        assert_eq!((star.users(), star.friends(0)), (6, &[1, 2, 3, 4, 5][..]));
        assert!((1..6).all(|user| star.friends(user) == [0]));
    }
}
