//! The phases of a gateway's life, which are visible from outside, and the schedule of its drain.
//!
//! A stop has two steps. First the gateway reports that it is draining and serves as before, so that load balancers have
//! time to notice. Then it closes: it accepts nothing new and ends its sessions at a rate. Each goodbye says when the
//! client should return, each in a slot of its own, so that clients return at the same rate.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// The shortest wait, of the client in the first slot: the goodbye has to reach it, and its socket has to close.
const FIRST: Duration = Duration::from_millis(250);

/// The phase of a gateway's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It opens the store and has no listener yet.
    Starting,
    /// It serves.
    Ready,
    /// It stops: it still serves, or it closes.
    Draining,
    /// A task that it needs has ended: the process ends at once, and another takes its place.
    Failed,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Failed => "failed",
        })
    }
}

/// The rate at which sessions are closed, and when their clients return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainSchedule {
    /// How many sessions are closed a second, and how many clients return.
    pub per_second: u32,
    /// How long closing all sessions takes.
    pub window: Duration,
    /// The time from the end of the window until a gateway serves again; `None` if others keep serving.
    pub away: Option<Duration>,
}

impl DrainSchedule {
    /// Creates a schedule for so many sessions, at `rate`, or faster if closing them would take longer than `most`.
    #[must_use]
    pub fn new(sessions: usize, rate: u32, most: Duration, away: Duration) -> Self {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1);
        let needed = (sessions as u64).saturating_mul(1000).div_ceil(most);
        let per_second = u32::try_from(needed).unwrap_or(u32::MAX).max(rate).max(1);
        let window = at_rate(sessions as u64, per_second);
        Self { per_second, window, away: Some(away).filter(|away| !away.is_zero()) }
    }

    /// Returns how many sessions are to be closed by then. The first is closed at once.
    #[must_use]
    pub fn due(&self, elapsed: Duration) -> usize {
        let due = elapsed.as_micros() * u128::from(self.per_second) / 1_000_000;
        usize::try_from(due).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// Returns when the client of this slot returns, counted from the start of closing.
    fn slot(&self, slot: u64) -> Duration {
        let first = self.away.map_or(Duration::ZERO, |away| self.window + away);
        FIRST + first + at_rate(slot, self.per_second)
    }
}

/// Returns how long so many take.
fn at_rate(many: u64, per_second: u32) -> Duration {
    Duration::from_micros(many.saturating_mul(1_000_000) / u64::from(per_second))
}

/// The phase of the gateway, and its signals. A phase never goes back.
#[derive(Debug, Default)]
pub struct Lifecycle {
    phase: AtomicU8,
    closing: CancellationToken,
    /// When closing began, and its schedule.
    schedule: OnceLock<(Instant, DrainSchedule)>,
    /// The next free slot for a client to return in.
    slot: AtomicU64,
    failed: CancellationToken,
}

impl Lifecycle {
    /// Returns the present phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            2 => Phase::Draining,
            _ => Phase::Failed,
        }
    }

    /// Reports that every listener is open.
    pub fn ready(&self) {
        self.phase.fetch_max(1, Ordering::AcqRel);
    }

    /// Starts the drain: the gateway reports it from now on, and serves as before.
    pub fn drain(&self) {
        self.phase.fetch_max(2, Ordering::AcqRel);
    }

    /// Starts closing by this schedule. A second call changes nothing.
    pub fn close(&self, schedule: DrainSchedule) {
        self.drain();
        let _ = self.schedule.set((Instant::now(), schedule));
        self.closing.cancel();
    }

    /// Reports that the gateway cannot serve any more, whatever its phase was.
    pub fn fail(&self) {
        self.phase.fetch_max(3, Ordering::AcqRel);
        self.failed.cancel();
    }

    /// Waits until the gateway has failed.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Waits until closing has begun.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Reports whether closing has begun. A session that logs in after that gets no goodbye from the drain.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Takes a slot for a client to return in, and returns its wait from now in milliseconds. `None` before closing.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        let (begun, schedule) = self.schedule.get()?;
        let slot = self.slot.fetch_add(1, Ordering::Relaxed);
        let wait = schedule.slot(slot).saturating_sub(begun.elapsed()).max(FIRST);
        Some(wait.as_millis() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn sessions_are_closed_at_the_rate_unless_that_takes_too_long() {
        let schedule = DrainSchedule::new(5000, 1000, 60 * SECOND, SECOND);
        assert_eq!((schedule.per_second, schedule.window, schedule.away), (1000, 5 * SECOND, Some(SECOND)));
        let hurried = DrainSchedule::new(30_000, 1000, 10 * SECOND, Duration::ZERO);
        assert_eq!((hurried.per_second, hurried.window, hurried.away), (3000, 10 * SECOND, None));
        assert_eq!(DrainSchedule::new(0, 1000, Duration::ZERO, SECOND).window, Duration::ZERO);
    }

    #[test]
    fn everyone_is_due_within_the_window_and_nobody_before() {
        let schedule = DrainSchedule::new(5000, 1000, 60 * SECOND, SECOND);
        assert_eq!((schedule.due(Duration::ZERO), schedule.due(SECOND), schedule.due(5 * SECOND)), (1, 1001, 5001));
    }

    #[test]
    fn slots_are_as_far_apart_as_the_rate_says_and_after_the_gateway_is_back() {
        for (away, first) in [(Duration::ZERO, FIRST), (2 * SECOND, FIRST + 7 * SECOND)] {
            let schedule = DrainSchedule::new(5000, 1000, 60 * SECOND, away);
            assert_eq!(schedule.slot(0), first);
            assert_eq!(schedule.slot(5000), first + 5 * SECOND);
        }
    }

    #[test]
    fn each_client_has_a_slot_of_its_own_and_none_before_closing() {
        let lifecycle = Lifecycle::default();
        lifecycle.drain();
        assert_eq!((lifecycle.retry_after_ms(), lifecycle.is_closing()), (None, false));
        // One a second, so that the test takes less time than there is between two slots.
        lifecycle.close(DrainSchedule::new(10, 1, 60 * SECOND, 2 * SECOND));
        let waits: Vec<_> = (0..10).filter_map(|_| lifecycle.retry_after_ms()).collect();
        assert_eq!(waits.len(), 10);
        assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
        assert!(lifecycle.is_closing());
    }
}
