//! The queue of sessions that a flusher is to write to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use super::session::Session;

/// Queues sessions with something pending, the longest waiting first, each at most once.
#[derive(Debug, Default)]
pub(super) struct FlushQueue {
    pub(super) sessions: VecDeque<Arc<Session>>,
    /// The wakers of flushers that have nothing to do.
    pub(super) idle: Vec<Waker>,
}
