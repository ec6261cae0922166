//! Observes whether committed changes are applied.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long nothing may be applied while committed changes wait for it.
const STUCK: Duration = Duration::from_secs(10);

/// The feed's steps when it was last seen to move or to have nothing to do, and when that was.
#[derive(Debug, Default)]
pub(super) struct FeedProgress(Mutex<Option<(u64, Instant)>>);

impl FeedProgress {
    /// Whether changes have waited without a step for too long, as far as the calls show.
    pub(super) fn is_stuck(&self, steps: u64, waits: bool, now: Instant) -> bool {
        let mut seen = self.0.lock();
        match *seen {
            Some((before, since)) if waits && before == steps => now.saturating_duration_since(since) >= STUCK,
            _ => {
                *seen = Some((steps, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_stuck_once_changes_wait_and_nothing_moves() {
        let (progress, begun) = (FeedProgress::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert!(!progress.is_stuck(5, false, at(0)));
        // Nothing to do for a long time, and then a change that has just come.
        assert!(!progress.is_stuck(5, false, at(100)) && !progress.is_stuck(5, true, at(101)));
        assert!(!progress.is_stuck(5, true, at(109)));
        // It moves, slowly.
        assert!(!progress.is_stuck(6, true, at(110)) && !progress.is_stuck(6, true, at(119)));
        assert!(progress.is_stuck(6, true, at(120)) && progress.is_stuck(6, true, at(1000)));
        assert!(!progress.is_stuck(7, true, at(1001)));
    }
}
