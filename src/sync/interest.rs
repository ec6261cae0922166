//! Which sessions watch one account.
//!
//! This is the index that makes a change cost O(online watchers) and nothing when nobody watches. Sessions
//! are named by a small slot number, so that an entry costs a few bytes; the hub keeps slots and sessions apart.

use rustc_hash::FxHashSet;

/// The place of a session in the hub's table; reused once the session is gone.
pub type Slot = u32;

/// The sessions that watch one account, each once. Empty, it holds no memory.
#[derive(Debug, Default)]
pub struct Watchers(FxHashSet<Slot>);

impl Watchers {
    /// Adds a session; false if it was there.
    pub fn insert(&mut self, slot: Slot) -> bool {
        self.0.insert(slot)
    }

    /// Removes a session; false if it was not there.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let removed = self.0.remove(&slot);
        // A celebrity's index must not keep its peak size for ever.
        if self.0.len() * 4 < self.0.capacity() {
            self.0.shrink_to(self.0.len() * 2);
        }
        removed
    }

    /// Whether the session watches.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        self.0.contains(&slot)
    }

    /// How many watch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody watches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn memory_is_given_back_as_they_leave_but_not_at_every_step() {
        let mut watchers = Watchers::default();
        assert!((0..10_000).all(|slot| watchers.insert(slot)));
        assert_eq!(watchers.len(), 10_000);
        let (mut sizes, mut held) = (0, watchers.0.capacity());
        for slot in 0..9_900 {
            watchers.remove(slot);
            assert!(!watchers.is_empty() && watchers.0.capacity() <= 4 * watchers.len().max(8), "{}", watchers.len());
            sizes += usize::from(watchers.0.capacity() != held);
            held = watchers.0.capacity();
        }
        assert!((2..20).contains(&sizes) && watchers.len() == 100, "{sizes}");
    }

    proptest! {
        #[test]
        fn it_is_a_set_and_gives_memory_back(steps in prop::collection::vec((any::<bool>(), 0..300u32), 0..600)) {
            let (mut watchers, mut model) = (Watchers::default(), BTreeSet::new());
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
            prop_assert!(watchers.is_empty() && watchers.0.capacity() <= 4);
        }
    }
}
