//! How long to wait before the next connection.

use std::time::Duration;

/// At first and at most.
pub(super) const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Returns a time between half and the whole of this one, by chance, so that not all come back at once.
pub(super) fn part_of(pause: Duration, chance: i64) -> Duration {
    let parts = u32::try_from(chance.unsigned_abs() % 1024).unwrap_or_default();
    pause / 2 + pause / 2048 * parts
}
