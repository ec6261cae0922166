//! The phases of a gateway's life, visible from outside.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;

/// Where the gateway stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Opening the store; no listener yet.
    Starting,
    /// Serving.
    Ready,
    /// Accepting nothing new, ending sessions.
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

/// The phase, and the signal that draining has begun. Phases only go forward.
#[derive(Debug, Default)]
pub struct Lifecycle {
    phase: AtomicU8,
    draining: CancellationToken,
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

    /// Begins the end.
    pub fn drain(&self) {
        self.phase.fetch_max(2, Ordering::AcqRel);
        self.draining.cancel();
    }

    /// Resolves once draining has begun.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }
}
