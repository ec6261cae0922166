//! Limits the rate of events: so many a second, and so many at once.
//!
//! This is the generic cell rate algorithm. One number says how far a sender is ahead of its rate, so a session pays
//! eight bytes for it, and nothing happens while it is idle. The caller passes the time.

use std::time::Duration;

/// A rate: so many events a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many a second, on average; at least 1.
    pub per_second: u32,
    /// How many without a pause; at least 1.
    pub burst: u32,
}

impl Rate {
    /// Returns the time for one event, in nanoseconds.
    fn each(self) -> u64 {
        1_000_000_000 / u64::from(self.per_second.max(1))
    }

    /// Returns how far a sender may be ahead, in nanoseconds.
    fn room(self) -> u64 {
        self.each() * u64::from(self.burst.max(1))
    }
}

/// The time at which all past events would have come at the rate, in nanoseconds since a start that the caller chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimit(u64);

/// The verdict on one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RateVerdict {
    /// The event is within the rate.
    Taken,
    /// The event is refused; one that comes after this time may be accepted.
    Refused(Duration),
    /// The event is refused, as were as many before it as may come at once.
    Abusive,
}

impl RateLimit {
    /// Counts one event, even if it is refused: a sender that goes on is refused for longer, and is abusive in the end.
    pub(crate) fn press(&mut self, rate: Rate, now: u64) -> RateVerdict {
        let next = self.0.max(now) + rate.each();
        let (ahead, room) = (next - now, rate.room());
        if ahead > 2 * room {
            return RateVerdict::Abusive;
        }
        self.0 = next;
        if ahead <= room {
            RateVerdict::Taken
        } else {
            RateVerdict::Refused(Duration::from_nanos(ahead + rate.each() - room))
        }
    }

    /// Counts one event unless it is refused: others share this limit and must not pay for refused events. The error is
    /// the time to wait.
    pub fn admit(&mut self, rate: Rate, now: u64) -> Result<(), Duration> {
        let next = self.0.max(now) + rate.each();
        let (ahead, room) = (next - now, rate.room());
        if ahead > room {
            return Err(Duration::from_nanos(ahead - room));
        }
        self.0 = next;
        Ok(())
    }

    /// Counts so many events that have happened, whatever the rate.
    pub(crate) fn add(&mut self, rate: Rate, events: u32, now: u64) {
        self.0 = self.0.max(now).saturating_add(rate.each().saturating_mul(events.into()));
    }

    /// Returns the time to wait, if the sender is further ahead than it may be.
    pub(crate) fn wait(self, rate: Rate, now: u64) -> Option<Duration> {
        let ahead = self.0.saturating_sub(now);
        (ahead >= rate.room()).then(|| Duration::from_nanos(ahead - rate.room() + rate.each()))
    }

    /// Reports whether no past event counts any more.
    pub(crate) fn is_idle(self, now: u64) -> bool {
        self.0 <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: Rate = Rate { per_second: 10, burst: 5 };
    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_is_taken_then_as_many_are_refused_then_it_is_enough_and_a_pause_mends_it() {
        let mut rate_limit = RateLimit::default();
        let now = 7 * SECOND;
        let all: Vec<_> = (0..12).map(|_| rate_limit.press(RATE, now)).collect();
        assert!(all[..5].iter().all(|paced| *paced == RateVerdict::Taken), "{all:?}");
        assert!(all[5..10].iter().all(|paced| matches!(paced, RateVerdict::Refused(_))), "{all:?}");
        assert_eq!(all[10..], [RateVerdict::Abusive; 2]);
        let RateVerdict::Refused(wait) = all[9] else { panic!("{all:?}") };
        // A sender that waits as long as asked is accepted, and not a moment sooner.
        let then = now + wait.as_nanos() as u64;
        assert_eq!(RateLimit(rate_limit.0).press(RATE, then), RateVerdict::Taken);
        assert!(matches!(RateLimit(rate_limit.0).press(RATE, then - 1), RateVerdict::Refused(_)));
        assert!(!rate_limit.is_idle(now) && rate_limit.is_idle(now + SECOND));
    }

    #[test]
    fn what_is_not_admitted_does_not_count() {
        let mut rate_limit = RateLimit::default();
        assert_eq!((0..100).filter(|_| rate_limit.admit(RATE, SECOND).is_ok()).count(), 5);
        let wait = rate_limit.admit(RATE, SECOND).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert!(rate_limit.admit(RATE, SECOND + wait.as_nanos() as u64).is_ok());
    }

    proptest! {
        /// Over any time, no more events are accepted than the rate and one burst. A sender that keeps to the rate always is.
        #[test]
        fn no_more_than_the_rate_and_a_burst(
            per_second in 1..1000u32, burst in 1..1000u32, gaps in prop::collection::vec(0..SECOND, 1..300),
        ) {
            let rate = Rate { per_second, burst };
            let (mut pressed, mut admitted, mut steady) = (RateLimit::default(), RateLimit::default(), RateLimit::default());
            let (mut now, mut taken, mut let_in) = (SECOND, 0u64, 0u64);
            for gap in gaps {
                now += gap;
                taken += u64::from(pressed.press(rate, now) == RateVerdict::Taken);
                let_in += u64::from(admitted.admit(rate, now).is_ok());
                let most = (now - SECOND) / rate.each() + u64::from(burst);
                prop_assert!(taken <= most && let_in <= most && taken <= let_in);
                if gap >= rate.each() {
                    prop_assert_eq!(steady.press(rate, now), RateVerdict::Taken);
                }
            }
        }
    }
}
