//! What one session has yet to be told: a set of marks, never a queue of messages.
//!
//! A mark says "of this key, the newest state is owed". Marking again is free, so a slow reader costs one entry
//! per changed key however often it changes, and is told the newest state when it reads. The one thing that is no
//! state, and so waits in a queue, is a signal: [`Queue`] is bounded, and what does not fit is refused.

use std::collections::VecDeque;
use std::hash::Hash;

use rustc_hash::FxHashMap;

/// What of a key is owed; several kinds can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds(u8);

impl Kinds {
    /// The account's profile.
    pub const CARD: Self = Self(1);
    /// Whether the session's account lists this one.
    pub const EDGE: Self = Self(2);
    /// The requests between the session's account and this one.
    pub const REQUEST: Self = Self(4);
    /// Whether the session's account blocks this one.
    pub const BLOCK: Self = Self(8);
    /// Whether the account is online.
    pub const PRESENCE: Self = Self(16);
    /// The list of sessions; of the session's own account.
    pub const SESSIONS: Self = Self(32);
    /// The account's profile, although the session does not follow it.
    pub const LOOK_UP: Self = Self(64);

    /// Whether all of `other` is in here.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether something of `other` is in here.
    #[must_use]
    pub fn has_any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a mark did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marked {
    /// The outbox was empty: whoever drains it must be woken.
    First,
    /// One more thing is owed.
    More,
    /// It was owed already.
    Conflated,
}

/// The marks taken from an outbox.
pub type Marks<K> = FxHashMap<K, Kinds>;

/// The dirty set of one session. Bounded by the number of keys it is interested in; empty, it holds no memory.
#[derive(Debug)]
pub struct Outbox<K>(Marks<K>);

impl<K> Default for Outbox<K> {
    fn default() -> Self {
        Self(Marks::default())
    }
}

impl<K: Hash + Eq> Outbox<K> {
    /// Marks a key with one or more kinds.
    pub fn mark(&mut self, key: K, kind: Kinds) -> Marked {
        let first = self.0.is_empty();
        let kinds = self.0.entry(key).or_default();
        if kinds.has(kind) {
            return Marked::Conflated;
        }
        *kinds = kinds.with(kind);
        if first { Marked::First } else { Marked::More }
    }

    /// Takes everything that is owed.
    pub fn take(&mut self) -> Marks<K> {
        std::mem::take(&mut self.0)
    }

    /// How many keys are marked with this kind.
    #[must_use]
    pub fn count(&self, kind: Kinds) -> usize {
        self.0.values().filter(|kinds| kinds.has(kind)).count()
    }

    /// How many keys are marked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Things to tell in order, up to a number of bytes; empty, it holds no memory.
#[derive(Debug)]
pub struct Queue<T> {
    items: VecDeque<T>,
    bytes: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), bytes: 0 }
    }
}

impl<T> Queue<T> {
    /// Adds an item that takes `bytes`; false if it does not fit below `most`.
    pub fn push(&mut self, item: T, bytes: usize, most: usize) -> bool {
        let fits = self.bytes + bytes <= most;
        if fits {
            self.bytes += bytes;
            self.items.push_back(item);
        }
        fits
    }

    /// Takes everything.
    pub fn take(&mut self) -> VecDeque<T> {
        std::mem::take(self).items
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[derive(Debug, Clone)]
    enum Step {
        Mark(u8, bool),
        Take,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..12u8, any::<bool>()).prop_map(|(k, edge)| Step::Mark(k, edge)),
            1 => Just(Step::Take),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Against a model: no mark is lost or made up, the set is bounded by the keys, and exactly the mark that
        /// finds it empty asks for a wake-up.
        #[test]
        fn every_mark_is_told_once(steps in steps()) {
            let (mut outbox, mut model) = (Outbox::default(), BTreeMap::<u8, BTreeSet<bool>>::new());
            for step in steps {
                match step {
                    Step::Mark(key, edge) => {
                        let expected = match (model.is_empty(), model.entry(key).or_default().insert(edge)) {
                            (_, false) => Marked::Conflated,
                            (true, true) => Marked::First,
                            (false, true) => Marked::More,
                        };
                        let kind = if edge { Kinds::EDGE } else { Kinds::CARD };
                        prop_assert_eq!(outbox.mark(key, kind), expected);
                    }
                    Step::Take => {
                        let taken: BTreeMap<u8, BTreeSet<bool>> = outbox.take().into_iter().map(|(k, kinds)| {
                            let flags = [(false, Kinds::CARD), (true, Kinds::EDGE)];
                            (k, flags.into_iter().filter(|(_, kind)| kinds.has(*kind)).map(|(edge, _)| edge).collect())
                        }).collect();
                        prop_assert_eq!(taken, std::mem::take(&mut model));
                    }
                }
                prop_assert!(outbox.0.len() <= 12);
                prop_assert_eq!(outbox.is_empty(), model.is_empty());
            }
        }
    }
}
