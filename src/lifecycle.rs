//! The phases of a gateway's life, visible from outside, and what a stop is made of.
//!
//! A stop has two steps. First the gateway only says so, and serves as before: whoever sends it clients needs a
//! moment to hear of it. Then it closes: it accepts nothing new and ends its sessions at a pace. Clients are told
//! when to come back, each in a slot of its own, so that they do at the same pace.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// What a client that comes back in the first slot waits at least: the goodbye has to reach it, and its socket to close.
const FIRST: Duration = Duration::from_millis(250);

/// Where the gateway stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Opening the store; no listener yet.
    Starting,
    /// Serving.
    Ready,
    /// On its way down: still serving, or closing.
    Draining,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        })
    }
}

/// How fast sessions are closed, and when their clients come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainSchedule {
    /// Sessions closed in a second, and clients that come back in one.
    pub per_second: u32,
    /// How long all of it takes.
    pub window: Duration,
    /// From the end of the window until a gateway is there again; none if others are there all the time.
    pub away: Option<Duration>,
}

impl DrainSchedule {
    /// For so many sessions: at the rate that is asked for, or as much faster as it takes to be done within `most`.
    #[must_use]
    pub fn new(sessions: usize, rate: u32, most: Duration, away: Duration) -> Self {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1);
        let needed = (sessions as u64).saturating_mul(1000).div_ceil(most);
        let per_second = u32::try_from(needed).unwrap_or(u32::MAX).max(rate).max(1);
        let window = at_rate(sessions as u64, per_second);
        Self { per_second, window, away: Some(away).filter(|away| !away.is_zero()) }
    }

    /// How many sessions are to be closed by then; the first at once.
    #[must_use]
    pub fn due(&self, elapsed: Duration) -> usize {
        let due = elapsed.as_micros() * u128::from(self.per_second) / 1_000_000;
        usize::try_from(due).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// When the client of this slot comes back, from the begin of the closing.
    fn slot(&self, slot: u64) -> Duration {
        let first = self.away.map_or(Duration::ZERO, |away| self.window + away);
        FIRST + first + at_rate(slot, self.per_second)
    }
}

/// How long so many take.
fn at_rate(many: u64, per_second: u32) -> Duration {
    Duration::from_micros(many.saturating_mul(1_000_000) / u64::from(per_second))
}

/// The phase, and the signals that belong to it. Phases only go forward.
#[derive(Debug, Default)]
pub struct Lifecycle {
    phase: AtomicU8,
    closing: CancellationToken,
    pace: OnceLock<(Instant, DrainSchedule)>,
    /// The next slot for a client to come back in.
    slot: AtomicU64,
}

impl Lifecycle {
    /// The present phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// Every listener is open.
    pub fn ready(&self) {
        self.phase.fetch_max(1, Ordering::AcqRel);
    }

    /// Begins the end: from now on it shows, and nothing else is different.
    pub fn drain(&self) {
        self.phase.fetch_max(2, Ordering::AcqRel);
    }

    /// Begins to close, at this pace. The first one stands.
    pub fn close(&self, pace: DrainSchedule) {
        self.drain();
        let _ = self.pace.set((Instant::now(), pace));
        self.closing.cancel();
    }

    /// Resolves once closing has begun.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Whether closing has begun: who logs in now was not among those that will be told.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Takes a slot for a client to come back in; how long it waits from now, in milliseconds. None before closing.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        let (begun, pace) = self.pace.get()?;
        let slot = self.slot.fetch_add(1, Ordering::Relaxed);
        let wait = pace.slot(slot).saturating_sub(begun.elapsed()).max(FIRST);
        Some(wait.as_millis() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_pace_is_as_asked_unless_there_is_no_time_for_it() {
        let pace = DrainSchedule::new(5000, 1000, 60 * SECOND, SECOND);
        assert_eq!((pace.per_second, pace.window, pace.away), (1000, 5 * SECOND, Some(SECOND)));
        let hurried = DrainSchedule::new(30_000, 1000, 10 * SECOND, Duration::ZERO);
        assert_eq!((hurried.per_second, hurried.window, hurried.away), (3000, 10 * SECOND, None));
        assert_eq!(DrainSchedule::new(0, 1000, Duration::ZERO, SECOND).window, Duration::ZERO);
    }

    #[test]
    fn everyone_is_due_within_the_window_and_nobody_before() {
        let pace = DrainSchedule::new(5000, 1000, 60 * SECOND, SECOND);
        assert_eq!((pace.due(Duration::ZERO), pace.due(SECOND), pace.due(5 * SECOND)), (1, 1001, 5001));
    }

    #[test]
    fn slots_are_as_far_apart_as_the_pace_says_and_after_the_gateway_is_back() {
        for (away, first) in [(Duration::ZERO, FIRST), (2 * SECOND, FIRST + 7 * SECOND)] {
            let pace = DrainSchedule::new(5000, 1000, 60 * SECOND, away);
            assert_eq!(pace.slot(0), first);
            assert_eq!(pace.slot(5000), first + 5 * SECOND);
        }
    }

    #[test]
    fn each_client_has_a_slot_of_its_own_and_none_before_closing() {
        let lifecycle = Lifecycle::default();
        lifecycle.drain();
        assert_eq!((lifecycle.retry_after_ms(), lifecycle.is_closing()), (None, false));
        // One a second, so that what passes during the test is less than from one to the next.
        lifecycle.close(DrainSchedule::new(10, 1, 60 * SECOND, 2 * SECOND));
        let waits: Vec<_> = (0..10).filter_map(|_| lifecycle.retry_after_ms()).collect();
        assert_eq!(waits.len(), 10);
        assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
        assert!(lifecycle.is_closing());
    }
}
