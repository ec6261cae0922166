//! How fast an export goes beside a gateway, whose store may be on the same disk.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// The bytes a second that are read of a gateway, and that are written to the disk. At full speed an export takes all that a
/// disk gives, and the slowest of a hundred commits waited 3 times as long.
const RATE: u64 = 24 << 20;

/// Keeps to [`RATE`].
pub(super) struct Pace {
    /// When it goes on.
    next: Instant,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { next: Instant::now() }
    }

    /// Waits until the next bytes have their turn.
    pub(super) fn wait(&mut self, bytes: usize) {
        let now = Instant::now();
        sleep(self.next.saturating_duration_since(now));
        self.next = now.max(self.next) + Duration::from_nanos(bytes as u64 * 1_000_000_000 / RATE);
    }
}
