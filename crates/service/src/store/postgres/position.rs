//! How far this process knows the log.

use parking_lot::Mutex;

use rosterd_engine::model::Revision;

/// The end of a batch in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPosition {
    /// The last revision of the batch.
    pub head: Revision,
    /// Random: it tells this batch from another that took the same revisions.
    pub nonce: i64,
}

/// The newest batch that this process has written or read. Whoever misses it in the database sees another history.
#[derive(Debug)]
pub(super) struct KnownPosition(Mutex<LogPosition>);

impl KnownPosition {
    pub(super) fn new(position: LogPosition) -> Self {
        Self(Mutex::new(position))
    }

    pub(super) fn get(&self) -> LogPosition {
        *self.0.lock()
    }

    /// Notes a batch, unless a newer one is known.
    pub(super) fn raise(&self, position: LogPosition) {
        let mut known = self.0.lock();
        if position.head > known.head {
            *known = position;
        }
    }
}
