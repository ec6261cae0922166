//! Puts the batches of several writers into one order, that of their revisions.
//!
//! A node has its own batches from its writer, and those of others from the log, in no order among each other. Each leaves
//! here once, and only when everything before it has left: what is applied has no holes.

use std::collections::BTreeMap;

use crate::model::Revision;

/// The batches that wait for one before them.
#[derive(Debug)]
pub struct Splice<T> {
    /// The first revision that has not left.
    next: Revision,
    /// The last revision and the contents of each, by its first revision.
    batches: BTreeMap<Revision, (Revision, T)>,
    /// What waits for a revision.
    followers: BTreeMap<Revision, Vec<T>>,
}

/// Revisions that do not fit to those that have left: the log has another history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherHistory;

impl<T> Splice<T> {
    /// Goes on after the last revision that was applied.
    #[must_use]
    pub fn new(applied: Revision) -> Self {
        Self { next: applied + 1, batches: BTreeMap::new(), followers: BTreeMap::new() }
    }

    /// Takes a batch with the revisions from `first` to `last`. One that is known is dropped.
    ///
    /// # Errors
    /// A part of the revisions has left or waits already.
    pub fn offer(&mut self, first: Revision, last: Revision, batch: T) -> Result<(), OtherHistory> {
        if last < self.next {
            return Ok(());
        }
        let before = self.batches.range(..=last).next_back().map(|(first, (last, _))| (*first, *last));
        match before {
            Some(known) if known == (first, last) => Ok(()),
            Some((_, end)) if end >= first => Err(OtherHistory),
            _ if first < self.next || first > last => Err(OtherHistory),
            _ => {
                self.batches.insert(first, (last, batch));
                Ok(())
            }
        }
    }

    /// Takes what has no revision of its own, and leaves once everything up to `revision` has left.
    pub fn follow(&mut self, revision: Revision, item: T) {
        self.followers.entry(revision).or_default().push(item);
    }

    /// Returns what leaves next, if it is there.
    pub fn leave(&mut self) -> Option<T> {
        if let Some(mut due) = self.followers.first_entry().filter(|due| *due.key() < self.next) {
            let items = due.get_mut();
            let item = items.remove(0);
            if items.is_empty() {
                due.remove();
            }
            return Some(item);
        }
        let due = self.batches.first_entry().filter(|due| *due.key() == self.next)?;
        let (last, batch) = due.remove();
        self.next = last + 1;
        Some(batch)
    }

    /// Gives everything up that waits, in order.
    pub fn abandon(&mut self) -> Vec<T> {
        let batches = std::mem::take(&mut self.batches).into_values().map(|(_, batch)| batch);
        batches.chain(std::mem::take(&mut self.followers).into_values().flatten()).collect()
    }

    /// Returns the last revision that has left.
    #[must_use]
    pub fn left(&self) -> Revision {
        self.next - 1
    }

    /// Returns how many batches wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.batches.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn revisions_that_do_not_fit_are_another_history() {
        let mut splice = Splice::new(10);
        for (first, last) in [(9, 11), (10, 11), (12, 11)] {
            assert_eq!(splice.offer(first, last, ()), Err(OtherHistory), "{first} to {last}");
        }
        assert_eq!(splice.offer(13, 15, ()), Ok(()));
        for (first, last) in [(13, 14), (12, 13), (15, 16), (14, 14), (11, 20)] {
            assert_eq!(splice.offer(first, last, ()), Err(OtherHistory), "{first} to {last}");
        }
        assert_eq!((splice.offer(13, 15, ()), splice.offer(3, 10, ())), (Ok(()), Ok(())));
        assert_eq!((splice.leave(), splice.waiting()), (None, 1));
        assert_eq!(splice.offer(11, 12, ()), Ok(()));
        assert_eq!((splice.leave(), splice.leave(), splice.leave(), splice.left()), (Some(()), Some(()), None, 15));
    }

    proptest! {
        /// Whatever comes in whatever order, also twice: each batch leaves once, in order, and who follows a revision leaves
        /// behind it and before later ones are missing.
        #[test]
        fn each_batch_leaves_once_in_order_over_no_hole(
            sizes in prop::collection::vec(1..4u64, 1..30),
            order in prop::collection::vec(any::<prop::sample::Index>(), 120),
            follows in prop::collection::vec(0..60u64, 0..20),
        ) {
            let mut batches = Vec::new();
            let mut next = 8;
            for size in &sizes {
                batches.push((next, next + size - 1));
                next += size;
            }
            let last = next - 1;
            let mut splice = Splice::new(7);
            let mut left = Vec::new();
            let mut followed = Vec::new();
            let mut follows = follows.into_iter();
            let offered = order.iter().map(|pick| batches[pick.index(batches.len())]).chain(batches.iter().copied());
            for (first, end) in offered.collect::<Vec<_>>() {
                if let Some(revision) = follows.next() {
                    splice.follow(revision.min(last), (0, revision.min(last)));
                }
                prop_assert_eq!(splice.offer(first, end, (first, end)), Ok(()));
                while let Some(item) = splice.leave() {
                    match item {
                        (0, revision) => {
                            prop_assert!(revision <= splice.left());
                            followed.push(revision);
                        }
                        batch => left.push(batch),
                    }
                }
            }
            prop_assert_eq!(&left, &batches);
            prop_assert_eq!((splice.left(), splice.waiting()), (last, 0));
            prop_assert!(splice.followers.is_empty());
        }

        /// Whatever comes, also what is of another history or behind a hole: what leaves is one history, and what does not
        /// fit to it is refused.
        #[test]
        fn what_leaves_is_one_history_without_a_hole(
            offers in prop::collection::vec((1..30u64, 0..4u64, any::<bool>()), 1..80),
        ) {
            let mut splice = Splice::new(3);
            let (mut next, mut waiting): (u64, Vec<(u64, u64, usize)>) = (4, Vec::new());
            for (number, (first, more, is_own)) in offers.into_iter().enumerate() {
                let last = first + more;
                let overlaps = |(f, l, _): &(u64, u64, usize)| *f <= last && *l >= first;
                let is_known = last < next || waiting.iter().any(|(f, l, _)| (*f, *l) == (first, last));
                let is_other = !is_known && (first < next || waiting.iter().any(overlaps));
                let offered = splice.offer(first, last, number);
                prop_assert_eq!(offered.is_err(), is_other, "{} to {} at {}: {:?}", first, last, next, &waiting);
                if !is_known && !is_other {
                    waiting.push((first, last, number));
                }
                if is_own {
                    splice.follow(last, 1000 + number);
                }
                while let Some(left) = splice.leave() {
                    if left >= 1000 {
                        continue;
                    }
                    let at = waiting.iter().position(|(first, ..)| *first == next);
                    let (_, last, number) = waiting.swap_remove(at.expect("it comes next"));
                    prop_assert_eq!(left, number, "the first that came");
                    next = last + 1;
                }
                prop_assert_eq!((splice.left(), splice.waiting()), (next - 1, waiting.len()));
                prop_assert!(waiting.iter().all(|(first, ..)| *first > next), "nothing that could leave stays");
            }
        }
    }
}
