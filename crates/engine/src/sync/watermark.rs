//! The watermark: the revision up to which every watcher of each change has been marked.
//!
//! Changes begin in commit order but may finish in another order: a change with very many watchers is marked in slices
//! while others overtake it. The watermark is the last revision before the oldest unfinished one.

use std::collections::BTreeSet;

use crate::model::Revision;

/// The progress of marking.
///
/// Invariant: every revision up to [`Watermark::reached`] has finished.
#[derive(Debug)]
pub struct Watermark {
    begun: Revision,
    unfinished: BTreeSet<Revision>,
}

impl Watermark {
    /// Starts at the store's last revision.
    #[must_use]
    pub fn new(head: Revision) -> Self {
        Self { begun: head, unfinished: BTreeSet::new() }
    }

    /// Begins to mark the watchers of a change. Revisions come in ascending order.
    pub fn begin(&mut self, revision: Revision) {
        debug_assert!(revision > self.begun, "changes begin in commit order");
        self.begun = revision;
        self.unfinished.insert(revision);
    }

    /// Notes that every watcher of the change has been marked.
    pub fn finish(&mut self, revision: Revision) {
        self.unfinished.remove(&revision);
    }

    /// Returns the last revision up to which every change has finished.
    #[must_use]
    pub fn reached(&self) -> Revision {
        self.unfinished.first().map_or(self.begun, |oldest| oldest - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_never_passes_an_unfinished_change_nor_goes_back(
            gaps in prop::collection::vec(1..3u64, 1..40),
            order in prop::collection::vec(any::<prop::sample::Index>(), 80),
        ) {
            let mut watermark = Watermark::new(7);
            let mut open: Vec<Revision> = Vec::new();
            let (mut next, mut reached) = (7, 7);
            let mut gaps = gaps.into_iter().peekable();
            for pick in order {
                if gaps.peek().is_some() && (open.is_empty() || pick.index(2) == 0) {
                    next += gaps.next().unwrap();
                    watermark.begin(next);
                    open.push(next);
                } else if !open.is_empty() {
                    watermark.finish(open.swap_remove(pick.index(open.len())));
                }
                prop_assert!(open.iter().all(|revision| *revision > watermark.reached()));
                prop_assert!(watermark.reached() >= reached);
                reached = watermark.reached();
            }
            open.drain(..).for_each(|revision| watermark.finish(revision));
            prop_assert_eq!(watermark.reached(), next);
        }
    }
}
