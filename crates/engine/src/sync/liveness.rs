//! Finds out which nodes are dead, without comparing clocks.
//!
//! Each node counts its beats in the database. An observer adds up, for each other node, the time between two of its own
//! looks in which that node's beat stood still. A database that is away for a minute is no look, so nobody dies of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::NodeId;

/// Watches the beats of other nodes.
#[derive(Debug)]
pub struct LivenessObserver {
    /// How long a beat may stand still.
    dead_after: Duration,
    /// The most that one pause between two looks counts.
    longest: Duration,
    nodes: BTreeMap<NodeId, ObservedNode>,
    /// When it looked last, by any clock that only goes on.
    looked: Option<Duration>,
}

#[derive(Debug)]
struct ObservedNode {
    beat: u64,
    silent: Duration,
}

/// What a look found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LookResult {
    /// The nodes whose beat has stood still for too long.
    pub dead: Vec<NodeId>,
    /// The nodes that were there at the look before and are not any more.
    pub gone: Vec<NodeId>,
}

impl LivenessObserver {
    /// Creates an observer that looks every `beat`.
    #[must_use]
    pub fn new(beat: Duration, dead_after: Duration) -> Self {
        Self { dead_after, longest: beat * 2, nodes: BTreeMap::new(), looked: None }
    }

    /// Takes the beats of all other nodes as they were at `at`.
    pub fn look(&mut self, at: Duration, beats: &[(NodeId, u64)]) -> LookResult {
        let passed = self.looked.map_or(Duration::ZERO, |looked| at.saturating_sub(looked).min(self.longest));
        self.looked = Some(at);
        let mut result = LookResult::default();
        self.nodes.retain(|node, _| {
            let is_there = beats.iter().any(|(there, _)| there == node);
            if !is_there {
                result.gone.push(*node);
            }
            is_there
        });
        for (node, beat) in beats {
            let observed = self.nodes.entry(*node).or_insert(ObservedNode { beat: *beat, silent: Duration::ZERO });
            if observed.beat == *beat {
                observed.silent += passed;
            } else {
                *observed = ObservedNode { beat: *beat, silent: Duration::ZERO };
            }
            if observed.silent >= self.dead_after {
                result.dead.push(*node);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BEAT: Duration = Duration::from_secs(3);
    const DEAD_AFTER: Duration = Duration::from_secs(15);

    fn seconds(at: u64) -> Duration {
        Duration::from_secs(at)
    }

    #[test]
    fn a_node_whose_beat_stands_still_is_dead_after_the_looks_of_so_long() {
        let mut observer = LivenessObserver::new(BEAT, DEAD_AFTER);
        for turn in 0..5 {
            assert_eq!(observer.look(seconds(turn * 3), &[(NodeId(1), 7), (NodeId(2), turn)]), LookResult::default());
        }
        let dead = LookResult { dead: vec![NodeId(1)], gone: Vec::new() };
        assert_eq!(observer.look(seconds(15), &[(NodeId(1), 7), (NodeId(2), 5)]), dead);
        // It comes back to life.
        assert_eq!(observer.look(seconds(18), &[(NodeId(1), 8), (NodeId(2), 6)]), LookResult::default());
        let gone = LookResult { dead: Vec::new(), gone: vec![NodeId(1)] };
        assert_eq!(observer.look(seconds(21), &[(NodeId(2), 7)]), gone);
    }

    #[test]
    fn nobody_dies_while_nobody_can_look() {
        let mut observer = LivenessObserver::new(BEAT, DEAD_AFTER);
        observer.look(seconds(0), &[(NodeId(1), 7)]);
        // An hour without the database counts as one pause.
        assert_eq!(observer.look(seconds(3600), &[(NodeId(1), 7)]), LookResult::default());
        assert_eq!(observer.look(seconds(3601), &[(NodeId(1), 8)]), LookResult::default());
    }

    proptest! {
        /// However looks and outages are spread, a node is called dead only after looks that add up to the time, and every
        /// node that stands still is called dead in the end.
        #[test]
        fn a_node_dies_of_looks_alone(pauses in prop::collection::vec(0u64..20, 1..40), moves in prop::collection::vec(any::<bool>(), 40)) {
            let mut observer = LivenessObserver::new(BEAT, DEAD_AFTER);
            let (mut at, mut beat, mut silent) = (seconds(100), 0, Duration::ZERO);
            observer.look(at, &[(NodeId(1), beat)]);
            for (pause, moved) in pauses.into_iter().zip(moves) {
                at += seconds(pause);
                if moved {
                    beat += 1;
                    silent = Duration::ZERO;
                } else {
                    silent += seconds(pause).min(BEAT * 2);
                }
                let found = observer.look(at, &[(NodeId(1), beat)]);
                prop_assert_eq!(found.dead.contains(&NodeId(1)), silent >= DEAD_AFTER);
            }
        }
    }
}
