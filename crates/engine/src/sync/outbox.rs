//! The pending updates of one session: a set of dirty marks, not a queue of messages.
//!
//! A mark says that the newest state of a key is pending. Another mark of the same key is free, so a slow reader costs
//! one entry per changed key however often the key changes, and receives the newest state when it reads. Only a signal
//! is no state, and so waits in a queue: [`Queue`] is bounded, and refuses what does not fit.

use std::collections::{VecDeque, hash_map};
use std::hash::{BuildHasher, Hash};
use std::slice;

use rustc_hash::{FxBuildHasher, FxHashMap};

/// The kinds of records of a key that are pending, a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordKinds(u8);

impl RecordKinds {
    /// The account's profile.
    pub const PROFILE: Self = Self(1);
    /// Whether the session's account lists this one.
    pub const EDGE: Self = Self(2);
    /// The requests between the session's account and this one.
    pub const REQUEST: Self = Self(4);
    /// Whether the session's account blocks this one.
    pub const BLOCK: Self = Self(8);
    /// Whether the account is online.
    pub const PRESENCE: Self = Self(16);
    /// The list of sessions of the session's own account.
    pub const SESSIONS: Self = Self(32);
    /// The account's profile, although the session does not follow it.
    pub const LOOK_UP: Self = Self(64);
    /// That the client is to drop the account's profile: the account was deleted, or its profile was sent long ago.
    pub const FORGET: Self = Self(128);

    /// Returns whether all kinds of `other` are in the set.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether any kind of `other` is in the set.
    #[must_use]
    pub fn has_any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the names of the kinds in the set, as the server API's answers have them.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        let named = [
            (Self::PROFILE, "card"),
            (Self::EDGE, "friend"),
            (Self::REQUEST, "request"),
            (Self::BLOCK, "block"),
            (Self::PRESENCE, "presence"),
            (Self::SESSIONS, "sessions"),
            (Self::LOOK_UP, "hint"),
            (Self::FORGET, "removed"),
        ];
        named.into_iter().filter(|(kind, _)| self.has(*kind)).map(|(_, word)| word).collect()
    }

    /// Returns the set as bits, for [`of_bits`](Self::of_bits).
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns the set with these bits.
    #[must_use]
    pub const fn of_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Returns the union of both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The effect of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marked {
    /// The outbox was empty: the session must be woken to flush it.
    First,
    /// Something more is pending.
    More,
    /// It was pending already.
    Conflated,
}

/// The most marks that are kept in a list and searched one by one; those beyond are hashed.
///
/// Most sessions have few pending keys at a time, and a short list needs no table that grows each time.
const FEW: usize = 16;

/// The pending kinds of each key.
///
/// Bounded by the number of keys. An empty set holds no memory.
#[derive(Debug)]
pub struct DirtyMarks<K> {
    few: Vec<DirtyMark<K>>,
    more: FxHashMap<K, RecordKinds>,
}

#[derive(Debug)]
struct DirtyMark<K> {
    key: K,
    /// Distinguishes most keys without comparing them.
    hash: u32,
    kinds: RecordKinds,
}

impl<K> Default for DirtyMarks<K> {
    fn default() -> Self {
        Self { few: Vec::new(), more: FxHashMap::default() }
    }
}

impl<K> DirtyMarks<K> {
    /// Iterates over the keys and their pending kinds, in no particular order.
    #[must_use]
    pub fn iter(&self) -> DirtyMarksIter<'_, K> {
        DirtyMarksIter { few: self.few.iter(), more: self.more.iter() }
    }

    /// Returns the number of marked keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.few.len() + self.more.len()
    }

    /// Returns whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.few.is_empty()
    }
}

impl<K: Hash + Eq> DirtyMarks<K> {
    /// Returns the pending kinds of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> RecordKinds {
        match self.position(key, hash(key)) {
            Some(at) => self.few[at].kinds,
            None => self.more.get(key).copied().unwrap_or_default(),
        }
    }

    fn kinds(&mut self, key: K) -> &mut RecordKinds {
        let hash = hash(&key);
        match self.position(&key, hash) {
            Some(at) => &mut self.few[at].kinds,
            None if self.few.len() < FEW => {
                let at = self.few.len();
                self.few.push(DirtyMark { key, hash, kinds: RecordKinds::default() });
                &mut self.few[at].kinds
            }
            None => self.more.entry(key).or_default(),
        }
    }

    fn position(&self, key: &K, hash: u32) -> Option<usize> {
        self.few.iter().position(|mark| mark.hash == hash && mark.key == *key)
    }
}

impl<'a, K> IntoIterator for &'a DirtyMarks<K> {
    type Item = (&'a K, &'a RecordKinds);
    type IntoIter = DirtyMarksIter<'a, K>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The iterator of [`DirtyMarks::iter`].
#[derive(Debug)]
pub struct DirtyMarksIter<'a, K> {
    few: slice::Iter<'a, DirtyMark<K>>,
    more: hash_map::Iter<'a, K, RecordKinds>,
}

impl<K> Clone for DirtyMarksIter<'_, K> {
    fn clone(&self) -> Self {
        Self { few: self.few.clone(), more: self.more.clone() }
    }
}

impl<'a, K> Iterator for DirtyMarksIter<'a, K> {
    type Item = (&'a K, &'a RecordKinds);

    fn next(&mut self) -> Option<Self::Item> {
        self.few.next().map(|mark| (&mark.key, &mark.kinds)).or_else(|| self.more.next())
    }
}

fn hash<K: Hash>(key: &K) -> u32 {
    (FxBuildHasher.hash_one(key) >> 32) as u32
}

/// The dirty set of one session.
#[derive(Debug)]
pub struct Outbox<K>(DirtyMarks<K>);

impl<K> Default for Outbox<K> {
    fn default() -> Self {
        Self(DirtyMarks::default())
    }
}

impl<K: Hash + Eq> Outbox<K> {
    /// Marks a key with one or more kinds.
    pub fn mark(&mut self, key: K, kind: RecordKinds) -> Marked {
        let first = self.0.is_empty();
        let kinds = self.0.kinds(key);
        if kinds.has(kind) {
            return Marked::Conflated;
        }
        *kinds = kinds.with(kind);
        if first { Marked::First } else { Marked::More }
    }

    /// Takes all marks.
    pub fn take(&mut self) -> DirtyMarks<K> {
        std::mem::take(&mut self.0)
    }

    /// Returns the marks.
    #[must_use]
    pub fn marks(&self) -> &DirtyMarks<K> {
        &self.0
    }

    /// Returns the number of keys that are marked with this kind.
    #[must_use]
    pub fn count(&self, kind: RecordKinds) -> usize {
        self.0.iter().filter(|(_, kinds)| kinds.has(kind)).count()
    }

    /// Returns whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A queue of items that are delivered in order, bounded in bytes. An empty queue holds no memory.
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
    /// Adds an item of `bytes`; false if the queue would exceed `most` bytes.
    pub fn push(&mut self, item: T, bytes: usize, most: usize) -> bool {
        let fits = self.bytes + bytes <= most;
        if fits {
            self.bytes += bytes;
            self.items.push_back(item);
        }
        fits
    }

    /// Puts back an item that was taken, before all others. It had room before, so it is taken whatever came meanwhile.
    pub fn put_back(&mut self, item: T, bytes: usize) {
        self.bytes += bytes;
        self.items.push_front(item);
    }

    /// Takes all items.
    pub fn take(&mut self) -> VecDeque<T> {
        std::mem::take(self).items
    }

    /// Returns whether the queue is empty.
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

    #[test]
    fn kinds_are_distinct_and_have_names() {
        let all = [
            RecordKinds::PROFILE,
            RecordKinds::EDGE,
            RecordKinds::REQUEST,
            RecordKinds::BLOCK,
            RecordKinds::PRESENCE,
            RecordKinds::SESSIONS,
            RecordKinds::LOOK_UP,
        ];
        let names: Vec<_> = all.iter().flat_map(|kind| kind.words()).collect();
        assert_eq!(names, ["card", "friend", "request", "block", "presence", "sessions", "hint"]);
        let both = RecordKinds::PROFILE.with(RecordKinds::EDGE).with(RecordKinds::PROFILE);
        assert!(
            both.has_any(RecordKinds::EDGE.with(RecordKinds::BLOCK))
                && !both.has(RecordKinds::EDGE.with(RecordKinds::BLOCK))
        );
        assert!(!both.has_any(RecordKinds::BLOCK) && both.words() == ["card", "friend"]);
    }

    /// A key that has the same hash as every other.
    #[derive(PartialEq, Eq)]
    struct Same(u8);

    impl Hash for Same {
        fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
            hasher.write_u8(0);
        }
    }

    #[test]
    fn keys_with_the_same_hash_are_distinct() {
        let mut outbox = Outbox::default();
        for key in 0..40 {
            assert_ne!(outbox.mark(Same(key), RecordKinds::PROFILE), Marked::Conflated);
        }
        assert_eq!((outbox.marks().len(), outbox.mark(Same(3), RecordKinds::PROFILE)), (40, Marked::Conflated));
        assert_eq!((outbox.0.few.len(), outbox.0.more.len()), (FEW, 40 - FEW));
    }

    #[test]
    fn a_queue_takes_what_fits_and_is_empty_afterwards() {
        let mut queue = Queue::default();
        assert!(queue.is_empty());
        assert!(queue.push('a', 3, 10) && queue.push('b', 7, 10) && !queue.push('c', 1, 10));
        assert!(!queue.is_empty());
        assert_eq!(queue.take(), ['a', 'b']);
        assert!(queue.is_empty() && queue.push('d', 10, 10) && !queue.push('e', 1, 10));
        // What was taken and is put back comes first, even where there would be no room for it.
        queue.put_back('b', 7);
        queue.put_back('a', 3);
        assert!(!queue.push('f', 1, 20));
        assert_eq!(queue.take(), ['a', 'b', 'd']);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Mark(u8, bool),
        Take,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            24 => (0..40u8, any::<bool>()).prop_map(|(k, edge)| Step::Mark(k, edge)),
            1 => Just(Step::Take),
        ];
        prop::collection::vec(step, 0..300)
    }

    proptest! {
        /// Against a model: no mark is lost or made up, the set is bounded by the keys, and exactly the mark that
        /// finds it empty asks for a wake-up.
        #[test]
        fn every_mark_is_taken_once(steps in steps()) {
            let (mut outbox, mut model) = (Outbox::default(), BTreeMap::<u8, BTreeSet<bool>>::new());
            for step in steps {
                match step {
                    Step::Mark(key, edge) => {
                        let expected = match (model.is_empty(), model.entry(key).or_default().insert(edge)) {
                            (_, false) => Marked::Conflated,
                            (true, true) => Marked::First,
                            (false, true) => Marked::More,
                        };
                        let kind = if edge { RecordKinds::EDGE } else { RecordKinds::PROFILE };
                        prop_assert_eq!(outbox.mark(key, kind), expected);
                    }
                    Step::Take => {
                        let marks = outbox.take();
                        prop_assert_eq!(marks.iter().count(), marks.len());
                        let taken: BTreeMap<u8, BTreeSet<bool>> = marks.iter().map(|(k, kinds)| {
                            assert_eq!(marks.get(k), *kinds);
                            let flags = [(false, RecordKinds::PROFILE), (true, RecordKinds::EDGE)];
                            (*k, flags.into_iter().filter(|(_, kind)| kinds.has(*kind)).map(|(edge, _)| edge).collect())
                        }).collect();
                        prop_assert_eq!(taken, std::mem::take(&mut model));
                    }
                }
                prop_assert_eq!(outbox.marks().len(), model.len());
                prop_assert_eq!(outbox.count(RecordKinds::EDGE), model.values().filter(|kinds| kinds.contains(&true)).count());
                prop_assert_eq!(outbox.is_empty(), model.is_empty());
            }
        }
    }
}
