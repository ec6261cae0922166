//! Notices when the wall clock jumps.
//!
//! What is done because of age alone cannot be undone, such as closing old requests. A clock that is wrong for a moment
//! must not do it, so it waits until the clock has gone evenly for a while.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use rosterd_engine::model::Millis;

/// By how much the wall clock and the time that passed may differ between two looks, in milliseconds.
const JUMP: Millis = 5000;

/// The wall clock as it was at the last look.
#[derive(Debug, Default)]
pub(super) struct ClockWatch(Mutex<Option<ClockSeen>>);

#[derive(Debug, Clone, Copy)]
struct ClockSeen {
    wall: Millis,
    at: Instant,
    jumped: Option<Instant>,
}

/// What a look at the clock found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClockLook {
    /// The milliseconds by which it jumped since the last look; below zero: back.
    pub jump: Option<i64>,
    /// The time since it jumped last, if it ever did.
    pub since: Option<Duration>,
}

impl ClockWatch {
    /// Compares the wall clock with the time that passed since the last look.
    pub(super) fn look(&self, wall: Millis, at: Instant) -> ClockLook {
        let mut seen = self.0.lock();
        let before = seen.unwrap_or(ClockSeen { wall, at, jumped: None });
        let passed = Millis::try_from(at.saturating_duration_since(before.at).as_millis()).unwrap_or(Millis::MAX);
        let expected = before.wall.saturating_add(passed);
        let jump = (wall.abs_diff(expected) > JUMP).then(|| wall.wrapping_sub(expected).cast_signed());
        let jumped = if jump.is_some() { Some(at) } else { before.jumped };
        *seen = Some(ClockSeen { wall, at, jumped });
        ClockLook { jump, since: jumped.map(|jumped| at.saturating_duration_since(jumped)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_with_the_time_never_jumps_and_one_that_is_set_does() {
        let (watch, begun) = (ClockWatch::default(), Instant::now());
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let none = |since| ClockLook { jump: None, since };
        assert_eq!(watch.look(1_000_000, at(0)), none(None));
        // It is slewed: a little more or less than what passed.
        assert_eq!(watch.look(1_064_900, at(60)), none(None));
        assert_eq!(watch.look(1_060_000, at(60)), none(None));
        let look = watch.look(91_060_000, at(61));
        assert_eq!(look, ClockLook { jump: Some(89_999_000), since: Some(Duration::ZERO) });
        assert_eq!(watch.look(91_070_000, at(71)), none(Some(Duration::from_secs(10))));
        // Back again, and to the beginning of all time.
        assert_eq!(watch.look(1_080_000, at(81)).jump, Some(-90_000_000));
        assert_eq!(watch.look(0, at(82)).jump, Some(-1_081_000));
        assert_eq!(watch.look(3_600_000, at(3682)), none(Some(Duration::from_hours(1))));
    }
}
