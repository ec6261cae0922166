//! The queue of sessions that wait for a flusher.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use super::session::Session;

/// Sessions that are owed something, the longest first; each once.
#[derive(Debug, Default)]
pub(super) struct FlushQueue {
    pub(super) sessions: VecDeque<Arc<Session>>,
    /// Tellers that have nothing to do.
    pub(super) idle: Vec<Waker>,
}
