//! Passes sessions that have something pending to the flushers, or wakes their tasks.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::pending::PendingState;
use super::registry::Hub;
use super::session::Session;
use super::user::UserRef;
use super::writer::WriterState;
use rosterd_engine::sync::outbox::{Marked, RecordKinds};

impl Hub {
    /// Announces sessions that have something pending: queues them for a flusher, or wakes their tasks.
    pub(super) fn announce<'a>(&self, sessions: impl IntoIterator<Item = &'a Arc<Session>>) {
        let mut idle = None;
        for session in sessions {
            let by = session.pending.lock().announce();
            match by {
                FlushBy::Flusher => {
                    let mut queue = self.flush_queue.lock();
                    queue.sessions.push_back(session.clone());
                    idle = idle.or_else(|| queue.idle.pop());
                }
                FlushBy::Task(waker) => waker.wake(),
                FlushBy::Notified => {}
            }
        }
        idle.into_iter().for_each(Waker::wake);
    }

    /// Sets a dirty mark for something that is not committed, and announces the session if it is the first.
    pub(super) fn mark(&self, session: &Arc<Session>, user: UserRef, kinds: RecordKinds) {
        if session.mark(user, kinds, 0) == Marked::First {
            self.announce([session]);
        }
    }

    /// Waits for sessions in the flush queue, and takes at most `most` of them.
    pub fn poll_flush_queue(&self, cx: &Context<'_>, most: usize, into: &mut Vec<Arc<Session>>) -> Poll<()> {
        let mut queue = self.flush_queue.lock();
        if queue.sessions.is_empty() {
            if !queue.idle.iter().any(|waker| waker.will_wake(cx.waker())) {
                queue.idle.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        let some = queue.sessions.len().min(most);
        into.extend(queue.sessions.drain(..some));
        // Another flusher takes the rest.
        let idle = if queue.sessions.is_empty() { None } else { queue.idle.pop() };
        drop(queue);
        idle.into_iter().for_each(Waker::wake);
        Poll::Ready(())
    }
}

/// Who writes what is pending for a session.
enum FlushBy {
    /// A flusher: the session has to be queued.
    Flusher,
    /// The session's task, which has to be woken.
    Task(Waker),
    /// A flusher or the task that knows already.
    Notified,
}

impl PendingState {
    fn announce(&mut self) -> FlushBy {
        let is_flushable = self.is_flushable();
        match &mut self.writer {
            WriterState::HandedOver { queued: true, .. } if is_flushable => FlushBy::Notified,
            WriterState::HandedOver { queued, .. } if is_flushable => {
                *queued = true;
                FlushBy::Flusher
            }
            writer => writer.take_waker().map_or(FlushBy::Notified, FlushBy::Task),
        }
    }
}
