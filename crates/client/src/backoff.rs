//! How long a client waits before it connects again.

use std::time::Duration;

/// The bounds of the wait, unless a client is told others.
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(20));

/// Returns a random time below a limit, which begins at the first bound, doubles with each attempt (the first is 0), and ends
/// at the second bound.
#[must_use]
pub fn random_wait((min, max): (Duration, Duration), attempt: u32) -> Duration {
    let limit = max.min(min.saturating_mul(1 << attempt.min(20)));
    // Without randomness all clients would come back together; some time is better than none.
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    limit.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
