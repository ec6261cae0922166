//! The index of the sessions that watch an account.
//!
//! Because of it a change costs O(online watchers), and nothing if nobody watches. A session is a small slot number
//! here, so that an entry costs a few bytes; the hub maps slots to sessions.

use rustc_hash::FxHashSet;

/// A session's place in the hub's table, which another session reuses later.
pub type Slot = u32;

/// The most watchers that are kept in a sorted list, which is half the size of a hash table.
///
/// An insertion or removal moves the rest of the list, so that its length needs a bound.
const FEW: usize = 1024;

/// The sessions that watch one account, each once. An empty set holds no memory.
#[derive(Debug)]
pub struct Watchers(Slots);

#[derive(Debug)]
enum Slots {
    Few(Vec<Slot>),
    Many(FxHashSet<Slot>),
}

impl Default for Watchers {
    fn default() -> Self {
        Self(Slots::Few(Vec::new()))
    }
}

impl Watchers {
    /// Adds a session; false if it was there.
    pub fn insert(&mut self, slot: Slot) -> bool {
        match &mut self.0 {
            Slots::Few(few) => {
                let Err(at) = few.binary_search(&slot) else { return false };
                few.insert(at, slot);
                if few.len() > FEW {
                    self.0 = Slots::Many(few.drain(..).collect());
                }
                true
            }
            Slots::Many(many) => many.insert(slot),
        }
    }

    /// Removes a session; false if it was not there.
    pub fn remove(&mut self, slot: Slot) -> bool {
        // The index of a famous account must not keep its peak size for ever.
        match &mut self.0 {
            Slots::Few(few) => {
                let Ok(at) = few.binary_search(&slot) else { return false };
                few.remove(at);
                if few.len() * 4 < few.capacity() {
                    few.shrink_to(few.len() * 2);
                }
                true
            }
            Slots::Many(many) => {
                let removed = many.remove(&slot);
                // Not right below the limit, so that sessions that come and go there do not rebuild it each time.
                if many.len() < FEW / 2 {
                    let mut few: Vec<_> = many.drain().collect();
                    few.sort_unstable();
                    self.0 = Slots::Few(few);
                } else if many.len() * 4 < many.capacity() {
                    many.shrink_to(many.len() * 2);
                }
                removed
            }
        }
    }

    /// Returns whether the session watches.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        match &self.0 {
            Slots::Few(few) => few.binary_search(&slot).is_ok(),
            Slots::Many(many) => many.contains(&slot),
        }
    }

    /// Returns the number of watchers.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Slots::Few(few) => few.len(),
            Slots::Many(many) => many.len(),
        }
    }

    /// Returns whether nobody watches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Iterates over the watchers, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        let (few, many) = match &self.0 {
            Slots::Few(few) => (Some(few), None),
            Slots::Many(many) => (None, Some(many)),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten()).copied()
    }

    #[cfg(test)]
    fn capacity(&self) -> usize {
        match &self.0 {
            Slots::Few(few) => few.capacity(),
            Slots::Many(many) => many.capacity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn memory_is_freed_as_watchers_leave_but_not_at_every_step() {
        let mut watchers = Watchers::default();
        assert!((0..10_000).all(|slot| watchers.insert(slot)));
        assert_eq!(watchers.len(), 10_000);
        let (mut sizes, mut held) = (0, watchers.capacity());
        for slot in 0..9_900 {
            watchers.remove(slot);
            assert!(!watchers.is_empty() && watchers.capacity() <= 4 * watchers.len().max(8), "{}", watchers.len());
            sizes += usize::from(watchers.capacity() != held);
            held = watchers.capacity();
        }
        assert!((2..20).contains(&sizes) && watchers.len() == 100, "{sizes}");
    }

    #[test]
    fn few_watchers_are_a_list_many_a_table_and_both_shrink_when_three_in_four_have_left() {
        let of = |count| {
            let mut watchers = Watchers::default();
            (0..count).for_each(|slot| assert!(watchers.insert(slot)));
            watchers
        };
        let is_list = |watchers: &Watchers| matches!(watchers.0, Slots::Few(_));
        let mut table = of(1025);
        assert!(is_list(&of(1024)) && !is_list(&table));
        (512..1025).for_each(|slot| assert!(table.remove(slot) && !is_list(&table)));
        assert!(table.remove(0) && is_list(&table) && table.iter().eq(1..512));
        for count in [1024, 10_000] {
            let mut watchers = of(count);
            let before = watchers.capacity();
            let quarter = u32::try_from(before).unwrap() / 4;
            (quarter..count).for_each(|slot| assert!(watchers.remove(slot)));
            assert_eq!(watchers.capacity(), before);
            assert!(watchers.remove(0));
            assert!((2 * watchers.len()..before).contains(&watchers.capacity()));
        }
    }

    proptest! {
        #[test]
        fn it_is_a_set_and_frees_memory(
            before in prop_oneof![Just(0), 900..1_100u32],
            steps in prop::collection::vec((any::<bool>(), 0..1_200u32), 0..900),
        ) {
            let (mut watchers, mut model) = (Watchers::default(), BTreeSet::new());
            for slot in 0..before {
                prop_assert!(watchers.insert(slot) && model.insert(slot));
            }
            for (add, slot) in steps {
                if add {
                    prop_assert_eq!(watchers.insert(slot), model.insert(slot));
                } else {
                    prop_assert_eq!(watchers.remove(slot), model.remove(&slot));
                }
                prop_assert_eq!(watchers.contains(slot), add);
            }
            prop_assert_eq!(watchers.iter().collect::<BTreeSet<_>>(), model.clone());
            for slot in &model {
                watchers.remove(*slot);
            }
            prop_assert!(watchers.is_empty() && watchers.capacity() <= 4);
        }
    }
}
